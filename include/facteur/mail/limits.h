/* facteur: mail/limits: the bounds that no configuration moves.
 * Purpose:   one list of protocol constants, each with its reason; limits with a configuration key are in
 *            conf/config.h.
 * Owner:     constants.
 * Thread:    any.
 * Limits:    this is they.
 * Standards: RFC 5321 section 4.5.3.1, RFC 4954 section 4, RFC 3461, RFC 5322 section 2.1.1. */
#ifndef FACTEUR_MAIL_LIMITS_H
#define FACTEUR_MAIL_LIMITS_H

enum {
    LIMIT_LOCAL_PART = 64,           /* octets; RFC 5321 4.5.3.1.1 */
    LIMIT_DOMAIN = 255,              /* octets; RFC 5321 4.5.3.1.2 */
    LIMIT_LABEL = 63,                /* octets; RFC 1035 */
    LIMIT_PATH = 256 + 2048,         /* with a source route, which is read and thrown away */
    LIMIT_COMMAND_LINE = 2048,       /* with CRLF; RFC 5321 asks 512 and extensions add to it */
    LIMIT_SASL_LINE = 12288,         /* with CRLF; RFC 4954 4 */
    LIMIT_REPLY_TEXT = 512,          /* one line of ours with code and CRLF; RFC 5321 4.5.3.1.5 */
    LIMIT_PEER_REPLY = 64 * 1024,    /* all lines of one reply of a next hop */
    LIMIT_ENVID = 100,               /* RFC 3461 4.4, after decoding */
    LIMIT_ORCPT = 500,               /* RFC 3461 4.2 */
    LIMIT_HEADER_FIELD = 100 * 1024, /* one header field with its folds */
    LIMIT_HEADER = 1024 * 1024,      /* the whole header */
    LIMIT_HEADER_FIELDS = 10000,
    LIMIT_HOPS = 100, /* Received fields; RFC 5321 6.3 */
    LIMIT_ALIAS_DEPTH = 10,
    LIMIT_HOSTNAME = 255,
    LIMIT_USERNAME = 320
};

#endif
