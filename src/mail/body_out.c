#include "facteur/mail/body.h"

#include <errno.h>

/* What body_out keeps between calls. Whatever was stored, each line goes out with CRLF and no CR or LF stands alone
 * (a stored CR alone would let the next server see another message: SMTP smuggling). */
enum {
    OUT_LINE_START = 0,
    OUT_IN_LINE = 1,
    OUT_AFTER_CR = 2 /* CRLF was written for a CR; an LF now belongs to it */
};

static size_t occurrences(struct slice in, char c)
{
    size_t n = 0;

    for (ptrdiff_t at = slice_find(in, c); at >= 0; at = slice_find(in, c)) {
        n++;
        in = slice_skip(in, (size_t)at + 1);
    }
    return n;
}

static const char *next(const char *p, const char *end, char c)
{
    const char *at = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;

    return at != NULL ? at : end;
}

static char *put(char *to, const char *p, size_t n)
{
    memcpy(to, p, n);
    return to + n;
}

int body_out(unsigned *state, struct slice in, bool dot, struct buf *out)
{
    /* Each line end takes at most two octets more (CR, or LF, and a dot after it), the first line a dot. */
    size_t most = in.n + 2 * (occurrences(in, '\n') + occurrences(in, '\r')) + 1;
    char *room = in.n > 0 ? buf_room(out, most) : NULL;
    char *to = room;
    const char *p = in.p;
    const char *end, *cr, *lf;

    if (in.n == 0)
        return 0;
    if (room == NULL)
        return -ENOBUFS;
    end = p + in.n;
    cr = next(p, end, '\r');
    lf = next(p, end, '\n');
    while (p < end) {
        const char *stop;

        if (*state == OUT_AFTER_CR) {
            *state = OUT_LINE_START;
            if (*p == '\n')
                p++;
        } else {
            if (*state == OUT_LINE_START && *p == '.' && dot)
                *to++ = '.';
            stop = cr < lf ? cr : lf;
            to = put(to, p, (size_t)(stop - p));
            *state = OUT_IN_LINE;
            p = stop;
            if (stop < end) {
                to = put(to, "\r\n", 2);
                *state = *p++ == '\r' ? OUT_AFTER_CR : OUT_LINE_START;
            }
        }
        cr = cr < p ? next(p, end, '\r') : cr;
        lf = lf < p ? next(p, end, '\n') : lf;
    }
    out->n += (size_t)(to - room);
    return 0;
}
