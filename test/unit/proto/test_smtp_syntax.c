#include "facteur/proto/smtp_syntax.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int parse_mail(const char *text, struct smtp_mail *ret, struct verdict *why)
{
    return smtp_parse_mail(slice_str(text), 1000, ret, why);
}

static int parse_rcpt(const char *text, bool utf8, struct smtp_rcpt *ret, struct verdict *why)
{
    return smtp_parse_rcpt(slice_str(text), utf8, ret, why);
}

static void mail(void **state)
{
    struct smtp_mail m;
    struct verdict why;

    (void)state;
    assert_int_equal(parse_mail("FROM:<a@example.net>", &m, &why), 0);
    assert_string_equal(m.reverse_path.local, "a");
    assert_string_equal(m.reverse_path.domain, "example.net");
    assert_int_equal(m.size, 0);
    assert_int_equal(m.body, SMTP_BODY_7BIT);
    assert_int_equal(m.ret, SMTP_RET_UNSET);
    assert_false(m.utf8);
    assert_string_equal(m.envid, "");

    assert_int_equal(
        parse_mail("from:  <>  size=1000 body=binarymime SMTPUTF8 ret=full ENVID=QQ+2B1 AUTH=a+3Db ", &m, &why), 0);
    assert_true(address_is_null(&m.reverse_path));
    assert_int_equal(m.size, 1000);
    assert_int_equal(m.body, SMTP_BODY_BINARY);
    assert_int_equal(m.ret, SMTP_RET_FULL);
    assert_true(m.utf8);
    assert_string_equal(m.envid, "QQ+1");

    assert_int_equal(parse_mail("FROM:<a@[192.0.2.1]> BODY=8BITMIME RET=HDRS", &m, &why), 0);
    assert_true(m.reverse_path.literal);
    assert_int_equal(m.body, SMTP_BODY_8BIT);
    assert_int_equal(m.ret, SMTP_RET_HDRS);
    assert_int_equal(smtp_parse_mail(SLICE_LIT("FROM:<> SIZE=18446744073709551615"), 0, &m, &why), 0);
    assert_true(m.size == UINT64_MAX);
}

/* The reply to each kind of mistake; *ret stays as it was. */
static void refused(void **state)
{
    static const struct {
        const char *text, *why;
    } mails[] = {
        { "", "501 5.5.4" },
        { "FROM", "501 5.5.4" },
        { "FROM <a@example.net>", "501 5.5.4" },
        { "FROM:", "501 5.1.7" },
        { "FROM:<a@example.net>SIZE=1", "501 5.1.7" },
        { "FROM:<a b@example.net>", "501 5.1.7" },
        { "FROM:<> SIZE=1001", "552 5.3.4" },
        { "FROM:<> SIZE=99999999999999999999999", "552 5.3.4" },
        { "FROM:<> SIZE=1 BODY=7BIT SIZE=1", "501 5.5.4" },
        { "FROM:<> SIZE=1x", "501 5.5.4" },
        { "FROM:<> BODY", "501 5.5.4" },
        { "FROM:<> SMTPUTF8=", "501 5.5.4" },
        { "FROM:<> ENVID=\x01", "501 5.5.4" },
        { "FROM:<> ENVID=+07", "501 5.5.4" },
        { "FROM:<> ENVID=a=b", "501 5.5.4" },
        { "FROM:<> a_b", "501 5.5.4" },
        { "FROM:<> MT-PRIORITY=3", "555 5.5.4" },
        { "FROM:<\xc3\xbc@example.net>", "553 5.6.7" },
        { "FROM:<a@\xc3\xbc.example>", "553 5.6.7" },
        { "FROM:<\xff@example.net> SMTPUTF8", "501 5.1.7" },
    };
    struct smtp_mail m = { .size = 77 };
    struct verdict why;
    char got[24];

    (void)state;
    for (size_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
        if (parse_mail(mails[i].text, &m, &why) == 0)
            fail_msg("accepted: %s", mails[i].text);
        (void)snprintf(got, sizeof got, "%d %s", why.code, why.enhanced);
        if (strcmp(got, mails[i].why) != 0)
            fail_msg("%s: %s", mails[i].text, got);
        assert_int_equal(m.size, 77);
    }
}

