/* facteur: mail/text: a message as the text that a person would look for.
 * Purpose:   full-text search, its index, and previews see the same words: header values with encoded words decoded,
 *            text parts decoded to UTF-8, HTML without its tags for previews and with its text for search.
 * Owner:     calls back with borrowed slices.
 * Thread:    any (jobs).
 * Limits:    reads in pieces of 64 KiB; what one part gives is cut at `max` octets of text.
 * Standards: RFC 9051 section 6.4.4 (TEXT, BODY, HEADER), RFC 8970 (PREVIEW: 200 characters). */
#ifndef FACTEUR_MAIL_TEXT_H
#define FACTEUR_MAIL_TEXT_H

#include "facteur/mail/mime.h"

#include <sys/types.h>

/* Where a message's stored octets come from: 0 at the end, negative on failure. */
struct text_source {
    ssize_t (*read)(void *from, void *to, size_t n, uint64_t at);
    void *from;
};

enum text_kind { TEXT_HEADER, TEXT_BODY };
struct text_sink {
    /* TEXT_HEADER: one field, `name` is its name, `utf8` its decoded value; also of embedded messages and parts (for
     * `nested`). TEXT_BODY: a piece of a text part; a word may be cut between two calls of the same part, and
     * `name` is empty. Return nonzero to stop. */
    int (*take)(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8);
    void *to;
};

/* Walks one message: headers first, then the text parts in order. 0, the taker's code, or negative. */
int text_walk(const struct mime *m, const struct text_source *source, uint64_t max,
              const struct text_sink *sink) MUST_USE;

/* The first text of it, white space folded, at most 200 characters of UTF-8; empty when there is none. 0 or negative. */
int text_preview(const struct mime *m, const struct text_source *source, struct buf *out) MUST_USE;

#endif
