/* facteur: service/control: the running server's ear for the command line.
 * Purpose:   answers questions and orders over a Unix socket: one JSON object a line in, one a line out.
 * Owner:     heap allocated; control_close gives it back, the memory goes when the last connection is closed. What the
 *            env names is borrowed and outlives it.
 * Thread:    the loop's; databases are asked in jobs of their lanes.
 * Limits:    a request of CONTROL_LINE octets, CONTROL_CLIENTS connections (more wait in the backlog), CONTROL_IDLE_MS
 *            for the next request; whatever is no JSON object with a "do" ends the connection.
 * Standards: RFC 8259. File permissions decide who may connect. */
#ifndef FACTEUR_SERVICE_CONTROL_H
#define FACTEUR_SERVICE_CONTROL_H

#include "facteur/flow/flow.h"
#include "facteur/store/history.h"
#include "facteur/store/queue.h"
#include "facteur/store/spool.h"

#include <jansson.h>

enum {
    CONTROL_LINE = 64 * 1024,
    CONTROL_CLIENTS = 16,
    CONTROL_IDLE_MS = 30 * 1000,
    CONTROL_LIST_MAX = 100,        /* messages in one answer to queue-list */
    CONTROL_RECIPIENTS_MAX = 500,  /* recipients in one answer */
    CONTROL_BODY_MAX = 256 * 1024, /* octets in one answer to queue-body */
    CONTROL_TEXT_MAX = 512         /* octets of one text in an answer */
};

struct control;

/* What control asks of the rest of the program. The functions are called on the loop. */
struct control_env {
    struct loop *loop;
    struct job_pool *pool;
    struct queue *queue;
    struct spool *spool;
    struct history *history;
    const struct flow *flow; /* for the mailboxes; NULL: there are none */
    void *ctx;
    json_t *(*status)(void *ctx); /* a new object: the answer's "status"; its "queue" gets the database's counts */
    /* Loads the policy anew: 0, or negative with the reasons (lines) in messages. Warnings may stand there at 0. */
    int (*reload)(void *ctx, struct buf *messages);
    void (*flushed)(void *ctx, uint64_t id);   /* 0: all; due times are changed in the database already */
    void (*deleted)(void *ctx, uint64_t id);   /* row and spool file are gone, history is told: forget it */
    bool (*is_active)(void *ctx, uint64_t id); /* is being delivered now: then a delete is refused */
};

/* Listens at `path` (a socket that an ended server left there is replaced), mode 0600. The env is copied. -EADDRINUSE:
 * somebody answers there, or it is no socket; -ENAMETOOLONG. */
int control_new(const struct control_env *env, const char *path, struct control **ret, struct err *e) MUST_USE;

/* Stops listening, closes all connections, abandons their jobs; *c becomes NULL. NULL is fine. The queue, spool and
 * history must live until the pool is idle. */
void control_close(struct control **c);

/* The requests; every answer has "ok": true, or false with "error" (for a person) and "code" (for a program: one of
 * bad-request, not-found, no-user, busy, damaged, config, failed).
 *   {"do": "status"}                                     → "status": {…}
 *   {"do": "reload"}                                     → "loaded": true or false, "messages": "…"
 *   {"do": "queue-list", "after": ID?, "max": N?}        → "messages": […], "next": ID when there are more;
 *                                                          "unread": N and "cut" when some cannot be read
 *   {"do": "queue-show", "id": ID, "from": N?}           → "message": {…}, "next_recipient": N when there are more
 *   {"do": "queue-history", "id": ID}                    → "events": […]
 *   {"do": "queue-body", "id": ID, "offset": N?}         → "size": N, "data": base64
 *   {"do": "queue-flush", "id": ID?}                     → "flushed": ID or "all" (that are not held)
 *   {"do": "queue-delete", "id": ID}                     → "deleted": ID (busy: it is being delivered now)
 *   {"do": "mailbox-list", "user": U}                    → "mailboxes": [{…}]
 *   {"do": "mailbox-quota", "user": U}                   → "octets": N, "messages": N, "quota": N or null
 *   {"do": "mailbox-rebuild", "user": U}                 → "rebuilt": U */

#endif
