#include "facteur/mail/text.h"

#include "facteur/mail/charset.h"
#include "facteur/mail/transfer.h"
#include "facteur/mail/words.h"
#include "text_priv.h"
#include "utf8_priv.h"

#include <errno.h>

enum {
    PIECE = 64 * 1024,
    PIECE_MAX = 8 * PIECE, /* what one piece becomes: three octets for one, and what converters held back */
    FIELD_NAME_MAX = 1000,
    PREVIEW_CHARACTERS = 200
};

/* What a walk needs at any time: a message's walk is one job, so it is one allocation after the other. */
struct walk {
    const struct mime *m;
    const struct text_source *source;
    const struct text_sink *sink;
    uint64_t max;
    struct buf stored, decoded, utf8, text;
};

static void walk_init(struct walk *w)
{
    buf_init(&w->stored, MIME_HEADER);
    buf_init(&w->decoded, PIECE_MAX);
    buf_init(&w->utf8, 4 * MIME_HEADER);
    buf_init(&w->text, PIECE_MAX);
}

static void walk_clear(struct walk *w)
{
    buf_clear(&w->stored);
    buf_clear(&w->decoded);
    buf_clear(&w->utf8);
    buf_clear(&w->text);
}

/* The part that comes after `part` when parents come before their children. */
static const struct mime_part *next_part(const struct mime_part *part)
{
    if (part->first != NULL)
        return part->first;
    while (part != NULL && part->next == NULL)
        part = part->parent;
    return part != NULL ? part->next : NULL;
}

