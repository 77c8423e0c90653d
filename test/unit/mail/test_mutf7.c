#include "facteur/mail/mutf7.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_pair(const char *utf8, const char *wire)
{
    struct buf out;

    buf_init(&out, 200);
    assert_int_equal(mutf7_encode(slice_str(utf8), &out), 0);
    assert_string_equal(buf_cstr(&out), wire);
    buf_reset(&out);
    assert_int_equal(mutf7_decode(slice_str(wire), &out), 0);
    assert_string_equal(buf_cstr(&out), utf8);
    buf_clear(&out);
}

static void every_name_has_one_form(void **state)
{
    (void)state;
    assert_pair("", "");
    assert_pair("INBOX", "INBOX");
    assert_pair("a & b ~", "a &- b ~");
    assert_pair("&&", "&-&-");
    assert_pair("Entw\xc3\xbcrfe", "Entw&APw-rfe");
    assert_pair("Papierk\xc3\xb6rbe & M\xc3\xbcll", "Papierk&APY-rbe &- M&APw-ll");
    assert_pair("~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
                "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
    assert_pair("\xc3\xa9\xc3\xa9", "&AOkA6Q-");
    assert_pair("\xc3\xa9\xc3\xa9\xc3\xa9", "&AOkA6QDp-");
    assert_pair("\xc3\xa9&", "&AOk-&-");
    assert_pair("\xf0\x9f\x93\xa7", "&2D3c5w-");
    assert_pair("\xf4\x8f\xbf\xbf", "&2,,f,w-");
    assert_pair("a\tb", "a&AAk-b");
    assert_pair("\x7f", "&AH8-");
}

static void other_forms_are_refused(void **state)
{
    static const char *const bad[] = {
        "&",          "a&b",   "&AOk",     "\xc3\xa9", "a\tb", "\x7f", "&AGE-", /* an encoded "a" */
        "&AOk-&AOk-",                                                           /* two runs */
        "&AO-",       "&A-",   "&AOkA-",   "&AOkAA-",                           /* bits over */
        "&2D0-",      "&3Oc-", "&2D0AOQ-", "&3OfYPQ-",                          /* surrogates */
        "&AOk=-",     "&AO/-", "&AOk -",   "&AOkAYQ-",
    };
    struct buf out;

    (void)state;
    buf_init(&out, 100);
    assert_int_equal(buf_adds(&out, "x"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(mutf7_decode(slice_str(bad[i]), &out), -EINVAL);
        assert_int_equal(out.n, 1);
    }
    assert_int_equal(mutf7_decode(SLICE_LIT("a\0b"), &out), -EINVAL);
    assert_int_equal(mutf7_encode(SLICE_LIT("\xff"), &out), -EINVAL);
    assert_int_equal(mutf7_encode(SLICE_LIT("\xed\xa0\x80"), &out), -EINVAL);
    assert_int_equal(mutf7_encode(SLICE_LIT("\xc3"), &out), -EINVAL);
    assert_int_equal(out.n, 1);
    buf_clear(&out);
}

static void a_full_buffer_is_left_alone(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 3);
    assert_int_equal(mutf7_encode(SLICE_LIT("ab\xc3\xa9"), &out), -ENOBUFS);
    assert_int_equal(mutf7_decode(SLICE_LIT("ab&AOk-"), &out), -ENOBUFS);
    assert_int_equal(out.n, 0);
    assert_int_equal(mutf7_decode(SLICE_LIT("a&AOk-"), &out), 0);
    assert_int_equal(out.n, 3);
    buf_clear(&out);
}

/* All characters there are, alone and between others. */
static void every_character_comes_back(void **state)
{
    struct buf name, wire, again;

    (void)state;
    buf_init(&name, 100);
    buf_init(&wire, 100);
    buf_init(&again, 100);
    for (uint32_t c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 257) {
        char text[] = { (char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 63)), (char)(0x80 | (c >> 6 & 63)),
                        (char)(0x80 | (c & 63)) };
        size_t skip = c < 0x80 ? 3 : c < 0x800 ? 2 : c < 0x10000 ? 1 : 0;

        if (c >= 0xd800 && c < 0xe000)
            continue;
        text[skip] = (char)(c < 0x80 ? c : c < 0x800 ? 0xc0 | c >> 6 : c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);
        buf_reset(&name);
        buf_reset(&wire);
        buf_reset(&again);
        assert_int_equal(buf_add(&name, text + skip, 4 - skip), 0);
        assert_int_equal(buf_adds(&name, c % 2 == 0 ? "\xc3\xa9" : "&x"), 0);
        assert_int_equal(mutf7_encode(buf_slice(&name), &wire), 0);
        assert_int_equal(mutf7_decode(buf_slice(&wire), &again), 0);
        assert_true(slice_eq(buf_slice(&name), buf_slice(&again)));
    }
    buf_clear(&name);
    buf_clear(&wire);
    buf_clear(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_one_form),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(a_full_buffer_is_left_alone),
        cmocka_unit_test(every_character_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
