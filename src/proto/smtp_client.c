/* The table of exchanges, and the reading of replies. */
#include "smtp_client_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

enum { CLASS_2 = 1 << 2, CLASS_3 = 1 << 3, CLASS_4 = 1 << 4, CLASS_5 = 1 << 5, CLASS_BAD = CLASS_4 | CLASS_5 };

static void refused(struct smtp_client *c);
static void quit_answered(struct smtp_client *c);
static void auth_taken(struct smtp_client *c);

/* Whose reply comes next, how long it may take, and what each class of reply leads to. A reply of any other class is
 * nonsense and ends the connection. */
static const struct exchange {
    enum smtp_client_phase phase;
    unsigned good; /* classes that lead to `taken`; 4xx and 5xx lead to `refused` */
    void (*taken)(struct smtp_client *c);
    void (*refused)(struct smtp_client *c);
} exchanges[CLIENT_STATES] = {
    /* reply to            deadline                   good               then                   4xx, 5xx */
    [CLIENT_GREETING] = { CLIENT_PHASE_GREETING, CLASS_2, client_greeted, refused },
    [CLIENT_EHLO] = { CLIENT_PHASE_EHLO, CLASS_2, client_ehlo_done, client_ehlo_refused },
    [CLIENT_HELO] = { CLIENT_PHASE_EHLO, CLASS_2, client_ehlo_done, refused },
    [CLIENT_STARTTLS] = { CLIENT_PHASE_TLS, CLASS_2, client_starttls_taken, client_starttls_refused },
    [CLIENT_HANDSHAKE] = { CLIENT_PHASE_TLS, 0, NULL, refused },
    [CLIENT_AUTH] = { CLIENT_PHASE_AUTH, CLASS_2 | CLASS_3, auth_taken, refused },
    [CLIENT_DERIVE] = { CLIENT_PHASE_OURS, 0, NULL, refused },
    [CLIENT_READY] = { CLIENT_PHASE_IDLE, 0, NULL, refused },
    [CLIENT_MAIL] = { CLIENT_PHASE_MAIL, CLASS_2, client_mail_taken, client_mail_refused },
    [CLIENT_RCPT] = { CLIENT_PHASE_RCPT, CLASS_2, client_rcpt_answered, client_rcpt_answered },
    [CLIENT_DATA] = { CLIENT_PHASE_DATA_START, CLASS_3, client_data_taken, client_data_refused },
    [CLIENT_BODY] = { CLIENT_PHASE_DATA_BLOCK, 0, NULL, refused },
    [CLIENT_END] = { CLIENT_PHASE_DATA_END, CLASS_2, client_end_answered, client_end_answered },
    [CLIENT_CHUNK] = { CLIENT_PHASE_DATA_BLOCK, CLASS_2, client_chunk_taken, client_chunk_refused },
    [CLIENT_CHUNK_LAST] = { CLIENT_PHASE_DATA_END, CLASS_2, client_end_answered, client_chunk_refused },
    [CLIENT_RSET] = { CLIENT_PHASE_MAIL, CLASS_2, client_ready, refused },
    [CLIENT_QUIT] = { CLIENT_PHASE_QUIT, CLASS_2 | CLASS_3, quit_answered, quit_answered },
    [CLIENT_OVER] = { CLIENT_PHASE_QUIT, 0, NULL, NULL },
};

/* ---- moves ---- */

void client_go(struct smtp_client *c, enum client_state to)
{
    c->state = to;
    if (to != CLIENT_OVER)
        c->host->phase(c->world, exchanges[to].phase);
}

void client_send(struct smtp_client *c, struct slice octets)
{
    c->host->send(c->world, octets);
}

void client_ready(struct smtp_client *c)
{
    c->state = CLIENT_READY; /* the phase comes with the announcement */
    c->announce = true;
}

/* The one place that begins messages, so that a row of messages that fail at once is a loop and no recursion. */
static void pump(struct smtp_client *c)
{
    if (c->pumping)
        return;
    c->pumping = true;
    while (c->state == CLIENT_READY && (c->message != NULL || c->announce)) {
        if (c->message != NULL) {
            client_begin(c);
            continue;
        }
        c->announce = false;
        c->host->phase(c->world, CLIENT_PHASE_IDLE);
        c->host->on_ready(c->world);
    }
    c->pumping = false;
}

