/* facteur: service/pop3_in: who fetches mail by POP3.
 * Purpose:   joins a connection (service/peer), its dialogue (proto/pop3_server) and the user's INBOX (flow/mailboxes).
 * Owner:     one service per process; it owns its sessions.
 * Thread:    the loop's; reading and deleting are jobs of the user's lane.
 * Limits:    limits.* of the snapshot that was in force when the connection came; one session per mailbox.
 * Standards: RFC 1939, 2449, 2595, 3206, 5034, 6856, 8314. */
#ifndef FACTEUR_SERVICE_POP3_IN_H
#define FACTEUR_SERVICE_POP3_IN_H

#include "facteur/service/peer.h"

extern const struct peer_protocol pop3_in_protocol;

#endif
