#include "facteur/base/codec.h"
#include "facteur/mail/transfer.h"

#include <errno.h>

void transfer_out_init(struct transfer_out *t, enum mime_encoding coding)
{
    *t = (struct transfer_out){ .coding = coding };
}

/* ---- base64: lines end when another one follows ---- */

static int end_base64_line(struct transfer_out *t, struct buf *out)
{
    if (t->column > 0)
        TRY(buf_adds(out, "\r\n"));
    TRY(base64_encode((struct slice){ t->keep, t->held }, out));
    t->column = TRANSFER_LINE;
    t->held = 0;
    return 0;
}

static int push_base64(struct transfer_out *t, struct slice in, bool last, struct buf *out)
{
    while (in.n > 0) {
        size_t room = sizeof t->keep - t->held, n = in.n < room ? in.n : room;

        memcpy(t->keep + t->held, in.p, n);
        t->held += n;
        in = slice_skip(in, n);
        if (t->held == sizeof t->keep)
            TRY(end_base64_line(t, out));
    }
    return last && t->held > 0 ? end_base64_line(t, out) : 0;
}

/* ---- quoted-printable: white space and CR are held until it is known whether a line ends behind them ---- */

static char *put_line_end(char *to)
{
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *put_escaped(char *to, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned octet = (unsigned char)c;

    *to++ = '=';
    *to++ = hex[octet >> 4];
    *to++ = hex[octet & 15];
    return to;
}

static char *put_octet(struct transfer_out *t, char *to, char c, bool as_it_is)
{
    size_t n = as_it_is ? 1 : 3;

    if (t->column + n >= TRANSFER_LINE) { /* the last column is for the "=" of a soft line end */
        *to++ = '=';
        to = put_line_end(to);
        t->column = 0;
    }
    if (t->column == 0 && c == '-') { /* "--" and a boundary must not come to stand there */
        as_it_is = false;
        n = 3;
    }
    t->column += n;
    if (!as_it_is)
        return put_escaped(to, c);
    *to++ = c;
    return to;
}

static char *put_held(struct transfer_out *t, char *to, bool as_it_is)
{
    if (t->held == 0)
        return to;
    t->held = 0;
    return put_octet(t, to, t->keep[0], as_it_is);
}

static char *take_octet(struct transfer_out *t, char *to, char c)
{
    bool after_cr = t->held > 0 && t->keep[0] == '\r';

    if (after_cr && c == '\n') {
        t->held = 0;
        t->column = 0;
        return put_line_end(to);
    }
    to = put_held(t, to, !after_cr && c != '\r');
    if (c == ' ' || c == '\t' || c == '\r') {
        t->keep[0] = c;
        t->held = 1;
        return to;
    }
    return put_octet(t, to, c, c > ' ' && c < 0x7f && c != '=');
}

static int push_quoted_printable(struct transfer_out *t, struct slice in, bool last, struct buf *out)
{
    /* Three octets for each, and of every 73 columns at most three more for a soft line end. */
    char *room = buf_room(out, 3 * (in.n + 1) + (in.n + 1) / 8 + 8);
    char *to = room;

    if (room == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < in.n; i++)
        to = take_octet(t, to, in.p[i]);
    if (last)
        to = put_held(t, to, false);
    out->n += (size_t)(to - room);
    return 0;
}

int transfer_out_push(struct transfer_out *t, struct slice in, bool last, struct buf *out)
{
    return t->coding == MIME_BASE64 ? push_base64(t, in, last, out) : push_quoted_printable(t, in, last, out);
}
