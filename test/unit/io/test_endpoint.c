#include "pump.h"
#include "sockaddr_priv.h"

static void reads_what_it_writes(void **state)
{
    static const char *const texts[] = { "192.0.2.1:25", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:25",
                                         "unix:/run/facteur/control.sock" };
    char out[ENDPOINT_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct endpoint ep, again;
        struct sockaddr_storage sa;

        assert_int_equal(endpoint_parse(slice_str(texts[i]), &ep), 0);
        endpoint_format(&ep, out);
        assert_string_equal(out, texts[i]);
        sockaddr_to((const struct sockaddr *)&sa, sockaddr_from(&ep, &sa), &again);
        assert_true(endpoint_equal(&ep, &again));
    }
}

static void refuses_the_rest(void **state)
{
    static const char *const texts[] = { "",
                                         "25",
                                         "127.0.0.1",
                                         "127.0.0.1:",
                                         "127.0.0.1:65536",
                                         "127.0.0.1:-1",
                                         "127.0.0.1:25 ",
                                         " 127.0.0.1:25",
                                         "127.0.0:25",
                                         "127.0.0.01:25",
                                         "::1:25",
                                         "[::1]",
                                         "[::1]25",
                                         "[::1",
                                         "[]:25",
                                         "[127.0.0.1]:25",
                                         "localhost:25",
                                         "unix:",
                                         ":25" };
    char path[160];
    struct endpoint ep = { .port = 7 };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(endpoint_parse(slice_str(texts[i]), &ep), -EINVAL);
    assert_int_equal(endpoint_parse(SLICE_LIT("127.0.0.1\0:25"), &ep), -EINVAL);
    memset(path, 'x', sizeof path);
    memcpy(path, "unix:/", 6);
    assert_int_equal(endpoint_parse(slice_make(path, 5 + 108), &ep), -EINVAL);
    assert_int_equal(ep.port, 7);
    assert_int_equal(endpoint_parse(slice_make(path, 5 + 107), &ep), 0);
}

static void compares(void **state)
{
    struct endpoint a, b;

    (void)state;
    assert_int_equal(endpoint_parse(SLICE_LIT("192.0.2.1:25"), &a), 0);
    b = a;
    memset(b.octets + 4, 9, 12); /* not part of an IPv4 address */
    assert_true(endpoint_equal(&a, &b));
    b.port = 26;
    assert_false(endpoint_equal(&a, &b));
    b = a;
    b.octets[3] = 2;
    assert_false(endpoint_equal(&a, &b));
    b = a;
    b.family = 6;
    assert_false(endpoint_equal(&a, &b));
}

static void a_mapped_address_is_ipv4(void **state)
{
    struct endpoint mapped, plain, got;
    struct sockaddr_storage sa;

    (void)state;
    assert_int_equal(endpoint_parse(SLICE_LIT("[::ffff:192.0.2.1]:25"), &mapped), 0);
    assert_int_equal(endpoint_parse(SLICE_LIT("192.0.2.1:25"), &plain), 0);
    sockaddr_to((const struct sockaddr *)&sa, sockaddr_from(&mapped, &sa), &got);
    assert_true(endpoint_equal(&got, &plain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(refuses_the_rest),
        cmocka_unit_test(compares),
        cmocka_unit_test(a_mapped_address_is_ipv4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
