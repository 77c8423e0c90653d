#include "pump.h"

#include "dns_message.h"
#include "dns_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* ---- a name server on 127.0.0.1 that lies on demand and counts what it is asked ---- */

struct stub {
    int udp, tcp, stop[2];
    uint16_t port;
    pthread_t thread;
    atomic_int udp_count, tcp_count;
    atomic_int silent; /* so many questions get no answer */
    struct msg reply;
};

static void reply_mx(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_mx(m, NULL, 300, 20, "mx2.test");
    msg_mx(m, NULL, 300, 10, "mx1.test");
}
static void reply_null_mx(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_mx(m, NULL, 300, 0, "");
}
static void reply_zero_ttl(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_mx(m, NULL, 0, 10, "mx1.test");
}
static void reply_nothing(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_soa(m, 3600, 60);
}
static void reply_wrong_name(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_mx(m, "victim.test", 300, 10, "evil.test");
}
static void reply_chain(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_cname(m, "chain.test", 300, "b.test");
    msg_cname(m, "b.test", 300, "c.test");
    msg_mx(m, "c.test", 300, 10, "mx1.test");
}
static void reply_loop(struct msg *m, bool tcp)
{
    (void)tcp;
    msg_cname(m, "loop.test", 300, "b.test");
    msg_cname(m, "b.test", 300, "loop.test");
}
static void reply_big(struct msg *m, bool tcp)
{
    char to[32];

    if (!tcp) {
        m->p[2] |= 2; /* cut: come again over TCP */
        return;
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(to, sizeof to, "host-number-%u.test", i);
        msg_mx(m, NULL, 300, i, to);
    }
}

static const struct {
    const char *name;
    unsigned flags;
    void (*fill)(struct msg *m, bool tcp);
} rows[] = {
    { "mx.test", 0x8180, reply_mx },        { "slow.test", 0x8180, reply_mx },
    { "null.test", 0x8180, reply_null_mx }, { "zero.test", 0x8180, reply_zero_ttl },
    { "nx.test", 0x8183, reply_nothing },   { "nodata.test", 0x8180, reply_nothing },
    { "fail.test", 0x8182, reply_nothing }, { "wrong.test", 0x8180, reply_wrong_name },
    { "chain.test", 0x8180, reply_chain },  { "loop.test", 0x8180, reply_loop },
    { "big.test", 0x8180, reply_big },
};

static bool make_reply(struct stub *stub, const uint8_t *query, size_t n, bool tcp)
{
    char name[256];
    size_t at = 12, length = 0;

    while (at < n && query[at] != 0) {
        if (length > 0)
            name[length++] = '.';
        memcpy(name + length, query + at + 1, query[at]);
        length += query[at];
        at += 1u + query[at];
    }
    name[length] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        msg_begin(&stub->reply, rows[i].flags, name, query[at + 2]);
        memcpy(stub->reply.p, query, 2);
        rows[i].fill(&stub->reply, tcp);
        return true;
    }
    return false; /* dead.test and others: no answer */
}

static void serve_udp(struct stub *stub)
{
    uint8_t query[1500];
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    ssize_t n = recvfrom(stub->udp, query, sizeof query, 0, (struct sockaddr *)&from, &from_n);

    if (n < 12)
        return;
    stub->udp_count++;
    if (stub->silent > 0) {
        stub->silent--;
        return;
    }
    if (make_reply(stub, query, (size_t)n, false))
        (void)sendto(stub->udp, stub->reply.p, stub->reply.n, 0, (struct sockaddr *)&from, from_n);
}

static void serve_tcp(struct stub *stub)
{
    uint8_t query[1500], length[2];
    int fd = accept(stub->tcp, NULL, NULL);

    if (fd >= 0 && recv(fd, length, 2, MSG_WAITALL) == 2) {
        size_t n = (size_t)(length[0] << 8 | length[1]);

        stub->tcp_count++;
        if (n <= sizeof query && recv(fd, query, n, MSG_WAITALL) == (ssize_t)n && make_reply(stub, query, n, true)) {
            length[0] = (uint8_t)(stub->reply.n >> 8);
            length[1] = (uint8_t)stub->reply.n;
            (void)send(fd, length, 2, MSG_NOSIGNAL | MSG_MORE);
            (void)send(fd, stub->reply.p, stub->reply.n, MSG_NOSIGNAL);
        }
    }
    if (fd >= 0)
        (void)close(fd);
}

static void *serve(void *arg)
{
    struct stub *stub = arg;

    for (;;) {
        struct pollfd fds[3] = { { .fd = stub->udp, .events = POLLIN },
                                 { .fd = stub->tcp, .events = POLLIN },
                                 { .fd = stub->stop[0], .events = POLLIN } };

        if (poll(fds, 3, -1) < 0 || fds[2].revents != 0)
            return NULL;
        if (fds[0].revents != 0)
            serve_udp(stub);
        if (fds[1].revents != 0)
            serve_tcp(stub);
    }
}

