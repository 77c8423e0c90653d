#include "facteur/mail/body.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_out(struct slice in, bool dot, const char *expected, bool in_line)
{
    struct buf out;

    buf_init(&out, 4096);
    for (size_t cut = 0; cut <= in.n; cut++) {
        unsigned state = 0;

        buf_reset(&out);
        assert_int_equal(body_out(&state, slice_head(in, cut), dot, &out), 0);
        assert_int_equal(body_out(&state, slice_skip(in, cut), dot, &out), 0);
        assert_string_equal(buf_cstr(&out), expected);
        assert_int_equal(body_out_in_line(state), in_line);
    }
    buf_clear(&out);
}

static void writes_crlf_and_stuffs_dots(void **state)
{
    (void)state;
    assert_out(SLICE_LIT("a\n\nb\n"), true, "a\r\n\r\nb\r\n", false);
    assert_out(SLICE_LIT(".\n..\n.a\na.\n"), true, "..\r\n...\r\n..a\r\na.\r\n", false);
    assert_out(SLICE_LIT(".\n..\n"), false, ".\r\n..\r\n", false);
    assert_out(SLICE_LIT("a"), true, "a", true);
    assert_out(SLICE_LIT(""), true, "", false);
}

/* What could smuggle a message past the next server if it were sent on as it was stored (A3). */
static void no_bare_octet_leaves(void **state)
{
    (void)state;
    assert_out(SLICE_LIT("a\r\n.\r\nb\r\n"), true, "a\r\n..\r\nb\r\n", false);
    assert_out(SLICE_LIT("a\r.\rb\n"), true, "a\r\n..\r\nb\r\n", false);
    assert_out(SLICE_LIT("a\n\r.\n"), true, "a\r\n\r\n..\r\n", false);
    assert_out(SLICE_LIT("a\r\r\n.\n"), true, "a\r\n\r\n..\r\n", false);
    assert_out(SLICE_LIT("a\r"), true, "a\r\n", false);
}

static void takes_nothing_without_room(void **state)
{
    struct buf out;
    unsigned s = 0;

    (void)state;
    buf_init(&out, 6);
    assert_int_equal(body_out(&s, SLICE_LIT(".\n.\n"), true, &out), -ENOBUFS);
    assert_int_equal(out.n, 0);
    assert_int_equal(s, 0);
    assert_int_equal(body_out(&s, SLICE_LIT(".\n"), true, &out), 0);
    assert_int_equal(out.n, 4);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_crlf_and_stuffs_dots),
        cmocka_unit_test(no_bare_octet_leaves),
        cmocka_unit_test(takes_nothing_without_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
