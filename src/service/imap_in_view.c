/* Sets of messages as a client names them, and what is said of messages outside FETCH. */
#include "imap_in_priv.h"

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
    imap_in_flush_large(s);
}

void imap_in_write_flags(struct imap_session *s, uint32_t seq, const struct mailbox_message *m, bool recent)
{
    unsigned enabled = imap_server_enabled(s->proto);
    /* RFC 7162 3.2.4; RFC 9051 7.5.2: in all that is not asked for. */
    bool uid = (enabled & (ENABLE_QRESYNC | ENABLE_REV2)) != 0 || (s->command != NULL && s->command->uid);

    (void)!buf_addf(&s->out, "* %u FETCH (", (unsigned)seq);
    if (uid)
        (void)!buf_addf(&s->out, "UID %u ", (unsigned)m->uid);
    if ((enabled & ENABLE_CONDSTORE) != 0)
        (void)!buf_addf(&s->out, "MODSEQ (%llu) ", (unsigned long long)m->modseq);
    (void)!buf_adds(&s->out, "FLAGS ");
    (void)!imap_write_flags(&s->out, m->flags, m->keywords, (const char *const *)s->box->m.keywords,
                            s->box->m.keyword_count, recent && (enabled & ENABLE_REV2) == 0);
    (void)!buf_adds(&s->out, ")\r\n");
    imap_in_flush_large(s);
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
        imap_in_flush_large(s);
    }
}
