/* TLS on a stream: the handshake, and records into octets. */
#include "stream_priv.h"

#include <errno.h>

static void give_up(struct stream *s, int status, const char *why)
{
    loop_wait_end(&s->wait);
    s->ended = true;
    stream_read_off(s);
    if (stream_live(s))
        s->ev->on_tls(s->owner, status, NULL, why);
}

static void on_handshake_expired(struct waiter *w)
{
    give_up(LIST_ENTRY(w, struct stream, wait), -ETIMEDOUT, "the handshake took too long");
}

/* True: goes on to what lies behind the handshake. */
static bool handshake(struct stream *s, struct slice *in)
{
    struct tls_info info = { 0 };
    const char *why = NULL;
    int rc;

    loop_note(s->loop, "TLS handshake");
    rc = tls_session_handshake(s->tls, in, &s->wire, &info, &why);
    if (rc == DONE) {
        s->tls_ready = true;
        loop_wait_end(&s->wait);
    }
    if (s->wire.n > 0 || s->out.n > 0) {
        if (rc < 0)
            stream_flush(s); /* the alert goes before the owner closes */
        else
            loop_dirty(s->loop, &s->dirty);
    }
    if (rc == MORE || s->broken || !stream_live(s))
        return false;
    if (rc == DONE) {
        s->ev->on_tls(s->owner, 0, &info, NULL);
        return true;
    }
    in->n = 0;
    give_up(s, rc, why);
    return false;
}

void stream_tls_take(struct stream *s, struct slice *in)
{
    if (!s->tls_ready && (s->ended || !handshake(s, in)))
        return;
    while (!s->paused && stream_live(s) && !s->ended) {
        int n = tls_session_read(s->tls, in, &s->wire, s->loop->plain, sizeof s->loop->plain);

        if (s->wire.n > 0) /* an answer of TLS's own: an alert, a key update */
            loop_dirty(s->loop, &s->dirty);
        if (n == TLS_MORE)
            return;
        if (n < 0) {
            stream_ended(s, n == -ENOTCONN ? 0 : n);
            return;
        }
        s->ev->on_bytes(s->owner, slice_make(s->loop->plain, (size_t)n));
    }
}

static void begin(struct stream *s, struct tls_session *session)
{
    if (s->state != STREAM_OPEN)
        return;
    stream_flush(s);
    if (s->out.n > 0 && buf_add(&s->wire, s->out.p, s->out.n) == 0) /* what the socket did not take yet stays plain */
        buf_clear(&s->out);
    s->tls = session;
    if (session == NULL) {
        s->status = -ENOMEM;
        stream_later(s, LATER_TLS_FAILED);
        return;
    }
    loop_wait_begin(s->loop, WAIT_HANDSHAKE, &s->wait, on_handshake_expired);
    stream_later(s, LATER_INPUT); /* a client's first flight, and what stream_unread gave back */
    stream_read_on(s);
}

void stream_start_tls_server(struct stream *s, struct tls_server *t)
{
    begin(s, tls_session_server(t));
}

void stream_start_tls_client(struct stream *s, struct tls_client *t, const char *name, bool verify)
{
    begin(s, tls_session_client(t, name, verify));
}
