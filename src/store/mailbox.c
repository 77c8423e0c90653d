#include "facteur/store/mailbox.h"

#include "facteur/base/mem.h"
#include "mailbox_priv.h"

#include <errno.h>

/* --- sets --- */

void uids_push(struct ranges *r, uint32_t from, uint32_t to)
{
    struct range *last = r->count > 0 ? &r->items[r->count - 1] : NULL;

    if (last != NULL && from <= (uint64_t)last->to + 1) {
        last->to = to > last->to ? to : last->to;
        return;
    }
    if (r->count == r->cap) {
        r->cap = r->cap < 4 ? 4 : r->cap * 2;
        r->items = mem_resize(r->items, r->cap * sizeof *r->items);
    }
    r->items[r->count++] = (struct range){ from, to };
}

/* How many pieces begin below it. */
static size_t pieces_below(const struct ranges *r, uint32_t below)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (r->items[middle].from < below)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void uids_add(struct ranges *r, const struct ranges *more, uint32_t below)
{
    size_t a = 0, b = 0, count = pieces_below(more, below);
    struct ranges old = *r, sum = { 0 };
    bool behind = count > 0 && (old.count == 0 || more->items[0].from >= old.items[old.count - 1].from);

    if (count == 0)
        return;
    if (behind) { /* the usual case: what is there stays where it is */
        sum = old;
        a = old.count;
    }
    while (a < old.count || b < count) {
        bool from_old = b == count || (a < old.count && old.items[a].from <= more->items[b].from);
        struct range piece = from_old ? old.items[a++] : more->items[b++];

        if (!from_old && piece.to >= below)
            piece.to = below - 1;
        uids_push(&sum, piece.from, piece.to);
    }
    if (!behind)
        mem_free(old.items);
    *r = sum;
}

void uids_take(struct ranges *r, const struct ranges *less)
{
    struct ranges rest = { 0 };
    size_t b = 0;

    if (r->count == 0 || less->count == 0)
        return;
    for (size_t a = 0; a < r->count; a++) {
        struct range piece = r->items[a];
        bool left = true;

        while (b < less->count && less->items[b].to < piece.from)
            b++;
        for (; left && b < less->count && less->items[b].from <= piece.to; b++) {
            const struct range *cut = &less->items[b];

            if (cut->from > piece.from)
                uids_push(&rest, piece.from, cut->from - 1);
            left = cut->to < piece.to;
            if (!left)
                break; /* it may reach into the next piece */
            piece.from = cut->to + 1;
        }
        if (left)
            uids_push(&rest, piece.from, piece.to);
    }
    ranges_clear(r);
    *r = rest;
}

/* --- changes --- */

void mailbox_changes_clear(struct mailbox_changes *c)
{
    for (unsigned i = 0; c->keywords != NULL && i < c->keyword_count; i++)
        mem_free(c->keywords[i]);
    mem_free(c->keywords);
    mem_free(c->messages);
    ranges_clear(&c->gone);
    *c = (struct mailbox_changes){ 0 };
}

void mailbox_changes_add(struct mailbox_changes *c, const struct mailbox_message *m)
{
    if (c->count == c->cap) {
        c->cap = c->cap < 8 ? 8 : c->cap * 2;
        c->messages = mem_resize(c->messages, c->cap * sizeof *c->messages);
    }
    c->messages[c->count++] = *m;
}

void mailbox_changes_keywords(struct mailbox_changes *c, const char *const *names, unsigned count)
{
    char **copies = mem_array(count > 0 ? count : 1, sizeof *copies);

    for (unsigned i = 0; i < count; i++)
        copies[i] = mem_str(names[i]);
    for (unsigned i = 0; c->keywords != NULL && i < c->keyword_count; i++)
        mem_free(c->keywords[i]);
    mem_free(c->keywords);
    c->keywords = copies;
    c->keyword_count = count;
}

/* --- the list --- */

void mailbox_init(struct mailbox *m)
{
    *m = (struct mailbox){ .uidnext = 1, .first_recent = 1 };
    list_init(&m->views);
}

void mailbox_clear(struct mailbox *m)
{
    for (unsigned i = 0; i < m->keyword_count; i++)
        mem_free(m->keywords[i]);
    mem_free(m->messages);
    mailbox_init(m);
}

