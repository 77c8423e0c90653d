#include "facteur/flow/local.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/timer.h"

#include <errno.h>
#include <sys/resource.h>

enum {
    WRITE_JOBS = 2,
    GATHER_MS = 2, /* between the beginnings of two jobs that are not full */
    SYNC_JOBS = 2,
    SYNC_SHARE = 64, /* files that are worth a job of their own */
    OPEN_MOST = 4000
};

struct local {
    struct flow *f;
    struct link waiting; /* items to be written */
    size_t waiting_count;
    int64_t began_us; /* the last job that writes */
    struct timer *gathered;
    struct link written; /* items to be synced */
    size_t written_count;
    size_t open; /* written or being written or synced: each holds a descriptor */
    size_t open_most;
    unsigned writing, syncing; /* jobs */
    struct timer *timer;
    bool armed, hurry;
    bool soon; /* something recovered is among what is written: a crash before its end would count against it */
};

/* One recipient's copy. Its texts and body are the active message's, which lives until the outcome. */
struct local_item {
    struct link link;
    struct active *a;
    struct maildir_delivery d;
    uint64_t stored; /* in the mailbox after it; 0: not asked for */
    int code;
    struct err err;
};

struct local_job {
    struct job job;
    struct local *l;
    struct maildirs *maildirs;
    struct spool *spool;
    struct link items;
    size_t count;
    int64_t began_us; /* nothing of it was written before */
};

/* --- writing --- */

static void ask_usage(struct maildirs *m, struct local_item *item)
{
    uint64_t octets, messages;
    struct err e;

    if (item->d.quota > 0 && item->code == 0 && maildir_usage(m, item->d.user, &octets, &messages, &e) == 0)
        item->stored = octets;
}

static void run_write(struct job *job)
{
    struct local_job *j = LIST_ENTRY(job, struct local_job, job);
    const struct local_item *before = NULL;

    LIST_EACH (it, &j->items) {
        struct local_item *item = LIST_ENTRY(it, struct local_item, link);

        /* The first that was written is the twin of all that follow. */
        if (before != NULL && before->a == item->a && before->code == 0 && !item->d.spooled)
            item->d.twin = before->d.twin != NULL ? before->d.twin : &before->d;
        before = item;
        item->code = maildir_deliver(j->maildirs, j->spool, &item->d, &item->err);
        ask_usage(j->maildirs, item);
    }
}

static void log_delivered(const struct local_item *item)
{
    char id[14];

    base32_u64(item->d.id, id);
    LOG(INFO, "delivered", kv_str("queue", id), kv_str("to", item->d.user), kv_str("file", item->d.name),
        kv_num("delay_ms", clock_wall_ms() - item->d.received_ms));
}

/* Whoever reads this mailbox now hears of it, before it is durable: until then the queue has it too. */
static void tell_readers(struct mailboxes *m, const struct local_item *item, int64_t began_us)
{
    if (m == NULL)
        return;
    mailboxes_delivered(m, item->d.user, item->d.name, item->d.wire_size, item->d.received_ms,
                        item->d.maybe_there ? 0 : began_us);
    mailboxes_filled(m, item->d.user, item->stored, item->d.quota);
}

static void report_failure(struct local_item *item)
{
    char id[14];
    bool full = item->code == -EDQUOT;

    base32_u64(item->d.id, id);
    if (item->code == -ENODATA) /* the message is damaged: somebody has to look at it */
        LOG(ERROR, "body-not-read", kv_str("queue", id), kv_str("reason", item->err.text));
    LOG(WARNING, "not-delivered", kv_str("queue", id), kv_str("to", item->d.user), kv_str("reason", item->err.text));
    schedule_outcome(
        item->a, item->d.seq,
        &(struct attempt_end){ .outcome = OUTCOME_DEFERRED,
                               .ours = true,
                               .status = full ? "4.2.2" : "4.3.0",
                               .reply = full ? "The mailbox is full" : "The mailbox cannot be written now" });
}

static void arm(struct local *l)
{
    if (l->armed || l->written_count == 0)
        return;
    l->armed = true;
    timer_set(l->timer, LOCAL_SYNC_MS);
}

static void write_done(void *owner, struct job *job)
{
    struct local *l = owner;
    struct local_job *j = LIST_ENTRY(job, struct local_job, job);
    struct link *it;

    l->writing--;
    while ((it = list_pop(&j->items)) != NULL) {
        struct local_item *item = LIST_ENTRY(it, struct local_item, link);

        if (item->code < 0) {
            l->open--;
            report_failure(item);
            mem_free(item);
            continue;
        }
        log_delivered(item);
        tell_readers(l->f->mailboxes, item, j->began_us);
        l->soon = l->soon || item->d.maybe_there;
        list_push(&l->written, &item->link);
        l->written_count++;
    }
    arm(l);
}

static void local_job_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct local_job, job));
}

static struct local_job *new_job(struct local *l, void (*run)(struct job *), void (*done)(void *, struct job *))
{
    struct local_job *j = mem_zero(sizeof *j);

    list_init(&j->items);
    j->l = l;
    j->maildirs = l->f->maildirs;
    j->spool = l->f->spool;
    j->job.run = run;
    j->job.done = done;
    j->job.drop = local_job_drop;
    j->job.owner = l;
    return j;
}

/* One message's copies are written by one job: all but the first are links to it. */
static bool next_belongs_to(const struct local *l, const struct local_job *j)
{
    return LIST_ENTRY(l->waiting.next, struct local_item, link)->a ==
           LIST_ENTRY(j->items.prev, struct local_item, link)->a;
}

