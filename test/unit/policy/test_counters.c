#include "facteur/policy/counters.h"

#include "facteur/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct world {
    struct config *config;
    struct counters *counters;
};

static struct config *load(const char *limits)
{
    struct conf_problems problems;
    struct config *c = NULL;
    struct buf text;

    buf_init(&text, 10000);
    assert_int_equal(buf_addf(&text, "hostname: mail.example.org\nlimits: {%s}\n", limits), 0);
    if (config_parse(NULL, buf_slice(&text), &c, &problems) < 0)
        fail_msg("%s", buf_cstr(&problems.text));
    conf_problems_clear(&problems);
    buf_clear(&text);
    return c;
}

static int set_up(void **state)
{
    static struct world w;

    clock_freeze(1000000, 1000000);
    w.config = load(
        "connections: 30, connections_per_address: 3, connections_per_user: 2, connection_rate: 10, message_rate: 5, "
        "auth_failure_rate: 4");
    w.counters = counters_new();
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    config_unref(&w->config);
    counters_free(&w->counters);
    counters_free(&w->counters); /* NULL is fine */
    clock_thaw();
    return 0;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;

    assert_int_equal(ip_parse(slice_str(text), &ip), 0);
    return ip;
}

static bool comes(const struct world *w, const char *from, const char *rule)
{
    struct ip ip = ip_of(from);
    struct verdict v = { .rule = "none" };
    bool in = counters_connect(w->counters, w->config, &ip, &v);

    if (!in) {
        assert_int_equal(v.code, 421);
        assert_string_equal(v.rule, rule);
    }
    return in;
}

static void goes(const struct world *w, const char *from)
{
    struct ip ip = ip_of(from);

    counters_disconnect(w->counters, &ip);
}

static void test_open_connections(void **state)
{
    const struct world *w = *state;

    for (int i = 0; i < 3; i++)
        assert_true(comes(w, "203.0.113.1", ""));
    assert_false(comes(w, "203.0.113.1", "limits.connections_per_address"));
    goes(w, "203.0.113.1");
    assert_true(comes(w, "203.0.113.1", ""));
    for (int i = 0; i < 3; i++)
        assert_true(comes(w, "203.0.113.2", "") && comes(w, "203.0.113.3", ""));
    assert_false(comes(w, "203.0.113.4", "limits.connections_per_address")); /* 9 of the network */
    assert_true(comes(w, "203.0.112.4", ""));
    assert_int_equal(counters_connections(w->counters), 10);
    for (int i = 0; i < 20; i++)
        assert_true(comes(w, "127.0.0.1", "")); /* exempt */
    assert_false(comes(w, "127.0.0.1", "limits.connections"));
    goes(w, "127.0.0.1");
    assert_true(comes(w, "::1", ""));
}

static void test_connection_rate(void **state)
{
    const struct world *w = *state;

    for (int i = 0; i < 10; i++) {
        assert_true(comes(w, "2001:db8::1", ""));
        goes(w, "2001:db8::1");
    }
    assert_false(comes(w, "2001:db8::1", "limits.connection_rate"));
    clock_advance(59 * 1000);
    assert_false(comes(w, "2001:db8::1", "limits.connection_rate"));
    clock_advance(30 * 1000); /* half of the last minute's still count */
    for (int i = 0; i < 5; i++) {
        assert_true(comes(w, "2001:db8::1", ""));
        goes(w, "2001:db8::1");
    }
    assert_false(comes(w, "2001:db8::1", "limits.connection_rate"));
    clock_advance(120 * 1000);
    assert_true(comes(w, "2001:db8::1", ""));
}

static void test_message_rate(void **state)
{
    const struct world *w = *state;
    struct ip ip = ip_of("203.0.113.1"), other = ip_of("203.0.113.2"), exempt = ip_of("127.0.0.1");
    struct verdict v;

    for (int i = 0; i < 5; i++)
        assert_int_equal(counters_message(w->counters, w->config, &ip).code, 250);
    v = counters_message(w->counters, w->config, &ip);
    assert_int_equal(v.code, 450);
    assert_string_equal(v.enhanced, "4.7.1");
    assert_string_equal(v.rule, "limits.message_rate");
    assert_int_equal(counters_message(w->counters, w->config, &other).code, 250);
    for (int i = 0; i < 100; i++)
        assert_int_equal(counters_message(w->counters, w->config, &exempt).code, 250);
    clock_advance(120 * 1000);
    assert_int_equal(counters_message(w->counters, w->config, &ip).code, 250);
}

