/* facteur: proto/smtp_server_priv: the session that the smtp_server files share.
 * Purpose:   the states, the session, and what its parts call of one another: smtp_server.c (input, pump, the public
 *            functions), _commands (the table), _auth, _body, _reply.
 * Owner:     struct smtp_server owns all it points to but options' texts, host and world.
 * Thread:    the loop's.
 * Limits:    INPUT_MAX, DRAIN_MIN, DRAIN_UNLIMITED.
 * Standards: RFC 5321. */
#ifndef FACTEUR_PROTO_SMTP_SERVER_PRIV_H
#define FACTEUR_PROTO_SMTP_SERVER_PRIV_H

#include "facteur/proto/smtp_server.h"
#include "talk_priv.h"

/* GREETING: ask_connect is not answered. START: no EHLO yet, or TLS has just begun. MAIL, RCPT: a transaction without
 * and with recipients. DATA: its body comes by DATA, BDAT: in chunks, with commands between them. */
#define SMTP_STATES(X) X(GREETING) X(START) X(READY) X(MAIL) X(RCPT) X(DATA) X(BDAT) X(CLOSED)
enum smtp_state {
#define X(name) SMTP_##name,
    SMTP_STATES(X)
#undef X
};
#define IN(name) (1U << SMTP_##name)

enum {
    INPUT_MAX =
        LIMIT_SASL_LINE + 64 * 1024,    /* an unfinished line, and one read of the stream while an answer is owed */
    DRAIN_MIN = 1024 * 1024,            /* octets swallowed behind a refusal when the message limit is lower */
    DRAIN_UNLIMITED = 64 * 1024 * 1024, /* … and when there is no limit */
    DEFERRALS_A_COMMAND = 20            /* 4xx replies for each of options.commands */
};

struct smtp_tx {
    struct smtp_mail mail;
    struct smtp_rcpt rcpt; /* the one that is being asked about */
    unsigned recipients;   /* accepted */
    bool accepted;         /* ask_mail said yes: abort is owed */
    bool committing;       /* ask_commit has been asked: abort is no longer owed */
    bool last;             /* of BDAT */
    uint64_t chunk;        /* octets of this BDAT */
    uint64_t wasted;       /* octets of the body behind its first defect */
    struct body_in body;
};

typedef void smtp_continuation(struct smtp_server *s, const struct verdict *v);
typedef enum progress smtp_take(struct smtp_server *s);

struct smtp_command {
    const char *verb;
    uint16_t allowed; /* IN(…) of the states it may come in */
    uint16_t needs;   /* enum smtp_needs */
    void (*run)(struct smtp_server *s, struct slice arg);
    const char *otherwise; /* the text of 503 in any other state */
};

struct smtp_server {
    struct smtp_server_options options;
    const struct smtp_host *host;
    void *world;

    /* Three independent things: where the dialogue stands, what we owe an answer to, who gets the next octets. */
    enum smtp_state state;
    smtp_continuation *waiting; /* NULL: nothing is owed */
    smtp_take *take;            /* NULL: nobody (TLS is being started, or it is over) */

    struct talk_input input;
    struct talk_outbox *outbox; /* NULL between two calls */

    const struct smtp_command *command; /* the one under way or the last one */
    struct slice line;                  /* what the log may show of it */
    struct smtp_tx *tx;
    struct sasl_server *sasl; /* during AUTH */
    char *login;              /* NULL: none */
    char helo[LIMIT_DOMAIN + 1];
    const char *goodbye; /* 421 with this text when the commit is through; else NULL */

    bool extended;  /* EHLO, not HELO */
    bool tls;       /* active */
    bool ending;    /* the reply that ends the connection has been said */
    bool held;      /* the body's store is full */
    bool line_said; /* the line that is being skipped has had its reply */
    bool after_cr;  /* of the line that is being skipped */
    bool new_wait;  /* something was replied: the peer's deadline starts anew */
    bool early;     /* octets came before the greeting */
    enum smtp_phase phase;
    uint64_t drain;  /* octets to swallow */
    bool drain_over; /* … and then end it */
    unsigned errors, deferrals, idle_commands, auth_failures;
};

/* smtp_server.c */
void smtp_go(struct smtp_server *s, enum smtp_state state); /* the only writer of state */
void smtp_decide(struct smtp_server *s, enum when when, const struct verdict *v, smtp_continuation *then);
bool smtp_is_outsider(const struct smtp_server *s);
void smtp_swallow(struct smtp_server *s, uint64_t octets); /* no command begins in the next octets */
void smtp_skip_line(struct smtp_server *s);                /* … up to the next CRLF */
void smtp_tx_drop(struct smtp_server *s);                  /* ends a transaction, if there is one; abort if owed */
smtp_take smtp_take_command, smtp_take_sasl, smtp_take_body;
/* The next line without its CRLF. DONE with *ret set; MORE when it is incomplete; -E2BIG longer than max with CRLF,
 * -EILSEQ a bare CR or LF or a NUL: then what belongs to it is skipped. */
int smtp_next_line(struct smtp_server *s, size_t max, struct slice *ret) MUST_USE;

/* smtp_server_commands.c */
void smtp_run_line(struct smtp_server *s, struct slice line);
bool smtp_is_foreign(struct slice start); /* the start of HTTP or of a TLS handshake */
bool smtp_offers_auth(const struct smtp_server *s);
bool smtp_talks_ahead(const struct smtp_server *s); /* octets behind a command that ends a group, from an outsider */

/* smtp_server_auth.c */
void smtp_cmd_auth(struct smtp_server *s, struct slice arg);
void smtp_auth_drop(struct smtp_server *s);

/* smtp_server_body.c */
void smtp_cmd_data(struct smtp_server *s, struct slice arg);
void smtp_cmd_bdat(struct smtp_server *s, struct slice arg);
void smtp_swallow_chunk(struct smtp_server *s, struct slice arg); /* of a BDAT that was refused */
smtp_continuation smtp_commit_decided;

/* smtp_server_reply.c */
void smtp_reply(struct smtp_server *s, int code, const char *enhanced, const char *text);
void smtp_say(struct smtp_server *s, const struct verdict *v);
bool smtp_is_idling(struct smtp_server *s); /* counts a command that brings no mail on; true: one too many, and said */
void smtp_say_talked_ahead(struct smtp_server *s);
void smtp_put(struct smtp_server *s, const char *text, size_t n); /* raw */
void smtp_flush(struct smtp_server *s);

#endif
