/* facteur: flow/mailboxes: the mailboxes that are in use.
 * Purpose:   one index per user and one list of messages per mailbox, shared by all sessions, by deliveries and by what
 *            other programs do to the files. Work on an index is a job in its user's lane: one at a time, in order.
 * Owner:     one struct mailboxes per flow; accounts and open mailboxes are counted by who uses them, and kept for a
 *            while after the last (MAILBOXES_LINGER_MS), because the next login is near.
 * Thread:    the loop's; what runs in jobs is in store/index.
 * Limits:    accounts kept idle: MAILBOXES_IDLE; the rest by limits.connections.
 * Standards: RFC 9051, 2177 (news reach a session in the turn in which they happen).
 *
 * One STORE: the session starts an account_job whose `run` calls index_store and leaves what changed in `changes`; when
 * it has run, this module applies the changes to the open mailbox (also when the session has gone meanwhile), every
 * view is told, and then the session's `done` is called. One delivery: flow/local calls mailboxes_delivered; if the
 * user's INBOX is open, the message gets its UID at once, all views are told in this turn, and a job moves the file.
 * APPENDs of several sessions to one folder that wait for the lane become one job (mailbox_append). */
#ifndef FACTEUR_FLOW_MAILBOXES_H
#define FACTEUR_FLOW_MAILBOXES_H

#include "facteur/flow/flow.h"
#include "facteur/store/index.h"

enum {
    MAILBOXES_LINGER_MS = 60 * 1000,
    MAILBOXES_IDLE = 64,
    MAILBOXES_PAUSE_MS =
        25, /* background work begins after it: who says one thing after the other finds a free lane … */
    MAILBOXES_LATE_MS = 1000, /* … unless it has been put off for so long */
};

struct mailboxes;
struct account;
struct open_mailbox;

struct mailboxes *mailboxes_new(struct flow *f,
                                int (*prepare)(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret));
void mailboxes_configure(struct mailboxes *m, const struct config *config); /* limits for accounts opened from now on */
/* Closes what is idle at once; `done` when no account is open any more. */
void mailboxes_stop(struct mailboxes *m, void (*done)(void *owner), void *owner);
void mailboxes_free(struct mailboxes **m);

struct mailboxes_stats {
    unsigned accounts, mailboxes, views;
    uint64_t arrivals, rebuilt;
};
struct mailboxes_stats mailboxes_stats(const struct mailboxes *m);

/* A message was written to new/<name> of the user's Maildir (flow/local, on the loop). `began_us` (clock_mono_us): before
 * that it was not there, so that a look into the directory that ended earlier cannot have found it; 0 when it may have
 * been there long. */
void mailboxes_delivered(struct mailboxes *m, const char *user, const char *name, uint64_t wire_size,
                         int64_t received_ms, int64_t began_us);
/* So much is stored after a delivery: a warning in the log at QUOTA_WARN_… per cent, once an hour and level. */
enum { QUOTA_WARN_FIRST = 80, QUOTA_WARN_SECOND = 95, QUOTA_WARN_MS = 60 * 60 * 1000 };
void mailboxes_filled(struct mailboxes *m, const char *user, uint64_t octets, uint64_t quota);

/* The user's index, opened by its first job. Counted. */
struct account *account_open(struct mailboxes *m, const char *user, uint64_t quota);
void account_close(struct account **a);
const char *account_user(const struct account *a);
/* What the user's connections hold of output; its streams and sessions count themselves. */
struct meter *account_output(struct account *a);

/* False: so many octets more are above the quota, by what is known without a look at the disk. The job that stores them
 * has the last word. */
bool account_has_room(const struct account *a, uint64_t octets);

/* Work in the account's lane. Embedded in its maker's struct (zeroed before the first start), which lives until `drop`.
 * When the scope is abandoned, what changes something still runs to its end; what only reads ends after its slice. */
