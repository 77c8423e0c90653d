/* facteur: io/dns (for io only): names on the wire, and a resolver with short waits for tests.
 * Purpose:   shared by dns.c (questions), dns_cache.c, dns_net.c (c-ares) and dns_answer.c (the decoder).
 * Owner:     see each.
 * Thread:    the loop's; the decoder any.
 * Limits:    as in io/dns.h.
 * Standards: RFC 1035 section 3.1 and 4.1. */
#ifndef FACTEUR_IO_DNS_PRIV_H
#define FACTEUR_IO_DNS_PRIV_H

#include "facteur/base/buf.h"
#include "facteur/base/map.h"
#include "facteur/io/dns.h"
#include "loop_priv.h"

#include <sys/stat.h>

enum {
    DNS_NAME = 256,      /* a name as text with its NUL: 253 characters at most */
    DNS_WIRE_NAME = 255, /* octets of a name on the wire */
    DNS_QUERY_MAX = 12 + DNS_WIRE_NAME + 4 + 11,
    DNS_UDP_SIZE = 1232, /* EDNS: what fits in one IPv6 packet everywhere */
    DNS_CHAIN_MAX = 8,
    DNS_SENDS_MAX = 16, /* c-ares 1.31 and later wait as little as 250 ms where a server used to be quick */
    DNS_RECORDS_MAX = 128,
    DNS_CACHE_MAX = 4096,
    DNS_TTL_MIN_S = 1,
    DNS_TTL_MAX_S = 24 * 3600,
    DNS_TTL_NEGATIVE_MAX_S = 300,
    DNS_TTL_FAILED_S = 5
};

/* Lower case, without the trailing dot; -EINVAL for what no name can be (RFC 1035 section 2.3.4). */
int dns_name_clean(struct slice name, char to[DNS_NAME]) MUST_USE;

/* One question, recursion and authentic data wanted, with EDNS (RFC 6891). Returns its length. */
size_t dns_query_build(enum dns_type type, const char *clean_name, uint16_t id, uint8_t to[DNS_QUERY_MAX]);

/* ---- the cache ---- */

struct dns_entry { /* reference-counted: the cache holds one, each undelivered answer another */
    unsigned refs;
    struct link age; /* oldest use first; in no list: not in the cache */
    char key[DNS_NAME + 2];
    size_t key_n;
    int64_t until_ms; /* clock_mono_ms */
    struct dns_answer answer;
};

struct dns_cache {
    struct map by_key;
    struct link by_age;
};

void dns_cache_init(struct dns_cache *c);
void dns_cache_clear(struct dns_cache *c);
/* Borrowed; NULL when there is none or it is too old. The answer's ttl is what is left. */
struct dns_entry *dns_cache_get(struct dns_cache *c, struct slice key);
/* Takes the answer over. The entry is returned with a reference for the caller. */
struct dns_entry *dns_cache_put(struct dns_cache *c, struct slice key, struct dns_answer *answer);
void dns_entry_unref(struct dns_entry **entry);

/* ---- /etc/hosts ---- */

struct dns_hosts {
    const char *path;
    char *text;
    size_t n;
    struct stat seen; /* the file as it was read */
};

size_t dns_hosts_find(struct dns_hosts *h, struct slice name, struct dns_record *to, size_t max);
void dns_hosts_clear(struct dns_hosts *h); /* frees the text; the path stays */

/* ---- the network ---- */

struct dns_net;

struct dns_times {
    int try_ms, all_ms;
};
extern const struct dns_times dns_times_default;

/* `on_answer` gets each send's end exactly once, never from inside dns_net_send: the message, or {NULL, 0} when there
 * was none. */
int dns_net_new(struct loop *loop, const char *servers, int try_ms,
                void (*on_answer)(void *question, struct slice message, bool timed_out), struct dns_net **ret,
                struct err *e) MUST_USE;
void dns_net_free(struct dns_net **net); /* no on_answer after it */
void dns_net_send(struct dns_net *net, struct slice query, void *question);

/* dns_new with other waits: for tests. */
int dns_new_timed(struct loop *loop, const char *servers, struct dns_times times, struct dns **ret,
                  struct err *e) MUST_USE;

#endif
