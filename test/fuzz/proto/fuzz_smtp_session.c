/* A whole session. The first 8 octets set the stage: options, then a pattern of answers (now or later, yes or no) that
 * is used over and over; the octet after them says how large the pieces are that the rest is fed in. */
#include "facteur/proto/smtp_server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 9 };

struct world {
    struct smtp_server *s;
    const uint8_t *pattern; /* 7 octets */
    unsigned asked, sends, replies, owed_finals, finals;
    bool pending, in_transaction, body_open, closed, tls, hold;
    struct verdict answer;
};

static void check(bool good)
{
    if (!good)
        abort();
}

static unsigned next_bits(struct world *w)
{
    unsigned n = w->asked++ % 28;

    return (w->pattern[n / 4] >> (n % 4 * 2)) & 3;
}

static enum when decide(struct world *w, struct verdict yes, struct verdict *ret, bool *ret_yes)
{
    unsigned bits = next_bits(w);
    struct verdict v = (bits & 1) != 0 ? verdict_make(550, "5.7.1", "No") : yes;

    check(!w->pending && !w->closed);
    *ret_yes = verdict_is_ok(&v);
    if ((bits & 2) == 0) {
        *ret = v;
        return NOW;
    }
    w->answer = v;
    w->pending = true;
    return LATER;
}

/* Each line sent is well-formed: three digits, SP or "-", printable. */
static void on_send(void *world, struct slice octets)
{
    struct world *w = world;
    struct slice line;

    check(!w->closed && octets.n > 0);
    w->sends++;
    while (octets.n > 0) {
        short code;
        bool last;
        struct slice text;

        check(slice_cut(&octets, '\n', &line) && line.n > 0 && line.p[line.n - 1] == '\r');
        line.n--;
        check(smtp_parse_reply_line(line, &code, &last, &text) == 0);
        for (size_t i = 0; i < line.n; i++)
            check(line.p[i] >= 0x20 && line.p[i] < 0x7f);
        w->replies += last;
        w->finals += slice_istarts(text, "2.6.0 final") || slice_istarts(text, "5.7.1 final");
    }
}

static void on_start_tls(void *world)
{
    struct world *w = world;

    check(!w->closed && !w->in_transaction && !w->tls);
    w->tls = true;
}

static void on_phase(void *world, enum smtp_phase phase)
{
    struct world *w = world;

    check(!w->closed);
    check((phase == SMTP_PHASE_OURS) == smtp_server_is_waiting(w->s));
}

static void on_close(void *world)
{
    struct world *w = world;

    check(!w->closed);
    w->closed = true;
}

static enum when ask_connect(void *world, struct verdict *ret)
{
    bool yes;

    return decide(world, verdict_ok("2.0.0", "Ok"), ret, &yes);
}

static enum when ask_helo(void *world, const char *helo, bool extended, struct verdict *ret)
{
    bool yes;

    (void)extended;
    check(helo[0] != '\0');
    return decide(world, verdict_ok("2.0.0", "Ok"), ret, &yes);
}

static enum when ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    bool yes;

    check(attempt->user[0] != '\0');
    return decide(world, verdict_make(235, "2.7.0", "Ok"), ret, &yes);
}

static void scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    (void)world;
    (void)user;
    *ret = (struct sasl_scram_keys){ .salt = "salt", .salt_n = 4, .iterations = 4096 };
}

static enum when ask_mail(void *world, const struct smtp_mail *mail, struct verdict *ret)
{
    struct world *w = world;

    (void)mail;
    check(!w->in_transaction);
    return decide(w, verdict_ok("2.1.0", "Ok"), ret, &w->in_transaction);
}

static enum when ask_rcpt(void *world, const struct smtp_rcpt *rcpt, struct verdict *ret)
{
    struct world *w = world;
    bool yes;

    (void)rcpt;
    check(w->in_transaction && !w->body_open);
    return decide(w, verdict_ok("2.1.5", "Ok"), ret, &yes);
}

static enum when ask_data(void *world, struct verdict *ret)
{
    struct world *w = world;
    bool yes;

    check(w->in_transaction && !w->body_open);
    return decide(w, verdict_ok("2.0.0", "Ok"), ret, &yes);
}

