#include "facteur/flow/commit.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/timer.h"

#include <errno.h>

enum {
    LAZY_MS = 250,
    RETRY_MS = 2000,                   /* lazy work after a failed commit */
    TIDY_MS = 1000,                    /* of quiet, then the WAL is copied back */
    WAL_BUSY_OCTETS = 16 * 1024 * 1024 /* beyond this it is copied back under load too, and its blocks are used again */
};

struct commit {
    struct flow *f;
    struct link urgent, lazy; /* requests */
    struct timer *timer;
    bool running;
    bool hurry;   /* lazy requests need not wait */
    bool untidy;  /* something was written since the WAL was last copied back */
    bool failing; /* the last commit failed: say it once */
};

struct commit_job {
    struct job job;
    struct queue *queue;
    struct link requests;
    uint64_t checkpoint_beyond;
    int code, checkpoint_code;
    struct err err, checkpoint_err;
};

/* A failure of the disk or of the lock strikes all alike; for any other the culprit is looked for. */
static bool strikes_all(int code)
{
    return code == -ENOSPC || code == -EIO || code == -EBUSY || code == -EROFS || code == -EDQUOT || code == -EBADMSG ||
           code == -ESTALE;
}

static void apply_together(struct commit_job *j)
{
    struct link all;

    list_init(&all);
    LIST_EACH (it, &j->requests) {
        struct commit_request *r = LIST_ENTRY(it, struct commit_request, link);

        r->last = list_empty(&r->ops) ? NULL : r->ops.prev;
        list_move(&r->ops, &all);
    }
    j->code = queue_apply(j->queue, &all, &j->err);
    LIST_EACH (it, &j->requests) {
        struct commit_request *r = LIST_ENTRY(it, struct commit_request, link);
        struct link *op = NULL;

        r->status = j->code;
        while (r->last != NULL && op != r->last) {
            op = list_pop(&all);
            list_push(&r->ops, op);
        }
    }
}

static void apply_one_by_one(struct commit_job *j)
{
    LIST_EACH (it, &j->requests) {
        struct commit_request *r = LIST_ENTRY(it, struct commit_request, link);

        r->status = queue_apply(j->queue, &r->ops, &j->err);
    }
}

static void run_commit(struct job *job)
{
    struct commit_job *j = LIST_ENTRY(job, struct commit_job, job);

    if (!list_empty(&j->requests))
        apply_together(j);
    if (j->code < 0 && !strikes_all(j->code))
        apply_one_by_one(j);
    j->checkpoint_code = queue_checkpoint(j->queue, j->checkpoint_beyond, &j->checkpoint_err);
}

static void tell_failure(struct commit *c, const struct commit_job *j)
{
    bool wrote = !list_empty(&j->requests);

    if (j->code < 0 && !c->failing)
        LOG(ERROR, "commit-failed", kv_str("reason", j->err.text),
            kv_str("advice", "new mail gets 451 or 452 until the queue can be written"));
    if (wrote && j->code == 0 && c->failing)
        LOG(WARNING, "commit-works-again", kv_num("waiting", job_pool_waiting(c->f->pool, JOB_QUEUE)));
    if (wrote)
        c->failing = j->code < 0;
    /* Nothing is lost by it: the WAL stays, and the next one tries again. */
    if (j->checkpoint_code < 0)
        LOG(WARNING, "checkpoint-failed", kv_str("reason", j->checkpoint_err.text));
}

static void commit_done(void *owner, struct job *job)
{
    struct commit *c = owner;
    struct commit_job *j = LIST_ENTRY(job, struct commit_job, job);
    bool wrote = !list_empty(&j->requests);
    struct link *it;

    c->running = false;
    tell_failure(c, j);
    if (wrote)
        c->f->stats.commit_batches++;
    while ((it = list_pop(&j->requests)) != NULL) {
        struct commit_request *r = LIST_ENTRY(it, struct commit_request, link);

        c->f->stats.commits++;
        r->done(r, r->status, j->err.text);
    }
    c->untidy = c->untidy || wrote;
    if (!list_empty(&c->lazy)) /* also what came while only the WAL was copied back */
        timer_set(c->timer, c->failing ? RETRY_MS : LAZY_MS);
    else if (wrote)
        timer_set(c->timer, TIDY_MS);
}

static void commit_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct commit_job, job));
}

static void commit_go(struct commit *c, uint64_t checkpoint_beyond)
{
    struct commit_job *j = mem_zero(sizeof *j);

    list_init(&j->requests);
    list_move(&c->urgent, &j->requests);
    list_move(&c->lazy, &j->requests);
    j->queue = c->f->queue;
    j->checkpoint_beyond = checkpoint_beyond;
    j->job.run = run_commit;
    j->job.done = commit_done;
    j->job.drop = commit_drop;
    j->job.owner = c;
    c->running = true;
    c->hurry = false;
    job_start(c->f->pool, JOB_QUEUE, NULL, &j->job);
}

static void on_timer(void *owner)
{
    struct commit *c = owner;

    if (c->running)
        return;
    if (!list_empty(&c->lazy)) {
        commit_go(c, WAL_BUSY_OCTETS);
    } else if (c->untidy) {
        c->untidy = false;
        commit_go(c, 0);
    }
}

struct commit *commit_new(struct flow *f)
{
    struct commit *c = mem_zero(sizeof *c);

    c->f = f;
    list_init(&c->urgent);
    list_init(&c->lazy);
    c->timer = timer_new(f->loop, on_timer, c);
    return c;
}

void commit_free(struct commit **c)
{
    if (*c == NULL)
        return;
    timer_close(&(*c)->timer);
    mem_free(*c);
    *c = NULL;
}

void commit_add(struct commit *c, struct commit_request *r)
{
    list_push(&c->urgent, &r->link);
}

void commit_add_lazily(struct commit *c, struct commit_request *r)
{
    if (list_empty(&c->lazy) && !c->running)
        timer_set(c->timer, LAZY_MS);
    list_push(&c->lazy, &r->link);
}

void commit_hurry(struct commit *c)
{
    c->hurry = true;
}

void commit_turn(struct commit *c)
{
    bool wanted = !list_empty(&c->urgent) || (c->hurry && !list_empty(&c->lazy));

    if (wanted && !c->running)
        commit_go(c, WAL_BUSY_OCTETS);
}

bool commit_is_idle(const struct commit *c)
{
    return !c->running && list_empty(&c->urgent) && list_empty(&c->lazy);
}

struct queue_op *commit_op(struct link *ops, enum queue_op_kind kind, uint64_t id, uint32_t seq)
{
    struct queue_op *op = mem_zero(sizeof *op);

    op->kind = kind;
    op->id = id;
    op->seq = seq;
    list_push(ops, &op->link);
    return op;
}

void commit_ops_free(struct link *ops)
{
    struct link *it;

    while ((it = list_pop(ops)) != NULL) {
        struct queue_op *op = LIST_ENTRY(it, struct queue_op, link);

        mem_free(op->text);
        mem_free(op);
    }
}
