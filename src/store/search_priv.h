/* facteur: store/search_priv: what the sources of search share.
 * Purpose:   a message's text as it is looked up, and forgetting folders.
 * Owner:     index.search.
 * Thread:    as store/index.
 * Limits:    options.search_max.
 * Standards: none. */
#ifndef FACTEUR_STORE_SEARCH_PRIV_H
#define FACTEUR_STORE_SEARCH_PRIV_H

#include "index_priv.h"

/* The folded texts of one message. */
struct search_text {
    struct buf head; /* fields of its own header, "name: value" a line */
    struct buf body; /* text parts, and headers inside of it */
    bool cut;        /* there is more than these, or it could not be read */
};
void search_text_clear(struct search_text *t);

/* Reads a message's `stored` octets. Never fails: what cannot be read is cut. */
void search_text_read(int fd, uint64_t stored, uint64_t max, struct search_text *ret);

enum search_statement {
    S_DONE,
    S_DONE_CLEAR,
    S_DONE_PUT,
    S_NEXT,
    S_HEAD_PUT,
    S_BODY_PUT,
    S_ALWAYS_PUT,
    S_ALWAYS,
    S_ALWAYS_CLEAR,
    S_COUNT,
    S_COUNT_ADD,
    S_MESSAGES,
    S_HEAD,
    S_BODY,
    S_STATEMENTS
};

struct index_search {
    sqlite3_stmt *stmt[S_STATEMENTS];
    struct map done; /* struct ranges by the folder's id: search_done as it stands */
};

/* Makes the tables when they are first needed, also after index.db was made anew. */
int search_open(struct index *x, struct index_search **ret, struct err *e) MUST_USE;
/* A statement bound to the keys of the folder's UIDs low … high; the search is open. */
int search_statement(struct index *x, enum search_statement which, uint32_t folder, uint32_t low, uint32_t high,
                     sqlite3_stmt **ret, struct err *e) MUST_USE;
/* A statement bound to plain numbers, as many as it has room for; and one that is run then. */
int search_numbered(struct index *x, enum search_statement which, int64_t a, int64_t b, int64_t c, sqlite3_stmt **ret,
                    struct err *e) MUST_USE;
int search_run(struct index *x, enum search_statement which, int64_t a, int64_t b, int64_t c, struct err *e) MUST_USE;
/* The UIDs of a folder that have been taken in; held by the search. */
int search_done(struct index *x, uint32_t folder, struct ranges **ret, struct err *e) MUST_USE;
/* Drops all of it: search_open makes it anew. */
int search_renew(struct index *x, struct err *e) MUST_USE;

/* The folder's rows go: its id may come again for another one. */
int search_forget(struct index *x, uint32_t folder, struct err *e) MUST_USE;

#endif
