#include "facteur/flow/body_store.h"

#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/store/sys.h"

#include <errno.h>

struct body_store {
    struct job job;
    struct flow *f;
    uint64_t id;
    const struct body_store_events *events;
    void *owner;        /* NULL: freed, and only waited for by its job */
    struct buf fill;    /* what comes in */
    struct buf writing; /* what the job has */
    uint64_t size;
    size_t counted; /* of f->body_octets */
    int fd;
    int code;     /* the first error */
    int job_code; /* the same, as the job sees it */
    struct err err;
    bool spooled, running, held, finishing, kept;
    bool job_syncs, job_removes; /* what the job is to do */
};

/* --- the job: sees `writing`, fd, id, job_code, err, and what it is to do --- */

static void run_piece(struct job *job)
{
    struct body_store *b = LIST_ENTRY(job, struct body_store, job);
    struct spool *spool = b->f->spool;

    if (b->job_removes) {
        if (b->fd >= 0)
            (void)sys->close(b->fd);
        b->fd = -1;
        (void)spool_remove(spool, b->id);
        return;
    }
    if (b->fd < 0 && b->job_code == 0) {
        b->fd = spool_create(spool, b->id, &b->err);
        b->job_code = b->fd < 0 ? b->fd : 0;
    }
    if (b->job_code == 0)
        b->job_code = sys_write_all(b->fd, buf_slice(&b->writing));
    if (b->job_code == 0 && b->job_syncs)
        b->job_code = spool_sync(spool, b->fd, &b->err);
    if (b->job_syncs && b->fd >= 0) {
        (void)sys->close(b->fd);
        b->fd = -1;
    }
}

static void piece_dropped(struct job *job);

static void start_job(struct body_store *b)
{
    b->running = true;
    b->job.run = run_piece;
    b->job.drop = piece_dropped; /* and no done: it ends also when nobody waits any more */
    job_start(b->f->pool, JOB_SPOOL, NULL, &b->job);
}

static void count_memory(struct body_store *b)
{
    size_t now = b->fill.cap + b->writing.cap;

    b->f->body_octets -= b->counted; /* not the difference: that of two 32-bit sizes would not wrap back */
    b->f->body_octets += now;
    b->counted = now;
}

static void start_piece(struct body_store *b, bool sync)
{
    struct buf empty = b->writing;

    buf_reset(&empty);
    b->writing = b->fill;
    b->fill = empty;
    b->job_syncs = sync;
    start_job(b);
}

static void destroy(struct body_store *b)
{
    buf_clear(&b->fill);
    buf_clear(&b->writing);
    count_memory(b);
    mem_free(b);
}

/* Frees, by way of a job if there is a file to remove. */
static void dismiss(struct body_store *b)
{
    if (b->spooled && !b->kept && !b->job_removes) {
        b->job_removes = true;
        start_job(b);
        return;
    }
    destroy(b);
}

static void after_piece(struct body_store *b)
{
    if (b->code < 0) {
        char id[14];

        base32_u64(b->id, id);
        LOG(ERROR, "spool-write-failed", kv_str("queue", id),
            kv_str("reason", b->err.text[0] != '\0' ? b->err.text : err_text(b->code)));
        if (b->finishing)
            b->events->finished(b->owner, b->code);
        else
            b->events->failed(b->owner, b->code);
        return;
    }
    if (b->finishing && b->job_syncs) {
        b->events->finished(b->owner, 0);
        return;
    }
    if (b->finishing || b->fill.n >= BODY_PIECE)
        start_piece(b, b->finishing);
    if (b->held && b->fill.n < BODY_PIECE) {
        b->held = false;
        b->events->hold(b->owner, false);
    }
}

static void piece_dropped(struct job *job)
{
    struct body_store *b = LIST_ENTRY(job, struct body_store, job);

    b->running = false;
    b->code = b->job_code;
    buf_reset(&b->writing);
    if (b->owner == NULL)
        dismiss(b);
    else
        after_piece(b);
}

/* --- the loop's side --- */

struct body_store *body_store_new(struct flow *f, uint64_t id, const struct body_store_events *events, void *owner)
{
    struct body_store *b = mem_zero(sizeof *b);

    b->f = f;
    b->id = id;
    b->events = events;
    b->owner = owner;
    b->fd = -1;
    /* A piece may grow by one read of the stream and one header beyond its size. */
    buf_init(&b->fill, (size_t)f->config->queue.inline_limit + BODY_PIECE + 2 * 1024 * 1024);
    buf_init(&b->writing, b->fill.max);
    return b;
}

int body_store_push(struct body_store *b, struct slice octets)
{
    const struct conf_queue *limits = &b->f->config->queue;

    if (b->code < 0)
        return b->code;
    TRY(buf_add(&b->fill, octets.p, octets.n));
    b->size += octets.n;
    count_memory(b);
    if (!b->spooled && (b->size > limits->inline_limit || b->f->body_octets > limits->inline_budget))
        b->spooled = true;
    if (!b->spooled || b->fill.n < BODY_PIECE)
        return 0;
    if (!b->running) {
        start_piece(b, false);
    } else if (!b->held) {
        b->held = true;
        b->events->hold(b->owner, true);
    }
    return 0;
}

bool body_store_finish(struct body_store *b)
{
    if (!b->spooled)
        return true;
    b->finishing = true;
    if (!b->running)
        start_piece(b, true);
    return false;
}

uint64_t body_store_size(const struct body_store *b)
{
    return b->size;
}

bool body_store_is_spooled(const struct body_store *b)
{
    return b->spooled;
}

char *body_store_give(struct body_store *b)
{
    size_t n;
    char *p = buf_give(&b->fill, &n);

    b->f->body_octets -= b->counted;
    b->f->body_octets += n;
    b->counted = 0;
    return p;
}

void body_store_keep(struct body_store *b)
{
    b->kept = true;
}

void body_store_free(struct body_store **b)
{
    struct body_store *store = *b;

    *b = NULL;
    if (store == NULL)
        return;
    store->owner = NULL;
    if (!store->running)
        dismiss(store);
}
