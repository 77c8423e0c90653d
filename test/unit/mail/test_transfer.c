#include "facteur/mail/transfer.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Whole, cut at every place, and octet by octet. */
static void assert_decodes(enum mime_encoding coding, const char *in, const char *text, bool broken)
{
    struct slice all = slice_str(in);
    struct transfer t;
    struct buf out;

    buf_init(&out, 4000);
    for (size_t cut = 0; cut <= all.n; cut++) {
        buf_reset(&out);
        transfer_init(&t, coding);
        assert_int_equal(transfer_push(&t, slice_head(all, cut), false, &out), 0);
        assert_int_equal(transfer_push(&t, slice_skip(all, cut), true, &out), 0);
        assert_string_equal(buf_cstr(&out), text);
        assert_int_equal(t.broken, broken);
    }
    buf_reset(&out);
    transfer_init(&t, coding);
    for (size_t i = 0; i < all.n; i++)
        assert_int_equal(transfer_push(&t, (struct slice){ in + i, 1 }, false, &out), 0);
    assert_int_equal(transfer_push(&t, (struct slice){ "", 0 }, true, &out), 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_clear(&out);
}

static void base64_is_read(void **state)
{
    (void)state;
    assert_decodes(MIME_BASE64, "", "", false);
    assert_decodes(MIME_BASE64, "YQ==", "a", false);
    assert_decodes(MIME_BASE64, "YWI=", "ab", false);
    assert_decodes(MIME_BASE64, "YWJj", "abc", false);
    assert_decodes(MIME_BASE64, "YW\r\nJj\nZA =\t=\r\n", "abcd", false);
    assert_decodes(MIME_BASE64, "YWJjZA", "abcd", false);     /* no padding */
    assert_decodes(MIME_BASE64, "YQ==\nYg==\n", "ab", false); /* two texts */
    assert_decodes(MIME_BASE64, "Y!W*J-j", "abc", true);      /* what is no base64 is passed over */
    assert_decodes(MIME_BASE64, "YWJjY", "abc", true);        /* six bits are no octet */
    assert_decodes(MIME_BASE64, "////", "\xff\xff\xff", false);
}

static void quoted_printable_is_read(void **state)
{
    (void)state;
    assert_decodes(MIME_QUOTED_PRINTABLE, "plain\r\ntext\n", "plain\r\ntext\n", false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "Gr=C3=bc=C3=9Fe=21",
                   "Gr\xc3\xbc\xc3\x9f"
                   "e!",
                   false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "soft=\r\nline=\nend=  \t\r\ns", "softlineends", false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "blank \t \r\nat end \nand inside x  ", "blank\r\nat end\nand inside x",
                   false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "kept=20\r\n", "kept \r\n", false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a=", "a", false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "cr\rin \r text\r", "cr\rin \r text\r", false);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a=zb", "a=zb", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a=4z", "a=4z", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a=4", "a=4", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a= b", "a= b", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a==41", "a=A", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a=\rb", "a=\rb", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "a= =41", "a= A", true);
    assert_decodes(MIME_QUOTED_PRINTABLE, "\xc3\xbc", "\xc3\xbc", false);
}

static void much_white_space_is_text(void **state)
{
    char in[TRANSFER_KEEP * 3 + 2], text[TRANSFER_KEEP * 3 + 2];

    (void)state;
    memset(in, ' ', sizeof in);
    in[sizeof in - 2] = 'x';
    in[sizeof in - 1] = '\0';
    assert_decodes(MIME_QUOTED_PRINTABLE, in, in, false);
    memcpy(text, in, sizeof in);
    in[0] = '=';
    memcpy(text, in, sizeof in);
    assert_decodes(MIME_QUOTED_PRINTABLE, in, text, true);
}

static void other_encodings_pass(void **state)
{
    (void)state;
    assert_decodes(MIME_7BIT, "a=41 \n", "a=41 \n", false);
    assert_decodes(MIME_UNKNOWN_ENCODING, "YQ==", "YQ==", false);
}

static void long_texts_are_decoded(void **state)
{
    static char in[40000];
    struct transfer t;
    struct buf out;

    (void)state;
    memset(in, 'A', sizeof in);
    buf_init(&out, 30000);
    transfer_init(&t, MIME_BASE64);
    assert_int_equal(transfer_push(&t, (struct slice){ in, sizeof in }, true, &out), 0);
    assert_int_equal(out.n, 30000);
    assert_int_equal(out.p[29999], 0);
    transfer_init(&t, MIME_BASE64);
    assert_int_equal(transfer_push(&t, SLICE_LIT("AAAA"), true, &out), -ENOBUFS);
    buf_clear(&out);
}

static void assert_encodes(enum mime_encoding coding, struct slice in, const char *text)
{
    struct transfer_out t;
    struct buf out;

    buf_init(&out, 4000);
    for (size_t cut = 0; cut <= in.n; cut++) {
        buf_reset(&out);
        transfer_out_init(&t, coding);
        assert_int_equal(transfer_out_push(&t, slice_head(in, cut), false, &out), 0);
        assert_int_equal(transfer_out_push(&t, slice_skip(in, cut), true, &out), 0);
        assert_string_equal(buf_cstr(&out), text);
    }
    buf_reset(&out);
    transfer_out_init(&t, coding);
    for (size_t i = 0; i < in.n; i++)
        assert_int_equal(transfer_out_push(&t, (struct slice){ in.p + i, 1 }, false, &out), 0);
    assert_int_equal(transfer_out_push(&t, (struct slice){ "", 0 }, true, &out), 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_clear(&out);
}

static void base64_is_written(void **state)
{
    char in[3 * TRANSFER_BASE64_LINE];

    (void)state;
    assert_encodes(MIME_BASE64, SLICE_LIT(""), "");
    assert_encodes(MIME_BASE64, SLICE_LIT("a"), "YQ==");
    assert_encodes(MIME_BASE64, SLICE_LIT("\xff\0\r\n"), "/wANCg==");
    memset(in, 0, sizeof in);
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert_encodes(MIME_BASE64, (struct slice){ in, sizeof in }, ZEROS "\r\n" ZEROS "\r\n" ZEROS);
    assert_encodes(MIME_BASE64, (struct slice){ in, TRANSFER_BASE64_LINE + 1 }, ZEROS "\r\nAA==");
}

static void quoted_printable_is_written(void **state)
{
    (void)state;
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(""), "");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT("a = b\x7f\x1f~\r\n"), "a =3D b=7F=1F~\r\n");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT("a \r\n\t\r\n \t\r\n "), "a=20\r\n=09\r\n =09\r\n=20");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT("\n\r\r\n \r \n\r"), "=0A=0D\r\n=20=0D =0A=0D");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT("--a\r\n-\r\na-"), "=2D-a\r\n=2D\r\na-");
#define TEN     "1234567890"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "12345\r\n"), SEVENTY "12345\r\n");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "123456\r\n"), SEVENTY "12345=\r\n6\r\n");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "12\xfc"), SEVENTY "12=FC");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "123\xfc"), SEVENTY "123=\r\n=FC");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "1234 \r\n"), SEVENTY "1234=\r\n=20\r\n");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "1234 5"), SEVENTY "1234 =\r\n5");
    assert_encodes(MIME_QUOTED_PRINTABLE, SLICE_LIT(SEVENTY "12345-"), SEVENTY "12345=\r\n=2D");
}

static void what_is_written_is_bounded(void **state)
{
    struct transfer_out t;
    struct buf out;

    (void)state;
    buf_init(&out, 20);
    transfer_out_init(&t, MIME_QUOTED_PRINTABLE);
    assert_int_equal(transfer_out_push(&t, SLICE_LIT("1234567890"), false, &out), -ENOBUFS);
    transfer_out_init(&t, MIME_BASE64);
    assert_int_equal(transfer_out_push(&t, SLICE_LIT(SEVENTY), false, &out), -ENOBUFS);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_read),
        cmocka_unit_test(quoted_printable_is_read),
        cmocka_unit_test(much_white_space_is_text),
        cmocka_unit_test(other_encodings_pass),
        cmocka_unit_test(long_texts_are_decoded),
        cmocka_unit_test(base64_is_written),
        cmocka_unit_test(quoted_printable_is_written),
        cmocka_unit_test(what_is_written_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
