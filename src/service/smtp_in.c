#include "facteur/service/smtp_in.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "smtp_in_priv.h"

#include <stdio.h>

enum { RATE_LOOK_MS = 60 * 1000, PROXY_HEADER_MAX = 4096 };

static void begin_dialogue(struct smtp_session *s);

/* --- the end --- */

/* Forgets the dialogue. Never from inside one of its calls. */
static void end_dialogue(struct smtp_session *s)
{
    job_scope_abandon(&s->jobs);
    timer_stop(s->timer);
    smtp_server_free(&s->proto);
    transaction_free(&s->tx);
}

static void tell_stopped(struct deferred *d)
{
    struct smtp_service *service = LIST_ENTRY(d, struct smtp_service, stopped);

    service->on_stopped(service->owner);
}

static void maybe_stopped(struct smtp_service *service)
{
    if (service->stopping && service->on_stopped != NULL && list_empty(&service->sessions))
        loop_defer(service->f->loop, &service->stopped, tell_stopped);
}

static void on_closed(void *owner)
{
    struct smtp_session *s = owner;
    struct smtp_service *service = s->service;

    end_dialogue(s);
    LOG(DEBUG, "disconnected", kv_str("session", s->client.session));
    if (s->counted)
        counters_disconnect(service->f->counters, &s->client.ip);
    list_unlink(&s->link);
    service->stats.open--;
    timer_close(&s->timer);
    buf_clear(&s->proxy);
    config_unref(&s->config);
    tls_server_unref(&s->tls);
    mem_free(s);
    maybe_stopped(service);
}

static void on_end(void *owner, int status)
{
    struct smtp_session *s = owner;

    (void)status;
    end_dialogue(s);
    stream_close(s->stream);
}

/* --- deadlines --- */

static int64_t data_look_ms(const struct smtp_session *s)
{
    int64_t ms = s->config->limits.timeout.data;

    return ms < RATE_LOOK_MS ? ms : RATE_LOOK_MS;
}

static bool data_is_slow(struct smtp_session *s)
{
    uint64_t least = (uint64_t)s->config->limits.timeout.data_rate * (uint64_t)data_look_ms(s) / 1000;
    uint64_t got = s->octets_in;

    s->octets_in = 0;
    return got == 0 || got < least;
}

static void on_timer(void *owner)
{
    struct smtp_session *s = owner;

    if (s->delayed) { /* the answer to a failed login */
        s->delayed = false;
        smtp_in_answer(s, &s->verdict);
        return;
    }
    if (s->phase == SMTP_PHASE_DATA && !data_is_slow(s)) {
        timer_set(s->timer, data_look_ms(s));
        return;
    }
    if (s->proto == NULL || s->wants_proxy || s->phase == SMTP_PHASE_TLS) {
        LOG(INFO, "timeout", kv_str("session", s->client.session), kv_str("client", s->client.address),
            kv_str("state", s->wants_proxy ? "PROXY" : "TLS"));
        end_dialogue(s);
        stream_close(s->stream);
        return;
    }
    LOG(INFO, "timeout", kv_str("session", s->client.session), kv_str("client", s->client.address),
        kv_str("state", smtp_server_state(s->proto)));
    smtp_server_timeout(s->proto);
}

static void host_phase(void *world, enum smtp_phase phase)
{
    struct smtp_session *s = world;

    s->phase = phase;
    s->octets_in = 0;
    switch (phase) {
    case SMTP_PHASE_GREETING:
        timer_set(s->timer, s->config->limits.timeout.greeting);
        break;
    case SMTP_PHASE_COMMAND:
        timer_set(s->timer, s->config->limits.timeout.command);
        break;
    case SMTP_PHASE_DATA:
        timer_set(s->timer, data_look_ms(s));
        break;
    case SMTP_PHASE_TLS:
        timer_set(s->timer, s->config->limits.timeout.tls);
        break;
    case SMTP_PHASE_OURS:
        if (!s->delayed)
            timer_stop(s->timer);
        break;
    }
}