struct account_job {
    /* given */
    int (*run)(struct account_job *, struct index *); /* pool thread; its result is in `code`; MORE: `run` is called
                                                       * again after other work of the lane, unless `done` says no */
    void (*done)(void *owner, struct account_job *);  /* loop; only if the scope still lives; may be NULL. After MORE it
                                                       * is called too, and the job starts itself again by account_start
                                                       * (from inside done), is held, or ends */
    void (*drop)(struct account_job *);               /* loop; always, last; not when done has started it again */
    void *owner;
    struct open_mailbox *box;    /* whose changes these are; or NULL. Held while the job lives */
    struct mailbox_view *origin; /* the view that asked; or NULL */
    bool silent;                 /* .SILENT */
    bool for_owner;              /* what it does is of no use when its owner has gone: it does not go on to its end */
    bool reads_only;             /* gives no UIDs and no mod-sequences (FETCH, SEARCH): deliveries need not wait for its
                                  * end to be announced */
    size_t room;                 /* octets of output that the next run may make */
    /* results of run */
    struct mailbox_changes changes; /* for box; applied, then cleared, before done */
    uint32_t folder2;               /* of a COPY or APPEND: the folder that changes2 are for, 0 for none; they are
                                      * applied to its mailbox when that is open (in this turn of the loop) */
    struct mailbox_changes changes2;
    struct slice renamed,
        renamed_to; /* of a RENAME: what is open under the old name, or below it, has the new one; both
                                       * live as long as the job */
    int code;
    struct err err;
    /* its own */
    void (*begin)(struct account_job *); /* loop; just before each run; of flow/mailboxes' own jobs */
    struct job mark;                     /* in the scope */
    struct link in_lane;
    struct account *account;
    bool begun, started_again, held, rebuilt;
    struct err left_out; /* a file that may not be read; code 0: none */
};
void account_start(struct account *a, struct job_scope *scope, struct account_job *j);
/* From `done` after MORE: the job waits (for output to drain); account_start goes on with it, account_drop ends it. */
void account_hold(struct account_job *j);
void account_drop(struct account_job *j);

/* Messages for one folder, all or none, durable when `done` says so (group commit): those that wait for the same folder
 * share a job, and with it one round to the disk and one commit. Embedded in its maker's struct, which lives until `drop`
 * and is written to the end when the scope is abandoned. */
struct mailbox_append {
    /* given */
    struct slice name;          /* of the folder */
    struct index_append *items; /* each with its UID then */
    size_t count;
    void (*done)(void *owner, struct mailbox_append *); /* loop; only if the scope still lives */
    void (*drop)(struct mailbox_append *);              /* loop; always, last */
    void *owner;
    /* results */
    struct index_folder folder; /* id 0: there is no such folder (-ENOENT) */
    int code;                   /* as index_append */
    struct err err;
    /* its own */
    struct link link;
    struct job mark; /* in the scope */
};
void mailbox_append(struct account *a, struct job_scope *scope, struct mailbox_append *m);

/* A mailbox with its list in memory. `id` etc. are as index_folder gave them. */
struct mailbox_refresh;
struct open_mailbox {
    struct mailbox m;
    struct account *account;
    char *name;
    struct index_folder folder;
    bool locked; /* by a POP3 session (RFC 1939 section 4), which sets and unsets it */
    bool gone;   /* deleted or renamed: nothing changes any more */
    /* its own */
    struct link link;
    unsigned users; /* references */
    unsigned jobs;  /* jobs of flow/mailboxes itself */
    struct link lingering;
    int64_t until_ms;                /* when it lingers */
    struct mailbox_refresh *refresh; /* queued or running; or NULL */
    struct link asks;                /* for the refresh after this one */
    struct watch *watch;
    struct timer *timer;   /* for the next look */
    unsigned looks;        /* how many have followed the last change */
    uint32_t reserved;     /* UIDs below may be given away */
    uint32_t recent_noted; /* first_recent as the index has it */
    unsigned work;         /* of enum box_work: what is to be done in the background */
    bool loaded, take_new, again, whole, reserving;
    bool unreadable; /* the last look failed, and that has been said */
};

/* Opens (index_folder, index_sync with take_new unless read_only, index_load), or shares after a look at the
 * directories; `done` on a later turn with a counted mailbox, or code < 0 (-ENOENT …) and a reason. */
void mailbox_open(struct account *a, struct slice name, bool read_only, struct job_scope *scope,
                  void (*done)(void *owner, int code, struct open_mailbox *box, const struct err *e), void *owner);
/* If it is open: borrowed; or NULL. What is open is asked for its list in memory (STATUS), not the index. */
struct open_mailbox *mailbox_opened(struct account *a, uint32_t folder);
struct open_mailbox *mailbox_ref(struct open_mailbox *b);
void mailbox_unref(struct open_mailbox **b);
/* NOOP, CHECK, POP3: looks at the directories now; `done` (may be NULL) when what was found has been applied. */
void mailbox_check(struct open_mailbox *b, struct job_scope *scope, void (*done)(void *owner), void *owner);
/* The folder was deleted or renamed: its views are told that the mailbox has gone (view->mailbox stays readable). */
void mailbox_mark_gone(struct open_mailbox *b);

#endif
