/* The second reading: the message is written by the plan. */
#include "seven_bit_priv.h"

#include <errno.h>

static const struct seven_bit_step as_it_is = { .kind = STEP_AS_IT_IS };

static const char *const labels[] = {
    [MIME_7BIT] = "7bit",
    [MIME_8BIT] = "8bit",
    [MIME_BINARY] = "binary",
    [MIME_BASE64] = "base64",
    [MIME_QUOTED_PRINTABLE] = "quoted-printable",
};

/* ---- headers ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int put_line(struct slice line, struct buf *out)
{
    TRY(buf_add(out, line.p, line.n));
    return buf_adds(out, "\r\n");
}

static int put_encoding(struct seven_bit *s, struct buf *out)
{
    s->seen_encoding = true;
    return buf_addf(out, "Content-Transfer-Encoding: %s\r\n", labels[s->step->label]);
}

/* Which field a line belongs to that begins here: an old Content-Transfer-Encoding gives way to the new one. */
static int judge(struct seven_bit *s, struct buf *out)
{
    struct slice line = { s->line, s->line_n }, name;

    if (s->judged || s->line_n == 0)
        return 0;
    s->judged = true;
    if (is_blank(line.p[0])) /* still the field before */
        return 0;
    s->dropping = false;
    if (!slice_cut(&line, ':', &name))
        return 0;
    name = slice_trim(name);
    s->seen_version = s->seen_version || slice_iis(name, "MIME-Version");
    s->seen_type = s->seen_type || slice_iis(name, "Content-Type");
    s->dropping = s->step->labelled && slice_iis(name, "Content-Transfer-Encoding");
    return s->dropping && !s->seen_encoding ? put_encoding(s, out) : 0;
}

/* The line has no room for `next`: what is before its last white space is written. */
static int fold(struct seven_bit *s, char next, struct buf *out)
{
    size_t at = s->line_n;

    TRY(judge(s, out));
    if (s->dropping) {
        s->line_n = 0;
        return 0;
    }
    while (at > 0 && !(is_blank(at == s->line_n ? next : s->line[at]) && !is_blank(s->line[at - 1])))
        at--;
    if (at == 0) /* the survey has seen to it that there is such a place */
        return -EBADMSG;
    TRY(put_line((struct slice){ s->line, at }, out));
    s->line_n -= at;
    memmove(s->line, s->line + at, s->line_n);
    return 0;
}

/* What the header lacks of what it must have. */
static int put_missing(struct seven_bit *s, struct buf *out)
{
    if (!s->step->labelled)
        return 0;
    if (s->step->opens_message && !s->seen_version)
        TRY(buf_adds(out, "MIME-Version: 1.0\r\n"));
    if (s->step->is_text && !s->seen_type) /* RFC 1428 section 3: nobody knows which */
        TRY(buf_adds(out, "Content-Type: text/plain; charset=unknown-8bit\r\n"));
    return s->seen_encoding ? 0 : put_encoding(s, out);
}

static int end_header_line(struct seven_bit *s, struct buf *out)
{
    bool is_empty = s->line_n == 0;

    TRY(is_empty ? put_missing(s, out) : judge(s, out));
    if (is_empty || !s->dropping)
        TRY(put_line((struct slice){ s->line, s->line_n }, out));
    s->line_n = 0;
    s->judged = false;
    return 0;
}

static int push_header(struct seven_bit *s, struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];

        if (c == '\n') {
            TRY(end_header_line(s, out));
            continue;
        }
        if (c == '\r') /* there are none but before LF */
            continue;
        if (s->line_n == sizeof s->line)
            TRY(fold(s, c, out));
        s->line[s->line_n++] = c;
    }
    return 0;
}

static int end_header(struct seven_bit *s, struct buf *out)
{
    TRY(judge(s, out));
    if (s->dropping)
        return 0;
    return buf_add(out, s->line, s->line_n); /* without an empty line, and without its line end */
}

/* ---- what stands around parts ---- */

static int push_around(struct seven_bit *s, struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];

        if (c == '\n') {
            TRY(buf_adds(out, "\r\n"));
            s->line_n = 0;
            s->cut = s->cr = false;
            continue;
        }
        /* From where it does not fit on, so that the line is none that was not there. */
        s->cut = s->cut || s->cr || c == '\0' || (unsigned char)c > 127 || s->line_n == MIME_LINE;
        s->cr = c == '\r';
        if (s->cut || s->cr)
            continue;
        TRY(buf_addc(out, c));
        s->line_n++;
    }
    return 0;
}

/* ---- bodies ---- */

static int push_as_it_is(struct seven_bit *s, struct slice in, struct buf *out)
{
    (void)s;
    return buf_add(out, in.p, in.n);
}

static int encode(struct seven_bit *s, struct slice in, bool last, struct buf *out)
{
    if (s->step->from == MIME_7BIT)
        return transfer_out_push(&s->encode, in, last, out);
    buf_reset(&s->decoded);
    TRY(transfer_push(&s->decode, in, last, &s->decoded));
    return transfer_out_push(&s->encode, buf_slice(&s->decoded), last, out);
}

static int push_encoded(struct seven_bit *s, struct slice in, struct buf *out)
{
    return encode(s, in, false, out);
}

static int end_encoded(struct seven_bit *s, struct buf *out)
{
    return encode(s, (struct slice){ "", 0 }, true, out);
}

/* ---- steps ---- */

static const struct kind {
    int (*push)(struct seven_bit *s, struct slice in, struct buf *out);
    int (*end)(struct seven_bit *s, struct buf *out); /* or NULL */
} kinds[] = {
    [STEP_AROUND] = { push_around, NULL },
    [STEP_HEADER] = { push_header, end_header },
    [STEP_AS_IT_IS] = { push_as_it_is, NULL },
    [STEP_ENCODE] = { push_encoded, end_encoded },
};

static int end_step(struct seven_bit *s, struct buf *out)
{
    const struct kind *kind = s->step != NULL ? &kinds[s->step->kind] : NULL;

    return kind != NULL && kind->end != NULL ? kind->end(s, out) : 0;
}

static void start_step(struct seven_bit *s, const struct seven_bit_step *step)
{
    s->step = step;
    s->line_n = 0;
    s->judged = s->dropping = s->cut = s->cr = false;
    s->seen_version = s->seen_type = s->seen_encoding = false;
    transfer_init(&s->decode, (enum mime_encoding)step->from);
    transfer_out_init(&s->encode, (enum mime_encoding)step->coding);
}

/* Some steps have nothing in them: the next one is at the same place. */
static int start_steps_here(struct seven_bit *s, struct buf *out)
{
    if (s->step == NULL)
        start_step(s, &as_it_is); /* without a plan, to the end */
    while (s->next < s->count && s->steps[s->next].at == s->at) {
        TRY(end_step(s, out));
        start_step(s, &s->steps[s->next++]);
    }
    return 0;
}

int seven_bit_push(struct seven_bit *s, struct slice in, struct buf *out)
{
    while (in.n > 0) {
        struct slice piece = in;

        TRY(start_steps_here(s, out));
        if (s->next < s->count && s->steps[s->next].at - s->at < in.n)
            piece.n = (size_t)(s->steps[s->next].at - s->at);
        TRY(kinds[s->step->kind].push(s, piece, out));
        s->at += piece.n;
        in = slice_skip(in, piece.n);
    }
    return 0;
}

int seven_bit_end(struct seven_bit *s, struct buf *out)
{
    TRY(start_steps_here(s, out));
    return end_step(s, out);
}