/* --- what the dialogue asks of us --- */

static void host_send(void *world, struct slice octets)
{
    stream_write(((struct smtp_session *)world)->stream, octets);
}

static void host_start_tls(void *world)
{
    struct smtp_session *s = world;

    stream_start_tls_server(s->stream, s->tls);
}

static void host_close(void *world)
{
    struct smtp_session *s = world;

    timer_stop(s->timer);
    if (smtp_server_has_quit(s->proto))
        stream_finish_agreed(s->stream);
    else
        stream_finish(s->stream);
}

static enum when ask_connect(void *world, struct verdict *ret)
{
    struct smtp_session *s = world;

    *ret = s->verdict;
    return NOW;
}

static enum when ask_helo(void *world, const char *helo, bool extended, struct verdict *ret)
{
    (void)world;
    (void)helo;
    (void)extended;
    *ret = verdict_ok("", "%s", "Ok");
    return NOW;
}

static void tx_answer(void *owner, const struct verdict *v)
{
    struct smtp_session *s = owner;

    smtp_in_answer(s, v);
    if (s->tx != NULL && s->tx->finished) /* an idle session keeps nothing of its last message */
        transaction_free(&s->tx);
}

static void sync_input(struct smtp_session *s)
{
    if (s->proto == NULL)
        return;
    if (smtp_server_is_waiting(s->proto) || stream_is_full(s->stream))
        stream_pause(s->stream);
    else
        stream_resume(s->stream);
}

static void tx_hold(void *owner, bool hold)
{
    struct smtp_session *s = owner;

    smtp_server_hold(s->proto, hold);
    if (!hold)
        sync_input(s);
}

static void tx_failed(void *owner, int code)
{
    struct smtp_session *s = owner;

    smtp_server_body_failed(s->proto, code);
    smtp_server_hold(s->proto, false); /* the rest of the body comes in and is thrown away */
    sync_input(s);
}

static const struct transaction_events tx_events = { tx_answer, tx_hold, tx_failed };

static enum when ask_mail(void *world, const struct smtp_mail *mail, struct verdict *ret)
{
    struct smtp_session *s = world;

    transaction_free(&s->tx);
    s->client.helo = smtp_server_helo(s->proto);
    s->client.with = smtp_server_with(s->proto);
    s->tx = transaction_new(s->service->f, s->config, &s->client, &tx_events, s);
    return transaction_mail(s->tx, mail, ret);
}

static enum when ask_rcpt(void *world, const struct smtp_rcpt *rcpt, struct verdict *ret)
{
    return transaction_rcpt(((struct smtp_session *)world)->tx, rcpt, ret);
}

static enum when ask_data(void *world, struct verdict *ret)
{
    return transaction_data(((struct smtp_session *)world)->tx, ret);
}

static struct sink host_body(void *world)
{
    struct smtp_session *s = world;

    s->client.with = smtp_server_with(s->proto); /* SMTPUTF8 is known only now */
    return transaction_sink(s->tx);
}

static enum when ask_commit(void *world, struct verdict *ret)
{
    return transaction_commit(((struct smtp_session *)world)->tx, ret);
}

static void host_abort(void *world)
{
    transaction_free(&((struct smtp_session *)world)->tx);
}

static void host_refused(void *world, const struct verdict *v, struct slice command)
{
    struct smtp_session *s = world;
    char rule_line[16] = "";

    s->service->stats.refused++;
    s->service->f->stats.refused++;
    if (v->line > 0)
        (void)snprintf(rule_line, sizeof rule_line, "%u", v->line);
    LOG(INFO, "refused", kv_str("session", s->client.session), kv_str("client", s->client.address),
        kv_slice("command", command), kv_num("code", v->code), kv_str("status", v->enhanced), kv_str("reply", v->text),
        kv_str("rule", v->rule), kv_str("line", rule_line), kv_str("from", s->tx != NULL ? s->tx->sender : NULL));
}

