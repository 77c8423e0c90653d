#include "facteur/service/control.h"

#include "facteur/base/codec.h"
#include "io/pump.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A real queue, spool and history in a directory of its own; the rest of the program is played. */
struct world {
    struct pump *p;
    struct job_pool *pool;
    struct control_env env;
    struct control *control;
    char dir[64], path[96];
    uint64_t active, flushed, deleted;
    unsigned flushes, deletions, reloads;
    int reload_code;
};

static json_t *play_status(void *ctx)
{
    (void)ctx;
    return json_pack("{ss s{si}}", "version", "0", "queue", "running", 3);
}
static int play_reload(void *ctx, struct buf *messages)
{
    struct world *w = ctx;

    w->reloads++;
    if (w->reload_code < 0)
        assert_int_equal(buf_adds(messages, "facteur.yaml:3:1: nonsense\n"), 0);
    return w->reload_code;
}
static void play_flushed(void *ctx, uint64_t id)
{
    struct world *w = ctx;

    w->flushes++;
    w->flushed = id;
}
static void play_deleted(void *ctx, uint64_t id)
{
    struct world *w = ctx;

    w->deletions++;
    w->deleted = id;
}
static bool play_is_active(void *ctx, uint64_t id)
{
    return ((struct world *)ctx)->active == id;
}

static int world_open(void **state)
{
    struct world *w = mem_zero(sizeof *w);
    struct err e = { 0 };

    if (pump_open((void **)&w->p) < 0)
        return -1;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/facteur-control-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    (void)snprintf(w->path, sizeof w->path, "%s/control.sock", w->dir);
    w->pool = job_pool_new(w->p->loop);
    w->env = (struct control_env){ .loop = w->p->loop,
                                   .pool = w->pool,
                                   .ctx = w,
                                   .status = play_status,
                                   .reload = play_reload,
                                   .flushed = play_flushed,
                                   .deleted = play_deleted,
                                   .is_active = play_is_active };
    if (queue_open(w->dir, &w->env.queue, &e) < 0 || spool_open(w->dir, &w->env.spool, &e) < 0 ||
        history_open(w->dir, &w->env.history, &(bool){ false }, &e) < 0 ||
        control_new(&w->env, w->path, &w->control, &e) < 0) {
        print_error("%s\n", e.text);
        return -1;
    }
    *state = w;
    return 0;
}

static int world_shut(void **state)
{
    struct world *w = *state;
    char command[128];

    control_close(&w->control);
    RUN_UNTIL(w->p, job_pool_idle(w->pool));
    job_pool_free(&w->pool);
    (void)pump_shut((void **)&w->p);
    queue_close(&w->env.queue);
    spool_close(&w->env.spool);
    history_close(&w->env.history);
    (void)snprintf(command, sizeof command, "rm -r %s", w->dir);
    if (system(command) != 0)
        return -1;
    mem_free(w);
    return 0;
}

/* --- a client --- */

static void client_connect(struct world *w, struct end *c)
{
    struct endpoint at = { .family = 1 };

    end_init(c);
    assert_int_equal(slice_copy(slice_str(w->path), at.path, sizeof at.path), 0);
    c->s = stream_connect(w->p->loop, &at, NULL, &end_events, c);
    RUN_UNTIL(w->p, c->connected);
    assert_int_equal(c->connect_status, 0);
}

static void client_shut(struct world *w, struct end *c)
{
    if (c->s != NULL)
        stream_close(c->s);
    RUN_UNTIL(w->p, c->s == NULL);
    buf_clear(&c->in);
}

/* Waits for one line and takes it. */
static json_t *client_line(struct world *w, struct end *c)
{
    json_error_t why;
    json_t *json;
    ptrdiff_t n;

    RUN_UNTIL(w->p, slice_find(buf_slice(&c->in), '\n') >= 0 || c->ended);
    n = slice_find(buf_slice(&c->in), '\n');
    assert_true(n >= 0);
    json = json_loadb(c->in.p, (size_t)n, 0, &why);
    assert_non_null(json);
    buf_drop(&c->in, (size_t)n + 1);
    return json;
}

