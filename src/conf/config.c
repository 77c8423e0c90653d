#include "facteur/conf/config.h"

#include "facteur/base/mem.h"
#include "load_priv.h"

#include <errno.h>
#include <stdlib.h>

void conf_problems_clear(struct conf_problems *p)
{
    buf_clear(&p->text);
    *p = (struct conf_problems){ 0 };
}

/* SCRAM is offered when it works for everybody: a client that sees it uses it and would fail where the hash is missing.
 */
static void complete_auth(struct load *l)
{
    struct config *c = l->c;

    for (size_t i = 0; i < c->users.count && c->auth.scram; i++) {
        const struct conf_strings *hashes = &c->user_list[i]->passwords;
        bool has_scram = hashes->count == 0;

        for (size_t h = 0; h < hashes->count; h++)
            has_scram |= hash_is_scram(slice_str(hashes->items[h]));
        c->auth.scram = has_scram;
    }
    c->typical_user = typical_user(c);
}

static void complete_limits(struct load *l)
{
    struct config *c = l->c;
    const struct node *queue = node_get(l->root, "queue");
    const struct node *budget = node_get(queue, "inline_budget"), *limit = node_get(queue, "inline_limit");

    if (c->queue.inline_budget == 0)
        c->queue.inline_budget = c->limits.memory / 2;
    else if (c->queue.inline_budget > c->limits.memory)
        problem(l, budget, "inline_budget: more than \"limits.memory\" has");
    if (c->queue.inline_limit <= c->queue.inline_budget)
        return;
    if (limit != NULL)
        problem(l, limit, "inline_limit: more than \"inline_budget\" has");
    else
        c->queue.inline_limit = c->queue.inline_budget;
}

/* The stages in their order: each uses what the earlier ones have filled in, and all run whatever is wrong. */
static void read_all(struct load *l)
{
    struct config *c = l->c;

    read_section(l, &section_top, l->root, c);
    complete_domains(l);
    complete_aliases(l);
    complete_auth(l);
    complete_tls(l);
    complete_listeners(l);
    complete_relay(l);
    complete_limits(l);
}

static struct slice directory_of(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;

    return slash != NULL ? slice_make(path, (size_t)(slash - path) + 1) : slice_make(NULL, 0);
}

static int parse(const char *name, struct slice text, struct config_change change, struct config **ret,
                 struct conf_problems *problems)
{
    struct load l = { .alone = name == NULL, .change = change };
    struct node *root;
    int code;

    *problems = (struct conf_problems){ 0 };
    l.c = mem_zero(sizeof *l.c);
    l.c->refs = 1;
    l.c->file = arena_str(&l.c->arena, slice_str(name != NULL ? name : "config"));
    l.dir = directory_of(name);
    code = yaml_read(&l.tree, l.c->file, text, &l.problems, &root);
    l.root = root;
    if (code == 0 && root->kind != NODE_MAP) {
        problem(&l, root, "expected lines of \"name: value\", such as \"hostname: mail.example.org\", found %s",
                shown(&l, root));
        code = -EINVAL;
    }
    if (code == 0)
        read_all(&l);
    problems_tell(&l.problems, l.c->file, problems);
    if (l.problems.count > 0)
        code = -EINVAL;
    problems_clear(&l.problems);
    arena_wipe(&l.tree);
    if (code < 0)
        config_unref(&l.c);
    else
        *ret = l.c;
    return code;
}

int config_parse(const char *name, struct slice text, struct config **ret, struct conf_problems *problems)
{
    return parse(name, text, (struct config_change){ 0 }, ret, problems);
}

int config_load_for(const char *path, struct config_change change, struct config **ret, struct conf_problems *problems)
{
    char *real = realpath(path, NULL); /* other files stay found whatever directory the server works in */
    struct problems one = { 0 };
    struct buf text;
    struct err e;
    int code;

    code = file_read(real != NULL ? real : path, YAML_MOST, false, &text, &e);
    if (code == 0) {
        code = parse(real, buf_slice(&text), change, ret, problems);
    } else {
        problem_add(&one, (struct conf_place){ path, 0, 0 }, "%s", e.text);
        *problems = (struct conf_problems){ 0 };
        problems_tell(&one, path, problems);
        problems_clear(&one);
        code = -EINVAL;
    }
    buf_wipe(&text);
    free(real);
    return code;
}

int config_load(const char *path, struct config **ret, struct conf_problems *problems)
{
    return config_load_for(path, (struct config_change){ 0 }, ret, problems);
}

struct config *config_ref(struct config *c)
{
    c->refs++;
    return c;
}

void config_unref(struct config **c)
{
    struct config *gone = *c;

    *c = NULL;
    if (gone == NULL || --gone->refs > 0)
        return;
    map_clear(&gone->domains);
    map_clear(&gone->users);
    map_clear(&gone->aliases);
    arena_wipe(&gone->arena); /* passwords of next hops, hashes of users */
    mem_free(gone);
}

const struct conf_domain *config_domain(const struct config *c, const char *domain)
{
    return map_get(&c->domains, slice_str(domain));
}

const struct conf_user *config_user(const struct config *c, const char *key)
{
    return map_get(&c->users, slice_str(key));
}

const struct conf_alias *config_alias(const struct config *c, const char *key)
{
    return map_get(&c->aliases, slice_str(key));
}

static enum conf_recipient_kind exact(const struct config *c, const struct address *address,
                                      const struct conf_user **ret_user, const struct conf_alias **ret_alias)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    const struct conf_user *user;
    const struct conf_alias *alias;

    address_key(address, key);
    user = config_user(c, key);
    alias = user == NULL ? config_alias(c, key) : NULL;
    if (user != NULL)
        *ret_user = user;
    if (alias != NULL)
        *ret_alias = alias;
    return user != NULL ? RECIPIENT_USER : alias != NULL ? RECIPIENT_ALIAS : RECIPIENT_UNKNOWN;
}

enum conf_recipient_kind config_recipient(const struct config *c, const struct address *address,
                                          const struct conf_user **ret_user, const struct conf_alias **ret_alias)
{
    const struct conf_domain *d = config_domain(c, address->domain);
    struct address base = *address;
    enum conf_recipient_kind kind;

    if (d == NULL)
        return RECIPIENT_UNKNOWN;
    kind = exact(c, address, ret_user, ret_alias);
    if (kind == RECIPIENT_UNKNOWN && address_cut_tag(&base, d->subaddress))
        kind = exact(c, &base, ret_user, ret_alias);
    base.local[0] = '\0'; /* "@domain" */
    return kind != RECIPIENT_UNKNOWN ? kind : exact(c, &base, ret_user, ret_alias);
}

const struct conf_user *config_login(const struct config *c, struct slice login)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address address;

    if (address_parse(login, ADDRESS_UTF8 | ADDRESS_BARE, &address) < 0)
        return NULL;
    if (address.domain[0] == '\0') {
        if (c->default_domain == NULL)
            return NULL;
        (void)!slice_copy(slice_str(c->default_domain), address.domain, sizeof address.domain);
    }
    address_key(&address, key);
    return config_user(c, key);
}
