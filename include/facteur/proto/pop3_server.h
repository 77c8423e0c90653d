/* facteur: proto/pop3_server: the server's side of POP3.
 * Purpose:   commands in, replies out. Greeting → STLS, USER and PASS or AUTH (ask_auth) → the mailbox is locked and
 *            listed (ask_open) → STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP from the list → QUIT removes what was
 *            marked (ask_quit). Only QUIT removes anything (RFC 1939 section 6).
 * Owner:     one heap object per connection, made and freed by the service; it calls nothing after pop3_server_free.
 *            Never free it from inside a call of the host's.
 * Thread:    the loop's.
 * Limits:    512 octets a command, LIMIT_SASL_LINE in AUTH; options.errors, options.auth_failures.
 * Standards: RFC 1939, 2449 (CAPA, RESP-CODES, PIPELINING), 2595 (STLS), 3206 (AUTH-RESP-CODE), 5034 (SASL), 6856
 *            (UTF8), 3206 ([SYS/TEMP]). */
#ifndef FACTEUR_PROTO_POP3_SERVER_H
#define FACTEUR_PROTO_POP3_SERVER_H

#include "facteur/mail/verdict.h"
#include "facteur/proto/host.h"
#include "facteur/proto/sasl.h"

struct pop3_server;

enum pop3_phase { POP3_PHASE_LOGIN, POP3_PHASE_COMMAND, POP3_PHASE_TLS, POP3_PHASE_OURS };

struct pop3_message {
    uint64_t size; /* octets on the wire */
    bool deleted;  /* marked in this session */
};

struct pop3_host {
    void (*send)(void *world, struct slice octets);
    void (*start_tls)(void *world);
    void (*phase)(void *world, enum pop3_phase phase);
    void (*close)(void *world);
    /* 235, 535, 534 (the service is not this account's: its text says so), 454. LATER ends in pop3_server_auth. */
    enum when (*ask_auth)(void *world, const struct sasl_attempt *attempt, struct verdict *ret);
    void (*scram_keys)(void *world, struct slice user, struct sasl_scram_keys *ret);
    /* Locks and lists the mailbox; always LATER: pop3_server_opened. */
    void (*ask_open)(void *world);
    /* RETR (lines UINT64_MAX) and TOP: the host sends "+OK …" itself when it has the message, then its lines
     * (dot-stuffed, CRLF) and ".", then pop3_server_sent(0); or pop3_server_sent(negative) without having sent anything. */
    void (*retrieve)(void *world, size_t message, uint64_t lines);
    /* The unique-id of a message, into `to` (71 octets with NUL). */
    void (*uidl)(void *world, size_t message, char *to);
    /* QUIT: removes what is marked; always LATER: pop3_server_quit_done. */
    void (*ask_quit)(void *world);
    void (*refused)(void *world, const char *reply, struct slice command);
};

struct pop3_server_options {
    const char *hostname;
    bool tls_offered, tls_active, auth_without_tls;
    struct sasl_mechanisms auth;
    unsigned errors, auth_failures;
};

struct pop3_server *pop3_server_new(const struct pop3_server_options *options, const struct pop3_host *host,
                                    void *world);
void pop3_server_free(struct pop3_server **s);

void pop3_server_start(struct pop3_server *s);
void pop3_server_refuse(struct pop3_server *s, const struct verdict *why); /* -ERR instead of the greeting, close */
void pop3_server_feed(struct pop3_server *s, struct slice octets);
void pop3_server_auth(struct pop3_server *s, const struct verdict *v);
/* `messages` (borrowed until the session ends, marks are written into it). code -EBUSY: [IN-USE]; other negative:
 * [SYS/TEMP]. */
void pop3_server_opened(struct pop3_server *s, int code, struct pop3_message *messages, size_t count);
void pop3_server_sent(struct pop3_server *s, int code);
void pop3_server_quit_done(struct pop3_server *s, int code);
void pop3_server_tls_started(struct pop3_server *s);
void pop3_server_timeout(struct pop3_server *s); /* closes without a word (RFC 1939 section 3); nothing is deleted */
void pop3_server_bye(struct pop3_server *s,
                     const char *why);                   /* -ERR with this static text as soon as nothing is owed */
void pop3_server_hold(struct pop3_server *s, bool hold); /* output has not drained: the next command waits */
bool pop3_server_is_waiting(const struct pop3_server *s);
/* The last command was QUIT: the peer sends nothing more. */
bool pop3_server_has_quit(const struct pop3_server *s);
const char *pop3_server_state(const struct pop3_server *s);

#endif
