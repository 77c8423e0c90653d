/* An attempt: a message's recipients are given to local and remote delivery, its body read again where it is not in
 * memory. */
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/local.h"
#include "schedule_priv.h"

#include <errno.h>
#include <stdio.h>

/* --- bodies come back --- */

struct load_job {
    struct job job;
    struct flow *f;
    struct queue *queue;
    uint64_t id;
    struct queue_message *into, *got;
    void (*fn)(void *owner, int status);
    void *owner;
    int code;
    struct err err;
};

static void run_load_body(struct job *job)
{
    struct load_job *j = LIST_ENTRY(job, struct load_job, job);

    j->code = queue_get(j->queue, j->id, true, &j->got, &j->err);
}

static void load_body_done(void *owner, struct job *job)
{
    struct load_job *j = LIST_ENTRY(job, struct load_job, job);
    char id[14];

    (void)owner;
    if (j->code == 0 && (j->got->body == NULL || j->got->size != j->into->size))
        j->code = err_set(&j->err, -EBADMSG, "the row has no body of the right size");
    if (j->code < 0) {
        base32_u64(j->id, id);
        LOG(ERROR, "body-not-read", kv_str("queue", id), kv_str("reason", j->err.text));
    } else if (j->into->body == NULL) {
        j->into->body = j->got->body;
        j->got->body = NULL;
        j->f->body_octets += j->into->size;
    }
    j->fn(j->owner, j->code);
}

static void load_body_drop(struct job *job)
{
    struct load_job *j = LIST_ENTRY(job, struct load_job, job);

    queue_message_free(&j->got);
    mem_free(j);
}

void schedule_load_body(void *flow, struct queue_message *m, void (*fn)(void *owner, int status), void *owner)
{
    struct flow *f = flow;
    struct load_job *j = mem_zero(sizeof *j);

    j->f = f;
    j->queue = f->queue;
    j->id = m->id;
    j->into = m;
    j->fn = fn;
    j->owner = owner;
    j->job.run = run_load_body;
    j->job.done = load_body_done;
    j->job.drop = load_body_drop;
    job_start(f->pool, JOB_QUEUE, NULL, &j->job);
}

/* --- to local and remote delivery --- */

struct relay_work {
    struct link link; /* until it is started */
    struct remote_work work;
    struct active *a;
    size_t room; /* in work.recipients */
};

static enum outcome outcome_of(const struct remote_recipient *r)
{
    if (r->result == REMOTE_TAKEN)
        return r->without_dsn ? OUTCOME_RELAYED_WITHOUT_DSN : OUTCOME_RELAYED;
    return r->result == REMOTE_REFUSED ? OUTCOME_FAILED : OUTCOME_DEFERRED;
}

/* The class says how it goes on, not what the server said: who refuses the session is tried again (RFC 3463 2). */
static void status_of(const struct remote_recipient *r, char to[12])
{
    const char *otherwise = r->reply.code < 300 ? "2.0.0" : r->reply.code >= 500 ? "5.0.0" : "4.0.0";

    (void)snprintf(to, 12, "%s", r->reply.enhanced[0] != '\0' ? r->reply.enhanced : otherwise);
    if (r->result == REMOTE_DEFERRED)
        to[0] = '4';
}

static void relay_done(void *owner, struct remote_work *work)
{
    struct relay_work *w = owner;
    struct active *a = w->a;

    for (size_t i = 0; i < work->count; i++) {
        const struct remote_recipient *r = &work->recipients[i];
        char reply[560], status[12];

        status_of(r, status);
        (void)snprintf(reply, sizeof reply, "%d %s%s%s", r->reply.code, r->reply.enhanced,
                       r->reply.enhanced[0] != '\0' ? " " : "", r->reply.text);
        schedule_outcome(a, r->recipient->seq,
                         &(struct attempt_end){ .outcome = outcome_of(r),
                                                .untried = r->untried,
                                                .crowded = work->crowded,
                                                .ours = r->reply.ours,
                                                .status = status,
                                                .reply = reply,
                                                .host = r->host[0] != '\0' ? r->host : NULL });
    }
    mem_free(work->recipients);
    mem_free(w);
}

