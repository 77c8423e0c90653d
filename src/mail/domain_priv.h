/* facteur: mail/domain_priv: address literals, for the readers of addresses.
 * Purpose:   "[192.0.2.1]" and "[IPv6:2001:db8::1]" checked and in canonical form.
 * Owner:     the caller's.
 * Thread:    any.
 * Limits:    as mail/address.
 * Standards: RFC 5321 section 4.1.3; tags other than IPv6 are refused. */
#ifndef FACTEUR_MAIL_DOMAIN_PRIV_H
#define FACTEUR_MAIL_DOMAIN_PRIV_H

#include "facteur/mail/address.h"

/* 0 or -EINVAL. Without `tag_needed` an IPv6 address may stand without "IPv6:". */
int domain_literal(struct slice text, bool tag_needed, char to[LIMIT_DOMAIN + 1]) MUST_USE;

#endif
