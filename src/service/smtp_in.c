#include "facteur/service/smtp_in.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/transaction.h"
#include "facteur/service/login.h"
#include "facteur/service/pace.h"

#include <stdio.h>

struct smtp_session {
    struct peer peer; /* first */
    struct smtp_server *proto;
    struct transaction *tx; /* from MAIL to its end; or NULL */
    enum smtp_phase phase;
    struct pace pace; /* of the message that comes */
};

static struct smtp_session *session_of(const struct peer *p)
{
    return LIST_ENTRY(p, struct smtp_session, peer);
}

/* --- deadlines --- */

static void host_phase(void *world, enum smtp_phase phase)
{
    struct smtp_session *s = world;
    const struct conf_limits *limits = &s->peer.config->limits;
    bool resumes = s->phase != phase; /* and does not come from one chunk to the next */
    int64_t wait;

    s->phase = phase;
    switch (phase) {
    case SMTP_PHASE_GREETING:
        peer_deadline(&s->peer, limits->timeout.greeting);
        break;
    case SMTP_PHASE_COMMAND:
        pace_begin(&s->pace);
        peer_deadline(&s->peer, limits->timeout.command);
        break;
    case SMTP_PHASE_DATA:
        if (resumes)
            pace_resume(&s->pace);
        wait = pace_look(&s->pace, limits);
        peer_deadline(&s->peer, wait > 0 ? wait : 1);
        break;
    case SMTP_PHASE_TLS:
        break; /* peer_start_tls has set it */
    case SMTP_PHASE_OURS:
        peer_deadline(&s->peer, 0);
        break;
    }
}

/* --- what the dialogue asks of us --- */

static void answer(struct peer *p, const struct verdict *v)
{
    struct smtp_session *s = session_of(p);

    smtp_server_answer(s->proto, v);
    peer_sync_input(p);
}

static void host_send(void *world, struct slice octets)
{
    peer_send(world, octets);
}

static void host_start_tls(void *world)
{
    peer_start_tls(world);
}

static void host_close(void *world)
{
    struct smtp_session *s = world;

    peer_close(&s->peer, smtp_server_has_quit(s->proto));
}

static enum when ask_connect(void *world, struct verdict *ret)
{
    *ret = ((struct smtp_session *)world)->peer.verdict;
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

static enum when ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    return login_ask(world, attempt, USER_SUBMISSION, answer, ret);
}

static void scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    login_scram_keys(world, user, ret);
}

static void tx_answer(void *owner, const struct verdict *v)
{
    struct smtp_session *s = owner;

    answer(&s->peer, v);
    if (s->tx != NULL && s->tx->finished) /* an idle session keeps nothing of its last message */
        transaction_free(&s->tx);
}

static void tx_hold(void *owner, bool hold)
{
    struct smtp_session *s = owner;

    smtp_server_hold(s->proto, hold);
    if (!hold)
        peer_sync_input(&s->peer);
}

static void tx_failed(void *owner, int code)
{
    struct smtp_session *s = owner;

    smtp_server_body_failed(s->proto, code);
    smtp_server_hold(s->proto, false); /* the rest of the body comes in and is thrown away */
    peer_sync_input(&s->peer);
}

static const struct transaction_events tx_events = { tx_answer, tx_hold, tx_failed };

static enum when ask_mail(void *world, const struct smtp_mail *mail, struct verdict *ret)
{
    struct smtp_session *s = world;
    struct client *client = &s->peer.client;

    transaction_free(&s->tx);
    client->helo = smtp_server_helo(s->proto);
    client->with = smtp_server_with(s->proto);
    s->tx = transaction_new(peers_flow(s->peer.peers), s->peer.config, client, &tx_events, s);
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

