#include "imap_parse_priv.h"

#include <errno.h>

/* ---- STATUS ---- */

static const struct imap_name status_items[] = {
    { "MESSAGES", STATUS_MESSAGES },
    { "RECENT", STATUS_RECENT },
    { "UIDNEXT", STATUS_UIDNEXT },
    { "UIDVALIDITY", STATUS_UIDVALIDITY },
    { "UNSEEN", STATUS_UNSEEN },
    { "DELETED", STATUS_DELETED },
    { "SIZE", STATUS_SIZE },
    { "HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ },
    { "MAILBOXID", STATUS_MAILBOXID },
    { "APPENDLIMIT", STATUS_APPENDLIMIT },
    { "DELETED-STORAGE", STATUS_DELETED_STORAGE },
};

/* Words of a table up to ")"; their numbers are bits. */
static int read_options(struct imap_cursor *x, const struct imap_name *table, size_t n, const char *unknown,
                        unsigned *ret)
{
    bool end = false;

    for (bool first = true;; first = false) {
        const struct imap_name *option;

        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        option = imap_find_name(table, n, imap_word(x));
        if (option == NULL)
            return imap_bad_syntax(x, unknown);
        *ret |= option->value;
    }
}

/* SP "(" items ")" */
static int read_status_items(struct imap_cursor *x, unsigned *ret)
{
    TRY(imap_open(x));
    TRY(read_options(x, status_items, sizeof status_items / sizeof status_items[0], "There is no such STATUS item",
                     ret));
    if (*ret == 0)
        return imap_bad_syntax(x, "STATUS needs an item");
    if ((*ret & STATUS_HIGHESTMODSEQ) != 0)
        x->c->enable |= ENABLE_CONDSTORE; /* RFC 7162 3.1 */
    return 0;
}

int imap_args_status(struct imap_cursor *x)
{
    TRY(imap_args_mailbox(x));
    return read_status_items(x, &x->c->status);
}

/* ---- LIST (RFC 9051 6.3.9, 5258, 5819, 6154) ---- */

static const struct imap_name selections[] = {
    { "SUBSCRIBED", LIST_SUBSCRIBED },
    { "REMOTE", LIST_REMOTE },
    { "RECURSIVEMATCH", LIST_RECURSIVEMATCH },
    { "SPECIAL-USE", LIST_SPECIAL_USE },
};
static const struct imap_name list_returns[] = {
    { "SUBSCRIBED", LIST_RETURN_SUBSCRIBED },
    { "CHILDREN", LIST_RETURN_CHILDREN },
    { "SPECIAL-USE", LIST_RETURN_SPECIAL_USE },
    { "STATUS", LIST_RETURN_STATUS },
};

/* A name with wildcards: a string, or an atom that may have "%", "*" and "]" in it. */
static int read_pattern(struct imap_cursor *x, struct slice *ret)
{
    size_t n = 0;
    struct slice s;

    if (imap_is_at(x, '"') || imap_is_at(x, '{')) {
        TRY(imap_string(x, false, &s));
        return imap_decode_name(x, s, ret);
    }
    while (n < x->in.n && (imap_is_atom_char(x->in.p[n]) || strchr("%*]", x->in.p[n]) != NULL) && x->in.p[n] != '\0')
        n++;
    if (n == 0)
        return imap_bad_syntax(x, "Expected a mailbox pattern");
    s = slice_head(x->in, n);
    x->in = slice_skip(x->in, n);
    return imap_decode_name(x, s, ret);
}

static int add_pattern(struct imap_cursor *x, size_t *cap)
{
    struct imap_list *l = &x->c->list;

    if (l->pattern_count == IMAP_ITEMS)
        return err_set(x->e, -E2BIG, "LIST has too many patterns");
    l->patterns = imap_grow(x->a, l->patterns, l->pattern_count, cap, sizeof *l->patterns);
    TRY(read_pattern(x, &l->patterns[l->pattern_count]));
    l->pattern_count++;
    return 0;
}

static int read_patterns(struct imap_cursor *x)
{
    size_t cap = 0;
    bool end = false;

    if (!imap_take_char(x, '('))
        return add_pattern(x, &cap);
    x->c->list.extended = true;
    for (bool first = true;; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (end)
            return first ? imap_bad_syntax(x, "LIST needs a pattern") : 0;
        TRY(add_pattern(x, &cap));
    }
}

static int read_selections(struct imap_cursor *x)
{
    struct imap_list *l = &x->c->list;
    const unsigned others = LIST_SUBSCRIBED | LIST_SPECIAL_USE;

    l->extended = true;
    TRY(read_options(x, selections, sizeof selections / sizeof selections[0], "There is no such LIST selection option",
                     &l->options));
    if ((l->options & LIST_RECURSIVEMATCH) != 0 && (l->options & others) == 0)
        return imap_bad_syntax(x, "RECURSIVEMATCH needs another selection option"); /* RFC 5258 3.1 */
    return imap_space(x);
}

/* [SP "RETURN" SP "(" … ")"] */
static int read_list_returns(struct imap_cursor *x)
{
    struct imap_list *l = &x->c->list;
    bool end = false;

    if (imap_is_at_end(x))
        return 0;
    TRY(imap_space(x));
    if (!slice_iis(imap_word(x), "RETURN"))
        return imap_bad_syntax(x, "Expected RETURN");
    l->extended = true;
    TRY(imap_open(x));
    for (bool first = true;; first = false) {
        const struct imap_name *option;

        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        option = IMAP_FIND(list_returns, imap_word(x));
        if (option == NULL)
            return imap_bad_syntax(x, "There is no such LIST return option");
        l->options |= option->value;
        if (option->value == LIST_RETURN_STATUS)
            TRY(read_status_items(x, &l->status));
    }
}

static int read_reference(struct imap_cursor *x)
{
    TRY(imap_astring(x, false, &x->c->list.reference));
    TRY(imap_decode_name(x, x->c->list.reference, &x->c->list.reference));
    return imap_space(x);
}

int imap_args_list(struct imap_cursor *x)
{
    TRY(imap_space(x));
    if (imap_take_char(x, '('))
        TRY(read_selections(x));
    TRY(read_reference(x));
    TRY(read_patterns(x));
    return read_list_returns(x);
}

int imap_args_lsub(struct imap_cursor *x)
{
    size_t cap = 0;

    TRY(imap_space(x));
    TRY(read_reference(x));
    return add_pattern(x, &cap);
}