static json_t *ask(struct world *w, struct end *c, const char *request)
{
    stream_write(c->s, slice_str(request));
    stream_write(c->s, SLICE_LIT("\n"));
    return client_line(w, c);
}

static json_t *ask_id(struct world *w, struct end *c, const char *verb, uint64_t id)
{
    char text[14], request[128];

    base32_u64(id, text);
    (void)snprintf(request, sizeof request, "{\"do\":\"%s\",\"id\":\"%s\"}", verb, text);
    return ask(w, c, request);
}

static void assert_ok(const json_t *answer)
{
    if (!json_is_true(json_object_get(answer, "ok")))
        fail_msg("%s", json_string_value(json_object_get(answer, "error")));
}

static void assert_refused(json_t *answer, const char *code)
{
    assert_true(json_is_false(json_object_get(answer, "ok")));
    assert_string_equal(json_string_value(json_object_get(answer, "code")), code);
    assert_non_null(json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

/* --- messages --- */

#define BODY "Return-Path: <anna@example.org>\nSubject: hello\n\nworld\n"

static uint64_t add_message(struct world *w, char *sender, bool spooled)
{
    struct queue_recipient recipients[] = {
        { .seq = 0,
          .route = QUEUE_LOCAL,
          .address = (char *)"bob@example.org",
          .mailbox = (char *)"bob@example.org",
          .due_ms = 1000 },
        { .seq = 1,
          .route = QUEUE_REMOTE,
          .address = (char *)"carol@example.net",
          .domain = (char *)"example.net",
          .notify = NOTIFY_NEVER,
          .due_ms = INT64_C(1) << 50 },
    };
    struct queue_message m = { .id = queue_new_id(w->env.queue),
                               .received_ms = 1000,
                               .sender = sender,
                               .client = (char *)"192.0.2.1",
                               .flags = QUEUE_8BIT,
                               .size = sizeof BODY - 1,
                               .wire_size = sizeof BODY + 3,
                               .header_size = 47,
                               .spooled = spooled,
                               .body = spooled ? NULL : (char *)BODY,
                               .recipients = recipients,
                               .count = 2 };
    struct queue_op op = { .kind = QUEUE_ADD, .message = &m, .id = m.id };
    struct link ops;
    struct err e = { 0 };

    if (spooled) {
        int fd = spool_create(w->env.spool, m.id, &e);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, BODY, sizeof BODY - 1), sizeof BODY - 1);
        assert_int_equal(spool_sync(w->env.spool, fd, &e), 0);
        assert_int_equal(close(fd), 0);
    }
    list_init(&ops);
    list_push(&ops, &op.link);
    if (queue_apply(w->env.queue, &ops, &e) < 0)
        fail_msg("%s", e.text);
    return m.id;
}

static void assert_id(const json_t *json, uint64_t id)
{
    char text[14];

    base32_u64(id, text);
    assert_string_equal(json_string_value(json), text);
}

/* --- the tests --- */

static void status_has_the_counts(void **state)
{
    struct world *w = *state;
    struct end c;
    json_t *answer, *queue;

    (void)add_message(w, (char *)"anna@example.org", false);
    client_connect(w, &c);
    answer = ask(w, &c, "{\"do\":\"status\"}");
    assert_ok(answer);
    queue = json_object_get(json_object_get(answer, "status"), "queue");
    assert_int_equal(json_integer_value(json_object_get(queue, "messages")), 1);
    assert_int_equal(json_integer_value(json_object_get(queue, "recipients")), 2);
    assert_int_equal(json_integer_value(json_object_get(queue, "running")), 3); /* what was there stays */
    json_decref(answer);
    client_shut(w, &c);
}

static void reload_tells_the_reasons(void **state)
{
    struct world *w = *state;
    struct end c;
    json_t *answer;

    client_connect(w, &c);
    answer = ask(w, &c, "{\"do\":\"reload\"}");
    assert_ok(answer);
    assert_true(json_is_true(json_object_get(answer, "loaded")));
    json_decref(answer);
    w->reload_code = -EINVAL;
    answer = ask(w, &c, "{\"do\":\"reload\"}");
    assert_ok(answer);
    assert_true(json_is_false(json_object_get(answer, "loaded")));
    assert_string_equal(json_string_value(json_object_get(answer, "messages")), "facteur.yaml:3:1: nonsense\n");
    json_decref(answer);
    assert_int_equal(w->reloads, 2);
    client_shut(w, &c);
}