/* Reads a piece of at most PIECE octets of [*at, end) behind what w->stored has. How many, 0 at the end, or negative. */
static ssize_t read_piece(struct walk *w, uint64_t *at, uint64_t end)
{
    size_t n = end - *at < PIECE ? (size_t)(end - *at) : PIECE;
    char *to = n > 0 ? buf_room(&w->stored, n) : NULL;
    ssize_t got;

    if (to == NULL)
        return 0;
    got = w->source->read(w->source->from, to, n, *at);
    if (got > 0) {
        w->stored.n += (size_t)got;
        *at += (uint64_t)got;
    }
    return got;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* How many octets of `text` are its first field with its folds. */
static size_t field_length(struct slice text)
{
    size_t n = 0;

    do {
        const char *end = memchr(text.p + n, '\n', text.n - n);

        n = end != NULL ? (size_t)(end - text.p) + 1 : text.n;
    } while (n < text.n && is_blank(text.p[n]));
    return n;
}

static int give_field(struct walk *w, bool nested, struct slice field)
{
    ptrdiff_t colon = slice_find(slice_head(field, FIELD_NAME_MAX + 1), ':');
    struct slice name = slice_trim(slice_head(field, colon > 0 ? (size_t)colon : 0)), value;

    if (name.n == 0)
        return 0;
    value = slice_skip(field, (size_t)colon + 1);
    while (value.n > 0 && (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
        value.n--;
    buf_reset(&w->utf8);
    TRY(words_decode(slice_trim(value), &w->utf8));
    return w->sink->take(w->sink->to, TEXT_HEADER, nested, name, buf_slice(&w->utf8));
}

static int walk_header(struct walk *w, const struct mime_part *part)
{
    uint64_t at = part->header_at;
    struct slice rest;
    ssize_t got;

    buf_reset(&w->stored);
    while ((got = read_piece(w, &at, part->body_at)) > 0)
        continue;
    if (got < 0)
        return (int)got;
    rest = buf_slice(&w->stored);
    while (rest.n > 0) {
        size_t n = field_length(rest);
        int code = give_field(w, part != w->m->root, slice_head(rest, n));

        if (code != 0)
            return code;
        rest = slice_skip(rest, n);
    }
    return 0;
}

static bool is_text(const struct mime_part *part)
{
    return !part->multipart && !part->message &&
           (slice_iis(part->type, "text") || slice_iis(part->type, "message")); /* delivery reports are read too */
}

/* A part's text on its way through its decoders. */
struct reading {
    struct transfer transfer;
    struct charset *charset;
    struct html html;
    bool is_html;
    uint64_t left; /* of `max` */
};

/* As much as may be given, not ending inside a character. */
static struct slice cut(struct slice text, uint64_t most)
{
    if (text.n <= most)
        return text;
    text.n = (size_t)most;
    while (text.n > 0 && ((unsigned char)text.p[text.n] & 0xc0) == 0x80)
        text.n--;
    return text;
}

static int give_piece(struct walk *w, struct reading *r, bool nested, bool last)
{
    struct buf *text = r->is_html ? &w->text : &w->utf8;
    struct slice give;

    buf_reset(&w->decoded);
    buf_reset(&w->utf8);
    buf_reset(&w->text);
    TRY(transfer_push(&r->transfer, buf_slice(&w->stored), last, &w->decoded));
    TRY(charset_push(r->charset, buf_slice(&w->decoded), last, &w->utf8));
    if (r->is_html)
        TRY(html_push(&r->html, buf_slice(&w->utf8), last, &w->text));
    give = cut(buf_slice(text), r->left);
    r->left = give.n < text->n ? 0 : r->left - give.n;
    return give.n > 0 ? w->sink->take(w->sink->to, TEXT_BODY, nested, (struct slice){ "", 0 }, give) : 0;
}

static int walk_body(struct walk *w, const struct mime_part *part)
{
    const struct slice *name = mime_param(&part->params, "charset");
    struct reading r = { .is_html = slice_iis(part->subtype, "html"), .left = w->max };
    uint64_t at = part->body_at;
    int code = 0;

    r.charset = name != NULL ? charset_open(*name) : NULL;
    if (r.charset == NULL)
        r.charset = charset_open((struct slice){ "", 0 });
    transfer_init(&r.transfer, part->coding);
    html_init(&r.html);
    while (code == 0 && r.left > 0) {
        ssize_t got;

        buf_reset(&w->stored);
        got = read_piece(w, &at, part->end);
        code = got < 0 ? (int)got : give_piece(w, &r, part != w->m->root, got == 0);
        if (got <= 0)
            break;
    }
    charset_close(&r.charset);
    return code;
}

static int walk(struct walk *w)
{
    int code = 0;

    for (const struct mime_part *p = w->m->root; p != NULL && code == 0; p = next_part(p))
        code = walk_header(w, p);
    for (const struct mime_part *p = w->m->root; p != NULL && code == 0; p = next_part(p))
        code = is_text(p) ? walk_body(w, p) : 0;
    return code;
}

int text_walk(const struct mime *m, const struct text_source *source, uint64_t max, const struct text_sink *sink)
{
    struct walk w = { .m = m, .source = source, .sink = sink, .max = max };
    int code;

    walk_init(&w);
    code = walk(&w);
    walk_clear(&w);
    return code;
}

/* A preview in the making. */
struct preview {
    struct buf *out;
    unsigned characters;
    bool blank; /* white space stands before the next character */
};

enum { PREVIEW_FULL = 1 };

/* Characters that show nothing: newsletters fill their previews with them. */
static bool is_invisible(uint32_t c)
{
    return c == 0xad || c == 0x34f || (c >= 0x200b && c <= 0x200f) || c == 0x2060 || c == 0xfeff;
}

static bool is_space(uint32_t c)
{
    return c <= 0x20 || (c >= 0x7f && c <= 0xa0) || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static int take_character(struct preview *p, uint32_t c)
{
    if (is_invisible(c))
        return 0;
    if (is_space(c)) {
        p->blank = p->characters > 0;
        return 0;
    }
    if (p->characters + (p->blank ? 2 : 1) > PREVIEW_CHARACTERS)
        return PREVIEW_FULL;
    if (p->blank)
        TRY(buf_addc(p->out, ' '));
    p->characters += p->blank ? 2 : 1;
    p->blank = false;
    return utf8_add(c, p->out);
}

static int take_preview(void *to, enum text_kind kind, bool nested, struct slice name, struct slice utf8)
{
    struct preview *p = to;

    (void)kind;
    (void)nested;
    (void)name;
    while (utf8.n > 0) {
        int code = take_character(p, utf8_take(&utf8));

        if (code != 0)
            return code;
    }
    return 0;
}

int text_preview(const struct mime *m, const struct text_source *source, struct buf *out)
{
    struct preview p = { .out = out };
    const struct text_sink sink = { take_preview, &p };
    struct walk w = { .m = m, .source = source, .sink = &sink, .max = UINT64_MAX };
    int code = 0;

    walk_init(&w);
    for (const struct mime_part *part = m->root; part != NULL && code == 0 && p.characters == 0; part = next_part(part))
        if (is_text(part) && !slice_iis(part->disposition, "attachment"))
            code = walk_body(&w, part);
    walk_clear(&w);
    return code == PREVIEW_FULL ? 0 : code;
}
