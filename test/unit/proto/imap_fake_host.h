/* A host without sockets and mailboxes for tests of imap_server: what it is asked to do it writes down as untagged
 * lines ("* ran FETCH"), so that the order of everything can be seen. It answers at once or later. */
#ifndef FACTEUR_TEST_IMAP_FAKE_HOST_H
#define FACTEUR_TEST_IMAP_FAKE_HOST_H

#include "facteur/base/mem.h"
#include "facteur/proto/imap_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum fake_owed { FAKE_NOTHING, FAKE_AUTH, FAKE_APPEND, FAKE_RUN };

struct fake {
    struct imap_server *s;
    struct imap_server_options options;
    bool later; /* every question is answered later */
    bool quiet; /* news, phases and the like leave no lines */
    enum fake_owed owed;
    struct verdict verdict;
    struct imap_result result;
    struct imap_result append; /* what ask_append says */
    struct buf out, body;
    struct sasl_scram_keys keys; /* alice's */
    int sink_code;
    bool closed, tls_wanted, in_append, in_body, idle;
    unsigned phases, refusals, attempts, appends, aborts;
    enum imap_phase phase;
    char log[512], id[512];
};

static const char *const fake_verbs[] = {
#define X(name) #name,
    IMAP_VERBS(X)
#undef X
};

