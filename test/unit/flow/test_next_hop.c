/* Which hosts, asked of a DNS server of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/next_hop.h"
#include "facteur/io/timer.h"

/* ---- a name server with a fixed zone, on a thread of its own ---- */

/* What a name has: "MX 10 host", "A 192.0.2.1", "AAAA 2001:db8::1". A name that is not here does not exist; one with
 * "SERVFAIL" cannot be asked. */
static const char *const zone[][2] = {
    { "plain.example", "A 192.0.2.1" },
    { "both.example", "MX 10 mx.both.example" },
    { "mx.both.example", "A 192.0.2.2" },
    { "mx.both.example", "AAAA 2001:db8::2" },
    { "mx.both.example", "A 192.0.2.3" },
    { "sorted.example", "MX 30 c.sorted.example" },
    { "sorted.example", "MX 10 a.sorted.example" },
    { "sorted.example", "MX 20 b.sorted.example" },
    { "a.sorted.example", "A 192.0.2.11" },
    { "b.sorted.example", "A 192.0.2.12" },
    { "c.sorted.example", "A 192.0.2.13" },
    { "equal.example", "MX 5 a.sorted.example" },
    { "equal.example", "MX 5 b.sorted.example" },
    { "null.example", "MX 0 ." },
    { "textonly.example", "TXT" },
    { "broken.example", "SERVFAIL" },
    { "brokenmx.example", "MX 10 broken.example" },
    { "partly.example", "MX 10 broken.example" },
    { "partly.example", "MX 20 a.sorted.example" },
    { "nowhere.example", "MX 10 missing.example" },
    { "backup.example", "MX 10 a.sorted.example" },
    { "backup.example", "MX 20 US.example" },
    { "backup.example", "MX 20 b.sorted.example" },
    { "backup.example", "MX 30 c.sorted.example" },
    { "ours.example", "MX 10 us.example" },
    { "us.example", "A 192.0.2.98" }, /* as seen from outside, behind address translation */
    { "alias.example", "MX 10 a.sorted.example" },
    { "alias.example", "MX 20 own.example" },
    { "alias.example", "MX 30 c.sorted.example" },
    { "own.example", "A 192.0.2.99" },
    { "evil.example", "MX 10 loop.example" },
    { "evil.example", "MX 20 any.example" },
    { "loop.example", "A 127.0.0.1" },
    { "loop.example", "AAAA ::1" },
    { "any.example", "A 0.0.0.0" },
    { "smart.example", "A 127.0.0.1" },
};

static size_t put16(uint8_t *to, unsigned n)
{
    to[0] = (uint8_t)(n >> 8);
    to[1] = (uint8_t)n;
    return 2;
}

static size_t put_name(uint8_t *to, const char *name)
{
    struct slice rest = slice_str(name), label;
    size_t n = 0;

    while (rest.n > 0) {
        (void)slice_cut(&rest, '.', &label);
        if (label.n == 0)
            continue;
        to[n++] = (uint8_t)label.n;
        memcpy(to + n, label.p, label.n);
        n += label.n;
    }
    to[n++] = 0;
    return n;
}

static size_t put_record(uint8_t *to, unsigned type, const char *what)
{
    char host[64];
    unsigned preference;
    size_t n = put16(to, 0xc00c), size; /* the question's name */

    n += put16(to + n, type);
    n += put16(to + n, 1);
    n += put16(to + n, 0);
    n += put16(to + n, 60); /* TTL */
    if (sscanf(what, "MX %u %63s", &preference, host) == 2)
        size = put16(to + n + 2, preference) + put_name(to + n + 4, host);
    else if (type == 1)
        size = inet_pton(AF_INET, what + 2, to + n + 2) == 1 ? 4 : 0;
    else
        size = inet_pton(AF_INET6, what + 5, to + n + 2) == 1 ? 16 : 0;
    n += put16(to + n, (unsigned)size);
    return n + size;
}

/* The reply in place of the query; the length of it. */
static size_t reply(uint8_t *m)
{
    char name[256] = "";
    size_t at = 12, used = 0;
    unsigned type, answers = 0, code = 3;

    while (m[at] != 0) {
        used +=
            (size_t)snprintf(name + used, sizeof name - used, "%s%.*s", used > 0 ? "." : "", m[at], (char *)m + at + 1);
        at += m[at] + 1U;
    }
    type = (unsigned)m[at + 1] << 8 | m[at + 2];
    at += 5;
    for (size_t i = 0; i < sizeof zone / sizeof zone[0]; i++) {
        const char *what = zone[i][1];

        if (!slice_iis(slice_str(name), zone[i][0]))
            continue;
        code = what[0] == 'S' ? 2 : 0;
        if ((type == 15 && strncmp(what, "MX ", 3) == 0) || (type == 1 && strncmp(what, "A ", 2) == 0) ||
            (type == 28 && strncmp(what, "AAAA ", 5) == 0)) {
            at += put_record(m + at, type, what);
            answers++;
        }
    }
    m[2] = (uint8_t)(0x80 | (m[2] & 1));
    m[3] = (uint8_t)(0x80 | code);
    (void)put16(m + 6, answers);
    memset(m + 8, 0, 4);
    return at;
}

