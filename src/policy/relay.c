#include "facteur/policy/relay.h"

#include "facteur/base/mem.h"

#include <errno.h>

enum { KEY_SIZE = LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3, PORT_SMTP = 25 };

void policy_targets_clear(struct policy_targets *t)
{
    mem_free(t->items);
    *t = (struct policy_targets){ 0 };
}

bool policy_is_trusted(const struct config *c, const struct ip *ip)
{
    for (size_t i = 0; i < c->relay.trusted.count; i++)
        if (network_has(&c->relay.trusted.items[i], ip))
            return true;
    return false;
}

/* An expansion under way: `items` is first the list of addresses that wait, alias by alias, and never shrinks. */
struct pending {
    struct address address;
    unsigned depth; /* aliases on the way to it */
};
struct expansion {
    const struct config *c;
    struct pending *pending;
    size_t next, count;
    struct policy_targets targets;
    struct map seen; /* aliases, users and addresses that were met: each counts once */
    bool disabled;   /* a mailbox that takes nothing was met */
};

static bool is_new(struct expansion *x, const char *key)
{
    return map_put(&x->seen, slice_str(key), x) == NULL;
}

/* Room for one more of `size` octets behind `count` of them; it doubles. */
static void *grown(void *items, size_t count, size_t size)
{
    bool full = (count & (count - 1)) == 0; /* also at 0 */

    return full ? mem_resize(items, (count > 0 ? 2 * count : 1) * size) : items;
}

static void wait_for(struct expansion *x, const struct address *address, unsigned depth)
{
    x->pending = grown(x->pending, x->count, sizeof *x->pending);
    x->pending[x->count++] = (struct pending){ *address, depth };
}

static void add_target(struct expansion *x, enum policy_route route, const struct conf_user *user,
                       const struct address *address)
{
    struct policy_targets *t = &x->targets;

    t->items = grown(t->items, t->count, sizeof *t->items);
    t->items[t->count++] = (struct policy_target){ route, user, *address };
}

static void add_user(struct expansion *x, const struct conf_user *user)
{
    struct address address;

    if (!user->enabled)
        x->disabled = true;
    else if (is_new(x, user->name) && address_parse(slice_str(user->name), ADDRESS_UTF8, &address) == 0)
        add_target(x, ROUTE_LOCAL, user, &address);
}

static void add_remote(struct expansion *x, const struct address *address)
{
    char *name = address_str(address); /* with the case of the local part, which is the other side's matter */

    if (is_new(x, name))
        add_target(x, ROUTE_RELAY, NULL, address);
    mem_free(name);
}

static void add_alias(struct expansion *x, const struct conf_alias *alias, unsigned depth)
{
    struct address address;

    if (!is_new(x, alias->name))
        return;
    for (size_t i = 0; i < alias->targets.count; i++)
        if (address_parse(slice_str(alias->targets.items[i]), ADDRESS_UTF8, &address) == 0)
            wait_for(x, &address, depth + 1);
}

static void expand_one(struct expansion *x, const struct pending *p)
{
    const struct conf_user *user;
    const struct conf_alias *alias;

    if (config_domain(x->c, p->address.domain) == NULL) {
        add_remote(x, &p->address);
        return;
    }
    switch (config_recipient(x->c, &p->address, &user, &alias)) {
    case RECIPIENT_USER:
        add_user(x, user);
        break;
    case RECIPIENT_ALIAS:
        add_alias(x, alias, p->depth);
        break;
    case RECIPIENT_UNKNOWN:
        break;
    }
}

/* All mailboxes and addresses that `from` ends in. -ELOOP or -E2BIG beyond the bounds; x is to be cleared in any case.
 */
static int expand(struct expansion *x, const struct config *c, const struct address *from)
{
    *x = (struct expansion){ .c = c };
    wait_for(x, from, 0);
    while (x->next < x->count) {
        struct pending p = x->pending[x->next++];

        if (p.depth > LIMIT_ALIAS_DEPTH)
            return -ELOOP;
        if (x->targets.count > POLICY_TARGETS || x->count > (size_t)4 * POLICY_TARGETS)
            return -E2BIG;
        expand_one(x, &p);
    }
    return 0;
}

static void expansion_clear(struct expansion *x)
{
    mem_free(x->pending);
    map_clear(&x->seen);
    policy_targets_clear(&x->targets);
}

static struct verdict deliver(const struct config *c, const struct conf_domain *d, const struct address *rcpt,
                              struct policy_targets *ret)
{
    struct expansion x;
    struct verdict v;
    int code = expand(&x, c, rcpt);

    if (code < 0) {
        v = verdict_by(verdict_make(451, "4.3.5", "this address leads to too many others"), "aliases", d->at.line);
    } else if (x.targets.count > 0) {
        v = verdict_by(verdict_ok("2.1.5", "recipient ok"), "domains", d->at.line);
        *ret = x.targets;
        x.targets = (struct policy_targets){ 0 };
    } else if (x.disabled) {
        v = verdict_by(verdict_make(550, "5.2.1", "this mailbox takes no mail"), "users.enabled", d->at.line);
    } else {
        v = verdict_by(verdict_make(550, "5.1.1", "no such user here"), "users", d->at.line);
    }
    expansion_clear(&x);
    return v;
}

static bool is_backup_domain(const struct config *c, const char *domain)
{
    for (size_t i = 0; i < c->relay.domains.count; i++)
        if (strcmp(c->relay.domains.items[i], domain) == 0)
            return true;
    return false;
}

static struct verdict relay(const char *rule, unsigned line, const struct address *rcpt, struct policy_targets *ret)
{
    struct policy_target *target = mem_alloc(sizeof *target);

