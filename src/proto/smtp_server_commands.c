#include "smtp_server_priv.h"

#include "facteur/base/mem.h"

#include <stdio.h>

enum smtp_needs {
    NO_ARG = 1,    /* 501 with an argument */
    LOGIN = 2,     /* on submission: 530 before AUTH */
    LAST = 4,      /* the last of a pipelined group (RFC 2920 3.1) */
    IDLE = 8,      /* brings no mail on: counted */
    CHUNK = 16,    /* octets follow the line: a refusal must swallow them */
    UNSPOKEN = 32, /* not SMTP at all: closed without a word */
    SECRET = 64    /* what is behind the first argument is not for the log */
};

static void cmd_helo(struct smtp_server *s, struct slice arg);
static void cmd_ehlo(struct smtp_server *s, struct slice arg);
static void cmd_starttls(struct smtp_server *s, struct slice arg);
static void cmd_mail(struct smtp_server *s, struct slice arg);
static void cmd_rcpt(struct smtp_server *s, struct slice arg);
static void cmd_rset(struct smtp_server *s, struct slice arg);
static void cmd_noop(struct smtp_server *s, struct slice arg);
static void cmd_vrfy(struct smtp_server *s, struct slice arg);
static void cmd_help(struct smtp_server *s, struct slice arg);
static void cmd_quit(struct smtp_server *s, struct slice arg);
static void cmd_absent(struct smtp_server *s, struct slice arg);
static void cmd_foreign(struct smtp_server *s, struct slice arg);

#define TALKING (IN(START) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT))

