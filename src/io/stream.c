#include "facteur/io/stream.h"

#include "facteur/base/mem.h"
#include "sockaddr_priv.h"
#include "stream_priv.h"

#include <errno.h>
#include <unistd.h>

/* The happy path of an accepted connection: listener → stream_accepted → stream_start → on_read → owner's on_bytes →
 * stream_write (into `out`) → end of the turn: stream_out.c writes → stream_finish → flush, FIN → the peer's FIN →
 * stream_close → on_uv_closed → the owner's on_closed → memory goes. */

static struct stream *new_stream(struct loop *loop, const struct stream_events *ev, void *owner)
{
    struct stream *s = mem_zero(sizeof *s);

    s->loop = loop;
    s->ev = ev;
    s->owner = owner;
    s->local = mem_zero(sizeof *s->local);
    buf_init(&s->unread, STREAM_MAX_OUTPUT);
    stream_out_init(s);
    return s;
}

static int init_handle(struct stream *s, uint8_t family)
{
    int rc;

    if (family == 1)
        rc = uv_pipe_init(&s->loop->uv, &s->uv.pipe, 0);
    else
        rc = uv_tcp_init(&s->loop->uv, &s->uv.tcp);
    s->uv.handle.data = s;
    return rc;
}

int stream_fd(const struct stream *s)
{
    uv_os_fd_t fd;

    return uv_fileno(&s->uv.handle, &fd) == 0 ? fd : -1;
}

/* ---- what waits for the next turn ---- */

/* May what comes now be read? In a handshake it may, also for an owner that has paused, but for one flight at a time. */
static bool takes_input(const struct stream *s)
{
    return stream_in_handshake(s) ? s->unread.n == 0 : !s->paused;
}

static void on_later(struct deferred *d)
{
    struct stream *s = LIST_ENTRY(d, struct stream, later);
    unsigned bits = s->pending;

    s->pending = 0;
    if ((bits & LATER_READ) != 0 && (s->state != STREAM_OPEN || takes_input(s)))
        stream_read_on(s);
    if ((bits & LATER_CONNECT) != 0 && s->state == STREAM_CONNECTING)
        s->ev->on_connect(s->owner, s->status);
    if ((bits & LATER_TLS_FAILED) != 0 && stream_live(s))
        s->ev->on_tls(s->owner, s->status, NULL, "out of memory");
    if ((bits & LATER_INPUT) != 0 && s->state == STREAM_OPEN)
        stream_take(s, slice_make("", 0));
    if ((bits & LATER_DRAIN) != 0 && !s->full && stream_live(s) && s->ev->on_drain != NULL)
        s->ev->on_drain(s->owner);
    if ((bits & LATER_END) != 0 && stream_live(s))
        s->ev->on_end(s->owner, s->status);
}

void stream_later(struct stream *s, unsigned bits)
{
    s->pending |= bits;
    if (stream_in_handshake(s) || bits == LATER_READ)
        loop_defer_costly(s->loop, &s->later, on_later);
    else
        loop_defer(s->loop, &s->later, on_later);
}

/* ---- input ---- */

/* A paused stream is not stopped at once, which would cost two system calls for each command that has to wait. Only
 * when something arrives meanwhile is libuv told that there is no room (no read is made then), and reading stops. So it
 * does for the rest of a turn that has been long enough: thousands of peers that speak or leave at once stand in line. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const struct stream *s = handle->data;

    (void)suggested;
    if ((s->state == STREAM_OPEN && !takes_input(s)) || loop_input_is_over(s->loop))
        *buf = uv_buf_init(NULL, 0);
    else
        *buf = uv_buf_init(s->loop->input, sizeof s->loop->input);
}

void stream_read_off(struct stream *s)
{
    if (s->reading)
        (void)uv_read_stop(&s->uv.stream);
    s->reading = false;
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = handle->data;

    if (n == UV_ENOBUFS) {
        stream_read_off(s);
        if (s->state != STREAM_OPEN || takes_input(s))
            stream_later(s, LATER_READ);
        return;
    }
    loop_note(s->loop, "read");
    if (n < 0) {
        stream_ended(s, n == UV_EOF ? 0 : (int)n);
    } else if (n > 0 && s->state == STREAM_OPEN) {
        if (stream_in_handshake(s))
            stream_unread(s, slice_make(buf->base, (size_t)n)); /* milliseconds of work: when its turn comes */
        else
            stream_take(s, slice_make(buf->base, (size_t)n));
    } /* while finishing, input is thrown away */
}

