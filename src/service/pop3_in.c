/* POP3 sessions: the INBOX as it was at login, read and deleted from in the user's lane. */
#include "facteur/service/pop3_in.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/mail/body.h"
#include "facteur/proto/pop3_server.h"
#include "facteur/service/login.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <stdio.h>

enum { PIECE = 64 * 1024, UIDL_SIZE = 71 };
#define LEFT_KEYWORD "$POP3Deleted" /* what a client of a user with leave_on_server has deleted (Dovecot's name too) */

struct pop3_session {
    struct peer peer; /* first */
    struct pop3_server *proto;
    struct account *account;
    struct open_mailbox *box; /* locked; or NULL */
    uint32_t uidvalidity;
    struct pop3_message *messages;
    uint32_t *uids;
    const char **uidls; /* those that are not made of numbers; NULL for the others */
    size_t count;
    struct arena arena;
    struct ranges seen;         /* retrieved: marked at QUIT */
    struct account_job *paused; /* goes on when output has drained */
    enum pop3_phase phase;
};

static struct pop3_session *session_of(const struct peer *p)
{
    return LIST_ENTRY(p, struct pop3_session, peer);
}

static void leave_box(struct pop3_session *s)
{
    if (s->box == NULL)
        return;
    s->box->locked = false;
    mailbox_unref(&s->box);
}

/* A client that asks and asks and does not read is not answered until it does. */
static void send_out(struct pop3_session *s, struct slice octets)
{
    peer_send(&s->peer, octets);
    if (stream_is_full(s->peer.stream))
        pop3_server_hold(s->proto, true);
}

static void start(struct pop3_session *s, struct account_job *j)
{
    j->owner = s;
    j->box = s->box;
    account_start(s->account, &s->peer.jobs, j);
}

/* --- opening: the list, and the unique-ids that stand in files --- */

struct open_job {
    struct account_job aj;
    uint32_t folder;
    enum conf_uidl format;
    uint32_t *uids; /* the session's, which may not go before the job: copied */
    size_t count, next;
    const char **uidls;
    struct arena arena;
};

/* RFC 1939 section 7: 1 to 70 octets from 0x21 to 0x7E. File names may be anything. */
static bool is_uidl(struct slice id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] < 0x21 || id.p[i] > 0x7E)
            return false;
    return id.n > 0 && id.n < UIDL_SIZE;
}

static int run_open(struct account_job *aj, struct index *x)
{
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);
    char text[MAILDIR_NAME];

    for (; j->next < j->count; j->next++) {
        int r = index_uidl(x, j->folder, j->uids[j->next], text);

        if (r < 0 && j->format == UIDL_FILE_NAME)
            r = index_base_name(x, j->folder, j->uids[j->next], text);
        if (r >= 0 && is_uidl(slice_str(text)))
            j->uidls[j->next] = arena_str(&j->arena, slice_str(text));
        if ((j->next & 1023) == 1023) {
            j->next++;
            return MORE;
        }
    }
    return DONE;
}

static void open_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);

    if (aj->code == MORE) {
        account_start(s->account, &s->peer.jobs, aj);
        return;
    }
    s->uidls = j->uidls;
    s->arena = j->arena;
    j->uidls = NULL;
    j->arena = (struct arena){ 0 };
    pop3_server_opened(s->proto, aj->code, s->messages, s->count);
    peer_sync_input(&s->peer);
}

static void open_drop(struct account_job *aj)
{
    struct open_job *j = LIST_ENTRY(aj, struct open_job, aj);

    arena_clear(&j->arena);
    mem_free(j->uidls);
    mem_free(j->uids);
    mem_free(j);
}

