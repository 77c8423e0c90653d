#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli_priv.h"
#include "facteur/app/server.h"
#include "facteur/base/mem.h"
#include "facteur/io/loop.h"
#include "facteur/service/control.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

int server_run(const char *config_path, struct err *e)
{
    (void)config_path;
    (void)e;
    return EX_SOFTWARE;
}

#define POLICY                                                                                                         \
    "hostname: mail.example.org\n"                                                                                     \
    "state: state\n"                                                                                                   \
    "listen: [{address: 127.0.0.1, port: 0}]\n"                                                                        \
    "domains: {example.org: {catch_all: x@example.com}, example.net: {catch_all: x@example.com}}\n"

/* A directory with a policy file, and what the last command said. */
struct world {
    char dir[64], config[96], socket[96];
    char *out, *err;
    pid_t server;
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static char *read_file(const char *path)
{
    static char text[16 * 1024];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    assert_int_equal(fclose(f), 0);
    text[n] = '\0';
    return text;
}

static int world_open(void **state)
{
    struct world *w = mem_zero(sizeof *w);

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/facteur-commands-XXXXXX");
    if (mkdtemp(w->dir) == NULL || chmod(w->dir, 0755) < 0) /* root acts as another user below it */
        return -1;
    (void)snprintf(w->config, sizeof w->config, "%s/state", w->dir);
    if (mkdir(w->config, 0700) < 0)
        return -1;
    (void)snprintf(w->config, sizeof w->config, "%s/facteur.yaml", w->dir);
    (void)snprintf(w->socket, sizeof w->socket, "%s/control.sock", w->dir);
    write_file(w->config, POLICY "users_file: users.yaml\n");
    *state = w;
    return 0;
}

static int world_shut(void **state)
{
    struct world *w = *state;
    char command[96];

    if (w->server > 0) {
        (void)kill(w->server, SIGKILL);
        (void)waitpid(w->server, NULL, 0);
    }
    (void)snprintf(command, sizeof command, "rm -r %s", w->dir);
    if (system(command) != 0)
        return -1;
    free(w->out);
    free(w->err);
    mem_free(w);
    return 0;
}

/* Runs "facteur …" with this standard input; w->out and w->err have what it printed. */
static int run(struct world *w, const char *input, const char *words)
{
    char text[512], *argv[20] = { (char *)(uintptr_t) "facteur" }, *at = NULL;
    size_t out_size = 0, err_size = 0;
    struct err e = { 0 };
    struct cli c;
    int argc = 1, code;

    free(w->out);
    free(w->err);
    w->out = w->err = NULL;
    (void)snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok_r(text, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at))
        argv[argc++] = word;
    argv[argc++] = (char *)(uintptr_t) "--config";
    argv[argc++] = w->config;
    if (cli_parse(argc, argv, &c, &e) < 0)
        fail_msg("%s", e.text);
    if (w->server > 0)
        c.socket = w->socket;
    c.in = tmpfile();
    assert_non_null(c.in);
    assert_true(fputs(input, c.in) >= 0);
    rewind(c.in);
    c.out = open_memstream(&w->out, &out_size);
    c.err = open_memstream(&w->err, &err_size);
    code = c.command->run(&c);
    assert_int_equal(fclose(c.in), 0);
    assert_int_equal(fclose(c.out), 0);
    assert_int_equal(fclose(c.err), 0);
    return code;
}

#define ASSERT_HAS(text, part)                                                                                         \
    do {                                                                                                               \
        if (strstr(text, part) == NULL)                                                                                \
            fail_msg("\"%s\" is not in \"%s\"", part, text);                                                           \
    } while (0)

static void assert_code(const struct world *w, int code, int expected)
{
    if (code != expected)
        fail_msg("exit code %d instead of %d: %s%s", code, expected, w->out, w->err);
}

/* --- check and tls --- */

