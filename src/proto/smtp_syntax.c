#include "facteur/proto/smtp_syntax.h"

#include "facteur/base/codec.h"

#include <errno.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 5321 4.2: Reply-code is three digits, the first 2 to 5; what follows is SP or "-" and text, or nothing. */
int smtp_parse_reply_line(struct slice line, short *ret_code, bool *ret_last, struct slice *ret_text)
{
    if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !is_digit(line.p[1]) || !is_digit(line.p[2]))
        return -EINVAL;
    if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
        return -EINVAL;
    *ret_code = (short)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
    *ret_last = line.n == 3 || line.p[3] == ' ';
    *ret_text = slice_skip(line, 4);
    return 0;
}

/* RFC 3030 2: chunk-size is decimal; LAST is the only word behind it. */
int smtp_parse_bdat(struct slice arg, uint64_t *ret_octets, bool *ret_last)
{
    struct slice digits, rest = slice_trim(arg);
    uint64_t octets;
    int code;

    (void)slice_cut(&rest, ' ', &digits);
    rest = slice_trim(rest);
    code = slice_u64(digits, INT64_MAX, &octets);
    if (rest.n > 0 && !slice_iis(rest, "LAST"))
        return -EINVAL;
    if (code < 0)
        return code;
    *ret_octets = octets;
    *ret_last = rest.n > 0;
    return 0;
}

/* ---- parameters of MAIL and RCPT ---- */

/* What a parameter's reader works on: one of the two, and the reply when it refuses. */
struct reading {
    struct smtp_mail *mail;
    struct smtp_rcpt *rcpt;
    uint64_t size_limit; /* 0: none */
    bool utf8;           /* SMTPUTF8 was given with MAIL */
    struct verdict *why;
};

static int refuse(struct verdict *why, int code, const char *enhanced, const char *text)
{
    *why = verdict_make(code, enhanced, "%s", text);
    return -EINVAL;
}

static int malformed(const struct reading *r, const char *text)
{
    return refuse(r->why, 501, "5.5.4", text);
}

static bool is_printable(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    return true;
}

static int read_size(const struct reading *r, struct slice value)
{
    uint64_t size = 0;
    int code = slice_u64(value, UINT64_MAX, &size);

    if (code == -ERANGE || (code == 0 && r->size_limit > 0 && size > r->size_limit))
        return refuse(r->why, 552, "5.3.4", "Message is larger than the limit");
    if (code < 0)
        return malformed(r, "SIZE needs a number");
    r->mail->size = size;
    return 0;
}

static int read_body(const struct reading *r, struct slice value)
{
    static const char *const names[] = {
        [SMTP_BODY_7BIT] = "7BIT", [SMTP_BODY_8BIT] = "8BITMIME", [SMTP_BODY_BINARY] = "BINARYMIME"
    };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_iis(value, names[i])) {
            r->mail->body = (enum smtp_body_type)i;
            return 0;
        }
    return malformed(r, "BODY is 7BIT, 8BITMIME or BINARYMIME");
}

static int read_utf8(const struct reading *r, struct slice value)
{
    (void)value;
    r->mail->utf8 = true;
    return 0;
}

static int read_ret(const struct reading *r, struct slice value)
{
    if (!slice_iis(value, "FULL") && !slice_iis(value, "HDRS"))
        return malformed(r, "RET is FULL or HDRS");
    r->mail->ret = slice_iis(value, "FULL") ? SMTP_RET_FULL : SMTP_RET_HDRS;
    return 0;
}

/* Decodes xtext into to[0..room] without a NUL, printable US-ASCII only (RFC 3461 4.2, 4.4). The length, or negative.
 */
static int decode_xtext(struct slice value, char *to, size_t room)
{
    struct buf decoded;
    int code;

    buf_init(&decoded, room);
    code = xtext_decode(value, &decoded);
    if (code == 0 && (decoded.n == 0 || !is_printable(decoded.p, decoded.n)))
        code = -EINVAL;
    if (code == 0) {
        memcpy(to, decoded.p, decoded.n);
        code = (int)decoded.n;
    }
    buf_clear(&decoded);
    return code;
}

