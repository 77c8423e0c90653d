/* facteur: service/imap_in: who reads mail by IMAP.
 * Purpose:   joins a connection (service/peer), its dialogue (proto/imap_server) and the user's mailboxes
 *            (flow/mailboxes): each command is a function here, and what blocks in it is a job of the user's lane.
 * Owner:     one service per process; it owns its sessions.
 * Thread:    the loop's.
 * Limits:    limits.* and imap.* of the snapshot that was in force when the connection came.
 * Standards: RFC 9051, 3501 and the extensions that CAPABILITY names. */
#ifndef FACTEUR_SERVICE_IMAP_IN_H
#define FACTEUR_SERVICE_IMAP_IN_H

#include "facteur/service/peer.h"

extern const struct peer_protocol imap_in_protocol;

/* The hook of struct index_options: ENVELOPE, BODYSTRUCTURE, preview and sort keys of one message. Any thread. */
struct index_prepared;
int imap_in_prepare(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret) MUST_USE;

#endif
