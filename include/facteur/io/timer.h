/* facteur: io/timer: one deadline.
 * Purpose:   calls back once after a time, unless set again or stopped.
 * Owner:     opaque and heap allocated; timer_close frees it, also from inside its callback. No callback after close or
 *            stop.
 * Thread:    the loop's.
 * Limits:    milliseconds, monotonic: a jump of the wall clock moves nothing.
 * Standards: none. */
#ifndef FACTEUR_IO_TIMER_H
#define FACTEUR_IO_TIMER_H

#include "facteur/io/loop.h"

struct timer;

struct timer *timer_new(struct loop *loop, void (*fn)(void *owner), void *owner);
void timer_set(struct timer *t, int64_t ms); /* from now; replaces what was set; 0 fires on the next turn */
void timer_stop(struct timer *t);
void timer_close(struct timer **t); /* NULL is fine */

#endif