struct server {
    int fd;
    pthread_t thread;
};

static void *serve(void *arg)
{
    const struct server *s = arg;
    uint8_t m[2048];
    struct sockaddr_in from;

    for (;;) {
        socklen_t n = sizeof from;
        ssize_t got = recvfrom(s->fd, m, 512, 0, (struct sockaddr *)&from, &n);

        if (got < 12) /* the test's word to stop */
            return NULL;
        (void)sendto(s->fd, m, reply(m), 0, (struct sockaddr *)&from, n);
    }
}

/* ---- the fixture ---- */

struct fixture {
    struct server server;
    struct sockaddr_in at;
    struct loop *loop;
    struct timer *dog;
    struct dns *dns;
    struct next_hop_self self;
    bool late, answered;
    struct smtp_client_reply why;
    struct next_hop_host hosts[NEXT_HOP_NAMES * NEXT_HOP_PER_NAME];
    size_t count;
};

static void bark(void *owner)
{
    ((struct fixture *)owner)->late = true;
}

static int set_up(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    socklen_t n = sizeof f->at;
    char servers[32];
    struct err e;

    (void)alarm(20);
    f->server.fd = socket(AF_INET, SOCK_DGRAM, 0);
    f->at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    if (bind(f->server.fd, (struct sockaddr *)&f->at, n) < 0 ||
        getsockname(f->server.fd, (struct sockaddr *)&f->at, &n) < 0 ||
        pthread_create(&f->server.thread, NULL, serve, &f->server) != 0)
        return -1;
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(f->at.sin_port));
    if (log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e) < 0 || loop_new(&f->loop, &e) < 0 ||
        dns_new(f->loop, servers, &f->dns, &e) < 0)
        return -1;
    f->dog = timer_new(f->loop, bark, f);
    timer_set(f->dog, 15 * 1000);
    (void)snprintf(f->self.hostname, sizeof f->self.hostname, "us.example");
    f->self.own[0] = (struct ip){ { 192, 0, 2, 99 }, 4 };
    f->self.own_count = 1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)sendto(f->server.fd, "", 1, 0, (struct sockaddr *)&f->at, sizeof f->at);
    (void)pthread_join(f->server.thread, NULL);
    (void)close(f->server.fd);
    dns_free(&f->dns);
    timer_close(&f->dog);
    loop_free(&f->loop);
    mem_free(f);
    return 0;
}

static void on_answer(void *owner, const struct next_hop_answer *answer)
{
    struct fixture *f = owner;

    assert_false(f->answered);
    f->answered = true;
    f->why = answer->why;
    f->count = answer->count;
    memcpy(f->hosts, answer->hosts, answer->count * sizeof f->hosts[0]);
}

static void find_with(struct fixture *f, const struct conf_next_hop *hop, const char *domain)
{
    f->answered = false;
    f->count = 0;
    (void)next_hop_find(f->loop, f->dns, &f->self, hop, domain, on_answer, f);
    assert_false(f->answered);
    while (!f->answered) {
        assert_false(f->late);
        (void)loop_run_once(f->loop);
    }
}

static void find(struct fixture *f, const char *domain)
{
    static const struct conf_next_hop mx = { .port = 25 };

    find_with(f, &mx, domain);
}

/* "name address port" of each, in order. */
static void expect(const struct fixture *f, size_t count, ...)
{
    va_list args;

    if (f->why.code != 0)
        fail_msg("%d %s %s", f->why.code, f->why.enhanced, f->why.text);
    assert_int_equal(f->count, count);
    va_start(args, count);
    for (size_t i = 0; i < count; i++) {
        char at[ENDPOINT_TEXT], text[512];

        endpoint_format(&f->hosts[i].at, at);
        (void)snprintf(text, sizeof text, "%s %s", f->hosts[i].name, at);
        assert_string_equal(text, va_arg(args, const char *));
    }
    va_end(args);
}

static void expect_none(const struct fixture *f, short code, const char *enhanced)
{
    if (f->why.code != code || strcmp(f->why.enhanced, enhanced) != 0)
        fail_msg("%d %s %s instead of %d %s", f->why.code, f->why.enhanced, f->why.text, code, enhanced);
    assert_int_equal(f->count, 0);
}

