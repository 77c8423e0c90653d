/* facteur: service/pace: whether a message still comes fast enough.
 * Purpose:   tells a slow line, which may take its time, from a client that holds a connection with an octet now and then:
 *            silence is bounded by limits.timeouts.data, what comes between two silences by limits.timeouts.data_rate.
 * Owner:     embedded in the session of SMTP.
 * Thread:    the loop's.
 * Limits:    a silence, and with a rate all longer ones of a message together: timeouts.data. The rate holds for each
 *            minute in which something came (for each timeouts.data, where that is shorter).
 * Standards: RFC 5321 section 4.5.3.2.5. */
#ifndef FACTEUR_SERVICE_PACE_H
#define FACTEUR_SERVICE_PACE_H

#include "facteur/conf/config.h"

struct pace {
    int64_t since;   /* of the minute at hand; when something comes first */
    int64_t last;    /* when something came last */
    int64_t silence; /* of longer ones in this message, before `last` */
    uint64_t octets; /* in the minute at hand */
};

void pace_begin(struct pace *p);  /* a message */
void pace_resume(struct pace *p); /* it was we who let it wait */
void pace_came(struct pace *p, const struct conf_limits *limits, size_t octets);
/* Milliseconds until the next look; 0 when it is too slow. */
int64_t pace_look(struct pace *p, const struct conf_limits *limits);

#endif
