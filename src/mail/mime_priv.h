/* facteur: mail/mime_priv: what the sources of the MIME parser share.
 * Purpose:   mime.c finds lines, headers and boundaries; mime_field.c reads the fields; mime_param.c and
 *            mime_address.c what stands in them.
 * Owner:     struct mime_parser lives from mime_init to mime_end.
 * Thread:    one at a time.
 * Limits:    as in facteur/mail/mime.h.
 * Standards: as there. */
#ifndef FACTEUR_MAIL_MIME_PRIV_H
#define FACTEUR_MAIL_MIME_PRIV_H

#include "facteur/mail/mime.h"
#include "scan_priv.h"

/* Texts in the making. */
struct mime_scratch {
    struct buf text, comment, more;
};

void mime_scratch_init(struct mime_scratch *s);
void mime_scratch_clear(struct mime_scratch *s);

struct slice mime_keep(struct arena *a, struct slice text); /* a copy in the arena; p is never NULL */

/* True when the tree has grown so much that nothing more goes in. */
static inline bool mime_is_full(const struct arena *a)
{
    return a->total > MIME_MEMORY;
}

/* Reads `value` and hangs its addresses behind *tail; returns the new tail. */
struct mime_address **mime_add_addresses(struct arena *a, struct mime_scratch *s, struct slice value,
                                         struct mime_address **tail);

/* What follows behind a type or disposition. */
void mime_read_params(struct arena *a, struct mime_scratch *s, struct scan *scan, struct mime_params *ret);

/* What the fields of the header at hand said, beside what stands in the part. */
struct mime_header {
    struct mime_part *part;
    bool is_mime;       /* MIME-Version or Content-Type was there, or a multipart is around it */
    bool seen_type;     /* only the first Content-Type counts */
    bool is_type_valid; /* RFC 2045 section 5.2: an invalid one says as much as none */
    struct mime_address **tails[6];
};

/* A field with its line ends. */
void mime_take_field(struct mime_header *h, struct arena *a, struct mime_scratch *s, struct slice field);
/* The boundary parameter; p NULL without. */
struct slice mime_boundary(const struct mime_part *part);

#endif
