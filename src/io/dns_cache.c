#include "dns_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

void dns_entry_unref(struct dns_entry **entry)
{
    struct dns_entry *e = *entry;

    *entry = NULL;
    if (e == NULL || --e->refs > 0)
        return;
    dns_answer_free(&e->answer);
    mem_free(e);
}

static struct slice key_of(const struct dns_entry *e)
{
    return slice_make(e->key, e->key_n);
}

static void forget(struct dns_cache *c, struct dns_entry *e)
{
    (void)map_take(&c->by_key, key_of(e));
    list_unlink(&e->age);
    dns_entry_unref(&e);
}

void dns_cache_init(struct dns_cache *c)
{
    memset(c, 0, sizeof *c);
    list_init(&c->by_age);
}

void dns_cache_clear(struct dns_cache *c)
{
    while (!list_empty(&c->by_age))
        forget(c, LIST_ENTRY(c->by_age.next, struct dns_entry, age));
    map_clear(&c->by_key);
}

struct dns_entry *dns_cache_get(struct dns_cache *c, struct slice key)
{
    struct dns_entry *e = map_get(&c->by_key, key);
    int64_t left = e != NULL ? e->until_ms - clock_mono_ms() : 0;

    if (e == NULL)
        return NULL;
    if (left <= 0) {
        forget(c, e);
        return NULL;
    }
    list_unlink(&e->age);
    list_push(&c->by_age, &e->age);
    e->answer.ttl = (uint32_t)(left / 1000);
    return e;
}

static uint32_t hold_s(const struct dns_answer *a)
{
    uint32_t most = a->status == DNS_OK ? DNS_TTL_MAX_S : DNS_TTL_NEGATIVE_MAX_S;

    if (a->status == DNS_FAILED)
        return DNS_TTL_FAILED_S;
    if (a->ttl < DNS_TTL_MIN_S)
        return DNS_TTL_MIN_S;
    return a->ttl < most ? a->ttl : most;
}

struct dns_entry *dns_cache_put(struct dns_cache *c, struct slice key, struct dns_answer *answer)
{
    struct dns_entry *e = mem_zero(sizeof *e), *old;

    e->refs = 2;
    e->key_n = key.n;
    memcpy(e->key, key.p, key.n);
    e->answer = *answer;
    *answer = (struct dns_answer){ .status = DNS_FAILED };
    e->answer.ttl = hold_s(&e->answer);
    e->until_ms = clock_mono_ms() + (int64_t)e->answer.ttl * 1000;
    old = map_put(&c->by_key, key, e);
    if (old != NULL) {
        list_unlink(&old->age);
        dns_entry_unref(&old);
    }
    list_push(&c->by_age, &e->age);
    if (c->by_key.count > DNS_CACHE_MAX)
        forget(c, LIST_ENTRY(c->by_age.next, struct dns_entry, age));
    return e;
}
