#include "imap_server_priv.h"

#include "facteur/base/mem.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- state ---- */

#define IN(name) (1U << IMAP_IS_##name)

static const uint8_t may_become[] = {
    /* the only legal moves */
    [IMAP_IS_GREETING] = IN(NOT_AUTHENTICATED) | IN(LOGOUT),
    [IMAP_IS_NOT_AUTHENTICATED] = IN(AUTHENTICATED) | IN(LOGOUT),
    [IMAP_IS_AUTHENTICATED] = IN(AUTHENTICATED) | IN(SELECTED) | IN(LOGOUT),
    [IMAP_IS_SELECTED] = IN(SELECTED) | IN(AUTHENTICATED) | IN(LOGOUT),
    [IMAP_IS_LOGOUT] = 0,
};

static const char *const state_names[] = {
#define X(name) #name,
    IMAP_STATES(X)
#undef X
};

void imap_go(struct imap_server *s, enum imap_state state)
{
    if ((may_become[s->state] & (1U << state)) == 0)
        abort(); /* our own mistake: no input leads here */
    s->state = state;
}

bool imap_is_logged_in(const struct imap_server *s)
{
    return s->state == IMAP_IS_AUTHENTICATED || s->state == IMAP_IS_SELECTED;
}

/* A password may stand in the text, and unquoted behind it. */
static void wipe(struct imap_work *w)
{
    const struct imap_command *c = &w->command;

    if (c->verb != IMAP_LOGIN && c->verb != IMAP_AUTHENTICATE)
        return;
    if (c->password.n > 0)
        sodium_memzero((char *)(uintptr_t)c->password.p, c->password.n);
    if (c->initial.n > 0)
        sodium_memzero((char *)(uintptr_t)c->initial.p, c->initial.n);
    if (w->text.n > 0)
        sodium_memzero(w->text.p, w->text.n);
}

void imap_work_drop(struct imap_server *s)
{
    struct imap_work *w = s->work;

    if (w == NULL)
        return;
    s->work = NULL;
    if (w->messages > 0)
        s->host->append_abort(s->world);
    wipe(w);
    buf_clear(&w->text);
    arena_clear(&w->arena);
    mem_free(w);
}

void imap_say_bye(struct imap_server *s, const char *text)
{
    if (s->take == imap_take_idle) {
        s->take = imap_take_command;
        imap_flush(s);
        s->host->idle(s->world, false);
    }
    imap_puts(s, "* BYE ");
    imap_puts(s, text);
    imap_puts(s, "\r\n");
    s->ending = true;
}

/* The last words are said: what remains is to let them out. */
static void finish(struct imap_server *s)
{
    imap_flush(s);
    imap_auth_drop(s);
    imap_work_drop(s);
    s->input.now = slice_make(NULL, 0);
    s->waiting = OWED_NOTHING;
    s->take = NULL;
    s->ending = false;
    imap_go(s, IMAP_IS_LOGOUT);
    s->host->close(s->world);
}

/* ---- the pump ---- */

/* The only loop; nothing else reads input. */
static void pump(struct imap_server *s)
{
    while (!s->ending && s->waiting == OWED_NOTHING && s->take != NULL && !(s->held && s->take == imap_take_message))
        if (s->take(s) == MORE)
            break;
    if (s->ending)
        finish(s);
}

static enum imap_phase phase_of(const struct imap_server *s)
{
    if (imap_server_is_waiting(s))
        return IMAP_PHASE_OURS;
    if (s->take == NULL)
        return IMAP_PHASE_TLS;
    if (!imap_is_logged_in(s))
        return IMAP_PHASE_LOGIN;
    if (s->take == imap_take_idle)
        return IMAP_PHASE_IDLE;
    return s->work != NULL || s->input.kept.n > 0 || s->take == imap_take_swallow ? IMAP_PHASE_LITERAL
                                                                                  : IMAP_PHASE_COMMAND;
}

static void tell_phase(struct imap_server *s)
{
    enum imap_phase phase;

    if (s->state == IMAP_IS_LOGOUT)
        return;
    phase = phase_of(s);
    /* The deadline of a phase starts anew with each reply, but there is one for all that comes before login. */
    if (phase == s->phase && !(s->new_wait && phase != IMAP_PHASE_LOGIN))
        return;
    s->phase = phase;
    s->new_wait = false;
    s->host->phase(s->world, phase);
}

/* Between enter and leave input and the outbox are there. False: they are already, in a call that is below us. */
static bool enter(struct imap_server *s, struct talk_outbox *outbox)
{
    if (s->outbox != NULL)
        return false;
    s->outbox = outbox;
    talk_open(outbox, s->host->send, s->world);
    talk_resume(&s->input);
    return true;
}

static void leave(struct imap_server *s, bool entered)
{
    if (!entered)
        return;
    pump(s);
    if (talk_keep(&s->input) < 0) {
        imap_say_bye(s, "More input than can be kept");
        finish(s);
    }
    imap_flush(s);
    tell_phase(s);
    s->outbox = NULL;
}

/* ---- the public functions ---- */

struct imap_server *imap_server_new(const struct imap_server_options *options, const struct imap_host *host,
                                    void *world)
{
    struct imap_server *s = mem_zero(sizeof *s);

    s->options = *options;
    s->host = host;
    s->world = world;
    s->tls = options->tls_active;
    s->take = imap_take_command;
    s->phase = IMAP_PHASE_OURS;
    talk_init(&s->input, IMAP_INPUT + options->line_length);
    return s;
}

