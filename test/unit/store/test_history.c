#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/store/history.h"

#include <sqlite3.h>

static struct dir state;
static bool aside;

static int setup(void **ctx)
{
    (void)ctx;
    dir_make(&state);
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    dir_remove(&state);
    return 0;
}

static void write_event(struct history *h, uint64_t id, enum history_kind kind, int64_t at, const char *text)
{
    struct history_event *ev = mem_zero(sizeof *ev);
    struct link list;

    list_init(&list);
    ev->id = id;
    ev->kind = kind;
    ev->wall_ms = at;
    ev->who = mem_str("anna@example.org");
    ev->text = mem_str(text);
    list_push(&list, &ev->link);
    assert_int_equal(history_write(h, &list, NULL), 0);
    history_event_free(&ev);
    assert_true(list_empty(&list));
}

struct seen {
    int count;
    char text[10][600];
    enum history_kind kind[10];
};

static void see(void *ctx, const struct history_event *ev)
{
    struct seen *s = ctx;

    assert_in_range(s->count, 0, 9);
    (void)snprintf(s->text[s->count], sizeof s->text[0], "%s", ev->text != NULL ? ev->text : "");
    s->kind[s->count++] = ev->kind;
    assert_string_equal(ev->who, "anna@example.org");
    assert_null(ev->peer);
}

static void test_trace(void **ctx)
{
    struct history *h;
    struct seen s = { 0 };
    char longer[1000];

    (void)ctx;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(history_open(state.path, &h, &aside, NULL), 0);
    write_event(h, 7, HISTORY_RECEIVED, 1000, "first");
    write_event(h, 8, HISTORY_RECEIVED, 1001, "other");
    write_event(h, 7, HISTORY_DEFERRED, 1002, longer);
    write_event(h, 7, HISTORY_DELIVERED, 900, "a clock that was set back changes no order");
    write_event(h, 0, HISTORY_REFUSED, 1003, NULL);
    history_close(&h);
    assert_int_equal(history_open(state.path, &h, &aside, NULL), 0);
    assert_int_equal(history_show(h, 7, see, &s, NULL), 0);
    assert_int_equal(s.count, 3);
    assert_string_equal(s.text[0], "first");
    assert_int_equal(strlen(s.text[1]), 512);
    assert_int_equal(s.kind[2], HISTORY_DELIVERED);
    history_close(&h);
}

static void test_expire(void **ctx)
{
    struct history *h;
    struct seen s = { 0 };
    int64_t now = clock_wall_ms();

    (void)ctx;
    assert_int_equal(history_open(state.path, &h, &aside, NULL), 0);
    for (uint64_t i = 1; i <= 5; i++)
        write_event(h, i, HISTORY_RECEIVED, now - 1000, "old");
    write_event(h, 6, HISTORY_RECEIVED, now, "new");
    write_event(h, 7, HISTORY_RECEIVED, now + 10 * (int64_t)86400000, "from a clock that was wrong");
    assert_int_equal(history_expire(h, now - 500, 4, NULL), 4);
    assert_int_equal(history_expire(h, now - 500, 4, NULL), 2);
    assert_int_equal(history_expire(h, now - 500, 4, NULL), 0);
    assert_int_equal(history_show(h, 6, see, &s, NULL), 0);
    assert_int_equal(s.count, 1);
    history_close(&h);
}

static void test_damaged(void **ctx)
{
    static const char junk[4096] = "not a database";
    struct history *h;
    struct err e = { 0 };
    struct seen s = { 0 };

    (void)ctx;
    file_write(in_dir(&state, "history.db"), junk, sizeof junk);
    assert_int_equal(history_open(state.path, &h, &aside, &e), 0);
    assert_true(aside);
    assert_non_null(strstr(e.text, "not a database"));
    assert_int_equal(access(in_dir(&state, "history.db.damaged"), F_OK), 0);
    write_event(h, 7, HISTORY_RECEIVED, 1000, "first");
    assert_int_equal(history_show(h, 7, see, &s, NULL), 0);
    assert_int_equal(s.count, 1);
    history_close(&h);
    {
        sqlite3 *db;

        assert_int_equal(sqlite3_open(in_dir(&state, "history.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "UPDATE event SET kind = 99, text = x'00'", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
    }
    assert_int_equal(history_open(state.path, &h, &aside, &e), 0);
    assert_true(aside);
    assert_non_null(strstr(e.text, "newer")); /* a newer one is put aside as well */
    history_close(&h);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = { TEST(test_trace), TEST(test_expire), TEST(test_damaged) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
