/* The kinds of values that hold others, and the few that only one key has. */
#include "load_priv.h"

static void read_inner(struct load *l, const struct field *f, const struct node *n, void *to)
{
    read_section(l, f->section, n, to);
}

static void print_inner(struct printer *p, const struct field *f, const void *from)
{
    put_section(p, f->section, from);
}
const struct value_type type_section = { "section", read_inner, print_inner };

static void take_hash(struct load *l, const struct field *f, const struct node *n, struct slice hash,
                      struct conf_strings *hashes)
{
    if (!hash_is_known(hash))
        problem(l, n,
                "%s: this is no password hash that is known here, and passwords themselves do not belong into "
                "the file; \"facteur user passwd\" makes a hash",
                f->key);
    else
        hashes->items[hashes->count++] = keep(l, hash);
}

static size_t count_lines(struct slice text)
{
    size_t lines = 1;

    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    return lines;
}

/* One hash, several, or {file: …} / {env: …} with one in each line. */
static void read_hashes(struct load *l, const struct field *f, const struct node *n, void *to)
{
    struct conf_strings *hashes = to;

    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        const char *secret = it->kind == NODE_MAP ? secret_read(l, f->key, it) : it->text.p;
        struct slice rest = slice_str(secret), line;
        struct conf_strings now = { arena_zero(&l->c->arena, (hashes->count + count_lines(rest)) * sizeof *now.items),
                                    hashes->count };

        if (secret == NULL || !(it->kind == NODE_MAP || want_scalar(l, f->key, it, "a password hash")))
            continue;
        for (size_t i = 0; i < now.count; i++)
            now.items[i] = hashes->items[i];
        do {
            (void)slice_cut(&rest, '\n', &line);
            take_hash(l, f, it, slice_trim(line), &now);
        } while (rest.n > 0);
        *hashes = now;
    }
}

static void print_hashes(struct printer *p, const struct field *f, const void *from)
{
    const struct conf_strings *hashes = from;

    (void)f;
    put(p, "[");
    for (size_t i = 0; i < hashes->count; i++)
        put(p, "%s\"********\"", i > 0 ? ", " : "");
    put(p, "]");
}
const struct value_type type_hashes = { "password hashes", read_hashes, print_hashes };

/* "127.0.0.1", "127.0.0.1:53", "::1", "[::1]:53"; kept as the resolver library wants them. */
static bool is_server(struct slice text)
{
    struct slice host = text, rest = { NULL, 0 };
    uint64_t port = 53;
    struct ip ip;

    if (text.n > 0 && text.p[0] == '[') {
        rest = slice_skip(text, 1);
        if (!slice_cut(&rest, ']', &host) || (rest.n > 0 && rest.p[0] != ':'))
            return false;
        rest = slice_skip(rest, 1);
    } else if (ip_parse(text, &ip) < 0) {
        rest = text;
        (void)slice_cut(&rest, ':', &host);
    }
    return ip_parse(host, &ip) == 0 && (rest.n == 0 || (slice_u64(rest, UINT16_MAX, &port) == 0 && port > 0));
}

static void read_servers(struct load *l, const struct field *f, const struct node *n, void *to)
{
    enum { SERVERS_MOST = 8 };
    struct buf all;

    buf_init(&all, (size_t)SERVERS_MOST * 64);
    if (node_count(n) > SERVERS_MOST)
        problem(l, n, "%s: more than %d servers", f->key, SERVERS_MOST);
    for (const struct node *it = node_first(n); it != NULL; it = node_after(n, it)) {
        if (!want_scalar(l, f->key, it, "an address"))
            continue;
        if (!is_server(it->text))
            problem(l, it, "%s: %s is no address, expected one such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::1]:53",
                    f->key, shown(l, it));
        else
            (void)!buf_addf(&all, "%s%s", all.n > 0 ? "," : "", it->text.p);
    }
    if (all.n > 0)
        *(const char **)to = keep(l, buf_slice(&all));
    buf_clear(&all);
}

static void print_servers(struct printer *p, const struct field *f, const void *from)
{
    const char *servers = *(const char *const *)from;
    struct slice rest = slice_str(servers), server;

    (void)f;
    if (servers == NULL) {
        put(p, "null");
        return;
    }
    put(p, "[");
    do {
        (void)slice_cut(&rest, ',', &server);
        put(p, "\"%.*s\"%s", SLICE_ARG(server), rest.n > 0 ? ", " : "");
    } while (rest.n > 0);
    put(p, "]");
}
const struct value_type type_servers = { "list of addresses", read_servers, print_servers };

static void read_log_target(struct load *l, const struct field *f, const struct node *n, void *to)
{
    struct config *c = to;

    if (!want_scalar(l, f->key, n, "stderr, syslog or a path"))
        return;
    if (slice_is(n->text, "stderr")) {
        c->log.target = LOG_TARGET_STDERR;
    } else if (slice_is(n->text, "syslog")) {
        c->log.target = LOG_TARGET_SYSLOG;
    } else if (n->text.n > 1 && n->text.p[0] == '/') {
        c->log.target = LOG_TARGET_FILE;
        c->log.path = keep(l, n->text);
    } else {
        static const char *const words[] = { "stderr", "syslog", NULL };

        problem(l, n, "%s: expected stderr, syslog or a path that begins with /, found %s%s", f->key, shown(l, n),
                hint_nearest(l, n->text, words));
    }
}

static void print_log_target(struct printer *p, const struct field *f, const void *from)
{
    const struct config *c = from;

    (void)f;
    if (c->log.target == LOG_TARGET_FILE)
        put_text(p, c->log.path);
    else
        put(p, "%s", c->log.target == LOG_TARGET_SYSLOG ? "syslog" : "stderr");
}
const struct value_type type_log_target = { "stderr, syslog or path", read_log_target, print_log_target };

/* A next hop's name or address; "[192.0.2.1]" is taken as well. */
static void read_hop_host(struct load *l, const struct field *f, const struct node *n, void *to)
{
    char name[LIMIT_DOMAIN + 1];
    struct slice text = n->text;
    struct ip ip;

    if (!want_scalar(l, f->key, n, "a host"))
        return;
    if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = slice_make(text.p + 1, text.n - 2);
    if (ip_parse(text, &ip) == 0)
        *(const char **)to = keep(l, text);
    else if (domain_parse(text, name) == 0)
        *(const char **)to = keep(l, slice_str(name));
    else
        problem(l, n, "%s: %s is neither a host name nor an address", f->key, shown(l, n));
}

static void print_hop_host(struct printer *p, const struct field *f, const void *from)
{
    (void)f;
    put_text(p, *(const char *const *)from);
}
const struct value_type type_hop_host = { "name or address", read_hop_host, print_hop_host };
