/* The relay against next hops in the same loop, over real sockets. */
#include "peer.h"

#include "facteur/base/codec.h"
#include "facteur/flow/remote.h"

enum { RCPTS = 130, WORKS = 400 };

struct fixture {
    struct loop *loop;
    struct timer *dog;
    bool late;
    struct job_pool *jobs;
    struct dns *dns;
    struct config *config;
    struct conf_route routes[4];
    struct remote *remote;
    struct spool *spool;
    struct peer peer, other;
    unsigned done, loads;
    bool stopped;
    int load_status;
    char dir[64];
};

#define RUN_UNTIL(f, condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_false((f)->late);                                                                                   \
            (void)loop_run_once((f)->loop);                                                                            \
        }                                                                                                              \
    } while (0)

/* ---- works ---- */

struct item {
    struct fixture *f;
    struct queue_message message;
    struct queue_recipient recipients[RCPTS];
    struct remote_recipient results[RCPTS];
    struct remote_work work;
    char addresses[RCPTS][64];
    bool done;
};

static void on_done(void *owner, struct remote_work *work)
{
    struct item *item = owner;

    assert_ptr_equal(work, &item->work);
    assert_false(item->done);
    item->done = true;
    item->f->done++;
}

static struct item *item_new(struct fixture *f, const char *body, const char *domain, size_t count, ...)
{
    static uint64_t id;
    struct item *item = mem_zero(sizeof *item);
    va_list args;

    item->f = f;
    item->message.id = ++id;
    item->message.sender = mem_str("sender@example.org");
    item->message.body = mem_str(body);
    item->message.size = item->message.wire_size = body != NULL ? strlen(body) : 0;
    va_start(args, count);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(item->addresses[i], sizeof item->addresses[i], "%s", va_arg(args, const char *));
        item->recipients[i] = (struct queue_recipient){ .route = QUEUE_REMOTE, .address = item->addresses[i] };
        item->results[i].recipient = &item->recipients[i];
    }
    va_end(args);
    item->work = (struct remote_work){ .message = &item->message,
                                       .domain = domain,
                                       .recipients = item->results,
                                       .count = count,
                                       .done = on_done,
                                       .owner = item };
    return item;
}

static void item_free(struct item *item)
{
    mem_free(item->message.sender);
    mem_free(item->message.body);
    mem_free(item);
}

/* One message to the given recipients, relayed to its end. */
#define RELAY(f, domain, count, ...) relayed(f, item_new(f, "Subject: x\n\n.dot\n", domain, count, __VA_ARGS__))
static struct item *relayed(struct fixture *f, struct item *item)
{
    remote_start(f->remote, &item->work);
    assert_false(item->done); /* never from inside */
    RUN_UNTIL(f, item->done);
    return item;
}

static void expect(const struct item *item, size_t i, enum remote_result result, short code, const char *text)
{
    const struct remote_recipient *r = &item->results[i];

    if (r->result != result || r->reply.code != code || strstr(r->reply.text, text) == NULL)
        fail_msg("recipient %zu: result %d, %d %s %s (host %s)", i, (int)r->result, r->reply.code, r->reply.enhanced,
                 r->reply.text, r->host);
}

static void expect_and_free(struct item *item, enum remote_result result, short code, const char *text)
{
    for (size_t i = 0; i < item->work.count; i++)
        expect(item, i, result, code, text);
    item_free(item);
}

/* ---- the fixture ---- */

static void on_stopped(void *owner)
{
    ((struct fixture *)owner)->stopped = true;
}

static void bark(void *owner)
{
    ((struct fixture *)owner)->late = true;
}

struct loading {
    struct deferred later;
    struct fixture *f;
    struct queue_message *message;
    void (*fn)(void *owner, int status);
    void *owner;
};

static void load_now(struct deferred *d)
{
    struct loading *l = LIST_ENTRY(d, struct loading, later);

    l->f->loads++;
    if (l->f->load_status == 0) {
        l->message->body = mem_str("Subject: loaded\n\n");
        l->message->size = strlen(l->message->body);
    }
    l->fn(l->owner, l->f->load_status);
    mem_free(l);
}

static void load_body(void *ctx, struct queue_message *message, void (*fn)(void *owner, int status), void *owner)
{
    struct fixture *f = ctx;
    struct loading *l = mem_zero(sizeof *l);

    *l = (struct loading){ .f = f, .message = message, .fn = fn, .owner = owner };
    loop_defer(f->loop, &l->later, load_now);
}

static void configure(struct config *c)
{
    c->refs = 1;
    c->hostname = "relay.example";
    c->limits.timeout.relay_connect = c->limits.timeout.relay_greeting = c->limits.timeout.relay_mail =
        c->limits.timeout.relay_rcpt = c->limits.timeout.relay_data_start = c->limits.timeout.relay_data_block =
            c->limits.timeout.relay_data_end = c->limits.timeout.tls = 5000;
    c->queue.concurrency = 20;
    c->queue.destination_concurrency = 4;
    c->queue.messages_per_connection = 100;
}

