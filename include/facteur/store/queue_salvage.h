/* facteur: store/queue_salvage: what can still be read of a damaged queue.db.
 * Purpose:   makes a new queue.db of it; the damaged files are kept under other names.
 * Owner:     no state.
 * Thread:    the command's only one; the state directory's lock keeps a server away.
 * Limits:    needs room for two more copies of queue.db.
 * Standards: none. */
#ifndef FACTEUR_STORE_QUEUE_SALVAGE_H
#define FACTEUR_STORE_QUEUE_SALVAGE_H

#include "facteur/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* What of a message is lost. */
enum queue_lost { QUEUE_LOST_MESSAGE, QUEUE_LOST_RECIPIENTS, QUEUE_LOST_SPOOL };

struct queue_salvage {
    /* Called for everything that is lost. `from` and `to` (the first recipient) are NULL when they cannot be read. For
     * a spool file without a row, which is moved into spool.damaged/, both are. */
    void (*lost)(void *ctx, enum queue_lost what, uint64_t id, const char *from, const char *to);
    void *ctx;
    uint64_t messages, recipients; /* saved */
    uint64_t messages_lost;        /* those of which something is left that says that there was one */
    bool pages_lost;               /* there may have been others, of which nothing is left */
    bool whole;                    /* nothing was damaged, and nothing was changed */
    char kept[64];                 /* the damaged file's name now, in the state directory */
};

/* With the rights of the server's user. -EBUSY: a server runs; -ENOENT: there is no queue.db. When it fails, queue.db is as
 * it was. */
int queue_salvage(const char *state, struct queue_salvage *s, struct err *e) MUST_USE;

#endif