static void check_says_good_or_what_is_bad(void **state)
{
    struct world *w = *state;

    assert_code(w, run(w, "", "check"), EX_OK);
    ASSERT_HAS(w->out, "good (1 listener, 2 domains, 0 users");
    assert_code(w, run(w, "", "check --print"), EX_OK);
    ASSERT_HAS(w->out, "mail.example.org");
    write_file(w->config, POLICY "hostnam: x\n");
    assert_code(w, run(w, "", "check"), EX_CONFIG);
    ASSERT_HAS(w->err, "facteur.yaml:5:1: ");
    ASSERT_HAS(w->err, "hostname");
    assert_string_equal(w->out, "");
    assert_int_equal(unlink(w->config), 0);
    assert_code(w, run(w, "", "check"), EX_NOINPUT);
}

static void check_sees_a_key_of_another_certificate(void **state)
{
    struct world *w = *state;
    char words[256], path[96];
    struct stat st;

    (void)snprintf(words, sizeof words, "tls self-signed --cert %s/a.pem --key %s/a.key mail.example.org 127.0.0.1",
                   w->dir, w->dir);
    assert_code(w, run(w, "", words), EX_OK);
    assert_code(w, run(w, "", words), EX_CANTCREAT); /* never over another one */
    (void)snprintf(path, sizeof path, "%s/a.key", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(words, sizeof words, "tls self-signed --cert %s/b.pem --key %s/b.key x", w->dir, w->dir);
    assert_code(w, run(w, "", words), EX_OK);
    write_file(w->config, POLICY "tls: {certificate: a.pem, key: a.key}\n");
    assert_code(w, run(w, "", "check"), EX_OK);
    write_file(w->config, POLICY "tls: {certificate: a.pem, key: b.key}\n");
    assert_code(w, run(w, "", "check"), EX_CONFIG);
    ASSERT_HAS(w->err, "facteur.yaml:5:");
    assert_code(w, run(w, "", "tls self-signed x"), EX_USAGE);
}

/* --- users --- */

static void a_users_life(void **state)
{
    struct world *w = *state;
    char path[128];
    struct stat st;
    json_t *list;

    assert_code(w, run(w, "", "user list"), EX_OK);
    assert_string_equal(w->out, "There are no users.\n");
    assert_code(w, run(w, "secret one\n", "user add Anna --password-stdin"), EX_OK);
    assert_string_equal(w->out, "Added anna@example.org.\n");
    (void)snprintf(path, sizeof path, "%s/users.yaml", w->dir);
    ASSERT_HAS(read_file(path), "anna@example.org");
    ASSERT_HAS(read_file(path), "$y$");
    ASSERT_HAS(read_file(path), "{SCRAM-SHA-256}");
    assert_null(strstr(read_file(path), "secret"));
    (void)snprintf(path, sizeof path, "%s/state/mail/example.org/anna/Maildir/new", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_code(w, run(w, "other\n", "user add anna@example.org --password-stdin"), EX_DATAERR);
    ASSERT_HAS(w->err, "is a user already");
    assert_code(w, run(w, "p\n", "user passwd anna --scheme sha512 --password-stdin"), EX_OK);
    (void)snprintf(path, sizeof path, "%s/users.yaml", w->dir);
    ASSERT_HAS(read_file(path), "$6$");
    assert_null(strstr(read_file(path), "$y$"));
    assert_code(w, run(w, "", "user list"), EX_OK);
    ASSERT_HAS(w->out, "anna@example.org");
    assert_code(w, run(w, "", "user list --json"), EX_OK);
    list = json_loads(w->out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")), "anna@example.org");
    json_decref(list);
    assert_code(w, run(w, "y\n", "user del anna"), EX_USAGE); /* no terminal: --yes is needed */
    assert_code(w, run(w, "", "user del anna --yes"), EX_OK);
    ASSERT_HAS(w->out, "state/mail/example.org/anna/Maildir");
    assert_code(w, run(w, "", "user del anna --yes"), EX_NOUSER);
    assert_int_equal(stat(w->dir, &st), 0);
}

/* The policy is looked at as it will be: an alias may wait for the very user that is added. */
static void aliases_wait_for_users(void **state)
{
    struct world *w = *state;

    write_file(w->config,
               "hostname: mail.example.org\nstate: state\nlisten: [{address: 127.0.0.1, port: 0}]\n"
               "domains: {example.org: {aliases: {all: [anna, bert], info: anna}}}\nusers_file: users.yaml\n");
    assert_code(w, run(w, "", "check"), EX_CONFIG);
    assert_code(w, run(w, "p\n", "user add anna --password-stdin"), EX_OK);
    ASSERT_HAS(w->out, "Added anna@example.org.");
    ASSERT_HAS(w->err, "there is neither a user nor an alias bert@example.org"); /* not silent about what remains */
    assert_code(w, run(w, "p\n", "user add bert --password-stdin"), EX_OK);
    assert_string_equal(w->err, "");
    assert_code(w, run(w, "", "check"), EX_OK);
    assert_code(w, run(w, "p\n", "user add info --password-stdin"), EX_DATAERR);
    /* And the other way round: who is waited for stays. */
    assert_code(w, run(w, "", "user del bert --yes"), EX_CONFIG);
    ASSERT_HAS(w->err, "bert@example.org stays");
    assert_code(w, run(w, "", "check"), EX_OK);
    /* Other mistakes are none that a user mends. */
    write_file(w->config, POLICY "users_file: users.yaml\nhostnam: x\n");
    assert_code(w, run(w, "p\n", "user add carl --password-stdin"), EX_CONFIG);
}

static void users_that_cannot_be(void **state)
{
    struct world *w = *state;

    assert_code(w, run(w, "p\n", "user add bob@elsewhere.example --password-stdin"), EX_DATAERR);
    ASSERT_HAS(w->err, "elsewhere.example is no domain of this server");
    assert_code(w, run(w, "p\n", "user add b@@x --password-stdin"), EX_DATAERR);
    assert_code(w, run(w, "\n", "user add bob --password-stdin"), EX_DATAERR); /* empty */
    assert_code(w, run(w, "p\n", "user add bob --password-stdin --scheme rot13"), EX_USAGE);
    assert_code(w, run(w, "p\n", "user add bob"), EX_USAGE); /* no terminal */
    assert_code(w, run(w, "p\n", "user passwd bob --password-stdin"), EX_NOUSER);
    write_file(w->config, POLICY "users: {carol@example.org: {password: \"$6$abc$AGL4Yg6yGkMzPC8Z6yN2oiA8DMdT8jmlKsqT3k"
                                 "hHSr5jWwuzUh9LxH6XfFTZFLb0dQh9ZdT2b6k0T7e1jKkXv1\"}}\nusers_file: users.yaml\n");
    assert_code(w, run(w, "p\n", "user passwd carol --password-stdin"), EX_DATAERR);
    ASSERT_HAS(w->err, "facteur.yaml:5");
    write_file(w->config, POLICY);
    assert_code(w, run(w, "p\n", "user add bob --password-stdin"), EX_CONFIG);
    ASSERT_HAS(w->err, "users_file: users.yaml");
}

/* --- the running server --- */

static json_t *play_status(void *ctx)
{
    (void)ctx;
    return json_pack("{ss sI s{sI sI} s[{ss si}]}", "version", "9.9", "uptime_s", (json_int_t)3720, "stalls",
                     "longest_us", (json_int_t)1500, "over_50_ms", (json_int_t)2, "listeners", "address",
                     "127.0.0.1\x1b[2J", "port", 2525);
}
static int play_reload(void *ctx, struct buf *messages)
{
    (void)ctx;
    return buf_adds(messages, "facteur.yaml:3:1: one\nfacteur.yaml:4:1: two\n") == 0 ? -EINVAL : -EIO;
}
static void play_note(void *ctx, uint64_t id)
{
    (void)ctx;
    (void)id;
}
static bool play_is_active(void *ctx, uint64_t id)
{
    const uint64_t *active = ctx;

    return *active == id;
}

#define BODY "Return-Path: <anna@example.org>\nSubject: \x1b[31mred\n\nworld\n"

static uint64_t add_message(struct queue *q, struct spool *s, size_t size)
{
    struct queue_recipient r = { .route = QUEUE_REMOTE,
                                 .address = (char *)(uintptr_t) "carol@example.com",
                                 .domain = (char *)(uintptr_t) "example.com",
                                 .due_ms = INT64_C(1) << 50,
                                 .attempts = 2,
                                 .last_reply = (char *)(uintptr_t) "451 4.3.0 later" };
    char *body = mem_alloc(size);
    struct queue_message m = { .id = queue_new_id(q),
                               .received_ms = 1000,
                               .sender = (char *)(uintptr_t) "",
                               .client = (char *)(uintptr_t) "local",
                               .size = size,
                               .wire_size = size,
                               .header_size = strlen(BODY) - 7,
                               .spooled = size > 1000,
                               .recipients = &r,
                               .count = 1 };
    struct queue_op op = { .kind = QUEUE_ADD, .message = &m, .id = m.id };
    struct link ops;
    struct err e = { 0 };
    bool good = true;

    memset(body, 'x', size);
    memcpy(body, BODY, strlen(BODY));
    if (m.spooled) {
        int fd = spool_create(s, m.id, &e);

        good = fd >= 0 && write(fd, body, size) == (ssize_t)size && spool_sync(s, fd, &e) == 0;
        close(fd);
    } else {
        m.body = body;
    }
    list_init(&ops);
    list_push(&ops, &op.link);
    good = good && queue_apply(q, &ops, &e) == 0;
    mem_free(body);
    return good ? m.id : 0;
}

enum { LARGE = 600 * 1024 };

/* In a process of its own: three messages, the second is large, the last is being delivered. */
static void serve(const struct world *w, int ready)
{
    static uint64_t active;
    struct control_env env = { .status = play_status,
                               .reload = play_reload,
                               .flushed = play_note,
                               .deleted = play_note,
                               .is_active = play_is_active,
                               .ctx = &active };
    struct control *control = NULL;
    struct err e = { 0 };

    if (loop_new(&env.loop, &e) < 0 || queue_open(w->dir, &env.queue, &e) < 0 ||
        spool_open(w->dir, &env.spool, &e) < 0 || history_open(w->dir, &env.history, &(bool){ false }, &e) < 0)
        _exit(1);
    env.pool = job_pool_new(env.loop);
    if (add_message(env.queue, env.spool, strlen(BODY)) == 0 || add_message(env.queue, env.spool, LARGE) == 0 ||
        (active = add_message(env.queue, env.spool, strlen(BODY))) == 0)
        _exit(2);
    if (control_new(&env, w->socket, &control, &e) < 0 || write(ready, "", 1) != 1)
        _exit(3);
    (void)loop_run(env.loop);
    _exit(4);
}

static void start_server(struct world *w)
{
    char octet;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    w->server = fork();
    assert_true(w->server >= 0);
    if (w->server == 0) {
        close(ends[0]);
        serve(w, ends[1]);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &octet, 1), 1);
    close(ends[0]);
}

static void without_a_server(void **state)
{
    static const char *const words[] = { "status", "reload", "queue list", "queue flush", "queue show x" };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_code(w, run(w, "", words[i]), EX_UNAVAILABLE);
        ASSERT_HAS(w->err, "no server is running with this state directory");
    }
    write_file(w->config, "nonsense: 1\n");
    assert_code(w, run(w, "", "status"), EX_CONFIG);
}

static void status_is_readable_both_ways(void **state)
{
    struct world *w = *state;
    json_t *json;

    start_server(w);
    assert_code(w, run(w, "", "status"), EX_OK);
    ASSERT_HAS(w->out, "version:              9.9\n");
    ASSERT_HAS(w->out, "uptime:               1h 2m\n");
    ASSERT_HAS(w->out, "  longest:            1.500 ms\n");
    ASSERT_HAS(w->out, "  over 50 ms:         2\n");
    ASSERT_HAS(w->out, "  address 127.0.0.1\\x1b[2J, port 2525\n");
    ASSERT_HAS(w->out, "  messages:           3\n");
    assert_code(w, run(w, "", "status --json"), EX_OK);
    json = json_loads(w->out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "queue"), "messages")), 3);
    json_decref(json);
    assert_code(w, run(w, "", "reload"), EX_CONFIG);
    ASSERT_HAS(w->err, "facteur.yaml:3:1: one\nfacteur.yaml:4:1: two\n");
}

