#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sasl_priv.h"

#include "facteur/base/codec.h"

#include <sodium.h>

static const struct sasl_mechanisms all = { true, true, true };

struct directory {
    unsigned asked;
    struct sasl_scram_keys keys;
};

static void keys_of(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    struct directory *d = ctx;

    (void)user;
    d->asked++;
    *ret = d->keys;
}

/* What a password file holds for SCRAM. */
static struct directory directory_of(const char *password)
{
    struct directory d = { .keys = { .known = true, .salt = "sixteen octets!", .salt_n = 16, .iterations = 4096 } };
    uint8_t salted[32], client[32];

    sasl_scram_derive(slice_str(password), d.keys.salt, d.keys.salt_n, d.keys.iterations, salted);
    scram_hmac(salted, SLICE_LIT("Client Key"), client);
    scram_hash(client, d.keys.stored);
    scram_hmac(salted, SLICE_LIT("Server Key"), d.keys.server);
    return d;
}

static const char *base64(const char *text, size_t n)
{
    static char to[4096];

    return sodium_bin2base64(to, sizeof to, (const unsigned char *)text, n, sodium_base64_VARIANT_ORIGINAL);
}

/* The step that a mechanism takes with this raw initial response (NULL: none); s is cleared after it but for attempt.
 */
static enum sasl_step start(const char *mechanism, const char *raw, size_t n, struct sasl_attempt *ret)
{
    struct sasl_server s = { 0 };
    struct directory d = { 0 };
    struct slice initial = slice_str(raw != NULL ? base64(raw, n) : "");
    enum sasl_step step = SASL_CANCELLED;
    struct buf out;

    buf_init(&out, LIMIT_SASL_LINE);
    assert_int_equal(
        sasl_server_start(&s, slice_str(mechanism), &all, raw != NULL ? &initial : NULL, keys_of, &d, &step, &out), 0);
    if (ret != NULL)
        *ret = s.attempt;
    sasl_server_clear(&s);
    buf_clear(&out);
    return step;
}

#define PLAIN(text) start("PLAIN", text, sizeof(text) - 1, &a)

static void plain(void **state)
{
    struct sasl_attempt a;
    char longest[2 + 2 * 256];

    (void)state;
    assert_int_equal(PLAIN("\0user\0pass"), SASL_ATTEMPT);
    assert_string_equal(a.user, "user");
    assert_string_equal(a.password, "pass");
    assert_string_equal(a.authzid, "");
    assert_string_equal(a.mechanism, "PLAIN");
    assert_int_equal(PLAIN("other\0user\0p=a,s s"), SASL_ATTEMPT);
    assert_string_equal(a.authzid, "other");
    assert_string_equal(a.password, "p=a,s s");

    assert_int_equal(PLAIN("user"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0user"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0user\0pa\0ss"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0\0pass"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0user\0"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0us\ner\0pass"), SASL_MALFORMED);
    assert_int_equal(PLAIN("\0us\xff\0pass"), SASL_MALFORMED);
    assert_int_equal(PLAIN("a\x01\0user\0pass"), SASL_MALFORMED);

    memset(longest, 'x', sizeof longest);
    longest[0] = longest[256] = '\0';
    assert_int_equal(start("PLAIN", longest, 257 + 255, &a), SASL_ATTEMPT);
    assert_int_equal(strlen(a.user), 255);
    assert_int_equal(strlen(a.password), 255);
    assert_int_equal(start("PLAIN", longest, 257 + 256, &a), SASL_MALFORMED);
    longest[256] = 'x';
    longest[257] = '\0';
    assert_int_equal(start("PLAIN", longest, 260, &a), SASL_MALFORMED);
}

static void mechanisms(void **state)
{
    static const struct sasl_mechanisms only_scram = { .scram = true };
    struct sasl_server s = { 0 };
    struct slice equals = SLICE_LIT("="), junk = SLICE_LIT("%%%%");
    enum sasl_step step;
    struct buf out;

    (void)state;
    buf_init(&out, 64);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT("PLAIN"), &only_scram, NULL, NULL, NULL, &step, &out), -ENOTSUP);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT("CRAM-MD5"), &all, NULL, NULL, NULL, &step, &out), -ENOTSUP);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT(""), &all, NULL, NULL, NULL, &step, &out), -ENOTSUP);
    assert_int_equal(s.state, SASL_IDLE);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT("plain"), &all, &equals, NULL, NULL, &step, &out), 0);
    assert_int_equal(step, SASL_MALFORMED);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT("PLAIN"), &all, &junk, NULL, NULL, &step, &out), 0);
    assert_int_equal(step, SASL_MALFORMED);
    assert_int_equal(sasl_server_start(&s, SLICE_LIT("PLAIN"), &all, NULL, NULL, NULL, &step, &out), 0);
    assert_int_equal(step, SASL_CONTINUE);
    assert_int_equal(out.n, 0);
    assert_int_equal(sasl_server_next(&s, SLICE_LIT("*"), NULL, NULL, &out), SASL_CANCELLED);
    sasl_server_clear(&s);
    assert_int_equal(sasl_server_next(&s, SLICE_LIT("AAAA"), NULL, NULL, &out), SASL_MALFORMED);
    buf_clear(&out);

    assert_string_equal(sasl_client_choose(SLICE_LIT("PLAIN LOGIN SCRAM-SHA-256")), "SCRAM-SHA-256");
    assert_string_equal(sasl_client_choose(SLICE_LIT("LOGIN plain")), "PLAIN");
    assert_string_equal(sasl_client_choose(SLICE_LIT("XOAUTH2 LOGIN")), "LOGIN");
    assert_null(sasl_client_choose(SLICE_LIT("SCRAM-SHA-1 SCRAM-SHA-256-PLUS PLAINER")));
    assert_null(sasl_client_choose(SLICE_LIT("")));
}