    *target = (struct policy_target){ ROUTE_RELAY, NULL, *rcpt };
    *ret = (struct policy_targets){ target, 1 };
    return verdict_by(verdict_ok("2.1.5", "recipient ok"), rule, line);
}

/* "user%elsewhere@here", "elsewhere!user@here", "\"user@elsewhere\"@here": the second address of old gateways. */
static bool hides_second_address(const struct address *rcpt)
{
    return strpbrk(rcpt->local, "%!@") != NULL;
}

static bool is_named(const struct config *c, const struct address *rcpt)
{
    const struct conf_user *user;
    const struct conf_alias *alias = NULL;

    return config_recipient(c, rcpt, &user, &alias) != RECIPIENT_UNKNOWN && (alias == NULL || alias->name[0] != '@');
}

/* RFC 5321 4.5.1: without a domain, or at the host's own name, as delivery reports write it. */
static bool is_of_the_host(const struct config *c, const struct address *rcpt)
{
    return rcpt->domain[0] == '\0' ||
           (slice_iis(slice_str(rcpt->domain), c->hostname) && slice_iis(slice_str(rcpt->local), "postmaster") &&
            config_domain(c, rcpt->domain) == NULL);
}

struct verdict policy_rcpt(const struct config *c, const struct policy_client *client, const struct address *rcpt,
                           struct policy_targets *ret)
{
    const struct conf_user *user = client->user;
    bool trusted = !client->ourselves && policy_is_trusted(c, &client->ip);
    struct address address = *rcpt;
    const struct conf_domain *d;

    if (is_of_the_host(c, &address) &&
        (!slice_iis(slice_str(address.local), "postmaster") || c->default_domain == NULL ||
         slice_copy(slice_str(c->default_domain), address.domain, sizeof address.domain) < 0))
        return verdict_by(verdict_make(550, "5.1.1", "no such user here"), "default_domain", 0);
    if (user == NULL && !trusted && hides_second_address(&address) && !is_named(c, &address))
        return verdict_by(verdict_make(554, "5.7.1", "relaying denied: this form of address is not routed"), "relay",
                          c->relay.at.line);
    d = address.literal ? NULL : config_domain(c, address.domain);
    if (d != NULL)
        return deliver(c, d, &address, ret);
    if (user != NULL)
        return relay("login", user->at.line, &address, ret);
    if (client->ourselves)
        return relay("notification", 0, &address, ret);
    if (trusted)
        return relay("relay.trusted", c->relay.trusted_at.line, &address, ret);
    if (address.literal)
        return verdict_by(verdict_make(550, "5.1.2", "mail for address literals is not taken"), "relay",
                          c->relay.at.line);
    if (is_backup_domain(c, address.domain))
        return relay("relay.domains", c->relay.at.line, &address, ret);
    return verdict_by(verdict_make(550, "5.7.1", "relaying denied: log in, or send to a domain of this server"),
                      "relay", c->relay.at.line);
}

static bool is_own_alias(const struct config *c, const struct conf_user *user, const struct address *address)
{
    struct expansion x;
    bool own = expand(&x, c, address) == 0 && x.targets.count == 1 && x.targets.items[0].user == user;

    expansion_clear(&x);
    return own;
}

bool policy_sender_belongs(const struct config *c, const struct conf_user *user, const struct address *address)
{
    char key[KEY_SIZE];

    address_key(address, key);
    if (strcmp(key, user->name) == 0)
        return true;
    for (size_t i = 0; i < user->senders.count; i++) {
        const char *allowed = user->senders.items[i];

        if (strcmp(allowed, "*") == 0 || strcmp(allowed, key) == 0 ||
            (allowed[0] == '@' && strcmp(allowed + 1, address->domain) == 0))
            return true;
    }
    return config_domain(c, address->domain) != NULL && is_own_alias(c, user, address);
}

struct verdict policy_sender(const struct config *c, const struct policy_client *client,
                             const struct address *reverse_path)
{
    const struct conf_user *user = client->user;
    struct verdict no;

    if (user == NULL && client->submission)
        return verdict_by(verdict_make(530, "5.7.0", "log in first"), "listen.service", 0);
    if (user == NULL)
        return verdict_by(verdict_ok("2.1.0", "sender ok"), "any sender", 0);
    if (address_is_null(reverse_path) || policy_sender_belongs(c, user, reverse_path))
        return verdict_by(verdict_ok("2.1.0", "sender ok"), "login", user->at.line);
    no = verdict_by(verdict_make(553, "5.7.1", "this sender address does not belong to your login"), "users.senders",
                    user->at.line);
    no.file = user->at.file;
    return no;
}

/* How exact a route is for the domain: 0 not at all, more the more of it is named. */
static size_t exactness(const char *route, const char *domain)
{
    size_t n = strlen(route);

    if (strcmp(route, "*") == 0)
        return 1;
    if (strcmp(route, domain) == 0)
        return LIMIT_DOMAIN + 2;
    return route[0] == '.' && slice_iends(slice_str(domain), route) && strlen(domain) > n ? n : 0;
}

const struct conf_next_hop *policy_next_hop(const struct config *c, const char *domain, struct conf_next_hop *mx)
{
    const struct conf_next_hop *best = NULL;
    size_t best_exactness = 0;

    for (size_t i = 0; i < c->relay.route_count; i++) {
        size_t e = exactness(c->relay.routes[i].domain, domain);

        if (e > best_exactness) {
            best_exactness = e;
            best = &c->relay.routes[i].hop;
        }
    }
    if (best != NULL)
        return best;
    if (c->relay.smarthost.host != NULL)
        return &c->relay.smarthost;
    *mx = (struct conf_next_hop){ .port = PORT_SMTP, .tls = RELAY_TLS_OPPORTUNISTIC, .at = c->relay.at };
    return mx;
}
