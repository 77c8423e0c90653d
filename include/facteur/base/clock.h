/* facteur: base/clock: what time it is, settable by a test.
 * Purpose:   the one place that asks the system for time.
 * Owner:     no state but the test's frozen clock.
 * Thread:    reading: any; freezing: tests only.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_BASE_CLOCK_H
#define FACTEUR_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* never jumps: for waits and deadlines */
int64_t clock_mono_us(void); /* the same in microseconds: for the stall meter */
int64_t clock_wall_ms(void); /* since 1970, UTC: for dates and stored due times; may jump */

void clock_freeze(int64_t mono_ms, int64_t wall_ms);
void clock_advance(int64_t ms); /* only while frozen */
void clock_thaw(void);

#endif
