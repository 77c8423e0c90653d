#include "address_priv.h"
#include "facteur/mail/header.h"

#include <errno.h>

/* One pass over an address-list (RFC 5322 sections 3.4 and 4.4): no recursion, no octet read twice, whatever stands in
 * it. A phrase and a local part look the same until "<" or "@" follows, so words are read once and judged then. */

enum { COMMENT_DEPTH = 100, DOMAIN_TEXT = 4 * LIMIT_DOMAIN };

struct words {
    char text[LIMIT_LOCAL_PART + 1]; /* as a local part: words without quotes, with dots; one more marks "too long" */
    size_t n;
    bool any;
    bool local; /* word *("." word): it may stand before "@" */
    bool dot;   /* a dot came last */
};

struct reader {
    struct slice in;
    struct address *ret;
    size_t max, count;
    bool in_group;
};

static void words_add(struct words *w, char c)
{
    if (w->n < sizeof w->text)
        w->text[w->n++] = c;
}

/* A comment off the front of *in; nesting is a number. */
static int skip_comment(struct slice *in)
{
    unsigned depth = 0;

    for (size_t i = 0; i < in->n; i++) {
        if (in->p[i] == '\\') {
            i++;
        } else if (in->p[i] == '(') {
            if (++depth > COMMENT_DEPTH)
                return -EINVAL;
        } else if (in->p[i] == ')' && --depth == 0) {
            *in = slice_skip(*in, i + 1);
            return 0;
        }
    }
    return -EINVAL;
}

/* White space and comments; the next octet, or -1 at the end, or -EINVAL. */
static int peek(struct reader *r)
{
    while (r->in.n > 0) {
        char c = r->in.p[0];

        if (c == '(')
            TRY(skip_comment(&r->in));
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            r->in = slice_skip(r->in, 1);
        else
            return (unsigned char)c;
    }
    return -1;
}

static int read_quoted(struct reader *r, struct words *w)
{
    for (size_t i = 1; i < r->in.n; i++) {
        char c = r->in.p[i];

        if (c == '"') {
            r->in = slice_skip(r->in, i + 1);
            return 0;
        }
        if (c == '\\' && ++i < r->in.n)
            c = r->in.p[i];
        if (c != '\r' && c != '\n') /* a fold is not part of the string */
            words_add(w, c);
    }
    return -EINVAL;
}

/* One word or dot into w. */
static int read_word(struct reader *r, struct words *w, char c)
{
    bool is_dot = c == '.';

    if (is_dot ? (!w->any || w->dot) : (w->any && !w->dot))
        w->local = false; /* "..", or words with only space between: a phrase */
    w->any = true;
    w->dot = is_dot;
    if (c == '"')
        return read_quoted(r, w);
    if (!is_dot && !address_is_atext(c))
        return -EINVAL;
    do {
        words_add(w, r->in.p[0]);
        r->in = slice_skip(r->in, 1);
    } while (!is_dot && r->in.n > 0 && address_is_atext(r->in.p[0]));
    return 0;
}

/* Words up to the next special octet, which is returned (-1: the end). */
static int read_words(struct reader *r, struct words *w)
{
    int c;

    w->n = 0;
    w->any = w->dot = false;
    w->local = true;
    while ((c = peek(r)) >= 0 && strchr("<>@,;:", c) == NULL)
        TRY(read_word(r, w, (char)c));
    if (w->dot || !w->any)
        w->local = false;
    return c;
}

/* A domain with white space and comments between its parts, or a literal, into `to`. */
static int read_domain(struct reader *r, char to[DOMAIN_TEXT], struct slice *ret)
{
    size_t n = 0;
    int c;

    if (peek(r) == '[') {
        ptrdiff_t end = slice_find(slice_head(r->in, LIMIT_DOMAIN), ']');

        if (end < 0)
            return -EINVAL;
        *ret = slice_head(r->in, (size_t)end + 1);
        r->in = slice_skip(r->in, (size_t)end + 1);
        return 0;
    }
    while ((c = peek(r)) >= 0 && (c == '.' || address_is_atext((char)c))) {
        if (n > 0 && c != '.' && to[n - 1] != '.')
            return -EINVAL; /* two parts without a dot */
        do {
            if (n == DOMAIN_TEXT)
                return -EINVAL;
            to[n++] = r->in.p[0];
            r->in = slice_skip(r->in, 1);
        } while (r->in.n > 0 && (r->in.p[0] == '.' || address_is_atext(r->in.p[0])));
    }
    *ret = (struct slice){ to, n };
    return c < -1 ? c : 0;
}

