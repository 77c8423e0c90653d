/* facteur: store/keywords_priv: the names of a folder's keywords as Dovecot keeps them.
 * Purpose:   the letters "a" to "z" behind ":2," mean the keywords 0 to 25 of the file dovecot-keywords ("0 name").
 * Owner:     struct keywords is embedded by value; keywords_clear frees.
 * Thread:    jobs of the user's lane.
 * Limits:    KEYWORDS_IN_NAME names of KEYWORD_LENGTH octets.
 * Standards: RFC 9051 section 9 (flag-keyword is an atom). */
#ifndef FACTEUR_STORE_KEYWORDS_PRIV_H
#define FACTEUR_STORE_KEYWORDS_PRIV_H

#include "facteur/store/mailbox.h"

enum { KEYWORD_LENGTH = 255 };

struct keywords {
    char *names[KEYWORDS_IN_NAME]; /* all below `count`: a letter without a usable name is "unknown-<number>" */
    unsigned count;
};
void keywords_clear(struct keywords *k);

/* Whether it may be a keyword: an atom, no system flag's backslash. */
bool keyword_valid(struct slice name);

/* The keywords of the folder behind `dir`; none when there is no such file or it cannot be understood. 0 or negative. */
int keywords_read(int dir, struct keywords *ret, struct err *e) MUST_USE;

/* Replaces the file; of more than KEYWORDS_IN_NAME names the first. Durable. */
int keywords_write(int dir, const char *const *names, unsigned count, struct err *e) MUST_USE;

#endif
