#include "facteur/base/slice.h"

#include <errno.h>

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_folded(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
    return a.n == b.n && same_folded(a.p, b.p, a.n);
}

bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

bool slice_iis(struct slice a, const char *s)
{
    return slice_ieq(a, slice_str(s));
}

bool slice_istarts(struct slice a, const char *prefix)
{
    size_t n = strlen(prefix);

    return a.n >= n && same_folded(a.p, prefix, n);
}

bool slice_iends(struct slice a, const char *suffix)
{
    size_t n = strlen(suffix);

    return a.n >= n && (n == 0 || same_folded(a.p + (a.n - n), suffix, n));
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_skip(s, 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool slice_cut(struct slice *s, char sep, struct slice *head)
{
    ptrdiff_t at = slice_find(*s, sep);

    if (at < 0) {
        *head = *s;
        *s = slice_skip(*s, s->n);
        return false;
    }
    *head = slice_head(*s, (size_t)at);
    *s = slice_skip(*s, (size_t)at + 1);
    return true;
}

ptrdiff_t slice_find(struct slice s, char c)
{
    const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

    return at != NULL ? at - s.p : -1;
}

int slice_u64(struct slice s, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value) || value > max)
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

int slice_copy(struct slice s, char *to, size_t size)
{
    if (s.n >= size || slice_find(s, '\0') >= 0)
        return -ENOBUFS;
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return 0;
}

bool slice_same_secret(struct slice a, struct slice b)
{
    volatile unsigned char diff = 0; /* volatile: the compiler may not leave the loop early */

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
    return diff == 0;
}

void slice_clip(struct slice s, char *to, size_t size)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;

    memcpy(to, s.p, n);
    to[n] = '\0';
}
