/* facteur: flow/mailboxes (for flow only): what its sources share.
 * Purpose:   accounts with their lanes, and what is done for open mailboxes by the module itself.
 * Owner:     struct mailboxes; an account lives from account_open to the end of its closing job.
 * Thread:    the loop's; `index` belongs to the job that runs in the lane.
 * Limits:    MAILBOXES_LINGER_MS, MAILBOXES_IDLE; one account at a time is worked on in the background.
 * Standards: none.
 *
 * Files:
 *   mailboxes.c            life of accounts, figures, shutdown
 *   mailboxes_lane.c       one job at a time, in order
 *   mailboxes_box.c        open mailboxes: sharing, lingering, going
 *   mailboxes_refresh.c    loading them and looking at their directories
 *   mailboxes_arrive.c     deliveries announced in their own turn; quota warnings
 *   mailboxes_append.c     APPENDs that share a job
 *   mailboxes_names.c      the files' names, behind what was answered
 *   mailboxes_background.c what nobody waits for
 *
 * UIDs and mod-sequences are given by the lane's jobs and, for arrivals, here on the loop. Both agree because arrivals
 * are given theirs only while no job that gives any runs, and their jobs go to the front of the lane. */
#ifndef FACTEUR_FLOW_MAILBOXES_PRIV_H
#define FACTEUR_FLOW_MAILBOXES_PRIV_H

#include "facteur/base/map.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/timer.h"
#include "facteur/io/watch.h"

enum {
    MAILBOXES_POLL_MS = 30 * 1000, /* where directories cannot be watched, and after a failed look */
    MAILBOXES_REST_MS = 10 * 1000, /* a lane with nothing to do gives back memory and descriptors */
    MAILBOXES_LOOKS = 2,           /* looks that follow a change, for what the file system's clock has hidden */
    MAILBOXES_UNFINISHED_MS = 250, /* between looks at a file that is still being written */
    RESERVE_AHEAD = 256,           /* UIDs kept ready for arrivals: as many are skipped after a kill, at most */
    PATH_LENGTH = 4096
};

struct mailboxes {
    struct flow *f;
    char *state;                  /* for jobs, which see no config */
    struct index_options options; /* of accounts opened from now on */
    struct map accounts;          /* by user */
    struct link idle;             /* accounts that nobody uses, the longest idle first */
    unsigned idle_count;
    struct link idle_boxes; /* the same for mailboxes of accounts in use */
    struct link quiet;      /* accounts whose lane has nothing to do and whose index does not rest yet */
    size_t quiet_count;
    size_t quiet_most; /* of them: then the one that is quiet for longest rests */
    int64_t trimmed_ms;
    struct timer *linger;
    struct link background;       /* accounts with work that nobody waits for */
    bool background_running;      /* one of them is at it */
    struct timer *background_due; /* when one that was put off may be worked on */
    struct link names;            /* accounts with files that are due for another name */
    struct timer *names_timer;
    struct map warned; /* by user: struct quota_warned */
    struct deferred stopped;
    void (*on_stopped)(void *owner);
    void *on_stopped_owner;
    bool stopping;
    bool cut_off; /* mailboxes_free without an end of everything: no job starts any more */
    uint64_t arrivals, rebuilt;
};

