#include "facteur/mail/header.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct header h;

static int setup(void **state)
{
    (void)state;
    header_init(&h);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    header_clear(&h);
    return 0;
}

/* Feeds `in` in pieces; what is left after the header, with the spill before it, goes to body. The result's code. */
static int run(struct slice in, size_t first, size_t size, struct buf *body)
{
    size_t at = 0, used = 0;
    int code = MORE;

    header_clear(&h);
    buf_reset(body);
    while (at < in.n && code == MORE) {
        size_t n = at == 0 && first > 0 ? first : size;

        n = n > in.n - at ? in.n - at : n;
        code = header_push(&h, (struct slice){ in.p + at, n }, &used);
        at += used;
    }
    if (code == MORE)
        code = header_end(&h);
    if (code == 0) {
        assert_int_equal(buf_add(body, h.spill.p, h.spill.n), 0);
        assert_int_equal(buf_add(body, in.p + at, in.n - at), 0);
    }
    return code;
}

static void assert_split(struct slice in, bool broken, size_t count, const char *text, const char *rest)
{
    struct buf body;

    buf_init(&body, 4096);
    for (size_t cut = 0; cut <= in.n; cut++) {
        assert_int_equal(run(in, cut, cut == 0 ? 1 : in.n, &body), DONE);
        assert_true(h.complete);
        assert_int_equal(h.broken, broken);
        assert_int_equal(h.count, count);
        assert_true(slice_is(buf_slice(&h.text), text));
        assert_string_equal(buf_cstr(&body), rest);
    }
    buf_clear(&body);
}

static void finds_the_end(void **state)
{
    (void)state;
    assert_split(SLICE_LIT("A: 1\nB: 2\n 3\n\nbody\n"), false, 2, "A: 1\nB: 2\n 3\n", "body\n");
    assert_split(SLICE_LIT("A: 1\r\nB: 2\r\n\tx\r\n\r\nbody\r\n"), false, 2, "A: 1\nB: 2\n\tx\n", "body\r\n");
    assert_split(SLICE_LIT("\nbody\n"), false, 0, "", "body\n");
    assert_split(SLICE_LIT("A: 1\n"), false, 1, "A: 1\n", "");
    assert_split(SLICE_LIT("A: 1\nB: 2"), false, 2, "A: 1\nB: 2\n", "");
    assert_split(SLICE_LIT(""), false, 0, "", "");
    assert_split(SLICE_LIT("A:\n \n\nx"), false, 1, "A:\n \n", "x"); /* a fold of space alone is not the end */
}

static void what_is_no_field_is_the_body(void **state)
{
    (void)state;
    assert_split(SLICE_LIT("A: 1\nno field\nB: 2\n"), true, 1, "A: 1\n", "no field\nB: 2\n");
    assert_split(SLICE_LIT("no field\r\nx\r\n"), true, 0, "", "no field\r\nx\r\n");
    assert_split(SLICE_LIT(" fold first\nA: 1\n"), true, 0, "", " fold first\nA: 1\n");
    assert_split(SLICE_LIT("A: 1\nB\xc3\xa4: 2\n"), true, 1, "A: 1\n", "B\xc3\xa4: 2\n");
    assert_split(SLICE_LIT("A: 1\n: 2\n"), true, 1, "A: 1\n", ": 2\n");
    assert_split(SLICE_LIT("A: 1\nlast"), true, 1, "A: 1\n", "last");
    assert_split(SLICE_LIT("From me Mon Jan 1\nA: 1\n"), true, 0, "", "From me Mon Jan 1\nA: 1\n");
}

static void gives_fields_and_values(void **state)
{
    struct buf value;

    (void)state;
    buf_init(&value, 1024);
    assert_int_equal(
        run(SLICE_LIT("Subject: a\n\tb\n  c \nsubject \t: second\nTo:x\nEmpty:\nFold:\n one\n\n"), 0, 999, &value), 0);
    assert_int_equal(h.count, 5);
    assert_int_equal(header_count(&h, "SUBJECT"), 2);
    assert_int_equal(header_count(&h, "From"), 0);
    assert_null(header_find(&h, "Subject", 2));
    assert_true(slice_is(header_find(&h, "subject", 1)->name, "subject"));
    assert_true(slice_is(header_find(&h, "subject", 0)->all, "Subject: a\n\tb\n  c \n"));
    assert_int_equal(header_value(header_find(&h, "Subject", 0), &value), 0);
    assert_string_equal(buf_cstr(&value), "a\tb  c");
    assert_int_equal(header_value(header_find(&h, "Subject", 1), &value), 0);
    assert_string_equal(buf_cstr(&value), "second");
    assert_int_equal(header_value(header_find(&h, "Empty", 0), &value), 0);
    assert_string_equal(buf_cstr(&value), "");
    assert_int_equal(header_value(header_find(&h, "Fold", 0), &value), 0);
    assert_string_equal(buf_cstr(&value), "one");
    value.max = 2;
    assert_int_equal(header_value(header_find(&h, "Subject", 1), &value), -ENOBUFS);
    buf_clear(&value);
}

/* Pushes `line` until it is refused; returns how often it was taken. */
static size_t push_until_refused(struct slice line, size_t most)
{
    size_t used;

    for (size_t i = 0; i < most; i++) {
        int code = header_push(&h, line, &used);

        if (code == -EMSGSIZE)
            return i;
        assert_int_equal(code, MORE);
    }
    return most;
}

static void is_bounded(void **state)
{
    char *long_line = mem_alloc(1000);
    size_t used;

    (void)state;
    assert_int_equal(push_until_refused(SLICE_LIT("A: 1\n"), 20000), LIMIT_HEADER_FIELDS);
    header_clear(&h);
    memset(long_line, 'x', 1000);
    assert_int_equal(push_until_refused(slice_make(long_line, 1000), 2000), LIMIT_HEADER_FIELD / 1000);
    header_clear(&h);
    memset(long_line, ' ', 999);
    long_line[999] = '\n';
    assert_int_equal(header_push(&h, SLICE_LIT("A:\n"), &used), MORE);
    assert_int_equal(push_until_refused(slice_make(long_line, 1000), 2000), (LIMIT_HEADER_FIELD - 3) / 1000);
    header_clear(&h);
    long_line[0] = 'A';
    long_line[1] = ':';
    assert_int_equal(push_until_refused(slice_make(long_line, 1000), 2000), LIMIT_HEADER / 1000);
    mem_free(long_line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_field_is_the_body, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_fields_and_values, setup, teardown),
        cmocka_unit_test_setup_teardown(is_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