static const struct smtp_host host = { .send = host_send,
                                       .start_tls = host_start_tls,
                                       .phase = host_phase,
                                       .close = host_close,
                                       .ask_connect = ask_connect,
                                       .ask_helo = ask_helo,
                                       .ask_auth = smtp_in_ask_auth,
                                       .scram_keys = smtp_in_scram_keys,
                                       .ask_mail = ask_mail,
                                       .ask_rcpt = ask_rcpt,
                                       .ask_data = ask_data,
                                       .body = host_body,
                                       .ask_commit = ask_commit,
                                       .abort = host_abort,
                                       .refused = host_refused };

void smtp_in_answer(struct smtp_session *s, const struct verdict *v)
{
    if (s->proto == NULL)
        return;
    smtp_server_answer(s->proto, v);
    sync_input(s);
}

/* --- what the stream tells us --- */

static void take_proxy(struct smtp_session *s, struct slice octets)
{
    struct endpoint client;
    size_t used = 0;
    int r;

    if (buf_add(&s->proxy, octets.p, octets.n) < 0) {
        stream_close(s->stream);
        return;
    }
    r = proxy_header_parse(buf_slice(&s->proxy), &used, &client);
    if (r == MORE)
        return;
    if (r < 0) {
        LOG(WARNING, "proxy-header-bad", kv_str("session", s->client.session), kv_str("client", s->client.address));
        stream_close(s->stream);
        return;
    }
    if (client.family != 0) {
        s->client.ip.family = client.family;
        memcpy(s->client.ip.octets, client.octets, sizeof client.octets);
    }
    s->wants_proxy = false;
    if (s->proxy.n > used)
        stream_unread(s->stream, slice_skip(buf_slice(&s->proxy), used));
    buf_clear(&s->proxy);
    begin_dialogue(s);
}

static void on_bytes(void *owner, struct slice octets)
{
    struct smtp_session *s = owner;

    if (s->wants_proxy) {
        take_proxy(s, octets);
        return;
    }
    if (s->proto == NULL)
        return;
    s->octets_in += octets.n;
    smtp_server_feed(s->proto, octets);
    sync_input(s);
}

static void on_drain(void *owner)
{
    sync_input(owner);
}

static void on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct smtp_session *s = owner;

    if (status < 0) {
        LOG(INFO, "tls-failed", kv_str("session", s->client.session), kv_str("client", s->client.address),
            kv_str("reason", why));
        end_dialogue(s);
        stream_close(s->stream);
        return;
    }
    (void)snprintf(s->client.tls, sizeof s->client.tls, "%s %s", info->version, info->cipher);
    s->client.user = NULL;
    transaction_free(&s->tx);
    if (s->listener->tls == TLS_IMPLICIT)
        smtp_server_start(s->proto);
    else
        smtp_server_tls_started(s->proto);
    sync_input(s);
}

static const struct stream_events events = {
    .on_bytes = on_bytes, .on_end = on_end, .on_drain = on_drain, .on_tls = on_tls, .on_closed = on_closed
};

/* --- the beginning --- */

static struct smtp_server_options make_options(const struct smtp_session *s)
{
    const struct conf_limits *limits = &s->config->limits;
    bool outside = client_is_outside(&s->client);

    return (struct smtp_server_options){
        .hostname = s->config->hostname,
        .submission = s->client.submission,
        .tls_offered = s->listener->tls == TLS_STARTTLS && s->tls != NULL,
        .tls_active = s->listener->tls == TLS_IMPLICIT,
        .auth_without_tls = ip_is_loopback(&s->client.ip),
        .trusting = s->client.trusted,
        .fix_bare_newlines = s->listener->fix_bare_newlines && s->client.trusted,
        .auth = { s->config->auth.plain, s->config->auth.login, s->config->auth.scram },
        .message_size = limits->message_size,
        .recipients = s->client.submission || !outside ? limits->submission_recipients : limits->recipients,
        .line_length = limits->line_length,
        .errors = limits->errors,
        .commands = limits->commands,
        .auth_failures = limits->auth_failures,
    };
}