static void take_list(struct pop3_session *s)
{
    const struct mailbox *m = &s->box->m;
    int bit = mailbox_keyword(m, SLICE_LIT(LEFT_KEYWORD));
    uint64_t left = bit >= 0 ? (uint64_t)1 << bit : 0;

    s->uidvalidity = m->uidvalidity;
    s->messages = mem_array(m->count + 1, sizeof *s->messages);
    s->uids = mem_array(m->count + 1, sizeof *s->uids);
    for (size_t i = 0; i < m->count; i++) {
        if ((m->messages[i].keywords & left) != 0)
            continue;
        s->messages[s->count] = (struct pop3_message){ .size = m->messages[i].size };
        s->uids[s->count++] = m->messages[i].uid;
    }
}

static void opened(void *owner, int code, struct open_mailbox *box, const struct err *e)
{
    struct pop3_session *s = owner;
    struct open_job *j;

    if (code >= 0 && box->locked) {
        mailbox_unref(&box);
        code = -EBUSY;
    }
    if (code < 0) {
        if (code != -EBUSY)
            LOG(ERROR, "mailbox-failed", kv_str("session", s->peer.client.session),
                kv_str("user", s->peer.client.user->name), kv_str("reason", e->text));
        pop3_server_opened(s->proto, code, NULL, 0);
        peer_sync_input(&s->peer);
        return;
    }
    s->box = box;
    box->locked = true;
    take_list(s);
    j = mem_zero(sizeof *j);
    j->folder = box->folder.id;
    j->format = s->peer.config->pop3.uidl;
    j->count = s->count;
    j->uids = mem_array(s->count + 1, sizeof *j->uids);
    memcpy(j->uids, s->uids, s->count * sizeof *j->uids);
    j->uidls = mem_array(s->count + 1, sizeof *j->uidls);
    memset((void *)j->uidls, 0, (s->count + 1) * sizeof *j->uidls);
    j->aj.run = run_open;
    j->aj.done = open_done;
    j->aj.drop = open_drop;
    j->aj.reads_only = true;
    start(s, &j->aj);
}

static void ask_open(void *world)
{
    struct pop3_session *s = world;
    const struct conf_user *user = s->peer.client.user;

    s->account = account_open(peers_flow(s->peer.peers)->mailboxes, user->name, user->quota);
    mailbox_open(s->account, SLICE_LIT("INBOX"), false, &s->peer.jobs, opened, s);
}

static void uidl(void *world, size_t i, char *to)
{
    struct pop3_session *s = world;
    unsigned uid = s->uids[i], validity = s->uidvalidity;

    if (s->uidls[i] != NULL) {
        (void)snprintf(to, UIDL_SIZE, "%s", s->uidls[i]);
        return;
    }
    switch (s->peer.config->pop3.uidl) {
    case UIDL_DOVECOT:
        (void)snprintf(to, UIDL_SIZE, "%08x%08x", uid, validity);
        break;
    case UIDL_UID:
        (void)snprintf(to, UIDL_SIZE, "%u", uid);
        break;
    default:
        (void)snprintf(to, UIDL_SIZE, "%u.%u", validity, uid);
        break;
    }
}

/* --- RETR, TOP: piece by piece --- */

struct retr_job {
    struct account_job aj;
    uint32_t folder, uid;
    uint64_t octets; /* as LIST said */
    int fd;
    uint64_t at;
    uint64_t lines; /* of the body still to be sent */
    bool whole, in_body, line_empty, at_end, begun;
    unsigned wire; /* body_out's state */
    struct buf out;
};

/* How much of a piece TOP lets through: the header, the empty line, and so many lines. */
static size_t cut_lines(struct retr_job *j, struct slice piece)
{
    for (size_t i = 0; i < piece.n; i++) {
        char c = piece.p[i];

        if (j->in_body && j->lines == 0)
            return i;
        if (c == '\n' && j->in_body)
            j->lines--;
        if (c == '\n')
            j->in_body = j->in_body || j->line_empty;
        j->line_empty = c == '\n' || (c == '\r' && j->line_empty);
    }
    return piece.n;
}

