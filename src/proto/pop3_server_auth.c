/* The AUTHORIZATION state: USER and PASS, AUTH. */
#include "pop3_server_priv.h"

#include <errno.h>
#include <stdio.h>

bool pop3_may_log_in(const struct pop3_server *s)
{
    return s->tls || s->options.auth_without_tls;
}

void pop3_capa_auth(struct pop3_server *s)
{
    const struct sasl_mechanisms *m = &s->options.auth;

    if (!pop3_may_log_in(s))
        return;
    pop3_say(s, "USER");
    if (m->plain || m->login || m->scram)
        pop3_say(s, "SASL%s%s%s", m->plain ? " PLAIN" : "", m->login ? " LOGIN" : "", m->scram ? " SCRAM-SHA-256" : "");
}

static bool refuse_plain(struct pop3_server *s)
{
    if (pop3_may_log_in(s))
        return false;
    pop3_fail(s, "Log in under TLS only: STLS first, or use the port of POP3S");
    return true;
}

static void ask(struct pop3_server *s, const struct sasl_attempt *attempt)
{
    struct verdict v;

    s->take = pop3_take_command;
    s->owes = POP3_OWES_AUTH;
    s->host->phase(s->world, POP3_PHASE_OURS);
    if (s->host->ask_auth(s->world, attempt, &v) == LATER)
        return;
    s->owes = POP3_OWES_NOTHING;
    pop3_auth_decided(s, &v);
}

void pop3_user(struct pop3_server *s, struct slice arg)
{
    if (refuse_plain(s))
        return;
    if (arg.n == 0 || slice_copy(arg, s->user, sizeof s->user) < 0) {
        pop3_fail(s, "USER needs a name");
        return;
    }
    pop3_say(s, "+OK Now the password"); /* also for names that nobody has */
}

void pop3_pass(struct pop3_server *s, struct slice arg)
{
    struct sasl_attempt attempt = { .mechanism = "PASS" };

    if (refuse_plain(s))
        return;
    if (s->user[0] == '\0') {
        pop3_fail(s, "USER first");
        return;
    }
    memcpy(attempt.user, s->user, sizeof attempt.user);
    s->user[0] = '\0';
    if (slice_copy(arg, attempt.password, sizeof attempt.password) < 0)
        pop3_refuse(s, "[AUTH] Name or password is wrong");
    else
        ask(s, &attempt);
    explicit_bzero(&attempt, sizeof attempt);
}

static void keys(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    struct pop3_server *s = ctx;

    s->host->scram_keys(s->world, user, ret);
}

static void take_sasl(struct pop3_server *s, struct slice line);

static void go_on(struct pop3_server *s, enum sasl_step step, struct buf *out)
{
    s->take = take_sasl;
    switch (step) {
    case SASL_CONTINUE:
        s->host->send(s->world, SLICE_LIT("+ "));
        s->host->send(s->world, buf_slice(out));
        s->host->send(s->world, SLICE_LIT("\r\n"));
        return;
    case SASL_ATTEMPT:
        ask(s, &s->sasl.attempt);
        return;
    case SASL_CANCELLED:
    case SASL_MALFORMED:
        s->take = pop3_take_command;
        sasl_server_clear(&s->sasl);
        pop3_fail(s, step == SASL_CANCELLED ? "Cancelled" : "This is no answer that the mechanism knows");
        return;
    }
}

static void take_sasl(struct pop3_server *s, struct slice line)
{
    struct buf out;

    buf_init(&out, LIMIT_SASL_LINE);
    go_on(s, sasl_server_next(&s->sasl, line, keys, s, &out), &out);
    buf_clear(&out);
}

void pop3_auth(struct pop3_server *s, struct slice arg)
{
    struct slice initial = arg, mechanism;
    enum sasl_step step;
    struct buf out;
    bool has_initial;

    if (refuse_plain(s))
        return;
    has_initial = slice_cut(&initial, ' ', &mechanism);
    buf_init(&out, LIMIT_SASL_LINE);
    if (sasl_server_start(&s->sasl, mechanism, &s->options.auth, has_initial ? &initial : NULL, keys, s, &step, &out) <
        0)
        pop3_fail(s, "There is no such mechanism here; CAPA lists them");
    else
        go_on(s, step, &out);
    buf_clear(&out);
}

void pop3_auth_decided(struct pop3_server *s, const struct verdict *v)
{
    sasl_server_clear(&s->sasl);
    if (verdict_is_ok(v)) {
        s->owes = POP3_OWES_OPEN;
        s->host->phase(s->world, POP3_PHASE_OURS);
        s->host->ask_open(s->world);
        return;
    }
    if (v->code == 534)
        pop3_refuse(s, "[AUTH] %s", v->text);
    else if (v->code == 452)
        pop3_refuse(s, "[IN-USE] %s", v->text);
    else if (verdict_is_temporary(v))
        pop3_refuse(s, "[SYS/TEMP] Login is not possible at the moment; try again later");
    else
        pop3_refuse(s, "[AUTH] Name or password is wrong"); /* the same for all: no name is told */
    if (v->close || (s->options.auth_failures > 0 && ++s->failures >= s->options.auth_failures))
        pop3_end(s);
}
