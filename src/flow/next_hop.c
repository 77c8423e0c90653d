#include "facteur/flow/next_hop.h"

#include "facteur/base/mem.h"
#include "facteur/base/rand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

/* One name whose addresses are asked for. */
struct lookup {
    struct next_hop_search *search;
    char name[256];
    uint16_t preference;
    struct dns_query *query[2]; /* A, AAAA */
    struct ip found[2][NEXT_HOP_PER_NAME];
    size_t count[2];
    bool failed, no_such_name;
};

struct next_hop_search {
    struct loop *loop;
    struct dns *dns;
    struct next_hop_self self;
    char domain[256];
    uint16_t port;
    bool configured; /* named by the configuration: any address will do */
    void (*fn)(void *owner, const struct next_hop_answer *answer);
    void *owner;
    struct deferred later;
    struct dns_query *mx;
    struct lookup lookups[NEXT_HOP_NAMES];
    size_t lookup_count, open; /* open: questions without an answer yet */
    struct smtp_client_reply why;
    struct next_hop_host hosts[NEXT_HOP_NAMES * NEXT_HOP_PER_NAME];
    size_t count;
};

/* ---- who we are ---- */

static void know(struct next_hop_self *self, const struct ip *ip)
{
    if (ip->family == 0 || ip_is_any(ip) || ip_is_loopback(ip) || self->own_count == NEXT_HOP_OWN)
        return;
    for (size_t i = 0; i < self->own_count; i++)
        if (ip_equal(&self->own[i], ip))
            return;
    self->own[self->own_count++] = *ip;
}

static struct ip ip_of_sockaddr(const struct sockaddr *sa)
{
    struct ip ip = { 0 };

    if (sa->sa_family == AF_INET) {
        ip.family = 4;
        memcpy(ip.octets, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        ip.family = 6;
        memcpy(ip.octets, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    }
    return ip;
}

void next_hop_know_self(struct next_hop_self *self, const struct config *config)
{
    struct ifaddrs *all = NULL;
    struct ip ip;

    memset(self, 0, sizeof *self);
    (void)snprintf(self->hostname, sizeof self->hostname, "%s", config->hostname != NULL ? config->hostname : "");
    for (size_t i = 0; i < config->listener_count; i++)
        if (ip_parse(slice_str(config->listeners[i].address), &ip) == 0)
            know(self, &ip);
    if (getifaddrs(&all) < 0)
        return;
    for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0)
            continue;
        ip = ip_of_sockaddr(at->ifa_addr);
        know(self, &ip);
    }
    freeifaddrs(all);
}

static bool is_own(const struct next_hop_self *self, const struct ip *ip)
{
    for (size_t i = 0; i < self->own_count; i++)
        if (ip_equal(&self->own[i], ip))
            return true;
    return false;
}

/* ---- the end of a search ---- */

static void drop_queries(struct next_hop_search *s)
{
    loop_defer_cancel(s->loop, &s->later);
    dns_cancel(&s->mx);
    for (size_t i = 0; i < s->lookup_count; i++)
        for (size_t kind = 0; kind < 2; kind++)
            dns_cancel(&s->lookups[i].query[kind]);
}

void next_hop_cancel(struct next_hop_search **s)
{
    if (*s == NULL)
        return;
    drop_queries(*s);
    mem_free(*s);
    *s = NULL;
}

static void finish(struct next_hop_search *s)
{
    struct next_hop_answer answer = { s->why, s->hosts, s->count };

    drop_queries(s);
    s->fn(s->owner, &answer);
    mem_free(s);
}

static void because(struct next_hop_search *s, short code, const char *enhanced, const char *text)
{
    s->why.code = code;
    s->why.ours = true;
    (void)snprintf(s->why.enhanced, sizeof s->why.enhanced, "%s", enhanced);
    (void)snprintf(s->why.text, sizeof s->why.text, "%s: %s", s->domain, text);
}

static void fail(struct next_hop_search *s, short code, const char *enhanced, const char *text)
{
    because(s, code, enhanced, text);
    finish(s);
}

static void finish_later(struct deferred *d)
{
    finish(LIST_ENTRY(d, struct next_hop_search, later));
}

/* ---- addresses ---- */

static void add_host(struct next_hop_search *s, const char *name, const struct ip *ip)
{
    struct next_hop_host *host;

    if (s->count == sizeof s->hosts / sizeof s->hosts[0])
        return;
    host = &s->hosts[s->count++];
    (void)snprintf(host->name, sizeof host->name, "%s", name);
    host->at = (struct endpoint){ .family = ip->family, .port = s->port };
    memcpy(host->at.octets, ip->octets, sizeof host->at.octets);
}

/* RFC 5321 5.1: where we stand in the list ourselves, nothing of equal or lower priority is tried: it would come back.
 */
