#include "smtp_server_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdlib.h>

/* ---- state ---- */

static const char *const state_names[] = {
#define X(name) #name,
    SMTP_STATES(X)
#undef X
};

static const uint16_t may_become[] = {
    /* the only legal moves */
    [SMTP_GREETING] = IN(START) | IN(CLOSED),
    [SMTP_START] = IN(START) | IN(READY) | IN(CLOSED),
    [SMTP_READY] = IN(START) /* STARTTLS; EHLO refused */ | IN(READY) | IN(MAIL) | IN(CLOSED),
    [SMTP_MAIL] = IN(START) | IN(READY) | IN(RCPT) | IN(CLOSED),
    [SMTP_RCPT] = IN(START) | IN(READY) | IN(RCPT) | IN(DATA) | IN(BDAT) | IN(CLOSED),
    [SMTP_DATA] = IN(READY) | IN(CLOSED),
    [SMTP_BDAT] = IN(START) | IN(READY) | IN(BDAT) | IN(CLOSED),
    [SMTP_CLOSED] = 0,
};

void smtp_go(struct smtp_server *s, enum smtp_state state)
{
    if ((may_become[s->state] & (1U << state)) == 0)
        abort(); /* our own mistake: no input leads here */
    s->state = state;
}

void smtp_tx_drop(struct smtp_server *s)
{
    bool owed = s->tx != NULL && s->tx->accepted && !s->tx->committing;

    mem_free(s->tx);
    s->tx = NULL;
    s->held = false;
    if (owed)
        s->host->abort(s->world);
}

bool smtp_is_outsider(const struct smtp_server *s)
{
    return !s->options.submission && !s->options.trusting && s->login == NULL;
}

void smtp_decide(struct smtp_server *s, enum when when, const struct verdict *v, smtp_continuation *then)
{
    if (when == NOW)
        then(s, v);
    else
        s->waiting = then;
}

/* The last words are said: what remains is to let them out. */
static void finish(struct smtp_server *s)
{
    smtp_flush(s);
    smtp_auth_drop(s);
    smtp_tx_drop(s);
    s->input.now = slice_make(NULL, 0);
    s->waiting = NULL;
    s->take = NULL;
    s->ending = false;
    smtp_go(s, SMTP_CLOSED);
    s->host->close(s->world);
}

/* ---- input ---- */

static void consume(struct smtp_server *s, size_t n)
{
    s->input.now = slice_skip(s->input.now, n);
}

static uint64_t drain_limit(const struct smtp_server *s)
{
    if (s->options.message_size == 0)
        return DRAIN_UNLIMITED;
    return s->options.message_size > DRAIN_MIN ? s->options.message_size : DRAIN_MIN;
}

static void say_too_much(struct smtp_server *s)
{
    smtp_reply(s, 421, "4.7.0", "Too much data behind a refusal, closing");
}

static enum progress take_drain(struct smtp_server *s)
{
    size_t n = s->input.now.n < s->drain ? s->input.now.n : (size_t)s->drain;

    consume(s, n);
    s->drain -= n;
    if (s->drain > 0)
        return MORE;
    s->take = smtp_take_command;
    if (s->drain_over)
        say_too_much(s);
    return DONE;
}

void smtp_swallow(struct smtp_server *s, uint64_t octets)
{
    uint64_t limit = drain_limit(s);

    s->drain = octets < limit ? octets : limit;
    s->drain_over = octets > limit;
    s->take = octets > 0 ? take_drain : smtp_take_command;
}

/* The rest of a line that has had its reply; it ends at a true CRLF only. */
static enum progress take_rest_of_line(struct smtp_server *s)
{
    size_t i = 0;
    bool found = false;

    while (i < s->input.now.n && !found) {
        found = s->after_cr && s->input.now.p[i] == '\n';
        s->after_cr = s->input.now.p[i++] == '\r';
    }
    consume(s, i);
    s->drain -= i < s->drain ? i : s->drain;
    if (found)
        s->take = smtp_take_command;
    else if (s->drain == 0)
        say_too_much(s);
    return found ? DONE : MORE;
}

void smtp_skip_line(struct smtp_server *s)
{
    s->drain = DRAIN_MIN;
    s->after_cr = false;
    s->take = take_rest_of_line;
}

