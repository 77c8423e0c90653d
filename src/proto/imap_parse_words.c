#include "imap_parse_priv.h"

#include "facteur/base/codec.h"
#include "facteur/mail/mutf7.h"

#include <errno.h>

int imap_bad_syntax(struct imap_cursor *x, const char *text)
{
    (void)err_set(x->e, -EINVAL, "%s", text);
    return -EINVAL;
}

const struct imap_name *imap_find_name(const struct imap_name *names, size_t count, struct slice word)
{
    for (size_t i = 0; i < count; i++)
        if (slice_iis(word, names[i].name))
            return &names[i];
    return NULL;
}

void *imap_grow(struct arena *a, void *items, size_t count, size_t *cap, size_t each)
{
    void *more;

    if (count < *cap)
        return items;
    *cap = *cap == 0 ? 4 : *cap * 2;
    more = arena_zero(a, *cap * each);
    if (count > 0)
        memcpy(more, items, count * each);
    return more;
}

struct slice imap_keep(struct arena *a, struct slice s)
{
    return slice_make(arena_str(a, s), s.n);
}

/* ---- single octets ---- */

bool imap_is_at(const struct imap_cursor *x, char c)
{
    return x->in.n > 0 && x->in.p[0] == c;
}

bool imap_take_char(struct imap_cursor *x, char c)
{
    bool is = imap_is_at(x, c);

    if (is)
        x->in = slice_skip(x->in, 1);
    return is;
}

int imap_expect(struct imap_cursor *x, char c)
{
    if (imap_take_char(x, c))
        return 0;
    if (c == ' ')
        return imap_bad_syntax(x, x->in.n == 0 ? "An argument is missing" : "Expected a space");
    (void)err_set(x->e, -EINVAL, "Expected %c", c);
    return -EINVAL;
}

/* One SP; more of them are read past. */
int imap_space(struct imap_cursor *x)
{
    TRY(imap_expect(x, ' '));
    while (imap_take_char(x, ' '))
        ;
    return 0;
}

bool imap_is_at_end(const struct imap_cursor *x)
{
    size_t n = 0;

    while (n < x->in.n && x->in.p[n] == ' ')
        n++;
    return n == x->in.n;
}

int imap_open(struct imap_cursor *x)
{
    TRY(imap_space(x));
    return imap_expect(x, '(');
}

int imap_next_member(struct imap_cursor *x, bool first, bool *ret_end)
{
    while (first && imap_take_char(x, ' '))
        ;
    if (!first && imap_is_at(x, ' '))
        TRY(imap_space(x));
    else if (!first && !imap_is_at(x, ')'))
        return imap_bad_syntax(x, "Expected ) or a space in a list");
    *ret_end = imap_take_char(x, ')');
    return 0;
}

/* ---- words and strings ---- */

/* ATOM-CHAR of RFC 9051 section 9. */
bool imap_is_atom_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

struct slice imap_word(struct imap_cursor *x)
{
    size_t n = 0;

    while (n < x->in.n && imap_is_atom_char(x->in.p[n]))
        n++;
    x->in = slice_skip(x->in, n);
    return slice_make(x->in.p - n, n);
}

int imap_atom(struct imap_cursor *x, struct slice *ret)
{
    struct slice word = imap_word(x);

    if (word.n == 0)
        return imap_bad_syntax(x, "Expected an atom");
    *ret = word;
    return 0;
}

static int read_quoted(struct imap_cursor *x, struct slice *ret)
{
    size_t n = 1, escapes = 0, made = 0;
    char *copy;

    for (; n < x->in.n && x->in.p[n] != '"'; n++) {
        if (x->in.p[n] == '\r' || x->in.p[n] == '\n')
            return imap_bad_syntax(x, "Quoted string without its end");
        if (x->in.p[n] != '\\')
            continue;
        escapes++;
        if (++n == x->in.n || (x->in.p[n] != '"' && x->in.p[n] != '\\'))
            return imap_bad_syntax(x, "In a quoted string \\ stands only before \" and \\");
    }
    if (n >= x->in.n)
        return imap_bad_syntax(x, "Quoted string without its end");
    *ret = slice_make(x->in.p + 1, n - 1);
    x->in = slice_skip(x->in, n + 1);
    if (escapes == 0)
        return 0;
    copy = arena_zero(x->a, ret->n);
    for (size_t i = 0; i < ret->n; i++) {
        i += ret->p[i] == '\\';
        copy[made++] = ret->p[i];
    }
    *ret = slice_make(copy, made);
    return 0;
}

