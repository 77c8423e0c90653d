/* facteur: proto/imap_command: what an IMAP client can ask, as data.
 * Purpose:   the meaning of one command, made by proto/imap_parse, carried out by the host.
 * Owner:     everything is in the command's arena and lives until its tagged reply.
 * Thread:    built and read on the loop; jobs get copies of what they need.
 * Limits:    struct imap_parse_limits; IMAP_SEARCH_DEPTH.
 * Standards: RFC 9051, 3501; extensions as named below. */
#ifndef FACTEUR_PROTO_IMAP_COMMAND_H
#define FACTEUR_PROTO_IMAP_COMMAND_H

#include "facteur/base/arena.h"
#include "facteur/base/ranges.h"

enum { IMAP_SEARCH_DEPTH = 64, IMAP_SEARCH_KEYS = 5000, IMAP_SET_PIECES = 20000, IMAP_SECTION_DEPTH = 100 };

/* verb, and whether UID may stand before it */
/* clang-format off */
#define IMAP_VERBS(X)                                                                                                  \
    X(CAPABILITY) X(NOOP) X(LOGOUT) X(ID) X(STARTTLS) X(AUTHENTICATE) X(LOGIN) X(ENABLE) X(SELECT) X(EXAMINE)          \
    X(CREATE) X(DELETE) X(RENAME) X(SUBSCRIBE) X(UNSUBSCRIBE) X(LIST) X(LSUB) X(NAMESPACE) X(STATUS) X(APPEND)         \
    X(IDLE) X(GETQUOTA) X(GETQUOTAROOT) X(SETQUOTA) X(CHECK) X(CLOSE) X(UNSELECT) X(EXPUNGE) X(SEARCH) X(SORT)         \
    X(THREAD) X(FETCH) X(STORE) X(COPY) X(MOVE) X(REPLACE)
/* clang-format on */
#define IMAP_VERB_NAME(v) IMAP_##v,
enum imap_verb { IMAP_VERBS(IMAP_VERB_NAME) IMAP_VERB_COUNT };

/* A sequence-set: pieces as written, 0 is "*"; or "$", the saved result (RFC 5182). */
struct imap_piece {
    uint32_t from, to;
};
struct imap_set {
    struct imap_piece *pieces;
    size_t count;
    bool saved;
};

struct imap_flags { /* of STORE, APPEND */
    uint8_t flags;  /* bits as enum mailbox_flag of store/mailbox: \Answered 1, \Flagged 2, \Deleted 4, \Seen 8, \Draft
                     * 16, $Forwarded 32 */
    struct slice *keywords;
    size_t keyword_count;
};

/* --- FETCH --- */

enum imap_section_text { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT, SECTION_TEXT, SECTION_MIME };
struct imap_section {
    uint32_t *path; /* part numbers */
    size_t depth;
    enum imap_section_text text;
    struct slice *fields; /* names, for SECTION_FIELDS and SECTION_FIELDS_NOT */
    size_t field_count;
    struct slice spelled; /* what stood between the brackets, to be repeated: "1.2.HEADER.FIELDS (TO)" */
};
enum imap_fetch_kind {
    FETCH_FLAGS,
    FETCH_UID,
    FETCH_INTERNALDATE,
    FETCH_SIZE,
    FETCH_ENVELOPE,
    FETCH_BODY,
    FETCH_BODYSTRUCTURE,
    FETCH_SECTION, /* BODY[…], BODY.PEEK[…] */
    FETCH_RFC822,
    FETCH_RFC822_HEADER,
    FETCH_RFC822_TEXT, /* RFC 3501 */
    FETCH_BINARY,
    FETCH_BINARY_SIZE, /* RFC 3516 */
    FETCH_MODSEQ,      /* RFC 7162 */
    FETCH_EMAILID,
    FETCH_THREADID, /* RFC 8474 */
    FETCH_SAVEDATE, /* RFC 8514 */
    FETCH_PREVIEW   /* RFC 8970; LAZY is the same here */
};
struct imap_fetch_item {
    enum imap_fetch_kind kind;
    bool peek, partial;
    uint64_t offset, length; /* of partial */
    struct imap_section section;
};
struct imap_fetch {
    struct imap_fetch_item *items; /* macros are expanded; UID is there for UID FETCH; no item twice */
    size_t count;
    bool changed_since, vanished; /* RFC 7162 */
    uint64_t since;
    bool partial;                     /* RFC 9394 */
    int64_t partial_from, partial_to; /* 1-based; negative from the end */
};

/* --- STORE --- */

enum imap_store_how { IMAP_STORE_REPLACE, IMAP_STORE_ADD, IMAP_STORE_REMOVE };
struct imap_store {
    enum imap_store_how how;
    bool silent, unchanged_since;
    uint64_t since;
    struct imap_flags flags;
};

/* --- SEARCH, SORT, THREAD --- */

