#include "section_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdlib.h>

/* --- lines --- */

static const char *next_lf(const char *p, const char *end)
{
    return p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
}

/* Where the empty line ends that ends a header; the state is kept between pieces and starts at 0. */
enum { HEADER_LINE_START, HEADER_CR, HEADER_IN_LINE };

static bool find_empty_line(struct slice in, unsigned *state, size_t *ret_end)
{
    const char *p = in.p, *end = in.p + in.n;

    while (p < end) {
        if (*state == HEADER_IN_LINE) {
            p = next_lf(p, end);
            if (p == NULL)
                return false;
            p++;
            *state = HEADER_LINE_START;
        } else if (*p == '\n') {
            *ret_end = (size_t)(p + 1 - in.p);
            return true;
        } else if (*p == '\r' && *state == HEADER_LINE_START) {
            *state = HEADER_CR;
            p++;
        } else {
            *state = HEADER_IN_LINE;
        }
    }
    return false;
}

static int find_body(struct message_file *f, bool header_alone)
{
    unsigned state = HEADER_LINE_START;
    uint64_t at = 0;

    if (f->has_body_at)
        return 0;
    if (header_alone)
        TRY(message_head(f));
    f->body_at = f->size;
    while (at < f->size) {
        struct slice piece;
        size_t end;

        TRY(message_piece(f, at, f->size, &piece));
        if (find_empty_line(piece, &state, &end)) {
            f->body_at = at + end;
            break;
        }
        at += piece.n;
    }
    f->has_body_at = true;
    return 0;
}

/* How many octets a piece has on the wire. */
static uint64_t wire_length(struct slice in, bool *after_cr)
{
    const char *p = in.p, *end = in.p + in.n;
    uint64_t n = in.n;

    for (const char *lf = next_lf(p, end); lf != NULL; lf = next_lf(p, end)) {
        n += (lf > p ? lf[-1] != '\r' : !*after_cr) ? 1 : 0;
        *after_cr = false;
        p = lf + 1;
    }
    if (p < end)
        *after_cr = end[-1] == '\r';
    return n;
}

/* The same octets with CRLF at every line's end. */
static int add_lines(struct slice in, bool *after_cr, struct buf *out)
{
    const char *p = in.p, *end = in.p + in.n;
    char *room = buf_room(out, 2 * in.n);
    char *to = room;

    if (room == NULL)
        return -ENOBUFS;
    for (const char *lf = next_lf(p, end); lf != NULL; lf = next_lf(p, end)) {
        size_t n = (size_t)(lf - p);

        memcpy(to, p, n);
        to += n;
        if (n > 0 ? lf[-1] != '\r' : !*after_cr)
            *to++ = '\r';
        *to++ = '\n';
        *after_cr = false;
        p = lf + 1;
    }
    if (p < end) {
        memcpy(to, p, (size_t)(end - p));
        to += end - p;
        *after_cr = end[-1] == '\r';
    }
    out->n += (size_t)(to - room);
    return 0;
}

/* RFC 9051 section 9: a literal holds no NUL; Dovecot, too, sends 0x80 for it. */
static void hide_nuls(char *p, size_t n)
{
    char *end = p + n;

    for (p = n > 0 ? memchr(p, '\0', n) : NULL; p != NULL; p = memchr(p, '\0', (size_t)(end - p)))
        *p = (char)0x80;
}

static int count_lines(struct message_file *f, uint64_t at, uint64_t end, uint64_t *ret)
{
    bool after_cr = false;
    uint64_t n = 0;

    while (at < end) {
        struct slice piece;

        TRY(message_piece(f, at, end, &piece));
        n += wire_length(piece, &after_cr);
        at += piece.n;
    }
    *ret = n;
    return 0;
}

/* --- header fields --- */

static int compare_names(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    for (size_t i = 0; i < x->n; i++) {
        unsigned char c = (unsigned char)x->p[i], d = (unsigned char)y->p[i];

        c = c >= 'A' && c <= 'Z' ? (unsigned char)(c + 'a' - 'A') : c;
        d = d >= 'A' && d <= 'Z' ? (unsigned char)(d + 'a' - 'A') : d;
        if (c != d)
            return c < d ? -1 : 1;
    }
    return 0;
}

void section_sort_fields(struct slice *fields, size_t count)
{
    if (count > 1)
        qsort(fields, count, sizeof *fields, compare_names);
}

