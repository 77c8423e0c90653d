#include "scan_priv.h"

/* What octets may stand in: A in an atom, T also in a MIME token. */
enum { A = 1, T = 2, B = A | T };

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD, for NUL */

static const unsigned char classes[128] = {
    ['!'] = B, ['#'] = B, ['$'] = B, ['%'] = B, ['&'] = B, ['\''] = B, ['*'] = B, ['+'] = B, ['-'] = B, ['/'] = A,
    ['='] = A, ['?'] = A, ['^'] = B, ['_'] = B, ['`'] = B, ['{'] = B,  ['|'] = B, ['}'] = B, ['~'] = B, ['.'] = T,
    ['0'] = B, ['1'] = B, ['2'] = B, ['3'] = B, ['4'] = B, ['5'] = B,  ['6'] = B, ['7'] = B, ['8'] = B, ['9'] = B,
    ['A'] = B, ['B'] = B, ['C'] = B, ['D'] = B, ['E'] = B, ['F'] = B,  ['G'] = B, ['H'] = B, ['I'] = B, ['J'] = B,
    ['K'] = B, ['L'] = B, ['M'] = B, ['N'] = B, ['O'] = B, ['P'] = B,  ['Q'] = B, ['R'] = B, ['S'] = B, ['T'] = B,
    ['U'] = B, ['V'] = B, ['W'] = B, ['X'] = B, ['Y'] = B, ['Z'] = B,  ['a'] = B, ['b'] = B, ['c'] = B, ['d'] = B,
    ['e'] = B, ['f'] = B, ['g'] = B, ['h'] = B, ['i'] = B, ['j'] = B,  ['k'] = B, ['l'] = B, ['m'] = B, ['n'] = B,
    ['o'] = B, ['p'] = B, ['q'] = B, ['r'] = B, ['s'] = B, ['t'] = B,  ['u'] = B, ['v'] = B, ['w'] = B, ['x'] = B,
    ['y'] = B, ['z'] = B,
};

static bool is_in(int c, unsigned char class)
{
    return c > 127 || (c >= 0 && (classes[c] & class) != 0);
}

bool scan_is_atext(int c)
{
    return is_in(c, A);
}

static enum scan_result here(const struct scan *s)
{
    return s->p < s->end ? SCAN_MORE : SCAN_END;
}

void scan_put(struct buf *out, const char *p, size_t n)
{
    int code = buf_add(out, p, n);

    (void)code; /* the text is at most SCAN_MAX octets long, and none of them becomes more than three */
}

/* How a text in delimiters is read. */
struct enclosed {
    char open; /* nests (a comment), or is refused (a literal); NUL: it is text */
    char close;
    bool nests;
    bool keep_backslash; /* quoted pairs stay as they are */
};

static void put_upto(struct buf *out, const char *start, const char *end)
{
    if (out != NULL)
        scan_put(out, start, (size_t)(end - start));
}

/* The text up to its closing delimiter to `out` (NULL: skipped) without folds. False without one: what is in
 * `out` then is as much as Dovecot shows of it. */
static bool take_enclosed(struct scan *s, const struct enclosed *e, struct buf *out)
{
    size_t depth = 1;
    const char *start = s->p; /* of what has not been written */

    for (; s->p < s->end; s->p++) {
        char c = *s->p, next = s->p + 1 < s->end ? s->p[1] : '\0';

        if (c == e->close && --depth == 0) {
            put_upto(out, start, s->p++);
            return true;
        }
        if (c == e->open && e->nests)
            depth++;
        else if (c == e->open && e->open != '\0')
            break;
        if (c == '\\' && next != '\0' && next != '\r' && next != '\n') { /* before a line end it is text */
            if (!e->keep_backslash) {
                put_upto(out, start, s->p);
                start = s->p + 1;
            }
            s->p++;
        } else if (c == '\n') {
            put_upto(out, start, s->p > start && s->p[-1] == '\r' ? s->p - 1 : s->p);
            start = s->p + 1;
        } else if (c == '\0') {
            put_upto(out, start, s->p);
            put_upto(out, replacement, replacement + sizeof replacement - 1);
            start = s->p + 1;
        }
    }
    return false;
}

