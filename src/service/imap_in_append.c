/* APPEND and REPLACE: literals gather as SMTP's bodies do (flow/body_store); when the command is complete, all of its
 * messages become files and UIDs in one job, durable before the tagged OK. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/mail/body.h"
#include "facteur/store/queue.h"

#include <errno.h>

enum { APPEND_MESSAGES = 1000, CODE_MAX = 64 * 1024 };

struct append_message {
    struct link link;
    struct imap_session *s;
    struct body_store *store;
    uint64_t spool_id, wire_size;
    uint8_t flags;
    struct slice *keywords; /* in the state's arena */
    size_t keyword_count;
    int64_t internal_ms;
    bool finished;
};

struct imap_append_state {
    struct link messages;
    size_t count;
    uint64_t octets; /* announced */
    struct arena arena;
    struct append_message *now; /* its literal is coming in */
    struct body_in in;
    unsigned finishing; /* spooled messages whose file is not durable yet */
    bool complete;      /* run was called: the job starts when nothing is finishing */
    int code;           /* a spool file failed */
};

static void start_job(struct imap_session *s);

/* --- the literal --- */

static void on_hold(void *owner, bool hold)
{
    struct imap_session *s = ((struct append_message *)owner)->s;

    imap_server_hold(s->proto, hold);
    if (!hold)
        peer_sync_input(&s->peer);
}

static void on_failed(void *owner, int code)
{
    struct imap_session *s = ((struct append_message *)owner)->s;
    struct imap_result r = imap_result_of_error(code);

    s->append->code = code;
    imap_server_append_failed(s->proto, &r);
    imap_server_hold(s->proto, false);
    peer_sync_input(&s->peer);
}

static void on_finished(void *owner, int code)
{
    struct append_message *m = owner;
    struct imap_session *s = m->s;

    if (code < 0)
        s->append->code = code;
    m->finished = true;
    s->append->finishing--;
    if (s->append->complete && s->append->finishing == 0)
        start_job(s);
}

static const struct body_store_events store_events = { on_hold, on_failed, on_finished };

static int push_stored(void *to, struct slice octets)
{
    return body_store_push(((struct append_message *)to)->store, octets);
}

static int push_wire(void *to, struct slice octets)
{
    struct imap_append_state *a = ((struct imap_session *)to)->append;

    while (octets.n > 0) {
        size_t used = 0;

        (void)body_in_push(&a->in, octets, &used);
        if (used == 0)
            break;
        octets = slice_skip(octets, used);
    }
    return a->in.defect == BODY_SINK_FAILED ? a->in.sink_code : 0;
}

static struct append_message *add_message(struct imap_session *s, const struct imap_append *item)
{
    struct flow *f = peers_flow(s->peer.peers);
    struct imap_append_state *a = s->append;
    struct append_message *m = mem_zero(sizeof *m);

    m->s = s;
    m->flags = item->flags.flags;
    m->keyword_count = item->flags.keyword_count;
    m->keywords = arena_zero(&a->arena, (m->keyword_count + 1) * sizeof *m->keywords);
    for (size_t i = 0; i < m->keyword_count; i++)
        m->keywords[i] = slice_str(arena_str(&a->arena, item->flags.keywords[i]));
    m->internal_ms = item->has_date ? item->internal_ms : clock_wall_ms();
    m->spool_id = queue_new_id(f->queue);
    m->store = body_store_new(f, m->spool_id, &store_events, m);
    list_push(&a->messages, &m->link);
    a->count++;
    return m;
}

static struct imap_result over_quota(void)
{
    return imap_no("OVERQUOTA", "The mailbox is full (quota of the account)");
}

/* Whether the quota has room for one more, as far as is known before the octets come: they need not be sent in vain. */
static bool fits(const struct imap_session *s, uint64_t octets)
{
    uint64_t all;

    return !__builtin_add_overflow(s->append->octets, octets, &all) && account_has_room(s->peer.account, all);
}

enum when imap_in_ask_append(void *world, const struct imap_command *c, const struct imap_append *item,
                             struct imap_result *ret)
{
    struct imap_session *s = world;
    struct imap_append_state *a = s->append;
    struct body_limits limits = { .fix_bare = true, .open_end = true };