static void start(struct fixture *f, struct tls_client *tls)
{
    struct remote_env env = {
        .loop = f->loop, .jobs = f->jobs, .dns = f->dns, .spool = f->spool, .load_body = load_body, .ctx = f
    };

    f->config->relay.routes[0].hop.port = peer_port(&f->peer);
    f->config->relay.routes[1].hop.port = peer_port(&f->other);
    f->remote = remote_new(&env, f->config, tls);
}

static int set_up(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    struct err e;

    if (log_open(LOG_TARGET_NONE, NULL, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR, &e) < 0 || loop_new(&f->loop, &e) < 0)
        return -1;
    (void)alarm(30);
    f->dog = timer_new(f->loop, bark, f);
    timer_set(f->dog, 10 * 1000);
    f->jobs = job_pool_new(f->loop);
    if (dns_new(f->loop, "127.0.0.1:9", &f->dns, &e) < 0)
        return -1;
    f->config = mem_zero(sizeof *f->config);
    configure(f->config);
    for (size_t i = 0; i < 2; i++)
        f->routes[i] = (struct conf_route){ i == 0 ? "one.example" : "two.example",
                                            { .host = "127.0.0.1", .tls = RELAY_TLS_NONE } };
    f->config->relay.routes = f->routes;
    f->config->relay.route_count = 2;
    peer_open(f->loop, &f->peer);
    peer_open(f->loop, &f->other);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    remote_free(&f->remote);
    peer_shut(&f->peer);
    peer_shut(&f->other);
    while ((f->peer.open > 0 || f->other.open > 0 || !job_pool_idle(f->jobs)) && !f->late)
        (void)loop_run_once(f->loop);
    buf_clear(&f->peer.log);
    buf_clear(&f->other.log);
    if (f->peer.tls != NULL)
        tls_server_unref(&f->peer.tls);
    dns_free(&f->dns);
    timer_close(&f->dog);
    job_pool_free(&f->jobs);
    loop_free(&f->loop);
    spool_close(&f->spool);
    config_unref(&f->config);
    mem_free(f);
    return 0;
}

/* ---- results ---- */

static void each_recipient_has_its_result(void **state)
{
    struct fixture *f = *state;
    struct item *item;

    start(f, NULL);
    item = RELAY(f, "one.example", 3, "anna@one.example", "550-no@one.example", "450-later@one.example");
    expect(item, 0, REMOTE_TAKEN, 250, "taken");
    expect(item, 1, REMOTE_REFUSED, 550, "as you wish");
    expect(item, 2, REMOTE_DEFERRED, 450, "as you wish");
    assert_false(item->results[2].untried);
    assert_string_equal(item->results[0].host, "127.0.0.1 [127.0.0.1]");
    assert_true(peer_heard(&f->peer, "MAIL FROM:<sender@example.org>\nRCPT TO:<anna@one.example>\n"));
    assert_true(peer_heard(&f->peer, "DATA\nSubject: x\n\n..dot\n.\n"));
    assert_int_equal(remote_stats(f->remote).taken, 1);
    assert_int_equal(remote_stats(f->remote).refused, 1);
    item_free(item);
}

static void refusals_at_each_stage(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    f->peer.mail = "550 5.7.1 not you\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_REFUSED, 550, "not you");
    f->peer.mail = "451 4.3.0 not now\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "not now");
    f->peer.mail = NULL;
    f->peer.data = "554 5.3.0 no data\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_REFUSED, 554, "no data");
    f->peer.data = NULL;
    f->peer.end = "552 5.3.4 too big\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_REFUSED, 552, "too big");
    f->peer.end = "452 4.3.1 full\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 452, "full");
    f->peer.end = NULL;
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
    assert_in_range(f->peer.accepted, 1, 2); /* a second one while the first waits for the reply to RSET */
}

/* A host that does not want us at all says nothing about the message: it waits, even behind a 5xx. */
static void sessions_refused_are_no_bounce(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    f->peer.greeting = "554 5.7.1 go away\r\n";
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 554, "go away");
    assert_int_equal(remote_stats(f->remote).dead, 1);
    f->peer.greeting = NULL;
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 554, "go away");
    assert_int_equal(f->peer.accepted, 1); /* it was not asked again */
    remote_revive(f->remote);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
}

