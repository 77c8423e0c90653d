/* LIST, LSUB, STATUS: the answers are written in the user's lane, where the folders are known. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/proto/imap_parse.h"

#include <errno.h>

enum { LIST_OUTPUT = 16 * 1024 * 1024 };

static const char *const special_names[] = {
    [SPECIAL_ALL] = "\\All",         [SPECIAL_ARCHIVE] = "\\Archive", [SPECIAL_DRAFTS] = "\\Drafts",
    [SPECIAL_FLAGGED] = "\\Flagged", [SPECIAL_JUNK] = "\\Junk",       [SPECIAL_SENT] = "\\Sent",
    [SPECIAL_TRASH] = "\\Trash",
};

/* One name that matched. */
struct listed {
    struct listed *next;
    struct slice name;
    struct index_entry entry;
    bool matches;          /* else only \HasChildren-wise: CHILDINFO */
    bool subscribed_below; /* something below it is subscribed … */
    bool hidden_below;     /* … and does not match, so only this one can tell of it */
};

struct list_job {
    struct account_job aj;
    struct imap_list list; /* a copy, in arena */
    bool lsub, utf8, rev2;
    uint64_t append_limit;
    uint32_t selected;          /* the session's mailbox, or 0 */
    struct index_status status; /* … as its list has it */
    struct arena arena;
    struct listed *first, **last; /* what index_list gave */
    struct listed *at;            /* the next whose STATUS is to be written */
    bool named;                   /* its LIST has been written */
    bool collected;
    struct buf out;
};

/* --- STATUS --- */

struct status_word {
    unsigned item;
    const char *word;
};
static const struct status_word status_words[] = {
    { STATUS_MESSAGES, "MESSAGES" },
    { STATUS_RECENT, "RECENT" },
    { STATUS_UIDNEXT, "UIDNEXT" },
    { STATUS_UIDVALIDITY, "UIDVALIDITY" },
    { STATUS_UNSEEN, "UNSEEN" },
    { STATUS_DELETED, "DELETED" },
    { STATUS_SIZE, "SIZE" },
    { STATUS_HIGHESTMODSEQ, "HIGHESTMODSEQ" },
    { STATUS_MAILBOXID, "MAILBOXID" },
    { STATUS_APPENDLIMIT, "APPENDLIMIT" },
    { STATUS_DELETED_STORAGE, "DELETED-STORAGE" },
};

static uint64_t status_number(const struct index_status *st, unsigned item, uint64_t append_limit)
{
    switch (item) {
    case STATUS_MESSAGES:
        return st->messages;
    case STATUS_RECENT:
        return st->recent;
    case STATUS_UIDNEXT:
        return st->uidnext;
    case STATUS_UIDVALIDITY:
        return st->uidvalidity;
    case STATUS_UNSEEN:
        return st->unseen;
    case STATUS_DELETED:
        return st->deleted;
    case STATUS_SIZE:
        return st->size;
    case STATUS_DELETED_STORAGE:
        return st->deleted_size;
    case STATUS_HIGHESTMODSEQ:
        return st->modseq;
    default:
        return append_limit;
    }
}

/* What a list in memory says: what has been announced to sessions. The index may hear of it later, and may already know
 * of other changes that nobody has been told of. */
static void status_of_list(const struct mailbox *m, struct index_status *ret)
{
    ret->messages = (uint32_t)m->count;
    ret->recent = (uint32_t)(m->count - mailbox_index(m, m->first_recent));
    ret->unseen = ret->deleted = 0;
    ret->size = ret->deleted_size = 0;
    for (size_t i = 0; i < m->count; i++) {
        bool deleted = (m->messages[i].flags & FLAG_DELETED) != 0;

        ret->unseen += (m->messages[i].flags & FLAG_SEEN) == 0;
        ret->deleted += deleted;
        ret->size += m->messages[i].size;
        ret->deleted_size += deleted ? m->messages[i].size : 0;
    }
    ret->uidnext = m->uidnext;
    ret->modseq = m->modseq;
}

static void write_status(struct buf *out, struct slice name, bool utf8, unsigned items, const struct index_status *st,
                         uint64_t append_limit)
{
    const char *space = "";

    (void)!buf_adds(out, "* STATUS ");
    (void)!imap_write_mailbox(out, name, utf8);
    (void)!buf_adds(out, " (");
    for (size_t i = 0; i < sizeof status_words / sizeof *status_words; i++) {
        if ((items & status_words[i].item) == 0)
            continue;
        (void)!buf_addf(out, "%s%s ", space, status_words[i].word);
        if (status_words[i].item == STATUS_MAILBOXID)
            (void)!buf_addf(out, "(%s)", st->mailbox_id);
        else
            (void)!buf_addf(out, "%llu", (unsigned long long)status_number(st, status_words[i].item, append_limit));
        space = " ";
    }
    (void)!buf_adds(out, ")\r\n");
}

