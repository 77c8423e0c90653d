/* Aliases and catch-alls: their targets must exist and end, and postmaster and abuse must reach somebody. */
#include "load_priv.h"

#include "facteur/base/mem.h"

enum { KEY_SIZE = LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3, ALIAS_TARGETS = 1000 };

struct stage {
    struct load *l;
    struct conf_alias *aliases;        /* as many as there can be; config.alias_list points into it */
    const struct node **nodes;         /* of the targets; NULL for what was made here */
    unsigned *depth;                   /* steps to the farthest end */
    const struct conf_alias **deepest; /* the target that the depth comes from */
};

static size_t index_of(const struct stage *s, const struct conf_alias *a)
{
    return (size_t)(a - s->aliases);
}

static struct conf_alias *add_alias(struct stage *s, const char *key, struct conf_place at, const struct node *n)
{
    struct config *c = s->l->c;
    struct conf_alias *a = &s->aliases[c->aliases.count];

    *a = (struct conf_alias){ .name = keep(s->l, slice_str(key)), .at = at };
    s->nodes[c->aliases.count] = n;
    c->alias_list[c->aliases.count] = a;
    (void)map_put(&c->aliases, slice_str(a->name), a);
    return a;
}

/* An address of ours in key form, so that it can be looked up; another's as it is written. */
static void take_target(struct stage *s, struct conf_alias *a, const struct conf_domain *d, const struct node *n)
{
    char key[KEY_SIZE];
    struct address address;
    char *text;

    if (!want_scalar(s->l, "alias", n, "an address"))
        return;
    if (address_parse(n->text, ADDRESS_UTF8 | ADDRESS_BARE, &address) < 0) {
        problem(s->l, n, "alias: %s is no address", shown(s->l, n));
        return;
    }
    if (address.domain[0] == '\0')
        (void)!slice_copy(slice_str(d->name), address.domain, sizeof address.domain);
    if (config_domain(s->l->c, address.domain) != NULL) {
        address_key(&address, key);
        a->targets.items[a->targets.count++] = keep(s->l, slice_str(key));
        return;
    }
    text = address_str(&address);
    a->targets.items[a->targets.count++] = keep(s->l, slice_str(text));
    mem_free(text);
}

static void take_targets(struct stage *s, struct conf_alias *a, const struct conf_domain *d, const struct node *n)
{
    if (node_is_null(n) || node_count(n) == 0 || node_count(n) > ALIAS_TARGETS) {
        problem(s->l, n, "alias: expected 1 to %d addresses, found %s", ALIAS_TARGETS, shown(s->l, n));
        return;
    }
    a->targets.items = arena_zero(&s->l->c->arena, node_count(n) * sizeof *a->targets.items);
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it))
        take_target(s, a, d, it);
}

static void take_alias(struct stage *s, const struct conf_domain *d, const struct node *n)
{
    struct load *l = s->l;
    const char *name = problem_shown(&l->problems, n->key);
    char key[KEY_SIZE];
    struct address address;

    if (address_parse(n->key, ADDRESS_UTF8 | ADDRESS_BARE, &address) < 0 || slice_is(n->key, "*")) {
        problem_add(&l->problems, n->key_at, "alias: %s is no local part%s", name,
                    slice_is(n->key, "*") ? "; for all names use \"catch_all\"" : "");
        return;
    }
    if (address.domain[0] != '\0' && strcmp(address.domain, d->name) != 0) {
        problem_add(&l->problems, n->key_at, "alias: %s stands under the domain %s", name, d->name);
        return;
    }
    (void)!slice_copy(slice_str(d->name), address.domain, sizeof address.domain);
    address_key(&address, key);
    if (config_user(l->c, key) != NULL) {
        problem_add(&l->problems, n->key_at, "alias: %s is a user as well; one of them must go", key);
        return;
    }
    if (config_alias(l->c, key) != NULL) {
        problem_add(&l->problems, n->key_at, "alias: %s is given twice in different spellings", key);
        return;
    }
    take_targets(s, add_alias(s, key, n->key_at, n), d, n);
}

/* RFC 5321 section 4.5.1: a domain has a postmaster; RFC 2142: and somebody for abuse. */
static void ensure_role(struct stage *s, const struct conf_domain *d, const char *role)
{
    struct config *c = s->l->c;
    const struct conf_user *first = NULL;
    const struct conf_alias *alias;
    struct address address = { .local = "" };
    char key[KEY_SIZE];
    struct conf_alias *a;

    (void)!slice_copy(slice_str(role), address.local, sizeof address.local);
    (void)!slice_copy(slice_str(d->name), address.domain, sizeof address.domain);
    if (config_recipient(c, &address, &first, &alias) != RECIPIENT_UNKNOWN)
        return;
    for (size_t i = 0; i < c->users.count; i++) {
        if (!c->user_list[i]->enabled)
            continue;
        if (first == NULL)
            first = c->user_list[i];
        if (strcmp(c->user_list[i]->mailbox_domain, d->name) == 0) {
            first = c->user_list[i];
            break;
        }
    }
    if (first == NULL) {
        if (c->users_file == NULL)
            problem_add(&s->l->problems, d->at,
                        "nobody would get mail for %s@%s, which RFC 5321 wants answered: add a user, an alias or a "
                        "catch_all",
                        role, d->name);
        return;
    }
    address_key(&address, key);
    a = add_alias(s, key, d->at, NULL);
    a->targets = (struct conf_strings){ arena_zero(&c->arena, sizeof *a->targets.items), 1 };
    a->targets.items[0] = first->name;
}

