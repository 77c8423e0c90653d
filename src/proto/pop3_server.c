#include "pop3_server_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define IN(state) (1U << POP3_##state)

static const uint32_t may_become[] = { /* the only legal moves */
                                       [POP3_AUTHORIZATION] = IN(TRANSACTION),
                                       [POP3_TRANSACTION] = IN(UPDATE),
                                       [POP3_UPDATE] = 0
};
#define POP3_STATE_NAME(s) #s,
static const char *const state_names[] = { POP3_STATES(POP3_STATE_NAME) };

static void pop3_go(struct pop3_server *s, enum pop3_state to)
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

void pop3_fail(struct pop3_server *s, const char *fmt, ...)
{
    char text[POP3_LINE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pop3_say(s, "-ERR %s", text);
    s->host->refused(s->world, text, slice_str(s->shown));
    if (s->options.errors > 0 && ++s->errors >= s->options.errors) {
        pop3_say(s, "-ERR Too many errors");
        pop3_end(s);
    }
}

/* --- the TRANSACTION state --- */

/* A message's number: "1" and on, not marked as deleted. */
static bool find_message(struct pop3_server *s, struct slice arg, size_t *ret)
{
    uint64_t n;

    if (slice_u64(arg, UINT32_MAX, &n) < 0 || n == 0) {
        pop3_fail(s, "A message number from 1 on is needed");
        return false;
    }
    if (n > s->count || s->messages[n - 1].deleted) {
        pop3_fail(s, "There is no message with this number");
        return false;
    }
    *ret = (size_t)n - 1;
    return true;
}

static void cmd_stat(struct pop3_server *s, struct slice arg)
{
    uint64_t count = 0, octets = 0;

    (void)arg;
    for (size_t i = 0; i < s->count; i++) {
        if (s->messages[i].deleted)
            continue;
        count++;
        octets += s->messages[i].size;
    }
    pop3_say(s, "+OK %llu %llu", (unsigned long long)count, (unsigned long long)octets);
}

/* One message's line of LIST or UIDL. */
static void list_line(struct pop3_server *s, const char *prefix, size_t i, bool uidl)
{
    char id[71];

    if (!uidl) {
        pop3_say(s, "%s%zu %llu", prefix, i + 1, (unsigned long long)s->messages[i].size);
        return;
    }
    s->host->uidl(s->world, i, id);
    pop3_say(s, "%s%zu %s", prefix, i + 1, id);
}

/* As much of a long list as output takes. */
static void list_on(struct pop3_server *s)
{
    for (; s->list_at < s->count && !s->held; s->list_at++)
        if (!s->messages[s->list_at].deleted)
            list_line(s, "", s->list_at, s->listing == POP3_LISTS_IDS);
    if (s->list_at < s->count)
        return;
    s->listing = POP3_LISTS_NOTHING;
    pop3_say(s, ".");
}

static void list(struct pop3_server *s, struct slice arg, bool uidl)
{
    size_t i;

    if (arg.n > 0) {
        if (find_message(s, arg, &i))
            list_line(s, "+OK ", i, uidl);
        return;
    }
    pop3_say(s, "+OK The messages follow");
    s->listing = uidl ? POP3_LISTS_IDS : POP3_LISTS_SIZES;
    s->list_at = 0;
    list_on(s);
}

static void cmd_list(struct pop3_server *s, struct slice arg)
{
    list(s, arg, false);
}

static void cmd_uidl(struct pop3_server *s, struct slice arg)
{
    list(s, arg, true);
}

static void retrieve(struct pop3_server *s, struct slice number, uint64_t lines)
{
    size_t i;

    if (!find_message(s, number, &i))
        return;
    s->owes = POP3_OWES_MESSAGE;
    s->host->phase(s->world, POP3_PHASE_OURS);
    s->host->retrieve(s->world, i, lines);
}

static void cmd_retr(struct pop3_server *s, struct slice arg)
{
    retrieve(s, arg, UINT64_MAX);
}

static void cmd_top(struct pop3_server *s, struct slice arg)
{
    struct slice number;
    uint64_t lines;

    if (!slice_cut(&arg, ' ', &number) || slice_u64(slice_trim(arg), UINT32_MAX, &lines) < 0)
        pop3_fail(s, "TOP needs a message number and a number of lines");
    else
        retrieve(s, number, lines);
}

static void cmd_dele(struct pop3_server *s, struct slice arg)
{
    size_t i;

    if (!find_message(s, arg, &i))
        return;
    s->messages[i].deleted = true;
    pop3_say(s, "+OK Marked; QUIT will delete it");
}

static void cmd_rset(struct pop3_server *s, struct slice arg)
{
    (void)arg;
    for (size_t i = 0; i < s->count; i++)
        s->messages[i].deleted = false;
    pop3_say(s, "+OK Nothing is marked any more");
}

static void cmd_noop(struct pop3_server *s, struct slice arg)
{
    (void)arg;
    pop3_say(s, "+OK");
}

/* --- any state --- */

static void cmd_quit(struct pop3_server *s, struct slice arg)
{
    (void)arg;
    s->has_quit = true;
    if (s->state == POP3_AUTHORIZATION) {
        pop3_say(s, "+OK Goodbye");
        pop3_end(s);
        return;
    }
    pop3_go(s, POP3_UPDATE);
    s->owes = POP3_OWES_QUIT;
    s->host->phase(s->world, POP3_PHASE_OURS);
    s->host->ask_quit(s->world);
}

static void cmd_capa(struct pop3_server *s, struct slice arg)
{
    (void)arg;
    pop3_say(s, "+OK This is what there is");
    pop3_say(s, "TOP");
    pop3_say(s, "UIDL");
    pop3_say(s, "RESP-CODES");
    pop3_say(s, "AUTH-RESP-CODE");
    pop3_say(s, "PIPELINING");
    pop3_say(s, "UTF8");
    pop3_say(s, "EXPIRE NEVER");
    if (s->state == POP3_AUTHORIZATION && s->options.tls_offered && !s->tls)
        pop3_say(s, "STLS");
    pop3_capa_auth(s);
    pop3_say(s, "IMPLEMENTATION facteur");
    pop3_say(s, ".");
}

static void cmd_stls(struct pop3_server *s, struct slice arg)
{
    if (arg.n > 0 || s->tls || !s->options.tls_offered) {
        pop3_fail(s, s->tls ? "TLS is active already" : arg.n > 0 ? "STLS takes no argument" : "TLS is not available");
        return;
    }
    pop3_say(s, "+OK Begin TLS now");
    s->owes = POP3_OWES_TLS;
    s->host->phase(s->world, POP3_PHASE_TLS);
    /* What came in plain behind it was written by somebody else: RFC 2595 4, and an injection. */
    if (s->in.n > s->at) {
        pop3_end(s);
        return;
    }
    s->host->start_tls(s->world);
}

/* RFC 6856: names and passwords are UTF-8 here in any case, and messages are sent as they are. */
static void cmd_utf8(struct pop3_server *s, struct slice arg)
{
    (void)arg;
    pop3_say(s, "+OK UTF-8 it is");
}

enum { SECRET = 1 /* its argument is not for the log */ };
static const struct command {
    const char *verb;
    uint32_t states;
    unsigned flags;
    void (*run)(struct pop3_server *s, struct slice arg);
} commands[] = {
    { "STAT", IN(TRANSACTION), 0, cmd_stat },
    { "LIST", IN(TRANSACTION), 0, cmd_list },
    { "UIDL", IN(TRANSACTION), 0, cmd_uidl },
    { "RETR", IN(TRANSACTION), 0, cmd_retr },
    { "TOP", IN(TRANSACTION), 0, cmd_top },
    { "DELE", IN(TRANSACTION), 0, cmd_dele },
    { "RSET", IN(TRANSACTION), 0, cmd_rset },
    { "NOOP", IN(TRANSACTION), 0, cmd_noop },
    { "QUIT", IN(AUTHORIZATION) | IN(TRANSACTION), 0, cmd_quit },
    { "CAPA", IN(AUTHORIZATION) | IN(TRANSACTION), 0, cmd_capa },
    { "STLS", IN(AUTHORIZATION), 0, cmd_stls },
    { "UTF8", IN(AUTHORIZATION), 0, cmd_utf8 },
    { "USER", IN(AUTHORIZATION), 0, pop3_user },
    { "PASS", IN(AUTHORIZATION), SECRET, pop3_pass },
    { "AUTH", IN(AUTHORIZATION), SECRET, pop3_auth },
};

static const char *const foreign[] = { "GET", "POST", "CONNECT", "HEAD", "PUT", "OPTIONS", "EHLO", "HELO" };

void pop3_take_command(struct pop3_server *s, struct slice line)
{
    struct slice arg = line, verb;

    (void)slice_cut(&arg, ' ', &verb);
    slice_clip(verb, s->shown, sizeof s->shown);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!slice_iis(verb, commands[i].verb))
            continue;
        if ((commands[i].flags & SECRET) == 0)
            slice_clip(line, s->shown, sizeof s->shown);
        if ((commands[i].states & (1U << s->state)) == 0)
            pop3_fail(s, s->state == POP3_AUTHORIZATION ? "Log in first" : "You have logged in already");
        else /* PASS takes its argument as it is, with spaces at its ends */
            commands[i].run(s, (commands[i].flags & SECRET) != 0 ? arg : slice_trim(arg));
        return;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (slice_iis(verb, foreign[i])) { /* a browser or worse, tricked into talking to us */
            pop3_end(s);
            return;
        }
    pop3_fail(s, "There is no such command");
}

