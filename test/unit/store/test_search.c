#include "store/store_test.h"

#include "facteur/base/clock.h"
#include "facteur/mail/charset.h"
#include "facteur/store/search.h"

#include <sqlite3.h>

#define USER "anna@example.org"

static struct dir state;
static struct maildirs *maildirs;
static struct index *box;
static uint32_t inbox;
static struct index_options options;

static void open_box(void)
{
    struct index_folder f;
    struct err e = { 0 };

    if (index_open(maildirs, state.path, USER, &options, &box, &e) < 0 ||
        index_folder(box, SLICE_LIT("INBOX"), &f, &e) < 0)
        fail_msg("%s", e.text);
    inbox = f.id;
}

static int setup(void **ctx)
{
    (void)ctx;
    options =
        (struct index_options){ .keywords = 64, .folders = 100, .uid_block = 16, .search = true, .search_max = 10000 };
    dir_make(&state);
    assert_int_equal(maildirs_open(state.path, &maildirs, NULL), 0);
    assert_int_equal(maildir_make(maildirs, USER, NULL), 0);
    open_box();
    return 0;
}

static int teardown(void **ctx)
{
    (void)ctx;
    index_close(&box);
    maildirs_close(&maildirs);
    dir_remove(&state);
    return 0;
}

static void reopen(void)
{
    index_close(&box);
    open_box();
}

static void put_file(const char *name, const char *text, size_t n)
{
    char path[200];

    (void)snprintf(path, sizeof path, "mail/example.org/anna/Maildir/cur/%s", name);
    file_write(in_dir(&state, path), text, n);
    file_age(in_dir(&state, path));
}

/* A message with the next UID. */
static void put(const char *text)
{
    static unsigned n;
    char name[64];
    struct index_status s;

    (void)snprintf(name, sizeof name, "%u.M%u.x:2,S", 1700000000 + n, n);
    n++;
    put_file(name, text, strlen(text));
    while (index_status(box, inbox, &s, NULL) == MORE)
        continue;
}

static void fill(void)
{
    struct err e = { 0 };
    int r;

    while ((r = search_fill(box, inbox, &e)) == MORE)
        continue;
    if (r != DONE)
        fail_msg("%s", e.text);
}

/* The UIDs given so far that may have the text. */
static const char *find_in(enum search_field field, const char *text)
{
    static char to[400];
    struct buf folded, out;
    struct ranges found = { 0 };
    struct index_status s;
    struct err e = { 0 };
    int r;

    buf_init(&folded, 4096);
    buf_init(&out, sizeof to - 1);
    assert_int_equal(charset_fold(slice_str(text), &folded), 0);
    r = search_candidates(box, inbox, field, buf_slice(&folded), &found, &e);
    buf_clear(&folded);
    if (r == -ENOTSUP)
        return "?";
    if (r < 0)
        fail_msg("%s", e.text);
    assert_int_equal(index_status(box, inbox, &s, NULL), DONE);
    assert_true(ranges_has(&found, s.uidnext)); /* it may come and have it */
    assert_int_equal(ranges_remove(&found, s.uidnext, UINT32_MAX), 0);
    assert_int_equal(ranges_format(&found, &out), 0);
    assert_int_equal(slice_copy(buf_slice(&out), to, sizeof to), 0);
    buf_clear(&out);
    ranges_clear(&found);
    return to;
}

static const char *find(const char *text)
{
    return find_in(SEARCH_IN_ANY, text);
}

static void test_fields(void **ctx)
{
    (void)ctx;
    put("Subject: one apple\n\nbanana \"split\"\n");
    put("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: text/plain; charset=iso-8859-1\n\n\xc4rger\n");
    put("Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
        "base64\n\nQVBQTEUg8J+NjyBwaWU=\n");
    fill();
    assert_string_equal(find("apple"), "1,3");
    assert_string_equal(find_in(SEARCH_IN_HEADER, "apple"), "1");
    assert_string_equal(find_in(SEARCH_IN_BODY, "APPLE"), "3");
    assert_string_equal(find("gr\xc3\xbc\xc3\x9f"), "2");
    assert_string_equal(find("\xc3\xa4RGER"), "2");
    assert_string_equal(find("\xf0\x9f\x8d\x8f p"), "3");
    assert_string_equal(find("a \"s"), "1");
    assert_string_equal(find("\"split\""), "1");
    assert_string_equal(find("banana split"), "");
    assert_string_equal(find("ap"), "?"); /* too short to look up */
    assert_string_equal(find("\xf0\x9f\x8d\x8f "), "?");
    assert_string_equal(find("* AND"), ""); /* no syntax of FTS5's */
    assert_string_equal(find("OR NOT"), "");
}

