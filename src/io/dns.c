#include "dns_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"

#include <errno.h>

/* dns_ask: from the cache when it knows; else joins the question that is under way, or starts it. A question's answer
 * goes into the cache and from there to all who wait, each by a deferred call of its own. */

const struct dns_times dns_times_default = { .try_ms = 5000, .all_ms = 20000 };

struct dns {
    struct loop *loop;
    struct dns_net *net;
    struct dns_times times;
    struct dns_cache cache;
    struct dns_hosts hosts;
    struct map under_way; /* key → struct question */
    struct link questions;
    struct link answered; /* queries whose answer is deferred */
    struct dns_stats stats;
};

struct question {
    struct link link;
    struct dns *dns;
    enum dns_type type;
    char key[DNS_NAME + 2];
    size_t key_n;
    char name[DNS_NAME];
    int64_t began_ms;
    int sends;
    struct link waiters;
};

struct dns_query {
    struct link link; /* in the question's waiters or in dns->answered */
    struct dns *dns;
    void (*fn)(void *owner, const struct dns_answer *answer);
    void *owner;
    struct deferred later;
    struct dns_entry *entry; /* NULL: no such name can be */
    bool telling;
};

static void ask_server(struct question *q)
{
    uint8_t octets[DNS_QUERY_MAX];
    uint16_t id;
    size_t n;

    rand_bytes(&id, sizeof id);
    n = dns_query_build(q->type, q->name, id, octets);
    q->sends++;
    q->dns->stats.sent++;
    dns_net_send(q->dns->net, slice_make((const char *)octets, n), q);
}

/* ---- telling who asked ---- */

static void free_query(struct dns_query *query)
{
    list_unlink(&query->link);
    loop_defer_cancel(query->dns->loop, &query->later);
    dns_entry_unref(&query->entry);
    mem_free(query);
}

static void tell(struct deferred *d)
{
    static const struct dns_answer no_such_name = { .status = DNS_NXDOMAIN, .ttl = DNS_TTL_NEGATIVE_MAX_S };
    struct dns_query *query = LIST_ENTRY(d, struct dns_query, later);

    list_unlink(&query->link);
    query->telling = true;
    query->fn(query->owner, query->entry != NULL ? &query->entry->answer : &no_such_name);
    dns_entry_unref(&query->entry);
    mem_free(query);
}

static void answer_later(struct dns_query *query, struct dns_entry *entry)
{
    list_unlink(&query->link);
    list_push(&query->dns->answered, &query->link);
    query->entry = entry;
    if (entry != NULL)
        entry->refs++;
    loop_defer(query->dns->loop, &query->later, tell);
}

static void free_question(struct question *q)
{
    (void)map_take(&q->dns->under_way, slice_make(q->key, q->key_n));
    list_unlink(&q->link);
    mem_free(q);
}

/* ---- what came back ---- */

static void on_answer(void *question, struct slice message, bool timed_out)
{
    struct question *q = question;
    struct dns *dns = q->dns;
    struct dns_answer answer = { .status = DNS_FAILED };
    struct dns_entry *entry;

    if (timed_out && q->sends < DNS_SENDS_MAX &&
        clock_mono_ms() - q->began_ms + dns->times.try_ms <= dns->times.all_ms) {
        ask_server(q);
        return;
    }
    if (message.n == 0 || dns_answer_parse(message, q->type, slice_str(q->name), &answer) < 0)
        answer.status = DNS_FAILED;
    dns->stats.failed += answer.status == DNS_FAILED;
    entry = dns_cache_put(&dns->cache, slice_make(q->key, q->key_n), &answer);
    while (!list_empty(&q->waiters))
        answer_later(LIST_ENTRY(q->waiters.next, struct dns_query, link), entry);
    dns_entry_unref(&entry);
    free_question(q);
}

/* ---- asking ---- */

static struct question *start_question(struct dns *dns, enum dns_type type, const char *name, struct slice key)
{
    struct question *q = mem_zero(sizeof *q);

