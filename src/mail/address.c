#include "facteur/mail/address.h"

#include "address_priv.h"
#include "domain_priv.h"
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"

#include <errno.h>

bool address_is_atext(char c)
{
    unsigned char u = (unsigned char)c;

    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || u > 127)
        return true;
    return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

static bool is_dot_string(struct slice s)
{
    if (s.n == 0 || s.p[0] == '.' || s.p[s.n - 1] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!address_is_atext(s.p[i]) && (s.p[i] != '.' || s.p[i - 1] == '.'))
            return false;
    return true;
}

/* Octets over 127 must be allowed, be UTF-8 and no control characters (U+0080 to U+009F are C2 80 to C2 9F). */
static int check_utf8(struct slice s, unsigned flags)
{
    if ((flags & ADDRESS_UTF8) == 0 || !utf8_valid(s))
        return -EILSEQ;
    for (size_t i = 0; i + 1 < s.n; i++)
        if ((unsigned char)s.p[i] == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0)
            return -EINVAL;
    return 0;
}

static int make_local(struct slice local, unsigned flags, struct address *ret)
{
    if (local.n == 0)
        return -EINVAL;
    if (local.n > LIMIT_LOCAL_PART)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < local.n; i++)
        if ((unsigned char)local.p[i] < 0x20 || local.p[i] == 0x7f)
            return -EINVAL;
    ret->utf8 = !ascii_only(local);
    if (ret->utf8)
        TRY(check_utf8(local, flags));
    return slice_copy(local, ret->local, sizeof ret->local);
}

static int make_domain(struct slice domain, unsigned flags, struct address *ret)
{
    if (domain.n > 0 && domain.p[0] == '[') {
        ret->literal = true;
        return (flags & ADDRESS_LITERAL) != 0 ? domain_literal(domain, true, ret->domain) : -EINVAL;
    }
    if (!ascii_only(domain) && (flags & ADDRESS_UTF8) == 0)
        return -EILSEQ;
    return domain_parse(domain, ret->domain);
}

int address_make(struct slice local, struct slice domain, unsigned flags, struct address *ret)
{
    struct address a = { 0 };

    TRY(make_local(local, flags, &a));
    TRY(make_domain(domain, flags, &a));
    *ret = a;
    return 0;
}

/* Dot-string off the front of *in: atoms and single dots between them. */
static int take_dot_string(struct slice *in, struct slice *ret)
{
    size_t n = 0;

    while (n < in->n && (address_is_atext(in->p[n]) || in->p[n] == '.'))
        n++;
    *ret = slice_head(*in, n);
    *in = slice_skip(*in, n);
    return is_dot_string(*ret) ? 0 : -EINVAL;
}

/* Quoted-string off the front of *in, its content without quotes and backslashes to `to`. */
static int take_quoted_string(struct slice *in, char to[LIMIT_LOCAL_PART], struct slice *ret)
{
    size_t n = 0;

    for (size_t i = 1; i < in->n; i++) {
        char c = in->p[i];

        if (c == '"') {
            *in = slice_skip(*in, i + 1);
            *ret = (struct slice){ to, n };
            return 0;
        }
        if (c == '\\') {
            if (++i == in->n)
                return -EINVAL;
            c = in->p[i];
        }
        if (n == LIMIT_LOCAL_PART)
            return -ENAMETOOLONG;
        to[n++] = c; /* control characters are refused by make_local */
    }
    return -EINVAL;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ), all of `in`. */
static int mailbox(struct slice in, unsigned flags, struct address *ret)
{
    char unquoted[LIMIT_LOCAL_PART];
    struct slice local;

    if (in.n > 0 && in.p[0] == '"')
        TRY(take_quoted_string(&in, unquoted, &local));
    else
        TRY(take_dot_string(&in, &local));
    if (in.n == 0 && (flags & ADDRESS_BARE) != 0) {
        struct address a = { 0 };

        TRY(make_local(local, flags, &a));
        *ret = a;
        return 0;
    }
    if (in.n == 0 || in.p[0] != '@')
        return -EINVAL;
    return address_make(local, slice_skip(in, 1), flags, ret);
}

