/* facteur: mail/trace: the fields that a server adds.
 * Purpose:   Received, Return-Path, Date and Message-ID lines; dates.
 * Owner:     writes into the caller's buf.
 * Thread:    any.
 * Limits:    every part is bounded and free of CR and LF; what a client said is put in with comment quoting.
 * Standards: RFC 5321 section 4.4, RFC 3848 and RFC 8314 section 4.3 (with and tls clauses), RFC 5322 section 3.3, RFC
 * 6531, RFC 8601. */
#ifndef FACTEUR_MAIL_TRACE_H
#define FACTEUR_MAIL_TRACE_H

#include "facteur/base/buf.h"

struct trace {
    const char *helo;     /* as validated; empty: none was said */
    const char *client;   /* the client's address as text; "" for local origins */
    const char *hostname; /* ours */
    const char *with;     /* "ESMTPSA", "UTF8SMTPS" … (RFC 3848, 6531) */
    const char *tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" */
    const char *login;    /* the authenticated account, or ""; shown only as the fact that there was one */
    const char *queue_id;
    const char *recipient; /* the only recipient, or "" with several (blind copies stay blind) */
    int64_t wall_ms;
};

/* Each adds whole lines that end in LF. */
int trace_received(const struct trace *t, struct buf *out) MUST_USE;
int trace_return_path(const char *reverse_path, struct buf *out) MUST_USE; /* "" gives <> */

/* Whether this value of Authentication-Results speaks for the server of that name (RFC 8601 section 2.2). */
bool trace_authenticates_as(struct slice value, const char *hostname);

/* "Sun, 22 Nov 2026 04:23:32 +0000" with the local zone's offset; no line end. */
int date_rfc5322(int64_t wall_ms, struct buf *out) MUST_USE;

#endif
