#include "pop3_server_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const uint32_t may_become[] = { /* the only legal moves */
                                       [POP3_AUTHORIZATION] = POP3_IN(TRANSACTION),
                                       [POP3_TRANSACTION] = POP3_IN(UPDATE),
                                       [POP3_UPDATE] = 0
};
#define POP3_STATE_NAME(s) #s,
static const char *const state_names[] = { POP3_STATES(POP3_STATE_NAME) };

void pop3_go(struct pop3_server *s, enum pop3_state to)
{
    if ((may_become[s->state] & (1U << to)) != 0)
        s->state = to;
}

/* --- replies --- */

static void PRINTF_LIKE(3, 0) say_line(struct pop3_server *s, const char *prefix, const char *fmt, va_list args)
{
    char line[POP3_LINE];
    int n = snprintf(line, sizeof line, "%s", prefix);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 2, fmt, args);
    size_t all = (size_t)n + (m < 0 ? 0 : (size_t)m);

    if (strncmp(line, "+OK", 3) == 0)
        s->errors = 0;
    all = all > sizeof line - 3 ? sizeof line - 3 : all;
    line[all] = '\r';
    line[all + 1] = '\n';
    s->host->send(s->world, slice_make(line, all + 2));
}

void pop3_say(struct pop3_server *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say_line(s, "", fmt, args);
    va_end(args);
}

void pop3_end(struct pop3_server *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->host->close(s->world);
}

static void PRINTF_LIKE(2, 0) refuse(struct pop3_server *s, const char *fmt, va_list args, const char *tail)
{
    char text[POP3_LINE];

    (void)vsnprintf(text, sizeof text, fmt, args);
    pop3_say(s, "-ERR %s%s", text, tail);
    s->host->refused(s->world, text, slice_str(s->shown));
}

void pop3_refuse(struct pop3_server *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    refuse(s, fmt, args, "");
    va_end(args);
}

void pop3_fail(struct pop3_server *s, const char *fmt, ...)
{
    bool last = s->options.errors > 0 && ++s->errors >= s->options.errors;
    va_list args;

    va_start(args, fmt);
    refuse(s, fmt, args, last ? ". Too many errors" : "");
    va_end(args);
    if (last)
        pop3_end(s);
}

/* --- input --- */

/* What is no line is not shown: it may be a password. */
static void fail_unread(struct pop3_server *s, const char *why)
{
    s->shown[0] = '\0';
    pop3_fail(s, "%s", why);
}

/* The next line without its CRLF; false when there is none. A bare LF is no line end. */
static bool next_line(struct pop3_server *s, struct slice *ret)
{
    size_t most = s->take == pop3_take_command ? POP3_LINE : LIMIT_SASL_LINE;
    struct slice in = slice_skip(buf_slice(&s->in), s->at);
    const char *end = in.n > 0 ? memmem(in.p, in.n, "\r\n", 2) : NULL;
    size_t used = end != NULL ? (size_t)(end - in.p) + 2 : in.n;

    if (end == NULL && in.n < most)
        return false;
    s->at += used;
    *ret = slice_make(in.p, end != NULL ? used - 2 : used);
    if (s->swallowing || used > most || end == NULL) {
        if (!s->swallowing)
            fail_unread(s, "The line is too long");
        s->swallowing = end == NULL;
        s->take = pop3_take_command;
        *ret = slice_make(NULL, 0);
    }
    return true;
}

static void take_line(struct pop3_server *s, struct slice line)
{
    if (slice_find(line, '\0') >= 0 || slice_find(line, '\n') >= 0 || slice_find(line, '\r') >= 0)
        fail_unread(s, "A line ends in CRLF and holds no NUL, CR or LF");
    else
        s->take(s, line);
}

static void pump(struct pop3_server *s)
{
    struct slice line;

    if (s->pumping)
        return;
    s->pumping = true;
    while (s->owes == POP3_OWES_NOTHING && !s->closing && !s->held) {
        if (s->listing != POP3_LISTS_NOTHING)
            pop3_list_on(s);
        else if (!next_line(s, &line))
            break;
        else if (line.p != NULL)
            take_line(s, line);
    }
    s->pumping = false;
    buf_drop(&s->in, s->at);
    s->at = 0;
    if (s->in.n == 0)
        buf_clear(&s->in);
    if (s->bye != NULL && !s->closing && s->owes == POP3_OWES_NOTHING) {
        pop3_say(s, "-ERR [SYS/TEMP] %s", s->bye);
        pop3_end(s);
    }
    if (s->owes == POP3_OWES_NOTHING && !s->closing)
        s->host->phase(s->world, s->state == POP3_AUTHORIZATION ? POP3_PHASE_LOGIN : POP3_PHASE_COMMAND);
}