static void many_recipients_go_in_parts(void **state)
{
    struct fixture *f = *state;
    struct item *item = item_new(f, "x\n", "one.example", 0);

    start(f, NULL);
    for (size_t i = 0; i < RCPTS; i++) {
        (void)snprintf(item->addresses[i], sizeof item->addresses[i], "%sr%zu@one.example", i == 120 ? "550-" : "", i);
        item->recipients[i] = (struct queue_recipient){ .route = QUEUE_REMOTE, .address = item->addresses[i] };
        item->results[i].recipient = &item->recipients[i];
    }
    item->work.count = RCPTS;
    (void)relayed(f, item);
    for (size_t i = 0; i < RCPTS; i++)
        expect(item, i, i == 120 ? REMOTE_REFUSED : REMOTE_TAKEN, i == 120 ? 550 : 250, "");
    assert_int_equal(f->peer.messages, 2);
    assert_int_equal(f->peer.recipients, RCPTS - 1);
    assert_int_equal(f->peer.accepted, 1);
    item_free(item);
}

static void the_servers_own_bound_is_kept(void **state)
{
    struct fixture *f = *state;
    struct item *item;

    f->peer.ehlo = "250-peer\r\n250 LIMITS RCPTMAX=2\r\n";
    start(f, NULL);
    item = RELAY(f, "one.example", 5, "a@one.example", "b@one.example", "550-c@one.example", "550-d@one.example",
                 "e@one.example");
    for (size_t i = 0; i < 5; i++)
        expect(item, i, i == 2 || i == 3 ? REMOTE_REFUSED : REMOTE_TAKEN, i == 2 || i == 3 ? 550 : 250, "");
    assert_int_equal(f->peer.messages, 2); /* the part in the middle came to nothing */
    item_free(item);
}

/* The connection breaks between the parts: what was said stands, the rest is not lost. */
static void a_part_may_fail(void **state)
{
    struct fixture *f = *state;
    struct item *item;

    f->peer.ehlo = "250-peer\r\n250 LIMITS RCPTMAX=1\r\n";
    f->peer.close_after = 1;
    start(f, NULL);
    item = RELAY(f, "one.example", 3, "a@one.example", "b@one.example", "c@one.example");
    expect(item, 0, REMOTE_TAKEN, 250, "taken");
    expect(item, 1, REMOTE_TAKEN, 250, "taken"); /* over another connection */
    expect(item, 2, REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.accepted, 3);
    item_free(item);
}

/* No DNS needed: an address literal that leads here. */
static void a_search_may_refuse(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    expect_and_free(RELAY(f, "[127.0.0.1]", 1, "a@[127.0.0.1]"), REMOTE_REFUSED, 554, "leads back");
}

static void keys_name_destinations(void **state)
{
    struct fixture *f = *state;
    char one[REMOTE_KEY], two[REMOTE_KEY], again[REMOTE_KEY], mx[REMOTE_KEY];

    start(f, NULL);
    remote_key(f->remote, "one.example", one);
    remote_key(f->remote, "two.example", two);
    remote_key(f->remote, "one.example", again);
    remote_key(f->remote, "mx.example", mx);
    assert_string_equal(one, again);
    assert_string_not_equal(one, two);
    assert_string_equal(mx, "mx.example");
}

/* ---- connections ---- */

static void start_many(struct fixture *f, struct item **items, size_t count, const char *domain)
{
    for (size_t i = 0; i < count; i++) {
        items[i] = item_new(f, "x\n", domain, 1, "a@x.example");
        remote_start(f->remote, &items[i]->work);
    }
}

static void many_messages_over_few_connections(void **state)
{
    struct fixture *f = *state;
    static struct item *items[WORKS];

    f->config->queue.messages_per_connection = 60;
    start(f, NULL);
    start_many(f, items, WORKS, "one.example");
    RUN_UNTIL(f, f->done == WORKS);
    for (size_t i = 0; i < WORKS; i++)
        expect_and_free(items[i], REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.messages, WORKS);
    assert_in_range(f->peer.accepted, WORKS / 60, WORKS / 60 + 5);
    assert_in_range(f->peer.most_open, 2, 4 + 4); /* those that have quit may still stand at the peer's side */
}

static void connections_are_bounded_in_all(void **state)
{
    struct fixture *f = *state;
    static struct item *items[60];

    f->config->queue.concurrency = 2;
    f->config->queue.messages_per_connection = 5;
    start(f, NULL);
    start_many(f, items, 30, "one.example");
    start_many(f, items + 30, 30, "two.example");
    while (f->done < 60) {
        assert_true(remote_stats(f->remote).connections <= 2);
        assert_false(f->late);
        (void)loop_run_once(f->loop);
    }
    for (size_t i = 0; i < 60; i++)
        expect_and_free(items[i], REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.messages, 30);
    assert_int_equal(f->other.messages, 30);
}

