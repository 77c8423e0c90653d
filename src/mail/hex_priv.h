/* facteur: mail/hex_priv: octets written as two hexadecimal digits.
 * Purpose:   what quoted-printable, encoded words and extended parameters share.
 * Owner:     borrows.
 * Thread:    any.
 * Limits:    none.
 * Standards: RFC 2045 section 6.7 (small letters are read too). */
#ifndef FACTEUR_MAIL_HEX_PRIV_H
#define FACTEUR_MAIL_HEX_PRIV_H

#include "facteur/base/slice.h"

static inline int hex_value(char c) /* -1: no digit */
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octet that the first two characters write, or -1. */
static inline int hex_octet(struct slice s)
{
    int high = s.n >= 2 ? hex_value(s.p[0]) : -1;
    int low = s.n >= 2 ? hex_value(s.p[1]) : -1;

    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

#endif