static bool is_wanted(const struct imap_section *section, struct slice line)
{
    ptrdiff_t colon = slice_find(line, ':');
    struct slice name = slice_trim(slice_head(line, colon < 0 ? 0 : (size_t)colon));
    bool named = section->field_count > 0 &&
                 bsearch(&name, section->fields, section->field_count, sizeof *section->fields, compare_names) != NULL;

    return named == (section->text == SECTION_FIELDS);
}

static bool is_empty_line(struct slice line)
{
    return line.n == 0 || line.p[0] == '\n' || (line.n == 2 && line.p[0] == '\r' && line.p[1] == '\n');
}

/* The fields that are named (or are not), and the empty line. A header without one gets it only at the top, when fields
 * are named: RFC 9051 6.4.5.1 leaves it out, Dovecot's clients know it so. */
static int choose_fields(struct slice header, const struct imap_section *section, struct buf *out)
{
    bool wanted = section->text == SECTION_FIELDS_NOT, after_cr = false;

    while (header.n > 0) {
        ptrdiff_t lf = slice_find(header, '\n');
        struct slice line = slice_head(header, lf < 0 ? header.n : (size_t)lf + 1);

        if (is_empty_line(line))
            return buf_add(out, "\r\n", 2);
        if (line.p[0] != ' ' && line.p[0] != '\t')
            wanted = is_wanted(section, line);
        if (wanted)
            TRY(add_lines(line, &after_cr, out));
        header = slice_skip(header, line.n);
    }
    if (section->text == SECTION_FIELDS_NOT || section->depth > 0)
        return 0;
    if (out->n > 0 && out->p[out->n - 1] != '\n')
        TRY(buf_add(out, "\r\n", 2));
    return buf_add(out, "\r\n", 2);
}

static int find_fields(struct message_file *f, const struct imap_section *section, uint64_t at, uint64_t end,
                       struct section *ret)
{
    size_t n = end - at < MIME_HEADER ? (size_t)(end - at) : MIME_HEADER;
    struct slice header = message_has(f, at, n);
    char *copy = NULL;
    int code = 0;

    if (header.n < n) {
        ssize_t r = 1;

        copy = mem_alloc(n);
        for (header = slice_make(copy, 0); header.n < n && r > 0; header.n += r > 0 ? (size_t)r : 0)
            r = message_read(f, copy + header.n, n - header.n, at + header.n);
        code = r < 0 ? (int)r : 0;
    }
    buf_reset(&f->text);
    if (code == 0)
        code = choose_fields(header, section, &f->text);
    mem_free(copy);
    if (code < 0)
        return code;
    hide_nuls(f->text.p, f->text.n);
    ret->is_text = true;
    ret->length = f->text.n;
    return 0;
}

/* --- sections --- */

static int decode_piece(struct message_file *f, struct section *s, struct slice piece, struct buf *out)
{
    buf_reset(&f->lines);
    TRY(add_lines(piece, &s->after_cr, &f->lines));
    return transfer_push(&s->transfer, buf_slice(&f->lines), s->at == s->end, out);
}

/* Decodes once to see how long it is, and whether it can be decoded. */
static int count_decoded(struct message_file *f, const struct section *section, uint64_t *ret)
{
    struct section s = *section;
    uint64_t n = 0;

    while (s.at < s.end) {
        struct slice piece;

        TRY(message_piece(f, s.at, s.end, &piece));
        s.at += piece.n;
        buf_reset(&f->text);
        TRY(decode_piece(f, &s, piece, &f->text));
        n += f->text.n;
    }
    if (s.transfer.broken)
        return -EOPNOTSUPP;
    *ret = n;
    return 0;
}

static int find_binary(struct message_file *f, const struct mime_part *p, struct section *s)
{
    s->at = p->body_at;
    s->end = p->end;
    s->length = mime_wire_body(p);
    if (p->multipart || p->message)
        return 0;
    if (p->coding == MIME_UNKNOWN_ENCODING)
        return -EOPNOTSUPP;
    if (p->coding != MIME_BASE64 && p->coding != MIME_QUOTED_PRINTABLE)
        return 0;
    s->decode = true;
    transfer_init(&s->transfer, p->coding);
    return count_decoded(f, s, &s->length);
}