/* An idle connection of one destination makes room for another. */
static void idle_connections_make_room(void **state)
{
    struct fixture *f = *state;

    f->config->queue.concurrency = 1;
    start(f, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
    expect_and_free(RELAY(f, "two.example", 1, "a@two.example"), REMOTE_TAKEN, 250, "taken");
    assert_true(peer_heard(&f->peer, "QUIT\n"));
}

static void idle_connections_are_used_again_and_quit(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    for (size_t i = 0; i < 3; i++)
        expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.accepted, 1);
    RUN_UNTIL(f, remote_stats(f->remote).connections == 0);
    assert_true(peer_heard(&f->peer, "QUIT\n"));
}

/* The server closes after each message, also when the next is already on its way: nobody notices. */
static void closed_between_messages_is_no_attempt(void **state)
{
    struct fixture *f = *state;
    static struct item *items[20];

    f->peer.close_after = 2;
    f->config->queue.destination_concurrency = 1;
    start(f, NULL);
    start_many(f, items, 20, "one.example");
    RUN_UNTIL(f, f->done == 20);
    for (size_t i = 0; i < 20; i++)
        expect_and_free(items[i], REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.messages, 20);
}

static void an_unclear_end_is_tried_again(void **state)
{
    struct fixture *f = *state;

    f->peer.close_at = "end";
    start(f, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 421, "closed the connection");
}

static void the_next_host_is_tried(void **state)
{
    struct fixture *f = *state;
    struct item *item;

    f->routes[0].hop.host = "localhost"; /* 127.0.0.1, then ::1 where nobody listens */
    start(f, NULL);
    item = RELAY(f, "one.example", 1, "a@one.example");
    assert_string_equal(item->results[0].host, "localhost [127.0.0.1]");
    expect_and_free(item, REMOTE_TAKEN, 250, "taken");
    remote_set_config(f->remote, f->config, NULL); /* idle connections are of the old one */
    RUN_UNTIL(f, remote_stats(f->remote).connections == 0);
    f->peer.greeting = "421 4.3.2 busy\r\n";
    item = RELAY(f, "one.example", 1, "a@one.example");
    assert_string_equal(item->results[0].host, "localhost [::1]");
    assert_int_equal(item->results[0].result, REMOTE_DEFERRED);
    assert_int_equal(f->peer.accepted, 2);
    item_free(item);
}

static void nobody_listens(void **state)
{
    struct fixture *f = *state;
    static struct item *items[50];

    start(f, NULL);
    listener_close(&f->peer.listener);
    start_many(f, items, 50, "one.example");
    RUN_UNTIL(f, f->done == 50);
    for (size_t i = 0; i < 50; i++)
        expect_and_free(items[i], REMOTE_DEFERRED, 451, "refused");
    assert_int_equal(remote_stats(f->remote).dead, 1);
}

/* ---- slow and hostile hops (F27, F28) ---- */

static void hangs_end_with_the_deadline(void **state)
{
    static const struct {
        const char *at, *words;
    } rows[] = {
        { "connect", "the greeting" },   { "EHLO", "the reply to EHLO" }, { "MAIL", "the reply to MAIL" },
        { "RCPT", "the reply to RCPT" }, { "DATA", "the reply to DATA" }, { "end", "the reply to the message" },
    };
    struct fixture *f = *state;

    f->config->limits.timeout.relay_greeting = f->config->limits.timeout.relay_mail =
        f->config->limits.timeout.relay_rcpt = f->config->limits.timeout.relay_data_start =
            f->config->limits.timeout.relay_data_end = 60;
    start(f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f->peer.hang_at = rows[i].at;
        expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 421, rows[i].words);
        remote_revive(f->remote);
    }
}

static void one_slow_hop_does_not_hold_the_others(void **state)
{
    struct fixture *f = *state;
    static struct item *items[41];

    f->peer.hang_at = "MAIL";
    f->config->limits.timeout.relay_mail = 300;
    start(f, NULL);
    start_many(f, items, 40, "one.example");
    items[40] = RELAY(f, "two.example", 1, "a@two.example");
    assert_int_equal(f->done, 1);
    expect_and_free(items[40], REMOTE_TAKEN, 250, "taken");
    /* and what waits behind the slow one does not try it one after the other */
    RUN_UNTIL(f, f->done == 41);
    for (size_t i = 0; i < 40; i++)
        expect_and_free(items[i], REMOTE_DEFERRED, 421, "Timed out");
    assert_in_range(f->peer.accepted, 1, 8);
}

static void endless_replies(void **state)
{
    struct fixture *f = *state;
    char *big = mem_zero(1 << 20);

    start(f, NULL);
    memset(big, 'x', (1 << 20) - 3);
    memcpy(big, "250 ", 4);
    memcpy(big + (1 << 20) - 3, "\r\n", 2);
    f->peer.mail = big;
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "too long");
    mem_free(big);
}

/* ---- bodies ---- */

