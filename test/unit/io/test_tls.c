#include "pump.h"

#include "stream_priv.h"
#include "tls_ctx_priv.h"

#include <sys/stat.h>

struct certs {
    struct pump *p;
    char dir[32];
    char cert_a[96], key_a[96], cert_b[96], key_b[96];
    struct tls_server *server;
    struct tls_client *trusting; /* trusts certificate a */
};

static const char *const names_a[] = { "mail.example.org", "localhost" };
static const char *const names_b[] = { "*.example.net", "example.net" };
static const char *const protocols[] = { "smtp", "imap", NULL };

static int open_certs(void **state)
{
    struct certs *c = mem_zero(sizeof *c);
    struct tls_files files[2];
    struct err e = { 0 };
    void *pump;

    if (pump_open(&pump) < 0)
        return -1;
    c->p = pump;
    (void)snprintf(c->dir, sizeof c->dir, "/tmp/facteur-test-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    (void)snprintf(c->cert_a, sizeof c->cert_a, "%s/a.pem", c->dir);
    (void)snprintf(c->key_a, sizeof c->key_a, "%s/a.key", c->dir);
    (void)snprintf(c->cert_b, sizeof c->cert_b, "%s/b.pem", c->dir);
    (void)snprintf(c->key_b, sizeof c->key_b, "%s/b.key", c->dir);
    assert_int_equal(tls_self_signed(names_a, 2, c->cert_a, c->key_a, &e), 0);
    assert_int_equal(tls_self_signed(names_b, 2, c->cert_b, c->key_b, &e), 0);
    files[0] = (struct tls_files){ c->cert_a, c->key_a };
    files[1] = (struct tls_files){ c->cert_b, c->key_b };
    if (tls_server_new(files, 2, protocols, &c->server, &e) < 0 || tls_client_new(c->cert_a, &c->trusting, &e) < 0)
        fail_msg("%s", e.text);
    *state = c;
    return 0;
}

static int shut_certs(void **state)
{
    struct certs *c = *state;
    void *pump = c->p;

    tls_server_unref(&c->server);
    tls_client_unref(&c->trusting);
    (void)unlink(c->cert_a);
    (void)unlink(c->key_a);
    (void)unlink(c->cert_b);
    (void)unlink(c->key_b);
    (void)rmdir(c->dir);
    mem_free(c);
    return pump_shut(&pump);
}

static void secure(struct certs *c, struct wire *w, const char *name, bool verify)
{
    stream_start_tls_server(w->server.s, c->server);
    stream_start_tls_client(w->client.s, c->trusting, name, verify);
    RUN_UNTIL(c->p, w->server.tls && w->client.tls);
}

static void starttls_in_the_middle_of_a_dialogue(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };
    struct stat st;

    wire_open(c->p, &w);
    assert_int_equal(stat(c->key_a, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    stream_write(w.client.s, SLICE_LIT("STARTTLS\r\n"));
    RUN_UNTIL(c->p, w.server.in.n == 10);
    stream_write(w.server.s, SLICE_LIT("220 go ahead\r\n")); /* queued, and must go out plain */
    stream_start_tls_server(w.server.s, c->server);
    stream_write(w.server.s, SLICE_LIT("after")); /* waits for the handshake */
    RUN_UNTIL(c->p, w.client.in.n == 14);
    assert_false(stream_is_tls(w.client.s));
    stream_start_tls_client(w.client.s, c->trusting, "mail.example.org", true);
    assert_false(w.client.tls);
    RUN_UNTIL(c->p, w.server.tls && w.client.tls);
    assert_int_equal(w.server.tls_status, 0);
    assert_int_equal(w.client.tls_status, 0);
    assert_true(stream_is_tls(w.client.s) && stream_is_tls(w.server.s));
    assert_true(w.client.info.verified);
    assert_string_equal(w.client.info.verify_text, "");
    assert_string_equal(w.server.info.sni, "mail.example.org");
    assert_true(strcmp(w.client.info.version, "TLSv1.2") >= 0);
    assert_string_equal(w.client.info.version, w.server.info.version);
    assert_memory_equal(w.client.info.cipher, "TLS_", 4);
    assert_non_null(strstr(w.client.info.cipher, "AES_256_GCM_SHA384"));
    stream_write(w.client.s, SLICE_LIT("EHLO x\r\n"));
    RUN_UNTIL(c->p, w.client.in.n == 14 + 5 && w.server.in.n == 18);
    assert_true(end_has(&w.client, "220 go ahead\r\nafter"));
    stream_finish(w.server.s);
    RUN_UNTIL(c->p, w.client.ended);
    assert_int_equal(w.client.end_status, 0);
    stream_finish(w.client.s);
    RUN_UNTIL(c->p, w.client.closed && w.server.closed);
    wire_shut(c->p, &w);
}

static void the_name_chooses_the_certificate(void **state)
{
    static const struct {
        const char *name;
        bool is_a; /* only certificate a is trusted and named so */
    } rows[] = { { "mail.example.org", true }, { "MAIL.example.org", true }, { "www.example.net", false },
                 { "unknown.example", false }, { "127.0.0.1", true },        { "127.0.0.2", false } };
    struct certs *c = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wire w = { 0 };

        wire_open(c->p, &w);
        secure(c, &w, rows[i].name, false);
        assert_int_equal(w.client.tls_status, 0);
        assert_int_equal(w.client.info.verified, rows[i].is_a);
        assert_true((w.client.info.verify_text[0] == '\0') == rows[i].is_a);
        wire_shut(c->p, &w);
    }
}

static void a_wrong_name_fails_when_it_matters(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };

    wire_open(c->p, &w);
    secure(c, &w, "mail.example.com", true);
    assert_true(w.client.tls_status < 0);
    assert_non_null(strstr(w.client.why, "certificate"));
    assert_true(w.server.tls_status < 0); /* told by an alert, or by the end */
    assert_false(stream_is_tls(w.client.s));
    stream_finish(w.client.s);
    stream_close(w.server.s);
    RUN_UNTIL(c->p, w.client.closed && w.server.closed);
    wire_shut(c->p, &w);
}

