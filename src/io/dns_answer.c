/* The DNS message decoder: pure, bounded, without recursion. */
#include "dns_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HEADER = 12,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    CLASS_IN = 1,
    POINTERS_MAX = 64 /* each must point further back, so this only bounds the work */
};

struct rr {
    size_t name_at, data_at, data_n;
    uint32_t ttl;
    uint16_t type, class;
};

static uint16_t u16(struct slice m, size_t at)
{
    return (uint16_t)((uint8_t)m.p[at] << 8 | (uint8_t)m.p[at + 1]);
}

static uint32_t u32(struct slice m, size_t at)
{
    return (uint32_t)u16(m, at) << 16 | u16(m, at + 2);
}

/* What a label may hold so that the text form means the same: no dot, no control octet. */
static bool is_plain(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '.';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Reads the name at *at, compression followed, as lower-case text without the trailing dot (the root is ""), and moves
 * *at behind it. `to` NULL: only skips. 1 for a name that is well formed but that text cannot say; -EBADMSG. */
static int read_name(struct slice m, size_t *at, char *to)
{
    size_t pos = *at, n = 0, octets = 1;
    size_t lowest = *at; /* a pointer must point before everything read so far: so there is no loop */
    int pointers = 0, odd = 0;
    bool jumped = false;

    for (;;) {
        uint8_t c;

        if (pos >= m.n)
            return -EBADMSG;
        c = (uint8_t)m.p[pos];
        if (c >= 0xc0) {
            size_t target;

            if (pos + 1 >= m.n || ++pointers > POINTERS_MAX)
                return -EBADMSG;
            target = u16(m, pos) & 0x3fff;
            if (target >= lowest)
                return -EBADMSG;
            if (!jumped)
                *at = pos + 2;
            jumped = true;
            pos = lowest = target;
            continue;
        }
        octets += 1u + c;
        if (c > 63 || octets > DNS_WIRE_NAME + 1 || pos + 1 + c > m.n)
            return -EBADMSG;
        pos++;
        if (c == 0)
            break;
        if (to != NULL && n > 0)
            to[n++] = '.';
        for (size_t i = 0; i < c && to != NULL; i++) {
            odd |= !is_plain((unsigned char)m.p[pos + i]);
            to[n++] = lower(m.p[pos + i]);
        }
        pos += c;
    }
    if (!jumped)
        *at = pos;
    if (to != NULL)
        to[n] = '\0';
    return odd;
}

static int read_rr(struct slice m, size_t *at, struct rr *ret)
{
    struct rr rr = { .name_at = *at };

    TRY(read_name(m, at, NULL));
    if (m.n - *at < 10)
        return -EBADMSG;
    rr.type = u16(m, *at);
    rr.class = u16(m, *at + 2);
    rr.ttl = u32(m, *at + 4);
    if (rr.ttl > INT32_MAX) /* RFC 2181 section 8 */
        rr.ttl = 0;
    rr.data_n = u16(m, *at + 8);
    rr.data_at = *at + 10;
    if (m.n - rr.data_at < rr.data_n)
        return -EBADMSG;
    *at = rr.data_at + rr.data_n;
    *ret = rr;
    return 0;
}

static bool owned_by(struct slice m, const struct rr *rr, const char *name)
{
    char owner[DNS_NAME];
    size_t at = rr->name_at;

    return read_name(m, &at, owner) == 0 && strcmp(owner, name) == 0;
}

/* A name inside a record's data, which it must fill to its end. */
static int data_name(struct slice m, const struct rr *rr, size_t skip, char to[DNS_NAME])
{
    size_t at = rr->data_at + skip;

    if (rr->data_n <= skip || read_name(m, &at, to) != 0 || at != rr->data_at + rr->data_n)
        return -EBADMSG;
    return 0;
}

/* ---- which records answer ---- */

struct found {
    struct rr rr[DNS_RECORDS_MAX];
    size_t count;
    uint32_t ttl;
    int links; /* CNAMEs followed */
};

/* Collects the records of (name, type); without any, a CNAME of the name moves `name` on: 1. */
static int scan(struct slice m, size_t at, unsigned answers, enum dns_type type, char name[DNS_NAME], struct found *f)
{
    char alias[DNS_NAME];
    bool has_alias = false;
    uint32_t alias_ttl = UINT32_MAX;

    for (unsigned i = 0; i < answers; i++) {
        struct rr rr;

        TRY(read_rr(m, &at, &rr));
        if (rr.class != CLASS_IN || (rr.type != (uint16_t)type && rr.type != TYPE_CNAME) || !owned_by(m, &rr, name))
            continue;
        if (rr.type == TYPE_CNAME && !has_alias) {
            TRY(data_name(m, &rr, 0, alias));
            has_alias = true;
            alias_ttl = rr.ttl;
        } else if (rr.type == (uint16_t)type && f->count < DNS_RECORDS_MAX) {
            f->ttl = rr.ttl < f->ttl ? rr.ttl : f->ttl;
            f->rr[f->count++] = rr;
        }
    }
    if (f->count > 0 || !has_alias)
        return 0;
    f->ttl = alias_ttl < f->ttl ? alias_ttl : f->ttl;
    memcpy(name, alias, sizeof alias);
    return 1;
}

/* RFC 2308 section 5: how long "there is none" holds, from the SOA of the authority section; 0 without one. */
static int negative_ttl(struct slice m, size_t at, unsigned answers, unsigned authority, uint32_t *ret)
{
    struct rr rr;

    for (unsigned i = 0; i < answers; i++)
        TRY(read_rr(m, &at, &rr));
    for (unsigned i = 0; i < authority; i++) {
        TRY(read_rr(m, &at, &rr));
        if (rr.type == TYPE_SOA && rr.class == CLASS_IN && rr.data_n >= 22) {
            uint32_t minimum = u32(m, rr.data_at + rr.data_n - 4);

            *ret = minimum < rr.ttl ? minimum : rr.ttl;
            return 0;
        }
    }
    *ret = 0;
    return 0;
}

/* ---- records out of data ---- */

/* The strings of a TXT record put together; `to` NULL: only their length. */
static int txt_join(struct slice m, const struct rr *rr, char *to, size_t *ret_n)
{
    size_t at = rr->data_at, end = rr->data_at + rr->data_n, n = 0;

    while (at < end) {
        size_t piece = (uint8_t)m.p[at++];

        if (piece > end - at)
            return -EBADMSG;
        if (to != NULL)
            memcpy(to + n, m.p + at, piece);
        n += piece;
        at += piece;
    }
    *ret_n = n;
    return 0;
}

/* Fills r; text goes to `text`, which has room for data_n octets. 0, or -EBADMSG: leave the record out. */
static int fill(struct slice m, const struct rr *rr, struct dns_record *r, char *text)
{
    r->type = (enum dns_type)rr->type;
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        if (rr->data_n != (r->type == DNS_A ? 4 : 16))
            return -EBADMSG;
        memcpy(r->octets, m.p + rr->data_at, rr->data_n);
        return 0;
    case DNS_MX:
        if (rr->data_n < 3)
            return -EBADMSG;
        r->preference = u16(m, rr->data_at);
        return data_name(m, rr, 2, r->name);
    case DNS_PTR:
        return data_name(m, rr, 0, r->name);
    case DNS_TXT:
        r->text.p = text;
        return txt_join(m, rr, text, &r->text.n);
    case DNS_TLSA:
        if (rr->data_n < 4)
            return -EBADMSG;
        memcpy(text, m.p + rr->data_at, rr->data_n);
        r->text = slice_make(text, rr->data_n);
        return 0;
    }
    return -EBADMSG;
}