static void settle(struct pop3_server *s)
{
    s->owes = POP3_OWES_NOTHING;
    pump(s);
}

/* --- the host's side --- */

struct pop3_server *pop3_server_new(const struct pop3_server_options *options, const struct pop3_host *host,
                                    void *world)
{
    struct pop3_server *s = mem_zero(sizeof *s);

    s->options = *options;
    s->host = host;
    s->world = world;
    s->tls = options->tls_active;
    s->take = pop3_take_command;
    buf_init(&s->in, LIMIT_SASL_LINE + 64 * 1024);
    return s;
}

void pop3_server_free(struct pop3_server **s)
{
    if (*s == NULL)
        return;
    sasl_server_clear(&(*s)->sasl);
    buf_clear(&(*s)->in);
    mem_free(*s);
    *s = NULL;
}

void pop3_server_start(struct pop3_server *s)
{
    pop3_say(s, "+OK %s POP3 ready", s->options.hostname);
    settle(s);
}

void pop3_server_refuse(struct pop3_server *s, const struct verdict *why)
{
    pop3_say(s, "-ERR [SYS/TEMP] %s", why->text);
    pop3_end(s);
}

void pop3_server_feed(struct pop3_server *s, struct slice octets)
{
    if (s->closing)
        return;
    if (buf_add(&s->in, octets.p, octets.n) < 0) {
        pop3_fail(s, "Too much input");
        pop3_end(s);
        return;
    }
    pump(s);
}

void pop3_server_auth(struct pop3_server *s, const struct verdict *v)
{
    s->owes = POP3_OWES_NOTHING;
    pop3_auth_decided(s, v);
    pump(s);
}

void pop3_server_opened(struct pop3_server *s, int code, struct pop3_message *messages, size_t count)
{
    if (code < 0) {
        pop3_refuse(s, "%s",
                    code == -EBUSY ? "[IN-USE] The mailbox is locked by another POP3 session"
                                   : "[SYS/TEMP] The mailbox cannot be opened now");
        pop3_end(s);
        return;
    }
    s->messages = messages;
    s->count = count;
    pop3_go(s, POP3_TRANSACTION);
    pop3_say(s, "+OK %zu message%s", count, count == 1 ? "" : "s");
    settle(s);
}

void pop3_server_sent(struct pop3_server *s, int code)
{
    if (code < 0)
        pop3_refuse(s, code == -ENOENT ? "The message has gone" : "[SYS/TEMP] The message cannot be read now");
    else
        s->errors = 0;
    settle(s);
}

void pop3_server_quit_done(struct pop3_server *s, int code)
{
    if (code < 0)
        pop3_say(s, "-ERR [SYS/TEMP] Some deleted messages were not removed");
    else
        pop3_say(s, "+OK Goodbye");
    pop3_end(s);
}

/* RFC 2595 4: what was said before is forgotten. */
void pop3_server_tls_started(struct pop3_server *s)
{
    s->tls = true;
    s->user[0] = '\0';
    s->errors = 0;
    settle(s);
}

void pop3_server_timeout(struct pop3_server *s)
{
    pop3_end(s);
}

void pop3_server_bye(struct pop3_server *s, const char *why)
{
    s->bye = why;
    pump(s);
}

void pop3_server_hold(struct pop3_server *s, bool hold)
{
    s->held = hold;
    if (!hold && !s->closing)
        pump(s);
}

bool pop3_server_is_waiting(const struct pop3_server *s)
{
    return s->owes != POP3_OWES_NOTHING && s->owes != POP3_OWES_TLS;
}

bool pop3_server_has_quit(const struct pop3_server *s)
{
    return s->has_quit;
}

const char *pop3_server_state(const struct pop3_server *s)
{
    return state_names[s->state];
}
