#include "facteur/policy/relay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char policy[] = "hostname: mail.example.org\n"
                             "domains:\n"
                             "  example.org:\n"
                             "    aliases:\n"
                             "      info: [anna, ben, out@example.com, sales]\n"
                             "      sales: [ben, out@example.com, OUT@example.com]\n"
                             "      mine: anna\n"
                             "      mine2: mine\n"
                             "      gone: former\n"
                             "      both: [former, anna]\n"
                             "      away: out@example.com\n"
                             "      \"odd%name\": anna\n"
                             "  example.net:\n"
                             "    catch_all: anna@example.org\n"
                             "users:\n"
                             "  anna@example.org: {senders: [press@example.org, \"@example.net\"]}\n"
                             "  ben@example.org: {senders: [\"*\"]}\n"
                             "  former@example.org: {enabled: false}\n"
                             "relay:\n"
                             "  trusted: [192.168.1.0/24, \"2001:db8:1::/48\"]\n"
                             "  domains: [backup.example]\n"
                             "  smarthost: smtp.isp.example\n"
                             "  routes:\n"
                             "    a.example: one.example\n"
                             "    .a.example: sub.example\n"
                             "    .b.a.example: subsub.example\n"
                             "    c.example: mx\n";

static struct config *load(const char *text)
{
    struct conf_problems problems;
    struct config *c = NULL;

    if (config_parse(NULL, slice_str(text), &c, &problems) < 0)
        fail_msg("%s", buf_cstr(&problems.text));
    conf_problems_clear(&problems);
    return c;
}

static int set_up(void **state)
{
    *state = load(policy);
    return 0;
}

static int tear_down(void **state)
{
    struct config *c = *state;

    config_unref(&c);
    return 0;
}

static struct policy_client client_at(const char *ip)
{
    struct policy_client client = { .user = NULL };

    assert_int_equal(ip_parse(slice_str(ip), &client.ip), 0);
    return client;
}

static struct address address_of(const char *text)
{
    struct address a = { .local = "" };

    if (address_parse(slice_str(text), ADDRESS_UTF8 | ADDRESS_BARE | ADDRESS_LITERAL, &a) < 0)
        fail_msg("%s is no address", text);
    return a;
}

/* The verdict's code, and the targets as "local:name" and "relay:address", in order. */
static int ask(const struct config *c, const struct policy_client *client, const char *rcpt, const char *targets)
{
    struct policy_targets t = { 0 };
    struct address a = address_of(rcpt);
    struct verdict v = policy_rcpt(c, client, &a, &t);
    struct buf told;

    assert_non_null(v.rule);
    buf_init(&told, 10000);
    for (size_t i = 0; i < t.count; i++) {
        assert_int_equal(buf_adds(&told, i > 0 ? " " : ""), 0);
        assert_int_equal(buf_adds(&told, t.items[i].route == ROUTE_LOCAL ? "local:" : "relay:"), 0);
        assert_int_equal(address_format(&t.items[i].address, &told), 0);
        assert_true((t.items[i].route == ROUTE_LOCAL) == (t.items[i].user != NULL));
    }
    assert_string_equal(buf_cstr(&told), targets);
    assert_true((v.code == 250) == (t.count > 0));
    buf_clear(&told);
    policy_targets_clear(&t);
    return v.code;
}

