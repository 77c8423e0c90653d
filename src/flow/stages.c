#include "facteur/flow/stages.h"

#include "facteur/base/mem.h"
#include "facteur/flow/space.h"
#include "facteur/io/loop.h"

#include <errno.h>

enum { MANY_TARGETS = 100, AUTHORS_MAX = 10 };

/* --- running a table --- */

static enum when go_on(struct transaction *t, struct verdict *v)
{
    for (; t->stage->name != NULL; t->stage++) {
        enum stage_result r = t->stage->fn(t, v);

        if (r == STAGE_WAIT)
            return LATER;
        if (r == STAGE_REFUSE && v->rule == NULL)
            v->rule = t->stage->name;
        if (r != STAGE_CONTINUE)
            return NOW;
    }
    return NOW;
}

enum when stages_run(struct transaction *t, const struct stage *table, struct verdict *v,
                     void (*after)(struct transaction *t, struct verdict *v))
{
    *v = verdict_ok("2.0.0", "Ok");
    t->stage = table;
    t->after_stages = after;
    return go_on(t, v);
}

void stage_resume(struct transaction *t, enum stage_result result, struct verdict *v)
{
    if (result == STAGE_REFUSE && v->rule == NULL)
        v->rule = t->stage->name;
    if (result == STAGE_CONTINUE) {
        t->stage++;
        if (go_on(t, v) == LATER)
            return;
    }
    t->after_stages(t, v);
}

static enum stage_result by_verdict(const struct verdict *v)
{
    return verdict_is_ok(v) ? STAGE_CONTINUE : STAGE_REFUSE;
}

/* --- MAIL --- */

static enum stage_result check_disk(struct transaction *t, struct verdict *v)
{
    if (!space_is_low(t->flow->space, t->mail.size))
        return STAGE_CONTINUE;
    *v = verdict_make(452, "4.3.1", "Not enough room on this server now; try again later");
    return STAGE_REFUSE;
}

static enum stage_result check_memory(struct transaction *t, struct verdict *v)
{
    /* Bodies go to the spool beyond queue.inline_budget; headers and pieces still need memory. */
    if (t->flow->body_octets < t->config->limits.memory)
        return STAGE_CONTINUE;
    *v = verdict_make(452, "4.3.1", "Too many messages under way; try again later");
    return STAGE_REFUSE;
}

static enum stage_result check_message_rate(struct transaction *t, struct verdict *v)
{
    struct verdict answer = counters_message(t->flow->counters, t->config, &t->client->ip);

    if (verdict_is_ok(&answer))
        return STAGE_CONTINUE;
    *v = answer;
    return STAGE_REFUSE;
}

static struct policy_client policy_view(const struct client *c)
{
    return (struct policy_client){ .ip = c->ip, .user = c->user, .submission = c->submission };
}

static enum stage_result check_sender(struct transaction *t, struct verdict *v)
{
    struct policy_client client = policy_view(t->client);

    *v = policy_sender(t->config, &client, &t->mail.reverse_path);
    return by_verdict(v);
}

const struct stage stages_mail[] = {
    { "limits.message_rate", check_message_rate },
    { "queue.low_disk", check_disk },
    { "limits.memory", check_memory },
    { "sender", check_sender }, /* RFC 6409 6.1 */
    { NULL, NULL },
};

/* --- RCPT --- */

static enum stage_result check_recipient(struct transaction *t, struct verdict *v)
{
    struct policy_client client = policy_view(t->client);

    *v = policy_rcpt(t->config, &client, &t->rcpt.forward_path, &t->now);
    return by_verdict(v);
}

/* A mailbox that is full already says so here (452 4.2.2), before the message is sent; one that this message overfills
 * is seen at delivery. Of an alias all have to be full: one does not keep the mail from the others. The sizes may have
 * to be counted from the file names, so it is a job. */
struct quota_job {
    struct job job;
    struct maildirs *maildirs;
    size_t count;
    uint64_t incoming;
    bool full;
    struct {
        char *user;
        uint64_t quota;
    } boxes[];
};

