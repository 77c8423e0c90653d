#include "facteur/mail/mutf7.h"

#include "facteur/base/codec.h"
#include "utf8_priv.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == ',' ? 63 : -1;
}

static bool is_printable(uint32_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

/* One UTF-16 unit of a shifted run; *high keeps a leading surrogate until its other half comes. */
static int add_unit(uint32_t unit, uint32_t *high, struct buf *out)
{
    uint32_t c = unit;

    if (*high != 0) {
        if (unit < 0xdc00 || unit > 0xdfff)
            return -EINVAL;
        c = 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
        *high = 0;
        return utf8_add(c, out);
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
        *high = unit;
        return 0;
    }
    if (is_printable(c) || (unit >= 0xdc00 && unit <= 0xdfff))
        return -EINVAL;
    return utf8_add(c, out);
}

/* What stands between "&" and "-", at least one character of it. */
static int decode_run(struct slice run, struct buf *out)
{
    uint32_t bits = 0, high = 0;
    unsigned have = 0;

    for (size_t i = 0; i < run.n; i++) {
        int value = digit_value(run.p[i]);

        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 16) {
            have -= 16;
            TRY(add_unit(bits >> have & 0xffff, &high, out));
            bits &= (1U << have) - 1;
        }
    }
    return have >= 6 || bits != 0 || high != 0 ? -EINVAL : 0; /* a needless digit, or half a character */
}

static int decode(struct slice in, struct buf *out)
{
    bool after_run = false; /* a second run right behind the first should have been part of it */

    while (in.n > 0) {
        struct slice run;

        if (in.p[0] != '&') {
            if (!is_printable((unsigned char)in.p[0]))
                return -EINVAL;
            TRY(buf_addc(out, in.p[0]));
            in = slice_skip(in, 1);
            after_run = false;
            continue;
        }
        in = slice_skip(in, 1);
        if (!slice_cut(&in, '-', &run))
            return -EINVAL;
        if (run.n > 0 && after_run)
            return -EINVAL;
        after_run = run.n > 0;
        TRY(after_run ? decode_run(run, out) : buf_addc(out, '&'));
    }
    return 0;
}

/* A run in the making. */
struct shift {
    bool on;
    uint32_t bits;
    unsigned have;
};

static int shift_unit(struct shift *s, uint32_t unit, struct buf *out)
{
    if (!s->on)
        TRY(buf_addc(out, '&'));
    s->on = true;
    s->bits = s->bits << 16 | unit; /* at most 4 bits are left over from before */
    s->have += 16;
    while (s->have >= 6) {
        s->have -= 6;
        TRY(buf_addc(out, digits[s->bits >> s->have & 63]));
    }
    s->bits &= (1U << s->have) - 1;
    return 0;
}

static int shift_end(struct shift *s, struct buf *out)
{
    if (!s->on)
        return 0;
    if (s->have > 0)
        TRY(buf_addc(out, digits[s->bits << (6 - s->have) & 63]));
    *s = (struct shift){ 0 };
    return buf_addc(out, '-');
}

static int encode(struct slice in, struct buf *out)
{
    struct shift s = { 0 };

    while (in.n > 0) {
        uint32_t c = utf8_take(&in);

        if (is_printable(c)) {
            TRY(shift_end(&s, out));
            TRY(buf_addc(out, (char)c));
            if (c == '&')
                TRY(buf_addc(out, '-'));
        } else if (c < 0x10000) {
            TRY(shift_unit(&s, c, out));
        } else {
            TRY(shift_unit(&s, 0xd800 + ((c - 0x10000) >> 10), out));
            TRY(shift_unit(&s, 0xdc00 + ((c - 0x10000) & 0x3ff), out));
        }
    }
    return shift_end(&s, out);
}

int mutf7_decode(struct slice in, struct buf *out)
{
    size_t start = out->n;
    int code = decode(in, out);

    if (code < 0)
        out->n = start;
    return code;
}

int mutf7_encode(struct slice in, struct buf *out)
{
    size_t start = out->n;
    int code = utf8_valid(in) ? encode(in, out) : -EINVAL;

    if (code < 0)
        out->n = start;
    return code;
}
