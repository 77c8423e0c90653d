/* What smtp_in.c (connection and dialogue) and smtp_in_auth.c (logins) share. */
#ifndef FACTEUR_SERVICE_SMTP_IN_PRIV_H
#define FACTEUR_SERVICE_SMTP_IN_PRIV_H

#include "facteur/flow/transaction.h"
#include "facteur/io/timer.h"
#include "facteur/service/smtp_in.h"

struct smtp_service {
    struct flow *f;
    struct tls_server *tls;
    struct link sessions;
    uint64_t next_id;
    uint8_t scram_secret[32];
    struct smtp_service_stats stats;
    void (*on_stopped)(void *owner);
    void *owner;
    struct deferred stopped;
    bool stopping;
};

struct smtp_session {
    struct link link; /* of the service's sessions */
    struct smtp_service *service;
    struct stream *stream;
    struct smtp_server *proto; /* NULL: the dialogue is over */
    struct transaction *tx;    /* from MAIL to its end; or NULL */
    struct config *config;     /* a reference */
    struct tls_server *tls;    /* of the same moment: a reference, or NULL */
    const struct conf_listener *listener;
    struct client client;
    struct timer *timer;
    enum smtp_phase phase;
    uint64_t octets_in;     /* of the body, since the last look at the rate */
    struct verdict verdict; /* greeting, or an answer that waits for its delay */
    struct job_scope jobs;
    struct buf proxy; /* a PROXY header that is not complete */
    bool wants_proxy, counted, delayed;
};

enum when smtp_in_ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret);
void smtp_in_scram_keys(void *world, struct slice user, struct sasl_scram_keys *ret);
void smtp_in_answer(struct smtp_session *s, const struct verdict *v); /* to a LATER */

#endif
