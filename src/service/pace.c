#include "facteur/service/pace.h"

#include "facteur/base/clock.h"

enum { MINUTE_MS = 60 * 1000 };

void pace_resume(struct pace *p)
{
    p->since = p->last = clock_mono_ms();
    p->octets = 0;
}

void pace_begin(struct pace *p)
{
    p->silence = 0;
    pace_resume(p);
}

static int64_t minute_of(const struct conf_limits *limits)
{
    return limits->timeout.data < MINUTE_MS ? limits->timeout.data : MINUTE_MS;
}

void pace_came(struct pace *p, const struct conf_limits *limits, size_t octets)
{
    int64_t now = clock_mono_ms(), gap = now - p->last;

    if (gap >= minute_of(limits) / 2) { /* a line that was interrupted is not slow for that */
        p->silence += gap;
        p->octets = 0;
    }
    if (p->octets == 0)
        p->since = now;
    p->octets += octets;
    p->last = now;
}

/* The minute is over: was it slow while something came? The silence at its end is judged as silence. */
static bool was_slow(const struct pace *p, const struct conf_limits *limits)
{
    int64_t busy = p->last > p->since ? p->last - p->since : 0;

    return p->octets < (uint64_t)limits->timeout.data_rate * (uint64_t)busy / 1000;
}

int64_t pace_look(struct pace *p, const struct conf_limits *limits)
{
    bool rated = limits->timeout.data_rate > 0;
    int64_t now = clock_mono_ms(), minute = minute_of(limits);
    int64_t left = limits->timeout.data - (now - p->last) - (rated ? p->silence : 0);

    if (left <= 0)
        return 0;
    if (!rated)
        return left;
    if (now - p->since >= minute) {
        if (was_slow(p, limits))
            return 0;
        p->since = now;
        p->octets = 0;
    }
    minute -= now - p->since;
    return left < minute ? left : minute;
}
