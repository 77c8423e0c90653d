#include "store/store_test.h"

#include "facteur/base/clock.h"

#include <sqlite3.h>
#include <sys/wait.h>

static struct dir state;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    clock_thaw();
    dir_remove(&state);
    return 0;
}

static struct queue *opened(void)
{
    struct queue *q = NULL;
    struct err e = { 0 };
    int r = queue_open(state.path, &q, &e);

    if (r < 0)
        print_error("%s\n", e.text);
    assert_int_equal(r, 0);
    return q;
}

static void add(struct queue *q, uint64_t id, uint32_t count, size_t size, int64_t due)
{
    struct queue_message *m = message_make(id, count, size, due);

    assert_int_equal(add_message(q, m), 0);
    queue_message_free(&m);
}

static bool done(struct queue *q, uint64_t id, uint32_t seq)
{
    struct queue_op op = { .kind = QUEUE_DONE, .id = id, .seq = seq };

    assert_int_equal(apply_one(q, &op), 0);
    return op.message_gone;
}

static void retry(struct queue *q, uint64_t id, uint32_t seq, int64_t due)
{
    struct queue_op op = {
        .kind = QUEUE_RETRY, .id = id, .seq = seq, .attempts = 3, .due_ms = due, .text = (char *)(uintptr_t) "450 later"
    };

    assert_int_equal(apply_one(q, &op), 0);
}

