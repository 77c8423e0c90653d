/* One connection to a next hop: connect, TLS, the session, its deadlines, its end. A connection tries one host; when it
 * fails before there is a session, another one begins with the next host. */
#include "remote_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* ---- the end ---- */

static void free_memory(struct remote_connection *c)
{
    smtp_client_free(&c->client);
    mem_free(c->rcpts);
    mem_free(c->hosts);
    mem_free(c);
}

static void on_closed(void *owner)
{
    struct remote_connection *c = owner;

    list_unlink(&c->in_list);
    free_memory(c);
}

void connection_end(struct remote_connection *c, bool politely)
{
    struct remote_destination *d = c->d;

    if (c->state == CONNECTION_ENDED)
        return;
    if (c->state == CONNECTION_OPENING)
        d->opening--;
    c->state = CONNECTION_ENDED;
    timer_close(&c->timer);
    job_scope_abandon(&c->scope);
    remote_body_stop(&c->body);
    remote_convert_stop(c);
    list_unlink(&c->in_idle);
    list_unlink(&c->in_list);
    list_push(&c->r->ended, &c->in_list);
    d->connection_count--;
    c->r->connections--;
    c->d = NULL;
    config_unref(&c->config);
    if (c->tls != NULL)
        tls_client_unref(&c->tls);
    if (politely)
        stream_finish(c->stream);
    else
        stream_close(c->stream);
}

void connection_make_room(struct remote *r, struct remote_destination *d)
{
    destination_run(d);
    remote_feed_starved(r);
    if (r->stopping)
        remote_report_later(r);
}

void connection_destroy(struct remote_connection *c)
{
    connection_end(c, false);
    list_unlink(&c->in_list);
    c->r = NULL;
}

/* ---- before there is a session ---- */

void connection_log_failure(const struct remote_connection *c, const struct smtp_client_reply *why)
{
    LOG(INFO, "next-hop-failed", kv_str("session", c->id), kv_str("destination", c->d->key), kv_str("host", c->host),
        kv_str("tls", c->tls_text), kv_num("code", why->code), kv_str("enhanced", why->enhanced),
        kv_str("reason", why->text));
}

void connection_host_failed(struct remote_connection *c, const struct smtp_client_reply *why, bool all)
{
    struct remote_destination *d = c->d;
    struct remote *r = c->r;
    size_t next = c->host_index + 1;

    connection_log_failure(c, why);
    connection_end(c, false);
    if (c->cut || r->stopping) {
        connection_make_room(r, d);
    } else if (!all && next < c->host_count) {
        connection_open(d, c->hosts, c->host_count, next, false);
        c->hosts = NULL;
    } else {
        destination_unreachable(d, why, c->host);
        connection_make_room(r, d);
    }
}

void connection_host_failed_text(struct remote_connection *c, const char *enhanced, const char *text)
{
    struct smtp_client_reply why = { .code = 451, .ours = true };

    (void)snprintf(why.enhanced, sizeof why.enhanced, "%s", enhanced);
    (void)snprintf(why.text, sizeof why.text, "%s", text);
    connection_host_failed(c, &why, false);
}

/* Opportunistic TLS (RFC 7435): better than nothing, and nothing is better than no mail. Not where a password is at
 * stake. */
static bool may_go_plain(const struct remote_connection *c)
{
    return c->hop.tls == RELAY_TLS_OPPORTUNISTIC && c->hop.user == NULL && c->phase == CLIENT_PHASE_TLS &&
           c->client != NULL;
}

void connection_tls_failed(struct remote_connection *c, const char *why)
{
    struct remote_destination *d = c->d;
    char text[300];

    (void)snprintf(text, sizeof text, "TLS handshake: %s", why != NULL ? why : "failed");
    if (!may_go_plain(c)) {
        connection_host_failed_text(c, "4.7.5", text);
        return;
    }
    LOG(INFO, "next-hop-without-tls", kv_str("session", c->id), kv_str("host", c->host), kv_str("reason", text));
    connection_end(c, false);
    connection_open(d, c->hosts, c->host_count, c->host_index, true);
    c->hosts = NULL;
}

/* ---- what the stream tells us ---- */

