/* What schedule.c (when and what), attempt.c (by whom) and settle.c (how it ended) share: the message that is being
 * worked on. */
#ifndef FACTEUR_FLOW_SCHEDULE_PRIV_H
#define FACTEUR_FLOW_SCHEDULE_PRIV_H

#include "facteur/flow/schedule.h"

struct active_slot {
    bool settled, untried;
    enum outcome outcome;
    char status[12];
    char *reply, *host; /* owned */
};

struct active {
    struct flow *f;
    struct queue_message *m;
    bool recovered;             /* an earlier attempt's end is not known: look for its copies */
    bool again;                 /* look into the queue for more of its recipients afterwards */
    unsigned hold;              /* it may not settle yet */
    uint32_t pending;           /* recipients without an outcome */
    uint64_t promised;          /* octets of schedule's that are this one's */
    struct active_slot slots[]; /* one for each of m->recipients */
};

void active_free(struct active *a);         /* takes it out of the schedule; the message goes too */
void active_begin(struct active *a);        /* gives its recipients to delivery */
void active_promise_kept(struct active *a); /* its body is in memory, or is not wanted any more */
void active_settle(struct active *a);       /* all outcomes are known: commits them */

void schedule_drop_body(struct flow *f, struct queue_message *m);
void schedule_due(struct flow *f, int64_t due_ms); /* something falls due then */
void schedule_room(struct flow *f);

#endif
