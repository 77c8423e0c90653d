/* A whole session. The first 8 octets set the stage: options, then a pattern of answers (now or later, yes or no) that
 * is used over and over; the octet after them says how large the pieces are that the rest is fed in. It is played
 * twice, in pieces and at once: the same must come out. */
#include "facteur/base/buf.h"
#include "facteur/proto/imap_server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 9, LITERAL_MAX = 300, LINE = 2000 };
enum owed { NOBODY, AUTH, APPEND, RUN };

struct world {
    struct imap_server *s;
    const uint8_t *pattern; /* 7 octets */
    unsigned asked;
    enum owed owed;
    struct verdict verdict;
    struct imap_result result;
    bool closed, tls, hold, in_append, in_body, idle, inside;
    uint64_t announced, taken;
    struct buf said; /* by the server and by us */
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

static void note(struct world *w, const char *what, size_t n)
{
    check(buf_addf(&w->said, "* %s %zu\r\n", what, n) == 0);
}

static void on_send(void *world, struct slice octets)
{
    struct world *w = world;

    check(!w->closed && octets.n > 0);
    check(buf_add(&w->said, octets.p, octets.n) == 0);
}

static void on_start_tls(void *world)
{
    struct world *w = world;

    check(!w->closed && !w->tls);
    w->tls = true;
}

static void on_phase(void *world, enum imap_phase phase)
{
    struct world *w = world;

    check(!w->closed);
    check((phase == IMAP_PHASE_OURS) == imap_server_is_waiting(w->s));
    check((phase == IMAP_PHASE_IDLE) == w->idle);
}

static void on_close(void *world)
{
    struct world *w = world;

    check(!w->closed && !w->idle);
    w->closed = true;
}

static enum when ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    struct world *w = world;
    unsigned bits = next_bits(w);

    check(w->owed == NOBODY && !w->closed && attempt->user[0] != '\0' && attempt->mechanism != NULL);
    note(w, attempt->user, strlen(attempt->password));
    w->verdict = (bits & 1) != 0 ? verdict_make(535, "", "No") : verdict_make(235, "", "Yes");
    *ret = w->verdict;
    w->owed = (bits & 2) != 0 ? AUTH : NOBODY;
    return (bits & 2) != 0 ? LATER : NOW;
}

static void scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret)
{
    (void)world;
    (void)user;
    *ret = (struct sasl_scram_keys){ .salt = "salt", .salt_n = 4, .iterations = 4096 };
}

static void on_run(void *world, const struct imap_command *c)
{
    struct world *w = world;
    unsigned bits = next_bits(w);
    bool yes = (bits & 1) == 0;

    check(w->owed == NOBODY && !w->closed && !w->in_body && !w->idle && c->tag.n > 0);
    check(w->in_append == (c->verb == IMAP_APPEND || c->verb == IMAP_REPLACE));
    w->in_append = false;
    note(w, "ran", (size_t)c->verb);
    if (yes && (c->verb == IMAP_SELECT || c->verb == IMAP_CLOSE))
        imap_server_selected(w->s, c->verb == IMAP_SELECT, false);
    w->result = yes ? imap_ok("Yes") : imap_no("CANNOT", "%s", "No");
    if ((bits & 2) != 0)
        w->owed = RUN;
    else
        imap_server_done(w->s, &w->result);
}

static enum when ask_append(void *world, const struct imap_command *c, const struct imap_append *item,
                            struct imap_result *ret)
{
    struct world *w = world;
    unsigned bits = next_bits(w);

    check(w->owed == NOBODY && !w->closed && !w->in_body);
    check(c->verb == IMAP_APPEND || c->verb == IMAP_REPLACE);
    check(item->size > 0 && item->size <= LITERAL_MAX);
    w->announced = item->size;
    w->result = (bits & 1) != 0 ? imap_no("OVERQUOTA", "No") : imap_ok("Yes");
    *ret = w->result;
    w->owed = (bits & 2) != 0 ? APPEND : NOBODY;
    return (bits & 2) != 0 ? LATER : NOW;
}

static int push(void *to, struct slice octets)
{
    struct world *w = to;

    check(w->in_body && octets.n > 0);
    w->taken += octets.n;
    check(w->taken <= w->announced);
    if (w->hold)
        imap_server_hold(w->s, true);
    return 0;
}

static struct sink append_body(void *world)
{
    struct world *w = world;

    check(!w->in_body && !w->closed);
    w->in_append = w->in_body = true;
    w->taken = 0;
    return (struct sink){ push, w };
}

static void append_end(void *world)
{
    struct world *w = world;

    check(w->in_body && w->taken == w->announced);
    w->in_body = false;
}

