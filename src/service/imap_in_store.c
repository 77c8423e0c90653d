/* STORE: flags change in the index's lane, slice by slice; each slice's messages are answered when it is done. */
#include "imap_in_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

struct store_job {
    struct account_job aj;
    struct index_store op;
    uint32_t folder;
    uint32_t from, told;      /* where the next slice begins; what has been answered */
    struct ranges uids, kept; /* kept: those that UNCHANGEDSINCE kept out */
    struct slice *keywords;   /* names, until their bits are known */
    size_t keyword_count;
    bool loud;   /* not .SILENT: each message is answered */
    bool ghosts; /* some of those named by number have gone */
    bool beyond; /* sequence numbers that are not there were named */
    struct arena arena;
};

static int find_keywords(struct store_job *j, struct index *x)
{
    if (j->op.how != FLAGS_REMOVE)
        TRY(index_keywords_fit(x, j->folder, j->keywords, j->keyword_count, &j->aj.err)); /* all of them or none */
    for (size_t i = 0; i < j->keyword_count; i++) {
        unsigned bit = 0;
        int r =
            index_keyword(x, j->folder, j->keywords[i], j->op.how != FLAGS_REMOVE, &bit, &j->aj.changes, &j->aj.err);

        if (r == -ENOENT)
            continue; /* nothing has it, so there is nothing to remove */
        if (r < 0)
            return r;
        j->op.keywords |= (uint64_t)1 << bit;
    }
    j->keyword_count = 0;
    return 0;
}

static int run_store(struct account_job *aj, struct index *x)
{
    struct store_job *j = LIST_ENTRY(aj, struct store_job, aj);
    uint32_t from = j->from;
    int r = find_keywords(j, x);

    if (r == 0 && (aj->changes.complete || aj->changes.count > 0))
        r = MORE; /* others' changes, which came to light with the keywords */
    else if (r == 0)
        r = index_store(x, j->folder, &j->uids, &j->from, &j->op, &aj->changes, &j->kept, &aj->err);
    aj->silent = r == DONE || j->from != from; /* our own are answered here */
    return r;
}

static void store_drop(struct account_job *aj)
{
    struct store_job *j = LIST_ENTRY(aj, struct store_job, aj);

    ranges_clear(&j->uids);
    ranges_clear(&j->kept);
    arena_clear(&j->arena);
    mem_free(j);
}

/* Flags of what this slice has done. With .SILENT only MODSEQ, and only for a client that wants it (RFC 7162 3.1.3). */
static void answer_slice(struct imap_session *s, struct store_job *j, uint32_t until)
{
    unsigned enabled = imap_server_enabled(s->proto);
    bool condstore = (enabled & ENABLE_CONDSTORE) != 0;
    bool uids = s->command->uid || (enabled & ENABLE_QRESYNC) != 0;
    uint64_t cursor = j->told;
    uint32_t uid;

    while ((j->loud || condstore) && ranges_next(&j->uids, &cursor, &uid) && uid < until) {
        const struct mailbox_message *m = mailbox_find(&s->box->m, uid);

        if (m == NULL || ranges_has(&j->kept, uid))
            continue;
        if (j->loud) {
            imap_in_write_flags(s, view_seq(&s->view, uid), m, ranges_has(&s->view.recent, uid));
            continue;
        }
        (void)!buf_addf(&s->out, "* %u FETCH (", (unsigned)view_seq(&s->view, uid));
        if (uids)
            (void)!buf_addf(&s->out, "UID %u ", (unsigned)uid);
        (void)!buf_addf(&s->out, "MODSEQ (%llu))\r\n", (unsigned long long)m->modseq);
    }
    j->told = until > 0 ? until - 1 : 0;
    imap_in_flush(s);
}

/* "[MODIFIED 2,4]": sequence numbers or UIDs, as the command had them. */
static void tell_kept(struct imap_session *s, const struct store_job *j, struct buf *out)
{
    struct ranges seqs = { 0 };
    uint64_t cursor = 0;
    uint32_t uid;

    (void)!buf_adds(out, "MODIFIED ");
    if (s->command->uid) {
        (void)!ranges_format(&j->kept, out);
        return;
    }
    while (ranges_next(&j->kept, &cursor, &uid))
        (void)!ranges_add(&seqs, view_seq(&s->view, uid), view_seq(&s->view, uid));
    (void)!ranges_format(&seqs, out);
    ranges_clear(&seqs);
}

static void store_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct store_job *j = LIST_ENTRY(aj, struct store_job, aj);
    struct imap_result r = imap_ok("STORE completed");
    struct buf kept;

    if (aj->code >= 0)
        answer_slice(s, j, aj->code == MORE ? j->from : UINT32_MAX);
    if (aj->code == MORE) {
        (void)imap_in_continue(s, aj);
        return;
    }
    if (aj->code < 0) {
        imap_in_done(s, imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    /* A NO after .SILENT would tell nothing of those that have the flags now (RFC 2180 4.2.1). */
    if (j->ghosts && j->kept.count == 0)
        r = imap_in_gone(j->loud);
    buf_init(&kept, 1024 * 1024);
    if (j->kept.count > 0) {
        tell_kept(s, j, &kept);
        r.code_text = &kept;
    }
    imap_in_done(s, r);
    buf_clear(&kept);
}

void imap_in_store(struct imap_session *s, const struct imap_command *c)
{
    static const enum index_how how[] = {
        [IMAP_STORE_REPLACE] = FLAGS_REPLACE, [IMAP_STORE_ADD] = FLAGS_ADD, [IMAP_STORE_REMOVE] = FLAGS_REMOVE
    };
    struct store_job *j;
    int r;

    if (s->view.read_only) {
        imap_in_done(s, imap_no("CANNOT", "The mailbox is open read-only"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->folder = s->box->folder.id;
    j->op = (struct index_store){ .how = how[c->store.how],
                                  .flags = c->store.flags.flags,
                                  .conditional = c->store.unchanged_since,
                                  .since = c->store.since };
    j->keyword_count = c->store.flags.keyword_count;
    j->keywords = arena_zero(&j->arena, (j->keyword_count + 1) * sizeof *j->keywords);
    for (size_t i = 0; i < j->keyword_count; i++)
        j->keywords[i] = slice_str(arena_str(&j->arena, c->store.flags.keywords[i]));
    j->loud = !c->store.silent;
    j->aj.run = run_store;
    j->aj.done = store_done;
    j->aj.drop = store_drop;
    r = imap_in_uids(s, c, &j->uids, &j->beyond);
    j->ghosts = r == 0 && !c->uid && imap_in_has_ghosts(s, &j->uids);
    if (r < 0 || j->beyond || j->uids.count == 0) {
        bool beyond = j->beyond;

        store_drop(&j->aj);
        imap_in_done(s, r < 0    ? imap_result_of_error(r)
                        : beyond ? imap_bad("There are no such message numbers")
                                 : imap_ok("STORE completed, no such messages"));
        return;
    }
    imap_in_start(s, &j->aj, true);
}
