#include "facteur/base/buf.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void adds_up_to_its_maximum(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    assert_int_equal(buf_adds(&b, "abc"), 0);
    assert_int_equal(buf_addc(&b, 'd'), 0);
    assert_int_equal(buf_adds(&b, "ef"), -ENOBUFS);
    assert_true(slice_is(buf_slice(&b), "abcd")); /* nothing of it was written */
    assert_int_equal(buf_addf(&b, "%d", 12), -ENOBUFS);
    assert_int_equal(buf_addf(&b, "%d", 1), 0);
    assert_string_equal(buf_cstr(&b), "abcd1"); /* the NUL stands at max */
    assert_null(buf_room(&b, 1));
    assert_non_null(buf_room(&b, 0));
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_int_equal(buf_add(&b, "x", SIZE_MAX), -ENOBUFS);
    buf_clear(&b);
    assert_int_equal(b.max, 5);
}

static void a_zeroed_one_is_empty(void **state)
{
    struct buf b = { 0 };

    (void)state;
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_addc(&b, 'x'), -ENOBUFS);
    buf_clear(&b);
}

static void drops_from_the_front(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_adds(&b, "abcdef"), 0);
    buf_drop(&b, 2);
    assert_true(slice_is(buf_slice(&b), "cdef"));
    buf_drop(&b, 0);
    assert_int_equal(b.n, 4);
    buf_drop(&b, 99);
    assert_int_equal(b.n, 0);
    buf_clear(&b);
}

static void prints_long_text(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5000);
    assert_int_equal(buf_addf(&b, "%4999d", 1), 0);
    assert_int_equal(b.n, 4999);
    assert_int_equal(b.p[4998], '1');
    assert_int_equal(buf_addf(&b, "%4999d", 1), -ENOBUFS);
    assert_int_equal(b.n, 4999);
    buf_clear(&b);
}

static void room_is_for_the_caller_to_fill(void **state)
{
    struct buf b;
    char *p;
    size_t n;

    (void)state;
    buf_init(&b, 1000);
    for (int i = 0; i < 10; i++) {
        p = buf_room(&b, 100);
        assert_non_null(p);
        memset(p, 'a' + i, 100);
        b.n += 100;
    }
    p = buf_give(&b, &n);
    assert_int_equal(n, 1000);
    assert_int_equal(p[999], 'j');
    assert_int_equal(p[0], 'a');
    assert_int_equal(b.n, 0);
    assert_null(b.p);
    mem_free(p);
    buf_reset(&b);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_to_its_maximum),         cmocka_unit_test(a_zeroed_one_is_empty),
        cmocka_unit_test(drops_from_the_front),           cmocka_unit_test(prints_long_text),
        cmocka_unit_test(room_is_for_the_caller_to_fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
