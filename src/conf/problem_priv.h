/* facteur: conf/problem_priv: the mistakes of one load.
 * Purpose:   collects them from all over the loader and puts them in the order of the files.
 * Owner:     embedded by value; problems_clear frees.
 * Thread:    any.
 * Limits:    PROBLEMS_MOST are kept, the rest is counted.
 * Standards: none. */
#ifndef FACTEUR_CONF_PROBLEM_PRIV_H
#define FACTEUR_CONF_PROBLEM_PRIV_H

#include "facteur/conf/config.h"

enum { PROBLEMS_MOST = 200, PROBLEM_TEXT = 512, SHOWN_MOST = 60 };

struct problem;
struct problems {
    struct arena arena;
    struct problem *items;
    unsigned count;
};

void problems_clear(struct problems *p);
void problem_add(struct problems *p, struct conf_place at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The text in quotes as a message may show it: bounded and escaped. Lives as long as the problems. */
const char *problem_shown(struct problems *p, struct slice text);

/* Writes them as lines into *out, those of the file `first` before all others. */
void problems_tell(const struct problems *p, const char *first, struct conf_problems *out);

/* The nearest of the words, or NULL when none is near enough to be a slip of the finger. words end with NULL. */
const char *nearest_word(struct slice seen, const char *const *words);

#endif
