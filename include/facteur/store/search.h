/* facteur: store/search: the full-text index of a user's mail.
 * Purpose:   narrows SEARCH down to the messages that may contain a string; whoever asks looks into those. An FTS5
 *            table of trigrams in index.db, filled in the background; a row stays when its message goes (UIDs are never
 *            given twice), and the table is made anew when most of it is such rows.
 * Owner:     the user's struct index.
 * Thread:    as store/index: jobs of the user's lane.
 * Limits:    options.search_max octets of text a message; needles under three characters cannot be looked up.
 * Standards: RFC 9051 section 6.4.4: a substring, case folded (mail/charset's charset_fold). */
#ifndef FACTEUR_STORE_SEARCH_H
#define FACTEUR_STORE_SEARCH_H

#include "facteur/store/index.h"

enum search_field { SEARCH_IN_BODY, SEARCH_IN_HEADER, SEARCH_IN_ANY /* TEXT: either */ };

/* Adds messages that are not in it, newest first, for about a slice. DONE: all are in. */
int search_fill(struct index *x, uint32_t folder, struct err *e) MUST_USE;
/* Those UIDs that may have `folded` in the field: everything else certainly has not. Messages not indexed yet (or cut,
 * or not decodable) are among them. -ENOTSUP: the index cannot tell, all may. */
int search_candidates(struct index *x, uint32_t folder, enum search_field field, struct slice folded,
                      struct ranges *ret, struct err *e) MUST_USE;

#endif
