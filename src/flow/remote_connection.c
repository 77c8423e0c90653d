/* One connection to a next hop: connect, TLS, the session, its deadlines, its end. A connection tries one host; when it
 * fails before there is a session, another one begins with the next host. */
#include "remote_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

enum { QUIT_MS = 5000 };

static void start_session(struct remote_connection *c);

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

/* Ends what the connection is to the relay; memory and stream follow on a later turn. May be called in any callback.
 * `politely`: what was said last (QUIT) still gets out. */
static void end(struct remote_connection *c, bool politely)
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

/* After `end`: whoever waits may go on. */
static void make_room(struct remote *r, struct remote_destination *d)
{
    destination_run(d);
    remote_feed_starved(r);
    if (r->stopping)
        remote_report_later(r);
}

void connection_destroy(struct remote_connection *c)
{
    end(c, false);
    list_unlink(&c->in_list);
    c->r = NULL;
}

/* ---- before there is a session ---- */

static void log_failure(const struct remote_connection *c, const struct smtp_client_reply *why)
{
    LOG(INFO, "next hop failed", kv_str("session", c->id), kv_str("destination", c->d->key), kv_str("host", c->host),
        kv_str("tls", c->tls_text), kv_num("code", why->code), kv_str("enhanced", why->enhanced),
        kv_str("reason", why->text));
}

/* The host is no good: the next one, or the destination is out of reach. `all`: others would be no better. */
static void host_failed(struct remote_connection *c, const struct smtp_client_reply *why, bool all)
{
    struct remote_destination *d = c->d;
    struct remote *r = c->r;
    size_t next = c->host_index + 1;

    log_failure(c, why);
    end(c, false);
    if (c->cut || r->stopping) {
        make_room(r, d);
    } else if (!all && next < c->host_count) {
        connection_open(d, c->hosts, c->host_count, next, false);
        c->hosts = NULL;
    } else {
        destination_unreachable(d, why, c->host);
        make_room(r, d);
    }
}

static void host_failed_text(struct remote_connection *c, const char *enhanced, const char *text)
{
    struct smtp_client_reply why = { .code = 451 };

    (void)snprintf(why.enhanced, sizeof why.enhanced, "%s", enhanced);
    (void)snprintf(why.text, sizeof why.text, "%s", text);
    host_failed(c, &why, false);
}

/* Opportunistic TLS (RFC 7435): better than nothing, and nothing is better than no mail. Not where a password is at
 * stake. */
static bool may_go_plain(const struct remote_connection *c)
{
    return c->hop.tls == RELAY_TLS_OPPORTUNISTIC && c->hop.user == NULL && c->phase == CLIENT_PHASE_TLS &&
           c->client != NULL;
}

static void tls_failed(struct remote_connection *c, const char *why)
{
    struct remote_destination *d = c->d;
    char text[300];

    (void)snprintf(text, sizeof text, "TLS handshake: %s", why != NULL ? why : "failed");
    if (!may_go_plain(c)) {
        host_failed_text(c, "4.7.5", text);
        return;
    }
    LOG(INFO, "next hop without TLS", kv_str("session", c->id), kv_str("host", c->host), kv_str("reason", text));
    end(c, false);
    connection_open(d, c->hosts, c->host_count, c->host_index, true);
    c->hosts = NULL;
}

/* ---- deadlines: one timer, set anew only when it must fire earlier ---- */

static const char *const phase_words[] = {
    [CLIENT_PHASE_GREETING] = "the greeting",
    [CLIENT_PHASE_EHLO] = "the reply to EHLO",
    [CLIENT_PHASE_TLS] = "the TLS handshake",
    [CLIENT_PHASE_AUTH] = "the reply to AUTH",
    [CLIENT_PHASE_MAIL] = "the reply to MAIL",
    [CLIENT_PHASE_RCPT] = "the reply to RCPT",
    [CLIENT_PHASE_DATA_START] = "the reply to DATA",
    [CLIENT_PHASE_DATA_BLOCK] = "the message to be taken",
    [CLIENT_PHASE_DATA_END] = "the reply to the message",
    [CLIENT_PHASE_QUIT] = "the reply to QUIT",
    [CLIENT_PHASE_IDLE] = "work",
    [CLIENT_PHASE_OURS] = "the queue",
};