static void test_guessing(void **state)
{
    const struct world *w = *state;
    struct ip ip = ip_of("203.0.113.1"), other = ip_of("203.0.113.2"), exempt = ip_of("::1");
    struct verdict v;

    assert_int_equal(counters_auth_allowed(w->counters, w->config, &ip).code, 250);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 1000);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 2000);
    counters_auth_ok(w->counters, &ip);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 1000);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 2000);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 4000);
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &ip).code, 250);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &ip), 8000);
    v = counters_auth_allowed(w->counters, w->config, &ip);
    assert_int_equal(v.code, 454);
    assert_string_equal(v.enhanced, "4.7.0");
    for (int i = 0; i < 10; i++)
        assert_true(counters_auth_failed(w->counters, w->config, &ip) <= COUNTERS_DELAY_MOST_MS);
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &other).code, 250);
    for (int i = 0; i < 20; i++) /* all the network's addresses in turn: 20 of the network are too many */
        (void)counters_auth_failed(w->counters, w->config, &(struct ip){ { 203, 0, 113, (uint8_t)(100 + i) }, 4 });
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &other).code, 454);
    assert_int_equal(counters_auth_failed(w->counters, w->config, &exempt), 0);
    clock_advance(31 * 60 * 1000);
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &ip).code, 250);
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &other).code, 250);
}

/* Strangers from ever new addresses push out the oldest, and never those that are connected. */
static void test_memory_is_bounded(void **state)
{
    const struct world *w = *state;
    struct ip guesser = ip_of("198.51.100.1");

    for (int i = 0; i < 3; i++)
        assert_true(comes(w, "203.0.113.1", ""));
    for (int i = 0; i < 4; i++)
        (void)counters_auth_failed(w->counters, w->config, &guesser);
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &guesser).code, 454);
    for (uint32_t i = 0; i < COUNTERS_MOST + 100; i++) {
        struct ip ip = { { 11, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 4 };

        assert_int_equal(counters_message(w->counters, w->config, &ip).code, 250);
    }
    assert_int_equal(counters_auth_allowed(w->counters, w->config, &guesser).code, 250); /* forgotten */
    assert_false(comes(w, "203.0.113.1", "limits.connections_per_address"));             /* not forgotten */
    assert_int_equal(counters_connections(w->counters), 3);
}

static void test_unix_sockets(void **state)
{
    const struct world *w = *state;
    struct ip none = { .family = 0 };
    struct verdict v;

    for (int i = 0; i < 20; i++)
        assert_true(counters_connect(w->counters, w->config, &none, &v));
    assert_int_equal(counters_auth_failed(w->counters, w->config, &none), 0);
    counters_auth_ok(w->counters, &none);
    for (int i = 0; i < 20; i++)
        counters_disconnect(w->counters, &none);
    assert_int_equal(counters_connections(w->counters), 0);
}

static void test_sessions_of_a_user(void **state)
{
    struct world *w = *state;
    struct verdict v = { 0 };

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2; i++)
            assert_true(counters_user_comes(w->counters, w->config, "anna@example.org", &v));
        assert_false(counters_user_comes(w->counters, w->config, "anna@example.org", &v));
        assert_int_equal(v.code, 452);
        assert_string_equal(v.rule, "limits.connections_per_user");
        assert_true(
            counters_user_comes(w->counters, w->config, "bert@example.org", &v)); /* one does not cost another */
        counters_user_leaves(w->counters, "anna@example.org");
        assert_true(counters_user_comes(w->counters, w->config, "anna@example.org", &v));
        for (unsigned i = 0; i < 2; i++)
            counters_user_leaves(w->counters, "anna@example.org");
        counters_user_leaves(w->counters, "bert@example.org");
        counters_user_leaves(w->counters, "nobody@example.org");
    }
    assert_true(counters_user_comes(w->counters, w->config, "anna@example.org", &v)); /* freed at the end */
}

static void test_logins_count_in_the_total_alone(void **state)
{
    struct world *w = *state;
    struct ip ip = ip_of("192.0.2.1");

    for (int i = 0; i < 5; i++) {
        assert_true(comes(w, "192.0.2.1", ""));
        counters_known(w->counters, &ip);
    }
    assert_int_equal(counters_connections(w->counters), 5);
    for (int i = 0; i < 3; i++)
        assert_true(comes(w, "192.0.2.1", ""));
    assert_false(comes(w, "192.0.2.1", "limits.connections_per_address"));
    for (int i = 0; i < 5; i++)
        counters_disconnect_known(w->counters);
    for (int i = 0; i < 3; i++)
        goes(w, "192.0.2.1");
    assert_int_equal(counters_connections(w->counters), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connection_rate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_message_rate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guessing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unix_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sessions_of_a_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_logins_count_in_the_total_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
