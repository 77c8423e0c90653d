/* facteur: conf/config: what the policy file means, in effect.
 * Purpose:   one immutable snapshot of all settings; everybody reads, nobody writes.
 * Owner:     reference-counted (sessions finish on the snapshot they started with); all memory is in its arena.
 * Thread:    the loop's (counting); a job gets copies of what it needs.
 * Limits:    a file of 1 MiB; every value has a range in the schema.
 * Standards: YAML 1.1 as libyaml reads it, without aliases and tags. */
#ifndef FACTEUR_CONF_CONFIG_H
#define FACTEUR_CONF_CONFIG_H

#include "facteur/base/arena.h"
#include "facteur/base/log.h"
#include "facteur/base/map.h"
#include "facteur/mail/address.h"
#include "facteur/mail/ip.h"

/* Where a value stands, for the log and for `facteur check`. */
struct conf_place {
    const char *file;
    unsigned line, column; /* from 1; 0: a default */
};

struct conf_networks {
    struct network *items;
    size_t count;
};
struct conf_strings {
    const char **items;
    size_t count;
};

enum conf_service { SERVICE_SMTP, SERVICE_SUBMISSION, SERVICE_IMAP, SERVICE_POP3, SERVICE_COUNT };
enum conf_tls { TLS_NONE, TLS_STARTTLS, TLS_IMPLICIT };

struct conf_listener {
    const char *address; /* "127.0.0.1", "::", or "unix:PATH" */
    uint16_t port;       /* 0: the kernel picks */
    enum conf_service service;
    enum conf_tls tls;
    struct conf_networks proxy_from; /* PROXY header is required from these and refused from others */
    bool fix_bare_newlines;          /* trusted networks only */
    bool optional;                   /* from "*" or "loopback": skipped where the system lacks the address family */
    struct conf_place at;
};

struct conf_certificate {
    const char *certificate, *key; /* absolute paths of PEM files */
    struct conf_place at;
};

struct conf_file {
    const char *path; /* absolute */
    struct conf_place at;
    const struct conf_file *next;
};

enum conf_recipient_kind { RECIPIENT_UNKNOWN, RECIPIENT_USER, RECIPIENT_ALIAS };

struct conf_user {
    const char *name;                           /* the login and first address: key form (lower case) */
    const char *mailbox_domain, *mailbox_local; /* halves of name */
    struct conf_strings passwords;              /* hashes: $y$, $2b$, $6$, $argon2id$, {SCRAM-SHA-256}… */
    struct conf_strings senders; /* further addresses it may send as: "sales@example.org", "@example.org", "*" */
    uint64_t quota;              /* octets; 0: none */
    unsigned services;           /* bits of enum conf_user_service */
    bool leave_on_server;        /* what POP3 deletes stays */
    bool enabled;                /* false: no login, and mail to it is refused with 550 5.2.1 */
    struct conf_place at;
};
/* What a POP3 unique-id is made of: UIDVALIDITY and UID (Dovecot's %v.%u), its default %08Xu%08Xv, the file's name, or
 * the UID alone. What Dovecot has given to a message it keeps. */
enum conf_uidl { UIDL_VALIDITY_UID, UIDL_DOVECOT, UIDL_FILE_NAME, UIDL_UID };
enum conf_user_service { USER_SUBMISSION = 1, USER_IMAP = 2, USER_POP3 = 4 };

struct conf_alias {
    const char *name;            /* key form "local@domain"; "@domain" is the catch-all. postmaster@ and abuse@ are
                                  * always there, or a user or the catch-all takes them */
    struct conf_strings targets; /* addresses, canonical */
    struct conf_place at;
};

struct conf_domain {
    const char *name;       /* A-labels, lower case */
    const char *subaddress; /* delimiter characters, "" for none */
    struct conf_place at;
};

