/* facteur: service/smtp_in: who speaks SMTP with us.
 * Purpose:   joins a connection (service/peer), its dialogue (proto/smtp_server) and its transaction
 *            (flow/transaction): deadlines, logins, log lines.
 * Owner:     one service per process; it owns its sessions, each of which ends by itself or at shutdown.
 * Thread:    the loop's.
 * Limits:    limits.* of the snapshot that was in force when the connection came.
 * Standards: RFC 5321 section 4.5.3.2 (deadlines), RFC 4954, 8314. */
#ifndef FACTEUR_SERVICE_SMTP_IN_H
#define FACTEUR_SERVICE_SMTP_IN_H

#include "facteur/service/peer.h"

extern const struct peer_protocol smtp_in_protocol; /* of smtp and submission listeners */

#endif
