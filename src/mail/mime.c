#include "facteur/base/mem.h"
#include "mime_priv.h"

enum {
    HOLD_MAX = MIME_BOUNDARY + 8 /* octets of a line that tell whether it is a delimiter: "--", boundary, "--" CRLF */
};

/* Where the parser is in the message: octets, line ends, and line ends without CR before it. */
struct position {
    uint64_t at, lines, bare;
};

/* A multipart whose delimiter may come. */
struct boundary {
    struct mime_part *part;
    struct slice text;
};

enum place { LINE_START, IN_LINE, IN_DELIMITER /* the rest of its line */ };
enum line { UNDECIDED, ORDINARY, EMPTY /* ends the header */, DELIMITER };

struct mime_parser {
    struct mime *m;
    bool structure, done;
    enum place place;
    struct mime_part *part; /* the innermost one that is open */
    unsigned depth;         /* of `part`; the root's is 0 */
    bool in_header;         /* of `part` */
    struct mime_header header;
    struct buf field;    /* the header's field at hand, with its line ends */
    size_t header_left;  /* octets of this header that are still looked at */
    struct position now; /* behind what has been decided */
    struct position before_line_end;
    uint64_t floor; /* before_line_end does not count before it: that line end belongs to a header or a delimiter */
    char last;      /* the last octet taken */
    size_t line_n, word_n; /* of the survey: octets of the line at hand; since it could last be folded */
    bool blank;            /* of the survey: the last octet is white space */
    struct boundary boundaries[MIME_DEPTH];
    size_t open;                  /* how many of them */
    const struct boundary *found; /* of the delimiter at hand */
    bool is_last;                 /* it has "--" behind it */
    struct mime_scratch scratch;
    size_t hold_n;
    char hold[HOLD_MAX]; /* an undecided start of a line */
};

static void start_part(struct mime_parser *p, struct mime_part *parent, struct position here)
{
    struct mime_part *part = arena_zero(&p->m->arena, sizeof *part);

    part->parent = parent;
    part->header_at = here.at;
    part->header_bare = here.bare;
    p->header = (struct mime_header){ .part = part, .is_mime = parent != NULL && parent->multipart };
    if (parent == NULL || parent->message)
        part->envelope = arena_zero(&p->m->arena, sizeof *part->envelope);
    if (parent == NULL) {
        p->m->root = part;
    } else {
        if (parent->last != NULL)
            parent->last->next = part;
        else
            parent->first = part;
        parent->last = part;
        parent->children++;
        p->depth++;
    }
    p->m->parts++;
    p->part = part;
    p->in_header = true;
    p->header_left = MIME_HEADER;
    p->floor = here.at;
}

void mime_init(struct mime *m, bool structure)
{
    struct mime_parser *p = mem_alloc(sizeof *p);

    memset(p, 0, offsetof(struct mime_parser, hold));
    *m = (struct mime){ .parser = p, .limits = { MIME_DEPTH, MIME_PARTS } };
    p->m = m;
    p->structure = structure;
    buf_init(&p->field, MIME_HEADER);
    mime_scratch_init(&p->scratch);
    start_part(p, NULL, p->now);
}

static void free_parser(struct mime *m)
{
    if (m->parser == NULL)
        return;
    buf_clear(&m->parser->field);
    mime_scratch_clear(&m->parser->scratch);
    mem_free(m->parser);
    m->parser = NULL;
}

void mime_clear(struct mime *m)
{
    free_parser(m);
    arena_clear(&m->arena);
    *m = (struct mime){ 0 };
}

/* A part that is there because it must be one: empty, and what a part is by default. */
static void add_empty_part(struct mime_parser *p, struct mime_part *parent, struct position here)
{
    struct mime_part *part = arena_zero(&p->m->arena, sizeof *part);

    part->parent = parent;
    part->type = SLICE_LIT("text");
    part->subtype = SLICE_LIT("plain");
    part->header_at = part->body_at = part->end = here.at;
    parent->first = parent->last = part;
    parent->children = 1;
    p->m->parts++;
}

