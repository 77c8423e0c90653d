/* facteur: store/mailbox: one mailbox in memory, and what each session has been told of it.
 * Purpose:   all sessions on a mailbox share one list of messages. Changes (by a session, a delivery, another program)
 *            are applied to it once; each session's view remembers what it has not said yet, so that sequence numbers
 *            stay true until the client may hear of an EXPUNGE.
 * Owner:     struct mailbox is embedded by its maker (flow/mailboxes), views in sessions; a view is closed before its
 *            mailbox is cleared.
 * Thread:    the loop's. No I/O here: store/index makes the changes, in jobs.
 * Limits:    40 octets a message; a view costs what it has not told, not what the mailbox holds.
 * Standards: RFC 9051 sections 2.3.1, 5.2, 7.4.1, 7.5.1; RFC 7162 (mod-sequences, VANISHED). */
#ifndef FACTEUR_STORE_MAILBOX_H
#define FACTEUR_STORE_MAILBOX_H

#include "facteur/base/list.h"
#include "facteur/base/ranges.h"

enum mailbox_flag {
    FLAG_ANSWERED = 1,  /* \Answered, R in the file name */
    FLAG_FLAGGED = 2,   /* \Flagged, F */
    FLAG_DELETED = 4,   /* \Deleted, T */
    FLAG_SEEN = 8,      /* \Seen, S */
    FLAG_DRAFT = 16,    /* \Draft, D */
    FLAG_FORWARDED = 32 /* the keyword $Forwarded, P */
};

enum { KEYWORDS_MAX = 64, KEYWORDS_IN_NAME = 26 /* a to z in the file name; further ones are in the index alone */ };

struct mailbox_message {
    uint64_t modseq;
    uint64_t keywords;   /* bit n: the mailbox's n-th keyword */
    int64_t internal_ms; /* INTERNALDATE */
    uint64_t size;       /* RFC822.SIZE: octets on the wire */
    uint32_t uid;
    uint8_t flags; /* of enum mailbox_flag */
};

/* What a job has found or done; applied on the loop in the order of the jobs. */
struct mailbox_changes {
    bool complete; /* `messages` is the whole mailbox (first load, rebuilt index): what is not in it has gone */
    struct mailbox_message *messages; /* new ones and new states of known ones, ascending by UID */
    size_t count, cap;
    struct ranges gone;    /* UIDs of expunged messages */
    uint64_t modseq;       /* HIGHESTMODSEQ after it; 0: as before */
    uint32_t uidnext;      /* 0: as before */
    uint32_t first_recent; /* 0: as before; messages from this UID on are \Recent to the next session */
    char **keywords;       /* all names, when there are new ones; NULL: as before */
    unsigned keyword_count;
    bool unfinished; /* there are files that somebody may still be writing: worth another look soon */
};
void mailbox_changes_clear(struct mailbox_changes *c);
/* Appends one (any order is fine: mailbox_apply sorts when needed). */
void mailbox_changes_add(struct mailbox_changes *c, const struct mailbox_message *m);
void mailbox_changes_keywords(struct mailbox_changes *c, const char *const *names, unsigned count); /* copies */

struct mailbox {
    struct mailbox_message *messages; /* ascending by UID */
    size_t count, cap;
    uint32_t uidvalidity, uidnext, first_recent;
    uint64_t modseq; /* HIGHESTMODSEQ */
    char *keywords[KEYWORDS_MAX];
    unsigned keyword_count;
    struct link views;
};

/* A set of UIDs that can tell how many of them are below a number. */
struct mailbox_ranked {
    struct ranges set;
    uint32_t *before; /* of each piece: how many are in the pieces before it */
};

struct mailbox_view {
    struct link link;
    struct mailbox *mailbox;
    void (*on_change)(struct mailbox_view *); /* there is something to tell; may be NULL. Called from mailbox_apply's
                                               * caller, on the loop; the view may be synced in it, not closed */
    uint32_t next;                            /* UIDs below it have been announced */
    struct ranges changed;                    /* UIDs of flag changes not yet told */
    struct mailbox_ranked ghosts;             /* UIDs that have gone and still have a sequence number here */
    struct mailbox_ranked hidden; /* UIDs that came in below `next`: they have no sequence number here (a file that came
                                   * back); the next view has them */
    struct ranges recent;         /* \Recent here */
    unsigned keywords_told;       /* how many keyword names FLAGS has listed */
    bool recent_told;             /* RECENT as it was last said still holds */
    bool read_only;
};

