/* What schedule.c (when and what), suspects.c (who goes alone), attempt.c (by whom), record.c (who has it) and settle.c
 * (how it ended) share: the message that is being worked on. */
#ifndef FACTEUR_FLOW_SCHEDULE_PRIV_H
#define FACTEUR_FLOW_SCHEDULE_PRIV_H

#include "facteur/flow/commit.h"
#include "facteur/flow/schedule.h"

struct active_slot {
    bool settled, untried, crowded, ours;
    bool recorded; /* its row goes, or has gone, before the message is settled */
    enum outcome outcome;
    char status[12];
    char *reply, *host; /* owned */
};

struct active {
    struct flow *f;
    struct queue_message *m;
    struct link waits;      /* for its turn, as a suspect */
    bool alone;             /* its turn: others wait for its end */
    bool recovered;         /* an earlier attempt's end is not known: look for its copies */
    bool again;             /* look into the queue for more of its recipients afterwards */
    unsigned hold;          /* it may not settle yet */
    uint32_t pending;       /* recipients without an outcome */
    uint32_t recorded;      /* of them */
    uint64_t promised;      /* octets of schedule's that are this one's */
    struct link unrecorded; /* of flow: it may have something to record */
    struct commit_request record;
    bool recording;                    /* record is under way */
    struct commit_request *settlement; /* that was committed and waits for it */
    struct active_slot slots[];        /* one for each of m->recipients */
};

void active_free(struct active *a);         /* takes it out of the schedule; the message goes too */
void active_begin(struct active *a);        /* gives its recipients to delivery */
void active_promise_kept(struct active *a); /* its body is in memory, or is not wanted any more */
void active_settle(struct active *a);       /* all outcomes are known: commits them */
void active_settled(struct active *a);      /* goes on with a->settlement */
void active_look_if_gone(const struct active *a, const struct link *ops); /* applied ops: with its row its file goes */

void schedule_begin(struct active *a); /* its memory is promised, then active_begin */

void schedule_drop_body(struct flow *f, struct queue_message *m);
void schedule_due(struct flow *f, int64_t due_ms); /* something falls due then */
void schedule_room(struct flow *f);

/* --- record.c --- */

void record_note(struct active *a); /* some of its recipients have ended, others have not */
void record_turn(struct flow *f);   /* the end of a turn */

/* --- suspects.c --- */

struct suspects *suspects_new(struct flow *f);
void suspects_free(struct suspects **s);
void suspects_stop(struct flow *f); /* those that wait are freed, and nobody's turn comes any more */
bool suspects_is_one(const struct flow *f, const struct queue_message *m);
bool suspects_have_room(struct flow *f); /* else it is looked for them again when those that wait have had their turn */
void suspects_add(struct active *a);     /* begun when its turn comes */
void suspects_ended(struct active *a);   /* to be told of every active message */
size_t suspects_waiting(const struct flow *f); /* of the active ones */
bool suspects_wait_in_queue(const struct flow *f);
void suspects_set_patience(struct flow *f, int64_t ms); /* how long one can keep the others waiting: for tests */

#endif
