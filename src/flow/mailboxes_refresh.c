#include "mailboxes_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <stdio.h>

/* Loads a mailbox's list, or looks what has changed in its directories. */
struct mailbox_refresh {
    struct account_job j;
    struct open_mailbox *b;
    struct link asks; /* those whom it answers: they came before it began */
    char *name;
    struct index_folder folder;
    bool take_new;
    bool whole; /* the list is read anew: the first time, or when the index was */
    struct buf path;
};

static void start(struct open_mailbox *b);

/* --- on a thread of the pool --- */

/* First the directories, then the list: it has what they have, whoever looked into them in between. */
static int load(struct mailbox_refresh *r, struct index *x)
{
    struct err *e = &r->j.err;
    int code;

    TRY(index_folder(x, slice_str(r->name), &r->folder, e));
    code = index_sync(x, r->folder.id, r->take_new, &r->j.changes, e);
    mailbox_changes_clear(&r->j.changes);
    if (code != DONE)
        return code;
    TRY(index_load(x, r->folder.id, &r->j.changes, e));
    r->j.changes.complete = true;
    buf_reset(&r->path);
    TRY(index_folder_path(x, r->folder.id, &r->path));
    return index_folder(x, slice_str(r->name), &r->folder, e);
}

static int run(struct account_job *j, struct index *x)
{
    struct mailbox_refresh *r = LIST_ENTRY(j, struct mailbox_refresh, j);

    return r->whole ? load(r, x) : index_sync(x, r->folder.id, r->take_new, &j->changes, &j->err);
}

/* --- on the loop: who waits --- */

static void ask_free(struct mailbox_ask *ask)
{
    list_unlink(&ask->mark.in_scope);
    mem_free(ask);
}

static void answer(struct link *asks, int code, struct open_mailbox *b, const struct err *e)
{
    struct link *l;

    while ((l = list_pop(asks)) != NULL) {
        struct mailbox_ask *ask = LIST_ENTRY(l, struct mailbox_ask, link);

        list_unlink(&ask->mark.in_scope); /* abandoned or answered, not both */
        if (!ask->mark.abandoned && ask->opened != NULL)
            ask->opened(ask->owner, code, code < 0 ? NULL : mailbox_ref(b), e);
        else if (!ask->mark.abandoned && ask->checked != NULL)
            ask->checked(ask->owner);
        ask_free(ask);
    }
}

/* The folder of this name is another one now: who wants to open it gets that one, or hears that there is none. */
static void open_anew(struct open_mailbox *gone, struct link *asks)
{
    struct open_mailbox *b = box_by_name(gone->account, slice_str(gone->name));
    struct link others, *l;

    list_init(&others);
    while ((l = list_pop(asks)) != NULL) {
        struct mailbox_ask *ask = LIST_ENTRY(l, struct mailbox_ask, link);

        if (ask->mark.abandoned || ask->opened == NULL) {
            list_push(&others, l);
            continue;
        }
        if (b == NULL)
            b = box_new(gone->account, slice_str(gone->name));
        b->take_new = b->take_new || gone->take_new;
        refresh_ask(b, ask);
    }
    list_move(&others, asks);
}

/* --- on the loop: what was found --- */

static void look(void *owner)
{
    struct open_mailbox *b = owner;

    if (b->users > 0) /* otherwise whoever opens it next looks */
        refresh_ask(b, NULL);
}

static void on_watch(void *owner)
{
    struct open_mailbox *b = owner;

    b->looks = 0;
    look(b);
}

static void look_after(struct open_mailbox *b, int64_t ms)
{
    if (b->gone)
        return;
    if (b->timer == NULL)
        b->timer = timer_new(b->account->m->f->loop, look, b);
    timer_set(b->timer, ms);
}

/* A change within one tick of the file system's clock can hide behind another (store/index_sync): soon it cannot any
 * more; in a large folder, which is not read that often, later. */
static void look_later(struct open_mailbox *b, bool unfinished)
{
    static const int64_t after_ms[MAILBOXES_LOOKS] = { 250, 5500 };

    if (unfinished) /* that a file is complete is told by no event */
        look_after(b, MAILBOXES_UNFINISHED_MS);
    else if (b->watch == NULL)
        look_after(b, MAILBOXES_POLL_MS);
    else if (b->looks < MAILBOXES_LOOKS)
        look_after(b, after_ms[b->looks++]);
}

static void watch(struct open_mailbox *b, struct slice path)
{
    char cur[PATH_LENGTH + 8], new[PATH_LENGTH + 8];
    const char *const paths[] = { cur, new };

    watch_close(&b->watch);
    if (path.n == 0)
        return;
    (void)snprintf(cur, sizeof cur, "%.*s/cur", SLICE_ARG(path));
    (void)snprintf(new, sizeof new, "%.*s/new", SLICE_ARG(path));
    if (watch_new(b->account->m->f->loop, paths, 2, on_watch, b, &b->watch) < 0)
        LOG(DEBUG, "mailbox-polled", kv_str("user", b->account->user), kv_str("mailbox", b->name));
}

/* The same folder under another spelling of its name is open already: those who wait get that one. */
static struct open_mailbox *twin_of(struct open_mailbox *b, uint32_t folder)
{
    struct open_mailbox *other = mailbox_opened(b->account, folder);

    return other != b ? other : NULL;
}

