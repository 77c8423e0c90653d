/* facteur: mail/scan_priv: the tokens of structured header fields.
 * Purpose:   what address lists and MIME fields are made of; reads broken fields as far as they make sense.
 * Owner:     borrows the text; writes into the caller's bufs.
 * Thread:    any.
 * Limits:    texts of at most SCAN_MAX octets, so that bufs of SCAN_TEXT_MAX never overflow. Linear, no recursion.
 * Standards: RFC 5322 sections 3.2 and 4, RFC 2045 section 5.1, RFC 6532. */
#ifndef FACTEUR_MAIL_SCAN_PRIV_H
#define FACTEUR_MAIL_SCAN_PRIV_H

#include "facteur/base/buf.h"

enum { SCAN_MAX = 1024 * 1024, SCAN_TEXT_MAX = 4 * SCAN_MAX };

struct scan {
    const char *p, *end;
    struct buf *comment; /* the text of the last comment, or NULL: not wanted */
};

/* What most functions answer: the text ends here, more of it follows, or the token is broken. */
enum scan_result { SCAN_BROKEN = -1, SCAN_END = 0, SCAN_MORE = 1 };

/* The next octet, or -1 at the end. */
static inline int scan_peek(const struct scan *s)
{
    return s->p < s->end ? (unsigned char)*s->p : -1;
}

/* Takes the octet if it is the next one. */
static inline bool scan_skip(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

void scan_put(struct buf *out, const char *p, size_t n); /* into a buf of SCAN_TEXT_MAX */

bool scan_is_atext(int c);

enum scan_result scan_cfws(struct scan *s);                           /* white space, folds, comments */
enum scan_result scan_atom(struct scan *s, struct buf *out);          /* each with the CFWS behind it */
enum scan_result scan_dot_atom(struct scan *s, struct buf *out);      /* also with CFWS around the dots */
enum scan_result scan_token(struct scan *s, struct buf *out);         /* of MIME; may be empty */
enum scan_result scan_quoted_string(struct scan *s, struct buf *out); /* at its first quote */
enum scan_result scan_domain(struct scan *s, struct buf *out);        /* behind the "@"; a literal with its brackets */
enum scan_result scan_phrase(struct scan *s, struct buf *out);        /* words with one space between; may be empty */

/* A value on one line: line ends fall away, and become a space where no white space follows; NUL becomes U+FFFD. */
void scan_unfold(struct slice value, struct buf *out);
/* The same for texts that people read: all white space becomes single spaces, none at the ends. */
void scan_squeeze(struct slice value, struct buf *out);

#endif