enum conf_relay_tls { RELAY_TLS_OPPORTUNISTIC, RELAY_TLS_NONE, RELAY_TLS_STARTTLS, RELAY_TLS_IMPLICIT };
struct conf_next_hop {
    const char *host; /* name or address; NULL: the domain's MX */
    uint16_t port;
    enum conf_relay_tls tls;
    bool verify;                 /* in effect: default is on when user is set or tls is not opportunistic */
    const char *user, *password; /* NULL: no AUTH */
    struct conf_place at;
};
struct conf_route {
    const char *domain; /* "example.net", ".example.net" (subdomains), "*" */
    struct conf_next_hop hop;
};

struct conf_limits {
    uint64_t message_size; /* octets; announced by SIZE */
    unsigned recipients;   /* a transaction, from outside */
    unsigned submission_recipients;
    unsigned line_length; /* text line with CRLF; at least 1000 */
    unsigned connections; /* in total */
    unsigned connections_per_address;
    unsigned connections_per_user;    /* sessions that have logged in */
    unsigned connection_rate;         /* new ones a minute and address; 0: none */
    unsigned message_rate;            /* messages a minute and address; 0: none */
    unsigned auth_failures;           /* a session, then it is closed */
    unsigned auth_failure_rate;       /* per address in 15 minutes, then logins are refused */
    struct conf_networks rate_exempt; /* loopback by default */
    unsigned commands;                /* that are no part of a mail transaction, a session */
    unsigned errors;                  /* a session */
    unsigned hops;                    /* Received fields */
    uint64_t memory;                  /* budget of all sessions' input, output and bodies, octets */
    uint64_t imap_line_length;        /* octets of an IMAP command with its literals, after login */
    unsigned search_depth;            /* parentheses, NOT and OR of a SEARCH */
    unsigned search_keys;             /* of a SEARCH */
    unsigned set_pieces;              /* of a sequence set: "1,3:5" has two */
    unsigned mime_depth, mime_parts;  /* levels and parts of a message that IMAP tells apart */
    unsigned mailboxes;               /* a user */
    unsigned keywords;                /* a mailbox */
    struct {                          /* milliseconds; RFC 5321 4.5.3.2 */
        int64_t greeting;             /* server: before the first command */
        int64_t command;              /* server: for the next command */
        int64_t data;                 /* server: for the next block of data */
        unsigned data_rate;           /* server: octets a second at least, over a minute; 0: none */
        int64_t tls;                  /* handshake */
        int64_t login;                /* IMAP, POP3: until the client has logged in */
        int64_t imap;                 /* IMAP: for the next command, also in IDLE */
        int64_t pop3;                 /* POP3: for the next command */
        int64_t relay_connect, relay_greeting, relay_mail, relay_rcpt, relay_data_start, relay_data_block,
            relay_data_end;
        int64_t shutdown;
    } timeout;
};

struct conf_queue {
    int64_t *retry; /* milliseconds after the 1st, 2nd … failure; the last repeats */
    size_t retry_count;
    int64_t lifetime;       /* milliseconds until a message is returned */
    int64_t warn_after;     /* milliseconds until the sender hears of a delay; 0: never */
    uint64_t inline_limit;  /* octets: larger bodies go to the spool */
    uint64_t inline_budget; /* octets of all bodies in memory */
    uint64_t low_disk;      /* octets free below which new mail gets 452 */
    unsigned concurrency;   /* connections in all */
    unsigned destination_concurrency;
    unsigned messages_per_connection;
    int64_t history; /* milliseconds that history.db keeps */
};

struct config {
    const char *file; /* the policy file's path */
    const char *hostname;
    const char *state;          /* the state directory, absolute */
    const char *default_domain; /* for logins without a domain; or NULL */
    const char *run_as;         /* the system user to become when started as root, or NULL */
    struct conf_place run_as_at;

    struct conf_listener *listeners;
    size_t listener_count;

    struct {
        struct conf_certificate *pairs;
        size_t pair_count;
        const char *ca; /* for verifying next hops; NULL: the system's */
    } tls;

