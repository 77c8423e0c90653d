/* Domains and users, from the policy file and from the users file. */
#include "load_priv.h"

#include <errno.h>

static bool is_known_name(struct load *l, struct map *names, const char *key, const struct node *n, const char *what)
{
    const void *earlier = map_get(names, slice_str(key));

    if (earlier == NULL)
        return false;
    problem_add(&l->problems, n->key_at, "%s %s is given twice in different spellings or files", what, key);
    return true;
}

static void take_domain(struct load *l, const struct node *n)
{
    struct config *c = l->c;
    char name[LIMIT_DOMAIN + 1];
    struct conf_domain *d;

    if (domain_parse(n->key, name) < 0) {
        problem_add(&l->problems, n->key_at, "domains: %s is no valid domain%s", problem_shown(&l->problems, n->key),
                    strchr(n->key.p, '*') != NULL ? "; name each domain" : "");
        return;
    }
    if (domain_is_too_wide(name)) {
        problem_add(&l->problems, n->key_at, "domains: \"%s\" is a top-level domain, which is nobody's own", name);
        return;
    }
    if (is_known_name(l, &c->domains, name, n, "domains:"))
        return;
    d = arena_zero(&c->arena, sizeof *d);
    d->name = keep(l, slice_str(name));
    d->subaddress = "";
    d->at = n->key_at;
    read_section(l, &section_domain, n, d);
    l->domain_nodes[c->domains.count] = n;
    c->domain_list[c->domains.count] = d;
    (void)map_put(&c->domains, slice_str(d->name), d);
}

static void complete_default_domain(struct load *l)
{
    struct config *c = l->c;
    const struct node *n = node_get(l->root, "default_domain");

    if (c->default_domain == NULL && c->domains.count > 0 && node_is_null(n))
        c->default_domain = c->domain_list[0]->name;
    else if (c->default_domain != NULL && config_domain(c, c->default_domain) == NULL)
        problem(l, n, "default_domain: \"%s\" is not one of \"domains\"", c->default_domain);
}

/* The names of users become directories, logins and addresses: ASCII, and nothing that needs quotes. */
static bool is_plain_local(const char *local)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.";

    return local[strspn(local, allowed)] == '\0';
}

static void tell_undeclared(struct load *l, const struct node *n, const char *domain)
{
    enum { NAMES_MOST = 32 };
    const char *names[NAMES_MOST + 1] = { NULL };

    for (size_t i = 0; i < l->c->domains.count && i < NAMES_MOST; i++)
        names[i] = l->c->domain_list[i]->name;
    problem_add(&l->problems, n->key_at, "users: the domain of %s is not one of \"domains\"%s",
                problem_shown(&l->problems, n->key), hint_nearest(l, slice_str(domain), names));
}

static void take_user(struct load *l, const struct node *n)
{
    struct config *c = l->c;
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address address;
    struct conf_user *u;
    const char *at;

    if (address_parse(n->key, ADDRESS_UTF8, &address) < 0) {
        problem_add(&l->problems, n->key_at, "users: %s is no address, expected one such as anna@example.org",
                    problem_shown(&l->problems, n->key));
        return;
    }
    address_key(&address, key);
    at = strrchr(key, '@');
    if (config_domain(c, address.domain) == NULL) {
        tell_undeclared(l, n, address.domain);
        return;
    }
    if (is_known_name(l, &c->users, key, n, "users:"))
        return;
    if (l->change.removes_user != NULL && n->key_at.file == c->users_file && strcmp(key, l->change.removes_user) == 0)
        return;
    u = arena_zero(&c->arena, sizeof *u);
    u->name = keep(l, slice_str(key));
    u->mailbox_local = keep(l, slice_make(key, (size_t)(at - key)));
    u->mailbox_domain = config_domain(c, address.domain)->name;
    u->at = n->key_at;
    if (!is_plain_local(u->mailbox_local))
        problem_add(&l->problems, n->key_at,
                    "users: %s has characters in its local part that a login cannot have; an alias can",
                    problem_shown(&l->problems, n->key));
    read_section(l, &section_user, n, u);
    c->user_list[c->users.count] = u;
    (void)map_put(&c->users, slice_str(u->name), u);
}

/* The users file's mapping; NULL when it has none or could not be read. */
static const struct node *read_users_file(struct load *l)
{
    const struct node *at = node_get(l->root, "users_file");
    struct node *root = NULL;
    struct buf text;
    struct err e;
    int code;

    if (l->c->users_file == NULL)
        return NULL;
    if (l->alone) {
        problem(l, at, "users_file: no file is read here");
        return NULL;
    }
    file_note(l, l->c->users_file, at);
    code = file_read(l->c->users_file, YAML_MOST, false, &text, &e);
    if (code == -ENOENT) /* no user has been added yet */
        return NULL;
    if (code < 0) {
        problem(l, at, "users_file: %s: %s", l->c->users_file, e.text);
        return NULL;
    }
    code = yaml_read(&l->tree, l->c->users_file, buf_slice(&text), &l->problems, &root);
    buf_wipe(&text);
    if (code < 0 || node_is_null(root) || !want_map(l, "users", root))
        return NULL;
    return root;
}

void complete_domains(struct load *l)
{
    struct config *c = l->c;
    const struct node *domains = node_get(l->root, "domains"), *users = node_get(l->root, "users");
    const struct node *more = read_users_file(l);
    size_t domain_count = 0, user_count;

    if (!node_is_null(domains) && want_map(l, "domains", domains))
        domain_count = domains->count;
    if (node_is_null(users) || !want_map(l, "users", users))
        users = NULL;
    user_count = (users != NULL ? users->count : 0) + (more != NULL ? more->count : 0);
    c->domain_list = room_for_pointers(&c->arena, domain_count + 1);
    c->user_list = room_for_pointers(&c->arena, user_count + 1);
    l->domain_nodes = room_for_pointers(&l->tree, domain_count + 1);
    for (const struct node *n = domain_count > 0 ? domains->first : NULL; n != NULL; n = n->next)
        take_domain(l, n);
    complete_default_domain(l);
    for (const struct node *n = users != NULL ? users->first : NULL; n != NULL; n = n->next)
        take_user(l, n);
    for (const struct node *n = more != NULL ? more->first : NULL; n != NULL; n = n->next)
        take_user(l, n);
}
