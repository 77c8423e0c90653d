#include "facteur/mail/transfer.h"

#include "hex_priv.h"

#include <errno.h>

void transfer_init(struct transfer *t, enum mime_encoding coding)
{
    *t = (struct transfer){ .coding = coding };
}

/* What an octet is in base64: a digit's value, or one of these, all of them with the bits of DIGIT_MORE. */
enum { NO = 0xff, SP = 0xfe, PAD = 0xfd, DIGIT_MORE = 0xc0 };

/* clang-format off */
static const unsigned char digits[128] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, SP, SP, NO, NO, SP, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    SP, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, NO, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, PAD, NO, NO,
    NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO
};
/* clang-format on */

static unsigned base64_value(char c)
{
    unsigned char at = (unsigned char)c;

    return at < sizeof digits ? digits[at] : NO;
}

/* Whole groups in a row, which are nearly all that there is. How many octets of `in` they were. */
static size_t whole_groups(struct slice in, char **to)
{
    size_t i = 0;

    for (; in.n - i >= 4; i += 4) {
        unsigned a = base64_value(in.p[i]), b = base64_value(in.p[i + 1]), c = base64_value(in.p[i + 2]),
                 d = base64_value(in.p[i + 3]);

        if (((a | b | c | d) & DIGIT_MORE) != 0)
            break;
        *(*to)++ = (char)(a << 2 | b >> 4);
        *(*to)++ = (char)((b << 4 | c >> 2) & 0xff);
        *(*to)++ = (char)((c << 6 | d) & 0xff);
    }
    return i;
}

/* The octets of a group that ends early, at padding or at the end. */
static size_t end_group(struct transfer *t, char *to)
{
    size_t n = t->state > 0 ? t->state - 1 : 0;
    uint32_t bits = t->bits << (6 * (4 - t->state));

    t->broken = t->broken || t->state == 1;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    t->state = 0;
    t->bits = 0;
    return n;
}

/* `state` counts the digits of the group at hand. What follows padding is a new text, as when two were put together. */
static int push_base64(struct transfer *t, struct slice in, bool last, struct buf *out)
{
    char *room = buf_room(out, (t->state + in.n) * 3 / 4); /* six bits a digit */
    char *to = room;

    if (room == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < in.n; i++) {
        unsigned value;

        i += t->state == 0 ? whole_groups(slice_skip(in, i), &to) : 0;
        if (i == in.n)
            break;
        value = base64_value(in.p[i]);
        if (value < 64) {
            t->bits = t->bits << 6 | value;
            t->state++;
        } else if (value == PAD) {
            to += end_group(t, to);
        } else if (value == NO) {
            t->broken = true; /* and passed over (RFC 2045 section 6.8) */
        }
        if (t->state == 4)
            to += end_group(t, to);
    }
    if (last)
        to += end_group(t, to);
    out->n += (size_t)(to - room);
    return 0;
}

/* Of quoted-printable. What is held back stands in `keep`: white space and a CR, or what follows a "=" with it. */
enum { TEXT, BLANK, CR, EQUALS, DIGIT, EQUALS_BLANK, EQUALS_CR };

static int release(struct transfer *t, struct buf *out)
{
    size_t n = t->held;

    t->held = 0;
    t->state = TEXT;
    return buf_add(out, t->keep, n);
}

static int hold(struct transfer *t, char c, unsigned state, struct buf *out)
{
    if (t->held == sizeof t->keep)
        TRY(release(t, out));
    t->keep[t->held++] = c;
    t->state = state;
    return 0;
}

static int line_end(struct transfer *t, const char *end, struct buf *out)
{
    t->held = 0;
    t->state = TEXT;
    return buf_adds(out, end);
}

/* One octet that is no part of an escape. */
static int take_text(struct transfer *t, char c, struct buf *out)
{
    if (c == '\n')
        return line_end(t, t->state == CR ? "\r\n" : "\n", out);
    if (t->state == CR || (t->state == BLANK && c != ' ' && c != '\t' && c != '\r'))
        TRY(release(t, out));
    if (c == ' ' || c == '\t')
        return hold(t, c, BLANK, out);
    if (c == '\r')
        return hold(t, c, CR, out);
    return c == '=' ? hold(t, c, EQUALS, out) : buf_addc(out, c);
}

/* One octet behind a "=" that is held: a digit, or white space and the end of the line. */
static int take_escape(struct transfer *t, char c, struct buf *out)
{
    const char hex[] = { t->keep[1], c };
    int octet = t->state == DIGIT ? hex_octet((struct slice){ hex, sizeof hex }) : -1;
    bool blank = c == ' ' || c == '\t';

    if (t->state == EQUALS && hex_value(c) >= 0)
        return hold(t, c, DIGIT, out);
    if (octet >= 0) {
        t->held = 0;
        t->state = TEXT;
        return buf_addc(out, (char)octet);
    }
    if (t->state != DIGIT && c == '\n')
        return line_end(t, "", out);
    if ((t->state == EQUALS || t->state == EQUALS_BLANK) && (blank || c == '\r') && t->held < sizeof t->keep)
        return hold(t, c, blank ? EQUALS_BLANK : EQUALS_CR, out);
    t->broken = true;
    TRY(release(t, out));
    return take_text(t, c, out);
}

static int push_quoted_printable(struct transfer *t, struct slice in, bool last, struct buf *out)
{
    while (in.n > 0) {
        size_t n = 0;

        while (t->state == TEXT && n < in.n && in.p[n] != '=' && in.p[n] != ' ' && in.p[n] != '\t' && in.p[n] != '\r')
            n++;
        if (n > 0) {
            TRY(buf_add(out, in.p, n));
            in = slice_skip(in, n);
            continue;
        }
        TRY(t->state >= EQUALS ? take_escape(t, in.p[0], out) : take_text(t, in.p[0], out));
        in = slice_skip(in, 1);
    }
    if (!last)
        return 0;
    t->broken = t->broken || t->state == DIGIT;
    if (t->state == DIGIT || t->state == CR)
        return release(t, out);
    return line_end(t, "", out); /* white space at the end, or a soft line end */
}

int transfer_push(struct transfer *t, struct slice in, bool last, struct buf *out)
{
    switch (t->coding) {
    case MIME_BASE64:
        return push_base64(t, in, last, out);
    case MIME_QUOTED_PRINTABLE:
        return push_quoted_printable(t, in, last, out);
    case MIME_7BIT:
    case MIME_8BIT:
    case MIME_BINARY:
    case MIME_UNKNOWN_ENCODING:
        break;
    }
    return buf_add(out, in.p, in.n);
}
