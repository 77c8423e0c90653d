/* facteur: io/job: blocking work off the loop.
 * Purpose:   runs a function over data that it owns on a thread of its class, and tells its owner on the loop.
 * Owner:     the job is embedded in its maker's struct and lives until `drop`, which frees it. The scope is embedded in
 *            the owner; an abandoned scope's jobs still run to their end and are dropped, but `done` is not called.
 * Thread:    run: a pool thread; done and drop: the loop's. Nothing is shared, so nothing is locked.
 * Limits:    a ceiling per class, so that one kind of work cannot starve another; a lane runs one job at a time, in
 *            order. Jobs that share their work have one more thread for all of them.
 * Standards: none. */
#ifndef FACTEUR_IO_JOB_H
#define FACTEUR_IO_JOB_H

#include "facteur/base/list.h"
#include "facteur/io/loop.h"

enum job_class {
    JOB_QUEUE,   /* lane: the queue's database */
    JOB_HISTORY, /* lane: history.db */
    JOB_SPOOL,   /* what a client waits for: bodies written to the spool, mailboxes measured at RCPT */
    JOB_DISK,    /* Maildir and spool files, for which nobody waits */
    JOB_SYNC,    /* fsync of delivered files */
    JOB_HASH,    /* password hashes */
    JOB_MAILBOX, /* users' indexes: flow/mailboxes keeps a lane for each user */
    JOB_CLASSES
};

struct job_pool;
struct worker;
struct job_scope {
    struct link jobs;
};

struct job {
    void (*run)(struct job *);               /* pool thread: sees the job and nothing else */
    void (*done)(void *owner, struct job *); /* loop: only if the scope still lives; may be NULL */
    void (*drop)(struct job *);              /* loop: always, last */
    void *owner;
    /* the pool's own */
    struct link in_scope, in_line;
    struct worker *worker;
    enum job_class cls;
    bool abandoned;
};

struct job_pool *job_pool_new(struct loop *loop); /* starts all threads */
void job_pool_free(struct job_pool **pool);       /* only when idle (job_pool_idle), and before the loop */
bool job_pool_idle(const struct job_pool *pool);
unsigned job_pool_waiting(const struct job_pool *pool, enum job_class cls); /* started and not yet done */

void job_scope_init(struct job_scope *scope);
void job_scope_abandon(struct job_scope *scope);

/* Takes the job over; `scope` NULL: nobody can abandon it. done and drop come on a later turn, never from inside. */
void job_start(struct job_pool *pool, enum job_class cls, struct job_scope *scope, struct job *job);

/* From inside `run`, for work in many independent pieces: calls fn(arg) here, and on one more thread at the same time when
 * that is free; returns when all have ended. fn takes one piece after the other by an atomic counter in `arg`. */
void job_share(struct job_pool *pool, void (*fn)(void *), void *arg);

#endif