/* The whole message, its header or its text: that needs no parser. */
static int find_in_root(struct message_file *f, const struct imap_section *section, struct section *s)
{
    s->exists = true;
    s->end = f->size;
    if (section->text != SECTION_ALL) {
        TRY(find_body(f, section->text != SECTION_TEXT));
        if (section->text == SECTION_TEXT)
            s->at = f->body_at;
        else
            s->end = f->body_at;
    }
    if (section->text == SECTION_FIELDS || section->text == SECTION_FIELDS_NOT)
        return find_fields(f, section, 0, s->end, s);
    return count_lines(f, s->at, s->end, &s->length);
}

static int find_in_part(struct message_file *f, const struct imap_fetch_item *item, struct section *s)
{
    const struct imap_section *section = &item->section;
    const struct mime *m;
    const struct mime_part *p;

    TRY(message_parse(f, &m));
    p = mime_find(m, section->path, section->depth);
    if (p != NULL && section->text != SECTION_ALL && section->text != SECTION_MIME)
        p = p->message ? p->first : NULL; /* the header and the text of the message that the part contains */
    if (p == NULL)
        return 0;
    s->exists = true;
    if (item->kind == FETCH_BINARY || item->kind == FETCH_BINARY_SIZE)
        return find_binary(f, p, s);
    if (section->text == SECTION_FIELDS || section->text == SECTION_FIELDS_NOT)
        return find_fields(f, section, p->header_at, p->body_at, s);
    if (section->text == SECTION_ALL || section->text == SECTION_TEXT) {
        s->at = p->body_at;
        s->end = p->end;
        s->length = mime_wire_body(p);
    } else {
        s->at = p->header_at;
        s->end = p->body_at;
        s->length = mime_wire_header(p);
    }
    return 0;
}

int section_find(struct message_file *f, const struct imap_fetch_item *item, struct section *ret)
{
    static const struct imap_section all = { .text = SECTION_ALL }, header = { .text = SECTION_HEADER },
                                     text = { .text = SECTION_TEXT };
    struct section s = { .length = 0 };
    int code;

    if (item->kind == FETCH_RFC822)
        code = find_in_root(f, &all, &s);
    else if (item->kind == FETCH_RFC822_HEADER)
        code = find_in_root(f, &header, &s);
    else if (item->kind == FETCH_RFC822_TEXT)
        code = find_in_root(f, &text, &s);
    else if (item->section.depth == 0)
        code = find_in_root(f, &item->section, &s);
    else
        code = find_in_part(f, item, &s);
    if (code < 0)
        return code;
    s.binary = item->kind == FETCH_BINARY;
    s.left = s.length;
    if (item->partial) {
        s.skip = item->offset < s.length ? item->offset : s.length;
        s.left = s.length - s.skip < item->length ? s.length - s.skip : item->length;
        s.length = s.left;
    }
    *ret = s;
    return 0;
}

/* Keeps of what was added behind `start` what is wanted. */
static void cut(struct section *s, struct buf *out, size_t start)
{
    size_t n = out->n - start;
    size_t drop = s->skip < n ? (size_t)s->skip : n;

    if (drop > 0)
        memmove(out->p + start, out->p + start + drop, n - drop);
    n -= drop;
    n = s->left < n ? (size_t)s->left : n;
    out->n = start + n;
    s->skip -= drop;
    s->left -= n;
}

int section_next(struct message_file *f, struct section *s, struct buf *out)
{
    struct slice piece;
    size_t start = out->n;

    if (s->left == 0)
        return DONE;
    if (s->is_text) {
        size_t n = s->most > 0 && s->left > s->most ? s->most : (size_t)s->left;

        TRY(buf_add(out, f->text.p + s->skip, n));
        s->skip += n;
        s->left -= n;
        return s->left == 0 ? DONE : MORE;
    }
    if (s->at == s->end)
        return -EIO;
    TRY(message_piece(f, s->at, s->end, &piece));
    if (s->most > 0)
        piece = slice_head(piece, s->most);
    s->at += piece.n;
    if (s->skip > 0 && !s->decode) {
        bool after_cr = s->after_cr;
        uint64_t n = wire_length(piece, &after_cr);

        if (n <= s->skip) {
            s->skip -= n;
            s->after_cr = after_cr;
            return MORE;
        }
    }
    if (s->decode) {
        TRY(decode_piece(f, s, piece, out));
    } else {
        TRY(add_lines(piece, &s->after_cr, out));
    }
    cut(s, out, start);
    if (!s->binary)
        hide_nuls(out->p + start, out->n - start);
    return s->left == 0 ? DONE : MORE;
}
