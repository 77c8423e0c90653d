/* QUIT: what was retrieved is marked as seen, what was deleted goes. */
#include "pop3_in_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"

struct quit_job {
    struct account_job aj;
    uint32_t folder;
    uint32_t from_seen, from_gone;
    struct ranges seen, gone;
    bool leave, seen_done;
};

static int leave_marked(struct quit_job *j, struct index *x)
{
    struct index_store op = { .how = FLAGS_ADD };
    unsigned bit = 0;

    TRY(index_keyword(x, j->folder, SLICE_LIT(POP3_LEFT), true, &bit, &j->aj.changes, &j->aj.err));
    op.keywords = (uint64_t)1 << bit;
    return index_store(x, j->folder, &j->gone, &j->from_gone, &op, &j->aj.changes, &(struct ranges){ 0 }, &j->aj.err);
}

static int run_quit(struct account_job *aj, struct index *x)
{
    static const struct index_store see = { .how = FLAGS_ADD, .flags = FLAG_SEEN };
    struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    if (!j->seen_done && j->seen.count > 0) {
        int r = index_store(x, j->folder, &j->seen, &j->from_seen, &see, &aj->changes, &(struct ranges){ 0 }, &aj->err);

        if (r != DONE)
            return r;
    }
    j->seen_done = true;
    if (j->gone.count == 0)
        return DONE;
    return j->leave ? leave_marked(j, x)
                    : index_expunge(x, j->folder, &j->gone, &j->from_gone, true, &aj->changes, &aj->err);
}

static void quit_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    const struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    LOG(INFO, "fetched", kv_str("session", s->peer.client.session), kv_str("user", s->peer.client.user->name),
        kv_num("retrieved", (int64_t)ranges_count(&s->seen)), kv_num("deleted", (int64_t)ranges_count(&j->gone)),
        kv_str("reason", aj->code < 0 ? aj->err.text : ""));
    pop3_in_leave(s); /* who has its +OK may come again at once */
    pop3_server_quit_done(s->proto, aj->code);
}

static void quit_drop(struct account_job *aj)
{
    struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    ranges_clear(&j->seen);
    ranges_clear(&j->gone);
    mem_free(j);
}

void pop3_in_quit(void *world)
{
    struct pop3_session *s = world;
    struct quit_job *j = mem_zero(sizeof *j);

    j->folder = s->box->folder.id;
    j->leave = s->peer.client.user->leave_on_server;
    for (size_t i = 0; i < s->count; i++)
        if (s->messages[i].deleted)
            (void)!ranges_add(&j->gone, s->uids[i], s->uids[i]);
    (void)!ranges_copy(&s->seen, &j->seen);
    j->aj.run = run_quit;
    j->aj.done = quit_done;
    j->aj.drop = quit_drop;
    pop3_in_start(s, &j->aj);
}
