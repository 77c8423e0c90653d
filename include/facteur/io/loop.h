/* facteur: io/loop: the event loop and its stall meter.
 * Purpose:   one libuv loop with what every stream shares: the read buffer, the list of streams with output, the clock.
 * Owner:     app makes one and frees it last; everything on it is closed before.
 * Thread:    its own thread only.
 * Limits:    one read buffer of 64 KiB for all streams; the pool has `threads` threads.
 * Standards: none. */
#ifndef FACTEUR_IO_LOOP_H
#define FACTEUR_IO_LOOP_H

#include "facteur/base/err.h"
#include "facteur/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* What the meter knows: time between the return from poll and the next poll, in microseconds. */
struct loop_stalls {
    int64_t longest_us;      /* since start */
    int64_t longest_wall_ms; /* when that was */
    const char *longest_what;
    uint64_t over_limit; /* turns longer than 50 ms */
    uint64_t turns;
};

/* Ignores SIGPIPE and SIGXFSZ, too. */
int loop_new(struct loop **ret, struct err *e) MUST_USE;
void loop_free(struct loop **loop); /* runs what is still closing to its end; NULL is fine */

int loop_run(struct loop *loop);      /* until loop_stop or nothing is left; 0 */
int loop_run_once(struct loop *loop); /* one turn, waiting for an event: for tests */
void loop_stop(struct loop *loop);

/* Names what runs now, for the stall meter: a static string, set at the entry of each kind of work. */
void loop_note(struct loop *loop, const char *what);
struct loop_stalls loop_stalls(const struct loop *loop);

/* Called at the end of each turn, before the loop waits: flush the log, gather batches. One caller. */
void loop_on_turn(struct loop *loop, void (*fn)(void *owner), void *owner);

/* Called once, on the next turn, before the loop waits: how an answer that is known at once is still an event. */
struct deferred {
    struct link link; /* the loop's own */
    void (*fn)(struct deferred *);
};
void loop_defer(struct loop *loop, struct deferred *d, void (*fn)(struct deferred *));
void loop_defer_cancel(struct loop *loop, struct deferred *d); /* fine when not queued */

/* Signals delivered as events on the loop's thread. */
int loop_on_signal(struct loop *loop, int signum, void (*fn)(void *owner, int signum), void *owner) MUST_USE;

#endif
