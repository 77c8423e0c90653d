#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "facteur/base/clock.h"
#include "facteur/service/pace.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, LONG_ENOUGH = 1000 };

static struct conf_limits limits;
static struct pace pace;

static void begin(int64_t data_ms, unsigned rate)
{
    clock_freeze(1000000, 0);
    limits.timeout.data = data_ms;
    limits.timeout.data_rate = rate;
    pace_begin(&pace);
}

/* `octets` come every `every` ms, up to `count` times; the milliseconds until it is found too slow, or -1. */
static int64_t send(size_t octets, int64_t every, unsigned count)
{
    int64_t began = clock_mono_ms(), look = began + pace_look(&pace, &limits), next = began + every;

    while (count > 0) {
        int64_t at = look < next ? look : next;

        clock_advance(at - clock_mono_ms());
        if (at == next) {
            pace_came(&pace, &limits, octets);
            next += every;
            count--;
        }
        if (at == look) {
            int64_t more = pace_look(&pace, &limits);

            if (more == 0)
                return clock_mono_ms() - began;
            look += more;
        }
    }
    return -1;
}

/* Nothing comes at all: timeouts.data counts, and not a minute. */
static void silence(void **state)
{
    (void)state;
    begin(5 * MINUTE, 500);
    assert_int_equal(send(1, 10 * MINUTE, 1), 5 * MINUTE);
    begin(5 * MINUTE, 0);
    assert_int_equal(send(1, 10 * MINUTE, 1), 5 * MINUTE);
    begin(2 * SECOND, 500);
    assert_int_equal(send(1, 10 * MINUTE, 1), 2 * SECOND);
}

static void drops(void **state)
{
    (void)state;
    begin(5 * MINUTE, 500);
    assert_in_range(send(1, SECOND, LONG_ENOUGH), MINUTE, 2 * MINUTE);
    begin(5 * MINUTE, 500);
    assert_in_range(send(1, 29 * SECOND, LONG_ENOUGH), MINUTE, 3 * MINUTE);
    begin(5 * MINUTE, 500); /* each one an interruption: they add up */
    assert_in_range(send(1, 61 * SECOND, LONG_ENOUGH), 5 * MINUTE, 6 * MINUTE);
    begin(5 * MINUTE, 500);
    assert_int_equal(send(490, SECOND, LONG_ENOUGH) > 0, 1);
    begin(5 * MINUTE, 0); /* the operator wants no rate */
    assert_int_equal(send(1, 4 * MINUTE, LONG_ENOUGH), -1);
}

static void fast_enough(void **state)
{
    (void)state;
    begin(5 * MINUTE, 500);
    assert_int_equal(send(1000, SECOND, LONG_ENOUGH), -1);
    begin(5 * MINUTE, 500); /* 30 kB come after 50 seconds, and 30 kB after a minute and a half */
    assert_int_equal(send(30000, 50 * SECOND, 1), -1);
    assert_int_equal(send(30000, 90 * SECOND, 1), -1);
    assert_int_equal(send(1000, SECOND, LONG_ENOUGH), -1);
}

/* What was waited for on our side is nobody's silence. */
static void resumed(void **state)
{
    (void)state;
    begin(5 * MINUTE, 500);
    assert_int_equal(send(1000, SECOND, 100), -1);
    clock_advance(20 * MINUTE);
    pace_resume(&pace);
    assert_int_equal(send(1000, SECOND, 100), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(silence), cmocka_unit_test(drops),
                                        cmocka_unit_test(fast_enough), cmocka_unit_test(resumed) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
