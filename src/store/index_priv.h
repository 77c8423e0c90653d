/* facteur: store/index_priv: what the sources of store/index, folders and search share.
 * Purpose:   the database, the folders known to it, and their directories. The rows are the only list of messages:
 *            nothing is kept twice, so a transaction that fails leaves nothing to put right but files, and what files
 *            say is found again by the next scan.
 * Owner:     struct index; struct folder is its index's.
 * Thread:    as store/index.
 * Limits:    FOLDERS_HELD folders have their directories open, the last used.
 * Standards: SQLite 3.40; Maildir++.
 *
 * Files:
 *   index.c          open, close, damage        index_sync.c     what other programs did: when a scan is due
 *   index_db.c       schema, statements         index_scan.c     a scan; reads directories
 *   index_folder.c   rows of folders, their     index_match.c    directory against rows
 *                    directories                index_take.c     UIDs for what has none
 *   index_uid.c      facteur-uidvalidity        index_store.c    flags, keywords
 *   index_file.c     file names                 index_expunge.c  expunge, vanished
 *   index_letters.c  letters in them            index_append.c   append;   index_copy.c  copy, move
 *   index_names.c    names, behind the rows     index_arrive.c   deliveries that were announced
 *   index_read.c     rows and prepared texts    index_rows.c     message rows
 *   index_prepare.c  makes these texts
 *
 * Order of writes. A file that we make (APPEND, COPY) has its last name before it has its row: a row that was never
 * written is made by the next scan from the file's name. A file that is there already gets its UID and its flags in its
 * row first, and its name afterwards (index_names.c): a row tells where its file is and what it is to be called, and a
 * name is due when the two differ. So a transaction that fails has renamed nothing, and a rename that fails is tried
 * again. A row without a file goes with the next scan. UIDs are reserved (durably) before anybody is told of one. */
#ifndef FACTEUR_STORE_INDEX_PRIV_H
#define FACTEUR_STORE_INDEX_PRIV_H

#include "facteur/store/index.h"

#include "db_priv.h"
#include "maildir_priv.h"

#include <sys/types.h>

enum { INDEX_SCHEMA = 2, FOLDERS_HELD = 4, UID_MAX = UINT32_MAX - 1, EXPUNGED_ROWS = 10000, EXPUNGED_TRIM = 1000 };

/* --- index.db ---
 *
 * Every row of a message has the key (folder << 32) + uid: INDEX_KEY. So the messages of a folder are a range of keys,
 * INDEX_KEY(f, 0) … INDEX_KEY(f, UINT32_MAX), in the order of their UIDs, in whatever table.
 *
 *   state(id = 1, clean, boot, uidvalidity)     uidvalidity: the highest ever given here
 *   folder(id, name, dir, special, mailbox_id, uidvalidity, uidnext, first_recent, modseq, vanished_from, names_due)
 *                                               name and dir as in struct folder; uidnext: as of the last row,
 *                                               0 while not all messages have theirs; names_due: of some rows
 *   keyword(folder, bit, name)                  bits from KEYWORDS_IN_NAME on; the others are in dovecot-keywords
 *   message(key, modseq, flags, keywords, internal_ms, saved_ms, size, place, name)
 *                                               place: 0 cur/, 1 new/; name: exactly the file's
 *   prepared(key, …)                            struct index_prepared; no row: not prepared yet; structure NULL: only
 *                                               its envelope
 *   expunged(folder, modseq, low, high)         UIDs low … high; what happened up to vanished_from is forgotten
 *   uidl(key, uidl)                             adopted POP3 UIDLs
 *
 * Search makes its own tables when it first needs them; their rows have the same keys. */
#define INDEX_KEY(folder, uid) ((int64_t)(((uint64_t)(folder) << 32) | (uint32_t)(uid)))

