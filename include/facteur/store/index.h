/* facteur: store/index: one user's mail as IMAP and POP3 see it.
 * Purpose:   folders, UIDs, flags and prepared answers of one user. The Maildir is the truth: a UID stands in each file
 *            name (",U="), flags and the first 26 keywords behind ":2,"; index.db is a cache of it that may be deleted
 *            at any time and is made again with the same UIDs. Other programs may add, rename and remove files. New
 *            UIDs and flags stand in index.db first; index_names writes them into the names a moment later.
 * Owner:     one struct index per user in use; opened and used by jobs of that user's lane only (flow/mailboxes).
 * Thread:    one job at a time.
 * Limits:    struct index_options; names of folders as index_name_check says; file names are hostile.
 * Standards: RFC 9051 sections 2.3.1.1 (UIDs) and 5.1; RFC 7162; RFC 8474 (OBJECTID); Maildir++ (folders, quota);
 *            Dovecot's dovecot-uidlist (adopted once), dovecot-keywords and subscriptions (kept).
 *
 * Beside the Maildir's cur, new and tmp each folder has "facteur-uidvalidity": UIDVALIDITY, the first UID that no
 * client has seen (reserved in blocks: after a kill some are skipped, none is given twice) and the MAILBOXID.
 * Calls that take time work in slices: they return MORE when they have used about INDEX_SLICE_MS and want to be called
 * again. All calls: 0 (or DONE, MORE) or negative with a reason; a damaged index.db is put aside and rebuilt by the call
 * that meets it, and `index_was_rebuilt` says so once. */
#ifndef FACTEUR_STORE_INDEX_H
#define FACTEUR_STORE_INDEX_H

#include "facteur/base/arena.h"
#include "facteur/mail/mime.h"
#include "facteur/store/mailbox.h"
#include "facteur/store/maildir.h"

enum { INDEX_SLICE_MS = 20, INDEX_NAME = 1024 /* octets of a folder's name */ };

struct index;

/* Texts made once for each message, by the hook below; stored as they are. */
struct index_prepared {
    struct slice envelope;  /* "(…)" as FETCH ENVELOPE says it */
    struct slice structure; /* as FETCH BODYSTRUCTURE says it */
    struct slice body;      /* as FETCH BODY says it; empty: made anew when asked for */
    struct slice preview;   /* UTF-8 */
    /* For SORT and THREAD: folded UTF-8, without encoded words. */
    struct slice from, to, cc, subject; /* first addresses' mailboxes; base subject */
    struct slice display_from, display_to;
    struct slice message_id, references; /* references: message ids divided by spaces, oldest first */
    int64_t sent_ms;                     /* the Date field; INTERNALDATE when there is none */
    bool reply;                          /* the subject was a reply or forward */
    char email_id[36];                   /* EMAILID: equal for equal octets */
    struct mime_limits limits;           /* given to the hook */
    bool hasty;   /* given to the hook: only `envelope` is asked for now, and a client waits for it */
    bool partial; /* set by the hook then: the rest has not been made; it is when it is asked for, or by and by */
};

struct index_options {
    unsigned keywords;       /* a folder; at most KEYWORDS_MAX */
    unsigned folders;        /* a user */
    uint32_t uid_block;      /* UIDs reserved at a time */
    uint64_t quota;          /* octets; 0: none: -EDQUOT */
    bool search;             /* keep the full-text index */
    uint64_t search_max;     /* octets of text indexed a message */
    struct mime_limits mime; /* for the hook */
    /* Makes the prepared texts (slices live in `a`): from a message's stored octets in `fd`, its size there. */
    int (*prepare)(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret);
    /* Calls fn(arg) on two threads if it can, and returns when all have ended: job_share. NULL: one thread does all. */
    void (*share)(void *share_arg, void (*fn)(void *), void *arg);
    void *share_arg;
};

int index_open(struct maildirs *m, const char *state, const char *user, const struct index_options *o,
               struct index **ret, struct err *e) MUST_USE;
/* From now on quota and the limits of keywords, folders and MIME parts are those of `o`; the rest is as it was opened with. */
void index_set_limits(struct index *x, const struct index_options *o);
void index_close(struct index **x); /* notes exact UIDNEXTs, so that none are skipped */
/* Nobody will ask for a while: gives back memory and descriptors (the database is closed); the next call takes them
 * again, in less than a millisecond. Nothing while a sync is between two slices. */
void index_rest(struct index *x);
bool index_was_rebuilt(struct index *x); /* true once after it happened: for the log */
/* True once after files were met that may not be read: they are left out, and *ret names one. They are looked at again when
 * something else in their folder changes. */
bool index_left_out(struct index *x, struct err *ret);

/* --- folders (src/store/folders.c) --- */

enum index_special {
    SPECIAL_NONE,
    SPECIAL_ALL,
    SPECIAL_ARCHIVE,
    SPECIAL_DRAFTS,
    SPECIAL_FLAGGED,
    SPECIAL_JUNK,
    SPECIAL_SENT,
    SPECIAL_TRASH
};

