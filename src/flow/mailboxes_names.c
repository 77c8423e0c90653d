#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"

/* Names of files follow the index (store/index): soon, when nobody has used the account for a moment. Where somebody
 * always does, a slice comes now and then, and goes between two other jobs if it must; more often when so many are due
 * that it would take long to catch up, but never so often that it is felt. */
enum {
    NAMES_SOON_MS = 50, /* one rename for what changes several times; and who has changed it may ask for more */
    NAMES_LATE_MS = 500,
    NAMES_MANY = 16 * 1024,
    NAMES_MANY_LATE_MS = 100,
    NAMES_AGAIN_MIN_MS = 1000, /* when the disk has failed */
    NAMES_AGAIN_MAX_MS = 60 * 1000
};

static int run(struct account_job *j, struct index *x)
{
    j->account->names_before = index_names_due(x);
    return index_names(x, &j->err);
}

static void wait(struct account *a, int64_t ms)
{
    a->names_ms = clock_mono_ms() + ms;
    if (!link_is_in(&a->names_link))
        list_push(&a->m->names, &a->names_link);
    names_set_timer(a->m);
}

/* Said once, however often it is tried. */
static void failed(struct account *a, const struct account_job *j)
{
    if (a->names_again_ms == 0)
        LOG(WARNING, "names-not-written", kv_str("user", a->user), kv_str("reason", j->err.text));
    a->names_again_ms = a->names_again_ms == 0 ? NAMES_AGAIN_MIN_MS : a->names_again_ms * 2;
    if (a->names_again_ms > NAMES_AGAIN_MAX_MS)
        a->names_again_ms = NAMES_AGAIN_MAX_MS;
    wait(a, a->names_again_ms);
}

static void done(void *owner, struct account_job *j)
{
    struct account *a = owner;

    if (j->code < 0) {
        failed(a, j);
        return;
    }
    if (a->names_again_ms != 0)
        LOG(INFO, "names-written", kv_str("user", a->user));
    a->names_again_ms = 0;
    if (a->names_due > 0) /* none written: their folder is just being looked at */
        wait(a, a->names_due < a->names_before ? 0 : NAMES_LATE_MS);
}

static void drop(struct account_job *j)
{
    (void)j; /* the account's */
}

void names_note(struct account *a)
{
    if (a->names_due == 0)
        list_unlink(&a->names_link);
    else if (!link_is_in(&a->names_link))
        wait(a, 0);
    else
        names_set_timer(a->m);
}

static int64_t late_ms(const struct account *a)
{
    return a->names_due >= NAMES_MANY && a->names_again_ms == 0 ? NAMES_MANY_LATE_MS : NAMES_LATE_MS;
}

static int64_t ready_ms(const struct account *a)
{
    int64_t quiet = a->used_ms + NAMES_SOON_MS, late = a->names_ms + late_ms(a);

    quiet = quiet < late ? quiet : late;
    return a->names_again_ms != 0 || quiet < a->names_ms ? a->names_ms : quiet;
}

struct account_job *names_next(struct account *a, bool free)
{
    struct account_job *j = &a->naming;
    int64_t now = clock_mono_ms();

    if (!link_is_in(&a->names_link) || a->m->stopping) /* the closing job does what is left */
        return NULL;
    if (now < ready_ms(a)) /* also when the lane is free: between two slices of a FETCH it always is */
        return NULL;
    if (!free && (a->named_last || now - a->names_ms < late_ms(a)))
        return NULL;
    *j = (struct account_job){ .run = run, .done = done, .drop = drop, .owner = a, .reads_only = true, .account = a };
    account_ref(a);
    return j;
}

static void on_timer(void *owner)
{
    struct mailboxes *m = owner;

    LIST_EACH (l, &m->names) {
        struct account *a = LIST_ENTRY(l, struct account, names_link);

        if (clock_mono_ms() >= ready_ms(a) && lane_is_free(a) && !a->closing)
            lane_next(a);
    }
    names_set_timer(m);
}

void names_set_timer(struct mailboxes *m)
{
    int64_t now = clock_mono_ms(), first = INT64_MAX;

    LIST_EACH (l, &m->names) { /* those whose time has come already have their turn when their lane is free */
        const struct account *a = LIST_ENTRY(l, struct account, names_link);

        if (ready_ms(a) > now && ready_ms(a) < first)
            first = ready_ms(a);
    }
    if (m->names_timer == NULL)
        m->names_timer = timer_new(m->f->loop, on_timer, m);
    if (first == INT64_MAX)
        timer_stop(m->names_timer);
    else
        timer_set(m->names_timer, first - now);
}
