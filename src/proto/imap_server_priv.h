/* facteur: proto/imap_server_priv: the session that the imap_server files share.
 * Purpose:   the states, the session, and what its parts call of one another: imap_server.c (the pump, the public
 *            functions), _input (lines, literals), _commands (the table), _append, _auth, _reply.
 * Owner:     struct imap_server owns all it points to but options' texts, host and world.
 * Thread:    the loop's.
 * Limits:    IMAP_LINE_BEFORE_LOGIN, IMAP_INPUT, IMAP_SWALLOW.
 * Standards: RFC 9051. */
#ifndef FACTEUR_PROTO_IMAP_SERVER_PRIV_H
#define FACTEUR_PROTO_IMAP_SERVER_PRIV_H

#include "facteur/base/buf.h"
#include "facteur/mail/limits.h"
#include "facteur/proto/imap_server.h"
#include "imap_parse_priv.h"
#include "talk_priv.h"

#define IMAP_STATES(X) X(GREETING) X(NOT_AUTHENTICATED) X(AUTHENTICATED) X(SELECTED) X(LOGOUT)
enum imap_state {
#define X(name) IMAP_IS_##name,
    IMAP_STATES(X)
#undef X
};

enum {
    IMAP_LINE_BEFORE_LOGIN = 8192,            /* octets of a command with its literals */
    IMAP_INPUT = LIMIT_SASL_LINE + 64 * 1024, /* beside an unfinished line: one read of the stream while we owe */
    IMAP_SWALLOW = 1024 * 1024,               /* octets of a refused command; before login 64 KiB */
    IMAP_SWALLOW_BEFORE_LOGIN = 64 * 1024,
    IMAP_ERRORS_BEFORE_LOGIN = 3,
    IMAP_TAIL = 64 /* of a line that is swallowed: where a literal is announced */
};

/* A command from its first complete line to its tagged reply. */
struct imap_work {
    struct arena arena; /* the command and its text */
    struct buf text;    /* lines and literals that do not make a command yet */
    size_t size;        /* octets of it that are in the arena already (MULTIAPPEND) */
    struct slice line;  /* … of it what the log may show */
    struct imap_command command;
    uint64_t left; /* octets of the literal that comes */

    struct imap_append item; /* the message announced last */
    bool item_nonsync;
    struct sink sink;
    unsigned messages; /* taken by the host: append_abort is owed */
    bool failed;       /* … and then it failed: */
    struct imap_result failure;
};

/* What the host owes us. */
enum imap_owed { OWED_NOTHING, OWED_AUTH, OWED_APPEND, OWED_RUN };

typedef enum progress imap_take(struct imap_server *s);

struct imap_server {
    struct imap_server_options options;
    const struct imap_host *host;
    void *world;

    /* Three independent things: where the dialogue stands, what is owed, who gets the next octets. */
    enum imap_state state;
    enum imap_owed waiting;
    imap_take *take; /* NULL: nobody (TLS is being started, or it is over) */

    struct talk_input input;
    size_t scanned;             /* octets of input.now that are known to hold no LF */
    struct talk_outbox *outbox; /* NULL between two calls */

    struct imap_work *work; /* NULL: no command is under way */
    char *tag;              /* of AUTHENTICATE, LOGIN and IDLE, whose work is over */
    struct sasl_server *sasl;
    char *login; /* NULL: none */
    char *bye;   /* to be said when the command under way is done */
    unsigned enabled;

    bool tls;       /* active */
    bool read_only; /* what is selected */
    bool ending;    /* the last words have been said */
    bool has_quit;  /* LOGOUT was said */
    bool held;      /* the message's store is full */
    bool new_wait;  /* something was replied: the peer's deadline starts anew */
    enum imap_phase phase;
    unsigned errors, auth_failures;

    uint64_t drain;  /* octets of a refused literal to swallow, before the rest of its line */
    uint64_t budget; /* … and what may be swallowed in all */
    char tail[IMAP_TAIL];
    size_t tail_n;
};

/* imap_server.c */
void imap_go(struct imap_server *s, enum imap_state state); /* the only writer of state */
bool imap_is_logged_in(const struct imap_server *s);
void imap_work_drop(struct imap_server *s); /* the command is over, or will not be; append_abort if owed */
void imap_say_bye(struct imap_server *s, const char *text);

/* imap_server_input.c */
imap_take imap_take_command, imap_take_literal, imap_take_message, imap_take_swallow, imap_take_sasl, imap_take_idle;
/* A complete line of at most max octets, without its CRLF. MORE; -E2BIG too long, -EILSEQ a NUL or a CR or LF alone:
 * nothing is consumed then. */
int imap_next_line(struct imap_server *s, size_t max, struct slice *ret) MUST_USE;
void imap_consume(struct imap_server *s, size_t n);
/* No command begins in the next `octets`, nor in the line behind them. */
void imap_swallow(struct imap_server *s, uint64_t octets);
/* The literal that was announced is not wanted: a synchronising one will not come. */
void imap_refuse_literal(struct imap_server *s, uint64_t octets, bool nonsync);
struct imap_parse_options imap_options_of(const struct imap_server *s);

/* imap_server_commands.c */
void imap_run(struct imap_server *s);                               /* work->command is complete */
bool imap_may_tell(const struct imap_server *s, bool *ret_expunge); /* news before the reply to work->command */
bool imap_is_secret(enum imap_verb verb);

/* imap_server_append.c */
/* A line of APPEND or REPLACE that ends in a literal. True: it is a message's (or was refused); false: it belongs to
 * the command's text. */
bool imap_announce_message(struct imap_server *s, struct slice text, uint64_t octets, bool nonsync);
void imap_append_decided(struct imap_server *s, const struct imap_result *r);
void imap_append_ended(struct imap_server *s, struct slice text); /* a line behind a message, without a literal */
void imap_append_fail(struct imap_server *s, const struct imap_result *r);

/* imap_server_auth.c */
void imap_cmd_login(struct imap_server *s);
void imap_cmd_authenticate(struct imap_server *s);
void imap_auth_decided(struct imap_server *s, const struct verdict *v);
void imap_auth_drop(struct imap_server *s);
bool imap_offers_auth(const struct imap_server *s);

/* imap_server_reply.c */
void imap_put(struct imap_server *s, const char *text, size_t n); /* raw */
void imap_puts(struct imap_server *s, const char *text);
void imap_flush(struct imap_server *s);
void imap_put_capabilities(struct imap_server *s); /* "CAPABILITY IMAP4rev1 …" */
/* "tag OK [code] text": tag "*" when none is known. `shown`: what the log may show of the command. Counts errors. */
void imap_reply(struct imap_server *s, const struct imap_result *r);
void imap_reply_tagged(struct imap_server *s, struct slice tag, struct slice shown, const struct imap_result *r);
void imap_tell_refused(struct imap_server *s, const struct imap_result *r, struct slice shown);

#endif
