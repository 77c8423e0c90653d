/* facteur: base/buf: a growing run of octets with a maximum given at birth.
 * Purpose:   everything that is put together or kept of what a peer sends.
 * Owner:     embedded by value; buf_clear frees. A zeroed struct is an empty buffer with maximum 0.
 * Thread:    one at a time.
 * Limits:    `max`, chosen by the maker from a named limit; beyond it -ENOBUFS and nothing is written.
 * Standards: none. */
#ifndef FACTEUR_BASE_BUF_H
#define FACTEUR_BASE_BUF_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct buf {
    char *p;
    size_t n;   /* octets in use */
    size_t cap; /* octets allocated */
    size_t max;
};

void buf_init(struct buf *b, size_t max);
void buf_clear(struct buf *b); /* frees; the maximum stays */
void buf_wipe(struct buf *b);  /* the same for a secret: overwrites it first */
void buf_reset(struct buf *b); /* n = 0, memory stays */

int buf_add(struct buf *b, const void *p, size_t n) MUST_USE; /* 0 or -ENOBUFS */
int buf_adds(struct buf *b, const char *s) MUST_USE;
int buf_addc(struct buf *b, char c) MUST_USE;
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Room for n more octets behind b->n; the caller writes there and raises b->n. NULL beyond max. */
char *buf_room(struct buf *b, size_t n) MUST_USE;

void buf_drop(struct buf *b, size_t n); /* takes n octets off the front */

/* Moves the memory out: the caller frees it with mem_free; b is empty after it. */
char *buf_give(struct buf *b, size_t *ret_n);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){ b->p, b->n };
}

/* The text with a NUL behind it (not counted in n); "" for an empty buffer. May reach max + 1. */
const char *buf_cstr(struct buf *b);

#endif