static void list_goes_page_by_page(void **state)
{
    struct world *w = *state;
    uint64_t ids[3];
    struct end c;
    json_t *answer, *messages;
    char request[128] = "{\"do\":\"queue-list\",\"max\":2}";

    for (size_t i = 0; i < 3; i++)
        ids[i] = add_message(w, (char *)"anna@example.org", false);
    w->active = ids[1];
    client_connect(w, &c);
    answer = ask(w, &c, request);
    messages = json_object_get(answer, "messages");
    assert_int_equal(json_array_size(messages), 2);
    assert_id(json_object_get(json_array_get(messages, 0), "id"), ids[0]);
    assert_true(json_is_false(json_object_get(json_array_get(messages, 0), "active")));
    assert_true(json_is_true(json_object_get(json_array_get(messages, 1), "active")));
    assert_id(json_object_get(answer, "next"), ids[1]);
    (void)snprintf(request, sizeof request, "{\"do\":\"queue-list\",\"max\":2,\"after\":\"%s\"}",
                   json_string_value(json_object_get(answer, "next")));
    json_decref(answer);
    answer = ask(w, &c, request);
    messages = json_object_get(answer, "messages");
    assert_int_equal(json_array_size(messages), 1);
    assert_id(json_object_get(json_array_get(messages, 0), "id"), ids[2]);
    assert_null(json_object_get(answer, "next"));
    json_decref(answer);
    client_shut(w, &c);
}

static void show_has_envelope_and_recipients(void **state)
{
    struct world *w = *state;
    uint64_t id = add_message(w, (char *)"\xe4nna@example.org", false); /* Latin-1: no UTF-8, no JSON */
    struct end c;
    json_t *answer, *m, *r;

    client_connect(w, &c);
    answer = ask_id(w, &c, "queue-show", id);
    assert_ok(answer);
    m = json_object_get(answer, "message");
    assert_string_equal(json_string_value(json_object_get(m, "sender")), "\\xe4nna@example.org");
    assert_string_equal(json_string_value(json_array_get(json_object_get(m, "flags"), 0)), "8bitmime");
    assert_int_equal(json_integer_value(json_object_get(m, "header_size")), 47);
    assert_true(json_is_null(json_object_get(m, "login")));
    r = json_array_get(json_object_get(m, "recipients"), 1);
    assert_string_equal(json_string_value(json_object_get(r, "address")), "carol@example.net");
    assert_string_equal(json_string_value(json_object_get(r, "route")), "remote");
    assert_string_equal(json_string_value(json_array_get(json_object_get(r, "notify"), 0)), "never");
    json_decref(answer);
    assert_refused(ask_id(w, &c, "queue-show", id + 1), "not-found");
    assert_refused(ask(w, &c, "{\"do\":\"queue-show\",\"id\":\"no id\"}"), "bad-request");
    assert_refused(ask(w, &c, "{\"do\":\"queue-show\"}"), "bad-request");
    client_shut(w, &c);
}

static void check_body(struct world *w, struct end *c, uint64_t id)
{
    char text[14], request[128];
    struct buf body;
    json_t *answer = ask_id(w, c, "queue-body", id);

    buf_init(&body, 1024);
    assert_ok(answer);
    assert_int_equal(json_integer_value(json_object_get(answer, "size")), sizeof BODY - 1);
    assert_int_equal(base64_decode(slice_str(json_string_value(json_object_get(answer, "data"))), &body), 0);
    assert_true(slice_is(buf_slice(&body), BODY));
    json_decref(answer);
    base32_u64(id, text);
    (void)snprintf(request, sizeof request, "{\"do\":\"queue-body\",\"id\":\"%s\",\"offset\":%zu}", text,
                   sizeof BODY - 1 - 6);
    answer = ask(w, c, request);
    buf_reset(&body);
    assert_int_equal(base64_decode(slice_str(json_string_value(json_object_get(answer, "data"))), &body), 0);
    assert_true(slice_is(buf_slice(&body), "world\n"));
    json_decref(answer);
    (void)snprintf(request, sizeof request, "{\"do\":\"queue-body\",\"id\":\"%s\",\"offset\":9000000000000000000}",
                   text);
    answer = ask(w, c, request);
    assert_string_equal(json_string_value(json_object_get(answer, "data")), "");
    json_decref(answer);
    buf_clear(&body);
}

