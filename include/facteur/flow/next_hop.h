/* facteur: flow/next_hop: which hosts take mail for a place.
 * Purpose:   from a next hop of the configuration (or the domain's MX) to a list of addresses to try, in order.
 * Owner:     a search is the asker's until its answer or next_hop_cancel; the answer is borrowed for the call.
 * Thread:    the loop's.
 * Limits:    NEXT_HOP_NAMES names of an MX list, NEXT_HOP_PER_NAME addresses of each; the DNS has its own deadline.
 * Standards: RFC 5321 section 5.1, RFC 7505 (null MX), RFC 6761 section 6.3 (localhost), RFC 3463. */
#ifndef FACTEUR_FLOW_NEXT_HOP_H
#define FACTEUR_FLOW_NEXT_HOP_H

#include "facteur/conf/config.h"
#include "facteur/io/dns.h"
#include "facteur/io/endpoint.h"
#include "facteur/mail/ip.h"
#include "facteur/proto/smtp_client.h"

enum { NEXT_HOP_NAMES = 10, NEXT_HOP_PER_NAME = 4, NEXT_HOP_OWN = 64 };

/* Who we are: an MX list that leads here is a loop. */
struct next_hop_self {
    char hostname[LIMIT_DOMAIN + 1];
    struct ip own[NEXT_HOP_OWN]; /* addresses of this machine */
    size_t own_count;
};
/* The host name and listening addresses of the configuration, and the addresses of the network interfaces. */
void next_hop_know_self(struct next_hop_self *self, const struct config *config);

struct next_hop_host {
    char name[256]; /* for TLS and the log; an address's text where the hop is an address */
    struct endpoint at;
};
struct next_hop_answer {
    /* Code 0: there are hosts. Else why not: 451 4.4.3 (DNS), 451 4.4.4 (a configured name without address),
     * 550 5.1.2 (no such domain), 550 5.4.4 (a domain without MX or address), 554 5.4.6 (leads to ourselves),
     * 556 5.1.10 (null MX). */
    struct smtp_client_reply why;
    const struct next_hop_host *hosts;
    size_t count;
};

struct next_hop_search;

/* `hop->host` NULL: the MX of `domain` (or the address literal that it is); loopback, our own and the unspecified
 * addresses are refused then (a stranger's DNS does not choose them), but not for a hop that the configuration names;
 * that is looked for in /etc/hosts before the DNS is asked.
 * fn is called once, on a later turn; the search is gone with it. What the parameters point to is copied. */
struct next_hop_search *next_hop_find(struct loop *loop, struct dns *dns, const struct next_hop_self *self,
                                      const struct conf_next_hop *hop, const char *domain,
                                      void (*fn)(void *owner, const struct next_hop_answer *answer), void *owner);
void next_hop_cancel(struct next_hop_search **s); /* NULL is fine */

#endif
