/* facteur: flow/flow: what the parts of a message's way share.
 * Purpose:   one place for the stores, the pool and the configuration in force.
 * Owner:     flow_init's caller (app) opens the stores and closes them after flow_clear; the parts below are flow's
 *            own.
 * Thread:    the loop's.
 * Limits:    bodies in memory: queue.inline_budget; messages worked on at once: FLOW_ACTIVE.
 * Standards: RFC 5321.
 *
 * The way of a message: transaction (envelope and body, its stages) → commit (durable, many at a time) → schedule →
 * local (Maildir) or remote (next hop) → commit again (its row goes, or its retry is noted) → bounce when it cannot be. */
#ifndef FACTEUR_FLOW_FLOW_H
#define FACTEUR_FLOW_FLOW_H

#include "facteur/base/list.h"
#include "facteur/base/meter.h"
#include "facteur/conf/config.h"
#include "facteur/io/dns.h"
#include "facteur/io/job.h"
#include "facteur/io/tls.h"
#include "facteur/policy/counters.h"
#include "facteur/store/history.h"
#include "facteur/store/maildir.h"
#include "facteur/store/password_cache.h"
#include "facteur/store/queue.h"
#include "facteur/store/spool.h"

/* Messages worked on at once; more wait in queue.db alone. Those with a local recipient have room when the others, which
 * may wait long for a next hop, have taken theirs. */
enum { FLOW_ACTIVE = 4000, FLOW_ACTIVE_LOCAL = 8000 };

struct flow_stats {
    uint64_t received, received_octets, delivered, relayed, deferred, bounced, refused;
    uint64_t commits, commit_batches, synced;
};

struct flow {
    /* given */
    struct loop *loop;
    struct job_pool *pool;
    struct queue *queue;
    struct spool *spool;
    struct maildirs *maildirs;
    struct history *history; /* NULL: none is kept */
    struct dns *dns;
    struct counters *counters;
    bool after_crash;       /* the former process ended by a fault of its own: its messages are suspects */
    struct tls_client *tls; /* for next hops: a reference, flow's own from flow_start on; or NULL */
    /* kept */
    struct config *config; /* the newest snapshot; a transaction holds its own */
    struct commit *commit;
    struct chronicle *chronicle;
    struct schedule *schedule;
    struct suspects *suspects;
    struct clock_watch *clock_watch;
    struct local *local;
    struct remote *remote;
    struct space *space;
    struct link unrecorded; /* active messages of which some recipients have ended in this turn */
    /* Told of deliveries; NULL: nobody reads mail here. Its maker (app) sets it after flow_start, calls mailboxes_stop
     * when the sessions have ended, and frees it when flow is quiet. */
    struct mailboxes *mailboxes;
    uint64_t first_id;                /* of this process: older messages may have been delivered already */
    uint64_t body_octets;             /* bodies in memory now */
    struct meter output;              /* what connections hold for clients that have not taken it yet */
    struct peers *services;           /* service/peer's own: the connections of all protocols */
    uint8_t scram_secret[32];         /* what the salts of unknown users are made of */
    struct password_cache *passwords; /* logins of all protocols that were right */
    struct flow_stats stats;
    /* stopping */
    void (*on_quiet)(void *owner);
    void *on_quiet_owner;
    bool remote_done;
};

/* Builds the parts on what was given; `config` is referenced. */
void flow_start(struct flow *f, struct config *config);
/* A new snapshot: new transactions and new connections use it. */
void flow_configure(struct flow *f, struct config *config, struct tls_client *tls);
/* No new work; deliveries under way end, what was delivered is made durable. `done` is called when all is quiet. */
void flow_stop(struct flow *f, void (*done)(void *owner), void *owner);
void flow_clear(struct flow *f); /* after flow_stop's done and with an idle pool */
/* To be called once at the end of each turn of the loop: starts what gathered during it. */
void flow_turn(struct flow *f);

#endif
