/* facteur: flow/space: how much room the disk has.
 * Purpose:   refuses new mail before the disk is full; asked at MAIL, answered without touching the disk.
 * Owner:     one per flow.
 * Thread:    the loop's; statvfs is a job.
 * Limits:    queue.low_disk; the figure is at most SPACE_AGE_MS old.
 * Standards: RFC 5321 section 4.2.2 (452), RFC 1870 section 6.1. */
#ifndef FACTEUR_FLOW_SPACE_H
#define FACTEUR_FLOW_SPACE_H

#include "facteur/flow/flow.h"

enum { SPACE_AGE_MS = 2000 };

struct space *space_new(struct flow *f);
void space_free(struct space **s);
/* Whether `octets` more would go below the reserve. */
bool space_is_low(const struct space *s, uint64_t octets);
int64_t space_octets(const struct space *s); /* free now, or negative when it could not be found out */

#endif