struct index_folder {
    uint32_t id; /* in index.db: for the calls below, while this process runs */
    uint32_t uidvalidity, uidnext, first_recent;
    uint64_t modseq;
    char mailbox_id[32];
    enum index_special special;
};

/* Names are UTF-8 with "/" between levels; INBOX in any case is INBOX. -ENOENT; -EINVAL for a name that may not be. */
int index_folder(struct index *x, struct slice name, struct index_folder *ret, struct err *e) MUST_USE;
/* The absolute path of its directory, which has cur and new. -ENOENT: no such id. */
int index_folder_path(struct index *x, uint32_t folder, struct buf *out) MUST_USE;
/* Whether a name may be created: UTF-8, no empty level, no "." or "..", no control character, not "/" at either end, 16
 * levels, 255 octets on the disk (all levels together: Maildir++ makes one directory of them). The reason in e. */
int index_name_check(struct slice name, struct err *e) MUST_USE;
/* -EEXIST; -EDQUOT: there are options.folders; -ENOTSUP: \All and \Flagged, which no folder can be. Without a special
 * use it gets that of its name ("Sent") when no other folder has it. */
int index_create(struct index *x, struct slice name, enum index_special special, struct err *e) MUST_USE;
/* -ENOENT, -EPERM: INBOX. With children its name stays as \NonExistent. The files go later (search_fill, index_list). */
int index_delete(struct index *x, struct slice name, struct err *e) MUST_USE;
/* With its children, all or none. INBOX: its messages move to a new folder. Subscriptions stay. -EEXIST, -ENOENT,
 * -EINVAL: below itself, or a child's new name is too long. */
int index_rename(struct index *x, struct slice from, struct slice to, struct err *e) MUST_USE;
/* The folder need not be there. -EINVAL; -EDQUOT: twice as many as there may be folders. */
int index_subscribe(struct index *x, struct slice name, bool on, struct err *e) MUST_USE;

struct index_entry {
    struct slice name;
    bool exists; /* false: only its children, its subscription, or one below it */
    bool subscribed, has_children;
    enum index_special special;
    uint32_t folder; /* id; 0 when it does not exist */
    char mailbox_id[32];
};
/* All names, sorted, parents before children; those that are only subscribed too. Borrowed for the call. */
int index_list(struct index *x, void (*fn)(void *to, const struct index_entry *entry), void *to,
               struct err *e) MUST_USE;

struct index_status {
    uint32_t messages, recent, unseen, deleted, uidnext, uidvalidity;
    uint64_t size, deleted_size, modseq;
    char mailbox_id[32];
};
int index_status(struct index *x, uint32_t folder, struct index_status *ret, struct err *e) MUST_USE; /* syncs: MORE */

/* --- messages (src/store/index*.c) --- */

int index_load(struct index *x, uint32_t folder, struct mailbox_changes *ret, struct err *e) MUST_USE;
/* Looks what other programs (and deliveries) did to the directories: nothing to do costs two stat calls. Gives UIDs to
 * what has none; what is in new/ is to go to cur/ when `take_new`. MORE: again. */
int index_sync(struct index *x, uint32_t folder, bool take_new, struct mailbox_changes *ret, struct err *e) MUST_USE;
/* From now on `first_recent` messages are somebody's: written when a session has taken the recent ones. */
int index_set_recent(struct index *x, uint32_t folder, uint32_t first_recent, struct err *e) MUST_USE;
/* Makes UIDs up to *ret (not included) safe to give away: at least `ahead` beyond UIDNEXT. Durable. */
int index_reserve(struct index *x, uint32_t folder, uint32_t ahead, uint32_t *ret, struct err *e) MUST_USE;
/* Deliveries that mailbox_arrive has announced: new/<name> gets its row. In one transaction: negative when it has failed,
 * and then in each `code` too. Otherwise a code is 0; -ENOENT: it is not in new/ any more, or a sync has given it another
 * UID; -EEXIST: the UID is taken. */
struct index_arrival {
    struct mailbox_message message;
    char name[MAILDIR_NAME];
    int code; /* result */
};
int index_arrived(struct index *x, uint32_t folder, struct index_arrival *items, size_t count, struct err *e) MUST_USE;
/* Renames files whose rows say more than their names, in any folder: to be called when nobody waits. A short slice (5
 * ms): MORE. Negative: what is left stays due and is tried by the next call. index_close and index_rest do it too. */
int index_names(struct index *x, struct err *e) MUST_USE;
/* How many may be due: an upper bound. */
uint64_t index_names_due(const struct index *x);
/* Fills what is not prepared yet (newest first), for at most a slice. DONE: all is prepared. */
int index_prepare_some(struct index *x, uint32_t folder, struct err *e) MUST_USE;

