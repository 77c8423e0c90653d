#include "facteur/io/loop.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "loop_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t wait_ms[LOOP_WAITS] = { [WAIT_HANDSHAKE] = 30 * 1000, [WAIT_FINISH] = 5 * 1000 };
enum { SWEEP_MS = 250 };

struct signal_watch {
    uv_signal_t uv;
    struct link link;
    void (*fn)(void *owner, int signum);
    void *owner;
};

/* ---- the stall meter ---- */

void loop_note(struct loop *loop, const char *what)
{
    uint64_t now = uv_hrtime();

    if (loop->turn_began == 0) {
        loop->turn_began = now;
        loop->slowest_note = 0;
    } else if (now - loop->note_began >= loop->slowest_note) {
        loop->slowest_note = now - loop->note_began;
        loop->slowest = loop->note;
    }
    loop->note = what;
    loop->note_began = now;
}

static void meter_turn(struct loop *loop)
{
    struct loop_stalls *m = &loop->stalls;
    int64_t us;

    m->turns++;
    if (loop->turn_began == 0)
        return;
    us = (int64_t)((uv_hrtime() - loop->turn_began) / 1000);
    if (us > m->longest_us || us > STALL_US) {
        loop_note(loop, "poll"); /* closes the account of what ran last */
        if (us > m->longest_us) {
            m->longest_us = us;
            m->longest_what = loop->slowest;
            m->longest_wall_ms = clock_wall_ms();
        }
    }
    if (us > STALL_US) {
        m->over_limit++;
        LOG(WARNING, "stall", kv_num("ms", us / 1000), kv_str("what", loop->slowest),
            kv_num("what_ms", (int64_t)(loop->slowest_note / 1000000)));
    }
    loop->turn_began = 0;
}

struct loop_stalls loop_stalls(const struct loop *loop)
{
    return loop->stalls;
}

/* ---- the turn ---- */

static void flush_dirty(struct loop *loop)
{
    struct link *l;

    while ((l = list_pop(&loop->dirty)) != NULL) {
        struct flushable *f = LIST_ENTRY(l, struct flushable, link);

        f->flush(f);
    }
}

/* What a deferred call defers in its turn waits for the next one: a chain of them cannot hold up the loop. */
static void run_deferred(struct loop *loop)
{
    struct link now, *l;

    list_init(&now);
    list_move(&loop->deferred, &now);
    while ((l = list_pop(&now)) != NULL) {
        struct deferred *d = LIST_ENTRY(l, struct deferred, link);

        d->fn(d);
    }
}