static void loaded(struct mailbox_refresh *r)
{
    struct open_mailbox *b = r->b;

    if (b->loaded && b->folder.uidvalidity != r->folder.uidvalidity) {
        mailbox_mark_gone(b); /* what its sessions know is void: they open it anew */
        return;
    }
    if (!b->loaded || b->watch == NULL)
        watch(b, buf_slice(&r->path));
    b->folder = r->folder;
    b->loaded = true;
    b->whole = false;
    b->recent_noted = r->folder.first_recent;
    b->m.uidvalidity = r->folder.uidvalidity;
    r->j.changes.uidnext = r->folder.uidnext;
    r->j.changes.first_recent = r->folder.first_recent;
    r->j.changes.modseq = r->folder.modseq;
    mailbox_fill(&b->m, &r->j.changes);
    mailbox_changes_clear(&r->j.changes);
    background_want(b, WORK_PREPARE | WORK_SEARCH);
}

static void failed(struct mailbox_refresh *r)
{
    struct open_mailbox *b = r->b;

    box_apply(b, &r->j.changes, NULL, false); /* what it found until then */
    if (!b->loaded) {
        list_unlink(&b->link);
        return;
    }
    if (r->j.code == -ENOENT) {
        mailbox_mark_gone(b);
        return;
    }
    if (!b->unreadable)
        LOG(WARNING, "mailbox-not-read", kv_str("user", b->account->user), kv_str("mailbox", b->name),
            kv_str("reason", r->j.err.text));
    b->unreadable = true;
    b->whole = true; /* what was told may not have been kept */
    look_after(b, MAILBOXES_POLL_MS);
}

static void found(struct mailbox_refresh *r)
{
    struct open_mailbox *b = r->b;
    bool unfinished = r->j.changes.unfinished;

    if (r->j.code < 0)
        failed(r);
    else if (r->whole)
        loaded(r);
    else
        box_apply(b, &r->j.changes, NULL, false);
    if (r->j.code < 0)
        return;
    b->unreadable = false;
    look_later(b, unfinished);
}

static void done(void *owner, struct account_job *j)
{
    struct mailbox_refresh *r = LIST_ENTRY(j, struct mailbox_refresh, j);
    struct open_mailbox *b = owner, *twin;

    if (j->code == MORE || (j->code == DONE && r->whole && j->rebuilt)) {
        if (r->whole) /* it was not the whole list */
            mailbox_changes_clear(&j->changes);
        else
            box_apply(b, &j->changes, NULL, false);
        account_start(b->account, NULL, j);
        return;
    }
    b->refresh = NULL;
    twin = j->code >= 0 && !b->loaded ? twin_of(b, r->folder.id) : NULL;
    if (twin != NULL) {
        list_unlink(&b->link);
        answer(&r->asks, 0, twin, &j->err);
        answer(&b->asks, 0, twin, &j->err);
        return;
    }
    found(r);
    if (b->gone) {
        open_anew(b, &r->asks);
        open_anew(b, &b->asks);
    }
    answer(&r->asks, b->gone ? -ENOENT : j->code, b, &j->err);
    if (b->gone || !b->loaded)
        answer(&b->asks, b->gone ? -ENOENT : j->code, b, &j->err);
    else if (!list_empty(&b->asks) || (j->code >= 0 && b->users > 0 && (b->again || b->whole)))
        start(b); /* after a failure: when it is time to look again */
    if (!b->gone && b->loaded)
        arrive_reserve(b);
}

static void drop(struct account_job *j)
{
    struct mailbox_refresh *r = LIST_ENTRY(j, struct mailbox_refresh, j);

    box_release(r->b);
    buf_clear(&r->path);
    mem_free(r->name);
    mem_free(r);
}

/* --- on the loop: beginning one --- */

static void start(struct open_mailbox *b)
{
    struct mailbox_refresh *r = mem_zero(sizeof *r);

    box_hold(b);
    b->refresh = r;
    b->again = false;
    r->b = b;
    r->name = mem_str(b->name);
    r->folder = b->folder;
    r->take_new = b->take_new;
    r->whole = b->whole || !b->loaded;
    buf_init(&r->path, PATH_LENGTH);
    list_init(&r->asks);
    list_move(&b->asks, &r->asks);
    r->j.run = run;
    r->j.done = done;
    r->j.drop = drop;
    r->j.owner = b;
    account_start(b->account, NULL, &r->j);
}

void refresh_ask(struct open_mailbox *b, struct mailbox_ask *ask)
{
    struct mailbox_refresh *r = b->refresh;

    if (r != NULL && !r->j.begun) {
        if (ask != NULL)
            list_push(&r->asks, &ask->link);
        r->take_new = b->take_new;
        r->whole = r->whole || b->whole;
        return;
    }
    if (ask != NULL)
        list_push(&b->asks, &ask->link);
    b->again = true;
    if (r == NULL)
        start(b);
}

void refresh_whole(struct open_mailbox *b)
{
    if (!b->loaded)
        return;
    b->whole = true;
    refresh_ask(b, NULL);
}

static struct mailbox_ask *new_ask(struct job_scope *scope, void *owner)
{
    struct mailbox_ask *ask = mem_zero(sizeof *ask);

    ask->owner = owner;
    if (scope != NULL)
        list_push(&scope->jobs, &ask->mark.in_scope);
    return ask;
}

void mailbox_open(struct account *a, struct slice name, bool read_only, struct job_scope *scope,
                  void (*opened)(void *owner, int code, struct open_mailbox *box, const struct err *e), void *owner)
{
    struct mailbox_ask *ask = new_ask(scope, owner);
    struct open_mailbox *b = box_by_name(a, name);

    ask->opened = opened;
    if (b == NULL)
        b = box_new(a, name);
    b->take_new = b->take_new || !read_only;
    refresh_ask(b, ask);
}

void mailbox_check(struct open_mailbox *b, struct job_scope *scope, void (*checked)(void *owner), void *owner)
{
    struct mailbox_ask *ask = new_ask(scope, owner);

    ask->checked = checked;
    refresh_ask(b, ask);
}