void stream_read_on(struct stream *s)
{
    int rc;

    if (s->reading || s->ended)
        return;
    rc = uv_read_start(&s->uv.stream, on_alloc, on_read);
    s->reading = rc == 0;
    if (rc < 0 && rc != UV_EALREADY) {
        s->status = rc;
        s->ended = true;
        stream_later(s, LATER_END);
    }
}

void stream_ended(struct stream *s, int status)
{
    if (s->ended)
        return;
    s->ended = true;
    stream_read_off(s);
    if (stream_in_handshake(s) && s->state == STREAM_OPEN)
        loop_wait_end(&s->wait);
    if (s->state == STREAM_FINISHING && (status < 0 || (s->out.n == 0 && s->wire.n == 0 && s->in_flight == 0)))
        stream_close(s);
    else if (stream_in_handshake(s) && stream_live(s))
        s->ev->on_tls(s->owner, status < 0 ? status : -ECONNRESET, NULL, "the peer closed during the handshake");
    else if (stream_live(s))
        s->ev->on_end(s->owner, status);
}

/* What was kept back comes first. What the owner or TLS does not take now is kept back again. */
void stream_take(struct stream *s, struct slice in)
{
    struct buf held = s->unread;
    const size_t max = held.max;

    buf_init(&s->unread, max);
    if (held.n > 0) {
        if (buf_add(&held, in.p, in.n) < 0) { /* cannot be: input stops while something is kept */
            buf_clear(&held);
            stream_ended(s, -ENOBUFS);
            return;
        }
        in = buf_slice(&held);
    }
    if (s->tls != NULL) {
        stream_tls_take(s, &in);
    } else if (!s->paused && in.n > 0 && stream_live(s)) {
        s->ev->on_bytes(s->owner, in);
        in.n = 0;
    }
    if (in.n > 0 && s->state == STREAM_OPEN) {
        struct buf after = s->unread; /* given back by the owner meanwhile: that is behind the rest, not before it */

        buf_init(&s->unread, max);
        if (buf_add(&s->unread, in.p, in.n) < 0 || buf_add(&s->unread, after.p, after.n) < 0)
            stream_ended(s, -ENOBUFS);
        buf_clear(&after);
    }
    buf_clear(&held);
    if (s->state == STREAM_OPEN && takes_input(s) && s->ev != NULL)
        stream_read_on(s);
}

void stream_unread(struct stream *s, struct slice octets)
{
    if (octets.n == 0 || s->state != STREAM_OPEN)
        return;
    if (buf_add(&s->unread, octets.p, octets.n) < 0) {
        s->status = -ENOBUFS;
        s->ended = true;
        stream_later(s, LATER_END);
        return;
    }
    if (!s->paused || stream_in_handshake(s))
        stream_later(s, LATER_INPUT);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if (s->state != STREAM_OPEN)
        return;
    if (s->unread.n > 0)
        stream_later(s, LATER_INPUT); /* reading goes on behind it */
    else
        stream_read_on(s);
}

/* ---- beginning ---- */

struct stream *stream_accepted(struct loop *loop, int fd, const struct endpoint *peer)
{
    struct stream *s = new_stream(loop, NULL, NULL);
    int rc = init_handle(s, peer->family);

    if (rc == 0)
        rc = peer->family == 1 ? uv_pipe_open(&s->uv.pipe, fd) : uv_tcp_open(&s->uv.tcp, fd);
    s->peer = *peer;
    s->state = STREAM_OPEN;
    if (rc == 0)
        return s;
    (void)close(fd);
    stream_close(s);
    return NULL;
}

