/* The commands, but those that log in, and their table. */
#include "pop3_server_priv.h"

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
        pop3_refuse(s, "There is no message with this number");
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
void pop3_list_on(struct pop3_server *s)
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
    pop3_list_on(s);
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
    { "STAT", POP3_IN(TRANSACTION), 0, cmd_stat },
    { "LIST", POP3_IN(TRANSACTION), 0, cmd_list },
    { "UIDL", POP3_IN(TRANSACTION), 0, cmd_uidl },
    { "RETR", POP3_IN(TRANSACTION), 0, cmd_retr },
    { "TOP", POP3_IN(TRANSACTION), 0, cmd_top },
    { "DELE", POP3_IN(TRANSACTION), 0, cmd_dele },
    { "RSET", POP3_IN(TRANSACTION), 0, cmd_rset },
    { "NOOP", POP3_IN(TRANSACTION), 0, cmd_noop },
    { "QUIT", POP3_IN(AUTHORIZATION) | POP3_IN(TRANSACTION), 0, cmd_quit },
    { "CAPA", POP3_IN(AUTHORIZATION) | POP3_IN(TRANSACTION), 0, cmd_capa },
    { "STLS", POP3_IN(AUTHORIZATION), 0, cmd_stls },
    { "UTF8", POP3_IN(AUTHORIZATION), 0, cmd_utf8 },
    { "USER", POP3_IN(AUTHORIZATION), 0, pop3_user },
    { "PASS", POP3_IN(AUTHORIZATION), SECRET, pop3_pass },
    { "AUTH", POP3_IN(AUTHORIZATION), SECRET, pop3_auth },
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