static struct relay_work *relay_work_new(struct active *a, const char *domain)
{
    struct relay_work *w = mem_zero(sizeof *w);

    w->a = a;
    w->work.message = a->m;
    w->work.domain = domain;
    w->work.done = relay_done;
    w->work.owner = w;
    return w;
}

static void relay_work_add(struct relay_work *w, const struct queue_recipient *r)
{
    struct remote_work *work = &w->work;

    if (work->count == w->room) {
        w->room = w->room == 0 ? 1 : w->room * 2;
        work->recipients = mem_resize(work->recipients, w->room * sizeof *work->recipients);
    }
    work->recipients[work->count++] = (struct remote_recipient){ .recipient = r };
}

/* All recipients with the same destination go in one work. */
static void begin_remote(struct active *a)
{
    struct map by_key = { 0 };
    struct link works;
    struct link *it;

    list_init(&works);
    for (uint32_t i = 0; i < a->m->count; i++) {
        const struct queue_recipient *r = &a->m->recipients[i];
        struct relay_work *w;
        char key[REMOTE_KEY];

        if (r->route != QUEUE_REMOTE)
            continue;
        remote_key(a->f->remote, r->domain, key);
        w = map_get(&by_key, slice_str(key));
        if (w == NULL) {
            w = relay_work_new(a, r->domain);
            list_push(&works, &w->link);
            (void)map_put(&by_key, slice_str(key), w);
        }
        relay_work_add(w, r);
    }
    map_clear(&by_key);
    while ((it = list_pop(&works)) != NULL)
        remote_start(a->f->remote, &LIST_ENTRY(it, struct relay_work, link)->work);
}

/* The user was deleted since: the sender hears of it. */
static void mailbox_is_gone(struct active *a, const struct queue_recipient *r)
{
    char id[14];

    base32_u64(a->m->id, id);
    LOG(WARNING, "not-delivered", kv_str("queue", id), kv_str("to", r->mailbox),
        kv_str("reason", "no such user any more"));
    schedule_outcome(a, r->seq,
                     &(struct attempt_end){ .outcome = OUTCOME_FAILED,
                                            .ours = true,
                                            .status = "5.1.1",
                                            .reply = "550 5.1.1 There is no such mailbox any more" });
}

static void begin_local(struct active *a)
{
    struct flow *f = a->f;

    for (uint32_t i = 0; i < a->m->count; i++) {
        const struct queue_recipient *r = &a->m->recipients[i];
        const struct conf_user *user;

        if (r->route != QUEUE_LOCAL)
            continue;
        user = config_user(f->config, r->mailbox);
        if (user == NULL)
            mailbox_is_gone(a, r);
        else
            local_deliver(f->local, a, a->m, r, user->quota, a->recovered);
    }
}

static void local_body_here(void *owner, int status)
{
    struct active *a = owner;

    a->hold--;
    active_promise_kept(a);
    if (status == 0) {
        begin_local(a);
    } else {
        for (uint32_t i = 0; i < a->m->count; i++) {
            if (a->m->recipients[i].route == QUEUE_LOCAL)
                schedule_outcome(a, a->m->recipients[i].seq,
                                 &(struct attempt_end){ .outcome = OUTCOME_DEFERRED,
                                                        .untried = status != -EBADMSG, /* a damaged row stays so */
                                                        .ours = true,
                                                        .status = "4.3.0",
                                                        .reply = "The queue cannot be read now" });
        }
    }
    if (a->pending == 0 && a->hold == 0)
        active_settle(a);
}

void active_begin(struct active *a)
{
    struct queue_message *m = a->m;
    bool local = false;

    a->hold++; /* outcomes that are known at once do not settle it under our hands */
    begin_remote(a);
    for (uint32_t i = 0; i < m->count; i++)
        local = local || m->recipients[i].route == QUEUE_LOCAL;
    if (local && m->body == NULL && !m->spooled) {
        a->hold++;
        schedule_load_body(a->f, m, local_body_here, a);
    } else if (local) {
        begin_local(a);
    }
    a->hold--;
    if (a->pending == 0 && a->hold == 0)
        active_settle(a);
}
