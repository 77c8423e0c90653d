/* facteur: flow/commit: group commit.
 * Purpose:   everything that is to become durable in the queue goes through here: all that gathers while one commit
 *            runs shares the next one, its transaction and its sync.
 * Owner:     a request is its maker's; it is in commit's hands from commit_add until `done`.
 * Thread:    the loop's; the work is one job at a time on the queue's lane.
 * Limits:    none of its own: requests are bounded by sessions and by FLOW_ACTIVE.
 * Standards: none. */
#ifndef FACTEUR_FLOW_COMMIT_H
#define FACTEUR_FLOW_COMMIT_H

#include "facteur/flow/flow.h"

struct commit_request {
    struct link link; /* commit's own */
    struct link ops;  /* struct queue_op, in order; all of them or none */
    /* On a later turn: 0, or negative with the reason. The ops are the maker's again. */
    void (*done)(struct commit_request *r, int status, const char *why);
    void *owner;
    /* commit's own */
    struct link *last;
    int status;
};

struct commit *commit_new(struct flow *f);
void commit_free(struct commit **c); /* idle: commit_is_idle */

void commit_add(struct commit *c, struct commit_request *r);
/* The same for what nobody waits for: it rides with the next commit, or goes by itself after a quarter of a second. */
void commit_add_lazily(struct commit *c, struct commit_request *r);
void commit_hurry(struct commit *c); /* what is lazy goes now (shutdown) */
void commit_turn(struct commit *c);  /* the end of a turn */
bool commit_is_idle(const struct commit *c);

/* An op with memory of its own, at the end of `ops`; commit_ops_free frees a list of them. */
struct queue_op *commit_op(struct link *ops, enum queue_op_kind kind, uint64_t id, uint32_t seq);
void commit_ops_free(struct link *ops);

#endif
