/* facteur: base/meter: how much memory something holds, as a part of something larger.
 * Purpose:   one figure for a user's connections and one for all, always right: who holds octets sets its own count.
 * Owner:     whoever embeds it; what is counted on it is set to 0, or moved to another meter, before it goes.
 * Thread:    one, its owner's.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_BASE_METER_H
#define FACTEUR_BASE_METER_H

#include <stddef.h>
#include <stdint.h>

struct meter {
    uint64_t octets;
    struct meter *whole; /* that it is a part of; or NULL */
};

/* Its holder, which had *counted octets on it, has `now`. A NULL meter counts nothing. */
static inline void meter_set(struct meter *m, size_t *counted, size_t now)
{
    if (now == *counted)
        return;
    for (; m != NULL; m = m->whole)
        m->octets = m->octets - *counted + now;
    *counted = now;
}

#endif
