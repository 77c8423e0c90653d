#include "facteur/base/mem.h"
#include "load_priv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int code;
        uint64_t size;
    } cases[] = {
        { "0", 0, 0 },
        { "1048576", 0, 1048576 },
        { "25 MiB", 0, 25 << 20 },
        { "25MiB", 0, 25 << 20 },
        { "25M", 0, 25 << 20 },
        { "25 MB", 0, 25000000 },
        { "1K", 0, 1024 },
        { "3 GiB", 0, 3ULL << 30 },
        { "2T", 0, 2ULL << 40 },
        { "18446744073709551615", 0, UINT64_MAX },
        { "18446744073709551616", -ERANGE, 0 },
        { "17179869184 GiB", -ERANGE, 0 },
        { "", -EINVAL, 0 },
        { "MiB", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
        { "1.5 GiB", -EINVAL, 0 },
        { "25 m", -EINVAL, 0 },
        { "25 MiBs", -EINVAL, 0 },
        { "0x10", -EINVAL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t size = 7;

        assert_int_equal(size_parse(slice_str(cases[i].text), &size), cases[i].code);
        assert_true(size == (cases[i].code == 0 ? cases[i].size : 7));
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int code;
        int64_t ms;
    } cases[] = {
        { "0", 0, 0 },
        { "0s", 0, 0 },
        { "500ms", 0, 500 },
        { "90s", 0, 90000 },
        { "5m", 0, 300000 },
        { "1h30m", 0, 5400000 },
        { "1h 30m", 0, 5400000 },
        { "5 d", 0, 432000000 },
        { "2w", 0, 1209600000 },
        { "5", -EINVAL, 0 },
        { "", -EINVAL, 0 },
        { "m", -EINVAL, 0 },
        { "5M", -EINVAL, 0 },
        { "-5m", -EINVAL, 0 },
        { "5m x", -EINVAL, 0 },
        { "1h30", -EINVAL, 0 },
        { "9223372036854775807ms", 0, INT64_MAX },
        { "9223372036854775808ms", -ERANGE, 0 },
        { "99999999999999999w", -ERANGE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 7;

        assert_int_equal(duration_parse(slice_str(cases[i].text), &ms), cases[i].code);
        assert_true(ms == (cases[i].code == 0 ? cases[i].ms : 7));
    }
}

static void test_formats_read_back(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 1000, 1024, 1536, 25 << 20, (25 << 20) + 1, 3ULL << 30, UINT64_MAX };
    static const int64_t durations[] = { 0, 1, 999, 1000, 90000, 5400000, 432000000, 1209600001, INT64_MAX };
    struct buf out;

    (void)state;
    buf_init(&out, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t back = 7;

        buf_reset(&out);
        assert_int_equal(size_format(sizes[i], &out), 0);
        assert_int_equal(size_parse(buf_slice(&out), &back), 0);
        assert_true(back == sizes[i]);
    }
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        int64_t back = 7;

        buf_reset(&out);
        assert_int_equal(duration_format(durations[i], &out), 0);
        assert_int_equal(duration_parse(buf_slice(&out), &back), 0);
        assert_true(back == durations[i]);
    }
    buf_clear(&out);
}

#define ZEROS32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void test_hash_forms(void **state)
{
    static const struct {
        const char *hash;
        bool known;
    } cases[] = {
        { "$y$j9T$L7H52iHLCxT3qacF3q6vE/$r8/aPjiTN6EIcrXHSb7av6bxsayAF4LUvnc3RV5W1HA", true },
        { "$2b$12$EHW2jGj8tAL3ye1qAMk4MuBn5c0wXlU110xY.lVQoALkLWoyZ/NIe", true },
        { "$2b$12$EHW2jGj8tAL3ye1qAMk4MuBn5c0wXlU110xY.lVQoALkLWoyZ", false },
        { "$5$EHW2jGj8tAL3ye1q$srdYsL.J4vTyNfrzAihFfU50YTlezUcQBgnJerMlxf.", true },
        { "$argon2id$v=19$m=65536,t=2,p=1$gZiV/M1gPc22ElAH/Jh1Hw$CWOrkoo7oJBQ/iyh7uJ0LO2aLEfrHwTWllSAxT0zRno", true },
        { "$argon2i$v=19$m=65536,t=2,p=1$gZiV/M1gPc22ElAH/Jh1Hw$CWOrkoo7oJBQ/iyh7uJ0LO2aLEfrHwTWllSAxT0zRno", false },
        { "{SCRAM-SHA-256}4096,QUJDREVGR0g=," ZEROS32 "," ZEROS32, true },
        { "{SCRAM-SHA-256}0,QUJDREVGR0g=," ZEROS32 "," ZEROS32, false },
        { "{SCRAM-SHA-256}4096,QUJDREVGR0g=," ZEROS32, false },
        { "{SCRAM-SHA-256}4096,QUJDREVGR0g=," ZEROS32 ",QUJD", false },
        { "$1$EHW2jGj8$srdYsL.J4vTyNfrzAihFfU50YTlezUcQBgnJerMlxfsrdYsL.J4vTyNfrzAihFfU50", false },
        { "*", false },
        { "geheim", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (hash_is_known(slice_str(cases[i].hash)) != cases[i].known)
            fail_msg("%s", cases[i].hash);
}

static void test_nearest_word(void **state)
{
    static const char *const words[] = { "hostname", "message_size", "tls", "to", "PLAIN", NULL };
    static const struct {
        const char *seen, *nearest;
    } cases[] = {
        { "hostnme", "hostname" },
        { "hsotname", "hostname" },
        { "Message-Size", "message_size" },
        { "tsl", "tls" },
        { "PLAN", "PLAIN" },
        { "plain", "PLAIN" },
        { "something", NULL },
        { "", NULL },
        { "x", NULL },
        { "hostnameandmuchmorethanthatindeed", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *nearest = nearest_word(slice_str(cases[i].seen), words);

        if (cases[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_formats_read_back),
        cmocka_unit_test(test_hash_forms),
        cmocka_unit_test(test_nearest_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
