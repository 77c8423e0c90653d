#include "facteur/mail/ip.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct ip ip_of(const char *text)
{
    struct ip ip;

    assert_int_equal(ip_parse(slice_str(text), &ip), 0);
    return ip;
}

static void reads_and_writes_addresses(void **state)
{
    static const char *const rows[][2] = { { "192.0.2.1", "192.0.2.1" },
                                           { "::ffff:192.0.2.1", "192.0.2.1" },
                                           { "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
                                           { "::", "::" } };
    static const char *const wrong[] = { "",
                                         "192.0.2",
                                         "192.0.2.256",
                                         "192.0.2.1 ",
                                         "192.0.2.01",
                                         "1.2.3.4.5",
                                         ":::",
                                         "2001:db8::1%eth0",
                                         "[::1]",
                                         "g::",
                                         "1:2:3:4:5:6:7:8:9",
                                         "0x7f.1",
                                         "0000:0000:0000:0000:0000:0000:0000:0000:0000:0001" };
    char text[IP_TEXT];
    struct ip ip = { .family = 9 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ip one = ip_of(rows[i][0]);

        ip_format(&one, text);
        assert_string_equal(text, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ip_parse(slice_str(wrong[i]), &ip), -EINVAL);
    assert_int_equal(ip_parse(SLICE_LIT("1.2.3.4\0"), &ip), -EINVAL);
    assert_int_equal(ip.family, 9);
    ip_format(&(struct ip){ 0 }, text);
    assert_string_equal(text, "");
}

static void knows_loopback_and_any(void **state)
{
    struct ip a = ip_of("127.9.9.9"), b = ip_of("::1"), c = ip_of("::ffff:127.0.0.1"), d = ip_of("128.0.0.1"),
              e = ip_of("::2"), any4 = ip_of("0.0.0.0"), any6 = ip_of("::"), none = { 0 };

    (void)state;
    assert_true(ip_is_loopback(&a) && ip_is_loopback(&b) && ip_is_loopback(&c) && ip_is_loopback(&none));
    assert_false(ip_is_loopback(&d) || ip_is_loopback(&e) || ip_is_loopback(&any6));
    assert_true(ip_is_any(&any4) && ip_is_any(&any6));
    assert_false(ip_is_any(&none) || ip_is_any(&b) || ip_equal(&any4, &any6));
    assert_true(ip_equal(&b, &b));
}

static void reads_networks(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = { { "192.168.0.0/16", 0 },
                 { "192.168.1.1", 0 },
                 { "::/0", 0 },
                 { "0.0.0.0/0", 0 },
                 { "2001:db8::/33", 0 },
                 { "::ffff:192.168.0.0/112", 0 },
                 { "192.168.1.1/16", -ERANGE },
                 { "2001:db8::1/64", -ERANGE },
                 { "192.168.0.0/33", -EINVAL },
                 { "192.168.0.0/", -EINVAL },
                 { "192.168.0.0/-1", -EINVAL },
                 { "::/129", -EINVAL },
                 { "/8", -EINVAL },
                 { "10.0.0.0/8/8", -EINVAL },
                 { "::ffff:192.168.0.0/16", -EINVAL },
                 { "10.0.0.0/0008", -EINVAL },
                 { "10.0.0.1/31", -ERANGE } };
    struct network n;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(network_parse(slice_str(rows[i].text), &n), rows[i].code);
}

static bool has(const char *network, const char *address)
{
    struct network n;
    struct ip ip = ip_of(address);

    assert_int_equal(network_parse(slice_str(network), &n), 0);
    return network_has(&n, &ip);
}

static void networks_hold_addresses(void **state)
{
    struct ip none = { 0 }, masked;
    struct network all;
    char text[IP_TEXT];

    (void)state;
    assert_true(has("192.168.0.0/20", "192.168.15.255"));
    assert_false(has("192.168.0.0/20", "192.168.16.0"));
    assert_true(has("192.168.0.0/20", "::ffff:192.168.1.1"));
    assert_true(has("::ffff:192.168.0.0/112", "192.168.255.1"));
    assert_false(has("::ffff:192.168.0.0/112", "192.169.0.1"));
    assert_true(has("2001:db8:8000::/33", "2001:db8:ffff::1"));
    assert_false(has("2001:db8:8000::/33", "2001:db8:7fff::1"));
    assert_true(has("0.0.0.0/0", "8.8.8.8"));
    assert_false(has("::/0", "8.8.8.8")); /* families stay apart */
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.2"));
    assert_int_equal(network_parse(slice_str("0.0.0.0/0"), &all), 0);
    assert_false(network_has(&all, &none));
    masked = ip_of("192.0.2.200");
    masked = ip_mask(&masked, 25, 64);
    ip_format(&masked, text);
    assert_string_equal(text, "192.0.2.128");
    masked = ip_of("2001:db8:1:2:3:4:5:6");
    masked = ip_mask(&masked, 25, 63);
    ip_format(&masked, text);
    assert_string_equal(text, "2001:db8:1:2::");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_addresses),
        cmocka_unit_test(knows_loopback_and_any),
        cmocka_unit_test(reads_networks),
        cmocka_unit_test(networks_hold_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
