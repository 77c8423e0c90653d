#include "pump.h"

#include "dns_message.h"
#include "dns_priv.h"

static struct msg m;

static int parse(enum dns_type type, const char *name, struct dns_answer *a)
{
    /* a copy of the exact size, so that the sanitizer sees a read behind the end */
    char *copy = mem_dup(m.p, m.n), *exact = mem_alloc(m.n);
    int rc;

    memcpy(exact, copy, m.n);
    rc = dns_answer_parse(slice_make(exact, m.n), type, slice_str(name), a);
    mem_free(copy);
    mem_free(exact);
    return rc;
}

static void mx_records_are_sorted(void **state)
{
    struct dns_answer a;

    (void)state;
    msg_begin(&m, 0x81a0, "Example.TEST", DNS_MX);
    msg_mx(&m, NULL, 300, 20, "b.Example.test");
    msg_mx(&m, "example.test", 60, 10, "a.example.test");
    msg_mx(&m, "other.test", 5, 1, "evil.test"); /* not asked for */
    assert_int_equal(parse(DNS_MX, "example.test.", &a), 0);
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.ttl, 60);
    assert_true(a.authenticated);
    assert_string_equal(a.records[0].name, "a.example.test");
    assert_int_equal(a.records[0].preference, 10);
    assert_string_equal(a.records[1].name, "b.example.test");
    dns_answer_free(&a);
}

static void every_type_is_read(void **state)
{
    static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
    struct dns_answer a;

    (void)state;
    msg_begin(&m, 0x8180, "a.test", DNS_A);
    msg_rr(&m, 0, NULL, DNS_A, 9, "\x7f\0\0\1", 4);
    assert_int_equal(parse(DNS_A, "a.test", &a), 0);
    assert_memory_equal(a.records[0].octets, "\x7f\0\0\1", 4);
    assert_false(a.authenticated);
    dns_answer_free(&a);

    msg_begin(&m, 0x8180, "a.test", DNS_AAAA);
    msg_rr(&m, 0, NULL, DNS_AAAA, 9, v6, 16);
    assert_int_equal(parse(DNS_AAAA, "a.test", &a), 0);
    assert_memory_equal(a.records[0].octets, v6, 16);
    dns_answer_free(&a);

    msg_begin(&m, 0x8180, "a.test", DNS_TXT);
    msg_rr(&m, 0, NULL, DNS_TXT, 9, "\5v=spf\2 -\0\3all", 14);
    msg_rr(&m, 0, NULL, DNS_TXT, 9, "\3two", 4);
    assert_int_equal(parse(DNS_TXT, "a.test", &a), 0);
    assert_int_equal(a.count, 2);
    assert_true(slice_is(a.records[0].text, "v=spf -all"));
    assert_true(slice_is(a.records[1].text, "two"));
    dns_answer_free(&a);

    msg_begin(&m, 0x8180, "_25._tcp.a.test", DNS_TLSA);
    msg_rr(&m, 0, NULL, DNS_TLSA, 9, "\3\1\1hash", 7);
    assert_int_equal(parse(DNS_TLSA, "_25._tcp.a.test", &a), 0);
    assert_true(slice_eq(a.records[0].text, SLICE_LIT("\3\1\1hash")));
    dns_answer_free(&a);

    msg_begin(&m, 0x8180, "1.0.0.127.in-addr.arpa", DNS_PTR);
    msg_rr_name(&m, NULL, DNS_PTR, 9, NULL, 0, "LocalHost.test");
    assert_int_equal(parse(DNS_PTR, "1.0.0.127.in-addr.arpa", &a), 0);
    assert_string_equal(a.records[0].name, "localhost.test");
    dns_answer_free(&a);
}

static void the_null_mx_has_no_name(void **state)
{
    struct dns_answer a;

    (void)state;
    msg_begin(&m, 0x8180, "a.test", DNS_MX);
    msg_mx(&m, NULL, 9, 0, "");
    assert_int_equal(parse(DNS_MX, "a.test", &a), 0);
    assert_int_equal(a.count, 1);
    assert_string_equal(a.records[0].name, "");
    dns_answer_free(&a);
}

