/* facteur: service/smtp_in: who speaks SMTP with us.
 * Purpose:   joins a connection (io/stream), its dialogue (proto/smtp_server) and its transaction (flow/transaction):
 *            deadlines, logins, limits, log lines.
 * Owner:     one service per process; it owns its sessions, each of which ends by itself or at shutdown.
 * Thread:    the loop's.
 * Limits:    limits.* of the snapshot that was in force when the connection came.
 * Standards: RFC 5321 section 4.5.3.2 (deadlines), RFC 4954, 8314. */
#ifndef FACTEUR_SERVICE_SMTP_IN_H
#define FACTEUR_SERVICE_SMTP_IN_H

#include "facteur/flow/flow.h"
#include "facteur/io/listener.h"

struct smtp_service;

struct smtp_service_stats {
    uint64_t connections, open, logins, login_failures, refused;
};

/* `tls` may be NULL: then STARTTLS is not offered. */
struct smtp_service *smtp_service_new(struct flow *f, struct tls_server *tls);
void smtp_service_free(struct smtp_service **s);                           /* all sessions are closed */
void smtp_service_set_tls(struct smtp_service *s, struct tls_server *tls); /* for new connections */

/* A connection that `listener` (of config's) has accepted; takes the stream. */
void smtp_service_accept(struct smtp_service *s, struct config *config, const struct conf_listener *listener,
                         struct stream *stream);

/* 421 to all; `done` when the last has closed (at once, on a later turn, when there is none). */
void smtp_service_stop(struct smtp_service *s, void (*done)(void *owner), void *owner);
struct smtp_service_stats smtp_service_stats(const struct smtp_service *s);

#endif