int smtp_next_line(struct smtp_server *s, size_t max, struct slice *ret)
{
    ptrdiff_t lf = slice_find(slice_head(s->input.now, max), '\n');
    struct slice line = slice_head(s->input.now, lf < 0 ? max : (size_t)lf);

    if (lf < 0 && s->input.now.n < max)
        return MORE;
    if (lf < 0 || line.n == 0 || line.p[line.n - 1] != '\r') {
        /* Too long, or a bare LF. Nothing that follows on this line may be taken for a command. */
        consume(s, line.n);
        smtp_skip_line(s);
        s->after_cr = lf < 0 && line.p[line.n - 1] == '\r';
        return lf < 0 ? -E2BIG : -EILSEQ;
    }
    consume(s, line.n + 1);
    line.n--;
    if (slice_find(line, '\r') >= 0 || slice_find(line, '\0') >= 0)
        return -EILSEQ;
    *ret = line;
    return DONE;
}

enum progress smtp_take_command(struct smtp_server *s)
{
    struct slice line, start = s->input.now;
    int code;

    if (s->input.now.n == 0)
        return MORE;
    s->line = slice_make(NULL, 0);
    if (s->state == SMTP_START && s->input.now.p[0] == 0x16)
        code = -EPROTO;
    else
        code = smtp_next_line(s, LIMIT_COMMAND_LINE, &line);
    if (code == MORE)
        return MORE;
    if (code == DONE)
        smtp_run_line(s, line);
    else if (smtp_is_foreign(start))
        smtp_run_line(s, slice_head(start, 8));
    else if (code == -E2BIG)
        smtp_reply(s, 500, "5.5.2", "Line too long");
    else
        smtp_reply(s, 500, "5.5.2", "Bad line: NUL, or a CR or LF alone; lines end with CR LF");
    return DONE;
}

/* The only loop; nothing else reads input. */
static void pump(struct smtp_server *s)
{
    while (!s->ending && s->waiting == NULL && s->take != NULL && !(s->held && s->take == smtp_take_body))
        if (s->take(s) == MORE)
            break;
    if (s->ending)
        finish(s);
}

static void tell_phase(struct smtp_server *s)
{
    enum smtp_phase phase = SMTP_PHASE_COMMAND;

    if (s->state == SMTP_CLOSED)
        return;
    if (smtp_server_is_waiting(s))
        phase = SMTP_PHASE_OURS;
    else if (s->take == NULL)
        phase = SMTP_PHASE_TLS;
    else if (s->take == smtp_take_body || s->take == take_drain || s->state == SMTP_BDAT)
        phase = SMTP_PHASE_DATA;
    else if (s->state == SMTP_START)
        phase = SMTP_PHASE_GREETING;
    if (phase == s->phase && !s->new_wait)
        return;
    s->phase = phase;
    s->new_wait = false;
    s->host->phase(s->world, phase);
}

/* Between enter and leave input and the outbox are there. */
static void enter(struct smtp_server *s, struct talk_outbox *outbox)
{
    s->outbox = outbox;
    talk_open(outbox, s->host->send, s->world);
    talk_resume(&s->input);
}

static void say_too_much_input(struct smtp_server *s)
{
    smtp_reply(s, 421, "4.3.0", "More input than can be kept, closing");
}

static void leave(struct smtp_server *s)
{
    pump(s);
    if (talk_keep(&s->input) < 0) {
        say_too_much_input(s);
        finish(s);
    }
    smtp_flush(s);
    tell_phase(s);
    s->outbox = NULL;
}

/* ---- the public functions ---- */

struct smtp_server *smtp_server_new(const struct smtp_server_options *options, const struct smtp_host *host,
                                    void *world)
{
    struct smtp_server *s = mem_zero(sizeof *s);

    s->options = *options;
    s->host = host;
    s->world = world;
    s->tls = options->tls_active;
    s->state = SMTP_GREETING;
    s->take = smtp_take_command;
    s->phase = SMTP_PHASE_OURS;
    talk_init(&s->input, INPUT_MAX);
    return s;
}

void smtp_server_free(struct smtp_server **s)
{
    if (*s == NULL)
        return;
    smtp_auth_drop(*s);
    smtp_tx_drop(*s);
    talk_clear(&(*s)->input);
    mem_free((*s)->login);
    mem_free(*s);
    *s = NULL;
}

