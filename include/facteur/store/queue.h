/* facteur: store/queue: messages in flight, durable.
 * Purpose:   queue.db: envelopes, recipients with their schedule, small bodies. A committed row means a complete
 *            body.
 * Owner:     one struct queue per process, opened at start; used only by jobs of the queue lane (and at start, before
 *            the loop runs). The batches are the jobs' own.
 * Thread:    one at a time (the lane).
 * Limits:    sizes of texts are checked when rows are read, as if they came from the network.
 * Standards: SQLite, WAL mode, synchronous=FULL; schema version in user_version. RFC 3461 for the DSN parameters. */
#ifndef FACTEUR_STORE_QUEUE_H
#define FACTEUR_STORE_QUEUE_H

#include "facteur/base/buf.h"
#include "facteur/base/list.h"

struct queue;

enum queue_route { QUEUE_LOCAL = 1, QUEUE_REMOTE = 2 };
enum queue_notify { NOTIFY_UNSET = 0, NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum queue_flags {
    QUEUE_SMTPUTF8 = 1,
    QUEUE_BINARY = 2 /* the body keeps CRLF: BINARYMIME */,
    QUEUE_8BIT = 4,
    QUEUE_RET_FULL = 8,
    QUEUE_RET_HDRS = 16,
    QUEUE_WARNED = 32, /* of a recipient at least */
    QUEUE_HELD = 64,
    QUEUE_UNCLEAN = 256, /* times 0 to 3: how often the process crashed while the message was being delivered */
    QUEUE_UNCLEAN_MASK = 768,
};

/* The due time of a message that is held: never by itself. Times behind it are nobody's. */
#define QUEUE_HELD_DUE (INT64_MAX / 2)

struct queue_recipient {
    uint32_t seq; /* from 0 within the message */
    enum queue_route route;
    char *address;   /* final recipient */
    char *mailbox;   /* QUEUE_LOCAL: the user's name ("anna@example.org"). QUEUE_REMOTE: the address that was asked for,
                        where an alias leads to this one: what is relayed gets it as Delivered-To; else NULL */
    char *domain;    /* QUEUE_REMOTE: the address's domain, the scheduler's key; else NULL */
    char *orcpt;     /* RFC 3461, as "rfc822;…", or NULL */
    unsigned notify; /* enum queue_notify */
    int64_t
        due_ms; /* wall: next attempt. 0 in QUEUE_ADD: the caller delivers it at once from memory; it is then offered
                   by queue_load only after a restart (and costs no index entry), or when QUEUE_RETRY dated it */
    uint32_t attempts;
    char *last_reply; /* of the last failed attempt, or NULL */
    bool warned;      /* the sender was told that it takes its time */
};

struct queue_message {
    uint64_t id;         /* time-ordered, never used again; base32_u64 of it is the queue id */
    int64_t received_ms; /* wall */
    char *sender;        /* reverse-path; "" is the null one */
    char *envid;         /* or NULL */
    char *login;         /* or NULL */
    char *client;        /* address as text, or "local" */
    unsigned flags;
    uint64_t size;        /* octets of the stored text with LF lines */
    uint64_t wire_size;   /* octets with CRLF, for SIZE= and ",W=" */
    uint32_t trace_at;    /* offset behind the Return-Path line: what is relayed starts here */
    uint32_t header_size; /* octets of Return-Path, trace and header, for a bounce that returns them */
    bool spooled;         /* the body is spool/<queue id>, else in `body` */
    char *body;           /* size octets while it is in memory (inline), or NULL */
    struct queue_recipient *recipients;
    uint32_t count;
};
void queue_message_free(struct queue_message **m); /* with texts, body and recipients; NULL is fine */
void queue_message_forget_body(struct queue_message *m);
/* The text in memory (at most conf's queue.inline_limit, so it fits a size_t of 32 bits); empty when there is none. */
struct slice queue_message_body(const struct queue_message *m);

/* One change. A batch is a list of them, applied in one transaction in the list's order. */
enum queue_op_kind {
    QUEUE_ADD,  /* message (borrowed until applied) with all its recipients */
    QUEUE_DONE, /* recipient (id, seq) is finished: its row goes, and the message's with the last one */
    QUEUE_RETRY, /* recipient (id, seq): attempts, due_ms and text (the last reply) are written, and warned if it is set */
    QUEUE_ATTEMPT, /* recipient (id, seq): attempts is written before the attempt (a poison message is seen) */
    QUEUE_FLAGS,   /* message id: flags are written */
    QUEUE_DUE,     /* message id (0: all that are not held): all recipients become due at due_ms (flush) */
    QUEUE_NEAR     /* all recipients that are due later than within_ms (and its jitter) after due_ms and are not held
                      become due at some time within it */
};
struct queue_op {
    struct link link;
    enum queue_op_kind kind;
    const struct queue_message *message;
    uint64_t id;
    uint32_t seq;
    uint32_t attempts;
    int64_t due_ms, within_ms;
    unsigned flags;
    bool warned;
    char *text;        /* owned by the op's maker */
    bool message_gone; /* out, QUEUE_DONE: it was the last recipient; a spool file may go now */
    uint64_t changed;  /* out, QUEUE_NEAR: rows */
};

/* Opens or makes <state>/queue.db; upgrades an older schema in one transaction. -EPROTO newer schema, -EBADMSG damaged,
 * -EBUSY another process has it (a lock file in the state directory); the text says what to do. */
int queue_open(const char *state, struct queue **ret, struct err *e) MUST_USE;
void queue_close(struct queue **q);

/* All of the list durable (one WAL sync), or none of it. -ENOSPC, -EIO, -EBUSY …; -ESTALE: the files were removed under
 * us (then it may have happened in them). */
int queue_apply(struct queue *q, struct link *ops, struct err *e) MUST_USE;

/* Messages with recipients due at or before due_ms, in order of due time (first what a former process left undone),
 * without their inline bodies and with only those recipients, `max` messages at most. *ret_next_due: the earliest due
 * time beyond what was returned (at most due_ms when there were more than max), or INT64_MAX. There is no cursor: what
 * is being delivered and still has its old due time is offered again, so the caller knows its active messages by id and
 * asks for as many as these and the free places together. A row with impossible values is left out and named in e, with
 * 0 returned. The caller frees each message and the array. */
int queue_load(struct queue *q, int64_t due_ms, size_t max, struct queue_message ***ret, size_t *ret_count,
               int64_t *ret_next_due, struct err *e) MUST_USE;

/* One message whole with all its recipients, with or without its inline body. -ENOENT. */
int queue_get(struct queue *q, uint64_t id, bool with_body, struct queue_message **ret, struct err *e) MUST_USE;

/* Removes a message without a word to anybody. -ENOENT. */
int queue_delete(struct queue *q, uint64_t id, struct err *e) MUST_USE;

/* Walks all messages in the order of ids, `max` a call, for the queue command; start with after = 0. What cannot be read
 * is left out and counted in gaps; without gaps, a page that cannot be read is -EBADMSG. */
struct queue_gaps {
    size_t rows;   /* that were looked at, those that cannot be read among them */
    size_t unread; /* messages that cannot be read */
    uint64_t last; /* the last that was looked at: where to go on */
    bool cut;      /* a damaged page hides what comes behind it */
};
int queue_list(struct queue *q, uint64_t after, size_t max, struct queue_message ***ret, size_t *ret_count,
               struct queue_gaps *gaps, struct err *e) MUST_USE;

struct queue_counts {
    uint64_t messages, recipients, octets;
};
int queue_count(struct queue *q, struct queue_counts *ret, struct err *e) MUST_USE;

/* Copies the WAL back into the database when it is longer than `wal_octets`, and otherwise does nothing. */
int queue_checkpoint(struct queue *q, uint64_t wal_octets, struct err *e) MUST_USE;

/* A new id: time in the upper bits, a counter below; greater than every id before it in this process and on the disk.
 */
uint64_t queue_new_id(struct queue *q); /* may be called on the loop's thread */

#endif