static bool leads_to_us(const struct next_hop_search *s, const struct lookup *l)
{
    for (size_t kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < l->count[kind]; i++)
            if (is_own(&s->self, &l->found[kind][i]))
                return true;
    return false;
}

/* The addresses of one name in turns, IPv4 first: where a network has IPv6 without a name for it, the big providers
 * refuse for good what they would take over IPv4. Says whether one had to be refused. */
static bool add_addresses(struct next_hop_search *s, const struct lookup *l)
{
    size_t before = s->count;
    bool refused = false;

    for (size_t i = 0; i < NEXT_HOP_PER_NAME; i++) {
        for (size_t kind = 0; kind < 2; kind++) {
            const struct ip *ip = &l->found[kind][i];

            if (i >= l->count[kind] || s->count - before == NEXT_HOP_PER_NAME)
                continue;
            if (!s->configured && (ip_is_any(ip) || ip_is_loopback(ip)))
                refused = true;
            else
                add_host(s, l->name, ip);
        }
    }
    return refused;
}

static void all_answered(struct next_hop_search *s)
{
    bool refused = false, failed = false, exists = false;
    uint32_t below = UINT32_MAX;

    for (size_t i = 0; i < s->lookup_count && !s->configured; i++)
        if (leads_to_us(s, &s->lookups[i]) && s->lookups[i].preference < below)
            below = s->lookups[i].preference;
    for (size_t i = 0; i < s->lookup_count; i++) {
        const struct lookup *l = &s->lookups[i];

        failed = failed || l->failed;
        exists = exists || !l->no_such_name || strcmp(l->name, s->domain) != 0; /* an MX that leads nowhere */
        if (l->preference < below)
            refused = add_addresses(s, l) || refused;
        else
            refused = true;
    }
    if (s->count > 0)
        finish(s);
    else if (failed)
        fail(s, 451, "4.4.3", "the DNS did not answer for the host's address");
    else if (s->configured)
        fail(s, 451, "4.4.4", "the configured next hop has no address");
    else if (refused)
        fail(s, 554, "5.4.6", "mail for this domain leads back to this server");
    else if (exists)
        fail(s, 550, "5.4.4", "the domain has no host that takes mail");
    else
        fail(s, 550, "5.1.2", "no such domain");
}

static void answered(struct lookup *l, size_t kind, const struct dns_answer *a)
{
    static const enum dns_type types[2] = { DNS_A, DNS_AAAA };

    l->query[kind] = NULL;
    l->failed = l->failed || a->status == DNS_FAILED;
    l->no_such_name = l->no_such_name || a->status == DNS_NXDOMAIN;
    for (size_t i = 0; a->status == DNS_OK && i < a->count && l->count[kind] < NEXT_HOP_PER_NAME; i++) {
        struct ip *ip = &l->found[kind][l->count[kind]];

        if (a->records[i].type != types[kind])
            continue;
        ip->family = kind == 0 ? 4 : 6;
        memcpy(ip->octets, a->records[i].octets, kind == 0 ? 4 : 16);
        l->count[kind]++;
    }
    if (--l->search->open == 0)
        all_answered(l->search);
}

static void on_a(void *owner, const struct dns_answer *a)
{
    answered(owner, 0, a);
}

static void on_aaaa(void *owner, const struct dns_answer *a)
{
    answered(owner, 1, a);
}

static void add_lookup(struct next_hop_search *s, const char *name, uint16_t preference)
{
    struct lookup *l = &s->lookups[s->lookup_count++];

    l->search = s;
    l->preference = preference;
    (void)snprintf(l->name, sizeof l->name, "%s", name);
}

static void ask_all(struct next_hop_search *s)
{
    for (size_t i = 0; i < s->lookup_count; i++) {
        struct lookup *l = &s->lookups[i];

        l->query[0] = dns_ask(s->dns, DNS_A, slice_str(l->name), on_a, l);
        l->query[1] = dns_ask(s->dns, DNS_AAAA, slice_str(l->name), on_aaaa, l);
        s->open += 2;
    }
}

/* ---- MX ---- */

/* RFC 5321 5.1: hosts of equal preference are tried in random order. The records stand sorted; *order gets their
 * places. */
static void shuffle(const struct dns_answer *a, size_t *order)
{
    for (size_t i = 0; i < a->count; i++)
        order[i] = i;
    for (size_t i = 0; i + 1 < a->count; i++) {
        size_t equal = 1, pick, swap;

        while (i + equal < a->count && a->records[i + equal].preference == a->records[i].preference)
            equal++;
        pick = i + (size_t)rand_below(equal);
        swap = order[i];
        order[i] = order[pick];
        order[pick] = swap;
    }
}

/* The preference at which we ourselves stand in the list; what is not below it is not tried. */
static uint32_t our_place(const struct next_hop_search *s, const struct dns_answer *a)
{
    uint32_t below = UINT32_MAX;

    for (size_t i = 0; i < a->count; i++)
        if (slice_iis(slice_str(a->records[i].name), s->self.hostname) && a->records[i].preference < below)
            below = a->records[i].preference;
    return below;
}

