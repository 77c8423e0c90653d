#include "facteur/policy/counters.h"

#include "facteur/base/clock.h"
#include "facteur/base/list.h"
#include "facteur/base/mem.h"

enum { MINUTE_MS = 60 * 1000, SITE_BITS_4 = 24, SITE_BITS_6 = 64 };

/* Events in a sliding window, as two buckets: what of the last one still counts fades as the present one fills. */
struct rate {
    int64_t start; /* of the present bucket */
    unsigned now, before;
};

/* One address, or one network as a site. */
struct key {
    uint8_t family, site;
    uint8_t octets[16];
};
struct entry {
    struct link link; /* in counters.used, the longest unused first */
    struct key key;
    unsigned open;
    struct rate connections, messages, failures;
};

/* A user with sessions. */
struct guest {
    char *name;
    unsigned open;
};

struct counters {
    struct map entries;
    struct map guests;
    struct link used;
    size_t open; /* in all */
};

struct counters *counters_new(void)
{
    struct counters *c = mem_zero(sizeof *c);

    list_init(&c->used);
    return c;
}

static void free_guest(struct guest *g)
{
    mem_free(g->name);
    mem_free(g);
}

static void free_guests(struct map *guests)
{
    size_t cursor = 0;
    struct slice name;
    void *g;

    while (map_each(guests, &cursor, &name, &g))
        free_guest(g);
    map_clear(guests);
}

void counters_free(struct counters **c)
{
    struct counters *gone = *c;

    *c = NULL;
    if (gone == NULL)
        return;
    LIST_EACH (it, &gone->used)
        mem_free(LIST_ENTRY(it, struct entry, link));
    map_clear(&gone->entries);
    free_guests(&gone->guests);
    mem_free(gone);
}

size_t counters_connections(const struct counters *c)
{
    return c->open;
}

static void rate_turn(struct rate *r, int64_t now, int64_t window)
{
    if (r->start == 0 || now - r->start >= 2 * window)
        *r = (struct rate){ .start = now };
    if (now - r->start >= window)
        *r = (struct rate){ .start = r->start + window, .before = r->now };
}

static unsigned rate_count(struct rate *r, int64_t window)
{
    int64_t now = clock_mono_ms();

    rate_turn(r, now, window);
    return r->now + (unsigned)((int64_t)r->before * (window - (now - r->start)) / window);
}

static void rate_add(struct rate *r, int64_t window)
{
    rate_turn(r, clock_mono_ms(), window);
    if (r->now < UINT32_MAX / 2)
        r->now++;
}

static struct slice key_slice(const struct key *key)
{
    return (struct slice){ (const char *)key, sizeof *key };
}

/* The one unused for longest goes; those with a connection open are passed over and count as used. The newest stays
 * whatever the others are: its caller holds it. */
static void forget_one(struct counters *c)
{
    size_t left = c->entries.count - 1;

    LIST_EACH (it, &c->used) {
        struct entry *e = LIST_ENTRY(it, struct entry, link);

        if (left-- == 0)
            return;
        list_unlink(it);
        if (e->open > 0) {
            list_push(&c->used, it);
            continue;
        }
        (void)map_take(&c->entries, key_slice(&e->key));
        mem_free(e);
        return;
    }
}

static struct entry *entry_of(struct counters *c, const struct ip *ip, bool site)
{
    struct ip of = site ? ip_mask(ip, SITE_BITS_4, SITE_BITS_6) : *ip;
    struct key key = { of.family, site, { 0 } };
    struct entry *e;

    memcpy(key.octets, of.octets, of.family == 4 ? 4 : sizeof key.octets);
    e = map_get(&c->entries, key_slice(&key));
    if (e != NULL) {
        list_unlink(&e->link);
        list_push(&c->used, &e->link);
        return e;
    }
    if (c->entries.count >= COUNTERS_MOST)
        forget_one(c);
    e = mem_zero(sizeof *e);
    e->key = key;
    list_push(&c->used, &e->link);
    (void)map_put(&c->entries, key_slice(&e->key), e);
    return e;
}

static bool is_exempt(const struct config *config, const struct ip *ip)
{
    if (ip->family == 0) /* a Unix socket: one of ours */
        return true;
    for (size_t i = 0; i < config->limits.rate_exempt.count; i++)
        if (network_has(&config->limits.rate_exempt.items[i], ip))
            return true;
    return false;
}

