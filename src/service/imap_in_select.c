/* SELECT, EXAMINE, CLOSE, UNSELECT, NOOP, CHECK, EXPUNGE. */
#include "imap_in_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* --- SELECT, EXAMINE --- */

static void write_first_unseen(struct imap_session *s)
{
    const struct mailbox *m = &s->box->m;

    for (size_t i = 0; i < m->count; i++) {
        if ((m->messages[i].flags & FLAG_SEEN) != 0)
            continue;
        (void)!buf_addf(&s->out, "* OK [UNSEEN %zu] First unseen\r\n", i + 1);
        return;
    }
}

static void write_selected(struct imap_session *s, const struct imap_command *c)
{
    const struct open_mailbox *box = s->box;
    bool rev2 = (imap_server_enabled(s->proto) & ENABLE_REV2) != 0;

    imap_in_write_flag_list(s);
    (void)!buf_addf(&s->out, "* %u EXISTS\r\n", (unsigned)view_count(&s->view));
    if (!rev2) {
        (void)!buf_addf(&s->out, "* %llu RECENT\r\n", (unsigned long long)ranges_count(&s->view.recent));
        write_first_unseen(s);
    }
    (void)!buf_addf(&s->out,
                    "* OK [UIDVALIDITY %u] UIDs valid\r\n* OK [UIDNEXT %u] Predicted next UID\r\n"
                    "* OK [HIGHESTMODSEQ %llu] Highest\r\n* OK [MAILBOXID (%s)] Ok\r\n",
                    (unsigned)box->m.uidvalidity, (unsigned)box->m.uidnext, (unsigned long long)box->m.modseq,
                    box->folder.mailbox_id);
    if (rev2) {
        (void)!buf_adds(&s->out, "* LIST () \"/\" ");
        (void)!imap_write_mailbox(&s->out, c->mailbox, imap_server_names_utf8(s->proto));
        (void)!buf_adds(&s->out, "\r\n");
    }
}

static void selected(struct imap_session *s, const struct imap_command *c)
{
    bool read_only = c->verb == IMAP_EXAMINE;
    struct imap_result r = imap_ok("%s completed", read_only ? "EXAMINE" : "SELECT");

    (void)!slice_copy(slice_str(read_only ? "READ-ONLY" : "READ-WRITE"), r.code, sizeof r.code);
    imap_server_selected(s->proto, true, read_only);
    imap_in_done(s, r);
}

/* --- QRESYNC: what has gone and what has changed since the client was last here --- */

struct vanished_job {
    struct account_job aj;
    uint32_t folder;
    uint64_t since;
    struct ranges gone;
    bool told;     /* what has gone; then the job is only there to wait for */
    uint32_t from; /* where telling what has changed goes on */
};

static int run_vanished(struct account_job *aj, struct index *x)
{
    struct vanished_job *j = LIST_ENTRY(aj, struct vanished_job, aj);

    return j->told ? DONE : index_vanished(x, j->folder, j->since, &j->gone, &aj->err);
}

/* What went after EXISTS was said is counted in it: it is told as any other news. */
static void leave_ghosts(struct ranges *gone, const struct ranges *ghosts)
{
    for (size_t i = 0; i < ghosts->count; i++)
        (void)!ranges_remove(gone, ghosts->items[i].from, ghosts->items[i].to);
}

/* Also when the list is cut short by a failure: the client then learns of the rest when it looks. */
static void tell_gone(struct imap_session *s, struct vanished_job *j, const struct ranges *known)
{
    if (known->count > 0 && ranges_keep(&j->gone, known) < 0)
        ranges_clear(&j->gone);
    leave_ghosts(&j->gone, &s->view.ghosts.set);
    imap_in_write_vanished(s, &j->gone, true);
    j->told = true;
}

/* As much as output takes: all of a large mailbox is more than it holds. */
static int tell_changed(struct imap_session *s, struct vanished_job *j, const struct imap_command *c)
{
    const struct mailbox *m = &s->box->m;
    const struct ranges *known = &c->select.known_uids;

    for (size_t i = mailbox_index(m, j->from); i < m->count; i++) {
        const struct mailbox_message *message = &m->messages[i];
        uint32_t seq = message->modseq > c->select.modseq ? view_seq(&s->view, message->uid) : 0;

        if (seq == 0 || (known->count > 0 && !ranges_has(known, message->uid)))
            continue;
        if (stream_is_full(s->peer.stream)) {
            j->from = message->uid;
            return MORE;
        }
        imap_in_write_flags(s, seq, message, ranges_has(&s->view.recent, message->uid));
    }
    return DONE;
}

static void vanished_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct vanished_job *j = LIST_ENTRY(aj, struct vanished_job, aj);
    const struct imap_command *c = s->command;

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    if (!j->told)
        tell_gone(s, j, &c->select.known_uids);
    if (tell_changed(s, j, c) == MORE)
        (void)imap_in_continue(s, aj);
    else
        selected(s, c);
}

static void vanished_drop(struct account_job *aj)
{
    struct vanished_job *j = LIST_ENTRY(aj, struct vanished_job, aj);

    ranges_clear(&j->gone);
    mem_free(j);
}

