/* Every bad policy file in test/golden/conf gives the messages in its .expect file. FACTEUR_UPDATE=1 writes them anew;
 * read the difference before it is committed. */
#include "facteur/base/mem.h"
#include "facteur/conf/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_MOST = 1 << 20 };

static struct slice read_file(const char *path, char *to)
{
    FILE *f = fopen(path, "rb");
    size_t n = f != NULL ? fread(to, 1, TEXT_MOST - 1, f) : 0;

    if (f != NULL)
        (void)fclose(f);
    to[n] = '\0';
    return slice_make(to, n);
}

static void check_one(const char *name)
{
    static char text[TEXT_MOST], expected[TEXT_MOST];
    char expect_name[512];
    struct conf_problems problems;
    struct config *c = NULL;
    struct slice want, got;

    (void)snprintf(expect_name, sizeof expect_name, "%.*s.expect", (int)(strlen(name) - strlen(".yaml")), name);
    assert_int_equal(config_parse(name, read_file(name, text), &c, &problems), -EINVAL);
    assert_null(c);
    assert_true(problems.count > 0);
    got = buf_slice(&problems.text);
    if (getenv("FACTEUR_UPDATE") != NULL) {
        FILE *f = fopen(expect_name, "wb");

        assert_non_null(f);
        assert_int_equal(fwrite(got.p, 1, got.n, f), got.n);
        (void)fclose(f);
    }
    want = read_file(expect_name, expected);
    if (!slice_eq(want, got))
        fail_msg("%s: expected\n%.*s\ngot\n%.*s", name, SLICE_ARG(want), SLICE_ARG(got));
    conf_problems_clear(&problems);
}

static void test_messages(void **state)
{
    struct dirent **names;
    int count, checked = 0;

    (void)state;
    assert_int_equal(chdir(TEST_DIR "/golden/conf"), 0);
    count = scandir(".", &names, NULL, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        if (slice_iends(slice_str(names[i]->d_name), ".yaml")) {
            check_one(names[i]->d_name);
            checked++;
        }
        free(names[i]);
    }
    free(names);
    assert_true(checked >= 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_messages) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
