/* COPY and MOVE: links made in the user's lane. */
#include "imap_in_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

enum { CODE_MAX = 1024 * 1024, MOVE_SLICE = 500 };

struct copy_job {
    struct account_job aj;
    struct arena arena;
    struct slice name;
    uint32_t folder;
    struct index_folder target;
    struct ranges uids, from_uids, to_uids;
    uint64_t cursor; /* MOVE: how far it is in `uids` */
    bool move, by_number;
};

/* RFC 6851 3.3: each message by itself is moved or not; so others get their turn between. A COPY is all or nothing. */
static int run_move(struct copy_job *j, struct index *x)
{
    struct ranges slice = { 0 };
    uint64_t cursor = j->cursor, next;
    uint32_t uid;
    int r = 0;

    for (unsigned n = 0; n < MOVE_SLICE && r == 0 && ranges_next(&j->uids, &cursor, &uid); n++)
        r = ranges_add(&slice, uid, uid);
    if (r == 0)
        r = index_copy(x, j->folder, &slice, j->target.id, true, &j->aj.changes, &j->aj.changes2, &j->from_uids,
                       &j->to_uids, &j->aj.err);
    ranges_clear(&slice);
    if (r != DONE)
        return r;
    next = j->cursor = cursor;
    return ranges_next(&j->uids, &next, &uid) ? MORE : DONE;
}

static int run_copy(struct account_job *aj, struct index *x)
{
    struct copy_job *j = LIST_ENTRY(aj, struct copy_job, aj);

    if (j->target.id == 0)
        TRY(index_folder(x, j->name, &j->target, &aj->err));
    aj->folder2 = j->target.id;
    if (j->move)
        return run_move(j, x);
    return index_copy(x, j->folder, &j->uids, j->target.id, false, &aj->changes, &aj->changes2, &j->from_uids,
                      &j->to_uids, &aj->err);
}

/* "COPYUID 38505 304,319:320 3956:3958" (RFC 4315). */
static int write_code(const struct copy_job *j, struct buf *out)
{
    TRY(buf_addf(out, "COPYUID %u ", (unsigned)j->target.uidvalidity));
    TRY(ranges_format(&j->from_uids, out));
    TRY(buf_addc(out, ' '));
    return ranges_format(&j->to_uids, out);
}

static void copied(struct imap_session *s, const struct copy_job *j, struct imap_result r)
{
    struct buf code;

    buf_init(&code, CODE_MAX);
    if (j->from_uids.count > 0 && write_code(j, &code) < 0)
        buf_reset(&code);        /* too long to be said, which RFC 4315 section 3 lets us leave out */
    if (j->move && code.n > 0) { /* RFC 6851 4.3: before the EXPUNGEs */
        imap_in_send(s, SLICE_LIT("* OK ["));
        imap_in_send(s, buf_slice(&code));
        imap_in_send(s, SLICE_LIT("] Moved\r\n"));
    }
    if (!j->move && code.n > 0)
        r.code_text = &code;
    imap_in_done(s, r);
    buf_clear(&code);
}

static void copy_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    const struct copy_job *j = LIST_ENTRY(aj, struct copy_job, aj);

    if (aj->code == MORE)
        peer_start_job(&s->peer, aj);
    else if (aj->code == -ENOENT && j->target.id == 0)
        imap_in_done(s, imap_no("TRYCREATE", "There is no such mailbox"));
    else if (aj->code < 0)
        copied(s, j, imap_in_failed(s, aj->code, &aj->err)); /* a MOVE may have come some way */
    else if (j->from_uids.count == 0)
        imap_in_done(s, imap_in_gone(j->by_number));
    else
        copied(s, j, imap_ok("%s completed", j->move ? "MOVE" : "COPY"));
}

static void copy_drop(struct account_job *aj)
{
    struct copy_job *j = LIST_ENTRY(aj, struct copy_job, aj);

    ranges_clear(&j->uids);
    ranges_clear(&j->from_uids);
    ranges_clear(&j->to_uids);
    arena_clear(&j->arena);
    mem_free(j);
}

void imap_in_copy(struct imap_session *s, const struct imap_command *c)
{
    struct copy_job *j;
    bool beyond = false, ghosts;
    int r;

    if (c->verb == IMAP_MOVE && s->view.read_only) {
        imap_in_done(s, imap_no("CANNOT", "The mailbox is open read-only"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->name = slice_str(arena_str(&j->arena, c->mailbox));
    j->folder = s->box->folder.id;
    j->move = c->verb == IMAP_MOVE;
    j->by_number = !c->uid;
    j->aj.run = run_copy;
    j->aj.done = copy_done;
    j->aj.drop = copy_drop;
    r = imap_in_uids(s, c, &j->uids, &beyond);
    ghosts = r == 0 && !c->uid && imap_in_has_ghosts(s, &j->uids);
    if (r == 0 && !beyond && !ghosts && j->uids.count > 0) {
        imap_in_start(s, &j->aj, true);
        return;
    }
    copy_drop(&j->aj);
    imap_in_done(s, r < 0    ? imap_result_of_error(r)
                    : beyond ? imap_bad("There are no such message numbers")
                    : ghosts ? imap_in_gone(true)
                             : imap_ok("Completed, no such messages"));
}
