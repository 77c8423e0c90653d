/* The connection's side of IMAP: dialogue and deadlines. imap_in_out.c is what the client is told and when; what the
 * commands do is in the other imap_in_*.c. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"

static struct imap_session *session_of(const struct peer *p)
{
    return LIST_ENTRY(p, struct imap_session, peer);
}

/* --- what the dialogue asks of us --- */

static void host_send(void *world, struct slice octets)
{
    imap_in_send(world, octets);
}

static void host_start_tls(void *world)
{
    peer_start_tls(&((struct imap_session *)world)->peer);
}

static void host_close(void *world)
{
    struct imap_session *s = world;

    imap_in_flush_all(s);
    peer_close(&s->peer, imap_server_has_quit(s->proto));
}

static int64_t idle_wait(const struct imap_session *s)
{
    const struct config *c = s->peer.config;
    int64_t left = s->idle_until_ms - clock_mono_ms();

    left = left < 1 ? 1 : left;
    return c->imap.keepalive > 0 && c->imap.keepalive < left ? c->imap.keepalive : left;
}

static void host_phase(void *world, enum imap_phase phase)
{
    struct imap_session *s = world;
    const struct conf_limits *limits = &s->peer.config->limits;

    if (phase == IMAP_PHASE_LOGIN && s->phase == phase)
        return; /* one deadline for all of it */
    s->phase = phase;
    switch (phase) {
    case IMAP_PHASE_LOGIN:
        peer_deadline(&s->peer, limits->timeout.login);
        break;
    case IMAP_PHASE_COMMAND: /* who does not read does not keep what it was sent for so long */
        peer_deadline(&s->peer, stream_is_full(s->peer.stream) ? limits->timeout.data : limits->timeout.imap);
        break;
    case IMAP_PHASE_LITERAL:
        peer_deadline(&s->peer, limits->timeout.data);
        break;
    case IMAP_PHASE_IDLE:
        s->idle_until_ms = clock_mono_ms() + limits->timeout.imap;
        peer_deadline(&s->peer, idle_wait(s));
        break;
    case IMAP_PHASE_TLS:
        break; /* peer_start_tls has set it */
    case IMAP_PHASE_OURS:
        if (s->resume == NULL) /* else there is one for the client to read */
            peer_deadline(&s->peer, 0);
        break;
    }
}

static void logged_in(struct imap_session *s, const struct verdict *v)
{
    if (verdict_is_ok(v) && s->peer.client.user != NULL && s->peer.account == NULL)
        s->peer.account = peer_open_account(&s->peer);
}

static void login_answered(struct peer *p, const struct verdict *v)
{
    struct imap_session *s = session_of(p);

    logged_in(s, v);
    imap_server_auth(s->proto, v);
    peer_sync_input(p);
}

static enum when ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    struct imap_session *s = world;
    enum when when = login_ask(&s->peer, attempt, USER_IMAP, login_answered, ret);

    if (when == NOW)
        logged_in(s, ret);
    return when;
}

static void scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    login_scram_keys(&((struct imap_session *)world)->peer, user, ret);
}

static void (*const commands[IMAP_VERB_COUNT])(struct imap_session *, const struct imap_command *) = {
    [IMAP_NOOP] = imap_in_check,          [IMAP_CHECK] = imap_in_check,      [IMAP_SELECT] = imap_in_select,
    [IMAP_EXAMINE] = imap_in_select,      [IMAP_CLOSE] = imap_in_close,      [IMAP_UNSELECT] = imap_in_close,
    [IMAP_EXPUNGE] = imap_in_expunge,     [IMAP_STORE] = imap_in_store,      [IMAP_FETCH] = imap_in_fetch,
    [IMAP_SEARCH] = imap_in_search,       [IMAP_SORT] = imap_in_search,      [IMAP_THREAD] = imap_in_search,
    [IMAP_COPY] = imap_in_copy,           [IMAP_MOVE] = imap_in_copy,        [IMAP_APPEND] = imap_in_append,
    [IMAP_REPLACE] = imap_in_append,      [IMAP_LIST] = imap_in_list,        [IMAP_LSUB] = imap_in_list,
    [IMAP_STATUS] = imap_in_status,       [IMAP_CREATE] = imap_in_folder,    [IMAP_DELETE] = imap_in_folder,
    [IMAP_RENAME] = imap_in_folder,       [IMAP_SUBSCRIBE] = imap_in_folder, [IMAP_UNSUBSCRIBE] = imap_in_folder,
    [IMAP_NAMESPACE] = imap_in_namespace, [IMAP_GETQUOTA] = imap_in_quota,   [IMAP_GETQUOTAROOT] = imap_in_quota,
    [IMAP_SETQUOTA] = imap_in_quota,
};

/* What a CONDSTORE parameter or MODSEQ turns on; the client then has to know where it is (RFC 7162 section 3.1.2.1). */
static void turn_on(struct imap_session *s, const struct imap_command *c)
{
    bool fresh = (c->enable & ~imap_server_enabled(s->proto) & ENABLE_CONDSTORE) != 0;

    imap_server_enable(s->proto, c->enable);
    if (fresh && s->box != NULL && c->verb != IMAP_SELECT && c->verb != IMAP_EXAMINE)
        (void)!buf_addf(&s->out, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)s->box->m.modseq);
}

