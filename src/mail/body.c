#include "facteur/mail/body.h"

#include <errno.h>

/* Only a CR LF that was really sent leads to LINE_START, and only there a dot means something. A line end made by
 * fix_bare leads to IN_LINE, so nothing but CRLF.CRLF ends a message (RFC 5321 sections 2.3.8 and 4.1.1.4). */
enum {
    LINE_START, /* at the start, and after a true CRLF */
    IN_LINE,
    AFTER_CR,
    AFTER_DOT,   /* CRLF "." */
    AFTER_DOT_CR /* CRLF "." CR */
};

enum { STAGE = 8 * 1024 };

/* Where short runs are gathered, so that the sink is called once for many lines. */
struct stage {
    struct body_in *b;
    size_t n;
    char data[STAGE];
};

/* The octets of one push. Each of the three pointers is the next such octet at or behind p, or end: every octet is
 * looked at once for each, however they alternate. */
struct scan {
    const char *p, *end;
    const char *cr, *lf, *nul;
};

static void note(struct body_in *b, enum body_defect defect)
{
    if (b->defect == BODY_GOOD)
        b->defect = defect;
}

static void push(struct body_in *b, const char *p, size_t n)
{
    int code;

    if (b->defect != BODY_GOOD || n == 0)
        return;
    code = sink_push(&b->out, (struct slice){ p, n });
    if (code < 0) {
        b->sink_code = code;
        note(b, BODY_SINK_FAILED);
    }
}

static void stage_flush(struct stage *st)
{
    push(st->b, st->data, st->n);
    st->n = 0;
}

static void emit(struct stage *st, const char *p, size_t n)
{
    if (st->b->defect != BODY_GOOD)
        return;
    if (n > sizeof st->data - st->n)
        stage_flush(st);
    if (n > sizeof st->data / 2) {
        stage_flush(st);
        push(st->b, p, n);
        return;
    }
    memcpy(st->data + st->n, p, n);
    st->n += n;
}

static void count(struct body_in *b, uint64_t n)
{
    b->wire_size = n > UINT64_MAX - b->wire_size ? UINT64_MAX : b->wire_size + n;
    if (b->limits.size > 0 && b->wire_size > b->limits.size)
        note(b, BODY_TOO_BIG);
}

/* Octets inside a line. */
static void text(struct stage *st, const char *p, size_t n)
{
    struct body_in *b = st->b;

    if (n == 0)
        return;
    b->line_now = n > UINT32_MAX - 2 - b->line_now ? UINT32_MAX - 2 : b->line_now + (uint32_t)n;
    if (b->limits.line > 0 && b->line_now + 2 > b->limits.line)
        note(b, BODY_LONG_LINE);
    count(b, n);
    emit(st, p, n);
}

static void line_end(struct stage *st)
{
    struct body_in *b = st->b;

    b->line_now = 0;
    b->lines++;
    count(b, 2);
    emit(st, "\n", 1);
}

/* A CR or LF without the other: a defect, or a line end where old devices are put up with. */
static void bare(struct stage *st, enum body_defect defect)
{
    if (st->b->limits.fix_bare)
        line_end(st);
    else
        note(st->b, defect);
}

static const char *next(const char *p, const char *end, char c)
{
    const char *at = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;

    return at != NULL ? at : end;
}

static void scan_move(struct scan *s, const char *p)
{
    s->p = p;
    if (s->cr < p)
        s->cr = next(p, s->end, '\r');
    if (s->lf < p)
        s->lf = next(p, s->end, '\n');
    if (s->nul < p)
        s->nul = next(p, s->end, '\0');
}

/* The text up to the next CR, LF or NUL, and that octet. */
static void in_line(struct stage *st, struct scan *s)
{
    const char *stop = s->cr < s->lf ? s->cr : s->lf;

    stop = s->nul < stop ? s->nul : stop;
    text(st, s->p, (size_t)(stop - s->p));
    if (stop == s->cr && stop < s->end)
        st->b->state = AFTER_CR;
    else if (stop == s->lf && stop < s->end)
        bare(st, BODY_BARE_LF);
    else if (stop == s->nul && stop < s->end)
        note(st->b, BODY_NUL);
    scan_move(s, stop < s->end ? stop + 1 : stop);
}

/* One step of the machine; DONE at CRLF.CRLF. */
static enum progress step(struct stage *st, struct scan *s)
{
    struct body_in *b = st->b;
    char c = *s->p;

    switch (b->state) {
    case LINE_START:
        b->state = IN_LINE;
        if (c == '.' && b->framing == BODY_DOT) {
            b->state = AFTER_DOT;
            scan_move(s, s->p + 1);
        }
        return MORE;
    case AFTER_CR:
        b->state = IN_LINE;
        if (c != '\n') {
            bare(st, BODY_BARE_CR);
            return MORE;
        }
        b->state = LINE_START;
        line_end(st);
        scan_move(s, s->p + 1);
        return MORE;
    case AFTER_DOT:
        b->state = IN_LINE;
        if (c == '\r') {
            b->state = AFTER_DOT_CR;
            scan_move(s, s->p + 1);
        } else if (c == '\n') {
            text(st, ".", 1); /* a lone dot before a bare LF ends nothing: it is text */
        }
        return MORE;
    case AFTER_DOT_CR:
        if (c == '\n') {
            scan_move(s, s->p + 1);
            return DONE;
        }
        b->state = IN_LINE;
        text(st, ".", 1);
        bare(st, BODY_BARE_CR);
        return MORE;
    default:
        in_line(st, s);
        return MORE;
    }
}

void body_in_init(struct body_in *b, enum body_framing framing, const struct body_limits *limits, struct sink out)
{
    *b = (struct body_in){ .limits = *limits, .out = out, .framing = framing, .state = LINE_START };
}

void body_in_chunk(struct body_in *b, uint64_t n)
{
    b->chunk_left = n;
}

enum progress body_in_push(struct body_in *b, struct slice in, size_t *ret_used)
{
    struct stage st; /* not initialised: only data[0 .. n) is read */
    struct scan s;
    enum progress progress = MORE;

    st.b = b;
    st.n = 0;
    if (b->framing != BODY_DOT && in.n > b->chunk_left)
        in.n = (size_t)b->chunk_left;
    if (b->framing == BODY_BINARY) {
        count(b, in.n);
        push(b, in.p, in.n);
    } else if (in.n > 0) {
        s = (struct scan){ .end = in.p + in.n };
        s.cr = next(in.p, s.end, '\r');
        s.lf = next(in.p, s.end, '\n');
        s.nul = next(in.p, s.end, '\0');
        s.p = in.p;
        while (progress == MORE && s.p < s.end)
            progress = step(&st, &s);
        in.n = (size_t)(s.p - in.p);
        stage_flush(&st);
    }
    *ret_used = in.n;
    if (b->framing == BODY_DOT)
        return progress;
    b->chunk_left -= in.n;
    return b->chunk_left == 0 ? DONE : MORE;
}

void body_in_finish(struct body_in *b)
{
    struct stage st;

    st.b = b;
    st.n = 0;
    if (b->framing != BODY_CHUNK)
        return;
    if (b->state == AFTER_CR)
        bare(&st, BODY_BARE_CR);
    if (b->line_now > 0 && !b->limits.open_end)
        line_end(&st);
    b->state = LINE_START;
    stage_flush(&st);
}