struct status_job {
    struct account_job aj;
    struct arena arena;
    struct slice name;
    struct index_folder folder;
    struct index_status status;
};

static int run_status(struct account_job *aj, struct index *x)
{
    struct status_job *j = LIST_ENTRY(aj, struct status_job, aj);

    TRY(index_folder(x, j->name, &j->folder, &aj->err));
    return index_status(x, j->folder.id, &j->status, &aj->err);
}

static void status_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct status_job *j = LIST_ENTRY(aj, struct status_job, aj);
    const struct open_mailbox *box;

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    if (aj->code < 0) {
        imap_in_done(s, aj->code == -ENOENT ? imap_no("NONEXISTENT", "There is no such mailbox")
                                            : imap_in_failed(s, aj->code, &aj->err));
        return;
    }
    box = mailbox_opened(s->peer.account, j->folder.id);
    if (box != NULL)
        status_of_list(&box->m, &j->status);
    write_status(&s->out, j->name, imap_server_names_utf8(s->proto), s->command->status, &j->status,
                 s->peer.config->limits.message_size);
    imap_in_done(s, imap_ok("STATUS completed"));
}

static void status_drop(struct account_job *aj)
{
    struct status_job *j = LIST_ENTRY(aj, struct status_job, aj);

    arena_clear(&j->arena);
    mem_free(j);
}

void imap_in_status(struct imap_session *s, const struct imap_command *c)
{
    struct status_job *j = mem_zero(sizeof *j);

    j->name = slice_str(arena_str(&j->arena, c->mailbox));
    j->aj.run = run_status;
    j->aj.done = status_done;
    j->aj.drop = status_drop;
    imap_in_start(s, &j->aj, false);
}

/* --- LIST, LSUB --- */

static bool matches(const struct list_job *j, struct slice name)
{
    for (size_t i = 0; i < j->list.pattern_count; i++)
        if (imap_pattern_matches(j->list.patterns[i], name))
            return true;
    return false;
}

static void collect(void *to, const struct index_entry *entry)
{
    struct list_job *j = to;
    struct listed *l = arena_zero(&j->arena, sizeof *l);

    l->name = slice_str(arena_str(&j->arena, entry->name));
    l->entry = *entry;
    l->entry.name = l->name;
    l->matches = matches(j, l->name);
    *j->last = l;
    j->last = &l->next;
}

static bool is_below(struct slice name, struct slice parent)
{
    return name.n > parent.n && name.p[parent.n] == '/' && slice_eq(slice_head(name, parent.n), parent);
}

/* The list is sorted, parents before children: what is below a name follows it. */
static void mark_children(struct list_job *j)
{
    for (struct listed *l = j->first; l != NULL; l = l->next)
        for (const struct listed *below = l->next; below != NULL && is_below(below->name, l->name);
             below = below->next) {
            l->subscribed_below = l->subscribed_below || below->entry.subscribed;
            l->hidden_below = l->hidden_below || (below->entry.subscribed && !below->matches);
        }
}

/* Whether a name is to be told at all. One that is not subscribed itself only when what is below it is not told (RFC
 * 3501 6.3.9, RFC 5258 3.5). */
static bool is_wanted(const struct list_job *j, const struct listed *l)
{
    unsigned o = j->list.options;
    bool below = l->hidden_below && (j->lsub || (o & LIST_RECURSIVEMATCH) != 0);

    if (!l->matches)
        return false;
    if (j->lsub)
        return l->entry.subscribed || below;
    if ((o & LIST_SPECIAL_USE) != 0 && l->entry.special == SPECIAL_NONE)
        return false;
    if ((o & LIST_SUBSCRIBED) != 0)
        return l->entry.subscribed || below;
    return l->entry.exists || l->entry.has_children;
}

static void add_attribute(struct buf *out, const char **space, const char *name)
{
    (void)!buf_addf(out, "%s%s", *space, name);
    *space = " ";
}

static void write_attributes(const struct list_job *j, const struct listed *l, struct buf *out)
{
    const struct index_entry *e = &l->entry;
    unsigned o = j->list.options;
    const char *space = "";

    if (j->lsub) {
        if (!e->subscribed) /* RFC 3501 6.3.9: told for the sake of what is below it */
            add_attribute(out, &space, "\\Noselect");
        return;
    }
    if (!e->exists)
        add_attribute(out, &space, j->list.extended || j->rev2 ? "\\NonExistent" : "\\Noselect");
    if (e->has_children)
        add_attribute(out, &space, "\\HasChildren");
    else if (e->exists || !l->subscribed_below)
        add_attribute(out, &space, "\\HasNoChildren");
    if (e->subscribed && (o & (LIST_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)) != 0)
        add_attribute(out, &space, "\\Subscribed");
    if (e->special != SPECIAL_NONE)
        add_attribute(out, &space, special_names[e->special]);
}