static void fetch_ids(struct world *w, char ids[3][16])
{
    json_t *list;

    assert_code(w, run(w, "", "queue list --json"), EX_OK);
    list = json_loads(w->out, 0, NULL);
    assert_int_equal(json_array_size(list), 3);
    for (size_t i = 0; i < 3; i++)
        (void)snprintf(ids[i], 16, "%s", json_string_value(json_object_get(json_array_get(list, i), "id")));
    json_decref(list);
}

static void the_queue_is_shown(void **state)
{
    struct world *w = *state;
    char ids[3][16], words[64];
    json_t *json;

    start_server(w);
    fetch_ids(w, ids);
    assert_code(w, run(w, "", "queue list"), EX_OK);
    ASSERT_HAS(w->out, ids[0]);
    ASSERT_HAS(w->out, "to carol@example.com");
    ASSERT_HAS(w->out, "2 attempts\n       451 4.3.0 later\n");
    ASSERT_HAS(w->out, "<>  (being delivered)\n");
    ASSERT_HAS(w->out, "3 messages\n");
    (void)snprintf(words, sizeof words, "queue show %s", ids[0]);
    assert_code(w, run(w, "", words), EX_OK);
    ASSERT_HAS(w->out, "Subject: \\x1b[31mred\n");
    assert_null(strstr(w->out, "world"));
    (void)snprintf(words, sizeof words, "queue show %s --body", ids[0]);
    assert_code(w, run(w, "", words), EX_OK);
    assert_string_equal(w->out, BODY);
    (void)snprintf(words, sizeof words, "queue show %s --body", ids[1]); /* in several answers */
    assert_code(w, run(w, "", words), EX_OK);
    assert_int_equal(strlen(w->out), LARGE);
    assert_memory_equal(w->out, BODY, strlen(BODY));
    (void)snprintf(words, sizeof words, "queue show %s --json", ids[2]);
    assert_code(w, run(w, "", words), EX_OK);
    json = json_loads(w->out, 0, NULL);
    assert_true(json_is_true(json_object_get(json, "active")));
    assert_true(json_is_array(json_object_get(json, "events")));
    json_decref(json);
    assert_code(w, run(w, "", "queue show 0000000000001"), EX_NOINPUT);
    assert_code(w, run(w, "", "queue show nonsense"), EX_DATAERR);
}