enum index_statement {
    I_BEGIN,
    I_COMMIT,
    I_ROLLBACK,
    I_STATE_GET,
    I_STATE_SET,
    I_FOLDERS,
    I_FOLDER_PUT,
    I_FOLDER_DELETE,
    I_FOLDER_MESSAGES_DELETE,
    I_FOLDER_PREPARED_DELETE,
    I_FOLDER_EXPUNGED_DELETE,
    I_FOLDER_KEYWORDS_DELETE,
    I_FOLDER_UIDL_DELETE,
    I_KEYWORDS,
    I_KEYWORD_PUT,
    I_MESSAGES,
    I_MESSAGE_PUT,
    I_MESSAGE_FLAGS,
    I_MESSAGE_DELETE,
    I_PREPARED,
    I_ENVELOPES,
    I_PREPARED_HAS,
    I_PREPARED_PUT,
    I_PREPARED_COPY,
    I_PREPARED_DELETE,
    I_UNPREPARED,
    I_EXPUNGED,
    I_EXPUNGED_PUT,
    I_EXPUNGED_BOUND,
    I_EXPUNGED_TRIM,
    I_UIDL,
    I_UIDL_PUT,
    I_UIDL_DELETE,
    I_MODSEQ_MESSAGES,
    I_MODSEQ_FOLDERS,
    I_STATEMENTS
};

struct index_scan;   /* index_scan.c */
struct index_search; /* search.c */

/* A directory as it was when it was last looked at. */
struct dir_mark {
    dev_t dev;
    ino_t ino;
    int64_t mtime_ns;
};

enum { PLACE_CUR, PLACE_NEW, PLACES };

struct folder {
    struct link link; /* in index.folders, the last used first */
    uint32_t id;
    char *name; /* normal (folder_name_normal): UTF-8, "/" between levels */
    char *dir;  /* below the Maildir: "." is INBOX's, ".Sent.2024" */
    enum index_special special;
    char mailbox_id[32];
    uint32_t uidvalidity;
    uint32_t uidnext;  /* the next to give */
    uint32_t reserved; /* UIDs below it are safe to give: the uidnext of facteur-uidvalidity */
    uint32_t row_next; /* uidnext as it stands in the row: a ",U=" below it whose row is not there has gone */
    uint32_t
        named_below; /* names can carry UIDs below it without having a row: a former life, or lost rows, gave them */
    bool partial;    /* rows are being made from the files: row_next is 1, and 0 in the row, until all are there */
    uint32_t first_recent;
    uint64_t modseq;        /* the highest given */
    uint64_t vanished_from; /* expunges up to it are not in the table any more */

    unsigned expunged_puts;               /* rows put since the table was last trimmed */
    uint32_t prepared_low, prepared_high; /* all between them is prepared */
    int64_t in_new;                       /* rows whose file is in new/; -1: not counted */
    struct ranges due;                    /* UIDs of rows whose files may not have their names yet; no others */
    uint32_t taken;                       /* of these, files in new/ go to cur/ when their UID is below it */
    struct dir_mark base_mark;

    bool checked;  /* facteur-uidvalidity has been compared since the index was opened */
    bool adopting; /* UIDs are taken over from Dovecot */
    char *keywords[KEYWORDS_MAX];
    unsigned keyword_count;
    unsigned named_from;
    bool named; /* keywords from there on have names now: messages whose files had the letters before are to get them */

    int base; /* the folder's own directory, -1 while closed; the others too */
    int places[PLACES];
    struct dir_mark seen[PLACES];
    bool known[PLACES];     /* `seen` is what the rows say */
    int64_t doubt_until_ms; /* our own change may hide another's of the same instant: scan again then; 0: none */
    int64_t scan_us;        /* how long the last scan took */

    struct index_scan *scan;       /* in progress, or NULL */
    struct mailbox_changes unsaid; /* found in a call that could not tell */
    bool loaded;                   /* somebody has the list, and is to be told what changes */
    bool rebuilt;                  /* the next changes told are complete */
    bool must_scan;
    bool unfinished;  /* a file was left for the next look: somebody may still be writing it */
    uint32_t retried; /* UID for which a file was looked for again; 0: none */
};