static void on_connect(void *owner, int status)
{
    struct remote_connection *c = owner;

    if (c->state == CONNECTION_ENDED)
        return;
    if (status < 0) {
        connection_host_failed_text(c, "4.4.1", err_text(status));
        return;
    }
    c->connected = true;
    if (c->hop.tls != RELAY_TLS_IMPLICIT) {
        session_start(c);
        return;
    }
    if (c->tls == NULL) {
        connection_host_failed_text(c, "4.7.4", "TLS is required, and there is no trust store to use it with");
        return;
    }
    session_phase(c, CLIENT_PHASE_TLS);
    session_start_tls(c);
}

static void on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct remote_connection *c = owner;

    if (c->state == CONNECTION_ENDED)
        return;
    if (status < 0) {
        connection_tls_failed(c, why);
        return;
    }
    (void)snprintf(c->tls_text, sizeof c->tls_text, "%s %s%s", info->version, info->cipher,
                   info->verified ? " verified" : "");
    if (c->client == NULL)
        session_start(c);
    else
        smtp_client_tls_started(c->client);
}

static void on_bytes(void *owner, struct slice octets)
{
    struct remote_connection *c = owner;

    if (c->state != CONNECTION_ENDED && c->client != NULL)
        smtp_client_feed(c->client, octets);
}

static void on_end(void *owner, int status)
{
    struct remote_connection *c = owner;
    const char *why = status < 0 ? err_text(status) : "The server closed the connection";

    if (c->state == CONNECTION_ENDED)
        return;
    if (c->phase == CLIENT_PHASE_TLS && c->connected)
        connection_tls_failed(c, why);
    else if (c->client != NULL)
        smtp_client_failed(c->client, why);
    else
        connection_host_failed_text(c, "4.4.2", why);
}

static void on_drain(void *owner)
{
    struct remote_connection *c = owner;

    if (c->state != CONNECTION_ENDED && c->client != NULL)
        smtp_client_drained(c->client);
}

static const struct stream_events events = { on_connect, on_bytes, on_end, on_drain, on_tls, on_closed };

/* ---- the beginning ---- */

static void name_host(struct remote_connection *c, const struct next_hop_host *host)
{
    struct ip ip = { .family = host->at.family };
    char text[IP_TEXT];

    memcpy(ip.octets, host->at.octets, sizeof ip.octets);
    ip_format(&ip, text);
    (void)snprintf(c->host, sizeof c->host, "%.*s [%s]", (int)(sizeof c->host - sizeof text - 4), host->name, text);
}

void connection_open(struct remote_destination *d, struct next_hop_host *hosts, size_t count, size_t index, bool plain)
{
    struct remote *r = d->r;
    struct remote_connection *c = mem_zero(sizeof *c);

    c->r = r;
    c->d = d;
    c->hosts = hosts;
    c->host_count = count;
    c->host_index = index;
    c->config = config_ref(d->config);
    c->hop = d->hop;
    c->tls = r->tls != NULL ? tls_client_ref(r->tls) : NULL;
    /* Without a trust store "use it when offered" is never. A password stays with IF_OFFERED: it must not go plain. */
    c->plain = plain || (r->tls == NULL && c->hop.tls == RELAY_TLS_OPPORTUNISTIC && c->hop.user == NULL);
    (void)snprintf(c->id, sizeof c->id, "r%x", ++r->sessions);
    name_host(c, &hosts[index]);
    job_scope_init(&c->scope);
    list_push(&d->connections, &c->in_list);
    d->connection_count++;
    d->opening++;
    r->connections++;
    c->timer = timer_new(r->env.loop, session_on_timer, c);
    c->stream = stream_connect(r->env.loop, &hosts[index].at, NULL, &events, c);
    session_deadline(c, c->config->limits.timeout.relay_connect);
}

/* ---- from outside ---- */

void connection_wake(struct remote_connection *c)
{
    if (c->state != CONNECTION_IDLE)
        return;
    list_unlink(&c->in_idle);
    c->state = CONNECTION_BUSY;
    message_next(c);
}

void connection_quit(struct remote_connection *c)
{
    list_unlink(&c->in_idle);
    c->state = CONNECTION_QUITTING;
    smtp_client_quit(c->client);
}

void connection_cut(struct remote_connection *c, const char *why)
{
    c->cut = true;
    if (c->client != NULL)
        smtp_client_failed(c->client, why);
    else
        connection_host_failed_text(c, "4.3.2", why);
}