static int read_envid(const struct reading *r, struct slice value)
{
    int n = decode_xtext(value, r->mail->envid, LIMIT_ENVID);

    if (n < 0)
        return malformed(r, "ENVID is not xtext of at most 100 characters");
    r->mail->envid[n] = '\0';
    return 0;
}

/* AUTH= names who submitted the message first. We trust no one's word for that, but check the form (RFC 4954 5). */
static int read_auth(const struct reading *r, struct slice value)
{
    char who[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];

    if (slice_is(value, "<>") || decode_xtext(value, who, sizeof who) > 0)
        return 0;
    return malformed(r, "AUTH= is not xtext");
}

static int read_notify(const struct reading *r, struct slice value)
{
    static const struct {
        const char *name;
        unsigned flag;
    } words[] = { { "NEVER", SMTP_NOTIFY_NEVER },
                  { "SUCCESS", SMTP_NOTIFY_SUCCESS },
                  { "FAILURE", SMTP_NOTIFY_FAILURE },
                  { "DELAY", SMTP_NOTIFY_DELAY } };
    unsigned all = 0;
    bool more = true;

    while (more) {
        struct slice word;
        unsigned flag = 0;

        more = slice_cut(&value, ',', &word);
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            flag |= slice_iis(word, words[i].name) ? words[i].flag : 0;
        if (flag == 0)
            return malformed(r, "NOTIFY is NEVER or a list of SUCCESS, FAILURE and DELAY");
        all |= flag;
    }
    if ((all & SMTP_NOTIFY_NEVER) != 0 && all != SMTP_NOTIFY_NEVER)
        return malformed(r, "NOTIFY=NEVER stands alone");
    r->rcpt->notify = all;
    return 0;
}

static bool is_addr_type(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = (char)(s.p[i] | 0x20);

        if (!is_digit(s.p[i]) && s.p[i] != '-' && (c < 'a' || c > 'z'))
            return false;
    }
    return s.n > 0;
}

/* addr-type ";" xtext (RFC 3461 4.2). The type "utf-8" (RFC 6533 3) has an encoding of its own, \x{…}, that is kept as
 * it came: it is legal in a notification as it stands. */
static int read_orcpt(const struct reading *r, struct slice value)
{
    static const char wrong[] = "ORCPT is type;xtext of at most 500 characters";
    char *to = r->rcpt->orcpt;
    struct slice type, rest = value;
    int n;

    if (!slice_cut(&rest, ';', &type) || !is_addr_type(type) || type.n + 1 >= LIMIT_ORCPT)
        return malformed(r, wrong);
    if (slice_iis(type, "utf-8")) {
        if (rest.n == 0 || !utf8_valid(rest) || (!r->utf8 && !ascii_only(rest)) || slice_find(rest, '+') >= 0 ||
            slice_copy(value, to, LIMIT_ORCPT + 1) < 0)
            return malformed(r, wrong);
        return 0;
    }
    n = decode_xtext(rest, to + type.n + 1, LIMIT_ORCPT - type.n - 1);
    if (n < 0)
        return malformed(r, wrong);
    memcpy(to, value.p, type.n + 1);
    to[type.n + 1 + (size_t)n] = '\0';
    return 0;
}

struct parameter {
    const char *name;
    bool has_value;
    int (*read)(const struct reading *r, struct slice value);
};

static const struct parameter mail_parameters[] = {
    { "SIZE", true, read_size },      /* RFC 1870 */
    { "BODY", true, read_body },      /* RFC 6152, 3030 */
    { "SMTPUTF8", false, read_utf8 }, /* RFC 6531 */
    { "RET", true, read_ret },        /* RFC 3461 */
    { "ENVID", true, read_envid },    /* RFC 3461 */
    { "AUTH", true, read_auth },      /* RFC 4954 */
    { NULL, false, NULL },
};
static const struct parameter rcpt_parameters[] = {
    { "NOTIFY", true, read_notify }, /* RFC 3461 */
    { "ORCPT", true, read_orcpt },   /* RFC 3461 */
    { NULL, false, NULL },
};

/* esmtp-value: anything but "=", SP and controls (RFC 5321 4.1.2); UTF-8 where RFC 6531 3.6 allows it. */
static bool is_esmtp_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '=' || s.p[i] == 0x7f)
            return false;
    return s.n > 0;
}

