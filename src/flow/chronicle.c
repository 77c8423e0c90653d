#include "facteur/flow/chronicle.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/timer.h"

enum { WAIT_MS = 1000, BATCH = 1000, MOST = 20000, EXPIRE_ROWS = 500, EXPIRE_EVERY_MS = 60 * 1000 };

struct chronicle {
    struct flow *f;
    struct timer *timer;
    struct link events;
    size_t count;
    uint64_t lost;
    int64_t expired_at; /* monotonic */
    bool running, armed, failing;
};

struct chronicle_job {
    struct job job;
    struct history *history;
    struct link events;
    int64_t expire_before; /* wall, or 0 */
    int code;
    struct err err;
};

static void run_write(struct job *job)
{
    struct chronicle_job *j = LIST_ENTRY(job, struct chronicle_job, job);

    j->code = history_write(j->history, &j->events, &j->err);
    if (j->code == 0 && j->expire_before > 0)
        j->code = history_expire(j->history, j->expire_before, EXPIRE_ROWS, &j->err);
}

static void write_done(void *owner, struct job *job)
{
    struct chronicle *c = owner;
    const struct chronicle_job *j = LIST_ENTRY(job, struct chronicle_job, job);

    /* The history may be lost; its failure must not disturb the mail. */
    if (j->code < 0 && !c->failing)
        LOG(ERROR, "history-not-written", kv_str("reason", j->err.text), kv_str("advice", "mail is not affected"));
    c->failing = j->code < 0;
    c->running = false;
    if (c->count >= BATCH)
        chronicle_flush(c);
}

static void write_drop(struct job *job)
{
    struct chronicle_job *j = LIST_ENTRY(job, struct chronicle_job, job);
    struct link *it;

    while ((it = list_pop(&j->events)) != NULL) {
        struct history_event *ev = LIST_ENTRY(it, struct history_event, link);

        history_event_free(&ev);
    }
    mem_free(j);
}

void chronicle_flush(struct chronicle *c)
{
    struct chronicle_job *j;
    int64_t now = clock_mono_ms();

    if (c->running || c->count == 0 || c->f->history == NULL)
        return;
    j = mem_zero(sizeof *j);
    list_init(&j->events);
    list_move(&c->events, &j->events);
    c->count = 0;
    c->running = true;
    j->history = c->f->history;
    if (now - c->expired_at >= EXPIRE_EVERY_MS) {
        j->expire_before = clock_wall_ms() - c->f->config->queue.history;
        c->expired_at = now;
    }
    j->job.run = run_write;
    j->job.done = write_done;
    j->job.drop = write_drop;
    j->job.owner = c;
    job_start(c->f->pool, JOB_HISTORY, NULL, &j->job);
}

static void on_timer(void *owner)
{
    struct chronicle *c = owner;

    c->armed = false;
    chronicle_flush(c);
    if (c->count > 0) { /* a job still runs */
        c->armed = true;
        timer_set(c->timer, WAIT_MS);
    }
}

void chronicle_add(struct chronicle *c, enum history_kind kind, uint64_t id, const char *who, const char *text,
                   const char *peer)
{
    struct history_event *ev;

    if (c->f->history == NULL)
        return;
    if (c->count >= MOST) {
        c->lost++;
        return;
    }
    ev = mem_zero(sizeof *ev);
    ev->wall_ms = clock_wall_ms();
    ev->id = id;
    ev->kind = kind;
    ev->who = mem_str(who);
    ev->text = mem_str(text);
    ev->peer = mem_str(peer);
    list_push(&c->events, &ev->link);
    c->count++;
    if (!c->armed) {
        c->armed = true;
        timer_set(c->timer, WAIT_MS);
    }
    if (c->count >= BATCH)
        chronicle_flush(c);
}

uint64_t chronicle_lost(const struct chronicle *c)
{
    return c->lost;
}

struct chronicle *chronicle_new(struct flow *f)
{
    struct chronicle *c = mem_zero(sizeof *c);

    c->f = f;
    list_init(&c->events);
    c->timer = timer_new(f->loop, on_timer, c);
    c->expired_at = clock_mono_ms() - EXPIRE_EVERY_MS;
    return c;
}

void chronicle_free(struct chronicle **c)
{
    struct link *it;

    if (*c == NULL)
        return;
    while ((it = list_pop(&(*c)->events)) != NULL) {
        struct history_event *ev = LIST_ENTRY(it, struct history_event, link);

        history_event_free(&ev);
    }
    timer_close(&(*c)->timer);
    mem_free(*c);
    *c = NULL;
}
