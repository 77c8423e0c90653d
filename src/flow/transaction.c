/* A message on its way in: its envelope, and the stages that decide on it. */
#include "transaction_priv.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/flow/stages.h"

#include <stdio.h>

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

static const struct body_store_events store_events = { on_hold, on_failed, transaction_stored };

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
    loop_defer_cancel(dead->flow->loop, &dead->rest);
    if (dead->committing != NULL)
        *dead->committing = NULL; /* the commit goes on and finds nobody to answer to */
    policy_targets_clear(&dead->now);
    transaction_clear_header(dead);
    body_store_free(&dead->store);
    map_clear(&dead->reached);
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

/* A recipient that is reached twice (by an alias and by name, say) gets one copy. A mailbox and an address elsewhere are
 * never the same; the local part of the latter is the other side's matter, with its case. */
static bool is_reached(struct transaction *t, const struct policy_target *target)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 4];
    const struct address *a = &target->address;
    int n = snprintf(key, sizeof key, "%c%s@%s", target->route == ROUTE_LOCAL ? 'L' : 'R', a->local, a->domain);

    return map_put(&t->reached, slice_make(key, (size_t)n), t) != NULL;
}

static bool is_asked_for(const struct policy_target *target, const char *asked)
{
    char *text = address_str(&target->address);
    bool same = asked != NULL && slice_iis(slice_str(text), asked);

    mem_free(text);
    return same;
}

static void add_recipient(struct transaction *t, const struct policy_target *target, const char *asked)
{
    struct transaction_recipient *r;

    if (is_reached(t, target))
        return;
    r = arena_zero(&t->arena, sizeof *r);
    r->target = *target;
    r->notify = t->rcpt.notify;
    if (t->rcpt.orcpt[0] != '\0')
        r->orcpt = arena_str(&t->arena, slice_str(t->rcpt.orcpt));
    r->asked = is_asked_for(target, asked) ? NULL : asked;
    list_push(&t->recipients, &r->link);
    t->count++;
}

/* The address of this RCPT when it is one of ours, else NULL. */
static const char *asked_for(struct transaction *t)
{
    const struct address *a = &t->rcpt.forward_path;
    char *text;
    const char *kept;

    if (a->literal || config_domain(t->config, a->domain) == NULL)
        return NULL;
    text = address_str(a);
    kept = arena_str(&t->arena, slice_str(text));
    mem_free(text);
    return kept;
}

static void accept_recipient(struct transaction *t, struct verdict *v)
{
    uint64_t most = (uint64_t)POLICY_TARGETS + t->config->limits.submission_recipients;

    if (t->count + t->now.count > most) {
        *v = verdict_by(verdict_make(452, "4.5.3", "Too many recipients after expansion"), "limits.recipients", 0);
    } else {
        const char *asked = asked_for(t);

        for (size_t i = 0; i < t->now.count; i++)
            add_recipient(t, &t->now.items[i], asked);
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