struct index {
    struct maildirs *maildirs;
    char *user;
    char *path;  /* "mail/example.org/anna": below the state directory */
    char *where; /* the same with the state directory before it: where index.db is */
    struct index_options options;
    int root; /* the Maildir */
    sqlite3 *db;
    sqlite3_stmt *stmt[I_STATEMENTS]; /* prepared when first needed: index_stmt */
    struct link folders;              /* all rows of `folder`; the last used first */
    size_t folder_count;
    uint32_t next_folder;                          /* id */
    uint32_t uidvalidity;                          /* the highest ever given */
    uint32_t uidvalidity_put, uidvalidity_written; /* … as it stands in the row of `state`, and is to stand there */
    uint64_t modseq_floor;                         /* modseqs given from now on are above it */
    ino_t inode;                                   /* index.db's, to see that it was removed */
    bool was_clean;                                /* it was closed properly the last time */
    int64_t cut_ns;       /* index_files_ns() when it was opened after the system had gone down under it; else 0 */
    bool dirty;           /* the row of `state` says that we write */
    bool rebuilt;         /* not yet told by index_was_rebuilt */
    struct err left_out;  /* not yet told by index_left_out */
    uint64_t names_due;   /* no fewer than there are in all folders */
    struct arena scratch; /* a call's own; cleared at its end */

    void *search;                           /* search.c's own … */
    void (*search_close)(struct index *x);  /* … closed with the database; NULL while there is none */
    void *folders_state;                    /* folders.c's own … */
    void (*folders_close)(struct index *x); /* … freed with the index; NULL while there is none */
};

/* --- database (index_db.c) --- */

int index_db_open(struct index *x, struct err *e) MUST_USE;
void index_db_close(struct index *x); /* statements too */
/* A statement, reset and ready to be bound; NULL with the reason in *code. */
sqlite3_stmt *index_stmt(struct index *x, enum index_statement s, int *code, struct err *e) MUST_USE;
/* Runs a statement that takes numbers and gives no rows. */
int index_run(struct index *x, enum index_statement s, const int64_t *numbers, size_t count, struct err *e) MUST_USE;
/* One transaction for each operation. index_begin also notes that the database is being written to. */
int index_begin(struct index *x, struct err *e) MUST_USE;
int index_commit(struct index *x, struct err *e) MUST_USE; /* rolls back when it fails */
void index_rollback(struct index *x);
/* Whether `code` says that index.db is damaged. If so, it has been put aside and made again with the same folders (and
 * ids), which will be scanned: the caller does its work again, once. Transactions are rolled back. */
bool index_recovered(struct index *x, int code, struct err *e) MUST_USE;
int index_db_remake(struct index *x, struct err *e) MUST_USE; /* the same without a reason */
int index_db_again(struct index *x, struct err *e) MUST_USE;  /* opens it after index_rest */
bool index_db_there(const struct index *x);                   /* the file that is open is still the one in its place */
void index_db_clean(struct index *x); /* last, before it is closed: else the next one is careful */

/* --- rows of folders and their directories (index_folder.c) --- */

int index_folders_read(struct index *x, struct err *e) MUST_USE; /* at the start */
struct folder *index_folder_by_id(struct index *x, uint32_t id);
struct folder *index_folder_by_name(struct index *x, struct slice name); /* normal; exact */
struct folder *index_folder_by_dir(struct index *x, const char *dir);
/* Takes a directory of the Maildir into the index: what facteur-uidvalidity (else dovecot-uidlist) says, or new ones,
 * durable. The directory is there; its cur, new and tmp are made if they are missing. */
int index_folder_add(struct index *x, const char *name, const char *dir, enum index_special special,
                     struct folder **ret, struct err *e) MUST_USE;
/* The directory has gone: its rows go too, *f is freed. */
int index_folder_drop(struct index *x, struct folder **f, struct err *e) MUST_USE;
/* Its messages are forgotten (not the row): the folder is not the one that they were about. */
int index_folder_forget(struct index *x, struct folder *f, struct err *e) MUST_USE;
/* The directory has been renamed (or only the name): the row follows. */
int index_folder_move(struct index *x, struct folder *f, const char *name, const char *dir, struct err *e) MUST_USE;
/* Writes the row, in a transaction that the caller has begun. */
int index_folder_put(struct index *x, struct folder *f, struct err *e) MUST_USE;
void index_folder_fill(const struct folder *f, struct index_folder *ret);
/* The folder's own directory, opened beneath the Maildir without following links; the caller closes it. -ENOENT. */
int index_folder_dir(struct index *x, const struct folder *f, int *ret_fd, struct err *e) MUST_USE;
/* Opens its directories (held until others need the room), compares facteur-uidvalidity, reads keywords. Every call
 * that works on messages begins with it. -ENOENT: no such id, or the directory has gone. */
