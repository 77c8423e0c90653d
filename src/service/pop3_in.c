/* POP3 sessions: the INBOX as it was at login, read and deleted from in the user's lane. This is the connection; what
 * happens to the mailbox is in the other pop3_in_*.c. */
#include "pop3_in_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/service/login.h"

static struct pop3_session *session_of(const struct peer *p)
{
    return LIST_ENTRY(p, struct pop3_session, peer);
}

void pop3_in_leave(struct pop3_session *s)
{
    if (s->box == NULL)
        return;
    s->box->locked = false;
    mailbox_unref(&s->box);
}

void pop3_in_send(struct pop3_session *s, struct slice octets)
{
    peer_send(&s->peer, octets);
    if (stream_is_full(s->peer.stream))
        pop3_server_hold(s->proto, true);
}

void pop3_in_start(struct pop3_session *s, struct account_job *j)
{
    j->owner = s;
    j->box = s->box;
    peer_start_job(&s->peer, j);
}

/* --- the dialogue's host --- */

static void host_send(void *world, struct slice octets)
{
    pop3_in_send(world, octets);
}

static void host_start_tls(void *world)
{
    peer_start_tls(&((struct pop3_session *)world)->peer);
}

static void host_close(void *world)
{
    struct pop3_session *s = world;

    pop3_in_leave(s); /* not when the connection ends: the client may not hear of it, or not read, for a while */
    peer_close(&s->peer, pop3_server_has_quit(s->proto));
}

static void host_phase(void *world, enum pop3_phase phase)
{
    struct pop3_session *s = world;
    const struct conf_limits *limits = &s->peer.config->limits;

    if (phase == POP3_PHASE_LOGIN && s->phase == phase)
        return; /* one deadline for all of it */
    s->phase = phase;
    if (phase == POP3_PHASE_LOGIN)
        peer_deadline(&s->peer, limits->timeout.login);
    else if (phase != POP3_PHASE_TLS)
        peer_deadline(&s->peer, phase == POP3_PHASE_COMMAND ? limits->timeout.pop3 : 0);
}

static void login_answered(struct peer *p, const struct verdict *v)
{
    pop3_server_auth(session_of(p)->proto, v);
    peer_sync_input(p);
}

static enum when ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    return login_ask(&((struct pop3_session *)world)->peer, attempt, USER_POP3, login_answered, ret);
}

static void scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    login_scram_keys(&((struct pop3_session *)world)->peer, user, ret);
}

static void refused(void *world, const char *reply, struct slice command)
{
    peer_log_refused(&((struct pop3_session *)world)->peer, reply, command);
}

static const struct pop3_host host = { .send = host_send,
                                       .start_tls = host_start_tls,
                                       .phase = host_phase,
                                       .close = host_close,
                                       .ask_auth = ask_auth,
                                       .scram_keys = scram_keys,
                                       .ask_open = pop3_in_open,
                                       .retrieve = pop3_in_retrieve,
                                       .uidl = pop3_in_uidl,
                                       .ask_quit = pop3_in_quit,
                                       .refused = refused };

/* --- the connection --- */

static void on_open(struct peer *p)
{
    struct pop3_session *s = session_of(p);
    const struct config *c = p->config;
    struct pop3_server_options options = { .hostname = c->hostname,
                                           .tls_offered = p->listener->tls == TLS_STARTTLS && p->tls != NULL,
                                           .tls_active = p->listener->tls == TLS_IMPLICIT,
                                           .auth_without_tls = ip_is_loopback(&p->client.ip),
                                           .auth = { c->auth.plain, c->auth.login, c->auth.scram },
                                           .errors = c->limits.errors,
                                           .auth_failures = c->limits.auth_failures };

    s->phase = POP3_PHASE_TLS;
    s->proto = pop3_server_new(&options, &host, s);
}

static void on_start(struct peer *p)
{
    if (verdict_is_ok(&p->verdict))
        pop3_server_start(session_of(p)->proto);
    else
        pop3_server_refuse(session_of(p)->proto, &p->verdict);
}

static void on_feed(struct peer *p, struct slice octets)
{
    pop3_server_feed(session_of(p)->proto, octets);
}

static bool is_waiting(const struct peer *p)
{
    return pop3_server_is_waiting(session_of(p)->proto);
}

static void on_drained(struct peer *p)
{
    struct pop3_session *s = session_of(p);

    pop3_in_resume(s);
    pop3_server_hold(s->proto, false);
}

static void on_tls_started(struct peer *p)
{
    pop3_server_tls_started(session_of(p)->proto);
}

static void on_timeout(struct peer *p)
{
    if (pop3_in_look_again(session_of(p)))
        return;
    peer_log_timeout(p);
    pop3_server_timeout(session_of(p)->proto);
}

static void on_goodbye(struct peer *p, const char *why)
{
    struct pop3_session *s = session_of(p);

    if (s->waits != NULL)
        pop3_in_give_up(s);
    pop3_server_bye(s->proto, why);
}

static void on_end(struct peer *p)
{
    struct pop3_session *s = session_of(p);

    if (s->waits != NULL)
        s->waits->drop(s->waits);
    s->waits = NULL;
    peer_count_output(p, 0);
    pop3_server_free(&s->proto);
    pop3_in_leave(s);
    ranges_clear(&s->seen);
    arena_clear(&s->arena);
    mem_free(s->messages);
    mem_free(s->uids);
    mem_free((void *)s->uidls);
}

static const char *state_of(const struct peer *p)
{
    return pop3_server_state(session_of(p)->proto);
}

const struct peer_protocol pop3_in_protocol = { .name = "pop3",
                                                .session_size = sizeof(struct pop3_session),
                                                .service = USER_POP3,
                                                .open = on_open,
                                                .start = on_start,
                                                .feed = on_feed,
                                                .is_waiting = is_waiting,
                                                .drained = on_drained,
                                                .tls_started = on_tls_started,
                                                .timeout = on_timeout,
                                                .goodbye = on_goodbye,
                                                .end = on_end,
                                                .state = state_of };
