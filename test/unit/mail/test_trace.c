#include "facteur/mail/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 4096);
    return setenv("TZ", "UTC", 1);
}

static int teardown(void **state)
{
    (void)state;
    buf_clear(&out);
    return 0;
}

static const struct trace plain = { .helo = "client.example",
                                    .client = "192.0.2.1",
                                    .hostname = "mail.example.org",
                                    .with = "ESMTP",
                                    .tls = "",
                                    .login = "",
                                    .queue_id = "0abc",
                                    .recipient = "",
                                    .wall_ms = 1700000000000 };

static void assert_received(const struct trace *t, const char *expected)
{
    buf_reset(&out);
    assert_int_equal(trace_received(t, &out), 0);
    assert_string_equal(buf_cstr(&out), expected);
}

static void writes_received(void **state)
{
    struct trace t = plain;

    (void)state;
    assert_received(&t, "Received: from client.example ([192.0.2.1])\n\tby mail.example.org (facteur) with ESMTP\n"
                        "\tid 0abc;\n\tTue, 14 Nov 2023 22:13:20 +0000\n");
    t.client = "2001:db8::1";
    t.with = "ESMTPSA";
    t.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
    t.login = "user@example.org";
    t.recipient = "\"a b\"@example.org";
    assert_received(&t, "Received: from client.example ([IPv6:2001:db8::1])\n\tby mail.example.org (facteur) with "
                        "ESMTPSA (TLSv1.3, authenticated)\n\tid 0abc\n\tfor <\"a b\"@example.org>\n"
                        "\ttls TLS_AES_256_GCM_SHA384;\n\tTue, 14 Nov 2023 22:13:20 +0000\n");
}

static void says_what_it_does_not_know(void **state)
{
    struct trace t = plain;

    (void)state;
    t.helo = "";
    assert_received(&t, "Received: from [192.0.2.1] ([192.0.2.1])\n\tby mail.example.org (facteur) with ESMTP\n"
                        "\tid 0abc;\n\tTue, 14 Nov 2023 22:13:20 +0000\n");
    t.client = "";
    t.with = "local";
    assert_received(&t, "Received: by mail.example.org (facteur) with local\n\tid 0abc;\n"
                        "\tTue, 14 Nov 2023 22:13:20 +0000\n");
    t.helo = "host";
    assert_received(&t, "Received: from host (local)\n\tby mail.example.org (facteur) with local\n\tid 0abc;\n"
                        "\tTue, 14 Nov 2023 22:13:20 +0000\n");
}

static void nothing_said_breaks_out(void **state)
{
    char helo[2000];
    struct trace t = plain;

    (void)state;
    t.helo = "a)\r\nX: y (";
    t.recipient = "a\r\n@b";
    assert_received(&t, "Received: from a???X:?y?? ([192.0.2.1])\n\tby mail.example.org (facteur) with ESMTP\n"
                        "\tid 0abc\n\tfor <a??@b>;\n\tTue, 14 Nov 2023 22:13:20 +0000\n");
    memset(helo, 'x', sizeof helo - 1);
    helo[sizeof helo - 1] = '\0';
    t.helo = helo;
    buf_reset(&out);
    assert_int_equal(trace_received(&t, &out), 0);
    assert_true(slice_find(buf_slice(&out), '\n') < 998);
    out.max = 100;
    buf_reset(&out);
    assert_true(trace_received(&t, &out) < 0);
}

static void writes_return_path(void **state)
{
    (void)state;
    assert_int_equal(trace_return_path("", &out), 0);
    assert_int_equal(trace_return_path("a@example.org", &out), 0);
    assert_int_equal(trace_return_path("a\nb", &out), 0);
    assert_string_equal(buf_cstr(&out), "Return-Path: <>\nReturn-Path: <a@example.org>\nReturn-Path: <a?b>\n");
}

static void dates_have_the_local_offset(void **state)
{
    (void)state;
    assert_int_equal(setenv("TZ", "IST-5:30", 1), 0);
    tzset();
    assert_int_equal(date_rfc5322(1700000000999, &out), 0);
    assert_string_equal(buf_cstr(&out), "Wed, 15 Nov 2023 03:43:20 +0530");
    assert_int_equal(setenv("TZ", "NST3:30", 1), 0);
    tzset();
    buf_reset(&out);
    assert_int_equal(date_rfc5322(-1, &out), 0);
    assert_string_equal(buf_cstr(&out), "Wed, 31 Dec 1969 20:29:59 -0330");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_received, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_it_does_not_know, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_said_breaks_out, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_return_path, setup, teardown),
        cmocka_unit_test_setup_teardown(dates_have_the_local_offset, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
