/* facteur: mail/address: mailboxes, paths and domains.
 * Purpose:   reads what stands in an envelope and in the configuration; one canonical form for comparing.
 * Owner:     by value.
 * Thread:    any.
 * Limits:    local part 64, domain 255 octets; a source route is read and dropped.
 * Standards: RFC 5321 sections 4.1.2 and 4.1.3, RFC 6531 section 3.3 (UTF-8), RFC 5890 (IDNA by libidn2). */
#ifndef FACTEUR_MAIL_ADDRESS_H
#define FACTEUR_MAIL_ADDRESS_H

#include "facteur/base/buf.h"
#include "facteur/mail/limits.h"

struct address {
    char local[LIMIT_LOCAL_PART + 1]; /* without quotes; case kept */
    char domain[LIMIT_DOMAIN + 1]; /* lower case A-labels, no trailing dot; "[192.0.2.1]" or "[IPv6:…]" for a literal;
                                      empty for bare names */
    bool utf8;                     /* the local part has octets over 127: SMTPUTF8 is needed */
    bool literal;
};

enum address_flags {
    ADDRESS_UTF8 = 1,   /* UTF-8 is allowed (SMTPUTF8 was given, or it is our own file) */
    ADDRESS_BARE = 2,   /* a local part without domain is allowed ("postmaster") */
    ADDRESS_LITERAL = 4 /* an address literal is allowed as domain */
};

/* "local@domain". -EINVAL malformed, -ENAMETOOLONG, -EILSEQ (UTF-8 not allowed here, or malformed). */
int address_parse(struct slice text, unsigned flags, struct address *ret) MUST_USE;

/* Takes "<path>" off the front of *in. "<>" gives an empty local part and domain. Errors as above, *in unchanged. */
int path_parse(struct slice *in, unsigned flags, struct address *ret) MUST_USE;

static inline bool address_is_null(const struct address *a) /* the null reverse-path */
{
    return a->local[0] == '\0' && a->domain[0] == '\0';
}

/* local@domain as it stands in a path, the local part quoted where it must be. -ENOBUFS. */
int address_format(const struct address *a, struct buf *out) MUST_USE;
char *address_str(const struct address *a); /* the same as a new string; mem_free */

/* The form for look-ups: local part folded to lower case (ASCII), "@", domain. Room for 322 octets. */
void address_key(const struct address *a, char to[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3]);

/* Cuts a sub-address ("user+tag" with delimiter "+") off the local part; true if there was one. */
bool address_cut_tag(struct address *a, const char *delimiters);

/* A domain name to lower-case A-labels without trailing dot. -EINVAL, -ENAMETOOLONG, -EILSEQ. */
int domain_parse(struct slice text, char to[LIMIT_DOMAIN + 1]) MUST_USE;

/* EHLO's argument: a domain (also with "_", and a bare host name) or an address literal. -EINVAL. */
int helo_parse(struct slice text, char to[LIMIT_DOMAIN + 1]) MUST_USE;

#endif