/* What is not in the index yet may have anything. */
static void test_unknown(void **ctx)
{
    (void)ctx;
    put("Subject: a\n\nbanana\n");
    put("Subject: b\n\ncherry\n");
    assert_string_equal(find("cherry"), "1:2");
    fill();
    assert_string_equal(find("cherry"), "2");
    put("Subject: c\n\nbanana\n");
    assert_string_equal(find("cherry"), "2:3");
    reopen();
    assert_string_equal(find("cherry"), "2:3");
    fill();
    assert_string_equal(find("cherry"), "2");
    assert_string_equal(find("banana"), "1,3");
}

/* A message of which not all is in the tables is always looked into. */
static void test_cut(void **ctx)
{
    char *text = mem_zero(30000);

    (void)ctx;
    memcpy(text, "Subject: a\n\n", 12);
    memset(text + 12, 'x', 20000);
    memcpy(text + 20012, " zebra\n", 8);
    put(text);
    memcpy(text, "Subject: ", 9);
    memset(text + 9, 'y', 20000);
    memcpy(text + 20009, " zebra\n\n", 9);
    put(text);
    memcpy(text, "Content-Type: text/plain; charset=utf-8\n\n", 41); /* the limit is in the middle of a character */
    for (size_t i = 41; i < 20000; i += 3)
        memcpy(text + i, "\xe4\xb8\xad", 3);
    memcpy(text + 20003, " zebra\n", 8);
    put(text);
    put("Subject: b\n\nmonkey\n");
    fill();
    assert_string_equal(find("zebra"), "1:3");
    assert_string_equal(find("monkey"), "1:4");
    mem_free(text);
}

/* A word that is cut between two pieces, a NUL, and broken characters. */
static void test_pieces(void **ctx)
{
    char *text = mem_zero(200001);

    (void)ctx;
    options.search_max = 1000000;
    reopen();
    memcpy(text, "Subject: a\n\n", 12);
    for (size_t i = 12; i < 200000; i++)
        text[i] = "\xc3\xa4-"[i % 3];
    for (size_t i = 12; i + 7 < 200000; i += 4093)
        memcpy(text + i, "elephant", 8);
    memcpy(text + 65532, "giraffe", 7);
    memcpy(text + 131070, "giraffe", 7);
    put(text);
    put_file("1800000000.nul:2,", "Subject: b\n\nbefore\0behind\n", 26);
    fill();
    assert_string_equal(find("giraffe"), "1");
    assert_string_equal(find("elephant"), "1");
    assert_string_equal(find("behind"), "2");
    mem_free(text);
}

/* Parts of random texts are always found. */
static void test_parts_of_texts(void **ctx)
{
    static const char *const letters[] = {
        "a", "B",        "\"", "\xc3\xa4", "\xc3\x9c",     "\xe4\xb8\xad", " ", "\xf0\x9f\x8d\x8f", "*", "\xce\xa3",
        "'", "\xc4\xb0", "\t", "-",        "\xe1\xba\x9e", "\xcc\x88",     "("
    };
    struct buf texts[30];
    unsigned seed = 7;

    (void)ctx;
    for (size_t i = 0; i < 30; i++) {
        struct buf text;

        buf_init(&text, 1000);
        buf_init(&texts[i], 1000);
        assert_int_equal(buf_adds(&text, "Content-Type: text/plain; charset=utf-8\n\n"), 0);
        for (int j = 0; j < 100; j++)
            assert_int_equal(buf_adds(&text, letters[(seed = seed * 1103515245 + 12345) / 65536 % 17]), 0);
        put(buf_cstr(&text));
        assert_int_equal(buf_add(&texts[i], text.p + 41, text.n - 41), 0);
        buf_clear(&text);
    }
    fill();
    for (size_t i = 0; i < 30 * 10; i++) {
        struct slice text = buf_slice(&texts[i % 30]);
        char part[100], uid[16], found[400];
        size_t from = (seed = seed * 1103515245 + 12345) / 65536 % 60, n = 9 + i % 50;

        while (((unsigned char)text.p[from] & 0xc0) == 0x80)
            from++;
        while (from + n < text.n && ((unsigned char)text.p[from + n] & 0xc0) == 0x80)
            n++;
        assert_int_equal(slice_copy(slice_make(text.p + from, n), part, sizeof part), 0);
        (void)snprintf(uid, sizeof uid, "%zu", i % 30 + 1);
        (void)snprintf(found, sizeof found, ",%s,", find(part));
        if (strstr(found, uid) == NULL && strchr(found, ':') == NULL && strchr(found, '?') == NULL)
            fail_msg("\"%s\" of %s: %s", part, uid, found);
    }
    for (size_t i = 0; i < 30; i++)
        buf_clear(&texts[i]);
}

