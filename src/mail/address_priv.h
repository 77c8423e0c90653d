/* facteur: mail/address_priv: what the readers of addresses share.
 * Purpose:   envelope (address.c) and header (header_address.c) come to the same canonical form by one way.
 * Owner:     the caller's.
 * Thread:    any.
 * Limits:    as mail/address.
 * Standards: RFC 5321 section 4.1.2, RFC 6531 section 3.3. */
#ifndef FACTEUR_MAIL_ADDRESS_PRIV_H
#define FACTEUR_MAIL_ADDRESS_PRIV_H

#include "facteur/mail/address.h"

/* An octet of an atom; with every octet over 127, which UTF-8 checks later. */
bool address_is_atext(char c);

/* An address of a local part without its quotes and a domain as it was said; errors as address_parse. */
int address_make(struct slice local, struct slice domain, unsigned flags, struct address *ret) MUST_USE;

#endif