static void test_local_recipients(void **state)
{
    const struct config *c = *state;
    struct policy_client stranger = client_at("203.0.113.9");

    assert_int_equal(ask(c, &stranger, "anna@example.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "ANNA+x@EXAMPLE.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "none@example.org", ""), 550);
    assert_int_equal(ask(c, &stranger, "none@example.net", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "postmaster", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "postmaster@MAIL.example.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "anna@mail.example.org", ""), 550);
    assert_int_equal(ask(c, &stranger, "PostMaster@example.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "abuse@example.net", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "root", ""), 550);
    assert_int_equal(ask(c, &stranger, "former@example.org", ""), 550);
    assert_int_equal(ask(c, &stranger, "gone@example.org", ""), 550);
    assert_int_equal(ask(c, &stranger, "both@example.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "away@example.org", "relay:out@example.com"), 250);
    assert_int_equal(ask(c, &stranger, "mine2@example.org", "local:anna@example.org"), 250);
    assert_int_equal(ask(c, &stranger, "info@example.org",
                         "local:anna@example.org local:ben@example.org relay:out@example.com relay:OUT@example.com"),
                     250);
    assert_int_equal(ask(c, &stranger, "odd%name@example.org", "local:anna@example.org"), 250);
}

static void test_codes(void **state)
{
    const struct config *c = *state;
    struct policy_client stranger = client_at("203.0.113.9");
    struct policy_targets t = { 0 };
    struct address a = address_of("none@example.org");
    struct verdict v = policy_rcpt(c, &stranger, &a, &t);

    assert_string_equal(v.enhanced, "5.1.1");
    assert_int_equal(v.line, 3);
    a = address_of("former@example.org");
    assert_string_equal(policy_rcpt(c, &stranger, &a, &t).enhanced, "5.2.1");
    a = address_of("a@elsewhere.example");
    v = policy_rcpt(c, &stranger, &a, &t);
    assert_string_equal(v.enhanced, "5.7.1");
    assert_int_equal(v.line, 19);
    stranger.user = config_user(c, "ben@example.org");
    v = policy_rcpt(c, &stranger, &a, &t);
    assert_string_equal(v.enhanced, "2.1.5");
    assert_string_equal(v.rule, "login");
    assert_int_equal(v.line, 17);
    policy_targets_clear(&t);
}

/* The forms of A17: from outside, whoever the sender claims to be, none of them leaves. */
static void test_no_relay_for_strangers(void **state)
{
    static const char *const forms[] = {
        "victim@elsewhere.example",
        "victim@elsewhere.example.",
        "victim@ELSEWHERE.example",
        "victim@sub.example.org",
        "victim@example.org.elsewhere.example",
        "victim@xexample.org",
        "victim%elsewhere.example@example.org",
        "victim%elsewhere.example@example.net",
        "victim%elsewhere.example%example.org@example.org",
        "elsewhere.example!victim@example.org",
        "elsewhere.example!victim@example.net",
        "example.org!elsewhere.example!victim@example.net",
        "\"victim@elsewhere.example\"@example.org",
        "\"victim@elsewhere.example\"@example.net",
        "\"victim%elsewhere.example\"@example.net",
        "\"@elsewhere.example:victim\"@example.net",
        "\"elsewhere.example!victim\"@example.net",
        "victim%elsewhere.example@backup.example",
        "\"victim@elsewhere.example\"@backup.example",
        "victim@[192.0.2.1]",
        "victim@[IPv6:2001:db8::1]",
        "postmaster@[127.0.0.1]",
        "victim%elsewhere.example@[127.0.0.1]",
        "\"victim@elsewhere.example\"",
        "victim%elsewhere.example",
        "elsewhere.example!victim",
        "victim@sub.backup.example",
        "victim@a.example",
    };
    static const char *const places[] = {
        "203.0.113.9", "127.0.0.1", "::1", "192.168.2.1", "10.0.0.1", "2001:db8:2::1"
    };
    const struct config *c = *state;

    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            struct policy_client stranger = client_at(places[p]);
            int code = ask(c, &stranger, forms[i], "");

            if (code != 550 && code != 554)
                fail_msg("%s: %d", forms[i], code);
        }
}

static void test_who_may_relay(void **state)
{
    const struct config *c = *state;
    struct policy_client stranger = client_at("203.0.113.9"), trusted = client_at("192.168.1.7");
    struct policy_client trusted6 = client_at("2001:db8:1::7"), login = stranger;

    login.user = config_user(c, "anna@example.org");
    assert_int_equal(ask(c, &stranger, "x@backup.example", "relay:x@backup.example"), 250);
    assert_int_equal(ask(c, &trusted, "x@elsewhere.example", "relay:x@elsewhere.example"), 250);
    assert_int_equal(ask(c, &trusted6, "x@elsewhere.example", "relay:x@elsewhere.example"), 250);
    assert_int_equal(ask(c, &login, "X@elsewhere.example", "relay:X@elsewhere.example"), 250);
    assert_int_equal(ask(c, &login, "x@[192.0.2.1]", "relay:x@[192.0.2.1]"), 250);
    assert_int_equal(ask(c, &login, "none@example.org", ""), 550);
    assert_int_equal(ask(c, &trusted, "a%b@example.net", "local:anna@example.org"), 250); /* a name, not a route */
    assert_true(policy_is_trusted(c, &trusted.ip));
    assert_false(policy_is_trusted(c, &stranger.ip));
    assert_false(policy_is_trusted(c, &(struct ip){ .family = 0 }));
}

static int ask_sender(const struct config *c, const struct policy_client *client, const char *sender)
{
    struct address a = { .local = "" };
    struct verdict v;

    if (sender[0] != '\0')
        a = address_of(sender);
    v = policy_sender(c, client, &a);
    assert_non_null(v.rule);
    return v.code;
}

static void test_senders(void **state)
{
    const struct config *c = *state;
    struct policy_client client = client_at("192.168.1.7");

    assert_int_equal(ask_sender(c, &client, "anna@example.org"), 250); /* no SPF yet: anybody may claim it */
    client.submission = true;
    assert_int_equal(ask_sender(c, &client, "anna@example.org"), 530);
    assert_int_equal(ask_sender(c, &client, ""), 530);
    client.user = config_user(c, "anna@example.org");
    assert_int_equal(ask_sender(c, &client, "anna@example.org"), 250);
    assert_int_equal(ask_sender(c, &client, "Anna+tag@Example.org"), 250);
    assert_int_equal(ask_sender(c, &client, ""), 250);
    assert_int_equal(ask_sender(c, &client, "press@example.org"), 250);
    assert_int_equal(ask_sender(c, &client, "mine@example.org"), 250);
    assert_int_equal(ask_sender(c, &client, "mine2@example.org"), 250);
    assert_int_equal(ask_sender(c, &client, "any@example.net"), 250);
    assert_int_equal(ask_sender(c, &client, "info@example.org"), 553);
    assert_int_equal(ask_sender(c, &client, "ben@example.org"), 553);
    assert_int_equal(ask_sender(c, &client, "away@example.org"), 553);
    assert_int_equal(ask_sender(c, &client, "none@example.org"), 553);
    assert_int_equal(ask_sender(c, &client, "anna@elsewhere.example"), 553);
    client.submission = false;
    assert_int_equal(ask_sender(c, &client, "ben@example.org"), 553); /* a login binds on any listener */
    client.user = config_user(c, "ben@example.org");
    assert_int_equal(ask_sender(c, &client, "anna@example.org"), 250);
    assert_int_equal(ask_sender(c, &client, "x@elsewhere.example"), 250);
}

static void test_next_hops(void **state)
{
    static const struct {
        const char *domain, *host;
    } cases[] = {
        { "a.example", "one.example" },
        { "x.a.example", "sub.example" },
        { "b.a.example", "sub.example" },
        { "x.b.a.example", "subsub.example" },
        { "xa.example", "smtp.isp.example" },
        { "elsewhere.example", "smtp.isp.example" },
        { "c.example", NULL },
        { "x.c.example", "smtp.isp.example" },
    };
    struct conf_next_hop mx;
    const struct conf_next_hop *hop;
    struct config *bare;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hop = policy_next_hop(*state, cases[i].domain, &mx);
        if (cases[i].host == NULL)
            assert_null(hop->host);
        else
            assert_string_equal(hop->host, cases[i].host);
    }
    bare = load("hostname: mail.example.org\n");
    hop = policy_next_hop(bare, "a.example", &mx);
    assert_ptr_equal(hop, &mx);
    assert_null(hop->host);
    assert_int_equal(hop->port, 25);
    assert_int_equal(hop->tls, RELAY_TLS_OPPORTUNISTIC);
    config_unref(&bare);
    bare = load("hostname: mail.example.org\nrelay: {smarthost: s.example, routes: {'*': star.example}}\n");
    assert_string_equal(policy_next_hop(bare, "a.example", &mx)->host, "star.example");
    config_unref(&bare);
}

/* An alias of very many addresses is bounded, and says so for the time being. */
static void test_expansion_is_bounded(void **state)
{
    struct policy_client stranger = client_at("203.0.113.9");
    struct config *c;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_adds(&text, "hostname: mail.example.org\nusers: {anna@example.org: }\n"
                                     "domains:\n  example.org:\n    aliases:\n      all: [l0, l1]\n"),
                     0);
    for (int list = 0; list < 2; list++) {
        assert_int_equal(buf_addf(&text, "      l%d:\n", list), 0);
        for (int i = 0; i < 600; i++)
            assert_int_equal(buf_addf(&text, "      - a%d.%d@elsewhere.example\n", list, i), 0);
    }
    c = load(buf_cstr(&text));
    {
        struct policy_targets t = { 0 };
        struct address a = address_of("l0@example.org");

        assert_int_equal(policy_rcpt(c, &stranger, &a, &t).code, 250);
        assert_int_equal(t.count, 600);
        policy_targets_clear(&t);
    }
    assert_int_equal(ask(c, &stranger, "all@example.org", ""), 451);
    config_unref(&c);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local_recipients),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_no_relay_for_strangers),
        cmocka_unit_test(test_who_may_relay),
        cmocka_unit_test(test_senders),
        cmocka_unit_test(test_next_hops),
        cmocka_unit_test(test_expansion_is_bounded),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