int address_parse(struct slice text, unsigned flags, struct address *ret)
{
    return mailbox(text, flags, ret);
}

/* A-d-l ":" off the front of *in: must be read, should be ignored (RFC 5321 appendix F.2). */
static int drop_source_route(struct slice *in)
{
    char domain[LIMIT_DOMAIN + 1];
    struct slice route, at_domain;
    bool more = true;

    if (in->n == 0 || in->p[0] != '@')
        return 0;
    if (!slice_cut(in, ':', &route))
        return -EINVAL;
    while (more) {
        more = slice_cut(&route, ',', &at_domain);
        if (at_domain.n == 0 || at_domain.p[0] != '@')
            return -EINVAL;
        TRY(domain_parse(slice_skip(at_domain, 1), domain));
    }
    return 0;
}

/* The offset of the ">" that closes a path: the first one outside of quotes. -EINVAL without one. */
static ptrdiff_t path_end(struct slice in)
{
    bool quoted = false;

    for (size_t i = 1; i < in.n; i++) {
        if (quoted && in.p[i] == '\\')
            i++;
        else if (in.p[i] == '"')
            quoted = !quoted;
        else if (in.p[i] == '>' && !quoted)
            return (ptrdiff_t)i;
    }
    return -EINVAL;
}

int path_parse(struct slice *in, unsigned flags, struct address *ret)
{
    struct slice inside;
    ptrdiff_t end;

    if (in->n == 0 || in->p[0] != '<')
        return -EINVAL;
    end = path_end(*in);
    if (end < 0)
        return (int)end;
    if (end > LIMIT_PATH)
        return -ENAMETOOLONG;
    inside = (struct slice){ in->p + 1, (size_t)end - 1 };
    if (inside.n > 0) {
        TRY(drop_source_route(&inside));
        TRY(mailbox(inside, flags, ret));
    } else {
        *ret = (struct address){ 0 };
    }
    *in = slice_skip(*in, (size_t)end + 1);
    return 0;
}

static int format_local(struct slice local, struct buf *out)
{
    if (is_dot_string(local))
        return buf_add(out, local.p, local.n);
    TRY(buf_addc(out, '"'));
    for (size_t i = 0; i < local.n; i++) {
        if (local.p[i] == '"' || local.p[i] == '\\')
            TRY(buf_addc(out, '\\'));
        TRY(buf_addc(out, local.p[i]));
    }
    return buf_addc(out, '"');
}

int address_format(const struct address *a, struct buf *out)
{
    if (address_is_null(a))
        return 0;
    TRY(format_local(slice_str(a->local), out));
    if (a->domain[0] == '\0')
        return 0;
    TRY(buf_addc(out, '@'));
    return buf_adds(out, a->domain);
}

char *address_str(const struct address *a)
{
    struct buf out;
    char *s;

    buf_init(&out, 2 * LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3); /* every octet escaped: it always fits */
    s = mem_str(address_format(a, &out) == 0 ? buf_cstr(&out) : "");
    buf_clear(&out);
    return s;
}

void address_key(const struct address *a, char to[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3])
{
    size_t n = 0;

    for (const char *p = a->local; *p != '\0'; p++)
        to[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    to[n++] = '@';
    memcpy(to + n, a->domain, strlen(a->domain) + 1);
}

bool address_cut_tag(struct address *a, const char *delimiters)
{
    size_t at;

    if (a->local[0] == '\0')
        return false;
    at = 1 + strcspn(a->local + 1, delimiters); /* a name that starts with a delimiter has no user before it */
    if (a->local[at] == '\0')
        return false;
    a->local[at] = '\0';
    a->utf8 = !ascii_only(slice_str(a->local));
    return true;
}
