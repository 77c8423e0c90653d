#include "facteur/base/ranges.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_text(const struct ranges *r, const char *text)
{
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(ranges_format(r, &out), 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_clear(&out);
}

static void merges_what_overlaps_or_touches(void **state)
{
    struct ranges r = { 0 };

    (void)state;
    assert_text(&r, "");
    assert_int_equal(ranges_add(&r, 5, 5), 0);
    assert_int_equal(ranges_add(&r, 9, 7), 0);
    assert_text(&r, "5,7:9");
    assert_int_equal(ranges_add(&r, 6, 6), 0);
    assert_text(&r, "5:9");
    assert_int_equal(ranges_add(&r, 10, 10), 0);
    assert_int_equal(ranges_add(&r, 1, 2), 0);
    assert_int_equal(ranges_add(&r, 20, 30), 0);
    assert_int_equal(ranges_add(&r, 25, 26), 0);
    assert_text(&r, "1:2,5:10,20:30");
    assert_int_equal(ranges_add(&r, 2, 19), 0);
    assert_text(&r, "1:30");
    ranges_clear(&r);
}

static void takes_pieces_out(void **state)
{
    struct ranges r = { 0 };

    (void)state;
    assert_int_equal(ranges_remove(&r, 1, 5), 0);
    assert_int_equal(ranges_add(&r, 1, 100), 0);
    assert_int_equal(ranges_remove(&r, 60, 50), 0);
    assert_text(&r, "1:49,61:100");
    assert_int_equal(ranges_remove(&r, 1, 1), 0);
    assert_int_equal(ranges_remove(&r, 100, 200), 0);
    assert_text(&r, "2:49,61:99");
    assert_int_equal(ranges_remove(&r, 49, 61), 0);
    assert_text(&r, "2:48,62:99");
    assert_int_equal(ranges_remove(&r, 0, UINT32_MAX), 0);
    assert_text(&r, "");
    ranges_clear(&r);
}

static void knows_the_ends_of_the_numbers(void **state)
{
    struct ranges r = { 0 };
    uint64_t cursor = 0;
    uint32_t n = 0;

    (void)state;
    assert_int_equal(ranges_add(&r, UINT32_MAX, UINT32_MAX), 0);
    assert_int_equal(ranges_add(&r, 0, 1), 0);
    assert_text(&r, "0:1,4294967295");
    assert_true(ranges_next(&r, &cursor, &n) && n == 1);
    assert_true(ranges_next(&r, &cursor, &n) && n == UINT32_MAX);
    assert_false(ranges_next(&r, &cursor, &n));
    assert_int_equal(ranges_add(&r, UINT32_MAX - 1, UINT32_MAX - 1), 0);
    assert_int_equal(ranges_add(&r, UINT32_MAX, UINT32_MAX), 0);
    assert_text(&r, "0:1,4294967294:4294967295");
    assert_int_equal(ranges_add(&r, 0, UINT32_MAX), 0);
    assert_text(&r, "0:4294967295");
    assert_true(ranges_count(&r) == UINT64_C(1) << 32);
    assert_int_equal(ranges_remove(&r, 7, 7), 0);
    assert_text(&r, "0:6,8:4294967295");
    ranges_clear(&r);
}

/* Random additions and removals against an array of bools. */
static void equals_a_set_of_numbers(void **state)
{
    enum { SIZE = 300, ROUNDS = 4000 };
    bool model[SIZE] = { false };
    struct ranges r = { 0 }, copy = { 0 };
    uint32_t seed = 1, n = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t from, to;
        uint64_t cursor = 0, count = 0;

        seed = seed * 1103515245 + 12345;
        from = 1 + (seed >> 16) % (SIZE - 20);
        seed = seed * 1103515245 + 12345;
        to = from + (seed >> 16) % 16;
        seed = seed * 1103515245 + 12345;
        assert_int_equal((seed >> 20 & 1) != 0 ? ranges_add(&r, from, to) : ranges_remove(&r, to, from), 0);
        for (uint32_t i = from; i <= to; i++)
            model[i] = (seed >> 20 & 1) != 0;
        for (uint32_t i = 0; i < SIZE; i++) {
            assert_int_equal(ranges_has(&r, i), model[i]);
            count += model[i];
        }
        assert_true(ranges_count(&r) == count);
        for (size_t i = 1; i < r.count; i++)
            assert_true(r.items[i - 1].from <= r.items[i - 1].to && r.items[i].from > r.items[i - 1].to + 1);
        for (n = 0; ranges_next(&r, &cursor, &n); count--)
            assert_true(model[n]);
        assert_true(count == 0);
    }
    assert_int_equal(ranges_copy(&r, &copy), 0);
    assert_int_equal(copy.count, r.count);
    assert_memory_equal(copy.items, r.items, r.count * sizeof *r.items);
    ranges_clear(&r);
    ranges_clear(&copy);
}

static void has_no_more_pieces_than_the_limit(void **state)
{
    struct ranges r = { 0 };
    struct buf out;

    (void)state;
    for (uint32_t i = 1; i <= RANGES_MAX; i++)
        assert_int_equal(ranges_add(&r, 2 * i, 2 * i), 0);
    assert_int_equal(ranges_add(&r, UINT32_MAX, UINT32_MAX), -E2BIG);
    assert_int_equal(r.count, RANGES_MAX);
    assert_false(ranges_has(&r, UINT32_MAX));
    assert_int_equal(ranges_add(&r, 3, 3), 0);
    assert_int_equal(ranges_add(&r, UINT32_MAX, UINT32_MAX), 0);
    assert_int_equal(ranges_remove(&r, 3, 3), -E2BIG); /* it would cut a piece in two */
    assert_true(ranges_has(&r, 3));
    buf_init(&out, 10);
    assert_int_equal(ranges_format(&r, &out), -ENOBUFS);
    assert_int_equal(out.n, 0);
    buf_clear(&out);
    ranges_clear(&r);
}

static void keeps_what_two_have(void **state)
{
    struct ranges r = { 0 }, with = { 0 };
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(ranges_add(&r, 1, UINT32_MAX - 1), 0);
    assert_int_equal(ranges_add(&with, 2, 4), 0);
    assert_int_equal(ranges_add(&with, 7, 7), 0);
    assert_int_equal(ranges_add(&with, UINT32_MAX - 2, UINT32_MAX), 0);
    assert_int_equal(ranges_keep(&r, &with), 0); /* at once, however many numbers there are */
    assert_int_equal(ranges_format(&r, &out), 0);
    assert_string_equal(buf_cstr(&out), "2:4,7,4294967293:4294967294");
    ranges_clear(&with);
    assert_int_equal(ranges_add(&with, 3, 8), 0);
    assert_int_equal(ranges_keep(&r, &with), 0);
    buf_reset(&out);
    assert_int_equal(ranges_format(&r, &out), 0);
    assert_string_equal(buf_cstr(&out), "3:4,7");
    ranges_clear(&with);
    assert_int_equal(ranges_keep(&r, &with), 0);
    assert_int_equal(r.count, 0);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_what_overlaps_or_touches),   cmocka_unit_test(takes_pieces_out),
        cmocka_unit_test(knows_the_ends_of_the_numbers),     cmocka_unit_test(equals_a_set_of_numbers),
        cmocka_unit_test(has_no_more_pieces_than_the_limit), cmocka_unit_test(keeps_what_two_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