int index_folder_open(struct index *x, uint32_t id, struct folder **ret, struct err *e) MUST_USE;
void index_folder_used(struct index *x, struct folder *f); /* it is the last used: the first in the list */
void index_folder_close(struct folder *f);                 /* descriptors only */
void index_folder_unknown(struct folder *f); /* index.db has lost it: to be scanned, and then told as a whole */
void index_folder_free(struct index *x, struct folder **f);
int index_keywords_read(struct index *x, struct folder *f, struct err *e) MUST_USE;

/* --- facteur-uidvalidity (index_uid.c) --- */

/* Makes UIDs below `below` safe to give. Durable. -EOVERFLOW: there are no more UIDs. */
int index_uid_reserve(struct index *x, struct folder *f, uint64_t below, struct err *e) MUST_USE;
/* Compares the file with what the row says; makes it when it is missing: from the row, else from dovecot-uidlist, else
 * anew. The folder's directories are open. */
int index_uid_check(struct index *x, struct folder *f, struct err *e) MUST_USE;
int index_uid_write(struct index *x, struct folder *f, uint32_t reserved, struct err *e) MUST_USE;
/* A new UIDVALIDITY: seconds of the wall clock, above all given before. */
uint32_t index_uidvalidity(struct index *x);
uint64_t index_next_modseq(struct index *x, struct folder *f); /* for one operation */

/* --- file names (index_file.c) --- */

struct file_name {
    struct slice base; /* up to ":" */
    struct slice info; /* the letters behind ":2,"; empty without */
    uint32_t uid;      /* of the last ",U="; 0: none, or none that can be */
    bool has_size, has_wire;
    uint64_t size, wire; /* ",S=" and ",W=" */
    uint64_t seconds;    /* before the first dot; 0: none */
};
void file_name_parse(struct slice name, struct file_name *ret);
/* "…,U=<uid>" with ",S=<size>" and ",W=<wire>", before it where the base has them, behind it where they are new. A base
 * too long for that becomes a new one. */
void file_name_base(struct index *x, struct slice base, uint32_t uid, uint64_t size, uint64_t wire,
                    char to[MAILDIR_NAME]);
struct slice file_name_adopted(struct slice base); /* as it was before it got its UID */
/* A new base, unique in any folder: "<seconds>.R<random>.<host>,S=…,W=…,U=…". */
void file_name_new(struct index *x, uint32_t uid, uint64_t size, uint64_t wire, char to[MAILDIR_NAME]);
/* base:2,<letters>: flags and the first keywords as letters, and those letters of `info` that mean nothing to us.
 * -ENAMETOOLONG. */
int file_name_flags(struct slice base, struct slice info, uint8_t flags, uint64_t keywords, unsigned keyword_count,
                    char to[MAILDIR_NAME]) MUST_USE;
/* What the letters say; keywords without a name are left out. */
void file_name_read(struct slice info, unsigned keyword_count, uint8_t *flags, uint64_t *keywords);

/* Whether two bases differ in nothing but what file_name_base writes: they are names of one file. */
bool file_name_same(struct slice a, struct slice b);
/* Letters that the name has, and what the flags and keywords want there, are the same. */
bool file_name_says(struct slice info, uint8_t flags, uint64_t keywords, unsigned keyword_count);

/* --- rows of messages (index_rows.c) --- */

struct row {
    struct mailbox_message message;
    int64_t saved_ms;
    uint8_t place;           /* PLACE_…: where the file is … */
    char name[MAILDIR_NAME]; /* … under this name */
};
/* Up to `room` rows of the folder with UIDs from … to, ascending; how many, or negative. */
int index_rows(struct index *x, const struct folder *f, uint32_t from, uint32_t to, struct row *rows, size_t room,
               struct err *e) MUST_USE;
int index_row(struct index *x, const struct folder *f, uint32_t uid, struct row *ret,
              struct err *e) MUST_USE; /* -ENOENT */
/* In a transaction that the caller has begun: */
int index_row_put(struct index *x, const struct folder *f, const struct row *row, struct err *e) MUST_USE;
int index_row_flags(struct index *x, const struct folder *f, const struct row *row, struct err *e) MUST_USE;
int index_row_delete(struct index *x, const struct folder *f, uint32_t uid, struct err *e) MUST_USE;
int index_expunged_put(struct index *x, struct folder *f, const struct ranges *gone, uint64_t modseq,
                       struct err *e) MUST_USE;