static inline void fake_line(struct fake *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void fake_line(struct fake *f, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    assert_int_equal(buf_addf(&f->out, "* %s\r\n", line), 0);
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

static inline void fake_phase(void *world, enum imap_phase phase)
{
    struct fake *f = world;

    assert_false(f->closed);
    assert_true((phase == IMAP_PHASE_OURS) == imap_server_is_waiting(f->s));
    f->phase = phase;
    f->phases++;
}

static inline void fake_close(void *world)
{
    struct fake *f = world;

    assert_false(f->closed);
    assert_false(f->idle);
    f->closed = true;
}

/* alice has the password "secret", others are wrong; "pop" may not, "later" cannot. */
static inline enum when fake_ask_auth(void *world, const struct sasl_attempt *a, struct verdict *ret)
{
    struct fake *f = world;
    struct verdict v = verdict_make(535, "5.7.8", "no such user, but nobody is told");

    assert_int_equal(f->owed, FAKE_NOTHING);
    f->attempts++;
    if (strcmp(a->user, "pop") == 0)
        v = verdict_make(534, "5.7.9", "IMAP is not allowed to you; use POP3");
    else if (strcmp(a->user, "later") == 0)
        v = verdict_make(454, "4.7.0", "the details");
    else if (strcmp(a->user, "alice") == 0 && (a->scram ? a->scram_proved : strcmp(a->password, "secret") == 0))
        v = verdict_make(235, "2.7.0", "Ok");
    f->verdict = v;
    f->owed = f->later ? FAKE_AUTH : FAKE_NOTHING;
    *ret = v;
    return f->later ? LATER : NOW;
}

static inline void fake_scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    struct fake *f = world;

    *ret = (struct sasl_scram_keys){ .salt = "salt of a test.", .salt_n = 16, .iterations = 4096 };
    if (slice_is(user, "alice"))
        *ret = f->keys;
}

static inline void fake_run(void *world, const struct imap_command *c)
{
    struct fake *f = world;
    struct imap_result r = imap_ok("%s completed", fake_verbs[c->verb]);

    assert_int_equal(f->owed, FAKE_NOTHING);
    assert_false(f->in_body);
    fake_line(f, "ran %s%s %.*s%s", c->uid ? "UID " : "", fake_verbs[c->verb], SLICE_ARG(c->mailbox),
              c->search.bad_charset ? "bad charset" : "");
    if (f->in_append)
        fake_line(f, "body <%.*s>", SLICE_ARG(buf_slice(&f->body)));
    f->in_append = false;
    if (slice_is(c->mailbox, "absent"))
        r = imap_no("NONEXISTENT", "There is no such mailbox");
    else if (c->verb == IMAP_SELECT || c->verb == IMAP_EXAMINE)
        imap_server_selected(f->s, true, c->verb == IMAP_EXAMINE);
    else if (c->verb == IMAP_CLOSE || c->verb == IMAP_UNSELECT)
        imap_server_selected(f->s, false, false);
    if (f->later) {
        f->owed = FAKE_RUN;
        f->result = r;
    } else {
        imap_server_done(f->s, &r);
    }
}

static inline enum when fake_ask_append(void *world, const struct imap_command *c, const struct imap_append *item,
                                        struct imap_result *ret)
{
    struct fake *f = world;

    assert_int_equal(f->owed, FAKE_NOTHING);
    assert_false(f->in_body);
    f->appends++;
    fake_line(f, "append to %.*s: %llu flags=%u keywords=%u date=%lld%s%s", SLICE_ARG(c->mailbox),
              (unsigned long long)item->size, item->flags.flags, (unsigned)item->flags.keyword_count,
              item->has_date ? (long long)item->internal_ms : -1, item->binary ? " binary" : "",
              item->utf8 ? " utf8" : "");
    f->result = slice_is(c->mailbox, "absent") ? imap_no("TRYCREATE", "There is no such mailbox") : f->append;
    f->owed = f->later ? FAKE_APPEND : FAKE_NOTHING;
    *ret = f->result;
    return f->later ? LATER : NOW;
}

static inline int fake_push(void *to, struct slice octets)
{
    struct fake *f = to;

    assert_true(f->in_body);
    if (f->sink_code < 0)
        return f->sink_code;
    return buf_add(&f->body, octets.p, octets.n);
}

static inline struct sink fake_append_body(void *world)
{
    struct fake *f = world;

    assert_false(f->in_body);
    if (!f->in_append)
        buf_reset(&f->body);
    f->in_append = f->in_body = true;
    return (struct sink){ fake_push, f };
}

static inline void fake_append_end(void *world)
{
    struct fake *f = world;

    assert_true(f->in_body);
    f->in_body = false;
    assert_int_equal(buf_adds(&f->body, "|"), 0);
}

static inline void fake_append_abort(void *world)
{
    struct fake *f = world;

    assert_true(f->in_append);
    f->in_append = f->in_body = false;
    f->aborts++;
}

static inline void fake_news(void *world, bool may_expunge)
{
    struct fake *f = world;

    assert_false(f->closed);
    if (!f->quiet)
        fake_line(f, may_expunge ? "news, expunge" : "news");
}

static inline void fake_idle(void *world, bool on)
{
    struct fake *f = world;

    assert_true(on != f->idle);
    f->idle = on;
}

static inline void fake_refused(void *world, const char *reply, struct slice command)
{
    struct fake *f = world;

    f->refusals++;
    (void)snprintf(f->log, sizeof f->log, "%s | %.*s", reply, SLICE_ARG(slice_head(command, 200)));
    assert_null(strstr(f->log, "secret"));
}

static inline void fake_id(void *world, struct slice parameters)
{
    struct fake *f = world;

    slice_clip(parameters, f->id, sizeof f->id);
}

static const struct imap_host fake_host = {
    .send = fake_send,
    .start_tls = fake_start_tls,
    .phase = fake_phase,
    .close = fake_close,
    .ask_auth = fake_ask_auth,
    .scram_keys = fake_scram_keys,
    .run = fake_run,
    .ask_append = fake_ask_append,
    .append_body = fake_append_body,
    .append_end = fake_append_end,
    .append_abort = fake_append_abort,
    .news = fake_news,
    .idle = fake_idle,
    .refused = fake_refused,
    .id = fake_id,
};

static inline void fake_init(struct fake *f)
{
    *f = (struct fake){ .options = { .hostname = "mail.example.org",
                                     .tls_offered = true,
                                     .auth_without_tls = true,
                                     .auth = { .plain = true, .login = true, .scram = true },
                                     .append_limit = 1000,
                                     .line_length = 65536,
                                     .errors = 10,
                                     .auth_failures = 3 },
                        .append = imap_ok("Ok") };
    buf_init(&f->out, 4 << 20);
    buf_init(&f->body, 4 << 20);
}

static inline void fake_answer(struct fake *f)
{
    while (f->owed != FAKE_NOTHING && !f->closed) {
        enum fake_owed owed = f->owed;
        struct imap_result r = f->result;
        struct verdict v = f->verdict;

        assert_true(imap_server_is_waiting(f->s));
        f->owed = FAKE_NOTHING;
        if (owed == FAKE_AUTH)
            imap_server_auth(f->s, &v);
        else if (owed == FAKE_APPEND)
            imap_server_append_answer(f->s, &r);
        else
            imap_server_done(f->s, &r);
    }
}

static inline void fake_start(struct fake *f)
{
    f->s = imap_server_new(&f->options, &fake_host, f);
    imap_server_start(f->s);
}

static inline void fake_feed(struct fake *f, struct slice octets)
{
    /* A copy of its own size, so that a look beyond the end is seen. */
    char *copy = mem_alloc(octets.n);

    if (octets.n > 0)
        memcpy(copy, octets.p, octets.n);
    imap_server_feed(f->s, slice_make(copy, octets.n));
    mem_free(copy);
}

/* Feeds the octets, gives all answers that are owed and returns what came back, which lives until the next call. */
static inline const char *fake_say_octets(struct fake *f, struct slice octets)
{
    buf_reset(&f->out);
    fake_feed(f, octets);
    fake_answer(f);
    return buf_cstr(&f->out);
}

static inline const char *fake_say(struct fake *f, const char *text)
{
    return fake_say_octets(f, slice_str(text));
}

static inline void fake_clear(struct fake *f)
{
    imap_server_free(&f->s);
    assert_false(f->in_append && f->owed != FAKE_RUN);
    buf_clear(&f->out);
    buf_clear(&f->body);
}

#endif
