#include "facteur/base/codec.h"

#include <errno.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base32_digits[] = "0123456789abcdefghijklmnopqrstuv";
static const char hex_digits[] = "0123456789ABCDEF";

enum { BASE32_U64 = 13 };

int base64_encode(struct slice in, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)in.p;
    size_t left = in.n;
    char *to;

    if (in.n > SIZE_MAX / 4 * 3 - 3)
        return -ENOBUFS;
    to = buf_room(out, (in.n + 2) / 3 * 4);
    if (to == NULL)
        return -ENOBUFS;
    for (; left >= 3; left -= 3, p += 3) {
        *to++ = base64_digits[p[0] >> 2];
        *to++ = base64_digits[(p[0] & 3) << 4 | p[1] >> 4];
        *to++ = base64_digits[(p[1] & 15) << 2 | p[2] >> 6];
        *to++ = base64_digits[p[2] & 63];
    }
    if (left > 0) {
        unsigned second = left == 2 ? p[1] : 0;

        *to++ = base64_digits[p[0] >> 2];
        *to++ = base64_digits[(p[0] & 3U) << 4 | second >> 4];
        *to++ = left == 2 ? base64_digits[(second & 15) << 2] : '=';
        *to++ = '=';
    }
    out->n += (in.n + 2) / 3 * 4;
    return 0;
}

/* The value of a digit, or -1. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, the last `pad` of them "=", to 3 - pad octets. */
static int base64_quad(const char *in, unsigned pad, char *to)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - pad ? base64_value(in[i]) : 0;

        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
    }
    if ((bits & ((1U << (8 * pad)) - 1)) != 0)
        return -EINVAL; /* unused bits: two texts would mean the same */
    for (unsigned i = 0; i < 3 - pad; i++)
        to[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    return 0;
}

int base64_decode(struct slice in, struct buf *out)
{
    unsigned pad = 0;
    char *to;

    if (in.n % 4 != 0)
        return -EINVAL;
    if (in.n == 0)
        return 0;
    while (pad < 2 && in.p[in.n - 1 - pad] == '=')
        pad++;
    to = buf_room(out, in.n / 4 * 3 - pad);
    if (to == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < in.n; i += 4)
        TRY(base64_quad(in.p + i, i + 4 == in.n ? pad : 0, to + i / 4 * 3));
    out->n += in.n / 4 * 3 - pad;
    return 0;
}

void base32_u64(uint64_t n, char to[14])
{
    for (int i = BASE32_U64 - 1; i >= 0; i--, n >>= 5)
        to[i] = base32_digits[n & 31];
    to[BASE32_U64] = '\0';
}

int base32_u64_parse(struct slice in, uint64_t *ret)
{
    uint64_t n = 0;

    if (in.n != BASE32_U64 || in.p[0] > 'f') /* 13 digits are 65 bits */
        return -EINVAL;
    for (size_t i = 0; i < in.n; i++) {
        const char *digit = in.p[i] != '\0' ? strchr(base32_digits, in.p[i]) : NULL;

        if (digit == NULL)
            return -EINVAL;
        n = n << 5 | (uint64_t)(digit - base32_digits);
    }
    *ret = n;
    return 0;
}

static bool is_xchar(unsigned char c)
{
    return c > 32 && c < 127 && c != '+' && c != '=';
}

int xtext_encode(struct slice in, struct buf *out)
{
    size_t before = out->n;
    int code = 0;

    for (size_t i = 0; i < in.n && code == 0; i++) {
        unsigned char c = (unsigned char)in.p[i];
        char hex[3] = { '+', hex_digits[c >> 4], hex_digits[c & 15] };

        code = is_xchar(c) ? buf_addc(out, in.p[i]) : buf_add(out, hex, sizeof hex);
    }
    if (code < 0)
        out->n = before;
    return code;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : -1; /* the RFC asks upper case; refusing a client for it helps no one */
}

/* One octet of xtext off the front of *in: 0-255 or -EINVAL. */
static int xtext_octet(struct slice *in)
{
    int high, low;

    if (is_xchar((unsigned char)in->p[0])) {
        int c = (unsigned char)in->p[0];

        *in = slice_skip(*in, 1);
        return c;
    }
    if (in->p[0] != '+' || in->n < 3)
        return -EINVAL;
    high = hex_value(in->p[1]);
    low = hex_value(in->p[2]);
    *in = slice_skip(*in, 3);
    return high < 0 || low < 0 ? -EINVAL : high << 4 | low;
}

int xtext_decode(struct slice in, struct buf *out)
{
    size_t before = out->n;
    int code = 0;

    while (in.n > 0 && code == 0) {
        int c = xtext_octet(&in);

        code = c <= 0 || c == '\r' || c == '\n' ? -EINVAL : buf_addc(out, (char)c);
    }
    if (code < 0)
        out->n = before;
    return code;
}

/* The length of the sequence that starts with c, and the lowest and highest second octet; 0: none starts so. RFC 3629
 * section 4 as a table in code. */
static size_t utf8_lead(unsigned char c, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return 2;
    if (c >= 0xe0 && c <= 0xef) {
        *low = c == 0xe0 ? 0xa0 : 0x80;  /* no overlong forms */
        *high = c == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        *low = c == 0xf0 ? 0x90 : 0x80;
        *high = c == 0xf4 ? 0x8f : 0xbf; /* no more than U+10FFFF */
        return 4;
    }
    return 0;
}

bool utf8_valid(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t i = 0; i < s.n;) {
        unsigned char low, high;
        size_t n = utf8_lead(p[i], &low, &high);

        if (n == 0 || n > s.n - i || (n > 1 && (p[i + 1] < low || p[i + 1] > high)))
            return false;
        for (size_t k = 2; k < n; k++)
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
        i += n;
    }
    return true;
}

bool ascii_only(struct slice s)
{
    size_t i = 0;

    for (uint64_t eight; s.n - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, s.p + i, sizeof eight);
        if ((eight & 0x8080808080808080ULL) != 0)
            return false;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] > 127)
            return false;
    return true;
}
