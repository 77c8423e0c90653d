/* DATA and BDAT: only CRLF.CRLF ends a message, pieces of any length give the same, and what was taken in goes out and
 * comes in again as itself. The first octet chooses framing and fixing, the second the length of the pieces. */
#include "facteur/mail/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct body_in b;
    struct buf text;
    enum progress progress;
    size_t used;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int keep(void *to, struct slice octets)
{
    return buf_add(to, octets.p, octets.n);
}

static void take(struct run *r, enum body_framing framing, bool fix, struct slice in, size_t piece)
{
    const struct body_limits limits = { .size = 1 << 20, .line = 1000, .fix_bare = fix };

    *r = (struct run){ .progress = MORE };
    buf_init(&r->text, 4 << 20);
    body_in_init(&r->b, framing, &limits, (struct sink){ keep, &r->text });
    while (in.n > 0 && r->progress == MORE) {
        struct slice one = slice_head(in, piece);
        size_t used = 0;

        if (framing != BODY_DOT)
            body_in_chunk(&r->b, one.n); /* every piece is a chunk */
        r->progress = body_in_push(&r->b, one, &used);
        require(used <= one.n && (r->progress == DONE || used == one.n));
        r->used += used;
        in = slice_skip(in, used);
        if (framing != BODY_DOT && r->progress == DONE)
            r->progress = MORE;
    }
    if (framing != BODY_DOT)
        body_in_finish(&r->b);
}

/* Where the message ends by the words of RFC 5321 section 4.1.1.4, or 0. */
static size_t true_end(struct slice in)
{
    const char *at;

    if (in.n >= 3 && memcmp(in.p, ".\r\n", 3) == 0)
        return 3;
    at = in.n > 0 ? memmem(in.p, in.n, "\r\n.\r\n", 5) : NULL;
    return at != NULL ? (size_t)(at - in.p) + 5 : 0;
}

static void check_text(struct slice text)
{
    require(slice_find(text, '\r') < 0 && slice_find(text, '\0') < 0);
    require(text.n == 0 || text.p[text.n - 1] == '\n');
}

/* Out to the wire in pieces, and in again. */
static void send_and_take(struct slice text, size_t piece)
{
    unsigned state = 0;
    struct slice rest = text;
    struct buf wire;
    struct run again;

    buf_init(&wire, 16 << 20);
    while (rest.n > 0) {
        struct slice one = slice_head(rest, piece);

        require(body_out(&state, one, true, &wire) == 0);
        rest = slice_skip(rest, one.n);
    }
    require(!body_out_in_line(state));
    require(buf_adds(&wire, ".\r\n") == 0);
    take(&again, BODY_DOT, false, buf_slice(&wire), piece);
    require(again.progress == DONE && again.used == wire.n);
    require(again.b.defect == BODY_GOOD || again.b.defect == BODY_LONG_LINE || again.b.defect == BODY_TOO_BIG);
    require(again.b.defect != BODY_GOOD || slice_eq(buf_slice(&again.text), text));
    buf_clear(&again.text);
    buf_clear(&wire);
}

/* Whatever was stored, the wire holds one end, and no CR or LF alone. */
static void send_anything(struct slice stored, size_t piece)
{
    unsigned state = 0;
    struct slice rest = stored;
    struct buf wire;

    buf_init(&wire, 16 << 20);
    while (rest.n > 0) {
        require(body_out(&state, slice_head(rest, piece), true, &wire) == 0);
        rest = slice_skip(rest, piece);
    }
    if (body_out_in_line(state))
        require(buf_adds(&wire, "\r\n") == 0);
    require(buf_adds(&wire, ".\r\n") == 0);
    require(true_end(buf_slice(&wire)) == wire.n);
    for (size_t i = 0; i < wire.n; i++) {
        require(wire.p[i] != '\r' || (i + 1 < wire.n && wire.p[i + 1] == '\n'));
        require(wire.p[i] != '\n' || (i > 0 && wire.p[i - 1] == '\r'));
    }
    buf_clear(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum body_framing framing;
    struct run whole, cut;
    struct slice in;
    size_t piece;
    bool fix;

    if (size < 2)
        return 0;
    framing = (enum body_framing)(data[0] % 3);
    fix = (data[0] & 4) != 0;
    piece = data[1] % 32 + 1U;
    in = (struct slice){ (const char *)data + 2, size - 2 };
    take(&whole, framing, fix, in, size);
    take(&cut, framing, fix, in, piece);
    require(whole.progress == cut.progress && whole.used == cut.used && whole.b.defect == cut.b.defect);
    require(whole.b.wire_size == cut.b.wire_size && whole.b.lines == cut.b.lines);
    if (framing == BODY_DOT) {
        size_t end = true_end(in);

        require((whole.progress == DONE) == (end > 0));
        require(whole.used == (end > 0 ? end : in.n));
    }
    if (whole.b.defect == BODY_GOOD) {
        require(slice_eq(buf_slice(&whole.text), buf_slice(&cut.text)));
        if (framing == BODY_BINARY) {
            require(slice_eq(buf_slice(&whole.text), in));
        } else if (framing == BODY_CHUNK || whole.progress == DONE) {
            check_text(buf_slice(&whole.text));
            send_and_take(buf_slice(&whole.text), piece);
        }
    }
    send_anything(in, piece);
    buf_clear(&whole.text);
    buf_clear(&cut.text);
    return 0;
}
