#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/bounce.h"
#include "facteur/flow/chronicle.h"
#include "facteur/flow/commit.h"
#include "facteur/store/sys.h"
#include "schedule_priv.h"

#include <errno.h>
#include <fcntl.h>

enum { RETURN_MOST = 64 * 1024, AGAIN_MS = 2000, CROWDED_MS = 30000 };

/* --- one outcome --- */

/* The log has it already, from whoever tried. */
static void tell(const struct active *a, const struct queue_recipient *r, const struct active_slot *s)
{
    static const enum history_kind kinds[] = { [OUTCOME_DELIVERED] = HISTORY_DELIVERED,
                                               [OUTCOME_RELAYED] = HISTORY_RELAYED,
                                               [OUTCOME_RELAYED_WITHOUT_DSN] = HISTORY_RELAYED,
                                               [OUTCOME_DEFERRED] = HISTORY_DEFERRED,
                                               [OUTCOME_FAILED] = HISTORY_BOUNCED };

    chronicle_add(a->f->chronicle, kinds[s->outcome], a->m->id, r->address, s->reply, s->host);
}

void schedule_outcome(struct active *a, uint32_t seq, const struct attempt_end *end)
{
    for (uint32_t i = 0; i < a->m->count; i++) {
        struct active_slot *s = &a->slots[i];

        if (a->m->recipients[i].seq != seq || s->settled)
            continue;
        s->settled = true;
        s->outcome = end->outcome;
        s->untried = end->untried;
        s->crowded = end->crowded;
        s->ours = end->ours;
        slice_clip(slice_str(end->status), s->status, sizeof s->status);
        s->reply = mem_str(end->reply);
        s->host = mem_str(end->host);
        if (!end->untried)
            tell(a, &a->m->recipients[i], s);
        a->pending--;
    }
    if (a->pending == 0 && a->hold == 0)
        active_settle(a);
    else
        record_note(a);
}

/* --- all outcomes: what is to be done --- */

struct settlement {
    struct commit_request request;
    struct active *a;
    struct queue_message **notifications;
    size_t notification_count;
    struct dsn_recipient *told;
    size_t told_count;
    int64_t now, earliest_due;
    uint64_t jitter; /* of all its due times: recipients of equal attempts stay together */
    bool relayed;    /* a next hop has taken it for somebody */
    unsigned flags;  /* the message's, as they shall be */
    char *header;    /* read for the notification */
};

static int64_t age_of(const struct active *a, const struct queue_recipient *r, int64_t now)
{
    return schedule_age_ms(&a->f->config->queue, a->m->received_ms, now, r->attempts + 1);
}

static bool is_late(const struct active *a, const struct queue_recipient *r, int64_t now)
{
    const struct conf_queue *q = &a->f->config->queue;

    return q->warn_after > 0 && !r->warned && age_of(a, r, now) >= q->warn_after &&
           (r->notify == NOTIFY_UNSET || (r->notify & NOTIFY_DELAY) != 0);
}

static void notify(struct settlement *x, const struct queue_recipient *r, const struct active_slot *s,
                   enum dsn_action action)
{
    struct dsn_recipient *d = &x->told[x->told_count++];

    d->address = r->address;
    d->orcpt = r->orcpt;
    d->action = action;
    d->status = s->status;
    d->remote = s->host;
    d->reply = s->reply;
    d->ours = s->ours;
    d->last_attempt_ms = x->now;
    d->retry_until_ms = x->a->m->received_ms + x->a->f->config->queue.lifetime;
}

static void finish(struct settlement *x, const struct queue_recipient *r)
{
    (void)commit_op(&x->request.ops, QUEUE_DONE, x->a->m->id, r->seq);
}

static void fail(struct settlement *x, const struct queue_recipient *r, const struct active_slot *s)
{
    finish(x, r);
    x->a->f->stats.bounced++;
    if (r->notify == NOTIFY_UNSET || (r->notify & NOTIFY_FAILURE) != 0)
        notify(x, r, s, DSN_FAILED);
}

