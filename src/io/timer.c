#include "facteur/io/timer.h"

#include "facteur/base/mem.h"
#include "loop_priv.h"

struct timer {
    uv_timer_t uv;
    struct loop *loop;
    void (*fn)(void *owner);
    void *owner;
};

static void on_timer(uv_timer_t *handle)
{
    struct timer *t = handle->data;

    loop_note(t->loop, "timer");
    t->fn(t->owner);
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

struct timer *timer_new(struct loop *loop, void (*fn)(void *owner), void *owner)
{
    struct timer *t = mem_zero(sizeof *t);

    (void)uv_timer_init(&loop->uv, &t->uv);
    t->uv.data = t;
    t->loop = loop;
    t->fn = fn;
    t->owner = owner;
    return t;
}

void timer_set(struct timer *t, int64_t ms)
{
    (void)uv_timer_start(&t->uv, on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

void timer_stop(struct timer *t)
{
    (void)uv_timer_stop(&t->uv);
}

void timer_close(struct timer **t)
{
    if (*t == NULL)
        return;
    uv_close((uv_handle_t *)&(*t)->uv, on_closed);
    *t = NULL;
}
