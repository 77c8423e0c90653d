/* APPENDs of several sessions to one folder: while a job runs in the lane, those that come gather in the next one. Its
 * files are on their way to the disk side by side, and one commit of index.db holds their rows. */
#include "mailboxes_priv.h"

#include "facteur/base/mem.h"

#include <errno.h>

enum { MESSAGES = 64 /* in a job, so that whoever comes next does not wait for long; one APPEND may bring more */ };

struct batch {
    struct account_job j;
    struct link link;    /* in account.appends while others may join it */
    struct link appends; /* struct mailbox_append */
    struct slice name;   /* the first one's */
    size_t messages;
    struct spool *spool;
    struct index_folder folder;
};

static struct batch *batch_of(struct account_job *j)
{
    return LIST_ENTRY(j, struct batch, j);
}

static int append_all(struct batch *b, struct index *x)
{
    struct index_append *items = mem_array(b->messages, sizeof *items), *at = items;
    int r;

    LIST_EACH (l, &b->appends) {
        const struct mailbox_append *m = LIST_ENTRY(l, struct mailbox_append, link);

        memcpy(at, m->items, m->count * sizeof *at);
        at += m->count;
    }
    r = index_append(x, b->spool, b->folder.id, items, b->messages, &b->j.changes2, &b->j.err);
    at = items;
    LIST_EACH (l, &b->appends) {
        struct mailbox_append *m = LIST_ENTRY(l, struct mailbox_append, link);

        for (size_t i = 0; i < m->count; i++)
            m->items[i].uid = (at++)->uid;
    }
    mem_free(items);
    return r;
}

static int run_batch(struct account_job *j, struct index *x)
{
    struct batch *b = batch_of(j);

    TRY(index_folder(x, b->name, &b->folder, &j->err));
    j->folder2 = b->folder.id;
    return append_all(b, x);
}

static void batch_begin(struct account_job *j)
{
    list_unlink(&batch_of(j)->link);
}

static void batch_drop(struct account_job *j)
{
    struct batch *b = batch_of(j);
    struct link *l;

    list_unlink(&b->link);
    while ((l = list_pop(&b->appends)) != NULL) { /* the lane has dropped it undone */
        struct mailbox_append *m = LIST_ENTRY(l, struct mailbox_append, link);

        list_unlink(&m->mark.in_scope);
        m->drop(m);
    }
    mem_free(b);
}

static void end(struct mailbox_append *m, const struct batch *b)
{
    m->folder = b->folder;
    m->code = b->j.code;
    m->err = b->j.err;
    if (!m->mark.abandoned)
        m->done(m->owner, m);
    list_unlink(&m->mark.in_scope);
    m->drop(m);
}

static void put(struct account *a, struct batch *b, struct mailbox_append *m);
static struct batch *new_batch(struct account *a, struct slice name);

/* What one of them lacks (quota, keywords, room) is not the others' affair: each is tried alone. Not when the index was
 * at fault, since the files are there then. */
static void batch_done(void *owner, struct account_job *j)
{
    struct batch *b = batch_of(j);
    bool several = b->appends.next != b->appends.prev;
    struct link *l;

    while ((l = list_pop(&b->appends)) != NULL) {
        struct mailbox_append *m = LIST_ENTRY(l, struct mailbox_append, link);

        if (j->code < 0 && j->code != -EBADMSG && several)
            put(owner, new_batch(owner, m->name), m);
        else
            end(m, b);
    }
}

static struct batch *new_batch(struct account *a, struct slice name)
{
    struct batch *b = mem_zero(sizeof *b);

    list_init(&b->appends);
    b->name = name;
    b->spool = a->m->f->spool;
    b->j.run = run_batch;
    b->j.begin = batch_begin;
    b->j.done = batch_done;
    b->j.drop = batch_drop;
    b->j.owner = a;
    return b;
}

static void put(struct account *a, struct batch *b, struct mailbox_append *m)
{
    bool first = list_empty(&b->appends);

    list_push(&b->appends, &m->link);
    b->messages += m->count;
    if (first)
        lane_start(a, &b->j, false);
}

/* The one for that folder that others may join, and has room; or NULL. */
static struct batch *waiting_batch(const struct account *a, const struct mailbox_append *m)
{
    LIST_EACH (l, &a->appends) {
        struct batch *b = LIST_ENTRY(l, struct batch, link);

        if (slice_eq(b->name, m->name) && b->messages + m->count <= MESSAGES)
            return b;
    }
    return NULL;
}

void mailbox_append(struct account *a, struct job_scope *scope, struct mailbox_append *m)
{
    struct batch *b = waiting_batch(a, m);

    m->mark = (struct job){ .abandoned = false };
    list_push(&scope->jobs, &m->mark.in_scope);
    if (b == NULL) {
        b = new_batch(a, m->name);
        list_push(&a->appends, &b->link);
    }
    put(a, b, m);
}
