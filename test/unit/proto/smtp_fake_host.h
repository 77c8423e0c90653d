/* A host without sockets and policy for tests of smtp_server: a small fixed world (test/dialog/README.md tells it) that
 * answers at once or later. */
#ifndef FACTEUR_TEST_SMTP_FAKE_HOST_H
#define FACTEUR_TEST_SMTP_FAKE_HOST_H

#include "facteur/base/mem.h"
#include "facteur/proto/smtp_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fake {
    struct smtp_server *s;
    struct smtp_server_options options;
    bool later; /* every ask_ is answered later */
    bool pending;
    struct verdict answer;
    struct verdict connect, commit; /* what ask_connect and ask_commit say */
    struct buf out;                 /* all that was sent and not yet looked at */
    struct buf body, stored;        /* of the message under way, and of the last one committed */
    int sink_code;                  /* what the sink says */
    unsigned commits, aborts, bodies, refusals, attempts;
    bool in_transaction, tls_wanted, closed;
    enum smtp_phase phase;
    unsigned phases; /* how often a wait began */
    char last_rcpt[LIMIT_DOMAIN + LIMIT_LOCAL_PART + 2], log[256];
};

static const uint8_t fake_salt[16] = "salt of a test.";

static inline enum when fake_decide(struct fake *f, struct verdict v, struct verdict *ret)
{
    assert_false(f->pending);
    assert_false(f->closed);
    if (f->later) {
        f->pending = true;
        f->answer = v;
        return LATER;
    }
    *ret = v;
    return NOW;
}

static inline void fake_send(void *world, struct slice octets)
{
    struct fake *f = world;

    assert_false(f->closed);
    assert_true(octets.n > 0);
    assert_int_equal(buf_add(&f->out, octets.p, octets.n), 0);
}

static inline void fake_start_tls(void *world)
{
    struct fake *f = world;

    assert_false(f->closed);
    f->tls_wanted = true;
}

static inline void fake_phase(void *world, enum smtp_phase phase)
{
    struct fake *f = world;

    f->phase = phase;
    f->phases++;
}

static inline void fake_close(void *world)
{
    struct fake *f = world;

    assert_false(f->closed);
    f->closed = true;
}

static inline enum when fake_ask_connect(void *world, struct verdict *ret)
{
    struct fake *f = world;

    return fake_decide(f, f->connect, ret);
}

static inline enum when fake_ask_helo(void *world, const char *helo, bool extended, struct verdict *ret)
{
    (void)extended;
    if (strcmp(helo, "refused.example") == 0)
        return fake_decide(world, verdict_make(550, "5.7.1", "Not you"), ret);
    return fake_decide(world, verdict_ok("2.0.0", "Ok"), ret);
}

static inline enum when fake_ask_auth(void *world, const struct sasl_attempt *a, struct verdict *ret)
{
    struct fake *f = world;
    bool good =
        strcmp(a->user, "alice@example.org") == 0 && (a->authzid[0] == '\0' || strcmp(a->authzid, a->user) == 0);

    f->attempts++;
    good = good && (a->scram ? a->scram_proved : strcmp(a->password, "secret") == 0);
    return fake_decide(world,
                       good ? verdict_make(235, "2.7.0", "Authentication successful")
                            : verdict_make(535, "5.7.8", "Authentication failed"),
                       ret);
}

static inline void fake_scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    /* Of the password "secret", fake_salt and 4,096 iterations. */
    static const uint8_t stored[32] = { 0xb5, 0x0b, 0x17, 0xf2, 0x01, 0x19, 0x86, 0x5c, 0x2a, 0xb4, 0x01,
                                        0x60, 0xa8, 0xbb, 0xe7, 0x4b, 0x1c, 0xe9, 0xcc, 0xeb, 0x64, 0x5d,
                                        0x91, 0xec, 0xf5, 0x4b, 0xd1, 0x56, 0xc3, 0xa6, 0xa9, 0x0a };
    static const uint8_t server[32] = { 0xd4, 0x29, 0x05, 0x11, 0x3e, 0x11, 0xd8, 0xae, 0xd6, 0xeb, 0x48,
                                        0x02, 0xa3, 0x07, 0x7a, 0x86, 0x22, 0xe8, 0x47, 0x01, 0x17, 0x08,
                                        0x94, 0xcd, 0x26, 0x06, 0xa4, 0x49, 0xbd, 0x79, 0x68, 0x44 };

    (void)world;
    *ret = (struct sasl_scram_keys){ .salt_n = sizeof fake_salt, .iterations = 4096 };
    memcpy(ret->salt, fake_salt, sizeof fake_salt);
    memcpy(ret->stored, stored, sizeof stored);
    memcpy(ret->server, server, sizeof server);
    ret->known = slice_is(user, "alice@example.org");
}

static inline enum when fake_ask_mail(void *world, const struct smtp_mail *mail, struct verdict *ret)
{
    struct fake *f = world;
    const char *local = mail->reverse_path.local;

    assert_false(f->in_transaction);
    if (strcmp(local, "refused") == 0)
        return fake_decide(f, verdict_make(550, "5.7.1", "Sender refused"), ret);
    if (strcmp(local, "tempfail") == 0)
        return fake_decide(f, verdict_make(451, "4.3.0", "Try again later"), ret);
    f->in_transaction = true;
    return fake_decide(f, verdict_ok("2.1.0", "Ok"), ret);
}

