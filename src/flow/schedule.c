#include "facteur/flow/schedule.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "facteur/flow/commit.h"
#include "facteur/io/timer.h"
#include "schedule_priv.h"

#include <errno.h>

enum {
    LOAD_MORE = 1000,           /* messages beyond the active ones that one look into queue.db asks for */
    LOOK_MOST_MS = 3600 * 1000, /* it is looked for due messages at least so often */
    LOOK_AGAIN_MS = 5000        /* after a look that failed */
};

struct schedule {
    struct flow *f;
    struct map active; /* by id */
    struct timer *timer;
    int64_t next_due;  /* wall */
    uint64_t promised; /* octets of bodies that will come back into memory for active messages */
    bool backlog;      /* more is due than is active */
    bool loading, stopping;
    bool damaged; /* the last look met a row that cannot be read: say it once */
};

static struct slice id_key(const uint64_t *id)
{
    return slice_make((const char *)id, sizeof *id);
}

/* --- when --- */

uint64_t schedule_jitter(void)
{
    return rand_below(SCHEDULE_JITTER + 1);
}

int64_t schedule_retry_ms(const struct conf_queue *q, uint32_t attempts, uint64_t jitter)
{
    size_t i = attempts == 0 ? 0 : attempts - 1;
    int64_t base = q->retry[i < q->retry_count ? i : q->retry_count - 1];

    return base - base / 20 + base / 10 * (int64_t)jitter / SCHEDULE_JITTER;
}

int64_t schedule_age_ms(const struct conf_queue *q, int64_t received_ms, int64_t now_ms, uint32_t attempts)
{
    int64_t age = now_ms - received_ms, waited = 0;

    for (uint32_t i = 0; i < attempts && waited < age; i++)
        waited += q->retry[i < q->retry_count ? i : q->retry_count - 1];
    return age < waited ? age : waited;
}

static void look_at(struct schedule *s, int64_t due_ms)
{
    int64_t wait = due_ms - clock_wall_ms();

    if (due_ms >= s->next_due)
        return;
    s->next_due = due_ms;
    wait = wait < 0 ? 0 : wait > LOOK_MOST_MS ? LOOK_MOST_MS : wait;
    timer_set(s->timer, wait);
}

/* --- what is active --- */

static bool has_local(const struct queue_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->recipients[i].route == QUEUE_LOCAL)
            return true;
    }
    return false;
}

/* Octets of a body that local delivery has to read again. */
static uint64_t octets_to_load(const struct queue_message *m)
{
    return m->body != NULL || m->spooled || !has_local(m) ? 0 : m->size;
}

/* Suspects have a bound of their own, so that new mail need not wait for them. */
static size_t at_work(const struct flow *f)
{
    return f->schedule->active.count - suspects_waiting(f);
}

/* One is always let through, so that it goes on in any case. */
static bool has_room_for(const struct flow *f, const struct queue_message *m)
{
    uint64_t promised = f->schedule->promised;

    if (at_work(f) >= (has_local(m) ? FLOW_ACTIVE_LOCAL : FLOW_ACTIVE))
        return false;
    return promised == 0 || f->body_octets + promised + octets_to_load(m) <= f->config->queue.inline_budget;
}

void active_promise_kept(struct active *a)
{
    a->f->schedule->promised -= a->promised;
    a->promised = 0;
}

static struct active *active_new(struct flow *f, struct queue_message *m, bool recovered)
{
    struct active *a = mem_zero(sizeof *a + m->count * sizeof a->slots[0]);

    a->f = f;
    a->m = m;
    a->recovered = recovered;
    a->pending = m->count;
    (void)map_put(&f->schedule->active, id_key(&m->id), a);
    return a;
}

void schedule_begin(struct active *a)
{
    a->promised = octets_to_load(a->m);
    a->f->schedule->promised += a->promised;
    active_begin(a);
}

void schedule_drop_body(struct flow *f, struct queue_message *m)
{
    if (m->body == NULL)
        return;
    f->body_octets -= m->size;
    queue_message_forget_body(m);
}

static void message_free(struct flow *f, struct queue_message *m)
{
    schedule_drop_body(f, m);
    queue_message_free(&m);
}

void active_free(struct active *a)
{
    active_promise_kept(a);
    (void)map_take(&a->f->schedule->active, id_key(&a->m->id));
    suspects_ended(a);
    list_unlink(&a->unrecorded);
    for (uint32_t i = 0; i < a->m->count; i++) {
        mem_free(a->slots[i].reply);
        mem_free(a->slots[i].host);
    }
    message_free(a->f, a->m);
    mem_free(a);
}

bool schedule_is_active(const struct flow *f, uint64_t id)
{
    return map_get(&f->schedule->active, id_key(&id)) != NULL;
}

size_t schedule_active(const struct flow *f)
{
    return f->schedule->active.count;
}

bool schedule_is_quiet(const struct flow *f)
{
    return f->schedule->active.count == 0 && !f->schedule->loading;
}

static bool only_local(const struct queue_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->recipients[i].route != QUEUE_LOCAL)
            return false;
    }
    return true;
}

int64_t schedule_first_due(const struct flow *f, bool local)
{
    return at_work(f) < (local ? FLOW_ACTIVE_LOCAL : FLOW_ACTIVE) ? 0 : clock_wall_ms();
}

void schedule_add(struct flow *f, struct queue_message *m)
{
    struct schedule *s = f->schedule;
    uint64_t budget = f->config->queue.inline_budget;

    if (s->stopping || m->recipients[0].due_ms != 0) {
        s->backlog = true;
        message_free(f, m);
        look_at(s, clock_wall_ms() + LOOK_AGAIN_MS);
        schedule_room(f); /* there may be room meanwhile, and nothing more to end */
        return;
    }
    /* What waits for a next hop may wait long: its memory goes first. */
    if (f->body_octets > (only_local(m) ? budget : budget / 2))
        schedule_drop_body(f, m);
    schedule_begin(active_new(f, m, false));
}