/* Loads, frees, and tells what came. */
static size_t load(struct queue *q, int64_t due, size_t max, uint64_t *ids, int64_t *next)
{
    struct queue_message **all;
    size_t n;

    assert_int_equal(queue_load(q, due, max, &all, &n, next, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        if (ids != NULL)
            ids[i] = all[i]->id;
        assert_null(all[i]->body);
        assert_true(all[i]->count > 0);
        queue_message_free(&all[i]);
    }
    mem_free(all);
    return n;
}

/* Runs SQL on the closed database, as somebody with a shell would. */
static void shell(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_dir(&state, "queue.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_round_trip(void **ctx)
{
    struct queue *q = opened();
    uint64_t id = queue_new_id(q);
    struct queue_message *m;

    (void)ctx;
    add(q, id, 3, 5000, 0);
    queue_close(&q);
    q = opened();
    assert_int_equal(queue_get(q, id, true, &m, NULL), 0);
    assert_int_equal(m->received_ms, 1700000000123);
    assert_string_equal(m->sender, "sender@example.com");
    assert_string_equal(m->envid, "env");
    assert_null(m->login);
    assert_string_equal(m->client, "192.0.2.1");
    assert_int_equal(m->flags, QUEUE_8BIT);
    assert_int_equal(m->wire_size, 5010);
    assert_int_equal(m->trace_at, 4);
    assert_int_equal(m->count, 3);
    assert_false(m->spooled);
    body_check(m);
    assert_string_equal(m->recipients[0].mailbox, "anna@example.org");
    assert_string_equal(m->recipients[0].orcpt, "rfc822;anna@example.org");
    assert_string_equal(m->recipients[1].domain, "example.net");
    assert_null(m->recipients[1].mailbox);
    assert_int_equal(m->recipients[2].notify, NOTIFY_FAILURE);
    queue_message_free(&m);
    assert_int_equal(queue_get(q, id + 1, true, &m, NULL), -ENOENT);
    queue_close(&q);
}

static void test_done_and_delete(void **ctx)
{
    struct queue *q = opened();
    struct queue_counts c;

    (void)ctx;
    add(q, 100, 2, 10, 0);
    add(q, 101, 1, 10, 0);
    add(q, 102, 5, 10, 0);
    assert_false(done(q, 100, 0));
    assert_true(done(q, 100, 1));
    assert_false(done(q, 100, 1)); /* once more is no harm */
    assert_true(done(q, 101, 0));
    assert_int_equal(queue_count(q, &c, NULL), 0);
    assert_int_equal(c.messages, 1);
    assert_int_equal(c.recipients, 5);
    assert_int_equal(c.octets, 10);
    assert_int_equal(queue_delete(q, 102, NULL), 0);
    assert_int_equal(queue_delete(q, 102, NULL), -ENOENT);
    assert_int_equal(queue_count(q, &c, NULL), 0);
    assert_int_equal(c.messages + c.recipients + c.octets, 0);
    queue_close(&q);
}

static void test_windows(void **ctx)
{
    struct queue *q = opened();
    uint64_t ids[10];
    int64_t next;

    (void)ctx;
    for (uint64_t i = 0; i < 5; i++)
        add(q, 10 + i, 1, 10, 1000 + (int64_t)(4 - i) * 100); /* the later ids are due earlier */
    add(q, 20, 1, 10, 0);                                     /* its maker delivers it */
    assert_int_equal(load(q, 999, 10, NULL, &next), 0);
    assert_int_equal(next, 1000);
    assert_int_equal(load(q, 1200, 2, ids, &next), 2);
    assert_int_equal(ids[0], 14);
    assert_int_equal(ids[1], 13);
    assert_int_equal(next, 1200); /* one more is due now */
    assert_int_equal(load(q, 1200, 10, ids, &next), 3);
    assert_int_equal(next, 1300);
    retry(q, 14, 0, 5000);
    retry(q, 13, 0, 6000);
    assert_int_equal(load(q, 1200, 10, ids, &next), 1);
    assert_int_equal(load(q, 5999, 10, ids, &next), 4);
    assert_int_equal(ids[3], 14);
    assert_int_equal(next, 6000);
    queue_close(&q);

    q = opened(); /* what was in somebody's hands is left over */
    assert_int_equal(load(q, 999, 10, ids, &next), 1);
    assert_int_equal(ids[0], 20);
    assert_int_equal(next, 1200);
    add(q, 30, 1, 10, 0);
    add(q, 31, 1, 10, 0);
    assert_int_equal(load(q, 999, 10, ids, &next), 1);
    done(q, 20, 0);
    assert_int_equal(load(q, 999, 10, ids, &next), 0);
    assert_int_equal(load(q, INT64_MAX, 10, ids, &next), 5);
    assert_int_equal(next, INT64_MAX);
    queue_close(&q);

    q = opened();
    assert_int_equal(load(q, 999, 1, ids, &next), 1);
    assert_int_equal(ids[0], 30);
    assert_true(next <= 999);
    queue_close(&q);
}

static void test_only_due_recipients(void **ctx)
{
    struct queue *q = opened();
    struct queue_message **all, *m;
    size_t n;
    int64_t next;

    (void)ctx;
    add(q, 7, 4, 10, 0);
    retry(q, 7, 1, 500);
    retry(q, 7, 3, 900);
    assert_int_equal(queue_load(q, 600, 10, &all, &n, &next, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(next, 900);
    assert_int_equal(all[0]->count, 1);
    assert_int_equal(all[0]->recipients[0].seq, 1);
    assert_int_equal(all[0]->recipients[0].attempts, 3);
    assert_string_equal(all[0]->recipients[0].last_reply, "450 later");
    queue_message_free(&all[0]);
    mem_free(all);
    assert_int_equal(apply_one(q, &(struct queue_op){ .kind = QUEUE_ATTEMPT, .id = 7, .seq = 0, .attempts = 2 }), 0);
    assert_int_equal(apply_one(q, &(struct queue_op){ .kind = QUEUE_FLAGS, .id = 7, .flags = QUEUE_HELD }), 0);
    assert_int_equal(queue_get(q, 7, false, &m, NULL), 0);
    assert_null(m->body);
    assert_int_equal(m->flags, QUEUE_HELD);
    assert_int_equal(m->recipients[0].attempts, 2);
    assert_int_equal(m->recipients[3].due_ms, 900);
    queue_message_free(&m);
    queue_close(&q);
}

/* Kept by each recipient, beside what it wants to be told of. */
static void test_warned(void **ctx)
{
    struct queue *q = opened();
    struct queue_message *m = message_make(7, 2, 10, 100);
    struct queue_op op = { .kind = QUEUE_RETRY, .id = 7, .seq = 1, .due_ms = 200, .warned = true };

    (void)ctx;
    m->recipients[1].notify = NOTIFY_DELAY;
    assert_int_equal(add_message(q, m), 0);
    queue_message_free(&m);
    assert_int_equal(apply_one(q, &op), 0);
    op.warned = false; /* a later retry does not take it back */
    assert_int_equal(apply_one(q, &op), 0);
    assert_int_equal(queue_get(q, 7, false, &m, NULL), 0);
    assert_false(m->recipients[0].warned);
    assert_true(m->recipients[1].warned);
    assert_int_equal(m->recipients[1].notify, NOTIFY_DELAY);
    queue_message_free(&m);
    queue_close(&q);
}

static void test_flush(void **ctx)
{
    struct queue *q = opened();
    int64_t next;

    (void)ctx;
    add(q, 1, 1, 10, 5000);
    add(q, 2, 1, 10, 6000);
    add(q, 3, 1, 10, 7000);
    add(q, 4, 1, 10, QUEUE_HELD_DUE);
    assert_int_equal(apply_one(q, &(struct queue_op){ .kind = QUEUE_DUE, .id = 2, .due_ms = 100 }), 0);
    assert_int_equal(load(q, 100, 10, NULL, &next), 1);
    assert_int_equal(next, 5000);
    assert_int_equal(apply_one(q, &(struct queue_op){ .kind = QUEUE_DUE, .due_ms = 200 }), 0);
    assert_int_equal(load(q, 200, 10, NULL, &next), 3); /* not the one that is held */
    assert_int_equal(next, QUEUE_HELD_DUE);
    assert_int_equal(apply_one(q, &(struct queue_op){ .kind = QUEUE_DUE, .id = 4, .due_ms = 200 }), 0);
    assert_int_equal(load(q, 200, 10, NULL, &next), 4);
    queue_close(&q);
}

/* F23: only what lies too far ahead, and it is spread. */
static void test_bring_near(void **ctx)
{
    enum { FAR = 100, NOW = 50000, WITHIN = 10000 };
    static const int64_t others[] = { NOW - 1, NOW + WITHIN, NOW + WITHIN + WITHIN / 20, QUEUE_HELD_DUE };
    struct queue *q = opened();
    struct queue_op op = { .kind = QUEUE_NEAR, .due_ms = NOW, .within_ms = WITHIN };
    struct queue_message **all;
    int64_t least = INT64_MAX, most = 0;
    size_t n;

    (void)ctx;
    for (size_t i = 0; i < 4; i++)
        add(q, i + 1, 1, 10, others[i]);
    for (uint64_t i = 0; i < FAR; i++)
        add(q, 10 + i, 1, 10, NOW + (int64_t)(i + 1) * 1000000);
    assert_int_equal(apply_one(q, &op), 0);
    assert_int_equal(op.changed, FAR);
    assert_int_equal(queue_list(q, 0, 1000, &all, &n, NULL, NULL), 0);
    assert_int_equal(n, 4 + FAR);
    for (size_t i = 0; i < n; i++) {
        int64_t due = all[i]->recipients[0].due_ms;

        if (i < 4)
            assert_true(due == others[i]);
        least = i >= 4 && due < least ? due : least;
        most = i >= 4 && due > most ? due : most;
        queue_message_free(&all[i]);
    }
    mem_free(all);
    assert_true(least > NOW && most <= NOW + WITHIN && most - least > WITHIN / 2);
    queue_close(&q);
}

static int add_code(struct queue *q, uint64_t id, struct err *e)
{
    struct queue_message *m = message_make(id, 1, 100, 0);
    struct queue_op op = { .kind = QUEUE_ADD, .message = m, .id = id };
    struct link ops;
    int r;

    list_init(&ops);
    list_push(&ops, &op.link);
    r = queue_apply(q, &ops, e);
    queue_message_free(&m);
    return r;
}

static uint64_t count(void)
{
    struct queue *q = opened();
    struct queue_counts counts;

    assert_int_equal(queue_count(q, &counts, NULL), 0);
    queue_close(&q);
    return counts.messages;
}

/* F14: nothing is acknowledged into a log without a name, and what was acknowledged before is not lost with it. */
static void test_log_removed_under_us(void **ctx)
{
    struct queue *q = opened();
    struct err e = { 0 };

    (void)ctx;
    add(q, 1, 1, 100, 0);
    assert_int_equal(remove(in_dir(&state, "queue.db-wal")), 0);
    assert_int_equal(add_code(q, 2, &e), -ESTALE);
    assert_non_null(strstr(e.text, "restart"));
    file_write(in_dir(&state, "queue.db-wal"), "", 0); /* not ours */
    assert_int_equal(add_code(q, 3, &e), -ESTALE);
    assert_int_equal(remove(in_dir(&state, "queue.db-wal")), 0);
    queue_close(&q);
    assert_int_equal(count(), 1);
}

/* The same when the process is killed instead of stopped. */
static void test_log_removed_and_killed(void **ctx)
{
    int status = 0;
    pid_t child = fork();

    (void)ctx;
    if (child == 0) {
        struct queue *q = opened();
        struct err e;

        add(q, 1, 1, 100, 0);
        (void)remove(in_dir(&state, "queue.db-wal"));
        _exit(add_code(q, 2, &e) == -ESTALE ? 0 : 1);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    assert_int_equal(count(), 1);
}

static void test_database_removed_under_us(void **ctx)
{
    struct queue *q = opened();
    struct err e = { 0 };

    (void)ctx;
    add(q, 1, 1, 100, 0);
    assert_int_equal(rename(in_dir(&state, "queue.db"), in_dir(&state, "away")), 0);
    assert_int_equal(add_code(q, 2, &e), -ESTALE);
    file_write(in_dir(&state, "queue.db"), "", 0); /* another one */
    assert_int_equal(add_code(q, 3, &e), -ESTALE);
    assert_non_null(strstr(e.text, "queue.db was removed or replaced"));
    assert_int_equal(rename(in_dir(&state, "away"), in_dir(&state, "queue.db")), 0); /* put back: it goes on */
    add(q, 4, 1, 100, 0);
    assert_int_equal(remove(in_dir(&state, "queue.db")), 0);
    queue_close(&q);
    /* It is not taken for a first start: mail would be forgotten in silence. */
    assert_int_equal(queue_open(state.path, &q, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "queue.db is gone"));
}

static void test_list(void **ctx)
{
    struct queue *q = opened();
    struct queue_message **all;
    uint64_t after = 0, seen = 0;
    size_t n;

    (void)ctx;
    for (uint64_t i = 1; i <= 25; i++)
        add(q, i, 2, 100, 0);
    do {
        assert_int_equal(queue_list(q, after, 10, &all, &n, NULL, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(all[i]->id, ++seen);
            assert_int_equal(all[i]->count, 2);
            after = all[i]->id;
            queue_message_free(&all[i]);
        }
        mem_free(all);
    } while (n > 0);
    assert_int_equal(seen, 25);
    queue_close(&q);
}

static void test_all_or_nothing(void **ctx)
{
    struct queue *q = opened();
    struct queue_message *one = message_make(1, 1, 10, 0), *same = message_make(1, 1, 10, 0), *m;
    struct queue_op ops[2] = { { .kind = QUEUE_ADD, .message = one }, { .kind = QUEUE_ADD, .message = same } };
    struct link list;
    struct err e = { 0 };

    (void)ctx;
    list_init(&list);
    list_push(&list, &ops[0].link);
    list_push(&list, &ops[1].link);
    assert_int_equal(queue_apply(q, &list, &e), -EEXIST);
    assert_true(e.text[0] != '\0');
    assert_int_equal(queue_get(q, 1, false, &m, NULL), -ENOENT);
    one->count = 0; /* a message for nobody */
    assert_int_equal(add_message(q, one), -EINVAL);
    one->count = 1;
    assert_int_equal(add_message(q, one), 0);
    queue_message_free(&one);
    queue_message_free(&same);
    queue_close(&q);
}

static void test_ids(void **ctx)
{
    struct queue *q = opened();
    uint64_t last = 0, id;

    (void)ctx;
    clock_freeze(1000, 1700000000000);
    for (int i = 0; i < 1000; i++) {
        id = queue_new_id(q);
        assert_true(id > last);
        last = id;
    }
    clock_freeze(1000, 1000); /* back to 1970 */
    id = queue_new_id(q);
    assert_true(id > last);
    add(q, id, 1, 10, 0);
    assert_true(done(q, id, 0)); /* not even a row is left to tell of it */
    last = queue_new_id(q);
    queue_close(&q);
    q = opened();
    assert_true(queue_new_id(q) > last);
    queue_close(&q);
}

static void test_second_instance(void **ctx)
{
    struct queue *q = opened(), *other = NULL;
    struct err e = { 0 };
    char pid[24];

    (void)ctx;
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(queue_open(state.path, &other, &e), -EBUSY);
    assert_non_null(strstr(e.text, pid));
    add(q, 5, 1, 10, 0); /* the first is unharmed */
    queue_close(&q);
    q = opened();
    queue_close(&q);
}

static void test_newer_schema(void **ctx)
{
    struct queue *q = opened();
    struct err e = { 0 };

    (void)ctx;
    queue_close(&q);
    shell("PRAGMA user_version = 2");
    assert_int_equal(queue_open(state.path, &q, &e), -EPROTO);
    assert_non_null(strstr(e.text, "newer"));
}

static void test_damaged(void **ctx)
{
    static char zeros[8192];
    struct queue *q = opened();
    struct err e = { 0 };

    (void)ctx;
    add(q, 5, 1, 10, 0);
    queue_close(&q);
    file_write(in_dir(&state, "queue.db"),
               "this is no database, and never has been one, whatever it is called........."
               "..............................................",
               120);
    q = NULL;
    assert_int_equal(queue_open(state.path, &q, &e), -EBADMSG);
    assert_non_null(
        strstr(e.text, "queue.db is damaged: file is not a database (SQLite 26). \"facteur queue salvage\""));
    assert_non_null(strstr(e.text, state.path));
    assert_null(q);
    /* zeros in the middle, found by the check that follows an unclean end */
    assert_int_equal(unlink(in_dir(&state, "queue.db")), 0);
    q = opened();
    for (uint64_t i = 1; i < 50; i++)
        add(q, i, 1, 3000, 0);
    queue_close(&q);
    {
        int fd = open(in_dir(&state, "queue.db"), O_WRONLY);

        assert_int_equal(pwrite(fd, zeros, sizeof zeros, 4096 * 5), sizeof zeros);
        (void)close(fd);
    }
    file_write(in_dir(&state, "facteur.lock"), "1\n", 2);
    file_write(in_dir(&state, "queue.db-wal"), "", 0);
    assert_int_equal(queue_open(state.path, &q, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "facteur queue salvage"));
}

/* A child that is killed with the queue open. */
static void killed_child(uint64_t id)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct queue *q = NULL;

        if (queue_open(state.path, &q, NULL) < 0)
            _exit(1);
        add(q, id, 1, 4000, 0);
        _exit(0); /* no queue_close */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_unclean_end(void **ctx)
{
    struct queue *q;
    struct queue_message *m;
    struct err e = { 0 };

    (void)ctx;
    killed_child(77);
    q = opened();
    assert_int_equal(queue_get(q, 77, true, &m, NULL), 0);
    body_check(m);
    queue_message_free(&m);
    queue_close(&q);
    assert_int_equal(access(in_dir(&state, "queue.db-wal"), F_OK), -1);
    q = opened(); /* a clean end asks for no log */
    queue_close(&q);
    killed_child(78);
    assert_int_equal(unlink(in_dir(&state, "queue.db-wal")), 0);
    q = NULL;
    assert_int_equal(queue_open(state.path, &q, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "queue.db-wal"));
    assert_int_equal(queue_open(state.path, &q, &e), -EBADMSG); /* and it does not wear off */
    assert_int_equal(unlink(in_dir(&state, "facteur.lock")), 0);
    q = opened();
    queue_close(&q);
}

static void test_held_by_a_shell(void **ctx)
{
    struct queue *q = opened();
    sqlite3 *db;
    struct err e = { 0 };

    (void)ctx;
    queue_close(&q);
    assert_int_equal(sqlite3_open(in_dir(&state, "queue.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    q = NULL;
    assert_int_equal(queue_open(state.path, &q, &e), -EBUSY);
    assert_non_null(strstr(e.text, "shell"));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    q = opened();
    /* and the other way: while we run nobody gets in */
    assert_int_equal(sqlite3_open(in_dir(&state, "queue.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM message", NULL, NULL, NULL), SQLITE_BUSY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    add(q, 1, 1, 10, 0);
    queue_close(&q);
}

static void test_values_are_checked(void **ctx)
{
    static const char *const bad[] = {
        "UPDATE message SET size = 9223372036854775807 WHERE id = 2",
        "UPDATE message SET trace_at = 4294967295 WHERE id = 2",
        "UPDATE message SET trace_at = -1 WHERE id = 2",
        "UPDATE message SET sender = x'00ff' WHERE id = 2",
        "UPDATE message SET sender = 'a' || char(0) || 'b' WHERE id = 2",
        "UPDATE message SET flags = 'x' WHERE id = 2",
        "UPDATE message SET body = 'short' WHERE id = 2",
        "UPDATE message SET body = NULL WHERE id = 2",
        "UPDATE message SET spooled = 7 WHERE id = 2",
        "UPDATE recipient SET route = 9 WHERE message = 2 AND seq = 1",
        "UPDATE recipient SET mailbox = NULL WHERE message = 2 AND seq = 0",
        "UPDATE recipient SET domain = NULL WHERE message = 2 AND seq = 1",
        "UPDATE recipient SET notify = 99 WHERE message = 2",
        "UPDATE recipient SET due = -5 WHERE message = 2",
        "UPDATE recipient SET address = printf('%.*c', 100000, 'x') WHERE message = 2",
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct queue *q = opened();
        struct queue_message *m = NULL;
        struct err e = { 0 };
        int64_t next;

        add(q, 1, 2, 100, 0);
        add(q, 2, 2, 100, 0);
        queue_close(&q);
        shell(bad[i]);
        q = opened();
        if (queue_get(q, 2, true, &m, &e) != -EBADMSG)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(queue_get(q, 1, true, &m, NULL), 0);
        queue_message_free(&m);
        assert_true(load(q, 100, 10, NULL, &next) >= 1); /* the others go on */
        assert_int_equal(queue_delete(q, 1, NULL), 0);
        assert_int_equal(queue_delete(q, 2, NULL), 0);
        queue_close(&q);
    }
}

static void test_checkpoint(void **ctx)
{
    struct queue *q = opened();
    struct stat before, after;

    (void)ctx;
    for (uint64_t i = 1; i <= 40; i++)
        add(q, i, 1, 4000, 0);
    assert_int_equal(stat(in_dir(&state, "queue.db-wal"), &before), 0);
    assert_true(before.st_size > 40 * 4096);
    assert_int_equal(queue_checkpoint(q, 1 << 30, NULL), 0);
    assert_int_equal(queue_checkpoint(q, 4096, NULL), 0);
    add(q, 41, 1, 4000, 0);
    assert_int_equal(stat(in_dir(&state, "queue.db-wal"), &after), 0);
    assert_int_equal(after.st_size, before.st_size); /* it starts again in its old blocks */
    assert_int_equal(stat(in_dir(&state, "queue.db"), &after), 0);
    assert_int_equal(after.st_mode & 0777, 0600);
    queue_close(&q);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_done_and_delete),
        TEST(test_windows),
        TEST(test_only_due_recipients),
        TEST(test_warned),
        TEST(test_flush),
        TEST(test_list),
        TEST(test_all_or_nothing),
        TEST(test_ids),
        TEST(test_newer_schema),
        TEST(test_damaged),
        TEST(test_second_instance),
        TEST(test_unclean_end),
        TEST(test_held_by_a_shell),
        TEST(test_values_are_checked),
        TEST(test_checkpoint),
        TEST(test_bring_near),
        TEST(test_log_removed_under_us),
        TEST(test_log_removed_and_killed),
        TEST(test_database_removed_under_us),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
