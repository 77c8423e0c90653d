#include "smtp_server_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

void smtp_auth_drop(struct smtp_server *s)
{
    if (s->sasl == NULL)
        return;
    sasl_server_clear(s->sasl);
    mem_free(s->sasl);
    s->sasl = NULL;
}

/* An exchange that is over; the answer is the reply. */
static void give_up(struct smtp_server *s, int code, const char *enhanced, const char *text)
{
    smtp_auth_drop(s);
    if (s->take == smtp_take_sasl)
        s->take = smtp_take_command;
    smtp_reply(s, code, enhanced, text);
}

static void auth_decided(struct smtp_server *s, const struct verdict *v)
{
    struct verdict yes = *v;

    if (verdict_is_ok(v)) {
        s->login = mem_str(s->sasl->attempt.user);
        yes.code = 235;
    }
    smtp_auth_drop(s);
    smtp_say(s, &yes);
    if (v->code < 500 || s->ending || s->options.auth_failures == 0 || ++s->auth_failures < s->options.auth_failures)
        return;
    smtp_reply(s, 421, "4.7.0", "Too many failed logins, closing");
}

static void ask_for_line(struct smtp_server *s, const struct buf *challenge)
{
    s->take = smtp_take_sasl;
    smtp_put(s, "334 ", 4);
    smtp_put(s, challenge->p, challenge->n);
    smtp_put(s, "\r\n", 2);
}

static void go_on(struct smtp_server *s, enum sasl_step step, const struct buf *out)
{
    struct verdict v;

    switch (step) {
    case SASL_CONTINUE:
        ask_for_line(s, out);
        break;
    case SASL_ATTEMPT:
        s->take = smtp_take_command;
        smtp_decide(s, s->host->ask_auth(s->world, &s->sasl->attempt, &v), &v, auth_decided);
        break;
    case SASL_CANCELLED:
        give_up(s, 501, "5.7.0", "Authentication cancelled");
        break;
    case SASL_MALFORMED:
        give_up(s, 501, "5.5.2", "Authentication data is malformed");
        break;
    }
}

static void ask_keys(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    struct smtp_server *s = ctx;

    s->host->scram_keys(s->world, user, ret);
}

enum progress smtp_take_sasl(struct smtp_server *s)
{
    struct slice line;
    struct buf out;
    int code = smtp_next_line(s, LIMIT_SASL_LINE, &line);

    if (code == MORE)
        return MORE;
    s->line = slice_str(s->command->verb);
    if (code < 0) {
        /* RFC 4954 4: 500 5.5.6 when the line is too long */
        give_up(s, code == -E2BIG ? 500 : 501, code == -E2BIG ? "5.5.6" : "5.5.2", "Authentication line is not a line");
        return DONE;
    }
    buf_init(&out, LIMIT_SASL_LINE);
    go_on(s, sasl_server_next(s->sasl, line, ask_keys, s, &out), &out);
    buf_clear(&out);
    return DONE;
}

void smtp_cmd_auth(struct smtp_server *s, struct slice arg)
{
    const struct sasl_mechanisms *m = &s->options.auth;
    struct slice mechanism, initial = arg;
    bool has_initial = slice_cut(&initial, ' ', &mechanism);
    enum sasl_step step;
    struct buf out;

    if (!m->plain && !m->login && !m->scram)
        return smtp_reply(s, 502, "5.5.1", "AUTH is not available");
    if (!smtp_offers_auth(s))
        return smtp_reply(s, 538, "5.7.11", "Encryption is needed: STARTTLS first");
    if (s->login != NULL)
        return smtp_reply(s, 503, "5.5.1", "Already authenticated");
    if (mechanism.n == 0)
        return smtp_reply(s, 501, "5.5.4", "Syntax: AUTH mechanism [initial-response]");
    s->sasl = mem_zero(sizeof *s->sasl);
    buf_init(&out, LIMIT_SASL_LINE);
    initial = slice_trim(initial);
    if (sasl_server_start(s->sasl, mechanism, m, has_initial ? &initial : NULL, ask_keys, s, &step, &out) < 0)
        give_up(s, 504, "5.5.4", "Authentication mechanism is not available");
    else
        go_on(s, step, &out);
    buf_clear(&out);
}
