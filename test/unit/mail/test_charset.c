#include "facteur/mail/charset.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_reads(const char *charset, struct slice in, const char *utf8)
{
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(charset_to_utf8(slice_str(charset), in, &out), 0);
    assert_string_equal(buf_cstr(&out), utf8);
    buf_reset(&out);
    for (size_t cut = 0; cut <= in.n; cut++) { /* in two pieces */
        struct charset *c = charset_open(slice_str(charset));

        if (c == NULL)
            break;
        buf_reset(&out);
        assert_int_equal(charset_push(c, slice_head(in, cut), false, &out), 0);
        assert_int_equal(charset_push(c, slice_skip(in, cut), true, &out), 0);
        assert_string_equal(buf_cstr(&out), utf8);
        charset_close(&c);
        assert_null(c);
    }
    struct charset *c = charset_open(slice_str(charset));

    buf_reset(&out);
    for (size_t i = 0; c != NULL && i < in.n; i++) /* octet by octet */
        assert_int_equal(charset_push(c, (struct slice){ in.p + i, 1 }, i + 1 == in.n, &out), 0);
    if (c != NULL && in.n > 0)
        assert_string_equal(buf_cstr(&out), utf8);
    charset_close(&c);
    buf_clear(&out);
}

static void reads_the_charsets_of_mail(void **state)
{
    (void)state;
    assert_reads("utf-8",
                 SLICE_LIT("Gr\xc3\xbc\xc3\x9f"
                           "e \xf0\x9f\x93\xa7"),
                 "Gr\xc3\xbc\xc3\x9f"
                 "e \xf0\x9f\x93\xa7");
    assert_reads("UTF8", SLICE_LIT("\xc3\xa4"), "\xc3\xa4");
    assert_reads("ISO-8859-1", SLICE_LIT("\xe4\x80"), "\xc3\xa4\xe2\x82\xac");
    assert_reads("iso_8859-15", SLICE_LIT("\xa4"), "\xe2\x82\xac");
    assert_reads("Windows-1252", SLICE_LIT("\x93x\x94\x81"), "\xe2\x80\x9cx\xe2\x80\x9d\xef\xbf\xbd");
    assert_reads("windows-1251", SLICE_LIT("\xcf\xf0"), "\xd0\x9f\xd1\x80");
    assert_reads("koi8-r", SLICE_LIT("\xf0\xd2"), "\xd0\x9f\xd1\x80");
    assert_reads("iso-8859-2", SLICE_LIT("\xb3"), "\xc5\x82");
    assert_reads("windows-1251", SLICE_LIT("\xcf\x98"), "\xd0\x9f\xef\xbf\xbd");
    assert_reads("cp866", SLICE_LIT("\x8f\xff"), "\xd0\x9f\xc2\xa0");
    assert_reads("Shift_JIS", SLICE_LIT("\x93\xfa\x96\x7b"), "\xe6\x97\xa5\xe6\x9c\xac");
    assert_reads("iso-2022-jp", SLICE_LIT("a\x1b$BF|K\\\x1b(Bb"),
                 "a\xe6\x97\xa5\xe6\x9c\xac"
                 "b");
    assert_reads("gb2312", SLICE_LIT("\xd6\xd0\xce\xc4"), "\xe4\xb8\xad\xe6\x96\x87");
    assert_reads("big5", SLICE_LIT("\xa4\xa4\xa4\xe5"), "\xe4\xb8\xad\xe6\x96\x87");
    assert_reads("ks_c_5601-1987", SLICE_LIT("\xc7\xd1"), "\xed\x95\x9c");
    assert_reads("utf-16le", SLICE_LIT("a\0=\xd8\xe7\xdc"), "a\xf0\x9f\x93\xa7");
}