static void resync(struct imap_session *s, const struct imap_command *c)
{
    struct vanished_job *j = mem_zero(sizeof *j);

    j->folder = s->box->folder.id;
    j->since = c->select.modseq;
    j->aj.run = run_vanished;
    j->aj.done = vanished_done;
    j->aj.drop = vanished_drop;
    imap_in_start(s, &j->aj, true);
}

static void opened(void *owner, int code, struct open_mailbox *box, const struct err *e)
{
    struct imap_session *s = owner;
    const struct imap_command *c = s->command;

    if (code < 0) {
        imap_server_selected(s->proto, false, false);
        imap_in_done(s,
                     code == -ENOENT ? imap_no("NONEXISTENT", "There is no such mailbox") : imap_in_failed(s, code, e));
        return;
    }
    s->box = box;
    view_open(&s->view, &box->m, c->verb == IMAP_EXAMINE);
    s->view.on_change = imap_in_changed;
    s->told_modseq = box->m.modseq;
    write_selected(s, c);
    if (c->select.qresync && c->select.uidvalidity == box->m.uidvalidity)
        resync(s, c);
    else
        selected(s, c);
}

void imap_in_select(struct imap_session *s, const struct imap_command *c)
{
    if (s->box != NULL) {
        (void)!buf_adds(&s->out, "* OK [CLOSED] The former mailbox is closed\r\n");
        imap_in_unselect(s);
    }
    mailbox_open(s->peer.account, c->mailbox, c->verb == IMAP_EXAMINE, &s->peer.jobs, opened, s);
}

/* --- NOOP, CHECK --- */

static void checked(void *owner)
{
    struct imap_session *s = owner;

    imap_in_done(s, imap_ok("%s completed", s->command->verb == IMAP_CHECK ? "CHECK" : "NOOP"));
}

void imap_in_check(struct imap_session *s, const struct imap_command *c)
{
    (void)c;
    if (s->box == NULL)
        checked(s);
    else
        mailbox_check(s->box, &s->peer.jobs, checked, s);
}

/* --- EXPUNGE, UID EXPUNGE, CLOSE, UNSELECT --- */

struct expunge_job {
    struct account_job aj;
    uint32_t folder, from;
    struct ranges uids;
};

static int run_expunge(struct account_job *aj, struct index *x)
{
    struct expunge_job *j = LIST_ENTRY(aj, struct expunge_job, aj);

    return index_expunge(x, j->folder, &j->uids, &j->from, false, &aj->changes, &aj->err);
}

static void expunge_drop(struct account_job *aj)
{
    struct expunge_job *j = LIST_ENTRY(aj, struct expunge_job, aj);

    ranges_clear(&j->uids);
    mem_free(j);
}

static void closed(struct imap_session *s)
{
    bool unselect = s->command->verb == IMAP_UNSELECT;

    imap_in_unselect(s);
    imap_server_selected(s->proto, false, false);
    imap_in_done(s, imap_ok("%s completed", unselect ? "UNSELECT" : "CLOSE"));
}

static void expunge_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct imap_result r = imap_ok("EXPUNGE completed");

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    if (aj->code < 0) {
        imap_in_done(s, imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    if (s->command->verb == IMAP_CLOSE) {
        closed(s);
        return;
    }
    if ((imap_server_enabled(s->proto) & ENABLE_CONDSTORE) != 0)
        (void)snprintf(r.code, sizeof r.code, "HIGHESTMODSEQ %llu", (unsigned long long)s->box->m.modseq);
    imap_in_done(s, r);
}

/* The ones with \Deleted among those that this session knows of, or among those that it named. */
static int deleted_uids(struct imap_session *s, const struct imap_command *c, struct ranges *ret)
{
    struct ranges named = { 0 };
    const struct mailbox *m = &s->box->m;
    bool all = c->verb == IMAP_CLOSE || !c->uid;
    int r = all ? 0 : imap_in_uids(s, c, &named, NULL);

    for (size_t i = 0; i < m->count && r == 0; i++) {
        const struct mailbox_message *message = &m->messages[i];

        if ((message->flags & FLAG_DELETED) != 0 && message->uid < s->view.next &&
            (all || ranges_has(&named, message->uid)))
            r = ranges_add(ret, message->uid, message->uid);
    }
    ranges_clear(&named);
    return r;
}

void imap_in_expunge(struct imap_session *s, const struct imap_command *c)
{
    struct expunge_job *j;
    int r;

    if (s->view.read_only) {
        imap_in_done(s, imap_no("CANNOT", "The mailbox is open read-only"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->folder = s->box->folder.id;
    j->aj.run = run_expunge;
    j->aj.done = expunge_done;
    j->aj.drop = expunge_drop;
    r = deleted_uids(s, c, &j->uids);
    if (r == 0 && j->uids.count > 0) {
        imap_in_start(s, &j->aj, true);
        return;
    }
    expunge_drop(&j->aj);
    if (r < 0)
        imap_in_done(s, imap_result_of_error(r));
    else if (c->verb == IMAP_CLOSE)
        closed(s);
    else
        imap_in_done(s, imap_ok("EXPUNGE completed, nothing was marked \\Deleted"));
}

void imap_in_close(struct imap_session *s, const struct imap_command *c)
{
    if (c->verb == IMAP_CLOSE && !s->view.read_only)
        imap_in_expunge(s, c);
    else
        closed(s);
}