static int64_t phase_ms(const struct remote_connection *c, enum smtp_client_phase phase)
{
    const struct conf_limits *limits = &c->config->limits;

    switch (phase) {
    case CLIENT_PHASE_GREETING:
        return limits->timeout.relay_greeting;
    case CLIENT_PHASE_TLS:
        return limits->timeout.tls;
    case CLIENT_PHASE_EHLO:
    case CLIENT_PHASE_AUTH:
    case CLIENT_PHASE_MAIL:
        return limits->timeout.relay_mail;
    case CLIENT_PHASE_RCPT:
        return limits->timeout.relay_rcpt;
    case CLIENT_PHASE_DATA_START:
        return limits->timeout.relay_data_start;
    case CLIENT_PHASE_DATA_BLOCK:
        return limits->timeout.relay_data_block;
    case CLIENT_PHASE_DATA_END:
        return limits->timeout.relay_data_end;
    case CLIENT_PHASE_QUIT:
        return QUIT_MS;
    case CLIENT_PHASE_IDLE:
        return REMOTE_IDLE_MS;
    case CLIENT_PHASE_OURS: /* jobs always end */
        break;
    }
    return 0;
}

static void set_deadline(struct remote_connection *c, int64_t ms)
{
    int64_t now = clock_mono_ms();

    c->deadline = ms > 0 ? now + ms : 0;
    if (ms > 0 && (c->timer_at == 0 || c->timer_at > c->deadline)) {
        c->timer_at = c->deadline;
        timer_set(c->timer, ms);
    }
}

static void on_timer(void *owner)
{
    struct remote_connection *c = owner;
    int64_t now = clock_mono_ms();
    char text[80];

    c->timer_at = 0;
    if (c->deadline == 0)
        return;
    if (c->deadline > now) {
        set_deadline(c, c->deadline - now);
        return;
    }
    if (c->state == CONNECTION_IDLE) {
        connection_quit(c);
        return;
    }
    c->timed_out = true;
    (void)snprintf(text, sizeof text, "Timed out waiting for %s",
                   c->connected ? phase_words[c->phase] : "a connection");
    if (c->phase == CLIENT_PHASE_TLS && c->connected)
        tls_failed(c, text);
    else if (c->client != NULL)
        smtp_client_failed(c->client, text);
    else
        host_failed_text(c, "4.4.1", text);
}

/* ---- what the client asks of us ---- */

static void client_wants_send(void *world, struct slice octets)
{
    struct remote_connection *c = world;

    if (c->state != CONNECTION_ENDED)
        stream_write(c->stream, octets);
}

static bool client_asks_full(void *world)
{
    const struct remote_connection *c = world;

    return c->state != CONNECTION_ENDED && stream_is_full(c->stream);
}

static void client_wants_tls(void *world)
{
    struct remote_connection *c = world;

    stream_start_tls_client(c->stream, c->tls, c->hosts[c->host_index].name, c->hop.verify);
}

static void client_in_phase(void *world, enum smtp_client_phase phase)
{
    struct remote_connection *c = world;

    if (c->state == CONNECTION_ENDED)
        return;
    c->phase = phase;
    set_deadline(c, phase_ms(c, phase));
}

struct derivation {
    struct job job;
    char password[256];
    size_t password_n;
    uint8_t salt[64], salt_n, out[32];
    uint32_t iterations;
};

static void derive(struct job *job)
{
    struct derivation *d = LIST_ENTRY(job, struct derivation, job);

    sasl_scram_derive(slice_make(d->password, d->password_n), d->salt, d->salt_n, d->iterations, d->out);
}

static void derived(void *owner, struct job *job)
{
    struct remote_connection *c = owner;

    smtp_client_derived(c->client, LIST_ENTRY(job, struct derivation, job)->out);
}

static void drop_derivation(struct job *job)
{
    struct derivation *d = LIST_ENTRY(job, struct derivation, job);

    mem_free_secret(d, sizeof *d);
}

static void client_wants_key(void *world, const struct sasl_client *sasl)
{
    struct remote_connection *c = world;
    struct derivation *d = mem_zero(sizeof *d);
    struct slice password = slice_head(slice_str(sasl->password), sizeof d->password);

    memcpy(d->password, password.p, password.n);
    d->password_n = password.n;
    memcpy(d->salt, sasl->salt, sasl->salt_n);
    d->salt_n = sasl->salt_n;
    d->iterations = sasl->iterations;
    d->job = (struct job){ .run = derive, .done = derived, .drop = drop_derivation, .owner = c };
    job_start(c->r->env.jobs, JOB_HASH, &c->scope, &d->job);
}

static void client_is_ready(void *world)
{
    struct remote_connection *c = world;
    struct remote_destination *d = c->d;

    if (c->state == CONNECTION_ENDED)
        return;
    if (c->state == CONNECTION_OPENING) {
        d->opening--;
        /* The list began with first_host; further connections begin with the one that answered. */
        if (d->host_count > 0)
            d->first_host = (d->first_host + c->host_index) % d->host_count;
        mem_free(c->hosts);
        c->hosts = NULL;
        c->state = CONNECTION_BUSY;
    }
    message_next(c);
}

static ssize_t client_reads_body(void *world, const char **ret, size_t n)
{
    struct remote_connection *c = world;

    return remote_body_read(&c->body, ret, n);
}

