/* facteur: mail/date: the Date field as a moment.
 * Purpose:   sorting and searching by when a message was sent.
 * Owner:     none.
 * Thread:    any.
 * Limits:    linear in the text.
 * Standards: RFC 5322 sections 3.3 and 4.3. */
#ifndef FACTEUR_MAIL_DATE_H
#define FACTEUR_MAIL_DATE_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

/* Milliseconds since 1970, UTC. Reads obsolete forms, comments and dates without seconds or zone (then UTC). -EINVAL for
 * what is no date. */
int date_parse(struct slice text, int64_t *ret_ms) MUST_USE;
/* Days since 1970 of the date as it is written, whatever its time and zone. */
int date_parse_day(struct slice text, int64_t *ret_day) MUST_USE;

#endif
