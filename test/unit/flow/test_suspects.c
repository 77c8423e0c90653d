/* F29: a message that brings the process down, among innocent ones. A child delivers them; a write of the poisonous one
 * ends it as a crash would, and the parent looks at what it left behind. */
#include "flow_test.h"

#include "facteur/store/sys.h"
#include "schedule_priv.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { FIRST = 1, POISON = 9, LAST = 15, CRASHED = 77 };

static struct flow flow;

/* --- the child --- */

static ssize_t writev_or_die(int fd, const struct iovec *iov, int count)
{
    if (count > 0 && iov[0].iov_len >= 6 && memcmp(iov[0].iov_base, "poison", 6) == 0)
        _exit(CRASHED);
    return sys_kernel.writev(fd, iov, count);
}

static void start(const char *state, int port, bool after_crash)
{
    static struct sys deadly;

    deadly = sys_kernel;
    deadly.writev = writev_or_die;
    sys = &deadly;
    flow.after_crash = after_crash;
    flow_test_start(&flow, state, port);
}

/* To the end of what can be done now, in a child; how it ended. */
static int run(const char *state, bool after_crash)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        start(state, 9, after_crash);
        flow_test_settle(&flow);
        flow_test_stop(&flow);
        _exit(0);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- the parent --- */

static struct queue_message *make(uint64_t id, const char *body, enum queue_route route)
{
    struct queue_message *m = message_make(id, 1, strlen(body), 0);

    memcpy(m->body, body, strlen(body));
    if (route == QUEUE_REMOTE) {
        m->recipients[0].route = QUEUE_REMOTE;
        m->recipients[0].domain = mem_str("example.net");
    }
    return m;
}

static void add(const char *state, uint64_t id, const char *body, enum queue_route route)
{
    struct queue_message *m = make(id, body, route);
    struct queue *q;
    struct err e;

    assert_int_equal(queue_open(state, &q, &e), 0);
    assert_int_equal(add_message(q, m), 0);
    queue_close(&q);
    queue_message_free(&m);
}

/* The poisonous one's flags; nobody else who is still there may be blamed. */
static unsigned blame(const char *state, int64_t *ret_due)
{
    struct queue_message **all;
    struct queue *q;
    size_t count;
    unsigned flags = 0;
    struct err e;

    assert_int_equal(queue_open(state, &q, &e), 0);
    assert_int_equal(queue_list(q, 0, 100, &all, &count, NULL, &e), 0);
    for (size_t i = 0; i < count; i++) {
        if (all[i]->id == POISON) {
            flags = all[i]->flags;
            *ret_due = all[i]->recipients[0].due_ms;
        } else {
            assert_int_equal(all[i]->flags & QUEUE_UNCLEAN_MASK, 0);
        }
        queue_message_free(&all[i]);
    }
    mem_free(all);
    queue_close(&q);
    return flags;
}

static void test_only_the_poisonous_one_is_held(void **state)
{
    struct dir d;
    int64_t due = 0;

    (void)state;
    dir_make(&d);
    for (uint64_t id = FIRST; id <= LAST; id++)
        add(d.path, id, id == POISON ? "poison\n" : "innocent\n", QUEUE_LOCAL);
    assert_int_equal(run(d.path, false), CRASHED); /* all together */
    assert_int_equal(blame(d.path, &due) & QUEUE_UNCLEAN_MASK, 0);
    assert_int_equal(run(d.path, true), CRASHED);
    assert_int_equal(blame(d.path, &due) & QUEUE_UNCLEAN_MASK, QUEUE_UNCLEAN);
    assert_int_equal(run(d.path, true), CRASHED);
    assert_int_equal(blame(d.path, &due) & QUEUE_UNCLEAN_MASK, 2 * QUEUE_UNCLEAN);
    assert_int_equal(run(d.path, true), 0);
    assert_int_equal(blame(d.path, &due) & (QUEUE_UNCLEAN_MASK | QUEUE_HELD), QUEUE_HELD);
    assert_true(due == QUEUE_HELD_DUE);
    assert_int_equal(dir_count(in_dir(&d, "mail/example.org/anna/Maildir/new"), NULL), LAST - FIRST);
    dir_remove(&d);
}

/* Power cuts and kill -9 in between: what is not after a crash goes all at once, and nobody is counted. */
static void test_without_a_crash_nobody_is_suspected(void **state)
{
    struct dir d;
    int64_t due = 0;

    (void)state;
    dir_make(&d);
    for (uint64_t id = FIRST; id <= LAST; id++)
        add(d.path, id, id == POISON ? "poison\n" : "innocent\n", QUEUE_LOCAL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(run(d.path, false), CRASHED);
        assert_int_equal(blame(d.path, &due) & (QUEUE_UNCLEAN_MASK | QUEUE_HELD), 0);
    }
    dir_remove(&d);
}

/* A next hop that takes the connection and never says a word. */
static int mute_hop(int *ret_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 8) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void test_slow_one_is_let_off(void **state)
{
    struct dir d;
    int64_t due = 0;
    int port = 0, status = 0, hop = mute_hop(&port);
    pid_t child;

    (void)state;
    dir_make(&d);
    add(d.path, FIRST, "slow\n", QUEUE_REMOTE);
    add(d.path, LAST, "innocent\n", QUEUE_LOCAL);
    child = fork();
    if (child == 0) {
        start(d.path, port, true);
        suspects_set_patience(&flow, 100);
        while (flow.stats.delivered == 0 || !commit_is_idle(flow.commit))
            (void)loop_run_once(flow.loop);
        _exit(schedule_is_active(&flow, FIRST) ? 0 : 1);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)blame(d.path, &due);
    (void)close(hop);
    dir_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_poisonous_one_is_held),
        cmocka_unit_test(test_without_a_crash_nobody_is_suspected),
        cmocka_unit_test(test_slow_one_is_let_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