static void certificate_names_match_as_rfc_6125_says(void **state)
{
    struct certs *c = *state;

    const mbedtls_x509_crt *b = &c->server->pairs[1].chain;

    assert_true(tls_cert_names(b, SLICE_LIT("example.net")));
    assert_true(tls_cert_names(b, SLICE_LIT("Mail.Example.NET")));
    assert_false(tls_cert_names(b, SLICE_LIT("a.b.example.net"))); /* one label only */
    assert_false(tls_cert_names(b, SLICE_LIT(".example.net")));
    assert_false(tls_cert_names(b, SLICE_LIT("evilexample.net")));
    assert_true(tls_cert_names(b, SLICE_LIT("::1")));
    assert_false(tls_cert_names(b, SLICE_LIT("")));
    assert_true(tls_server_expires(c->server) > clock_wall_ms() + INT64_C(9 * 365) * 24 * 3600 * 1000);
}

static void large_data_with_a_slow_reader(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };
    size_t sent = 0;
    static char block[20000];

    wire_open(c->p, &w);
    secure(c, &w, "localhost", true);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 7);
    stream_pause(w.client.s);
    while (sent < 8u * 1000 * 1000) {
        if (!stream_is_full(w.server.s)) {
            stream_write(w.server.s, slice_make(block, sizeof block));
            sent += sizeof block;
            continue;
        }
        stream_flush(w.server.s);
        if (stream_is_full(w.server.s)) {
            /* a reader that takes one record and stops again */
            unsigned calls = w.client.bytes_calls;

            stream_resume(w.client.s);
            RUN_UNTIL(c->p, w.client.bytes_calls > calls);
            stream_pause(w.client.s);
        }
    }
    stream_resume(w.client.s);
    RUN_UNTIL(c->p, w.client.in.n == sent);
    for (size_t i = 0; i < sent; i += sizeof block)
        assert_memory_equal(w.client.in.p + i, block, sizeof block);
    stream_finish(w.server.s);
    RUN_UNTIL(c->p, w.client.ended);
    wire_shut(c->p, &w);
}

static void pause_inside(struct end *e)
{
    stream_pause(e->s);
}

static void records_wait_while_paused(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };

    wire_open(c->p, &w);
    secure(c, &w, "localhost", true);
    w.server.on_bytes = pause_inside;
    for (int i = 0; i < 3; i++) { /* three records in one segment */
        stream_write(w.client.s, SLICE_LIT("line\r\n"));
        assert_true(tls_session_write(w.client.s->tls, buf_slice(&w.client.s->out), &w.client.s->wire) == 6);
        buf_clear(&w.client.s->out);
    }
    stream_finish(w.client.s);
    for (unsigned i = 1; i <= 3; i++) {
        RUN_UNTIL(c->p, w.server.bytes_calls == i);
        assert_int_equal(w.server.in.n, 6 * i);
        stream_resume(w.server.s);
        assert_int_equal(w.server.bytes_calls, i); /* not from inside */
    }
    RUN_UNTIL(c->p, w.server.ended);
    assert_int_equal(w.server.end_status, 0);
    wire_shut(c->p, &w);
}

static void close_inside(struct end *e)
{
    stream_close(e->s);
}