static void rcpt(void **state)
{
    struct smtp_rcpt r;
    struct verdict why;
    char longest[700] = "TO:<a@b.example> ORCPT=rfc822;";

    (void)state;
    assert_int_equal(parse_rcpt("TO:<a@example.org>", false, &r, &why), 0);
    assert_int_equal(r.notify, 0);
    assert_false(r.source_route);
    assert_string_equal(r.orcpt, "");
    assert_int_equal(
        parse_rcpt("to:<@x.example:\"a b\"@example.org> NOTIFY=delay,Failure ORCPT=RFC822;a+2Bb", false, &r, &why), 0);
    assert_true(r.source_route);
    assert_string_equal(r.forward_path.local, "a b");
    assert_int_equal(r.notify, SMTP_NOTIFY_DELAY | SMTP_NOTIFY_FAILURE);
    assert_string_equal(r.orcpt, "RFC822;a+b");
    assert_int_equal(parse_rcpt("TO:<postMASTER>", false, &r, &why), 0);
    assert_int_equal(parse_rcpt("TO:<root>", false, &r, &why), -EINVAL);
    assert_int_equal(parse_rcpt("TO:<>", false, &r, &why), -EINVAL);

    assert_int_equal(parse_rcpt("TO:<\xc3\xbc@example.org>", false, &r, &why), -EINVAL);
    assert_int_equal(why.code, 553);
    assert_int_equal(parse_rcpt("TO:<\xc3\xbc@example.org> ORCPT=utf-8;\xc3\xbc@\\x{2B}", true, &r, &why), 0);
    assert_string_equal(r.orcpt, "utf-8;\xc3\xbc@\\x{2B}");
    assert_int_equal(parse_rcpt("TO:<a@example.org> ORCPT=utf-8;\xc3\xbc@x", false, &r, &why), -EINVAL);
    assert_int_equal(why.code, 501);
    assert_int_equal(parse_rcpt("TO:<a@example.org> ORCPT=utf-8;\xc3@x", true, &r, &why), -EINVAL);
    assert_int_equal(parse_rcpt("TO:<a@example.org> ORCPT=rfc822;\xc3\xbc", true, &r, &why), -EINVAL);

    memset(longest + strlen(longest), 'x', LIMIT_ORCPT - 7);
    assert_int_equal(parse_rcpt(longest, false, &r, &why), 0);
    assert_int_equal(strlen(r.orcpt), LIMIT_ORCPT);
    longest[strlen(longest)] = 'x';
    assert_int_equal(parse_rcpt(longest, false, &r, &why), -EINVAL);
    assert_string_equal(why.enhanced, "5.5.4");
}

static void bdat(void **state)
{
    static const struct {
        const char *text;
        int code;
        uint64_t octets;
        bool last;
    } rows[] = {
        { "0", 0, 0, false },
        { "17", 0, 17, false },
        { "017 last", 0, 17, true },
        { "9223372036854775807 LAST", 0, INT64_MAX, true },
        { "9223372036854775808", -ERANGE, 0, false },
        { "18446744073709551617 LAST", -ERANGE, 0, false },
        { "", -EINVAL, 0, false },
        { "LAST", -EINVAL, 0, false },
        { "-1", -EINVAL, 0, false },
        { "+1", -EINVAL, 0, false },
        { "0x10", -EINVAL, 0, false },
        { "1 LASTLY", -EINVAL, 0, false },
        { "1 LAST LAST", -EINVAL, 0, false },
        { "99999999999999999999 x", -EINVAL, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t octets = 0;
        bool last = false;

        if (smtp_parse_bdat(slice_str(rows[i].text), &octets, &last) != rows[i].code)
            fail_msg("BDAT %s", rows[i].text);
        assert_true(octets == rows[i].octets && last == rows[i].last);
    }
}

static void reply_line(void **state)
{
    static const char *const wrong[] = { "",     "2",   "25",      "abc",    "199", "650 x",
                                         "2 50", "25a", "250text", "250\tx", " 250" };
    struct slice text;
    short code = 0;
    bool last = false;

    (void)state;
    assert_int_equal(smtp_parse_reply_line(SLICE_LIT("250-first line"), &code, &last, &text), 0);
    assert_int_equal(code, 250);
    assert_false(last);
    assert_true(slice_is(text, "first line"));
    assert_int_equal(smtp_parse_reply_line(SLICE_LIT("599 "), &code, &last, &text), 0);
    assert_int_equal(code, 599);
    assert_true(last);
    assert_int_equal(text.n, 0);
    assert_int_equal(smtp_parse_reply_line(SLICE_LIT("354"), &code, &last, &text), 0);
    assert_true(last);
    assert_int_equal(text.n, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(smtp_parse_reply_line(slice_str(wrong[i]), &code, &last, &text), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail), cmocka_unit_test(refused),    cmocka_unit_test(rcpt),
        cmocka_unit_test(bdat), cmocka_unit_test(reply_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
