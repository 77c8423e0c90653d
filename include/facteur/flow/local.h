/* facteur: flow/local: delivery into Maildirs.
 * Purpose:   writes many messages in one job, and makes many files durable in one sweep; only then is a delivery
 *            reported.
 * Owner:     one per flow.
 * Thread:    the loop's; writing is DISK jobs, making durable is SYNC jobs.
 * Limits:    LOCAL_BATCH deliveries a job, or one message's; at most a quarter of the descriptors for files not yet
 *            synced; a sweep after LOCAL_SYNC_COUNT files or LOCAL_SYNC_MS.
 * Standards: Maildir. */
#ifndef FACTEUR_FLOW_LOCAL_H
#define FACTEUR_FLOW_LOCAL_H

#include "facteur/flow/schedule.h"

enum { LOCAL_BATCH = 64, LOCAL_SYNC_COUNT = 1000, LOCAL_SYNC_MS = 1000 };

struct local *local_new(struct flow *f);
void local_free(struct local **l);

/* Delivers message `m` (its body in memory or spooled) to recipient `r`; ends in schedule_outcome(a, r->seq, …).
 * `recovered`: an earlier copy may be there already. Recipients of one message are given one after the other. */
void local_deliver(struct local *l, struct active *a, const struct queue_message *m, const struct queue_recipient *r,
                   uint64_t quota, bool recovered);
void local_turn(struct local *l);  /* the end of a turn: starts the jobs */
void local_hurry(struct local *l); /* what is written is made durable now (shutdown) */

#endif