/* ---- the fixture ---- */

struct fixture {
    struct pump *p;
    struct stub stub;
    struct dns *dns;
};

struct asked {
    struct dns_query *q;
    int answers;
    enum dns_status status;
    size_t count;
    uint32_t ttl;
    char first[256];
    struct dns **free_dns; /* end the resolver from inside */
    bool cancel;           /* cancel from inside */
};

static void open_ports(struct stub *stub)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof sa;

    for (;;) { /* the same port for both; another process may have the one of the two */
        stub->udp = socket(AF_INET, SOCK_DGRAM, 0);
        stub->tcp = socket(AF_INET, SOCK_STREAM, 0);
        sa.sin_port = 0;
        assert_int_equal(bind(stub->udp, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(getsockname(stub->udp, (struct sockaddr *)&sa, &n), 0);
        if (bind(stub->tcp, (struct sockaddr *)&sa, sizeof sa) == 0)
            break;
        (void)close(stub->udp);
        (void)close(stub->tcp);
    }
    assert_int_equal(listen(stub->tcp, 8), 0);
    stub->port = ntohs(sa.sin_port);
}

static int open_fixture(void **state)
{
    static const struct dns_times quick = { .try_ms = 60, .all_ms = 600 };
    struct fixture *f = mem_zero(sizeof *f);
    char server[32];
    struct err e;
    void *pump;

    if (pump_open(&pump) < 0)
        return -1;
    f->p = pump;
    open_ports(&f->stub);
    assert_int_equal(pipe(f->stub.stop), 0);
    assert_int_equal(pthread_create(&f->stub.thread, NULL, serve, &f->stub), 0);
    (void)snprintf(server, sizeof server, "127.0.0.1:%u", f->stub.port);
    assert_int_equal(dns_new_timed(f->p->loop, server, quick, &f->dns, &e), 0);
    *state = f;
    return 0;
}

static int shut_fixture(void **state)
{
    struct fixture *f = *state;
    void *pump = f->p;

    clock_thaw(); /* also after a failure */
    dns_free(&f->dns);
    (void)close(f->stub.stop[1]);
    (void)pthread_join(f->stub.thread, NULL);
    (void)close(f->stub.stop[0]);
    (void)close(f->stub.udp);
    (void)close(f->stub.tcp);
    mem_free(f);
    return pump_shut(&pump);
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct asked *a = owner;

    a->answers++;
    a->status = answer->status;
    a->count = answer->count;
    a->ttl = answer->ttl;
    a->first[0] = '\0';
    if (answer->count > 0)
        memcpy(a->first, answer->records[0].name, sizeof a->first);
    if (a->cancel)
        dns_cancel(&a->q);
    if (a->free_dns != NULL)
        dns_free(a->free_dns);
    a->q = NULL;
}

static void ask(struct fixture *f, struct asked *a, const char *name)
{
    memset(a, 0, sizeof *a);
    a->q = dns_ask(f->dns, DNS_MX, slice_str(name), on_answer, a);
    assert_int_equal(a->answers, 0); /* never from inside */
}

static void ask_and_wait(struct fixture *f, struct asked *a, const char *name)
{
    ask(f, a, name);
    RUN_UNTIL(f->p, a->answers > 0);
    assert_int_equal(a->answers, 1);
}

/* ---- the tests ---- */

static void answers_of_every_kind(void **state)
{
    static const struct {
        const char *name;
        enum dns_status status;
        size_t count;
        const char *first;
        uint32_t ttl;
    } expected[] = {
        { "mx.test", DNS_OK, 2, "mx1.test", 300 },
        { "null.test", DNS_OK, 1, "", 300 },
        { "chain.test", DNS_OK, 1, "mx1.test", 300 },
        { "zero.test", DNS_OK, 1, "mx1.test", 1 },
        { "nx.test", DNS_NXDOMAIN, 0, "", 60 },
        { "nodata.test", DNS_NODATA, 0, "", 60 },
        { "fail.test", DNS_FAILED, 0, "", 5 },
        { "loop.test", DNS_FAILED, 0, "", 5 },
        { "wrong.test", DNS_NODATA, 0, "", 1 },
        { "not a name", DNS_NXDOMAIN, 0, "", 300 },
        { "big.test", DNS_OK, 100, "host-number-0.test", 300 },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct asked a;

        ask_and_wait(f, &a, expected[i].name);
        assert_int_equal(a.status, expected[i].status);
        assert_int_equal(a.count, expected[i].count);
        assert_string_equal(a.first, expected[i].first);
        assert_int_equal(a.ttl, expected[i].ttl);
    }
    assert_int_equal(f->stub.tcp_count, 1);
}

static void the_cache_keeps_to_the_ttl(void **state)
{
    static const struct {
        const char *name;
        int64_t holds_ms;
    } expected[] = { { "mx.test", 300000 }, { "nx.test", 60000 }, { "fail.test", 5000 }, { "zero.test", 1000 } };
    struct fixture *f = *state;
    struct asked a;

    clock_freeze(1000000, 1000000);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int count;

        ask_and_wait(f, &a, expected[i].name);
        count = f->stub.udp_count;
        clock_advance(expected[i].holds_ms - 1);
        ask_and_wait(f, &a, expected[i].name);
        assert_int_equal(f->stub.udp_count, count);
        assert_int_equal(a.ttl, 0);
        clock_advance(1);
        ask_and_wait(f, &a, expected[i].name);
        assert_int_equal(f->stub.udp_count, count + 1);
    }
    clock_thaw();
    assert_int_equal(dns_stats(f->dns).asked, 12);
    assert_int_equal(dns_stats(f->dns).from_cache, 4);
    assert_int_equal(dns_stats(f->dns).sent, 8);
    assert_int_equal(dns_stats(f->dns).failed, 2);
}