size_t mailbox_index(const struct mailbox *m, uint32_t uid)
{
    size_t low = 0, high = m->count;

    if (high == 0 || m->messages[high - 1].uid < uid)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->messages[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct mailbox_message *mailbox_find(const struct mailbox *m, uint32_t uid)
{
    size_t at = mailbox_index(m, uid);

    return at < m->count && m->messages[at].uid == uid ? &m->messages[at] : NULL;
}

int mailbox_keyword(const struct mailbox *m, struct slice name)
{
    for (unsigned i = 0; i < m->keyword_count; i++)
        if (slice_ieq(slice_str(m->keywords[i]), name))
            return (int)i;
    return -ENOENT;
}

/* Whether a bit has another name now. */
static bool are_renamed(const struct mailbox *m, const struct mailbox_changes *c)
{
    if (c->keyword_count < m->keyword_count)
        return true;
    for (unsigned i = 0; i < m->keyword_count; i++)
        if (strcmp(m->keywords[i], c->keywords[i]) != 0)
            return true;
    return false;
}

static void take_keywords(struct mailbox *m, const struct mailbox_changes *c)
{
    for (unsigned i = 0; i < m->keyword_count; i++)
        mem_free(m->keywords[i]);
    m->keyword_count = c->keyword_count < KEYWORDS_MAX ? c->keyword_count : KEYWORDS_MAX;
    for (unsigned i = 0; i < m->keyword_count; i++)
        m->keywords[i] = mem_str(c->keywords[i]);
}

/* --- applying --- */

static int by_uid(const void *a, const void *b)
{
    const struct mailbox_message *x = a, *y = b;

    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static bool is_uid(uint32_t n) /* with room for the number after it */
{
    return n > 0 && n < UINT32_MAX;
}

/* Messages in ascending order, each once. */
struct run {
    const struct mailbox_message *items;
    size_t count;
    struct mailbox_message *copy; /* when they had to be sorted */
};

/* Stable, so that of two states of a message the later one is the last. */
static void sort(struct mailbox_message *items, size_t count)
{
    struct mailbox_message *left = mem_array(count, sizeof *left);

    for (size_t width = 1; width < count; width *= 2)
        for (size_t at = 0; at + width < count; at += 2 * width) {
            size_t end = at + 2 * width < count ? at + 2 * width : count, a = 0, b = at + width, to = at;

            if (by_uid(&items[b - 1], &items[b]) <= 0)
                continue;
            memcpy(left, items + at, width * sizeof *left);
            while (a < width)
                items[to++] = b < end && by_uid(&items[b], &left[a]) < 0 ? items[b++] : left[a++];
        }
    mem_free(left);
}

static bool is_in_order(const struct mailbox_changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (!is_uid(c->messages[i].uid) || (i > 0 && c->messages[i - 1].uid >= c->messages[i].uid))
            return false;
    return true;
}

static struct run in_order(const struct mailbox_changes *c)
{
    struct run r = { c->messages, c->count, NULL };
    size_t n = 0;

    if (is_in_order(c))
        return r;
    r.copy = mem_array(c->count, sizeof *r.copy);
    memcpy(r.copy, c->messages, c->count * sizeof *r.copy);
    sort(r.copy, c->count);
    for (size_t i = 0; i < c->count; i++)
        if (is_uid(r.copy[i].uid) && (i + 1 == c->count || r.copy[i + 1].uid != r.copy[i].uid))
            r.copy[n++] = r.copy[i];
    r.items = r.copy;
    r.count = n;
    return r;
}

/* Takes the new states of known messages; gives the others back, of which there are nearly never any: the caller frees
 * them. */
static struct mailbox_message *update_known(struct mailbox *m, const struct mailbox_message *all, size_t count,
                                            struct mailbox_news *news, size_t *ret_count)
{
    struct mailbox_changes fresh = { 0 };
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const struct mailbox_message *now = &all[i];
        struct mailbox_message *then;

        if (m->messages[at].uid < now->uid) /* the next one is near when many change */
            at = m->messages[at + 1].uid == now->uid ? at + 1 : mailbox_index(m, now->uid);
        then = &m->messages[at];
        if (then->uid != now->uid) {
            mailbox_changes_add(&fresh, now);
            continue;
        }
        if (then->flags != now->flags || then->keywords != now->keywords)
            uids_push(&news->altered, now->uid, now->uid);
        *then = *now;
    }
    *ret_count = fresh.count;
    return fresh.messages;
}

static void make_room(struct mailbox *m, size_t count)
{
    size_t wanted = m->count + count;

    if (wanted <= m->cap)
        return;
    m->cap = m->count > 0 && m->count + m->count / 4 > wanted ? m->count + m->count / 4 : wanted + 8;
    m->messages = mem_resize(m->messages, m->cap * sizeof *m->messages);
}

/* Puts new messages where their UIDs belong. */
static void insert(struct mailbox *m, const struct mailbox_message *fresh, size_t count)
{
    size_t from = m->count, to = m->count + count;

    make_room(m, count);
    m->count = to;
    while (count > 0) {
        if (from > 0 && m->messages[from - 1].uid > fresh[count - 1].uid)
            m->messages[--to] = m->messages[--from];
        else
            m->messages[--to] = fresh[--count];
    }
}

static void note_removed(struct mailbox *m, const struct ranges *gone, struct ranges *removed)
{
    size_t kept, g = 0;

    if (gone->count == 0)
        return;
    kept = mailbox_index(m, gone->items[0].from);
    for (size_t i = kept; i < m->count; i++) {
        uint32_t uid = m->messages[i].uid;

        while (g < gone->count && gone->items[g].to < uid)
            g++;
        if (g < gone->count && gone->items[g].from <= uid)
            uids_push(removed, uid, uid);
        else
            m->messages[kept++] = m->messages[i];
    }
    m->count = kept;
}

/* What the mailbox has and a complete list has not. */
static void missing(const struct mailbox *m, const struct run *all, struct ranges *ret)
{
    size_t at = 0;

    for (size_t i = 0; i < m->count; i++) {
        while (at < all->count && all->items[at].uid < m->messages[i].uid)
            at++;
        if (at == all->count || all->items[at].uid != m->messages[i].uid)
            uids_push(ret, m->messages[i].uid, m->messages[i].uid);
    }
}

/* The first that is behind all that the mailbox has. */
static size_t first_behind(const struct mailbox *m, const struct run *all)
{
    uint32_t last = m->count > 0 ? m->messages[m->count - 1].uid : 0;
    size_t low = 0, high = all->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (all->items[middle].uid <= last)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void note_added(const struct mailbox *m, const struct mailbox_message *items, size_t count, struct ranges *added)
{
    for (size_t i = 0; i < count && !list_empty(&m->views); i++)
        uids_push(added, items[i].uid, items[i].uid);
}

static void raise_uidnext(struct mailbox *m)
{
    if (m->count > 0 && m->messages[m->count - 1].uid >= m->uidnext)
        m->uidnext = m->messages[m->count - 1].uid + 1;
}

static void apply_messages(struct mailbox *m, const struct mailbox_changes *c, struct mailbox_news *news)
{
    struct ranges gone = { 0 };
    struct mailbox_message *between;
    struct run all = in_order(c);
    size_t behind, count;

    if (c->complete)
        missing(m, &all, &gone);
    uids_add(&gone, &c->gone, UINT32_MAX);
    behind = first_behind(m, &all);
    between = update_known(m, all.items, behind, news, &count);
    note_added(m, between, count, &news->added);
    note_added(m, all.items + behind, all.count - behind, &news->added);
    insert(m, between, count);
    insert(m, all.items + behind, all.count - behind);
    note_removed(m, &gone, &news->removed);
    uids_take(&news->altered, &news->removed);
    raise_uidnext(m);
    ranges_clear(&gone);
    mem_free(between);
    mem_free(all.copy);
}

static void tell_views(struct mailbox *m, const struct mailbox_news *news, const struct mailbox_view *origin,
                       bool silent)
{
    LIST_EACH (l, &m->views) {
        struct mailbox_view *v = LIST_ENTRY(l, struct mailbox_view, link);

        if (view_note(v, news, silent && v == origin) && v->on_change != NULL)
            v->on_change(v);
    }
}

void mailbox_apply(struct mailbox *m, const struct mailbox_changes *c, struct mailbox_view *origin, bool silent)
{
    struct mailbox_news news = { 0 };

    if (c->keywords != NULL) {
        news.keywords_renamed = are_renamed(m, c);
        take_keywords(m, c);
    }
    if (c->complete || c->count > 0 || c->gone.count > 0)
        apply_messages(m, c, &news);
    m->modseq = c->modseq > m->modseq ? c->modseq : m->modseq;
    m->uidnext = c->uidnext > m->uidnext ? c->uidnext : m->uidnext;
    m->first_recent = c->first_recent > m->first_recent ? c->first_recent : m->first_recent;
    tell_views(m, &news, origin, silent);
    ranges_clear(&news.altered);
    ranges_clear(&news.removed);
    ranges_clear(&news.added);
}

void mailbox_fill(struct mailbox *m, struct mailbox_changes *c)
{
    if (m->count == 0 && list_empty(&m->views) && c->gone.count == 0 && is_in_order(c)) {
        mem_free(m->messages);
        m->messages = c->messages;
        m->count = c->count;
        m->cap = c->cap;
        c->messages = NULL;
        c->count = c->cap = 0;
        c->complete = false;
        raise_uidnext(m);
    }
    mailbox_apply(m, c, NULL, false);
}

void mailbox_arrive(struct mailbox *m, const struct mailbox_message *message)
{
    struct mailbox_message copy = *message;
    struct mailbox_changes c = { .messages = &copy, .count = 1, .cap = 1, .modseq = message->modseq };

    mailbox_apply(m, &c, NULL, false);
}