static void end_part(struct mime_parser *p, struct position here)
{
    struct mime_part *part = p->part;

    part->end = here.at;
    part->body_lines = here.lines - part->body_lines; /* since start_body */
    part->body_bare = here.bare - part->body_bare;
    if (part->multipart && part->children == 0)
        add_empty_part(p, part, here);
    p->part = part->parent;
    p->depth -= p->depth > 0 ? 1 : 0;
}

/* The part's kind, when all of its fields have been seen. */
static void decide_type(struct mime_parser *p)
{
    struct mime_part *part = p->part;
    bool deep = p->depth + 1 >= p->m->limits.depth, full = p->m->parts >= p->m->limits.parts;

    if (!p->header.is_mime) { /* the Content- fields of what is no MIME mean nothing */
        *part = (struct mime_part){ .parent = part->parent,
                                    .envelope = part->envelope,
                                    .header_at = part->header_at,
                                    .header_bare = part->header_bare,
                                    .header_unfit = part->header_unfit };
    }
    if (!p->header.is_mime || !p->header.is_type_valid) {
        bool digest = part->parent != NULL && part->parent->multipart && slice_iis(part->parent->subtype, "digest");

        digest = digest && !(p->header.is_mime && p->header.seen_type);
        part->type = digest ? SLICE_LIT("message") : SLICE_LIT("text");
        part->subtype = digest ? SLICE_LIT("rfc822") : SLICE_LIT("plain");
    }
    part->multipart = slice_iis(part->type, "multipart");
    part->message =
        slice_iis(part->type, "message") && (slice_iis(part->subtype, "rfc822") || slice_iis(part->subtype, "global"));
    if ((part->multipart && deep) || (part->message && (deep || full))) {
        part->multipart = part->message = false;
        part->type = SLICE_LIT("application");
        part->subtype = SLICE_LIT("octet-stream");
    }
}

static void take_field(struct mime_parser *p)
{
    if (p->field.n == 0)
        return;
    mime_take_field(&p->header, &p->m->arena, &p->scratch, buf_slice(&p->field));
    buf_reset(&p->field);
}

/* The header ends `here`; `whole` with its empty line: without it no boundary holds. A message's body is a part too,
 * whose header starts at once. */
static void end_header(struct mime_parser *p, struct position here, bool whole)
{
    struct mime_part *part = p->part;

    take_field(p);
    decide_type(p);
    p->in_header = false;
    p->floor = here.at;
    part->body_at = here.at;
    part->header_bare = here.bare - part->header_bare;
    part->body_lines = here.lines;
    part->body_bare = here.bare;
    if (!p->structure) {
        p->done = true;
    } else if (part->message) {
        start_part(p, part, here);
    } else if (part->multipart && whole) {
        struct slice text = mime_boundary(part);

        if (text.p != NULL)
            p->boundaries[p->open++] = (struct boundary){ part, slice_head(text, MIME_BOUNDARY) };
    }
}

/* The boundary that the line after "--" starts with. The innermost comes first, so that an outer one may be the same;
 * but of several the longest counts, unless one is the whole line (RFC 2046 section 5.1.2). */
static const struct boundary *find_boundary(const struct mime_parser *p, struct slice line)
{
    const struct boundary *best = NULL;

    for (size_t i = p->open; i-- > 0;) {
        const struct boundary *b = &p->boundaries[i];

        if (b->text.n > line.n || (best != NULL && best->text.n >= b->text.n) ||
            !slice_eq(slice_head(line, b->text.n), b->text))
            continue;
        best = b;
        if (b->text.n == line.n || slice_is(slice_skip(line, b->text.n), "--"))
            break;
    }
    return best;
}