/* --- names, behind the rows (index_names.c) --- */

/* The row's file may be due for another name. */
void index_name_due(struct index *x, struct folder *f, uint32_t uid);
void index_names_unknown(struct index *x, struct folder *f); /* … any of them */
/* The same; in new/ it is to go to cur/. */
void index_name_taken(struct index *x, struct folder *f, uint32_t uid);
/* Gives the folder's files their names: MORE after a slice. Negative: what could not be renamed stays due. */
int index_names_of(struct index *x, struct folder *f, struct err *e) MUST_USE;
/* All names of all folders, as far as they can be written. */
void index_names_all(struct index *x);

/* --- changes (index_sync.c) --- */

/* Notes for whoever has the folder's list. */
void index_changed(struct folder *f, const struct mailbox_message *m);
/* What was noted has been rolled back: the whole list is told instead. */
void index_unsay(struct folder *f);
void index_gone(struct folder *f, uint32_t uid);
void index_keywords_changed(struct folder *f);
/* The folder's row, then the end of the transaction. */
int index_save(struct index *x, struct folder *f, struct err *e) MUST_USE;
/* Moves what was noted (and after a rebuild, everything) to `ret`. Called at the end of each call that has changes. */
int index_tell(struct index *x, struct folder *f, struct mailbox_changes *ret, struct err *e) MUST_USE;
/* Around a change of ours in a folder's directories, so that it is not taken for somebody else's. */
struct own_change {
    bool known[PLACES];
};
void index_own_start(const struct folder *f, struct own_change *own);
void index_own_end(struct folder *f, const struct own_change *own);
/* The clock that the file system's times are taken from, whatever a test's clock says. */
int64_t index_files_ns(void);
void index_doubt(struct folder *f); /* something may have been missed: to be looked at again soon */
bool dir_mark_read(int fd, struct dir_mark *ret);
bool dir_mark_same(const struct dir_mark *a, const struct dir_mark *b);

/* --- scans (index_sync.c, index_scan.c, index_match.c, index_take.c, index_letters.c) --- */

/* As index_sync, but what it finds is told by a later call. Opens the folder. */
int index_catch_up(struct index *x, struct folder *f, bool take_new, struct err *e) MUST_USE;
/* For calls that need the rows to be true: goes on with a scan that must be (a file was not where its row says, the
 * database was made anew), and else does nothing. MORE, DONE. */
int index_ready(struct index *x, struct folder *f, struct err *e) MUST_USE;

struct scan_item {
    const char *name;
    uint64_t seconds; /* as in struct file_name */
    uint32_t uid;     /* in the name; of a newcomer: the one that it may have, or 0 */
    uint8_t place;
    bool known; /* it is a row's file */
};
struct dovecot_uidlist;
/* A look at a folder's directories, in slices: names are read, then compared with the rows; what has gone goes, then
 * what has come gets its UID and row, and last letters that got their names are taken note of. */
struct index_scan {
    enum { SCAN_READ, SCAN_MATCH, SCAN_GONE, SCAN_TAKE, SCAN_LETTERS } phase;
    bool places[PLACES]; /* which are looked at */
    bool must;           /* folder.must_scan was set when it began */
    bool again;          /* the second reading: what both have missed has gone */
    bool unsure;         /* a directory changed while it was read */
    bool keywords_read;
    int64_t began_us, used_us;
    uint32_t believe_from; /* ",U=" from here on are believed without a row */
    /* reading */
    void *dir; /* DIR of `place`, or NULL */
    int place;
    struct dir_mark before;
    int64_t before_ns;
    struct arena names;
    struct scan_item *items; /* then sorted by UID */
    size_t count, cap;
    /* matching */
    uint32_t at_uid; /* of the row that is looked at … */
    size_t at;       /* … and the first item that may have it */
    uint32_t next;   /* UID of the next row to look at */
    uint32_t rows;   /* looked at */
    uint32_t in_new; /* … of these in new/ */
    struct ranges missing, missed;
    uint64_t cursor;
    /* newcomers */
    struct scan_item *newcomers;
    size_t new_count, new_cap, new_at;
    bool sorted;
    struct dovecot_uidlist *uidlist;
    uint32_t letters_next; /* UID of the row whose letters are looked at next */
};
/* All messages have their UIDs, and their names tell them: what Dovecot has left is not asked any more. */
int index_adopted(struct index *x, struct folder *f, struct err *e) MUST_USE;
void index_scan_start(struct folder *f, const bool places[PLACES]);
int index_scan_step(struct index *x, struct folder *f, bool take_new, struct err *e) MUST_USE; /* MORE, DONE */
void index_scan_free(struct index_scan **scan);
void index_scan_add(struct scan_item **items, size_t *count, size_t *cap, const struct scan_item *item);
/* Its phases: a slice that began at `since`; MORE, DONE. */
void index_match_start(struct index_scan *s);
int index_match_some(struct index *x, struct folder *f, bool take_new, struct err *e) MUST_USE;
int index_letters_some(struct index *x, struct folder *f, int64_t since, struct err *e) MUST_USE;
int index_take_some(struct index *x, struct folder *f, bool take_new, int64_t began_us, struct err *e) MUST_USE;
/* The flags and keywords that letters say; those without a letter stay. */
int index_letters(struct index *x, struct folder *f, struct slice info, struct mailbox_message *m,
                  struct err *e) MUST_USE;