void client_say(struct smtp_client_reply *to, short code, const char *enhanced, const char *text)
{
    to->code = code;
    (void)snprintf(to->enhanced, sizeof to->enhanced, "%s", enhanced);
    (void)snprintf(to->text, sizeof to->text, "%s", text);
    to->ours = true;
}

void client_give_up(struct smtp_client *c, const struct smtp_client_reply *why, bool unclear)
{
    enum smtp_client_phase at = exchanges[c->state].phase;
    struct smtp_client_reply reply = *why;

    c->state = CLIENT_OVER;
    c->announce = false;
    if (c->message != NULL) {
        c->outcome = reply;
        client_finish(c, unclear);
    }
    c->host->on_failed(c->world, at, &reply);
}

/* The default for a refusal: the session ends with the server's words. */
static void refused(struct smtp_client *c)
{
    client_give_up(c, &c->reply, false);
}

static void quit_answered(struct smtp_client *c)
{
    client_go(c, CLIENT_OVER);
    c->host->on_quit(c->world);
}

static void auth_taken(struct smtp_client *c)
{
    client_auth_reply(c, slice_str(c->reply.text));
}

/* ---- replies ---- */

static void nonsense(struct smtp_client *c, const char *what)
{
    struct smtp_client_reply why;

    if (c->state == CLIENT_QUIT) {
        quit_answered(c);
        return;
    }
    client_say(&why, 451, "4.5.0", what);
    client_give_up(c, &why, c->state == CLIENT_END || c->state == CLIENT_CHUNK_LAST);
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

/* RFC 3463 2: class "." subject "." detail in front of the text, in the class of the reply. 0: there is none. */
static size_t enhanced_length(struct slice text, short code)
{
    size_t at = 0;

    for (int part = 0; part < 3; part++) {
        size_t from = at;

        while (at < text.n && is_digit(text.p[at]) && at - from < 3)
            at++;
        if (at == from || (part < 2 && (at == text.n || text.p[at] != '.')))
            return 0;
        at += part < 2 ? 1 : 0;
    }
    return text.p[0] - '0' == code / 100 && text.p[1] == '.' && (at == text.n || text.p[at] == ' ') ? at : 0;
}

/* Adds a line's words to the reply, without repeating the enhanced code and with nothing that a log or a bounce could
 * choke on. */
static void reply_add(struct smtp_client_reply *reply, struct slice text)
{
    size_t skip = enhanced_length(text, reply->code);
    size_t used = strlen(reply->text);

    if (skip > 0 && skip < sizeof reply->enhanced && reply->enhanced[0] == '\0') {
        memcpy(reply->enhanced, text.p, skip);
        reply->enhanced[skip] = '\0';
    }
    text = slice_trim(slice_skip(text, skip));
    if (used > 0 && used < sizeof reply->text - 1 && text.n > 0)
        reply->text[used++] = ' ';
    for (size_t i = 0; i < text.n && used < sizeof reply->text - 1; i++)
        reply->text[used++] = text.p[i] >= 0x20 && text.p[i] <= 0x7e ? text.p[i] : '?';
    reply->text[used] = '\0';
}

static void reply_complete(struct smtp_client *c)
{
    const struct exchange *x = &exchanges[c->state];
    unsigned class = 1U << (c->reply.code / 100);

    c->reply_lines = c->reply_octets = 0;
    if ((x->good & class) != 0)
        x->taken(c);
    else if ((class & CLASS_BAD) != 0)
        x->refused(c);
    else
        nonsense(c, "The server's reply does not fit the command");
    /* 421: the server closes now, whatever it answered (RFC 5321 3.8). */
    if (c->reply.code == 421 && c->state != CLIENT_OVER)
        client_give_up(c, &c->reply, false);
}

static void take_line(struct smtp_client *c, struct slice line)
{
    short code;
    bool last;
    struct slice text;

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (slice_find(line, '\0') >= 0 || smtp_parse_reply_line(line, &code, &last, &text) < 0 ||
        (c->reply_lines > 0 && code != c->reply.code)) {
        nonsense(c, "The server's answer is not an SMTP reply");
        return;
    }
    if (c->reply_lines == 0)
        c->reply = (struct smtp_client_reply){ .code = code };
    else if (c->state == CLIENT_EHLO && code == 250)
        client_ehlo_line(c, text);
    reply_add(&c->reply, text);
    c->reply_lines++;
    if (last && c->state == CLIENT_AUTH && code == 334)
        client_auth_reply(c, slice_trim(text)); /* a challenge may be longer than a reply's text */
    else if (last)
        reply_complete(c);
    else if (c->reply_lines >= SMTP_CLIENT_REPLY_LINES)
        nonsense(c, "The server's reply has too many lines");
    if (last)
        c->reply_lines = c->reply_octets = 0;
}

void smtp_client_feed(struct smtp_client *c, struct slice octets)
{
    while (octets.n > 0 && c->state != CLIENT_OVER) {
        ptrdiff_t end = slice_find(octets, '\n');
        size_t n = end < 0 ? octets.n : (size_t)end + 1;
        struct slice line = { octets.p, n - (end < 0 ? 0 : 1) };

        octets = slice_skip(octets, n);
        c->reply_octets += n;
        if (c->reply_octets > LIMIT_PEER_REPLY) {
            nonsense(c, "The server's reply is too long");
            return;
        }
        if (end < 0 || c->line.n > 0) {
            if (buf_add(&c->line, line.p, line.n) < 0) {
                nonsense(c, "The server's reply is too long");
                return;
            }
            line = buf_slice(&c->line);
        }
        if (end < 0)
            return;
        c->input_left = octets.n;
        take_line(c, line);
        buf_reset(&c->line);
        pump(c);
    }
}

/* ---- what else happens ---- */

void smtp_client_failed(struct smtp_client *c, const char *why)
{
    struct smtp_client_reply reply;
    bool unclear = (c->state == CLIENT_END && c->good > 0) || c->state == CLIENT_CHUNK_LAST;

    if (c->state == CLIENT_OVER)
        return;
    if (c->state == CLIENT_QUIT) {
        quit_answered(c);
        return;
    }
    client_say(&reply, 421, "4.4.2", why);
    client_give_up(c, &reply, unclear);
}

void smtp_client_tls_started(struct smtp_client *c)
{
    if (c->state != CLIENT_HANDSHAKE)
        return;
    c->encrypted = true;
    client_send_ehlo(c);
}

void smtp_client_drained(struct smtp_client *c)
{
    if (c->state == CLIENT_BODY)
        client_send_body(c);
    pump(c);
}

void smtp_client_body_ready(struct smtp_client *c)
{
    if (c->state == CLIENT_BODY && c->message != NULL && c->message->binary)
        client_send_chunk(c);
    else if (c->state == CLIENT_BODY)
        client_send_body(c);
    pump(c);
}

void smtp_client_message(struct smtp_client *c, struct smtp_client_message *m)
{
    if (c->state != CLIENT_READY || c->message != NULL)
        return;
    c->message = m;
    pump(c);
}

void smtp_client_quit(struct smtp_client *c)
{
    if (c->state != CLIENT_READY || c->message != NULL)
        return;
    client_send(c, SLICE_LIT("QUIT\r\n"));
    client_go(c, CLIENT_QUIT);
}

bool smtp_client_offered_dsn(const struct smtp_client *c)
{
    return client_has(c, EXT_DSN);
}

bool smtp_client_offered_tls(const struct smtp_client *c)
{
    return c->offered_tls;
}

unsigned smtp_client_rcpt_max(const struct smtp_client *c)
{
    return c->rcpt_max;
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options, const struct smtp_client_host *host,
                                    void *world)
{
    struct smtp_client *c = mem_zero(sizeof *c);

    c->host = host;
    c->world = world;
    c->helo = mem_str(options->helo);
    c->user = mem_str(options->user);
    c->password = mem_str(options->password != NULL ? options->password : "");
    c->tls = options->tls;
    c->encrypted = options->tls == CLIENT_TLS_ACTIVE;
    buf_init(&c->line, LIMIT_PEER_REPLY);
    buf_init(&c->out, 3 * CLIENT_BLOCK + 16); /* an octet becomes three at most: a line end and a dot */
    client_go(c, CLIENT_GREETING);
    return c;
}

void smtp_client_free(struct smtp_client **c)
{
    if (*c == NULL)
        return;
    sasl_client_clear(&(*c)->sasl);
    buf_clear(&(*c)->line);
    buf_clear(&(*c)->out);
    mem_free((*c)->helo);
    mem_free((*c)->user);
    mem_free_secret((*c)->password, strlen((*c)->password));
    mem_free(*c);
    *c = NULL;
}
