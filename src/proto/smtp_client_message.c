/* One transaction: MAIL, RCPT, DATA or BDAT, the body, its end. */
#include "smtp_client_priv.h"

#include "facteur/base/codec.h"

#include <errno.h>
#include <stdio.h>

static void proceed(struct smtp_client *c);

/* ---- what can be known before a word is said ---- */

static bool is_path(const char *address)
{
    size_t n = strlen(address);

    for (size_t i = 0; i < n; i++)
        if ((unsigned char)address[i] < 0x20 || address[i] == 0x7f)
            return false;
    return n <= LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3;
}

/* Each row: the server cannot take such a message, and what the sender hears. */
static bool lacks_utf8(const struct smtp_client *c, const struct smtp_client_message *m)
{
    return m->utf8 && !client_has(c, EXT_SMTPUTF8);
}
static bool lacks_binary(const struct smtp_client *c, const struct smtp_client_message *m)
{
    return m->binary && !client_has(c, EXT_BINARYMIME | EXT_CHUNKING);
}
static bool lacks_8bit(const struct smtp_client *c, const struct smtp_client_message *m)
{
    return m->eight_bit && !m->binary && !client_has(c, EXT_8BITMIME);
}
static bool lacks_room(const struct smtp_client *c, const struct smtp_client_message *m)
{
    return c->size_max > 0 && m->size > c->size_max;
}
static bool lacks_sender(const struct smtp_client *c, const struct smtp_client_message *m)
{
    (void)c;
    return !is_path(m->sender);
}

bool smtp_client_wants_7bit(const struct smtp_client *c, const struct smtp_client_message *m)
{
    return !lacks_utf8(c, m) && (lacks_binary(c, m) || lacks_8bit(c, m));
}

static const struct obstacle {
    bool (*applies)(const struct smtp_client *c, const struct smtp_client_message *m);
    const char *enhanced, *text;
    short code;
    bool converts; /* in 7 bits it would be taken */
} obstacles[] = {
    { lacks_utf8, "5.6.7", "The next server does not take internationalised addresses (SMTPUTF8)", 550, false },
    { lacks_binary, "5.6.3", "The next server does not take binary messages (BINARYMIME)", 554, true },
    { lacks_8bit, "5.6.3", "The next server does not take 8-bit messages (8BITMIME)", 554, true },
    { lacks_room, "5.3.4", "The message is larger than the next server takes", 552, false },
    { lacks_sender, "5.1.7", "The sender's address cannot be sent", 553, false },
};

static void say_obstacle(struct smtp_client *c, const struct obstacle *o)
{
    const char *why = o->converts ? c->message->not_7bit : NULL;
    char text[sizeof c->outcome.text];

    (void)snprintf(text, sizeof text, "%s%s%s", o->text, why != NULL ? ", and this one cannot be converted: " : "",
                   why != NULL ? why : "");
    client_say(&c->outcome, o->code, o->enhanced, text);
}

static bool is_ruled_out(struct smtp_client *c)
{
    bool any = false;

    for (size_t i = 0; i < sizeof obstacles / sizeof obstacles[0]; i++) {
        if (obstacles[i].applies(c, c->message)) {
            say_obstacle(c, &obstacles[i]);
            return true;
        }
    }
    for (size_t i = 0; i < c->message->count; i++) {
        struct smtp_client_rcpt *rcpt = &c->message->rcpts[i];

        rcpt->reply = (struct smtp_client_reply){ 0 };
        if (is_path(rcpt->address))
            any = true;
        else
            client_say(&rcpt->reply, 553, "5.1.3", "The recipient's address cannot be sent");
    }
    return !any;
}

void client_finish(struct smtp_client *c, bool unclear)
{
    struct smtp_client_message *m = c->message;

    for (size_t i = 0; i < m->count; i++)
        if (m->rcpts[i].reply.code < 400)
            m->rcpts[i].reply = c->outcome;
    c->message = NULL;
    c->host->on_message(c->world, m, unclear);
}

/* The server may still hold a sender and recipients: without DATA they are taken back with RSET. */
static void finish_and_go_on(struct smtp_client *c, bool reset)
{
    client_finish(c, false);
    if (!reset) {
        client_ready(c);
        return;
    }
    client_send(c, SLICE_LIT("RSET\r\n"));
    client_go(c, CLIENT_RSET);
}

/* ---- the steps: 0 MAIL, 1 … count RCPT, count + 1 DATA ---- */

static size_t step_data(const struct smtp_client *c)
{
    return c->message->count + 1;
}

/* The step behind `step` that is to be said: recipients that were refused before are passed over. */
static size_t step_after(const struct smtp_client *c, size_t step)
{
    do
        step++;
    while (step < step_data(c) && c->message->rcpts[step - 1].reply.code != 0);
    return step;
}

