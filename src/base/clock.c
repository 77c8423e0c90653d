#include "facteur/base/clock.h"

#include <stdbool.h>
#include <time.h>

/* A test's clock: while frozen, time moves by clock_advance alone. */
static struct {
    bool on;
    int64_t mono_ms, wall_ms;
} frozen;

static int64_t now_us(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t); /* cannot fail for the two clocks below */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return frozen.on ? frozen.mono_ms * 1000 : now_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return frozen.on ? frozen.wall_ms : now_us(CLOCK_REALTIME) / 1000;
}

void clock_freeze(int64_t mono_ms, int64_t wall_ms)
{
    frozen.on = true;
    frozen.mono_ms = mono_ms;
    frozen.wall_ms = wall_ms;
}

void clock_advance(int64_t ms)
{
    frozen.mono_ms += ms;
    frozen.wall_ms += ms;
}

void clock_thaw(void)
{
    frozen.on = false;
}
