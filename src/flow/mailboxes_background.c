#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/store/search.h"

/* One piece of work for one mailbox. */
struct errand {
    struct account_job j;
    struct open_mailbox *b;
    uint32_t folder;
    unsigned work;         /* of enum box_work; 0: … */
    uint32_t first_recent; /* … this is noted */
    int64_t used_ms;       /* the account's when it was started: its own end is not a use */
};

static int run(struct account_job *j, struct index *x)
{
    struct errand *r = LIST_ENTRY(j, struct errand, j);

    if (r->work == 0)
        return index_set_recent(x, r->folder, r->first_recent, &j->err);
    return r->work == WORK_PREPARE ? index_prepare_some(x, r->folder, &j->err) : search_fill(x, r->folder, &j->err);
}

static void done(void *owner, struct account_job *j)
{
    struct errand *r = LIST_ENTRY(j, struct errand, j);
    struct open_mailbox *b = owner;

    b->account->used_ms = r->used_ms;
    if (j->code < 0)
        LOG(DEBUG, "background-work-failed", kv_str("user", b->account->user), kv_str("reason", j->err.text));
    if (r->work == 0 && j->code == 0)
        b->recent_noted = r->first_recent;
    if (r->work != 0) {
        b->account->m->background_running = false;
        if (j->code == MORE)
            background_want(b, r->work);
    }
}

static void drop(struct account_job *j)
{
    struct errand *r = LIST_ENTRY(j, struct errand, j);

    box_release(r->b);
    mem_free(r);
}

static void start(struct open_mailbox *b, unsigned work)
{
    struct errand *r = mem_zero(sizeof *r);

    box_hold(b);
    r->b = b;
    r->folder = b->folder.id;
    r->work = work;
    r->first_recent = b->m.first_recent;
    r->used_ms = b->account->used_ms;
    r->j.run = run;
    r->j.done = done;
    r->j.drop = drop;
    r->j.owner = b;
    r->j.reads_only = work != WORK_SEARCH; /* that looks into the directories first */
    lane_start(b->account, &r->j, false);
}

void background_note_recent(struct open_mailbox *b)
{
    if (b->loaded && !b->gone && b->m.first_recent > b->recent_noted)
        start(b, 0);
}

static struct open_mailbox *next_box(struct account *a, unsigned *ret_work)
{
    static const unsigned order[] = { WORK_PREPARE, WORK_SEARCH }; /* in all mailboxes, before the next */

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        LIST_EACH (l, &a->boxes) {
            struct open_mailbox *b = LIST_ENTRY(l, struct open_mailbox, link);

            *ret_work = order[i];
            if ((b->work & order[i]) != 0)
                return b;
        }
    return NULL;
}

static int64_t due_ms(const struct account *a)
{
    int64_t quiet = a->used_ms + MAILBOXES_PAUSE_MS, late = a->background_ms + MAILBOXES_LATE_MS;

    return quiet < late ? quiet : late;
}

/* The accounts take turns, one slice each; all but one of the pool's threads stay free for what somebody waits for. */
void background_offer(struct mailboxes *m)
{
    int64_t now = clock_mono_ms(), next = INT64_MAX;

    if (m->cut_off)
        return;
    LIST_EACH (l, &m->background) {
        struct account *a = LIST_ENTRY(l, struct account, background_link);
        struct open_mailbox *b;
        unsigned work;

        if (m->background_running || m->stopping)
            return;
        if (!lane_is_free(a) || a->closing)
            continue;
        if (due_ms(a) > now) {
            next = due_ms(a) < next ? due_ms(a) : next;
            continue;
        }
        list_unlink(l);
        b = next_box(a, &work);
        if (b == NULL)
            continue;
        a->background_ms = now;
        list_push(&m->background, l);
        b->work &= ~work;
        m->background_running = true;
        start(b, work);
    }
    if (next != INT64_MAX)
        timer_set(m->background_due, next - now);
}

void background_want(struct open_mailbox *b, unsigned work)
{
    struct account *a = b->account;

    if (!a->options.search)
        work &= ~(unsigned)WORK_SEARCH;
    if (work == 0 || b->gone)
        return;
    b->work |= work;
    if (link_is_in(&a->background_link))
        return;
    a->background_ms = clock_mono_ms();
    list_push(&a->m->background, &a->background_link);
}
