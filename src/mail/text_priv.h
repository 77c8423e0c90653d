/* facteur: mail/text_priv: HTML as the text that it shows.
 * Purpose:   takes tags, scripts, styles and comments out of a stream and reads entities.
 * Owner:     embedded by value; holds no memory.
 * Thread:    one at a time.
 * Limits:    names of tags and entities up to HTML_NAME octets; longer ones are none.
 * Standards: what browsers make of broken HTML is the aim (HTML Living Standard section 13.2), not the letter. */
#ifndef FACTEUR_MAIL_TEXT_PRIV_H
#define FACTEUR_MAIL_TEXT_PRIV_H

#include "facteur/base/buf.h"

enum { HTML_NAME = 12 };

struct html {
    unsigned state;
    char name[HTML_NAME];
    size_t n;          /* octets of `name`, or how much of what ends a comment or script has been seen */
    char before;       /* the last octet of a tag that is no white space; or the quote that ends a value */
    const char *close; /* of the element whose content is no text; NULL outside */
};

void html_init(struct html *h);
int html_push(struct html *h, struct slice utf8, bool last, struct buf *out) MUST_USE; /* 0 or -ENOBUFS */

#endif
