/* facteur: base/map: octets to pointer.
 * Purpose:   look-ups by name, address or number.
 * Owner:     copies keys, borrows values; map_clear frees keys and table.
 * Thread:    one at a time.
 * Limits:    as many entries as its user puts in; hashing is SipHash-2-4 with a key that each map draws when it
 *            gets its first entry, so that a peer cannot choose colliding keys.
 * Standards: none. */
#ifndef FACTEUR_BASE_MAP_H
#define FACTEUR_BASE_MAP_H

#include "facteur/base/slice.h"

struct map_entry;
struct map {
    struct map_entry *entries;
    size_t count, cap;
    uint64_t hash_key[2];
};

void map_clear(struct map *m); /* a zeroed struct is an empty map */
void *map_get(const struct map *m, struct slice key);
void *map_put(struct map *m, struct slice key,
              void *value);                      /* returns the value that was there, or NULL; value is not NULL */
void *map_take(struct map *m, struct slice key); /* removes; returns the value or NULL */

/* Walks in no order: *cursor starts at 0; false at the end. The map must not change meanwhile. */
bool map_each(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value);

#endif
