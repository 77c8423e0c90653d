/* After a crash of ours any message that was in hand may have been its cause (F29). Each of them is worked on alone: its
 * count is durable before its attempt, and the next one waits for its end. So the one that brings us down is known by
 * its count, and the innocent ones pass on the way to it; the third crash puts it aside. */
#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/commit.h"
#include "facteur/io/timer.h"
#include "schedule_priv.h"

enum {
    CRASHES_MOST = 3,
    SUSPECTS_MOST = FLOW_ACTIVE,
    ALONE_MOST_MS = 120 * 1000 /* who did no harm for so long is let off, and the others go on */
};

struct suspects {
    struct flow *f;
    int64_t until_ms; /* wall, our start: what was due by then may have been in hand */
    struct link waiting;
    size_t count;
    struct active *alone; /* the one whose turn it is; also while its count is being written */
    struct timer *timer;
    int64_t patience_ms;
    bool more; /* some wait in queue.db because too many wait here */
    bool stopping;
};

struct sentence {
    struct commit_request request;
    struct flow *f;
    struct active *a; /* NULL: not needed any more */
    void (*then)(struct active *a);
};

/* What is not written stays undone, however long it takes: the message does not go on without it. */
static void sentence_committed(struct commit_request *r, int status, const char *why)
{
    struct sentence *x = LIST_ENTRY(r, struct sentence, request);

    (void)why;
    if (status < 0) {
        commit_add_lazily(x->f->commit, r);
        return;
    }
    commit_ops_free(&r->ops);
    if (x->a != NULL)
        x->then(x->a);
    mem_free(x);
}

static struct sentence *sentence_new(struct active *a, unsigned flags, void (*then)(struct active *a))
{
    struct sentence *x = mem_zero(sizeof *x);

    x->f = a->f;
    x->a = a;
    x->then = then;
    x->request.done = sentence_committed;
    list_init(&x->request.ops);
    commit_op(&x->request.ops, QUEUE_FLAGS, a->m->id, 0)->flags = flags;
    return x;
}

/* --- held --- */

static void hold(struct active *a)
{
    static const char held[] = "held: facteur crashed three times while it was delivering this message";
    unsigned flags = (a->m->flags & ~(unsigned)QUEUE_UNCLEAN_MASK) | QUEUE_HELD;
    struct sentence *x = sentence_new(a, flags, active_free);
    char id[14];

    base32_u64(a->m->id, id);
    LOG(ERROR, "held", kv_str("queue", id), kv_str("from", a->m->sender), kv_str("reason", held + sizeof "held: " - 1),
        kv_str("advice", "look at it with 'facteur queue show', then 'facteur queue flush ID' or 'delete' it"));
    /* Also those of its recipients whose time has not come. */
    commit_op(&x->request.ops, QUEUE_DUE, a->m->id, 0)->due_ms = QUEUE_HELD_DUE;
    for (uint32_t i = 0; i < a->m->count; i++) {
        struct queue_op *op = commit_op(&x->request.ops, QUEUE_RETRY, a->m->id, a->m->recipients[i].seq);

        op->attempts = a->m->recipients[i].attempts;
        op->due_ms = QUEUE_HELD_DUE;
        op->text = mem_str(held);
    }
    commit_add(a->f->commit, &x->request);
}

/* --- alone --- */

static void charged(struct active *a)
{
    struct suspects *s = a->f->suspects;

    if (s->stopping) {
        active_free(a);
        return;
    }
    timer_set(s->timer, s->patience_ms);
    schedule_begin(a);
}

static void next(struct suspects *s)
{
    struct link *it;
    struct active *a;

    if (s->stopping || s->alone != NULL)
        return;
    it = list_pop(&s->waiting);
    if (it == NULL) {
        if (s->more) {
            s->more = false;
            schedule_wake(s->f);
        }
        return;
    }
    s->count--;
    a = s->alone = LIST_ENTRY(it, struct active, waits);
    if ((a->m->flags & QUEUE_UNCLEAN_MASK) + QUEUE_UNCLEAN == CRASHES_MOST * QUEUE_UNCLEAN) {
        hold(a);
        return;
    }
    a->alone = true;
    a->m->flags += QUEUE_UNCLEAN;
    commit_add(s->f->commit, &sentence_new(a, a->m->flags, charged)->request);
}

static void let_off(void *owner)
{
    struct suspects *s = owner;
    struct active *a = s->alone;
    struct sentence *x;

    a->alone = false;
    a->m->flags &= ~(unsigned)QUEUE_UNCLEAN_MASK;
    x = sentence_new(a, a->m->flags, NULL);
    x->a = NULL;
    commit_add_lazily(s->f->commit, &x->request);
    s->alone = NULL;
    next(s);
}

/* --- the schedule's side --- */

bool suspects_is_one(const struct flow *f, const struct queue_message *m)
{
    if (!f->after_crash || m->id >= f->first_id)
        return false;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->recipients[i].due_ms <= f->suspects->until_ms)
            return true;
    }
    return (m->flags & QUEUE_UNCLEAN_MASK) != 0;
}

bool suspects_have_room(struct flow *f)
{
    struct suspects *s = f->suspects;

    s->more = s->more || s->count == SUSPECTS_MOST;
    return !s->more;
}

void suspects_add(struct active *a)
{
    struct suspects *s = a->f->suspects;

    list_push(&s->waiting, &a->waits);
    s->count++;
    next(s);
}

void suspects_ended(struct active *a)
{
    struct suspects *s = a->f->suspects;

    if (a != s->alone)
        return;
    s->alone = NULL;
    timer_stop(s->timer);
    next(s);
}

size_t suspects_waiting(const struct flow *f)
{
    return f->suspects->count;
}

bool suspects_wait_in_queue(const struct flow *f)
{
    return f->suspects->more;
}

/* --- birth and end --- */

struct suspects *suspects_new(struct flow *f)
{
    struct suspects *s = mem_zero(sizeof *s);

    s->f = f;
    s->until_ms = clock_wall_ms();
    s->patience_ms = ALONE_MOST_MS;
    list_init(&s->waiting);
    s->timer = timer_new(f->loop, let_off, s);
    return s;
}

void suspects_set_patience(struct flow *f, int64_t ms)
{
    f->suspects->patience_ms = ms;
}

void suspects_stop(struct flow *f)
{
    struct suspects *s = f->suspects;
    struct link *it;

    s->stopping = true;
    timer_stop(s->timer);
    while ((it = list_pop(&s->waiting)) != NULL) {
        s->count--;
        active_free(LIST_ENTRY(it, struct active, waits));
    }
}

void suspects_free(struct suspects **s)
{
    if (*s == NULL)
        return;
    timer_close(&(*s)->timer);
    mem_free(*s);
    *s = NULL;
}
