#include "pump.h"

struct good {
    struct slice in;
    const char *client; /* "" for none */
};

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static const struct good goods[] = {
    { SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"), "192.0.2.7:56324" },
    { SLICE_LIT("PROXY TCP6 2001:db8::7 2001:db8::1 1 25\r\n"), "[2001:db8::7]:1" },
    { SLICE_LIT("PROXY UNKNOWN\r\n"), "" },
    { SLICE_LIT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "" },
    { SLICE_LIT(V2 "\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\0\x19"), "192.0.2.7:56324" },
    { SLICE_LIT(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0"
                   "\x19"),
      "[2001:db8::7]:1" },
    { SLICE_LIT(V2 "\x21\x11\0\x10\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\0\x19\4\0\1x"), "192.0.2.7:56324" }, /* with a TLV */
    { SLICE_LIT(V2 "\x20\0\0\0"), "" },                                                                 /* LOCAL */
    { SLICE_LIT(V2 "\x20\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\x04\0\x19"), "" },
    { SLICE_LIT(V2 "\x21\0\0\4abcd"), "" },
};

static void reads_headers_in_any_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++) {
        const struct good *g = &goods[i];
        char with_more[256], text[ENDPOINT_TEXT];
        struct endpoint ep = { .family = 9 };
        size_t used = 999;

        for (size_t n = 0; n < g->in.n; n++) {
            assert_int_equal(proxy_header_parse(slice_head(g->in, n), &used, &ep), MORE);
            assert_true(used == 999 && ep.family == 9);
        }
        memcpy(with_more, g->in.p, g->in.n);
        memcpy(with_more + g->in.n, "EHLO x\r\n", 8);
        assert_int_equal(proxy_header_parse(slice_make(with_more, g->in.n + 8), &used, &ep), DONE);
        assert_int_equal(used, g->in.n);
        endpoint_format(&ep, text);
        assert_string_equal(text, g->client);
    }
}

static void refuses_what_is_none(void **state)
{
    static const struct slice bad[] = {
        SLICE_LIT("EHLO x\r\n"),
        SLICE_LIT("PROXX"),
        SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 \r\n"),
        SLICE_LIT("PROXY TCP4  192.0.2.7 198.51.100.1 56324 25\r\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 025 25\r\n"),
        SLICE_LIT("PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n"),
        SLICE_LIT("PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n"),
        SLICE_LIT("PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n"),
        SLICE_LIT("PROXY UNKNOWNX\r\n"),
        SLICE_LIT("PROXY \r\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7\r 198.51.100.1 1 25\r\n"),
        SLICE_LIT("PROXY TCP4 192.0.2.7\0 198.51.100.1 1 25\r\n"),
        SLICE_LIT("PROXY UNKNOWN a\0b\r\n"),
        SLICE_LIT("PROXY UNKNOWN a\tb"),
        SLICE_LIT(V2 "\x11\x11\0\x0c"), /* version 1 in binary */
        SLICE_LIT(V2 "\x22\x11\0\x0c"), /* no such command */
        SLICE_LIT(V2 "\x21\x12\0\x0c"), /* datagrams */
        SLICE_LIT(V2 "\x21\x41\0\x0c"), /* no such family */
        SLICE_LIT(V2 "\x21\x11\0\x0b"), /* too short for its family */
        SLICE_LIT(V2 "\x21\x21\0\x23"),
        SLICE_LIT(V2 "\x21\x11\xff\xff"),
        SLICE_LIT("\r\n\r\n\0\r\nQUIX"),
    };
    char longest[120];
    struct endpoint ep = { .family = 9 };
    size_t used = 999;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(proxy_header_parse(bad[i], &used, &ep), -EINVAL);
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_parse(slice_make(longest, 106), &used, &ep), MORE);
    assert_int_equal(proxy_header_parse(slice_make(longest, 107), &used, &ep), -EINVAL);
    memcpy(longest + 105, "\r\n", 2);
    assert_int_equal(proxy_header_parse(slice_make(longest, 107), &used, &ep), DONE);
    assert_int_equal(used, 107);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_headers_in_any_pieces),
        cmocka_unit_test(refuses_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
