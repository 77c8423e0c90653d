#include "facteur/flow/transaction.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "facteur/flow/chronicle.h"
#include "facteur/flow/commit.h"
#include "facteur/flow/schedule.h"
#include "facteur/flow/stages.h"
#include "facteur/mail/trace.h"

#include <errno.h>

enum { PRELUDE_MAX = 8 * 1024 };

static void on_hold(void *owner, bool hold)
{
    struct transaction *t = owner;

    t->events->hold(t->owner, hold);
}

static void on_failed(void *owner, int code)
{
    struct transaction *t = owner;

    t->events->failed(t->owner, code);
}

static void on_finished(void *owner, int code);

static const struct body_store_events store_events = { on_hold, on_failed, on_finished };

struct transaction *transaction_new(struct flow *f, struct config *config, const struct client *client,
                                    const struct transaction_events *events, void *owner)
{
    struct transaction *t = mem_zero(sizeof *t);

    t->flow = f;
    t->config = config_ref(config);
    t->client = client;
    t->events = events;
    t->owner = owner;
    t->id = queue_new_id(f->queue);
    base32_u64(t->id, t->queue_id);
    list_init(&t->recipients);
    job_scope_init(&t->jobs);
    header_init(&t->header);
    t->header_verdict = verdict_ok("2.0.0", "Ok");
    return t;
}

void transaction_free(struct transaction **t)
{
    struct transaction *dead = *t;

    *t = NULL;
    if (dead == NULL)
        return;
    job_scope_abandon(&dead->jobs);
    if (dead->committing != NULL)
        *dead->committing = NULL; /* the commit goes on and finds nobody to answer to */
    policy_targets_clear(&dead->now);
    header_clear(&dead->header);
    body_store_free(&dead->store);
    arena_clear(&dead->arena);
    config_unref(&dead->config);
    mem_free(dead);
}

/* --- MAIL --- */

static void mail_decided(struct transaction *t, struct verdict *v)
{
    if (verdict_is_ok(v))
        *v = verdict_ok("2.1.0", "Ok");
    t->events->answer(t->owner, v);
}

enum when transaction_mail(struct transaction *t, const struct smtp_mail *m, struct verdict *ret)
{
    t->mail = *m;
    t->sender = "";
    if (!address_is_null(&m->reverse_path)) {
        char *text = address_str(&m->reverse_path);

        t->sender = arena_str(&t->arena, slice_str(text));
        mem_free(text);
    }
    if (stages_run(t, stages_mail, ret, mail_decided) == LATER)
        return LATER;
    if (verdict_is_ok(ret))
        *ret = verdict_ok("2.1.0", "Ok");
    return NOW;
}

/* --- RCPT --- */

static bool same_target(const struct policy_target *a, const struct policy_target *b)
{
    if (a->route != b->route)
        return false;
    if (a->route == ROUTE_LOCAL)
        return strcmp(a->user->name, b->user->name) == 0;
    return strcmp(a->address.local, b->address.local) == 0 && strcmp(a->address.domain, b->address.domain) == 0;
}

/* A recipient that is reached twice (by an alias and by name, say) gets one copy. */
static void add_recipient(struct transaction *t, const struct policy_target *target)
{
    struct transaction_recipient *r;

    LIST_EACH (it, &t->recipients) {
        if (same_target(&LIST_ENTRY(it, struct transaction_recipient, link)->target, target))
            return;
    }
    r = arena_zero(&t->arena, sizeof *r);
    r->target = *target;
    r->notify = t->rcpt.notify;
    if (t->rcpt.orcpt[0] != '\0')
        r->orcpt = arena_str(&t->arena, slice_str(t->rcpt.orcpt));
    list_push(&t->recipients, &r->link);
    t->count++;
}

static void accept_recipient(struct transaction *t, struct verdict *v)
{
    uint64_t most = (uint64_t)POLICY_TARGETS + t->config->limits.submission_recipients;

    if (t->count + t->now.count > most) {
        *v = verdict_by(verdict_make(452, "4.5.3", "Too many recipients after expansion"), "limits.recipients", 0);
    } else {
        for (size_t i = 0; i < t->now.count; i++)
            add_recipient(t, &t->now.items[i]);
        t->only_recipient = NULL;
        if (++t->accepted == 1) {
            char *text = address_str(&t->rcpt.forward_path);

            t->only_recipient = arena_str(&t->arena, slice_str(text));
            mem_free(text);
        }
        *v = verdict_ok("2.1.5", "Ok");
    }
    policy_targets_clear(&t->now);
}