static void body_comes_from_row_and_spool(void **state)
{
    struct world *w = *state;
    struct end c;

    client_connect(w, &c);
    check_body(w, &c, add_message(w, (char *)"anna@example.org", false));
    check_body(w, &c, add_message(w, (char *)"anna@example.org", true));
    client_shut(w, &c);
}

static void flush_makes_due(void **state)
{
    struct world *w = *state;
    uint64_t id = add_message(w, (char *)"anna@example.org", false);
    struct queue_message *m = NULL;
    struct err e = { 0 };
    struct end c;
    json_t *answer;

    client_connect(w, &c);
    answer = ask_id(w, &c, "queue-flush", id);
    assert_ok(answer);
    assert_id(json_object_get(answer, "flushed"), id);
    json_decref(answer);
    assert_int_equal(w->flushes, 1);
    assert_int_equal(w->flushed, id);
    assert_int_equal(queue_get(w->env.queue, id, false, &m, &e), 0);
    assert_true(m->recipients[1].due_ms <= clock_wall_ms());
    queue_message_free(&m);
    assert_refused(ask_id(w, &c, "queue-flush", id + 1), "not-found");
    assert_refused(ask(w, &c, "{\"do\":\"queue-flush\",\"id\":7}"), "bad-request");
    assert_int_equal(w->flushes, 1);
    answer = ask(w, &c, "{\"do\":\"queue-flush\"}");
    assert_string_equal(json_string_value(json_object_get(answer, "flushed")), "all");
    json_decref(answer);
    assert_int_equal(w->flushes, 2);
    assert_int_equal(w->flushed, 0);
    client_shut(w, &c);
}

static void delete_takes_row_and_file(void **state)
{
    struct world *w = *state;
    uint64_t id = add_message(w, (char *)"anna@example.org", true);
    struct queue_message *m = NULL;
    struct err e = { 0 };
    struct end c;
    json_t *answer, *event;

    client_connect(w, &c);
    w->active = id;
    assert_refused(ask_id(w, &c, "queue-delete", id), "busy");
    assert_int_equal(queue_get(w->env.queue, id, false, &m, &e), 0);
    queue_message_free(&m);
    w->active = 0;
    answer = ask_id(w, &c, "queue-delete", id);
    assert_ok(answer);
    json_decref(answer);
    assert_int_equal(w->deletions, 1);
    assert_int_equal(w->deleted, id);
    assert_int_equal(queue_get(w->env.queue, id, false, &m, &e), -ENOENT);
    assert_int_equal(spool_read_open(w->env.spool, id, &e), -ENOENT);
    assert_refused(ask_id(w, &c, "queue-delete", id), "not-found");
    answer = ask_id(w, &c, "queue-history", id); /* the same lane: it comes behind the note */
    event = json_array_get(json_object_get(answer, "events"), 0);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "deleted");
    assert_string_equal(json_string_value(json_object_get(event, "who")), "anna@example.org");
    json_decref(answer);
    client_shut(w, &c);
}

/* Holds the queue's lane until something is written to the pipe. */
struct hold {
    struct job job;
    int pipe[2];
};

static void run_hold(struct job *job)
{
    char octet;

    (void)!read(LIST_ENTRY(job, struct hold, job)->pipe[0], &octet, 1);
}
static void drop_hold(struct job *job)
{
    struct hold *h = LIST_ENTRY(job, struct hold, job);

    close(h->pipe[0]);
    close(h->pipe[1]);
}

