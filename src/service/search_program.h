/* facteur: service/search_program: a search's keys, ready to be asked of one message after the other.
 * Purpose:   compiles what proto/imap_parse has read against a session's view (on the loop), and evaluates it with the
 *            user's index (in a job): cheap keys first, file contents only where the full-text index says maybe.
 * Owner:     everything is in the caller's arena but the ranges: search_program_clear.
 * Thread:    compiled on the loop; evaluated by one job at a time.
 * Limits:    IMAP_SEARCH_DEPTH bounds the recursion; a message's text is read in pieces.
 * Standards: RFC 9051 section 6.4.4, RFC 5032, 7162, 8474, 8514. */
#ifndef FACTEUR_SERVICE_SEARCH_PROGRAM_H
#define FACTEUR_SERVICE_SEARCH_PROGRAM_H

#include "facteur/mail/mime.h"
#include "facteur/proto/imap_command.h"
#include "facteur/store/search.h"

struct search_key {
    enum imap_key_kind kind;
    struct search_key *next, *first;
    struct ranges uids; /* KEY_SEQ, KEY_UID, KEY_RECENT and its kin: those it names */
    uint8_t flag;
    uint64_t bits; /* of keywords; 0: nobody has it */
    uint64_t number;
    int64_t day;
    struct slice field, text; /* text: folded */
    struct slice spaced;      /* text as it is in header fields: with single spaces */
    unsigned cost;
    bool narrowed; /* only `maybe` can have the text */
    struct ranges maybe;
};

struct search_program {
    struct search_key *root;
    unsigned fields; /* of enum index_fields: what some key asks of the prepared rows */
    int64_t now_ms;
    struct mime_limits mime; /* set behind search_compile */
};

/* How sets, keywords and \Recent become UIDs and bits: the session's view. */
struct search_scope {
    void *ctx;
    int (*uids)(void *ctx, const struct imap_set *set, bool uid, struct ranges *ret);
    const struct ranges *recent;
    const struct mailbox *mailbox;
};

int search_compile(const struct imap_key *keys, const struct search_scope *scope, struct arena *a,
                   struct search_program *ret) MUST_USE;
void search_program_clear(struct search_program *p);

/* In the job, once: asks the full-text index. */
int search_narrow(struct search_program *p, struct index *x, uint32_t folder, struct err *e) MUST_USE;

/* One message. `row` is there when program.fields are not 0. 1, 0, or negative; a message that has gone does not match. */
struct search_row {
    bool known;       /* else it has gone */
    int64_t sent_day; /* since 1970, as the Date field says it: no time, no zone (RFC 9051 section 6.4.4) */
    int64_t saved_ms;
    char email_id[36];
};
void search_take_row(const struct index_row *row, struct search_row *ret);
int search_matches(const struct search_program *p, struct index *x, uint32_t folder, const struct mailbox_message *m,
                   const struct search_row *row) MUST_USE;

#endif