/* What the line is; `whole` when no more octets of it come or matter. */
static enum line classify(struct mime_parser *p, struct slice line, bool whole)
{
    if (p->in_header && line.p[0] == '\n')
        return EMPTY;
    if (p->in_header && line.p[0] == '\r') {
        if (line.n < 2)
            return whole ? ORDINARY : UNDECIDED;
        return line.p[1] == '\n' ? EMPTY : ORDINARY;
    }
    if (line.p[0] != '-' || p->open == 0 || p->m->parts >= p->m->limits.parts)
        return ORDINARY;
    if (line.n < 2 || (line.p[1] == '-' && !whole))
        return whole ? ORDINARY : UNDECIDED;
    if (line.p[1] != '-')
        return ORDINARY;
    line = slice_skip(line, 2);
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n -= line.n > 1 && line.p[line.n - 2] == '\r' ? 2 : 1;
    p->found = find_boundary(p, line);
    if (p->found == NULL)
        return ORDINARY;
    line = slice_skip(line, p->found->text.n);
    p->is_last = line.n >= 2 && line.p[0] == '-' && line.p[1] == '-';
    return DELIMITER;
}

/* Whether a header's line cannot be folded: before each of its blanks it can. A line that ends in a blank is not
 * folded, so that no line is all white space. */
static bool is_endless(struct mime_parser *p, char c)
{
    bool blank = c == ' ' || c == '\t', was_blank = p->blank;

    if (c == '\n')
        return was_blank && p->line_n > MIME_LINE;
    p->word_n = blank && !was_blank ? 1 : p->word_n + 1;
    p->blank = blank;
    return p->word_n > MIME_LINE;
}

static void survey_octet(struct mime_parser *p, struct mime_unfit *unfit, char before, char c)
{
    bool bad = (unsigned char)c > 127 || c == '\0';

    if (before == '\r' && c != '\n') { /* a CR alone is part of its line */
        unfit->octets++;
        unfit->escapes++;
        p->line_n++;
    }
    if (c == '\r')
        return;
    unfit->words = unfit->words || (p->in_header && is_endless(p, c));
    if (c == '\n') {
        unfit->lines = unfit->lines || before != '\r';
        p->line_n = p->word_n = 0;
        p->blank = false;
        return;
    }
    p->line_n++;
    unfit->lines = unfit->lines || p->line_n > MIME_LINE;
    unfit->octets += bad ? 1 : 0;
    unfit->escapes += bad || c == '=' || (c < ' ' && c != '\t') || c == 0x7f ? 1 : 0;
}

static struct mime_unfit *unfit_at_hand(struct mime_parser *p)
{
    return p->in_header ? &p->part->header_unfit : &p->part->body_unfit;
}

static void survey(struct mime_parser *p, struct slice octets)
{
    struct mime_unfit *unfit = unfit_at_hand(p);
    char before = p->last;

    for (size_t i = 0; i < octets.n; i++) {
        survey_octet(p, unfit, before, octets.p[i]);
        before = octets.p[i];
    }
}

/* Counts octets of one line, with its line end or before it. */
static void advance(struct mime_parser *p, struct slice octets)
{
    bool has_end = octets.p[octets.n - 1] == '\n';
    bool has_cr = has_end && (octets.n > 1 ? octets.p[octets.n - 2] : p->last) == '\r';

    if (p->m->survey)
        survey(p, octets);
    p->last = octets.p[octets.n - 1];
    p->now.at += octets.n;
    if (!has_end)
        return;
    p->before_line_end = (struct position){ p->now.at - (has_cr ? 2 : 1), p->now.lines, p->now.bare };
    p->now.lines++;
    p->now.bare += has_cr ? 0 : 1;
}

static void start_line(struct mime_parser *p, char first)
{
    if (p->in_header && first != ' ' && first != '\t')
        take_field(p); /* the one before it is complete */
    p->place = IN_LINE;
}

static void take_octets(struct mime_parser *p, struct slice octets)
{
    if (p->in_header) {
        size_t n = octets.n < p->header_left ? octets.n : p->header_left;

        scan_put(&p->field, octets.p, n);
        p->header_left -= n;
    }
    advance(p, octets);
    if (octets.p[octets.n - 1] == '\n')
        p->place = LINE_START;
}

/* A delimiter line has ended: a part starts, or the multipart goes on with what nobody reads. */
static void end_delimiter(struct mime_parser *p)
{
    struct mime_part *part = p->found->part;

    p->place = LINE_START;
    p->floor = p->now.at;
    p->open = (size_t)(p->found - p->boundaries) + (p->is_last ? 0 : 1);
    if (!p->is_last)
        start_part(p, part, p->now);
}

