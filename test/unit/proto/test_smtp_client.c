/* The client against servers that follow a script, with the server's octets cut in every way. */
#include "facteur/proto/smtp_client.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* One exchange: the client's line must begin with `said`; then `reply` goes back. NULL: unasked. Special words: */
#define BODY   "@body "   /* a text up to its dot, equal to what follows */
#define OCTETS "@octets " /* exactly these octets: a chunk */
#define HANGUP "@hangup"  /* as a reply: the connection is lost */
struct step {
    const char *said, *reply;
};

struct scene {
    struct smtp_client_options options;
    const struct step *steps;
    struct smtp_client_message *messages;
    size_t message_count;
    const char *const *bodies; /* one for each message */
    const char *result;        /* the transcript */
    bool late_body;            /* each piece of the body comes later */
    bool narrow;               /* output is full after each piece */
    bool hungry;               /* what the server says is heard before the next piece of the body comes */
};

struct play {
    const struct scene *scene;
    struct smtp_client *client;
    struct buf out, in, transcript;
    size_t out_at, in_at, step, next_message, body_at;
    bool tls_wanted, lost, full, body_wanted, derive_wanted, piece_due;
    struct sasl_client sasl;
};

static void note(struct play *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct play *p, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_int_equal(buf_adds(&p->transcript, text), 0);
}

/* ---- the host ---- */

static void host_send(void *world, struct slice octets)
{
    assert_int_equal(buf_add(&((struct play *)world)->out, octets.p, octets.n), 0);
}

static bool host_is_full(void *world)
{
    return ((struct play *)world)->full;
}

static void host_start_tls(void *world)
{
    ((struct play *)world)->tls_wanted = true;
}

static void host_phase(void *world, enum smtp_client_phase phase)
{
    (void)world;
    (void)phase;
}

static void host_derive(void *world, const struct sasl_client *sasl)
{
    struct play *p = world;

    p->derive_wanted = true;
    p->sasl = *sasl;
}

static void host_on_ready(void *world)
{
    struct play *p = world;

    if (p->next_message == p->scene->message_count) {
        note(p, "quit ");
        smtp_client_quit(p->client);
        return;
    }
    p->body_at = 0;
    p->piece_due = p->scene->late_body;
    smtp_client_message(p->client, &p->scene->messages[p->next_message++]);
}

static ssize_t host_read_body(void *world, const char **ret, size_t n)
{
    struct play *p = world;
    const char *body = p->scene->bodies[p->next_message - 1];
    size_t left;

    if (body == NULL)
        return -EIO;
    if (p->piece_due) {
        p->body_wanted = true;
        return -EAGAIN;
    }
    p->piece_due = p->scene->late_body;
    p->full = p->scene->narrow;
    left = strlen(body) - p->body_at;
    if (p->scene->late_body && n > 3)
        n = 3;
    n = n < left ? n : left;
    *ret = body + p->body_at;
    p->body_at += n;
    return (ssize_t)n;
}

static void host_on_message(void *world, struct smtp_client_message *m, bool unclear)
{
    note(world, "message%s", unclear ? "?" : "");
    for (size_t i = 0; i < m->count; i++)
        note(world, "[%d %s %.40s]", m->rcpts[i].reply.code, m->rcpts[i].reply.enhanced, m->rcpts[i].reply.text);
    note(world, " ");
}

static void host_on_failed(void *world, enum smtp_client_phase at, const struct smtp_client_reply *why)
{
    note(world, "failed@%d[%d %s %.60s]", (int)at, why->code, why->enhanced, why->text);
}

static void host_on_quit(void *world)
{
    note(world, "over");
}

static const struct smtp_client_host host = {
    host_send,     host_is_full,   host_start_tls,  host_phase,     host_derive,
    host_on_ready, host_read_body, host_on_message, host_on_failed, host_on_quit,
};

/* ---- the server ---- */