    (void)c;
    *ret = imap_ok("Ready");
    if (a == NULL) {
        a = s->append = mem_zero(sizeof *a);
        list_init(&a->messages);
    }
    if (a->count >= APPEND_MESSAGES) {
        *ret = imap_no("LIMIT", "At most %d messages in one APPEND", APPEND_MESSAGES);
        return NOW;
    }
    if (!fits(s, item->size)) {
        *ret = over_quota();
        return NOW;
    }
    a->octets += item->size;
    a->now = add_message(s, item);
    body_in_init(&a->in, item->binary ? BODY_BINARY : BODY_CHUNK, &limits, (struct sink){ push_stored, a->now });
    body_in_chunk(&a->in, item->size);
    return NOW;
}

struct sink imap_in_append_body(void *world)
{
    return (struct sink){ push_wire, world };
}

void imap_in_append_end(void *world)
{
    struct imap_session *s = world;
    struct imap_append_state *a = s->append;

    body_in_finish(&a->in);
    a->now->wire_size = a->in.wire_size;
    if (a->in.defect == BODY_NUL)
        a->code = -EILSEQ;
    a->now->finished = body_store_finish(a->now->store);
    if (!a->now->finished)
        a->finishing++;
    a->now = NULL;
}

void imap_in_append_free(struct imap_session *s)
{
    struct imap_append_state *a = s->append;
    struct link *it;

    s->append = NULL;
    if (a == NULL)
        return;
    while ((it = list_pop(&a->messages)) != NULL) {
        struct append_message *m = LIST_ENTRY(it, struct append_message, link);

        body_store_free(&m->store);
        mem_free(m);
    }
    arena_clear(&a->arena);
    mem_free(a);
}

void imap_in_append_abort(void *world)
{
    imap_in_append_free(world);
}

/* --- the command --- */

struct append_job {
    struct mailbox_append append;
    struct account_job replace; /* REPLACE: instead of it */
    struct flow *f;
    struct arena arena;
    uint64_t body_octets;
    struct ranges replaced; /* the message that goes */
    uint32_t folder, from;  /* … and where it is */
    bool appended;
};

static int run_replace(struct account_job *aj, struct index *x)
{
    struct append_job *j = LIST_ENTRY(aj, struct append_job, replace);
    struct mailbox_append *m = &j->append;

    if (!j->appended) {
        TRY(index_folder(x, m->name, &m->folder, &aj->err));
        aj->folder2 = m->folder.id;
        TRY(index_append(x, j->f->spool, m->folder.id, m->items, m->count, &aj->changes2, &aj->err));
        j->appended = true;
    }
    return index_expunge(x, j->folder, &j->replaced, &j->from, true, &aj->changes, &aj->err);
}

static void write_code(const struct mailbox_append *m, struct buf *out)
{
    struct ranges uids = { 0 };

    for (size_t i = 0; i < m->count; i++)
        (void)!ranges_add(&uids, m->items[i].uid, m->items[i].uid);
    (void)!buf_addf(out, "APPENDUID %u ", (unsigned)m->folder.uidvalidity);
    (void)!ranges_format(&uids, out);
    ranges_clear(&uids);
}

static void appended(struct imap_session *s, const struct mailbox_append *m, bool replaced)
{
    struct imap_result r = imap_ok("%s completed", replaced ? "REPLACE" : "APPEND");
    struct buf code;

    buf_init(&code, CODE_MAX);
    write_code(m, &code);
    if (replaced) { /* RFC 8508 4.3: before the EXPUNGE */
        imap_in_send(s, SLICE_LIT("* OK ["));
        imap_in_send(s, buf_slice(&code));
        imap_in_send(s, SLICE_LIT("] Replaced\r\n"));
    } else {
        r.code_text = &code;
    }
    imap_in_done(s, r);
    buf_clear(&code);
}

static void answer(struct imap_session *s, const struct mailbox_append *m, bool replaced)
{
    if (m->code == -ENOENT && m->folder.id == 0)
        imap_in_done(s, imap_no("TRYCREATE", "There is no such mailbox"));
    else if (m->code == -EDQUOT)
        imap_in_done(s, over_quota());
    else if (m->code < 0)
        imap_in_done(s, imap_in_failed(s, m->code, &m->err));
    else
        appended(s, m, replaced);
}

