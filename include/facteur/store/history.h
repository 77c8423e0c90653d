/* facteur: store/history: what became of each message.
 * Purpose:   history.db: one row an event, written in batches without fsync; losing it loses no mail.
 * Owner:     one struct history per process, used by jobs of the history lane.
 * Thread:    one at a time (the lane).
 * Limits:    texts cut at 512 octets; rows older than the configured age are removed in slices.
 * Standards: SQLite, WAL, synchronous=OFF. */
#ifndef FACTEUR_STORE_HISTORY_H
#define FACTEUR_STORE_HISTORY_H

#include "facteur/base/buf.h"
#include "facteur/base/list.h"

struct history;

enum history_kind {
    HISTORY_RECEIVED = 1,
    HISTORY_DELIVERED,
    HISTORY_RELAYED,
    HISTORY_DEFERRED,
    HISTORY_BOUNCED,
    HISTORY_DELETED,
    HISTORY_REFUSED
};

struct history_event {
    struct link link;
    int64_t wall_ms;
    uint64_t id; /* the message's; 0 for a refusal before there was one */
    enum history_kind kind;
    char *who;  /* sender (received) or recipient */
    char *text; /* reply, cause, rule */
    char *peer; /* client or next hop */
};
void history_event_free(struct history_event **ev);

/* When history.db is damaged or of a newer facteur it is put aside as history.db.damaged, which *ret_aside and the reason in
 * e say, and a new one is made. */
int history_open(const char *state, struct history **ret, bool *ret_aside, struct err *e) MUST_USE;
void history_close(struct history **h);
int history_write(struct history *h, const struct link *events, struct err *e) MUST_USE; /* in one transaction */
int history_expire(struct history *h, int64_t before_ms, size_t max,
                   struct err *e) MUST_USE; /* rows removed, or negative */
/* The events of one message in order, each given to fn. */
int history_show(struct history *h, uint64_t id, void (*fn)(void *ctx, const struct history_event *ev), void *ctx,
                 struct err *e) MUST_USE;

#endif
