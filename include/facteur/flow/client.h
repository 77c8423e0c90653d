/* facteur: flow/client: who is at the other end.
 * Purpose:   what stages, trace fields and log lines want to know of whoever brings a message; not only SMTP makes one.
 * Owner:     its session's; a transaction borrows it.
 * Thread:    the loop's.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_FLOW_CLIENT_H
#define FACTEUR_FLOW_CLIENT_H

#include "facteur/conf/config.h"

struct client {
    struct ip ip;
    char address[IP_TEXT];        /* ip as text; "" for a Unix socket */
    char session[16];             /* the session's id in the log */
    const struct conf_user *user; /* logged in, of the session's snapshot; or NULL */
    bool submission;              /* a listener for submission */
    bool trusted;                 /* inside relay.trusted */
    const char *helo;             /* "" before EHLO */
    const char *with;             /* "ESMTPSA" */
    char tls[84];                 /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" */
};

/* Neither logged in nor in a trusted network: from the Internet, as far as we know. */
static inline bool client_is_outside(const struct client *c)
{
    return c->user == NULL && !c->trusted;
}

#endif