void mailbox_init(struct mailbox *m);
void mailbox_clear(struct mailbox *m);
/* Applies changes and tells the views. `origin` (or NULL) made them; when `silent`, it is not told of their flags. */
void mailbox_apply(struct mailbox *m, const struct mailbox_changes *c, struct mailbox_view *origin, bool silent);
/* The same for what nobody views yet; the messages of a list in order are taken over instead of copied. */
void mailbox_fill(struct mailbox *m, struct mailbox_changes *c);
/* A single arrival, known on the loop before its files are moved: the same as a change with one message. */
void mailbox_arrive(struct mailbox *m, const struct mailbox_message *message);

/* Where the first message with that UID or a higher one is; count when there is none. */
size_t mailbox_index(const struct mailbox *m, uint32_t uid);
const struct mailbox_message *mailbox_find(const struct mailbox *m, uint32_t uid); /* or NULL */
int mailbox_keyword(const struct mailbox *m, struct slice name); /* the bit's number, or -ENOENT; ASCII case folded */

/* Announces everything there is; takes the \Recent ones unless read-only. */
void view_open(struct mailbox_view *v, struct mailbox *m, bool read_only);
void view_close(struct mailbox_view *v);

uint32_t view_count(const struct mailbox_view *v);             /* messages announced, ghosts too */
uint32_t view_uid(const struct mailbox_view *v, uint32_t seq); /* 0: no such number */
uint32_t view_seq(const struct mailbox_view *v, uint32_t uid); /* 0: not in this view */
uint32_t view_last_uid(const struct mailbox_view *v);          /* what "*" means for UIDs; 0: empty */
/* Sequence numbers to UIDs; those beyond the end are left out and *ret_beyond says so. UIDs to those that this view
 * has. Ghosts stay in (the caller answers [EXPUNGEISSUED]). What *ret held is replaced. 0 or -E2BIG. */
int view_uids_of_seqs(const struct mailbox_view *v, const struct ranges *seqs, struct ranges *ret,
                      bool *ret_beyond) MUST_USE;
int view_uids(const struct mailbox_view *v, const struct ranges *uids, struct ranges *ret) MUST_USE;
/* Copies the messages that this view has, ghosts left out, and their sequence numbers: at most mailbox_index(v->mailbox,
 * v->next). How many. */
size_t view_list(const struct mailbox_view *v, struct mailbox_message *messages, uint32_t *seqs);
bool view_has_news(const struct mailbox_view *v, bool may_expunge);

/* What a view has to say, in the order in which it must be said. Any may be NULL. */
struct view_events {
    void (*expunge)(void *to, uint32_t seq);               /* one at a time, numbers as they are at that moment */
    void (*vanished)(void *to, const struct ranges *uids); /* instead of expunge, when not NULL */
    void (*exists)(void *to, uint32_t count);
    void (*recent)(void *to, uint32_t count);
    void (*keywords)(void *to); /* new names: FLAGS and PERMANENTFLAGS */
    void (*flags)(void *to, uint32_t seq, const struct mailbox_message *m, bool recent);
};
/* Tells and remembers that it was told. EXPUNGE only when `may_expunge`. */
void view_sync(struct mailbox_view *v, bool may_expunge, const struct view_events *events, void *to);
/* Parts of the same, for whoever is told much and takes it by and by: `most` of the EXPUNGEs (pieces of VANISHED), or
 * keywords and `most` messages whose flags have changed. True: there are more. */
bool view_sync_gone(struct mailbox_view *v, uint32_t most, const struct view_events *events, void *to);
bool view_sync_flags(struct mailbox_view *v, uint32_t most, const struct view_events *events, void *to);

#endif
