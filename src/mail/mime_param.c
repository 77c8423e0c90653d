#include "facteur/base/mem.h"
#include "facteur/mail/charset.h"
#include "hex_priv.h"
#include "mime_priv.h"

#include <stdlib.h>

/* A parameter as it stands: where its name says so, a piece of a longer one (RFC 2231). */
struct piece {
    struct slice name, value;
    struct slice key; /* the name before the first "*" */
    uint32_t number;
    bool is_piece, extended;
    size_t order;
};

struct pieces {
    struct piece *items;
    size_t count, cap;
};

static struct piece *more(struct pieces *p)
{
    if (p->count == p->cap) {
        p->cap = p->cap < 8 ? 8 : p->cap * 2;
        p->items = mem_resize(p->items, p->cap * sizeof *p->items);
    }
    p->items[p->count] = (struct piece){ .order = p->count };
    return &p->items[p->count++];
}

/* "key*", "key*1" and "key*1*". */
static void split_name(struct piece *p)
{
    ptrdiff_t at = slice_find(p->name, '*');
    struct slice rest;

    if (at < 0)
        return;
    p->key = slice_head(p->name, (size_t)at);
    rest = slice_skip(p->name, (size_t)at + 1);
    p->extended = rest.n == 0;
    while (rest.n > 0 && rest.p[0] >= '0' && rest.p[0] <= '9') {
        p->number = p->number < UINT32_MAX / 20 ? p->number * 10 + (uint32_t)(rest.p[0] - '0') : UINT32_MAX;
        rest = slice_skip(rest, 1);
    }
    p->extended = p->extended || slice_is(rest, "*");
    p->is_piece = rest.n == 0 || p->extended;
}

/* What stands behind "=". "name==?utf-8?q?x?=" without quotes is taken whole. */
static enum scan_result scan_value(struct scan *s, struct buf *out)
{
    const char *start = s->p;

    if (scan_peek(s) == '"')
        return scan_quoted_string(s, out);
    if (scan_peek(s) != '=')
        return scan_token(s, out);
    while (s->p < s->end && strchr("; \t\r\n", *s->p) == NULL)
        s->p++;
    scan_put(out, start, (size_t)(s->p - start));
    return SCAN_MORE;
}

/* ";" attribute "=" value. False when it is broken. */
static bool scan_param(struct scan *s, struct arena *a, struct mime_scratch *scratch, struct pieces *ret)
{
    struct buf *name = &scratch->more, *value = &scratch->text;
    enum scan_result result;
    struct piece *p;

    buf_reset(name);
    buf_reset(value);
    if (!scan_skip(s, ';') || scan_cfws(s) != SCAN_MORE || scan_token(s, name) != SCAN_MORE || !scan_skip(s, '='))
        return false;
    result = scan_cfws(s);
    if (result == SCAN_MORE)
        result = scan_value(s, value);
    if (result == SCAN_BROKEN)
        return false;
    p = more(ret);
    p->name = mime_keep(a, buf_slice(name));
    p->value = mime_keep(a, buf_slice(value));
    split_name(p);
    return true;
}

static int compare_octets(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int result = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return result != 0 ? result : (a.n > b.n) - (a.n < b.n);
}

/* Whole parameters first, then the pieces by key and number. */
static int compare(const void *one, const void *other)
{
    const struct piece *a = one, *b = other;
    int result = (a->is_piece ? 1 : 0) - (b->is_piece ? 1 : 0);

    if (result == 0 && a->is_piece) {
        result = compare_octets(a->key, b->key);
        result = result != 0 ? result : (a->number > b->number) - (a->number < b->number);
    }
    return result != 0 ? result : (a->order > b->order) - (a->order < b->order);
}

static void put_percent(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        scan_put(out, text.p[i] == '%' ? "%25" : &text.p[i], text.p[i] == '%' ? 3 : 1);
}

static void take_percent(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        int octet = text.p[i] == '%' ? hex_octet(slice_skip(text, i + 1)) : -1;
        char c = octet >= 0 ? (char)octet : text.p[i];

        i += octet >= 0 ? 2 : 0;
        scan_put(out, &c, 1);
    }
}

/* The pieces of one parameter as one value in UTF-8. */
static struct slice decode(struct arena *a, struct mime_scratch *s, const struct piece *pieces, size_t count)
{
    struct slice charset = { "", 0 };
    int code;

