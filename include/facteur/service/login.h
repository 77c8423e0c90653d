/* facteur: service/login: who is it, and may they?
 * Purpose:   judges a SASL attempt or a user name and password for any protocol: counters of failures, the hash in a
 *            job (or what a former one found, for auth.cache), growing delays, services per user; the log says why, the
 *            client hears the same words for every wrong login.
 * Owner:     one at a time per peer.
 * Thread:    the loop's; hashes are jobs.
 * Limits:    limits.auth_failures, auth_failure_rate; auth.cache.
 * Standards: RFC 4954, 5802, 9051 section 6.2, 5034. */
#ifndef FACTEUR_SERVICE_LOGIN_H
#define FACTEUR_SERVICE_LOGIN_H

#include "facteur/proto/host.h"
#include "facteur/proto/sasl.h"
#include "facteur/service/peer.h"

/* 235: p->client.user is set. 535: wrong; 534 5.7.9: right, but this service is not the account's, with a text that
 * says which is; 454: too many failures from there. LATER: `done` comes on a later turn, unless the peer ends. */
enum when login_ask(struct peer *p, const struct sasl_attempt *attempt, enum conf_user_service service,
                    void (*done)(struct peer *p, const struct verdict *v), struct verdict *ret);
void login_scram_keys(struct peer *p, struct slice user, struct sasl_scram_keys *ret);
void login_end(struct peer *p); /* abandons what is under way */

#endif
