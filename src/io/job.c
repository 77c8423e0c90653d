#include "facteur/io/job.h"

#include "facteur/base/mem.h"
#include "loop_priv.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How many jobs of a class run at a time. QUEUE and HISTORY are lanes: one connection to one database each, and the
 * commits that wait while one runs make the next batch. SPOOL: two, of its own, so that no client waits behind
 * deliveries. DISK: two, so that a slow open or a large copy does not hold up every other delivery; more only deepens
 * the disk's own queue. SYNC: two fsyncs side by side let the file system share journal commits; many files are one
 * job (maildir_sync). HASH: one, which bounds both memory (a yescrypt or argon2id
 * hash takes 16 to 64 MiB) and the share of the processor that guessing passwords can take from the loop. MAILBOX: two,
 * so that a user whose mail is being indexed does not hold up all the others.
 * Each class has threads of its own, so none waits for another. */
static const struct {
    unsigned threads;
    const char *note;
} classes[JOB_CLASSES] = {
    [JOB_QUEUE] = { 1, "queue job done" },     [JOB_HISTORY] = { 1, "history job done" },
    [JOB_SPOOL] = { 2, "spool job done" },     [JOB_DISK] = { 2, "disk job done" },
    [JOB_SYNC] = { 2, "sync job done" },       [JOB_HASH] = { 1, "hash job done" },
    [JOB_MAILBOX] = { 2, "mailbox job done" },
};
enum { CLASS_THREADS = 2 /* at most */ };

/* Threads of our own instead of libuv's pool, where each job costs more hand-overs than two: it goes to the thread that
 * has slept longest, which then waits for the lock under which it was woken; and at its end the loop, woken by
 * uv_async_send's write, spins until that thread gets the processor again and returns from it. One client after the
 * other pays for all of that. Here a lane stays in one thread, and nobody holds anything while he wakes another. */
struct worker {
    struct job_pool *pool;
    struct job *job; /* from job_start to on_told; NULL behind `wanted`: the thread ends */
    sem_t wanted;    /* what stands in `job` is to be run */
    pthread_t thread;
};

/* The thread that helps jobs which share their work; whoever finds it idle takes it. */
struct helper {
    atomic_flag taken;
    sem_t wanted, ended;
    void (*fn)(void *); /* NULL behind `wanted`: the thread ends */
    void *arg;
    pthread_t thread;
};

struct job_pool {
    struct loop *loop;
    uv_poll_t told; /* of the eventfd */
    int event;
    struct link line[JOB_CLASSES]; /* jobs that wait for a worker */
    unsigned waiting[JOB_CLASSES]; /* in line or running */
    struct worker workers[JOB_CLASSES][CLASS_THREADS];
    bool has_helper; /* not on a single processor */
    struct helper helper;
    pthread_mutex_t lock;
    struct link finished; /* under the lock: jobs that have run */
};

/* --- the threads' side --- */

static void tell(int event)
{
    const uint64_t one = 1;

    while (write(event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) < 0) /* EINTR */
        ;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct job_pool *pool = w->pool;

    for (;;) {
        struct job *job;
        bool first;

        wait_for(&w->wanted);
        job = w->job;
        if (job == NULL)
            return NULL;
        job->run(job);
        (void)pthread_mutex_lock(&pool->lock);
        first = list_empty(&pool->finished);
        list_push(&pool->finished, &job->in_line);
        (void)pthread_mutex_unlock(&pool->lock);
        if (first)
            tell(pool->event);
    }
}

static void *help(void *arg)
{
    struct helper *h = arg;

    for (;;) {
        wait_for(&h->wanted);
        if (h->fn == NULL)
            return NULL;
        h->fn(h->arg);
        (void)sem_post(&h->ended);
    }
}

void job_share(struct job_pool *pool, void (*fn)(void *), void *arg)
{
    struct helper *h = &pool->helper;

    if (!pool->has_helper || atomic_flag_test_and_set(&h->taken)) {
        fn(arg);
        return;
    }
    h->fn = fn;
    h->arg = arg;
    (void)sem_post(&h->wanted);
    fn(arg);
    wait_for(&h->ended);
    atomic_flag_clear(&h->taken);
}

/* --- the loop's side --- */

static struct worker *free_worker(struct job_pool *pool, enum job_class cls)
{
    for (unsigned i = 0; i < classes[cls].threads; i++)
        if (pool->workers[cls][i].job == NULL)
            return &pool->workers[cls][i];
    return NULL;
}