static void run_quota(struct job *job)
{
    struct quota_job *j = LIST_ENTRY(job, struct quota_job, job);
    struct err ignored = { 0 };

    j->full = true;
    for (size_t i = 0; i < j->count && j->full; i++) {
        uint64_t octets, messages;

        j->full = maildir_usage(j->maildirs, j->boxes[i].user, &octets, &messages, &ignored) == 0 &&
                  octets + j->incoming > j->boxes[i].quota;
    }
}

static void quota_done(void *owner, struct job *job)
{
    struct transaction *t = owner;
    struct verdict v = verdict_ok("2.1.5", "Ok");

    if (LIST_ENTRY(job, struct quota_job, job)->full) {
        v = verdict_make(452, "4.2.2", "The recipient's mailbox is full");
        policy_targets_clear(&t->now);
        stage_resume(t, STAGE_REFUSE, &v);
        return;
    }
    stage_resume(t, STAGE_CONTINUE, &v);
}

static void quota_drop(struct job *job)
{
    struct quota_job *j = LIST_ENTRY(job, struct quota_job, job);

    for (size_t i = 0; i < j->count; i++)
        mem_free(j->boxes[i].user);
    mem_free(j);
}

static enum stage_result check_quota(struct transaction *t, struct verdict *v)
{
    struct quota_job *j;
    size_t limited = 0;

    (void)v;
    for (size_t i = 0; i < t->now.count; i++)
        limited += t->now.items[i].route == ROUTE_LOCAL && t->now.items[i].user->quota > 0;
    if (limited < t->now.count)
        return STAGE_CONTINUE;
    j = mem_zero(sizeof *j + limited * sizeof j->boxes[0]);
    for (size_t i = 0; i < t->now.count; i++) {
        const struct conf_user *user = t->now.items[i].user;

        j->boxes[j->count].user = mem_str(user->name);
        j->boxes[j->count++].quota = user->quota;
    }
    j->maildirs = t->flow->maildirs;
    j->incoming = t->mail.size;
    j->job.run = run_quota;
    j->job.done = quota_done;
    j->job.drop = quota_drop;
    j->job.owner = t;
    job_start(t->flow->pool, JOB_SPOOL, &t->jobs, &j->job);
    return STAGE_WAIT;
}

static void rest_over(struct deferred *d)
{
    struct verdict v = verdict_ok("2.1.5", "Ok");

    stage_resume(LIST_ENTRY(d, struct transaction, rest), STAGE_CONTINUE, &v);
}

/* A large alias takes a millisecond: a hundred of them in one read are not worked off in one turn of the loop. */
static enum stage_result rest_after_many(struct transaction *t, struct verdict *v)
{
    (void)v;
    if (t->now.count < MANY_TARGETS)
        return STAGE_CONTINUE;
    loop_defer(t->flow->loop, &t->rest, rest_over);
    return STAGE_WAIT;
}

const struct stage stages_rcpt[] = {
    { "recipient", check_recipient }, /* RFC 5321 3.6.2, 7.9: never a relay for strangers */
    { "expansion", rest_after_many },
    { "quota", check_quota },
    { NULL, NULL },
};

/* --- DATA --- */

const struct stage stages_data[] = {
    { "queue.low_disk", check_disk },
    { NULL, NULL },
};

/* --- the header --- */

/* RFC 5321 6.3: a message that has come through too many hands is going round. */
static enum stage_result check_hops(struct transaction *t, struct verdict *v)
{
    if (header_count(&t->header, "Received") <= t->config->limits.hops)
        return STAGE_CONTINUE;
    *v = verdict_make(554, "5.4.6", "Too many Received fields: the message seems to go round in a loop");
    return STAGE_REFUSE;
}

/* A value of Delivered-To is among them; the local part in whatever case. */
static bool was_delivered(const struct map *keys, const struct header_field *field, struct buf *value)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address seen;

    if (header_value(field, value) < 0 || address_parse(slice_trim(buf_slice(value)), ADDRESS_UTF8, &seen) < 0)
        return false;
    address_key(&seen, key);
    return map_get(keys, slice_str(key)) != NULL;
}