static void retry(struct settlement *x, struct queue_recipient *r, const struct active_slot *s)
{
    struct queue_op *op;

    if (!s->untried && age_of(x->a, r, x->now) >= x->a->f->config->queue.lifetime) {
        char id[14];

        base32_u64(x->a->m->id, id);
        LOG(WARNING, "expired", kv_str("queue", id), kv_str("to", r->address), kv_str("reply", s->reply));
        fail(x, r, s);
        return;
    }
    op = commit_op(&x->request.ops, QUEUE_RETRY, x->a->m->id, r->seq);
    op->attempts = r->attempts + (s->untried ? 0 : 1);
    op->due_ms = x->now + (s->crowded ? CROWDED_MS : AGAIN_MS);
    if (!s->untried)
        op->due_ms = x->now + schedule_retry_ms(&x->a->f->config->queue, op->attempts, x->jitter);
    op->text = mem_str(s->reply);
    if (op->due_ms < x->earliest_due)
        x->earliest_due = op->due_ms;
    if (!s->untried)
        x->a->f->stats.deferred++;
    if (is_late(x->a, r, x->now)) {
        notify(x, r, s, DSN_DELAYED);
        op->warned = true;
        x->flags |= QUEUE_WARNED;
    }
}

static void succeed(struct settlement *x, const struct queue_recipient *r, const struct active_slot *s)
{
    if (!s->recorded) {
        x->relayed = x->relayed || s->outcome != OUTCOME_DELIVERED;
        finish(x, r);
    }
    if (s->outcome != OUTCOME_DELIVERED)
        x->a->f->stats.relayed++;
    if ((r->notify & NOTIFY_SUCCESS) != 0 && s->outcome != OUTCOME_RELAYED)
        notify(x, r, s, s->outcome == OUTCOME_DELIVERED ? DSN_DELIVERED : DSN_RELAYED);
}

static void decide(struct settlement *x)
{
    struct queue_message *m = x->a->m;

    for (uint32_t i = 0; i < m->count; i++) {
        const struct active_slot *s = &x->a->slots[i];

        if (s->outcome == OUTCOME_FAILED)
            fail(x, &m->recipients[i], s);
        else if (s->outcome == OUTCOME_DEFERRED)
            retry(x, &m->recipients[i], s);
        else
            succeed(x, &m->recipients[i], s);
    }
    if (x->flags != m->flags)
        commit_op(&x->request.ops, QUEUE_FLAGS, m->id, 0)->flags = x->flags;
}

/* --- committed --- */

struct remove_job {
    struct job job;
    struct spool *spool;
    uint64_t id;
};

static void run_remove(struct job *job)
{
    struct remove_job *j = LIST_ENTRY(job, struct remove_job, job);

    (void)spool_remove(j->spool, j->id); /* what stays is swept at a later start */
}

static void remove_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct remove_job, job));
}

static void remove_spool(struct flow *f, uint64_t id)
{
    struct remove_job *j = mem_zero(sizeof *j);

    j->spool = f->spool;
    j->id = id;
    j->job.run = run_remove;
    j->job.drop = remove_drop;
    job_start(f->pool, JOB_DISK, NULL, &j->job);
}

void active_look_if_gone(const struct active *a, const struct link *ops)
{
    LIST_EACH (it, ops) {
        const struct queue_op *op = LIST_ENTRY(it, struct queue_op, link);

        if (a->m->spooled && op->kind == QUEUE_DONE && op->message_gone) {
            remove_spool(a->f, a->m->id);
            return;
        }
    }
}

/* Ties the ids of the two together: the recipients' lines have only the one, and an alias stands in none of them. */
static void log_notifications(const struct settlement *x)
{
    char id[14], its[14];
    bool failed = false;

    for (size_t i = 0; i < x->told_count; i++)
        failed = failed || x->told[i].action == DSN_FAILED;
    base32_u64(x->a->m->id, id);
    for (size_t i = 0; i < x->notification_count; i++) {
        base32_u64(x->notifications[i]->id, its);
        LOG(INFO, failed ? "bounced" : "notified", kv_str("queue", id), kv_str("notification", its),
            kv_str("to", x->a->m->sender));
    }
}

static void settled(struct commit_request *r, int status, const char *why)
{
    struct active *a = LIST_ENTRY(r, struct settlement, request)->a;

    (void)why;
    if (status < 0) { /* the rows still say what was; what we know is tried again until it can be written */
        commit_add_lazily(a->f->commit, r);
        return;
    }
    a->settlement = r;
    if (!a->recording) /* else its rows would be found due once more */
        active_settled(a);
}

void active_settled(struct active *a)
{
    struct settlement *x = LIST_ENTRY(a->settlement, struct settlement, request);
    struct flow *f = a->f;

    log_notifications(x);
    active_look_if_gone(a, &x->request.ops);
    if (a->again)
        x->earliest_due = x->now;
    if (x->earliest_due < INT64_MAX)
        schedule_due(f, x->earliest_due);
    active_free(a);
    commit_ops_free(&x->request.ops);
    for (size_t i = 0; i < x->notification_count; i++)
        schedule_add(f, x->notifications[i]);
    mem_free(x->notifications);
    mem_free(x->told);
    mem_free(x->header);
    mem_free(x);
    schedule_room(f);
}

