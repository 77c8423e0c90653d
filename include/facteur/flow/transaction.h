/* facteur: flow/transaction: a message on its way in.
 * Purpose:   envelope, verdicts and body from MAIL to the commit; knows nothing of sockets, so every way in makes the
 *            same object and its message goes through the same stages.
 * Owner:     transaction_new's caller, until transaction_free. A commit under way goes on without its owner.
 * Thread:    the loop's.
 * Limits:    those of limits and queue in the snapshot it was made with.
 * Standards: RFC 5321 section 3.3, RFC 6409 section 8 (what submission mends), RFC 3461. */
#ifndef FACTEUR_FLOW_TRANSACTION_H
#define FACTEUR_FLOW_TRANSACTION_H

#include "facteur/base/arena.h"
#include "facteur/base/map.h"
#include "facteur/flow/body_store.h"
#include "facteur/flow/client.h"
#include "facteur/io/loop.h"
#include "facteur/mail/header.h"
#include "facteur/mail/sink.h"
#include "facteur/policy/relay.h"
#include "facteur/proto/smtp_server.h"

struct stage;

struct transaction_events {
    void (*answer)(void *owner, const struct verdict *v); /* to a LATER */
    void (*hold)(void *owner, bool hold);                 /* the body must wait for the disk */
    void (*failed)(void *owner, int code);                /* the body cannot be kept */
};

/* One recipient after expansion. */
struct transaction_recipient {
    struct link link;
    struct policy_target target;
    unsigned notify;
    const char *orcpt; /* in the arena, or NULL */
    const char *asked; /* likewise: the address of the RCPT, where it is another one of ours */
};

struct transaction {
    struct flow *flow;
    struct config *config; /* a reference */
    const struct client *client;
    const struct transaction_events *events;
    void *owner;
    uint64_t id;
    char queue_id[14];
    struct arena arena;
    struct smtp_mail mail;
    const char *sender; /* canonical text, "" for the null reverse-path */
    struct link recipients;
    struct map reached;         /* where each of them goes: nobody gets two copies */
    uint32_t count;             /* of recipients after expansion */
    uint32_t accepted;          /* RCPT commands that were accepted */
    const char *only_recipient; /* as said by the client, while there is one; else NULL: for the "for" clause */
    struct policy_targets now;  /* of the RCPT at hand */
    struct smtp_rcpt rcpt;      /* the RCPT at hand */
    /* the body */
    struct header header;
    size_t header_octets;          /* of flow's body_octets */
    bool header_done, header_utf8; /* it has octets over 127 */
    bool eight_bit;                /* an octet above 127 was seen, anywhere */
    struct body_store *store;
    struct verdict header_verdict; /* a refusal found at the end of the header; told at the end of data */
    uint64_t wire_size;            /* octets with CRLF */
    uint32_t trace_at, header_size;
    /* what runs */
    const struct stage *stage;
    void (*after_stages)(struct transaction *t, struct verdict *v);
    struct job_scope jobs;
    struct deferred rest;
    bool finished;                   /* the commit has ended: there is nothing more to be had from it */
    struct transaction **committing; /* where the commit under way keeps its pointer to this; else NULL */
};

struct transaction *transaction_new(struct flow *f, struct config *config, const struct client *client,
                                    const struct transaction_events *events, void *owner);
void transaction_free(struct transaction **t); /* NULL is fine */

/* Each is answered NOW in *ret, or LATER by events->answer. `m` and `r` are copied. */
enum when transaction_mail(struct transaction *t, const struct smtp_mail *m, struct verdict *ret);
enum when transaction_rcpt(struct transaction *t, const struct smtp_rcpt *r, struct verdict *ret);
enum when transaction_data(struct transaction *t, struct verdict *ret);
struct sink transaction_sink(struct transaction *t);
/* The body is complete: durable, then 250 with the queue id. */
enum when transaction_commit(struct transaction *t, struct verdict *ret);

#endif
