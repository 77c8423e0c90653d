#include "facteur/base/slice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void compares(void **state)
{
    (void)state;
    assert_true(slice_eq(slice_str("abc"), slice_str("abc")));
    assert_false(slice_eq(slice_str("abc"), slice_str("abC")));
    assert_false(slice_eq(slice_str("abc"), slice_str("ab")));
    assert_true(slice_eq(slice_str(NULL), slice_str("")));
    assert_true(slice_ieq(slice_str("EXAMPLE.org"), slice_str("example.ORG")));
    assert_false(slice_ieq(slice_str("\xc3\x84"), slice_str("\xc3\xa4"))); /* ASCII only */
    assert_true(slice_iis(slice_str("Mail"), "mAIL"));
    assert_true(slice_is(slice_str("Mail"), "Mail"));
    assert_false(slice_is(slice_str("Mail"), "mail"));
    assert_true(slice_istarts(slice_str("SIZE=1"), "size="));
    assert_false(slice_istarts(slice_str("SIZ"), "size"));
    assert_true(slice_iends(slice_str("mx.EXAMPLE.org"), ".example.org"));
    assert_false(slice_iends(slice_str("org"), "example.org"));
}

static void trims_cuts_and_finds(void **state)
{
    struct slice rest = slice_str("a,,b"), head;

    (void)state;
    assert_true(slice_is(slice_trim(slice_str(" \t x y\t ")), "x y"));
    assert_int_equal(slice_trim(slice_str(" \t ")).n, 0);
    assert_true(slice_cut(&rest, ',', &head));
    assert_true(slice_is(head, "a"));
    assert_true(slice_cut(&rest, ',', &head));
    assert_int_equal(head.n, 0);
    assert_false(slice_cut(&rest, ',', &head));
    assert_true(slice_is(head, "b"));
    assert_int_equal(rest.n, 0);
    assert_int_equal(slice_find(slice_str("abc"), 'c'), 2);
    assert_int_equal(slice_find(slice_str("abc"), 'x'), -1);
    assert_int_equal(slice_find(slice_str(NULL), 'x'), -1);
    assert_true(slice_is(slice_skip(slice_str("abc"), 9), ""));
    assert_true(slice_is(slice_head(slice_str("abc"), 2), "ab"));
}

static void reads_numbers(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_int_equal(slice_u64(slice_str("18446744073709551615"), UINT64_MAX, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(slice_u64(slice_str("18446744073709551616"), UINT64_MAX, &n), -ERANGE);
    assert_int_equal(slice_u64(slice_str("99999999999999999999999"), UINT64_MAX, &n), -ERANGE);
    assert_int_equal(slice_u64(slice_str("11"), 10, &n), -ERANGE);
    assert_int_equal(slice_u64(slice_str(""), 10, &n), -EINVAL);
    assert_int_equal(slice_u64(slice_str("-1"), 10, &n), -EINVAL);
    assert_int_equal(slice_u64(slice_str("1 "), 10, &n), -EINVAL);
    assert_int_equal(slice_u64(slice_str("0x1"), 10, &n), -EINVAL);
    assert_true(n == UINT64_MAX); /* only written on success */
    assert_int_equal(slice_u64(slice_str("0010"), 10, &n), 0);
    assert_true(n == 10);
}

static void copies_only_what_fits(void **state)
{
    char to[4] = "old";

    (void)state;
    assert_int_equal(slice_copy(slice_str("four"), to, sizeof to), -ENOBUFS);
    assert_int_equal(slice_copy(SLICE_LIT("a\0b"), to, sizeof to), -ENOBUFS);
    assert_string_equal(to, "old");
    assert_int_equal(slice_copy(slice_str("abc"), to, sizeof to), 0);
    assert_string_equal(to, "abc");
    assert_true(slice_same_secret(slice_str("abc"), slice_str("abc")));
    assert_false(slice_same_secret(slice_str("abc"), slice_str("abd")));
    assert_false(slice_same_secret(slice_str("abc"), slice_str("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(trims_cuts_and_finds),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(copies_only_what_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
