/* Who has his mail is noted while others of the message are still waited for: else a crash would bring it to him again,
 * perhaps hours later, after he has read and deleted it. The notes ride with other commits; when the last recipient ends
 * in the same turn, or before the note is written, it costs no commit of its own. */
#include "facteur/flow/commit.h"
#include "schedule_priv.h"

/* A wish for a notification of success is granted when the message is settled, together with the row's end. */
static bool may_go(const struct active *a, uint32_t i)
{
    const struct active_slot *s = &a->slots[i];
    bool good = s->outcome != OUTCOME_DEFERRED && s->outcome != OUTCOME_FAILED;
    bool told = (a->m->recipients[i].notify & NOTIFY_SUCCESS) != 0 && s->outcome != OUTCOME_RELAYED;

    return s->settled && !s->recorded && good && !told;
}

void record_note(struct active *a)
{
    if (!link_is_in(&a->unrecorded))
        list_push(&a->f->unrecorded, &a->unrecorded);
}

static void recorded(struct commit_request *r, int status, const char *why)
{
    struct active *a = LIST_ENTRY(r, struct active, record);

    (void)why;
    if (status < 0) {
        commit_add_lazily(a->f->commit, r);
        return;
    }
    active_look_if_gone(a, &r->ops);
    commit_ops_free(&r->ops);
    a->recording = false;
    if (a->settlement != NULL)
        active_settled(a);
    else
        record_note(a);
}

static void record(struct active *a)
{
    list_init(&a->record.ops);
    for (uint32_t i = 0; i < a->m->count; i++) {
        if (!may_go(a, i))
            continue;
        (void)commit_op(&a->record.ops, QUEUE_DONE, a->m->id, a->m->recipients[i].seq);
        a->slots[i].recorded = true;
        a->recorded++;
    }
    if (list_empty(&a->record.ops))
        return;
    a->recording = true;
    a->record.done = recorded;
    commit_add_lazily(a->f->commit, &a->record);
}

void record_turn(struct flow *f)
{
    struct link *it;

    while ((it = list_pop(&f->unrecorded)) != NULL) {
        struct active *a = LIST_ENTRY(it, struct active, unrecorded);

        if (a->pending > 0 && !a->recording)
            record(a);
    }
}