static void append_abort(void *world)
{
    struct world *w = world;

    check(w->in_append);
    w->in_append = w->in_body = false;
}

static void on_news(void *world, bool may_expunge)
{
    struct world *w = world;

    check(!w->closed);
    note(w, "news", may_expunge);
}

static void on_idle(void *world, bool on)
{
    struct world *w = world;

    check(w->idle != on);
    w->idle = on;
}

static void on_refused(void *world, const char *reply, struct slice command)
{
    (void)world;
    (void)command;
    check(reply[0] == 'N' || reply[0] == 'B');
}

static void on_id(void *world, struct slice parameters)
{
    (void)world;
    check(parameters.n > 0);
}

static const struct imap_host host = {
    .send = on_send,
    .start_tls = on_start_tls,
    .phase = on_phase,
    .close = on_close,
    .ask_auth = ask_auth,
    .scram_keys = scram_keys,
    .run = on_run,
    .ask_append = ask_append,
    .append_body = append_body,
    .append_end = append_end,
    .append_abort = append_abort,
    .news = on_news,
    .idle = on_idle,
    .refused = on_refused,
    .id = on_id,
};

/* Until nothing is owed: letting go of a hold, and TLS, can each lead to the next question. */
static void answer_all(struct world *w)
{
    while (!w->closed && (w->owed != NOBODY || w->tls || imap_server_is_waiting(w->s))) {
        enum owed owed = w->owed;
        struct imap_result r = w->result;
        struct verdict v = w->verdict;

        check(owed == NOBODY || imap_server_is_waiting(w->s));
        w->owed = NOBODY;
        if (owed == AUTH) {
            imap_server_auth(w->s, &v);
        } else if (owed == APPEND) {
            imap_server_append_answer(w->s, &r);
        } else if (owed == RUN) {
            imap_server_done(w->s, &r);
        } else if (w->tls) {
            w->tls = false;
            imap_server_tls_started(w->s);
        } else {
            imap_server_hold(w->s, false);
        }
    }
}

/* Every line is whole, printable and begins as a reply does. */
static void check_lines(struct slice said)
{
    struct slice line;

    while (said.n > 0) {
        check(slice_cut(&said, '\n', &line) && line.n > 2 && line.p[line.n - 1] == '\r');
        line.n--;
        check(slice_find(line, ' ') > 0);
    }
}

static void play(const uint8_t *data, size_t size, size_t piece, struct world *w)
{
    struct slice in = slice_make((const char *)data + HEAD, size - HEAD);
    struct imap_server_options o = { .hostname = "mail.example.org",
                                     .append_limit = LITERAL_MAX,
                                     .line_length = LINE,
                                     .errors = 8,
                                     .auth_failures = 2,
                                     .auth = { .plain = true, .login = true } };

    o.tls_offered = (data[0] & 1) != 0;
    o.tls_active = (data[0] & 2) != 0;
    o.auth_without_tls = (data[0] & 4) == 0;
    o.auth.scram = (data[0] & 32) != 0;
    w->hold = (data[0] & 8) != 0;
    w->pattern = data + 1;
    buf_init(&w->said, 64 << 20);
    w->s = imap_server_new(&o, &host, w);
    imap_server_start(w->s);
    for (unsigned turn = 0; in.n > 0 && !w->closed; turn++, in = slice_skip(in, piece)) {
        imap_server_feed(w->s, slice_head(in, piece));
        if (turn % 2 == 0 || (data[0] & 16) == 0)
            answer_all(w);
    }
    answer_all(w);
    if (!w->closed)
        check_lines(buf_slice(&w->said));
}

static void end(const uint8_t *data, struct world *w)
{
    if ((data[7] & 1) != 0)
        imap_server_timeout(w->s);
    else if ((data[7] & 2) != 0)
        imap_server_bye(w->s, "Shutting down");
    imap_server_free(&w->s);
    check(!w->in_append);
    buf_clear(&w->said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world pieces = { 0 }, whole = { 0 };

    if (size < HEAD || size > 20000)
        return 0;
    play(data, size, data[8] == 0 ? size : data[8], &pieces);
    play(data, size, size, &whole);
    /* What stands behind STARTTLS is forgotten with a piece, or ends the session; a hold and input that waits are
     * matters of time, SCRAM's nonce is one of chance: these are not compared. */
    if ((data[0] & (1 | 8 | 16 | 32)) == 0)
        check(slice_eq(buf_slice(&pieces.said), buf_slice(&whole.said)) && pieces.closed == whole.closed);
    end(data, &pieces);
    end(data, &whole);
    return 0;
}
