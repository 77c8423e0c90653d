/* facteur: io/dns: questions to the DNS, asynchronous and remembered.
 * Purpose:   MX, A, AAAA, PTR, TXT and TLSA through c-ares on the loop, with a cache that keeps to the TTLs.
 * Owner:     one resolver per configuration; a query is a handle that its owner can cancel.
 * Thread:    the loop's.
 * Limits:    5 s a try, 20 s in all; a cache of 4096 answers, TTL held between 1 s and 1 day, negative ones to 5
 *            minutes (RFC 2308), failures 5 s; CNAME chains of 8; 128 records an answer; equal questions under way
 *            share one query.
 * Standards: RFC 1035, 2308, 5321 section 5.1, 7505 (null MX), 3597. */
#ifndef FACTEUR_IO_DNS_H
#define FACTEUR_IO_DNS_H

#include "facteur/base/slice.h"
#include "facteur/io/loop.h"

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };
enum dns_status {
    DNS_OK,       /* there are records */
    DNS_NODATA,   /* the name exists, no such records */
    DNS_NXDOMAIN, /* no such name */
    DNS_FAILED    /* no answer, SERVFAIL, nonsense: temporary */
};

struct dns_record {
    enum dns_type type;
    uint16_t preference; /* MX */
    char name[256];      /* MX (may be "" for the null MX), PTR: lower case, no trailing dot */
    uint8_t octets[16];  /* A (4), AAAA (16) */
    struct slice text;   /* TXT: the strings put together; TLSA: the octets */
};

struct dns_answer {
    enum dns_status status;
    uint32_t ttl;       /* seconds, of the shortest record */
    bool authenticated; /* the AD bit, meaningful only with a trusted resolver */
    size_t count;
    struct dns_record *records; /* MX sorted by preference */
};

struct dns;
struct dns_query;

/* `servers`: "192.0.2.53:53,[::1]:5353", or NULL for /etc/resolv.conf. */
int dns_new(struct loop *loop, const char *servers, struct dns **ret, struct err *e) MUST_USE;
void dns_free(struct dns **dns); /* queries under way are cancelled */
/* Asks these from now on, what is under way too, and forgets what others have answered. On an error all stays as it is. */
int dns_set_servers(struct dns *dns, const char *servers, struct err *e) MUST_USE;

/* The answer comes once, on a later turn, borrowed for the call; never after dns_cancel. */
struct dns_query *dns_ask(struct dns *dns, enum dns_type type, struct slice name,
                          void (*fn)(void *owner, const struct dns_answer *answer), void *owner);
void dns_cancel(struct dns_query **q); /* NULL is fine */

/* The addresses (A and AAAA records, `max` at most) that /etc/hosts gives a name, for hosts that the operator names; a
 * stranger's MX has no business there. The file is read again when it has changed; of one longer than 64 KiB only the
 * beginning counts. */
size_t dns_local(struct dns *dns, struct slice name, struct dns_record *to, size_t max);
void dns_set_hosts_file(struct dns *dns, const char *path); /* another one, borrowed: for tests */

/* Reads one DNS message as the answer to (type, name): follows CNAMEs, checks every name. Pure; records and texts are
 * in memory that dns_answer_free frees. 0, or -EBADMSG. */
int dns_answer_parse(struct slice message, enum dns_type type, struct slice name, struct dns_answer *ret) MUST_USE;
void dns_answer_free(struct dns_answer *a);

struct dns_stats {
    uint64_t asked, sent, from_cache, failed;
};
struct dns_stats dns_stats(const struct dns *dns);

#endif
