#include "facteur/base/buf.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST = 64 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_clear(b);
}

void buf_clear(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
    b->n = 0;
}

/* Memory for `need` octets in all; doubling, so that n additions cost O(n). */
static void grow(struct buf *b, size_t need, size_t max)
{
    size_t cap = b->cap > BUF_FIRST / 2 ? b->cap : BUF_FIRST / 2;

    if (need <= b->cap)
        return;
    cap = cap > max / 2 ? max : cap * 2;
    cap = cap < need ? need : cap;
    b->p = mem_resize(b->p, cap);
    b->cap = cap;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->n > b->max || n > b->max - b->n)
        return NULL;
    grow(b, b->n + n > 0 ? b->n + n : 1, b->max > 0 ? b->max : 1);
    return b->p + b->n;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    char *room;

    if (n == 0)
        return 0;
    room = buf_room(b, n);
    if (room == NULL)
        return -ENOBUFS;
    memcpy(room, p, n);
    b->n += n;
    return 0;
}

int buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    char *text = small;
    va_list args;
    int n, code;

    va_start(args, fmt);
    n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n > b->max)
        return -ENOBUFS;
    if ((size_t)n >= sizeof small) { /* rare: print again where it fits, vsnprintf's NUL must not need room in b */
        text = mem_alloc((size_t)n + 1);
        va_start(args, fmt);
        (void)vsnprintf(text, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    code = buf_add(b, text, (size_t)n);
    if (text != small)
        mem_free(text);
    return code;
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

char *buf_give(struct buf *b, size_t *ret_n)
{
    char *p = b->p;

    *ret_n = b->n;
    *b = (struct buf){ .max = b->max };
    return p;
}

const char *buf_cstr(struct buf *b)
{
    grow(b, b->n + 1, b->max + 1);
    b->p[b->n] = '\0';
    return b->p;
}
