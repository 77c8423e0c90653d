/* facteur: mail/ip: network addresses and ranges.
 * Purpose:   clients, trusted networks, next hops: IPv4 and IPv6 in one value.
 * Owner:     by value.
 * Thread:    any.
 * Limits:    none.
 * Standards: RFC 4291 (text forms), RFC 4632 (CIDR). IPv4-mapped IPv6 addresses are kept as IPv4. */
#ifndef FACTEUR_MAIL_IP_H
#define FACTEUR_MAIL_IP_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

enum { IP_TEXT = 46 };

struct ip {
    uint8_t octets[16]; /* IPv4: the first four */
    uint8_t family;     /* 4, 6; 0: none (a Unix socket) */
};

struct network {
    struct ip base;
    uint8_t bits;
};

int ip_parse(struct slice text, struct ip *ret) MUST_USE; /* -EINVAL */
void ip_format(const struct ip *ip, char to[IP_TEXT]);    /* "" for none */
bool ip_equal(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *ip); /* 127.0.0.0/8, ::1, and a Unix socket */
bool ip_is_any(const struct ip *ip);      /* 0.0.0.0, :: */

/* "192.168.0.0/16", "::1"; -EINVAL malformed, -ERANGE octets set behind the prefix ("192.168.1.1/16"). */
int network_parse(struct slice text, struct network *ret) MUST_USE;
bool network_has(const struct network *n, const struct ip *ip);

/* The address as its network of `bits4` or `bits6`, for counters per site. */
struct ip ip_mask(const struct ip *ip, unsigned bits4, unsigned bits6);

#endif
