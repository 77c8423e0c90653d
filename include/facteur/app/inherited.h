/* facteur: app/inherited: listening sockets that were bound by whoever started the server.
 * Purpose:   systemd's socket activation: ports below 1024 without ever having the right to bind them.
 * Owner:     the descriptors are held as long as the process lives, so that a listener that a reload takes away can come
 *            back with the next one; a listener gets a duplicate.
 * Thread:    the loop's.
 * Limits:    64 sockets.
 * Standards: sd_listen_fds(3). */
#ifndef FACTEUR_APP_INHERITED_H
#define FACTEUR_APP_INHERITED_H

#include "facteur/io/endpoint.h"

enum { INHERITED_MOST = 64 };

struct inherited {
    struct {
        int fd;
        struct endpoint at; /* family 0: no listening stream socket */
    } sockets[INHERITED_MOST];
    size_t count;
};

/* What LISTEN_PID and LISTEN_FDS speak of, which are removed from the environment: nothing when there are none or they
 * are another process's. -EINVAL: values that make no sense, too many, or a socket for all IPv6 addresses that takes
 * IPv4 too, since addresses in the policy mean themselves. */
int inherited_take(struct inherited *in, struct err *e) MUST_USE;

/* A duplicate of the one that listens there, the caller's; -1: none does, or there are no descriptors left. */
int inherited_socket(const struct inherited *in, const struct endpoint *at) MUST_USE;

#endif