static void bodies_are_loaded_when_needed(void **state)
{
    struct fixture *f = *state;
    struct item *items[10];

    start(f, NULL);
    for (size_t i = 0; i < 10; i++) {
        items[i] = item_new(f, NULL, "one.example", 1, "a@one.example");
        remote_start(f->remote, &items[i]->work);
    }
    RUN_UNTIL(f, f->done == 10);
    for (size_t i = 0; i < 10; i++)
        expect_and_free(items[i], REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->loads, 10);
    assert_true(peer_heard(&f->peer, "DATA\nSubject: loaded\n\n.\n"));
    f->load_status = -EIO;
    expect_and_free(relayed(f, item_new(f, NULL, "one.example", 1, "a@one.example")), REMOTE_DEFERRED, 451,
                    "from the queue");
}

/* A message in the spool: a header, of which the first line stays here, and the same line many times. */
static struct item *spooled_item(struct fixture *f, const char *header, const char *line, size_t lines)
{
    struct item *item = item_new(f, NULL, "one.example", 1, "a@one.example");
    ssize_t header_n = (ssize_t)strlen(header), n = (ssize_t)strlen(line);
    struct err e;
    int fd;

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/facteur-test-remote-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(spool_open(f->dir, &f->spool, &e), 0);
    fd = spool_create(f->spool, item->message.id, &e);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, header, (size_t)header_n), header_n);
    for (size_t i = 0; i < lines; i++)
        assert_int_equal(write(fd, line, (size_t)n), n);
    (void)close(fd);
    item->message.spooled = true;
    item->message.trace_at = 16;
    item->message.size = (size_t)header_n + lines * (size_t)n;
    item->message.wire_size = item->message.size + lines + 1;
    return item;
}

static void spooled_item_free(struct fixture *f, struct item *item)
{
    (void)spool_remove(f->spool, item->message.id);
    item_free(item);
    (void)snprintf(f->dir + strlen(f->dir), sizeof f->dir - strlen(f->dir), "/spool");
    (void)rmdir(f->dir);
    *strrchr(f->dir, '/') = '\0';
    (void)rmdir(f->dir);
}

static void spooled_bodies_are_read_in_blocks(void **state)
{
    static const char line[] = "0123456789012345678901234567890123456789012345678901234567890123456789012345678\n";
    struct fixture *f = *state;
    size_t lines = 20000, seen = 0;
    struct item *item = spooled_item(f, "Return-Path: <>\n", line, lines);
    const char *at;

    f->peer.ehlo = "250-peer\r\n250 SIZE\r\n";
    start(f, NULL);
    (void)relayed(f, item);
    expect(item, 0, REMOTE_TAKEN, 250, "taken");
    assert_false(peer_heard(&f->peer, "Return-Path"));
    assert_true(peer_heard(&f->peer, "SIZE=1620000\n"));
    for (at = strstr(buf_cstr(&f->peer.log), "DATA\n") + 5; strncmp(at, line, sizeof line - 1) == 0;
         at += sizeof line - 1)
        seen++;
    assert_int_equal(seen, lines);
    assert_memory_equal(at, ".\n", 2);
    /* a file that is shorter than its row says is never sent as if it were whole */
    item->message.size += 10;
    item->done = false;
    (void)relayed(f, item);
    expect(item, 0, REMOTE_DEFERRED, 451, "could not be read");
    assert_int_equal(f->peer.messages, 1);
    spooled_item_free(f, item);
}

/* ---- servers without 8BITMIME ---- */

static struct item *relayed_8bit(struct fixture *f, const char *text, unsigned flags)
{
    struct item *item = item_new(f, text, "one.example", 2, "a@one.example", "b@one.example");

    item->message.flags = flags;
    return relayed(f, item);
}