enum index_fields {
    INDEX_ENVELOPE = 1,
    INDEX_STRUCTURE = 2,
    INDEX_BODY = 4,
    INDEX_PREVIEW = 8,
    INDEX_SORT = 16,
    INDEX_IDS = 32,
    INDEX_SAVED = 64,
    INDEX_NAME_KEY = 128
};
/* One message's row: `message` may be NULL when only prepared texts were asked for; saved_ms is SAVEDATE. */
struct index_row {
    uint32_t uid;
    const struct index_prepared *prepared;
    int64_t saved_ms;
};
/* Reads the rows of `uids` from *from on in ascending order, preparing those that are not; fn returns nonzero to stop
 * (after that one). MORE after a slice or a stop, with *from the UID to go on with; DONE. Messages that are gone are
 * left out. */
int index_read(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from, unsigned fields,
               int (*fn)(void *to, const struct index_row *row), void *to, struct err *e) MUST_USE;

/* The message's file, open for reading; its stored size. -ENOENT when it has gone (the next sync will say so). */
int index_message(struct index *x, uint32_t folder, uint32_t uid, int *ret_fd, uint64_t *ret_size,
                  struct err *e) MUST_USE;

enum index_how { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
struct index_store {
    enum index_how how;
    uint8_t flags;
    uint64_t keywords;
    bool conditional; /* only where modseq <= since (RFC 7162 UNCHANGEDSINCE) */
    uint64_t since;
};
/* Notes flags (their letters follow: index_names); one modseq for all. Messages whose flags stay get no new modseq.
 * `modified` gets the UIDs that the condition kept out; `silent_modseq` the modseq given, 0 for none. In slices: *from as
 * in index_read, starts at 0. What others did and nobody has been told yet comes in a slice of its own, which leaves *from
 * as it was. */
int index_store(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from,
                const struct index_store *op, struct mailbox_changes *ret, struct ranges *modified,
                struct err *e) MUST_USE;
/* Whether the folder has room for those of these keywords that it does not know: 0 or -EXFULL. */
int index_keywords_fit(struct index *x, uint32_t folder, const struct slice *names, size_t count,
                       struct err *e) MUST_USE;
/* The bit of a keyword, made when `create`: -ENOENT, -EXFULL when the folder has as many as it may. */
int index_keyword(struct index *x, uint32_t folder, struct slice name, bool create, unsigned *ret,
                  struct mailbox_changes *changes, struct err *e) MUST_USE;
/* Removes the files of those among `uids` that have \Deleted (all of them when `any`). In slices, as above. */
int index_expunge(struct index *x, uint32_t folder, const struct ranges *uids, uint32_t *from, bool any,
                  struct mailbox_changes *ret, struct err *e) MUST_USE;

struct index_append {
    struct slice body; /* stored form: LF lines; or, when spooled, spool/<spool_id>, which is linked */
    bool spooled;
    uint64_t spool_id;
    uint64_t size, wire_size;
    uint8_t flags;
    struct slice *keywords; /* names; made as needed */
    size_t keyword_count;
    int64_t internal_ms;
    uint32_t uid; /* result */
};
/* All or none, durable when it returns: files and directory are synced, UIDs reserved. -EDQUOT, -ENOSPC … */
int index_append(struct index *x, struct spool *s, uint32_t folder, struct index_append *items, size_t count,
                 struct mailbox_changes *ret, struct err *e) MUST_USE;
/* Links the files of `uids` into another folder, durable when it returns DONE; `from_uids` and `to_uids` get the pairs
 * in order. With `move` the originals go after that (changes in `gone_from`). All or none for a copy, in one call; MORE:
 * a folder had to be looked at first, nothing was copied yet. Into the same folder: all changes are in `added_to`. */
int index_copy(struct index *x, uint32_t from, const struct ranges *uids, uint32_t to, bool move,
               struct mailbox_changes *gone_from, struct mailbox_changes *added_to, struct ranges *from_uids,
               struct ranges *to_uids, struct err *e) MUST_USE;
/* UIDs expunged after `since` (for VANISHED (EARLIER)); when that is no longer known, all UIDs below UIDNEXT that do not
 * exist. */
int index_vanished(struct index *x, uint32_t folder, uint64_t since, struct ranges *ret, struct err *e) MUST_USE;

/* The POP3 unique-id that Dovecot gave (dovecot-uidlist), or -ENOENT. */
int index_uidl(struct index *x, uint32_t folder, uint32_t uid, char to[71]) MUST_USE;
/* The base of the file name as it was when the message came, without what was added since: for UIDLs made of it. The name
 * that is due is written first. */
int index_base_name(struct index *x, uint32_t folder, uint32_t uid, char to[MAILDIR_NAME]) MUST_USE;

/* Drops index.db and makes it again from the files, for `facteur mailbox rebuild`. */
int index_rebuild(struct index *x, struct err *e) MUST_USE;

#endif
