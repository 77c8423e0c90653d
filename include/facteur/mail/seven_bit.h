/* facteur: mail/seven_bit: a message rewritten for a next hop without 8BITMIME.
 * Purpose:   parts that such a hop does not take become quoted-printable (texts) or base64 (all else), in multiparts
 *            and attached messages too; what it takes stays as it is, and a message that it takes whole stays whole.
 *            A part's header comes before what tells whether it must change, so the message is read twice: a survey
 *            makes a plan, and the second reading is written by it.
 * Owner:     embedded by value; seven_bit_init / seven_bit_clear.
 * Thread:    any; one at a time.
 * Limits:    mail/mime's, beyond which a message cannot be converted; 16 octets a step of the plan, three steps a part.
 *            No recursion; linear in the input.
 * Standards: RFC 6152 section 3, RFC 2045 section 6, RFC 2046 section 5, RFC 1428 (unknown-8bit). Both readings are of
 *            the message as it is on the wire, with CRLF; a CR or LF alone is data.
 *
 * What is encoded: a part with an octet above 127, NUL, a CR or LF alone or a line of more than MIME_LINE octets,
 * whatever it is labelled; one with a broken quoted-printable or base64 is decoded first. Parts labelled 8bit or binary
 * without need become 7bit. multipart and message/rfc822 may not be encoded: only their label changes. Headers cannot be
 * converted, only folded; where nobody looks (preambles and epilogues) lines end before what does not fit. */
#ifndef FACTEUR_MAIL_SEVEN_BIT_H
#define FACTEUR_MAIL_SEVEN_BIT_H

#include "facteur/mail/transfer.h"

enum {
    SEVEN_BIT_BLOCK = 16 * 1024,                 /* octets of one seven_bit_push at most */
    SEVEN_BIT_OUT = 20 * SEVEN_BIT_BLOCK + 4096, /* they become fewer: nothing but the smallest of parts, each of which
                                                    gets a header */
};

struct seven_bit_step {
    uint64_t at; /* octets before it */
    unsigned char kind;
    unsigned char label;        /* of a header: the Content-Transfer-Encoding that it gets */
    unsigned char coding, from; /* of a part to be encoded: what it becomes, and what it is said to be */
    bool labelled;              /* label counts */
    bool is_text;               /* of a header: without a Content-Type it gets one */
    bool opens_message;         /* of a header: MIME-Version belongs in it */
};

struct seven_bit {
    struct mime mime; /* of the survey */
    uint64_t size;    /* that it has seen */
    struct seven_bit_step *steps;
    size_t count, room;
    /* the second reading */
    size_t next; /* step */
    const struct seven_bit_step *step;
    uint64_t at;
    struct transfer decode;
    struct transfer_out encode;
    struct buf decoded;
    char line[MIME_LINE]; /* of a header: the line at hand, or what is not yet written of it */
    size_t line_n;        /* octets of it, or of a line around parts */
    bool judged;          /* of the line at hand it is known which field it belongs to */
    bool dropping;        /* the field is left out */
    bool cut, cr;         /* of a line around parts: the rest is left out; the last octet was CR */
    bool seen_version, seen_type, seen_encoding;
};

void seven_bit_init(struct seven_bit *s);
void seven_bit_clear(struct seven_bit *s); /* also behind seven_bit_init without more; twice is fine */

/* The first reading. */
void seven_bit_survey(struct seven_bit *s, struct slice octets);

/* Its end. *ret_size: about as many octets as the message will have. -EBADMSG: it cannot be converted; the text says
 * why. */
int seven_bit_plan(struct seven_bit *s, uint64_t *ret_size, struct err *e) MUST_USE;

/* The second reading, of the same octets in any pieces of SEVEN_BIT_BLOCK octets at most; what is written is appended.
 * 0; -ENOBUFS when `out` had not SEVEN_BIT_OUT octets of room; -EBADMSG when it is not the message of the survey. */
int seven_bit_push(struct seven_bit *s, struct slice in, struct buf *out) MUST_USE;
int seven_bit_end(struct seven_bit *s, struct buf *out) MUST_USE;

#endif
