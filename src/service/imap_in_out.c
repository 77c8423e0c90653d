/* What an IMAP client is told, at the pace at which it reads: answers, news, tagged replies. What it has not taken yet
 * waits in `out`, or has not been made; the command under way ends behind it, and no other begins. */
#include "imap_in_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>

enum {
    OUT_KEPT = 32 * 1024, /* an idle session keeps no larger buffer */
    NEWS_FLAGS = 128,     /* messages whose flags are told at a time */
    NEWS_GONE = 4096      /* … and expunged ones */
};

/* --- output --- */

/* What it takes of these now. */
static size_t send_some(struct imap_session *s, struct slice octets)
{
    size_t sent = 0;

    while (sent < octets.n && !stream_is_full(s->peer.stream)) {
        struct slice piece = slice_head(slice_skip(octets, sent), IMAP_OUTPUT);

        peer_send(&s->peer, piece);
        sent += piece.n;
    }
    return sent;
}

void imap_in_flush(struct imap_session *s)
{
    s->out_at += send_some(s, slice_skip(buf_slice(&s->out), s->out_at));
    if (s->out_at == s->out.n) {
        s->out_at = 0;
        if (s->out.cap > OUT_KEPT)
            buf_clear(&s->out);
        else
            buf_reset(&s->out);
    }
    imap_in_count(s);
}

void imap_in_flush_large(struct imap_session *s)
{
    if (s->out.n - s->out_at >= OUT_KEPT)
        imap_in_flush(s);
}

void imap_in_send(struct imap_session *s, struct slice octets)
{
    imap_in_flush(s);
    if (s->out.n == 0)
        octets = slice_skip(octets, send_some(s, octets));
    if (buf_add(&s->out, octets.p, octets.n) < 0)
        peer_close(&s->peer, false); /* a part would not be understood */
    imap_in_count(s);
}

void imap_in_flush_all(struct imap_session *s)
{
    peer_send(&s->peer, slice_skip(buf_slice(&s->out), s->out_at));
    s->out_at = 0;
    buf_clear(&s->out);
    imap_in_count(s);
}

/* The command under way goes on there when the client has taken what it was sent. One that never does, does not keep
 * all this. */
static void wait_for_room(struct imap_session *s, void (*resume)(struct imap_session *))
{
    s->resume = resume;
    peer_deadline(&s->peer, s->peer.config->limits.timeout.data);
}

/* --- news --- */

