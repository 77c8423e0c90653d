#include "facteur/mail/header.h"

#include "facteur/base/mem.h"

#include <errno.h>

void header_init(struct header *h)
{
    *h = (struct header){ 0 };
    buf_init(&h->text, LIMIT_HEADER);
}

void header_clear(struct header *h)
{
    buf_clear(&h->text);
    mem_free(h->fields);
    header_init(h);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of the name at the start of a line, 0 if no field starts here. Space before the colon is obsolete but
 * read (RFC 5322 section 4.5). */
static size_t name_length(struct slice line)
{
    size_t n = 0, colon;

    while (n < line.n && line.p[n] > 32 && line.p[n] < 127 && line.p[n] != ':')
        n++;
    colon = n;
    while (colon < line.n && is_space(line.p[colon]))
        colon++;
    return colon < line.n && line.p[colon] == ':' ? n : 0;
}

/* The fields of the whole header; every line was found to be one or the continuation of one. */
static void make_fields(struct header *h)
{
    struct slice rest = buf_slice(&h->text);
    size_t i = 0;

    h->complete = true;
    if (h->count == 0)
        return;
    h->fields = mem_array(h->count, sizeof *h->fields);
    while (rest.n > 0) {
        size_t line = (size_t)slice_find(rest, '\n') + 1;

        if (is_space(rest.p[0])) {
            h->fields[i - 1].all.n += line;
        } else {
            h->fields[i].name = slice_head(rest, name_length(rest));
            h->fields[i++].all = slice_head(rest, line);
        }
        rest = slice_skip(rest, line);
    }
}

/* The line from line_start to the end of text is no field: it goes back, as far as this call took it to the input. */
static void end_broken(struct header *h, size_t from_this_call)
{
    h->spill = (struct slice){ h->text.p + h->line_start, h->text.n - h->line_start - from_this_call };
    h->text.n = h->line_start;
    h->broken = true;
    make_fields(h);
}

/* A whole line stands at line_start. `from_this_call` octets of it came with this call. */
static int take_line(struct header *h, size_t from_this_call)
{
    struct slice line = { h->text.p + h->line_start, h->text.n - h->line_start - 1 };

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n == 0) {
        h->text.n = h->line_start;
        make_fields(h);
        return DONE;
    }
    if (is_space(line.p[0]) ? h->count == 0 : name_length(line) == 0) {
        end_broken(h, from_this_call);
        return DONE;
    }
    if (!is_space(line.p[0])) {
        if (h->count == LIMIT_HEADER_FIELDS)
            return -EMSGSIZE;
        h->count++;
        h->field_start = h->line_start;
    }
    h->text.n = h->line_start + line.n + 1;
    h->text.p[h->text.n - 1] = '\n';
    if (h->text.n - h->field_start > LIMIT_HEADER_FIELD)
        return -EMSGSIZE;
    h->line_start = h->text.n;
    return MORE;
}

/* Appends; -EMSGSIZE over a limit. A line is bounded before its end is seen. */
static int append(struct header *h, struct slice in)
{
    if (in.n > LIMIT_HEADER_FIELD - (h->text.n - h->line_start) || buf_add(&h->text, in.p, in.n) < 0)
        return -EMSGSIZE;
    return 0;
}

int header_push(struct header *h, struct slice in, size_t *ret_used)
{
    struct slice rest = in;

    while (rest.n > 0) {
        ptrdiff_t lf = slice_find(rest, '\n');
        size_t n = lf >= 0 ? (size_t)lf + 1 : rest.n;
        int code;

        TRY(append(h, slice_head(rest, n)));
        if (lf < 0)
            break;
        code = take_line(h, n);
        if (code < 0)
            return code;
        if (code == DONE) {
            *ret_used = in.n - rest.n + (h->broken ? 0 : n);
            return DONE;
        }
        rest = slice_skip(rest, n);
    }
    *ret_used = in.n;
    return MORE;
}

int header_end(struct header *h)
{
    int code;

    if (h->complete)
        return 0;
    if (h->text.n == h->line_start) {
        make_fields(h);
        return 0;
    }
    if (name_length((struct slice){ h->text.p + h->line_start, h->text.n - h->line_start }) == 0 &&
        (!is_space(h->text.p[h->line_start]) || h->count == 0)) {
        end_broken(h, 0);
        return 0;
    }
    TRY(append(h, SLICE_LIT("\n")));
    code = take_line(h, 0);
    if (code < 0)
        return code;
    make_fields(h);
    return 0;
}

size_t header_count(const struct header *h, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < h->count; i++)
        if (slice_iis(h->fields[i].name, name))
            n++;
    return n;
}

const struct header_field *header_find(const struct header *h, const char *name, size_t nth)
{
    for (size_t i = 0; i < h->count; i++)
        if (slice_iis(h->fields[i].name, name) && nth-- == 0)
            return &h->fields[i];
    return NULL;
}

int header_value(const struct header_field *f, struct buf *out)
{
    struct slice rest = slice_skip(f->all, f->name.n);
    struct slice line;

    buf_reset(out);
    rest = slice_trim(slice_skip(rest, (size_t)slice_find(rest, ':') + 1));
    while (rest.n > 0) {
        (void)slice_cut(&rest, '\n', &line);
        TRY(buf_add(out, line.p, line.n));
    }
    while (out->n > 0 && is_space(out->p[out->n - 1]))
        out->n--;
    if (out->n > 0) {
        size_t front = 0;

        while (front < out->n && is_space(out->p[front]))
            front++;
        buf_drop(out, front);
    }
    return 0;
}