static int read_piece(struct retr_job *j)
{
    char *piece = mem_alloc(PIECE);
    ssize_t n = sys->pread(j->fd, piece, PIECE, (off_t)j->at);
    size_t take = n > 0 ? (size_t)n : 0;
    int r = n < 0 ? (int)n : 0;

    if (take > 0 && !j->whole)
        take = cut_lines(j, slice_make(piece, take));
    j->at_end = n <= 0 || take < (size_t)n;
    j->at += take;
    if (r == 0)
        r = body_out(&j->wire, slice_make(piece, take), true, &j->out);
    if (r == 0 && j->at_end)
        r = buf_adds(&j->out, body_out_in_line(j->wire) ? "\r\n.\r\n" : ".\r\n");
    mem_free(piece);
    return r;
}

static int run_retr(struct account_job *aj, struct index *x)
{
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);
    uint64_t size;

    if (j->fd < 0)
        TRY(index_message(x, j->folder, j->uid, &j->fd, &size, &aj->err));
    for (int i = 0; i < 4 && !j->at_end; i++)
        TRY(read_piece(j));
    return j->at_end ? DONE : MORE;
}

static void retr_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);

    if (aj->code < 0 && j->begun) { /* half a message cannot be taken back */
        LOG(ERROR, "message-unreadable", kv_str("session", s->peer.client.session), kv_num("uid", j->uid),
            kv_str("reason", aj->err.text));
        stream_close(s->peer.stream);
        return;
    }
    if (aj->code >= 0 && !j->begun) {
        char line[64];
        int n = j->whole ? snprintf(line, sizeof line, "+OK %llu octets\r\n", (unsigned long long)j->octets)
                         : snprintf(line, sizeof line, "+OK The top follows\r\n");

        send_out(s, slice_make(line, (size_t)n));
        j->begun = true;
    }
    if (aj->code >= 0)
        send_out(s, buf_slice(&j->out));
    buf_reset(&j->out);
    if (aj->code != MORE) {
        if (aj->code == DONE && j->whole)
            (void)!ranges_add(&s->seen, j->uid, j->uid);
        pop3_server_sent(s->proto, aj->code);
        peer_sync_input(&s->peer);
    } else if (stream_is_full(s->peer.stream)) {
        s->paused = aj;
        account_hold(aj);
        peer_deadline(&s->peer, s->peer.config->limits.timeout.data);
    } else {
        account_start(s->account, &s->peer.jobs, aj);
    }
}

static void retr_drop(struct account_job *aj)
{
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);

    if (j->fd >= 0)
        (void)sys->close(j->fd);
    buf_clear(&j->out);
    mem_free(j);
}

static void retrieve(void *world, size_t message, uint64_t lines)
{
    struct pop3_session *s = world;
    struct retr_job *j = mem_zero(sizeof *j);

    j->folder = s->box->folder.id;
    j->uid = s->uids[message];
    j->octets = s->messages[message].size;
    j->whole = lines == UINT64_MAX;
    j->lines = lines;
    j->line_empty = true;
    j->fd = -1;
    buf_init(&j->out, (size_t)16 * PIECE);
    j->aj.run = run_retr;
    j->aj.done = retr_done;
    j->aj.drop = retr_drop;
    j->aj.reads_only = true;
    start(s, &j->aj);
}

/* --- QUIT --- */

struct quit_job {
    struct account_job aj;
    uint32_t folder;
    uint32_t from_seen, from_gone;
    struct ranges seen, gone;
    bool leave, seen_done;
};

static int leave_marked(struct quit_job *j, struct index *x)
{
    struct index_store op = { .how = FLAGS_ADD };
    unsigned bit = 0;

    TRY(index_keyword(x, j->folder, SLICE_LIT(LEFT_KEYWORD), true, &bit, &j->aj.changes, &j->aj.err));
    op.keywords = (uint64_t)1 << bit;
    return index_store(x, j->folder, &j->gone, &j->from_gone, &op, &j->aj.changes, &(struct ranges){ 0 }, &j->aj.err);
}

