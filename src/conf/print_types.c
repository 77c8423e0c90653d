/* How the parts print that stages after the schema have read: their values are spread over the configuration. */
#include "load_priv.h"

static const struct config *config_at(const void *from, size_t offset)
{
    return (const struct config *)(const void *)((const char *)from - offset);
}

/* The fields of one item, with the item's mark before the first of them: "- address: …". */
static void put_item(struct printer *p, const struct section *s, const void *item)
{
    size_t start = p->out->n + p->indent;

    p->indent += 2;
    put_section(p, s, item);
    p->indent -= 2;
    if (p->out->n > start)
        p->out->p[start] = '-';
}

static void print_listeners(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = config_at(from, offsetof(struct config, listeners));

    for (size_t i = 0; i < c->listener_count; i++)
        put_item(p, f->section, &c->listeners[i]);
}
const struct value_type type_listeners = { "list of listeners, or `loopback`", NULL, print_listeners };

static void print_certificates(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = config_at(from, offsetof(struct config, tls));

    for (size_t i = 0; i < c->tls.pair_count; i++)
        put_item(p, f->section, &c->tls.pairs[i]);
}
const struct value_type type_certificates = { "list of certificates", NULL, print_certificates };

static void put_targets(struct printer *p, const struct conf_alias *a)
{
    put(p, "[");
    for (size_t t = 0; t < a->targets.count; t++) {
        put(p, "%s", t > 0 ? ", " : "");
        put_text(p, a->targets.items[t]);
    }
    put(p, "]\n");
}

/* Prints the domain's aliases, which stand together, and returns the index behind them. */
static size_t put_aliases(struct printer *p, const struct config *c, const struct conf_domain *d, size_t i)
{
    const struct conf_alias *catch_all = NULL;
    char local[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    bool any = false;

    for (; i < c->aliases.count; i++) {
        const struct conf_alias *a = c->alias_list[i];
        const char *at = strrchr(a->name, '@');

        if (strcmp(at + 1, d->name) != 0)
            break;
        if (at == a->name) {
            catch_all = a;
            continue;
        }
        if (!any)
            put(p, "%*saliases:\n", (int)p->indent, "");
        any = true;
        (void)!slice_copy(slice_make(a->name, (size_t)(at - a->name)), local, sizeof local);
        put(p, "%*s", (int)p->indent + 2, "");
        put_text(p, local);
        put(p, ": ");
        put_targets(p, a);
    }
    if (catch_all != NULL) {
        put(p, "%*scatch_all: ", (int)p->indent, "");
        put_targets(p, catch_all);
    }
    return i;
}

static void print_domain_map(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = from;
    size_t alias = 0;

    for (size_t i = 0; i < c->domains.count; i++) {
        put(p, "%*s", (int)p->indent, "");
        put_text(p, c->domain_list[i]->name);
        put(p, ":\n");
        p->indent += 2;
        alias = put_aliases(p, c, c->domain_list[i], alias);
        put_section(p, f->section, c->domain_list[i]);
        p->indent -= 2;
    }
}
const struct value_type type_domain_map = { "mapping", NULL, print_domain_map };
const struct value_type type_aliases = { "mapping of addresses", NULL, NULL };
const struct value_type type_catch_all = { "address, or a list", NULL, NULL };

static void print_user_map(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = from;

    for (size_t i = 0; i < c->users.count; i++) {
        put(p, "%*s", (int)p->indent, "");
        put_text(p, c->user_list[i]->name);
        put(p, ":\n");
        p->indent += 2;
        put_section(p, f->section, c->user_list[i]);
        p->indent -= 2;
    }
}
const struct value_type type_user_map = { "mapping", NULL, print_user_map };

static void print_smarthost(struct printer *p, const struct field *f, const void *from)
{
    const struct conf_next_hop *hop = from;

    if (hop->host != NULL)
        put_section(p, f->section, hop);
}
const struct value_type type_smarthost = { "next hop", NULL, print_smarthost };

static void print_routes(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = from;

    for (size_t i = 0; i < c->relay.route_count; i++) {
        const struct conf_route *route = &c->relay.routes[i];

        put(p, "%*s", (int)p->indent, "");
        put_text(p, route->domain);
        put(p, route->hop.host == NULL ? ": mx\n" : ":\n");
        p->indent += 2;
        if (route->hop.host != NULL)
            put_section(p, f->section, &route->hop);
        p->indent -= 2;
    }
}
const struct value_type type_routes = { "mapping of next hops", NULL, print_routes };
