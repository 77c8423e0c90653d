/* facteur: io/sockaddr: an endpoint as the kernel spells it.
 * Purpose:   converts between struct endpoint and struct sockaddr; for io only.
 * Owner:     by value.
 * Thread:    any.
 * Limits:    a path of 107 octets.
 * Standards: RFC 4291 section 2.5.5.2 (mapped addresses become IPv4). */
#ifndef FACTEUR_IO_SOCKADDR_PRIV_H
#define FACTEUR_IO_SOCKADDR_PRIV_H

#include "facteur/io/endpoint.h"

#include <sys/socket.h>

/* The length that goes with it, or 0 for an endpoint of no family. */
socklen_t sockaddr_from(const struct endpoint *ep, struct sockaddr_storage *to);
void sockaddr_to(const struct sockaddr *sa, socklen_t n, struct endpoint *to);

#endif
