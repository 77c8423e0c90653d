#include "utf8_priv.h"

int utf8_length(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char low = 0x80, high = 0xbf; /* of the second octet: no overlong forms, no surrogates, up to U+10FFFF */
    size_t need;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return -1;
    need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
    for (size_t i = 1; i < need; i++) {
        if (i == s.n)
            return 0;
        if (p[i] < low || p[i] > high)
            return -(int)i;
        low = 0x80;
        high = 0xbf;
    }
    return (int)need;
}

uint32_t utf8_take(struct slice *s)
{
    const unsigned char *p = (const unsigned char *)s->p;
    int n = utf8_length(*s);
    uint32_t c;

    if (n <= 0) {
        *s = slice_skip(*s, n < 0 ? (size_t)-n : s->n);
        return UTF8_REPLACEMENT;
    }
    c = n == 1 ? p[0] : p[0] & (0x7fU >> n);
    for (int i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fU);
    *s = slice_skip(*s, (size_t)n);
    return c;
}

int utf8_add(uint32_t c, struct buf *out)
{
    char text[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (n == 1)
        return buf_addc(out, (char)c);
    for (size_t i = n - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    text[0] = (char)((0xf00U >> n & 0xff) | c);
    return buf_add(out, text, n);
}

int utf8_clean(struct slice s, struct buf *out)
{
    size_t good = 0;

    while (good < s.n) {
        struct slice rest = slice_skip(s, good);
        int n = utf8_length(rest);

        if (n > 0) {
            good += (size_t)n;
            continue;
        }
        TRY(buf_add(out, s.p, good));
        TRY(buf_adds(out, "\xef\xbf\xbd"));
        s = slice_skip(rest, n < 0 ? (size_t)-n : rest.n);
        good = 0;
    }
    return buf_add(out, s.p, good);
}
