/* When it is tried again, and how long it has waited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "facteur/flow/schedule.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static int64_t waits[] = { 5 * MINUTE, 10 * MINUTE, HOUR };
static const struct conf_queue queue = { .retry = waits, .retry_count = 3 };

static void test_retry_follows_the_list_within_a_twentieth(void **state)
{
    (void)state;
    for (uint32_t attempts = 0; attempts < 6; attempts++) {
        static const int64_t expected[] = { 5 * MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR, HOUR, HOUR };
        int64_t least = INT64_MAX, most = 0;

        for (int i = 0; i < 1000; i++) {
            int64_t wait = schedule_retry_ms(&queue, attempts, schedule_jitter());

            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_true(least >= expected[attempts] - expected[attempts] / 20);
        assert_true(most <= expected[attempts] + expected[attempts] / 20);
        assert_true(most > least); /* not all at once */
    }
}

static void test_retry_of_very_short_waits(void **state)
{
    int64_t one[] = { 1 };
    const struct conf_queue q = { .retry = one, .retry_count = 1 };

    (void)state;
    assert_int_equal(schedule_retry_ms(&q, 1, SCHEDULE_JITTER), 1);
    assert_int_equal(schedule_retry_ms(&q, UINT32_MAX, 0), 1);
}

static void test_age_is_the_clocks_when_the_retries_took_longer(void **state)
{
    (void)state;
    assert_int_equal(schedule_age_ms(&queue, 1000, 1000 + 3 * MINUTE, 1), 3 * MINUTE);
    assert_int_equal(schedule_age_ms(&queue, 1000, 1000 + 14 * MINUTE, 2), 14 * MINUTE);
}

/* F23: the clock jumped by ten years. */
static void test_age_grows_no_faster_than_the_retries(void **state)
{
    const int64_t ten_years = (int64_t)10 * 365 * 24 * HOUR;

    (void)state;
    assert_int_equal(schedule_age_ms(&queue, 0, ten_years, 0), 0);
    assert_int_equal(schedule_age_ms(&queue, 0, ten_years, 1), 5 * MINUTE);
    assert_int_equal(schedule_age_ms(&queue, 0, ten_years, 2), 15 * MINUTE);
    assert_int_equal(schedule_age_ms(&queue, 0, ten_years, 4), 15 * MINUTE + 2 * HOUR);
}

static void test_age_before_it_came_is_none(void **state)
{
    (void)state;
    assert_true(schedule_age_ms(&queue, HOUR, 0, 3) <= 0);
}

/* A row read back with an absurd count costs no time. */
static void test_age_with_many_attempts_ends(void **state)
{
    (void)state;
    assert_int_equal(schedule_age_ms(&queue, 0, 48 * HOUR, UINT32_MAX), 48 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_follows_the_list_within_a_twentieth),
        cmocka_unit_test(test_retry_of_very_short_waits),
        cmocka_unit_test(test_age_is_the_clocks_when_the_retries_took_longer),
        cmocka_unit_test(test_age_grows_no_faster_than_the_retries),
        cmocka_unit_test(test_age_before_it_came_is_none),
        cmocka_unit_test(test_age_with_many_attempts_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
