#include "facteur/proto/imap_thread.h"

#include "facteur/base/map.h"
#include "facteur/base/mem.h"

#include <stdlib.h>

/* --- SORT --- */

static int compare_slices(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return r != 0 ? r : (a.n > b.n) - (a.n < b.n);
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_key(const struct thread_message *a, const struct thread_message *b, enum imap_sort_key key)
{
    switch (key) {
    case SORT_ARRIVAL:
        return compare_numbers(a->internal_ms, b->internal_ms);
    case SORT_CC:
        return compare_slices(a->cc, b->cc);
    case SORT_DATE:
        return compare_numbers(a->sent_ms, b->sent_ms);
    case SORT_FROM:
        return compare_slices(a->from, b->from);
    case SORT_SIZE:
        return (a->size > b->size) - (a->size < b->size);
    case SORT_SUBJECT:
        return compare_slices(a->subject, b->subject);
    case SORT_TO:
        return compare_slices(a->to, b->to);
    case SORT_DISPLAYFROM:
        return compare_slices(a->display_from, b->display_from);
    case SORT_DISPLAYTO:
        return compare_slices(a->display_to, b->display_to);
    }
    return 0;
}

struct order {
    const struct imap_sort *keys;
    size_t count;
};

static int compare_messages(const void *x, const void *y, void *order)
{
    const struct thread_message *a = x, *b = y;
    const struct order *o = order;

    for (size_t i = 0; i < o->count; i++) {
        int r = compare_key(a, b, o->keys[i].key);

        if (r != 0)
            return o->keys[i].reverse ? -r : r;
    }
    return (a->number > b->number) - (a->number < b->number);
}

void sort_messages(struct thread_message *messages, size_t count, const struct imap_sort *keys, size_t key_count)
{
    struct order o = { keys, key_count };

    if (count > 1)
        qsort_r(messages, count, sizeof *messages, compare_messages, &o);
}

/* --- the trees that both algorithms make --- */

enum { DEPTH_MOST = 2000 }; /* a reference that would make a thread deeper than this is not followed */

struct container {
    const struct thread_message *message; /* NULL: only others refer to it */
    struct container *parent, *first, *next, *prev;
    int64_t date; /* what it is sorted by among its siblings */
    uint32_t number;
};

static void unlink_child(struct container *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else if (c->parent != NULL)
        c->parent->first = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->parent = c->next = c->prev = NULL;
}

static void link_child(struct container *parent, struct container *c)
{
    c->parent = parent;
    c->prev = NULL;
    c->next = parent->first;
    if (c->next != NULL)
        c->next->prev = c;
    parent->first = c;
}

/* Whether `below` may not become the parent of `c`: it is c or below it, or too deep. */
static bool is_above(const struct container *c, const struct container *below)
{
    size_t depth = 0;

    if (c->first == NULL && c != below)
        return false;
    for (; below != NULL; below = below->parent)
        if (below == c || ++depth > DEPTH_MOST)
            return true;
    return false;
}

/* The tree in depth-first order, parents first: what follows `c`, below `root`. */
static struct container *next_in_tree(struct container *c, const struct container *root)
{
    if (c->first != NULL)
        return c->first;
    while (c != root && c->next == NULL)
        c = c->parent;
    return c == root ? NULL : c->next;
}

static int compare_containers(const void *x, const void *y)
{
    const struct container *a = *(struct container *const *)x, *b = *(struct container *const *)y;
    int r = compare_numbers(a->date, b->date);

    return r != 0 ? r : (a->number > b->number) - (a->number < b->number);
}

static void sort_children(struct container *parent, struct container **scratch)
{
    size_t n = 0;

    for (struct container *c = parent->first; c != NULL; c = c->next)
        scratch[n++] = c;
    if (n < 2)
        return;
    qsort(scratch, n, sizeof(struct container *), compare_containers);
    parent->first = scratch[0];
    for (size_t i = 0; i < n; i++) {
        scratch[i]->next = i + 1 < n ? scratch[i + 1] : NULL;
        scratch[i]->prev = i > 0 ? scratch[i - 1] : NULL;
    }
}

/* A message's own date; what has none takes that of its first child, when its children are in order. */
static void set_date(struct container *c)
{
    if (c->message != NULL) {
        c->date = c->message->sent_ms;
        c->number = c->message->number;
    } else if (c->first != NULL) {
        c->date = c->first->date;
        c->number = c->first->number;
    }
}

/* Sorts all siblings, children before their parents. */
static void sort_tree(struct container *root, struct container **scratch, struct container **order)
{
    size_t n = 0;

    for (struct container *c = next_in_tree(root, root); c != NULL; c = next_in_tree(c, root))
        order[n++] = c;
    while (n-- > 0) {
        sort_children(order[n], scratch);
        set_date(order[n]);
    }
    sort_children(root, scratch);
}

/* One thread: a message, then its only child behind a space, or each of its children in parentheses. */
static int write_thread(struct container *top, struct buf *out)
{
    struct container *c = top;

    TRY(buf_addc(out, '('));
    for (;;) {
        bool opens = c != top && c->parent->first->next != NULL;

        if (opens)
            TRY(buf_addc(out, '('));
        if (c->message != NULL)
            TRY(buf_addf(out, "%u", (unsigned)c->message->number));
        if (c->first != NULL) {
            if (c->message != NULL)
                TRY(buf_addc(out, ' '));
            c = c->first;
            continue;
        }
        for (;; c = c->parent) {
            if (c != top && c->parent->first->next != NULL)
                TRY(buf_addc(out, ')'));
            if (c == top || c->next != NULL)
                break;
        }
        if (c == top)
            return buf_addc(out, ')');
        c = c->next;
    }
}

/* --- ORDEREDSUBJECT --- */

static int write_ordered_subject(struct thread_message *messages, size_t count, struct container *all,
                                 struct container **scratch, struct buf *out)
{
    static const struct imap_sort by_subject[] = { { SORT_SUBJECT, false }, { SORT_DATE, false } };
    struct container root = { 0 };

    sort_messages(messages, count, by_subject, 2);
    for (size_t i = count; i-- > 0;) { /* from the last, so that link_child keeps their order */
        all[i].message = &messages[i];
        set_date(&all[i]);
    }
    for (size_t i = 0, first = 0; i < count; i++) {
        if (compare_slices(messages[i].subject, messages[first].subject) != 0)
            first = i;
        link_child(i == first ? &root : &all[first], &all[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (all[i].parent == &root)
            sort_children(&all[i], scratch);
    sort_children(&root, scratch);
    for (struct container *c = root.first; c != NULL; c = c->next)
        TRY(write_thread(c, out));
    return 0;
}

/* --- REFERENCES --- */

struct threads {
    struct map by_id; /* message id to container */
    struct container *all;
    size_t used, most;
    struct container root;
};

static struct container *take_container(struct threads *t)
{
    return t->used < t->most ? &t->all[t->used++] : NULL;
}

static struct container *container_of_id(struct threads *t, struct slice id)
{
    struct container *c = map_get(&t->by_id, id);

    if (c == NULL && (c = take_container(t)) != NULL)
        (void)map_put(&t->by_id, id, c);
    return c;
}

/* RFC 5256, REFERENCES, steps 1 A to C. */
static void add_message(struct threads *t, const struct thread_message *m)
{
    struct container *own = m->message_id.n > 0 ? container_of_id(t, m->message_id) : NULL, *before = NULL;
    struct slice rest = m->references, id;

    if (own == NULL || own->message != NULL)
        own = take_container(t); /* no id, or somebody else's */
    if (own == NULL)
        return;
    own->message = m;
    while (rest.n > 0) {
        struct container *c;

        (void)slice_cut(&rest, ' ', &id);
        c = id.n > 0 ? container_of_id(t, id) : NULL;
        if (c == NULL)
            continue;
        if (before != NULL && c->parent == NULL && c != own && !is_above(c, before))
            link_child(before, c);
        before = c;
    }
    if (own->parent != NULL) /* what others said of it; without references it has no parent */
        unlink_child(own);
    if (before != NULL && !is_above(own, before))
        link_child(before, own);
}

/* Step 3: what has no message goes; its children take its place, at the top only a single one. */
static void prune_one(struct container *c, const struct container *root)
{
    struct container *parent = c->parent, *child;

    if (c->message != NULL || (c->first != NULL && parent == root && c->first->next != NULL))
        return;
    unlink_child(c);
    while ((child = c->first) != NULL) {
        unlink_child(child);
        link_child(parent, child);
    }
}

/* Children before their parents: one that loses its last child that way goes as well. */
static void prune(struct threads *t, struct container **order)
{
    size_t n = 0;

    for (struct container *c = next_in_tree(&t->root, &t->root); c != NULL; c = next_in_tree(c, &t->root))
        order[n++] = c;
    while (n-- > 0)
        prune_one(order[n], &t->root);
}

static const struct thread_message *speaker(const struct container *c)
{
    return c->message != NULL ? c->message : c->first->message;
}

/* Step 5 B: which thread stands for a subject. */
static void choose_by_subject(struct threads *t, struct map *by_subject)
{
    for (struct container *c = t->root.first; c != NULL; c = c->next) {
        struct slice subject = speaker(c)->subject;
        const struct container *there;

        if (subject.n == 0)
            continue;
        there = map_get(by_subject, subject);
        if (there == NULL || (c->message == NULL && there->message != NULL) ||
            (there->message != NULL && there->message->reply && !speaker(c)->reply))
            (void)map_put(by_subject, subject, c);
    }
}

/* Step 5 C: `c` joins the thread that stands for its subject. */
static void join(struct threads *t, struct map *by_subject, struct container *c)
{
    struct slice subject = speaker(c)->subject;
    struct container *there = subject.n > 0 ? map_get(by_subject, subject) : NULL, *child, *both;

    if (there == NULL || there == c)
        return;
    if (there->message == NULL && c->message == NULL) {
        unlink_child(c);
        while ((child = c->first) != NULL) {
            unlink_child(child);
            link_child(there, child);
        }
    } else if (there->message == NULL || (speaker(c)->reply && !speaker(there)->reply)) {
        unlink_child(c);
        link_child(there, c);
    } else if ((both = take_container(t)) != NULL) {
        unlink_child(there);
        unlink_child(c);
        link_child(both, there);
        link_child(both, c);
        link_child(&t->root, both);
        (void)map_put(by_subject, subject, both);
    }
}

static void gather_subjects(struct threads *t, struct container **scratch)
{
    struct map by_subject = { 0 };
    size_t n = 0;

    choose_by_subject(t, &by_subject);
    for (struct container *c = t->root.first; c != NULL; c = c->next)
        scratch[n++] = c;
    for (size_t i = 0; i < n; i++)
        if (scratch[i]->parent == &t->root)
            join(t, &by_subject, scratch[i]);
    map_clear(&by_subject);
}

static int write_references(const struct thread_message *messages, size_t count, struct threads *t,
                            struct container **scratch, struct container **order, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        add_message(t, &messages[i]);
    for (size_t i = t->used; i-- > 0;)
        if (t->all[i].parent == NULL)
            link_child(&t->root, &t->all[i]);
    prune(t, order);
    sort_tree(&t->root, scratch, order);
    gather_subjects(t, scratch);
    sort_tree(&t->root, scratch, order);
    for (struct container *c = t->root.first; c != NULL; c = c->next)
        TRY(write_thread(c, out));
    return 0;
}

static size_t count_ids(const struct thread_message *messages, size_t count)
{
    size_t n = 2 * count; /* each message's own, and one more for each pair that a subject joins */

    for (size_t i = 0; i < count; i++) {
        n++;
        for (size_t k = 0; k < messages[i].references.n; k++)
            n += messages[i].references.p[k] == ' ';
    }
    return n + 1;
}

int thread_write(struct thread_message *messages, size_t count, enum imap_thread algorithm, struct buf *out)
{
    struct threads t = { .most = count_ids(messages, count) };
    struct container **scratch = mem_array(t.most + 1, sizeof *scratch);
    struct container **order = mem_array(t.most + 1, sizeof *order);
    size_t from = out->n;
    int r;

    t.all = mem_array(t.most + 1, sizeof *t.all);
    memset(t.all, 0, (t.most + 1) * sizeof *t.all);
    r = algorithm == THREAD_ORDEREDSUBJECT ? write_ordered_subject(messages, count, t.all, scratch, out)
                                           : write_references(messages, count, &t, scratch, order, out);
    if (r < 0)
        out->n = from;
    map_clear(&t.by_id);
    mem_free(t.all);
    mem_free(scratch);
    mem_free(order);
    return r;
}