/* The line that starts here (with the octets held) is a delimiter: everything inside of its multipart ends before it,
 * and before the line end that belongs to it. */
static void take_delimiter(struct mime_parser *p)
{
    struct position here = p->before_line_end.at >= p->floor && p->now.at > p->floor ? p->before_line_end : p->now;

    while (p->in_header)
        end_header(p, here, false);
    while (p->part != p->found->part)
        end_part(p, here);
    p->place = IN_DELIMITER;
}

static void decide(struct mime_parser *p, enum line kind)
{
    struct slice held = { p->hold, p->hold_n };

    p->hold_n = 0;
    switch (kind) {
    case EMPTY:
        advance(p, held);
        end_header(p, p->now, true);
        break;
    case DELIMITER:
        take_delimiter(p);
        advance(p, held);
        if (held.p[held.n - 1] == '\n')
            end_delimiter(p);
        break;
    case ORDINARY:
    case UNDECIDED:
        start_line(p, held.p[0]);
        take_octets(p, held);
        break;
    }
}

/* At the start of a line, perhaps with some of it held. */
static void find_out(struct mime_parser *p, struct slice *in)
{
    size_t room = HOLD_MAX - p->hold_n, n;
    const char *end;
    enum line kind;
    bool whole;

    if (p->hold_n == 0 && in->p[0] != '-' && !(p->in_header && (in->p[0] == '\n' || in->p[0] == '\r'))) {
        start_line(p, in->p[0]); /* almost all lines */
        return;
    }
    n = in->n < room ? in->n : room;
    end = memchr(in->p, '\n', n);
    n = end != NULL ? (size_t)(end - in->p) + 1 : n;
    memcpy(p->hold + p->hold_n, in->p, n);
    p->hold_n += n;
    *in = slice_skip(*in, n);
    whole = end != NULL || p->hold_n == HOLD_MAX;
    kind = classify(p, (struct slice){ p->hold, p->hold_n }, whole);
    if (kind != UNDECIDED)
        decide(p, kind);
}

/* Inside a line whose kind is known. */
static void pass(struct mime_parser *p, struct slice *in)
{
    const char *end = memchr(in->p, '\n', in->n);
    struct slice octets = slice_head(*in, end != NULL ? (size_t)(end - in->p) + 1 : in->n);

    *in = slice_skip(*in, octets.n);
    if (p->place == IN_LINE) {
        take_octets(p, octets);
        return;
    }
    advance(p, octets);
    if (end != NULL)
        end_delimiter(p);
}

enum progress mime_push(struct mime *m, struct slice octets)
{
    struct mime_parser *p = m->parser;

    while (octets.n > 0 && !p->done) {
        if (p->place == LINE_START)
            find_out(p, &octets);
        else
            pass(p, &octets);
    }
    return p->done ? DONE : MORE;
}

void mime_end(struct mime *m)
{
    struct mime_parser *p = m->parser;

    if (p == NULL)
        return;
    if (p->hold_n > 0)
        decide(p, classify(p, (struct slice){ p->hold, p->hold_n }, true));
    if (m->survey && p->last == '\r')
        unfit_at_hand(p)->octets++;
    while (p->in_header)
        end_header(p, p->now, false);
    while (p->structure && p->part != NULL)
        end_part(p, p->now);
    free_parser(m);
}

const struct mime_part *mime_find(const struct mime *m, const uint32_t *path, size_t depth)
{
    const struct mime_part *part = m->root;
    bool is_message = true; /* a message that is no multipart has its body as part 1 */

    for (size_t i = 0; i < depth && part != NULL; i++) {
        if (part->message && i > 0) {
            part = part->first;
            is_message = true;
        }
        if (!part->multipart) {
            if (path[i] != 1 || !is_message)
                return NULL;
        } else {
            uint32_t n = path[i];

            for (part = n > 0 ? part->first : NULL; part != NULL && n > 1; n--)
                part = part->next;
        }
        is_message = false;
    }
    return part;
}