static int read_parameter(const struct reading *r, const struct parameter *table, struct slice text, unsigned *seen)
{
    struct slice name, value = text;
    bool has_value = slice_cut(&value, '=', &name);
    unsigned i = 0;

    if (!is_addr_type(name) || name.p[0] == '-' || (has_value && !is_esmtp_value(value)))
        return malformed(r, "Malformed parameter");
    while (table[i].name != NULL && !slice_iis(name, table[i].name))
        i++;
    if (table[i].name == NULL)
        return refuse(r->why, 555, "5.5.4", "Unknown parameter");
    if ((*seen & (1U << i)) != 0)
        return malformed(r, "Parameter given twice");
    *seen |= 1U << i;
    if (has_value != table[i].has_value)
        return malformed(r, has_value ? "This parameter takes no value" : "This parameter needs a value");
    return table[i].read(r, value);
}

static int read_parameters(const struct reading *r, const struct parameter *table, struct slice rest)
{
    unsigned seen = 0;

    while (rest.n > 0) {
        struct slice text;

        (void)slice_cut(&rest, ' ', &text);
        if (text.n > 0)
            TRY(read_parameter(r, table, text, &seen));
    }
    return 0;
}

/* Reads `keyword`, the path and one space behind it. Spaces between colon and path are not in the grammar, but many
 * small devices send one; they harm no one. *arg is left at the parameters, *ret_path is the path as it was written. */
static int read_path(struct slice *arg, const char *keyword, unsigned flags, struct address *ret,
                     struct slice *ret_path)
{
    struct slice rest = *arg;
    const char *start;

    if (!slice_istarts(rest, keyword))
        return -EPROTO;
    rest = slice_skip(rest, strlen(keyword));
    while (rest.n > 0 && rest.p[0] == ' ')
        rest = slice_skip(rest, 1);
    start = rest.p;
    /* Always as UTF-8: whether it was allowed is judged when the parameters behind it are known. */
    TRY(path_parse(&rest, flags | ADDRESS_UTF8 | ADDRESS_LITERAL, ret));
    if (rest.n > 0 && rest.p[0] != ' ')
        return -EINVAL;
    *ret_path = slice_make(start, (size_t)(rest.p - start));
    *arg = rest;
    return 0;
}

int smtp_parse_mail(struct slice arg, uint64_t size_limit, struct smtp_mail *ret, struct verdict *why)
{
    struct smtp_mail mail = { 0 };
    struct reading r = { .mail = &mail, .size_limit = size_limit, .why = why };
    struct slice path;
    int code = read_path(&arg, "FROM:", 0, &mail.reverse_path, &path);

    if (code == -EPROTO)
        return refuse(why, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
    if (code < 0)
        return refuse(why, 501, "5.1.7", "Bad sender address");
    TRY(read_parameters(&r, mail_parameters, arg));
    if (!mail.utf8 && !ascii_only(path))
        return refuse(why, 553, "5.6.7", "This address needs SMTPUTF8");
    *ret = mail;
    return 0;
}

int smtp_parse_rcpt(struct slice arg, bool utf8, struct smtp_rcpt *ret, struct verdict *why)
{
    struct smtp_rcpt rcpt = { 0 };
    struct reading r = { .rcpt = &rcpt, .utf8 = utf8, .why = why };
    struct slice path;
    int code = read_path(&arg, "TO:", ADDRESS_BARE, &rcpt.forward_path, &path);

    if (code == -EPROTO)
        return refuse(why, 501, "5.5.4", "Syntax: RCPT TO:<address>");
    /* Only postmaster may come without a domain (RFC 5321 4.1.1.3); and no mail goes to the null path. */
    if (code < 0 || rcpt.forward_path.local[0] == '\0' ||
        (rcpt.forward_path.domain[0] == '\0' && !slice_iis(slice_str(rcpt.forward_path.local), "postmaster")))
        return refuse(why, 501, "5.1.3", "Bad recipient address");
    rcpt.source_route = path.n > 1 && path.p[1] == '@';
    TRY(read_parameters(&r, rcpt_parameters, arg));
    if (!utf8 && !ascii_only(path))
        return refuse(why, 553, "5.6.7", "This address needs SMTPUTF8");
    *ret = rcpt;
    return 0;
}
