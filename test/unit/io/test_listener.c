#include "pump.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "sockaddr_priv.h"

enum { MANY = 200 };

struct host {
    struct listener *l;
    struct stream *streams[MANY];
    struct end ends[MANY];
    unsigned count;
    bool close_on_first;
};

static void on_accept(void *owner, struct stream *s)
{
    struct host *h = owner;

    assert_true(h->count < MANY);
    end_init(&h->ends[h->count]);
    h->ends[h->count].s = s;
    stream_start(s, &end_events, &h->ends[h->count]);
    h->count++;
    if (h->close_on_first)
        listener_close(&h->l);
}

static void host_open(struct pump *p, struct host *h, const struct endpoint *at, unsigned mode)
{
    const struct listener_options options = { .reuse = true, .fd = -1, .mode = mode };
    struct err e = { 0 };

    if (listener_new(p->loop, at, &options, on_accept, h, &h->l, &e) < 0)
        fail_msg("%s", e.text);
}

static void host_shut(struct pump *p, struct host *h)
{
    listener_close(&h->l);
    for (unsigned i = 0; i < h->count; i++)
        if (h->ends[i].s != NULL)
            stream_close(h->ends[i].s);
    for (unsigned i = 0; i < h->count; i++)
        RUN_UNTIL(p, h->ends[i].closed);
}

/* A plain blocking client, so that only the server is under test. */
static int connect_to(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = sockaddr_from(at, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, n), 0);
    return fd;
}

static void a_backlog_is_drained(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    int fds[MANY];
    uint64_t turns;

    host_open(p, h, loopback(), 0);
    assert_true(listener_endpoint(h->l)->port != 0);
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_to(listener_endpoint(h->l));
    turns = loop_stalls(p->loop).turns;
    RUN_UNTIL(p, h->count == MANY);
    assert_true(loop_stalls(p->loop).turns - turns <= MANY / 64 + 2);
    for (int i = 0; i < MANY; i++)
        (void)close(fds[i]);
    host_shut(p, h);
    mem_free(h);
}

static void closing_inside_accept_is_the_last_one(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    int a, b;

    h->close_on_first = true;
    host_open(p, h, loopback(), 0);
    a = connect_to(listener_endpoint(h->l));
    b = connect_to(listener_endpoint(h->l));
    RUN_UNTIL(p, h->count == 1);
    assert_null(h->l);
    host_shut(p, h);
    assert_int_equal(h->count, 1);
    (void)close(a);
    (void)close(b);
    mem_free(h);
}

static void wake(void *owner)
{
    *(bool *)owner = true;
}

static void a_paused_listener_leaves_peers_in_the_backlog(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    bool woke = false;
    struct timer *t = timer_new(p->loop, wake, &woke);
    int fd;

    host_open(p, h, loopback(), 0);
    listener_pause(h->l, true);
    fd = connect_to(listener_endpoint(h->l));
    timer_set(t, 20);
    RUN_UNTIL(p, woke);
    assert_int_equal(h->count, 0);
    listener_pause(h->l, false);
    RUN_UNTIL(p, h->count == 1);
    timer_close(&t);
    (void)close(fd);
    host_shut(p, h);
    mem_free(h);
}

/* With no descriptor left, one peer is turned away, the loop rests instead of spinning, and all goes on afterwards. */
static void a_lack_of_descriptors_is_survived(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    struct rlimit old, tight;
    int fds[3], hole;
    char c;
    bool woke = false;
    struct timer *t = timer_new(p->loop, wake, &woke);
    uint64_t turns;

    host_open(p, h, loopback(), 0);
    for (int i = 0; i < 3; i++)
        fds[i] = connect_to(listener_endpoint(h->l));
    hole = dup(0);
    assert_true(hole >= 0);
    (void)close(hole);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)hole;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    turns = loop_stalls(p->loop).turns;
    RUN_UNTIL(p, recv(fds[0], &c, 1, MSG_DONTWAIT) == 0); /* turned away */
    timer_set(t, 50);
    RUN_UNTIL(p, woke);
    assert_int_equal(h->count, 0);
    assert_int_equal(recv(fds[1], &c, 1, MSG_DONTWAIT), -1); /* the others wait in the backlog */
    assert_true(loop_stalls(p->loop).turns - turns < 10);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    turns = loop_stalls(p->loop).turns;
    RUN_UNTIL(p, h->count == 2); /* after the rest of a second */
    assert_true(loop_stalls(p->loop).turns - turns < 10);
    timer_close(&t);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    host_shut(p, h);
    mem_free(h);
}

