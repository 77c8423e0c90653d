#include "facteur/conf/userfile.h"

#include "facteur/conf/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH   "$y$j9T$L7H52iHLCxT3qacF3q6vE/$r8/aPjiTN6EIcrXHSb7av6bxsayAF4LUvnc3RV5W1HA"
#define HASH_2 "$2b$12$EHW2jGj8tAL3ye1qAMk4MuBn5c0wXlU110xY.lVQoALkLWoyZ/NIe"

static const char *const one[] = { HASH }, *const two[] = { HASH, HASH_2 }, *const other[] = { HASH_2 };
static char dir[] = "/tmp/facteur-users-XXXXXX", path[64];

static void put(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void expect(const char *text)
{
    static char got[1 << 16];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(got, 1, sizeof got - 1, f);
    got[n] = '\0';
    (void)fclose(f);
    assert_string_equal(got, text);
}

/* The loader takes the file, and it has `count` users. */
static void expect_loads(size_t count)
{
    char main_file[80];
    struct conf_problems problems;
    struct config *c = NULL;
    static const char text[] = "hostname: mail.example.org\ndomains: {example.org: }\nusers_file: users.yaml\n";

    (void)snprintf(main_file, sizeof main_file, "%s/facteur.yaml", dir);
    if (config_parse(main_file, SLICE_LIT(text), &c, &problems) < 0)
        fail_msg("%s", buf_cstr(&problems.text));
    assert_int_equal(c->users.count, count);
    conf_problems_clear(&problems);
    config_unref(&c);
}

static int set_up(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void test_first_user(void **state)
{
    struct err e;
    struct stat st;

    (void)state;
    assert_int_equal(userfile_add(path, "Anna@Example.org", one, 1, &e), 0);
    expect("# The users that \"facteur user\" keeps. Written as in \"users\" of the policy file;\n"
           "# edit it as you like, comments stay.\n"
           "anna@example.org:\n  password: \"" HASH "\"\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(userfile_add(path, "anna@EXAMPLE.ORG", one, 1, &e), -EEXIST);
    assert_non_null(strstr(e.text, "anna@example.org is there already"));
    assert_int_equal(userfile_add(path, "ben@example.org", two, 2, &e), 0);
    assert_int_equal(userfile_add(path, "#1'?@example.org", one, 1, &e), 0);
    expect_loads(3);
}

static void test_comments_and_order_stay(void **state)
{
    struct err e;

    (void)state;
    put("# office\n\n  carl@example.org:   # the boss\n    quota: 1 GiB # enough\n  # accounting\n"
        "  ben@example.org: {services: [imap]} # IMAP\n\n# end");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(userfile_add(path, "anna@example.org", one, 1, &e), 0);
    expect("# office\n\n  carl@example.org:   # the boss\n    quota: 1 GiB # enough\n  # accounting\n"
           "  ben@example.org: {services: [imap]} # IMAP\n\n# end\n"
           "  anna@example.org:\n    password: \"" HASH "\"\n");
    assert_int_equal(userfile_set_password(path, "ben@example.org", one, 1, &e), 0);
    assert_int_equal(userfile_set_password(path, "carl@example.org", other, 1, &e), 0);
    assert_int_equal(userfile_set_password(path, "anna@example.org", two, 2, &e), 0);
    expect("# office\n\n  carl@example.org:   # the boss\n    password: \"" HASH_2 "\"\n    quota: 1 GiB # enough\n"
           "  # accounting\n"
           "  ben@example.org: {password: \"" HASH "\", services: [imap]} # IMAP\n\n# end\n"
           "  anna@example.org:\n    password: [\"" HASH "\", \"" HASH_2 "\"]\n");
    expect_loads(3);
    assert_int_equal(userfile_delete(path, "ben@example.org", &e), 0);
    assert_int_equal(userfile_delete(path, "anna@example.org", &e), 0);
    expect("# office\n\n  carl@example.org:   # the boss\n    password: \"" HASH_2 "\"\n    quota: 1 GiB # enough\n"
           "  # accounting\n\n# end\n");
    assert_int_equal(userfile_delete(path, "carl@example.org", &e), 0);
    expect("# office\n\n  # accounting\n\n# end\n");
    expect_loads(0);
}

static void test_forms_of_a_password(void **state)
{
    static const char *const before[] = {
        "anna@example.org:\n",
        "anna@example.org: ~\n",
        "anna@example.org: {}\n",
        "anna@example.org:\n  password:\n  - \"" HASH_2 "\"\n  - \"" HASH_2 "\"\n",
        "anna@example.org:\n  password:\n    - \"" HASH_2 "\"\n",
        "anna@example.org: {password: '" HASH_2 "'}\n",
        "anna@example.org: {password: {file: x}, quota: 0}\n",
        "anna@example.org:\n  password:\n  quota: 0\n",
        "\xef\xbb\xbf# \xc3\xa4\nanna@example.org:\r\n  quota: 0\r\n",
        "\"anna@example.org\":\n  password: \"" HASH_2 "\" # old\n  enabled: true\n",
        "anna@example.org:",
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        static char text[4096];
        FILE *f;

        put(before[i]);
        if (userfile_set_password(path, "anna@example.org", one, 1, &e) < 0)
            fail_msg("%s: %s", before[i], e.text);
        expect_loads(1);
        f = fopen(path, "r");
        assert_non_null(f);
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        (void)fclose(f);
        assert_non_null(strstr(text, HASH));
        assert_null(strstr(text, HASH_2));
        assert_true(strstr(before[i], "quota") == NULL || strstr(text, "quota: 0") != NULL);
    }
}

static void test_refusals_change_nothing(void **state)
{
    static const char flow[] = "{anna@example.org: {quota: 0}}\n", broken[] = "anna@example.org: {quota: 0\n";
    static const char *const plain[] = { "geheim" }, *const injected[] = { HASH "\"\nroot@example.org: \"" };
    struct err e;

    (void)state;
    put(flow);
    assert_int_equal(userfile_add(path, "ben@example.org", one, 1, &e), -EINVAL);
    assert_int_equal(userfile_delete(path, "anna@example.org", &e), -EINVAL);
    expect(flow);
    put(broken);
    assert_int_equal(userfile_add(path, "ben@example.org", one, 1, &e), -EINVAL);
    assert_non_null(strstr(e.text, "users.yaml:2:1"));
    expect(broken);
    put("anna@example.org:\n");
    assert_int_equal(userfile_set_password(path, "ben@example.org", one, 1, &e), -ENOENT);
    assert_int_equal(userfile_delete(path, "ben@example.org", &e), -ENOENT);
    assert_int_equal(userfile_add(path, "ben", one, 1, &e), -EINVAL);
    assert_int_equal(userfile_add(path, "a b@example.org", one, 1, &e), -EINVAL);
    assert_int_equal(userfile_add(path, "\"a\\\"b\"@example.org", one, 1, &e), -EINVAL);
    assert_int_equal(userfile_add(path, "ben@example.org", plain, 1, &e), -EINVAL);
    assert_int_equal(userfile_add(path, "ben@example.org", injected, 1, &e), -EINVAL);
    assert_int_equal(userfile_add(path, "ben@example.org", one, 0, &e), -EINVAL);
    assert_int_equal(userfile_delete("/nonexistent/users.yaml", "ben@example.org", &e), -ENOENT);
    expect("anna@example.org:\n");
}

/* A link to the file stays one, and nothing is left beside it. */
static void test_links_and_leftovers(void **state)
{
    char link_name[80];
    struct err e;
    struct stat st;
    struct dirent **names;
    int count;

    (void)state;
    put("anna@example.org:\n");
    (void)snprintf(link_name, sizeof link_name, "%s/link", dir);
    assert_int_equal(symlink(path, link_name), 0);
    assert_int_equal(userfile_add(link_name, "ben@example.org", one, 1, &e), 0);
    assert_int_equal(lstat(link_name, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_loads(2);
    (void)unlink(link_name);
    count = scandir(dir, &names, NULL, alphasort);
    assert_int_equal(count, 3); /* ".", "..", the file */
    while (count > 0)
        free(names[--count]);
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_first_user, set_up),
        cmocka_unit_test_setup(test_comments_and_order_stay, set_up),
        cmocka_unit_test_setup(test_forms_of_a_password, set_up),
        cmocka_unit_test_setup(test_refusals_change_nothing, set_up),
        cmocka_unit_test_setup(test_links_and_leftovers, set_up),
    };
    int failed;

    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    (void)snprintf(path, sizeof path, "%s/users.yaml", dir);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(dir);
    return failed;
}