static void close_among_records_is_clean(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };
    static char block[50000];

    wire_open(c->p, &w);
    secure(c, &w, "localhost", true);
    w.server.on_bytes = close_inside;
    stream_write(w.client.s, slice_make(block, sizeof block));
    RUN_UNTIL(c->p, w.server.closed);
    assert_int_equal(w.server.bytes_calls, 1);
    wire_shut(c->p, &w);
}

static void garbage_instead_of_a_hello(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };

    wire_open(c->p, &w);
    stream_start_tls_server(w.server.s, c->server);
    stream_write(w.client.s, SLICE_LIT("GET / HTTP/1.1\r\n\r\n"));
    RUN_UNTIL(c->p, w.server.tls);
    assert_true(w.server.tls_status < 0);
    assert_true(w.server.why[0] != '\0');
    stream_close(w.server.s);
    RUN_UNTIL(c->p, w.server.closed && w.client.ended);
    assert_true(w.client.in.n == 0 || w.client.in.p[0] == 0x15); /* an alert at most, nothing echoed */
    wire_shut(c->p, &w);
}

static void a_peer_that_leaves_or_sleeps_in_the_handshake(void **state)
{
    struct certs *c = *state;
    struct wire gone = { 0 }, asleep = { 0 };

    wire_open(c->p, &gone);
    stream_start_tls_server(gone.server.s, c->server);
    stream_write(gone.client.s, SLICE_LIT("\x16\x03\x01"));
    stream_finish(gone.client.s);
    RUN_UNTIL(c->p, gone.server.tls);
    assert_int_equal(gone.server.tls_status, -ECONNRESET);
    assert_false(gone.server.ended);

    clock_freeze(1000000000, 1000000000);
    wire_open(c->p, &asleep);
    stream_start_tls_server(asleep.server.s, c->server);
    clock_advance(30 * 1000);
    RUN_UNTIL(c->p, asleep.server.tls); /* and the one that is gone is not told again */
    assert_int_equal(asleep.server.tls_status, -ETIMEDOUT);
    clock_thaw();
    wire_shut(c->p, &gone);
    wire_shut(c->p, &asleep);
}

static void a_hello_behind_a_proxy_header(void **state)
{
    struct certs *c = *state;
    struct wire w = { 0 };

    wire_open(c->p, &w);
    w.server.on_bytes = pause_inside;
    stream_write(w.client.s, SLICE_LIT("PROXY UNKNOWN\r\n"));
    stream_start_tls_client(w.client.s, c->trusting, "localhost", true);
    RUN_UNTIL(c->p, w.server.in.n >= 15);
    w.server.on_bytes = NULL;
    stream_resume(w.server.s);
    if (w.server.in.n > 15)
        stream_unread(w.server.s, slice_skip(buf_slice(&w.server.in), 15));
    stream_start_tls_server(w.server.s, c->server);
    RUN_UNTIL(c->p, w.server.tls && w.client.tls);
    assert_int_equal(w.server.tls_status, 0);
    wire_shut(c->p, &w);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void bad_files_are_named(void **state)
{
    struct certs *c = *state;
    struct tls_server *t = NULL;
    struct tls_client *client = NULL;
    struct err e = { 0 };
    char missing[96], empty[96];

    (void)snprintf(missing, sizeof missing, "%s/none.pem", c->dir);
    (void)snprintf(empty, sizeof empty, "%s/empty.pem", c->dir);
    write_text(empty, "");
    {
        const struct tls_files rows[] = {
            { missing, c->key_a },
            { c->cert_a, missing },
            { empty, c->key_a },
            { c->cert_a, empty },
        };
        const char *const named[] = { missing, missing, empty, empty };

        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(tls_server_new(&rows[i], 1, NULL, &t, &e), -EINVAL);
            assert_non_null(strstr(e.text, named[i]));
        }
    }
    {
        const struct tls_files mixed = { c->cert_a, c->key_b };

        assert_int_equal(tls_server_new(&mixed, 1, NULL, &t, &e), -EINVAL);
        assert_non_null(strstr(e.text, "does not belong"));
    }
    assert_int_equal(tls_server_new(NULL, 0, NULL, &t, &e), -EINVAL);
    assert_true(tls_client_new(missing, &client, &e) < 0);
    assert_non_null(strstr(e.text, missing));
    assert_int_equal(tls_client_new(empty, &client, &e), -EINVAL);
    assert_null(t);
    assert_null(client);
    assert_int_equal(unlink(empty), 0);
    assert_memory_equal(tls_library(), "mbedTLS ", 8);
}

