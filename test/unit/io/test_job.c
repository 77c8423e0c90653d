#include "pump.h"

#include "facteur/io/job.h"

#include <pthread.h>
#include <stdatomic.h>

/* A gate that a job's thread waits at until the test opens it: order without sleeping. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    int running, most;
};

static void gate_init(struct gate *g)
{
    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->changed, NULL);
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_wait_running(struct gate *g, int n)
{
    pthread_mutex_lock(&g->mutex);
    while (g->running < n)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

struct tally {
    int done, dropped, last;
    bool in_order;
};

struct work {
    struct job job;
    struct gate *gate;
    struct tally *tally;
    int number, result;
};

static void run(struct job *job)
{
    struct work *w = LIST_ENTRY(job, struct work, job);

    if (w->gate != NULL) {
        struct gate *g = w->gate;

        pthread_mutex_lock(&g->mutex);
        g->running++;
        g->most = g->running > g->most ? g->running : g->most;
        pthread_cond_broadcast(&g->changed);
        while (!g->open)
            pthread_cond_wait(&g->changed, &g->mutex);
        g->running--;
        pthread_mutex_unlock(&g->mutex);
    }
    w->result = w->number * 2;
}

static void done(void *owner, struct job *job)
{
    struct work *w = LIST_ENTRY(job, struct work, job);
    struct tally *t = owner;

    assert_int_equal(w->result, w->number * 2);
    t->in_order &= w->number == t->last + 1;
    t->last = w->number;
    t->done++;
}

static void drop(struct job *job)
{
    struct work *w = LIST_ENTRY(job, struct work, job);

    w->tally->dropped++;
    mem_free(w);
}

static void start(struct job_pool *pool, enum job_class cls, struct job_scope *scope, struct tally *t, struct gate *g,
                  int number)
{
    struct work *w = mem_zero(sizeof *w);

    w->job.run = run;
    w->job.done = done;
    w->job.drop = drop;
    w->job.owner = t;
    w->gate = g;
    w->tally = t;
    w->number = number;
    job_start(pool, cls, scope, &w->job);
}

static void a_lane_keeps_its_order(void **state)
{
    struct pump *p = *state;
    struct job_pool *pool = job_pool_new(p->loop);
    struct tally t = { .in_order = true };

    for (int i = 1; i <= 300; i++)
        start(pool, JOB_QUEUE, NULL, &t, NULL, i);
    assert_int_equal(t.done, 0); /* never from inside */
    assert_int_equal(job_pool_waiting(pool, JOB_QUEUE), 300);
    RUN_UNTIL(p, job_pool_idle(pool));
    assert_int_equal(t.done, 300);
    assert_int_equal(t.dropped, 300);
    assert_true(t.in_order);
    job_pool_free(&pool);
}

static void no_class_passes_its_ceiling_or_starves_another(void **state)
{
    struct pump *p = *state;
    struct job_pool *pool = job_pool_new(p->loop);
    struct tally slow = { 0 }, quick = { .in_order = true };
    struct gate g;

    gate_init(&g);
    for (int i = 0; i < 20; i++) {
        start(pool, JOB_DISK, NULL, &slow, &g, i);
        start(pool, JOB_SPOOL, NULL, &slow, &g, i);
        start(pool, JOB_SYNC, NULL, &slow, &g, i);
        start(pool, JOB_HASH, NULL, &slow, &g, i);
    }
    gate_wait_running(&g, 2 + 2 + 2 + 1);
    start(pool, JOB_QUEUE, NULL, &quick, NULL, 1);
    start(pool, JOB_HISTORY, NULL, &quick, NULL, 2);
    RUN_UNTIL(p, quick.dropped == 2);
    assert_int_equal(slow.done, 0);
    gate_open(&g);
    RUN_UNTIL(p, job_pool_idle(pool));
    assert_int_equal(slow.done, 80);
    assert_true(g.most <= 2 + 2 + 2 + 1);
    job_pool_free(&pool);
}

static void an_abandoned_job_runs_and_is_dropped_untold(void **state)
{
    struct pump *p = *state;
    struct job_pool *pool = job_pool_new(p->loop);
    struct job_scope *scope = mem_zero(sizeof *scope), other;
    struct tally t = { 0 }, kept = { 0 };
    struct gate g;

    gate_init(&g);
    job_scope_init(scope);
    job_scope_init(&other);
    start(pool, JOB_QUEUE, scope, &t, &g, 1);   /* will be running */
    start(pool, JOB_QUEUE, scope, &t, NULL, 2); /* in line */
    start(pool, JOB_QUEUE, &other, &kept, NULL, 3);
    gate_wait_running(&g, 1);
    job_scope_abandon(scope);
    mem_free(scope); /* the owner is gone */
    gate_open(&g);
    RUN_UNTIL(p, job_pool_idle(pool));
    assert_int_equal(t.done, 0);
    assert_int_equal(t.dropped, 2);
    assert_int_equal(kept.done, 1);
    assert_int_equal(kept.dropped, 1);
    job_pool_free(&pool);
}