static void recipient_keys(struct transaction *t, struct map *keys)
{
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];

    LIST_EACH (it, &t->recipients) {
        const struct transaction_recipient *r = LIST_ENTRY(it, struct transaction_recipient, link);
        struct address asked;

        address_key(&r->target.address, key);
        map_put(keys, slice_str(key), t);
        if (r->asked == NULL || r->target.route == ROUTE_LOCAL ||
            address_parse(slice_str(r->asked), ADDRESS_UTF8, &asked) < 0)
            continue;
        address_key(&asked, key);
        map_put(keys, slice_str(key), t);
    }
}

/* Delivered-To of one of its recipients: it was there already, and came back by a forward; or it came through the
 * alias, which leads to another server, and that sent it back. */
static enum stage_result check_delivered_to(struct transaction *t, struct verdict *v)
{
    bool found = false;
    struct map keys = { 0 };
    struct buf value;

    if (header_find(&t->header, "Delivered-To", 0) == NULL)
        return STAGE_CONTINUE;
    buf_init(&value, LIMIT_HEADER_FIELD);
    recipient_keys(t, &keys);
    for (size_t i = 0; i < t->header.count && !found; i++)
        found =
            slice_iis(t->header.fields[i].name, "Delivered-To") && was_delivered(&keys, &t->header.fields[i], &value);
    buf_clear(&value);
    map_clear(&keys);
    if (!found)
        return STAGE_CONTINUE;
    *v = verdict_make(554, "5.4.6", "The message was delivered to this recipient before: a mail loop");
    return STAGE_REFUSE;
}

/* RFC 5322 3.6, RFC 7489 6.6.1: without exactly one author nobody can say who is answerable. Our own users and devices
 * get what they forgot (mend), and devices write what nobody can read; from outside it is refused. */
static enum stage_result check_author(struct transaction *t, struct verdict *v)
{
    size_t count = header_count(&t->header, "From");
    struct address authors[2];
    struct buf value;
    int n;

    if (count == 0 && !client_is_outside(t->client))
        return STAGE_CONTINUE;
    if (count == 1) {
        buf_init(&value, LIMIT_HEADER_FIELD);
        n = header_value(header_find(&t->header, "From", 0), &value) < 0
                ? -EINVAL
                : header_addresses(buf_slice(&value), authors, 2);
        buf_clear(&value);
        if (n == 1 || (n != 0 && !client_is_outside(t->client))) /* a login's: see author-rights */
            return STAGE_CONTINUE;
    }
    *v = verdict_make(554, "5.6.0",
                      count == 0  ? "The header has no From field (RFC 5322 3.6)"
                      : count > 1 ? "The header has several From fields (RFC 5322 3.6)"
                                  : "The From field does not name exactly one author (RFC 5322 3.6.2)");
    return STAGE_REFUSE;
}

/* All of them: a mail program shows the second author as readily as the first. */
static bool authors_belong(const struct transaction *t, const struct header_field *from)
{
    struct address authors[AUTHORS_MAX];
    struct buf value;
    int n;

    buf_init(&value, LIMIT_HEADER_FIELD);
    n = header_value(from, &value) < 0 ? -EINVAL : header_addresses(buf_slice(&value), authors, AUTHORS_MAX);
    if (n == -EINVAL && value.n > 0)
        n = header_sole_address(buf_slice(&value), authors) == 0 ? 1 : -EINVAL;
    buf_clear(&value);
    if (n < 1 || n > AUTHORS_MAX)
        return false;
    for (int i = 0; i < n; i++)
        if (!policy_sender_belongs(t->config, t->client->user, &authors[i]))
            return false;
    return true;
}

/* S48: what the reader sees as author belongs to the login, as the reverse-path does. */
static enum stage_result check_author_rights(struct transaction *t, struct verdict *v)
{
    const struct header_field *from = header_find(&t->header, "From", 0);

    if (t->client->user == NULL || from == NULL || authors_belong(t, from))
        return STAGE_CONTINUE;
    *v = verdict_make(553, "5.7.1", "The From field does not belong to the account you are logged in as");
    return STAGE_REFUSE;
}

const struct stage stages_header[] = {
    { "limits.hops", check_hops },
    { "delivered-to", check_delivered_to },
    { "author", check_author },
    { "author-rights", check_author_rights },
    { NULL, NULL },
};
