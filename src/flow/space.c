#include "facteur/flow/space.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/timer.h"

struct space {
    struct flow *f;
    struct timer *timer;
    struct job_scope scope;
    int64_t octets;
    bool low;
};

struct space_job {
    struct job job;
    struct spool *spool;
    int64_t octets;
};

static void run_ask(struct job *job)
{
    struct space_job *j = LIST_ENTRY(job, struct space_job, job);

    j->octets = spool_free_octets(j->spool);
}

static void set_octets(struct space *s, int64_t octets)
{
    bool low;

    s->octets = octets;
    low = space_is_low(s, 0);
    if (low && !s->low)
        LOG(ERROR, "disk-low", kv_num("free", octets), kv_num("reserve", (int64_t)s->f->config->queue.low_disk),
            kv_str("advice", "new mail gets 452 until there is room in the state directory (queue.low_disk)"));
    if (!low && s->low)
        LOG(WARNING, "disk-has-room-again", kv_num("free", octets));
    s->low = low;
}

static void ask_done(void *owner, struct job *job)
{
    struct space *s = owner;

    set_octets(s, LIST_ENTRY(job, struct space_job, job)->octets);
    timer_set(s->timer, SPACE_AGE_MS);
}

static void ask_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct space_job, job));
}

static void on_timer(void *owner)
{
    struct space *s = owner;
    struct space_job *j = mem_zero(sizeof *j);

    j->spool = s->f->spool;
    j->job.run = run_ask;
    j->job.done = ask_done;
    j->job.drop = ask_drop;
    j->job.owner = s;
    job_start(s->f->pool, JOB_DISK, &s->scope, &j->job);
}

struct space *space_new(struct flow *f)
{
    struct space *s = mem_zero(sizeof *s);

    s->f = f;
    job_scope_init(&s->scope);
    s->timer = timer_new(f->loop, on_timer, s);
    set_octets(s, spool_free_octets(f->spool)); /* once at start, before anybody waits for the loop */
    timer_set(s->timer, SPACE_AGE_MS);
    return s;
}

void space_free(struct space **s)
{
    if (*s == NULL)
        return;
    job_scope_abandon(&(*s)->scope);
    timer_close(&(*s)->timer);
    mem_free(*s);
    *s = NULL;
}

bool space_is_low(const struct space *s, uint64_t octets)
{
    if (s->octets < 0)
        return false; /* unknown: the write itself will say */
    return (uint64_t)s->octets < octets || (uint64_t)s->octets - octets < s->f->config->queue.low_disk;
}

int64_t space_octets(const struct space *s)
{
    return s->octets;
}
