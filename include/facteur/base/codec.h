/* facteur: base/codec: octets as text and back.
 * Purpose:   base64, base32 for queue ids, xtext, UTF-8 validity, log escaping.
 * Owner:     writes into the caller's buf.
 * Thread:    any.
 * Limits:    the buf's maximum.
 * Standards: RFC 4648 sections 4 and 7, RFC 3461 section 4 (xtext), RFC 3629 (UTF-8). */
#ifndef FACTEUR_BASE_CODEC_H
#define FACTEUR_BASE_CODEC_H

#include "facteur/base/buf.h"

int base64_encode(struct slice in, struct buf *out) MUST_USE;

/* Strict: padding complete, no white space, no other octets, unused bits 0. -EINVAL otherwise (out unchanged). */
int base64_decode(struct slice in, struct buf *out) MUST_USE;

/* A number as 13 characters of base32hex in lower case (0-9 a-v): sorts as the number does. `to` is NUL-terminated. */
void base32_u64(uint64_t n, char to[14]);
int base32_u64_parse(struct slice in, uint64_t *ret) MUST_USE; /* 0 or -EINVAL */

/* RFC 3461 xtext; hexadecimal digits are read in either case. Decoding refuses what is not xtext and, decoded, NUL, CR
 * and LF: -EINVAL. */
int xtext_encode(struct slice in, struct buf *out) MUST_USE;
int xtext_decode(struct slice in, struct buf *out) MUST_USE;

bool utf8_valid(struct slice s); /* RFC 3629: no surrogates, no overlong forms */
bool ascii_only(struct slice s);

#endif