static void begin_dialogue(struct smtp_session *s)
{
    struct smtp_server_options options;

    ip_format(&s->client.ip, s->client.address);
    s->client.submission = s->listener->service == SERVICE_SUBMISSION;
    s->client.trusted = policy_is_trusted(s->config, &s->client.ip);
    s->verdict = verdict_ok("", "%s", "Ok");
    s->counted = counters_connect(s->service->f->counters, s->config, &s->client.ip, &s->verdict);
    LOG(DEBUG, "connected", kv_str("session", s->client.session), kv_str("client", s->client.address),
        kv_num("port", stream_local(s->stream)->port));
    options = make_options(s);
    s->proto = smtp_server_new(&options, &host, s);
    if (s->listener->tls == TLS_IMPLICIT) {
        host_phase(s, SMTP_PHASE_TLS);
        stream_start_tls_server(s->stream, s->tls);
        return;
    }
    smtp_server_start(s->proto);
    sync_input(s);
}

static bool is_proxy(const struct conf_listener *listener, const struct ip *ip)
{
    for (size_t i = 0; i < listener->proxy_from.count; i++) {
        if (network_has(&listener->proxy_from.items[i], ip))
            return true;
    }
    return false;
}

void smtp_service_accept(struct smtp_service *service, struct config *config, const struct conf_listener *listener,
                         struct stream *stream)
{
    const struct endpoint *peer = stream_peer(stream);
    struct smtp_session *s = mem_zero(sizeof *s);

    s->service = service;
    s->stream = stream;
    s->config = config_ref(config);
    s->tls = service->tls != NULL ? tls_server_ref(service->tls) : NULL;
    s->listener = listener;
    s->client.ip.family = peer->family == 1 ? 0 : peer->family;
    memcpy(s->client.ip.octets, peer->octets, sizeof peer->octets);
    ip_format(&s->client.ip, s->client.address);
    (void)snprintf(s->client.session, sizeof s->client.session, "s%08llx", (unsigned long long)service->next_id++);
    s->client.helo = "";
    s->client.with = "SMTP";
    s->timer = timer_new(service->f->loop, on_timer, s);
    job_scope_init(&s->jobs);
    buf_init(&s->proxy, PROXY_HEADER_MAX + 64 * 1024);
    list_push(&service->sessions, &s->link);
    service->stats.connections++;
    service->stats.open++;
    s->wants_proxy = is_proxy(listener, &s->client.ip);
    stream_start(stream, &events, s);
    if (s->wants_proxy)
        timer_set(s->timer, config->limits.timeout.tls);
    else
        begin_dialogue(s);
}

struct smtp_service *smtp_service_new(struct flow *f, struct tls_server *tls)
{
    struct smtp_service *s = mem_zero(sizeof *s);

    s->f = f;
    s->tls = tls != NULL ? tls_server_ref(tls) : NULL;
    s->next_id = rand_below(UINT32_MAX);
    rand_bytes(s->scram_secret, sizeof s->scram_secret);
    list_init(&s->sessions);
    return s;
}

void smtp_service_set_tls(struct smtp_service *s, struct tls_server *tls)
{
    tls_server_unref(&s->tls);
    s->tls = tls != NULL ? tls_server_ref(tls) : NULL;
}

void smtp_service_stop(struct smtp_service *service, void (*done)(void *owner), void *owner)
{
    service->stopping = true;
    service->on_stopped = done;
    service->owner = owner;
    LIST_EACH (it, &service->sessions) {
        struct smtp_session *s = LIST_ENTRY(it, struct smtp_session, link);

        if (s->proto != NULL && s->phase != SMTP_PHASE_TLS)
            smtp_server_shutdown(s->proto);
        else
            stream_close(s->stream);
    }
    maybe_stopped(service);
}

void smtp_service_free(struct smtp_service **s)
{
    if (*s == NULL)
        return;
    tls_server_unref(&(*s)->tls);
    mem_free(*s);
    *s = NULL;
}

struct smtp_service_stats smtp_service_stats(const struct smtp_service *s)
{
    return s->stats;
}
