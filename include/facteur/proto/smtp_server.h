/* facteur: proto/smtp_server: the server's side of SMTP and submission.
 * Purpose:   commands in, replies out. One delivery: greeting (ask_connect) → EHLO (ask_helo) → STARTTLS, AUTH
 *            (ask_auth) → MAIL (ask_mail) → RCPT … (ask_rcpt) → DATA or BDAT (ask_data, then body octets into the
 *            host's sink) → end of data (ask_commit) → 250 with the queue id. RSET, EHLO, STARTTLS and a disconnect
 *            drop the transaction (abort). Each ask_ is answered NOW with a verdict, or LATER: then input waits (and
 *            stays where it is) until smtp_server_answer. So the order of replies is the order of commands, and
 *            pipelining costs nothing.
 * Owner:     one heap object per connection, made and freed by the service; it calls nothing after smtp_server_free.
 *            What an ask_ is given lives until it is answered. Never free it from inside a call of the host's.
 * Thread:    the loop's.
 * Limits:    LIMIT_COMMAND_LINE, LIMIT_SASL_LINE, recipients, errors, commands, message size: struct
 *            smtp_server_options; a refused body is swallowed for as many octets again, then 421. Idle it holds no
 *            input buffer.
 * Standards: RFC 5321, 6409, 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 9422. */
#ifndef FACTEUR_PROTO_SMTP_SERVER_H
#define FACTEUR_PROTO_SMTP_SERVER_H

#include "facteur/mail/body.h"
#include "facteur/proto/host.h"
#include "facteur/proto/sasl.h"
#include "facteur/proto/smtp_syntax.h"

struct smtp_server;

/* What the peer is being waited for; the service keeps the deadline for it. */
enum smtp_phase {
    SMTP_PHASE_GREETING, /* greeted, no EHLO yet */
    SMTP_PHASE_COMMAND,
    SMTP_PHASE_DATA, /* also between two chunks: the message as a whole is what is waited for */
    SMTP_PHASE_TLS,
    SMTP_PHASE_OURS /* we owe an answer: no deadline for the peer */
};

struct smtp_host {
    void (*send)(void *world, struct slice octets);    /* a copy is queued */
    void (*start_tls)(void *world);                    /* after what was sent; ends in smtp_server_tls_started */
    void (*phase)(void *world, enum smtp_phase phase); /* a new wait begins: restart the deadline */
    void (*close)(void *world);                        /* what was sent goes out, then the connection ends */

    enum when (*ask_connect)(void *world, struct verdict *ret);
    enum when (*ask_helo)(void *world, const char *helo, bool extended, struct verdict *ret);
    enum when (*ask_auth)(void *world, const struct sasl_attempt *attempt, struct verdict *ret); /* 235 or 535, 454 … */
    /* SCRAM: the keys of a user; ret->known false still has a salt that stays the same for the same name. */
    void (*scram_keys)(void *world, struct slice user, struct sasl_scram_keys *ret);
    enum when (*ask_mail)(void *world, const struct smtp_mail *mail, struct verdict *ret);
    enum when (*ask_rcpt)(void *world, const struct smtp_rcpt *rcpt, struct verdict *ret);
    enum when (*ask_data)(
        void *world,
        struct verdict *ret);         /* before 354, or before the first chunk: a refusal here ends the transaction */
    struct sink (*body)(void *world); /* where the octets go; asked once after ask_data */
    /* The body is complete and good. From here the host owns the transaction's end, whatever it answers: no abort. */
    enum when (*ask_commit)(void *world, struct verdict *ret);
    /* A transaction that ask_mail accepted is over, and ask_commit was not asked; also after a body with a defect. */
    void (*abort)(void *world);
    void (*refused)(void *world, const struct verdict *v,
                    struct slice command); /* for the log: each 4xx and 5xx sent, and a peer that does not speak
                                              SMTP (closed without a word); secrets are already cut out */
};

struct smtp_server_options {
    const char *hostname;
    bool submission;       /* AUTH before MAIL; errors in trusted order */
    bool tls_offered;      /* STARTTLS is possible */
    bool tls_active;       /* implicit TLS */
    bool auth_without_tls; /* loopback */
    bool trusting;         /* a trusted network: talking ahead of the greeting, EHLO or DATA is put up with */
    bool fix_bare_newlines;
    struct sasl_mechanisms auth; /* none set: AUTH is not offered at all */
    uint64_t message_size;       /* 0: no limit */
    unsigned recipients;         /* 0 in any of these: no limit */
    unsigned line_length;        /* octets of a body line with CRLF */
    unsigned errors;             /* 5xx replies until 421, counted from the last accepted message */
    unsigned commands;      /* commands that bring no mail on (NOOP, RSET, EHLO …) until 421, counted likewise; 20
                                    times as many 4xx replies */
    unsigned auth_failures; /* until 421 */
};

struct smtp_server *smtp_server_new(const struct smtp_server_options *options, const struct smtp_host *host,
                                    void *world);
void smtp_server_free(struct smtp_server **s); /* drops a transaction (abort is called) */

void smtp_server_start(struct smtp_server *s); /* asks ask_connect and greets */
void smtp_server_feed(struct smtp_server *s,
                      struct slice octets); /* all of it is taken: consumed, or kept within bounds */
void smtp_server_answer(struct smtp_server *s,
                        const struct verdict *v);    /* the answer to LATER; never from inside an ask_ */
void smtp_server_tls_started(struct smtp_server *s); /* all that was said before is forgotten */
void smtp_server_timeout(struct smtp_server *s);     /* 421 4.4.2 and close */
/* 421 4.3.2 with this static text and close, as soon as no commit is under way. */
void smtp_server_goodbye(struct smtp_server *s, const char *why);
void smtp_server_body_failed(struct smtp_server *s,
                             int code); /* the sink's store failed later (a spool write): as a sink's error */

/* True while input must not come: an answer is owed (or, in a body, the host said smtp_server_hold). The service pauses
 * the stream. */
bool smtp_server_is_waiting(const struct smtp_server *s);
void smtp_server_hold(struct smtp_server *s, bool hold); /* the body's store is full for now: input waits */

/* The last command was QUIT: the peer sends nothing more. */
bool smtp_server_has_quit(const struct smtp_server *s);

/* For trace and log. */
const char *smtp_server_helo(const struct smtp_server *s);  /* "" before */
const char *smtp_server_with(const struct smtp_server *s);  /* "ESMTPSA" …: RFC 3848, 6531 */
const char *smtp_server_login(const struct smtp_server *s); /* as it was typed, after a 235; "" before */
const char *smtp_server_state(const struct smtp_server *s); /* the state's name, for `facteur status` */
bool smtp_server_in_transaction(const struct smtp_server *s);

#endif
