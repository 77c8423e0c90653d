#include "facteur/base/clock.h"

#include "facteur/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void stands_still_when_frozen(void **state)
{
    (void)state;
    clock_freeze(5000, 1700000000000);
    assert_int_equal(clock_mono_ms(), 5000);
    assert_int_equal(clock_mono_us(), 5000000);
    assert_true(clock_wall_ms() == 1700000000000);
    clock_advance(1500);
    assert_int_equal(clock_mono_ms(), 6500);
    assert_true(clock_wall_ms() == 1700000001500);
    clock_thaw();
    assert_true(clock_wall_ms() > 1700000001500);
}

static void moves_on_otherwise(void **state)
{
    int64_t before = clock_mono_us();

    (void)state;
    while (clock_mono_us() == before)
        continue;
    assert_true(clock_mono_us() > before);
}

static void randomness_is_in_range(void **state)
{
    bool seen[3] = { false };
    unsigned char a[32] = { 0 }, b[32] = { 0 };

    (void)state;
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    assert_int_not_equal(memcmp(a, b, sizeof a), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t n = rand_below(3);

        assert_true(n < 3);
        seen[n] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    assert_int_equal(rand_below(1), 0);
    assert_true(rand_below(UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stands_still_when_frozen),
        cmocka_unit_test(moves_on_otherwise),
        cmocka_unit_test(randomness_is_in_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