/* --- looking into the queue --- */

struct look_job {
    struct job job;
    struct queue *queue;
    int64_t now;
    size_t max;
    struct queue_message **messages;
    size_t count;
    int64_t next_due;
    int code;
    struct err err;
};

static void run_look(struct job *job)
{
    struct look_job *j = LIST_ENTRY(job, struct look_job, job);

    j->next_due = INT64_MAX;
    j->code = queue_load(j->queue, j->now, j->max, &j->messages, &j->count, &j->next_due, &j->err);
}

/* An attempt that failed may have left a file, also one that was not counted. */
static bool was_tried(const struct queue_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->recipients[i].attempts > 0 || m->recipients[i].last_reply != NULL)
            return true;
    }
    return false;
}

static void take_one(struct flow *f, struct queue_message *m)
{
    struct active *busy = map_get(&f->schedule->active, id_key(&m->id));

    if (busy != NULL) {
        /* Another of its recipients may have fallen due meanwhile: it is looked for when these are settled. */
        busy->again = m->count != busy->m->count - busy->recorded;
        queue_message_free(&m);
    } else if (suspects_is_one(f, m)) {
        if (suspects_have_room(f))
            suspects_add(active_new(f, m, true));
        else
            queue_message_free(&m);
    } else if (!has_room_for(f, m)) {
        f->schedule->backlog = true;
        queue_message_free(&m);
    } else {
        schedule_begin(active_new(f, m, m->id < f->first_id || was_tried(m)));
    }
}

static const char *advice(int code)
{
    return code == -EBADMSG ? "queue.db is damaged: stop facteur, then \"facteur queue salvage\" saves what can be read"
                            : "look at the disk of the state directory; it is tried again";
}

static void look_done(void *owner, struct job *job)
{
    struct schedule *s = owner;
    struct look_job *j = LIST_ENTRY(job, struct look_job, job);
    size_t before = s->active.count;

    s->loading = false;
    s->next_due = INT64_MAX;
    if (s->stopping)
        return;
    if (j->code < 0) {
        LOG(ERROR, "queue-not-read", kv_str("reason", j->err.text), kv_str("advice", advice(j->code)));
        look_at(s, clock_wall_ms() + LOOK_AGAIN_MS);
        return;
    }
    if (j->err.text[0] != '\0' && !s->damaged)
        LOG(ERROR, "queue-row-damaged", kv_str("reason", j->err.text), kv_str("advice", advice(-EBADMSG)));
    s->damaged = j->err.text[0] != '\0';
    s->backlog = j->next_due <= j->now;
    for (size_t i = 0; i < j->count; i++) {
        take_one(s->f, j->messages[i]);
        j->messages[i] = NULL;
    }
    if (s->backlog && at_work(s->f) >= FLOW_ACTIVE)
        remote_shed(s->f->remote);
    /* When there is more than we asked for: on at once while that helps, else when there is room. */
    if (s->backlog && (s->active.count == before || at_work(s->f) >= FLOW_ACTIVE))
        look_at(s, clock_wall_ms() + LOOK_AGAIN_MS);
    else
        look_at(s, j->next_due);
}

static void look_drop(struct job *job)
{
    struct look_job *j = LIST_ENTRY(job, struct look_job, job);

    for (size_t i = 0; i < j->count; i++)
        queue_message_free(&j->messages[i]);
    mem_free(j->messages);
    mem_free(j);
}

void schedule_wake(struct flow *f)
{
    struct schedule *s = f->schedule;
    struct look_job *j;

    if (s->loading || s->stopping)
        return;
    j = mem_zero(sizeof *j);
    s->loading = true;
    j->queue = f->queue;
    j->now = clock_wall_ms();
    j->max = s->active.count + LOAD_MORE;
    j->job.run = run_look;
    j->job.done = look_done;
    j->job.drop = look_drop;
    j->job.owner = s;
    job_start(f->pool, JOB_QUEUE, NULL, &j->job);
}

static void on_timer(void *owner)
{
    schedule_wake(((struct schedule *)owner)->f);
}

void schedule_due(struct flow *f, int64_t due_ms)
{
    look_at(f->schedule, due_ms);
}

/* One message less is active: perhaps there is room for those that wait in the queue alone. */
void schedule_room(struct flow *f)
{
    struct schedule *s = f->schedule;

    if (s->backlog && at_work(f) < FLOW_ACTIVE / 2 && !suspects_wait_in_queue(f))
        schedule_wake(f);
}

/* --- birth and end --- */

struct schedule *schedule_new(struct flow *f)
{
    struct schedule *s = mem_zero(sizeof *s);

    s->f = f;
    s->next_due = INT64_MAX;
    s->timer = timer_new(f->loop, on_timer, s);
    f->suspects = suspects_new(f);
    return s;
}

void schedule_stop(struct flow *f)
{
    f->schedule->stopping = true;
    timer_stop(f->schedule->timer);
    suspects_stop(f);
}

void schedule_free(struct schedule **s)
{
    size_t cursor = 0;
    struct slice key;
    void *value;

    if (*s == NULL)
        return;
    schedule_stop((*s)->f);
    while (map_each(&(*s)->active, &cursor, &key, &value)) {
        active_free(value);
        cursor = 0;
    }
    map_clear(&(*s)->active);
    timer_close(&(*s)->timer);
    suspects_free(&(*s)->f->suspects);
    mem_free(*s);
    *s = NULL;
}