static uint32_t folder_with(const char *name, const char *text)
{
    struct index_folder f;
    struct index_status s;
    char path[200];

    assert_int_equal(index_create(box, slice_str(name), SPECIAL_NONE, NULL), 0);
    (void)snprintf(path, sizeof path, "mail/example.org/anna/Maildir/.%s/cur/1.x:2,", name);
    file_write(in_dir(&state, path), text, strlen(text));
    file_age(in_dir(&state, path));
    assert_int_equal(index_folder(box, slice_str(name), &f, NULL), 0);
    assert_int_equal(index_status(box, f.id, &s, NULL), DONE);
    return f.id;
}

/* Each folder for itself; and an id that comes again is not taken for the former folder. */
static void test_folders(void **ctx)
{
    uint32_t before;

    (void)ctx;
    inbox = before = folder_with("a", "Subject: a\n\nbanana\n");
    fill();
    assert_string_equal(find("banana"), "1");
    assert_string_equal(find("cherry"), "");
    assert_int_equal(index_delete(box, SLICE_LIT("a"), NULL), 0);
    reopen();
    inbox = folder_with("b", "Subject: a\n\ncherry\n");
    assert_int_equal(inbox, before);
    assert_string_equal(find("cherry"), "1");
    fill();
    assert_string_equal(find("cherry"), "1");
    assert_string_equal(find("durian"), "");
}

static void test_lost(void **ctx)
{
    (void)ctx;
    put("Subject: a\n\nbanana\n");
    fill();
    assert_string_equal(find("cherry"), "");
    index_close(&box);
    assert_int_equal(unlink(in_dir(&state, "mail/example.org/anna/index.db")), 0);
    (void)unlink(in_dir(&state, "mail/example.org/anna/index.db-wal"));
    open_box();
    while (index_status(box, inbox, &(struct index_status){ 0 }, NULL) == MORE)
        continue;
    assert_string_equal(find("cherry"), "1");
    fill();
    assert_string_equal(find("cherry"), "");
    options.search = false;
    reopen();
    fill();
    assert_string_equal(find("cherry"), "?");
}

/* Runs SQL over the closed index; the number it gives. */
static int64_t run_sql(const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;
    int64_t n = -1;

    index_close(&box);
    assert_int_equal(sqlite3_open(in_dir(&state, "mail/example.org/anna/index.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    open_box();
    return n;
}

static void test_damaged(void **ctx)
{
    (void)ctx;
    put("Subject: a\n\nbanana\n");
    put("Subject: a\n\ncherry\n");
    fill();
    (void)run_sql("UPDATE search_body_data SET block = x'00112233' WHERE id > 10");
    assert_string_equal(find("cherry"), "?");
    assert_true(index_was_rebuilt(box));
    while (index_status(box, inbox, &(struct index_status){ 0 }, NULL) == MORE)
        continue;
    fill();
    assert_string_equal(find("cherry"), "2");
    (void)run_sql("UPDATE search_done SET low = -5");
    assert_string_equal(find("cherry"), "?");
    assert_true(index_was_rebuilt(box));
}

/* What has gone stays in the tables until it is most of them. */
static void test_worn(void **ctx)
{
    enum { MESSAGES = 2100, KEPT = 20 };
    struct index_status s;
    char name[128];

    (void)ctx;
    for (int i = 0; i < MESSAGES; i++) {
        (void)snprintf(name, sizeof name, "%d.a:2,", 1700000000 + i);
        put_file(name, "Subject: a\n\nbanana\n", 20);
    }
    fill();
    assert_int_equal(run_sql("SELECT taken FROM search_count"), MESSAGES);
    for (int i = KEPT; i < MESSAGES; i++) {
        (void)snprintf(name, sizeof name, "mail/example.org/anna/Maildir/cur/%d.a,U=%d,S=20,W=23:2,", 1700000000 + i,
                       i + 1);
        assert_int_equal(unlink(in_dir(&state, name)), 0);
    }
    put("Subject: a\n\ncherry\n");
    fill();
    assert_int_equal(index_status(box, inbox, &s, NULL), DONE);
    assert_int_equal(s.messages, KEPT + 1);
    assert_int_equal(run_sql("SELECT taken FROM search_count"), KEPT + 1);
    assert_string_equal(find("cherry"), "2101");
    assert_string_equal(find("banana"), "1:20");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts_of_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_worn, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
