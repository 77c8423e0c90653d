#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "facteur/proto/imap_write.h"

static struct buf out;

static int begin(void **state)
{
    (void)state;
    buf_init(&out, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buf_clear(&out);
    return 0;
}

/* What has been written, as a string; and starts anew. */
static const char *written(void)
{
    const char *s = buf_cstr(&out);

    assert_int_equal(strlen(s), out.n);
    buf_reset(&out);
    return s;
}

static const char *string(struct slice s)
{
    assert_int_equal(imap_write_string(&out, s), 0);
    return written();
}

static void strings(void **state)
{
    (void)state;
    assert_string_equal(string(SLICE_LIT("")), "\"\"");
    assert_string_equal(string(SLICE_LIT("plain text")), "\"plain text\"");
    assert_string_equal(string(SLICE_LIT("a\"b\\c")), "\"a\\\"b\\\\c\"");
    assert_string_equal(string(SLICE_LIT("tab\tand\x7f")), "\"tab\tand\x7f\"");
    assert_string_equal(string(SLICE_LIT("a\r\nb")), "{4}\r\na\r\nb");
    assert_string_equal(string(SLICE_LIT("a\rb")), "{3}\r\na\rb");
    assert_string_equal(string(SLICE_LIT("a\nb")), "{3}\r\na\nb");
    assert_string_equal(string(SLICE_LIT("\xc3\xbc")), "{2}\r\n\xc3\xbc");
    assert_string_equal(string(SLICE_LIT("a\0b")), "\"a?b\"");
    assert_string_equal(string(SLICE_LIT("a\0\xff")), "{3}\r\na?\xff");

    assert_int_equal(imap_write_nstring(&out, (struct slice){ NULL, 0 }), 0);
    assert_string_equal(written(), "NIL");
    assert_int_equal(imap_write_nstring(&out, SLICE_LIT("")), 0);
    assert_string_equal(written(), "\"\"");
}

static const char *astring(const char *s)
{
    assert_int_equal(imap_write_astring(&out, slice_str(s)), 0);
    return written();
}

static void astrings(void **state)
{
    (void)state;
    assert_string_equal(astring("INBOX"), "INBOX");
    assert_string_equal(astring("a/b.c]"), "a/b.c]");
    assert_string_equal(astring(""), "\"\"");
    assert_string_equal(astring("nil"), "\"nil\"");
    assert_string_equal(astring("a b"), "\"a b\"");
    assert_string_equal(astring("a%"), "\"a%\"");
    assert_string_equal(astring("a*"), "\"a*\"");
    assert_string_equal(astring("a(b"), "\"a(b\"");
    assert_string_equal(astring("a{3}"), "\"a{3}\"");
    assert_string_equal(astring("\xc3\xbc"), "{2}\r\n\xc3\xbc");
}

static const char *mailbox(const char *s, bool utf8)
{
    assert_int_equal(imap_write_mailbox(&out, slice_str(s), utf8), 0);
    return written();
}

static void mailboxes(void **state)
{
    (void)state;
    assert_string_equal(mailbox("INBOX", false), "INBOX");
    assert_string_equal(mailbox("Sent Items", false), "\"Sent Items\"");
    assert_string_equal(mailbox("a&b", false), "a&-b");
    assert_string_equal(mailbox("a&b", true), "a&b");
    assert_string_equal(mailbox("Entw\xc3\xbcrfe", false), "Entw&APw-rfe");
    assert_string_equal(mailbox("Entw\xc3\xbcrfe", true), "\"Entw\xc3\xbcrfe\"");
    assert_string_equal(mailbox("\xc3\xbc\"", true), "\"\xc3\xbc\\\"\"");
    assert_int_equal(imap_write_mailbox(&out, SLICE_LIT("\xff"), false), -EINVAL);
    assert_int_equal(out.n, 0);
}

static const char *number(uint64_t n)
{
    assert_int_equal(imap_write_number(&out, n), 0);
    return written();
}

static void numbers(void **state)
{
    (void)state;
    assert_string_equal(number(0), "0");
    assert_string_equal(number(10), "10");
    assert_string_equal(number(UINT32_MAX), "4294967295");
    assert_string_equal(number(UINT64_MAX), "18446744073709551615");
}

static void flags(void **state)
{
    const char *const names[] = { "work", "bad name", "$Label1", NULL };

    (void)state;
    assert_int_equal(imap_write_flags(&out, 0, 0, NULL, 0, false), 0);
    assert_string_equal(written(), "()");
    assert_int_equal(imap_write_flags(&out, 63, 0, NULL, 0, true), 0);
    assert_string_equal(written(), "(\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\Recent)");
    assert_int_equal(imap_write_flags(&out, 8, 5, names, 3, false), 0);
    assert_string_equal(written(), "(\\Seen work $Label1)");
    assert_int_equal(imap_write_flags(&out, 0, UINT64_MAX, names, 4, false), 0);
    assert_string_equal(written(), "(work $Label1)");
    assert_int_equal(imap_write_flags(&out, 0, 0, NULL, 0, true), 0);
    assert_string_equal(written(), "(\\Recent)");
}

static const char *date(int64_t ms)
{
    assert_int_equal(imap_write_date(&out, ms), 0);
    return written();
}

static void dates(void **state)
{
    (void)state;
    assert_string_equal(date(0), "\" 1-Jan-1970 00:00:00 +0000\"");
    assert_string_equal(date(-5), "\" 1-Jan-1970 00:00:00 +0000\"");
    assert_string_equal(date(INT64_C(837571465000)), "\"17-Jul-1996 02:44:25 +0000\"");
    assert_string_equal(date(INT64_C(951782400999)), "\"29-Feb-2000 00:00:00 +0000\"");
    assert_string_equal(date(INT64_C(951868800000)), "\" 1-Mar-2000 00:00:00 +0000\"");
    assert_string_equal(date(INT64_C(1735689599000)), "\"31-Dec-2024 23:59:59 +0000\"");
    assert_string_equal(date(INT64_C(4107542400000)), "\" 1-Mar-2100 00:00:00 +0000\"");
    assert_string_equal(date(INT64_MAX), "\"31-Dec-9999 23:59:59 +0000\"");
}

static void envelopes(void **state)
{
    struct mime_address end_of = { .group_end = true };
    struct mime_address member = { .next = &end_of, .mailbox = SLICE_LIT("y"), .host = SLICE_LIT("z") };
    struct mime_address group = { .next = &member, .mailbox = SLICE_LIT("x"), .group_start = true };
    struct mime_address from = {
        .name = SLICE_LIT("A \"B\""), .route = SLICE_LIT("@r"), .mailbox = SLICE_LIT("a"), .host = SLICE_LIT("b")
    };
    struct mime_address nobody = { .mailbox = SLICE_LIT("root"), .host = SLICE_LIT("MISSING_DOMAIN") };
    struct mime_address nothing = { .mailbox = SLICE_LIT(""), .host = SLICE_LIT("") };
    struct mime_envelope e = { .date = SLICE_LIT("d"),
                               .subject = SLICE_LIT("a\r\n* 5 EXPUNGE"),
                               .from = &from,
                               .reply_to = &nobody,
                               .to = &group,
                               .cc = &nothing,
                               .message_id = SLICE_LIT("") };

    (void)state;
    assert_int_equal(imap_write_envelope(&out, &e), 0);
    assert_string_equal(written(), "(\"d\" {14}\r\na\r\n* 5 EXPUNGE ((\"A \\\"B\\\"\" \"@r\" \"a\" \"b\")) "
                                   "((\"A \\\"B\\\"\" \"@r\" \"a\" \"b\")) ((NIL NIL \"root\" \"MISSING_DOMAIN\")) "
                                   "((NIL NIL \"x\" NIL)(NIL NIL \"y\" \"z\")(NIL NIL NIL NIL)) "
                                   "((NIL NIL \"\" \"\")) NIL NIL \"\")");
    assert_int_equal(imap_write_envelope(&out, NULL), 0);
    assert_string_equal(written(), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
}

#define TEXT_PART .type = SLICE_LIT("text"), .subtype = SLICE_LIT("plain")

static void simple_structures(void **state)
{
    struct mime_param charset = { SLICE_LIT("CharSet"), SLICE_LIT("utf-8") };
    struct slice languages[] = { SLICE_LIT("en"), SLICE_LIT("de") };
    struct mime_part text = { TEXT_PART, .body_at = 2, .end = 10, .body_bare = 2, .body_lines = 2 };
    struct mime_part image = { .type = SLICE_LIT("image"),
                               .subtype = SLICE_LIT("png"),
                               .id = SLICE_LIT("<i>"),
                               .description = SLICE_LIT("d"),
                               .encoding = SLICE_LIT("base64"),
                               .md5 = SLICE_LIT("m"),
                               .location = SLICE_LIT("l"),
                               .languages = languages,
                               .language_count = 2,
                               .disposition = SLICE_LIT("inline"),
                               .params = { .raw = &charset, .raw_count = 1 },
                               .disposition_params = { .raw = &charset, .raw_count = 1 } };

    (void)state;
    assert_int_equal(imap_write_structure(&out, &text, false), 0);
    assert_string_equal(written(), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2)");
    text.params = (struct mime_params){ .raw = &charset, .raw_count = 1 };
    assert_int_equal(imap_write_structure(&out, &text, true), 0);
    assert_string_equal(written(),
                        "(\"text\" \"plain\" (\"CharSet\" \"utf-8\") NIL NIL \"7bit\" 10 2 NIL NIL NIL NIL)");
    assert_int_equal(imap_write_structure(&out, &image, true), 0);
    assert_string_equal(written(), "(\"image\" \"png\" (\"CharSet\" \"utf-8\") \"<i>\" \"d\" \"base64\" 0 \"m\" "
                                   "(\"inline\" (\"CharSet\" \"utf-8\")) (\"en\" \"de\") \"l\")");
    image.disposition_params.raw_count = 0;
    image.params.raw_count = 0;
    image.language_count = 0;
    assert_int_equal(imap_write_structure(&out, &image, true), 0);
    assert_string_equal(written(),
                        "(\"image\" \"png\" NIL \"<i>\" \"d\" \"base64\" 0 \"m\" (\"inline\" NIL) NIL \"l\")");
}

/* mixed(text, message(mixed(text, text)), image). */
static void nested_structures(void **state)
{
    struct mime_part image = { .type = SLICE_LIT("image"), .subtype = SLICE_LIT("png") };
    struct mime_part message = {
        .type = SLICE_LIT("message"), .subtype = SLICE_LIT("rfc822"), .message = true, .body_lines = 7, .next = &image
    };
    struct mime_envelope envelope = { .subject = SLICE_LIT("in") };
    struct mime_part inner = { .type = SLICE_LIT("multipart"),
                               .subtype = SLICE_LIT("mixed"),
                               .multipart = true,
                               .parent = &message,
                               .envelope = &envelope };
    struct mime_part inner2 = { TEXT_PART, .parent = &inner };
    struct mime_part inner1 = { TEXT_PART, .parent = &inner, .next = &inner2 };
    struct mime_part text = { TEXT_PART, .next = &message };
    struct mime_part root = {
        .type = SLICE_LIT("multipart"), .subtype = SLICE_LIT("alternative"), .multipart = true, .first = &text
    };

    (void)state;
    text.parent = message.parent = image.parent = &root;
    message.first = &inner;
    inner.first = &inner1;
#define TEXT_SAID "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)"
    assert_int_equal(imap_write_structure(&out, &root, false), 0);
    assert_string_equal(written(), "(" TEXT_SAID "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 0 "
                                   "(NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) "
                                   "(" TEXT_SAID TEXT_SAID " \"mixed\") 7)"
                                   "(\"image\" \"png\" NIL NIL NIL \"7bit\" 0) \"alternative\")");
    assert_int_equal(imap_write_structure(&out, &inner, true), 0); /* ends at its own root */
    assert_string_equal(written(),
                        "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"
                        "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"
                        " \"mixed\" NIL NIL NIL NIL)");
}

/* Every writer leaves the buf as it was when there is no room, for every amount of room. */
static void no_room(void **state)
{
    struct mime_address from = { .name = SLICE_LIT("A"), .mailbox = SLICE_LIT("a"), .host = SLICE_LIT("b") };
    struct mime_envelope e = { .subject = SLICE_LIT("\xc3\xbc"), .from = &from };
    struct mime_part text = { TEXT_PART, .envelope = &e };
    const char *const names[] = { "work" };

    (void)state;
    for (size_t max = 1; max < 60; max++) {
        struct buf small;

        buf_init(&small, max);
        assert_int_equal(buf_addc(&small, 'x'), 0);
#define NO_ROOM(need, call)                                                                                            \
    do {                                                                                                               \
        int code = (call);                                                                                             \
                                                                                                                       \
        assert_int_equal(code, max > (need) ? 0 : -ENOBUFS);                                                           \
        assert_true(code == 0 || small.n == 1);                                                                        \
        small.n = 1;                                                                                                   \
    } while (0)
        NO_ROOM(5, imap_write_string(&small, SLICE_LIT("abc")));
        NO_ROOM(7, imap_write_string(&small, SLICE_LIT("\xc3\xbc")));
        NO_ROOM(8, imap_write_mailbox(&small, SLICE_LIT("\xc3\xbc\xc3\xbc"), false));
        NO_ROOM(12, imap_write_flags(&small, 8, 1, names, 1, false));
        NO_ROOM(28, imap_write_date(&small, 0));
        NO_ROOM(3, imap_write_number(&small, 123));
        NO_ROOM(100, imap_write_envelope(&small, &e));
        NO_ROOM(100, imap_write_structure(&small, &text, true));
        buf_clear(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings, begin, end),
        cmocka_unit_test_setup_teardown(astrings, begin, end),
        cmocka_unit_test_setup_teardown(mailboxes, begin, end),
        cmocka_unit_test_setup_teardown(numbers, begin, end),
        cmocka_unit_test_setup_teardown(flags, begin, end),
        cmocka_unit_test_setup_teardown(dates, begin, end),
        cmocka_unit_test_setup_teardown(envelopes, begin, end),
        cmocka_unit_test_setup_teardown(simple_structures, begin, end),
        cmocka_unit_test_setup_teardown(nested_structures, begin, end),
        cmocka_unit_test_setup_teardown(no_room, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
