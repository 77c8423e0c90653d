/* facteur: proto/imap_parse_priv: what the files of imap_parse share.
 * Purpose:   the cursor over one command's text, its words, and the readers of each group of commands: imap_parse.c
 *            (the table), _words and _date (what the grammar is made of), _mailbox, _list, _fetch, _search, _sort, _append.
 * Owner:     the cursor borrows all it points to.
 * Thread:    any.
 * Limits:    IMAP_TAG, IMAP_ITEMS, IMAP_KEYWORD.
 * Standards: RFC 9051 section 9. */
#ifndef FACTEUR_PROTO_IMAP_PARSE_PRIV_H
#define FACTEUR_PROTO_IMAP_PARSE_PRIV_H

#include "facteur/base/buf.h"
#include "facteur/proto/imap_parse.h"

enum {
    IMAP_TAG = 128,    /* octets: it is repeated in the reply */
    IMAP_ITEMS = 1000, /* of one FETCH, patterns of one LIST, criteria of one SORT */
    IMAP_KEYWORD = 255 /* octets of a keyword */
};

/* What is not read yet of the text, and where the meaning goes. */
struct imap_cursor {
    struct slice in;
    const struct imap_parse_options *o;
    struct arena *a;
    struct imap_command *c;
    struct err *e;
    struct slice charset; /* of SEARCH; empty: UTF-8 */
};

/* A limit of the options': 0 and what is above the parser's own maximum are that. */
static inline size_t imap_limit(unsigned given, size_t most)
{
    return given == 0 || given > most ? most : given;
}

/* The readers of a command's arguments; each begins behind the verb (at a SP, or at the end) and ends where the
 * arguments end: what is left over is for the caller to refuse. */
typedef int imap_args(struct imap_cursor *x);
imap_args imap_args_search, imap_args_sort, imap_args_thread;
imap_args imap_args_fetch, imap_args_store;
imap_args imap_args_list, imap_args_lsub, imap_args_status;
imap_args imap_args_select, imap_args_create, imap_args_rename, imap_args_mailbox, imap_args_copy;
imap_args imap_args_quota, imap_args_setquota;

/* --- imap_parse.c --- */

/* Tag and verb, and whether the state allows it: what can be said before a literal is taken. *x is behind the verb. */
int imap_parse_head(struct imap_cursor *x) MUST_USE;

/* --- imap_parse_search.c --- */

/* The keys, from the first one to the command's end, into search.root. */
int imap_search_keys(struct imap_cursor *x) MUST_USE;

/* --- imap_parse_words.c --- all: 0 or -EINVAL with the reason in x->e */

int imap_bad_syntax(struct imap_cursor *x, const char *text); /* -EINVAL */
bool imap_is_at(const struct imap_cursor *x, char c);
bool imap_take_char(struct imap_cursor *x, char c); /* true: it was there and is taken */
bool imap_is_atom_char(char c);
bool imap_is_at_end(const struct imap_cursor *x); /* nothing but spaces is left */
int imap_space(struct imap_cursor *x) MUST_USE;
int imap_expect(struct imap_cursor *x, char c) MUST_USE;
/* SP "(" */
int imap_open(struct imap_cursor *x) MUST_USE;
/* In a parenthesised list: true when ")" was taken; else the SP before the next member is (not before the first). */
int imap_next_member(struct imap_cursor *x, bool first, bool *ret_end) MUST_USE;

struct slice imap_word(struct imap_cursor *x); /* the longest run of atom characters; may be empty */
int imap_atom(struct imap_cursor *x, struct slice *ret) MUST_USE;
int imap_string(struct imap_cursor *x, bool any_octets, struct slice *ret) MUST_USE;
/* Octets of a string are UTF-8 without NUL; with any_octets they may be in some other charset. */
int imap_astring(struct imap_cursor *x, bool any_octets, struct slice *ret) MUST_USE;
int imap_nstring(struct imap_cursor *x, struct slice *ret, bool *ret_nil) MUST_USE;
int imap_number(struct imap_cursor *x, uint64_t min, uint64_t max, uint64_t *ret) MUST_USE;
int imap_modseq(struct imap_cursor *x, uint64_t min, uint64_t *ret) MUST_USE; /* 63 bits */
int imap_set(struct imap_cursor *x, struct imap_set *ret) MUST_USE;           /* "$" too; no SP before it */
int imap_plain_set(struct imap_cursor *x, struct imap_set *ret) MUST_USE;     /* neither "*" nor "$" */
int imap_partial_range(struct imap_cursor *x, int64_t *ret_from, int64_t *ret_to) MUST_USE; /* RFC 9394 */
int imap_mailbox(struct imap_cursor *x, struct slice *ret) MUST_USE;
/* A name, or a part or pattern of one, from the wire to UTF-8. */
int imap_decode_name(struct imap_cursor *x, struct slice in, struct slice *ret) MUST_USE;
int imap_flag_list(struct imap_cursor *x, struct imap_flags *ret) MUST_USE; /* "(" … ")" */
int imap_flag(struct imap_cursor *x, struct imap_flags *ret, size_t *cap) MUST_USE;
#define IMAP_FORWARDED 32                                             /* the keyword that is a flag of the Maildir's */
int imap_date(struct imap_cursor *x, int64_t *ret_day) MUST_USE;      /* 1-Feb-1994, quoted or not */
int imap_date_time(struct imap_cursor *x, int64_t *ret_ms) MUST_USE;  /* " 1-Feb-1994 12:34:56 +0100" */
int imap_status_items(struct imap_cursor *x, unsigned *ret) MUST_USE; /* behind "(", and its ")" */

/* Room for one more of `each` octets in an array of the arena's: the array's new place. */
void *imap_grow(struct arena *a, void *items, size_t count, size_t *cap, size_t each);
struct slice imap_keep(struct arena *a, struct slice s); /* a copy */

/* A table of words with a number each. */
struct imap_name {
    const char *name;
    unsigned value;
};
const struct imap_name *imap_find_name(const struct imap_name *names, size_t count, struct slice word);
#define IMAP_FIND(table, word) imap_find_name(table, sizeof(table) / sizeof(table)[0], word)

#endif