static void append_done(void *owner, struct mailbox_append *m)
{
    answer(owner, m, false);
}

static void replace_done(void *owner, struct account_job *aj)
{
    struct imap_session *s = owner;
    struct mailbox_append *m = &LIST_ENTRY(aj, struct append_job, replace)->append;

    if (aj->code == MORE) {
        peer_start_job(&s->peer, aj);
        return;
    }
    m->code = aj->code;
    m->err = aj->err;
    answer(s, m, true);
}

static void append_drop(struct mailbox_append *m)
{
    struct append_job *j = LIST_ENTRY(m, struct append_job, append);

    for (size_t i = 0; i < m->count; i++)
        if (!m->items[i].spooled)
            mem_free((char *)(uintptr_t)m->items[i].body.p);
    j->f->body_octets -= j->body_octets;
    ranges_clear(&j->replaced);
    arena_clear(&j->arena);
    mem_free(j);
}

static void replace_drop(struct account_job *aj)
{
    append_drop(&LIST_ENTRY(aj, struct append_job, replace)->append);
}

static void fill_item(struct append_job *j, struct append_message *m, struct index_append *item)
{
    item->size = body_store_size(m->store);
    item->wire_size = m->wire_size;
    item->spooled = body_store_is_spooled(m->store);
    item->spool_id = m->spool_id;
    item->flags = m->flags;
    item->internal_ms = m->internal_ms;
    item->keyword_count = m->keyword_count;
    item->keywords = arena_zero(&j->arena, (m->keyword_count + 1) * sizeof *item->keywords);
    for (size_t i = 0; i < m->keyword_count; i++)
        item->keywords[i] = slice_str(arena_str(&j->arena, m->keywords[i]));
    if (item->spooled)
        return;
    item->body = slice_make(body_store_give(m->store), (size_t)item->size);
    j->body_octets += item->size;
}

static struct append_job *new_job(struct imap_session *s)
{
    struct imap_append_state *a = s->append;
    struct append_job *j = mem_zero(sizeof *j);
    struct mailbox_append *m = &j->append;

    j->f = peers_flow(s->peer.peers);
    m->name = slice_str(arena_str(&j->arena, s->command->mailbox));
    m->items = arena_zero(&j->arena, (a->count + 1) * sizeof *m->items);
    LIST_EACH (it, &a->messages) {
        fill_item(j, LIST_ENTRY(it, struct append_message, link), &m->items[m->count++]);
    }
    m->done = append_done;
    m->drop = append_drop;
    m->owner = s;
    return j;
}

static void refuse(struct imap_session *s, struct append_job *j, struct imap_result r)
{
    append_drop(&j->append);
    imap_in_done(s, r);
}

static void start_replace(struct imap_session *s, struct append_job *j)
{
    int r = imap_in_uids(s, s->command, &j->replaced, NULL);

    if (r < 0 || ranges_count(&j->replaced) != 1) {
        refuse(s, j, r < 0 ? imap_result_of_error(r) : imap_bad("There is no such message to be replaced"));
        return;
    }
    j->folder = s->box->folder.id;
    j->replace.run = run_replace;
    j->replace.done = replace_done;
    j->replace.drop = replace_drop;
    imap_in_start(s, &j->replace, true);
}

static void start_job(struct imap_session *s)
{
    struct append_job *j = new_job(s);
    int code = s->append->code;

    if (code == -EILSEQ)
        refuse(s, j, imap_no("UNKNOWN-CTE", "NUL is possible in a literal8 (BINARY) only"));
    else if (code < 0)
        refuse(s, j, imap_result_of_error(code));
    else if (s->command->verb == IMAP_REPLACE)
        start_replace(s, j);
    else
        mailbox_append(s->peer.account, &s->peer.jobs, &j->append);
}

void imap_in_append(struct imap_session *s, const struct imap_command *c)
{
    if (c->verb == IMAP_REPLACE && s->view.read_only) {
        imap_in_done(s, imap_no("CANNOT", "The mailbox is open read-only"));
        return;
    }
    s->append->complete = true;
    if (s->append->finishing == 0)
        start_job(s);
}