/* In the order in which it came, so that each gets its turn however many there are. */
static void run_costly(struct loop *loop)
{
    const uint64_t until = uv_hrtime() + (uint64_t)COSTLY_US * 1000;
    struct link *l;

    for (int i = 0; i < COSTLY_CALLS && (l = list_pop(&loop->costly)) != NULL; i++) {
        struct deferred *d = LIST_ENTRY(l, struct deferred, link);

        d->fn(d);
        if (uv_hrtime() >= until)
            break;
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;

    if (uv_is_active((const uv_handle_t *)&loop->idle)) { /* also when all that was deferred has been cancelled */
        loop_note(loop, "deferred");
        run_deferred(loop);
        run_costly(loop);
        if (list_empty(&loop->deferred) && list_empty(&loop->costly))
            (void)uv_idle_stop(&loop->idle);
    }
    if (loop->on_turn != NULL) {
        loop_note(loop, "end of turn");
        loop->on_turn(loop->on_turn_owner);
    }
    if (!list_empty(&loop->dirty)) {
        loop_note(loop, "write");
        flush_dirty(loop);
    }
    meter_turn(loop);
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle; /* its being active is what counts */
}

void loop_on_turn(struct loop *loop, void (*fn)(void *owner), void *owner)
{
    loop->on_turn = fn;
    loop->on_turn_owner = owner;
}

static void defer(struct loop *loop, struct link *list, struct deferred *d, void (*fn)(struct deferred *))
{
    d->fn = fn;
    if (link_is_in(&d->link))
        return;
    list_push(list, &d->link);
    (void)uv_idle_start(&loop->idle, on_idle);
}

void loop_defer(struct loop *loop, struct deferred *d, void (*fn)(struct deferred *))
{
    defer(loop, &loop->deferred, d, fn);
}

void loop_defer_costly(struct loop *loop, struct deferred *d, void (*fn)(struct deferred *))
{
    defer(loop, &loop->costly, d, fn);
}

void loop_defer_cancel(struct loop *loop, struct deferred *d)
{
    (void)loop; /* the idle handle stops by itself at the end of the turn */
    list_unlink(&d->link);
}

/* ---- waits of streams ---- */

static void on_sweep(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    int64_t now = clock_mono_ms();
    bool left = false;

    loop_note(loop, "deadlines");
    for (size_t kind = 0; kind < LOOP_WAITS; kind++) {
        while (!list_empty(&loop->waits[kind])) {
            struct waiter *w = LIST_ENTRY(loop->waits[kind].next, struct waiter, link);

            if (w->until_ms > now)
                break;
            list_unlink(&w->link);
            w->expired(w);
        }
        left |= !list_empty(&loop->waits[kind]);
    }
    if (!left)
        (void)uv_timer_stop(&loop->sweep);
}

void loop_wait_begin(struct loop *loop, enum loop_wait kind, struct waiter *w, void (*expired)(struct waiter *))
{
    list_unlink(&w->link);
    w->until_ms = clock_mono_ms() + wait_ms[kind];
    w->expired = expired;
    list_push(&loop->waits[kind], &w->link);
    if (!uv_is_active((const uv_handle_t *)&loop->sweep))
        (void)uv_timer_start(&loop->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

void loop_wait_end(struct waiter *w)
{
    list_unlink(&w->link);
}

/* ---- life ---- */

int loop_new(struct loop **ret, struct err *e)
{
    struct loop *loop = mem_zero(sizeof *loop);
    int rc;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        mem_free(loop);
        return err_set(e, rc, "event loop: %s", err_text(rc));
    }
    list_init(&loop->deferred);
    list_init(&loop->costly);
    list_init(&loop->dirty);
    list_init(&loop->signals);
    for (size_t i = 0; i < LOOP_WAITS; i++)
        list_init(&loop->waits[i]);
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_idle_init(&loop->uv, &loop->idle);
    (void)uv_timer_init(&loop->uv, &loop->sweep);
    loop->prepare.data = loop->sweep.data = loop;
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->sweep);
    *ret = loop;
    return 0;
}

static void on_signal_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void loop_free(struct loop **loop_p)
{
    struct loop *loop = *loop_p;

    if (loop == NULL)
        return;
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    LIST_EACH (l, &loop->signals) {
        struct signal_watch *w = LIST_ENTRY(l, struct signal_watch, link);

        list_unlink(l);
        uv_close((uv_handle_t *)&w->uv, on_signal_closed);
    }
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->sweep, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop->uv) != 0)
        abort(); /* a handle that was not closed would call into freed memory */
    mem_free(loop);
    *loop_p = NULL;
}

int loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    flush_dirty(loop); /* what the last turn wrote */
    return 0;
}

int loop_run_once(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_ONCE);
    return 0;
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct signal_watch *w = handle->data;

    w->fn(w->owner, signum);
}

int loop_on_signal(struct loop *loop, int signum, void (*fn)(void *owner, int signum), void *owner)
{
    struct signal_watch *w = mem_zero(sizeof *w);
    int rc;

    w->fn = fn;
    w->owner = owner;
    w->uv.data = w;
    rc = uv_signal_init(&loop->uv, &w->uv);
    if (rc < 0) {
        mem_free(w);
        return rc;
    }
    list_push(&loop->signals, &w->link);
    uv_unref((uv_handle_t *)&w->uv);
    return uv_signal_start(&w->uv, on_signal, signum);
}