static int by_preference(const void *a, const void *b)
{
    const struct dns_record *x = a, *y = b;

    return x->preference != y->preference ? (x->preference < y->preference ? -1 : 1) : strcmp(x->name, y->name);
}

/* Records and their texts in one piece of memory. */
static void make_records(struct slice m, const struct found *f, struct dns_answer *a)
{
    size_t texts = 0;
    char *text;

    for (size_t i = 0; i < f->count; i++)
        texts += f->rr[i].data_n;
    a->records = mem_zero(f->count * sizeof *a->records + texts);
    text = (char *)(a->records + f->count);
    for (size_t i = 0; i < f->count; i++) {
        struct dns_record r = { 0 };

        if (fill(m, &f->rr[i], &r, text) < 0)
            continue;
        a->records[a->count++] = r;
        text += f->rr[i].data_n;
    }
    if (a->count > 0 && a->records[0].type == DNS_MX)
        qsort(a->records, a->count, sizeof *a->records, by_preference);
    if (a->count == 0) {
        mem_free(a->records);
        a->records = NULL;
    }
}

/* ---- the message ---- */

static int check_question(struct slice m, enum dns_type type, const char *name, size_t *at)
{
    char asked[DNS_NAME];

    *at = HEADER;
    if (u16(m, 4) != 1 || read_name(m, at, asked) != 0 || m.n - *at < 4 || strcmp(asked, name) != 0 ||
        u16(m, *at) != (uint16_t)type || u16(m, *at + 2) != CLASS_IN)
        return -EBADMSG;
    *at += 4;
    return 0;
}

