/* facteur: mail/utf8_priv: single characters of UTF-8, for the modules that look into texts.
 * Purpose:   takes characters off a text that may be broken, and writes them.
 * Owner:     borrows; writes into the caller's buf.
 * Thread:    any.
 * Limits:    none.
 * Standards: RFC 3629; what is broken is replaced as Unicode 15 section 3.9 says (one U+FFFD a maximal subpart). */
#ifndef FACTEUR_MAIL_UTF8_PRIV_H
#define FACTEUR_MAIL_UTF8_PRIV_H

#include "facteur/base/buf.h"

enum { UTF8_REPLACEMENT = 0xfffd };

/* How many octets at the front of s (not empty) make one character: 0 when s ends inside it, negative when that many
 * octets are broken. */
int utf8_length(struct slice s);

/* How many octets at the front of s are ASCII, by eights: most text is, and that is all there is to see in it. */
static inline size_t utf8_ascii(struct slice s)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t n = 0;
    uint64_t eight;

    for (; s.n - n >= sizeof eight; n += sizeof eight) {
        memcpy(&eight, s.p + n, sizeof eight);
        if ((eight & high) != 0)
            break;
    }
    return n;
}

/* Takes one character off *s (not empty); UTF8_REPLACEMENT for broken octets. */
uint32_t utf8_take(struct slice *s);

int utf8_add(uint32_t c, struct buf *out) MUST_USE; /* 0 or -ENOBUFS */

/* Takes the text over with U+FFFD for what is broken. 0 or -ENOBUFS. */
int utf8_clean(struct slice s, struct buf *out) MUST_USE;

#endif