static void what_a_server_does_not_take_is_converted(void **state)
{
    struct fixture *f = *state;

    f->peer.ehlo = "250-peer\r\n250-PIPELINING\r\n250 SIZE 1000\r\n";
    start(f, NULL);
    expect_and_free(relayed_8bit(f, "Subject: x\n\n.\xc3\xbc\n.dot\n", QUEUE_8BIT), REMOTE_TAKEN, 250, "taken");
    assert_false(peer_heard(&f->peer, "BODY="));
    assert_true(peer_heard(&f->peer, "DATA\nSubject: x\nMIME-Version: 1.0\n"
                                     "Content-Type: text/plain; charset=unknown-8bit\n"
                                     "Content-Transfer-Encoding: quoted-printable\n\n..=C3=BC\n..dot\n.\n"));
    expect_and_free(relayed_8bit(f, "Content-Type: image/x\r\n\r\n\n\r\r\n", QUEUE_BINARY | QUEUE_8BIT), REMOTE_TAKEN,
                    250, "taken");
    assert_true(peer_heard(&f->peer, "Content-Type: image/x\nMIME-Version: 1.0\n"
                                     "Content-Transfer-Encoding: base64\n\nCg0NCg==\n.\n"));
    expect_and_free(relayed_8bit(f, "Subject: ascii\n\n7bit", QUEUE_8BIT), REMOTE_TAKEN, 250, "taken");
    assert_true(peer_heard(&f->peer, "DATA\nSubject: ascii\n\n7bit\n.\n"));
    /* SMTPUTF8 is what it lacks first */
    expect_and_free(relayed_8bit(f, "\n\xc3\xbc\n", QUEUE_8BIT | QUEUE_SMTPUTF8), REMOTE_REFUSED, 550, "SMTPUTF8");
    expect_and_free(relayed_8bit(f, "Subject: \xc3\xbc\n\n", QUEUE_8BIT), REMOTE_REFUSED, 554,
                    "(8BITMIME), and this one cannot be converted: its header has 8-bit characters");
    expect_and_free(relayed_8bit(f, "Subject: \xc3\xbc\r\n\r\n", QUEUE_BINARY), REMOTE_REFUSED, 554,
                    "(BINARYMIME), and this one cannot be converted: its header has 8-bit characters");
    assert_int_equal(f->peer.messages, 3);
    assert_int_equal(f->peer.accepted, 1);
}

static void a_server_with_8bitmime_gets_it_as_it_is(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    expect_and_free(relayed_8bit(f, "Subject: x\n\n\xc3\xbc\n", QUEUE_8BIT), REMOTE_TAKEN, 250, "taken");
    assert_true(peer_heard(&f->peer, "BODY=8BITMIME\n") && peer_heard(&f->peer, "DATA\nSubject: x\n\n\xc3\xbc\n"));
    /* but binary ones are converted for it, and then have 7 bits */
    expect_and_free(relayed_8bit(f, "Subject: y\r\n\r\n\xc3\xbc\r\n", QUEUE_BINARY), REMOTE_TAKEN, 250, "taken");
    assert_true(peer_heard(&f->peer, "MAIL FROM:<sender@example.org>\n") && peer_heard(&f->peer, "\n=C3=BC\n.\n"));
}

static void spooled_bodies_are_converted(void **state)
{
    static const char line[] = "Gr\xc3\xbc\xc3\x9f"
                               "e, .\n";
    static const char coded[] = "Gr=C3=BC=C3=9Fe, .\n";
    struct fixture *f = *state;
    size_t lines = 20000, seen = 0;
    struct item *item = spooled_item(f, "Return-Path: <>\nSubject: x\n\n", line, lines);
    const char *at;

    item->message.flags = QUEUE_8BIT;
    f->peer.ehlo = "250-peer\r\n250 SIZE\r\n";
    start(f, NULL);
    (void)relayed(f, item);
    expect(item, 0, REMOTE_TAKEN, 250, "taken");
    at = strstr(buf_cstr(&f->peer.log), "quoted-printable\n\n");
    assert_non_null(at);
    for (at += strlen("quoted-printable\n\n"); strncmp(at, coded, sizeof coded - 1) == 0; at += sizeof coded - 1)
        seen++;
    assert_int_equal(seen, lines);
    assert_memory_equal(at, ".\n", 2);
    assert_true(ascii_only(buf_slice(&f->peer.log)));
    /* a file that is shorter than its row says: already the survey sees it */
    item->message.size += 10;
    item->done = false;
    (void)relayed(f, item);
    expect(item, 0, REMOTE_DEFERRED, 451, "could not be read");
    assert_int_equal(f->peer.messages, 1);
    item->message.size -= 10;
    item->done = false;
    (void)relayed(f, item);
    expect(item, 0, REMOTE_TAKEN, 250, "taken");
    spooled_item_free(f, item);
}

/* While a message is surveyed no reply is due: whatever ends the connection, the message stays. */
static void a_connection_may_end_during_the_survey(void **state)
{
    struct fixture *f = *state;
    struct item *item = spooled_item(f, "Return-Path: <>\n\n", "\xc3\xbc\n", 50000);

    item->message.flags = QUEUE_8BIT;
    f->peer.ehlo = "250 peer\r\n421 4.3.2 closing\r\n";
    start(f, NULL);
    (void)relayed(f, item);
    expect(item, 0, REMOTE_DEFERRED, 421, "closing");
    remote_free(&f->remote);
    f->peer.ehlo = "250 peer\r\n";
    for (int turns = 1; turns <= 25 && item->results[0].result != REMOTE_TAKEN; turns++) {
        item->done = f->stopped = false;
        start(f, NULL);
        remote_start(f->remote, &item->work);
        for (int i = 0; i < turns && !item->done; i++)
            (void)loop_run_once(f->loop);
        remote_shutdown(f->remote, 1, on_stopped, f);
        RUN_UNTIL(f, f->stopped);
        assert_true(item->done);
        remote_free(&f->remote);
    }
    spooled_item_free(f, item);
}

