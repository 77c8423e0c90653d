/* Next hops and routes, and that neither they nor the trusted networks make the server a relay for strangers. */
#include "load_priv.h"

enum { PORT_SMTP = 25, PORT_SUBMISSIONS = 465, PORT_SUBMISSION = 587 };

/* "host", "host:port", "[address]:port" as a mapping of nodes, so that one reader serves both spellings. */
static const struct node *spelled_out(struct load *l, const struct node *n)
{
    struct node *map = arena_zero(&l->tree, sizeof *map), *host = arena_zero(&l->tree, 2 * sizeof *host);
    struct slice text = n->text, port = { NULL, 0 };
    ptrdiff_t end = text.n > 0 && text.p[0] == '[' ? slice_find(text, ']') : -1;
    struct ip ip;

    if (end > 0 && (size_t)end + 1 < text.n && text.p[end + 1] == ':') {
        port = slice_skip(text, (size_t)end + 2);
        text = slice_head(text, (size_t)end + 1);
    } else if (ip_parse(text, &ip) < 0 && slice_find(text, ':') >= 0) {
        port = text;
        (void)slice_cut(&port, ':', &text);
    }
    *map = (struct node){ .kind = NODE_MAP, .at = n->at, .first = host, .count = 1 };
    host[0] = (struct node){ .at = n->at, .key = SLICE_LIT("host"), .key_at = n->at };
    host[0].text = slice_make(arena_str(&l->tree, text), text.n);
    if (port.p == NULL)
        return map;
    host[1] = (struct node){ .at = n->at, .key = SLICE_LIT("port"), .key_at = n->at, .text = port };
    host[0].next = &host[1];
    map->count = 2;
    return map;
}

static bool is_loopback_host(const char *host)
{
    struct ip ip;

    return strcmp(host, "localhost") == 0 || (ip_parse(slice_str(host), &ip) == 0 && ip_is_loopback(&ip));
}

static void check_login(struct load *l, const char *key, const struct node *n, const struct conf_next_hop *hop)
{
    const struct node *user = node_get(n, "user"), *password = node_get(n, "password");
    const struct node *tls = node_get(n, "tls");

    if (node_is_null(user) && node_is_null(password))
        return;
    if (node_is_null(user) || node_is_null(password)) {
        problem(l, node_is_null(user) ? password : user,
                "%s: \"user\" and \"password\" belong together; \"%s\" is missing", key,
                node_is_null(user) ? "user" : "password");
        return;
    }
    if (hop->host != NULL && (hop->tls == RELAY_TLS_NONE || hop->tls == RELAY_TLS_OPPORTUNISTIC) &&
        !is_loopback_host(hop->host))
        problem(l, tls != NULL ? tls : n,
                "%s: the password would pass without TLS to %s; set tls to starttls or implicit", key, hop->host);
}

bool read_hop(struct load *l, const char *key, const struct node *n, struct conf_next_hop *to)
{
    unsigned before = l->problems.count;
    struct conf_next_hop hop = { .at = n->at };

    if (n->kind == NODE_SCALAR)
        n = spelled_out(l, n);
    read_section(l, &section_next_hop, n, &hop);
    if (node_is_null(node_get(n, "tls"))) {
        if (hop.port == PORT_SUBMISSIONS)
            hop.tls = RELAY_TLS_IMPLICIT;
        else if (hop.user != NULL)
            hop.tls = RELAY_TLS_STARTTLS;
    }
    if (hop.port == 0)
        hop.port = hop.tls == RELAY_TLS_IMPLICIT ? PORT_SUBMISSIONS : hop.user != NULL ? PORT_SUBMISSION : PORT_SMTP;
    if (node_is_null(node_get(n, "verify")))
        hop.verify = hop.tls == RELAY_TLS_STARTTLS || hop.tls == RELAY_TLS_IMPLICIT;
    check_login(l, key, n, &hop);
    check_own_hop(l, key, &hop);
    *to = hop;
    return l->problems.count == before;
}

/* "example.net", ".example.net", "*" in canonical form. False after a problem. */
static bool take_route_domain(struct load *l, const struct node *n, char to[LIMIT_DOMAIN + 2])
{
    struct slice name = n->key;
    bool below = name.n > 1 && name.p[0] == '.';

    if (slice_is(name, "*")) {
        (void)!slice_copy(name, to, LIMIT_DOMAIN + 2);
        return true;
    }
    to[0] = '.';
    if (domain_parse(below ? slice_skip(name, 1) : name, to + below) < 0) {
        problem_add(&l->problems, n->key_at,
                    "routes: %s is none of a domain, a \".domain\" for its subdomains, and \"*\"",
                    problem_shown(&l->problems, name));
        return false;
    }
    if (config_domain(l->c, to) == NULL)
        return true;
    problem_add(&l->problems, n->key_at, "routes: \"%s\" is one of \"domains\"; its mail stays here", to);
    return false;
}

static void take_route(struct load *l, const struct node *n)
{
    struct config *c = l->c;
    char domain[LIMIT_DOMAIN + 2];
    struct conf_route *route = &c->relay.routes[c->relay.route_count];

    if (!take_route_domain(l, n, domain))
        return;
    for (size_t i = 0; i < c->relay.route_count; i++)
        if (strcmp(c->relay.routes[i].domain, domain) == 0) {
            problem_add(&l->problems, n->key_at, "routes: \"%s\" is given twice in different spellings", domain);
            return;
        }
    if (node_is_null(n)) {
        problem_add(&l->problems, n->key_at, "routes: \"%s\" needs a host, or mx", domain);
        return;
    }
    if (n->kind == NODE_SCALAR && slice_iis(n->text, "mx"))
        route->hop = (struct conf_next_hop){ .port = PORT_SMTP, .at = n->at };
    else if (!read_hop(l, "routes", n, &route->hop))
        return;
    route->domain = keep(l, slice_str(domain));
    c->relay.route_count++;
}

static void check_backup_domains(struct load *l, const struct node *n)
{
    const struct config *c = l->c;

    for (size_t i = 0; i < c->relay.domains.count; i++)
        if (config_domain(c, c->relay.domains.items[i]) != NULL)
            problem(l, n, "relay.domains: \"%s\" is one of \"domains\" already", c->relay.domains.items[i]);
}

void complete_relay(struct load *l)
{
    enum { ROUTES_MOST = 10000 };
    struct config *c = l->c;
    const struct node *relay = node_get(l->root, "relay"), *smarthost = node_get(relay, "smarthost");
    const struct node *routes = node_get(relay, "routes"), *trusted = node_get(relay, "trusted");

    c->relay.at = relay != NULL ? relay->key_at : (struct conf_place){ c->file, 0, 0 };
    c->relay.trusted_at = trusted != NULL ? trusted->key_at : c->relay.at;
    check_networks(l, "trusted", trusted);
    check_backup_domains(l, node_get(relay, "domains"));
    if (!node_is_null(smarthost))
        (void)read_hop(l, "smarthost", smarthost, &c->relay.smarthost);
    if (node_is_null(routes) || !want_map(l, "routes", routes))
        return;
    if (routes->count > ROUTES_MOST) {
        problem(l, routes, "routes: more than %d", ROUTES_MOST);
        return;
    }
    c->relay.routes = arena_zero(&c->arena, (routes->count + 1) * sizeof *c->relay.routes);
    for (const struct node *it = routes->first; it != NULL; it = it->next)
        take_route(l, it);
}
