/* facteur: proto/smtp_syntax: the grammar of SMTP commands and replies.
 * Purpose:   reads MAIL and RCPT with their parameters, BDAT, and a server's reply lines.
 * Owner:     results by value; what they borrow points into the line.
 * Thread:    any.
 * Limits:    LIMIT_COMMAND_LINE; each parameter once.
 * Standards: RFC 5321 sections 4.1.2 and 4.2, 1870 (SIZE), 6152 (8BITMIME), 3030 (BINARYMIME, BDAT), 3461 (DSN), 6531
 * (SMTPUTF8), 4954 (AUTH=). */
#ifndef FACTEUR_PROTO_SMTP_SYNTAX_H
#define FACTEUR_PROTO_SMTP_SYNTAX_H

#include "facteur/mail/address.h"
#include "facteur/mail/limits.h"
#include "facteur/mail/verdict.h"

enum smtp_body_type { SMTP_BODY_7BIT, SMTP_BODY_8BIT, SMTP_BODY_BINARY };
enum smtp_ret { SMTP_RET_UNSET, SMTP_RET_FULL, SMTP_RET_HDRS };

struct smtp_mail {
    struct address reverse_path;
    uint64_t size; /* as said, 0: not said */
    enum smtp_body_type body;
    bool utf8; /* SMTPUTF8 */
    enum smtp_ret ret;
    char envid[LIMIT_ENVID + 1]; /* decoded; "" : none */
};

enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };
struct smtp_rcpt {
    struct address forward_path;
    bool source_route;           /* there was one; it was dropped */
    unsigned notify;             /* enum smtp_notify; 0: not said */
    char orcpt[LIMIT_ORCPT + 1]; /* "rfc822;user@example.org", decoded; "": none */
};

/* What stands behind "MAIL " and "RCPT ". 0, or negative with the reply in *why (501 5.1.7, 501 5.5.4, 555 5.5.4,
 * 553 5.6.7 …). */
int smtp_parse_mail(struct slice arg, uint64_t size_limit, struct smtp_mail *ret, struct verdict *why) MUST_USE;
int smtp_parse_rcpt(struct slice arg, bool utf8, struct smtp_rcpt *ret, struct verdict *why) MUST_USE;

/* "octets [LAST]": -EINVAL not a chunk size, -ERANGE beyond 2^63. */
int smtp_parse_bdat(struct slice arg, uint64_t *ret_octets, bool *ret_last) MUST_USE;

/* One line of a reply without its CRLF: "250-text", "250 text", "250". -EINVAL when it is none (a code outside 200-599
 * too). */
int smtp_parse_reply_line(struct slice line, short *ret_code, bool *ret_last, struct slice *ret_text) MUST_USE;

#endif