/* --- input --- */

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
            pop3_fail(s, "The line is too long");
        s->swallowing = end == NULL;
        s->take = pop3_take_command;
        *ret = slice_make(NULL, 0);
    }
    return true;
}

static void take_line(struct pop3_server *s, struct slice line)
{
    if (slice_find(line, '\0') >= 0 || slice_find(line, '\n') >= 0 || slice_find(line, '\r') >= 0)
        pop3_fail(s, "A line ends in CRLF and holds no NUL, CR or LF");
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
            list_on(s);
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
    if (s->bye && !s->closing && s->owes == POP3_OWES_NOTHING) {
        pop3_say(s, "-ERR [SYS/TEMP] The server is shutting down");
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
        pop3_fail(s, "%s",
                  code == -EBUSY ? "[IN-USE] The mailbox is locked by another POP3 session"
                                 : "[SYS/TEMP] The mailbox cannot be opened now");
        pop3_end(s);
        return;
    }
    s->messages = messages;
    s->count = count;
    s->errors = 0;
    pop3_go(s, POP3_TRANSACTION);
    pop3_say(s, "+OK %zu message%s", count, count == 1 ? "" : "s");
    settle(s);
}

void pop3_server_sent(struct pop3_server *s, int code)
{
    if (code < 0)
        pop3_fail(s, code == -ENOENT ? "The message has gone" : "[SYS/TEMP] The message cannot be read now");
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

void pop3_server_bye(struct pop3_server *s)
{
    s->bye = true;
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