enum scan_result scan_cfws(struct scan *s)
{
    static const struct enclosed comment = { .open = '(', .close = ')', .nests = true };

    while (s->p < s->end) {
        if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n') {
            s->p++;
            continue;
        }
        if (!scan_skip(s, '('))
            break;
        if (s->comment != NULL)
            buf_reset(s->comment);
        if (!take_enclosed(s, &comment, s->comment))
            return SCAN_BROKEN;
    }
    return here(s);
}

/* The octets of a class, at least `least` of them. */
static bool take_run(struct scan *s, unsigned char class, struct buf *out)
{
    const char *start = s->p;

    while (is_in(scan_peek(s), class))
        s->p++;
    scan_put(out, start, (size_t)(s->p - start));
    return s->p > start;
}

enum scan_result scan_atom(struct scan *s, struct buf *out)
{
    return take_run(s, A, out) ? scan_cfws(s) : SCAN_BROKEN;
}

enum scan_result scan_dot_atom(struct scan *s, struct buf *out)
{
    for (;;) {
        enum scan_result result = scan_atom(s, out);

        if (result != SCAN_MORE || !scan_skip(s, '.'))
            return result;
        scan_put(out, ".", 1);
        if (scan_cfws(s) != SCAN_MORE)
            return SCAN_BROKEN;
    }
}

enum scan_result scan_token(struct scan *s, struct buf *out)
{
    (void)take_run(s, T, out);
    return scan_cfws(s);
}

enum scan_result scan_quoted_string(struct scan *s, struct buf *out)
{
    static const struct enclosed quoted = { .close = '"' };

    return scan_skip(s, '"') && take_enclosed(s, &quoted, out) ? scan_cfws(s) : SCAN_BROKEN;
}

enum scan_result scan_domain(struct scan *s, struct buf *out)
{
    static const struct enclosed literal = { .open = '[', .close = ']', .keep_backslash = true };

    if (scan_cfws(s) != SCAN_MORE)
        return SCAN_BROKEN;
    if (!scan_skip(s, '['))
        return scan_dot_atom(s, out);
    scan_put(out, "[", 1);
    if (!take_enclosed(s, &literal, out))
        return SCAN_BROKEN;
    scan_put(out, "]", 1);
    return scan_cfws(s);
}

enum scan_result scan_phrase(struct scan *s, struct buf *out)
{
    if (s->p == s->end)
        return SCAN_END;
    if (*s->p == '.')
        return SCAN_BROKEN;
    for (;;) {
        enum scan_result result = SCAN_MORE;

        if (scan_peek(s) == '"') {
            result = scan_quoted_string(s, out);
        } else {
            const char *start = s->p;

            while (is_in(scan_peek(s), A) || scan_peek(s) == '.')
                s->p++;
            scan_put(out, start, (size_t)(s->p - start));
            result = scan_cfws(s);
        }
        if (result != SCAN_MORE || (!is_in(scan_peek(s), A) && scan_peek(s) != '"' && scan_peek(s) != '.'))
            return result;
        scan_put(out, " ", 1);
    }
}

void scan_unfold(struct slice value, struct buf *out)
{
    size_t plain = 0;

    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i], next = i + 1 < value.n ? value.p[i + 1] : ' ';

        if (c != '\r' && c != '\n' && c != '\0')
            continue;
        scan_put(out, value.p + plain, i - plain);
        plain = i + 1;
        if (c == '\0')
            scan_put(out, replacement, sizeof replacement - 1);
        else if (next != ' ' && next != '\t' && next != '\r' && next != '\n')
            scan_put(out, " ", 1);
    }
    if (plain < value.n)
        scan_put(out, value.p + plain, value.n - plain);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void scan_squeeze(struct slice value, struct buf *out)
{
    size_t first = out->n, i = 0;

    while (i < value.n) {
        size_t start = i;

        while (i < value.n && is_space(value.p[i]))
            i++;
        if (i > start && i < value.n && out->n > first)
            scan_put(out, " ", 1);
        for (start = i; i < value.n && !is_space(value.p[i]) && value.p[i] != '\0';)
            i++;
        scan_put(out, value.p + start, i - start);
        if (i < value.n && value.p[i] == '\0') {
            scan_put(out, replacement, sizeof replacement - 1);
            i++;
        }
    }
}
