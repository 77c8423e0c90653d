/* facteur: io/stream (for io only): what a stream is made of.
 * Purpose:   shared by stream.c (life and input), stream_out.c (output), stream_tls.c and listener.c.
 * Owner:     the stream.
 * Thread:    the loop's.
 * Limits:    as in io/stream.h; input kept back is at most what one read brought in and what stream_unread gave back.
 * Standards: none. */
#ifndef FACTEUR_IO_STREAM_PRIV_H
#define FACTEUR_IO_STREAM_PRIV_H

#include "facteur/base/buf.h"
#include "facteur/io/stream.h"
#include "loop_priv.h"
#include "tls_priv.h"

#include <sys/socket.h>

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_FINISHING, /* output leaves, then FIN, then input is thrown away up to the peer's FIN */
    STREAM_CLOSING    /* uv_close has been called */
};

/* What the next turn has to tell the owner or to do, as bits. */
enum {
    LATER_CONNECT = 1, /* connecting failed at once */
    LATER_INPUT = 2,   /* there is input that was kept back */
    LATER_DRAIN = 4,
    LATER_END = 8,
    LATER_TLS_FAILED = 16,
    LATER_READ = 32 /* the turn was over when something came */
};

struct stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct loop *loop;
    const struct stream_events *ev; /* NULL until stream_start */
    void *owner;
    struct flushable dirty;
    struct deferred later;
    struct waiter wait;    /* handshake or finish */
    struct buf out;        /* what the owner wrote */
    struct buf wire;       /* what the socket gets; the same octets without TLS, records with it */
    struct buf unread;     /* input kept back: given back by the owner, or records while it is paused */
    size_t in_flight;      /* octets that libuv holds; while it does, nothing else is given to it */
    size_t in_flight_room; /* … and their memory */
    struct meter *meter;
    size_t metered; /* on it */
    struct tls_session *tls;
    struct endpoint peer;
    struct endpoint *local; /* family 0: not asked for yet */
    int status;             /* what LATER_CONNECT and LATER_END will say */
    unsigned pending;       /* LATER_ bits */
    enum stream_state state;
    bool reading;   /* uv_read_start is in force */
    bool paused;    /* by the owner */
    bool ended;     /* no more input will come */
    bool broken;    /* output cannot leave */
    bool full;      /* over the high-water mark, on_drain is owed */
    bool tls_ready; /* the handshake is behind us */
    bool notified;  /* close_notify is in wire */
    bool agreed;    /* the peer has said that it sends nothing more */
};

static inline bool stream_live(const struct stream *s) /* may the owner be called? */
{
    return s->state == STREAM_OPEN && s->ev != NULL;
}
static inline bool stream_in_handshake(const struct stream *s)
{
    return s->tls != NULL && !s->tls_ready;
}

/* A stream around an accepted socket; takes fd over. NULL when libuv refuses it (fd is closed then). */
struct stream *stream_accepted(struct loop *loop, int fd, const struct endpoint *peer);

void stream_later(struct stream *s, unsigned bits);
void stream_read_on(struct stream *s);
void stream_read_off(struct stream *s);

/* Nothing more comes in: 0 at the peer's FIN or close_notify, else why. Tells the owner (at once: called by libuv). */
void stream_ended(struct stream *s, int status);

/* Hands octets to the owner or to TLS, behind what was kept back. */
void stream_take(struct stream *s, struct slice in);

void stream_out_init(struct stream *s);
void stream_out_clear(struct stream *s);
void stream_tls_take(struct stream *s, struct slice *in); /* leaves in *in what must wait */
int stream_fd(const struct stream *s);

#endif
