/* facteur: mail/transfer: the transfer encodings, decoded as a stream.
 * Purpose:   what search, previews, BINARY and text extraction read of a part's body.
 * Owner:     embedded by value; holds no memory of its own.
 * Thread:    any; one at a time.
 * Limits:    the buf's maximum; of the white space at the end of a quoted-printable line (which is no text)
 *            TRANSFER_KEEP octets are held back, before more of it they are text.
 * Standards: RFC 2045 section 6; broken input is read as far as it makes sense. */
#ifndef FACTEUR_MAIL_TRANSFER_H
#define FACTEUR_MAIL_TRANSFER_H

#include "facteur/mail/mime.h"

enum { TRANSFER_KEEP = 128 };

struct transfer {
    enum mime_encoding coding;
    unsigned state;
    uint32_t bits; /* base64: of the group at hand */
    size_t held;   /* quoted-printable: octets in keep that may be text or not */
    char keep[TRANSFER_KEEP];
    bool broken; /* something was no base64 or quoted-printable: BINARY answers [UNKNOWN-CTE] */
};

void transfer_init(struct transfer *t, enum mime_encoding coding); /* unknown encodings pass as they are */
int transfer_push(struct transfer *t, struct slice in, bool last, struct buf *out) MUST_USE; /* 0 or -ENOBUFS */

#endif
