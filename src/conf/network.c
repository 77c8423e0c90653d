/* Certificates, listeners and next hops: what their parts mean together. */
#include "load_priv.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* By enum conf_service: the registered ports; implicit 0: there is none. */
static const struct {
    const char *name;
    uint16_t plain, implicit;
} ports[SERVICE_COUNT] = {
    [SERVICE_SMTP] = { "smtp", 25, 0 },
    [SERVICE_SUBMISSION] = { "submission", 587, 465 },
    [SERVICE_IMAP] = { "imap", 143, 993 },
    [SERVICE_POP3] = { "pop3", 110, 995 },
};

/* The file is there and can be read, and a key by nobody else; its contents are the TLS layer's matter. */
static void check_file(struct load *l, const char *key, const char *path, const struct node *n, bool is_key)
{
    struct stat st;

    if (l->alone || path == NULL)
        return;
    file_note(l, path, n);
    if (stat(path, &st) < 0 || access(path, R_OK) < 0)
        problem(l, n, "%s: %s: %s", key, path, err_text(-errno));
    else if (!S_ISREG(st.st_mode))
        problem(l, n, "%s: %s is no regular file", key, path);
    else if (is_key && (st.st_mode & (S_IWGRP | S_IRWXO)) != 0)
        problem(l, n, "%s: %s is open to other users (mode %03o); chmod it to 600 or 640", key, path,
                (unsigned)(st.st_mode & 0777));
}

static void take_pair(struct load *l, const struct node *n)
{
    struct conf_certificate *pair = &l->c->tls.pairs[l->c->tls.pair_count];
    const struct node *certificate = node_get(n, "certificate"), *key = node_get(n, "key");

    read_section(l, &section_certificate, n, pair);
    pair->at = n->at;
    check_file(l, "certificate", pair->certificate, certificate, false);
    check_file(l, "key", pair->key, key, true);
    l->c->tls.pair_count++;
}

/* `certificate` and `key` directly under tls are the first pair. */
static void take_first_pair(struct load *l, const struct node *tls)
{
    struct node alone = { .kind = NODE_MAP, .at = tls->at }, parts[2];
    const struct node *certificate = node_get(tls, "certificate"), *key = node_get(tls, "key");
    const struct node *given = certificate != NULL ? certificate : key;

    if (given == NULL)
        return;
    if (certificate == NULL || key == NULL) {
        problem_add(&l->problems, given->key_at, "tls: \"certificate\" and \"key\" belong together; \"%s\" is missing",
                    certificate == NULL ? "certificate" : "key");
        return;
    }
    parts[0] = *certificate;
    parts[1] = *key;
    parts[0].next = &parts[1];
    parts[1].next = NULL;
    alone.first = parts;
    alone.count = 2;
    alone.at = certificate->at;
    take_pair(l, &alone);
}

void complete_tls(struct load *l)
{
    const struct node *tls = node_get(l->root, "tls"), *more = node_get(tls, "certificates");
    size_t count;

    if (tls == NULL || tls->kind != NODE_MAP)
        return;
    count = 1 + (node_is_null(more) ? 0 : node_count(more));
    l->c->tls.pairs = arena_zero(&l->c->arena, count * sizeof *l->c->tls.pairs);
    take_first_pair(l, tls);
    if (!node_is_null(more))
        for (const struct node *it = node_first(more); it != NULL; it = node_after(more, it))
            take_pair(l, it);
    if (l->c->tls.ca != NULL)
        check_file(l, "ca", l->c->tls.ca, node_get(tls, "ca"), false);
}

static bool is_loopback_address(const char *address)
{
    struct ip ip;

    return slice_istarts(slice_str(address), "unix:") ||
           (ip_parse(slice_str(address), &ip) == 0 && ip_is_loopback(&ip));
}

static void add_listener(struct load *l, const struct conf_listener *like, const char *address, bool optional)
{
    struct conf_listener *listener = &l->c->listeners[l->c->listener_count++];

    *listener = *like;
    listener->address = keep(l, slice_str(address));
    listener->optional = optional;
}

static void check_listener(struct load *l, const struct conf_listener *listener, const struct node *n)
{
    const struct node *tls = node_get(n, "tls"), *fix = node_get(n, "fix_bare_newlines");
    bool has_certificate = l->c->tls.pair_count > 0;

    if (listener->tls != TLS_NONE && !has_certificate)
        problem(l, tls != NULL ? tls : n,
                "listen: tls needs a certificate; give \"certificate\" and \"key\" under \"tls\"");
    else if (listener->service != SERVICE_SMTP && listener->tls == TLS_NONE &&
             !(strcmp(listener->address, "loopback") == 0 || is_loopback_address(listener->address)))
        problem(l, tls != NULL ? tls : n,
                "listen: %s on %s needs TLS, for passwords pass there; give a certificate under \"tls\", or listen on "
                "loopback",
                ports[listener->service].name, listener->address);
    if (listener->fix_bare_newlines && l->c->relay.trusted.count == 0)
        problem(l, fix, "fix_bare_newlines: is for clients in \"relay.trusted\", and there is no such network");
    check_networks(l, "proxy_from", node_get(n, "proxy_from"));
}

static enum conf_service service_of_port(uint16_t port)
{
    for (size_t i = 0; i < SERVICE_COUNT; i++)
        if (port != 0 && (port == ports[i].plain || port == ports[i].implicit))
            return (enum conf_service)i;
    return SERVICE_SMTP;
}

