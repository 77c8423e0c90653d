/* What the dialogues of test/dialog cannot say: the host's side, order in every pair, limits of memory, time. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp_fake_host.h"
#include "smtp_server_priv.h"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define SAY(f, text, want) assert_true(starts(fake_say(f, text), want))

static void hello(struct fake *f)
{
    fake_start(f);
    SAY(f, "EHLO client.example\r\n", "250-mail.example.org\r\n");
}

static void envelope(struct fake *f)
{
    hello(f);
    SAY(f, "MAIL FROM:<a@example.net>\r\n", "250 2.1.0");
    SAY(f, "RCPT TO:<alice@example.org>\r\n", "250 2.1.5");
}

/* ---- order (A23) ---- */

enum { S_START, S_READY, S_MAIL, S_RCPT, S_BDAT, S_N };

static void reach(struct fake *f, int where)
{
    static const char *const way[S_N] = { "", "EHLO c.example\r\n", "MAIL FROM:<a@example.net>\r\n",
                                          "RCPT TO:<bob@example.org>\r\n", "BDAT 1\r\nx" };

    fake_start(f);
    for (int i = 1; i <= where; i++)
        (void)fake_say(f, way[i]);
}

static void order_of_every_pair(void **state)
{
    static const struct {
        const char *line;
        const char *want[S_N]; /* in each state */
    } rows[] = {
        /*                              START  READY  MAIL   RCPT   BDAT */
        { "EHLO c.example\r\n", { "250", "250", "250", "250", "250" } },
        { "HELO c.example\r\n", { "250", "250", "250", "250", "250" } },
        { "MAIL FROM:<a@example.net>\r\n", { "503", "250", "503", "503", "503" } },
        { "RCPT TO:<alice@example.org>\r\n", { "503", "503", "250", "250", "503" } },
        { "DATA\r\n", { "503", "503", "503", "354", "503" } },
        { "BDAT 1\r\nx", { "503", "503", "503", "250", "250" } },
        { "BDAT 0 LAST\r\n", { "503", "503", "503", "250", "250" } },
        { "RSET\r\n", { "250", "250", "250", "250", "250" } },
        { "NOOP\r\n", { "250", "250", "250", "250", "250" } },
        { "VRFY a\r\n", { "252", "252", "252", "252", "252" } },
        { "HELP\r\n", { "214", "214", "214", "214", "214" } },
        { "EXPN a\r\n", { "502", "502", "502", "502", "502" } },
        { "STARTTLS\r\n", { "503", "220", "503", "503", "503" } },
        { "AUTH PLAIN AGEAYg==\r\n", { "503", "535", "503", "503", "503" } },
        { "XYZ\r\n", { "500", "500", "500", "500", "500" } },
        { "QUIT\r\n", { "221", "221", "221", "221", "221" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int where = 0; where < S_N; where++)
            for (int later = 0; later <= 1; later++) {
                struct fake f;
                const char *got;

                fake_init(&f);
                f.later = later;
                f.options.auth_without_tls = true;
                reach(&f, where);
                got = fake_say(&f, rows[i].line);
                if (!starts(got, rows[i].want[where]))
                    fail_msg("%s in state %d: %s", rows[i].line, where, got);
                /* one reply, and the enhanced code in it, but where RFC 2034 says none */
                assert_int_equal(f.refusals, rows[i].want[where][0] >= '4');
                if (starts(got, "4") || starts(got, "5"))
                    assert_true(got[4] == got[0] && got[5] == '.');
                fake_clear(&f);
            }
}

/* ---- the host's side ---- */

static void a_message(void **state)
{
    (void)state;
    for (int later = 0; later <= 1; later++) {
        struct fake f;

        fake_init(&f);
        f.later = later;
        assert_int_equal(f.phases, 0);
        envelope(&f);
        assert_string_equal(smtp_server_helo(f.s), "client.example");
        assert_string_equal(smtp_server_with(f.s), "ESMTP");
        assert_string_equal(smtp_server_state(f.s), "RCPT");
        assert_true(smtp_server_in_transaction(f.s));
        assert_int_equal(f.phase, SMTP_PHASE_COMMAND);
        SAY(&f, "DATA\r\n", "354 ");
        assert_int_equal(f.phase, SMTP_PHASE_DATA);
        SAY(&f, "Subject: one\r\n\r\n..dot\r\n..\r\nlast\r\n.\r\n", "250 2.0.0 Ok: queued as 0123456789abc\r\n");
        assert_string_equal(buf_cstr(&f.stored), "Subject: one\n\n.dot\n.\nlast\n");
        assert_int_equal(f.commits, 1);
        assert_int_equal(f.aborts, 0);
        assert_false(smtp_server_in_transaction(f.s));
        assert_string_equal(smtp_server_state(f.s), "READY");
        fake_clear(&f);
        assert_int_equal(f.aborts, 0);
    }
}

static void chunks(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    envelope(&f);
    SAY(&f, "BDAT 7\r\none\r\n.\r", "250 2.0.0 7 octets");
    assert_true(smtp_server_in_transaction(f.s));
    SAY(&f, "BDAT 5 LAST\r\n\n..tw", "250 2.0.0 Ok");
    assert_string_equal(buf_cstr(&f.stored), "one\n.\n..tw\n"); /* no dot is stuffed in chunks */
    SAY(&f, "MAIL FROM:<> BODY=BINARYMIME\r\n", "250");
    SAY(&f, "RCPT TO:<bob@example.org>\r\n", "250");
    SAY(&f, "BDAT 4 LAST\r\n\r\n\n\r", "250");
    assert_int_equal(f.stored.n, 4);
    assert_memory_equal(f.stored.p, "\r\n\n\r", 4);
    fake_clear(&f);
}

static void transactions_are_dropped(void **state)
{
    static const char *const ends[] = { "RSET\r\n", "EHLO c.example\r\n", "HELO refused.example\r\n", "QUIT\r\n" };
    struct fake f;

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        fake_init(&f);
        envelope(&f);
        (void)fake_say(&f, ends[i]);
        assert_int_equal(f.aborts, 1);
        assert_false(smtp_server_in_transaction(f.s));
        fake_clear(&f);
        assert_int_equal(f.aborts, 1);
    }
    fake_init(&f);
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    SAY(&f, "half a mess", "");
    fake_clear(&f); /* the client went away */
    assert_int_equal(f.aborts, 1);
    assert_int_equal(f.commits, 0);
}

/* While an answer is owed nothing is said and nothing is consumed; the order of replies is the order of commands. */
static void waiting(void **state)
{
    struct fake f;
    struct verdict v;

    (void)state;
    fake_init(&f);
    hello(&f);
    f.later = true;
    buf_reset(&f.out);
    fake_feed(&f, SLICE_LIT("MAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nNOOP\r\n"));
    assert_true(f.pending && smtp_server_is_waiting(f.s));
    assert_int_equal(f.phase, SMTP_PHASE_OURS);
    fake_feed(&f, SLICE_LIT("VRFY x\r\n"));
    assert_int_equal(f.out.n, 0);
    f.pending = false;
    v = f.answer;
    smtp_server_answer(f.s, &v);
    assert_true(starts(buf_cstr(&f.out), "250 2.1.0 Ok\r\n"));
    assert_true(f.pending); /* now RCPT's */
    f.pending = false;
    v = f.answer;
    smtp_server_answer(f.s, &v);
    assert_non_null(strstr(buf_cstr(&f.out), "250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n252 2.5.0"));
    assert_false(smtp_server_is_waiting(f.s));
    assert_int_equal(f.s->input.kept.cap, 0);
    smtp_server_answer(f.s, &v); /* one answer too many is not believed */
    fake_clear(&f);
}

/* An outsider may not send on while EHLO or DATA waits for its answer. */
static void talking_while_waiting(void **state)
{
    struct fake f;
    struct verdict v;

    (void)state;
    fake_init(&f);
    envelope(&f);
    f.later = true;
    buf_reset(&f.out);
    fake_feed(&f, SLICE_LIT("DATA\r\n"));
    fake_feed(&f, SLICE_LIT("text\r\n.\r\n"));
    f.pending = false;
    v = f.answer;
    smtp_server_answer(f.s, &v);
    assert_true(starts(buf_cstr(&f.out), "554 5.5.0"));
    assert_true(f.closed);
    assert_int_equal(f.aborts, 1);
    fake_clear(&f);
}

static void greeting(void **state)
{
    struct fake f;
    struct verdict v;

    (void)state;
    fake_init(&f); /* early talkers (A24) */
    f.later = true;
    f.s = smtp_server_new(&f.options, &fake_host, &f);
    smtp_server_start(f.s);
    fake_feed(&f, SLICE_LIT("EHLO c.example\r\n"));
    fake_answer(&f);
    assert_true(starts(buf_cstr(&f.out), "554 5.5.0"));
    assert_true(f.closed);
    fake_clear(&f);

    fake_init(&f); /* … of a browser's or a TLS client's kind are not answered */
    f.later = true;
    f.s = smtp_server_new(&f.options, &fake_host, &f);
    smtp_server_start(f.s);
    fake_feed(&f, SLICE_LIT("GET / HTTP/1.1\r\n"));
    fake_answer(&f);
    assert_int_equal(f.out.n, 0);
    assert_true(f.closed);
    assert_string_equal(f.log, "554 GET / HT");
    fake_clear(&f);

    fake_init(&f); /* … and friends are put up with */
    f.later = true;
    f.options.submission = true;
    f.s = smtp_server_new(&f.options, &fake_host, &f);
    smtp_server_start(f.s);
    fake_feed(&f, SLICE_LIT("EHLO c.example\r\n"));
    v = f.answer;
    f.pending = false;
    smtp_server_answer(f.s, &v);
    assert_true(starts(buf_cstr(&f.out), "220 mail.example.org ESMTP facteur\r\n"));
    fake_answer(&f);
    assert_false(f.closed);
    fake_clear(&f);

    fake_init(&f);
    f.connect = verdict_make(554, "5.7.1", "No\r\nway");
    fake_start(&f);
    assert_string_equal(buf_cstr(&f.out), "554 No??way\r\n");
    assert_true(f.closed);
    SAY(&f, "QUIT\r\n", "");
    fake_clear(&f);
}

static void login(void **state)
{
    struct fake f;
    struct sasl_client c;
    struct buf b;
    char line[2048];
    uint8_t salted[32];
    const char *got;

    (void)state;
    fake_init(&f);
    f.options.tls_active = true;
    f.options.submission = true;
    hello(&f);
    assert_string_equal(smtp_server_with(f.s), "ESMTPS");
    SAY(&f, "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHdyb25n\r\n", "535");
    assert_string_equal(f.log, "535 AUTH PLAIN"); /* no secret in the log */
    SAY(&f, "AGFsaWNlQGV4YW1wbGUub3JnAHdyb25n\r\n", "500");
    assert_string_equal(f.log, "500 AGFsaWNl");

    buf_init(&b, 2000);
    assert_int_equal(sasl_client_start(&c, "SCRAM-SHA-256", "alice@example.org", "secret", &b), 0);
    (void)snprintf(line, sizeof line, "AUTH SCRAM-SHA-256 %s\r\n", buf_cstr(&b));
    got = fake_say(&f, line);
    assert_true(starts(got, "334 "));
    buf_reset(&b);
    assert_int_equal(sasl_client_next(&c, slice_make(got + 4, strlen(got) - 6), &b), SASL_CLIENT_KEY);
    sasl_scram_derive(SLICE_LIT("secret"), c.salt, c.salt_n, c.iterations, salted);
    assert_int_equal(sasl_client_key(&c, salted, &b), 0);
    (void)snprintf(line, sizeof line, "%s\r\n", buf_cstr(&b));
    got = fake_say(&f, line);
    assert_true(starts(got, "334 "));
    buf_reset(&b);
    assert_int_equal(sasl_client_next(&c, slice_make(got + 4, strlen(got) - 6), &b), SASL_CLIENT_SEND);
    assert_true(sasl_client_trusts(&c));
    SAY(&f, "\r\n", "235 2.7.0");
    assert_string_equal(smtp_server_login(f.s), "alice@example.org");
    assert_string_equal(smtp_server_with(f.s), "ESMTPSA");
    assert_null(f.s->sasl);
    SAY(&f, "MAIL FROM:<alice@example.org> SMTPUTF8\r\n", "250");
    assert_string_equal(smtp_server_with(f.s), "UTF8SMTPSA");
    sasl_client_clear(&c);
    buf_clear(&b);
    fake_clear(&f);
}

static void commit_refused(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    f.commit = verdict_of_error(-ENOSPC);
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    SAY(&f, "text\r\n.\r\n", "452 4.3.1");
    assert_int_equal(f.aborts, 0); /* ask_commit ended the transaction */
    SAY(&f, "MAIL FROM:<a@example.net>\r\n", "250");
    fake_clear(&f);
}

static void sink_fails(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    f.sink_code = -ENOSPC;
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    SAY(&f, "text\r\nmore\r\n", "");
    SAY(&f, ".\r\n", "452 4.3.1");
    assert_int_equal(f.aborts, 1);
    f.sink_code = 0;
    SAY(&f, "MAIL FROM:<a@example.net>\r\n", "250");
    SAY(&f, "RCPT TO:<alice@example.org>\r\n", "250");
    SAY(&f, "DATA\r\n", "354");
    SAY(&f, "text\r\n", "");
    smtp_server_body_failed(f.s, -EIO); /* a write that was under way */
    SAY(&f, "more\r\n.\r\n", "451 4.3.0");
    assert_int_equal(f.aborts, 2);
    smtp_server_body_failed(f.s, -EIO); /* too late: about nothing */
    SAY(&f, "NOOP\r\n", "250");
    fake_clear(&f);
}

/* A body goes on for ever behind its defect (A28). */
static void endless_body(void **state)
{
    struct fake f;
    char block[65536];
    size_t fed = 0;

    (void)state;
    memset(block, 'x', sizeof block);
    fake_init(&f);
    f.options.message_size = 2000000;
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    buf_reset(&f.out);
    while (!f.closed && fed < 10000000) {
        fake_feed(&f, slice_make(block, sizeof block));
        fed += sizeof block;
        assert_true(f.s->input.kept.cap == 0);
    }
    assert_true(starts(buf_cstr(&f.out), "421 4.7.0"));
    assert_true(fed <= 2 * 2000000 + 2 * sizeof block);
    assert_int_equal(f.aborts, 1);
    fake_clear(&f);

    fake_init(&f); /* the same with a chunk, and with a line */
    f.options.message_size = 2000000;
    envelope(&f);
    SAY(&f, "BDAT 9000000000\r\n", "552 5.3.4");
    buf_reset(&f.out);
    for (fed = 0; !f.closed && fed < 10000000; fed += sizeof block)
        fake_feed(&f, slice_make(block, sizeof block));
    assert_true(starts(buf_cstr(&f.out), "421 4.7.0"));
    assert_true(fed <= 2000000 + sizeof block);
    fake_clear(&f);

    fake_init(&f);
    hello(&f);
    buf_reset(&f.out);
    for (fed = 0; !f.closed && fed < 10000000; fed += sizeof block) {
        fake_feed(&f, slice_make(block, sizeof block));
        assert_true(f.s->input.kept.cap == 0);
    }
    assert_true(starts(buf_cstr(&f.out), "500 5.5.2"));
    assert_non_null(strstr(buf_cstr(&f.out), "\r\n421 4.7.0"));
    assert_true(fed <= DRAIN_MIN + 2 * sizeof block);
    fake_clear(&f);
}

static void holding(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    SAY(&f, "one\r\n", "");
    smtp_server_hold(f.s, true);
    assert_true(smtp_server_is_waiting(f.s));
    assert_int_equal(f.phase, SMTP_PHASE_OURS);
    SAY(&f, "two\r\n.\r\nNOOP\r\n", "");
    assert_int_equal(f.out.n, 0);
    smtp_server_hold(f.s, false);
    assert_non_null(strstr(buf_cstr(&f.out), "queued as 0123456789abc\r\n250 2.0.0 Ok\r\n"));
    assert_string_equal(buf_cstr(&f.stored), "one\ntwo\n");
    assert_false(smtp_server_is_waiting(f.s));
    fake_clear(&f);
}

/* More than one read of the stream while an answer is owed is a mistake of the service; it ends here. */
static void input_overrun(void **state)
{
    struct fake f;
    char block[65536];

    (void)state;
    memset(block, '\n', sizeof block);
    fake_init(&f);
    hello(&f);
    f.later = true;
    buf_reset(&f.out);
    fake_feed(&f, SLICE_LIT("MAIL FROM:<a@example.net>\r\n"));
    fake_feed(&f, slice_make(block, sizeof block));
    assert_false(f.closed);
    fake_feed(&f, slice_make(block, sizeof block));
    assert_true(f.closed);
    assert_true(starts(buf_cstr(&f.out), "421 4.3.0"));
    f.pending = f.in_transaction = false;
    smtp_server_answer(f.s, &f.answer); /* nobody listens */
    fake_clear(&f);
}

static void timeouts(void **state)
{
    struct fake f;

    (void)state;
    fake_init(&f);
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    buf_reset(&f.out);
    smtp_server_timeout(f.s);
    assert_true(starts(buf_cstr(&f.out), "421 4.4.2"));
    assert_true(f.closed);
    assert_int_equal(f.aborts, 1);
    smtp_server_timeout(f.s);
    fake_clear(&f);

    fake_init(&f); /* an octet of a command does not give a new deadline */
    fake_start(&f);
    assert_int_equal(f.phase, SMTP_PHASE_GREETING);
    f.phases = 0;
    (void)fake_say(&f, "EHL");
    assert_int_equal(f.phases, 0);
    (void)fake_say(&f, "O c.example\r\n");
    assert_int_equal(f.phases, 1);
    assert_int_equal(f.phase, SMTP_PHASE_COMMAND);
    (void)fake_say(&f, "NOOP\r\n");
    assert_int_equal(f.phases, 2);
    (void)fake_say(&f, "STARTTLS\r\n");
    assert_int_equal(f.phase, SMTP_PHASE_TLS);
    SAY(&f, "plain text from the middle of the road\r\n", "");
    smtp_server_tls_started(f.s);
    assert_int_equal(f.phase, SMTP_PHASE_GREETING);
    assert_string_equal(smtp_server_helo(f.s), "");
    fake_clear(&f);
}

static void shutting_down(void **state)
{
    struct fake f;
    struct verdict v;

    (void)state;
    fake_init(&f);
    envelope(&f);
    buf_reset(&f.out);
    smtp_server_goodbye(f.s, "Shutting down, closing");
    assert_true(starts(buf_cstr(&f.out), "421 4.3.2"));
    assert_true(f.closed);
    assert_int_equal(f.aborts, 1);
    fake_clear(&f);

    fake_init(&f); /* a commit is waited for, and its 250 goes out first */
    envelope(&f);
    SAY(&f, "DATA\r\n", "354");
    f.later = true;
    buf_reset(&f.out);
    fake_feed(&f, SLICE_LIT("text\r\n.\r\nNOOP\r\n"));
    smtp_server_timeout(f.s); /* ours is the delay */
    smtp_server_goodbye(f.s, "Shutting down, closing");
    assert_false(f.closed);
    assert_int_equal(f.out.n, 0);
    v = f.answer;
    f.pending = false;
    smtp_server_answer(f.s, &v);
    assert_true(starts(buf_cstr(&f.out), "250 2.0.0 Ok: queued as 0123456789abc\r\n421 4.3.2"));
    assert_true(f.closed);
    assert_null(strstr(buf_cstr(&f.out), "250 2.0.0 Ok\r\n"));
    fake_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_every_pair),
        cmocka_unit_test(a_message),
        cmocka_unit_test(chunks),
        cmocka_unit_test(transactions_are_dropped),
        cmocka_unit_test(waiting),
        cmocka_unit_test(talking_while_waiting),
        cmocka_unit_test(greeting),
        cmocka_unit_test(login),
        cmocka_unit_test(commit_refused),
        cmocka_unit_test(sink_fails),
        cmocka_unit_test(endless_body),
        cmocka_unit_test(holding),
        cmocka_unit_test(input_overrun),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(shutting_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