static void tell_expunge(void *to, uint32_t seq)
{
    struct imap_session *s = to;

    (void)!buf_addf(&s->out, "* %u EXPUNGE\r\n", (unsigned)seq);
    imap_in_flush_large(s);
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

/* Whether there is more to tell than goes out at once: the client has to take some first. */
static bool has_much_to_tell(struct imap_session *s, bool may_expunge)
{
    for (;;) {
        bool gone, flags;

        imap_in_flush(s);
        if (s->out.n > 0)
            return true;
        if (s->box == NULL || s->view.mailbox == NULL)
            return false;
        gone = may_expunge && ranges_count(&s->view.ghosts.set) > NEWS_GONE;
        flags = ranges_count(&s->view.changed) > NEWS_FLAGS;
        if (!gone && !flags)
            return false;
        if (stream_is_full(s->peer.stream))
            return true;
        if (gone)
            (void)view_sync_gone(&s->view, NEWS_GONE, events_of(s), s);
        else
            (void)view_sync_flags(&s->view, NEWS_FLAGS, events_of(s), s);
    }
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
void imap_in_tell_idle(struct imap_session *s)
{
    if (s->idle && s->box != NULL && s->box->gone) {
        imap_server_bye(s->proto, "The mailbox has been deleted or renamed");
        return;
    }
    if (s->idle && !has_much_to_tell(s, true) && !stream_is_full(s->peer.stream))
        imap_in_news(s, true);
}

void imap_in_changed(struct mailbox_view *v)
{
    imap_in_tell_idle(LIST_ENTRY(v, struct imap_session, view));
}

/* --- the end of a command --- */

/* A reply that waits behind news. */
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
    struct imap_late *l = s->late = mem_zero(sizeof *l);

    l->result = *r;
    if (r->code_text == NULL)
        return;
    buf_init(&l->code, r->code_text->n);
    (void)!buf_add(&l->code, r->code_text->p, r->code_text->n);
    l->result.code_text = &l->code;
}

static void reply(struct imap_session *s, const struct imap_result *r)
{
    imap_server_done(s->proto, r);
    peer_sync_input(&s->peer);
}

static void go_on_late(struct imap_session *s)
{
    struct imap_late *l = s->late;

    if (has_much_to_tell(s, imap_server_may_expunge(s->proto))) {
        wait_for_room(s, go_on_late);
        return;
    }
    s->late = NULL;
    reply(s, &l->result);
    late_free(&l);
}

void imap_in_done(struct imap_session *s, struct imap_result r)
{
    s->command = NULL;
    imap_in_hold(s, 0);
    imap_in_append_free(s); /* its literals go with a command, however it ends */
    if (r.status != IMAP_BAD && has_much_to_tell(s, imap_server_may_expunge(s->proto))) {
        reply_late(s, &r);
        wait_for_room(s, go_on_late);
    } else {
        imap_in_flush(s);
        reply(s, &r);
    }
}

struct imap_result imap_in_gone(bool no)
{
    struct imap_result r = imap_no("EXPUNGEISSUED", "Some of these messages have been expunged");

    if (!no)
        r.status = IMAP_OK;
    return r;
}

struct imap_result imap_in_failed(const struct imap_session *s, int code, const struct err *e)
{
    static const int usual[] = { -ENOENT, -EEXIST, -EDQUOT, -EPERM, -EINVAL, -ENOTSUP, -EXFULL };

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (code == usual[i])
            return imap_result_of_error(code);
    LOG(ERROR, "mailbox-failed", kv_str("session", s->peer.client.session),
        kv_str("user", s->peer.client.user != NULL ? s->peer.client.user->name : ""),
        kv_str("reason", e->text[0] != '\0' ? e->text : err_text(code)));
    return imap_result_of_error(code);
}

/* --- work that waits --- */

void imap_in_start(struct imap_session *s, struct account_job *j, bool box)
{
    j->owner = s;
    j->box = box ? s->box : NULL;
    j->origin = box ? &s->view : NULL;
    peer_start_job(&s->peer, j);
}

static void go_on_job(struct imap_session *s)
{
    if (s->peer.paused != NULL)
        imap_in_take_slice(s, s->peer.paused);
    (void)peer_resume_job(&s->peer);
}

bool imap_in_continue(struct imap_session *s, struct account_job *j)
{
    if (!stream_is_full(s->peer.stream)) {
        imap_in_take_slice(s, j);
        peer_start_job(&s->peer, j);
        return true;
    }
    peer_hold_job(&s->peer, j);
    imap_in_hold(s, 0);
    s->resume = go_on_job;
    return false;
}

static void begin(struct imap_session *s)
{
    switch (imap_in_take_turn(s)) {
    case TURN_COME:
        imap_in_run(s, s->command);
        break;
    case TURN_AHEAD:
        imap_in_wait_for_memory(s, begin);
        break;
    case TURN_OVER:
        imap_in_done(s, imap_no("LIMIT", "Too many answers wait for clients that do not read them; try again later"));
        break;
    }
}

void imap_in_begin(struct imap_session *s, const struct imap_command *c)
{
    s->command = c;
    if (stream_is_full(
            s->peer.stream)) /* commands in one packet have answers that together are more than output holds */
        wait_for_room(s, begin);
    else
        begin(s);
}

void imap_in_drained(struct imap_session *s)
{
    void (*resume)(struct imap_session *) = s->resume;

    imap_in_flush(s);
    if (resume == NULL) {
        if (s->phase == IMAP_PHASE_COMMAND)
            peer_deadline(&s->peer, s->peer.config->limits.timeout.imap);
        imap_in_tell_idle(s);
    } else if (stream_is_full(s->peer.stream)) {
        wait_for_room(s, resume);
    } else {
        s->resume = NULL;
        s->wants_memory = false;
        peer_deadline(&s->peer, 0);
        resume(s);
    }
}

void imap_in_end_output(struct imap_session *s)
{
    late_free(&s->late);
    buf_clear(&s->out);
    s->command = NULL;
    imap_in_hold(s, 0);
}
