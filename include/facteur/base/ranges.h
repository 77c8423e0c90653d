/* facteur: base/ranges: a set of numbers as merged ranges.
 * Purpose:   UIDs and sequence numbers that a client names, or that have gone.
 * Owner:     embedded by value; ranges_clear frees. A zeroed struct is an empty set.
 * Thread:    one at a time.
 * Limits:    RANGES_MAX pieces; beyond it -E2BIG and the set is unchanged.
 * Standards: RFC 9051 section 9 (sequence-set, without "*"). */
#ifndef FACTEUR_BASE_RANGES_H
#define FACTEUR_BASE_RANGES_H

#include "facteur/base/buf.h"

enum { RANGES_MAX = 1 << 20 };

struct range {
    uint32_t from, to; /* both belong to it; from <= to */
};

struct ranges {
    struct range *items; /* ascending, neither overlapping nor touching */
    size_t count, cap;
};

void ranges_clear(struct ranges *r);
/* Adds from … to (in either order), merging. Ascending additions are O(1). 0 or -E2BIG. */
int ranges_add(struct ranges *r, uint32_t from, uint32_t to) MUST_USE;
/* Takes from … to (in either order) out. 0 or -E2BIG. */
int ranges_remove(struct ranges *r, uint32_t from, uint32_t to) MUST_USE;
/* Leaves those that `with` has too. 0 or -E2BIG. */
int ranges_keep(struct ranges *r, const struct ranges *with) MUST_USE;
bool ranges_has(const struct ranges *r, uint32_t n); /* O(log count) */
uint64_t ranges_count(const struct ranges *r);       /* how many numbers */
int ranges_copy(const struct ranges *from, struct ranges *to) MUST_USE;

/* Walks the numbers in ascending order: *cursor starts at 0 and is the number last given; false at the end. */
bool ranges_next(const struct ranges *r, uint64_t *cursor, uint32_t *ret);

/* "2,4:7,9"; an empty set adds nothing. */
int ranges_format(const struct ranges *r, struct buf *out) MUST_USE;

#endif
