/* What the files of FETCH share: imap_in_fetch.c (the command, on the loop), imap_in_fetch_job.c (what needs the index or
 * files) and imap_in_fetch_write.c (how a message is said). */
#ifndef FACTEUR_SERVICE_IMAP_IN_FETCH_PRIV_H
#define FACTEUR_SERVICE_IMAP_IN_FETCH_PRIV_H

#include "imap_in_priv.h"
#include "section_priv.h"

enum {
    FETCH_LIST = 1024,             /* messages copied from the list at a time */
    FETCH_TEXTS = 8 * 1024 * 1024, /* of prepared texts read ahead; the slice's room as a rule */
    FETCH_KEPT = 16 * 1024,        /* … that are kept while the client does not read */
    FETCH_OUT = STREAM_MAX_OUTPUT - 4 * STREAM_HIGH_WATER - 2 * IMAP_OUTPUT /* the slice's room, and one item more */
};

/* What a job may know of a message: a copy of what the list said when the slice began. */
struct fetch_message {
    uint64_t modseq, keywords, size;
    int64_t internal_ms;
    uint32_t uid, seq;
    uint8_t flags;
    bool recent;
    bool seen_now; /* this command has set \Seen: it is told with the message */
};

struct fetch_item {
    struct imap_fetch_item item;
    struct slice label; /* "BODY[HEADER]<0>" */
};

/* A row of the index; its texts are in `texts`. */
struct fetch_text {
    size_t at, n;
};
struct fetch_row {
    uint32_t uid;
    struct fetch_text envelope, structure, preview;
    char email_id[sizeof(((struct index_prepared *)0)->email_id)];
    int64_t saved_ms;
};

struct fetch {
    struct account_job aj;
    struct arena arena;
    struct fetch_item *items;
    size_t item_count;
    uint32_t folder;
    unsigned fields; /* of enum index_fields: what is asked of the index */
    bool files;      /* the messages' files are needed */
    bool marks_seen; /* a section without PEEK in a mailbox that may be changed */
    bool uid, condstore, rev2;
    bool wants_vanished, has_vanished;
    bool all_listed;
    bool in_line, in_section, has_said; /* of the message being written */
    bool find_again;                    /* the section's text has been given back */
    bool expunged, unknown_encoding;
    int failed; /* why a message was left out */

    struct ranges uids, named; /* to be told of; UIDs as the client wrote them, for VANISHED */
    struct ranges vanished;
    uint64_t since;

    struct fetch_message *list;       /* the messages of this slice and the next, ascending */
    size_t list_room, list_count, at; /* at: the one being written */
    uint64_t next_uid;                /* the list goes on here */
    uint64_t listed;                  /* so many have been in the list */
    size_t seen_until;                /* of the list: those before it are \Seen */
    const char **names;               /* of keywords */
    unsigned name_count;

    uint32_t rows_until; /* all rows with UIDs below it have been read */
    struct fetch_row *rows;
    size_t row_count, row_at;
    struct buf texts;

    struct message_file file;
    struct section section;
    size_t item;            /* being written */
    size_t text_at, text_n; /* of its prepared text: octets written, octets in all */
    size_t line_start;      /* of the message being written, in `out`; SIZE_MAX: it has been sent */
    struct buf out;
};

int fetch_run(struct account_job *aj, struct index *x);
/* While the client does not read: gives back what can be had again. What is left, in octets. */
size_t fetch_give_back(struct fetch *f);

/* An item that needs nothing but the list. */
static inline bool fetch_is_plain(enum imap_fetch_kind kind)
{
    return kind == FETCH_FLAGS || kind == FETCH_UID || kind == FETCH_INTERNALDATE || kind == FETCH_SIZE ||
           kind == FETCH_MODSEQ || kind == FETCH_THREADID;
}
int fetch_write_plain(struct fetch *f, const struct fetch_message *m, enum imap_fetch_kind kind) MUST_USE;
/* Between the items of a message. */
int fetch_write_start(struct fetch *f, const struct fetch_message *m) MUST_USE;
int fetch_write_label(struct fetch *f, struct slice label) MUST_USE;
int fetch_write_end(struct fetch *f, const struct fetch_message *m) MUST_USE;
/* An item of a prepared row. MORE: the slice's room is used up in the middle of it; it is called again with the same. */
int fetch_write_row(struct fetch *f, const struct fetch_row *row, enum imap_fetch_kind kind) MUST_USE;

#endif
