/* facteur: io/stream: a connection: TCP or a Unix socket, with or without TLS.
 * Purpose:   bytes in, bytes out, STARTTLS in between, and an end that is an end.
 * Owner:     heap allocated by the listener or stream_connect; stream_close gives it back: after that call the only
 *            callback is on_closed, once, on a later turn, and the memory goes behind it.
 * Thread:    the loop's.
 * Limits:    input arrives in pieces of at most 64 KiB out of the loop's one buffer (copy what you keep); output over
 *            STREAM_HIGH_WATER says so in stream_is_full and the owner stops producing until on_drain; output over
 *            STREAM_MAX_OUTPUT closes the stream.
 * Standards: RFC 9293; TCP_NODELAY is always set. */
#ifndef FACTEUR_IO_STREAM_H
#define FACTEUR_IO_STREAM_H

#include "facteur/base/meter.h"
#include "facteur/io/endpoint.h"
#include "facteur/io/loop.h"
#include "facteur/io/tls.h"

enum { STREAM_HIGH_WATER = 64 * 1024, STREAM_LOW_WATER = 16 * 1024, STREAM_MAX_OUTPUT = 4 * 1024 * 1024 };

struct stream;

struct stream_events {
    /* stream_connect's end: 0, or the error. On an error the owner still calls stream_close. */
    void (*on_connect)(void *owner, int status);
    /* Plain octets (decrypted). Borrowed for the call. Not called while paused. */
    void (*on_bytes)(void *owner, struct slice octets);
    /* The peer has closed its side (0), or the connection failed (negative). Nothing more will come in. */
    void (*on_end)(void *owner, int status);
    /* Output fell below the low-water mark after stream_is_full was true. May be NULL. */
    void (*on_drain)(void *owner);
    /* The TLS handshake has ended: info (borrowed) or, with a negative status, the reason in `why`. */
    void (*on_tls)(void *owner, int status, const struct tls_info *info, const char *why);
    void (*on_closed)(void *owner);
};

/* Starts to connect; `from` may be NULL. on_connect comes later, never from inside. */
struct stream *stream_connect(struct loop *loop, const struct endpoint *to, const struct endpoint *from,
                              const struct stream_events *events, void *owner);

/* Gives an accepted stream its owner and starts reading. */
void stream_start(struct stream *s, const struct stream_events *events, void *owner);

/* Queues a copy; all that was queued in this turn of the loop leaves in one write at its end. Never fails: trouble
 * comes as on_end. */
void stream_write(struct stream *s, struct slice octets);
void stream_flush(struct stream *s); /* at once instead of at the end of the turn */
bool stream_is_full(const struct stream *s);
/* From now on the memory of its output counts on `m` (a reference; NULL: on none), which lives until the next call, or
 * until on_closed has returned. */
void stream_meter(struct stream *s, struct meter *m);

void stream_pause(struct stream *s);  /* no on_bytes until… */
void stream_resume(struct stream *s); /* …; what TLS had decrypted already comes on a later turn */

/* Gives input back: it comes again, on a later turn, before anything newer; after stream_start_tls_… it is the
 * handshake's. For a PROXY header with a TLS hello behind it in the same read. */
void stream_unread(struct stream *s, struct slice octets);

/* Begins a handshake on what is plain so far. What is queued for output is sent plain first. Plain input that has been
 * received beyond this point is thrown away by the caller (it is not the handshake's); input from now on is the
 * handshake's. */
void stream_start_tls_server(struct stream *s, struct tls_server *t);
/* `name`: for SNI and for checking. `verify`: a bad certificate fails the handshake; else it is only noted in info. */
void stream_start_tls_client(struct stream *s, struct tls_client *t, const char *name, bool verify);
bool stream_is_tls(const struct stream *s);

const struct endpoint *stream_peer(const struct stream *s);
const struct endpoint *stream_local(const struct stream *s);
struct loop *stream_loop(const struct stream *s);

/* Flushes what is queued (for at most 5 s), sends close_notify and FIN, then closes: the polite end after QUIT. */
void stream_finish(struct stream *s);
/* The same for a peer that has said it is done: of a plain stream on which nothing is unread its FIN is not awaited. */
void stream_finish_agreed(struct stream *s);
/* Closes now. Fine after stream_finish. */
void stream_close(struct stream *s);

#endif
