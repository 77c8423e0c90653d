#include "facteur/io/job.h"

#include "facteur/base/mem.h"
#include "loop_priv.h"

#include <stdlib.h>

/* How many jobs of a class run at a time. QUEUE and HISTORY are lanes: one connection to one database each, and the
 * commits that wait while one runs make the next batch. SPOOL: two, of its own, so that no client waits behind
 * deliveries. DISK: two, so that a slow open or a large copy does not hold up every other delivery; more only deepens
 * the disk's own queue. SYNC: two fsyncs side by side let the file system share journal commits; many files are one
 * job (maildir_sync). HASH: one, which bounds both memory (a yescrypt or argon2id
 * hash takes 16 to 64 MiB) and the share of the processor that guessing passwords can take from the loop. MAILBOX: two,
 * so that a user whose mail is being indexed does not hold up all the others.
 * The pool has a thread for each, so no class waits for another. */
static const unsigned ceiling[JOB_CLASSES] = {
    [JOB_QUEUE] = 1, [JOB_HISTORY] = 1, [JOB_SPOOL] = 2,   [JOB_DISK] = 2,
    [JOB_SYNC] = 2,  [JOB_HASH] = 1,    [JOB_MAILBOX] = 2,
};
static const char *const note[JOB_CLASSES] = {
    [JOB_QUEUE] = "queue job done",     [JOB_HISTORY] = "history job done", [JOB_SPOOL] = "spool job done",
    [JOB_DISK] = "disk job done",       [JOB_SYNC] = "sync job done",       [JOB_HASH] = "hash job done",
    [JOB_MAILBOX] = "mailbox job done",
};
_Static_assert(JOB_THREADS == 1 + 1 + 2 + 2 + 2 + 1 + 2, "a thread for each job that may run");

struct slot {
    uv_work_t work;
    struct job_pool *pool;
    struct job *job; /* NULL: free */
};

struct job_pool {
    struct loop *loop;
    struct link line[JOB_CLASSES]; /* jobs that wait for a slot */
    unsigned waiting[JOB_CLASSES]; /* in line or running */
    unsigned running[JOB_CLASSES];
    struct slot slots[JOB_THREADS];
};

static void start_next(struct job_pool *pool, enum job_class cls);

static void on_work(uv_work_t *work)
{
    const struct slot *slot = work->data;

    slot->job->run(slot->job);
}

static void on_worked(uv_work_t *work, int status)
{
    struct slot *slot = work->data;
    struct job_pool *pool = slot->pool;
    struct job *job = slot->job;
    enum job_class cls = job->cls;

    (void)status; /* nothing is ever cancelled */
    loop_note(pool->loop, note[cls]);
    slot->job = NULL;
    pool->running[cls]--;
    pool->waiting[cls]--;
    start_next(pool, cls); /* before done(): the disk works while the loop does */
    list_unlink(&job->in_scope);
    if (!job->abandoned && job->done != NULL)
        job->done(job->owner, job);
    job->drop(job);
}

static struct slot *free_slot(struct job_pool *pool)
{
    for (size_t i = 0; i < JOB_THREADS; i++)
        if (pool->slots[i].job == NULL)
            return &pool->slots[i];
    abort(); /* the slots are the sum of the ceilings */
}

static void start_next(struct job_pool *pool, enum job_class cls)
{
    while (pool->running[cls] < ceiling[cls] && !list_empty(&pool->line[cls])) {
        struct slot *slot = free_slot(pool);

        slot->job = LIST_ENTRY(list_pop(&pool->line[cls]), struct job, in_line);
        slot->pool = pool;
        slot->work.data = slot;
        pool->running[cls]++;
        if (uv_queue_work(&pool->loop->uv, &slot->work, on_work, on_worked) != 0)
            abort(); /* fails only without a function */
    }
}

struct job_pool *job_pool_new(struct loop *loop)
{
    struct job_pool *pool = mem_zero(sizeof *pool);

    pool->loop = loop;
    for (size_t i = 0; i < JOB_CLASSES; i++)
        list_init(&pool->line[i]);
    return pool;
}

void job_pool_free(struct job_pool **pool)
{
    mem_free(*pool);
    *pool = NULL;
}

bool job_pool_idle(const struct job_pool *pool)
{
    for (size_t i = 0; i < JOB_CLASSES; i++)
        if (pool->waiting[i] > 0)
            return false;
    return true;
}

unsigned job_pool_waiting(const struct job_pool *pool, enum job_class cls)
{
    return pool->waiting[cls];
}

void job_scope_init(struct job_scope *scope)
{
    list_init(&scope->jobs);
}

void job_scope_abandon(struct job_scope *scope)
{
    struct link *l;

    while ((l = list_pop(&scope->jobs)) != NULL)
        LIST_ENTRY(l, struct job, in_scope)->abandoned = true;
}

void job_start(struct job_pool *pool, enum job_class cls, struct job_scope *scope, struct job *job)
{
    job->pool = pool;
    job->cls = cls;
    job->abandoned = false;
    job->in_scope = (struct link){ NULL, NULL };
    if (scope != NULL)
        list_push(&scope->jobs, &job->in_scope);
    list_push(&pool->line[cls], &job->in_line);
    pool->waiting[cls]++;
    start_next(pool, cls);
}
