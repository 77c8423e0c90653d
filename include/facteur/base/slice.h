/* facteur: base/slice: a borrowed run of octets.
 * Purpose:   how text from outside is passed: pointer and length, never trusted to end in NUL.
 * Owner:     borrows; whoever made the octets says how long they live.
 * Thread:    any.
 * Limits:    none.
 * Standards: comparisons without case fold ASCII only. */
#ifndef FACTEUR_BASE_SLICE_H
#define FACTEUR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* For printf's "%.*s". */
#define SLICE_ARG(s)   ((s).n > INT32_MAX ? INT32_MAX : (int)(s).n), (s).p
#define SLICE_LIT(lit) ((struct slice){ (lit), sizeof(lit) - 1 })

static inline struct slice slice_make(const char *p, size_t n)
{
    return (struct slice){ p, n };
}
static inline struct slice slice_str(const char *s) /* NULL gives an empty slice */
{
    return (struct slice){ s, s != NULL ? strlen(s) : 0 };
}
static inline struct slice slice_skip(struct slice s, size_t n)
{
    n = n > s.n ? s.n : n;
    return n > 0 ? (struct slice){ s.p + n, s.n - n } : s; /* NULL + 0 is not defined */
}
static inline struct slice slice_head(struct slice s, size_t n)
{
    return (struct slice){ s.p, n > s.n ? s.n : n };
}

bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b);
bool slice_is(struct slice a, const char *s);  /* exact */
bool slice_iis(struct slice a, const char *s); /* ASCII case folded */
bool slice_istarts(struct slice a, const char *prefix);
bool slice_iends(struct slice a, const char *suffix);
struct slice slice_trim(struct slice s); /* SP and HT at both ends */

/* Cuts at the first `sep`: *head gets what is before it, *s what is after. False (head = all, s empty) without one. */
bool slice_cut(struct slice *s, char sep, struct slice *head);

/* The offset of c, or -1. */
ptrdiff_t slice_find(struct slice s, char c);

/* A decimal number without sign, all digits, no more than max. 0 or -EINVAL, -ERANGE; *ret only on success. */
int slice_u64(struct slice s, uint64_t max, uint64_t *ret);

/* Copies into a NUL-terminated array of `size`; -ENOBUFS (nothing written) if it does not fit or holds a NUL. */
int slice_copy(struct slice s, char *to, size_t size) __attribute__((warn_unused_result));

/* Copies as much as fits into a NUL-terminated array: for texts that a person reads. */
void slice_clip(struct slice s, char *to, size_t size);

/* Equal in constant time for equal lengths. */
bool slice_same_secret(struct slice a, struct slice b);

#endif
