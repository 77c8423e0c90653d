#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "facteur/mail/date.h"

static void dates(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {
        { "Fri, 21 Nov 1997 09:55:06 -0600", 880127706 },
        { "21 Nov 97 09:55:06 GMT", 880106106 },
        { "Thu, 13\n Feb 1969 23:32 -0330", -27723480 },
        { "Mon, 1 Jan 2024 00:00:00 +0000", 1704067200 },
        { "Mon,1 Jan 2024 00:00:00", 1704067200 },
        { "Thu, 29 Feb 2024 12:00:00 (noon (really)) +0100 (CET)", 1709204400 },
        { "1 January 124 0:0:0 EST", 1704085200 },
        { "Sat, 31 Dec 2016 23:59:60 Z", 1483228800 },
        { "1 Jan 2024 00:00 PDT", 1704092400 },
        { "1 Jan 2024 00:00:00 nonsense", 1704067200 },
    };
    static const char *const bad[] = { "",
                                       "Mon",
                                       "Mon, ",
                                       "yesterday at noon",
                                       "0 Jan 2024 00:00:00 +0000",
                                       "32 Jan 2024 00:00:00 +0000",
                                       "1 Foo 2024 00:00:00 +0000",
                                       "1 Jan 20240 00:00:00 +0000",
                                       "1 Jan 1800 00:00:00 +0000",
                                       "1 Jan 2024 24:00:00 +0000",
                                       "1 Jan 2024 10 30 00 +0000",
                                       "1 Jan 2024 10:60:00",
                                       "1 Jan 2024",
                                       "(((((",
                                       "(\\" };
    int64_t ms = 0;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(date_parse(slice_str(good[i].text), &ms), 0);
        if (ms != good[i].seconds * 1000)
            fail_msg("%s: %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(date_parse(slice_str(bad[i]), &ms), -EINVAL);
}

/* The day as it is written, not the one that it is in Greenwich then. */
static void days(void **state)
{
    static const char *const texts[] = { "Mon, 1 Jan 2024 23:30:00 -1100", "1 Jan 2024 00:10 +1400", "1 Jan 24 12:00" };
    int64_t day = 0;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(date_parse_day(slice_str(texts[i]), &day), 0);
        assert_int_equal(day, 19723);
    }
    assert_int_equal(date_parse_day(SLICE_LIT("yesterday at noon"), &day), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(dates), cmocka_unit_test(days) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
