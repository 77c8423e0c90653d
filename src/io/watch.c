#include "facteur/io/watch.h"

#include "facteur/base/mem.h"
#include "loop_priv.h"

#include <errno.h>

enum { WATCH_MOST = 2 };

struct watch {
    struct loop *loop;
    uv_fs_event_t events[WATCH_MOST];
    uv_timer_t settle; /* active from the first event until fn is called */
    unsigned count;
    unsigned handles; /* still open, the timer included */
    void (*fn)(void *owner);
    void *owner;
};

static void on_settled(uv_timer_t *timer)
{
    struct watch *w = timer->data;

    loop_note(w->loop, "watch");
    w->fn(w->owner);
}

/* Also for errors, of which the usual one is that the directory itself has gone: the owner looks, and sees. */
static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct watch *w = handle->data;

    (void)name;
    (void)events;
    (void)status;
    if (!uv_is_active((const uv_handle_t *)&w->settle))
        (void)uv_timer_start(&w->settle, on_settled, WATCH_SETTLE_MS, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    if (--w->handles == 0)
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
    w->count++;
    w->handles++;
    code = uv_fs_event_start(handle, on_event, path, 0);
    uv_unref((uv_handle_t *)handle); /* nothing that keeps the loop alive by itself */
    return code;
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
    for (unsigned i = 0; i < count; i++) {
        code = add_path(w, paths[i]);
        if (code < 0) {
            watch_close(&w);
            return code;
        }
    }
    *ret = w;
    return 0;
}