static void unix_path(char *to, size_t n, struct endpoint *ep)
{
    (void)snprintf(to, n, "/tmp/facteur-test-%d.sock", (int)getpid());
    memset(ep, 0, sizeof *ep);
    ep->family = 1;
    memcpy(ep->path, to, strlen(to));
}

static void a_unix_socket_has_its_permissions_and_goes(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h), *second = mem_zero(sizeof *second);
    const struct listener_options options = { .fd = -1, .mode = 0600 };
    struct end e;
    struct endpoint ep;
    struct stat st;
    struct err why = { 0 };
    char path[64];

    unix_path(path, sizeof path, &ep);
    host_open(p, h, &ep, 0600);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* somebody answers there: it is not taken over */
    assert_int_equal(listener_new(p->loop, &ep, &options, on_accept, second, &second->l, &why), -EADDRINUSE);
    assert_non_null(strstr(why.text, path));
    end_init(&e);
    e.s = stream_connect(p->loop, &ep, NULL, &end_events, &e);
    RUN_UNTIL(p, e.connected && h->count >= 1);
    assert_int_equal(e.connect_status, 0);
    stream_write(e.s, SLICE_LIT("status"));
    RUN_UNTIL(p, h->ends[0].in.n == 6 || (h->count > 1 && h->ends[1].in.n == 6));
    stream_finish(e.s);
    for (unsigned i = 0; i < h->count; i++)
        RUN_UNTIL(p, h->ends[i].ended);
    for (unsigned i = 0; i < h->count; i++)
        stream_finish(h->ends[i].s);
    RUN_UNTIL(p, e.closed);
    for (unsigned i = 0; i < h->count; i++)
        buf_clear(&h->ends[i].in);
    host_shut(p, h);
    assert_int_equal(stat(path, &st), -1);
    mem_free(h);
    mem_free(second);
}

static void a_stale_unix_socket_is_replaced(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    struct sockaddr_storage sa;
    struct endpoint ep;
    char path[64];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), file;
    const struct listener_options options = { .fd = -1, .mode = 0600 };
    struct err why = { 0 };

    unix_path(path, sizeof path, &ep);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sockaddr_from(&ep, &sa)), 0);
    (void)close(fd); /* the file stays, nobody listens */
    host_open(p, h, &ep, 0600);
    host_shut(p, h);
    file = open(path, O_WRONLY | O_CREAT, 0600); /* what is not a socket is never removed */
    assert_true(file >= 0);
    (void)close(file);
    assert_true(listener_new(p->loop, &ep, &options, on_accept, h, &h->l, &why) < 0);
    assert_int_equal(unlink(path), 0);
    mem_free(h);
}

static void an_inherited_socket_is_taken_over(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h);
    struct sockaddr_storage sa;
    struct listener_options options = { 0 };
    struct err e;
    int client;

    options.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(options.fd, (const struct sockaddr *)&sa, sockaddr_from(loopback(), &sa)), 0);
    assert_int_equal(listener_new(p->loop, loopback(), &options, on_accept, h, &h->l, &e), 0);
    client = connect_to(listener_endpoint(h->l));
    RUN_UNTIL(p, h->count == 1);
    (void)close(client);
    host_shut(p, h);
    mem_free(h);
}

static void two_cannot_have_one_port(void **state)
{
    struct pump *p = *state;
    struct host *h = mem_zero(sizeof *h), *second = mem_zero(sizeof *second);
    const struct listener_options options = { .reuse = true, .fd = -1 };
    struct err e = { 0 };

    host_open(p, h, loopback(), 0);
    assert_int_equal(listener_new(p->loop, listener_endpoint(h->l), &options, on_accept, second, &second->l, &e),
                     -EADDRINUSE);
    assert_non_null(strstr(e.text, "127.0.0.1:"));
    host_shut(p, h);
    mem_free(h);
    mem_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_backlog_is_drained, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(closing_inside_accept_is_the_last_one, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_paused_listener_leaves_peers_in_the_backlog, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_lack_of_descriptors_is_survived, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_unix_socket_has_its_permissions_and_goes, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(a_stale_unix_socket_is_replaced, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(an_inherited_socket_is_taken_over, pump_open, pump_shut),
        cmocka_unit_test_setup_teardown(two_cannot_have_one_port, pump_open, pump_shut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