static void the_queue_is_changed(void **state)
{
    struct world *w = *state;
    char ids[3][16], words[64];

    start_server(w);
    fetch_ids(w, ids);
    (void)snprintf(words, sizeof words, "queue flush %s", ids[0]);
    assert_code(w, run(w, "", words), EX_OK);
    assert_code(w, run(w, "", "queue list"), EX_OK);
    ASSERT_HAS(w->out, "due now");
    ASSERT_HAS(w->out, "due in");
    assert_code(w, run(w, "", "queue flush"), EX_OK);
    assert_code(w, run(w, "", "queue list"), EX_OK);
    assert_null(strstr(w->out, "due in"));
    assert_code(w, run(w, "", "queue delete"), EX_USAGE);
    assert_code(w, run(w, "y\n", "queue delete --all"), EX_USAGE);
    (void)snprintf(words, sizeof words, "queue delete %s", ids[2]);
    assert_code(w, run(w, "", words), EX_TEMPFAIL); /* being delivered */
    (void)snprintf(words, sizeof words, "queue delete %s 0000000000001", ids[0]);
    assert_code(w, run(w, "", words), EX_NOINPUT);
    ASSERT_HAS(w->out, "Deleted ");
    assert_code(w, run(w, "", "queue delete --all --yes"), EX_OK);
    assert_string_equal(w->out, "1 message deleted, 1 being delivered and left.\n");
}

/* What is changed is told; that the server does not like it is not hidden. */
static void a_running_server_is_told_of_users(void **state)
{
    struct world *w = *state;

    start_server(w);
    assert_code(w, run(w, "p\n", "user add bob --password-stdin"), EX_CONFIG);
    ASSERT_HAS(w->err, "facteur.yaml:4:1: two\n");
    ASSERT_HAS(w->err, "changed, but the running server refuses the new policy");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_shut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(check_says_good_or_what_is_bad),
        TEST(check_sees_a_key_of_another_certificate),
        TEST(a_users_life),
        TEST(aliases_wait_for_users),
        TEST(users_that_cannot_be),
        TEST(without_a_server),
        TEST(status_is_readable_both_ways),
        TEST(the_queue_is_shown),
        TEST(the_queue_is_changed),
        TEST(a_running_server_is_told_of_users),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