struct account {
    struct mailboxes *m;
    char *user;
    struct maildirs *maildirs;
    const char *state;
    struct index_options options; /* of the job that runs, and wanted of the next */
    struct index_options wanted;
    struct index *index;   /* the lane's; NULL: the next job opens it */
    unsigned users;        /* account_open, mailboxes in use and jobs */
    struct meter output;   /* of the user's connections: a part of flow's */
    struct link boxes;     /* struct open_mailbox that can be shared */
    struct link idle_link; /* in mailboxes.idle */
    int64_t until_ms;
    struct link background_link;
    int64_t background_ms;  /* since when it is in mailboxes.background, or had its last slice */
    int64_t used_ms;        /* when a job that was no background work ended */
    struct link quiet_link; /* in mailboxes.quiet */
    int64_t rest_ms;
    /* the lane */
    struct job job;
    struct link urgent, line;     /* struct account_job */
    struct link appends;          /* jobs in `line` that take more messages: mailboxes_append.c's own */
    struct account_job *running;  /* NULL while closing too */
    struct account_job *settling; /* its done is being called */
    int64_t written_us;           /* when a job that may give UIDs last ran */
    bool busy, closing, resting;  /* a job runs; it is the one that closes the index, or lays it to rest */
    bool rested;                  /* nothing has run since */
    bool trims;                   /* memory is given back after it: with the last of many */
    int open_code;                /* a result of the job */
    uint64_t names_due;           /* another: index_names_due */
    uint64_t names_before;        /* when the job at hand, or the last one, began: the same */
    /* mailboxes_names.c's own */
    struct account_job naming;
    struct link names_link; /* in mailboxes.names */
    int64_t names_ms;       /* since when they wait for their next slice, or until when */
    int64_t names_again_ms; /* how long it waited after the last failure; 0: it did not fail */
    bool named_last;        /* the last job was such a slice */
};

/* --- mailboxes.c --- */
void account_ref(struct account *a);
void account_unref(struct account *a);  /* the last one: it lingers */
void account_closed(struct account *a); /* the closing job has ended */
void mailboxes_set_linger(struct mailboxes *m);

/* --- mailboxes_lane.c --- */
void lane_start(struct account *a, struct account_job *j, bool urgent);
void lane_close(struct account *a);
void lane_rest(struct account *a); /* nothing runs in it */
void lane_wake(struct account *a); /* takes it out of mailboxes.quiet; fine when it is not there */
void lane_next(struct account *a);
void lane_drop_all(struct account *a); /* what waits is dropped undone */
bool lane_is_free(const struct account *a);
bool lane_writes(const struct account *a); /* a job is running that may give UIDs */

/* --- mailboxes_box.c --- */
struct open_mailbox *box_new(struct account *a, struct slice name);
struct open_mailbox *box_by_name(struct account *a, struct slice name);
struct open_mailbox *box_inbox(struct account *a);                        /* when open */
void boxes_rename(struct account *a, struct slice from, struct slice to); /* and what is below */
void box_free(struct open_mailbox *b);
void box_hold(struct open_mailbox *b);    /* for a job of this module's own */
void box_release(struct open_mailbox *b); /* it may be freed by it */
/* Applies what a job has found and clears it; `b` may be NULL. */
void box_apply(struct open_mailbox *b, struct mailbox_changes *c, struct mailbox_view *origin, bool silent);

/* --- mailboxes_refresh.c --- */

/* Somebody who waits until a mailbox is as its directories are. */
struct mailbox_ask {
    struct link link;
    struct job mark; /* in the scope */
    void (*opened)(void *owner, int code, struct open_mailbox *box, const struct err *e);
    void (*checked)(void *owner); /* one of the two */
    void *owner;
};
void refresh_ask(struct open_mailbox *b, struct mailbox_ask *ask); /* takes it; NULL: nobody waits */
void refresh_whole(struct open_mailbox *b);                        /* the list is read anew and compared */

/* --- mailboxes_arrive.c --- */
void arrive_reserve(struct open_mailbox *b); /* when the UIDs at hand are getting few */
void arrive_forget(struct mailboxes *m);     /* what was warned about */

/* --- mailboxes_names.c --- */
void names_note(struct account *a); /* a job has ended: names_due may be another */
/* The next slice, when it is its turn: `free`: nothing else waits; or NULL. */
struct account_job *names_next(struct account *a, bool free);
void names_set_timer(struct mailboxes *m);

/* --- mailboxes_background.c --- */
enum box_work { WORK_PREPARE = 1, WORK_SEARCH = 2 };
void background_want(struct open_mailbox *b, unsigned work);
void background_offer(struct mailboxes *m);          /* a lane has become free, or some time has passed */
void background_note_recent(struct open_mailbox *b); /* now: nobody uses it any more */

#endif
