#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>

/* --- deliveries ---
 *
 * As a rule a message is announced at once, with the next UID, and its file is named by it in a job that goes before
 * everything that waits. When a job that may give UIDs itself is running, or may have found the file in new/ and taken
 * it, that is not for us to do: then the job comes first (after that one's slice), and tells whether the file was ours. */

enum { ARRIVALS_BATCH = 64 };

struct arrivals {
    struct account_job j;
    struct open_mailbox *b;
    uint32_t folder;
    bool late; /* announced when their files have been named */
    size_t count;
    struct index_arrival items[ARRIVALS_BATCH]; /* their codes are negative too when nobody got to them */
};

static int run_arrivals(struct account_job *j, struct index *x)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);
    int code = index_arrived(x, r->folder, r->items, r->count, &j->err);

    for (size_t i = 0; i < r->count && code == 0; i++)
        if (r->items[i].code < 0 && !(r->late && r->items[i].code == -ENOENT)) /* late: somebody has taken it */
            code = r->items[i].code;
    return code;
}

static void give_uid(struct arrivals *r, size_t i, uint32_t uid, uint64_t modseq)
{
    r->items[i].message.uid = uid;
    r->items[i].message.modseq = modseq;
}

/* Late ones get their UIDs when nothing else can give any. */
static void arrivals_begin(struct account_job *j)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);

    for (size_t i = 0; r->late && i < r->count; i++)
        give_uid(r, i, r->b->m.uidnext + (uint32_t)i, r->b->m.modseq + 1 + i);
}

/* What could not be done is taken back: the next look into the directories finds the message, if there is one. */
static void take_back(struct arrivals *r)
{
    struct mailbox_changes changes = { 0 };
    int code = 0;

    for (size_t i = 0; i < r->count && code == 0; i++)
        if (r->items[i].code < 0)
            code = ranges_add(&changes.gone, r->items[i].message.uid, r->items[i].message.uid);
    LOG(INFO, "arrival-taken-back", kv_str("user", r->b->account->user),
        kv_num("messages", (int64_t)ranges_count(&changes.gone)), kv_str("reason", r->j.err.text));
    box_apply(r->b, &changes, NULL, false);
}

static void announce_late(struct arrivals *r)
{
    struct mailbox_changes changes = { 0 };

    for (size_t i = 0; i < r->count; i++) {
        changes.modseq = r->items[i].message.modseq; /* used up for the index in any case */
        changes.uidnext = r->items[i].message.uid + 1;
        if (r->items[i].code < 0)
            continue;
        mailbox_changes_add(&changes, &r->items[i].message);
        r->b->account->m->arrivals++;
    }
    box_apply(r->b, &changes, NULL, false);
}

static void arrivals_done(void *owner, struct account_job *j)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);
    struct open_mailbox *b = owner;

    if (r->late)
        announce_late(r);
    else if (j->code < 0)
        take_back(r);
    if (j->code < 0 && !b->gone)
        refresh_ask(b, NULL);
    arrive_reserve(b);
}

static void arrivals_drop(struct account_job *j)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);

    box_release(r->b);
    mem_free(r);
}

/* The batch that is the last to wait, or NULL. */
static struct arrivals *waiting_batch(struct account *a)
{
    if (list_empty(&a->urgent))
        return NULL;
    return LIST_ENTRY(LIST_ENTRY(a->urgent.prev, struct account_job, in_lane), struct arrivals, j);
}

static struct arrivals *new_batch(struct open_mailbox *b, bool late)
{
    struct arrivals *r = mem_alloc(sizeof *r);

    memset(r, 0, offsetof(struct arrivals, items)); /* the items are large, and filled one by one */
    box_hold(b);
    r->b = b;
    r->folder = b->folder.id;
    r->late = late;
    r->j.run = run_arrivals;
    r->j.begin = arrivals_begin;
    r->j.done = arrivals_done;
    r->j.drop = arrivals_drop;
    r->j.owner = b;
    r->j.reads_only = !late; /* the UIDs have been given */
    return r;
}

static bool must_be_late(const struct open_mailbox *b, const struct arrivals *waiting, int64_t began_us)
{
    const struct account *a = b->account;

    return lane_writes(a) || began_us <= a->written_us || b->m.uidnext >= b->reserved ||
           (waiting != NULL && waiting->late); /* in the order in which they came */
}

