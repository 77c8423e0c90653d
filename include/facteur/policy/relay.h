/* facteur: policy/relay: who may send what to whom, and where it goes.
 * Purpose:   the rule that makes facteur no relay for strangers, alias expansion, sender rights, the next hop.
 * Owner:     borrows from the configuration snapshot; targets are the caller's and freed by policy_targets_clear.
 * Thread:    the loop's.
 * Limits:    LIMIT_ALIAS_DEPTH steps from an address to its mailbox, POLICY_TARGETS targets a recipient.
 * Standards: RFC 5321 sections 3.6.1, 4.1.2, 4.5.1, 7.1 and F.2; RFC 6409 sections 4.3 and 6.1; RFC 3463. */
#ifndef FACTEUR_POLICY_RELAY_H
#define FACTEUR_POLICY_RELAY_H

#include "facteur/conf/config.h"
#include "facteur/mail/verdict.h"

enum { POLICY_TARGETS = 1000 };

struct policy_client {
    struct ip ip;
    const struct conf_user *user; /* NULL: not logged in */
    bool submission;              /* came to a listener for submission */
    bool ourselves;               /* no client: a notification of our own */
};

enum policy_route { ROUTE_LOCAL, ROUTE_RELAY };

/* Where one copy goes. */
struct policy_target {
    enum policy_route route;
    const struct conf_user *user; /* ROUTE_LOCAL: whose mailbox; ROUTE_RELAY: NULL */
    struct address address;       /* final, after aliases; for a mailbox the user's own name */
};
struct policy_targets {
    struct policy_target *items;
    size_t count;
};
void policy_targets_clear(struct policy_targets *t); /* frees; a zeroed struct is empty */

/* May this client send to rcpt? 250 2.1.5 fills *ret with at least one target (*ret is written on success only).
 * 550 5.1.1 no such user; 550 5.2.1 disabled; 550 5.7.1 relaying denied; 554 5.7.1 a form that hides a second address;
 * 550 5.1.2 an address literal that is not ours to serve; 451 4.3.5 an expansion that is too large or too deep.
 * `rcpt` may be bare (empty domain) only as "postmaster"; that, and postmaster at the hostname, is the one of
 * default_domain. A local part is never
 * taken apart: "%", "!" and "@" in it mean nothing here, and strangers are refused who hope they do. The verdict names
 * the rule and its line. */
struct verdict policy_rcpt(const struct config *c, const struct policy_client *client, const struct address *rcpt,
                           struct policy_targets *ret);

/* True inside relay.trusted; a Unix socket (family 0) never is by itself. */
bool policy_is_trusted(const struct config *c, const struct ip *ip);

/* May this client use reverse_path? Submission: 530 5.7.0 without login, 553 5.7.1 unless the address belongs to the
 * login; the null reverse-path is allowed to it (DSN, MDN). SMTP: 250 for all, a login binds there too. */
struct verdict policy_sender(const struct config *c, const struct policy_client *client,
                             const struct address *reverse_path);

/* May `user` send as `address`? Its own name (with any sub-address), aliases that lead to nobody else but it,
 * and its `senders`. */
bool policy_sender_belongs(const struct config *c, const struct conf_user *user, const struct address *address);

/* The way to `domain`: the most exact route (the name, the longest ".suffix", "*"), else the smarthost, else *mx is
 * filled for direct delivery (host NULL, port 25, opportunistic TLS) and returned. Never NULL. */
const struct conf_next_hop *policy_next_hop(const struct config *c, const char *domain, struct conf_next_hop *mx);

#endif