static void connect_decided(struct smtp_server *s, const struct verdict *v)
{
    struct verdict no = *v;

    if (s->input.now.n > 0 && smtp_is_foreign(s->input.now)) {
        smtp_run_line(s, slice_head(s->input.now, 8));
    } else if (!verdict_is_ok(v)) {
        no.enhanced[0] = '\0'; /* RFC 2034 3: not in the greeting */
        no.close = true;
        smtp_say(s, &no);
    } else if (s->early && smtp_is_outsider(s)) {
        smtp_say_talked_ahead(s);
    } else {
        smtp_go(s, SMTP_START);
        smtp_put(s, "220 ", 4);
        smtp_put(s, s->options.hostname, strlen(s->options.hostname));
        smtp_put(s, " ESMTP facteur\r\n", 16);
    }
}

void smtp_server_start(struct smtp_server *s)
{
    struct talk_outbox outbox;
    struct verdict v;

    enter(s, &outbox);
    smtp_decide(s, s->host->ask_connect(s->world, &v), &v, connect_decided);
    leave(s);
}

void smtp_server_feed(struct smtp_server *s, struct slice octets)
{
    struct talk_outbox outbox;

    if (s->take == NULL || octets.n == 0)
        return;
    s->early = s->early || s->state == SMTP_GREETING;
    enter(s, &outbox);
    if (talk_feed(&s->input, octets) < 0)
        say_too_much_input(s);
    leave(s);
}

void smtp_server_answer(struct smtp_server *s, const struct verdict *v)
{
    smtp_continuation *then = s->waiting;
    struct verdict copy = *v; /* it may live in what the continuation makes the host drop */
    struct talk_outbox outbox;

    if (then == NULL)
        return; /* it ended meanwhile */
    enter(s, &outbox);
    s->waiting = NULL;
    s->line = s->command != NULL ? slice_str(s->command->verb) : slice_make(NULL, 0);
    if (then != smtp_commit_decided && smtp_talks_ahead(s)) /* what follows the final dot may come at once */
        smtp_say_talked_ahead(s);
    else
        then(s, &copy);
    leave(s);
}

void smtp_server_tls_started(struct smtp_server *s)
{
    struct talk_outbox outbox;

    if (s->state == SMTP_CLOSED)
        return;
    enter(s, &outbox);
    s->tls = true;
    s->take = smtp_take_command;
    s->new_wait = true;
    leave(s);
}

void smtp_server_timeout(struct smtp_server *s)
{
    struct talk_outbox outbox;

    if (s->state == SMTP_CLOSED || s->waiting != NULL)
        return;
    enter(s, &outbox);
    s->line = slice_make(NULL, 0);
    smtp_reply(s, 421, "4.4.2", "Timeout, closing");
    leave(s);
}

void smtp_server_goodbye(struct smtp_server *s, const char *why)
{
    struct talk_outbox outbox;

    if (s->state == SMTP_CLOSED)
        return;
    s->goodbye = why;
    if (s->waiting == smtp_commit_decided)
        return;
    enter(s, &outbox);
    s->line = slice_make(NULL, 0);
    smtp_reply(s, 421, "4.3.2", why);
    leave(s);
}

void smtp_server_body_failed(struct smtp_server *s, int code)
{
    if (s->tx == NULL || (s->state != SMTP_DATA && s->state != SMTP_BDAT) || s->tx->body.defect != BODY_GOOD)
        return;
    s->tx->body.defect = BODY_SINK_FAILED;
    s->tx->body.sink_code = code;
}

bool smtp_server_is_waiting(const struct smtp_server *s)
{
    return s->waiting != NULL || (s->held && s->take == smtp_take_body);
}

void smtp_server_hold(struct smtp_server *s, bool hold)
{
    struct talk_outbox outbox;

    s->held = hold && s->tx != NULL;
    if (s->outbox != NULL || s->state == SMTP_CLOSED)
        return; /* we are inside the sink: pump looks when it returns */
    enter(s, &outbox);
    leave(s);
}

const char *smtp_server_helo(const struct smtp_server *s)
{
    return s->helo;
}

const char *smtp_server_with(const struct smtp_server *s)
{
    static const char *const names[2][4] = { { "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA" },
                                             { "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA" } };
    bool utf8 = s->tx != NULL && s->tx->mail.utf8;

    if (!s->extended)
        return "SMTP";
    return names[utf8][(s->tls ? 2 : 0) + (s->login != NULL ? 1 : 0)];
}

const char *smtp_server_login(const struct smtp_server *s)
{
    return s->login != NULL ? s->login : "";
}

const char *smtp_server_state(const struct smtp_server *s)
{
    return state_names[s->state];
}

bool smtp_server_in_transaction(const struct smtp_server *s)
{
    return s->tx != NULL && s->tx->accepted;
}