static void arrive(struct open_mailbox *b, const char *name, const struct mailbox_message *message, int64_t began_us)
{
    struct arrivals *r = waiting_batch(b->account);
    bool late = must_be_late(b, r, began_us);
    size_t i;

    if (r == NULL || r->b != b || r->late != late || r->count == ARRIVALS_BATCH)
        r = new_batch(b, late);
    i = r->count++;
    r->items[i].message = *message;
    r->items[i].code = -ECANCELED;
    slice_clip(slice_str(name), r->items[i].name, sizeof r->items[0].name);
    if (!late)
        give_uid(r, i, b->m.uidnext, b->m.modseq + 1);
    if (i == 0)
        lane_start(b->account, &r->j, true);
    if (late)
        return;
    b->account->m->arrivals++;
    mailbox_arrive(&b->m, &(struct mailbox_message){ .uid = b->m.uidnext,
                                                     .modseq = b->m.modseq + 1,
                                                     .internal_ms = message->internal_ms,
                                                     .size = message->size });
    background_want(b, WORK_PREPARE | WORK_SEARCH);
    arrive_reserve(b);
}

void mailboxes_delivered(struct mailboxes *m, const char *user, const char *name, uint64_t wire_size,
                         int64_t received_ms, int64_t began_us)
{
    struct account *a = map_get(&m->accounts, slice_str(user));
    struct open_mailbox *b = a != NULL ? box_inbox(a) : NULL;

    if (b == NULL || b->users == 0)
        return; /* whoever opens it next looks into new/ */
    if (b->loaded)
        arrive(b, name, &(struct mailbox_message){ .internal_ms = received_ms, .size = wire_size }, began_us);
    else
        refresh_ask(b, NULL);
}

/* --- UIDs kept ready --- */

struct reserve {
    struct account_job j;
    struct open_mailbox *b;
    uint32_t folder, reserved;
};

static int run_reserve(struct account_job *j, struct index *x)
{
    struct reserve *r = LIST_ENTRY(j, struct reserve, j);

    return index_reserve(x, r->folder, RESERVE_AHEAD, &r->reserved, &j->err);
}

static void reserve_done(void *owner, struct account_job *j)
{
    struct reserve *r = LIST_ENTRY(j, struct reserve, j);
    struct open_mailbox *b = owner;

    b->reserving = false;
    if (j->code < 0)
        LOG(WARNING, "uids-not-reserved", kv_str("user", b->account->user), kv_str("reason", j->err.text));
    else if (r->reserved > b->reserved)
        b->reserved = r->reserved;
}

static void reserve_drop(struct account_job *j)
{
    struct reserve *r = LIST_ENTRY(j, struct reserve, j);

    box_release(r->b);
    mem_free(r);
}

void arrive_reserve(struct open_mailbox *b)
{
    struct reserve *r;

    if (b->reserving || b->gone || b->users == 0 || b != box_inbox(b->account) ||
        (uint64_t)b->m.uidnext + RESERVE_AHEAD / 2 < b->reserved)
        return;
    r = mem_zero(sizeof *r);
    box_hold(b);
    b->reserving = true;
    r->b = b;
    r->folder = b->folder.id;
    r->j.run = run_reserve;
    r->j.done = reserve_done;
    r->j.drop = reserve_drop;
    r->j.owner = b;
    r->j.reads_only = true; /* what it reserves lies beyond what arrivals are given meanwhile */
    lane_start(b->account, &r->j, false);
}

/* --- quota --- */

struct quota_warned {
    int64_t next_ms[2]; /* clock_mono_ms: not before that again */
};

void mailboxes_filled(struct mailboxes *m, const char *user, uint64_t octets, uint64_t quota)
{
    uint64_t percent = quota > 0 ? octets / (quota / 100 + 1) : 0;
    unsigned level = percent >= QUOTA_WARN_SECOND;
    struct quota_warned *w;

    if (percent < QUOTA_WARN_FIRST)
        return;
    w = map_get(&m->warned, slice_str(user));
    if (w == NULL) {
        w = mem_zero(sizeof *w);
        (void)map_put(&m->warned, slice_str(user), w);
    }
    if (clock_mono_ms() < w->next_ms[level])
        return;
    w->next_ms[level] = clock_mono_ms() + QUOTA_WARN_MS;
    LOG(WARNING, "quota-warning", kv_str("user", user), kv_num("percent", (int64_t)percent),
        kv_num("stored", (int64_t)octets), kv_num("quota", (int64_t)quota));
}

void arrive_forget(struct mailboxes *m)
{
    struct slice key;
    size_t cursor = 0;
    void *value;

    while (map_each(&m->warned, &cursor, &key, &value))
        mem_free(value);
    map_clear(&m->warned);
}