static void take_mx(struct next_hop_search *s, const struct dns_answer *a)
{
    size_t *order = mem_array(a->count, sizeof *order);
    uint32_t below = our_place(s, a);

    shuffle(a, order);
    for (size_t i = 0; i < a->count && s->lookup_count < NEXT_HOP_NAMES; i++) {
        const struct dns_record *mx = &a->records[order[i]];

        if (mx->preference < below && mx->name[0] != '\0')
            add_lookup(s, mx->name, mx->preference);
    }
    mem_free(order);
    if (s->lookup_count > 0)
        ask_all(s);
    else if (below != UINT32_MAX)
        fail(s, 554, "5.4.6", "mail for this domain leads back to this server");
    else
        fail(s, 556, "5.1.10", "the domain takes no mail (null MX)");
}

static void on_mx(void *owner, const struct dns_answer *a)
{
    struct next_hop_search *s = owner;

    s->mx = NULL;
    if (a->status == DNS_FAILED) {
        fail(s, 451, "4.4.3", "the DNS did not answer for the domain's mail hosts");
    } else if (a->status == DNS_NXDOMAIN) {
        fail(s, 550, "5.1.2", "no such domain");
    } else if (a->status == DNS_OK && a->count > 0) {
        take_mx(s, a);
    } else if (slice_iis(slice_str(s->domain), s->self.hostname)) {
        fail(s, 554, "5.4.6", "mail for this domain leads back to this server");
    } else { /* RFC 5321 5.1: the domain itself is its MX */
        add_lookup(s, s->domain, 0);
        ask_all(s);
    }
}

/* ---- the beginning ---- */

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]", RFC 5321 4.1.3. */
static int parse_literal(const char *domain, struct ip *ret)
{
    struct slice in = slice_str(domain);

    if (in.n < 2 || in.p[0] != '[' || in.p[in.n - 1] != ']')
        return -EINVAL;
    in = slice_make(in.p + 1, in.n - 2);
    if (slice_istarts(in, "IPv6:"))
        in = slice_skip(in, 5);
    return ip_parse(in, ret);
}

static void find_mx(struct next_hop_search *s)
{
    struct ip ip;
    char name[IP_TEXT];

    if (parse_literal(s->domain, &ip) < 0) {
        s->mx = dns_ask(s->dns, DNS_MX, slice_str(s->domain), on_mx, s);
        return;
    }
    ip_format(&ip, name);
    if (ip_is_any(&ip) || ip_is_loopback(&ip) || is_own(&s->self, &ip))
        because(s, 554, "5.4.6", "mail for this address leads back to this server");
    else
        add_host(s, name, &ip);
    loop_defer(s->loop, &s->later, finish_later);
}

/* What /etc/hosts has, IPv4 first. */
static bool add_local(struct next_hop_search *s, const char *host)
{
    struct dns_record found[NEXT_HOP_PER_NAME];
    size_t count = dns_local(s->dns, slice_str(host), found, NEXT_HOP_PER_NAME);

    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < count; i++) {
            struct ip ip = { .family = kind == 0 ? 4 : 6 };

            if (found[i].type != (kind == 0 ? DNS_A : DNS_AAAA))
                continue;
            memcpy(ip.octets, found[i].octets, sizeof ip.octets);
            add_host(s, host, &ip);
        }
    }
    return count > 0;
}

static void find_configured(struct next_hop_search *s, const char *host)
{
    static const struct ip loopback4 = { { 127, 0, 0, 1 }, 4 };
    static const struct ip loopback6 = { { [15] = 1 }, 6 };
    struct ip ip;

    if (ip_parse(slice_str(host), &ip) == 0 || parse_literal(host, &ip) == 0) {
        add_host(s, host, &ip);
    } else if (slice_iis(slice_str(host), "localhost")) {
        add_host(s, host, &loopback4);
        add_host(s, host, &loopback6);
    } else if (!add_local(s, host)) {
        add_lookup(s, host, 0);
        ask_all(s);
        return;
    }
    loop_defer(s->loop, &s->later, finish_later);
}

struct next_hop_search *next_hop_find(struct loop *loop, struct dns *dns, const struct next_hop_self *self,
                                      const struct conf_next_hop *hop, const char *domain,
                                      void (*fn)(void *owner, const struct next_hop_answer *answer), void *owner)
{
    struct next_hop_search *s = mem_zero(sizeof *s);

    s->loop = loop;
    s->dns = dns;
    s->self = *self;
    s->port = hop->port;
    s->configured = hop->host != NULL;
    s->fn = fn;
    s->owner = owner;
    (void)snprintf(s->domain, sizeof s->domain, "%s", hop->host != NULL ? hop->host : domain);
    if (s->configured)
        find_configured(s, hop->host);
    else
        find_mx(s);
    return s;
}
