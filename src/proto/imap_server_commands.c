#include "imap_server_priv.h"

#include "facteur/base/mem.h"

static void cmd_capability(struct imap_server *s);
static void cmd_noop(struct imap_server *s);
static void cmd_logout(struct imap_server *s);
static void cmd_id(struct imap_server *s);
static void cmd_starttls(struct imap_server *s);
static void cmd_enable(struct imap_server *s);
static void cmd_create(struct imap_server *s);
static void cmd_idle(struct imap_server *s);
static void cmd_host(struct imap_server *s);

enum needs {
    STEADY = 1, /* without UID no EXPUNGE may be told in it (RFC 9051 7.5.1): the client speaks in numbers */
    SECRET = 2  /* its arguments are not for the log */
};

/* What is done about each; what may be said when, and how, is imap_parse's table. */
static const struct {
    void (*run)(struct imap_server *s);
    unsigned needs;
} table[IMAP_VERB_COUNT] = {
    /* clang-format off */
    [IMAP_CAPABILITY]   = { cmd_capability,         0 },
    [IMAP_NOOP]         = { cmd_noop,               0 },
    [IMAP_LOGOUT]       = { cmd_logout,             0 },
    [IMAP_ID]           = { cmd_id,                 0 },
    [IMAP_STARTTLS]     = { cmd_starttls,           0 },
    [IMAP_AUTHENTICATE] = { imap_cmd_authenticate,  SECRET },
    [IMAP_LOGIN]        = { imap_cmd_login,         SECRET },
    [IMAP_ENABLE]       = { cmd_enable,             0 },
    [IMAP_SELECT]       = { cmd_host,               0 },
    [IMAP_EXAMINE]      = { cmd_host,               0 },
    [IMAP_CREATE]       = { cmd_create,             0 },
    [IMAP_DELETE]       = { cmd_host,               0 },
    [IMAP_RENAME]       = { cmd_host,               0 },
    [IMAP_SUBSCRIBE]    = { cmd_host,               0 },
    [IMAP_UNSUBSCRIBE]  = { cmd_host,               0 },
    [IMAP_LIST]         = { cmd_host,               0 },
    [IMAP_LSUB]         = { cmd_host,               0 },
    [IMAP_NAMESPACE]    = { cmd_host,               0 },
    [IMAP_STATUS]       = { cmd_host,               0 },
    [IMAP_APPEND]       = { cmd_host,               0 },
    [IMAP_IDLE]         = { cmd_idle,               0 },
    [IMAP_GETQUOTA]     = { cmd_host,               0 },
    [IMAP_GETQUOTAROOT] = { cmd_host,               0 },
    [IMAP_SETQUOTA]     = { cmd_host,               0 },
    [IMAP_CHECK]        = { cmd_host,               0 },
    [IMAP_CLOSE]        = { cmd_host,               0 },
    [IMAP_UNSELECT]     = { cmd_host,               0 },
    [IMAP_EXPUNGE]      = { cmd_host,               0 },
    [IMAP_SEARCH]       = { cmd_host,               STEADY },
    [IMAP_SORT]         = { cmd_host,               STEADY },
    [IMAP_THREAD]       = { cmd_host,               STEADY },
    [IMAP_FETCH]        = { cmd_host,               STEADY },
    [IMAP_STORE]        = { cmd_host,               STEADY },
    [IMAP_COPY]         = { cmd_host,               0 },
    [IMAP_MOVE]         = { cmd_host,               0 },
    [IMAP_REPLACE]      = { cmd_host,               0 },
    /* clang-format on */
};

bool imap_is_secret(enum imap_verb verb)
{
    return (table[verb].needs & SECRET) != 0;
}

bool imap_may_tell(const struct imap_server *s, bool *ret_expunge)
{
    const struct imap_command *c = &s->work->command;

    *ret_expunge = c->verb < IMAP_VERB_COUNT && (c->uid || (table[c->verb].needs & STEADY) == 0);
    return s->state == IMAP_IS_SELECTED;
}

void imap_run(struct imap_server *s)
{
    table[s->work->command.verb].run(s);
}

static void cmd_host(struct imap_server *s)
{
    s->waiting = OWED_RUN;
    imap_flush(s);
    s->host->run(s->world, &s->work->command);
}

