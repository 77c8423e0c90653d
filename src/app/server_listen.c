#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "server_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct server_listener {
    struct link link;
    struct server *server;
    struct listener *listener;
    bool inherited;
    struct config *config; /* a reference: conf is of it */
    const struct conf_listener *conf;
};

static const char *const service_names[SERVICE_COUNT] = {
    [SERVICE_SMTP] = "smtp", [SERVICE_SUBMISSION] = "submission", [SERVICE_IMAP] = "imap", [SERVICE_POP3] = "pop3"
};
static const char *const tls_names[] = {
    [TLS_NONE] = "none", [TLS_STARTTLS] = "starttls", [TLS_IMPLICIT] = "implicit"
};

static void on_accept(void *owner, struct stream *stream)
{
    struct server_listener *l = owner;

    struct peers *peers = l->conf->service == SERVICE_IMAP   ? l->server->imap
                          : l->conf->service == SERVICE_POP3 ? l->server->pop3
                                                             : l->server->smtp;

    peers_accept(peers, l->config, l->conf, stream);
}

static void listener_end(struct server_listener *l)
{
    listener_close(&l->listener);
    list_unlink(&l->link);
    config_unref(&l->config);
    mem_free(l);
}

static bool same_place(const struct conf_listener *a, const struct conf_listener *b)
{
    return strcmp(a->address, b->address) == 0 && a->port == b->port;
}

/* Address and port say which it is. A port that the kernel picks does not: such a listener is made anew. */
static bool has_a_place(const struct conf_listener *conf)
{
    return conf->port != 0 || strncmp(conf->address, "unix:", 5) == 0;
}

static struct server_listener *find(const struct server *s, const struct conf_listener *conf)
{
    LIST_EACH (it, &s->listeners) {
        struct server_listener *l = LIST_ENTRY(it, struct server_listener, link);

        if (same_place(l->conf, conf))
            return l;
    }
    return NULL;
}

static int endpoint_of(const struct conf_listener *conf, struct endpoint *ret, struct err *e)
{
    char text[ENDPOINT_TEXT];
    bool is_unix = strncmp(conf->address, "unix:", 5) == 0, six = !is_unix && strchr(conf->address, ':') != NULL;

    if (is_unix)
        (void)snprintf(text, sizeof text, "%s", conf->address);
    else
        (void)snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", conf->address, conf->port);
    if (endpoint_parse(slice_str(text), ret) < 0)
        return err_set(e, -EINVAL, "%s:%u: cannot listen on \"%s\"", conf->at.file, conf->at.line, text);
    return 0;
}

static void log_listening(const char *event, const struct server_listener *l)
{
    const struct endpoint *at = listener_endpoint(l->listener);

    LOG(INFO, event, kv_str("service", service_names[l->conf->service]), kv_str("tls", tls_names[l->conf->tls]),
        kv_str("address", l->conf->address), kv_num("port", at->port),
        kv_str("socket", l->inherited ? "inherited" : ""));
}

static bool serves(const struct server *s, const struct endpoint *at)
{
    LIST_EACH (it, &s->listeners) {
        if (endpoint_equal(listener_endpoint(LIST_ENTRY(it, struct server_listener, link)->listener), at))
            return true;
    }
    return false;
}

/* Clients that connect there would wait for an answer for ever. */
static void warn_of_unused(const struct server *s)
{
    for (size_t i = 0; i < s->inherited.count; i++) {
        const struct endpoint *at = &s->inherited.sockets[i].at;
        char text[ENDPOINT_TEXT];

        if (serves(s, at))
            continue;
        endpoint_format(at, text);
        LOG(WARNING, "inherited-socket-unused", kv_num("descriptor", s->inherited.sockets[i].fd),
            kv_str("address", text),
            kv_str("advice", at->family == 0 ? "it is no listening stream socket: take it out of the .socket unit"
                                             : "no listener of the policy has this address and port: make the .socket "
                                               "unit and listen the same"));
    }
}

