#include "smtp_server_priv.h"

#include <errno.h>
#include <stdio.h>

/* What is said at the end of a body with a defect. A bare CR or LF is how a second message is smuggled in behind the
 * first, so the connection ends with it. */
static const struct defect_reply {
    short code;
    bool close;
    const char *enhanced, *text;
} defect_replies[] = {
    [BODY_GOOD] = { 250, false, "2.0.0", "Ok" },
    [BODY_BARE_CR] = { 550, true, "5.6.11", "Message has a CR without LF; lines end with CR LF" },
    [BODY_BARE_LF] = { 550, true, "5.6.11", "Message has a LF without CR; lines end with CR LF" },
    [BODY_NUL] = { 554, false, "5.6.0", "Message has a NUL octet" },
    [BODY_LONG_LINE] = { 554, false, "5.6.0", "Message has a line that is too long" },
    [BODY_TOO_BIG] = { 552, false, "5.3.4", "Message is larger than the limit" },
    [BODY_SINK_FAILED] = { 451, false, "4.3.0", "" /* see say_defect */ },
};

static void say_defect(struct smtp_server *s, const struct body_in *b)
{
    const struct defect_reply *r = &defect_replies[b->defect];
    struct verdict v = verdict_make(r->code, r->enhanced, "%s", r->text);

    if (b->defect == BODY_SINK_FAILED)
        v = verdict_of_error(b->sink_code);
    v.close = v.close || r->close;
    smtp_tx_drop(s);
    smtp_go(s, SMTP_READY);
    smtp_say(s, &v);
}

void smtp_commit_decided(struct smtp_server *s, const struct verdict *v)
{
    smtp_tx_drop(s);
    smtp_go(s, SMTP_READY);
    if (verdict_is_ok(v)) {
        s->errors = 0;
        s->deferrals = 0;
        s->idle_commands = 0;
    }
    smtp_say(s, v);
    if (s->goodbye != NULL && !s->ending)
        smtp_reply(s, 421, "4.3.2", s->goodbye);
}

static void say_chunk(struct smtp_server *s)
{
    char text[48];

    (void)snprintf(text, sizeof text, "%llu octets received", (unsigned long long)s->tx->chunk);
    smtp_reply(s, 250, "2.0.0", text);
}

/* The final dot, or the last octet of a chunk. */
static void body_ended(struct smtp_server *s)
{
    struct body_in *b = &s->tx->body;
    struct verdict v;

    s->take = smtp_take_command;
    if (s->tx->last)
        body_in_finish(b);
    if (b->defect != BODY_GOOD) {
        say_defect(s, b);
    } else if (!s->tx->last) {
        say_chunk(s);
    } else {
        s->tx->committing = true;
        smtp_decide(s, s->host->ask_commit(s->world, &v), &v, smtp_commit_decided);
    }
}

/* A peer that goes on and on behind a defect is not waited for. */
static bool is_wasted(struct smtp_server *s, size_t used)
{
    uint64_t limit = s->options.message_size > 0 ? s->options.message_size : DRAIN_UNLIMITED;

    limit = limit > DRAIN_MIN ? limit : DRAIN_MIN;
    s->tx->wasted += s->tx->body.defect != BODY_GOOD ? used : 0;
    return s->tx->wasted > limit;
}

enum progress smtp_take_body(struct smtp_server *s)
{
    size_t used = 0;
    enum progress progress = body_in_push(&s->tx->body, s->input.now, &used);

    s->line = slice_str(s->command->verb);
    s->input.now = slice_skip(s->input.now, used);
    if (progress == DONE)
        body_ended(s);
    else if (is_wasted(s, used))
        smtp_reply(s, 421, "4.7.0", "Too much data behind a refusal, closing");
    return progress;
}

static void begin_body(struct smtp_server *s, enum body_framing framing)
{
    struct body_limits limits = { .size = s->options.message_size,
                                  .line = s->options.line_length,
                                  .fix_bare = s->options.fix_bare_newlines };

    body_in_init(&s->tx->body, framing, &limits, s->host->body(s->world));
}

/* A refusal before the body ends the transaction. */
static void say_no_body(struct smtp_server *s, const struct verdict *v)
{
    smtp_tx_drop(s);
    smtp_go(s, SMTP_READY);
    smtp_say(s, v);
}

static void data_decided(struct smtp_server *s, const struct verdict *v)
{
    if (!verdict_is_ok(v)) {
        say_no_body(s, v);
        return;
    }
    begin_body(s, BODY_DOT);
    s->tx->last = true;
    s->take = smtp_take_body;
    smtp_go(s, SMTP_DATA);
    smtp_reply(s, 354, "", "End data with <CR><LF>.<CR><LF>");
}

void smtp_cmd_data(struct smtp_server *s, struct slice arg)
{
    struct verdict v;

    (void)arg;
    if (s->tx->mail.body == SMTP_BODY_BINARY) {
        smtp_reply(s, 503, "5.5.1", "BINARYMIME needs BDAT"); /* RFC 3030 3 */
        return;
    }
    smtp_decide(s, s->host->ask_data(s->world, &v), &v, data_decided);
}

/* ---- BDAT ---- */

void smtp_swallow_chunk(struct smtp_server *s, struct slice arg)
{
    uint64_t octets = 0;
    bool last = false;

    /* Without a size nobody can say where the next command begins. */
    if (smtp_parse_bdat(arg, &octets, &last) < 0)
        s->ending = true;
    else
        smtp_swallow(s, octets);
}

static void take_chunk(struct smtp_server *s)
{
    body_in_chunk(&s->tx->body, s->tx->chunk);
    smtp_go(s, SMTP_BDAT);
    if (s->tx->chunk == 0)
        body_ended(s);
    else
        s->take = smtp_take_body;
}

static void first_chunk_decided(struct smtp_server *s, const struct verdict *v)
{
    uint64_t octets = s->tx->chunk;

    if (!verdict_is_ok(v)) {
        say_no_body(s, v);
        smtp_swallow(s, octets);
        return;
    }
    begin_body(s, s->tx->mail.body == SMTP_BODY_BINARY ? BODY_BINARY : BODY_CHUNK);
    take_chunk(s);
}

static bool is_beyond_limit(const struct smtp_server *s, uint64_t octets)
{
    uint64_t limit = s->options.message_size, had = s->state == SMTP_BDAT ? s->tx->body.wire_size : 0;

    return limit > 0 && (octets > limit || had > limit - octets);
}

void smtp_cmd_bdat(struct smtp_server *s, struct slice arg)
{
    uint64_t octets = 0;
    bool last = false;
    int code = smtp_parse_bdat(arg, &octets, &last);
    struct verdict v;

    if (code < 0 || is_beyond_limit(s, octets)) {
        v = code == -EINVAL ? verdict_make(501, "5.5.4", "Syntax: BDAT octets [LAST]")
                            : verdict_make(552, "5.3.4", "Message is larger than the limit");
        say_no_body(s, &v);
        smtp_swallow_chunk(s, arg);
        return;
    }
    if (octets == 0 && !last && smtp_is_idling(s))
        return;
    s->tx->chunk = octets;
    s->tx->last = last;
    if (s->state == SMTP_BDAT)
        take_chunk(s);
    else
        smtp_decide(s, s->host->ask_data(s->world, &v), &v, first_chunk_decided);
}
