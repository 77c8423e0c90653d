/* facteur: flow/remote: the relay: messages to next hops by SMTP.
 * Purpose:   takes work (one message, its recipients for one destination), finds the hosts, keeps the connections,
 *            carries many messages over each, and says for every recipient how it ended.
 * Owner:     remote_new's caller. A work is its maker's and borrowed from remote_start until its `done`.
 * Thread:    the loop's.
 * Limits:    queue.concurrency connections in all, the last eighth of them for destinations that have none;
 *            queue.destination_concurrency to one destination, queue.messages_per_connection over one; REMOTE_RECIPIENTS in one transaction; REMOTE_BLOCK octets of a
 *            spooled body read ahead per connection; deadlines of limits.timeout for every phase.
 * Standards: RFC 5321 (4.5.3.2 deadlines, 4.5.4 sending strategy, 5.1 hosts), RFC 1047 (an unclear end is tried
 *            again), RFC 3207, 4954, 7505.
 *
 * The way of a work: remote_start puts it in the line of its destination (the next hop of its domain: "host:port" of a
 * smarthost or route, or the domain itself for MX). A connection of that destination takes it from the line, sends it
 * and calls done; then it takes the next, or waits a few seconds for one, or quits. A destination opens another
 * connection while work waits and the limits allow it. When all hosts of a destination fail, what waits in its line is
 * deferred with that reason, and so is what comes during the next while (REMOTE_DEAD_MS); other destinations do not
 * notice. */
#ifndef FACTEUR_FLOW_REMOTE_H
#define FACTEUR_FLOW_REMOTE_H

#include "facteur/conf/config.h"
#include "facteur/io/dns.h"
#include "facteur/io/job.h"
#include "facteur/io/loop.h"
#include "facteur/io/tls.h"
#include "facteur/proto/smtp_client.h"
#include "facteur/store/queue.h"
#include "facteur/store/spool.h"

enum {
    REMOTE_RECIPIENTS = 100,    /* RFC 5321 4.5.3.1.8: what every server must take */
    REMOTE_BLOCK = 64 * 1024,   /* octets of a spooled body read by one job; two blocks per connection */
    REMOTE_IDLE_MS = 3000,      /* a connection without work waits so long for more to the same destination */
    REMOTE_DEAD_MS = 60 * 1000, /* a destination that could not be reached is not tried again for so long */
    REMOTE_SHARE = 1000, /* works that may wait for a destination that does not move, when others need the room */
    REMOTE_STUCK_MS = 10 * 1000, /* it does not move when no transaction has ended for so long */
    REMOTE_KEY = 640             /* room for the name of a destination */
};

enum remote_result {
    REMOTE_DEFERRED, /* 4xx, no connection, an unclear end, or a fault of ours: try again later */
    REMOTE_TAKEN,    /* 2xx after the final dot */
    REMOTE_REFUSED   /* 5xx: never */
};

struct remote_recipient {
    const struct queue_recipient *recipient; /* route QUEUE_REMOTE */
    /* Out, valid in done: */
    enum remote_result result;
    bool untried;     /* with REMOTE_DEFERRED: nothing was tried (shutdown, abandoned): count no attempt */
    bool without_dsn; /* with REMOTE_TAKEN: the next hop knows no DSN, so a wish for one ends here (RFC 3461 5.2.2) */
    struct smtp_client_reply reply; /* the next hop's words, or ours with code 4xx or 5xx */
    char host[256]; /* who said so, or was tried: "mx.example.org [192.0.2.1]"; "" when there was nobody to try */
};

struct remote;
struct remote_connection;
struct remote_work {
    struct queue_message *message; /* body loaded, spooled, or NULL: then env.load_body is asked first */
    const char *domain;            /* any of the recipients' domains: remote_key is the same for all of them */
    struct remote_recipient *recipients;
    size_t count;
    void (*done)(void *owner, struct remote_work *work); /* once, on a later turn; the work is the maker's again */
    void *owner;
    /* the relay's own */
    struct link link;
    struct remote *relay;
    int64_t started_ms;
    size_t next;                          /* recipients before it are finished */
    bool crowded;                         /* untried, since too many wait for a destination that does not move */
    bool ended;                           /* all results are there */
    bool loading;                         /* env.load_body has not answered yet */
    int load_status;                      /* what it answered */
    struct remote_connection *connection; /* that carries it now, or NULL */
};

struct remote_env {
    struct loop *loop;
    struct job_pool *jobs;
    struct dns *dns;
    struct spool *spool; /* may be NULL where no message is spooled (tests) */
    /* Brings an inline body into message->body; fn on a later turn, 0 or negative, and always. */
    void (*load_body)(void *ctx, struct queue_message *message, void (*fn)(void *owner, int status), void *owner);
    void *ctx;
};

/* `tls` may be NULL: then no connection uses TLS and one that must is deferred. References are taken. */
struct remote *remote_new(const struct remote_env *env, struct config *config, struct tls_client *tls);
/* For new connections and newly started work; what is under way keeps its snapshot, idle connections are
 * quit. Forgets which destinations were out of reach. */
void remote_set_config(struct remote *r, struct config *config, struct tls_client *tls);
/* Closes everything now; no done is called after it. Before it: remote_shutdown, or no env.load_body may be open. */
void remote_free(struct remote **r);

/* The destination's name for mail to `domain` under the present configuration: recipients with equal keys may go in
 * one work. */
void remote_key(const struct remote *r, const char *domain, char to[REMOTE_KEY]);

/* Puts the work in its destination's line. */
void remote_start(struct remote *r, struct remote_work *work);

/* There is no room for other work: gives back what waits beyond REMOTE_SHARE for destinations that do not move. */
void remote_shed(struct remote *r);

/* Forgets which destinations could not be reached: for "queue flush". */
void remote_revive(struct remote *r);

/* No new transaction begins; what waits is deferred (untried) on the next turn, transactions under way have
 * `deadline_ms` to finish and are then cut off. fn comes once, when nothing is left. */
void remote_shutdown(struct remote *r, int64_t deadline_ms, void (*fn)(void *owner), void *owner);

/* Where message `id` is: "with mx.example.org [192.0.2.1], waiting for the greeting since 40s". False: not here. */
bool remote_whereabouts(const struct remote *r, uint64_t id, char *to, size_t size);

struct remote_dead {
    const char *destination, *host, *reason;
    int64_t again_in_s;
};
/* Tells of each destination that is out of reach. */
void remote_each_dead(const struct remote *r, void (*fn)(void *ctx, const struct remote_dead *dead), void *ctx);

struct remote_stats {
    size_t waiting;     /* works in lines */
    size_t connections; /* open or being opened */
    size_t destinations, dead;
    uint64_t taken, deferred, refused; /* recipients since start */
};
struct remote_stats remote_stats(const struct remote *r);

#endif