static void what_is_broken_is_replaced(void **state)
{
    (void)state;
    assert_reads("utf-8",
                 SLICE_LIT("a\xff"
                           "b\xc3"),
                 "a\xef\xbf\xbd"
                 "b\xef\xbf\xbd");
    assert_reads("utf-8", SLICE_LIT("\xe2\x82x\xed\xa0\x80"), "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_reads("gb2312", SLICE_LIT("a\xd6"), "a\xef\xbf\xbd");
    assert_reads("euc-jp", SLICE_LIT("a\xffz"), "a\xef\xbf\xbdz");
    assert_reads("utf-16be", SLICE_LIT("\0a\xdc\0\0b"),
                 "a\xef\xbf\xbd"
                 "b");
}

static void without_a_charset_text_is_guessed(void **state)
{
    (void)state;
    assert_reads("", SLICE_LIT("Gr\xc3\xbc\xdf"), "Gr\xc3\xbc\xc3\x9f");
    assert_reads("us-ascii", SLICE_LIT("\x80\xc3\xa4"), "\xe2\x82\xac\xc3\xa4");
    assert_reads("x-nobody-knows", SLICE_LIT("\xe4"), "\xc3\xa4");
}

static void only_known_names_are_opened(void **state)
{
    static const char *const unknown[] = { "x-nobody-knows", "UTF-8//TRANSLIT", "../../tmp/x",
                                           "ibm1364",        "\xc3\xa4",        "utf-8\n" };
    char text[70] = "utf-8";
    struct charset *c;

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_null(charset_open(slice_str(unknown[i])));
    assert_null(charset_open(SLICE_LIT("utf\0-8")));
    memset(text + 5, '-', sizeof text - 5);
    assert_null(charset_open((struct slice){ text, 65 }));
    c = charset_open((struct slice){ text, 64 });
    assert_non_null(c);
    charset_close(&c);
    charset_close(&c);
}

static void assert_folds(const char *in, const char *folded)
{
    struct buf out;

    buf_init(&out, 100);
    assert_int_equal(charset_fold(slice_str(in), &out), 0);
    assert_string_equal(buf_cstr(&out), folded);
    buf_clear(&out);
}

static void cases_fold_to_one(void **state)
{
    (void)state;
    assert_folds("Stra\xc3\x9f"
                 "e 1",
                 "STRA\xc3\x9f"
                 "E 1");
    assert_folds("\xc3\xa4\xc3\x84\xc3\xbf\xc5\xb8", "\xc3\x84\xc3\x84\xc5\xb8\xc5\xb8");
    assert_folds("\xcf\x83\xcf\x82\xce\xa3", "\xce\xa3\xce\xa3\xce\xa3"); /* the two small sigmas */
    assert_folds("\xd0\xbf\xd0\x9f\xd1\x97", "\xd0\x9f\xd0\x9f\xd0\x87");
    assert_folds("\xd5\xa1\xd4\xb1", "\xd4\xb1\xd4\xb1");
    assert_folds("\xe1\xb2\x90\xe1\x83\x90", "\xe1\x83\x90\xe1\x83\x90"); /* Georgian */
    assert_folds("\xef\xbd\x81\xef\xbc\xa1", "\xef\xbc\xa1\xef\xbc\xa1"); /* full width */
    assert_folds("\xc7\x84\xc7\x85\xc7\x86", "\xc7\x85\xc7\x85\xc7\x85"); /* title case */
    assert_folds("\xf0\x90\x90\xa8", "\xf0\x90\x90\x80");
    assert_folds("\xe6\x97\xa5\xff", "\xe6\x97\xa5\xef\xbf\xbd");
    assert_folds("\xe2\x84\xaa", "K"); /* the Kelvin sign */
}

static void full_buffers_are_said(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 3);
    assert_int_equal(charset_to_utf8(SLICE_LIT("utf-8"), SLICE_LIT("abcd"), &out), -ENOBUFS);
    buf_reset(&out);
    assert_int_equal(charset_to_utf8(SLICE_LIT("latin1"), SLICE_LIT("\xe4\xe4"), &out), -ENOBUFS);
    buf_reset(&out);
    assert_int_equal(charset_to_utf8(SLICE_LIT("koi8-r"), SLICE_LIT("\xf0\xf0"), &out), -ENOBUFS);
    buf_reset(&out);
    assert_int_equal(charset_fold(SLICE_LIT("abcd"), &out), -ENOBUFS);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_charsets_of_mail),
        cmocka_unit_test(what_is_broken_is_replaced),
        cmocka_unit_test(without_a_charset_text_is_guessed),
        cmocka_unit_test(only_known_names_are_opened),
        cmocka_unit_test(cases_fold_to_one),
        cmocka_unit_test(full_buffers_are_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