struct chain {
    struct job job;
    struct job_pool *pool;
    int left;
    bool *finished;
};

static void chain_run(struct job *job)
{
    LIST_ENTRY(job, struct chain, job)->left--;
}

/* drop() may hand the same memory in again: by then the pool has let go of it. */
static void chain_drop(struct job *job)
{
    struct chain *c = LIST_ENTRY(job, struct chain, job);

    if (c->left > 0)
        job_start(c->pool, JOB_SYNC, NULL, job);
    else
        *c->finished = true;
}

static void a_job_may_start_the_next_from_drop(void **state)
{
    struct pump *p = *state;
    bool finished = false;
    struct chain c = { .job = { .run = chain_run, .drop = chain_drop }, .left = 50, .finished = &finished };

    c.pool = job_pool_new(p->loop);
    job_start(c.pool, JOB_SYNC, NULL, &c.job);
    RUN_UNTIL(p, finished && job_pool_idle(c.pool));
    assert_int_equal(c.left, 0);
    job_pool_free(&c.pool);
}

static void the_loop_stays_for_a_job_and_not_for_the_pool(void **state)
{
    struct pump *p = *state;
    struct job_pool *pool = job_pool_new(p->loop);
    struct tally t = { 0 };
    struct gate g;

    timer_stop(p->dog);
    assert_int_equal(loop_run(p->loop), 0); /* nothing waits */
    gate_init(&g);
    for (int i = 1; i <= 3; i++)
        start(pool, JOB_DISK, NULL, &t, &g, i);
    gate_wait_running(&g, 2); /* and one is in line */
    gate_open(&g);
    assert_int_equal(loop_run(p->loop), 0);
    assert_int_equal(t.dropped, 3);
    job_pool_free(&pool);
}

struct shared {
    struct job job;
    struct job_pool *pool;
    struct gate *gate;
    atomic_int left, done;
    int ended, dropped;
};

static void share_run(void *arg)
{
    struct shared *w = arg;
    struct gate *g = w->gate;

    while (atomic_fetch_sub(&w->left, 1) > 0) {
        pthread_mutex_lock(&g->mutex);
        g->running++;
        pthread_cond_broadcast(&g->changed);
        while (!g->open)
            pthread_cond_wait(&g->changed, &g->mutex);
        pthread_mutex_unlock(&g->mutex);
        atomic_fetch_add(&w->done, 1);
    }
}

static void shared_run(struct job *job)
{
    struct shared *w = LIST_ENTRY(job, struct shared, job);

    job_share(w->pool, share_run, w);
    w->ended = atomic_load(&w->done);
}

static void shared_drop(struct job *job)
{
    struct shared *w = LIST_ENTRY(job, struct shared, job);

    assert_int_equal(w->ended, 5); /* not before all pieces were done */
    w->dropped++;
}

static void shared_start(struct shared *w, struct job_pool *pool, struct gate *g, enum job_class cls)
{
    *w = (struct shared){ .pool = pool, .gate = g, .job = { .run = shared_run, .drop = shared_drop } };
    atomic_init(&w->left, 5);
    job_start(pool, cls, NULL, &w->job);
}

/* One job has the thread that helps; the other does all of its own. */
static void work_is_shared_with_a_thread_that_is_free(void **state)
{
    struct pump *p = *state;
    struct job_pool *pool = job_pool_new(p->loop);
    const int helps = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0;
    struct shared first, second;
    struct gate g;

    gate_init(&g);
    shared_start(&first, pool, &g, JOB_DISK);
    gate_wait_running(&g, 1 + helps);
    shared_start(&second, pool, &g, JOB_SYNC);
    gate_wait_running(&g, 2 + helps);
    gate_open(&g);
    RUN_UNTIL(p, first.dropped + second.dropped == 2);
    g.open = false;
    g.running = 0;
    shared_start(&first, pool, &g, JOB_DISK); /* the thread is free again */
    gate_wait_running(&g, 1 + helps);
    gate_open(&g);
    RUN_UNTIL(p, first.dropped == 1);
    job_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lane_keeps_its_order, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(no_class_passes_its_ceiling_or_starves_another, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(an_abandoned_job_runs_and_is_dropped_untold, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_job_may_start_the_next_from_drop, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(work_is_shared_with_a_thread_that_is_free, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(the_loop_stays_for_a_job_and_not_for_the_pool, pump_open, pump_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
