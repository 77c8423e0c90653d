/* facteur: base/arena: memory that ends together.
 * Purpose:   the strings of one transaction or one configuration.
 * Owner:     embedded by value; arena_clear frees all of it at once.
 * Thread:    one at a time.
 * Limits:    none of its own; what goes in is bounded by its maker.
 * Standards: none. */
#ifndef FACTEUR_BASE_ARENA_H
#define FACTEUR_BASE_ARENA_H

#include "facteur/base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t total; /* octets handed out */
};

void arena_clear(struct arena *a); /* frees all; a zeroed struct is an empty arena */
void arena_wipe(struct arena *a);  /* overwrites and frees all: where secrets are among it */
void *arena_zero(struct arena *a, size_t n);
char *arena_str(struct arena *a, struct slice s); /* a NUL-terminated copy */

#endif
