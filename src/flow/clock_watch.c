#include "facteur/flow/clock_watch.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/commit.h"
#include "facteur/flow/schedule.h"
#include "facteur/io/timer.h"

enum { SET_BACK_MS = 10 * 1000 /* less is no jump: a clock that is being corrected */ };

struct clock_watch {
    struct flow *f;
    struct timer *timer;
    int64_t ahead_ms; /* of the wall clock before the monotonic one, when it was last looked */
};

struct bring_near {
    struct commit_request request;
    struct flow *f;
};

static void brought_near(struct commit_request *r, int status, const char *why)
{
    struct bring_near *b = LIST_ENTRY(r, struct bring_near, request);
    const struct queue_op *op = LIST_ENTRY(r->ops.next, struct queue_op, link);

    (void)why;
    if (status < 0) {
        commit_add_lazily(b->f->commit, r);
        return;
    }
    if (op->changed > 0) {
        LOG(WARNING, "due-times-mended", kv_num("recipients", (int64_t)op->changed),
            kv_str("reason", "they lay further ahead than queue.retry allows: the clock was set back"));
        schedule_wake(b->f);
    }
    commit_ops_free(&r->ops);
    mem_free(b);
}

static void bring_near(struct flow *f)
{
    struct bring_near *b = mem_zero(sizeof *b);
    const struct conf_queue *q = &f->config->queue;
    struct queue_op *op;

    b->f = f;
    b->request.done = brought_near;
    list_init(&b->request.ops);
    op = commit_op(&b->request.ops, QUEUE_NEAR, 0, 0);
    op->due_ms = clock_wall_ms();
    op->within_ms = 1;
    for (size_t i = 0; i < q->retry_count; i++)
        op->within_ms = q->retry[i] > op->within_ms ? q->retry[i] : op->within_ms;
    commit_add(f->commit, &b->request);
}

static int64_t ahead_ms(void)
{
    return clock_wall_ms() - clock_mono_ms();
}

void clock_watch_check(struct clock_watch *w)
{
    int64_t now = ahead_ms();

    if (now < w->ahead_ms - SET_BACK_MS) {
        LOG(WARNING, "clock-set-back", kv_num("ms", w->ahead_ms - now));
        bring_near(w->f);
    }
    w->ahead_ms = now;
    timer_set(w->timer, CLOCK_CHECK_MS);
}

static void on_timer(void *owner)
{
    clock_watch_check(owner);
}

struct clock_watch *clock_watch_new(struct flow *f)
{
    struct clock_watch *w = mem_zero(sizeof *w);

    w->f = f;
    w->ahead_ms = ahead_ms();
    w->timer = timer_new(f->loop, on_timer, w);
    timer_set(w->timer, CLOCK_CHECK_MS);
    bring_near(f);
    return w;
}

void clock_watch_free(struct clock_watch **w)
{
    if (*w == NULL)
        return;
    timer_close(&(*w)->timer);
    mem_free(*w);
    *w = NULL;
}