static void start_next(struct job_pool *pool, enum job_class cls)
{
    struct worker *w;

    while (!list_empty(&pool->line[cls]) && (w = free_worker(pool, cls)) != NULL) {
        w->job = LIST_ENTRY(list_pop(&pool->line[cls]), struct job, in_line);
        w->job->worker = w;
        (void)sem_post(&w->wanted);
    }
}

static void take_back(struct job_pool *pool, struct job *job)
{
    loop_note(pool->loop, classes[job->cls].note);
    job->worker->job = NULL;
    pool->waiting[job->cls]--;
    start_next(pool, job->cls); /* before done(): the disk works while the loop does */
    list_unlink(&job->in_scope);
    if (!job->abandoned && job->done != NULL)
        job->done(job->owner, job);
    job->drop(job);
}

static void on_told(uv_poll_t *handle, int status, int events)
{
    struct job_pool *pool = handle->data;
    struct link finished, *l;
    uint64_t count;

    (void)status;
    (void)events;
    list_init(&finished);
    if (read(pool->event, &count, sizeof count) < 0) /* first, so that what comes from now on tells again */
        return;
    (void)pthread_mutex_lock(&pool->lock);
    list_move(&pool->finished, &finished);
    (void)pthread_mutex_unlock(&pool->lock);
    while ((l = list_pop(&finished)) != NULL)
        take_back(pool, LIST_ENTRY(l, struct job, in_line));
    if (job_pool_idle(pool))
        uv_unref((uv_handle_t *)&pool->told);
}

static void start_thread(struct job_pool *pool, struct worker *w)
{
    w->pool = pool;
    if (sem_init(&w->wanted, 0, 0) < 0 || pthread_create(&w->thread, NULL, work, w) != 0)
        abort();
}

static void start_helper(struct job_pool *pool)
{
    struct helper *h = &pool->helper;

    pool->has_helper = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    if (!pool->has_helper)
        return;
    atomic_flag_clear(&h->taken);
    if (sem_init(&h->wanted, 0, 0) < 0 || sem_init(&h->ended, 0, 0) < 0 ||
        pthread_create(&h->thread, NULL, help, h) != 0)
        abort();
}

static void end_helper(struct job_pool *pool)
{
    struct helper *h = &pool->helper;

    if (!pool->has_helper)
        return;
    h->fn = NULL;
    (void)sem_post(&h->wanted);
    (void)pthread_join(h->thread, NULL);
    (void)sem_destroy(&h->wanted);
    (void)sem_destroy(&h->ended);
}

struct job_pool *job_pool_new(struct loop *loop)
{
    struct job_pool *pool = mem_zero(sizeof *pool);

    pool->loop = loop;
    list_init(&pool->finished);
    pool->told.data = pool;
    pool->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pool->event < 0 || pthread_mutex_init(&pool->lock, NULL) != 0 ||
        uv_poll_init(&loop->uv, &pool->told, pool->event) != 0 || uv_poll_start(&pool->told, UV_READABLE, on_told) != 0)
        abort();                          /* at start, and nothing is served without them */
    uv_unref((uv_handle_t *)&pool->told); /* the loop may end when no job waits */
    for (size_t cls = 0; cls < JOB_CLASSES; cls++) {
        list_init(&pool->line[cls]);
        for (unsigned i = 0; i < classes[cls].threads; i++)
            start_thread(pool, &pool->workers[cls][i]);
    }
    start_helper(pool);
    return pool;
}

static void on_closed(uv_handle_t *handle)
{
    struct job_pool *pool = handle->data;

    (void)close(pool->event);
    mem_free(pool);
}

void job_pool_free(struct job_pool **pool_p)
{
    struct job_pool *pool = *pool_p;

    if (pool == NULL)
        return;
    *pool_p = NULL;
    for (size_t cls = 0; cls < JOB_CLASSES; cls++) {
        for (unsigned i = 0; i < classes[cls].threads; i++) {
            struct worker *w = &pool->workers[cls][i];

            (void)sem_post(&w->wanted);
            (void)pthread_join(w->thread, NULL);
            (void)sem_destroy(&w->wanted);
        }
    }
    end_helper(pool);
    (void)pthread_mutex_destroy(&pool->lock);
    uv_close((uv_handle_t *)&pool->told, on_closed);
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
    job->cls = cls;
    job->abandoned = false;
    job->in_scope = (struct link){ NULL, NULL };
    if (scope != NULL)
        list_push(&scope->jobs, &job->in_scope);
    list_push(&pool->line[cls], &job->in_line);
    pool->waiting[cls]++;
    uv_ref((uv_handle_t *)&pool->told);
    start_next(pool, cls);
}