static bool starts(struct slice s, const char *prefix)
{
    return s.n >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

/* The octets of the next thing that the client says, or 0 when it is not complete. */
static size_t said_length(const struct play *p, const char *said)
{
    struct slice rest = { p->out.p + p->out_at, p->out.n - p->out_at };
    const char *end;

    if (starts(slice_str(said), OCTETS))
        return rest.n >= strlen(said) - strlen(OCTETS) ? strlen(said) - strlen(OCTETS) : 0;
    if (rest.n == 0)
        return 0;
    if (starts(slice_str(said), BODY)) {
        if (starts(rest, ".\r\n"))
            return 3;
        end = memmem(rest.p, rest.n, "\r\n.\r\n", 5);
        return end != NULL ? (size_t)(end - rest.p) + 5 : 0;
    }
    end = memmem(rest.p, rest.n, "\r\n", 2);
    return end != NULL ? (size_t)(end - rest.p) + 2 : 0;
}

static void check_said(const char *said, struct slice heard)
{
    if (starts(slice_str(said), BODY))
        said += strlen(BODY);
    else if (starts(slice_str(said), OCTETS))
        said += strlen(OCTETS);
    else if (starts(heard, said))
        return;
    if (heard.n != strlen(said) || memcmp(heard.p, said, heard.n) != 0)
        fail_msg("expected \"%s\", heard \"%.*s\"", said, SLICE_ARG(heard));
}

/* Follows the script as far as the client has spoken. */
static void serve(struct play *p)
{
    for (; p->scene->steps[p->step].reply != NULL; p->step++) {
        const struct step *step = &p->scene->steps[p->step];
        size_t n = 0;

        if (step->said != NULL) {
            n = said_length(p, step->said);
            if (n == 0 && strcmp(step->said, OCTETS) != 0)
                return;
            check_said(step->said, slice_make(p->out.p + p->out_at, n));
            p->out_at += n;
        }
        if (strcmp(step->reply, HANGUP) == 0)
            p->lost = true;
        else
            assert_int_equal(buf_adds(&p->in, step->reply), 0);
    }
}

static bool host_events(struct play *p)
{
    uint8_t key[32];

    if (p->tls_wanted) {
        p->tls_wanted = false;
        smtp_client_tls_started(p->client);
    } else if (p->derive_wanted) {
        p->derive_wanted = false;
        sasl_scram_derive(slice_str(p->sasl.password), p->sasl.salt, p->sasl.salt_n, p->sasl.iterations, key);
        smtp_client_derived(p->client, key);
    } else if (p->full) {
        p->full = false;
        smtp_client_drained(p->client);
    } else if (p->body_wanted) {
        p->body_wanted = p->piece_due = false;
        smtp_client_body_ready(p->client);
    } else {
        return false;
    }
    return true;
}

/* The server's octets in pieces of `piece` (0: all there is), and cut once more at `split`. */
static size_t play(const struct scene *scene, size_t piece, size_t split)
{
    struct play p = { .scene = scene };
    size_t fed;

    buf_init(&p.out, 1 << 20);
    buf_init(&p.in, 4 << 20);
    buf_init(&p.transcript, 1 << 16);
    p.client = smtp_client_new(&scene->options, &host, &p);
    for (;;) {
        size_t n = p.in.n - p.in_at;
        char *copy;

        serve(&p);
        if ((!scene->hungry || p.in_at == p.in.n) && host_events(&p))
            continue;
        n = p.in.n - p.in_at;
        if (n == 0 && p.lost) {
            p.lost = false;
            smtp_client_failed(p.client, "lost");
            continue;
        }
        if (n == 0)
            break;
        if (piece > 0 && n > piece)
            n = piece;
        if (p.in_at < split && n > split - p.in_at)
            n = split - p.in_at;
        copy = mem_dup(p.in.p + p.in_at, n); /* so that ASan sees what is kept of it */
        p.in_at += n;
        smtp_client_feed(p.client, slice_make(copy, n));
        mem_free(copy);
    }
    fed = p.in_at;
    assert_string_equal(buf_cstr(&p.transcript), scene->result);
    if (p.out_at != p.out.n)
        fail_msg("the client said more: \"%.*s\"", (int)(p.out.n - p.out_at), p.out.p + p.out_at);
    smtp_client_free(&p.client);
    buf_clear(&p.out);
    buf_clear(&p.in);
    buf_clear(&p.transcript);
    return fed;
}

static void play_all_ways(const struct scene *scene)
{
    size_t total = play(scene, 0, 0);

    for (size_t piece = 1; piece < 8; piece++)
        (void)play(scene, piece, 0);
    for (size_t split = 1; split < total && split < 2000; split++)
        (void)play(scene, 0, split);
}

/* ---- scenes ---- */

#define STEPS(...)                                                                                                     \
    (const struct step[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }
#define RCPTS(...)                                                                                                     \
    (struct smtp_client_rcpt[])                                                                                        \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define BODIES(...)                                                                                                    \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define HELLO                                                                                                          \
    { NULL, "220 mx ESMTP\r\n" },                                                                                      \
    {                                                                                                                  \
        "EHLO me.example\r\n", "250 mx\r\n"                                                                            \
    }
#define HELLO_P                                                                                                        \
    { NULL, "220 mx ESMTP\r\n" },                                                                                      \
    {                                                                                                                  \
        "EHLO me.example\r\n", "250-mx\r\n250 PIPELINING\r\n"                                                          \
    }
#define BYE                                                                                                            \
    {                                                                                                                  \
        "QUIT\r\n", "221 bye\r\n"                                                                                      \
    }

static const struct smtp_client_options plain = { .helo = "me.example", .tls = CLIENT_TLS_NEVER };

static void one_message_step_by_step(void **state)
{
    struct smtp_client_message m = { .sender = "a@x",
                                     .rcpts = RCPTS({ .address = "b@y" }, { .address = "c@y" }),
                                     .count = 2 };
    struct scene s = {
        .options = plain,
        .steps =
            STEPS(HELLO, { "MAIL FROM:<a@x>\r\n", "250 2.1.0 ok\r\n" }, { "RCPT TO:<b@y>\r\n", "250 2.1.5 ok\r\n" },
                  { "RCPT TO:<c@y>\r\n", "550-5.1.1 no\r\n550 5.1.1 such user\r\n" }, { "DATA\r\n", "354 go\r\n" },
                  { BODY "Subject: x\r\n\r\n..dot\r\n...\r\nlast\r\n.\r\n", "250 2.0.0 taken\r\n" }, BYE),
        .messages = &m,
        .message_count = 1,
        .bodies = BODIES("Subject: x\n\n.dot\n..\nlast"),
        .result = "message[250 2.0.0 taken][550 5.1.1 no such user] quit over",
    };

    (void)state;
    play_all_ways(&s);
    s.late_body = true;
    play_all_ways(&s);
    s.narrow = true;
    play_all_ways(&s);
}

static void envelope_is_pipelined(void **state)
{
    struct smtp_client_rcpt rcpts[3];
    struct smtp_client_message m[3];
    struct scene s = {
        .options = plain,
        .steps = STEPS({ NULL, "220-mx\r\n220 ESMTP\r\n" },
                       { "EHLO me.example\r\n", "250-mx\r\n250-pipelining\r\n250 SIZE 100\r\n" },
                       { "MAIL FROM:<> SIZE=5\r\n", "" }, { "RCPT TO:<b@y>\r\n", "" },
                       { "DATA\r\n", "250 ok\r\n250 ok\r\n354 go\r\n" }, { BODY "hi\r\n.\r\n", "250 1\r\n" },
                       { "MAIL FROM:<> SIZE=5\r\n", "" }, { "RCPT TO:<b@y>\r\n", "" },
                       { "DATA\r\n", "250 ok\r\n250 ok\r\n354 go\r\n" }, { BODY ".\r\n", "452 4.3.1 full\r\n" }, BYE),
        .messages = m,
        .message_count = 3,
        .bodies = BODIES("hi\n", "", ""),
        .result = "message[250  1] message[452 4.3.1 full] message[552 5.3.4 The message is larger than the next serv] "
                  "quit over",
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        rcpts[i] = (struct smtp_client_rcpt){ .address = "b@y" };
        m[i] = (struct smtp_client_message){ .sender = "", .size = i < 2 ? 5 : 101, .rcpts = &rcpts[i], .count = 1 };
    }
    play_all_ways(&s);
}

static void refusals_before_data(void **state)
{
    struct smtp_client_message m = { .sender = "a@x",
                                     .rcpts = RCPTS({ .address = "b@y" }, { .address = "c@y" }),
                                     .count = 2 };
    struct scene s = { .options = plain, .messages = &m, .message_count = 1, .bodies = BODIES("x\n") };

    (void)state;
    /* MAIL */
    s.result = "message[550 5.7.1 no][550 5.7.1 no] quit over";
    s.steps = STEPS(HELLO, { "MAIL", "550 5.7.1 no\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(HELLO_P, { "MAIL", "550 5.7.1 no\r\n" }, { "RCPT", "503 order\r\n" }, { "RCPT", "503 order\r\n" },
                    { "DATA", "503 order\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(HELLO_P, { "MAIL", "550 5.7.1 no\r\n" }, { "RCPT", "503 order\r\n" }, { "RCPT", "503 order\r\n" },
                    { "DATA", "354 go\r\n" }, { BODY ".\r\n", "554 nobody\r\n" }, BYE);
    play_all_ways(&s);
    /* a server that forgets what it refused must not get a message in nobody's name */
    s.result = "message[550 5.7.1 no][550 5.7.1 no] failed@6[550 5.7.1 no]";
    s.steps = STEPS(HELLO_P, { "MAIL", "550 5.7.1 no\r\n" }, { "RCPT", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" },
                    { "DATA", "354 go\r\n" });
    play_all_ways(&s);
    /* every RCPT */
    s.result = "message[450 4.2.1 later][550 5.1.1 no] quit over";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "450 4.2.1 later\r\n" }, { "RCPT", "550 5.1.1 no\r\n" },
                    { "RSET", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(HELLO_P, { "MAIL", "250 ok\r\n" }, { "RCPT", "450 4.2.1 later\r\n" },
                    { "RCPT", "550 5.1.1 no\r\n" }, { "DATA", "554 nobody\r\n" }, { "RSET", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(HELLO_P, { "MAIL", "250 ok\r\n" }, { "RCPT", "450 4.2.1 later\r\n" },
                    { "RCPT", "550 5.1.1 no\r\n" }, { "DATA", "354 go\r\n" }, { BODY ".\r\n", "250 odd\r\n" }, BYE);
    play_all_ways(&s);
    /* DATA */
    s.result = "message[451 4.3.0 not now][550 5.1.1 no] quit over";
    s.steps = STEPS(HELLO_P, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "RCPT", "550 5.1.1 no\r\n" },
                    { "DATA", "451 4.3.0 not now\r\n" }, { "RSET", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
}

static void lost_connections(void **state)
{
    struct smtp_client_message m = { .sender = "a@x",
                                     .rcpts = RCPTS({ .address = "b@y" }, { .address = "c@y" }),
                                     .count = 2 };
    struct scene s = { .options = plain, .messages = &m, .message_count = 1, .bodies = BODIES("x\n") };

    (void)state;
    s.result = "failed@0[421 4.4.2 lost]";
    s.steps = STEPS({ NULL, "220-half" }, { NULL, HANGUP });
    play_all_ways(&s);
    s.result = "message[421 4.4.2 lost][421 4.4.2 lost] failed@4[421 4.4.2 lost]";
    s.steps = STEPS(HELLO, { "MAIL", HANGUP });
    play_all_ways(&s);
    /* what was refused stays refused */
    s.result = "message[550  no][421 4.4.2 lost] failed@5[421 4.4.2 lost]";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "550 no\r\n" }, { "RCPT", HANGUP });
    play_all_ways(&s);
    /* after the final dot nobody knows (RFC 1047) */
    s.result = "message?[421 4.4.2 lost][421 4.4.2 lost] failed@8[421 4.4.2 lost]";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" },
                    { "DATA", "354 go\r\n" }, { BODY "x\r\n.\r\n", HANGUP });
    play_all_ways(&s);
    s.result = "message[250  ok][250  ok] quit over";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" },
                    { "DATA", "354 go\r\n" }, { BODY "x\r\n.\r\n", "250 ok\r\n" }, { "QUIT", HANGUP });
    play_all_ways(&s);
    /* 421 at any point is the end */
    s.result = "message[421 4.3.2 closing][421 4.3.2 closing] failed@5[421 4.3.2 closing]";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "421 4.3.2 closing\r\n" }, { "RCPT", "" });
    play_all_ways(&s);
    /* our own side fails: no dot */
    s.bodies = BODIES(NULL);
    s.result =
        "message[451 4.3.0 The message could not be read from the q][451 4.3.0 The message could not be read from "
        "the q] failed@7[451 4.3.0 The message could not be read from the queue]";
    s.steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" },
                    { "DATA", "354 go\r\n" });
    play_all_ways(&s);
}

/* The server has enough before it has all: its word counts, and the connection is of no more use. */
static void refused_while_sending(void **state)
{
    struct smtp_client_message m = { .sender = "a@x", .rcpts = RCPTS({ .address = "b@y" }), .count = 1 };
    struct scene s = {
        .options = plain,
        .messages = &m,
        .message_count = 1,
        .bodies = BODIES("one\ntwo\nthree\n"),
        .late_body = true,
        .hungry = true,
        .result = "message[552 5.3.4 enough] failed@7[552 5.3.4 enough]",
        .steps = STEPS(HELLO, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "DATA", "354 go\r\n" },
                       { OCTETS "one", "552 5.3.4 enough\r\n" }),
    };

    (void)state;
    play_all_ways(&s);
}

