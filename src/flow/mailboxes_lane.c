#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>

static void lane_finished(struct job *job);

/* --- on a thread of the pool --- */

static void lane_run(struct job *job)
{
    struct account *a = LIST_ENTRY(job, struct account, job);
    struct account_job *j = a->running;

    if (a->closing) {
        if (a->index != NULL)
            index_close(&a->index);
        a->names_due = 0;
        return;
    }
    if (a->resting) {
        index_rest(a->index);
        a->names_due = index_names_due(a->index);
        if (a->trims)
            mem_trim();
        return;
    }
    a->open_code = 0;
    j->rebuilt = false;
    if (a->index == NULL)
        a->open_code = index_open(a->maildirs, a->state, a->user, &a->options, &a->index, &j->err);
    if (a->open_code < 0) {
        a->index = NULL;
        j->code = a->open_code;
        return;
    }
    index_set_limits(a->index, &a->options);
    j->code = j->run(j, a->index);
    j->rebuilt = index_was_rebuilt(a->index);
    if (!index_left_out(a->index, &j->left_out))
        j->left_out.code = 0;
    a->names_due = index_names_due(a->index);
}

/* --- on the loop --- */

bool lane_is_free(const struct account *a)
{
    return !a->busy && list_empty(&a->urgent) && list_empty(&a->line);
}

void lane_wake(struct account *a)
{
    if (!link_is_in(&a->quiet_link))
        return;
    list_unlink(&a->quiet_link);
    a->m->quiet_count--;
}

static void run_now(struct account *a)
{
    lane_wake(a);
    a->rested = a->resting;
    a->busy = true;
    a->options = a->wanted;
    a->job.run = lane_run;
    a->job.drop = lane_finished;
    job_start(a->m->f->pool, JOB_MAILBOX, NULL, &a->job);
}

bool lane_writes(const struct account *a)
{
    return a->running != NULL && !a->running->reads_only;
}

/* Nothing is to be done: after a while of it the index is laid to rest. */
static void fall_quiet(struct account *a)
{
    if (a->index == NULL || a->rested || link_is_in(&a->quiet_link))
        return;
    a->rest_ms = clock_mono_ms() + MAILBOXES_REST_MS;
    list_push(&a->m->quiet, &a->quiet_link);
    a->m->quiet_count++;
    mailboxes_set_linger(a->m);
}

void lane_rest(struct account *a)
{
    struct mailboxes *m = a->m;
    int64_t now = clock_mono_ms();

    account_ref(a);
    a->resting = true;
    lane_wake(a);
    a->trims = list_empty(&m->quiet) || now - m->trimmed_ms >= MAILBOXES_REST_MS;
    if (a->trims)
        m->trimmed_ms = now;
    run_now(a);
}

static struct account_job *next_waiting(struct account *a)
{
    struct link *l = list_pop(&a->urgent);

    if (l == NULL)
        l = list_pop(&a->line);
    return l != NULL ? LIST_ENTRY(l, struct account_job, in_lane) : NULL;
}

void lane_next(struct account *a)
{
    struct account_job *j;

    if (a->busy || a->m->cut_off)
        return;
    j = names_next(a, lane_is_free(a));
    a->named_last = j != NULL;
    if (j == NULL)
        j = next_waiting(a);
    if (j == NULL) {
        fall_quiet(a);
        background_offer(a->m);
        return;
    }
    a->running = j;
    a->running->begun = true;
    if (a->running->begin != NULL)
        a->running->begin(a->running);
    run_now(a);
}

void lane_close(struct account *a)
{
    a->closing = true;
    run_now(a);
}

static void report(struct account *a, const struct account_job *j)
{
    if (a->open_code < 0)
        LOG(ERROR, "index-not-opened", kv_str("user", a->user), kv_str("reason", j->err.text));
    if (a->open_code == 0 && j->left_out.code < 0)
        LOG(WARNING, "message-left-out", kv_str("user", a->user), kv_str("reason", j->left_out.text),
            kv_str("advice", "let facteur's user read the file; it is looked for again when its folder changes"));
    if (!j->rebuilt)
        return;
    a->m->rebuilt++;
    LOG(WARNING, "index-rebuilt", kv_str("user", a->user),
        kv_str("reason", "index.db was missing, damaged or given up; it has been made again from the Maildir"));
    LIST_EACH (l, &a->boxes) {
        refresh_whole(LIST_ENTRY(l, struct open_mailbox, link));
    }
}

