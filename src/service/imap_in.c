/* The connection's side of IMAP: dialogue, deadlines, news. What the commands do is in imap_in_*.c. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

enum { OUT_MAX = 1024 * 1024, OUT_FLUSH = 32 * 1024, NEWS_SLICE = 128 };

static struct imap_session *session_of(const struct peer *p)
{
    return LIST_ENTRY(p, struct imap_session, peer);
}

/* --- output --- */

void imap_in_send(struct imap_session *s, struct slice octets)
{
    peer_send(&s->peer, octets);
}

void imap_in_flush(struct imap_session *s)
{
    if (s->out.n > 0)
        peer_send(&s->peer, buf_slice(&s->out));
    if (s->out.cap > OUT_FLUSH)
        buf_clear(&s->out); /* an idle session keeps no large buffer */
    else
        buf_reset(&s->out);
}

static void flush_when_large(struct imap_session *s)
{
    if (s->out.n >= OUT_FLUSH)
        imap_in_flush(s);
}

/* --- news --- */

static void tell_expunge(void *to, uint32_t seq)
{
    struct imap_session *s = to;

    (void)!buf_addf(&s->out, "* %u EXPUNGE\r\n", (unsigned)seq);
    flush_when_large(s);
}

static void tell_vanished(void *to, const struct ranges *uids)
{
    struct imap_session *s = to;

    imap_in_write_vanished(s, uids, false);
}

static void tell_exists(void *to, uint32_t count)
{
    struct imap_session *s = to;

    (void)!buf_addf(&s->out, "* %u EXISTS\r\n", (unsigned)count);
}

static void tell_recent(void *to, uint32_t count)
{
    struct imap_session *s = to;

    (void)!buf_addf(&s->out, "* %u RECENT\r\n", (unsigned)count);
}

static void tell_keywords(void *to)
{
    imap_in_write_flag_list(to);
}

static void tell_flags(void *to, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    struct imap_session *s = to;

    imap_in_write_flags(s, seq, m, recent);
}

static const struct view_events news_events = {
    tell_expunge, NULL, tell_exists, tell_recent, tell_keywords, tell_flags
};
static const struct view_events qresync_events = { tell_expunge, tell_vanished, tell_exists,
                                                   tell_recent,  tell_keywords, tell_flags };
static const struct view_events rev2_events = { tell_expunge, NULL, tell_exists, NULL, tell_keywords, tell_flags };
static const struct view_events rev2_qresync_events = { tell_expunge, tell_vanished, tell_exists,
                                                        NULL,         tell_keywords, tell_flags };

static const struct view_events *events_of(const struct imap_session *s)
{
    unsigned enabled = imap_server_enabled(s->proto);
    bool qresync = (enabled & ENABLE_QRESYNC) != 0;

    if ((enabled & ENABLE_REV2) != 0)
        return qresync ? &rev2_qresync_events : &rev2_events;
    return qresync ? &qresync_events : &news_events;
}

/* Flags of many messages, which together are more than output holds, are told as the client takes them. True: it has to
 * take some first. */
static bool has_much_to_tell(struct imap_session *s)
{
    while (s->box != NULL && s->view.mailbox != NULL && ranges_count(&s->view.changed) > NEWS_SLICE) {
        if (stream_is_full(s->peer.stream))
            return true;
        (void)view_sync_some(&s->view, NEWS_SLICE, events_of(s), s);
        imap_in_flush(s);
    }
    return false;
}

void imap_in_news(struct imap_session *s, bool may_expunge)
{
    bool qresync = (imap_server_enabled(s->proto) & ENABLE_QRESYNC) != 0;

    if (s->box == NULL || s->view.mailbox == NULL)
        return;
    if (view_has_news(&s->view, may_expunge))
        view_sync(&s->view, may_expunge, events_of(s), s);
    if (may_expunge || s->view.ghosts.set.count == 0)
        s->told_modseq = s->box->m.modseq;
    else if (
        qresync) /* RFC 7162 3.2.5: or it takes MODSEQs beyond the EXPUNGE that it has not heard of for all it knows */
        (void)!buf_addf(&s->out, "* OK [HIGHESTMODSEQ %llu] Known so far\r\n", (unsigned long long)s->told_modseq);
    imap_in_flush(s);
}

/* In IDLE what happens is told in the same turn; a client that does not read hears of it when it does. */
static void tell_idle(struct imap_session *s)
{
    if (s->idle && s->box != NULL && s->box->gone) {
        imap_server_bye(s->proto, "The mailbox has been deleted or renamed");
        return;
    }
    if (s->idle && !has_much_to_tell(s) && !stream_is_full(s->peer.stream))
        imap_in_news(s, true);
}

void imap_in_changed(struct mailbox_view *v)
{
    tell_idle(LIST_ENTRY(v, struct imap_session, view));
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
    case IMAP_PHASE_COMMAND:
        peer_deadline(&s->peer, limits->timeout.imap);
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
        peer_deadline(&s->peer, 0);
        break;
    }
}