static void start_write(struct local *l)
{
    struct local_job *j = new_job(l, run_write, write_done);

    while (!list_empty(&l->waiting) && (j->count < LOCAL_BATCH || next_belongs_to(l, j))) {
        list_push(&j->items, list_pop(&l->waiting));
        j->count++;
    }
    l->waiting_count -= j->count;
    l->open += j->count;
    l->writing++;
    j->began_us = l->began_us = clock_mono_us();
    job_start(l->f->pool, JOB_DISK, NULL, &j->job);
}

/* --- making durable --- */

static void run_sync(struct job *job)
{
    struct local_job *j = LIST_ENTRY(job, struct local_job, job);
    struct maildir_delivery **all = mem_array(j->count, sizeof *all);
    int *results = mem_array(j->count, sizeof *results);
    size_t n = 0;

    LIST_EACH (it, &j->items) {
        all[n++] = &LIST_ENTRY(it, struct local_item, link)->d;
    }
    maildir_sync(j->maildirs, all, n, results);
    n = 0;
    LIST_EACH (it, &j->items) {
        LIST_ENTRY(it, struct local_item, link)->code = results[n++];
    }
    mem_free(all);
    mem_free(results);
}

static void sync_done(void *owner, struct job *job)
{
    struct local *l = owner;
    struct local_job *j = LIST_ENTRY(job, struct local_job, job);
    struct link *it;

    l->syncing--;
    l->open -= j->count;
    while ((it = list_pop(&j->items)) != NULL) {
        struct local_item *item = LIST_ENTRY(it, struct local_item, link);

        if (item->code < 0) {
            (void)err_set(&item->err, item->code, "sync: %s", err_text(item->code));
            report_failure(item); /* its file is gone; it will be written anew */
        } else {
            l->f->stats.delivered++;
            l->f->stats.synced++;
            schedule_outcome(
                item->a, item->d.seq,
                &(struct attempt_end){
                    .outcome = OUTCOME_DELIVERED, .ours = true, .status = "2.0.0", .reply = item->d.name });
        }
        mem_free(item);
    }
    arm(l);
}

/* Twins are synced by one job. */
static bool next_is_twin(const struct local *l)
{
    return LIST_ENTRY(l->written.next, struct local_item, link)->d.twin != NULL;
}

static void start_sync(struct local *l)
{
    bool at_once = l->written_count >= MAILDIR_BULK && maildir_syncs_at_once(l->f->maildirs);
    size_t share = at_once ? l->written_count : l->written_count / SYNC_JOBS + 1;

    l->armed = l->soon = false;
    timer_stop(l->timer);
    share = share < SYNC_SHARE ? SYNC_SHARE : share;
    while (l->written_count > 0) {
        struct local_job *j = new_job(l, run_sync, sync_done);

        while (l->written_count > 0 && (j->count < share || next_is_twin(l))) {
            list_push(&j->items, list_pop(&l->written));
            j->count++;
            l->written_count--;
        }
        l->syncing++;
        job_start(l->f->pool, JOB_SYNC, NULL, &j->job);
    }
}

static void on_timer(void *owner)
{
    struct local *l = owner;

    l->armed = false;
    if (l->syncing == 0)
        start_sync(l);
    else
        arm(l);
}

/* --- the loop's side --- */

void local_deliver(struct local *l, struct active *a, const struct queue_message *m, const struct queue_recipient *r,
                   uint64_t quota, bool recovered)
{
    struct local_item *item = mem_zero(sizeof *item);

    item->a = a;
    item->d.user = r->mailbox;
    item->d.id = m->id;
    item->d.seq = r->seq;
    item->d.received_ms = m->received_ms;
    item->d.body = queue_message_body(m);
    item->d.spooled = m->spooled;
    item->d.size = m->size;
    item->d.wire_size = m->wire_size;
    item->d.maybe_there = recovered;
    item->d.quota = quota;
    item->d.fd = -1;
    list_push(&l->waiting, &item->link);
    l->waiting_count++;
}

/* The first message after a pause is written at once. Those of a busy client share a job with the next ones: handing
 * over a job costs as much as writing a small message. */
static bool may_write(struct local *l)
{
    if (l->waiting_count == 0 || l->writing == WRITE_JOBS || l->open >= l->open_most)
        return false;
    if (l->waiting_count >= LOCAL_BATCH || l->hurry || clock_mono_us() - l->began_us >= GATHER_MS * 1000)
        return true;
    timer_set(l->gathered, GATHER_MS);
    return false;
}

static void on_gathered(void *owner)
{
    (void)owner; /* the turn does it */
}

void local_turn(struct local *l)
{
    while (may_write(l))
        start_write(l);
    if (l->syncing == 0 && l->written_count > 0 &&
        (l->hurry || l->soon || l->written_count >= LOCAL_SYNC_COUNT || l->open >= l->open_most))
        start_sync(l);
}

void local_hurry(struct local *l)
{
    l->hurry = true;
}

struct local *local_new(struct flow *f)
{
    struct local *l = mem_zero(sizeof *l);
    struct rlimit files = { 0 };

    l->f = f;
    list_init(&l->waiting);
    list_init(&l->written);
    l->timer = timer_new(f->loop, on_timer, l);
    l->gathered = timer_new(f->loop, on_gathered, l);
    l->open_most = OPEN_MOST;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 4 < OPEN_MOST)
        l->open_most = (size_t)files.rlim_cur / 4 + 1;
    return l;
}

void local_free(struct local **l)
{
    if (*l == NULL)
        return;
    timer_close(&(*l)->timer);
    timer_close(&(*l)->gathered);
    mem_free(*l);
    *l = NULL;
}