static void take_domain(struct stage *s, const struct conf_domain *d, const struct node *n)
{
    const struct node *aliases = node_get(n, "aliases"), *catch_all = node_get(n, "catch_all");
    char key[KEY_SIZE] = "@";

    if (!node_is_null(aliases) && want_map(s->l, "aliases", aliases))
        for (const struct node *it = aliases->first; it != NULL; it = it->next)
            take_alias(s, d, it);
    if (!node_is_null(catch_all)) {
        (void)!slice_copy(slice_str(d->name), key + 1, sizeof key - 1);
        take_targets(s, add_alias(s, key, catch_all->at, catch_all), d, catch_all);
    }
    ensure_role(s, d, "postmaster");
    ensure_role(s, d, "abuse");
}

/* The place of the i-th target; of the list when one of it was malformed. */
static const struct node *target_node(const struct stage *s, const struct conf_alias *a, size_t i)
{
    const struct node *n = s->nodes[index_of(s, a)], *it = node_first(n);

    if (a->targets.count != node_count(n))
        return n;
    while (i-- > 0)
        it = node_after(n, it);
    return it;
}

static void tell_unknown(struct stage *s, const struct conf_alias *a, size_t i)
{
    enum { NAMES_MOST = 200 };
    const char *names[NAMES_MOST + 1] = { NULL };
    const struct config *c = s->l->c;
    const struct node *n = target_node(s, a, i);

    for (size_t u = 0; u < c->users.count && u < NAMES_MOST; u++)
        names[u] = c->user_list[u]->name;
    problem(s->l, n, "alias %s: there is neither a user nor an alias %s%s", a->name, a->targets.items[i],
            hint_nearest(s->l, slice_str(a->targets.items[i]), names));
}

/* The alias that a target is, or NULL for the end of the chain; a name that only a catch-all takes is a slip. */
static const struct conf_alias *follow(struct stage *s, const struct conf_alias *a, size_t i, bool tell)
{
    const struct conf_user *user;
    const struct conf_alias *next = NULL;
    struct address address;
    enum conf_recipient_kind kind;

    if (address_parse(slice_str(a->targets.items[i]), ADDRESS_UTF8, &address) < 0 ||
        config_domain(s->l->c, address.domain) == NULL)
        return NULL;
    kind = config_recipient(s->l->c, &address, &user, &next);
    if (kind == RECIPIENT_UNKNOWN || (kind == RECIPIENT_ALIAS && next->name[0] == '@')) {
        if (tell && !s->l->change.adds_user)
            tell_unknown(s, a, i);
        return NULL;
    }
    return kind == RECIPIENT_ALIAS ? next : NULL;
}

/* One round lengthens every chain by a step; after LIMIT_ALIAS_DEPTH rounds whatever still grows has no good end. */
static void measure(struct stage *s)
{
    size_t count = s->l->c->aliases.count;
    bool grown = true;

    for (unsigned round = 0; grown && round <= LIMIT_ALIAS_DEPTH; round++) {
        grown = false;
        for (size_t a = 0; a < count; a++)
            for (size_t i = 0; i < s->aliases[a].targets.count; i++) {
                const struct conf_alias *next = follow(s, &s->aliases[a], i, round == 0);

                if (next != NULL && s->depth[index_of(s, next)] + 1 > s->depth[a]) {
                    s->depth[a] = s->depth[index_of(s, next)] + 1;
                    s->deepest[a] = next;
                    grown = true;
                }
            }
    }
}

static void tell_endless(struct stage *s, const struct conf_alias *a)
{
    const struct conf_alias *it = s->deepest[index_of(s, a)];
    size_t left = LIMIT_ALIAS_DEPTH;

    while (it != NULL && it != a && left-- > 0)
        it = s->deepest[index_of(s, it)];
    if (it != NULL && it == a)
        problem_add(&s->l->problems, a->at, "alias %s: leads back to itself by way of %s", a->name,
                    s->deepest[index_of(s, a)]->name);
    else
        problem_add(&s->l->problems, a->at, "alias %s: leads in a circle, or over more than %d aliases", a->name,
                    LIMIT_ALIAS_DEPTH);
}

void complete_aliases(struct load *l)
{
    struct config *c = l->c;
    struct stage s = { .l = l };
    size_t most = 3 * c->domains.count; /* catch-all, postmaster, abuse */

    for (size_t i = 0; i < c->domains.count; i++) {
        const struct node *aliases = node_get(l->domain_nodes[i], "aliases");

        most += aliases != NULL ? aliases->count : 0;
    }
    s.aliases = arena_zero(&c->arena, (most + 1) * sizeof *s.aliases);
    s.nodes = room_for_pointers(&l->tree, most + 1);
    s.depth = arena_zero(&l->tree, (most + 1) * sizeof *s.depth);
    s.deepest = room_for_pointers(&l->tree, most + 1);
    c->alias_list = room_for_pointers(&c->arena, most + 1);
    for (size_t i = 0; i < c->domains.count; i++)
        take_domain(&s, c->domain_list[i], l->domain_nodes[i]);
    measure(&s);
    for (size_t i = 0; i < c->aliases.count; i++)
        if (s.depth[i] >= LIMIT_ALIAS_DEPTH)
            tell_endless(&s, &s.aliases[i]);
}