static void reply_ok(struct imap_server *s, const char *text)
{
    struct imap_result r = imap_ok("%s", text);

    imap_reply(s, &r);
}

static void cmd_capability(struct imap_server *s)
{
    imap_puts(s, "* ");
    imap_put_capabilities(s);
    imap_puts(s, "\r\n");
    reply_ok(s, "CAPABILITY completed");
}

/* With a mailbox selected the host looks what is new in it. */
static void cmd_noop(struct imap_server *s)
{
    if (s->state == IMAP_IS_SELECTED)
        cmd_host(s);
    else
        reply_ok(s, "NOOP completed");
}

static void cmd_logout(struct imap_server *s)
{
    s->has_quit = true;
    imap_say_bye(s, "Logging out");
    reply_ok(s, "LOGOUT completed");
}

/* RFC 2971: no version, which would serve attackers more than clients. */
static void cmd_id(struct imap_server *s)
{
    struct slice id = s->work->command.id;

    if (id.n > 0)
        s->host->id(s->world, id);
    imap_puts(s, "* ID (\"name\" \"facteur\")\r\n");
    reply_ok(s, "ID completed");
}

/* What stands behind STARTTLS was not protected: it may be anybody's (CVE-2011-0411). */
static void cmd_starttls(struct imap_server *s)
{
    struct imap_result r = imap_ok("Begin TLS now");

    if (s->tls || !s->options.tls_offered) {
        r = imap_bad("%s", s->tls ? "TLS is already active" : "STARTTLS is not available");
        imap_reply(s, &r);
        return;
    }
    if (s->input.now.n > 0) {
        r = imap_bad("Input behind STARTTLS");
        imap_reply(s, &r);
        if (!s->ending)
            imap_say_bye(s, "Input behind STARTTLS");
        return;
    }
    imap_reply(s, &r);
    if (s->ending)
        return;
    s->take = NULL;
    s->errors = 0;
    imap_flush(s);
    s->host->start_tls(s->world);
}

/* RFC 5161: those that are new are named; what is not known here is passed over. */
static void cmd_enable(struct imap_server *s)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        { " CONDSTORE", ENABLE_CONDSTORE },
        { " QRESYNC", ENABLE_QRESYNC },
        { " UTF8=ACCEPT", ENABLE_UTF8 },
        { " IMAP4rev2", ENABLE_REV2 },
    };
    unsigned fresh = s->work->command.enable & ~s->enabled;

    imap_puts(s, "* ENABLED");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        imap_puts(s, (fresh & names[i].bit) != 0 ? names[i].name : "");
    imap_puts(s, "\r\n");
    imap_server_enable(s, fresh);
    reply_ok(s, "ENABLE completed");
}

static void cmd_create(struct imap_server *s)
{
    struct imap_result r = imap_no("USEATTR", "That special use is not known, or more than one was asked for");

    if (s->work->command.special_refused)
        imap_reply(s, &r); /* RFC 6154 3 */
    else
        cmd_host(s);
}

/* ---- IDLE (RFC 2177) ---- */

enum { IDLE_LINE = 64 };

static void cmd_idle(struct imap_server *s)
{
    s->tag = mem_dup(s->work->command.tag.p, s->work->command.tag.n);
    imap_work_drop(s);
    s->take = imap_take_idle;
    imap_puts(s, "+ idling\r\n");
    imap_flush(s);
    s->host->idle(s->world, true);
}

enum progress imap_take_idle(struct imap_server *s)
{
    struct imap_result r = imap_ok("IDLE completed");
    struct slice line;
    int code = imap_next_line(s, IDLE_LINE, &line);

    if (code == MORE)
        return MORE;
    imap_flush(s);
    s->host->idle(s->world, false);
    s->take = imap_take_command;
    if (code < 0 || !slice_iis(line, "DONE"))
        r = imap_bad("Expected DONE");
    if (code < 0)
        imap_swallow(s, 0);
    if (r.status == IMAP_OK && s->state == IMAP_IS_SELECTED)
        s->host->news(s->world, true);
    imap_reply_tagged(s, slice_str(s->tag), SLICE_LIT("IDLE"), &r);
    mem_free(s->tag);
    s->tag = NULL;
    return DONE;
}