/* What was not given follows from what was. */
static void default_listener(struct load *l, struct conf_listener *listener, const struct node *n)
{
    bool has_port = !node_is_null(node_get(n, "port"));
    bool has_tls = !node_is_null(node_get(n, "tls"));

    if (has_port && node_is_null(node_get(n, "service")))
        listener->service = service_of_port(listener->port);
    if (!has_port)
        listener->port = has_tls && listener->tls == TLS_IMPLICIT && ports[listener->service].implicit != 0
                             ? ports[listener->service].implicit
                             : ports[listener->service].plain;
    if (!has_tls)
        listener->tls = listener->port != 0 && listener->port == ports[listener->service].implicit ? TLS_IMPLICIT
                        : l->c->tls.pair_count > 0                                                 ? TLS_STARTTLS
                                                                                                   : TLS_NONE;
}

static void expand_listener(struct load *l, const struct conf_listener *like, const struct node *n)
{
    struct slice address = slice_str(like->address);
    const struct node *at = node_get(n, "address");
    struct ip ip;

    if (address.n > 2 && address.p[0] == '[' && address.p[address.n - 1] == ']')
        address = slice_make(keep(l, slice_make(address.p + 1, address.n - 2)), address.n - 2);
    if (slice_is(address, "*")) {
        add_listener(l, like, "0.0.0.0", true);
        add_listener(l, like, "::", true);
    } else if (slice_is(address, "loopback")) {
        add_listener(l, like, "127.0.0.1", true);
        add_listener(l, like, "::1", true);
    } else if (slice_istarts(address, "unix:")) {
        struct slice path = slice_skip(address, 5);
        struct conf_listener socket = *like;

        socket.port = 0;
        if (path.n == 0 || l->dir.n + path.n > 100)
            problem(l, at != NULL ? at : n, "address: the path of a Unix socket has 1 to 100 octets");
        else if (path.p[0] != '/')
            problem(l, at != NULL ? at : n, "address: the path of a Unix socket must begin with /");
        else
            add_listener(l, &socket, like->address, false);
    } else if (ip_parse(address, &ip) == 0) {
        add_listener(l, like, slice_eq(address, slice_str(like->address)) ? like->address : address.p, false);
    } else {
        problem(l, at != NULL ? at : n,
                "address: expected an IPv4 or IPv6 address, \"*\", loopback or unix:PATH, found \"%s\"", like->address);
    }
}

static void take_listener(struct load *l, const struct node *n)
{
    struct conf_listener listener = { .at = n->at };

    if (!want_map(l, "listen", n))
        return;
    read_section(l, &section_listener, n, &listener);
    if (listener.address == NULL) /* a problem has been told */
        listener.address = "*";
    default_listener(l, &listener, n);
    check_listener(l, &listener, n);
    expand_listener(l, &listener, n);
}

/* Without `listen`, or with the one word: the usual ports, those for logins where TLS or loopback allows them. */
static void usual_listeners(struct load *l, bool loopback, struct conf_place at)
{
    bool secure = l->c->tls.pair_count > 0;

    for (size_t s = 0; s < SERVICE_COUNT; s++)
        for (int implicit = 0; implicit < 2; implicit++) {
            struct conf_listener like = { .port = implicit ? ports[s].implicit : ports[s].plain,
                                          .service = (enum conf_service)s,
                                          .at = at };

            if (like.port == 0 || (loopback ? implicit : !secure && s != SERVICE_SMTP))
                continue;
            like.tls = !secure ? TLS_NONE : implicit ? TLS_IMPLICIT : TLS_STARTTLS;
            add_listener(l, &like, loopback ? "127.0.0.1" : "0.0.0.0", true);
            add_listener(l, &like, loopback ? "::1" : "::", true);
        }
}

/* Two listeners for one address and port: the second could not be bound. */
static void check_twice(struct load *l)
{
    const struct config *c = l->c;

    for (size_t i = 0; i < c->listener_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct conf_listener *a = &c->listeners[i], *b = &c->listeners[j];
            struct ip x = { .family = 0 }, y = { .family = 0 };
            bool same = strcmp(a->address, b->address) == 0;

            if (ip_parse(slice_str(a->address), &x) == 0 && ip_parse(slice_str(b->address), &y) == 0)
                same = a->port == b->port && a->port != 0 && x.family == y.family &&
                       (ip_equal(&x, &y) || ip_is_any(&x) || ip_is_any(&y));
            if (!same)
                continue;
            problem_add(&l->problems, a->at, "listen: %s port %u is taken by the listener in line %u", a->address,
                        (unsigned)a->port, b->at.line);
            return;
        }
}

void complete_listeners(struct load *l)
{
    enum { LISTENERS_MOST = 256, USUAL_MOST = 4 * SERVICE_COUNT };
    const struct node *listen = node_get(l->root, "listen");
    size_t count = node_is_null(listen) ? 0 : node_count(listen);
    bool loopback = count == 1 && listen->kind == NODE_SCALAR && slice_is(listen->text, "loopback");

    if (count > LISTENERS_MOST) {
        problem(l, listen, "listen: more than %d listeners", LISTENERS_MOST);
        return;
    }
    l->c->listeners = arena_zero(&l->c->arena, (2 * count + USUAL_MOST) * sizeof *l->c->listeners);
    if (node_is_null(listen) || loopback) {
        usual_listeners(l, loopback, loopback ? listen->at : (struct conf_place){ l->c->file, 0, 0 });
        return;
    }
    if (listen->kind == NODE_SCALAR) {
        static const char *const words[] = { "loopback", NULL };

        problem(l, listen, "listen: expected a list of listeners, or the word loopback, found %s%s", shown(l, listen),
                hint_nearest(l, listen->text, words));
        return;
    }
    if (count == 0)
        problem(l, listen, "listen: the list is empty; nobody could connect");
    for (const struct node *it = node_first(listen); it != NULL; it = node_after(listen, it))
        take_listener(l, it);
    check_twice(l);
}