bool index_file_there(const struct folder *f, int place, const char *name);

/* --- what calls on messages share --- */

/* Rows of those UIDs from *from on, ascending, at most `room`; *from is then where to go on. How many, or negative. */
int index_rows_of(struct index *x, const struct folder *f, const struct ranges *uids, uint32_t *from, struct row *rows,
                  size_t room, struct err *e) MUST_USE;
/* A row's file is not there. -EAGAIN: the folder is to be looked at first (index_ready), then the same message again;
 * 1: it was looked for, and has gone. */
int index_lost(struct folder *f, uint32_t uid) MUST_USE;

/* The row's file and its size; -ENOENT also when something else has the name. */
int index_open_row(const struct folder *f, const struct row *row, int *ret_fd, uint64_t *ret_size) MUST_USE;
/* Prepares rows among `uids` that have no texts yet: from `from` on, up to the first that has, for a slice that began at
 * `since`. *passed is set to `from`'s UID when its file cannot be read: it is to be left out. -EAGAIN: what is not there
 * any more has to be looked for first. */
int index_prepare_from(struct index *x, struct folder *f, const struct ranges *uids, uint32_t from, bool hasty,
                       int64_t since, uint32_t *passed, struct err *e) MUST_USE;
/* Removes a row's file. 0, also when it has gone; -EAGAIN as above. */
int index_remove(struct index *x, struct folder *f, const struct row *row, struct err *e) MUST_USE;
/* Ends the transaction in which those were removed. */
int index_note_removed(struct index *x, struct folder *f, const struct ranges *gone, struct err *e) MUST_USE;
/* Keywords that a folder does not have yet; zeroed before the first call, to which the later ones add. -EXFULL: there is
 * no room for all of them. */
struct keyword_needs {
    struct slice names[KEYWORDS_MAX]; /* borrowed */
    unsigned count;
};
int index_keywords_need(struct index *x, struct folder *f, const struct slice *names, size_t count,
                        struct keyword_needs *n, struct err *e) MUST_USE;
int index_keyword_bit(struct index *x, struct folder *f, struct slice name, bool create, unsigned *ret,
                      struct err *e) MUST_USE;
/* -EDQUOT when there is a quota and so many octets more are too many. */
int index_room(struct index *x, uint64_t octets, struct err *e) MUST_USE;

/* Whether a call has used up its slice: `since_us` of clock_mono_us. */
bool index_slice_over(int64_t since_us);

/* Adds to (or takes from) what the quota counts. */
void index_count(struct index *x, int64_t messages, int64_t octets);

/* A message's size on the wire, by reading it: LF lines, CRLF lines, or both. */
int index_wire_size(int dir, const char *name, uint64_t *ret) MUST_USE;

int index_root_open(struct index *x, struct err *e) MUST_USE; /* anew: it may be another directory now */
/* Words for a folder that cannot be opened; returns r. */
int index_refused(const struct index *x, const char *folder, int r, struct err *e);

/* --- offered by folders.c --- */

/* Called when the index has been opened, and after index.db was made anew: takes in what is on the disk (INBOX at least).
 * Folders already known keep their ids. */
int folders_open(struct index *x, struct err *e) MUST_USE;

#endif
