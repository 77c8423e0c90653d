#include "facteur/mail/verdict.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void carries_a_reply(void **state)
{
    struct verdict v = verdict_ok("2.1.5", "%s", "recipient ok");

    (void)state;
    assert_int_equal(v.code, 250);
    assert_string_equal(v.enhanced, "2.1.5");
    assert_string_equal(v.text, "recipient ok");
    assert_true(verdict_is_ok(&v));
    assert_false(verdict_is_temporary(&v));
    v = verdict_by(verdict_make(450, "4.2.0", "later"), "greylist", 12);
    assert_true(verdict_is_temporary(&v));
    assert_string_equal(v.rule, "greylist");
    assert_int_equal(v.line, 12);
    v = verdict_make(550, "5.1.1", "no %d", 1);
    assert_false(verdict_is_ok(&v) || verdict_is_temporary(&v));
}

static void a_reply_is_one_printable_line(void **state)
{
    struct verdict v = verdict_make(550, "5.1.1", "%s", "a\r\n250 b\x1b\xc3\xa4");

    (void)state;
    assert_string_equal(v.text, "a??250 b???");
    v = verdict_make(550, "5.1.1", "%400d", 1);
    assert_int_equal(strlen(v.text), 255);
    v = verdict_make(550, "5.1.1234567890", "x");
    assert_string_equal(v.enhanced, "");
}

static void errors_are_temporary_and_without_details(void **state)
{
    static const int codes[] = { -EIO, -ENOMEM, -EROFS, -ETIMEDOUT, -EBUSY, -1 };

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct verdict v = verdict_of_error(codes[i]);

        assert_int_equal(v.code, 451);
        assert_string_equal(v.enhanced, "4.3.0");
    }
    assert_int_equal(verdict_of_error(-ENOSPC).code, 452);
    assert_string_equal(verdict_of_error(-EDQUOT).enhanced, "4.3.1");
    assert_int_equal(verdict_of_error(-EFBIG).code, 452);
    assert_string_equal(verdict_of_error(-EFBIG).enhanced, "4.3.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_a_reply),
        cmocka_unit_test(a_reply_is_one_printable_line),
        cmocka_unit_test(errors_are_temporary_and_without_details),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
