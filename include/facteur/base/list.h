/* facteur: base/list: a doubly linked ring whose links live in its members.
 * Purpose:   queues and sets without allocation.
 * Owner:     a member is in at most one list per link; whoever frees a member unlinks it first.
 * Thread:    one at a time.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_BASE_LIST_H
#define FACTEUR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next, *prev;
};

#define LIST_ENTRY(link_ptr, type, member) ((type *)(void *)((char *)(link_ptr)-offsetof(type, member)))

/* Walks while the body may unlink or free `it`. */
#define LIST_EACH(it, head)                                                                                            \
    for (struct link *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

static inline void list_init(struct link *head)
{
    head->next = head->prev = head;
}
static inline bool list_empty(const struct link *head)
{
    return head->next == head;
}
static inline bool link_is_in(const struct link *l) /* a zeroed or unlinked link is in no list */
{
    return l->next != NULL;
}
static inline void list_push(struct link *head, struct link *l) /* at the end */
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void list_unlink(struct link *l) /* fine for a link in no list */
{
    if (l->next == NULL)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->next = l->prev = NULL;
}
static inline struct link *list_pop(struct link *head) /* the first, unlinked, or NULL */
{
    struct link *l = head->next;

    if (l == head)
        return NULL;
    list_unlink(l);
    return l;
}
static inline void list_move(struct link *from, struct link *to) /* all of `from` behind `to`'s last */
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
