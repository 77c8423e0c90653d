#include "facteur/base/codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_clear(&out);
    return 0;
}

static void assert_out(int code, const char *expected)
{
    assert_int_equal(code, 0);
    assert_string_equal(buf_cstr(&out), expected);
    buf_reset(&out);
}

/* RFC 4648 section 10 */
static void base64_vectors(void **state)
{
    static const char *const pairs[][2] = { { "", "" },
                                            { "f", "Zg==" },
                                            { "fo", "Zm8=" },
                                            { "foo", "Zm9v" },
                                            { "foob", "Zm9vYg==" },
                                            { "fooba", "Zm9vYmE=" },
                                            { "foobar", "Zm9vYmFy" } };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_out(base64_encode(slice_str(pairs[i][0]), &out), pairs[i][1]);
        assert_out(base64_decode(slice_str(pairs[i][1]), &out), pairs[i][0]);
    }
}

static void base64_is_strict(void **state)
{
    static const char *const wrong[] = { "Zg=",  "Zg",   "Zg===",    "Zm9v Zm9v", "Zm9v\n",  "Zh==",      "Zm9=",
                                         "====", "=Zg=", "Zg==Zg==", "Z-_v",      "Zm\x80v", "Zm9vYg=\r", "=" };

    (void)state;
    assert_int_equal(buf_adds(&out, "kept"), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(base64_decode(slice_str(wrong[i]), &out), -EINVAL);
    assert_int_equal(base64_decode(SLICE_LIT("Zm\0v"), &out), -EINVAL);
    assert_string_equal(buf_cstr(&out), "kept");
    out.max = 5;
    assert_int_equal(base64_decode(slice_str("Zm9v"), &out), -ENOBUFS);
    assert_int_equal(base64_encode(slice_str("f"), &out), -ENOBUFS);
    assert_string_equal(buf_cstr(&out), "kept");
    out.max = 4096;
}

static void base64_takes_every_octet(void **state)
{
    char all[256];
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t n = 0; n <= sizeof all; n++) {
        buf_reset(&text);
        buf_reset(&out);
        assert_int_equal(base64_encode(slice_make(all, n), &text), 0);
        assert_int_equal(base64_decode(buf_slice(&text), &out), 0);
        assert_true(slice_eq(buf_slice(&out), slice_make(all, n)));
    }
    buf_clear(&text);
}

static void base32_sorts_as_numbers_do(void **state)
{
    static const uint64_t numbers[] = { 0, 1, 31, 32, 1023, 1700000000000, UINT64_MAX - 1, UINT64_MAX };
    char before[14] = "", text[14];
    uint64_t n = 5;

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        base32_u64(numbers[i], text);
        assert_int_equal(strlen(text), 13);
        assert_true(strcmp(before, text) < 0);
        assert_int_equal(base32_u64_parse(slice_str(text), &n), 0);
        assert_true(n == numbers[i]);
        memcpy(before, text, sizeof text);
    }
    assert_string_equal(text, "fvvvvvvvvvvvv");
    assert_int_equal(base32_u64_parse(slice_str("g000000000000"), &n), -EINVAL);
    assert_int_equal(base32_u64_parse(slice_str("00000000000w0"), &n), -EINVAL);
    assert_int_equal(base32_u64_parse(slice_str("00000000000A0"), &n), -EINVAL);
    assert_int_equal(base32_u64_parse(slice_str("000000000000"), &n), -EINVAL);
    assert_int_equal(base32_u64_parse(SLICE_LIT("00000\0"
                                                "0000000"),
                                      &n),
                     -EINVAL);
    assert_true(n == UINT64_MAX);
}

static void xtext_both_ways(void **state)
{
    static const char *const wrong[] = { "a=b", "a b", "+4", "+", "+4G", "+00", "+0D", "+0A", "\x80", "a\tb" };

    (void)state;
    assert_out(xtext_encode(slice_str("a+b=c d\x80"), &out), "a+2Bb+3Dc+20d+80");
    assert_out(xtext_decode(slice_str("a+2Bb+3dc+20d+80"), &out), "a+b=c d\x80");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(xtext_decode(slice_str(wrong[i]), &out), -EINVAL);
    assert_int_equal(out.n, 0);
}

static void utf8_as_rfc_3629_says(void **state)
{
    static const char *const right[] = { "",
                                         "abc",
                                         "\xc2\x80",
                                         "\xdf\xbf",
                                         "\xe0\xa0\x80",
                                         "\xed\x9f\xbf",
                                         "\xee\x80\x80",
                                         "\xef\xbf\xbf",
                                         "\xf0\x90\x80\x80",
                                         "\xf4\x8f\xbf\xbf" };
    static const char *const wrong[] = { "\x80",
                                         "\xc0\x80",
                                         "\xc1\xbf",
                                         "\xc2",
                                         "\xe0\x9f\xbf",
                                         "\xed\xa0\x80",
                                         "\xe2\x82",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xff",
                                         "\xc2\x41",
                                         "\xe2\x82\x41" };

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(utf8_valid(slice_str(right[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(utf8_valid(slice_str(wrong[i])));
    assert_true(ascii_only(slice_str("a\x7f")));
    assert_false(ascii_only(slice_str("a\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(base64_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(base64_is_strict, setup, teardown),
        cmocka_unit_test_setup_teardown(base64_takes_every_octet, setup, teardown),
        cmocka_unit_test(base32_sorts_as_numbers_do),
        cmocka_unit_test_setup_teardown(xtext_both_ways, setup, teardown),
        cmocka_unit_test(utf8_as_rfc_3629_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
