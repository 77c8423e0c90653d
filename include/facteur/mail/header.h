/* facteur: mail/header: the header of a message as it passes.
 * Purpose:   keeps the header until its end, knows the fields that policy asks for, then lets the body through.
 * Owner:     header_init / header_clear; embedded in the transaction.
 * Thread:    the loop's.
 * Limits:    LIMIT_HEADER, LIMIT_HEADER_FIELD, LIMIT_HEADER_FIELDS; linear time, no recursion.
 * Standards: RFC 5322 sections 2.2, 3.6; RFC 5321 section 4.4 (trace). */
#ifndef FACTEUR_MAIL_HEADER_H
#define FACTEUR_MAIL_HEADER_H

#include "facteur/base/arena.h"
#include "facteur/base/buf.h"
#include "facteur/mail/address.h"

struct header_field {
    struct slice name; /* into the header's buf: valid until header_clear */
    struct slice all;  /* name, colon, value with folds, the last LF */
};

struct header {
    struct buf text;             /* the header with LF lines, without the empty line */
    struct header_field *fields; /* in order; filled at the end of the header */
    size_t count;
    bool complete; /* the empty line was seen (or the message ended) */
    bool broken;   /* a line that is no field: the header ends before it, and it is the body's first */
    struct slice
        spill; /* what earlier calls took of that line: it comes before the rest of the body; valid as fields */

    size_t field_start, line_start; /* of header_push: offsets in text */
};

void header_init(struct header *h);
void header_clear(struct header *h);

/* Takes LF lines (CRLF is kept as LF). DONE when the header has ended: *ret_used octets belonged to it (with the empty
 * line). MORE otherwise. -EMSGSIZE over a limit. */
int header_push(struct header *h, struct slice in, size_t *ret_used) MUST_USE;
int header_end(struct header *h) MUST_USE; /* the message ended without an empty line: 0 or -EMSGSIZE */

/* Fields by name, ASCII case folded. */
size_t header_count(const struct header *h, const char *name);
const struct header_field *header_find(const struct header *h, const char *name, size_t nth);

/* The value without name, colon, folding (LF WSP becomes WSP) and outer space, into out (emptied first). */
int header_value(const struct header_field *f, struct buf *out) MUST_USE;

/* The addresses in a field value (From, Sender, To): groups, comments, quoted names and obsolete forms are read past.
 * Writes up to max; returns how many there are in all, or -EINVAL when it cannot be read. Display names are not kept.
 */
int header_addresses(struct slice value, struct address *ret, size_t max) MUST_USE;
/* What many write and header_addresses cannot read: "[Ticket 5] Foo <a@b>", "Foo, Inc. <a@b>". The address in the angle
 * brackets at the end, when there is no other "@" that somebody could take for another's. 0 or -EINVAL. */
int header_sole_address(struct slice value, struct address *ret) MUST_USE;

#endif
