/* facteur: store/maildir: where mail rests.
 * Purpose:   delivers into Maildir++ folders under derived names, finds an earlier copy, makes deliveries durable in
 *            bulk, keeps the size for quotas.
 * Owner:     one struct maildirs per process: <state>/mail. Deliveries are their jobs' own.
 * Thread:    jobs; a mailbox is written by any of them (names never collide).
 * Limits:    names from policy are encoded to file names; opened beneath the held directory, symbolic links refused.
 * Standards: Maildir (tmp, new, cur), Maildir++ (",S=" and ",W=" sizes). Lines end in LF. */
#ifndef FACTEUR_STORE_MAILDIR_H
#define FACTEUR_STORE_MAILDIR_H

#include "facteur/base/buf.h"
#include "facteur/base/list.h"
#include "facteur/base/slice.h"
#include "facteur/store/spool.h"

struct maildirs;

int maildirs_open(const char *state, struct maildirs **ret, struct err *e) MUST_USE;
void maildirs_close(struct maildirs **m);

enum { MAILDIR_NAME = 256, MAILDIR_BULK = 64 /* deliveries that are worth a sync of the file system */ };

struct maildir_delivery {
    const char *user; /* "anna@example.org": mail/example.org/anna/Maildir */
    uint64_t id;      /* the message's */
    uint32_t seq;     /* the recipient's */
    int64_t received_ms;
    struct slice body; /* in memory, or … */
    bool spooled;      /* … spool/<id>, which is hard-linked (copied where links are not possible) */
    /* A successful delivery of the same body, written and not a link itself: its file is hard-linked instead of being
     * written again, and the two are synced in one maildir_sync, the twin first. Or NULL. */
    const struct maildir_delivery *twin;
    uint64_t size, wire_size;
    bool maybe_there; /* at recovery or after an unclear end: look for an earlier copy first */
    uint64_t quota;   /* octets, 0: none: -EDQUOT when the mailbox is full */
    /* results */
    int fd;                  /* open and not yet synced, or -1: a link, which needs no sync of its own */
    char name[MAILDIR_NAME]; /* in new/ */
};

/* Writes tmp/, renames into new/; not durable yet. -EDQUOT over quota; -ENOSPC, -EIO, -EROFS …: try later. Nothing half
 * is ever visible. */
int maildir_deliver(struct maildirs *m, struct spool *s, struct maildir_delivery *d, struct err *e) MUST_USE;

/* Makes deliveries durable: from MAILDIR_BULK on by one sync of the file system where that is right; else all files
 * (write-out is started for all, then each is waited for), then each new/ once. Closes the descriptors. results[i] is 0 or
 * negative for deliveries[i]; a failed one must be delivered again (its file is removed here). */
void maildir_sync(struct maildirs *m, struct maildir_delivery *const *deliveries, size_t count, int *results);

/* Whether MAILDIR_BULK deliveries and more are best given to one maildir_sync, and not to several side by side. */
bool maildir_syncs_at_once(struct maildirs *m);

/* The path of a user's Maildir relative to the state directory ("mail/example.org/anna/Maildir"). -ENAMETOOLONG,
 * -EINVAL. */
int maildir_path(const char *user, struct buf *out) MUST_USE;

/* Octets and messages stored, all folders: cached, brought up to date by deliveries; counts anew from the names when
 * unknown. */
int maildir_usage(struct maildirs *m, const char *user, uint64_t *ret_octets, uint64_t *ret_messages,
                  struct err *e) MUST_USE;

/* The octets alone if they can be said at once, from the loop too: neither the disk nor a job that holds the table is
 * waited for. False: not known, or not now. */
bool maildir_usage_known(struct maildirs *m, const char *user, uint64_t *ret_octets);

/* Makes the directories of a user (at start and with `facteur user add`). */
int maildir_make(struct maildirs *m, const char *user, struct err *e) MUST_USE;

/* Removes tmp/ files older than 36 h in all Maildirs; returns how many. Called at start and daily. */
int maildirs_sweep(struct maildirs *m, struct err *e) MUST_USE;

#endif
