/* Makes DNS messages for tests: a header, a question, records. */
#ifndef FACTEUR_TEST_IO_DNS_MESSAGE_H
#define FACTEUR_TEST_IO_DNS_MESSAGE_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct msg {
    uint8_t p[65535];
    size_t n;
};

static inline void msg_octets(struct msg *m, const void *p, size_t n)
{
    assert(m->n + n <= sizeof m->p);
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static inline void msg_u16(struct msg *m, unsigned v)
{
    const uint8_t p[2] = { (uint8_t)(v >> 8), (uint8_t)v };

    msg_octets(m, p, 2);
}
static inline void msg_u32(struct msg *m, uint32_t v)
{
    msg_u16(m, v >> 16);
    msg_u16(m, v & 0xffff);
}
static inline void msg_name(struct msg *m, const char *name)
{
    while (*name != '\0') {
        size_t n = strcspn(name, ".");
        uint8_t length = (uint8_t)n;

        msg_octets(m, &length, 1);
        msg_octets(m, name, n);
        name += n + (name[n] == '.');
    }
    msg_octets(m, "", 1);
}

/* Flags: 0x8180 is an ordinary answer, 0x8183 NXDOMAIN, 0x8182 SERVFAIL, 0x0200 cut. The question is at octet 12. */
static inline void msg_begin(struct msg *m, unsigned flags, const char *name, unsigned type)
{
    m->n = 0;
    msg_u16(m, 0x1234);
    msg_u16(m, flags);
    msg_u16(m, 1);
    msg_u16(m, 0);
    msg_u16(m, 0);
    msg_u16(m, 0);
    msg_name(m, name);
    msg_u16(m, type);
    msg_u16(m, 1);
}
/* section: 0 answer, 1 authority, 2 additional; in this order. name NULL: a pointer to the question's. */
static inline void msg_rr(struct msg *m, int section, const char *name, unsigned type, uint32_t ttl, const void *data,
                          size_t n)
{
    uint8_t *count = m->p + 6 + 2 * section;

    if (++count[1] == 0)
        count[0]++;
    if (name == NULL)
        msg_u16(m, 0xc00c);
    else
        msg_name(m, name);
    msg_u16(m, type);
    msg_u16(m, 1);
    msg_u32(m, ttl);
    msg_u16(m, (unsigned)n);
    msg_octets(m, data, n);
}
/* A record whose data is `before` octets and a name. */
static inline void msg_rr_name(struct msg *m, const char *name, unsigned type, uint32_t ttl, const void *before,
                               size_t n, const char *to)
{
    static struct msg data;

    data.n = 0;
    if (n > 0)
        msg_octets(&data, before, n);
    msg_name(&data, to);
    msg_rr(m, 0, name, type, ttl, data.p, data.n);
}
static inline void msg_mx(struct msg *m, const char *name, uint32_t ttl, unsigned preference, const char *to)
{
    const uint8_t p[2] = { (uint8_t)(preference >> 8), (uint8_t)preference };

    msg_rr_name(m, name, 15, ttl, p, 2, to);
}
static inline void msg_cname(struct msg *m, const char *name, uint32_t ttl, const char *to)
{
    msg_rr_name(m, name, 5, ttl, NULL, 0, to);
}
static inline void msg_soa(struct msg *m, uint32_t ttl, uint32_t minimum)
{
    static struct msg data;

    data.n = 0;
    msg_name(&data, "ns.test");
    msg_name(&data, "hostmaster.test");
    for (int i = 0; i < 4; i++)
        msg_u32(&data, 7200);
    msg_u32(&data, minimum);
    msg_rr(m, 1, "test", 6, ttl, data.p, data.n);
}

#endif