/* After the local part: "@" domain. */
static int read_address(struct reader *r, const struct words *local, struct address *ret)
{
    char text[DOMAIN_TEXT];
    struct slice domain;

    if (!local->local)
        return -EINVAL;
    r->in = slice_skip(r->in, 1);
    TRY(read_domain(r, text, &domain));
    if (address_make((struct slice){ local->text, local->n }, domain, ADDRESS_UTF8 | ADDRESS_LITERAL, ret) < 0)
        return -EINVAL;
    return 0;
}

/* "@a,@b:" before an address in "<>" (obs-route), read past. */
static int skip_route(struct reader *r)
{
    char text[DOMAIN_TEXT];
    struct slice domain;
    int c;

    while ((c = peek(r)) == '@' || c == ',') {
        r->in = slice_skip(r->in, 1);
        if (c == '@')
            TRY(read_domain(r, text, &domain));
    }
    if (c != ':')
        return -EINVAL;
    r->in = slice_skip(r->in, 1);
    return 0;
}

/* "<" [route] local "@" domain ">" */
static int read_angle(struct reader *r, struct address *ret)
{
    struct words local;
    int c;

    r->in = slice_skip(r->in, 1);
    c = peek(r);
    if (c == '@')
        TRY(skip_route(r));
    if (read_words(r, &local) != '@')
        return -EINVAL;
    TRY(read_address(r, &local, ret));
    if (peek(r) != '>')
        return -EINVAL;
    r->in = slice_skip(r->in, 1);
    return 0;
}

static bool same(const struct address *a, const struct address *b)
{
    return slice_iis(slice_str(a->local), b->local) && slice_is(slice_str(a->domain), b->domain);
}

/* After words: one address, a group's name, or nothing between commas. */
static int read_entry(struct reader *r, const struct words *w, int c)
{
    struct address a, again;

    if (c == ':' && !r->in_group && w->any) {
        r->in_group = true;
        r->in = slice_skip(r->in, 1);
        return 0;
    }
    if (c == '@') {
        TRY(read_address(r, w, &a));
        if (peek(r) == '<') { /* "a@b <a@b>": no display name, but it says one thing only */
            TRY(read_angle(r, &again));
            if (!same(&a, &again))
                return -EINVAL;
        }
    } else if (c == '<') {
        TRY(read_angle(r, &a));
    } else {
        return w->any ? -EINVAL : 0;
    }
    c = peek(r);
    if (c != -1 && c != ',' && c != ';')
        return -EINVAL;
    if (r->count < r->max)
        r->ret[r->count] = a;
    r->count++;
    return 0;
}

int header_addresses(struct slice value, struct address *ret, size_t max)
{
    struct reader r = { .in = value, .ret = ret, .max = max };
    struct words w;
    int c;

    if (value.n > INT32_MAX)
        return -EINVAL;
    for (;;) {
        c = read_words(&r, &w);
        if (c < -1)
            return c;
        TRY(read_entry(&r, &w, c));
        c = peek(&r);
        if (c == -1)
            return (int)r.count;
        if (c == ';' && r.in_group)
            r.in_group = false;
        else if (c != ',' && !(r.in_group && w.any))
            return -EINVAL;
        if (c == ',' || c == ';')
            r.in = slice_skip(r.in, 1);
    }
}

static size_t count_of(struct slice s, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == c;
    return n;
}

int header_sole_address(struct slice value, struct address *ret)
{
    ptrdiff_t open;

    value = slice_trim(value);
    open = slice_find(value, '<');
    if (open < 0 || value.p[value.n - 1] != '>' || count_of(value, '<') != 1 || count_of(value, '>') != 1 ||
        count_of(value, '@') != 1)
        return -EINVAL;
    value = slice_skip(slice_head(value, value.n - 1), (size_t)open + 1);
    return address_parse(slice_trim(value), ADDRESS_UTF8 | ADDRESS_LITERAL, ret) < 0 ? -EINVAL : 0;
}
