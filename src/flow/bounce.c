#include "facteur/flow/bounce.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/schedule.h"
#include "facteur/mail/trace.h"
#include "facteur/policy/relay.h"

#include <errno.h>

enum { BOUNCE_MOST = 1024 * 1024, REPLY_SHORT = 80 };

static void say_nobody(const struct queue_message *m, const char *why)
{
    char id[14];

    base32_u64(m->id, id);
    LOG(WARNING, "not-bounced", kv_str("queue", id), kv_str("sender", m->sender), kv_str("reason", why));
}

static bool find_sender(struct flow *f, const struct queue_message *m, struct policy_targets *ret)
{
    struct policy_client ourselves = { .ourselves = true };
    struct address to;
    struct verdict v;

    if (m->sender[0] == '\0') {
        say_nobody(m, "the message had the null reverse-path itself");
        return false;
    }
    if (address_parse(slice_str(m->sender), ADDRESS_UTF8 | ADDRESS_LITERAL, &to) < 0) {
        say_nobody(m, "the reverse-path cannot be read");
        return false;
    }
    v = policy_rcpt(f->config, &ourselves, &to, ret);
    if (!verdict_is_ok(&v))
        say_nobody(m, v.text);
    return verdict_is_ok(&v);
}

static int write_text(struct flow *f, struct queue_message *b, const struct dsn *d, struct buf *out)
{
    char id[14];
    struct trace trace = { .helo = "",
                           .client = "",
                           .hostname = f->config->hostname,
                           .with = "local",
                           .tls = "",
                           .login = "",
                           .queue_id = id,
                           .recipient = d->to,
                           .wall_ms = d->now_ms };

    base32_u64(b->id, id);
    TRY(trace_return_path("", out));
    b->trace_at = (uint32_t)out->n;
    TRY(trace_received(&trace, out));
    return dsn_write(d, out);
}

/* What is too large is said shorter, and then of fewer recipients: the notification is never lost for its size. */
static int write_fitting(struct flow *f, struct queue_message *b, struct dsn *d, struct buf *out)
{
    int code;

    while ((code = write_text(f, b, d, out)) == -ENOBUFS && (d->reply_most == 0 || d->count > 1)) {
        if (d->reply_most > 0)
            d->count /= 2;
        d->return_full = false;
        d->reply_most = REPLY_SHORT;
        buf_reset(out);
    }
    return code;
}

static void fill_envelope(struct queue_message *b, const struct policy_targets *targets, int64_t due_ms)
{
    b->sender = mem_str("");
    b->client = mem_str("local");
    b->count = (uint32_t)targets->count;
    b->recipients = mem_array(targets->count, sizeof *b->recipients);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct policy_target *t = &targets->items[i];
        struct queue_recipient *r = &b->recipients[i];

        r->seq = i;
        r->address = address_str(&t->address);
        r->notify = NOTIFY_NEVER;
        r->due_ms = due_ms;
        r->route = t->route == ROUTE_LOCAL ? QUEUE_LOCAL : QUEUE_REMOTE;
        r->mailbox = t->route == ROUTE_LOCAL ? mem_str(t->user->name) : NULL;
        r->domain = t->route == ROUTE_LOCAL ? NULL : mem_str(t->address.domain);
    }
}

static void finish_body(struct flow *f, struct queue_message *b, struct buf *text)
{
    size_t lines = 0, n;
    const char *end;

    for (size_t i = 0; i < text->n; i++)
        lines += text->p[i] == '\n';
    end = memmem(text->p, text->n, "\n\n", 2);
    b->header_size = end != NULL ? (uint32_t)(end - text->p) + 2 : (uint32_t)text->n;
    b->size = text->n;
    b->wire_size = text->n + lines;
    b->body = buf_give(text, &n);
    f->body_octets += n;
}

struct queue_message *bounce_make(struct flow *f, const struct queue_message *m, struct slice original, bool full,
                                  const struct dsn_recipient *recipients, size_t *count)
{
    struct policy_targets targets = { 0 };
    struct queue_message *b;
    struct buf text;
    char id[14];
    struct dsn d = { .hostname = f->config->hostname,
                     .queue_id = id,
                     .to = m->sender,
                     .envid = m->envid,
                     .arrival_ms = m->received_ms,
                     .now_ms = clock_wall_ms(),
                     .return_full = full,
                     .original = original,
                     .recipients = recipients,
                     .count = *count };

    if (!find_sender(f, m, &targets))
        return NULL;
    base32_u64(m->id, id);
    b = mem_zero(sizeof *b);
    b->id = queue_new_id(f->queue);
    b->received_ms = d.now_ms;
    b->flags = m->flags & (QUEUE_SMTPUTF8 | QUEUE_8BIT);
    fill_envelope(b, &targets, schedule_first_due(f, targets.items[0].route == ROUTE_LOCAL));
    policy_targets_clear(&targets);
    buf_init(&text, BOUNCE_MOST);
    if (write_fitting(f, b, &d, &text) < 0) {
        say_nobody(m, "the notification cannot be written");
        buf_clear(&text);
        queue_message_free(&b);
        return NULL;
    }
    *count = d.count;
    finish_body(f, b, &text);
    buf_clear(&text);
    return b;
}
