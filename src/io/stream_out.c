/* Output: stream_write collects, the end of the turn writes once, and only what the socket does not take waits in
 * libuv. Nothing here calls the owner: what it must know goes through stream_later. */
#include "facteur/base/mem.h"
#include "stream_priv.h"

#include <errno.h>
#include <sys/ioctl.h>

enum { WIRE_AT_ONCE = 64 * 1024 }; /* records made ahead of what the socket takes */

struct write_req {
    uv_write_t uv;
    char *octets;
};

static size_t queued(const struct stream *s)
{
    return s->out.n + s->wire.n + s->in_flight;
}

static void count(struct stream *s)
{
    meter_set(s->meter, &s->metered, s->out.cap + s->wire.cap + s->in_flight_room);
}

void stream_meter(struct stream *s, struct meter *m)
{
    size_t n = s->metered;

    meter_set(s->meter, &s->metered, 0);
    s->meter = m;
    meter_set(m, &s->metered, n);
}

void stream_out_clear(struct stream *s)
{
    buf_clear(&s->out);
    buf_clear(&s->wire);
    count(s);
}

static void fail(struct stream *s, int status)
{
    s->broken = true;
    stream_out_clear(s);
    if (s->state == STREAM_FINISHING) {
        stream_close(s);
        return;
    }
    if (s->ended)
        return;
    s->ended = true;
    s->status = status;
    stream_read_off(s);
    stream_later(s, LATER_END);
}

static void on_written(uv_write_t *req, int status)
{
    struct write_req *w = (struct write_req *)(void *)req;
    struct stream *s = req->handle->data;

    mem_free(w->octets);
    mem_free(w);
    s->in_flight = s->in_flight_room = 0;
    count(s);
    if (s->state == STREAM_CLOSING) /* then the status says nothing (0 also comes after uv_close) */
        return;
    loop_note(s->loop, "write");
    if (status < 0)
        fail(s, status);
    else
        stream_flush(s);
}

/* Gives what the socket did not take to libuv, memory and all. */
static void write_rest(struct stream *s)
{
    struct write_req *w = mem_zero(sizeof *w);
    size_t n;
    uv_buf_t buf;
    int rc;

    s->in_flight_room = s->wire.cap;
    w->octets = buf_give(&s->wire, &n);
    buf = uv_buf_init(w->octets, (unsigned)n);
    s->in_flight = n;
    rc = uv_write(&w->uv, &s->uv.stream, &buf, 1, on_written);
    if (rc < 0) {
        mem_free(w->octets);
        mem_free(w);
        s->in_flight = s->in_flight_room = 0;
        fail(s, rc);
    }
}

/* Plain output becomes what the socket gets. */
static void fill_wire(struct stream *s)
{
    if (s->tls == NULL) {
        if (s->wire.n == 0) {
            struct buf empty = s->wire;

            s->wire = s->out;
            s->out = empty;
        }
        return;
    }
    if (s->tls_ready && s->out.n > 0) {
        int n = tls_session_write(s->tls, slice_head(buf_slice(&s->out), WIRE_AT_ONCE), &s->wire);

        if (n < 0) {
            fail(s, -EPROTO);
            return;
        }
        buf_drop(&s->out, (size_t)n);
        if (s->out.n == 0)
            buf_clear(&s->out);
    }
    if (s->state == STREAM_FINISHING && !s->notified && (s->out.n == 0 || !s->tls_ready)) {
        buf_clear(&s->out); /* what waited for a handshake that did not end is never sent plain */
        s->notified = true;
        if (s->tls_ready)
            tls_session_close_notify(s->tls, &s->wire);
    }
}

/* Closing a socket with unread octets resets the connection. Under TLS the peer's close_notify is still to come. */
static bool nothing_comes(const struct stream *s)
{
    int unread = 0;

    return s->agreed && s->tls == NULL && ioctl(stream_fd(s), FIONREAD, &unread) == 0 && unread == 0;
}

/* All is with the kernel: FIN behind it, then wait for the peer's, so that a late segment of the peer's does not turn
 * our last reply into a reset. uv_shutdown would take a turn and two more system calls to do the same. */
static void finished(struct stream *s)
{
    if (s->ended || nothing_comes(s) || shutdown(stream_fd(s), SHUT_WR) < 0)
        stream_close(s);
    else
        stream_read_on(s);
}

static void drained(struct stream *s)
{
    if (s->full && queued(s) < STREAM_LOW_WATER) {
        s->full = false;
        stream_later(s, LATER_DRAIN);
    }
    if (s->state == STREAM_FINISHING && queued(s) == 0)
        finished(s);
}

void stream_flush(struct stream *s)
{
    if (s->state == STREAM_CONNECTING || s->state == STREAM_CLOSING || s->in_flight > 0)
        return;
    for (;;) {
        uv_buf_t buf;
        int n;

        fill_wire(s);
        if (s->broken)
            return;
        if (s->wire.n == 0)
            break;
        buf = uv_buf_init(s->wire.p, (unsigned)s->wire.n);
        n = uv_try_write(&s->uv.stream, &buf, 1);
        if (n < 0 && n != UV_EAGAIN) {
            fail(s, n);
            return;
        }
        if ((size_t)(n < 0 ? 0 : n) == s->wire.n) {
            buf_clear(&s->wire);
            continue;
        }
        if (n > 0)
            buf_drop(&s->wire, (size_t)n);
        write_rest(s);
        break;
    }
    count(s);
    drained(s);
}

static void on_end_of_turn(struct flushable *f)
{
    stream_flush(LIST_ENTRY(f, struct stream, dirty));
}

void stream_out_init(struct stream *s)
{
    buf_init(&s->out, STREAM_MAX_OUTPUT);
    buf_init(&s->wire, 2 * STREAM_MAX_OUTPUT);
    s->dirty.flush = on_end_of_turn;
}

void stream_write(struct stream *s, struct slice octets)
{
    if (s->state > STREAM_OPEN || s->broken || octets.n == 0)
        return;
    if (queued(s) + octets.n > STREAM_MAX_OUTPUT || buf_add(&s->out, octets.p, octets.n) < 0) {
        fail(s, -ENOBUFS);
        return;
    }
    if (queued(s) > STREAM_HIGH_WATER)
        s->full = true;
    count(s);
    if (s->in_flight == 0 && !stream_in_handshake(s))
        loop_dirty(s->loop, &s->dirty);
}

bool stream_is_full(const struct stream *s)
{
    return queued(s) > STREAM_HIGH_WATER;
}
