/* What a connection carries: the next part of a work as a transaction, and its results. */
#include "remote_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* ---- a transaction from a work ---- */

static const char *asked_of(const struct remote_work *work, size_t i)
{
    return work->recipients[i].recipient->mailbox;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static size_t part_of(const struct remote_connection *c)
{
    size_t left = c->work->count - c->work->next;
    size_t most = REMOTE_RECIPIENTS;
    unsigned said = smtp_client_rcpt_max(c->client);

    if (said > 0 && said < most)
        most = said;
    if (left < most)
        most = left;
    for (size_t i = 1; i < most; i++) /* who come through another alias get another Delivered-To */
        if (!same_text(asked_of(c->work, c->work->next), asked_of(c->work, c->work->next + i)))
            return i;
    return most;
}

/* What goes out is the stored text behind the Return-Path line, with perhaps another line instead. */
static uint64_t wire_size(const struct queue_message *m, const char *asked)
{
    unsigned cr = (m->flags & QUEUE_BINARY) == 0 ? 1 : 0;
    uint64_t before = m->trace_at + (m->trace_at > 0 ? cr : 0), first = remote_body_first(m, asked);

    return (m->wire_size > before ? m->wire_size - before : 0) + first + (first > 0 ? cr : 0);
}

static enum smtp_ret ret_of(unsigned flags)
{
    if ((flags & QUEUE_RET_FULL) != 0)
        return SMTP_RET_FULL;
    return (flags & QUEUE_RET_HDRS) != 0 ? SMTP_RET_HDRS : SMTP_RET_UNSET;
}

static void body_ready(void *owner)
{
    struct remote_connection *c = owner;

    smtp_client_body_ready(c->client);
}

static void begin_transaction(struct remote_connection *c)
{
    c->state = CONNECTION_BUSY;
    c->carrying = true;
    remote_body_start(&c->body, c->r, c->work->message, asked_of(c->work, c->work->next), body_ready, c);
    smtp_client_message(c->client, &c->message);
}

static void stop_reading(struct remote_connection *c)
{
    char id[14];

    base32_u64(c->work->message->id, id);
    if (c->body.status < 0)
        LOG(ERROR, "body-not-read", kv_str("session", c->id), kv_str("queue", id),
            kv_str("reason", err_text(c->body.status)));
    remote_body_stop(&c->body);
    remote_convert_stop(c);
}

static void let_go(struct remote_connection *c)
{
    stop_reading(c);
    c->work->connection = NULL;
    c->work = NULL;
}

static void body_lost(struct remote_connection *c, int status)
{
    struct smtp_client_reply why = { .code = 451, .enhanced = "4.3.0", .ours = true };
    struct remote_work *work = c->work;

    (void)snprintf(why.text, sizeof why.text, "The message could not be read from the queue: %s", err_text(status));
    let_go(c);
    remote_defer_all(work, &why, "", false);
}

/* ---- for a server that takes only 7 bits ---- */

/* What cannot be converted the client refuses, with the reason. */
static void begin_converted(struct remote_connection *c)
{
    struct err e;
    char id[14];

    if (remote_convert_plan(c, &c->message.size, &e) == 0) {
        c->message.eight_bit = c->message.binary = false;
        base32_u64(c->work->message->id, id);
        LOG(INFO, "relay-in-7bit", kv_str("session", c->id), kv_str("queue", id), kv_str("host", c->host));
    } else {
        slice_clip(slice_str(e.text), c->not_7bit, sizeof c->not_7bit);
        c->message.not_7bit = c->not_7bit;
    }
    begin_transaction(c);
}

static void go_on_surveying(void *owner)
{
    struct remote_connection *c = owner;
    int code = remote_convert_survey(c);

    if (code == 0) {
        begin_converted(c);
    } else if (code != -EAGAIN) {
        c->state = CONNECTION_BUSY;
        body_lost(c, code);
        message_next(c);
    }
}

/* The whole message is read before the first word of its transaction: a read through a spool file takes its time. */
static void begin_survey(struct remote_connection *c)
{
    c->state = CONNECTION_LOADING;
    session_phase(c, CLIENT_PHASE_OURS);
    remote_convert_start(c);
    remote_body_start(&c->body, c->r, c->work->message, asked_of(c->work, c->work->next), go_on_surveying, c);
    go_on_surveying(c);
}

static void send_part(struct remote_connection *c)
{
    const struct queue_message *m = c->work->message;
    size_t count = part_of(c);

    if (c->rcpts_cap < count) {
        c->rcpts = mem_resize(c->rcpts, count * sizeof *c->rcpts);
        c->rcpts_cap = count;
    }
    for (size_t i = 0; i < count; i++) {
        const struct queue_recipient *recipient = c->work->recipients[c->work->next + i].recipient;

        c->rcpts[i] = (struct smtp_client_rcpt){ .address = recipient->address,
                                                 .orcpt = recipient->orcpt,
                                                 .notify = recipient->notify };
    }
    c->message = (struct smtp_client_message){
        .sender = m->sender,
        .size = wire_size(m, asked_of(c->work, c->work->next)),
        .utf8 = (m->flags & QUEUE_SMTPUTF8) != 0,
        .eight_bit = (m->flags & QUEUE_8BIT) != 0,
        .binary = (m->flags & QUEUE_BINARY) != 0,
        .ret = ret_of(m->flags),
        .envid = m->envid,
        .rcpts = c->rcpts,
        .count = count,
    };
    if (smtp_client_wants_7bit(c->client, &c->message))
        begin_survey(c);
    else
        begin_transaction(c);
}

/* ---- which work ---- */

/* Takes the next work from the line whose body is at hand or can be brought; the one behind it is brought meanwhile.
 * False: there is nothing to send now. */
static bool take_work(struct remote_connection *c)
{
    struct remote_destination *d = c->d;

    while ((c->work = destination_take(d)) != NULL) {
        c->work->connection = c;
        c->work->started_ms = clock_mono_ms();
        if (!list_empty(&d->waiting))
            (void)remote_want_body(LIST_ENTRY(d->waiting.next, struct remote_work, link));
        if (!remote_want_body(c->work)) {
            c->state = CONNECTION_LOADING;
            return true;
        }
        if (c->work->load_status == 0)
            return true;
        body_lost(c, c->work->load_status);
    }
    return false;
}

static void become_idle(struct remote_connection *c)
{
    c->state = CONNECTION_IDLE;
    list_push(&c->r->idle, &c->in_idle);
}

void message_next(struct remote_connection *c)
{
    struct remote *r = c->r;

    c->carried += c->carrying ? 1 : 0;
    c->carrying = false;
    if (c->work != NULL) { /* its next recipients */
        send_part(c);
        return;
    }
    if (r->stopping || c->carried >= c->config->queue.messages_per_connection) {
        connection_quit(c);
        return;
    }
    if (take_work(c)) {
        if (c->state != CONNECTION_LOADING)
            send_part(c);
        return;
    }
    if (list_empty(&r->starved))
        become_idle(c);
    else /* somebody else needs the room */
        connection_quit(c);
}

void message_loaded(struct remote_connection *c)
{
    if (c->state != CONNECTION_LOADING)
        return;
    c->state = CONNECTION_BUSY;
    if (c->work->load_status < 0)
        body_lost(c, c->work->load_status);
    message_next(c);
}

/* The connection ends while the body is being brought, or between two parts: the work waits for another. */
void message_unload(struct remote_connection *c)
{
    struct remote_work *work = c->work;

    let_go(c);
    if (c->cut)
        remote_defer_all(work, &remote_stopping, "", true);
    else
        destination_put_back(c->d, work);
}

/* ---- results ---- */

/* A server may close a connection that has been idle or has carried enough just when we use it again. That is no
 * attempt at the message: it goes over another one. Each time costs a connection that had carried something, so this
 * comes to an end. */
static bool was_closed_before(const struct remote_connection *c, bool unclear)
{
    if (unclear || c->cut || c->timed_out || c->carried == 0)
        return false;
    for (size_t i = 0; i < c->message.count; i++)
        if (c->rcpts[i].reply.code != 421)
            return false;
    return true;
}

static enum remote_result result_of(const struct smtp_client_reply *reply)
{
    if (reply->code >= 400 && reply->code < 500) /* an unclear end too: rather twice than never (RFC 1047) */
        return REMOTE_DEFERRED;
    return reply->code < 300 ? REMOTE_TAKEN : REMOTE_REFUSED;
}

static bool took_any(const struct remote_connection *c)
{
    for (size_t i = 0; i < c->message.count; i++)
        if (c->rcpts[i].reply.code < 300)
            return true;
    return false;
}

/* RFC 5321 4.5.3.1.10: those that were too many for one transaction go with the next one. */
static bool was_one_too_many(const struct smtp_client_reply *reply)
{
    return reply->code == 452 && (reply->enhanced[0] == '\0' || strcmp(reply->enhanced, "4.5.3") == 0);
}

static void set_result(struct remote_connection *c, size_t at, const struct smtp_client_reply *reply)
{
    struct remote_work *work = c->work;

    remote_result_set(work, at, result_of(reply), reply, c->host, c->cut);
    work->recipients[at].without_dsn = !smtp_client_offered_dsn(c->client);
    remote_log_result(work, at, c->id, c->tls_text, clock_mono_ms() - work->started_ms);
}

/* Results of the transaction; who goes again comes behind those that have one. As long as each transaction takes
 * somebody this has an end. */
static void set_results(struct remote_connection *c)
{
    struct remote_work *work = c->work;
    bool again = took_any(c);
    size_t first = work->next;

    for (size_t i = 0; i < c->message.count; i++) {
        struct remote_recipient swap;

        if (again && was_one_too_many(&c->rcpts[i].reply))
            continue;
        set_result(c, first + i, &c->rcpts[i].reply);
        swap = work->recipients[first + i];
        work->recipients[first + i] = work->recipients[work->next];
        work->recipients[work->next++] = swap;
    }
}

void message_over(struct remote_connection *c, bool unclear)
{
    struct remote_work *work = c->work;

    c->d->moved_ms = clock_mono_ms();
    stop_reading(c);
    if (was_closed_before(c, unclear)) {
        let_go(c);
        destination_put_back(c->d, work);
        return;
    }
    set_results(c);
    if (work->next < work->count && c->cut) {
        let_go(c);
        remote_defer_all(work, &remote_stopping, "", true);
    } else if (work->next == work->count) {
        let_go(c);
        remote_finish(work);
    }
}