/* "{5}" CRLF and its octets, as the server has gathered them. */
static int read_literal(struct imap_cursor *x, struct slice *ret)
{
    ptrdiff_t lf = slice_find(x->in, '\n');
    uint64_t octets;
    bool nonsync, binary;

    if (lf < 2 || x->in.p[lf - 1] != '\r' || slice_find(slice_skip(slice_head(x->in, (size_t)lf), 1), '{') >= 0 ||
        !imap_literal_at_end(slice_head(x->in, (size_t)lf - 1), &octets, &nonsync, &binary) ||
        octets > x->in.n - (size_t)lf - 1)
        return imap_bad_syntax(x, "Literal is malformed");
    *ret = slice_make(x->in.p + lf + 1, (size_t)octets);
    x->in = slice_skip(x->in, (size_t)lf + 1 + (size_t)octets);
    return 0;
}

int imap_string(struct imap_cursor *x, bool any_octets, struct slice *ret)
{
    struct slice s;

    if (imap_is_at(x, '"'))
        TRY(read_quoted(x, &s));
    else if (imap_is_at(x, '{'))
        TRY(read_literal(x, &s));
    else
        return imap_bad_syntax(x, "Expected a string");
    if (slice_find(s, '\0') >= 0)
        return imap_bad_syntax(x, "A string holds no NUL");
    if (!any_octets && !utf8_valid(s))
        return imap_bad_syntax(x, "A string is not valid UTF-8");
    *ret = s;
    return 0;
}

int imap_astring(struct imap_cursor *x, bool any_octets, struct slice *ret)
{
    size_t n = 0;

    if (imap_is_at(x, '"') || imap_is_at(x, '{'))
        return imap_string(x, any_octets, ret);
    while (n < x->in.n && (imap_is_atom_char(x->in.p[n]) || x->in.p[n] == ']'))
        n++;
    if (n == 0)
        return imap_bad_syntax(x, x->in.n == 0 ? "An argument is missing" : "Expected an atom or a string");
    *ret = slice_head(x->in, n);
    x->in = slice_skip(x->in, n);
    return 0;
}

int imap_nstring(struct imap_cursor *x, struct slice *ret, bool *ret_nil)
{
    struct imap_cursor y = *x;

    *ret_nil = slice_iis(imap_word(&y), "NIL");
    if (!*ret_nil)
        return imap_string(x, false, ret);
    x->in = y.in;
    *ret = slice_make(NULL, 0);
    return 0;
}

bool imap_literal_at_end(struct slice line, uint64_t *ret_octets, bool *ret_nonsync, bool *ret_binary)
{
    size_t end = line.n, start;
    bool nonsync;
    struct slice digits;

    if (end == 0 || line.p[--end] != '}')
        return false;
    nonsync = end > 0 && line.p[end - 1] == '+';
    end -= nonsync;
    for (start = end; start > 0 && line.p[start - 1] >= '0' && line.p[start - 1] <= '9'; start--)
        ;
    if (start == end || start == 0 || line.p[start - 1] != '{')
        return false;
    digits = slice_make(line.p + start, end - start);
    if (slice_u64(digits, UINT64_MAX - 1, ret_octets) < 0)
        *ret_octets = UINT64_MAX;
    *ret_nonsync = nonsync;
    *ret_binary = start > 1 && line.p[start - 2] == '~';
    return true;
}

/* ---- numbers and sets ---- */

static struct slice take_digits(struct imap_cursor *x)
{
    size_t n = 0;

    while (n < x->in.n && x->in.p[n] >= '0' && x->in.p[n] <= '9')
        n++;
    x->in = slice_skip(x->in, n);
    return slice_make(x->in.p - n, n);
}

int imap_number(struct imap_cursor *x, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t n;
    int code = slice_u64(take_digits(x), max, &n);

    if (code == -ERANGE || (code == 0 && n < min))
        return imap_bad_syntax(x, "A number is out of range");
    if (code < 0)
        return imap_bad_syntax(x, "Expected a number");
    *ret = n;
    return 0;
}

int imap_modseq(struct imap_cursor *x, uint64_t min, uint64_t *ret)
{
    return imap_number(x, min, INT64_MAX, ret);
}

static int read_piece_end(struct imap_cursor *x, bool star, uint32_t *ret)
{
    uint64_t n;

    if (star && imap_take_char(x, '*')) {
        *ret = 0;
        return 0;
    }
    if (imap_number(x, 1, UINT32_MAX, &n) < 0)
        return imap_bad_syntax(x, "A set of numbers is malformed");
    *ret = (uint32_t)n;
    return 0;
}