static inline enum when fake_ask_rcpt(void *world, const struct smtp_rcpt *rcpt, struct verdict *ret)
{
    struct fake *f = world;
    const struct address *a = &rcpt->forward_path;

    assert_true(f->in_transaction);
    (void)snprintf(f->last_rcpt, sizeof f->last_rcpt, "%s@%s", a->local, a->domain);
    if (a->domain[0] != '\0' && strcmp(a->domain, "example.org") != 0 && smtp_server_login(f->s)[0] == '\0')
        return fake_decide(f, verdict_make(554, "5.7.1", "Relay access denied"), ret);
    if (strcmp(a->local, "unknown") == 0)
        return fake_decide(f, verdict_make(550, "5.1.1", "No such user here"), ret);
    if (strcmp(a->local, "tempfail") == 0)
        return fake_decide(f, verdict_make(450, "4.2.0", "Try again later"), ret);
    return fake_decide(f, verdict_ok("2.1.5", "Ok"), ret);
}

static inline enum when fake_ask_data(void *world, struct verdict *ret)
{
    struct fake *f = world;

    assert_true(f->in_transaction);
    if (strncmp(f->last_rcpt, "nodata@", 7) == 0)
        return fake_decide(f, verdict_make(451, "4.7.1", "Not now"), ret);
    return fake_decide(f, verdict_ok("2.0.0", "Ok"), ret);
}

static inline int fake_push(void *to, struct slice octets)
{
    struct fake *f = to;

    assert_true(f->in_transaction);
    if (f->sink_code < 0)
        return f->sink_code;
    return buf_add(&f->body, octets.p, octets.n);
}

static inline struct sink fake_body(void *world)
{
    struct fake *f = world;

    assert_true(f->in_transaction);
    f->bodies++;
    buf_reset(&f->body);
    return (struct sink){ fake_push, f };
}

static inline enum when fake_ask_commit(void *world, struct verdict *ret)
{
    struct fake *f = world;

    assert_true(f->in_transaction);
    f->in_transaction = false;
    if (verdict_is_ok(&f->commit)) {
        f->commits++;
        buf_reset(&f->stored);
        assert_int_equal(buf_add(&f->stored, f->body.p, f->body.n), 0);
    }
    return fake_decide(f, f->commit, ret);
}

static inline void fake_abort(void *world)
{
    struct fake *f = world;

    assert_true(f->in_transaction);
    f->in_transaction = false;
    f->aborts++;
}

static inline void fake_refused(void *world, const struct verdict *v, struct slice command)
{
    struct fake *f = world;

    assert_true(v->code >= 400);
    f->refusals++;
    (void)snprintf(f->log, sizeof f->log, "%d %.*s", v->code, SLICE_ARG(command));
}

static const struct smtp_host fake_host = {
    .send = fake_send,
    .start_tls = fake_start_tls,
    .phase = fake_phase,
    .close = fake_close,
    .ask_connect = fake_ask_connect,
    .ask_helo = fake_ask_helo,
    .ask_auth = fake_ask_auth,
    .scram_keys = fake_scram_keys,
    .ask_mail = fake_ask_mail,
    .ask_rcpt = fake_ask_rcpt,
    .ask_data = fake_ask_data,
    .body = fake_body,
    .ask_commit = fake_ask_commit,
    .abort = fake_abort,
    .refused = fake_refused,
};

static inline void fake_init(struct fake *f)
{
    *f = (struct fake){ .options = { .hostname = "mail.example.org",
                                     .tls_offered = true,
                                     .auth = { .plain = true, .login = true, .scram = true },
                                     .message_size = 1000000,
                                     .recipients = 100,
                                     .line_length = 4096,
                                     .errors = 20,
                                     .commands = 100,
                                     .auth_failures = 3 },
                        .connect = verdict_ok("2.0.0", "Ok"),
                        .commit = verdict_ok("2.0.0", "Ok: queued as 0123456789abc") };
    buf_init(&f->out, 1 << 20);
    buf_init(&f->body, 4 << 20);
    buf_init(&f->stored, 4 << 20);
}

static inline void fake_answer(struct fake *f)
{
    while (f->pending) {
        struct verdict v = f->answer;

        assert_true(smtp_server_is_waiting(f->s));
        f->pending = false;
        smtp_server_answer(f->s, &v);
    }
}

static inline void fake_start(struct fake *f)
{
    f->s = smtp_server_new(&f->options, &fake_host, f);
    smtp_server_start(f->s);
    fake_answer(f);
}

static inline void fake_feed(struct fake *f, struct slice octets)
{
    /* A copy of its own size, so that a look beyond the end is seen. */
    char *copy = mem_alloc(octets.n);

    if (octets.n > 0)
        memcpy(copy, octets.p, octets.n);
    smtp_server_feed(f->s, slice_make(copy, octets.n));
    mem_free(copy);
}

/* Feeds the text, gives all answers that are owed and returns what came back, which lives until the next call. */
static inline const char *fake_say(struct fake *f, const char *text)
{
    buf_reset(&f->out);
    fake_feed(f, slice_str(text));
    fake_answer(f);
    return buf_cstr(&f->out);
}

static inline void fake_clear(struct fake *f)
{
    smtp_server_free(&f->s);
    assert_false(f->in_transaction && !f->pending);
    buf_clear(&f->out);
    buf_clear(&f->body);
    buf_clear(&f->stored);
}

#endif
