/* What would open the relay to the world is refused at load. The rule is told in docs/configuration.md ("Safety");
 * change both together. */
#include "load_priv.h"

struct block {
    struct ip base;
    uint8_t bits;
};
#define V4(a, b, c, d, n)                                                                                              \
    {                                                                                                                  \
        { { a, b, c, d }, 4 }, n                                                                                       \
    }
#define V6(a, b, c, d, e, f, n)                                                                                        \
    {                                                                                                                  \
        { { a, b, c, d, e, f }, 6 }, n                                                                                 \
    }

/* Networks of one's own: nobody elsewhere in the Internet can come from an address in them. */
static const struct block own[] = {
    V4(127, 0, 0, 0, 8),                  /* RFC 1122: loopback */
    V4(10, 0, 0, 0, 8),                   /* RFC 1918 */
    V4(172, 16, 0, 0, 12),                /* RFC 1918 */
    V4(192, 168, 0, 0, 16),               /* RFC 1918 */
    V4(169, 254, 0, 0, 16),               /* RFC 3927: link-local */
    V4(100, 64, 0, 0, 10),                /* RFC 6598: shared, and VPNs that use it */
    V4(192, 0, 2, 0, 24),                 /* RFC 5737: documentation, and the next two */
    V4(198, 51, 100, 0, 24),              /**/
    V4(203, 0, 113, 0, 24),               /**/
    V6(0xfc, 0, 0, 0, 0, 0, 7),           /* RFC 4193: unique local */
    V6(0xfe, 0x80, 0, 0, 0, 0, 10),       /* RFC 4291: link-local */
    V6(0x20, 0x01, 0x0d, 0xb8, 0, 0, 32), /* RFC 3849: documentation */
};

/* Where every IPv4 host can have an address: however small a part, strangers are in it. */
static const struct block translated[] = {
    V6(0x00, 0x64, 0xff, 0x9b, 0, 0, 96),    /* RFC 6052: NAT64 */
    V6(0x00, 0x64, 0xff, 0x9b, 0, 0x01, 48), /* RFC 8215: NAT64 */
    V6(0x20, 0x01, 0, 0, 0, 0, 32),          /* RFC 4380: Teredo */
};

enum {
    PUBLIC_BITS_4 = 16,  /* the shortest prefix of a public IPv4 network that can still be one organisation's */
    PUBLIC_BITS_6 = 32,  /* the same for IPv6: what a registry gives to a provider */
    PUBLIC_NETWORKS = 16 /* that many of the largest are all that a list may add up to */
};

static bool within(const struct network *n, const struct block *b)
{
    struct ip base;

    if (n->base.family != b->base.family || n->bits < b->bits)
        return false;
    base = ip_mask(&n->base, b->bits, b->bits);
    return ip_equal(&base, &b->base);
}

static bool overlaps(const struct network *n, const struct block *b)
{
    struct network whole = { b->base, b->bits };

    return network_has(n, &b->base) || network_has(&whole, &n->base);
}

static bool is_own(const struct network *n)
{
    struct network loopback = { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 6 }, 128 };

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (within(n, &own[i]))
            return true;
    return n->base.family == 6 && n->bits == 128 && ip_equal(&n->base, &loopback.base);
}

static bool is_translated(const struct network *n)
{
    for (size_t i = 0; i < sizeof translated / sizeof *translated; i++)
        if (n->base.family == 6 && overlaps(n, &translated[i]))
            return true;
    return false;
}

/* The network of one's own that a too wide one was probably meant to be: "172.0.0.0/8" for 172.16.0.0/12. */
static const char *own_inside(struct load *l, const struct network *n)
{
    char text[IP_TEXT];
    struct buf hint;
    const char *kept;

    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (n->bits < 8 || !network_has(n, &own[i].base))
            continue;
        ip_format(&own[i].base, text);
        buf_init(&hint, 80);
        (void)!buf_addf(&hint, " (did you mean \"%s/%u\"?)", text, (unsigned)own[i].bits);
        kept = arena_str(&l->problems.arena, buf_slice(&hint));
        buf_clear(&hint);
        return kept;
    }
    return "";
}

/* The share of the addresses that a list of public networks may cover, in units of the smallest network counted. */
static void count_public(const struct network *n, uint64_t *of_4, uint64_t *of_6)
{
    unsigned units_6 = n->bits < 64 ? 64U - n->bits : 0;

    if (n->base.family == 4)
        *of_4 += 1ULL << (32 - n->bits);
    else
        *of_6 += 1ULL << units_6;
}

/* Each by itself, and all together: half the Internet twice is the Internet. What is malformed has been told before. */
void check_networks(struct load *l, const char *key, const struct node *n)
{
    uint64_t of_4 = 0, of_6 = 0;

    if (node_is_null(n))
        return;
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        struct network network;
        unsigned least;

        if (it->kind != NODE_SCALAR || network_parse(it->text, &network) < 0 || is_own(&network))
            continue;
        least = network.base.family == 4 ? PUBLIC_BITS_4 : PUBLIC_BITS_6;
        if (network.bits < least)
            problem(l, it,
                    "%s: %s would open the relay to the world: a network of public addresses needs a prefix of /%u or "
                    "longer%s",
                    key, shown(l, it), least, own_inside(l, &network));
        else if (is_translated(&network))
            problem(l, it, "%s: %s holds addresses that every IPv4 host can have; it would open the relay to the world",
                    key, shown(l, it));
        else
            count_public(&network, &of_4, &of_6);
    }
    if (of_4 > (uint64_t)PUBLIC_NETWORKS << (32 - PUBLIC_BITS_4) || of_6 > (uint64_t)PUBLIC_NETWORKS
                                                                               << (64 - PUBLIC_BITS_6))
        problem(l, n,
                "%s: these networks together have more public addresses than one organisation; they would open "
                "the relay to the world",
                key);
}

static bool is_listener(const struct conf_listener *listener, const struct ip *host, uint16_t port)
{
    struct ip here;

    if (listener->port != port || (listener->service != SERVICE_SMTP && listener->service != SERVICE_SUBMISSION) ||
        ip_parse(slice_str(listener->address), &here) < 0)
        return false;
    return ip_equal(&here, host) || (ip_is_any(&here) && ip_is_loopback(host));
}

/* Mail that is sent to ourselves comes back until it has too many Received fields. */
void check_own_hop(struct load *l, const char *key, const struct conf_next_hop *hop)
{
    const struct config *c = l->c;
    struct ip host;

    if (hop->host == NULL ||
        ip_parse(slice_str(strcmp(hop->host, "localhost") == 0 ? "127.0.0.1" : hop->host), &host) < 0)
        return;
    for (size_t i = 0; i < c->listener_count; i++) {
        if (!is_listener(&c->listeners[i], &host, hop->port))
            continue;
        problem_add(&l->problems, hop->at, "%s: %s port %u is this server itself; its mail would go round in a loop",
                    key, hop->host, (unsigned)hop->port);
        return;
    }
}

/* A single label is a top-level domain unless it is one of those that exist on private networks only. */
bool domain_is_too_wide(const char *name)
{
    static const char *const local[] = { "localhost", "local", "localdomain", "lan",     "home",   "internal",
                                         "intranet",  "corp",  "test",        "invalid", "example" };

    if (strchr(name, '.') != NULL)
        return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strcmp(name, local[i]) == 0)
            return false;
    return true;
}
