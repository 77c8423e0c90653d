#include "mailboxes_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"

/* INBOX is INBOX in any case. */
static bool same_name(const struct open_mailbox *b, struct slice name)
{
    return slice_is(name, b->name) || (slice_iis(name, "INBOX") && slice_iis(slice_str(b->name), "INBOX"));
}

struct open_mailbox *box_by_name(struct account *a, struct slice name)
{
    LIST_EACH (l, &a->boxes) {
        struct open_mailbox *b = LIST_ENTRY(l, struct open_mailbox, link);

        if (same_name(b, name))
            return b;
    }
    return NULL;
}

struct open_mailbox *box_inbox(struct account *a)
{
    return box_by_name(a, SLICE_LIT("INBOX"));
}

struct open_mailbox *mailbox_opened(struct account *a, uint32_t folder)
{
    LIST_EACH (l, &a->boxes) {
        struct open_mailbox *b = LIST_ENTRY(l, struct open_mailbox, link);

        if (b->loaded && b->folder.id == folder)
            return b;
    }
    return NULL;
}

static bool is_in(struct slice name, struct slice above)
{
    return slice_eq(slice_head(name, above.n), above) && (name.n == above.n || name.p[above.n] == '/');
}

/* Otherwise whoever selects the old name, which may be another folder's by then, would get this one. */
void boxes_rename(struct account *a, struct slice from, struct slice to)
{
    LIST_EACH (l, &a->boxes) {
        struct open_mailbox *b = LIST_ENTRY(l, struct open_mailbox, link);
        struct slice name = slice_str(b->name), rest = slice_skip(name, from.n);
        char *now;

        if (!is_in(name, from))
            continue;
        now = mem_zero(to.n + rest.n + 1);
        memcpy(now, to.p, to.n);
        if (rest.n > 0)
            memcpy(now + to.n, rest.p, rest.n);
        mem_free(b->name);
        b->name = now;
    }
}

struct open_mailbox *box_new(struct account *a, struct slice name)
{
    struct open_mailbox *b = mem_zero(sizeof *b);

    b->account = a;
    b->name = mem_dup(name.p, name.n);
    mailbox_init(&b->m);
    list_init(&b->asks);
    list_push(&a->boxes, &b->link);
    return b;
}

void box_free(struct open_mailbox *b)
{
    list_unlink(&b->link);
    list_unlink(&b->lingering);
    watch_close(&b->watch);
    timer_close(&b->timer);
    mailbox_clear(&b->m);
    mem_free(b->name);
    mem_free(b);
}

/* Nobody uses it: it stays for a while, unless nobody could find it any more. */
static void rest(struct open_mailbox *b)
{
    struct mailboxes *m = b->account->m;

    if (b->users > 0 || b->jobs > 0)
        return;
    if (!link_is_in(&b->link)) {
        box_free(b);
        return;
    }
    list_unlink(&b->lingering);
    b->until_ms = clock_mono_ms() + MAILBOXES_LINGER_MS;
    list_push(&m->idle_boxes, &b->lingering);
    mailboxes_set_linger(m);
}

void box_hold(struct open_mailbox *b)
{
    b->jobs++;
    list_unlink(&b->lingering);
}

void box_release(struct open_mailbox *b)
{
    b->jobs--;
    rest(b);
}

struct open_mailbox *mailbox_ref(struct open_mailbox *b)
{
    if (b->users++ == 0)
        account_ref(b->account);
    list_unlink(&b->lingering);
    return b;
}

void mailbox_unref(struct open_mailbox **box)
{
    struct open_mailbox *b = *box;
    struct account *a;

    *box = NULL;
    if (b == NULL || --b->users > 0)
        return;
    a = b->account;
    background_note_recent(b);
    rest(b);
    account_unref(a);
}

void box_apply(struct open_mailbox *b, struct mailbox_changes *c, struct mailbox_view *origin, bool silent)
{
    if (b != NULL && b->loaded && !b->gone) {
        uint32_t uidnext = b->m.uidnext;

        mailbox_apply(&b->m, c, origin, silent);
        if (b->m.uidnext != uidnext)
            background_want(b, WORK_PREPARE | WORK_SEARCH);
    }
    mailbox_changes_clear(c);
}

void mailbox_mark_gone(struct open_mailbox *b)
{
    if (b->gone)
        return;
    b->gone = true;
    list_unlink(&b->link);
    watch_close(&b->watch);
    timer_close(&b->timer);
    box_hold(b); /* over what the views do */
    LIST_EACH (l, &b->m.views) {
        struct mailbox_view *v = LIST_ENTRY(l, struct mailbox_view, link);

        if (v->on_change != NULL)
            v->on_change(v);
    }
    box_release(b);
}