/* Why the kernel refused, and what helps. The policy without `listen` has no line for it. */
static int explain(const struct server *s, const struct conf_listener *conf, int code, struct err *e)
{
    static const char at_start[] =
        "only root may bind ports below 1024: start facteur as root (it becomes run_as) or by "
        "its unit for systemd, or listen on ports from 1024 up";
    static const char at_reload[] = "ports below 1024 can be bound only at the start: restart facteur";
    bool is_unix = strncmp(conf->address, "unix:", 5) == 0, low = !is_unix && conf->port > 0 && conf->port < 1024;
    const char *why = code == -EADDRINUSE      ? "in use by another program, or by a facteur that runs already"
                      : code == -EACCES && low ? (s->smtp != NULL ? at_reload : at_start)
                                               : err_text(code);
    char port[24] = "";

    if (!is_unix)
        (void)snprintf(port, sizeof port, " port %u", conf->port);
    (void)err_set(e, code, "listen on %s%s: %s", conf->address, port, why);
    return conf->at.line > 0 ? err_wrap(e, "%s:%u", conf->at.file, conf->at.line) : code;
}

/* 0 with *ret NULL: an address family that this system lacks, and nobody insists on it. */
static int open_one(struct server *s, struct config *config, const struct conf_listener *conf,
                    struct server_listener **ret, struct err *e)
{
    struct listener_options options = { .reuse = true, .fd = -1, .mode = 0660 };
    struct server_listener *l;
    struct endpoint at;
    int code;

    *ret = NULL;
    TRY(endpoint_of(conf, &at, e));
    l = mem_zero(sizeof *l);
    l->server = s;
    l->conf = conf;
    options.fd = inherited_socket(&s->inherited, &at);
    l->inherited = options.fd >= 0;
    code = listener_new(s->loop, &at, &options, on_accept, l, &l->listener, e);
    if (code < 0) {
        if (l->inherited)
            (void)close(options.fd);
        mem_free(l);
        if (conf->optional && (code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL))
            return 0;
        return explain(s, conf, code, e);
    }
    l->config = config_ref(config);
    *ret = l;
    return 0;
}

static int open_new(struct server *s, struct config *config, struct link *fresh, struct err *e)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct conf_listener *conf = &config->listeners[i];
        struct server_listener *l;

        if (has_a_place(conf) && find(s, conf) != NULL)
            continue;
        TRY(open_one(s, config, conf, &l, e));
        if (l != NULL)
            list_push(fresh, &l->link);
    }
    return 0;
}

/* The ones that stay follow the new snapshot. */
static void keep_or_close(struct server *s, struct config *config)
{
    LIST_EACH (it, &s->listeners) {
        struct server_listener *l = LIST_ENTRY(it, struct server_listener, link);
        const struct conf_listener *now = NULL;

        for (size_t i = 0; i < config->listener_count && has_a_place(l->conf); i++) {
            if (same_place(&config->listeners[i], l->conf))
                now = &config->listeners[i];
        }
        if (now == NULL) {
            log_listening("listener-closed", l);
            listener_end(l);
            continue;
        }
        config_unref(&l->config);
        l->config = config_ref(config);
        l->conf = now;
    }
}

int server_listen(struct server *s, struct config *config, struct err *e)
{
    struct link fresh;
    int code;

    list_init(&fresh);
    code = open_new(s, config, &fresh, e);
    if (code < 0) {
        LIST_EACH (it, &fresh) {
            listener_end(LIST_ENTRY(it, struct server_listener, link));
        }
        return code;
    }
    keep_or_close(s, config);
    LIST_EACH (it, &fresh) {
        log_listening("listening", LIST_ENTRY(it, struct server_listener, link));
    }
    list_move(&fresh, &s->listeners);
    warn_of_unused(s);
    return 0;
}

void server_unlisten(struct server *s)
{
    LIST_EACH (it, &s->listeners) {
        listener_end(LIST_ENTRY(it, struct server_listener, link));
    }
}

json_t *server_listeners_json(const struct server *s)
{
    json_t *all = json_array();

    LIST_EACH (it, &s->listeners) {
        const struct server_listener *l = LIST_ENTRY(it, struct server_listener, link);

        (void)json_array_append_new(all, json_pack("{ss,ss,ss,si,sb}", "service", service_names[l->conf->service],
                                                   "tls", tls_names[l->conf->tls], "address", l->conf->address, "port",
                                                   (int)listener_endpoint(l->listener)->port, "inherited",
                                                   (int)l->inherited));
    }
    return all;
}
