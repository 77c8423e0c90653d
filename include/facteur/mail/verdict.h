/* facteur: mail/verdict: what the mail client is told.
 * Purpose:   reply code, enhanced status code and text in one value; temporary is a third answer beside yes and no.
 * Owner:     by value.
 * Thread:    any.
 * Limits:    a text of 255 octets.
 * Standards: RFC 5321 section 4.2, RFC 3463, RFC 2034. */
#ifndef FACTEUR_MAIL_VERDICT_H
#define FACTEUR_MAIL_VERDICT_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct verdict {
    short code;        /* 250, 354, 4xx, 5xx */
    bool close;        /* the connection ends after the reply */
    char enhanced[12]; /* "5.1.1"; empty: none in the reply */
    char text[256];
    const char *rule; /* a static name of the rule that decided, for the log; NULL: none */
    unsigned line;    /* the rule's line in the configuration file, or 0 */
    const char *file; /* the configuration's: the file that the line is in, where it may be another one; or NULL */
};

struct verdict verdict_ok(const char *enhanced, const char *fmt, ...) PRINTF_LIKE(2, 3);             /* 250 */
struct verdict verdict_make(int code, const char *enhanced, const char *fmt, ...) PRINTF_LIKE(3, 4); /* any code */

/* Names the rule that decided; returns v. */
struct verdict verdict_by(struct verdict v, const char *rule, unsigned line);

/* A failure of ours as the client sees it: no room (-ENOSPC, -EDQUOT, -EFBIG) 452 4.3.1, all else 451 4.3.0; never its
 * details. */
struct verdict verdict_of_error(int code);

static inline bool verdict_is_ok(const struct verdict *v)
{
    return v->code < 400;
}
static inline bool verdict_is_temporary(const struct verdict *v)
{
    return v->code >= 400 && v->code < 500;
}

#endif
