#include "facteur/io/watch.h"

#include "facteur/base/mem.h"
#include "loop_priv.h"

#include <errno.h>

enum { WATCH_MOST = 2, AGAIN_MS = 5000 /* when a watch cannot be set any more: the owner looks so often instead */ };

struct watch {
    struct loop *loop;
    uv_fs_event_t events[WATCH_MOST];
    char *paths[WATCH_MOST];
    uv_timer_t settle; /* active from the first event until fn is called */
    unsigned count;
    unsigned handles; /* still open, the timer included */
    void (*fn)(void *owner);
    void *owner;
};

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status);

static int set_all(struct watch *w)
{
    int code = 0;

    for (unsigned i = 0; i < w->count && code == 0; i++)
        code = uv_fs_event_start(&w->events[i], on_event, w->paths[i], 0);
    return code;
}

static void unset_all(struct watch *w)
{
    for (unsigned i = 0; i < w->count; i++)
        (void)uv_fs_event_stop(&w->events[i]);
}

/* It is set again before the owner looks, so that no change is missed. */
static void on_settled(uv_timer_t *timer)
{
    struct watch *w = timer->data;

    loop_note(w->loop, "watch");
    if (set_all(w) < 0) {
        unset_all(w);
        (void)uv_timer_start(&w->settle, on_settled, AGAIN_MS, 0);
    }
    w->fn(w->owner);
}

/* One event says all: further ones, of which a change of ten thousand flags makes twice as many, would only wake us up.
 * Also for errors, of which the usual one is that the directory itself has gone: the owner looks, and sees. */
static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct watch *w = handle->data;

    (void)name;
    (void)events;
    (void)status;
    unset_all(w);
    if (!uv_is_active((const uv_handle_t *)&w->settle))
        (void)uv_timer_start(&w->settle, on_settled, WATCH_SETTLE_MS, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    if (--w->handles > 0)
        return;
    for (unsigned i = 0; i < w->count; i++)
        mem_free(w->paths[i]);
    mem_free(w);
}

void watch_close(struct watch **watch)
{
    struct watch *w = *watch;

    *watch = NULL;
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->count; i++)
        uv_close((uv_handle_t *)&w->events[i], on_closed);
    uv_close((uv_handle_t *)&w->settle, on_closed);
}

static int add_path(struct watch *w, const char *path)
{
    uv_fs_event_t *handle = &w->events[w->count];
    int code = uv_fs_event_init(&w->loop->uv, handle);

    if (code < 0)
        return code;
    handle->data = w;
    w->paths[w->count++] = mem_str(path);
    w->handles++;
    uv_unref((uv_handle_t *)handle); /* nothing that keeps the loop alive by itself */
    return 0;
}

int watch_new(struct loop *loop, const char *const *paths, unsigned count, void (*fn)(void *owner), void *owner,
              struct watch **ret)
{
    struct watch *w;
    int code;

    if (count == 0 || count > WATCH_MOST)
        return -EINVAL;
    w = mem_zero(sizeof *w);
    w->loop = loop;
    w->fn = fn;
    w->owner = owner;
    (void)uv_timer_init(&loop->uv, &w->settle);
    uv_unref((uv_handle_t *)&w->settle);
    w->settle.data = w;
    w->handles = 1;
    code = 0;
    for (unsigned i = 0; i < count && code == 0; i++)
        code = add_path(w, paths[i]);
    if (code == 0)
        code = set_all(w);
    if (code < 0) {
        watch_close(&w);
        return code;
    }
    *ret = w;
    return 0;
}
