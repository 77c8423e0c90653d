#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "facteur/base/rand.h"
#include "facteur/proto/imap_parse.h"

static bool matches(const char *pattern, const char *name)
{
    return imap_pattern_matches(slice_str(pattern), slice_str(name));
}

static void known_answers(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool want;
    } rows[] = {
        { "*", "", true },
        { "", "", true },
        { "", "a", false },
        { "%", "", true },
        { "*", "a/b/c", true },
        { "%", "a", true },
        { "%", "a/b", false },
        { "%/%", "a/b", true },
        { "%/%", "a/b/c", false },
        { "a%", "a", true },
        { "a/%", "a", false },
        { "a/%", "a/", true },
        { "a/%", "a/b", true },
        { "a/%", "a/b/c", false },
        { "a/*", "a/b/c", true },
        { "a*c", "a/b/c", true },
        { "a%c", "a/b/c", false },
        { "a%c", "abbc", true },
        { "%a*b", "xxa/yb", true },
        { "%a*b", "x/a/yb", false },
        { "*a%b", "x/a/ab", true },
        { "*a%b", "x/a/b", false },
        { "**", "a/b", true },
        { "%*", "a/b", true },
        { "*%", "a/b", true },
        { "%%", "a/b", false },
        { "a", "A", false },
        { "inbox", "INBOX", true },
        { "InB%", "INBOX", true },
        { "in/box", "INBOX", false },
        { "inbox/a", "INBOX/a", true },
        { "Inbox*", "INBOX/a", true },
        { "inbox/A", "INBOX/a", false },
        { "inboxes", "INBOXES", false },
        { "Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe", true },
        { "E*fe", "Entw\xc3\xbcrfe", true },
        { "*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (matches(rows[i].pattern, rows[i].name) != rows[i].want)
            fail_msg("%s against %s", rows[i].pattern, rows[i].name);
}

/* As the RFC puts it, tried in every way: only for short ones. */
static bool slow(const char *p, const char *n)
{
    if (*p == '\0')
        return *n == '\0';
    if (*p != '*' && *p != '%')
        return *p == *n && *n != '\0' && slow(p + 1, n + 1);
    for (;; n++) {
        if (slow(p + 1, n))
            return true;
        if (*n == '\0' || (*p == '%' && *n == '/'))
            return false;
    }
}

static void random_ones_as_tried_in_every_way(void **state)
{
    unsigned matched = 0;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        char p[9] = "", n[9] = "";

        for (size_t i = 0, len = (size_t)rand_below(8); i < len; i++)
            p[i] = "ab/*%"[rand_below(5)];
        for (size_t i = 0, len = (size_t)rand_below(8); i < len; i++)
            n[i] = "ab/"[rand_below(3)];
        if (matches(p, n) != slow(p, n))
            fail_msg("%s against %s", p, n);
        matched += slow(p, n);
    }
    assert_true(matched > 1000);
}

/* Of this process alone: what others do at the time does not count. */
static int64_t cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A46: the longest name against the worst patterns. */
static void bombs_end_soon(void **state)
{
    char name[1024], pattern[8192];
    int64_t start = cpu_us() / 1000;

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "*a"[i % 2];
    assert_false(imap_pattern_matches(slice_make(pattern, 8192), slice_make(name, 1024)));
    assert_true(imap_pattern_matches(slice_make(pattern, 2048), slice_make(name, 1024)));
    pattern[2047] = 'b';
    assert_false(imap_pattern_matches(slice_make(pattern, 2048), slice_make(name, 1024)));
    memset(pattern, '*', sizeof pattern);
    assert_true(imap_pattern_matches(slice_make(pattern, 8192), slice_make(name, 1024)));
    assert_false(imap_pattern_matches(slice_make(pattern, 8192), slice_make(pattern, 1025))); /* no name is so long */
    assert_true(cpu_us() / 1000 - start < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(random_ones_as_tried_in_every_way),
        cmocka_unit_test(bombs_end_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
