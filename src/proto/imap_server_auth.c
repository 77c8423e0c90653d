#include "imap_server_priv.h"

#include "facteur/base/mem.h"
#include "sasl_priv.h"

#include <errno.h>

bool imap_offers_auth(const struct imap_server *s)
{
    const struct sasl_mechanisms *m = &s->options.auth;

    return (m->plain || m->login || m->scram) && (s->tls || s->options.auth_without_tls);
}

void imap_auth_drop(struct imap_server *s)
{
    if (s->sasl == NULL)
        return;
    sasl_server_clear(s->sasl);
    mem_free(s->sasl);
    s->sasl = NULL;
}

/* The exchange is over; the tag goes with the reply. */
static void answer(struct imap_server *s, const struct imap_result *r, const char *shown)
{
    struct slice tag = slice_str(s->tag);

    imap_auth_drop(s);
    if (s->take == imap_take_sasl)
        s->take = imap_take_command;
    imap_reply_tagged(s, tag, slice_str(shown), r);
    mem_free(s->tag);
    s->tag = NULL;
    if (s->bye != NULL && !s->ending)
        imap_say_bye(s, s->bye);
}

static void say_logged_in(struct imap_server *s)
{
    imap_puts(s, s->tag);
    imap_puts(s, " OK [");
    imap_put_capabilities(s);
    imap_puts(s, "] Logged in\r\n");
    mem_free(s->tag);
    s->tag = NULL;
    s->errors = 0;
    if (s->bye != NULL)
        imap_say_bye(s, s->bye);
}

static struct imap_result result_of(const struct verdict *v)
{
    if (v->code == 452)
        return imap_no("LIMIT", "%s", v->text);
    if (verdict_is_temporary(v))
        return imap_no("UNAVAILABLE", "Login is not possible at the moment; try again later");
    if (v->code == 534)
        return imap_no("AUTHORIZATIONFAILED", "%s", v->text);
    return imap_no("AUTHENTICATIONFAILED", "Name or password is wrong"); /* the same for all: no name is told */
}

void imap_auth_decided(struct imap_server *s, const struct verdict *v)
{
    struct imap_result r = result_of(v);
    unsigned most = s->options.auth_failures;

    if (verdict_is_ok(v)) {
        s->login = mem_str(s->sasl->attempt.user);
        imap_auth_drop(s);
        imap_go(s, IMAP_IS_AUTHENTICATED);
        say_logged_in(s);
        return;
    }
    answer(s, &r, s->sasl->attempt.mechanism);
    s->auth_failures += v->code >= 500;
    if (!s->ending && v->close)
        imap_say_bye(s, "Closing");
    else if (!s->ending && most > 0 && s->auth_failures >= most)
        imap_say_bye(s, "Too many failed logins");
}

static void ask(struct imap_server *s)
{
    struct verdict v;

    s->take = imap_take_command;
    s->waiting = OWED_AUTH;
    imap_flush(s);
    if (s->host->ask_auth(s->world, &s->sasl->attempt, &v) == NOW) {
        s->waiting = OWED_NOTHING;
        imap_auth_decided(s, &v);
    }
}

/* Why nobody may log in now; true: it has been said. */
static bool is_refused(struct imap_server *s, bool mechanism)
{
    struct imap_result r;

    if (!mechanism)
        r = imap_no("CANNOT", "That way to log in is not available");
    else if (!s->tls && !s->options.auth_without_tls)
        r = imap_no("PRIVACYREQUIRED",
                    s->options.tls_offered ? "Encryption is needed: STARTTLS first" : "Encryption is needed");
    else
        return false;
    imap_reply(s, &r);
    return true;
}

void imap_cmd_login(struct imap_server *s)
{
    const struct imap_command *c = &s->work->command;
    struct sasl_attempt *a;
    struct imap_result r = imap_no("AUTHENTICATIONFAILED", "Name or password is wrong");

    if (is_refused(s, s->options.auth.plain || s->options.auth.login))
        return;
    s->sasl = mem_zero(sizeof *s->sasl);
    a = &s->sasl->attempt;
    a->mechanism = "LOGIN";
    if (!sasl_is_plain_text(c->user) || !sasl_is_plain_text(c->password) ||
        slice_copy(c->user, a->user, sizeof a->user) < 0 ||
        slice_copy(c->password, a->password, sizeof a->password) < 0) {
        imap_auth_drop(s);
        imap_reply(s, &r);
        return;
    }
    s->tag = mem_dup(c->tag.p, c->tag.n);
    imap_work_drop(s);
    ask(s);
}

/* ---- AUTHENTICATE ---- */

static void go_on(struct imap_server *s, enum sasl_step step, const struct buf *out)
{
    struct imap_result r;

    switch (step) {
    case SASL_CONTINUE:
        s->take = imap_take_sasl;
        imap_puts(s, "+ ");
        imap_put(s, out->p, out->n);
        imap_puts(s, "\r\n");
        return;
    case SASL_ATTEMPT:
        ask(s);
        return;
    case SASL_CANCELLED:
        r = imap_bad("Authentication cancelled"); /* RFC 9051 6.2.2 */
        break;
    case SASL_MALFORMED:
        r = imap_bad("Authentication data is malformed");
        break;
    }
    answer(s, &r, "AUTHENTICATE");
}

static void ask_keys(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    struct imap_server *s = ctx;

    s->host->scram_keys(s->world, user, ret);
}

enum progress imap_take_sasl(struct imap_server *s)
{
    struct imap_result r = imap_bad("Authentication line is not a line");
    struct slice line;
    struct buf out;
    int code = imap_next_line(s, LIMIT_SASL_LINE - 2, &line);

    if (code == MORE)
        return MORE;
    if (code < 0) {
        answer(s, &r, "AUTHENTICATE");
        imap_swallow(s, 0);
        return DONE;
    }
    buf_init(&out, LIMIT_SASL_LINE);
    go_on(s, sasl_server_next(s->sasl, line, ask_keys, s, &out), &out);
    buf_clear(&out);
    return DONE;
}

void imap_cmd_authenticate(struct imap_server *s)
{
    const struct sasl_mechanisms *m = &s->options.auth;
    const struct imap_command *c = &s->work->command;
    struct imap_result r = imap_no("CANNOT", "That mechanism is not available");
    enum sasl_step step;
    struct buf out;

    if (is_refused(s, m->plain || m->login || m->scram))
        return;
    s->sasl = mem_zero(sizeof *s->sasl);
    buf_init(&out, LIMIT_SASL_LINE);
    if (sasl_server_start(s->sasl, c->mechanism, m, c->has_initial ? &c->initial : NULL, ask_keys, s, &step, &out) <
        0) {
        imap_auth_drop(s);
        imap_reply(s, &r);
    } else {
        s->tag = mem_dup(c->tag.p, c->tag.n);
        imap_work_drop(s);
        go_on(s, step, &out);
    }
    buf_clear(&out);
}
