#include "imap_parse_priv.h"

#include <errno.h>

int imap_args_mailbox(struct imap_cursor *x)
{
    TRY(imap_space(x));
    return imap_mailbox(x, &x->c->mailbox);
}

int imap_args_rename(struct imap_cursor *x)
{
    TRY(imap_args_mailbox(x));
    TRY(imap_space(x));
    return imap_mailbox(x, &x->c->to);
}

int imap_args_copy(struct imap_cursor *x)
{
    TRY(imap_space(x));
    TRY(imap_set(x, &x->c->set));
    return imap_args_mailbox(x);
}

/* ---- SELECT and EXAMINE (RFC 7162) ---- */

/* "1,3:5" as merged ranges in the arena. */
static int read_known_uids(struct imap_cursor *x, struct ranges *ret)
{
    struct ranges merged = { 0 };
    struct imap_set set;
    int code = 0;

    TRY(imap_plain_set(x, &set));
    for (size_t i = 0; i < set.count && code == 0; i++)
        code = ranges_add(&merged, set.pieces[i].from, set.pieces[i].to);
    if (code == 0 && merged.count > 0) {
        *ret = (struct ranges){ .count = merged.count, .cap = merged.count };
        ret->items = arena_zero(x->a, merged.count * sizeof *ret->items);
        memcpy(ret->items, merged.items, merged.count * sizeof *ret->items);
    }
    ranges_clear(&merged);
    return code < 0 ? err_set(x->e, code, "A set of numbers has too many pieces") : 0;
}

/* "(" known-sequence-set SP known-uid-set ")" */
static int read_match_data(struct imap_cursor *x, struct imap_select *s)
{
    TRY(imap_expect(x, '('));
    TRY(imap_plain_set(x, &s->match_seqs));
    TRY(imap_space(x));
    TRY(imap_plain_set(x, &s->match_uids));
    return imap_expect(x, ')');
}

/* SP "(" uidvalidity SP modseq [SP known-uids] [SP seq-match-data] ")" */
static int read_qresync(struct imap_cursor *x, struct imap_select *s)
{
    uint64_t uidvalidity;

    if ((x->o->enabled & ENABLE_QRESYNC) == 0)
        return imap_bad_syntax(x, "QRESYNC needs ENABLE QRESYNC"); /* RFC 7162 3.2.5 */
    s->qresync = true;
    x->c->enable |= ENABLE_CONDSTORE;
    TRY(imap_open(x));
    TRY(imap_number(x, 1, UINT32_MAX, &uidvalidity));
    s->uidvalidity = (uint32_t)uidvalidity;
    TRY(imap_space(x));
    TRY(imap_modseq(x, 1, &s->modseq));
    if (imap_take_char(x, ' ') && !imap_is_at(x, '(')) {
        TRY(read_known_uids(x, &s->known_uids));
        (void)imap_take_char(x, ' ');
    }
    if (imap_is_at(x, '('))
        TRY(read_match_data(x, s));
    return imap_expect(x, ')');
}

int imap_args_select(struct imap_cursor *x)
{
    struct imap_select *s = &x->c->select;
    bool end = false;

    TRY(imap_args_mailbox(x));
    if (imap_is_at_end(x))
        return 0;
    TRY(imap_open(x));
    for (bool first = true;; first = false) {
        struct slice word;

        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        word = imap_word(x);
        if (slice_iis(word, "QRESYNC"))
            TRY(read_qresync(x, s));
        else if (!slice_iis(word, "CONDSTORE"))
            return imap_bad_syntax(x, "There is no such SELECT parameter");
        s->condstore = true;
        x->c->enable |= ENABLE_CONDSTORE;
    }
}

/* ---- CREATE (RFC 6154) ---- */

/* As enum index_special of store/index. */
static const struct imap_name special_uses[] = {
    { "All", 1 }, { "Archive", 2 }, { "Drafts", 3 }, { "Flagged", 4 }, { "Junk", 5 }, { "Sent", 6 }, { "Trash", 7 },
};

/* SP "USE" SP "(" … ")" of it */
static int read_uses(struct imap_cursor *x)
{
    bool end = false;

    TRY(imap_open(x));
    for (bool first = true;; first = false) {
        const struct imap_name *use;
        struct slice word;

        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        TRY(imap_expect(x, '\\'));
        TRY(imap_atom(x, &word));
        use = IMAP_FIND(special_uses, word);
        x->c->special_refused = x->c->special_refused || use == NULL || x->c->special != 0;
        x->c->special = use != NULL ? use->value : x->c->special;
    }
}

int imap_args_create(struct imap_cursor *x)
{
    struct slice *name = &x->c->mailbox;

    TRY(imap_args_mailbox(x));
    /* A separator at the end only says that children will follow (RFC 9051 6.3.4). */
    if (name->n > 1 && name->p[name->n - 1] == '/')
        name->n--;
    if (slice_iis(*name, "INBOX"))
        *name = SLICE_LIT("INBOX");
    if (imap_is_at_end(x))
        return 0;
    TRY(imap_open(x));
    if (!slice_iis(imap_word(x), "USE"))
        return imap_bad_syntax(x, "CREATE knows the parameter USE only");
    TRY(read_uses(x));
    return imap_expect(x, ')');
}

/* ---- QUOTA (RFC 9208) ---- */

int imap_args_quota(struct imap_cursor *x)
{
    TRY(imap_space(x));
    return imap_astring(x, false, &x->c->mailbox);
}

/* SETQUOTA is read and then refused by who owns the quota. */
int imap_args_setquota(struct imap_cursor *x)
{
    bool end = false;
    struct slice resource;
    uint64_t limit;

    TRY(imap_args_quota(x));
    TRY(imap_open(x));
    for (bool first = true;; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        TRY(imap_atom(x, &resource));
        TRY(imap_space(x));
        TRY(imap_number(x, 0, INT64_MAX, &limit));
    }
}
