/* facteur: flow/body_store: where a message's octets gather until the commit.
 * Purpose:   in memory up to queue.inline_limit, beyond that in a spool file that jobs write.
 * Owner:     body_store_new's caller, until body_store_free; a job under way keeps what it needs.
 * Thread:    the loop's; the file is written by one DISK job at a time.
 * Limits:    queue.inline_limit and queue.inline_budget in memory; with a file, two pieces of BODY_PIECE.
 * Standards: none. */
#ifndef FACTEUR_FLOW_BODY_STORE_H
#define FACTEUR_FLOW_BODY_STORE_H

#include "facteur/flow/flow.h"

enum { BODY_PIECE = 128 * 1024 };

struct body_store;
struct body_store_events {
    void (*hold)(void *owner, bool hold);    /* true: give no more for now */
    void (*failed)(void *owner, int code);   /* a piece could not be written; nothing more is called */
    void (*finished)(void *owner, int code); /* body_store_finish's end, always on a later turn */
};

struct body_store *body_store_new(struct flow *f, uint64_t id, const struct body_store_events *events, void *owner);
int body_store_push(struct body_store *b, struct slice octets) MUST_USE; /* 0, or the error of an earlier piece */

/* True when all of it is in memory and nothing more is to be done; else the file is completed and made durable and
 * `finished` comes. */
bool body_store_finish(struct body_store *b);

uint64_t body_store_size(const struct body_store *b);
bool body_store_is_spooled(const struct body_store *b);
/* Moves the memory out (not spooled): the caller frees it and gives its octets back with flow's body_octets. */
char *body_store_give(struct body_store *b);
/* The spool file belongs to a committed message now: it stays when the store is freed. */
void body_store_keep(struct body_store *b);
/* Forgets all; a spool file that is not kept is removed. No event comes after it. NULL is fine. */
void body_store_free(struct body_store **b);

#endif