/* ---- tests ---- */

static void a_domain_without_mx_is_its_own(void **state)
{
    struct fixture *f = *state;

    find(f, "plain.example");
    expect(f, 1, "plain.example 192.0.2.1:25");
}

static void both_families_in_turns(void **state)
{
    struct fixture *f = *state;

    find(f, "both.example");
    expect(f, 3, "mx.both.example 192.0.2.2:25", "mx.both.example [2001:db8::2]:25", "mx.both.example 192.0.2.3:25");
}

static void by_preference(void **state)
{
    struct fixture *f = *state;

    find(f, "sorted.example");
    expect(f, 3, "a.sorted.example 192.0.2.11:25", "b.sorted.example 192.0.2.12:25", "c.sorted.example 192.0.2.13:25");
}

static void equal_ones_are_shuffled(void **state)
{
    struct fixture *f = *state;
    bool seen[2] = { false, false };

    for (size_t i = 0; i < 200 && !(seen[0] && seen[1]); i++) {
        find(f, "equal.example");
        assert_int_equal(f->count, 2);
        assert_string_not_equal(f->hosts[0].name, f->hosts[1].name);
        seen[f->hosts[0].name[0] == 'a' ? 0 : 1] = true;
    }
    assert_true(seen[0] && seen[1]);
}

static void domains_that_take_no_mail(void **state)
{
    struct fixture *f = *state;

    find(f, "null.example");
    expect_none(f, 556, "5.1.10");
    find(f, "missing.example");
    expect_none(f, 550, "5.1.2");
    find(f, "textonly.example");
    expect_none(f, 550, "5.4.4");
    find(f, "nowhere.example");
    expect_none(f, 550, "5.4.4");
}

static void a_dns_that_fails_is_no_answer(void **state)
{
    struct fixture *f = *state;

    find(f, "broken.example");
    expect_none(f, 451, "4.4.3");
    find(f, "brokenmx.example");
    expect_none(f, 451, "4.4.3");
    find(f, "partly.example");
    expect(f, 1, "a.sorted.example 192.0.2.11:25");
}

static void loops_are_seen(void **state)
{
    struct fixture *f = *state;

    find(f, "backup.example"); /* we are 20: what is 20 or more is not tried */
    expect(f, 1, "a.sorted.example 192.0.2.11:25");
    find(f, "ours.example");
    expect_none(f, 554, "5.4.6");
    find(f, "us.example");
    expect_none(f, 554, "5.4.6");
    find(f, "alias.example"); /* the same by address */
    expect(f, 1, "a.sorted.example 192.0.2.11:25");
}

/* A39 */
static void strangers_do_not_send_us_home(void **state)
{
    struct fixture *f = *state;

    find(f, "evil.example");
    expect_none(f, 554, "5.4.6");
    find(f, "[127.0.0.1]");
    expect_none(f, 554, "5.4.6");
    find(f, "[IPv6:::]");
    expect_none(f, 554, "5.4.6");
    find(f, "[192.0.2.99]");
    expect_none(f, 554, "5.4.6");
    find(f, "[192.0.2.7]");
    expect(f, 1, "192.0.2.7 192.0.2.7:25");
    find(f, "[IPv6:2001:db8::7]");
    expect(f, 1, "2001:db8::7 [2001:db8::7]:25");
}

static void what_the_configuration_names(void **state)
{
    struct fixture *f = *state;
    struct conf_next_hop hop = { .host = "smart.example", .port = 587 };

    find_with(f, &hop, "null.example");
    expect(f, 1, "smart.example 127.0.0.1:587");
    hop.host = "192.0.2.99";
    find_with(f, &hop, "null.example");
    expect(f, 1, "192.0.2.99 192.0.2.99:587");
    hop.host = "::1";
    find_with(f, &hop, "null.example");
    expect(f, 1, "::1 [::1]:587");
    hop.host = "localhost";
    find_with(f, &hop, "null.example");
    expect(f, 2, "localhost 127.0.0.1:587", "localhost [::1]:587");
    hop.host = "missing.example"; /* a mistake of ours is no reason to bounce */
    find_with(f, &hop, "null.example");
    expect_none(f, 451, "4.4.4");
}