bool counters_connect(struct counters *c, const struct config *config, const struct ip *ip, struct verdict *ret)
{
    const struct conf_limits *limits = &config->limits;
    struct entry *address = entry_of(c, ip, false);
    struct entry *site = ip->family != 0 ? entry_of(c, ip, true) : NULL;
    const char *rule = NULL;

    if (!is_exempt(config, ip)) {
        if (address->open >= limits->connections_per_address ||
            (site != NULL && site->open >= (uint64_t)limits->connections_per_address * COUNTERS_NETWORK_FACTOR))
            rule = "limits.connections_per_address";
        else if (limits->connection_rate > 0 && rate_count(&address->connections, MINUTE_MS) >= limits->connection_rate)
            rule = "limits.connection_rate";
    }
    if (rule != NULL) {
        *ret =
            verdict_by(verdict_make(421, "4.7.0", "too many connections from your address; try again later"), rule, 0);
        return false;
    }
    if (c->open >= limits->connections) { /* last, so that only who would get in may take another's place */
        *ret = verdict_by(verdict_make(421, "4.3.2", "too many connections; try again later"), "limits.connections", 0);
        return false;
    }
    rate_add(&address->connections, MINUTE_MS);
    address->open++;
    if (site != NULL)
        site->open++;
    c->open++;
    return true;
}

void counters_known(struct counters *c, const struct ip *ip)
{
    struct entry *address = entry_of(c, ip, false);

    address->open -= address->open > 0;
    if (ip->family != 0) {
        struct entry *site = entry_of(c, ip, true);

        site->open -= site->open > 0;
    }
}

void counters_disconnect_known(struct counters *c)
{
    c->open -= c->open > 0;
}

void counters_disconnect(struct counters *c, const struct ip *ip)
{
    counters_known(c, ip);
    counters_disconnect_known(c);
}

bool counters_user_comes(struct counters *c, const struct config *config, const char *user, struct verdict *ret)
{
    struct guest *g = map_get(&c->guests, slice_str(user));

    if (g != NULL && g->open >= config->limits.connections_per_user) {
        *ret = verdict_by(verdict_make(452, "4.7.0",
                                       "You have %u sessions open, and that is the limit: close some, or "
                                       "wait until they end",
                                       g->open),
                          "limits.connections_per_user", 0);
        return false;
    }
    if (g == NULL) {
        g = mem_zero(sizeof *g);
        g->name = mem_str(user);
        (void)map_put(&c->guests, slice_str(g->name), g);
    }
    g->open++;
    return true;
}

void counters_user_leaves(struct counters *c, const char *user)
{
    struct guest *g = map_get(&c->guests, slice_str(user));

    if (g == NULL || --g->open > 0)
        return;
    (void)map_take(&c->guests, slice_str(user));
    free_guest(g);
}

struct verdict counters_message(struct counters *c, const struct config *config, const struct ip *ip)
{
    struct rate *messages;

    if (config->limits.message_rate == 0 || is_exempt(config, ip))
        return verdict_ok("", "ok");
    messages = &entry_of(c, ip, false)->messages;
    if (rate_count(messages, MINUTE_MS) >= config->limits.message_rate)
        return verdict_by(verdict_make(450, "4.7.1", "too many messages from your address; try again later"),
                          "limits.message_rate", 0);
    rate_add(messages, MINUTE_MS);
    return verdict_ok("", "ok");
}

struct verdict counters_auth_allowed(struct counters *c, const struct config *config, const struct ip *ip)
{
    uint64_t most = config->limits.auth_failure_rate;

    if (is_exempt(config, ip) ||
        (rate_count(&entry_of(c, ip, false)->failures, COUNTERS_AUTH_WINDOW_MS) < most &&
         rate_count(&entry_of(c, ip, true)->failures, COUNTERS_AUTH_WINDOW_MS) < most * COUNTERS_NETWORK_FAILURES))
        return verdict_ok("", "ok");
    return verdict_by(verdict_make(454, "4.7.0", "too many failed logins from your address; try again later"),
                      "limits.auth_failure_rate", 0);
}

int64_t counters_auth_failed(struct counters *c, const struct config *config, const struct ip *ip)
{
    struct rate *failures;
    int64_t delay = COUNTERS_DELAY_FIRST_MS;

    if (is_exempt(config, ip))
        return 0;
    rate_add(&entry_of(c, ip, true)->failures, COUNTERS_AUTH_WINDOW_MS);
    failures = &entry_of(c, ip, false)->failures;
    rate_add(failures, COUNTERS_AUTH_WINDOW_MS);
    for (unsigned n = rate_count(failures, COUNTERS_AUTH_WINDOW_MS); n > 1 && delay < COUNTERS_DELAY_MOST_MS; n--)
        delay *= 2;
    return delay < COUNTERS_DELAY_MOST_MS ? delay : COUNTERS_DELAY_MOST_MS;
}

void counters_auth_ok(struct counters *c, const struct ip *ip)
{
    if (ip->family != 0)
        entry_of(c, ip, false)->failures = (struct rate){ 0 };
}