void stream_start(struct stream *s, const struct stream_events *events, void *owner)
{
    s->ev = events;
    s->owner = owner;
    stream_read_on(s);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct stream *s = req->handle->data;

    mem_free(req);
    if (s->state != STREAM_CONNECTING)
        return;
    loop_note(s->loop, "connect");
    if (status == 0) {
        s->state = STREAM_OPEN;
        stream_read_on(s);
        if (s->out.n > 0)
            loop_dirty(s->loop, &s->dirty);
    }
    s->ev->on_connect(s->owner, status);
}

static int start_connect(struct stream *s, const struct endpoint *to, const struct endpoint *from)
{
    struct sockaddr_storage sa;
    uv_connect_t *req;
    int rc;

    if (to->family == 1) {
        req = mem_zero(sizeof *req);
        uv_pipe_connect(req, &s->uv.pipe, to->path, on_connected);
        return 0;
    }
    TRY(uv_tcp_nodelay(&s->uv.tcp, 1)); /* noted, and set when libuv makes the socket */
    if (from != NULL && from->family != 0) {
        if (sockaddr_from(from, &sa) == 0)
            return -EINVAL;
        TRY(uv_tcp_bind(&s->uv.tcp, (const struct sockaddr *)&sa, 0));
    }
    if (sockaddr_from(to, &sa) == 0)
        return -EINVAL;
    req = mem_zero(sizeof *req);
    rc = uv_tcp_connect(req, &s->uv.tcp, (const struct sockaddr *)&sa, on_connected);
    if (rc < 0)
        mem_free(req);
    return rc;
}

struct stream *stream_connect(struct loop *loop, const struct endpoint *to, const struct endpoint *from,
                              const struct stream_events *events, void *owner)
{
    struct stream *s = new_stream(loop, events, owner);
    int rc;

    s->state = STREAM_CONNECTING;
    s->peer = *to;
    rc = init_handle(s, to->family);
    if (rc == 0)
        rc = start_connect(s, to, from);
    if (rc < 0) {
        s->status = rc;
        stream_later(s, LATER_CONNECT);
    }
    return s;
}

/* ---- facts ---- */

bool stream_is_tls(const struct stream *s)
{
    return s->tls_ready;
}

const struct endpoint *stream_peer(const struct stream *s)
{
    return &s->peer;
}

const struct endpoint *stream_local(const struct stream *s)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;

    /* Asked for when somebody wants to know: most streams never need the system call. */
    if (s->local->family == 0 && stream_fd(s) >= 0 && getsockname(stream_fd(s), (struct sockaddr *)&sa, &n) == 0)
        sockaddr_to((const struct sockaddr *)&sa, n, s->local);
    return s->local;
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

/* ---- end ---- */

static void on_uv_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;

    loop_note(s->loop, "close");
    if (s->ev != NULL)
        s->ev->on_closed(s->owner);
    tls_session_free(&s->tls);
    stream_out_clear(s);
    buf_clear(&s->unread);
    mem_free(s->local);
    mem_free(s);
}

void stream_close(struct stream *s)
{
    if (s->state == STREAM_CLOSING)
        return;
    s->state = STREAM_CLOSING;
    s->pending = 0;
    loop_wait_end(&s->wait);
    loop_defer_cancel(s->loop, &s->later);
    list_unlink(&s->dirty.link);
    uv_close(&s->uv.handle, on_uv_closed); /* tls stays until then: we may be inside it */
}

static void on_finish_expired(struct waiter *w)
{
    stream_close(LIST_ENTRY(w, struct stream, wait));
}

void stream_finish_agreed(struct stream *s)
{
    s->agreed = true;
    stream_finish(s);
}

void stream_finish(struct stream *s)
{
    if (s->state == STREAM_FINISHING || s->state == STREAM_CLOSING)
        return;
    if (s->state == STREAM_CONNECTING || s->broken) {
        stream_close(s);
        return;
    }
    s->state = STREAM_FINISHING;
    s->pending = 0;
    loop_defer_cancel(s->loop, &s->later);
    buf_clear(&s->unread);
    loop_wait_begin(s->loop, WAIT_FINISH, &s->wait, on_finish_expired);
    loop_dirty(s->loop, &s->dirty);
}