/* The job is not the lane's any more: what it held is let go. */
static void let_go(struct account_job *j)
{
    struct open_mailbox *box = j->box; /* the job still names it: it may be started again */

    list_unlink(&j->mark.in_scope);
    j->begun = false;
    j->account = NULL;
    mailbox_changes_clear(&j->changes);
    mailbox_unref(&box);
}

/* Whether it is to go on by itself: done would have started it again, or there is nobody to ask. */
static bool goes_on(const struct account_job *j)
{
    if (j->code != MORE)
        return false;
    return j->mark.abandoned ? !j->reads_only && !j->for_owner : j->done == NULL;
}

/* A job that the disk has failed may have told what was not kept: the lists are compared with the index. */
static void doubt(struct account *a, const struct account_job *j)
{
    static const int of_the_disk[] = { -ENOSPC, -EIO, -EROFS, -EBADMSG, -ESTALE };
    struct open_mailbox *target = j->folder2 != 0 ? mailbox_opened(a, j->folder2) : NULL;

    for (size_t i = 0; i < sizeof of_the_disk / sizeof *of_the_disk; i++) {
        if (j->code != of_the_disk[i])
            continue;
        if (j->box != NULL && !j->reads_only)
            refresh_whole(j->box);
        if (target != NULL && target != j->box)
            refresh_whole(target);
    }
}

static void settle(struct account *a, struct account_job *j)
{
    struct mailbox_view *origin = j->mark.abandoned ? NULL : j->origin; /* it may be closed by now */

    if (j->box != NULL) /* jobs of this module apply them themselves */
        box_apply(j->box, &j->changes, origin, j->silent);
    box_apply(j->folder2 != 0 ? mailbox_opened(a, j->folder2) : NULL, &j->changes2, NULL, false);
    if (j->renamed_to.n > 0)
        boxes_rename(a, j->renamed, j->renamed_to);
    doubt(a, j);
    j->started_again = j->held = false;
    a->settling = j;
    if (goes_on(j))
        lane_start(a, j, false);
    else if (!j->mark.abandoned && j->done != NULL)
        j->done(j->owner, j);
    a->settling = NULL;
    if (j->started_again)
        return;
    let_go(j);
    if (!j->held)
        j->drop(j);
    account_unref(a);
}

/* As the pool's `drop`: the struct may be started again, or freed, from here. */
static void lane_finished(struct job *job)
{
    struct account *a = LIST_ENTRY(job, struct account, job);
    struct account_job *j = a->running;

    a->busy = false;
    a->running = NULL;
    if (a->closing) {
        a->closing = false;
        names_note(a);
        lane_next(a); /* somebody may have come meanwhile */
        account_closed(a);
        return;
    }
    if (a->resting) {
        a->resting = false;
        names_note(a);
        lane_next(a);
        account_unref(a);
        return;
    }
    account_ref(a);
    if (j != &a->naming)
        a->used_ms = clock_mono_ms();
    names_note(a);
    if (!j->reads_only)
        a->written_us = clock_mono_us();
    report(a, j);
    settle(a, j);
    lane_next(a);
    account_unref(a);
}

void lane_drop_all(struct account *a)
{
    struct link *l;

    while ((l = list_pop(&a->urgent)) != NULL || (l = list_pop(&a->line)) != NULL) {
        struct account_job *j = LIST_ENTRY(l, struct account_job, in_lane);

        let_go(j);
        j->drop(j);
    }
}

void lane_start(struct account *a, struct account_job *j, bool urgent)
{
    if (a->settling == j) {
        j->started_again = true;
    } else {
        j->account = a;
        j->begun = false;
        account_ref(a);
        if (j->box != NULL)
            (void)mailbox_ref(j->box);
    }
    list_push(urgent ? &a->urgent : &a->line, &j->in_lane);
    lane_next(a);
}

void account_start(struct account *a, struct job_scope *scope, struct account_job *j)
{
    bool again = a->settling == j;

    j->held = false;
    if (!again)
        j->mark = (struct job){ .abandoned = false };
    if (!again && scope != NULL)
        list_push(&scope->jobs, &j->mark.in_scope);
    lane_start(a, j, false);
}

void account_hold(struct account_job *j)
{
    j->held = true;
}

void account_drop(struct account_job *j)
{
    j->drop(j);
}