/* Runs our client against our server. SASL_ATTEMPT with the attempt, or where it ended. */
static enum sasl_step converse(const char *mechanism, const char *user, const char *password, struct directory *d,
                               struct sasl_attempt *ret, bool *ret_trusts)
{
    struct sasl_client c;
    struct sasl_server s = { 0 };
    struct buf to_server, to_client;
    struct slice initial;
    enum sasl_step step;

    buf_init(&to_server, LIMIT_SASL_LINE);
    buf_init(&to_client, LIMIT_SASL_LINE);
    assert_int_equal(sasl_client_start(&c, mechanism, user, password, &to_server), 0);
    assert_int_equal(sasl_client_trusts(&c), strcmp(mechanism, "SCRAM-SHA-256") != 0);
    initial = buf_slice(&to_server);
    assert_int_equal(sasl_server_start(&s, slice_str(mechanism), &all, to_server.n > 0 ? &initial : NULL, keys_of, d,
                                       &step, &to_client),
                     0);
    while (step == SASL_CONTINUE) {
        enum sasl_client_step next;
        uint8_t salted[32];

        buf_reset(&to_server);
        next = sasl_client_next(&c, buf_slice(&to_client), &to_server);
        if (next == SASL_CLIENT_FAILED)
            break;
        if (next == SASL_CLIENT_KEY) {
            sasl_scram_derive(slice_str(password), c.salt, c.salt_n, c.iterations, salted);
            assert_int_equal(sasl_client_key(&c, salted, &to_server), 0);
            assert_false(sasl_client_trusts(&c));
        }
        buf_reset(&to_client);
        step = sasl_server_next(&s, buf_slice(&to_server), keys_of, d, &to_client);
    }
    *ret = s.attempt;
    *ret_trusts = sasl_client_trusts(&c);
    sasl_client_clear(&c);
    sasl_server_clear(&s);
    buf_clear(&to_server);
    buf_clear(&to_client);
    return step;
}

static void both_sides(void **state)
{
    static const char *const names[] = { "PLAIN", "LOGIN" };
    struct directory d = directory_of("secret");
    struct sasl_attempt a;
    bool trusts = false;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(converse(names[i], "user@example.org", "secret", &d, &a, &trusts), SASL_ATTEMPT);
        assert_string_equal(a.mechanism, names[i]);
        assert_string_equal(a.user, "user@example.org");
        assert_string_equal(a.password, "secret");
        assert_false(a.scram);
        assert_true(trusts);
    }
    assert_int_equal(d.asked, 0);
    assert_int_equal(converse("SCRAM-SHA-256", "us,e=r", "secret", &d, &a, &trusts), SASL_ATTEMPT);
    assert_int_equal(d.asked, 1);
    assert_string_equal(a.user, "us,e=r");
    assert_true(a.scram && a.scram_proved);
    assert_string_equal(a.password, "");
    assert_true(trusts);

    assert_int_equal(converse("SCRAM-SHA-256", "user", "wrong", &d, &a, &trusts), SASL_ATTEMPT);
    assert_true(a.scram && !a.scram_proved);
    assert_false(trusts);
    d.keys.known = false;
    assert_int_equal(converse("SCRAM-SHA-256", "user", "secret", &d, &a, &trusts), SASL_ATTEMPT);
    assert_false(a.scram_proved);
    d.keys.known = true;
    d.keys.server[5] ^= 1; /* a server that only pretends to know the password is found out */
    assert_int_equal(converse("SCRAM-SHA-256", "user", "secret", &d, &a, &trusts), SASL_CONTINUE);
    assert_false(trusts);
}