enum imap_key_kind {
    KEY_ALL,
    KEY_AND /* children */,
    KEY_OR /* two children */,
    KEY_NOT /* one */,
    KEY_SEQ,
    KEY_UID, /* set */
    KEY_FLAG,
    KEY_UNFLAG, /* flags: one bit; \Recent is KEY_RECENT */
    KEY_KEYWORD,
    KEY_UNKEYWORD, /* text */
    KEY_RECENT,
    KEY_OLD,
    KEY_NEW,
    KEY_LARGER,
    KEY_SMALLER, /* number */
    KEY_BEFORE,
    KEY_ON,
    KEY_SINCE, /* day: days since 1970 of INTERNALDATE */
    KEY_SENTBEFORE,
    KEY_SENTON,
    KEY_SENTSINCE,
    KEY_SAVEDBEFORE,
    KEY_SAVEDON,
    KEY_SAVEDSINCE,
    KEY_SAVEDATESUPPORTED, /* RFC 8514 */
    KEY_OLDER,
    KEY_YOUNGER, /* number: seconds; RFC 5032 */
    KEY_MODSEQ,  /* number; RFC 7162 */
    KEY_EMAILID,
    KEY_THREADID, /* text; RFC 8474 */
    KEY_HEADER,   /* field, text; also FROM, TO, CC, BCC, SUBJECT */
    KEY_BODY,
    KEY_TEXT /* text */
};
struct imap_key {
    enum imap_key_kind kind;
    struct imap_key *next, *first; /* sibling, children */
    struct imap_set set;
    uint8_t flag;
    uint64_t number;
    int64_t day;
    struct slice field; /* a header field's name */
    struct slice text;  /* in UTF-8, not folded */
};
enum imap_return {
    RETURN_MIN = 1,
    RETURN_MAX = 2,
    RETURN_ALL = 4,
    RETURN_COUNT = 8,
    RETURN_SAVE = 16,
    RETURN_PARTIAL = 32
};
enum imap_sort_key {
    SORT_ARRIVAL,
    SORT_CC,
    SORT_DATE,
    SORT_FROM,
    SORT_SIZE,
    SORT_SUBJECT,
    SORT_TO,
    SORT_DISPLAYFROM,
    SORT_DISPLAYTO
};
struct imap_sort {
    enum imap_sort_key key;
    bool reverse;
};
enum imap_thread { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES };
struct imap_search {
    bool extended;    /* RETURN was given: ESEARCH answers */
    unsigned returns; /* of enum imap_return; RETURN_ALL for "RETURN ()" */
    int64_t partial_from, partial_to;
    bool uses_modseq;       /* MODSEQ is among the keys */
    bool bad_charset;       /* the strings are in one that is not known: NO [BADCHARSET (…)] */
    struct imap_key *root;  /* KEY_AND */
    struct imap_sort *sort; /* SORT */
    size_t sort_count;
    enum imap_thread thread; /* THREAD */
};

/* --- mailboxes --- */

enum imap_status_item {
    STATUS_MESSAGES = 1,
    STATUS_RECENT = 2,
    STATUS_UIDNEXT = 4,
    STATUS_UIDVALIDITY = 8,
    STATUS_UNSEEN = 16,
    STATUS_DELETED = 32,
    STATUS_SIZE = 64,
    STATUS_HIGHESTMODSEQ = 128,
    STATUS_MAILBOXID = 256,
    STATUS_APPENDLIMIT = 512,
    STATUS_DELETED_STORAGE = 1024
};
enum imap_list_option {
    LIST_SUBSCRIBED = 1,
    LIST_REMOTE = 2,
    LIST_RECURSIVEMATCH = 4,
    LIST_SPECIAL_USE = 8,
    LIST_RETURN_SUBSCRIBED = 16,
    LIST_RETURN_CHILDREN = 32,
    LIST_RETURN_SPECIAL_USE = 64,
    LIST_RETURN_STATUS = 128
};
struct imap_list {
    bool extended;    /* RFC 5258 syntax was used */
    unsigned options; /* of enum imap_list_option */
    unsigned status;  /* of enum imap_status_item, for LIST_RETURN_STATUS */
    struct slice reference;
    struct slice *patterns; /* UTF-8 */
    size_t pattern_count;
};
struct imap_select {
    bool condstore, qresync;
    uint32_t uidvalidity; /* of QRESYNC */
    uint64_t modseq;
    struct ranges known_uids;               /* empty: not given; in the arena, so it is not cleared */
    struct imap_set match_seqs, match_uids; /* seq-match-data; count 0: not given */
};
struct imap_append { /* one message of it */
    struct imap_flags flags;
    bool has_date;
    int64_t internal_ms;
    uint64_t size; /* of the literal */
    bool binary;   /* literal8 (RFC 3516, 6855) */
    bool utf8;     /* it stands in UTF8 (…) (RFC 6855) */
};

enum imap_enable { ENABLE_CONDSTORE = 1, ENABLE_QRESYNC = 2, ENABLE_UTF8 = 4, ENABLE_REV2 = 8 };

struct imap_command {
    struct slice tag;
    enum imap_verb verb;
    bool uid;             /* UID stood before it */
    struct slice mailbox; /* UTF-8, checked; RENAME: the old name */
    struct slice to;      /* RENAME: the new name */
    struct imap_set set;  /* FETCH, STORE, COPY, MOVE, UID EXPUNGE, REPLACE */
    unsigned special;     /* CREATE USE: as enum index_special of store/index, 0 none */
    bool special_refused; /* CREATE USE with one that is not known, or several: NO [USEATTR], said by imap_server */
    struct slice id;      /* ID: "name=… version=…", for the log */
    unsigned status;      /* STATUS */
    unsigned enable;      /* ENABLE, and what a CONDSTORE parameter or MODSEQ turned on */
    struct slice user, password; /* LOGIN */
    struct slice mechanism;      /* AUTHENTICATE */
    bool has_initial;
    struct slice initial;
    struct imap_fetch fetch;
    struct imap_store store;
    struct imap_search search;
    struct imap_list list;
    struct imap_select select;
};

#endif