static int run_quit(struct account_job *aj, struct index *x)
{
    static const struct index_store see = { .how = FLAGS_ADD, .flags = FLAG_SEEN };
    struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    if (!j->seen_done && j->seen.count > 0) {
        int r = index_store(x, j->folder, &j->seen, &j->from_seen, &see, &aj->changes, &(struct ranges){ 0 }, &aj->err);

        if (r != DONE)
            return r;
    }
    j->seen_done = true;
    if (j->gone.count == 0)
        return DONE;
    return j->leave ? leave_marked(j, x)
                    : index_expunge(x, j->folder, &j->gone, &j->from_gone, true, &aj->changes, &aj->err);
}

static void quit_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    const struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    if (aj->code == MORE) {
        account_start(s->account, &s->peer.jobs, aj);
        return;
    }
    LOG(INFO, "fetched", kv_str("session", s->peer.client.session), kv_str("user", s->peer.client.user->name),
        kv_num("retrieved", (int64_t)ranges_count(&s->seen)), kv_num("deleted", (int64_t)ranges_count(&j->gone)),
        kv_str("reason", aj->code < 0 ? aj->err.text : ""));
    leave_box(s); /* who has its +OK may come again at once */
    pop3_server_quit_done(s->proto, aj->code);
}

static void quit_drop(struct account_job *aj)
{
    struct quit_job *j = LIST_ENTRY(aj, struct quit_job, aj);

    ranges_clear(&j->seen);
    ranges_clear(&j->gone);
    mem_free(j);
}

static void ask_quit(void *world)
{
    struct pop3_session *s = world;
    struct quit_job *j = mem_zero(sizeof *j);

    j->folder = s->box->folder.id;
    j->leave = s->peer.client.user->leave_on_server;
    for (size_t i = 0; i < s->count; i++)
        if (s->messages[i].deleted)
            (void)!ranges_add(&j->gone, s->uids[i], s->uids[i]);
    (void)!ranges_copy(&s->seen, &j->seen);
    j->aj.run = run_quit;
    j->aj.done = quit_done;
    j->aj.drop = quit_drop;
    start(s, &j->aj);
}

/* --- the dialogue's host --- */

static void host_send(void *world, struct slice octets)
{
    send_out(world, octets);
}

static void host_start_tls(void *world)
{
    peer_start_tls(&((struct pop3_session *)world)->peer);
}

static void host_close(void *world)
{
    struct pop3_session *s = world;

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
    struct pop3_session *s = world;

    peers_stats(s->peer.peers)->refused++;
    LOG(INFO, "refused", kv_str("session", s->peer.client.session), kv_str("client", s->peer.client.address),
        kv_slice("command", command), kv_str("reply", reply));
}

static const struct pop3_host host = { .send = host_send,
                                       .start_tls = host_start_tls,
                                       .phase = host_phase,
                                       .close = host_close,
                                       .ask_auth = ask_auth,
                                       .scram_keys = scram_keys,
                                       .ask_open = ask_open,
                                       .retrieve = retrieve,
                                       .uidl = uidl,
                                       .ask_quit = ask_quit,
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
    struct account_job *j = s->paused;

    s->paused = NULL;
    if (j != NULL) {
        peer_deadline(p, 0);
        account_start(s->account, &p->jobs, j);
    }
    pop3_server_hold(s->proto, false);
}

static void on_tls_started(struct peer *p)
{
    pop3_server_tls_started(session_of(p)->proto);
}

static void on_timeout(struct peer *p)
{
    peer_log_timeout(p);
    pop3_server_timeout(session_of(p)->proto);
}

static void on_shutdown(struct peer *p)
{
    pop3_server_bye(session_of(p)->proto);
}

static void on_end(struct peer *p)
{
    struct pop3_session *s = session_of(p);

    if (s->paused != NULL)
        account_drop(s->paused);
    s->paused = NULL;
    pop3_server_free(&s->proto);
    leave_box(s);
    account_close(&s->account);
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
                                                .shutdown = on_shutdown,
                                                .end = on_end,
                                                .state = state_of };
