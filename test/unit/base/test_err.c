#include "facteur/base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int try_twice(int first, int second)
{
    TRY(first);
    TRY(second);
    return 7;
}

static void carries_code_and_words(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_set(&e, -EIO, "cannot read %s", "x"), -EIO);
    assert_int_equal(e.code, -EIO);
    assert_string_equal(e.text, "cannot read x");
    assert_int_equal(err_wrap(&e, "open spool %d", 3), -EIO);
    assert_string_equal(e.text, "open spool 3: cannot read x");
    assert_int_equal(err_set(NULL, -EIO, "%s", "x"), -EIO);
    assert_int_equal(err_wrap(NULL, "%s", "x"), 0);
}

static void cuts_long_words(void **state)
{
    struct err e;

    (void)state;
    (void)err_set(&e, -EIO, "%999d", 1);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    (void)err_wrap(&e, "%400d", 2);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(e.text[399], '2');
    assert_int_equal(e.text[400], ':');
}

static void names_errno_values(void **state)
{
    (void)state;
    assert_string_equal(err_text(-ENOENT), "No such file or directory");
    assert_string_equal(err_text(ENOENT), "No such file or directory");
    assert_non_null(err_text(-4095));
    assert_int_equal(try_twice(0, -3), -3);
    assert_int_equal(try_twice(-2, -3), -2);
    assert_int_equal(try_twice(1, 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_code_and_words),
        cmocka_unit_test(cuts_long_words),
        cmocka_unit_test(names_errno_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
