#include "facteur/mail/header.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_list(const char *value, int count, const char *first)
{
    struct address a[3];
    char *text;

    assert_int_equal(header_addresses(slice_str(value), a, 3), count);
    if (count <= 0)
        return;
    text = address_str(&a[0]);
    assert_string_equal(text, first);
    mem_free(text);
}

static void reads_addresses(void **state)
{
    (void)state;
    assert_list("a@example.org", 1, "a@example.org");
    assert_list(" <a@Example.org> ", 1, "a@example.org");
    assert_list("John Q. Public <a.b@example.org>", 1, "a.b@example.org");
    assert_list("\"Smith, John\" <a@example.org>, b@example.org", 2, "a@example.org");
    assert_list("\"evil@example.net\" <a@example.org>", 1, "a@example.org");
    assert_list("=?utf-8?q?=40?= (c (d) \\) ) <a@example.org> (x)", 1, "a@example.org");
    assert_list("a (c) . (d) b @ (e) example (f) . org", 1, "a.b@example.org");
    assert_list("\"a b\".c@example.org", 1, "\"a b.c\"@example.org");
    assert_list("<@one.example,@two.example:a@example.org>", 1, "a@example.org");
    assert_list("a@[192.0.2.1]", 1, "a@[192.0.2.1]");
    assert_list("Gr\xc3\xb6\xc3\x9f"
                "e <gr\xc3\xb6@example.org>",
                1, "gr\xc3\xb6@example.org");
    assert_list("friends: a@example.org, B <b@example.org>;, c@example.org", 3, "a@example.org");
    assert_list("undisclosed-recipients:;", 0, "");
    assert_list("undisclosed-recipients: ;", 0, "");
    assert_list("", 0, "");
    assert_list(",, a@example.org,,", 1, "a@example.org");
    assert_list("a@b.example, c@d.example, e@f.example, g@h.example, i@j.example", 5, "a@b.example");
    assert_list("A\n\t<a@example.org>", 1, "a@example.org");
    assert_list("a@example.org <A@example.org>", 1, "a@example.org");
}

static void refuses_what_cannot_be_read(void **state)
{
    static const char *const wrong[] = { "a",
                                         "a b@example.org",
                                         "a@",
                                         "@example.org",
                                         "<>",
                                         "<a>",
                                         "<a@example.org",
                                         "a@example.org>",
                                         "a@example.org b@example.org",
                                         "a@example.net <b@example.org>",
                                         "<a@example.org> <b@example.org>",
                                         "(a@example.org",
                                         "\"a@example.org",
                                         "a@example.org)",
                                         "a@@example.org",
                                         "a..b@example.org",
                                         ".a@example.org",
                                         "a.@example.org",
                                         "a@example..org",
                                         "a@example org",
                                         "x: y: a@example.org;;",
                                         "a@example.org; b@example.org",
                                         ": a@example.org;",
                                         "a@[192.0.2.1",
                                         "a@[192.0.2.1]x",
                                         "a@\x01.example",
                                         "a\x80@example.org",
                                         "<@one.example a@example.org>" };
    struct address a;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(header_addresses(slice_str(wrong[i]), &a, 1), -EINVAL);
    assert_int_equal(header_addresses(SLICE_LIT("a\0@example.org"), &a, 1), -EINVAL);
    assert_int_equal(header_addresses(SLICE_LIT("\0"), &a, 1), -EINVAL);
}

/* `unit` n times between `open` and `close`. */
static struct slice repeated(const char *open, const char *unit, size_t n, const char *close)
{
    size_t length = strlen(unit);
    char *p = mem_alloc(strlen(open) + n * length + strlen(close));
    char *to = p;

    memcpy(to, open, strlen(open));
    to += strlen(open);
    for (size_t i = 0; i < n; i++, to += length)
        memcpy(to, unit, length);
    memcpy(to, close, strlen(close));
    return (struct slice){ p, (size_t)(to - p) + strlen(close) };
}

/* Bombs are answered, and in a time that grows as they do (A30). */
static void bombs_take_linear_time(void **state)
{
    static const struct {
        const char *open, *unit, *close;
        size_t n;
        int count;
    } rows[] = {
        { "", "a@b.example,", "", 100000, 100000 },
        { "", "X Y <a@b.example> ,\n ", "", 50000, 50000 },
        { "x:", "a@b.example,", ";", 100000, 100000 },
        { "", "(", "", 1000000, -EINVAL },
        { "", "(c)", "a@b.example", 300000, 1 },
        { "", ",", "", 1000000, 0 },
        { "", "a ", "<a@b.example>", 500000, 1 },
        { "\"", "a", "\" <a@b.example>", 1000000, 1 },
        { "<", "@a,", ":a@b.example>", 300000, 1 },
        { "a@", "b.", "example", 500000, -EINVAL },
        { "a@", "[", "", 500000, -EINVAL },
        { "", "a:;", "", 300000, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice in = repeated(rows[i].open, rows[i].unit, rows[i].n, rows[i].close);
        int64_t before = clock_mono_ms();
        struct address a;

        assert_int_equal(header_addresses(in, &a, 1), rows[i].count);
        assert_true(clock_mono_ms() - before < 2000);
        mem_free((void *)(uintptr_t)in.p);
    }
}

static void comments_nest_within_bounds(void **state)
{
    struct slice deep = repeated("", "(", 100, "");
    char text[300];
    struct address a;

    (void)state;
    memcpy(text, deep.p, 100);
    memset(text + 100, ')', 100);
    memcpy(text + 200, "a@b.example", 11);
    assert_int_equal(header_addresses(slice_make(text, 211), &a, 1), 1);
    memmove(text + 1, text, 211);
    memmove(text + 202, text + 201, 11);
    text[201] = ')';
    assert_int_equal(header_addresses(slice_make(text, 213), &a, 1), -EINVAL);
    mem_free((void *)(uintptr_t)deep.p);
}

static void a_sole_address(void **state)
{
    static const char *const wrong[] = { "",
                                         "a@b.example",
                                         "Foo <a@b.example",
                                         "x@y.example, Foo <a@b.example>",
                                         "<a@b.example> x",
                                         "Foo <a@b.example> <c>",
                                         "Foo <>",
                                         "Foo <a>",
                                         "<@b.example>",
                                         "Foo > <a@b.example>",
                                         "\"x@y.example\" <a@b.example>" };
    static const char *const right[] = { "[Ticket 5] Foo <a@b.example>", "Foo, Inc. <a@b.example>", "<a@b.example>",
                                         "Dr. (who, Foo; < a@b.example >", "M\xc3\xbcller : \"x <a@b.example> " };
    struct address a;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(header_sole_address(slice_str(wrong[i]), &a), -EINVAL);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        assert_int_equal(header_sole_address(slice_str(right[i]), &a), 0);
        assert_string_equal(a.local, "a");
        assert_string_equal(a.domain, "b.example");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sole_address),
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(refuses_what_cannot_be_read),
        cmocka_unit_test(bombs_take_linear_time),
        cmocka_unit_test(comments_nest_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