/* The exchange of RFC 7677 section 3. */
static void known_answers(void **state)
{
    static const char client_first[] = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    static const char server_first[] =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i="
        "4096";
    struct sasl_client c = { .user = "user", .password = "pencil", .state = SASL_C_SCRAM_FIRST };
    struct sasl_server s = { .state = SASL_SCRAM_FINAL };
    struct directory d = { .keys = { .known = true } };
    struct buf out, text;
    uint8_t salted[32], client_key[32];

    (void)state;
    buf_init(&out, 4096);
    buf_init(&text, 4096);
    buf_init(&c.text, SCRAM_TEXT);
    memcpy(c.nonce, "rOprNGfwEbeRWgbNEkqO%hvY", 25); /* our nonces are longer than the RFC's */
    assert_int_equal(buf_adds(&c.text, client_first), 0);
    assert_int_equal(base64_encode(slice_str(server_first), &text), 0);
    assert_int_equal(sasl_client_next(&c, buf_slice(&text), &out), SASL_CLIENT_KEY);
    sasl_scram_derive(SLICE_LIT("pencil"), c.salt, c.salt_n, c.iterations, salted);
    assert_int_equal(sasl_client_key(&c, salted, &out), 0);
    buf_reset(&text);
    assert_int_equal(base64_decode(buf_slice(&out), &text), 0);
    assert_string_equal(buf_cstr(&text), "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                         "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");

    /* The same messages on our server. */
    memcpy(s.nonce, "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", 51);
    scram_hmac(salted, SLICE_LIT("Client Key"), client_key);
    scram_hash(client_key, d.keys.stored);
    scram_hmac(salted, SLICE_LIT("Server Key"), d.keys.server);
    s.keys = d.keys;
    s.gs2_n = 3;
    buf_init(&s.text, SCRAM_TEXT);
    assert_int_equal(buf_addf(&s.text, "n,,%s,%s", client_first, server_first), 0);
    buf_reset(&text);
    assert_int_equal(sasl_server_next(&s, buf_slice(&out), keys_of, &d, &text), SASL_CONTINUE);
    buf_reset(&out);
    assert_int_equal(base64_decode(buf_slice(&text), &out), 0);
    assert_string_equal(buf_cstr(&out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_false(sasl_client_trusts(&c));
    buf_reset(&out);
    assert_int_equal(sasl_client_next(&c, buf_slice(&text), &out), SASL_CLIENT_SEND);
    assert_int_equal(out.n, 0);
    assert_true(sasl_client_trusts(&c));
    assert_int_equal(sasl_server_next(&s, SLICE_LIT(""), keys_of, &d, &out), SASL_ATTEMPT);
    assert_true(s.attempt.scram_proved);
    sasl_client_clear(&c);
    sasl_server_clear(&s);
    buf_clear(&out);
    buf_clear(&text);
}

#define SCRAM(text) start("SCRAM-SHA-256", text, sizeof(text) - 1, &a)

static void scram_first_messages(void **state)
{
    struct sasl_attempt a;

    (void)state;
    assert_int_equal(SCRAM("n,,n=user,r=nonce"), SASL_CONTINUE);
    assert_int_equal(SCRAM("y,,n=user,r=nonce"), SASL_CONTINUE);
    assert_int_equal(SCRAM("n,a=ad=2Cmin,n=us=3Der,r=nonce,x=extension"), SASL_CONTINUE);
    assert_string_equal(a.authzid, "ad,min");
    assert_string_equal(a.user, "us=er");
    assert_int_equal(SCRAM(""), SASL_MALFORMED);
    assert_int_equal(SCRAM("p=tls-unique,,n=user,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,n=user,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,a=,n=user,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,b=x,n=user,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,m=must,n=user,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=us=er,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=us=2,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=user"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=user,r="), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=user,r=a b"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=us\ner,r=nonce"), SASL_MALFORMED);
    assert_int_equal(SCRAM("n,,n=user,r=0123456789012345678901234567890123456789012345678901234567890123456789012345678"
                           "9012345678901234567890123456789012345678901234567890123456789"),
                     SASL_MALFORMED);
}

/* A last message that was not made for this exchange. */
static void scram_final_messages(void **state)
{
    static const char *const wrong[] = { "",
                                         "c=biws",
                                         "c=biws,r=%s",
                                         "c=biws,r=%s,p=",
                                         "c=biws,r=%s,p=AAAA",
                                         "c=eSws,r=%s,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                         "c=biws,r=%sx,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                         "r=%s,c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" };
    struct directory d = directory_of("secret");

    (void)state;
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        bool last = i == sizeof wrong / sizeof wrong[0]; /* well-formed, but the proof is wrong */
        const char *format = last ? "c=biws,r=%s,x=y,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" : wrong[i];
        struct slice initial = slice_str(base64("n,,n=user,r=nonce", 17));
        struct sasl_server s = { 0 };
        enum sasl_step step;
        struct buf out, text;

        buf_init(&out, 4096);
        buf_init(&text, 4096);
        assert_int_equal(sasl_server_start(&s, SLICE_LIT("SCRAM-SHA-256"), &all, &initial, keys_of, &d, &step, &out),
                         0);
        assert_int_equal(step, SASL_CONTINUE);
        for (const char *p = format; *p != '\0'; p++) {
            if (*p == '%')
                assert_int_equal(buf_adds(&text, s.nonce), 0);
            else if (p == format || p[-1] != '%')
                assert_int_equal(buf_addc(&text, *p), 0);
        }
        step = sasl_server_next(&s, slice_str(base64(text.p != NULL ? text.p : "", text.n)), keys_of, &d, &out);
        assert_int_equal(step, last ? SASL_ATTEMPT : SASL_MALFORMED);
        assert_false(s.attempt.scram_proved);
        sasl_server_clear(&s);
        buf_clear(&out);
        buf_clear(&text);
    }
}

static void client_refuses(void **state)
{
    static const char *const wrong[] = { "",
                                         "e=unknown-user",
                                         "r=short,s=c2FsdA==,i=4096",
                                         "r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,s=c2FsdA==,i=4096",
                                         "r=%,s=c2FsdA==,i=4096",
                                         "r=%more,s=,i=4096",
                                         "r=%more,s=!,i=4096",
                                         "r=%more,s=c2FsdA==,i=4095",
                                         "r=%more,s=c2FsdA==,i=1000001",
                                         "r=%more,s=c2FsdA==",
                                         "r=%more,i=4096,s=c2FsdA==" };

    (void)state;
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        bool last = i == sizeof wrong / sizeof wrong[0];
        struct sasl_client c;
        struct buf out, text;

        buf_init(&out, 4096);
        buf_init(&text, 4096);
        assert_int_equal(sasl_client_start(&c, "SCRAM-SHA-256", "user", "secret", &out), 0);
        for (const char *p = last ? "r=%more,s=c2FsdA==,i=4096" : wrong[i]; *p != '\0'; p++) {
            if (*p == '%')
                assert_int_equal(buf_adds(&text, c.nonce), 0);
            else
                assert_int_equal(buf_addc(&text, *p), 0);
        }
        assert_int_equal(sasl_client_next(&c, slice_str(base64(text.p != NULL ? text.p : "", text.n)), &out),
                         last ? SASL_CLIENT_KEY : SASL_CLIENT_FAILED);
        sasl_client_clear(&c);
        buf_clear(&out);
        buf_clear(&text);
    }
}

static void client_start(void **state)
{
    struct sasl_client c;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(sasl_client_start(&c, "GSSAPI", "user", "secret", &out), -ENOTSUP);
    sasl_client_clear(&c);
    assert_int_equal(sasl_client_start(&c, "PLAIN", "", "secret", &out), -EINVAL);
    sasl_client_clear(&c);
    assert_int_equal(sasl_client_start(&c, "PLAIN", "user", "sec\nret", &out), -EINVAL);
    sasl_client_clear(&c);
    assert_int_equal(sasl_client_start(&c, "PLAIN", "user", "secret", &out), 0);
    assert_string_equal(buf_cstr(&out), base64("\0user\0secret", 12));
    buf_reset(&out);
    /* a server that asks again, then one that asks too often */
    assert_int_equal(sasl_client_next(&c, SLICE_LIT(""), &out), SASL_CLIENT_SEND);
    assert_string_equal(buf_cstr(&out), base64("\0user\0secret", 12));
    assert_int_equal(sasl_client_next(&c, SLICE_LIT(""), &out), SASL_CLIENT_FAILED);
    sasl_client_clear(&c);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(mechanisms),
        cmocka_unit_test(both_sides),
        cmocka_unit_test(known_answers),
        cmocka_unit_test(scram_first_messages),
        cmocka_unit_test(scram_final_messages),
        cmocka_unit_test(client_refuses),
        cmocka_unit_test(client_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