static void logged_in(struct imap_session *s, const struct verdict *v)
{
    const struct conf_user *user = s->peer.client.user;

    if (!verdict_is_ok(v) || user == NULL || s->account != NULL)
        return;
    s->account = account_open(peers_flow(s->peer.peers)->mailboxes, user->name, user->quota);
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

static void run(void *world, const struct imap_command *c)
{
    struct imap_session *s = world;

    s->command = c;
    turn_on(s, c);
    if (s->box != NULL && s->box->gone) {
        imap_in_unselect(s);
        imap_server_selected(s->proto, false, false);
        if (c->verb != IMAP_SELECT && c->verb != IMAP_EXAMINE) {
            imap_in_done(s, imap_no("NONEXISTENT", "The mailbox has been deleted or renamed"));
            return;
        }
    }
    commands[c->verb](s, c);
}

static void news(void *world, bool may_expunge)
{
    imap_in_news(world, may_expunge);
}

static void idle(void *world, bool on)
{
    struct imap_session *s = world;

    s->idle = on;
    tell_idle(s);
}

static void refused(void *world, const char *reply, struct slice command)
{
    struct imap_session *s = world;

    peers_stats(s->peer.peers)->refused++;
    LOG(INFO, "refused", kv_str("session", s->peer.client.session), kv_str("client", s->peer.client.address),
        kv_str("user", s->peer.client.user != NULL ? s->peer.client.user->name : ""), kv_slice("command", command),
        kv_str("reply", reply));
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
                                       .run = run,
                                       .ask_append = imap_in_ask_append,
                                       .append_body = imap_in_append_body,
                                       .append_end = imap_in_append_end,
                                       .append_abort = imap_in_append_abort,
                                       .news = news,
                                       .idle = idle,
                                       .refused = refused,
                                       .id = identified };

/* --- what the commands share --- */

/* The reply waits behind news. */
struct imap_late {
    struct imap_result result;
    struct buf code;
};

static void late_free(struct imap_late **l)
{
    if (*l == NULL)
        return;
    buf_clear(&(*l)->code);
    mem_free(*l);
    *l = NULL;
}

static void reply_late(struct imap_session *s, const struct imap_result *r)
{
    struct imap_late *l = mem_zero(sizeof *l);

    l->result = *r;
    if (r->code_text != NULL) {
        buf_init(&l->code, r->code_text->n);
        (void)!buf_add(&l->code, r->code_text->p, r->code_text->n);
        l->result.code_text = &l->code;
    }
    s->late = l;
    peer_deadline(&s->peer, s->peer.config->limits.timeout.data); /* as in imap_in_continue */
}

void imap_in_done(struct imap_session *s, struct imap_result r)
{
    imap_in_flush(s);
    s->command = NULL;
    s->paused = NULL;
    if (r.status != IMAP_BAD && has_much_to_tell(s)) {
        reply_late(s, &r);
        return;
    }
    imap_server_done(s->proto, &r);
    peer_sync_input(&s->peer);
}

static void go_on_late(struct imap_session *s)
{
    struct imap_late *l = s->late;

    s->late = NULL;
    peer_deadline(&s->peer, 0);
    imap_in_done(s, l->result);
    late_free(&l);
}

struct imap_result imap_in_failed(const struct imap_session *s, int code, const struct err *e)
{
    static const int usual[] = { -ENOENT, -EEXIST, -EDQUOT, -EPERM, -EINVAL, -ENOTSUP };

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (code == usual[i])
            return imap_result_of_error(code);
    LOG(ERROR, "mailbox-failed", kv_str("session", s->peer.client.session),
        kv_str("user", s->peer.client.user != NULL ? s->peer.client.user->name : ""),
        kv_str("reason", e->text[0] != '\0' ? e->text : err_text(code)));
    return imap_result_of_error(code);
}

void imap_in_start(struct imap_session *s, struct account_job *j, bool box)
{
    j->owner = s;
    j->box = box ? s->box : NULL;
    j->origin = box ? &s->view : NULL;
    imap_in_continue(s, j); /* commands in one packet have answers that together are more than output holds */
}

void imap_in_continue(struct imap_session *s, struct account_job *j)
{
    if (!stream_is_full(s->peer.stream)) {
        account_start(s->account, &s->peer.jobs, j);
        return;
    }
    s->paused = j;
    account_hold(j);
    peer_deadline(&s->peer, s->peer.config->limits.timeout.data); /* a client that never reads does not keep all this */
}

void imap_in_unselect(struct imap_session *s)
{
    if (s->box == NULL)
        return;
    view_close(&s->view);
    mailbox_unref(&s->box);
    ranges_clear(&s->saved);
}

int imap_in_set_uids(struct imap_session *s, const struct imap_set *set, bool uid, struct ranges *ret, bool *ret_beyond)
{
    uint32_t last = uid ? view_last_uid(&s->view) : view_count(&s->view);
    struct ranges given = { 0 };
    bool beyond = false;
    int r = 0;

    if (ret_beyond != NULL)
        *ret_beyond = false;
    if (set->saved)
        return view_uids(&s->view, &s->saved, ret);
    for (size_t i = 0; i < set->count && r == 0; i++) {
        uint32_t from = set->pieces[i].from != 0 ? set->pieces[i].from : last;
        uint32_t to = set->pieces[i].to != 0 ? set->pieces[i].to : last;

        if (from != 0 && to != 0)
            r = ranges_add(&given, from, to);
        else
            beyond = beyond || !uid; /* "*" of an empty mailbox */
    }
    if (r == 0 && uid)
        r = view_uids(&s->view, &given, ret);
    else if (r == 0 && !beyond)
        r = view_uids_of_seqs(&s->view, &given, ret, &beyond);
    if (ret_beyond != NULL)
        *ret_beyond = beyond;
    ranges_clear(&given);
    return r;
}

bool imap_in_has_ghosts(const struct imap_session *s, const struct ranges *uids)
{
    struct ranges gone = { 0 };
    bool some;

    if (ranges_copy(&s->view.ghosts.set, &gone) < 0 || ranges_keep(&gone, uids) < 0)
        ranges_clear(&gone);
    some = gone.count > 0;
    ranges_clear(&gone);
    return some;
}

int imap_in_uids(struct imap_session *s, const struct imap_command *c, struct ranges *ret, bool *ret_beyond)
{
    return imap_in_set_uids(s, &c->set, c->uid, ret, ret_beyond);
}

/* Names that FLAGS lists. */
static void write_flag_names(struct imap_session *s)
{
    const struct mailbox *m = &s->box->m;

    (void)!buf_adds(&s->out, "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded");
    for (unsigned i = 0; i < m->keyword_count; i++)
        (void)!buf_addf(&s->out, " %s", m->keywords[i]);
}

void imap_in_write_flag_list(struct imap_session *s)
{
    (void)!buf_adds(&s->out, "* FLAGS (");
    write_flag_names(s);
    (void)!buf_adds(&s->out, ")\r\n* OK [PERMANENTFLAGS (");
    if (!s->view.read_only) {
        write_flag_names(s);
        if (s->box->m.keyword_count < s->peer.config->limits.keywords)
            (void)!buf_adds(&s->out, " \\*");
    }
    (void)!buf_adds(&s->out, ")] These are kept\r\n");
    flush_when_large(s);
}

void imap_in_write_flags(struct imap_session *s, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    unsigned enabled = imap_server_enabled(s->proto);
    bool uid = (enabled & ENABLE_QRESYNC) != 0 || (s->command != NULL && s->command->uid);

    (void)!buf_addf(&s->out, "* %u FETCH (", (unsigned)seq);
    if (uid)
        (void)!buf_addf(&s->out, "UID %u ", (unsigned)m->uid);
    if ((enabled & ENABLE_CONDSTORE) != 0)
        (void)!buf_addf(&s->out, "MODSEQ (%llu) ", (unsigned long long)m->modseq);
    (void)!buf_adds(&s->out, "FLAGS ");
    (void)!imap_write_flags(&s->out, m->flags, m->keywords, (const char *const *)s->box->m.keywords,
                            s->box->m.keyword_count, recent && (enabled & ENABLE_REV2) == 0);
    (void)!buf_adds(&s->out, ")\r\n");
    flush_when_large(s);
}

/* In pieces: a line with a hundred thousand numbers is more than some clients take. */
void imap_in_write_vanished(struct imap_session *s, const struct ranges *uids, bool earlier)
{
    enum { PIECES = 1000 };

    for (size_t i = 0; i < uids->count; i += PIECES) {
        struct ranges piece = { uids->items + i, uids->count - i < PIECES ? uids->count - i : PIECES, 0 };

        (void)!buf_adds(&s->out, earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
        (void)!ranges_format(&piece, &s->out);
        (void)!buf_adds(&s->out, "\r\n");
        flush_when_large(s);
    }
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

    buf_init(&s->out, OUT_MAX);
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
    struct imap_session *s = session_of(p);
    struct account_job *j = s->paused;

    s->paused = NULL;
    if (j != NULL) {
        peer_deadline(p, 0);
        account_start(s->account, &p->jobs, j);
    }
    if (s->late != NULL)
        go_on_late(s);
    tell_idle(s);
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
    peer_log_timeout(p);
    if (s->paused != NULL || s->late != NULL) { /* in the middle of an answer, where no BYE would be understood */
        peer_close(p, false);
        return;
    }
    imap_server_timeout(s->proto);
}

static void on_shutdown(struct peer *p)
{
    imap_server_bye(session_of(p)->proto, "The server is shutting down");
}

static void on_end(struct peer *p)
{
    struct imap_session *s = session_of(p);

    if (s->paused != NULL)
        account_drop(s->paused);
    s->paused = NULL;
    late_free(&s->late);
    imap_server_free(&s->proto);
    imap_in_append_free(s);
    imap_in_unselect(s);
    account_close(&s->account);
    buf_clear(&s->out);
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
                                                .shutdown = on_shutdown,
                                                .end = on_end,
                                                .state = state_of };