    buf_reset(&s->more);
    buf_reset(&s->text);
    for (size_t i = 0; i < count; i++) {
        struct slice text = pieces[i].value, head, language;

        if (i == 0 && pieces[i].extended && slice_cut(&text, '\'', &head) && slice_cut(&text, '\'', &language))
            charset = head;
        else
            text = pieces[i].value;
        if (pieces[i].extended)
            take_percent(text, &s->more);
        else
            scan_put(&s->more, text.p, text.n);
    }
    code = charset_to_utf8(charset, buf_slice(&s->more), &s->text);
    return mime_keep(a, code == 0 ? buf_slice(&s->text) : buf_slice(&s->more));
}

/* The pieces of one parameter as Dovecot shows them: joined under "key" or "key*". */
static struct mime_param join(struct arena *a, struct mime_scratch *s, const struct piece *pieces, size_t count)
{
    struct mime_param ret;
    bool extended = false;

    for (size_t i = 0; i < count; i++)
        extended = extended || pieces[i].extended;
    buf_reset(&s->more);
    buf_reset(&s->text);
    scan_put(&s->text, pieces[0].key.p, pieces[0].key.n);
    if (extended)
        scan_put(&s->text, "*", 1);
    if (extended && !pieces[0].extended)
        scan_put(&s->more, "''", 2);
    for (size_t i = 0; i < count; i++) {
        if (extended && !pieces[i].extended)
            put_percent(pieces[i].value, &s->more);
        else
            scan_put(&s->more, pieces[i].value.p, pieces[i].value.n);
    }
    ret.name = mime_keep(a, buf_slice(&s->text));
    ret.value = mime_keep(a, buf_slice(&s->more));
    return ret;
}

/* How many pieces at the front have one key; *ret_whole: they are numbered from 0 without a gap. */
static size_t same_key(const struct piece *pieces, size_t count, bool *ret_whole)
{
    size_t n = 0;

    *ret_whole = true;
    for (; n < count && slice_ieq(pieces[n].key, pieces[0].key); n++)
        *ret_whole = *ret_whole && pieces[n].number == n;
    return n;
}

/* Both lists: decoded ones before whole ones, because who sends both means the former (RFC 6266 section 4.3). */
static void merge(struct arena *a, struct mime_scratch *s, struct pieces *p, size_t whole, struct mime_params *ret)
{
    size_t n = 0;

    ret->items = arena_zero(a, p->count * sizeof *ret->items);
    ret->raw = arena_zero(a, p->count * sizeof *ret->raw);
    for (; ret->raw_count < whole; ret->raw_count++)
        ret->raw[ret->raw_count] = (struct mime_param){ p->items[ret->raw_count].name, p->items[ret->raw_count].value };
    for (size_t i = whole; i < p->count; i += n) {
        const struct piece *first = &p->items[i];
        bool is_whole;

        n = same_key(first, p->count - i, &is_whole);
        ret->items[ret->count].name = first->key;
        ret->items[ret->count++].value = decode(a, s, first, n);
        if (is_whole)
            ret->raw[ret->raw_count++] = join(a, s, first, n);
        for (size_t j = 0; !is_whole && j < n; j++)
            ret->raw[ret->raw_count++] = (struct mime_param){ first[j].name, first[j].value };
    }
    memcpy(ret->items + ret->count, ret->raw, whole * sizeof *ret->raw);
    ret->count += whole;
}

void mime_read_params(struct arena *a, struct mime_scratch *s, struct scan *scan, struct mime_params *ret)
{
    struct pieces p = { 0 };
    size_t whole = 0;

    *ret = (struct mime_params){ 0 };
    while (scan->p < scan->end && !mime_is_full(a))
        if (!scan_param(scan, a, s, &p) && scan->p < scan->end)
            scan->p++; /* on to the next ";" */
    for (size_t i = 0; i < p.count; i++)
        whole += p.items[i].is_piece ? 0 : 1;
    if (whole < p.count)
        qsort(p.items, p.count, sizeof *p.items, compare);
    if (p.count > 0)
        merge(a, s, &p, whole, ret);
    mem_free(p.items);
}

const struct slice *mime_param(const struct mime_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (slice_iis(params->items[i].name, name))
            return &params->items[i].value;
    return NULL;
}