    s->peer.client.with = smtp_server_with(s->proto); /* SMTPUTF8 is known only now */
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

/* A RCPT that is answered later is no longer at hand as it was said. */
static char *refused_recipient(const struct smtp_session *s, const struct verdict *v, struct slice command)
{
    bool later = s->tx != NULL && v->rule != NULL && slice_iis(command, "RCPT");

    return later ? address_str(&s->tx->rcpt.forward_path) : NULL;
}

static const char *other_file(const struct config *c, const struct verdict *v)
{
    return v->file != NULL && strcmp(v->file, c->file) != 0 ? v->file : NULL;
}

static void host_refused(void *world, const struct verdict *v, struct slice command)
{
    struct smtp_session *s = world;
    char *to = refused_recipient(s, v, command), rule_line[16] = "";

    peers_stats(s->peer.peers)->refused++;
    peers_flow(s->peer.peers)->stats.refused++;
    if (v->line > 0)
        (void)snprintf(rule_line, sizeof rule_line, "%u", v->line);
    LOG(INFO, "refused", kv_str("session", s->peer.client.session), kv_str("client", s->peer.client.address),
        kv_slice("command", command), kv_num("code", v->code), kv_str("status", v->enhanced), kv_str("reply", v->text),
        kv_str("rule", v->rule), kv_str("line", rule_line), kv_str("file", other_file(s->peer.config, v)),
        kv_str("from", s->tx != NULL ? s->tx->sender : NULL), kv_str("to", to));
    mem_free(to);
}

static const struct smtp_host host = { .send = host_send,
                                       .start_tls = host_start_tls,
                                       .phase = host_phase,
                                       .close = host_close,
                                       .ask_connect = ask_connect,
                                       .ask_helo = ask_helo,
                                       .ask_auth = ask_auth,
                                       .scram_keys = scram_keys,
                                       .ask_mail = ask_mail,
                                       .ask_rcpt = ask_rcpt,
                                       .ask_data = ask_data,
                                       .body = host_body,
                                       .ask_commit = ask_commit,
                                       .abort = host_abort,
                                       .refused = host_refused };

/* --- the connection --- */

static struct smtp_server_options make_options(const struct peer *p)
{
    const struct config *c = p->config;
    const struct conf_limits *limits = &c->limits;
    bool outside = client_is_outside(&p->client);

    return (struct smtp_server_options){
        .hostname = c->hostname,
        .submission = p->client.submission,
        .tls_offered = p->listener->tls == TLS_STARTTLS && p->tls != NULL,
        .tls_active = p->listener->tls == TLS_IMPLICIT,
        .auth_without_tls = ip_is_loopback(&p->client.ip),
        .trusting = p->client.trusted,
        .fix_bare_newlines = p->listener->fix_bare_newlines && p->client.trusted,
        .auth = { c->auth.plain, c->auth.login, c->auth.scram },
        .message_size = limits->message_size,
        .recipients = p->client.submission || !outside ? limits->submission_recipients : limits->recipients,
        .line_length = limits->line_length,
        .errors = limits->errors,
        .commands = limits->commands,
        .auth_failures = limits->auth_failures,
    };
}

static void on_open(struct peer *p)
{
    struct smtp_session *s = session_of(p);
    struct smtp_server_options options;

    p->client.submission = p->listener->service == SERVICE_SUBMISSION;
    p->client.with = "SMTP";
    options = make_options(p);
    s->proto = smtp_server_new(&options, &host, s);
}

static void on_start(struct peer *p)
{
    smtp_server_start(session_of(p)->proto);
}

static void on_feed(struct peer *p, struct slice octets)
{
    struct smtp_session *s = session_of(p);

    if (s->phase == SMTP_PHASE_DATA)
        pace_came(&s->pace, &p->config->limits, octets.n);
    smtp_server_feed(s->proto, octets);
}

static bool is_waiting(const struct peer *p)
{
    return smtp_server_is_waiting(session_of(p)->proto);
}

static bool is_at_work(const struct peer *p)
{
    return smtp_server_in_transaction(session_of(p)->proto);
}

static void on_tls_started(struct peer *p)
{
    struct smtp_session *s = session_of(p);

    transaction_free(&s->tx);
    smtp_server_tls_started(s->proto);
}

static void on_timeout(struct peer *p)
{
    struct smtp_session *s = session_of(p);

    int64_t wait = s->phase == SMTP_PHASE_DATA ? pace_look(&s->pace, &p->config->limits) : 0;

    if (wait > 0) {
        peer_deadline(p, wait);
        return;
    }
    peer_log_timeout(p);
    smtp_server_timeout(s->proto);
}

static void on_goodbye(struct peer *p, const char *why)
{
    smtp_server_goodbye(session_of(p)->proto, why);
}

static void on_end(struct peer *p)
{
    struct smtp_session *s = session_of(p);

    smtp_server_free(&s->proto);
    transaction_free(&s->tx);
}

static const char *state_of(const struct peer *p)
{
    return smtp_server_state(session_of(p)->proto);
}

const struct peer_protocol smtp_in_protocol = { .name = "smtp",
                                                .session_size = sizeof(struct smtp_session),
                                                .service = USER_SUBMISSION,
                                                .open = on_open,
                                                .start = on_start,
                                                .feed = on_feed,
                                                .is_waiting = is_waiting,
                                                .is_at_work = is_at_work,
                                                .tls_started = on_tls_started,
                                                .timeout = on_timeout,
                                                .goodbye = on_goodbye,
                                                .end = on_end,
                                                .state = state_of };