static int read_set(struct imap_cursor *x, bool star, struct imap_set *ret)
{
    struct imap_set set = { 0 };
    size_t most = 1;

    for (size_t i = 0; i < x->in.n && strchr("0123456789:*,", x->in.p[i]) != NULL && x->in.p[i] != '\0'; i++)
        most += x->in.p[i] == ',';
    if (most > imap_limit(x->o->limits.set_pieces, IMAP_SET_PIECES))
        return err_set(x->e, -E2BIG, "A set of numbers has too many pieces");
    set.pieces = arena_zero(x->a, most * sizeof *set.pieces);
    do {
        struct imap_piece *piece = &set.pieces[set.count++];

        TRY(read_piece_end(x, star, &piece->from));
        piece->to = piece->from;
        if (imap_take_char(x, ':'))
            TRY(read_piece_end(x, star, &piece->to));
    } while (imap_take_char(x, ','));
    *ret = set;
    return 0;
}

int imap_set(struct imap_cursor *x, struct imap_set *ret)
{
    if (!imap_take_char(x, '$'))
        return read_set(x, true, ret);
    *ret = (struct imap_set){ .saved = true };
    return 0;
}

int imap_plain_set(struct imap_cursor *x, struct imap_set *ret)
{
    return read_set(x, false, ret);
}

int imap_partial_range(struct imap_cursor *x, int64_t *ret_from, int64_t *ret_to)
{
    int64_t sign = imap_is_at(x, '-') ? -1 : 1;
    uint64_t from, to;

    (void)imap_take_char(x, '-');
    TRY(imap_number(x, 1, UINT32_MAX, &from));
    TRY(imap_expect(x, ':'));
    if (imap_take_char(x, '-') != (sign < 0))
        return imap_bad_syntax(x, "Both ends of a PARTIAL range have the same sign");
    TRY(imap_number(x, 1, UINT32_MAX, &to));
    *ret_from = sign * (int64_t)from;
    *ret_to = sign * (int64_t)to;
    return 0;
}

/* ---- names and flags ---- */

int imap_decode_name(struct imap_cursor *x, struct slice in, struct slice *ret)
{
    struct buf name;
    int code;

    for (size_t i = 0; i < in.n; i++)
        if ((unsigned char)in.p[i] < 0x20 || in.p[i] == 0x7f)
            return imap_bad_syntax(x, "A mailbox name holds no control characters");
    if (x->o->names_utf8) {
        *ret = in; /* it is valid UTF-8: see imap_string */
        return 0;
    }
    buf_init(&name, in.n * 3 + 1);
    code = mutf7_decode(in, &name);
    if (code == 0)
        *ret = imap_keep(x->a, buf_slice(&name));
    buf_clear(&name);
    if (code < 0)
        return imap_bad_syntax(x, "Mailbox name is not valid modified UTF-7");
    for (size_t i = 0; i < ret->n; i++)
        if ((unsigned char)ret->p[i] < 0x20 || ret->p[i] == 0x7f)
            return imap_bad_syntax(x, "A mailbox name holds no control characters");
    return 0;
}

int imap_mailbox(struct imap_cursor *x, struct slice *ret)
{
    struct slice name;

    TRY(imap_astring(x, false, &name));
    if (name.n == 0)
        return imap_bad_syntax(x, "Mailbox name is empty");
    TRY(imap_decode_name(x, name, &name));
    *ret = slice_iis(name, "INBOX") ? SLICE_LIT("INBOX") : name;
    return 0;
}

static const struct imap_name system_flags[] = {
    { "Answered", 1 }, { "Flagged", 2 }, { "Deleted", 4 }, { "Seen", 8 }, { "Draft", 16 },
};

int imap_flag(struct imap_cursor *x, struct imap_flags *ret, size_t *cap)
{
    bool system = imap_take_char(x, '\\');
    const struct imap_name *known;
    struct slice word;

    if (imap_atom(x, &word) < 0)
        return imap_bad_syntax(x, "Expected a flag");
    known = system ? IMAP_FIND(system_flags, word) : NULL;
    if (known != NULL) {
        ret->flags = (uint8_t)(ret->flags | known->value);
        return 0;
    }
    if (system && slice_iis(word, "Recent"))
        return imap_bad_syntax(x, "\\Recent cannot be changed");
    if (system)
        return imap_bad_syntax(x, "There is no such system flag");
    if (word.n > IMAP_KEYWORD)
        return imap_bad_syntax(x, "Keyword is too long");
    if (slice_iis(word, "$Forwarded")) {
        ret->flags |= IMAP_FORWARDED;
        return 0;
    }
    ret->keywords = imap_grow(x->a, ret->keywords, ret->keyword_count, cap, sizeof *ret->keywords);
    ret->keywords[ret->keyword_count++] = word;
    return 0;
}

int imap_flag_list(struct imap_cursor *x, struct imap_flags *ret)
{
    bool end = false;
    size_t cap = 0;

    TRY(imap_expect(x, '('));
    for (bool first = true;; first = false) {
        TRY(imap_next_member(x, first, &end));
        if (end)
            return 0;
        TRY(imap_flag(x, ret, &cap));
    }
}
