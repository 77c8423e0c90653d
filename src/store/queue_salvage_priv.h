/* facteur: store/queue_salvage_priv: reading rows of a damaged queue.db.
 * Purpose:   all ids that any tree of it still tells, and what is left of one message.
 * Owner:     the caller's.
 * Thread:    the command's only one.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_STORE_QUEUE_SALVAGE_PRIV_H
#define FACTEUR_STORE_QUEUE_SALVAGE_PRIV_H

#include "queue_priv.h"

/* Ids in order, each once; *ret_holes: some pages could not be read. */
int salvage_ids(struct queue *old, uint64_t **ret, size_t *ret_count, bool *ret_holes, struct err *e) MUST_USE;

/* A message with those of its recipients that can be read; `complete` is false when some cannot. -EBADMSG: it cannot be
 * saved; *ret then has what is known of it (its sender may be NULL). The caller frees it in either case. */
int salvage_message(struct queue *old, uint64_t id, struct queue_message **ret, bool *complete, struct err *e) MUST_USE;

#endif
