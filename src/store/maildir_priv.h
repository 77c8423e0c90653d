/* facteur: store/maildir_priv: mailboxes that are open, shared by delivery, usage and sweep.
 * Purpose:   keeps the directories of recently used mailboxes open and their sizes counted.
 * Owner:     struct maildirs.
 * Thread:    any job; `lock` guards the table and the numbers, never a call that writes mail. It is the only lock of
 *            the store: deliveries into one mailbox run on several pool threads, and a table for each job would open
 *            three directories anew for every message. The loop never waits for it (maildir_usage_known).
 * Limits:    MAILBOXES_OPEN mailboxes hold descriptors (two each), MAILBOXES_KNOWN are remembered; the least recently
 *            used goes first.
 * Standards: none. */
#ifndef FACTEUR_STORE_MAILDIR_PRIV_H
#define FACTEUR_STORE_MAILDIR_PRIV_H

#include "facteur/base/list.h"
#include "facteur/base/map.h"
#include "facteur/store/maildir.h"

#include <pthread.h>

enum {
    MAILBOXES_OPEN = 64,
    MAILBOXES_KNOWN = 1024,
    MAILBOX_FRESH_MS = 5000,    /* directories are looked up again after it: they may have been moved or made anew */
    MAILBOX_EARLIER_MS = 30000, /* how long a list of earlier copies is believed */
    EARLIER_LOOKS = 4           /* for one that its owner's session is renaming meanwhile */
};

struct earlier; /* the earlier copies found in one mailbox */

struct opened {
    struct link link; /* in maildirs.recent, the last used first */
    char *user;
    int tmp, dir_new; /* -1 while closed */
    unsigned users;   /* jobs that hold it: not closed then */
    bool synced;      /* the entries of its directories were made durable by this process */
    bool stale;       /* to be opened again before the next use */
    bool orphan;      /* no longer in the table; freed by the last that releases it */
    int64_t opened_ms;
    bool counted;
    uint64_t octets, messages;
    int64_t counted_ms;
    struct earlier *earlier;
};

struct maildirs {
    int state;
    char host[33];
    pthread_mutex_t lock;
    struct map by_user;
    struct link recent;
    size_t known, open;
    bool bulk_off;     /* the file system does not sync as a whole, or could not be written once */
    bool bulk_running; /* what could not be written is told to one caller only */
};

/* Makes what is missing, opens tmp/ and new/, and holds the mailbox until it is released. */
int opened_acquire(struct maildirs *m, const char *user, struct opened **ret, struct err *e) MUST_USE;
/* Words for the error r; returns r. `what` is "open". */
int opened_refused(const char *user, const char *what, int r, struct err *e);
void opened_release(struct maildirs *m, struct opened **box);
void opened_stale(struct maildirs *m, struct opened *box); /* its directories are not what they were */

/* Adds to (or takes from) the counted size. */
void opened_count(struct maildirs *m, struct opened *box, int messages, uint64_t octets);
/* The same for a mailbox that need not be open; nothing when its size is not counted. */
void opened_adjust(struct maildirs *m, const char *user, int64_t messages, int64_t octets);

/* Counts a mailbox whose size is not known, or that was counted more than max_age_ms ago. */
int opened_measure(struct maildirs *m, struct opened *box, int64_t max_age_ms, struct err *e) MUST_USE;

/* An open directory of the mailbox: "cur". */
int opened_dir(struct maildirs *m, const char *user, const char *name) MUST_USE;

/* An earlier copy of (id, seq) in new/ or cur/: true with its name and place. Reads both directories once, then keeps
 * the list for a while. */
bool earlier_find(struct maildirs *m, struct opened *box, uint64_t id, uint32_t seq, bool *ret_in_cur,
                  char name[MAILDIR_NAME]);
void earlier_free(struct earlier **list);

#endif