void imap_server_free(struct imap_server **s)
{
    if (*s == NULL)
        return;
    imap_auth_drop(*s);
    imap_work_drop(*s);
    talk_clear(&(*s)->input);
    mem_free((*s)->tag);
    mem_free((*s)->login);
    mem_free((*s)->bye);
    mem_free(*s);
    *s = NULL;
}

void imap_server_start(struct imap_server *s)
{
    struct talk_outbox outbox;
    bool entered = enter(s, &outbox);

    imap_go(s, IMAP_IS_NOT_AUTHENTICATED);
    imap_puts(s, "* OK [");
    imap_put_capabilities(s);
    imap_puts(s, "] ");
    imap_puts(s, s->options.hostname);
    imap_puts(s, " facteur ready\r\n");
    leave(s, entered);
}

void imap_server_refuse(struct imap_server *s, const struct verdict *why)
{
    struct talk_outbox outbox;
    bool entered = enter(s, &outbox);

    imap_say_bye(s, why->text);
    leave(s, entered);
}

void imap_server_feed(struct imap_server *s, struct slice octets)
{
    struct talk_outbox outbox;

    if (s->take == NULL || octets.n == 0)
        return;
    (void)enter(s, &outbox);
    if (talk_feed(&s->input, octets) < 0)
        imap_say_bye(s, "More input than can be kept");
    leave(s, true);
}

void imap_server_auth(struct imap_server *s, const struct verdict *v)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->waiting != OWED_AUTH)
        return; /* it ended meanwhile */
    entered = enter(s, &outbox);
    s->waiting = OWED_NOTHING;
    imap_auth_decided(s, v);
    leave(s, entered);
}

void imap_server_append_answer(struct imap_server *s, const struct imap_result *r)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->waiting != OWED_APPEND)
        return;
    entered = enter(s, &outbox);
    s->waiting = OWED_NOTHING;
    imap_append_decided(s, r);
    leave(s, entered);
}

void imap_server_append_failed(struct imap_server *s, const struct imap_result *r)
{
    imap_append_fail(s, r);
}

void imap_server_done(struct imap_server *s, const struct imap_result *r)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->waiting != OWED_RUN)
        return;
    entered = enter(s, &outbox);
    s->waiting = OWED_NOTHING;
    imap_reply(s, r);
    leave(s, entered);
}

void imap_server_selected(struct imap_server *s, bool selected, bool read_only)
{
    if (!imap_is_logged_in(s))
        return;
    imap_go(s, selected ? IMAP_IS_SELECTED : IMAP_IS_AUTHENTICATED);
    s->read_only = selected && read_only;
}

void imap_server_tls_started(struct imap_server *s)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->state == IMAP_IS_LOGOUT)
        return;
    entered = enter(s, &outbox);
    s->tls = true;
    s->take = imap_take_command;
    leave(s, entered);
}

void imap_server_timeout(struct imap_server *s)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->state == IMAP_IS_LOGOUT || s->waiting != OWED_NOTHING)
        return;
    entered = enter(s, &outbox);
    imap_say_bye(s, "Nothing was said for too long");
    leave(s, entered);
}

void imap_server_bye(struct imap_server *s, const char *text)
{
    struct talk_outbox outbox;
    bool entered;

    if (s->state == IMAP_IS_LOGOUT || s->bye != NULL)
        return;
    if (s->waiting != OWED_NOTHING) {
        s->bye = mem_str(text);
        return;
    }
    entered = enter(s, &outbox);
    imap_say_bye(s, text);
    leave(s, entered);
}

bool imap_server_is_waiting(const struct imap_server *s)
{
    return s->waiting != OWED_NOTHING || (s->held && s->take == imap_take_message);
}

void imap_server_hold(struct imap_server *s, bool hold)
{
    struct talk_outbox outbox;
    bool entered;

    s->held = hold;
    if (s->state == IMAP_IS_LOGOUT)
        return;
    entered = enter(s, &outbox); /* from inside the sink: pump looks when it returns */
    leave(s, entered);
}

bool imap_server_may_expunge(const struct imap_server *s)
{
    bool expunge = false;

    return s->work != NULL && imap_may_tell(s, &expunge) && expunge;
}

unsigned imap_server_enabled(const struct imap_server *s)
{
    return s->enabled;
}

void imap_server_enable(struct imap_server *s, unsigned what)
{
    s->enabled |= what;
    if ((what & ENABLE_QRESYNC) != 0)
        s->enabled |= ENABLE_CONDSTORE; /* RFC 7162 3.2.3 */
}

bool imap_server_names_utf8(const struct imap_server *s)
{
    return (s->enabled & (ENABLE_UTF8 | ENABLE_REV2)) != 0;
}

bool imap_server_has_quit(const struct imap_server *s)
{
    return s->has_quit;
}

bool imap_server_is_idle(const struct imap_server *s)
{
    return s->take == imap_take_idle;
}

const char *imap_server_login(const struct imap_server *s)
{
    return s->login != NULL ? s->login : "";
}

const char *imap_server_state(const struct imap_server *s)
{
    return s->read_only ? "SELECTED READ-ONLY" : state_names[s->state];
}
