#include "store/store_test.h"

#include "folder_name_priv.h"

struct pair {
    const char *name, *dir;
};

/* The first seven are what Dovecot 2.3 makes of these names. */
static const struct pair pairs[] = {
    { "Sent", ".Sent" },
    { "Sent/2024", ".Sent.2024" },
    { "INBOX/x", ".INBOX.x" },
    { "caf\xc3\xa9", ".caf&AOk-" },
    { "Gr\xc3\xbc\xc3\x9f"
      "e/\xc3\xa4\xc3\xb6\xc3\xbc",
      ".Gr&APwA3w-e.&AOQA9gD8-" },
    { "x&y", ".x&-y" },
    { "p*q %", ".p*q %" },
    { "a.b", ".a&AC4-b" },
    { ".a", ".&AC4-a" },
    { "a..b/c.", ".a&AC4-&AC4-b.c&AC4-" },
    { "\xc3\xa4.\xc3\xa4", ".&AOQ-&AC4-&AOQ-" },
    { "&AC4-", ".&-AC4-" },
    { "\xf0\x9f\x93\xac", ".&2D3c7A-" },
    { "...", ".&AC4-&AC4-&AC4-" },
    { "cur", ".cur" },
    { "INBOXES", ".INBOXES" },
};

static void test_round_trip(void **ctx)
{
    char dir[FOLDER_DIR + 1], name[INDEX_NAME + 1];

    (void)ctx;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(index_name_check(slice_str(pairs[i].name), NULL), 0);
        assert_int_equal(folder_name_encode(slice_str(pairs[i].name), dir), 0);
        assert_string_equal(dir, pairs[i].dir);
        assert_int_equal(folder_name_decode(slice_str(dir), name), 0);
        assert_string_equal(name, pairs[i].name);
    }
}

/* Directories that other programs made: shown as Dovecot shows them. */
static void test_foreign(void **ctx)
{
    static const struct pair foreign[] = {
        { "R\xc3\xa4", ".R\xc3\xa4" },     { "A&B", ".A&B" },     { "q&AC8-r", ".q&AC8-r" },
        { "INBOX/lower", ".inbox.lower" }, { "&AAE-", ".&AAE-" }, { "&AC4-", ".&AC4-" },
        { "&AC4-&AC4-", ".&AC4-&AC4-" },   { "a/A&B", ".a.A&B" }, { "&AOQ", ".&AOQ" },
        { "&AOQ-&AOQ-", ".&AOQ-&AOQ-" },
    };
    static const char *const skipped[] = { ".",     "..",        "...",           ".a.",    "..a",    ".a..b",
                                           ".\xff", ".a\nb",     ".\x7f",         ".INBOX", ".inbox", "a",
                                           "",      ".\xc2\x85", ".\xe2\x80\xa8", ".\xc3" };
    char name[INDEX_NAME + 1] = "untouched";

    (void)ctx;
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
        assert_int_equal(folder_name_decode(slice_str(skipped[i]), name), -EINVAL);
    assert_int_equal(folder_name_decode((struct slice){ ".a\0b", 4 }, name), -EINVAL);
    assert_string_equal(name, "untouched");
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        assert_int_equal(folder_name_decode(slice_str(foreign[i].dir), name), 0);
        assert_string_equal(name, foreign[i].name);
    }
}

static void test_normal(void **ctx)
{
    char name[INDEX_NAME + 1], dir[FOLDER_DIR + 1];

    (void)ctx;
    assert_int_equal(folder_name_normal(slice_str("inBox"), name), 0);
    assert_string_equal(name, "INBOX");
    assert_int_equal(folder_name_encode(slice_str(name), dir), 0);
    assert_string_equal(dir, ".");
    assert_int_equal(folder_name_normal(slice_str("inbox/inbox"), name), 0);
    assert_string_equal(name, "INBOX/inbox");
    assert_int_equal(folder_name_normal(slice_str("inboxes/x"), name), 0);
    assert_string_equal(name, "inboxes/x");
}

static void refused(const char *p, size_t n, const char *why)
{
    struct err e = { 0 };
    char dir[FOLDER_DIR + 1];

    assert_int_equal(index_name_check(slice_make(p, n), &e), -EINVAL);
    if (strstr(e.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    if (n <= INDEX_NAME && strcmp(why, "16 levels") != 0)
        assert_true(folder_name_encode(slice_make(p, n), dir) < 0);
}

static void test_check(void **ctx)
{
    static const char *const empty[] = { "/", "/a", "a/", "a//b", "//" };
    static const char *const dots[] = { ".", "..", "a/..", "../a", "a/../b", "a/./b" };
    static const char *const controls[] = { "a\tb", "a\r\nb", "\x01", "a\x7f", "a\xc2\x80", "a\xe2\x80\xa9" };
    char long_name[2 * INDEX_NAME];
    struct buf deep;

    (void)ctx;
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        refused(empty[i], strlen(empty[i]), "empty level");
    for (size_t i = 0; i < sizeof dots / sizeof dots[0]; i++)
        refused(dots[i], strlen(dots[i]), "cannot be the name");
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++)
        refused(controls[i], strlen(controls[i]), "control");
    refused("a\0b", 3, "control");
    refused("a\xff", 2, "UTF-8");
    refused("\xed\xa0\x80", 3, "UTF-8");
    memset(long_name, 'a', sizeof long_name);
    refused(long_name, INDEX_NAME + 1, "1024");
    refused(long_name, FOLDER_LEVEL + 1, "a level");
    refused(long_name, FOLDER_LEVEL, "together"); /* with its dot, 256 */
    assert_int_equal(index_name_check(slice_make(long_name, FOLDER_LEVEL - 1), NULL), 0);
    long_name[100] = '/';
    refused(long_name, FOLDER_LEVEL, "together");
    buf_init(&deep, 100);
    for (int i = 0; i < FOLDER_LEVELS; i++)
        assert_int_equal(buf_adds(&deep, i > 0 ? "/a" : "a"), 0);
    assert_int_equal(index_name_check(buf_slice(&deep), NULL), 0);
    assert_int_equal(buf_adds(&deep, "/a"), 0);
    refused(deep.p, deep.n, "16 levels");
    buf_clear(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
