#include "domain_priv.h"
#include "facteur/base/codec.h"
#include "facteur/mail/address.h"
#include "facteur/mail/ip.h"

#include <errno.h>
#include <idn2.h>

/* Octets of a name before IDNA; four times the longest result. */
enum { DOMAIN_TEXT = 4 * LIMIT_DOMAIN };

static bool is_let_dig(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

/* As sub-domain = Let-dig [Ldh-str] may have; and "_", which hosts have although it was never allowed, and which the DNS
 * takes. */
static bool is_name_octet(char c)
{
    return is_let_dig(c) || c == '_';
}

static int check_label(struct slice label)
{
    if (label.n == 0)
        return -EINVAL;
    if (label.n > LIMIT_LABEL)
        return -ENAMETOOLONG;
    if (!is_name_octet(label.p[0]) || !is_name_octet(label.p[label.n - 1]))
        return -EINVAL;
    for (size_t i = 0; i < label.n; i++)
        if (!is_name_octet(label.p[i]) && label.p[i] != '-')
            return -EINVAL;
    return 0;
}

static void copy_lower(struct slice s, char *to)
{
    for (size_t i = 0; i < s.n; i++)
        to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
    to[s.n] = '\0';
}

static struct slice without_last_dot(struct slice s)
{
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

static int ascii_domain(struct slice text, char to[LIMIT_DOMAIN + 1])
{
    struct slice rest = without_last_dot(text);
    struct slice label;
    bool more = true;

    text = rest;
    if (text.n > LIMIT_DOMAIN)
        return -ENAMETOOLONG;
    while (more) {
        more = slice_cut(&rest, '.', &label);
        TRY(check_label(label));
    }
    if (all_digits(label)) /* no such top-level domain exists (RFC 3696 section 2): an IPv4 address without brackets */
        return -EINVAL;
    copy_lower(text, to);
    return 0;
}

static int idn_error(int code)
{
    if (code == IDN2_TOO_BIG_DOMAIN || code == IDN2_TOO_BIG_LABEL)
        return -ENAMETOOLONG;
    return code == IDN2_ENCODING_ERROR ? -EILSEQ : -EINVAL;
}

int domain_parse(struct slice text, char to[LIMIT_DOMAIN + 1])
{
    uint8_t name[DOMAIN_TEXT + 1];
    uint8_t *labels = NULL;
    int code;

    if (ascii_only(text))
        return ascii_domain(text, to);
    if (text.n > DOMAIN_TEXT)
        return -ENAMETOOLONG;
    if (!utf8_valid(text))
        return -EILSEQ;
    if (slice_copy(text, (char *)name, sizeof name) < 0)
        return -EINVAL; /* a NUL inside */
    code = idn2_lookup_u8(name, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (code != IDN2_OK)
        return idn_error(code);
    code = ascii_domain(slice_str((const char *)labels), to); /* the mapping may give other octets than LDH */
    idn2_free(labels);
    return code;
}

int domain_literal(struct slice text, bool tag_needed, char to[LIMIT_DOMAIN + 1])
{
    static const char tag[] = "IPv6:";
    char address[IP_TEXT];
    struct buf out;
    struct ip ip;
    bool tagged;
    int code;

    if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
        return -EINVAL;
    text = (struct slice){ text.p + 1, text.n - 2 };
    tagged = slice_istarts(text, tag);
    text = tagged ? slice_skip(text, sizeof tag - 1) : text;
    if (ip_parse(text, &ip) < 0)
        return -EINVAL;
    if ((slice_find(text, ':') >= 0) != tagged && (tag_needed || tagged))
        return -EINVAL; /* a tag before IPv4, or IPv6 without it */
    ip_format(&ip, address);
    buf_init(&out, LIMIT_DOMAIN);
    code = buf_addf(&out, "[%s%s]", ip.family == 6 ? tag : "", address);
    if (code == 0)
        code = slice_copy(buf_slice(&out), to, LIMIT_DOMAIN + 1);
    buf_clear(&out);
    return code;
}

int helo_parse(struct slice text, char to[LIMIT_DOMAIN + 1])
{
    size_t label = 0;

    if (text.n > 0 && text.p[0] == '[')
        return domain_literal(text, false, to); /* IPv6 without its tag is common here, and harms nobody */
    text = without_last_dot(text);
    if (text.n == 0 || text.n > LIMIT_DOMAIN)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        label = c == '.' ? 0 : label + 1;
        if (label > LIMIT_LABEL || (c == '.' && (i == 0 || text.p[i - 1] == '.')))
            return -EINVAL;
        if (!is_name_octet(c) && c != '-' && c != '.')
            return -EINVAL;
    }
    if (label == 0) /* a second dot at the end */
        return -EINVAL;
    copy_lower(text, to);
    return 0;
}
