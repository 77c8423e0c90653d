/* Destinations: their lines, their hosts, and how many connections they may have. */
#include "remote_priv.h"

#include "facteur/base/mem.h"
#include "facteur/policy/relay.h"

#include <stdio.h>

enum {
    WORKS_PER_OPENING = 8,  /* as many works wait for one connection that is being opened before there is another */
    HOSTS_MS = 60 * 1000,   /* a list of hosts is used for so long */
    NO_MORE_MS = 10 * 1000, /* after a further connection was refused while others stood */
    LAST_CONNECTIONS = 8,   /* this part of all connections is for destinations that have none */
    SWEEP_FROM = 1000       /* destinations; from there the dead ones of old are looked for */
};

/* ---- which destination ---- */

static void key_of(const struct conf_next_hop *hop, const char *domain, char to[REMOTE_KEY])
{
    if (hop->host == NULL)
        (void)snprintf(to, REMOTE_KEY, "%s", domain);
    else
        (void)snprintf(to, REMOTE_KEY, "%s:%u%s%s", hop->host, hop->port, hop->user != NULL ? " " : "",
                       hop->user != NULL ? hop->user : "");
}

void remote_key(const struct remote *r, const char *domain, char to[REMOTE_KEY])
{
    struct conf_next_hop mx;

    key_of(policy_next_hop(r->config, domain, &mx), domain, to);
}

/* Those that were dead and are so no more. */
static void sweep(struct remote *r)
{
    LIST_EACH (l, &r->destinations)
        destination_look_if_unused(LIST_ENTRY(l, struct remote_destination, in_all));
}

static struct remote_destination *destination_new(struct remote *r, const char *key, const char *domain)
{
    struct remote_destination *d = mem_zero(sizeof *d);

    d->r = r;
    d->key = mem_str(key);
    d->domain = mem_str(domain);
    list_init(&d->waiting);
    list_init(&d->connections);
    if (r->destination_count >= SWEEP_FROM)
        sweep(r);
    list_push(&r->destinations, &d->in_all);
    r->destination_count++;
    (void)map_put(&r->by_key, slice_str(key), d);
    return d;
}

struct remote_destination *destination_of(struct remote *r, const char *domain)
{
    struct conf_next_hop mx;
    const struct conf_next_hop *hop = policy_next_hop(r->config, domain, &mx);
    struct remote_destination *d;
    char key[REMOTE_KEY];

    key_of(hop, domain, key);
    d = map_get(&r->by_key, slice_str(key));
    if (d == NULL)
        d = destination_new(r, key, domain);
    if (d->config != r->config) {
        if (d->config != NULL)
            config_unref(&d->config);
        d->config = config_ref(r->config);
        d->hop = *hop;
    }
    return d;
}

void destination_free(struct remote_destination *d)
{
    struct remote *r = d->r;

    next_hop_cancel(&d->search);
    (void)map_take(&r->by_key, slice_str(d->key));
    list_unlink(&d->in_all);
    list_unlink(&d->in_starved);
    list_unlink(&d->in_unused);
    r->destination_count--;
    config_unref(&d->config);
    mem_free(d->hosts);
    mem_free(d->key);
    mem_free(d->domain);
    mem_free(d);
}

static bool is_unused(const struct remote_destination *d)
{
    return d->waiting_count == 0 && d->connection_count == 0 && d->search == NULL && !destination_is_dead(d);
}

void destination_look_if_unused(struct remote_destination *d)
{
    if (is_unused(d) && !link_is_in(&d->in_unused)) {
        list_push(&d->r->unused, &d->in_unused);
        remote_report_later(d->r);
    }
}

void remote_free_unused(struct remote *r)
{
    struct link *l;

    while ((l = list_pop(&r->unused)) != NULL) {
        struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_unused);

        if (is_unused(d))
            destination_free(d);
    }
}

/* ---- the line ---- */

struct remote_work *destination_take(struct remote_destination *d)
{
    struct link *l = list_pop(&d->waiting);

    if (l == NULL)
        return NULL;
    d->waiting_count--;
    d->r->waiting--;
    return LIST_ENTRY(l, struct remote_work, link);
}

void destination_add(struct remote_destination *d, struct remote_work *work)
{
    if (d->waiting_count == 0)
        d->moved_ms = clock_mono_ms();
    list_push(&d->waiting, &work->link);
    d->waiting_count++;
    d->r->waiting++;
}

/* Who hangs for minutes with thousands of messages is not to take the room of all others. Where mail gets through, and be
 * it slowly, nothing goes back. */
void destination_shed(struct remote_destination *d)
{
    static const struct smtp_client_reply crowded = { 451, "4.3.2", "Too many messages wait for this server", true };
    size_t before = d->waiting_count;

    if (d->waiting_count <= REMOTE_SHARE || clock_mono_ms() - d->moved_ms < REMOTE_STUCK_MS)
        return;
    while (d->waiting_count > REMOTE_SHARE) {
        struct remote_work *work = LIST_ENTRY(d->waiting.prev, struct remote_work, link);

        list_unlink(&work->link);
        d->waiting_count--;
        d->r->waiting--;
        work->crowded = true;
        remote_defer_all(work, &crowded, "", true);
    }
    LOG(INFO, "next-hop-crowded", kv_str("destination", d->key), kv_num("waiting", (int64_t)d->waiting_count),
        kv_num("put_back", (int64_t)(before - d->waiting_count)));
}

void destination_put_back(struct remote_destination *d, struct remote_work *work)
{
    list_push(d->waiting.next, &work->link); /* before the first */
    d->waiting_count++;
    d->r->waiting++;
}