static void client_is_over(void *world, struct smtp_client_message *m, bool unclear)
{
    (void)m;
    message_over(world, unclear);
}

static void client_has_failed(void *world, enum smtp_client_phase at, const struct smtp_client_reply *why)
{
    struct remote_connection *c = world;
    struct remote_destination *d = c->d;
    struct remote *r = c->r;

    if (c->state == CONNECTION_ENDED)
        return;
    if (c->state == CONNECTION_OPENING) {
        if (at == CLIENT_PHASE_AUTH)
            LOG(ERROR, "next hop refuses our login", kv_str("session", c->id), kv_str("host", c->host),
                kv_str("user", c->hop.user), kv_num("code", why->code), kv_str("reason", why->text),
                kv_num("line", c->hop.at.line));
        host_failed(c, why, at == CLIENT_PHASE_AUTH);
        return;
    }
    if (c->state != CONNECTION_IDLE) /* an idle connection may be closed by the server without further ado */
        log_failure(c, why);
    if (c->work != NULL)
        message_unload(c);
    end(c, false);
    /* It talked, but it does not work: not to be tried over and over with all that waits. */
    if (c->carried == 0 && !c->cut)
        destination_unreachable(d, why, c->host);
    make_room(r, d);
}

static void client_has_quit(void *world)
{
    struct remote_connection *c = world;
    struct remote_destination *d = c->d;
    struct remote *r = c->r;

    if (c->state == CONNECTION_ENDED)
        return;
    end(c, true);
    make_room(r, d);
}

static const struct smtp_client_host client_host = {
    .send = client_wants_send,
    .is_full = client_asks_full,
    .start_tls = client_wants_tls,
    .phase = client_in_phase,
    .derive = client_wants_key,
    .on_ready = client_is_ready,
    .read_body = client_reads_body,
    .on_message = client_is_over,
    .on_failed = client_has_failed,
    .on_quit = client_has_quit,
};

/* ---- what the stream tells us ---- */

static void on_connect(void *owner, int status)
{
    struct remote_connection *c = owner;

    if (c->state == CONNECTION_ENDED)
        return;
    if (status < 0) {
        host_failed_text(c, "4.4.1", err_text(status));
        return;
    }
    c->connected = true;
    if (c->hop.tls != RELAY_TLS_IMPLICIT) {
        start_session(c);
        return;
    }
    if (c->tls == NULL) {
        host_failed_text(c, "4.7.4", "TLS is required, and there is no trust store to use it with");
        return;
    }
    client_in_phase(c, CLIENT_PHASE_TLS);
    client_wants_tls(c);
}

static void on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct remote_connection *c = owner;

    if (c->state == CONNECTION_ENDED)
        return;
    if (status < 0) {
        tls_failed(c, why);
        return;
    }
    (void)snprintf(c->tls_text, sizeof c->tls_text, "%s %s%s", info->version, info->cipher,
                   info->verified ? " verified" : "");
    if (c->client == NULL)
        start_session(c);
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
        tls_failed(c, why);
    else if (c->client != NULL)
        smtp_client_failed(c->client, why);
    else
        host_failed_text(c, "4.4.2", why);
}

static void on_drain(void *owner)
{
    struct remote_connection *c = owner;

    if (c->state != CONNECTION_ENDED && c->client != NULL)
        smtp_client_drained(c->client);
}

static const struct stream_events events = { on_connect, on_bytes, on_end, on_drain, on_tls, on_closed };

/* ---- the beginning ---- */

static enum smtp_client_tls client_tls(const struct remote_connection *c)
{
    static const enum smtp_client_tls modes[] = {
        [RELAY_TLS_OPPORTUNISTIC] = CLIENT_TLS_IF_OFFERED,
        [RELAY_TLS_NONE] = CLIENT_TLS_NEVER,
        [RELAY_TLS_STARTTLS] = CLIENT_TLS_REQUIRED,
        [RELAY_TLS_IMPLICIT] = CLIENT_TLS_ACTIVE,
    };

    return c->plain ? CLIENT_TLS_NEVER : modes[c->hop.tls];
}

static void start_session(struct remote_connection *c)
{
    struct smtp_client_options options = { .helo = c->config->hostname, .user = c->hop.user, .tls = client_tls(c) };

    options.password = c->hop.password;
    if (c->tls == NULL && options.tls != CLIENT_TLS_NEVER) {
        host_failed_text(c, "4.7.4", "TLS is required, and there is no trust store to use it with");
        return;
    }
    c->client = smtp_client_new(&options, &client_host, c);
}

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
    c->timer = timer_new(r->env.loop, on_timer, c);
    c->stream = stream_connect(r->env.loop, &hosts[index].at, NULL, &events, c);
    set_deadline(c, c->config->limits.timeout.relay_connect);
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
        host_failed_text(c, "4.3.2", why);
}