static void rcpt_decided(struct transaction *t, struct verdict *v)
{
    if (verdict_is_ok(v))
        accept_recipient(t, v);
    t->events->answer(t->owner, v);
}

enum when transaction_rcpt(struct transaction *t, const struct smtp_rcpt *r, struct verdict *ret)
{
    t->rcpt = *r;
    if (stages_run(t, stages_rcpt, ret, rcpt_decided) == LATER)
        return LATER;
    if (verdict_is_ok(ret))
        accept_recipient(t, ret);
    return NOW;
}

/* --- the body --- */

static void data_decided(struct transaction *t, struct verdict *v)
{
    t->events->answer(t->owner, v);
}

enum when transaction_data(struct transaction *t, struct verdict *ret)
{
    if (t->store == NULL)
        t->store = body_store_new(t->flow, t->id, &store_events, t);
    return stages_run(t, stages_data, ret, data_decided);
}

static uint64_t count_lines(struct slice s)
{
    uint64_t n = 0;
    ptrdiff_t at;

    while ((at = slice_find(s, '\n')) >= 0) {
        s = slice_skip(s, (size_t)at + 1);
        n++;
    }
    return n;
}

static bool is_binary(const struct transaction *t)
{
    return t->mail.body == SMTP_BODY_BINARY;
}

/* Everything that is stored passes here. A binary body keeps its CRLF, so its size on the wire is its size. */
static int keep(struct transaction *t, struct slice octets)
{
    /* Many clients say BODY=8BITMIME whatever they send: only what needs it may be refused by a next hop without it. */
    if (t->mail.body == SMTP_BODY_8BIT && !t->eight_bit)
        t->eight_bit = !ascii_only(octets);
    t->wire_size += octets.n + (is_binary(t) ? 0 : count_lines(octets));
    return body_store_push(t->store, octets);
}

/* The header is handled with LF lines; a binary message is stored with CRLF throughout. */
static int keep_lines(struct transaction *t, struct slice lines)
{
    struct slice line;

    t->header_utf8 = t->header_utf8 || !ascii_only(lines);
    if (!is_binary(t))
        return keep(t, lines);
    while (slice_cut(&lines, '\n', &line)) {
        TRY(keep(t, line));
        TRY(keep(t, SLICE_LIT("\r\n")));
    }
    return keep(t, line);
}

static int trace_lines(const struct transaction *t, struct buf *out)
{
    struct trace trace = { .helo = t->client->helo,
                           .client = t->client->address,
                           .hostname = t->config->hostname,
                           .with = t->client->with,
                           .tls = t->client->tls,
                           .login = t->client->user != NULL ? t->client->user->name : "",
                           .queue_id = t->queue_id,
                           .recipient = t->only_recipient != NULL ? t->only_recipient : "",
                           .wall_ms = clock_wall_ms() };

    return trace_received(&trace, out);
}

/* RFC 6409 8: submission completes what a mail program or a device forgot. */
static int mend(const struct transaction *t, struct buf *out)
{
    if (t->client->user == NULL && !t->client->submission)
        return 0;
    if (header_find(&t->header, "Date", 0) == NULL) {
        TRY(buf_adds(out, "Date: "));
        TRY(date_rfc5322(clock_wall_ms(), out));
        TRY(buf_addc(out, '\n'));
    }
    if (header_find(&t->header, "Message-ID", 0) == NULL)
        TRY(buf_addf(out, "Message-ID: <%s.%08x@%s>\n", t->queue_id, (unsigned)rand_below(UINT32_MAX),
                     t->config->hostname));
    if (header_find(&t->header, "From", 0) == NULL && t->sender[0] != '\0')
        TRY(buf_addf(out, "From: <%s>\n", t->sender));
    return 0;
}

static int keep_fields(struct transaction *t)
{
    for (size_t i = 0; i < t->header.count; i++) {
        const struct header_field *field = &t->header.fields[i];

        /* RFC 5321 4.4: the one Return-Path is ours, made at the final delivery. */
        if (!slice_iis(field->name, "Return-Path"))
            TRY(keep_lines(t, field->all));
    }
    return keep_lines(t, SLICE_LIT("\n"));
}