/* ---- TLS and login ---- */

static struct tls_client *make_tls(struct fixture *f)
{
    static const char *const names[] = { "127.0.0.1" };
    char cert[] = "/tmp/facteur-test-cert-XXXXXX", key[] = "/tmp/facteur-test-key-XXXXXX";
    struct tls_files files = { cert, key };
    struct tls_client *client = NULL;
    struct err e;

    (void)close(mkstemp(cert));
    (void)close(mkstemp(key));
    assert_int_equal(tls_self_signed(names, 1, cert, key, &e), 0);
    assert_int_equal(tls_server_new(&files, 1, NULL, &f->peer.tls, &e), 0);
    assert_int_equal(tls_client_new(cert, &client, &e), 0);
    (void)unlink(cert);
    (void)unlink(key);
    f->peer.ehlo = "250-peer\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
    return client;
}

static void tls_in_all_modes(void **state)
{
    static const enum conf_relay_tls modes[] = { RELAY_TLS_NONE, RELAY_TLS_OPPORTUNISTIC, RELAY_TLS_STARTTLS,
                                                 RELAY_TLS_IMPLICIT };
    struct fixture *f = *state;
    struct tls_client *tls = make_tls(f);

    start(f, tls);
    for (size_t i = 0; i < 4; i++) {
        f->routes[0].hop.tls = modes[i];
        f->routes[0].hop.verify = i > 1;
        f->peer.implicit = modes[i] == RELAY_TLS_IMPLICIT;
        f->routes[0].hop.user = i > 1 ? "user" : NULL;
        f->routes[0].hop.password = "secret";
        struct config *next = mem_zero(sizeof *next); /* a new snapshot, as a reload makes */
        *next = *f->config;
        next->refs = 1;
        remote_set_config(f->remote, next, tls);
        expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
        assert_int_equal(f->peer.over_tls, i);
        config_unref(&next);
        remote_set_config(f->remote, f->config, tls);
        RUN_UNTIL(f, remote_stats(f->remote).connections == 0);
    }
    assert_true(peer_heard(&f->peer, "AUTH PLAIN AHVzZXIAc2VjcmV0\n"));
    tls_client_unref(&tls);
}

static void opportunistic_tls_falls_back(void **state)
{
    struct fixture *f = *state;
    struct tls_client *tls = make_tls(f);

    f->peer.bad_tls = true;
    f->routes[0].hop.tls = RELAY_TLS_OPPORTUNISTIC;
    start(f, tls);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
    assert_int_equal(f->peer.accepted, 2);
    assert_int_equal(f->peer.over_tls, 0);
    tls_client_unref(&tls);
}

static void required_tls_does_not(void **state)
{
    struct fixture *f = *state;
    struct tls_client *tls = make_tls(f);

    f->peer.bad_tls = true;
    f->routes[0].hop.tls = RELAY_TLS_STARTTLS;
    start(f, tls);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "TLS handshake");
    f->peer.bad_tls = false;
    f->peer.ehlo = NULL;
    remote_revive(f->remote);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 454, "does not offer STARTTLS");
    tls_client_unref(&tls);
}

/* Nor where there is a password: somebody who breaks the handshake would get it. */
static void a_password_does_not_go_plain(void **state)
{
    struct fixture *f = *state;
    struct tls_client *tls = make_tls(f);

    f->peer.bad_tls = true;
    f->routes[0].hop.tls = RELAY_TLS_OPPORTUNISTIC;
    f->routes[0].hop.user = "user";
    f->routes[0].hop.password = "secret";
    start(f, tls);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "TLS handshake");
    remote_set_config(f->remote, f->config, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "TLS is required");
    assert_false(peer_heard(&f->peer, "AUTH"));
    tls_client_unref(&tls);
}

static void a_bad_certificate_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tls_client *tls = make_tls(f), *strict = NULL;
    struct err e;

    tls_client_unref(&tls);
    assert_int_equal(tls_client_new(NULL, &strict, &e), 0);
    f->routes[0].hop.tls = RELAY_TLS_STARTTLS;
    f->routes[0].hop.verify = true;
    start(f, strict);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 451, "TLS handshake");
    tls_client_unref(&strict);
}

static void a_refused_login_is_no_bounce(void **state)
{
    struct fixture *f = *state;

    f->routes[0].hop.user = "user";
    f->routes[0].hop.password = "wrong";
    f->peer.ehlo = "250-peer\r\n250 AUTH PLAIN\r\n";
    f->peer.auth = "535 5.7.8 wrong\r\n";
    start(f, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 535, "wrong");
}

