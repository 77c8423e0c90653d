/* facteur: flow/chronicle: hands events to the history.
 * Purpose:   gathers what becomes of messages and writes it in the background, a thousand at a time or once a second.
 * Owner:     one per flow.
 * Thread:    the loop's; the writing is a job on the history's lane.
 * Limits:    20,000 events wait, then the newest are dropped and counted: history may be lost, mail not.
 * Standards: none. */
#ifndef FACTEUR_FLOW_CHRONICLE_H
#define FACTEUR_FLOW_CHRONICLE_H

#include "facteur/flow/flow.h"

struct chronicle *chronicle_new(struct flow *f);
void chronicle_free(struct chronicle **c); /* what still waits is lost: call chronicle_flush first */

/* All texts are copied; `text` and `peer` may be NULL. */
void chronicle_add(struct chronicle *c, enum history_kind kind, uint64_t id, const char *who, const char *text,
                   const char *peer);
void chronicle_flush(struct chronicle *c); /* starts the job for what waits */
uint64_t chronicle_lost(const struct chronicle *c);

#endif