/* /etc/hosts for what the operator names, before the DNS; never for a stranger's domain. */
static void names_of_the_hosts_file(void **state)
{
    struct fixture *f = *state;
    struct conf_next_hop hop = { .host = "Relay", .port = 25 };
    char path[] = "/tmp/facteur-hosts-XXXXXX";
    FILE *out = fdopen(mkstemp(path), "w");

    assert_non_null(out);
    assert_true(fputs("127.0.0.1 localhost\n"
                      "# 192.0.2.66 relay\n"
                      "not-an-address relay\n"
                      "2001:db8::25\tmail.lan relay. # 192.0.2.67 x\r\n"
                      "  192.0.2.25 mail.lan\trelay\r\n"
                      "192.0.2.68 relay2 xrelay relay.lan\n"
                      "192.0.2.77 smart.example plain.example",
                      out) >= 0);
    assert_int_equal(fclose(out), 0);
    dns_set_hosts_file(f->dns, path);
    find_with(f, &hop, "x.example");
    expect(f, 2, "Relay 192.0.2.25:25", "Relay [2001:db8::25]:25");
    hop.host = "smart.example";
    find_with(f, &hop, "x.example");
    expect(f, 1, "smart.example 192.0.2.77:25");
    find(f, "plain.example");
    expect(f, 1, "plain.example 192.0.2.1:25");
    out = fopen(path, "w"); /* changed: it is read again */
    assert_non_null(out);
    assert_true(fputs("192.0.2.78 smart.example\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    find_with(f, &hop, "x.example");
    expect(f, 1, "smart.example 192.0.2.78:25");
    assert_int_equal(unlink(path), 0);
    find_with(f, &hop, "x.example"); /* gone: the DNS alone */
    expect(f, 1, "smart.example 127.0.0.1:25");
}

/* A list of what not to visit is no reason to read for long. */
static void a_long_hosts_file_is_cut(void **state)
{
    struct fixture *f = *state;
    struct conf_next_hop hop = { .host = "smart.example", .port = 25 };
    char path[] = "/tmp/facteur-hosts-XXXXXX";
    FILE *out = fdopen(mkstemp(path), "w");

    assert_non_null(out);
    for (int i = 0; i < 20000; i++)
        assert_true(fprintf(out, "0.0.0.0 advertising-%d.example\n", i) > 0);
    assert_true(fputs("192.0.2.77 smart.example\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    dns_set_hosts_file(f->dns, path);
    find_with(f, &hop, "x.example");
    expect(f, 1, "smart.example 127.0.0.1:25");
    hop.host = "advertising-7.example";
    find_with(f, &hop, "x.example");
    expect(f, 1, "advertising-7.example 0.0.0.0:25");
    assert_int_equal(unlink(path), 0);
}

static void cancelled_searches_say_nothing(void **state)
{
    static const struct conf_next_hop mx = { .port = 25 }, local = { .host = "127.0.0.1", .port = 25 };
    struct fixture *f = *state;
    struct next_hop_search *searches[3];

    f->answered = false;
    searches[0] = next_hop_find(f->loop, f->dns, &f->self, &mx, "sorted.example", on_answer, f);
    searches[1] = next_hop_find(f->loop, f->dns, &f->self, &mx, "plain.example", on_answer, f);
    searches[2] = next_hop_find(f->loop, f->dns, &f->self, &local, "plain.example", on_answer, f);
    for (size_t i = 0; i < 3; i++)
        next_hop_cancel(&searches[i]);
    next_hop_cancel(&searches[0]);
    find(f, "plain.example"); /* asserts that it is the only one */
    /* in the middle: the MX is known, the addresses are asked for */
    searches[0] = next_hop_find(f->loop, f->dns, &f->self, &mx, "both.example", on_answer, f);
    (void)loop_run_once(f->loop);
    next_hop_cancel(&searches[0]);
    find(f, "both.example");
}

static void our_own_addresses_are_known(void **state)
{
    struct conf_listener listeners[2] = { { .address = "192.0.2.5" }, { .address = "::" } };
    struct config config = { .hostname = "h.example", .listeners = listeners, .listener_count = 2 };
    struct next_hop_self self;

    (void)state;
    next_hop_know_self(&self, &config);
    assert_string_equal(self.hostname, "h.example");
    assert_true(self.own_count >= 1);
    assert_int_equal(self.own[0].octets[3], 5);
    for (size_t i = 0; i < self.own_count; i++)
        assert_false(ip_is_any(&self.own[i]) || ip_is_loopback(&self.own[i]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_domain_without_mx_is_its_own),
        TEST(both_families_in_turns),
        TEST(by_preference),
        TEST(equal_ones_are_shuffled),
        TEST(domains_that_take_no_mail),
        TEST(a_dns_that_fails_is_no_answer),
        TEST(loops_are_seen),
        TEST(strangers_do_not_send_us_home),
        TEST(what_the_configuration_names),
        TEST(names_of_the_hosts_file),
        TEST(a_long_hosts_file_is_cut),
        TEST(cancelled_searches_say_nothing),
        TEST(our_own_addresses_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