static int collect(struct slice m, size_t at, enum dns_type type, char name[DNS_NAME], struct found *f)
{
    for (f->links = 0; f->links <= DNS_CHAIN_MAX; f->links++) {
        int rc = scan(m, at, u16(m, 6), type, name, f);

        if (rc <= 0)
            return rc;
    }
    return -ELOOP;
}

static int parse(struct slice m, enum dns_type type, char name[DNS_NAME], struct found *f, struct dns_answer *a)
{
    unsigned rcode;
    size_t at;
    int rc;

    if (m.n < HEADER || (m.p[2] & 0x80) == 0 || (m.p[2] & 0x78) != 0)
        return -EBADMSG;
    rcode = (uint8_t)m.p[3] & 15;
    a->status = DNS_FAILED;
    if (rcode != 0 && rcode != 3)
        return 0;
    TRY(check_question(m, type, name, &at));
    f->ttl = UINT32_MAX;
    rc = collect(m, at, type, name, f);
    if (rc == -ELOOP) /* a loop or a chain beyond reason: temporary, somebody will mend it */
        return 0;
    TRY(rc);
    a->authenticated = (m.p[3] & 0x20) != 0;
    if (rcode == 0 && f->count > 0)
        make_records(m, f, a);
    a->ttl = f->ttl;
    if (a->count > 0)
        a->status = DNS_OK;
    else if (f->count > 0 && rcode == 0) /* records, but not one that can be read */
        return -EBADMSG;
    else {
        uint32_t ttl;

        TRY(negative_ttl(m, at, u16(m, 6), u16(m, 8), &ttl));
        a->ttl = ttl < a->ttl ? ttl : a->ttl;
        a->status = rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
    }
    return 0;
}

int dns_answer_parse(struct slice message, enum dns_type type, struct slice name, struct dns_answer *ret)
{
    struct dns_answer a = { 0 };
    char clean[DNS_NAME];
    struct found *f;
    int rc;

    if (dns_name_clean(name, clean) < 0)
        return -EBADMSG;
    f = mem_zero(sizeof *f);
    rc = parse(message, type, clean, f, &a);
    mem_free(f);
    if (rc < 0)
        return -EBADMSG;
    *ret = a;
    return 0;
}

void dns_answer_free(struct dns_answer *a)
{
    mem_free(a->records);
    *a = (struct dns_answer){ .status = DNS_FAILED };
}

/* ---- names and questions ---- */

int dns_name_clean(struct slice name, char to[DNS_NAME])
{
    size_t label = 0;

    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > 253)
        return -EINVAL;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '.' ? label == 0 : !is_plain((unsigned char)name.p[i]))
            return -EINVAL;
        label = name.p[i] == '.' ? 0 : label + 1;
        if (label > 63)
            return -EINVAL;
    }
    if (label == 0)
        return -EINVAL;
    for (size_t i = 0; i < name.n; i++)
        to[i] = lower(name.p[i]);
    to[name.n] = '\0';
    return 0;
}

size_t dns_query_build(enum dns_type type, const char *clean_name, uint16_t id, uint8_t to[DNS_QUERY_MAX])
{
    /* RD and AD (RFC 6840 section 5.7), one question, one additional record */
    const uint8_t head[HEADER] = { (uint8_t)(id >> 8), (uint8_t)id, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1 };
    const uint8_t tail[] = {
        0, 0, (uint8_t)type, 0, CLASS_IN, 0, 0, 41, DNS_UDP_SIZE >> 8, DNS_UDP_SIZE & 255, 0, 0, 0, 0, 0, 0
    };
    struct slice rest = slice_str(clean_name), label;
    size_t n = sizeof head;
    bool more;

    memcpy(to, head, sizeof head);
    do {
        more = slice_cut(&rest, '.', &label);
        to[n++] = (uint8_t)label.n;
        memcpy(to + n, label.p, label.n);
        n += label.n;
    } while (more);
    memcpy(to + n, tail, sizeof tail);
    return n + sizeof tail;
}
