#include "facteur/base/arena.h"

#include "facteur/base/mem.h"

#include <stdalign.h>

enum { ARENA_FIRST = 512, ARENA_MOST = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    max_align_t data[];
};

void arena_wipe(struct arena *a)
{
    for (struct arena_block *b = a->blocks; b != NULL; b = b->next)
        explicit_bzero(b->data, b->used);
    arena_clear(a);
}

void arena_clear(struct arena *a)
{
    struct arena_block *next;

    for (struct arena_block *b = a->blocks; b != NULL; b = next) {
        next = b->next;
        mem_free(b);
    }
    *a = (struct arena){ 0 };
}

/* The newest block stands first and is the one that has room; each is twice its elder up to ARENA_MOST. */
static void *take(struct arena *a, size_t n)
{
    size_t rounded = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_block *b = a->blocks;
    void *p;

    if (rounded < n) /* wrapped: no memory is that large, and mem_alloc says so */
        rounded = SIZE_MAX - sizeof *b;
    if (b == NULL || b->size - b->used < rounded) {
        size_t size = b == NULL ? ARENA_FIRST : b->size * 2;

        size = size > ARENA_MOST ? ARENA_MOST : size;
        size = size < rounded ? rounded : size;
        b = mem_alloc(sizeof *b + size);
        *b = (struct arena_block){ .next = a->blocks, .size = size };
        a->blocks = b;
    }
    p = (char *)b->data + b->used;
    b->used += rounded;
    a->total += n;
    return p;
}

void *arena_zero(struct arena *a, size_t n)
{
    void *p = take(a, n);

    memset(p, 0, n);
    return p;
}

char *arena_str(struct arena *a, struct slice s)
{
    char *p = take(a, s.n + 1);

    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}
