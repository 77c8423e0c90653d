/* facteur: mail/words: header text as people read it.
 * Purpose:   decodes encoded words and extended parameters, and takes subjects apart for sorting.
 * Owner:     writes into the caller's buf.
 * Thread:    any.
 * Limits:    linear in the input (20,000 encoded words in one field are fine); the buf's maximum.
 * Standards: RFC 2047 (encoded words; white space between two falls away; broken ones stay as they are), RFC 2231,
 *            RFC 5256 section 2.1 (base subject). */
#ifndef FACTEUR_MAIL_WORDS_H
#define FACTEUR_MAIL_WORDS_H

#include "facteur/base/buf.h"

/* An unfolded or folded header value to UTF-8 on one line, with single spaces. 0 or -ENOBUFS. */
int words_decode(struct slice value, struct buf *out) MUST_USE;

/* The base subject of a decoded subject, case-folded; *ret_reply says whether it was a reply or a forward (RFC 5256
 * 2.1, for THREAD). 0 or -ENOBUFS. */
int words_base_subject(struct slice utf8, struct buf *out, bool *ret_reply) MUST_USE;

#endif
