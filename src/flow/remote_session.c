/* The session on a connection: what the SMTP client asks of us, and how long each step may take. */
#include "remote_priv.h"

#include "facteur/base/mem.h"

#include <stdio.h>

enum { QUIT_MS = 5000, SLOW_MS = 30 * 1000 };

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

const char *session_waits_for(const struct remote_connection *c)
{
    return c->connected ? phase_words[c->phase] : "a connection";
}

static void set_timer(struct remote_connection *c, int64_t now)
{
    int64_t at = c->deadline;

    if (at == 0)
        return;
    if (!c->told_slow && c->since + SLOW_MS < at)
        at = c->since + SLOW_MS;
    if (c->timer_at != 0 && c->timer_at <= at)
        return;
    c->timer_at = at;
    timer_set(c->timer, at > now ? at - now : 0);
}

void session_deadline(struct remote_connection *c, int64_t ms)
{
    c->since = clock_mono_ms();
    c->deadline = ms > 0 ? c->since + ms : 0;
    set_timer(c, c->since);
}

/* Once for a connection: else a server that hangs leaves no trace for minutes. */
static void tell_slow(struct remote_connection *c, int64_t now)
{
    char id[14] = "";

    if (c->told_slow || now - c->since < SLOW_MS)
        return;
    c->told_slow = true;
    if (c->work != NULL)
        base32_u64(c->work->message->id, id);
    LOG(INFO, "next-hop-slow", kv_str("session", c->id), kv_str("queue", id), kv_str("destination", c->d->key),
        kv_str("host", c->host), kv_str("waits_for", session_waits_for(c)), kv_num("since_ms", now - c->since),
        kv_num("waiting", (int64_t)c->d->waiting_count));
}

void session_on_timer(void *owner)
{
    struct remote_connection *c = owner;
    int64_t now = clock_mono_ms();
    char text[80];

    c->timer_at = 0;
    if (c->deadline == 0)
        return;
    if (c->deadline > now) {
        tell_slow(c, now);
        set_timer(c, now);
        return;
    }
    if (c->state == CONNECTION_IDLE) {
        connection_quit(c);
        return;
    }
    c->timed_out = true;
    (void)snprintf(text, sizeof text, "Timed out waiting for %s", session_waits_for(c));
    if (c->phase == CLIENT_PHASE_TLS && c->connected)
        connection_tls_failed(c, text);
    else if (c->client != NULL)
        smtp_client_failed(c->client, text);
    else
        connection_host_failed_text(c, "4.4.1", text);
}

void session_phase(struct remote_connection *c, enum smtp_client_phase phase)
{
    if (c->state == CONNECTION_ENDED)
        return;
    c->phase = phase;
    session_deadline(c, phase_ms(c, phase));
}

void session_start_tls(struct remote_connection *c)
{
    stream_start_tls_client(c->stream, c->tls, c->hosts[c->host_index].name, c->hop.verify);
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
    session_start_tls(world);
}

static void client_in_phase(void *world, enum smtp_client_phase phase)
{
    session_phase(world, phase);
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

    if (password.n > 0)
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

    return c->convert != NULL ? remote_convert_read(c, ret, n) : remote_body_read(&c->body, ret, n);
}

static void client_is_over(void *world, struct smtp_client_message *m, bool unclear)
{
    (void)m;
    message_over(world, unclear);
}

/* Later than that it was offered a message, which may be what it does not bear: no other is to suffer for it. */
static bool is_before_message(enum smtp_client_phase at)
{
    return at <= CLIENT_PHASE_MAIL || at == CLIENT_PHASE_IDLE;
}

static void client_has_failed(void *world, enum smtp_client_phase at, const struct smtp_client_reply *why)
{
    struct remote_connection *c = world;
    struct remote_destination *d = c->d;
    struct remote *r = c->r;
    bool was_idle = c->state == CONNECTION_IDLE;

    if (c->state == CONNECTION_ENDED)
        return;
    if (c->state == CONNECTION_OPENING) {
        if (at == CLIENT_PHASE_AUTH)
            LOG(ERROR, "next-hop-refuses-login", kv_str("session", c->id), kv_str("host", c->host),
                kv_str("user", c->hop.user), kv_num("code", why->code), kv_str("reason", why->text),
                kv_num("line", c->hop.at.line));
        connection_host_failed(c, why, at == CLIENT_PHASE_AUTH);
        return;
    }
    if (!was_idle) /* an idle connection may be closed by the server without further ado */
        connection_log_failure(c, why);
    if (c->work != NULL)
        message_unload(c);
    connection_end(c, false);
    /* It talked, but it does not work: not to be tried over and over with all that waits. */
    if (c->carried == 0 && !c->cut && !was_idle && is_before_message(at))
        destination_unreachable(d, why, c->host);
    connection_make_room(r, d);
}

static void client_has_quit(void *world)
{
    struct remote_connection *c = world;
    struct remote_destination *d = c->d;
    struct remote *r = c->r;

    if (c->state == CONNECTION_ENDED)
        return;
    connection_end(c, true);
    connection_make_room(r, d);
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

void session_start(struct remote_connection *c)
{
    struct smtp_client_options options = { .helo = c->config->hostname, .user = c->hop.user, .tls = client_tls(c) };

    options.password = c->hop.password;
    if (c->tls == NULL && options.tls != CLIENT_TLS_NEVER) {
        connection_host_failed_text(c, "4.7.4", "TLS is required, and there is no trust store to use it with");
        return;
    }
    c->client = smtp_client_new(&options, &client_host, c);
}