static int push(void *to, struct slice octets)
{
    struct world *w = to;

    check(w->in_transaction && w->body_open && !w->pending && octets.n > 0);
    if (w->hold)
        smtp_server_hold(w->s, true);
    return 0;
}

static struct sink body(void *world)
{
    struct world *w = world;

    check(w->in_transaction && !w->body_open);
    w->body_open = true;
    return (struct sink){ push, w };
}

static enum when ask_commit(void *world, struct verdict *ret)
{
    struct world *w = world;
    bool yes;
    enum when when;

    check(w->in_transaction && w->body_open);
    w->in_transaction = w->body_open = false;
    w->owed_finals++;
    when = decide(w, verdict_ok("2.6.0", "final"), ret, &yes);
    if (!yes)
        *(when == NOW ? ret : &w->answer) = verdict_make(550, "5.7.1", "final");
    return when;
}

static void on_abort(void *world)
{
    struct world *w = world;

    check(w->in_transaction);
    w->in_transaction = w->body_open = false;
}

static void on_refused(void *world, const struct verdict *v, struct slice command)
{
    (void)world;
    (void)command;
    check(v->code >= 400 && v->code < 600);
}

static const struct smtp_host host = {
    .send = on_send,
    .start_tls = on_start_tls,
    .phase = on_phase,
    .close = on_close,
    .ask_connect = ask_connect,
    .ask_helo = ask_helo,
    .ask_auth = ask_auth,
    .scram_keys = scram_keys,
    .ask_mail = ask_mail,
    .ask_rcpt = ask_rcpt,
    .ask_data = ask_data,
    .body = body,
    .ask_commit = ask_commit,
    .abort = on_abort,
    .refused = on_refused,
};

/* Until nothing is owed: letting go of a hold, and TLS, can each lead to the next question. */
static void answer_all(struct world *w)
{
    bool more = true;

    while (more && !w->closed) {
        struct verdict v = w->answer;

        more = w->pending || w->tls || smtp_server_is_waiting(w->s);
        if (w->pending) {
            check(smtp_server_is_waiting(w->s));
            w->pending = false;
            smtp_server_answer(w->s, &v);
        } else if (w->tls) {
            w->tls = false;
            smtp_server_tls_started(w->s);
        } else {
            smtp_server_hold(w->s, false);
        }
    }
}

static void feed(struct world *w, struct slice piece)
{
    unsigned sends = w->sends, replies = w->replies;
    bool waiting = smtp_server_is_waiting(w->s), closed = w->closed;

    smtp_server_feed(w->s, piece);
    check(!closed || w->replies == replies);
    /* Nothing is said while an answer is owed; but when too much is fed meanwhile, 421. */
    check(!waiting || w->sends == sends || w->closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = { .pattern = data + 1 };
    struct slice in = slice_make((const char *)data, size);
    size_t piece;
    struct smtp_server_options o = { .hostname = "mail.example.org",
                                     .message_size = 2000,
                                     .recipients = 3,
                                     .line_length = 200,
                                     .errors = 8,
                                     .commands = 16,
                                     .auth_failures = 2 };

    if (size < HEAD)
        return 0;
    o.submission = (data[0] & 1) != 0;
    o.tls_offered = (data[0] & 2) != 0;
    o.tls_active = (data[0] & 4) != 0;
    o.auth_without_tls = (data[0] & 8) != 0;
    o.trusting = (data[0] & 16) != 0;
    o.fix_bare_newlines = (data[0] & 32) != 0;
    w.hold = (data[0] & 64) != 0;
    o.auth = (struct sasl_mechanisms){ true, true, true };
    piece = data[8] == 0 ? size : data[8];
    in = slice_skip(in, HEAD);

    w.s = smtp_server_new(&o, &host, &w);
    smtp_server_start(w.s);
    for (unsigned turn = 0; in.n > 0; turn++, in = slice_skip(in, piece)) {
        feed(&w, slice_head(in, piece));
        if (turn % 2 == 0 || (data[0] & 128) == 0)
            answer_all(&w);
    }
    answer_all(&w);
    check(w.closed || w.finals == w.owed_finals);
    if ((data[7] & 1) != 0 && !w.pending)
        smtp_server_timeout(w.s);
    else if ((data[7] & 2) != 0)
        smtp_server_goodbye(w.s, "Shutting down");
    smtp_server_free(&w.s);
    check(!w.in_transaction || w.pending);
    return 0;
}