static int keep_header(struct transaction *t)
{
    struct buf prelude;
    int code;

    buf_init(&prelude, PRELUDE_MAX);
    code = trace_return_path(t->sender, &prelude);
    if (code == 0)
        code = keep_lines(t, buf_slice(&prelude));
    t->trace_at = (uint32_t)body_store_size(t->store);
    buf_reset(&prelude);
    if (code == 0)
        code = trace_lines(t, &prelude);
    if (code == 0)
        code = mend(t, &prelude);
    if (code == 0)
        code = keep_lines(t, buf_slice(&prelude));
    buf_clear(&prelude);
    if (code == 0)
        code = keep_fields(t);
    t->header_size = (uint32_t)body_store_size(t->store);
    if (code == 0 && t->header.spill.n > 0) /* a body that began without the empty line before it */
        code = keep(t, t->header.spill);
    return code;
}

static int header_ended(struct transaction *t)
{
    int code = 0;

    t->header_done = true;
    (void)stages_run(t, stages_header, &t->header_verdict, NULL); /* header stages never wait */
    if (verdict_is_ok(&t->header_verdict))
        code = keep_header(t);
    header_clear(&t->header);
    return code;
}

static int push_header(struct transaction *t, struct slice *in)
{
    size_t used = 0;
    int r = header_push(&t->header, *in, &used);

    if (r < 0) {
        t->header_done = true;
        t->header_verdict = verdict_by(verdict_make(552, "5.3.4", "The header is too large"), "header-size", 0);
        header_clear(&t->header);
        return 0;
    }
    *in = slice_skip(*in, used);
    return r == DONE ? header_ended(t) : 0;
}

static int push(void *to, struct slice in)
{
    struct transaction *t = to;

    if (!t->header_done)
        TRY(push_header(t, &in));
    if (!t->header_done || !verdict_is_ok(&t->header_verdict) || in.n == 0)
        return 0; /* what is refused at the end need not be kept */
    return keep(t, in);
}

struct sink transaction_sink(struct transaction *t)
{
    return (struct sink){ push, t };
}

/* --- the commit --- */

struct transaction_commit {
    struct commit_request request;
    struct queue_op add;
    struct flow *f;
    struct queue_message *message;
    struct body_store *store; /* of a spooled body */
    struct transaction *t;    /* NULL when it has gone */
    char session[16];
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
        to->domain = mem_str(from->target.address.domain);
    }
}

/* RFC 6531 3.4: what needs no SMTPUTF8 is not to ask the next server for it. There are clients, msmtp of Debian 13 for
 * one, that give the parameter with every message, and most next servers do not know it. */
static bool needs_utf8(const struct transaction *t)
{
    bool needed = t->header_utf8; /* which has the sender in its Return-Path */

    LIST_EACH (it, &t->recipients) {
        const struct transaction_recipient *r = LIST_ENTRY(it, struct transaction_recipient, link);

        needed = needed || r->target.address.utf8 || (r->orcpt != NULL && !ascii_only(slice_str(r->orcpt)));
    }
    return t->mail.utf8 && needed;
}

static unsigned message_flags(const struct transaction *t)
{
    unsigned flags = 0;

    flags |= needs_utf8(t) ? QUEUE_SMTPUTF8 : 0;
    flags |= t->mail.body == SMTP_BODY_BINARY ? QUEUE_BINARY : 0;
    flags |= t->eight_bit ? QUEUE_8BIT : 0;
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
        kv_str("to", m->recipients[0].address), kv_num("recipients", m->count), kv_num("size", (int64_t)m->size));
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
    mem_free(c);
}

static void start_commit(struct transaction *t)
{
    struct transaction_commit *c = mem_zero(sizeof *c);

    c->f = t->flow;
    c->message = make_message(t);
    c->t = t;
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

static void on_finished(void *owner, int code)
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
    int code = 0;

    if (!t->header_done) {
        if (header_end(&t->header) < 0)
            t->header_verdict = verdict_make(552, "5.3.4", "The header is too large");
        else
            code = header_ended(t);
    }
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
