/* facteur: policy/counters: how often one address comes, sends and guesses.
 * Purpose:   connections open now, connections and messages a minute, failed logins in 15 minutes, for each client
 *            address and its network (/24, /64); sessions open now for each user.
 * Owner:     counters_new's caller. It outlives configuration snapshots: limits are read from the one at hand.
 * Thread:    the loop's.
 * Limits:    COUNTERS_MOST addresses and networks; the ones unused for longest are forgotten first, those with a
 *            connection open never (limits.connections bounds them).
 * Standards: RFC 5321 section 7.8 (resistance to attacks), RFC 3463 (4.7.0, 4.3.2). */
#ifndef FACTEUR_POLICY_COUNTERS_H
#define FACTEUR_POLICY_COUNTERS_H

#include "facteur/conf/config.h"
#include "facteur/mail/verdict.h"

enum {
    COUNTERS_MOST = 20000,
    COUNTERS_NETWORK_FACTOR = 3,              /* open connections of a network against those of one address */
    COUNTERS_NETWORK_FAILURES = 5,            /* failed logins of a network against those of one address */
    COUNTERS_AUTH_WINDOW_MS = 15 * 60 * 1000, /* failed logins are remembered for this long */
    COUNTERS_DELAY_FIRST_MS = 1000,           /* after the first failed login; doubles with each */
    COUNTERS_DELAY_MOST_MS = 16000
};

struct counters;
struct counters *counters_new(void);
void counters_free(struct counters **c);

/* A client has connected. True: counted, and counters_disconnect must follow. False: *ret is the greeting to send
 * instead (421), and nothing is to be undone. Networks in limits.rate_exempt are bound by the total alone. */
bool counters_connect(struct counters *c, const struct config *config, const struct ip *ip, struct verdict *ret);
void counters_disconnect(struct counters *c, const struct ip *ip);
/* The client has logged in: many phones stand behind one address, so the connection counts in the total alone from now
 * on, and ends with counters_disconnect_known. */
void counters_known(struct counters *c, const struct ip *ip);
void counters_disconnect_known(struct counters *c);
/* The user may log in for one more session. True: counted, and counters_user_leaves must follow. False: *ret says why
 * not (452), and nothing is to be undone. */
bool counters_user_comes(struct counters *c, const struct config *config, const char *user, struct verdict *ret);
void counters_user_leaves(struct counters *c, const char *user);
size_t counters_connections(const struct counters *c); /* open now, all services */

/* A message begins (at MAIL): 250, or 450 4.7.1 when the address has sent limits.message_rate within a minute. */
struct verdict counters_message(struct counters *c, const struct config *config, const struct ip *ip);

/* Before a password is looked at: 250, or 454 4.7.0 while the address or its network has failed too often. */
struct verdict counters_auth_allowed(struct counters *c, const struct config *config, const struct ip *ip);
/* After a wrong one; returns the milliseconds to wait before the reply. */
int64_t counters_auth_failed(struct counters *c, const struct config *config, const struct ip *ip);
/* After a right one: the address starts anew (its network does not). */
void counters_auth_ok(struct counters *c, const struct ip *ip);

#endif