/* A machine without ca-certificates: encrypted all the same where nobody asks for proof, refused where somebody does. */
static void a_system_without_authorities(void **state)
{
    struct certs *c = *state, blind = *c;

    assert_int_equal(setenv("SSL_CERT_FILE", "/nonexistent/store.pem", 1), 0);
    assert_int_equal(tls_client_new(NULL, &blind.trusting, NULL), 0);
    assert_false(tls_client_has_authorities(blind.trusting));
    assert_true(tls_client_is_current(blind.trusting, NULL));
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    for (int verify = 0; verify < 2; verify++) {
        struct wire w = { 0 };

        wire_open(c->p, &w);
        secure(&blind, &w, "a.example", verify);
        assert_int_equal(w.client.tls_status < 0, verify);
        wire_shut(c->p, &w);
    }
    tls_client_unref(&blind.trusting);
}

/* ---- against another implementation ---- */

struct visits {
    struct certs *c;
    struct listener *l;
    struct end ends[4];
    unsigned count;
};

static void greet(struct end *e)
{
    stream_write(e->s, SLICE_LIT("221 bye\r\n"));
    stream_finish(e->s);
}

static void on_visit(void *owner, struct stream *s)
{
    struct visits *v = owner;
    struct end *e = &v->ends[v->count++];

    end_init(e);
    e->s = s;
    e->on_bytes = greet;
    stream_start(s, &end_events, e);
    stream_start_tls_server(s, v->c->server);
}

static bool have_openssl(void)
{
    return access("/usr/bin/openssl", X_OK) == 0;
}

/* Runs openssl s_client beside the loop (its output fits in the pipe) until the server has ended the connection. */
static void s_client(struct visits *v, const char *more, struct buf *out)
{
    char command[800], piece[4096];
    unsigned before = v->count;
    size_t n;
    FILE *f;

    buf_reset(out);
    (void)snprintf(command, sizeof command, "echo HELO | openssl s_client -ign_eof -connect 127.0.0.1:%u %s 2>&1",
                   listener_endpoint(v->l)->port, more);
    f = popen(command, "r");
    assert_non_null(f);
    RUN_UNTIL(v->c->p, v->count == before + 1 && v->ends[before].closed);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        assert_int_equal(buf_add(out, piece, n), 0);
    (void)pclose(f);
    buf_clear(&v->ends[before].in);
}

static void talk_and_resume(struct certs *c, const char *option, const char *version)
{
    struct visits v = { .c = c };
    const struct listener_options options = { .reuse = true, .fd = -1 };
    struct buf out;
    struct err e;
    char more[512], session[96], want[32];

    buf_init(&out, 1024 * 1024);
    (void)snprintf(session, sizeof session, "%s/session", c->dir);
    assert_int_equal(listener_new(c->p->loop, loopback(), &options, on_visit, &v, &v.l, &e), 0);
    (void)snprintf(more, sizeof more, "%s -alpn imap -servername www.example.net -CAfile %s -sess_out %s", option,
                   c->cert_b, session);
    s_client(&v, more, &out);
    assert_non_null(strstr(buf_cstr(&out), "221 bye"));
    assert_non_null(strstr(buf_cstr(&out), "Verify return code: 0"));
    (void)snprintf(want, sizeof want, "New, %s", version);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_string_equal(v.ends[0].info.alpn, "imap");
    assert_string_equal(v.ends[0].info.sni, "www.example.net");
    (void)snprintf(more, sizeof more, "%s -alpn imap -servername www.example.net -CAfile %s -sess_in %s", option,
                   c->cert_b, session);
    s_client(&v, more, &out);
    (void)snprintf(want, sizeof want, "Reused, %s", version);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_non_null(strstr(buf_cstr(&out), "221 bye"));
    assert_string_equal(v.ends[1].info.alpn, "imap");
    listener_close(&v.l);
    (void)unlink(session);
    buf_clear(&out);
}

static void openssl_can_talk_to_us_and_resume(void **state)
{
    if (!have_openssl())
        skip();
    talk_and_resume(*state, "-tls1_2", "TLSv1.2");
}

static void and_in_tls_1_3(void **state)
{
    if (!have_openssl() || strstr(tls_library(), " 2.") != NULL) /* mbedTLS 2 has no TLS 1.3 */
        skip();
    talk_and_resume(*state, "-tls1_3", "TLSv1.3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starttls_in_the_middle_of_a_dialogue, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(the_name_chooses_the_certificate, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(a_wrong_name_fails_when_it_matters, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(certificate_names_match_as_rfc_6125_says, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(large_data_with_a_slow_reader, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(records_wait_while_paused, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(close_among_records_is_clean, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(garbage_instead_of_a_hello, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(a_peer_that_leaves_or_sleeps_in_the_handshake, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(a_hello_behind_a_proxy_header, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(bad_files_are_named, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(a_system_without_authorities, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(openssl_can_talk_to_us_and_resume, open_certs, shut_certs),
        cmocka_unit_test_setup_teardown(and_in_tls_1_3, open_certs, shut_certs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