/* The whole dialogue: what may be said when. */
/* clang-format off */
static const struct smtp_command commands[] = {
    /* verb        allowed in               needs           run             said otherwise (NULL: see out_of_order) */
    { "MAIL",      IN(READY),               LOGIN,          cmd_mail,       NULL },
    { "RCPT",      IN(MAIL) | IN(RCPT),     0,              cmd_rcpt,       "MAIL first" },
    { "DATA",      IN(RCPT),                NO_ARG | LAST,  smtp_cmd_data,  "RCPT first" },
    { "BDAT",      IN(RCPT) | IN(BDAT),     CHUNK,          smtp_cmd_bdat,  "RCPT first" },
    { "EHLO",      TALKING,                 LAST | IDLE,    cmd_ehlo,       NULL },
    { "HELO",      TALKING,                 LAST | IDLE,    cmd_helo,       NULL },
    { "QUIT",      TALKING,                 NO_ARG,         cmd_quit,       NULL },
    { "RSET",      TALKING,                 NO_ARG | IDLE,  cmd_rset,       NULL },
    { "NOOP",      TALKING,                 IDLE,           cmd_noop,       NULL },
    { "AUTH",      IN(READY),               LAST | SECRET,  smtp_cmd_auth,  NULL },
    { "STARTTLS",  IN(READY),               NO_ARG,         cmd_starttls,   NULL },
    { "VRFY",      TALKING,                 IDLE,           cmd_vrfy,       NULL },
    { "HELP",      TALKING,                 IDLE,           cmd_help,       NULL },
    { "EXPN",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "ETRN",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "TURN",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "SEND",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "SOML",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "SAML",      TALKING,                 IDLE,           cmd_absent,     NULL },
    { "XCLIENT",   TALKING,                 IDLE,           cmd_absent,     NULL },
    { "XFORWARD",  TALKING,                 IDLE,           cmd_absent,     NULL },
    /* A browser that was made to post here: its text must not run as commands, nor come back to it. */
    { "GET",       TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "POST",      TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "PUT",       TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "HEAD",      TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "PATCH",     TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "TRACE",     TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "DELETE",    TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "CONNECT",   TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
    { "OPTIONS",   TALKING | IN(GREETING),  UNSPOKEN,       cmd_foreign,    NULL },
};
/* clang-format on */

/* The first octet of a TLS handshake record, where SMTP should begin. */
static const struct smtp_command tls_record = { "\x16", TALKING | IN(GREETING), UNSPOKEN, cmd_foreign, NULL };

enum { VERB_MAX = 8, SHOWN_OF_UNKNOWN = 8 /* it may be a password in the wrong place */ };

static const struct smtp_command *find(struct slice verb)
{
    if (verb.n > 0 && verb.p[0] == tls_record.verb[0])
        return &tls_record;
    if (verb.n > VERB_MAX)
        return NULL;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (slice_iis(verb, commands[i].verb))
            return &commands[i];
    return NULL;
}

bool smtp_is_foreign(struct slice start)
{
    struct slice verb;
    const struct smtp_command *c;

    start = slice_head(start, VERB_MAX + 1);
    (void)slice_cut(&start, ' ', &verb);
    c = find(slice_head(verb, verb.n > 0 && verb.p[0] == tls_record.verb[0] ? 1 : verb.n));
    return c != NULL && (c->needs & UNSPOKEN) != 0;
}

bool smtp_talks_ahead(const struct smtp_server *s)
{
    return s->command != NULL && (s->command->needs & LAST) != 0 && s->input.now.n > 0 && smtp_is_outsider(s);
}

bool smtp_offers_auth(const struct smtp_server *s)
{
    const struct sasl_mechanisms *m = &s->options.auth;

    return (m->plain || m->login || m->scram) && (s->tls || s->options.auth_without_tls);
}

static const char *out_of_order(const struct smtp_server *s, const struct smtp_command *c)
{
    if (s->state == SMTP_START)
        return "EHLO first";
    if (s->state == SMTP_BDAT)
        return "BDAT is under way";
    return c->otherwise != NULL ? c->otherwise : "Not during a transaction";
}

/* Why this command may not run now; true: the reply has been said. */
static bool is_refused(struct smtp_server *s, const struct smtp_command *c, struct slice arg)
{
    if ((c->allowed & (1U << s->state)) == 0)
        smtp_reply(s, 503, "5.5.1", out_of_order(s, c));
    else if ((c->needs & NO_ARG) != 0 && arg.n > 0)
        smtp_reply(s, 501, "5.5.4", "This command takes no argument");
    else if ((c->needs & LOGIN) != 0 && s->options.submission && s->login == NULL)
        smtp_reply(s, 530, "5.7.0", "Authentication required");
    else if ((c->needs & IDLE) != 0 && smtp_is_idling(s))
        return true;
    else if (smtp_talks_ahead(s))
        smtp_say_talked_ahead(s);
    else
        return false;
    return true;
}

void smtp_run_line(struct smtp_server *s, struct slice line)
{
    struct slice verb, arg = line;
    const struct smtp_command *c;

    (void)slice_cut(&arg, ' ', &verb);
    verb = slice_trim(verb);
    arg = slice_trim(arg);
    c = find(verb);
    s->command = c;
    s->line = slice_head(line, c != NULL ? line.n : SHOWN_OF_UNKNOWN);
    if (c == NULL) {
        smtp_reply(s, 500, "5.5.2", "Command not recognized");
        return;
    }
    if ((c->needs & SECRET) != 0 && slice_find(arg, ' ') >= 0)
        s->line = slice_make(line.p, (size_t)(arg.p + slice_find(arg, ' ') - line.p));
    if (!is_refused(s, c, arg))
        c->run(s, arg);
    else if ((c->needs & CHUNK) != 0)
        smtp_swallow_chunk(s, arg);
}

/* ---- the session ---- */

static void put_capabilities(struct smtp_server *s)
{
    const struct smtp_server_options *o = &s->options;
    const char *hostname = o->hostname;
    char text[LIMIT_HOSTNAME + 512], size[24] = "", auth[48] = "", limits[40] = "";
    int n;

    if (o->message_size > 0)
        (void)snprintf(size, sizeof size, " %llu", (unsigned long long)o->message_size);
    if (smtp_offers_auth(s))
        (void)snprintf(auth, sizeof auth, "250-AUTH%s%s%s\r\n", o->auth.scram ? " SCRAM-SHA-256" : "",
                       o->auth.plain ? " PLAIN" : "", o->auth.login ? " LOGIN" : "");
    if (o->recipients > 0)
        (void)snprintf(limits, sizeof limits, "250-LIMITS RCPTMAX=%u\r\n", o->recipients);
    n = snprintf(text, sizeof text,
                 "250-%s\r\n250-PIPELINING\r\n250-SIZE%s\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
                 "250-BINARYMIME\r\n250-DSN\r\n%s%s%s250 ENHANCEDSTATUSCODES\r\n",
                 hostname, size, o->tls_offered && !s->tls ? "250-STARTTLS\r\n" : "", auth, limits);
    smtp_put(s, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : 0);
}

static void helo_decided(struct smtp_server *s, const struct verdict *v)
{
    struct verdict plain = *v;

    smtp_tx_drop(s);
    plain.enhanced[0] = '\0'; /* RFC 2034 3: never in a reply to EHLO or HELO */
    if (!verdict_is_ok(v)) {
        s->helo[0] = '\0';
        smtp_go(s, SMTP_START);
        smtp_say(s, &plain);
        return;
    }
    smtp_go(s, SMTP_READY);
    if (s->extended)
        put_capabilities(s);
    else
        smtp_reply(s, 250, "", s->options.hostname);
}

static void greet(struct smtp_server *s, struct slice arg, bool extended)
{
    char helo[LIMIT_DOMAIN + 1];
    struct verdict v;

    if (helo_parse(arg, helo) < 0) {
        smtp_reply(s, 501, "", arg.n == 0 ? "A domain name or address literal is needed" : "Bad domain name");
        return;
    }
    memcpy(s->helo, helo, sizeof helo);
    s->extended = extended;
    smtp_decide(s, s->host->ask_helo(s->world, s->helo, extended, &v), &v, helo_decided);
}

static void cmd_ehlo(struct smtp_server *s, struct slice arg)
{
    greet(s, arg, true);
}

static void cmd_helo(struct smtp_server *s, struct slice arg)
{
    greet(s, arg, false);
}

/* RFC 3207 4: what stands behind STARTTLS was not protected, so it never was said; and all knowledge of the peer from
 * before is forgotten. */
static void cmd_starttls(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    if (s->tls) {
        smtp_reply(s, 503, "5.5.1", "TLS is already active");
        return;
    }
    if (!s->options.tls_offered) {
        smtp_reply(s, 502, "5.5.1", "STARTTLS is not available");
        return;
    }
    smtp_reply(s, 220, "2.0.0", "Ready to start TLS");
    s->input.now = slice_make(NULL, 0);
    s->take = NULL;
    s->helo[0] = '\0';
    s->extended = false;
    mem_free(s->login);
    s->login = NULL;
    smtp_go(s, SMTP_START);
    smtp_flush(s);
    s->host->start_tls(s->world);
}

static void cmd_rset(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    smtp_tx_drop(s);
    smtp_go(s, s->state == SMTP_START ? SMTP_START : SMTP_READY);
    smtp_reply(s, 250, "2.0.0", "Ok");
}

static void cmd_noop(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    smtp_reply(s, 250, "2.0.0", "Ok");
}

/* The same for everybody: it tells no one who has a mailbox here (RFC 5321 7.3). */
static void cmd_vrfy(struct smtp_server *s, struct slice arg)
{
    if (arg.n == 0)
        smtp_reply(s, 501, "5.5.4", "VRFY needs a name");
    else
        smtp_reply(s, 252, "2.5.0", "Not verified; send it and see");
}

static void cmd_help(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    smtp_reply(s, 214, "2.0.0", "RFC 5321; EHLO lists the extensions");
}

static void cmd_quit(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    smtp_reply(s, 221, "2.0.0", "Bye");
    s->ending = true;
}

bool smtp_server_has_quit(const struct smtp_server *s)
{
    return s->command != NULL && s->command->run == cmd_quit;
}

static void cmd_absent(struct smtp_server *s, struct slice arg)
{
    (void)arg;
    smtp_reply(s, 502, "5.5.1", "Command not implemented");
}

static void cmd_foreign(struct smtp_server *s, struct slice arg)
{
    struct verdict v = verdict_make(554, "5.5.0", "The peer does not speak SMTP");

    (void)arg;
    s->ending = true;
    s->host->refused(s->world, &v, s->line);
}

/* ---- the envelope ---- */

static void mail_decided(struct smtp_server *s, const struct verdict *v)
{
    if (verdict_is_ok(v)) {
        s->tx->accepted = true;
        smtp_go(s, SMTP_MAIL);
    } else {
        smtp_tx_drop(s);
    }
    smtp_say(s, v);
}

static void cmd_mail(struct smtp_server *s, struct slice arg)
{
    struct smtp_mail mail;
    struct verdict v;

    if (smtp_parse_mail(arg, s->options.message_size, &mail, &v) < 0) {
        smtp_say(s, &v);
        return;
    }
    s->tx = mem_zero(sizeof *s->tx);
    s->tx->mail = mail;
    smtp_decide(s, s->host->ask_mail(s->world, &s->tx->mail, &v), &v, mail_decided);
}

static void rcpt_decided(struct smtp_server *s, const struct verdict *v)
{
    if (verdict_is_ok(v)) {
        s->tx->recipients++;
        smtp_go(s, SMTP_RCPT);
    }
    smtp_say(s, v);
}

static void cmd_rcpt(struct smtp_server *s, struct slice arg)
{
    struct verdict v;

    if (smtp_parse_rcpt(arg, s->tx->mail.utf8, &s->tx->rcpt, &v) < 0) {
        smtp_say(s, &v);
    } else if (s->options.recipients > 0 && s->tx->recipients >= s->options.recipients) {
        smtp_reply(s, 452, "4.5.3", "Too many recipients");
    } else {
        smtp_decide(s, s->host->ask_rcpt(s->world, &s->tx->rcpt, &v), &v, rcpt_decided);
    }
}