static void equal_questions_share_one(void **state)
{
    struct fixture *f = *state;
    struct asked a, b, c;

    ask(f, &a, "mx.test");
    ask(f, &b, "MX.test.");
    ask(f, &c, "mx.TEST");
    dns_cancel(&b.q);
    assert_null(b.q);
    dns_cancel(&b.q);
    RUN_UNTIL(f->p, a.answers == 1 && c.answers == 1);
    assert_int_equal(b.answers, 0);
    assert_int_equal(f->stub.udp_count, 1);
}

static void a_lost_packet_is_sent_again(void **state)
{
    struct fixture *f = *state;
    struct asked a;

    f->stub.silent = 1;
    ask_and_wait(f, &a, "slow.test");
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(f->stub.udp_count, 2);
}

static void a_dead_server_fails_in_time(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    int64_t began = clock_mono_ms();

    ask_and_wait(f, &a, "dead.test");
    assert_int_equal(a.status, DNS_FAILED);
    assert_true(f->stub.udp_count >= 2);
    assert_true(clock_mono_ms() - began < 2000);
}

static void cancelled_is_never_answered(void **state)
{
    struct fixture *f = *state;
    struct asked a, b, c;

    ask_and_wait(f, &a, "mx.test");
    ask(f, &b, "mx.test"); /* its answer is already on its way */
    dns_cancel(&b.q);
    ask(f, &c, "mx.test");
    RUN_UNTIL(f->p, c.answers == 1);
    assert_int_equal(b.answers, 0);
    ask(f, &a, "null.test");
    a.cancel = true; /* from inside: harmless */
    RUN_UNTIL(f->p, a.answers == 1);
}

static void the_resolver_may_end_with_questions_open(void **state)
{
    struct fixture *f = *state;
    struct asked a, b, c;

    ask_and_wait(f, &a, "mx.test");
    ask(f, &a, "mx.test");
    a.free_dns = &f->dns;
    ask(f, &b, "dead.test");
    ask(f, &c, "mx.test");
    RUN_UNTIL(f->p, a.answers == 1);
    assert_null(f->dns);
    assert_int_equal(b.answers + c.answers, 0);
}

static void a_bad_server_list_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct dns *dns = NULL;
    struct err e;

    assert_int_equal(dns_new(f->p->loop, "not-an-address", &dns, &e), -EINVAL);
    assert_non_null(strstr(e.text, "not-an-address"));
    assert_null(dns);
    assert_int_equal(dns_new(f->p->loop, NULL, &dns, &e), 0);
    dns_free(&dns);
    dns_free(&dns);
}

static void the_cache_is_bounded(void **state)
{
    struct dns_cache c;
    char key[16];

    (void)state;
    dns_cache_init(&c);
    for (int i = 0; i <= 5000; i++) {
        struct dns_answer a = { .status = DNS_NODATA, .ttl = 60 };
        struct dns_entry *e;

        (void)snprintf(key, sizeof key, "k%d", i);
        e = dns_cache_put(&c, slice_str(key), &a);
        dns_entry_unref(&e);
        assert_non_null(dns_cache_get(&c, SLICE_LIT("k0"))); /* what is used stays */
    }
    assert_int_equal(c.by_key.count, 4096);
    assert_null(dns_cache_get(&c, SLICE_LIT("k1")));
    assert_non_null(dns_cache_get(&c, SLICE_LIT("k5000")));
    dns_cache_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_of_every_kind, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(the_cache_keeps_to_the_ttl, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(equal_questions_share_one, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(a_lost_packet_is_sent_again, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(a_dead_server_fails_in_time, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(cancelled_is_never_answered, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(the_resolver_may_end_with_questions_open, open_fixture, shut_fixture),
        cmocka_unit_test_setup_teardown(a_bad_server_list_is_an_error, open_fixture, shut_fixture),
        cmocka_unit_test(the_cache_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