    q->dns = dns;
    q->type = type;
    q->key_n = key.n;
    memcpy(q->key, key.p, key.n);
    memcpy(q->name, name, strlen(name) + 1);
    q->began_ms = clock_mono_ms();
    list_init(&q->waiters);
    list_push(&dns->questions, &q->link);
    (void)map_put(&dns->under_way, key, q);
    ask_server(q);
    return q;
}

struct dns_query *dns_ask(struct dns *dns, enum dns_type type, struct slice name,
                          void (*fn)(void *owner, const struct dns_answer *answer), void *owner)
{
    struct dns_query *query = mem_zero(sizeof *query);
    char key[DNS_NAME + 2];
    struct question *q;
    struct dns_entry *entry;
    struct slice k;

    query->dns = dns;
    query->fn = fn;
    query->owner = owner;
    dns->stats.asked++;
    if (dns_name_clean(name, key + 1) < 0) {
        answer_later(query, NULL);
        return query;
    }
    key[0] = (char)type;
    k = slice_make(key, 1 + strlen(key + 1));
    entry = dns_cache_get(&dns->cache, k);
    if (entry != NULL) {
        dns->stats.from_cache++;
        answer_later(query, entry);
        return query;
    }
    q = map_get(&dns->under_way, k);
    if (q == NULL)
        q = start_question(dns, type, key + 1, k);
    list_push(&q->waiters, &query->link);
    return query;
}

void dns_cancel(struct dns_query **query_p)
{
    struct dns_query *query = *query_p;

    *query_p = NULL;
    if (query != NULL && !query->telling) /* within its own call it ends by itself */
        free_query(query);
}

size_t dns_local(struct dns *dns, struct slice name, struct dns_record *to, size_t max)
{
    return dns_hosts_find(&dns->hosts, name, to, max);
}

void dns_set_hosts_file(struct dns *dns, const char *path)
{
    dns_hosts_clear(&dns->hosts);
    dns->hosts.path = path;
}

struct dns_stats dns_stats(const struct dns *dns)
{
    return dns->stats;
}

/* ---- life ---- */

int dns_new_timed(struct loop *loop, const char *servers, struct dns_times times, struct dns **ret, struct err *e)
{
    struct dns *dns = mem_zero(sizeof *dns);
    int rc;

    dns->loop = loop;
    dns->times = times;
    dns->hosts.path = "/etc/hosts";
    dns_cache_init(&dns->cache);
    list_init(&dns->questions);
    list_init(&dns->answered);
    rc = dns_net_new(loop, servers, times.try_ms, on_answer, &dns->net, e);
    if (rc < 0) {
        mem_free(dns);
        return rc;
    }
    *ret = dns;
    return 0;
}

int dns_new(struct loop *loop, const char *servers, struct dns **ret, struct err *e)
{
    return dns_new_timed(loop, servers, dns_times_default, ret, e);
}

int dns_set_servers(struct dns *dns, const char *servers, struct err *e)
{
    struct dns_net *net = NULL;

    TRY(dns_net_new(dns->loop, servers, dns->times.try_ms, on_answer, &net, e));
    dns_net_free(&dns->net);
    dns->net = net;
    dns_cache_clear(&dns->cache);
    LIST_EACH (it, &dns->questions) {
        struct question *q = LIST_ENTRY(it, struct question, link);

        q->began_ms = clock_mono_ms();
        q->sends = 0;
        ask_server(q);
    }
    return 0;
}

static void free_queries(struct link *list)
{
    while (!list_empty(list))
        free_query(LIST_ENTRY(list->next, struct dns_query, link));
}

void dns_free(struct dns **dns_p)
{
    struct dns *dns = *dns_p;

    if (dns == NULL)
        return;
    *dns_p = NULL;
    dns_net_free(&dns->net);
    while (!list_empty(&dns->questions)) {
        struct question *q = LIST_ENTRY(dns->questions.next, struct question, link);

        free_queries(&q->waiters);
        free_question(q);
    }
    free_queries(&dns->answered);
    map_clear(&dns->under_way);
    dns_cache_clear(&dns->cache);
    dns_hosts_clear(&dns->hosts);
    mem_free(dns);
}
