/* facteur: mail/dsn_priv: the parts of a notification.
 * Purpose:   dsn.c puts the message together, dsn_text.c writes what a person reads, dsn_words.c what both share.
 * Owner:     the caller's.
 * Thread:    any.
 * Limits:    as mail/dsn.
 * Standards: as mail/dsn. */
#ifndef FACTEUR_MAIL_DSN_PRIV_H
#define FACTEUR_MAIL_DSN_PRIV_H

#include "facteur/mail/dsn.h"

enum { DSN_TEXT_RECIPIENTS = 100, DSN_HEADER_MAX = 64 * 1024, DSN_WORDS_MAX = 2000 };

/* The action that the notification is about: the worst of its recipients'. */
enum dsn_action dsn_worst(const struct dsn *d);

/* The recipient's reply as far as it is quoted; `to` is the room for it. */
const char *dsn_reply(const struct dsn *d, const struct dsn_recipient *r, char to[DSN_WORDS_MAX + 1]);

/* The part for a person. */
int dsn_text(const struct dsn *d, struct buf *out) MUST_USE;

/* Words from outside as text of one paragraph: controls become spaces, lines are broken at spaces behind `indent`
 * before they reach 76 octets (any word before 500), and octets over 127 become "?" unless `utf8` and they are UTF-8.
 */
int dsn_words(const char *words, const char *indent, bool utf8, struct buf *out) MUST_USE;

#endif