    /* By key form; values are conf_domain, conf_user, conf_alias. The lists have the same in the file's order, the
     * aliases of a domain standing together. */
    struct map domains, users, aliases;
    const struct conf_domain **domain_list;
    const struct conf_user **user_list;
    const struct conf_user *typical_user; /* whose password hashes are like most; NULL: nobody has one */
    const struct conf_alias **alias_list;
    const char *users_file; /* what `facteur user` rewrites, or NULL */

    struct {
        bool plain, login;
        bool scram;    /* in effect: asked for, and every user that has a password has a {SCRAM-SHA-256} one */
        int64_t cache; /* ms for which a password that was right is not hashed again; 0: always hashed */
    } auth;

    struct {
        struct conf_networks trusted;
        struct conf_place trusted_at;
        struct conf_strings domains;    /* foreign domains that are accepted for (backup MX) */
        struct conf_next_hop smarthost; /* host NULL: direct MX */
        struct conf_route *routes;
        size_t route_count;
        struct conf_place at;
    } relay;

    struct conf_limits limits;
    struct conf_queue queue;

    struct {
        int64_t keepalive;    /* milliseconds between signs of life in IDLE; 0: none */
        bool search_index;    /* a full-text index is kept */
        uint64_t search_size; /* octets of text indexed a message */
    } imap;
    struct {
        enum conf_uidl uidl;
    } pop3;

    struct {
        const char *servers; /* NULL: the system's */
    } dns;

    struct {
        enum log_target target;
        const char *path;
        enum log_format format;
        enum log_level level;
    } log;

    const struct conf_file *files; /* that the policy names: what a reload reads again */

    struct arena arena;
    unsigned refs;
};

/* All mistakes of one load, in the order of the file. */
struct conf_problems {
    struct buf text; /* lines "file:line:col: message" */
    unsigned count;
};
void conf_problems_clear(struct conf_problems *p);

/* Reads, checks and completes; *ret has one reference. -EINVAL with at least one problem, and nothing in *ret. */
int config_load(const char *path, struct config **ret, struct conf_problems *problems) MUST_USE;

/* What a command is about to change in the users file; the policy is looked at as it will be then. */
struct config_change {
    bool adds_user;           /* so the targets of aliases need not be there yet */
    const char *removes_user; /* key form, or NULL */
};
int config_load_for(const char *path, struct config_change change, struct config **ret,
                    struct conf_problems *problems) MUST_USE;
/* The same from memory: for tests, fuzzing and the embedded default. `name` stands for the file in messages; included
 * files are relative to its directory. NULL: the text stands alone and no other file is looked at; users_file and
 * {file: …} are problems then, and certificates are taken as they are. */
int config_parse(const char *name, struct slice text, struct config **ret, struct conf_problems *problems) MUST_USE;

struct config *config_ref(struct config *c);
void config_unref(struct config **c); /* sets the pointer to NULL */

/* Prints every value in effect (secrets as ********), for `facteur check`. */
int config_print(const struct config *c, struct buf *out) MUST_USE;
/* Prints the schema as the reference page's tables, for docs/configuration.md. */
int config_reference(struct buf *out) MUST_USE;

/* Look-ups; each borrows from the snapshot, NULL when there is none. */
const struct conf_domain *config_domain(const struct config *c, const char *domain);
const struct conf_user *config_user(const struct config *c, const char *key);
const struct conf_alias *config_alias(const struct config *c, const char *key);
/* Who takes mail for an address of a declared domain: a user or an alias of that name, the same without the domain's
 * sub-address, or the catch-all. The one that it is goes to *ret_user or *ret_alias. */
enum conf_recipient_kind config_recipient(const struct config *c, const struct address *address,
                                          const struct conf_user **ret_user, const struct conf_alias **ret_alias);
/* A login as typed: an address, or a bare name that gets default_domain. */
const struct conf_user *config_login(const struct config *c, struct slice login);

#endif
