/* The end of the data: the message becomes a row of the queue, and only then is it answered. */
#include "transaction_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/chronicle.h"
#include "facteur/flow/commit.h"
#include "facteur/flow/schedule.h"

struct transaction_commit {
    struct commit_request request;
    struct queue_op add;
    struct flow *f;
    struct queue_message *message;
    struct body_store *store; /* of a spooled body */
    struct transaction *t;    /* NULL when it has gone */
    char session[16];
    char *asked; /* the first recipient's, or NULL */
};

static void fill_recipient(struct queue_recipient *to, const struct transaction_recipient *from, uint32_t seq,
                           int64_t due_ms)
{
    to->seq = seq;
    to->address = address_str(&from->target.address);
    to->notify = from->notify;
    to->orcpt = mem_str(from->orcpt);
    to->due_ms = due_ms;
    if (from->target.route == ROUTE_LOCAL) {
        to->route = QUEUE_LOCAL;
        to->mailbox = mem_str(from->target.user->name);
    } else {
        to->route = QUEUE_REMOTE;
        to->mailbox = mem_str(from->asked);
        to->domain = mem_str(from->target.address.domain);
    }
}

/* RFC 6531 3.4: what needs no SMTPUTF8 is not to ask the next server for it. There are clients, msmtp of Debian 13 for
 * one, that give the parameter with every message, and most next servers do not know it. An address that an alias leads
 * to needs it whatever the client said: it goes into our RCPT. */
static bool needs_utf8(const struct transaction *t)
{
    bool needed = t->mail.utf8 && t->header_utf8; /* which has the sender in its Return-Path */

    LIST_EACH (it, &t->recipients) {
        const struct transaction_recipient *r = LIST_ENTRY(it, struct transaction_recipient, link);

        needed =
            needed || r->target.address.utf8 || (t->mail.utf8 && r->orcpt != NULL && !ascii_only(slice_str(r->orcpt)));
    }
    return needed;
}

/* A header in which such octets were not announced cannot be converted for a next hop without 8BITMIME, and it may well
 * take them: it goes as it came. */
static bool needs_8bit(const struct transaction *t)
{
    return t->eight_bit && (t->mail.body == SMTP_BODY_8BIT || !t->header_utf8);
}

static unsigned message_flags(const struct transaction *t)
{
    unsigned flags = 0;

    flags |= needs_utf8(t) ? QUEUE_SMTPUTF8 : 0;
    flags |= t->mail.body == SMTP_BODY_BINARY ? QUEUE_BINARY : 0;
    flags |= needs_8bit(t) ? QUEUE_8BIT : 0;
    flags |= t->mail.ret == SMTP_RET_FULL ? QUEUE_RET_FULL : 0;
    flags |= t->mail.ret == SMTP_RET_HDRS ? QUEUE_RET_HDRS : 0;
    return flags;
}

static bool has_local(const struct transaction *t)
{
    LIST_EACH (it, &t->recipients) {
        if (LIST_ENTRY(it, struct transaction_recipient, link)->target.route == ROUTE_LOCAL)
            return true;
    }
    return false;
}

static struct queue_message *make_message(struct transaction *t)
{
    struct queue_message *m = mem_zero(sizeof *m);
    int64_t due_ms = schedule_first_due(t->flow, has_local(t));

    m->id = t->id;
    m->received_ms = clock_wall_ms();
    m->sender = mem_str(t->sender);
    m->envid = t->mail.envid[0] != '\0' ? mem_str(t->mail.envid) : NULL;
    m->login = t->client->user != NULL ? mem_str(t->client->user->name) : NULL;
    m->client = mem_str(t->client->address[0] != '\0' ? t->client->address : "local");
    m->flags = message_flags(t);
    m->size = body_store_size(t->store);
    m->wire_size = t->wire_size;
    m->trace_at = t->trace_at;
    m->header_size = t->header_size;
    m->spooled = body_store_is_spooled(t->store);
    if (!m->spooled)
        m->body = body_store_give(t->store);
    m->count = t->count;
    m->recipients = mem_array(t->count, sizeof *m->recipients);
    t->count = 0;
    LIST_EACH (it, &t->recipients) {
        fill_recipient(&m->recipients[t->count], LIST_ENTRY(it, struct transaction_recipient, link), t->count, due_ms);
        t->count++;
    }
    return m;
}

static void log_accepted(const struct transaction_commit *c)
{
    const struct queue_message *m = c->message;
    char id[14];

    base32_u64(m->id, id);
    LOG(INFO, "accepted", kv_str("session", c->session), kv_str("queue", id), kv_str("client", m->client),
        kv_str("login", m->login), kv_str("from", m->sender[0] != '\0' ? m->sender : "<>"),
        kv_str("to", m->recipients[0].address), kv_str("orig_to", c->asked), kv_num("recipients", m->count),
        kv_num("size", (int64_t)m->size));
    chronicle_add(c->f->chronicle, HISTORY_RECEIVED, m->id, m->sender, NULL, m->client);
}

static void committed(struct commit_request *r, int status, const char *why)
{
    struct transaction_commit *c = LIST_ENTRY(r, struct transaction_commit, request);
    struct verdict v = verdict_of_error(status);
    struct queue_message *m = c->message;

    list_unlink(&c->add.link);
    if (status == 0) {
        char id[14];

        base32_u64(m->id, id);
        v = verdict_ok("2.0.0", "Ok: queued as %s", id);
        if (c->store != NULL)
            body_store_keep(c->store);
        c->f->stats.received++;
        c->f->stats.received_octets += m->wire_size;
        log_accepted(c);
    } else {
        LOG(ERROR, "not-accepted", kv_str("session", c->session), kv_str("reason", why));
        c->f->body_octets -= m->body != NULL ? m->size : 0;
        queue_message_free(&m);
    }
    body_store_free(&c->store);
    if (c->t != NULL) {
        struct transaction *t = c->t;

        t->committing = NULL;
        t->finished = true;
        t->events->answer(t->owner, &v);
    }
    if (m != NULL)
        schedule_add(c->f, m);
    mem_free(c->asked);
    mem_free(c);
}

static char *first_asked(const struct transaction *t)
{
    return mem_str(LIST_ENTRY(t->recipients.next, struct transaction_recipient, link)->asked);
}

static void start_commit(struct transaction *t)
{
    struct transaction_commit *c = mem_zero(sizeof *c);

    c->f = t->flow;
    c->message = make_message(t);
    c->t = t;
    c->asked = first_asked(t);
    slice_clip(slice_str(t->client->session), c->session, sizeof c->session);
    if (c->message->spooled) {
        c->store = t->store;
        t->store = NULL;
    }
    t->committing = &c->t;
    list_init(&c->request.ops);
    c->add.kind = QUEUE_ADD;
    c->add.message = c->message;
    c->add.id = c->message->id;
    list_push(&c->request.ops, &c->add.link);
    c->request.done = committed;
    commit_add(t->flow->commit, &c->request);
}

void transaction_stored(void *owner, int code)
{
    struct transaction *t = owner;
    struct verdict v;

    if (code == 0) {
        start_commit(t);
        return;
    }
    v = verdict_of_error(code);
    t->events->answer(t->owner, &v);
}

enum when transaction_commit(struct transaction *t, struct verdict *ret)
{
    int code = transaction_end_header(t);

    if (code < 0) {
        *ret = verdict_of_error(code);
        return NOW;
    }
    if (!verdict_is_ok(&t->header_verdict)) {
        *ret = t->header_verdict;
        return NOW;
    }
    if (body_store_finish(t->store))
        start_commit(t);
    return LATER;
}