static void what_the_server_lacks(void **state)
{
    struct smtp_client_message m[4] = {
        { .sender = "a@x", .utf8 = true, .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
        { .sender = "a@x", .eight_bit = true, .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
        { .sender = "a@x", .binary = true, .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
        { .sender = "a@x", .rcpts = RCPTS({ .address = "b\r\nRSET" }, { .address = "c@y" }), .count = 2 },
    };
    struct scene s = {
        .options = plain,
        .messages = m,
        .message_count = 4,
        .bodies = BODIES("", "", "", "x\n"),
        .steps = STEPS(HELLO, { "MAIL FROM:<a@x>\r\n", "250 ok\r\n" }, { "RCPT TO:<c@y>\r\n", "250 ok\r\n" },
                       { "DATA", "354 go\r\n" }, { BODY "x\r\n.\r\n", "250 ok\r\n" }, BYE),
        .result =
            "message[550 5.6.7 The next server does not take internatio] message[554 5.6.3 The next server does not "
            "take 8-bit mess] message[554 5.6.3 The next server does not take binary mes] "
            "message[553 5.1.3 The recipient's address cannot be sent][250  ok] quit over",
    };

    (void)state;
    play_all_ways(&s);
}

static void extensions_are_used_where_offered(void **state)
{
    struct smtp_client_message m[2] = {
        { .sender = "a@x",
          .size = 9,
          .utf8 = true,
          .eight_bit = true,
          .ret = SMTP_RET_HDRS,
          .envid = "id=1",
          .rcpts =
              RCPTS({ .address = "b@y", .orcpt = "rfc822;o+1@z", .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY },
                    { .address = "c@y", .notify = SMTP_NOTIFY_NEVER }),
          .count = 2 },
        { .sender = "a@x", .size = 9, .ret = SMTP_RET_FULL, .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
    };
    struct scene s = {
        .options = plain,
        .messages = m,
        .message_count = 2,
        .bodies = BODIES("x\n", "y\n"),
        .steps = STEPS(
            { NULL, "220 mx\r\n" },
            { "EHLO",
              "250-mx\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-LIMITS RCPTMAX=7 MAILMAX=9\r\n250 DSN\r\n" },
            { "MAIL FROM:<a@x> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+3D1\r\n", "250 ok\r\n" },
            { "RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2B1@z\r\n", "250 ok\r\n" },
            { "RCPT TO:<c@y> NOTIFY=NEVER\r\n", "250 ok\r\n" }, { "DATA", "354 go\r\n" },
            { BODY "x\r\n.\r\n", "250 ok\r\n" }, { "MAIL FROM:<a@x> SIZE=9 RET=FULL\r\n", "250 ok\r\n" },
            { "RCPT TO:<b@y>\r\n", "250 ok\r\n" }, { "DATA", "354 go\r\n" }, { BODY "y\r\n.\r\n", "250 ok\r\n" }, BYE),
        .result = "message[250  ok][250  ok] message[250  ok] quit over",
    };

    (void)state;
    play_all_ways(&s);
}

static void what_takes_7_bits_only_says_so(void **state)
{
    struct smtp_client_message m[3] = {
        { .sender = "a@x", .eight_bit = true, .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
        { .sender = "a@x", .eight_bit = true, .not_7bit = "because", .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
        { .sender = "a@x", .binary = true, .not_7bit = "so", .rcpts = RCPTS({ .address = "b@y" }), .count = 1 },
    };
    struct scene s = {
        .options = plain,
        .messages = m,
        .message_count = 3,
        .bodies = BODIES("x\n", "y\n", "z\n"),
        .steps = STEPS({ NULL, "220 mx\r\n" }, { "EHLO", "250-mx\r\n250 BINARYMIME\r\n" }, BYE),
        .result = "message[554 5.6.3 The next server does not take 8-bit mess] message[554 5.6.3 The next server "
                  "does not take 8-bit mess] message[554 5.6.3 The next server does not take binary mes] quit "
                  "over",
    };

    (void)state;
    play_all_ways(&s);
    assert_string_equal(
        m[1].rcpts[0].reply.text,
        "The next server does not take 8-bit messages (8BITMIME), and this one cannot be converted: because");
    assert_string_equal(
        m[2].rcpts[0].reply.text,
        "The next server does not take binary messages (BINARYMIME), and this one cannot be converted: so");
}

static void binary_goes_in_chunks(void **state)
{
    struct smtp_client_message m = {
        .sender = "a@x", .binary = true, .rcpts = RCPTS({ .address = "b@y" }), .count = 1
    };
    struct scene s = { .options = plain, .messages = &m, .message_count = 1, .bodies = BODIES("a\r\n.\r\nb\n") };
#define HELLO_B { NULL, "220 mx\r\n" }, { "EHLO", "250-mx\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 BINARYMIME\r\n" }

    (void)state;
    s.result = "message[250  ok] quit over";
    s.steps = STEPS(HELLO_B, { "MAIL FROM:<a@x> BODY=BINARYMIME\r\n", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" },
                    { "BDAT 8\r\n", "" }, { OCTETS "a\r\n.\r\nb\n", "250 got it\r\n" },
                    { "BDAT 0 LAST\r\n", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.late_body = true;
    s.steps = STEPS(HELLO_B, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "BDAT 3\r\n", "" },
                    { OCTETS "a\r\n", "250 ok\r\n" }, { "BDAT 3\r\n", "" }, { OCTETS ".\r\n", "250 ok\r\n" },
                    { "BDAT 2\r\n", "" }, { OCTETS "b\n", "250 ok\r\n" }, { "BDAT 0 LAST\r\n", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.late_body = false;
    s.result = "message[452 4.3.1 full] quit over";
    s.steps = STEPS(HELLO_B, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "BDAT 8\r\n", "" },
                    { OCTETS "a\r\n.\r\nb\n", "452 4.3.1 full\r\n" }, { "RSET", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.result = "message?[421 4.4.2 lost] failed@8[421 4.4.2 lost]";
    s.steps = STEPS(HELLO_B, { "MAIL", "250 ok\r\n" }, { "RCPT", "250 ok\r\n" }, { "BDAT 8\r\n", "" },
                    { OCTETS "a\r\n.\r\nb\n", "250 ok\r\n" }, { "BDAT 0 LAST\r\n", HANGUP });
    play_all_ways(&s);
    s.result = "message[550  no] quit over";
    s.steps = STEPS(HELLO_B, { "MAIL", "250 ok\r\n" }, { "RCPT", "550 no\r\n" }, { "RSET", "250 ok\r\n" }, BYE);
    play_all_ways(&s);
}

static void sessions_that_do_not_begin(void **state)
{
    struct scene s = { .options = plain };

    (void)state;
    s.result = "failed@0[554 5.7.1 go away]";
    s.steps = STEPS({ NULL, "554 5.7.1 go away\r\n" });
    play_all_ways(&s);
    s.result = "failed@1[451  busy]";
    s.steps = STEPS({ NULL, "220 mx\r\n" }, { "EHLO", "451 busy\r\n" });
    play_all_ways(&s);
    s.result = "quit over";
    s.steps = STEPS({ NULL, "220 mx\r\n" }, { "EHLO", "502 what\r\n" }, { "HELO me.example\r\n", "250 mx\r\n" }, BYE);
    play_all_ways(&s);
    s.result = "failed@1[550  no]";
    s.steps = STEPS({ NULL, "220 mx\r\n" }, { "EHLO", "502 what\r\n" }, { "HELO", "550 no\r\n" });
    play_all_ways(&s);
}

static void tls(void **state)
{
    struct scene s = { .options = { .helo = "me", .tls = CLIENT_TLS_IF_OFFERED } };
#define OFFER { NULL, "220 mx\r\n" }, { "EHLO", "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n" }

    (void)state;
    s.result = "quit over";
    s.steps = STEPS(OFFER, { "STARTTLS\r\n", "220 go\r\n" }, { "EHLO me\r\n", "250 mx\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(OFFER, { "STARTTLS\r\n", "454 4.7.0 no\r\n" }, BYE);
    play_all_ways(&s);
    s.options.tls = CLIENT_TLS_REQUIRED;
    s.result = "failed@2[454 4.7.0 no]";
    play_all_ways(&s);
    s.result = "failed@1[454 4.7.4 The server does not offer STARTTLS, which is required]";
    s.steps = STEPS({ NULL, "220 mx\r\n" }, { "EHLO", "250 mx\r\n" });
    play_all_ways(&s);
    /* what was offered in clear is forgotten */
    s.options.user = "u";
    s.options.password = "p";
    s.result = "failed@1[454 4.7.0 The server offers no way to log in that we know]";
    s.steps = STEPS(OFFER, { "STARTTLS\r\n", "220 go\r\n" }, { "EHLO me\r\n", "250 mx\r\n" });
    play_all_ways(&s);
}

/* A8: the reply and what is injected behind it come in one piece, as they do when somebody in between adds them. */
static void injection_behind_starttls(void **state)
{
    struct scene s = { .options = { .helo = "me", .tls = CLIENT_TLS_REQUIRED },
                       .result = "failed@2[454 4.7.0 Octets behind the reply to STARTTLS: somebody is in between]",
                       .steps = STEPS(OFFER, { "STARTTLS\r\n", "220 go\r\n250 AUTH PLAIN\r\n" }) };

    (void)state;
    (void)play(&s, 0, 0);
}

static void login(void **state)
{
    struct scene s = { .options = {
                           .helo = "me", .tls = CLIENT_TLS_ACTIVE, .user = "tim", .password = "tanstaaftanstaaf" } };
#define AUTHS(list) { NULL, "220 mx\r\n" }, { "EHLO", "250-mx\r\n250 AUTH " list "\r\n" }

    (void)state;
    s.result = "quit over";
    s.steps = STEPS(AUTHS("LOGIN PLAIN"), { "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n", "235 2.7.0 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.steps = STEPS(AUTHS("LOGIN"), { "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n" },
                    { "dGlt\r\n", "334 UGFzc3dvcmQ6\r\n" }, { "dGFuc3RhYWZ0YW5zdGFhZg==\r\n", "235 ok\r\n" }, BYE);
    play_all_ways(&s);
    s.result = "failed@3[535 5.7.8 wrong]";
    s.steps = STEPS(AUTHS("PLAIN"), { "AUTH PLAIN ", "535 5.7.8 wrong\r\n" });
    play_all_ways(&s);
    s.result = "failed@1[454 4.7.0 The server offers no way to log in that we know]";
    s.steps = STEPS(AUTHS("GSSAPI"));
    play_all_ways(&s);
    /* a server that says yes without proving that it knows the password */
    s.result = "failed@3[454 4.7.0 The server did not prove that it knows the password]";
    s.steps = STEPS(AUTHS("SCRAM-SHA-256 PLAIN"), { "AUTH SCRAM-SHA-256 ", "235 welcome\r\n" });
    play_all_ways(&s);
    s.result = "failed@3[454 4.7.0 The server's side of the login makes no sense]";
    s.steps = STEPS(AUTHS("SCRAM-SHA-256"), { "AUTH SCRAM-SHA-256 ", "334 bm9uc2Vuc2U=\r\n" },
                    { "*\r\n", "501 cancelled\r\n" });
    play_all_ways(&s);
    /* the password does not go in the clear because somebody took STARTTLS out of the reply */
    s.options.tls = CLIENT_TLS_IF_OFFERED;
    s.result = "failed@1[454 4.7.11 The server offers no TLS, and the password does not go in th]";
    s.steps = STEPS(AUTHS("PLAIN"));
    play_all_ways(&s);
}

/* F28 */
static void replies_without_end_or_sense(void **state)
{
    static char big[1 << 20], many[20000];
    static const char *const bad[] = { "199 early\r\n", "hello\r\n",          "\r\n",      "220x\r\n",
                                       "600 no\r\n",    "220-a\r\n250 b\r\n", "354 go\r\n" };
    struct scene s = { .options = plain };
    struct step steps[] = { { NULL, NULL }, { NULL, NULL } };

    (void)state;
    s.steps = steps;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        steps[0].reply = bad[i];
        s.result = i + 1 < sizeof bad / sizeof bad[0]
                       ? "failed@0[451 4.5.0 The server's answer is not an SMTP reply]"
                       : "failed@0[451 4.5.0 The server's reply does not fit the command]";
        play_all_ways(&s);
    }
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "220 ", 4);
    steps[0].reply = big;
    s.result = "failed@0[451 4.5.0 The server's reply is too long]";
    (void)play(&s, 0, 0);
    (void)play(&s, 1000, 0);
    for (size_t i = 0; i + 6 < sizeof many; i += 6)
        memcpy(many + i, "220-\r\n", 6);
    steps[0].reply = many;
    s.result = "failed@0[451 4.5.0 The server's reply has too many lines]";
    (void)play(&s, 0, 0);
    (void)play(&s, 1, 0);
}

/* Few lines, none of them long, but too much of them. */
static void replies_that_add_up(void **state)
{
    static char text[100 * 1000];
    struct scene s = { .options = plain, .steps = STEPS({ NULL, text }) };

    (void)state;
    for (size_t i = 0; i + 1000 < sizeof text; i += 1000) {
        memset(text + i, 'x', 1000);
        memcpy(text + i, "220-", 4);
        memcpy(text + i + 998, "\r\n", 2);
    }
    s.result = "failed@0[451 4.5.0 The server's reply is too long]";
    (void)play(&s, 0, 0);
    (void)play(&s, 777, 0);
}

static void nul_in_a_reply(void **state)
{
    struct scene s = { .options = plain, .steps = STEPS({ NULL, "" }) };
    struct play p = { .scene = &s };

    (void)state;
    buf_init(&p.transcript, 1000);
    p.client = smtp_client_new(&plain, &host, &p);
    smtp_client_feed(p.client, SLICE_LIT("220 a\0b\r\n"));
    assert_string_equal(buf_cstr(&p.transcript), "failed@0[451 4.5.0 The server's answer is not an SMTP reply]");
    smtp_client_failed(p.client, "nothing more comes after the end");
    smtp_client_drained(p.client);
    smtp_client_quit(p.client);
    assert_string_equal(buf_cstr(&p.transcript), "failed@0[451 4.5.0 The server's answer is not an SMTP reply]");
    smtp_client_free(&p.client);
    buf_clear(&p.transcript);
}

static void long_replies_are_kept_to_one_line(void **state)
{
    struct scene s = { .options = plain,
                       .result = "failed@0[554 5.7.1 one two ?? three]",
                       .steps = STEPS({ NULL, "554-5.7.1 one\r\n554-5.7.1  two \r\n554 5.7.1 \x01\xff three\r\n" }) };

    (void)state;
    play_all_ways(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_message_step_by_step),
        cmocka_unit_test(envelope_is_pipelined),
        cmocka_unit_test(refusals_before_data),
        cmocka_unit_test(lost_connections),
        cmocka_unit_test(refused_while_sending),
        cmocka_unit_test(what_the_server_lacks),
        cmocka_unit_test(extensions_are_used_where_offered),
        cmocka_unit_test(binary_goes_in_chunks),
        cmocka_unit_test(what_takes_7_bits_only_says_so),
        cmocka_unit_test(sessions_that_do_not_begin),
        cmocka_unit_test(tls),
        cmocka_unit_test(injection_behind_starttls),
        cmocka_unit_test(login),
        cmocka_unit_test(replies_without_end_or_sense),
        cmocka_unit_test(replies_that_add_up),
        cmocka_unit_test(nul_in_a_reply),
        cmocka_unit_test(long_replies_are_kept_to_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
