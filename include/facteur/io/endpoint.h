/* facteur: io/endpoint: where to listen or connect.
 * Purpose:   a TCP address and port, or the path of a Unix socket.
 * Owner:     by value.
 * Thread:    any.
 * Limits:    a path of 107 octets.
 * Standards: none. */
#ifndef FACTEUR_IO_ENDPOINT_H
#define FACTEUR_IO_ENDPOINT_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct endpoint {
    uint8_t family; /* 4, 6: TCP; 1: Unix; 0: none */
    uint8_t octets[16];
    uint16_t port;
    char path[108];
};

enum { ENDPOINT_TEXT = 128 };
/* "192.0.2.1:25", "[2001:db8::1]:25", "unix:/run/x.sock"; a name is not looked up: -EINVAL. */
int endpoint_parse(struct slice text, struct endpoint *ret) MUST_USE;
void endpoint_format(const struct endpoint *ep, char to[ENDPOINT_TEXT]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

#endif