static void chains_are_followed_so_far(void **state)
{
    struct dns_answer a;
    char from[16] = "c0.test", to[16];

    (void)state;
    for (int links = 1; links <= 9; links++) {
        msg_begin(&m, 0x8180, "c0.test", DNS_A);
        (void)snprintf(to, sizeof to, "c%d.test", links);
        msg_rr(&m, 0, to, DNS_A, 900, "\1\2\3\4", 4); /* in any order */
        for (int i = links - 1; i >= 0; i--) {
            (void)snprintf(from, sizeof from, "c%d.test", i);
            (void)snprintf(to, sizeof to, "C%d.test", i + 1);
            msg_cname(&m, from, (uint32_t)(100 + i), to);
        }
        assert_int_equal(parse(DNS_A, "c0.test", &a), 0);
        assert_int_equal(a.status, links <= 8 ? DNS_OK : DNS_FAILED);
        assert_int_equal(a.count, links <= 8);
        if (links <= 8)
            assert_int_equal(a.ttl, 100);
        dns_answer_free(&a);
    }
    msg_begin(&m, 0x8180, "a.test", DNS_A);
    msg_cname(&m, "a.test", 9, "b.test");
    msg_cname(&m, "b.test", 9, "a.test");
    assert_int_equal(parse(DNS_A, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_FAILED);
    dns_answer_free(&a);
}

static void what_is_not_there(void **state)
{
    struct dns_answer a;

    (void)state;
    msg_begin(&m, 0x8183, "a.test", DNS_MX);
    msg_soa(&m, 3600, 42);
    assert_int_equal(parse(DNS_MX, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_NXDOMAIN);
    assert_int_equal(a.ttl, 42);
    msg_begin(&m, 0x8180, "a.test", DNS_MX);
    msg_soa(&m, 30, 42);
    assert_int_equal(parse(DNS_MX, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_NODATA);
    assert_int_equal(a.ttl, 30);
    msg_begin(&m, 0x8180, "a.test", DNS_MX); /* only somebody else's record */
    msg_mx(&m, "b.test", 30, 1, "b.test");
    assert_int_equal(parse(DNS_MX, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_NODATA);
    assert_int_equal(a.ttl, 0);
    msg_begin(&m, 0x8182, "a.test", DNS_MX);
    assert_int_equal(parse(DNS_MX, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_FAILED);
    msg_begin(&m, 0x8183, "a.test", DNS_A); /* a chain that ends nowhere */
    msg_cname(&m, "a.test", 9, "b.test");
    assert_int_equal(parse(DNS_A, "a.test", &a), 0);
    assert_int_equal(a.status, DNS_NXDOMAIN);
}

static void nonsense_is_refused(void **state)
{
    struct dns_answer a = { .ttl = 77 };
    size_t whole;

    (void)state;
    msg_begin(&m, 0x8180, "a.test", DNS_MX);
    msg_mx(&m, NULL, 9, 1, "b.test");
    whole = m.n;
    for (m.n = 0; m.n < whole; m.n++) /* cut at each octet */
        assert_int_equal(parse(DNS_MX, "a.test", &a), -EBADMSG);
    assert_int_equal(parse(DNS_MX, "b.test", &a), -EBADMSG);
    assert_int_equal(parse(DNS_TXT, "a.test", &a), -EBADMSG);
    assert_int_equal(parse(DNS_MX, "a..test", &a), -EBADMSG);
    m.p[2] = 0x01; /* a query */
    assert_int_equal(parse(DNS_MX, "a.test", &a), -EBADMSG);
    msg_begin(&m, 0x8180, "a.test", DNS_A);
    msg_rr(&m, 0, NULL, DNS_A, 9, "\1\2\3", 3);
    assert_int_equal(parse(DNS_A, "a.test", &a), -EBADMSG);
    msg_begin(&m, 0x8180, "a.test", DNS_TXT);
    msg_rr(&m, 0, NULL, DNS_TXT, 9, "\7short", 6);
    assert_int_equal(parse(DNS_TXT, "a.test", &a), -EBADMSG);
    msg_begin(&m, 0x8180, "a.test", DNS_MX); /* a name that points at itself, forward, past the end */
    msg_rr(&m, 0, NULL, DNS_MX, 9, "\0\1\xc0\x26", 4);
    assert_int_equal(parse(DNS_MX, "a.test", &a), -EBADMSG);
    msg_begin(&m, 0x8180, "a.test", DNS_MX); /* a host whose label holds a dot or a control octet */
    msg_rr(&m, 0, NULL, DNS_MX, 9, "\0\1\3a.b\0", 7);
    msg_rr(&m, 0, NULL, DNS_MX, 9, "\0\1\3a\nb\0", 7);
    assert_int_equal(parse(DNS_MX, "a.test", &a), -EBADMSG);
    assert_int_equal(a.ttl, 77);
}

static void the_count_is_bounded(void **state)
{
    struct dns_answer a;

    (void)state;
    msg_begin(&m, 0x8180, "a.test", DNS_A);
    for (int i = 0; i < 500; i++)
        msg_rr(&m, 0, NULL, DNS_A, 9, "\1\2\3\4", 4);
    assert_int_equal(parse(DNS_A, "a.test", &a), 0);
    assert_int_equal(a.count, 128);
    dns_answer_free(&a);
}

static void names_are_cleaned(void **state)
{
    char to[DNS_NAME], longest[260];

    (void)state;
    assert_int_equal(dns_name_clean(SLICE_LIT("ExAmple.Test."), to), 0);
    assert_string_equal(to, "example.test");
    assert_int_equal(dns_name_clean(SLICE_LIT(""), to), -EINVAL);
    assert_int_equal(dns_name_clean(SLICE_LIT("."), to), -EINVAL);
    assert_int_equal(dns_name_clean(SLICE_LIT(".a"), to), -EINVAL);
    assert_int_equal(dns_name_clean(SLICE_LIT("a.."), to), -EINVAL);
    assert_int_equal(dns_name_clean(SLICE_LIT("a b"), to), -EINVAL);
    assert_int_equal(dns_name_clean(SLICE_LIT("a\0b"), to), -EINVAL);
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = i % 64 == 63 ? '.' : 'x';
    assert_int_equal(dns_name_clean(slice_make(longest, 253), to), 0);
    assert_int_equal(dns_name_clean(slice_make(longest, 254), to), -EINVAL);
    longest[63] = 'x';
    assert_int_equal(dns_name_clean(slice_make(longest, 100), to), -EINVAL);
}

static void a_question_is_well_formed(void **state)
{
    static const uint8_t expected[] = { 0xab, 0xcd, 1, 0x20, 0, 1, 0, 0, 0,  0, 0,    1, 1, 'a', 4, 't', 'e', 's',
                                        't',  0,    0, 15,   0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0,   0, 0,   0 };
    uint8_t to[DNS_QUERY_MAX];

    (void)state;
    assert_int_equal(dns_query_build(DNS_MX, "a.test", 0xabcd, to), sizeof expected);
    assert_memory_equal(to, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mx_records_are_sorted),     cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(the_null_mx_has_no_name),   cmocka_unit_test(chains_are_followed_so_far),
        cmocka_unit_test(what_is_not_there),         cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(the_count_is_bounded),      cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(a_question_is_well_formed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
