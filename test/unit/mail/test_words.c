#include "facteur/mail/words.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_text(struct slice value, const char *utf8)
{
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(buf_adds(&out, "!"), 0);
    assert_int_equal(words_decode(value, &out), 0);
    assert_string_equal(buf_cstr(&out) + 1, utf8);
    assert_int_equal(out.n, strlen(utf8) + 1);
    buf_clear(&out);
}

static void assert_words(const char *value, const char *utf8)
{
    assert_text(slice_str(value), utf8);
}

static void encoded_words_become_text(void **state)
{
    (void)state;
    assert_words("", "");
    assert_words("plain text", "plain text");
    assert_words("=?utf-8?q?Gr=C3=BC=c3=9Fe_!?=", "Gr\xc3\xbc\xc3\x9f"
                                                  "e !");
    assert_words("=?UTF-8?B?R3LDvMOfZQ==?= and more", "Gr\xc3\xbc\xc3\x9f"
                                                      "e and more");
    assert_words("=?iso-8859-1?Q?J=FCrgen?= <j@example.org>", "J\xc3\xbcrgen <j@example.org>");
    assert_words("=?iso-8859-1*de?Q?=FC?=", "\xc3\xbc");
    assert_words("=?x-nothing?q?=FC?=", "\xc3\xbc");
    assert_words("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac");
    assert_words("(=?utf-8?q?a?=)", "(a)");
    assert_words("=?utf-8?q?"
                 "?=",
                 "");
}

static void space_between_words_falls_away(void **state)
{
    (void)state;
    assert_words("=?utf-8?q?a?= =?utf-8?q?b?=", "ab");
    assert_words("=?utf-8?q?a?=\r\n \t=?iso-8859-1?q?b?=", "ab");
    assert_words("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b");
    assert_words("=?utf-8?q?a_?= =?utf-8?q?b?= c", "a b c");
    assert_words(" =?utf-8?q?a?= ", " a ");
    /* a character cut in two by a program that counts octets */
    assert_words("=?utf-8?q?=C3?= =?UTF-8?q?=BC?=", "\xc3\xbc");
    assert_words("=?utf-8?b?w7w=?= =?utf-8?b?w7w=?=", "\xc3\xbc\xc3\xbc");
    assert_words("=?utf-8?q?=C3?= x", "\xef\xbf\xbd x");
}

static void broken_words_stay(void **state)
{
    static const char *const broken[] = {
        "=?",       "=?utf-8",      "=?utf-8?q",      "=?utf-8?q?a",   "=?utf-8?q?a?", "=?utf-8?x?a?=",
        "=??q?a?=", "=?utf-8??a?=", "=?utf-8?qq?a?=", "=?utf 8?q?a?=", "a = b ?= c",   "=",
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_words(broken[i], broken[i]);
    assert_words("=?utf-8?q?a=?=", "a=");
    assert_words("=?utf-8?q?a=4?=", "a=4");
    assert_words("=?utf-8?q?=zz?=", "=zz");
    assert_words("=?utf-8?q?with a space?=", "with a space");
    assert_words("=?utf-8?b?YQ?=", "a");
    assert_words("=?=?utf-8?q?a?=", "=?a");
}

static void the_result_is_one_line_of_utf8(void **state)
{
    (void)state;
    assert_words("a\r\n b\n\tc\r\n", "a b c");
    assert_words("a  b \r\n \t =?utf-8?q?c__d?=", "a b c d");
    assert_words("a\nb", "a b");
    assert_words("=?utf-8?q?a=0D=0Ab=00c?=", "a b c");
    assert_words("\xfc", "\xc3\xbc");
    assert_words("\xc3\xbc =?utf-8?q?=FC?=", "\xc3\xbc \xef\xbf\xbd");
    assert_text(SLICE_LIT("a\0b"), "a b");
}

static void assert_subject(const char *subject, const char *base, bool reply)
{
    struct buf out;
    bool is_reply = !reply;

    buf_init(&out, 1000);
    assert_int_equal(words_base_subject(slice_str(subject), &out, &is_reply), 0);
    assert_string_equal(buf_cstr(&out), base);
    assert_int_equal(is_reply, reply);
    buf_clear(&out);
}

static void subjects_have_a_base(void **state)
{
    (void)state;
    assert_subject("", "", false);
    assert_subject("Lunch", "LUNCH", false);
    assert_subject("  Lunch \t  today ", "LUNCH TODAY", false);
    assert_subject("Re: Lunch", "LUNCH", true);
    assert_subject("RE : re: Fwd: FW:Lunch", "LUNCH", true);
    assert_subject("Re[2]: Lunch", "LUNCH", true);
    assert_subject("Re [x] : Lunch", "LUNCH", true);
    assert_subject("[list] Lunch", "LUNCH", false);
    assert_subject("[list] Re: [list] Lunch", "LUNCH", true);
    assert_subject("Re: [a] [b] Re: [c] Lunch", "LUNCH", true);
    assert_subject("[list]", "[LIST]", false);
    assert_subject("[a] [b]", "[B]", false);
    assert_subject("Re:", "", true);
    assert_subject("Lunch (fwd)", "LUNCH", true);
    assert_subject("Lunch (fwd) (FWD) ", "LUNCH", true);
    assert_subject("[fwd: Lunch]", "LUNCH", true);
    assert_subject("[Fwd: [fwd: Re: Lunch (fwd)]]", "LUNCH", true);
    assert_subject("[fwd:]", "", true);
    assert_subject("[fwd: Lunch", "[FWD: LUNCH", false);
    assert_subject("[ Lunch", "[ LUNCH", false);
    assert_subject("Reply", "REPLY", false);
    assert_subject("Re Lunch", "RE LUNCH", false);
    assert_subject("Re[: Lunch", "RE[: LUNCH", false);
    assert_subject("re: gr\xc3\xbc\xc3\x9f"
                   "e",
                   "GR\xc3\x9c\xc3\x9f"
                   "E",
                   true);
}

static void full_buffers_are_said(void **state)
{
    struct buf out;
    bool reply;

    (void)state;
    buf_init(&out, 3);
    assert_int_equal(buf_adds(&out, "x"), 0);
    assert_int_equal(words_decode(SLICE_LIT("=?utf-8?q?abc?="), &out), -ENOBUFS);
    assert_int_equal(words_decode(SLICE_LIT("a =?utf-8?q?abc?="), &out), -ENOBUFS);
    assert_int_equal(words_base_subject(SLICE_LIT("re: abc"), &out, &reply), -ENOBUFS);
    assert_int_equal(out.n, 1);
    assert_int_equal(words_decode(SLICE_LIT("=?utf-8?q?ab?="), &out), 0);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_words_become_text), cmocka_unit_test(space_between_words_falls_away),
        cmocka_unit_test(broken_words_stay),         cmocka_unit_test(the_result_is_one_line_of_utf8),
        cmocka_unit_test(subjects_have_a_base),      cmocka_unit_test(full_buffers_are_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
