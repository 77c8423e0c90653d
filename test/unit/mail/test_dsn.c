#include "facteur/mail/dsn.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/mail/header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf out;

static const struct dsn_recipient failed = { .address = "bob@example.net",
                                             .orcpt = "rfc822;Bob@example.net",
                                             .action = DSN_FAILED,
                                             .status = "5.1.1",
                                             .remote = "mx.example.net",
                                             .reply = "550 5.1.1 <bob@example.net>: no such user here",
                                             .last_attempt_ms = 1700000000000 };

static const struct dsn base = { .hostname = "mail.example.org",
                                 .queue_id = "0abc",
                                 .to = "alice@example.org",
                                 .envid = "QQ314",
                                 .arrival_ms = 1699999000000,
                                 .now_ms = 1700000001000,
                                 .return_full = true,
                                 .original = { NULL, 0 },
                                 .recipients = &failed,
                                 .count = 1 };

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 8 << 20);
    return setenv("TZ", "UTC", 1);
}

static int teardown(void **state)
{
    (void)state;
    buf_clear(&out);
    return 0;
}

static void write_dsn(const struct dsn *d, const char *original)
{
    struct dsn copy = *d;

    copy.original = slice_str(original);
    buf_reset(&out);
    assert_int_equal(dsn_write(&copy, &out), 0);
}