void imap_in_run(struct imap_session *s, const struct imap_command *c)
{
    turn_on(s, c);
    if (s->box != NULL && s->box->gone) {
        imap_in_unselect(s);
        imap_server_selected(s->proto, false, false);
        imap_in_send(s, SLICE_LIT("* OK [CLOSED] The mailbox has been deleted or renamed\r\n"));
        if (imap_is_of_mailbox(c->verb)) {
            imap_in_done(s, imap_no("NONEXISTENT", "The mailbox has been deleted or renamed"));
            return;
        }
    }
    commands[c->verb](s, c);
}

static void begin(void *world, const struct imap_command *c)
{
    imap_in_begin(world, c);
}

static void news(void *world, bool may_expunge)
{
    imap_in_news(world, may_expunge);
}

static void idle(void *world, bool on)
{
    struct imap_session *s = world;

    s->idle = on;
    imap_in_tell_idle(s);
}

static void refused(void *world, const char *reply, struct slice command)
{
    peer_log_refused(&((struct imap_session *)world)->peer, reply, command);
}

static void identified(void *world, struct slice parameters)
{
    struct imap_session *s = world;

    LOG(INFO, "client", kv_str("session", s->peer.client.session), kv_slice("id", slice_head(parameters, 256)));
}

static const struct imap_host host = { .send = host_send,
                                       .start_tls = host_start_tls,
                                       .phase = host_phase,
                                       .close = host_close,
                                       .ask_auth = ask_auth,
                                       .scram_keys = scram_keys,
                                       .run = begin,
                                       .ask_append = imap_in_ask_append,
                                       .append_body = imap_in_append_body,
                                       .append_end = imap_in_append_end,
                                       .append_abort = imap_in_append_abort,
                                       .news = news,
                                       .idle = idle,
                                       .refused = refused,
                                       .id = identified };

void imap_in_unselect(struct imap_session *s)
{
    if (s->box == NULL)
        return;
    view_close(&s->view);
    mailbox_unref(&s->box);
    ranges_clear(&s->saved);
}

/* --- the connection --- */

static struct imap_server_options make_options(const struct peer *p)
{
    const struct config *c = p->config;

    return (struct imap_server_options){
        .hostname = c->hostname,
        .tls_offered = p->listener->tls == TLS_STARTTLS && p->tls != NULL,
        .tls_active = p->listener->tls == TLS_IMPLICIT,
        .auth_without_tls = ip_is_loopback(&p->client.ip),
        .auth = { c->auth.plain, c->auth.login, c->auth.scram },
        .append_limit = c->limits.message_size,
        .line_length = (size_t)c->limits.imap_line_length,
        .errors = c->limits.errors,
        .auth_failures = c->limits.auth_failures,
        .limits = { c->limits.search_depth, c->limits.search_keys, c->limits.set_pieces },
    };
}

static void on_open(struct peer *p)
{
    struct imap_session *s = session_of(p);
    struct imap_server_options options = make_options(p);

    buf_init(&s->out, IMAP_OUT);
    s->phase = IMAP_PHASE_TLS;
    s->proto = imap_server_new(&options, &host, s);
}

static void on_start(struct peer *p)
{
    struct imap_session *s = session_of(p);

    if (verdict_is_ok(&p->verdict))
        imap_server_start(s->proto);
    else
        imap_server_refuse(s->proto, &p->verdict);
}

static void on_feed(struct peer *p, struct slice octets)
{
    imap_server_feed(session_of(p)->proto, octets);
}

static bool is_waiting(const struct peer *p)
{
    return imap_server_is_waiting(session_of(p)->proto);
}

static void on_drained(struct peer *p)
{
    imap_in_drained(session_of(p));
}

static void on_tls_started(struct peer *p)
{
    imap_server_tls_started(session_of(p)->proto);
}

static void on_timeout(struct peer *p)
{
    struct imap_session *s = session_of(p);

    if (s->phase == IMAP_PHASE_IDLE && clock_mono_ms() < s->idle_until_ms) {
        if (!stream_is_full(p->stream))
            imap_in_send(s, SLICE_LIT("* OK Still here\r\n"));
        peer_deadline(p, idle_wait(s));
        return;
    }
    if (imap_in_look_again(s))
        return;
    peer_log_timeout(p);
    if (s->resume != NULL) { /* in the middle of an answer, where no BYE would be understood */
        peer_close(p, false);
        return;
    }
    imap_server_timeout(s->proto);
}

static void on_goodbye(struct peer *p, const char *why)
{
    imap_server_bye(session_of(p)->proto, why);
}

static void on_end(struct peer *p)
{
    struct imap_session *s = session_of(p);

    imap_in_end_output(s);
    imap_server_free(&s->proto);
    imap_in_append_free(s);
    imap_in_unselect(s);
}

static const char *state_of(const struct peer *p)
{
    return imap_server_state(session_of(p)->proto);
}

const struct peer_protocol imap_in_protocol = { .name = "imap",
                                                .session_size = sizeof(struct imap_session),
                                                .service = USER_IMAP,
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
