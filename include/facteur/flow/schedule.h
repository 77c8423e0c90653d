/* facteur: flow/schedule: what is to be delivered, and when.
 * Purpose:   keeps the messages that are being worked on, gives their recipients to local and remote delivery, notes
 *            retries, asks for bounces, and takes more from queue.db when there is room or something falls due.
 * Owner:     one per flow; it owns the messages given to it.
 * Thread:    the loop's.
 * Limits:    FLOW_ACTIVE messages in memory; the rest waits in queue.db. Bodies are dropped from memory beyond half
 *            of queue.inline_budget and read again when their turn comes.
 * Standards: RFC 5321 section 4.5.4.1 (retries), RFC 3461 (notifications). */
#ifndef FACTEUR_FLOW_SCHEDULE_H
#define FACTEUR_FLOW_SCHEDULE_H

#include "facteur/flow/flow.h"
#include "facteur/flow/remote.h"

struct schedule;

/* One recipient's outcome of an attempt. */
enum outcome {
    OUTCOME_DELIVERED,
    OUTCOME_RELAYED,
    OUTCOME_RELAYED_WITHOUT_DSN, /* to a next hop that will not tell how it went on */
    OUTCOME_DEFERRED,
    OUTCOME_FAILED
};

struct active; /* a message that is being worked on */

struct schedule *schedule_new(struct flow *f);
void schedule_free(struct schedule **s); /* frees the messages; nothing may be under way */

/* The due time to commit a new message with: 0 when it will be worked on at once (then queue.db need not index it, and
 * offers it again only after a restart), or now when it has to wait in queue.db for its turn. */
int64_t schedule_first_due(const struct flow *f, bool local);
void schedule_add(struct flow *f, struct queue_message *m); /* just committed; takes it over */
void schedule_wake(struct flow *f);                         /* looks in queue.db for what is due (start, flush) */
void schedule_stop(struct flow *f);                         /* begins nothing more */
bool schedule_is_active(const struct flow *f, uint64_t id);
size_t schedule_active(const struct flow *f);
bool schedule_is_quiet(const struct flow *f); /* nothing is active and no look into the queue is under way */

struct attempt_end {
    enum outcome outcome;
    bool untried;       /* OUTCOME_DEFERRED: no attempt is counted */
    bool crowded;       /* untried: there is no sense in it for a while */
    bool ours;          /* the reply is ours also where there is a host */
    const char *status; /* "5.1.1" */
    const char *reply;  /* one line */
    const char *host;   /* or NULL */
};

/* What is said when the attempt at recipient `seq` of an active message has ended. */
void schedule_outcome(struct active *a, uint32_t seq, const struct attempt_end *end);

/* The inline body, brought into memory if it is not there: fn on a later turn. For remote_env. */
void schedule_load_body(void *flow, struct queue_message *m, void (*fn)(void *owner, int status), void *owner);

/* The wait before attempt `attempts` + 1, with jitter of a tenth: that share of it which schedule_jitter gave, of
 * SCHEDULE_JITTER. */
enum { SCHEDULE_JITTER = 1000000 };
uint64_t schedule_jitter(void);
int64_t schedule_retry_ms(const struct conf_queue *q, uint32_t attempts, uint64_t jitter);
/* How long a message can have waited for certain: the smaller of its age by the clock and of its retries (the clock may
 * have jumped). */
int64_t schedule_age_ms(const struct conf_queue *q, int64_t received_ms, int64_t now_ms, uint32_t attempts);

#endif
