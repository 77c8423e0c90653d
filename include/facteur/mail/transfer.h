/* facteur: mail/transfer: the transfer encodings, decoded as a stream.
 * Purpose:   what search, previews, BINARY and text extraction read of a part's body.
 * Owner:     embedded by value; holds no memory.
 * Thread:    any; one at a time.
 * Limits:    the buf's maximum; keeps at most 4 octets between calls (quoted-printable: trailing white space of a line
 *            up to 1,000 octets is dropped, more is text).
 * Standards: RFC 2045 section 6; broken input is read as far as it makes sense. */
#ifndef FACTEUR_MAIL_TRANSFER_H
#define FACTEUR_MAIL_TRANSFER_H

#include "facteur/mail/mime.h"

struct transfer {
    enum mime_encoding coding;
    unsigned state, held;
    uint32_t bits;
    char keep[4];
    bool broken; /* something was no base64 or quoted-printable: BINARY answers [UNKNOWN-CTE] */
};

void transfer_init(struct transfer *t, enum mime_encoding coding); /* unknown encodings pass as they are */
int transfer_push(struct transfer *t, struct slice in, bool last, struct buf *out) MUST_USE; /* 0 or -ENOBUFS */

#endif