static void commit_settlement(struct settlement *x)
{
    for (size_t i = 0; i < x->notification_count; i++) {
        struct queue_op *add = mem_zero(sizeof *add);

        /* First, so that the notification is never lost between the two. */
        add->kind = QUEUE_ADD;
        add->message = x->notifications[i];
        add->id = x->notifications[i]->id;
        list_push(x->request.ops.next, &add->link);
    }
    schedule_drop_body(x->a->f, x->a->m);
    x->request.done = settled;
    /* Others wait for a suspect; and what a next hop has taken it gets twice when the power fails before this. */
    if (x->relayed || x->a->alone)
        commit_add(x->a->f->commit, &x->request);
    else
        commit_add_lazily(x->a->f->commit, &x->request);
}

/* --- the notification needs the original's header, or all of it --- */

/* RFC 3461 4.3: RET=FULL is about failures; without one the header is enough. */
static bool returns_all(const struct settlement *x)
{
    const struct queue_message *m = x->a->m;

    if ((m->flags & QUEUE_RET_FULL) == 0 || m->size > RETURN_MOST)
        return false;
    for (size_t i = 0; i < x->told_count; i++)
        if (x->told[i].action == DSN_FAILED)
            return true;
    return false;
}

static void make_notifications(struct settlement *x, struct slice original)
{
    const struct queue_message *m = x->a->m;
    bool full = returns_all(x);

    if (!full)
        original = slice_head(original, m->header_size);
    original = slice_skip(original, m->trace_at);
    x->notifications = mem_array(x->told_count, sizeof(struct queue_message *));
    for (size_t at = 0, n; at < x->told_count; at += n) {
        struct queue_message *one;

        n = x->told_count - at;
        one = bounce_make(x->a->f, m, original, full, x->told + at, &n);
        if (one == NULL)
            break;
        x->notifications[x->notification_count++] = one;
    }
    commit_settlement(x);
}

static void body_here(void *owner, int status)
{
    struct settlement *x = owner;
    const struct queue_message *m = x->a->m;

    make_notifications(x, status == 0 ? queue_message_body(m) : slice_make("", 0));
}

struct header_job {
    struct job job;
    struct settlement *x;
    struct spool *spool;
    uint64_t id;
    size_t want;
    char *text;
    size_t got;
};

static void run_header(struct job *job)
{
    struct header_job *j = LIST_ENTRY(job, struct header_job, job);
    struct err ignored = { 0 };
    int fd = spool_read_open(j->spool, j->id, &ignored);

    j->text = mem_alloc(j->want);
    while (fd >= 0 && j->got < j->want) {
        ssize_t n = sys->pread(fd, j->text + j->got, j->want - j->got, (off_t)j->got);

        if (n <= 0)
            break;
        j->got += (size_t)n;
    }
    if (fd >= 0)
        (void)sys->close(fd);
}

static void header_job_done(void *owner, struct job *job)
{
    struct header_job *j = LIST_ENTRY(job, struct header_job, job);

    (void)owner;
    j->x->header = j->text;
    make_notifications(j->x, slice_make(j->text, j->got));
}

static void header_job_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct header_job, job));
}

static void read_header(struct settlement *x)
{
    const struct queue_message *m = x->a->m;
    struct header_job *j = mem_zero(sizeof *j);

    j->x = x;
    j->spool = x->a->f->spool;
    j->id = m->id;
    j->want = m->header_size < RETURN_MOST ? m->header_size : RETURN_MOST;
    if (returns_all(x))
        j->want = (size_t)m->size;
    j->job.run = run_header;
    j->job.done = header_job_done;
    j->job.drop = header_job_drop;
    job_start(x->a->f->pool, JOB_DISK, NULL, &j->job);
}

void active_settle(struct active *a)
{
    struct settlement *x = mem_zero(sizeof *x);

    x->a = a;
    x->now = clock_wall_ms();
    x->earliest_due = INT64_MAX;
    x->jitter = schedule_jitter();
    x->flags = a->m->flags & ~(unsigned)(QUEUE_UNCLEAN_MASK | QUEUE_HELD);
    x->told = mem_array(a->m->count, sizeof *x->told);
    list_init(&x->request.ops);
    a->hold++; /* for good: it is settled once */
    decide(x);
    if (x->told_count == 0 || a->m->sender[0] == '\0')
        commit_settlement(x);
    else if (a->m->spooled)
        read_header(x);
    else if (a->m->body != NULL)
        make_notifications(x, queue_message_body(a->m));
    else
        schedule_load_body(a->f, a->m, body_here, x);
}
