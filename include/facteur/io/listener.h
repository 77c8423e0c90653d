/* facteur: io/listener: accepts connections.
 * Purpose:   a listening socket that drains its backlog at each wake-up and lives through a lack of descriptors.
 * Owner:     heap allocated; listener_close gives it back, no callback after it.
 * Thread:    the loop's.
 * Limits:    backlog 4096 (as far as the kernel allows); up to 64 accepts a turn. At EMFILE or ENFILE a reserve
 *            descriptor sheds one connection and accepting pauses for a second. Who reads a PROXY header gives it 5 s.
 * Standards: PROXY protocol versions 1 and 2 (HAProxy's specification). */
#ifndef FACTEUR_IO_LISTENER_H
#define FACTEUR_IO_LISTENER_H

#include "facteur/io/stream.h"

struct listener;

struct listener_options {
    bool reuse;    /* SO_REUSEADDR; on for TCP */
    int fd;        /* an inherited listening socket, or -1; taken when listener_new works */
    unsigned mode; /* permissions of a Unix socket, e.g. 0600 */
};

/* `on_accept` gets a stream that it must start (stream_start) or close. Port 0 asks the kernel: listener_endpoint has
 * the answer. */
int listener_new(struct loop *loop, const struct endpoint *at, const struct listener_options *options,
                 void (*on_accept)(void *owner, struct stream *s), void *owner, struct listener **ret,
                 struct err *e) MUST_USE;
void listener_close(struct listener **l); /* removes the Unix socket's file, unless it was inherited */
const struct endpoint *listener_endpoint(const struct listener *l);
void listener_pause(struct listener *l, bool paused);

/* Where an inherited descriptor listens; -EINVAL: it is no listening stream socket, or of another family. */
int listener_inspect(int fd, struct endpoint *ret) MUST_USE;

/* The PROXY header at the front of *in: DONE with *ret_used octets taken, *ret_client set (family 0 for LOCAL/UNKNOWN);
 * MORE; -EINVAL when it is none. Pure. */
int proxy_header_parse(struct slice in, size_t *ret_used, struct endpoint *ret_client) MUST_USE;

#endif
