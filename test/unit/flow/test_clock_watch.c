/* F23: what was dated by a clock that was wrong. */
#include "flow_test.h"

#include "facteur/base/clock.h"
#include "facteur/flow/clock_watch.h"

enum { HOUR = 3600 * 1000, MONO = 1000 * 1000 };

static const int64_t year = (int64_t)365 * 24 * HOUR, now = (int64_t)1800 * 1000 * 1000 * 1000;

static void add(const char *state, uint64_t id, int64_t due, unsigned flags)
{
    struct queue_message *m = message_make(id, 1, 10, due);
    struct queue *q;
    struct err e;

    m->flags = flags;
    m->received_ms = now;
    m->recipients[0].attempts = 3;
    assert_int_equal(queue_open(state, &q, &e), 0);
    assert_int_equal(add_message(q, m), 0);
    queue_close(&q);
    queue_message_free(&m);
}

/* The message's due time, after all that is under way; the loop rests meanwhile. */
static int64_t due_of(struct flow *f, uint64_t id)
{
    struct queue_message *m = NULL;
    struct err e;
    int64_t due;

    flow_test_settle(f);
    while (!job_pool_idle(f->pool))
        (void)loop_run_once(f->loop);
    if (queue_get(f->queue, id, false, &m, &e) < 0)
        return -1;
    due = m->recipients[0].due_ms;
    queue_message_free(&m);
    return due;
}

static int64_t longest_wait(const struct flow *f)
{
    return f->config->queue.retry[f->config->queue.retry_count - 1];
}

static void test_start_with_a_clock_that_was_set_back(void **state)
{
    struct flow f = { 0 };
    struct dir d;

    (void)state;
    dir_make(&d);
    clock_freeze(MONO, now);
    add(d.path, 1, now + 50 * year, 0);
    add(d.path, 2, now + HOUR, 0);
    add(d.path, 3, QUEUE_HELD_DUE, QUEUE_HELD);
    flow_test_start(&f, d.path, 9);
    assert_true(due_of(&f, 1) > now && due_of(&f, 1) <= now + longest_wait(&f));
    assert_true(due_of(&f, 2) == now + HOUR);
    assert_true(due_of(&f, 3) == QUEUE_HELD_DUE);
    flow_test_stop(&f);
    clock_thaw();
    dir_remove(&d);
}

static void test_clock_set_back_while_we_run(void **state)
{
    struct flow f = { 0 };
    struct dir d;

    (void)state;
    dir_make(&d);
    clock_freeze(MONO, now);
    add(d.path, 1, now + HOUR, 0);
    flow_test_start(&f, d.path, 9);
    assert_true(due_of(&f, 1) == now + HOUR);
    clock_freeze(MONO + 1000, now + 1000 - 5000); /* corrected a little: no jump */
    clock_watch_check(f.clock_watch);
    assert_true(due_of(&f, 1) == now + HOUR);
    clock_freeze(MONO + 2000, now - 30 * year);
    clock_watch_check(f.clock_watch);
    assert_true(due_of(&f, 1) > now - 30 * year && due_of(&f, 1) <= now - 30 * year + longest_wait(&f));
    flow_test_stop(&f);
    clock_thaw();
    dir_remove(&d);
}

/* What was due is tried, and fails as before: that its age by the clock is ten years ends nothing. */
static void test_clock_set_forward_expires_nothing(void **state)
{
    struct flow f = { 0 };
    struct dir d;
    int64_t then = now + 10 * year;

    (void)state;
    dir_make(&d);
    clock_freeze(MONO, now);
    add(d.path, 1, now + HOUR, 0);
    flow_test_start(&f, d.path, 9);
    assert_true(due_of(&f, 1) == now + HOUR);
    assert_int_equal(mkdir(in_dir(&d, "mail/example.org"), 0700), 0);
    file_write(in_dir(&d, "mail/example.org/anna"), "", 0); /* where the mailbox should be */
    clock_freeze(MONO + 1000, then);
    clock_watch_check(f.clock_watch);
    schedule_wake(&f);
    assert_true(due_of(&f, 1) > then && due_of(&f, 1) <= then + longest_wait(&f) + longest_wait(&f) / 20);
    assert_int_equal(f.stats.bounced, 0);
    assert_int_equal(f.stats.deferred, 1);
    flow_test_stop(&f);
    clock_thaw();
    dir_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_with_a_clock_that_was_set_back),
        cmocka_unit_test(test_clock_set_back_while_we_run),
        cmocka_unit_test(test_clock_set_forward_expires_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
