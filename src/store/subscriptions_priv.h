/* facteur: store/subscriptions_priv: which folders a user's mail programs show.
 * Purpose:   reads and rewrites the file `subscriptions` beside INBOX's messages as Dovecot does, so that either program
 *            may be used in turn: "V\t2", an empty line, then one name a line with tabs between levels; the old form
 *            (".Sent.2024" without its first dot) is read too and becomes the new one when it is written.
 * Owner:     struct subscriptions is embedded by value; subscriptions_clear frees.
 * Thread:    jobs of the user's lane.
 * Limits:    SUBSCRIPTIONS_FILE octets; lines that are no name of a folder are kept as they are.
 * Standards: RFC 9051 section 6.3.7 (names need not exist). */
#ifndef FACTEUR_STORE_SUBSCRIPTIONS_PRIV_H
#define FACTEUR_STORE_SUBSCRIPTIONS_PRIV_H

#include "facteur/base/buf.h"

enum { SUBSCRIPTIONS_FILE = 4 * 1024 * 1024 };

struct subscription {
    char *line; /* as the new form has it */
    char *name; /* normal, UTF-8; NULL: no name of a folder */
};

struct subscriptions {
    struct subscription *items; /* in the file's order */
    size_t count, cap;
};
void subscriptions_clear(struct subscriptions *s);

/* Takes the file's text. */
void subscriptions_parse(struct slice text, struct subscriptions *ret);

/* Reads the file of the Maildir `root`; no file is no subscription. */
int subscriptions_read(int root, struct subscriptions *ret, struct err *e) MUST_USE;

/* Sets (or takes away) some names and replaces the file, if that changes anything. The names are normal. Durable.
 * -EDQUOT: there would be more than `max`. */
int subscriptions_set(int root, const char *const *names, size_t count, bool on, size_t max, struct err *e) MUST_USE;

#endif
