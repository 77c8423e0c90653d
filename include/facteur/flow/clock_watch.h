/* facteur: flow/clock_watch: due times when the clock was set back.
 * Purpose:   nothing waits longer than queue.retry allows because the clock that dated it was wrong: at start, and when
 *            the wall clock has gone back against the monotonic one, due times that lie too far ahead are brought near.
 *            A clock set forward makes due what was due anyway; it is bounded by how much is worked on at once.
 * Owner:     one per flow.
 * Thread:    the loop's; the rows are changed by a commit.
 * Limits:    a jump is noticed within CLOCK_CHECK_MS.
 * Standards: none. */
#ifndef FACTEUR_FLOW_CLOCK_WATCH_H
#define FACTEUR_FLOW_CLOCK_WATCH_H

#include "facteur/flow/flow.h"

enum { CLOCK_CHECK_MS = 60 * 1000 };

struct clock_watch;

struct clock_watch *clock_watch_new(struct flow *f); /* brings near what is too far at once */
void clock_watch_free(struct clock_watch **w);
void clock_watch_check(struct clock_watch *w); /* what its timer does; exposed for its test */

#endif