static void scram_keeps_the_password_here(void **state)
{
    struct fixture *f = *state;

    f->routes[0].hop.user = "user";
    f->routes[0].hop.password = "pencil";
    f->peer.ehlo = "250-peer\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n";
    f->peer.password = "pencil";
    start(f, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_TAKEN, 250, "taken");
    assert_false(peer_heard(&f->peer, "AUTH PLAIN"));
    remote_free(&f->remote);
    f->peer.password = "another";
    start(f, NULL);
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 535, "wrong");
    /* and a connection that ends while the key is computed */
    remote_revive(f->remote);
    struct item *item = item_new(f, "x\n", "one.example", 1, "a@one.example");
    remote_start(f->remote, &item->work);
    RUN_UNTIL(f, job_pool_waiting(f->jobs, JOB_HASH) > 0);
    remote_free(&f->remote);
    item_free(item);
}

/* ---- the end ---- */

static void shutdown_finishes_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    static struct item *items[30];
    unsigned taken = 0, untried = 0;

    f->config->queue.destination_concurrency = 1;
    start(f, NULL);
    start_many(f, items, 30, "one.example");
    RUN_UNTIL(f, f->done >= 3);
    remote_shutdown(f->remote, 5000, on_stopped, f);
    RUN_UNTIL(f, f->stopped);
    assert_int_equal(f->done, 30);
    assert_int_equal(remote_stats(f->remote).connections, 0);
    for (size_t i = 0; i < 30; i++) {
        taken += items[i]->results[0].result == REMOTE_TAKEN ? 1 : 0;
        untried += items[i]->results[0].untried ? 1 : 0;
        item_free(items[i]);
    }
    assert_int_equal(taken + untried, 30);
    assert_int_equal(taken, f->peer.messages);
    assert_true(untried > 0);
    /* and what comes later is not begun */
    expect_and_free(RELAY(f, "one.example", 1, "a@one.example"), REMOTE_DEFERRED, 421, "shutting down");
}

static void shutdown_cuts_off_what_hangs(void **state)
{
    struct fixture *f = *state;
    static struct item *items[3];

    f->peer.hang_at = "end";
    f->other.hang_at = "connect";
    start(f, NULL);
    start_many(f, items, 2, "one.example");
    start_many(f, items + 2, 1, "two.example");
    RUN_UNTIL(f, peer_heard(&f->peer, "\n.\n") && f->other.accepted > 0);
    remote_shutdown(f->remote, 50, on_stopped, f);
    RUN_UNTIL(f, f->stopped);
    assert_int_equal(f->done, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(items[i]->results[0].untried);
        expect_and_free(items[i], REMOTE_DEFERRED, 421, "shutting down");
    }
}

static void freed_in_the_middle(void **state)
{
    struct fixture *f = *state;
    static struct item *items[30];

    start(f, NULL);
    start_many(f, items, 30, "one.example");
    RUN_UNTIL(f, f->done >= 3);
    remote_free(&f->remote);
    f->peer.hang_at = "MAIL";
    for (size_t i = 0; i < 10; i++)
        if (f->peer.open > 0)
            (void)loop_run_once(f->loop);
    for (size_t i = 0; i < 30; i++)
        item_free(items[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_recipient_has_its_result),
        TEST(refusals_at_each_stage),
        TEST(sessions_refused_are_no_bounce),
        TEST(many_recipients_go_in_parts),
        TEST(the_servers_own_bound_is_kept),
        TEST(a_part_may_fail),
        TEST(a_search_may_refuse),
        TEST(keys_name_destinations),
        TEST(many_messages_over_few_connections),
        TEST(connections_are_bounded_in_all),
        TEST(idle_connections_make_room),
        TEST(idle_connections_are_used_again_and_quit),
        TEST(closed_between_messages_is_no_attempt),
        TEST(an_unclear_end_is_tried_again),
        TEST(the_next_host_is_tried),
        TEST(nobody_listens),
        TEST(hangs_end_with_the_deadline),
        TEST(one_slow_hop_does_not_hold_the_others),
        TEST(endless_replies),
        TEST(bodies_are_loaded_when_needed),
        TEST(spooled_bodies_are_read_in_blocks),
        TEST(what_a_server_does_not_take_is_converted),
        TEST(a_server_with_8bitmime_gets_it_as_it_is),
        TEST(spooled_bodies_are_converted),
        TEST(a_connection_may_end_during_the_survey),
        TEST(tls_in_all_modes),
        TEST(opportunistic_tls_falls_back),
        TEST(required_tls_does_not),
        TEST(a_password_does_not_go_plain),
        TEST(a_bad_certificate_is_refused),
        TEST(a_refused_login_is_no_bounce),
        TEST(scram_keeps_the_password_here),
        TEST(shutdown_finishes_what_is_under_way),
        TEST(shutdown_cuts_off_what_hangs),
        TEST(freed_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