static int put_mail(const struct smtp_client *c, struct buf *out)
{
    const struct smtp_client_message *m = c->message;

    TRY(buf_addf(out, "MAIL FROM:<%s>", m->sender));
    if (client_has(c, EXT_SIZE))
        TRY(buf_addf(out, " SIZE=%llu", (unsigned long long)m->size));
    if (m->binary)
        TRY(buf_adds(out, " BODY=BINARYMIME"));
    else if (m->eight_bit)
        TRY(buf_adds(out, " BODY=8BITMIME"));
    if (m->utf8)
        TRY(buf_adds(out, " SMTPUTF8"));
    if (client_has(c, EXT_DSN) && m->ret != SMTP_RET_UNSET)
        TRY(buf_adds(out, m->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS"));
    if (client_has(c, EXT_DSN) && m->envid != NULL && m->envid[0] != '\0') {
        TRY(buf_adds(out, " ENVID="));
        TRY(xtext_encode(slice_str(m->envid), out));
    }
    return buf_adds(out, "\r\n");
}

static const struct {
    unsigned bit;
    const char *word;
} notify_words[] = {
    { SMTP_NOTIFY_NEVER, "NEVER" },
    { SMTP_NOTIFY_SUCCESS, "SUCCESS" },
    { SMTP_NOTIFY_FAILURE, "FAILURE" },
    { SMTP_NOTIFY_DELAY, "DELAY" },
};

static int put_dsn(const struct smtp_client_rcpt *rcpt, struct buf *out)
{
    struct slice rest = slice_str(rcpt->orcpt), type;
    const char *before = " NOTIFY=";

    for (size_t i = 0; i < sizeof notify_words / sizeof notify_words[0]; i++) {
        if ((rcpt->notify & notify_words[i].bit) == 0)
            continue;
        TRY(buf_addf(out, "%s%s", before, notify_words[i].word));
        before = ",";
    }
    if (rest.n == 0 || !ascii_only(rest) || !slice_cut(&rest, ';', &type))
        return 0;
    TRY(buf_addf(out, " ORCPT=%.*s;", SLICE_ARG(type)));
    return xtext_encode(rest, out);
}

static int put_rcpt(const struct smtp_client *c, const struct smtp_client_rcpt *rcpt, struct buf *out)
{
    TRY(buf_addf(out, "RCPT TO:<%s>", rcpt->address));
    if (client_has(c, EXT_DSN))
        TRY(put_dsn(rcpt, out));
    return buf_adds(out, "\r\n");
}

static int put_step(const struct smtp_client *c, size_t step, struct buf *out)
{
    if (step == 0)
        return put_mail(c, out);
    if (step < step_data(c))
        return put_rcpt(c, &c->message->rcpts[step - 1], out);
    return c->message->binary ? 0 : buf_adds(out, "DATA\r\n");
}

/* Says the next step, or with PIPELINING all that are left. BDAT is not said before it is known that it is wanted. */
static void send_steps(struct smtp_client *c)
{
    struct buf out;
    size_t last = c->message->binary ? c->message->count : step_data(c);
    int code = 0;

    buf_init(&out, (c->message->count + 2) * LIMIT_COMMAND_LINE);
    while (code == 0 && c->sent <= last) {
        code = put_step(c, c->sent, &out);
        c->sent = step_after(c, c->sent);
        if (!client_has(c, EXT_PIPELINING))
            break;
    }
    if (code == 0)
        client_send(c, buf_slice(&out));
    buf_clear(&out);
    if (code < 0) {
        struct smtp_client_reply why;

        client_say(&why, 451, "4.3.0", "The command is too long");
        client_give_up(c, &why, false);
    }
}

void client_begin(struct smtp_client *c)
{
    c->outcome = (struct smtp_client_reply){ 0 };
    c->sent = c->answered = c->good = 0;
    c->mail_taken = false;
    c->out_state = 0;
    if (is_ruled_out(c)) {
        finish_and_go_on(c, false);
        return;
    }
    send_steps(c);
    if (c->state != CLIENT_OVER)
        client_go(c, CLIENT_MAIL);
}

/* A step was answered: waits for the next one's reply, and says it where it was not said already. */
static void proceed(struct smtp_client *c)
{
    bool at_data;

    c->answered = step_after(c, c->answered);
    at_data = c->answered == step_data(c);
    /* Nobody to send to: not worth a DATA that was not said yet. */
    if (c->sent <= c->answered && ((at_data && c->good == 0) || !c->mail_taken)) {
        finish_and_go_on(c, c->mail_taken);
        return;
    }
    if (at_data && c->message->binary) {
        client_send_chunk(c);
        return;
    }
    if (c->sent <= c->answered)
        send_steps(c);
    if (c->state != CLIENT_OVER)
        client_go(c, at_data ? CLIENT_DATA : CLIENT_RCPT);
}

/* ---- replies ---- */

void client_mail_taken(struct smtp_client *c)
{
    c->mail_taken = true;
    proceed(c);
}

void client_mail_refused(struct smtp_client *c)
{
    c->outcome = c->reply;
    proceed(c);
}

/* RFC 5321 4.5.3.1.10: an old server's 552 to RCPT is "too many recipients", which is for now. Not where it says itself
 * that it means something else: 5.2.2, the mailbox is full. */
static void mend_552(struct smtp_client_reply *reply)
{
    if (reply->code != 552 || (reply->enhanced[0] != '\0' && strcmp(reply->enhanced, "5.5.3") != 0))
        return;
    reply->code = 452;
    (void)snprintf(reply->enhanced, sizeof reply->enhanced, "4.5.3");
}

/* What RCPT says without a sender means nothing. */
void client_rcpt_answered(struct smtp_client *c)
{
    bool taken = c->reply.code < 300;

    mend_552(&c->reply);
    if (c->mail_taken)
        c->message->rcpts[c->answered - 1].reply = c->reply;
    if (taken)
        c->good++;
    proceed(c);
}

void client_data_taken(struct smtp_client *c)
{
    if (!c->mail_taken && c->good > 0) { /* a dot would send an empty message in nobody's name */
        client_give_up(c, &c->outcome, false);
        return;
    }
    if (c->good ==
        0) { /* RFC 2920 3.1: the server went along; it gets nothing, and what it says of that is no matter */
        client_send(c, SLICE_LIT(".\r\n"));
        client_go(c, CLIENT_END);
        return;
    }
    client_go(c, CLIENT_BODY);
    client_send_body(c);
}

void client_data_refused(struct smtp_client *c)
{
    if (c->mail_taken)
        c->outcome = c->reply;
    finish_and_go_on(c, c->mail_taken);
}

void client_end_answered(struct smtp_client *c)
{
    if (c->good > 0)
        c->outcome = c->reply;
    finish_and_go_on(c, false);
}

void client_chunk_taken(struct smtp_client *c)
{
    client_send_chunk(c);
}

void client_chunk_refused(struct smtp_client *c)
{
    c->outcome = c->reply;
    finish_and_go_on(c, true);
}

/* ---- the body ---- */

static void unreadable(struct smtp_client *c)
{
    struct smtp_client_reply why;

    client_say(&why, 451, "4.3.0", "The message could not be read from the queue");
    client_give_up(c, &why, false);
}

/* The end: a last line without its line end gets one, then the dot. */
static void send_dot(struct smtp_client *c)
{
    client_send(c, body_out_in_line(c->out_state) ? SLICE_LIT("\r\n.\r\n") : SLICE_LIT(".\r\n"));
    client_go(c, CLIENT_END);
}

void client_send_body(struct smtp_client *c)
{
    bool any = false;

    while (!c->host->is_full(c->world)) {
        const char *p = NULL;
        ssize_t n = c->host->read_body(c->world, &p, CLIENT_BLOCK);

        if (n == -EAGAIN) {
            c->host->phase(c->world, CLIENT_PHASE_OURS);
            return;
        }
        if (n == 0) {
            send_dot(c);
            return;
        }
        buf_reset(&c->out);
        if (n < 0 || body_out(&c->out_state, slice_make(p, (size_t)n), true, &c->out) < 0) {
            unreadable(c);
            return;
        }
        client_send(c, buf_slice(&c->out));
        any = true;
    }
    if (any) /* progress: the deadline is for each block (RFC 5321 4.5.3.2.5) */
        c->host->phase(c->world, CLIENT_PHASE_DATA_BLOCK);
}

/* RFC 3030 2: each chunk is answered before the next; the last one is empty. */
void client_send_chunk(struct smtp_client *c)
{
    const char *p = NULL;
    ssize_t n = c->host->read_body(c->world, &p, CLIENT_BLOCK);

    buf_reset(&c->out);
    if (n == -EAGAIN) {
        c->state = CLIENT_BODY;
        c->host->phase(c->world, CLIENT_PHASE_OURS);
    } else if (n == 0) {
        client_send(c, SLICE_LIT("BDAT 0 LAST\r\n"));
        client_go(c, CLIENT_CHUNK_LAST);
    } else if (n < 0 || buf_addf(&c->out, "BDAT %zd\r\n", n) < 0) {
        unreadable(c);
    } else {
        client_send(c, buf_slice(&c->out));
        client_send(c, slice_make(p, (size_t)n));
        client_go(c, CLIENT_CHUNK);
    }
}