static void defer_waiting(struct remote_destination *d, const struct smtp_client_reply *why, const char *host,
                          bool untried)
{
    struct remote_work *work;

    while ((work = destination_take(d)) != NULL)
        remote_defer_all(work, why, host, untried);
}

void destination_stop(struct remote_destination *d)
{
    defer_waiting(d, &remote_stopping, "", true);
    next_hop_cancel(&d->search);
    LIST_EACH (l, &d->connections) {
        struct remote_connection *c = LIST_ENTRY(l, struct remote_connection, in_list);

        if (c->state == CONNECTION_OPENING || c->state == CONNECTION_LOADING)
            connection_cut(c, remote_stopping.text);
        else if (c->state == CONNECTION_IDLE)
            connection_quit(c);
    }
}

/* ---- hosts ---- */

static void keep_hosts(struct remote_destination *d, const struct next_hop_answer *answer)
{
    mem_free(d->hosts);
    d->hosts = mem_array(answer->count, sizeof *d->hosts);
    memcpy(d->hosts, answer->hosts, answer->count * sizeof *d->hosts);
    d->host_count = answer->count;
    d->first_host = 0;
    d->hosts_until = clock_mono_ms() + HOSTS_MS;
}

static void on_hosts(void *owner, const struct next_hop_answer *answer)
{
    struct remote_destination *d = owner;
    struct remote_work *work;

    d->search = NULL;
    if (answer->why.code == 0) {
        keep_hosts(d, answer);
        destination_run(d);
        return;
    }
    LOG(INFO, "no-next-hop", kv_str("destination", d->key), kv_num("code", answer->why.code),
        kv_str("enhanced", answer->why.enhanced), kv_str("reason", answer->why.text));
    if (d->connection_count > 0) /* those that stand go on */
        return;
    while ((work = destination_take(d)) != NULL)
        remote_fail_all(work, &answer->why);
    destination_look_if_unused(d);
}

/* ---- connections ---- */

/* No host could be reached, or none would talk. While other connections stand the destination lives: it only has no
 * room for more. */
void destination_unreachable(struct remote_destination *d, const struct smtp_client_reply *why, const char *host)
{
    d->hosts_until = 0;
    if (d->connection_count > 0) {
        d->no_more_until = clock_mono_ms() + NO_MORE_MS;
        return;
    }
    d->dead_until = clock_mono_ms() + REMOTE_DEAD_MS;
    d->dead_reply = *why;
    (void)snprintf(d->dead_host, sizeof d->dead_host, "%s", host);
    LOG(WARNING, "next-hop-out-of-reach", kv_str("destination", d->key), kv_str("host", host),
        kv_num("code", why->code), kv_str("reason", why->text), kv_num("waiting", (int64_t)d->waiting_count),
        kv_num("again_in_s", REMOTE_DEAD_MS / 1000));
    defer_waiting(d, why, host, false);
}

static bool wants_connection(const struct remote_destination *d)
{
    bool room = d->connection_count < d->config->queue.destination_concurrency;
    bool worth = d->waiting_count > d->opening * WORKS_PER_OPENING;

    return worth && room && (d->connection_count == 0 || d->no_more_until <= clock_mono_ms());
}

static void open_one(struct remote_destination *d)
{
    struct next_hop_host *hosts = mem_array(d->host_count, sizeof *hosts);

    /* In the list's order, but first the one that answered last: the others would only fail again. */
    for (size_t i = 0; i < d->host_count; i++)
        hosts[i] = d->hosts[(d->first_host + i) % d->host_count];
    connection_open(d, hosts, d->host_count, 0, false);
}

/* All connections are taken: an idle one of somebody else makes room; else we wait for the next that ends. */
static void starve(struct remote_destination *d)
{
    struct remote *r = d->r;

    if (!link_is_in(&d->in_starved))
        list_push(&r->starved, &d->in_starved);
    if (!list_empty(&r->idle))
        connection_quit(LIST_ENTRY(r->idle.next, struct remote_connection, in_idle));
}

/* A few tarpits do not take all connections. */
static size_t connections_for(const struct remote_destination *d)
{
    size_t all = d->r->config->queue.concurrency;

    return d->connection_count == 0 ? all : all - all / LAST_CONNECTIONS;
}

static void open_more(struct remote_destination *d)
{
    struct remote *r = d->r;

    while (wants_connection(d)) {
        if (r->connections >= connections_for(d)) {
            starve(d);
            return;
        }
        if (d->hosts_until <= clock_mono_ms()) {
            if (d->search == NULL)
                d->search = next_hop_find(r->env.loop, r->env.dns, &r->self, &d->hop, d->domain, on_hosts, d);
            return;
        }
        open_one(d);
    }
}

void destination_run(struct remote_destination *d)
{
    if (d->r->stopping)
        defer_waiting(d, &remote_stopping, "", true);
    if (destination_is_dead(d)) {
        defer_waiting(d, &d->dead_reply, d->dead_host, false);
        return;
    }
    LIST_EACH (l, &d->connections) {
        if (list_empty(&d->waiting))
            break;
        connection_wake(LIST_ENTRY(l, struct remote_connection, in_list));
    }
    open_more(d);
    destination_look_if_unused(d);
}

/* Each has its turn once: one that finds no room stands in line again, behind those whose turn did not come. */
void remote_feed_starved(struct remote *r)
{
    struct link now, *l;

    list_init(&now);
    list_move(&r->starved, &now);
    while (r->connections < r->config->queue.concurrency && (l = list_pop(&now)) != NULL)
        destination_run(LIST_ENTRY(l, struct remote_destination, in_starved));
    list_move(&r->starved, &now);
    list_move(&now, &r->starved);
}