static int raw_connect(const struct world *w)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_int_equal(slice_copy(slice_str(w->path), at.sun_path, sizeof at.sun_path), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* The first answer finds nobody; the second request is in its lane by then. */
static void an_order_outlives_its_connection(void **state)
{
    struct world *w = *state;
    uint64_t id = add_message(w, (char *)"anna@example.org", false);
    struct hold hold = { .job = { .run = run_hold, .drop = drop_hold } };
    char text[14], request[128];
    struct end c;
    int fd = raw_connect(w), n;

    assert_int_equal(pipe(hold.pipe), 0);
    job_start(w->pool, JOB_QUEUE, NULL, &hold.job);
    base32_u64(id, text);
    n = snprintf(request, sizeof request, "{\"do\":\"reload\"}\n{\"do\":\"queue-delete\",\"id\":\"%s\"}\n", text);
    assert_int_equal(write(fd, request, (size_t)n), n);
    close(fd);
    client_connect(w, &c);
    json_decref(ask(w, &c, "{\"do\":\"reload\"}")); /* the loop has gone on; so has the first connection */
    assert_int_equal(w->reloads, 2);
    assert_int_equal(w->deletions, 0);
    assert_int_equal(write(hold.pipe[1], "", 1), 1);
    RUN_UNTIL(w->p, w->deletions > 0);
    assert_int_equal(w->deleted, id);
    client_shut(w, &c);
}

static void closing_abandons_the_question(void **state)
{
    struct world *w = *state;
    struct end c;

    client_connect(w, &c);
    stream_write(c.s, SLICE_LIT("{\"do\":\"queue-flush\"}\n"));
    RUN_UNTIL(w->p, job_pool_waiting(w->pool, JOB_QUEUE) > 0);
    control_close(&w->control);
    RUN_UNTIL(w->p, c.ended && job_pool_idle(w->pool));
    assert_int_equal(w->flushes, 0);
    assert_int_equal(c.in.n, 0);
    assert_int_equal(access(w->path, F_OK), -1);
    client_shut(w, &c);
}

static void pieces_and_pipelines(void **state)
{
    static const char requests[] = "{\"do\":\"queue-list\"}\n{\"do\":\"reload\"}\r\n{\"do\":\"status\"}\n";
    struct world *w = *state;
    struct end c;

    client_connect(w, &c);
    for (size_t split = 0; split <= sizeof requests; split++) { /* the last round: octet by octet */
        for (size_t i = 0; i < sizeof requests - 1; i++) {
            stream_write(c.s, slice_make(requests + i, 1));
            if (i == split || split == sizeof requests) {
                stream_flush(c.s);
                (void)loop_run_once(w->p->loop);
            }
        }
        for (size_t i = 0; i < 3; i++) {
            static const char *const marks[] = { "messages", "loaded", "status" };
            json_t *answer = client_line(w, &c);

            assert_ok(answer);
            assert_non_null(json_object_get(answer, marks[i])); /* in order */
            json_decref(answer);
        }
    }
    client_shut(w, &c);
}

static void garbage_is_closed_and_nothing_more(void **state)
{
    static const char *const garbage[] = { "GET / HTTP/1.1\r\n",
                                           "\n",
                                           "[]\n",
                                           "{\"do\":7}\n",
                                           "{}\n",
                                           "{\"do\":\"status\"\n",
                                           "\x80\xff\n",
                                           "{\"do\":\"status\",\"do\":\"x\"}\n",
                                           "null\n" };
    struct world *w = *state;
    struct end c;

    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        client_connect(w, &c);
        stream_write(c.s, slice_str(garbage[i]));
        RUN_UNTIL(w->p, c.ended);
        assert_int_equal(c.in.n, 0);
        client_shut(w, &c);
    }
    client_connect(w, &c);
    stream_write(c.s, slice_make("{\"do\":\0\"status\"}\n", 18)); /* a NUL */
    RUN_UNTIL(w->p, c.ended);
    client_shut(w, &c);
    client_connect(w, &c);
    assert_refused(ask(w, &c, "{\"do\":\"dance\"}"), "bad-request");
    json_decref(ask(w, &c, "{\"do\":\"status\"}"));
    client_shut(w, &c);
}

