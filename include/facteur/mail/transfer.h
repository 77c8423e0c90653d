/* facteur: mail/transfer: the transfer encodings as streams.
 * Purpose:   decoding: what search, previews, BINARY and text extraction read of a part's body. Encoding: what a next
 *            hop of 7 bits gets.
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

/* The other way. */
enum {
    TRANSFER_LINE = 76,        /* octets of an encoded line at most */
    TRANSFER_BASE64_LINE = 57, /* octets that make one of base64 */
};

struct transfer_out {
    enum mime_encoding coding;
    size_t column; /* of the line being written */
    size_t held;   /* octets in keep: of base64 a line's, of quoted-printable one that depends on the next */
    char keep[TRANSFER_BASE64_LINE];
};

/* MIME_QUOTED_PRINTABLE or MIME_BASE64. */
void transfer_out_init(struct transfer_out *t, enum mime_encoding coding);
/* Line ends of a text are CRLF, and so are those that are written; a CR or LF alone is encoded. No line begins with "-",
 * so that none can be taken for a boundary, and the last line of base64 has no end. 0 or -ENOBUFS; what is written is
 * less than four times as much as was pushed, and 64 octets. */
int transfer_out_push(struct transfer_out *t, struct slice in, bool last, struct buf *out) MUST_USE;

#endif
