#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>

/* --- deliveries: announced at once, their files named after it --- */

enum { ARRIVALS_BATCH = 64 };

struct arrivals {
    struct account_job j;
    struct open_mailbox *b;
    uint32_t folder;
    size_t count;
    struct {
        struct mailbox_message message;
        char name[MAILDIR_NAME];
        int code; /* negative too when nobody got to it */
    } items[ARRIVALS_BATCH];
};

/* What cannot be done is taken back: the next look into the directories finds the message, if there is one. */
static int run_arrivals(struct account_job *j, struct index *x)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);

    for (size_t i = 0; i < r->count; i++) {
        r->items[i].code = index_arrived(x, r->folder, r->items[i].name, &r->items[i].message, &j->err);
        j->code = r->items[i].code < 0 ? r->items[i].code : j->code;
    }
    return j->code;
}

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
    refresh_ask(r->b, NULL);
}

static void arrivals_done(void *owner, struct account_job *j)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);
    struct open_mailbox *b = owner;

    if (j->code < 0 && !b->gone)
        take_back(r);
    arrive_reserve(b);
}

static void arrivals_drop(struct account_job *j)
{
    struct arrivals *r = LIST_ENTRY(j, struct arrivals, j);

    box_release(r->b);
    mem_free(r);
}

/* The batch that has not begun yet, or a new one, which goes before everything that waits in the lane. */
static struct arrivals *open_batch(struct open_mailbox *b)
{
    struct account *a = b->account;
    struct link *last = a->urgent.prev;
    struct arrivals *r;

    if (!list_empty(&a->urgent)) {
        r = LIST_ENTRY(LIST_ENTRY(last, struct account_job, in_lane), struct arrivals, j);
        if (r->b == b && r->count < ARRIVALS_BATCH)
            return r;
    }
    r = mem_alloc(sizeof *r);
    memset(r, 0, offsetof(struct arrivals, items)); /* the items are large, and filled one by one */
    box_hold(b);
    r->b = b;
    r->folder = b->folder.id;
    r->j.run = run_arrivals;
    r->j.done = arrivals_done;
    r->j.drop = arrivals_drop;
    r->j.owner = b;
    r->j.reads_only = true; /* the UIDs have been given */
    return r;
}

static bool can_announce(const struct open_mailbox *b, int64_t began_us)
{
    const struct account *a = b->account;

    return a->writers == 0 && began_us > a->written_us && b->m.uidnext < b->reserved && !b->whole;
}

static void announce(struct open_mailbox *b, const char *name, uint64_t wire_size, int64_t received_ms)
{
    struct mailbox_message message = {
        .uid = b->m.uidnext, .modseq = b->m.modseq + 1, .internal_ms = received_ms, .size = wire_size
    };
    struct arrivals *r = open_batch(b);

    r->items[r->count].message = message;
    r->items[r->count].code = -ECANCELED;
    slice_clip(slice_str(name), r->items[r->count].name, sizeof r->items[0].name);
    r->count++;
    b->account->m->arrivals++;
    if (r->count == 1)
        lane_start(b->account, &r->j, true);
    mailbox_arrive(&b->m, &message);
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
    if (b->loaded && can_announce(b, began_us))
        announce(b, name, wire_size, received_ms);
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
