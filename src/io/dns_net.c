/* c-ares on the loop: its sockets are watched by uv_poll, its time-outs come from one timer. It sends, repeats over TCP
 * what was cut, and matches answers to questions; reading them is dns_answer.c's. */
#include "dns_priv.h"

#include "facteur/base/mem.h"

#include <ares.h>
#include <errno.h>

/* 1.28 and later mark the calls that 1.18 has as old; they stay in every version of c-ares 1. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { TICK_MS = 50 };

struct watch {
    uv_poll_t poll;
    struct link link;
    struct dns_net *net;
    ares_socket_t fd;
};

struct sent {
    struct link link;
    struct dns_net *net;
    void *question;
    struct deferred later; /* c-ares may answer from inside ares_send */
    struct buf message;
    bool timed_out, done;
};

struct dns_net {
    struct loop *loop;
    ares_channel channel;
    uv_timer_t timer;
    struct link watches, sents;
    void (*on_answer)(void *question, struct slice message, bool timed_out);
    bool freed;
};

static void set_timer(struct dns_net *net);

/* ---- sockets ---- */

static void on_socket(uv_poll_t *handle, int status, int events)
{
    struct watch *w = handle->data;
    struct dns_net *net = w->net;
    ares_socket_t fd = w->fd;

    loop_note(net->loop, "DNS");
    if (status < 0)
        events = UV_READABLE | UV_WRITABLE; /* c-ares finds out what is wrong by trying */
    ares_process_fd(net->channel, (events & UV_READABLE) != 0 ? fd : ARES_SOCKET_BAD,
                    (events & UV_WRITABLE) != 0 ? fd : ARES_SOCKET_BAD);
    set_timer(net);
}

static void on_watch_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static struct watch *find_watch(struct dns_net *net, ares_socket_t fd)
{
    LIST_EACH (l, &net->watches) {
        struct watch *w = LIST_ENTRY(l, struct watch, link);

        if (w->fd == fd)
            return w;
    }
    return NULL;
}

static void unwatch(struct watch *w)
{
    list_unlink(&w->link);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* c-ares says what it waits for on a socket; nothing means that it will close it as soon as we return. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_net *net = arg;
    struct watch *w = find_watch(net, fd);
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

    if (events == 0) {
        if (w != NULL)
            unwatch(w);
        return;
    }
    if (w == NULL) {
        w = mem_zero(sizeof *w);
        w->net = net;
        w->fd = fd;
        if (uv_poll_init_socket(&net->loop->uv, &w->poll, fd) < 0) {
            mem_free(w); /* the question times out */
            return;
        }
        w->poll.data = w;
        list_push(&net->watches, &w->link);
    }
    (void)uv_poll_start(&w->poll, events, on_socket);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    struct dns_net *net = timer->data;

    loop_note(net->loop, "DNS");
    ares_process_fd(net->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(net);
}

/* Of what ares_timeout tells only whether anything is open: how long, cannot be read where a 32-bit library was
 * built with another time_t than ours. So while something is open, c-ares looks at its clock every so often. */
static void set_timer(struct dns_net *net)
{
    struct timeval unread;

    if (net->freed)
        return;
    if (ares_timeout(net->channel, NULL, &unread) == NULL)
        (void)uv_timer_stop(&net->timer);
    else if (!uv_is_active((uv_handle_t *)&net->timer))
        (void)uv_timer_start(&net->timer, on_timer, TICK_MS, TICK_MS);
}

/* ---- questions ---- */

static void free_sent(struct sent *s)
{
    list_unlink(&s->link);
    buf_clear(&s->message);
    mem_free(s);
}

static void on_later(struct deferred *d)
{
    struct sent *s = LIST_ENTRY(d, struct sent, later);

    list_unlink(&s->link);
    s->net->on_answer(s->question, buf_slice(&s->message), s->timed_out);
    free_sent(s);
}

static void on_ares(void *arg, int status, int timeouts, unsigned char *message, int n)
{
    struct sent *s = arg;

    (void)timeouts;
    s->done = true;
    if (s->net->freed) {
        free_sent(s);
        return;
    }
    buf_init(&s->message, UINT16_MAX);
    if (message != NULL && n > 0 && buf_add(&s->message, message, (size_t)n) < 0)
        buf_reset(&s->message);
    s->timed_out = status == ARES_ETIMEOUT;
    loop_defer(s->net->loop, &s->later, on_later);
}

void dns_net_send(struct dns_net *net, struct slice query, void *question)
{
    struct sent *s = mem_zero(sizeof *s);

    s->net = net;
    s->question = question;
    list_push(&net->sents, &s->link);
    ares_send(net->channel, (const unsigned char *)query.p, (int)query.n, on_ares, s);
    set_timer(net);
}

/* ---- life ---- */

static int start_channel(struct dns_net *net, const char *servers, int try_ms, struct err *e)
{
    struct ares_options o = { 0 };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ |
               ARES_OPT_LOOKUPS;
    char lookups[] = "b"; /* DNS only: /etc/hosts has no MX, and its addresses are not what the world sees */
    int rc = ares_library_init(ARES_LIB_INIT_ALL);

    o.flags = ARES_FLAG_EDNS;
    o.ednspsz = DNS_UDP_SIZE;
    o.timeout = try_ms;
    o.tries = 1; /* dns.c repeats: c-ares would double the wait each time, and ask again after a SERVFAIL */
    o.lookups = lookups;
    o.sock_state_cb = on_socket_state;
    o.sock_state_cb_data = net;
#if ARES_VERSION >= 0x011f00
    mask |= ARES_OPT_QUERY_CACHE; /* the cache is ours */
    o.qcache_max_ttl = 0;
#endif
    if (rc == ARES_SUCCESS)
        rc = ares_init_options(&net->channel, &o, mask);
    if (rc != ARES_SUCCESS)
        return err_set(e, -EIO, "DNS: %s", ares_strerror(rc));
    if (servers != NULL && (rc = ares_set_servers_ports_csv(net->channel, servers)) != ARES_SUCCESS) {
        ares_destroy(net->channel);
        return err_set(e, -EINVAL, "DNS servers \"%s\": %s", servers, ares_strerror(rc));
    }
    return 0;
}

int dns_net_new(struct loop *loop, const char *servers, int try_ms,
                void (*on_answer)(void *question, struct slice message, bool timed_out), struct dns_net **ret,
                struct err *e)
{
    struct dns_net *net = mem_zero(sizeof *net);
    int rc;

    net->loop = loop;
    net->on_answer = on_answer;
    list_init(&net->watches);
    list_init(&net->sents);
    rc = start_channel(net, servers, try_ms, e);
    if (rc < 0) {
        mem_free(net);
        return rc;
    }
    (void)uv_timer_init(&loop->uv, &net->timer);
    net->timer.data = net;
    *ret = net;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void dns_net_free(struct dns_net **net_p)
{
    struct dns_net *net = *net_p;

    if (net == NULL)
        return;
    *net_p = NULL;
    net->freed = true;
    LIST_EACH (l, &net->sents) {
        struct sent *s = LIST_ENTRY(l, struct sent, link);

        loop_defer_cancel(net->loop, &s->later);
        if (s->done)
            free_sent(s);
    }
    ares_destroy(net->channel); /* ends every question through on_ares and every socket through on_socket_state */
    LIST_EACH (l, &net->watches)
        unwatch(LIST_ENTRY(l, struct watch, link));
    uv_close((uv_handle_t *)&net->timer, on_timer_closed);
}
