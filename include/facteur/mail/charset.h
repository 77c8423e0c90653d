/* facteur: mail/charset: text in any charset as UTF-8, and text made comparable.
 * Purpose:   what search, sorting and previews read. Nothing here fails on bad text: what cannot be read becomes
 *            U+FFFD, an unknown charset is read as Latin-1 when it is not UTF-8.
 * Owner:     struct charset is a converter in use: charset_close. The rest writes into the caller's buf.
 * Thread:    any; one converter is used by one thread at a time.
 * Limits:    charset names of 64 octets.
 * Standards: RFC 2978 (names), RFC 3629, RFC 5051 (i;unicode-casemap, as far as simple case mapping goes). */
#ifndef FACTEUR_MAIL_CHARSET_H
#define FACTEUR_MAIL_CHARSET_H

#include "facteur/base/buf.h"

struct charset;

/* NULL: the charset is unknown (for [BADCHARSET]); "" and "us-ascii" are read as UTF-8 that may be Latin-1. */
struct charset *charset_open(struct slice name);
void charset_close(struct charset **c);
/* Converts a further piece; an incomplete character waits for the next. `last`: nothing follows. 0 or -ENOBUFS. */
int charset_push(struct charset *c, struct slice in, bool last, struct buf *out) MUST_USE;

/* All at once; an unknown charset is guessed. 0 or -ENOBUFS. */
int charset_to_utf8(struct slice name, struct slice in, struct buf *out) MUST_USE;

/* What the C library loads from its own files at the first use of a charset, for all of them now and for as long as
 * this is held: for a process that can load no code later on. With the GNU C library this takes 2 MiB, of which most is
 * shared with every other process that uses it. */
struct charsets;
struct charsets *charsets_load(void);
void charsets_release(struct charsets **c); /* NULL is fine */

/* Folds case (simple mapping, title case as RFC 5051 says) so that equal keys compare equal octet by octet; invalid
 * octets become U+FFFD. 0 or -ENOBUFS. */
int charset_fold(struct slice utf8, struct buf *out) MUST_USE;

#endif