static void long_lines_are_closed(void **state)
{
    struct world *w = *state;
    char *spaces = mem_alloc(CONTROL_LINE);
    json_t *answer;
    struct end c;

    memset(spaces, ' ', CONTROL_LINE);
    client_connect(w, &c);
    stream_write(c.s, slice_make(spaces, CONTROL_LINE - 17));
    answer = ask(w, &c, "{\"do\":\"reload\"}"); /* 15 octets: the longest line there may be */
    assert_ok(answer);
    json_decref(answer);
    stream_write(c.s, slice_make(spaces, CONTROL_LINE));
    RUN_UNTIL(w->p, c.ended);
    assert_int_equal(c.in.n, 0);
    client_shut(w, &c);
    mem_free(spaces);
}

static void the_seventeenth_waits(void **state)
{
    struct world *w = *state;
    struct end c[CONTROL_CLIENTS + 1];

    for (size_t i = 0; i <= CONTROL_CLIENTS; i++)
        client_connect(w, &c[i]);
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        json_decref(ask(w, &c[i], "{\"do\":\"reload\"}"));
    stream_write(c[CONTROL_CLIENTS].s, SLICE_LIT("{\"do\":\"reload\"}\n"));
    json_decref(ask(w, &c[0], "{\"do\":\"status\"}"));
    assert_int_equal(c[CONTROL_CLIENTS].in.n, 0);
    client_shut(w, &c[0]);
    json_decref(client_line(w, &c[CONTROL_CLIENTS]));
    for (size_t i = 1; i <= CONTROL_CLIENTS; i++)
        client_shut(w, &c[i]);
}

/* As `echo … | nc -U` does: the answer comes though nothing more is asked. */
static void half_closed_is_answered(void **state)
{
    struct world *w = *state;
    static const char request[] = "{\"do\":\"status\"}\n";
    char answer[1024];
    size_t n = 0;
    int fd = raw_connect(w);
    ssize_t got;

    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (;;) {
        got = read(fd, answer + n, sizeof answer - n);
        if (got == 0)
            break;
        assert_true(got > 0 || errno == EAGAIN);
        if (got > 0)
            n += (size_t)got;
        else
            (void)loop_run_once(w->p->loop);
    }
    assert_true(n > 10 && answer[n - 1] == '\n');
    assert_memory_equal(answer, "{\"ok\":true", 10);
    close(fd);
}

static void the_socket_is_ours_alone(void **state)
{
    struct world *w = *state;
    struct control *second = NULL;
    struct err e = { 0 };
    struct stat st;
    char path[256];
    FILE *f;

    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(control_new(&w->env, w->path, &second, &e), -EADDRINUSE);
    (void)snprintf(path, sizeof path, "%s/file", w->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(control_new(&w->env, path, &second, &e), -EADDRINUSE);
    memset(path, 'x', 200);
    path[200] = '\0';
    assert_int_equal(control_new(&w->env, path, &second, &e), -ENAMETOOLONG);
    assert_null(second);
}

static void a_dead_servers_socket_is_replaced(void **state)
{
    struct world *w = *state;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct control *second = NULL;
    struct err e = { 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/old.sock", w->dir);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    close(fd); /* its file stays, as after a kill */
    assert_int_equal(control_new(&w->env, at.sun_path, &second, &e), 0);
    control_close(&second);
    assert_null(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_shut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_has_the_counts),
        TEST(reload_tells_the_reasons),
        TEST(list_goes_page_by_page),
        TEST(show_has_envelope_and_recipients),
        TEST(body_comes_from_row_and_spool),
        TEST(flush_makes_due),
        TEST(delete_takes_row_and_file),
        TEST(an_order_outlives_its_connection),
        TEST(closing_abandons_the_question),
        TEST(pieces_and_pipelines),
        TEST(garbage_is_closed_and_nothing_more),
        TEST(long_lines_are_closed),
        TEST(the_seventeenth_waits),
        TEST(half_closed_is_answered),
        TEST(the_socket_is_ours_alone),
        TEST(a_dead_servers_socket_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
