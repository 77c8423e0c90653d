/* facteur: flow/bounce: tells a sender what became of his mail.
 * Purpose:   makes the delivery status notification for a message as a queue message of its own, to be committed
 *            together with the end of the recipients that it speaks of.
 * Owner:     the caller owns what comes out.
 * Thread:    the loop's; nothing blocks.
 * Limits:    one notification a message and round, or several where it would be over 1 MiB; never for the null
 *            reverse-path, never to a sender that does not exist.
 * Standards: RFC 3464, RFC 3461 section 4, RFC 5321 section 4.5.5. */
#ifndef FACTEUR_FLOW_BOUNCE_H
#define FACTEUR_FLOW_BOUNCE_H

#include "facteur/flow/flow.h"
#include "facteur/mail/dsn.h"

/* `original`: the stored text from its trace on, or its header alone. *count: as many of the recipients as it then tells
 * of; the rest is for another one. NULL when there is nobody to tell (logged). The body's octets are counted in flow's
 * body_octets. */
struct queue_message *bounce_make(struct flow *f, const struct queue_message *m, struct slice original, bool full,
                                  const struct dsn_recipient *recipients, size_t *count);

#endif