static void write_entry(const struct list_job *j, const struct listed *l, struct buf *out)
{
    (void)!buf_adds(out, j->lsub ? "* LSUB (" : "* LIST (");
    write_attributes(j, l, out);
    (void)!buf_adds(out, ") \"/\" ");
    (void)!imap_write_mailbox(out, l->name, j->utf8);
    if ((j->list.options & LIST_RECURSIVEMATCH) != 0 && l->subscribed_below)
        (void)!buf_adds(out, " (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    (void)!buf_adds(out, "\r\n");
}

static int write_entry_status(struct list_job *j, struct index *x, const struct listed *l)
{
    struct index_status st;
    int r;

    if ((j->list.options & LIST_RETURN_STATUS) == 0 || !l->entry.exists)
        return DONE;
    r = index_status(x, l->entry.folder, &st, &j->aj.err);
    if (r == DONE && l->entry.folder == j->selected) {
        memcpy(j->status.mailbox_id, st.mailbox_id, sizeof st.mailbox_id);
        j->status.uidvalidity = st.uidvalidity;
        st = j->status;
    }
    if (r == DONE)
        write_status(&j->out, l->name, j->utf8, j->list.status, &st, j->append_limit);
    return r == MORE ? MORE : DONE; /* a folder that cannot be read has no STATUS (RFC 5819 2) */
}

static int run_list(struct account_job *aj, struct index *x)
{
    struct list_job *j = LIST_ENTRY(aj, struct list_job, aj);
    int64_t until = clock_mono_ms() + INDEX_SLICE_MS;

    if (!j->collected) {
        TRY(index_list(x, collect, j, &aj->err));
        mark_children(j);
        j->collected = true;
        j->at = j->first;
    }
    for (; j->at != NULL; j->at = j->at->next) {
        if (!is_wanted(j, j->at))
            continue;
        if (!j->named) /* RFC 5819 section 2: before its STATUS */
            write_entry(j, j->at, &j->out);
        j->named = true;
        if (write_entry_status(j, x, j->at) == MORE)
            return MORE;
        j->named = false;
        if (clock_mono_ms() > until) {
            j->at = j->at->next;
            return MORE;
        }
    }
    return DONE;
}

static void list_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct list_job *j = LIST_ENTRY(aj, struct list_job, aj);

    if (aj->code >= 0)
        imap_in_send(s, buf_slice(&j->out));
    buf_clear(&j->out);
    if (aj->code == MORE)
        (void)imap_in_continue(s, aj);
    else
        imap_in_done(s, aj->code < 0 ? imap_in_failed(s, aj->code, &aj->err)
                                     : imap_ok("%s completed", j->lsub ? "LSUB" : "LIST"));
}

static void list_drop(struct account_job *aj)
{
    struct list_job *j = LIST_ENTRY(aj, struct list_job, aj);

    arena_clear(&j->arena);
    buf_clear(&j->out);
    mem_free(j);
}

/* Reference and pattern are joined as they are; a pattern that begins with "/" stands alone. */
static void copy_patterns(struct list_job *j, const struct imap_list *list)
{
    j->list.patterns = arena_zero(&j->arena, (list->pattern_count + 1) * sizeof *j->list.patterns);
    for (size_t i = 0; i < list->pattern_count; i++) {
        struct slice p = list->patterns[i], r = list->reference;
        char *joined = arena_zero(&j->arena, r.n + p.n + 1);

        if (r.n > 0)
            memcpy(joined, r.p, r.n);
        if (p.n > 0)
            memcpy(joined + r.n, p.p, p.n);
        j->list.patterns[i] = slice_make(joined, r.n + p.n);
    }
}

void imap_in_list(struct imap_session *s, const struct imap_command *c)
{
    struct list_job *j;

    /* RFC 9051 6.3.9: the empty pattern asks for the hierarchy's separator. */
    if (!c->list.extended && c->list.pattern_count == 1 && c->list.patterns[0].n == 0) {
        (void)!buf_addf(&s->out, "* %s (\\Noselect) \"/\" \"\"\r\n", c->verb == IMAP_LSUB ? "LSUB" : "LIST");
        imap_in_done(s, imap_ok("%s completed", c->verb == IMAP_LSUB ? "LSUB" : "LIST"));
        return;
    }
    j = mem_zero(sizeof *j);
    j->list = c->list;
    copy_patterns(j, &c->list);
    j->lsub = c->verb == IMAP_LSUB;
    j->utf8 = imap_server_names_utf8(s->proto);
    j->rev2 = (imap_server_enabled(s->proto) & ENABLE_REV2) != 0;
    j->append_limit = s->peer.config->limits.message_size;
    if (s->box != NULL) {
        j->selected = s->box->folder.id;
        status_of_list(&s->box->m, &j->status);
    }
    j->last = &j->first;
    buf_init(&j->out, LIST_OUTPUT);
    j->aj.run = run_list;
    j->aj.done = list_done;
    j->aj.drop = list_drop;
    imap_in_start(s, &j->aj, false);
}