static void assert_has(const char *text)
{
    if (strstr(buf_cstr(&out), text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, buf_cstr(&out));
}

static void assert_has_not(const char *text)
{
    if (strstr(buf_cstr(&out), text) != NULL)
        fail_msg("\"%s\" in:\n%s", text, buf_cstr(&out));
}

static void tells_a_person_and_a_program(void **state)
{
    (void)state;
    write_dsn(&base, "Subject: Lunch\nDate: Tue, 14 Nov 2023 21:00:00 +0000\n\nHi Bob\n");
    assert_has("From: Mail Delivery System <MAILER-DAEMON@mail.example.org>\nTo: <alice@example.org>\n"
               "Subject: Undelivered mail: your message was not delivered\n");
    assert_has("\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; "
               "report-type=delivery-status;\n\tboundary=\"=_");
    assert_has(
        "\nYour message could not be delivered, and will not be tried again.\n\nIt was not delivered to:\n\n"
        "  bob@example.net\n    The server mx.example.net said:\n      550 5.1.1 <bob@example.net>: no such user "
        "here\n    What you can do:\n      There is no such mailbox there. Check the address for a typing error.\n"
        "\nThe message:\n\n  Subject: Lunch\n  Date: Tue, 14 Nov 2023 21:00:00 +0000\n  Queue id: 0abc\n");
    assert_has("Content-Type: message/delivery-status\nContent-Description: Technical report\n\n"
               "Original-Envelope-Id: QQ314\nReporting-MTA: dns; mail.example.org\nX-Facteur-Queue-ID: 0abc\n"
               "Arrival-Date: Tue, 14 Nov 2023 21:56:40 +0000\n\nOriginal-Recipient: rfc822;Bob@example.net\n"
               "Final-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; "
               "mx.example.net\nDiagnostic-Code: smtp; 550 5.1.1 <bob@example.net>: no such user here\n"
               "Last-Attempt-Date: Tue, 14 Nov 2023 22:13:20 +0000\n\n--=_");
    assert_has("Content-Type: message/rfc822\nContent-Description: Your message\n\nSubject: Lunch\nDate: Tue, 14 Nov "
               "2023 21:00:00 +0000\n\nHi Bob\n\n--=_");
    assert_has_not("8bit");
    assert_has_not("Return-Path");
    assert_has_not("\r");
}

static void its_header_is_a_header(void **state)
{
    struct header h;
    size_t used;

    (void)state;
    write_dsn(&base, "Subject: x\n\ny\n");
    header_init(&h);
    assert_int_equal(header_push(&h, buf_slice(&out), &used), DONE);
    assert_false(h.broken);
    assert_int_equal(header_count(&h, "Message-ID"), 1);
    assert_int_equal(header_count(&h, "Date"), 1);
    assert_int_equal(h.count, 8);
    header_clear(&h);
}

static void returns_the_header_alone(void **state)
{
    struct dsn d = base;
    char *large = mem_alloc(200000);

    (void)state;
    d.return_full = false;
    write_dsn(&d, "Subject: x\nTo: y\n\nsecret\n");
    assert_has("Content-Type: text/rfc822-headers\nContent-Description: The header of your message\n\nSubject: x\nTo: "
               "y\n\n--");
    assert_has_not("secret");
    memset(large, 'x', 199999);
    large[199999] = '\0';
    for (size_t i = 0; i < 199998; i += 64)
        memcpy(large + i, "\nA:", 3);
    write_dsn(&d, large + 1);
    assert_true(out.n < 70000);
    large[100] = '\r'; /* never passed on as it is */
    write_dsn(&d, large + 1);
    assert_has_not("\r");
    mem_free(large);
}

static void words_from_outside_stay_inside(void **state)
{
    struct dsn_recipient r = failed;
    struct dsn d = base;
    char *reply = mem_alloc(5000);
    struct slice rest, line;

    (void)state;
    d.recipients = &r;
    d.envid = "a\nb";
    r.reply = "550 no\n\n--=_\nAction: delivered\r\nX\x1b\xff";
    write_dsn(&d, "Subject: =?utf-8?q?x?=\n\n");
    assert_has("Original-Envelope-Id: a b\n");
    assert_has("Diagnostic-Code: smtp; 550 no --=_ Action: delivered X ?\n");
    assert_has_not("  Subject:");
    memset(reply, 'x', 4999);
    reply[4999] = '\0';
    r.reply = reply;
    write_dsn(&d, "");
    rest = buf_slice(&out);
    while (slice_cut(&rest, '\n', &line))
        assert_true(line.n <= 998);
    mem_free(reply);
}

static void a_delay_says_how_long(void **state)
{
    struct dsn_recipient r = failed;
    struct dsn d = base;

    (void)state;
    r.action = DSN_DELAYED;
    r.status = "4.4.1";
    r.remote = NULL;
    r.orcpt = NULL;
    r.reply = "connection timed out";
    r.retry_until_ms = 1700400000000;
    d.recipients = &r;
    d.envid = NULL;
    write_dsn(&d, "");
    assert_has("Subject: Delayed mail: your message still waits\n");
    assert_has("It still waits for:\n\n  bob@example.net\n    The reason:\n      connection timed out\n"
               "    It will be tried until Sun, 19 Nov 2023 13:20:00 +0000\n");
    assert_has(
        "\nFinal-Recipient: rfc822; bob@example.net\nAction: delayed\nStatus: 4.4.1\nDiagnostic-Code: x-facteur; "
        "connection timed out\n");
    assert_has("Will-Retry-Until: Sun, 19 Nov 2023 13:20:00 +0000\n");
    assert_has_not("Original-");
    assert_has_not("Remote-MTA");
}

/* RFC 3464 2.3.6: what nobody said over there is not passed off as if. */
static void our_words_are_ours(void **state)
{
    struct dsn_recipient r = failed;
    struct dsn d = base;

    (void)state;
    r.remote = "mx.example.net [192.0.2.1]";
    r.reply = "451 4.4.1 Connection refused";
    r.ours = true;
    d.recipients = &r;
    write_dsn(&d, "");
    assert_has("    The reason (at host mx.example.net [192.0.2.1]):\n      451 4.4.1 Connection refused\n");
    assert_has("Remote-MTA: dns; mx.example.net\nDiagnostic-Code: x-facteur; 451 4.4.1 Connection refused\n");
    assert_has_not(" said:");
    r.remote = "192.0.2.1 [192.0.2.1]";
    r.ours = false;
    write_dsn(&d, "");
    assert_has("    The server 192.0.2.1 [192.0.2.1] said:\n");
    assert_has("Remote-MTA: dns; [192.0.2.1]\nDiagnostic-Code: smtp; ");
    r.remote = "2001:db8::1 [2001:db8::1]";
    write_dsn(&d, "");
    assert_has("Remote-MTA: dns; [IPv6:2001:db8::1]\n");
}

/* BINARYMIME keeps CRLF; nobody gets it back, but its header is worth returning. */
static void header_of_a_binary_message_comes_back(void **state)
{
    static const char binary[] = "From: a@example.org\r\nSubject: binary\r\n\r\nbody\r\n";
    struct dsn d = base;

    (void)state;
    write_dsn(&d, binary);
    assert_has("Content-Type: text/rfc822-headers\nContent-Description: The header of your message\n\n"
               "From: a@example.org\nSubject: binary\n\n--=_");
    assert_has("  Subject: binary\n");
    assert_has_not("body");
    assert_has_not("\r");
}

static void long_lines_of_the_header_are_folded(void **state)
{
    char *original = mem_alloc(5001);
    struct slice rest, line;
    struct dsn d = base;

    (void)state;
    memset(original, 'x', 4990);
    memcpy(original, "Subject: long\nTo: ", 18);
    memcpy(original + 1500, " y ", 3);
    memcpy(original + 4990, "\n\nbody\n", 8);
    write_dsn(&d, original);
    assert_has("\nSubject: long\nTo:\n xxx");
    assert_has("x y\n xxx");
    assert_has_not("body");
    rest = buf_slice(&out);
    while (slice_cut(&rest, '\n', &line))
        assert_true(line.n <= 998);
    mem_free(original);
}

static void utf8_makes_it_global(void **state)
{
    struct dsn_recipient r = failed;
    struct dsn d = base;

    (void)state;
    r.address = "b\xc3\xb6"
                "b@example.net";
    r.orcpt = NULL;
    d.recipients = &r;
    write_dsn(&d, "Subject: gr\xc3\xbc\xc3\x9f"
                  "e\n\nx\n");
    assert_has("report-type=global-delivery-status;");
    assert_has("Content-Type: message/global-delivery-status\n");
    assert_has("Content-Transfer-Encoding: 8bit\n");
    assert_has("Final-Recipient: utf-8; b\xc3\xb6"
               "b@example.net\n");
    assert_has("Content-Type: message/global\n");
    d.return_full = false;
    write_dsn(&d, "Subject: gr\xc3\xbc\xc3\x9f"
                  "e\n\nx\n");
    assert_has("Content-Type: message/global-headers\n");
    d = base;
    write_dsn(&d, "Subject: x\n\n\xe4\n"); /* an 8-bit body alone asks for no more than 8bit */
    assert_has("Content-Type: message/rfc822\nContent-Description: Your message\nContent-Transfer-Encoding: 8bit\n");
    assert_has("Content-Type: message/delivery-status\n");
}

static void many_recipients_are_listed_in_part(void **state)
{
    struct dsn_recipient *many = mem_array(1000, sizeof *many);
    struct dsn d = base;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        many[i] = failed;
        many[i].action = i == 0 ? DSN_DELIVERED : DSN_FAILED;
    }
    d.recipients = many;
    d.count = 1000;
    write_dsn(&d, "");
    assert_has("Subject: Undelivered mail");
    assert_has("\n  and 900 more, which the technical report below lists.\n");
    for (const char *p = buf_cstr(&out); (p = strstr(p, "\nFinal-Recipient:")) != NULL; p++)
        n++;
    assert_int_equal(n, 1000);
    out.max = 5000;
    buf_reset(&out);
    assert_int_equal(dsn_write(&d, &out), -ENOBUFS);
    mem_free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_a_person_and_a_program, setup, teardown),
        cmocka_unit_test_setup_teardown(its_header_is_a_header, setup, teardown),
        cmocka_unit_test_setup_teardown(returns_the_header_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(words_from_outside_stay_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delay_says_how_long, setup, teardown),
        cmocka_unit_test_setup_teardown(our_words_are_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(header_of_a_binary_message_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_of_the_header_are_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(utf8_makes_it_global, setup, teardown),
        cmocka_unit_test_setup_teardown(many_recipients_are_listed_in_part, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
