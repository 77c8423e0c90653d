/* facteur: mail/mutf7: mailbox names between UTF-8 and modified UTF-7.
 * Purpose:   what IMAP4rev1 says on the wire and what Maildir++ folders are called on the disk.
 * Owner:     writes into the caller's buf.
 * Thread:    any.
 * Limits:    the buf's maximum.
 * Standards: RFC 3501 section 5.1.3, RFC 3629. */
#ifndef FACTEUR_MAIL_MUTF7_H
#define FACTEUR_MAIL_MUTF7_H

#include "facteur/base/buf.h"

/* -EINVAL for anything that is not the one canonical form: 8-bit octets, "&" without end, needless or wrong base64,
 * surrogates that do not pair, encoded printable ASCII. `out` is unchanged then. */
int mutf7_decode(struct slice in, struct buf *out) MUST_USE;
/* `in` is valid UTF-8, else -EINVAL. */
int mutf7_encode(struct slice in, struct buf *out) MUST_USE;

#endif
