/* facteur: io/loop (for io only): what hangs on a loop.
 * Purpose:   the fields of struct loop that streams, timers, jobs and the resolver use.
 * Owner:     the loop.
 * Thread:    the loop's.
 * Limits:    one input buffer and one buffer for decrypted octets, each used within one callback only.
 * Standards: none. */
#ifndef FACTEUR_IO_LOOP_PRIV_H
#define FACTEUR_IO_LOOP_PRIV_H

#include "facteur/io/loop.h"

#include <uv.h>

enum {
    LOOP_INPUT = 64 * 1024, /* one read */
    LOOP_PLAIN = 16 * 1024, /* one TLS record's content at most */
    STALL_US = 50 * 1000,
    COSTLY_US = 10 * 1000, /* of a turn, for what loop_defer_costly was given */
    COSTLY_CALLS = 256,    /* in a turn, of these */
    INPUT_US = 10 * 1000   /* of a turn, for what streams receive; what comes later stands in line */
};

/* Waits that every stream may have, each of one length: so each list is in order of expiry, one timer serves all, and a
 * stream carries no timer of its own. */
enum loop_wait { WAIT_HANDSHAKE, WAIT_FINISH, LOOP_WAITS };
struct waiter {
    struct link link;
    int64_t until_ms; /* clock_mono_ms */
    void (*expired)(struct waiter *);
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* the end of a turn, before the loop waits */
    uv_idle_t idle;       /* active while something is deferred: the loop then does not wait */
    uv_timer_t sweep;     /* active while a waiter waits */
    struct link deferred;
    struct link costly; /* struct deferred, too */
    struct link dirty;  /* struct flushable: streams with output of this turn */
    struct link waits[LOOP_WAITS];
    struct link signals;
    void (*on_turn)(void *owner);
    void *on_turn_owner;
    /* the stall meter, uv_hrtime's nanoseconds */
    uint64_t turn_began; /* 0: nothing has run yet in this turn */
    uint64_t note_began;
    uint64_t slowest_note;
    const char *note, *slowest;
    struct loop_stalls stalls;
    char input[LOOP_INPUT];
    char plain[LOOP_PLAIN];
};

struct flushable {
    struct link link;
    void (*flush)(struct flushable *);
};

void loop_wait_begin(struct loop *loop, enum loop_wait kind, struct waiter *w, void (*expired)(struct waiter *));
void loop_wait_end(struct waiter *w); /* fine when not waiting */

/* Like loop_defer, for work that takes milliseconds of the processor, or comes from thousands at once: of it a turn does as
 * much as fits in COSTLY_US and COSTLY_CALLS, but one at least, and what everybody else waits for goes first.
 * loop_defer_cancel takes it back. */
void loop_defer_costly(struct loop *loop, struct deferred *d, void (*fn)(struct deferred *));

/* Whether this turn has had its share of input. Goes by the last loop_note, so it costs nothing. */
static inline bool loop_input_is_over(const struct loop *loop)
{
    return loop->turn_began != 0 && loop->note_began - loop->turn_began > (uint64_t)INPUT_US * 1000;
}

/* Queues f for the end of the turn; fine when queued. */
static inline void loop_dirty(struct loop *loop, struct flushable *f)
{
    if (!link_is_in(&f->link))
        list_push(&loop->dirty, &f->link);
}

#endif
