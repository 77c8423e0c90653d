/* facteur: mail/dsn: delivery status notifications.
 * Purpose:   writes the message that tells a sender what became of his mail, for a person and for a program.
 * Owner:     writes into the caller's buf; borrows the rest.
 * Thread:    any.
 * Limits:    100 recipients are listed in the text, all in the machine part; the returned header is at most 64 KiB.
 * Standards: RFC 3464, RFC 3461 section 6, RFC 6522 (multipart/report), RFC 6533 (UTF-8 addresses), RFC 3834
 * (Auto-Submitted). */
#ifndef FACTEUR_MAIL_DSN_H
#define FACTEUR_MAIL_DSN_H

#include "facteur/base/buf.h"

#include <stdint.h>

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_recipient {
    const char *address; /* final */
    const char *orcpt;   /* "rfc822;user@example.org", or NULL */
    enum dsn_action action;
    const char *status;      /* "5.1.1" */
    const char *remote;      /* the next hop: "mx.example.org [192.0.2.1]" or its name; NULL for a local cause */
    const char *reply;       /* the next hop's words or ours; one line */
    bool ours;               /* the reply is ours although a next hop was tried */
    int64_t last_attempt_ms; /* wall */
    int64_t retry_until_ms;  /* wall; only for DSN_DELAYED */
};

struct dsn {
    const char *hostname; /* reporting MTA */
    const char *queue_id; /* of the original */
    const char *to;       /* the original's reverse-path: the notification's recipient */
    const char *envid;    /* or NULL */
    int64_t arrival_ms;   /* wall */
    int64_t now_ms;
    bool return_full;      /* RET=FULL: `original` is the whole message, else its header alone */
    struct slice original; /* LF lines, or CRLF where the message came as BINARYMIME */
    const struct dsn_recipient *recipients;
    size_t count;
    size_t reply_most; /* octets of each reply that are quoted; 0: all */
};

/* The whole message with LF lines, header first, without Return-Path and Received. */
int dsn_write(const struct dsn *d, struct buf *out) MUST_USE;

#endif
