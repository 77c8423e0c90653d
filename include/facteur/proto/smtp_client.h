/* facteur: proto/smtp_client: the client's side of SMTP.
 * Purpose:   greeting, EHLO, STARTTLS, AUTH, any number of transactions (MAIL, RCPT, DATA or BDAT, body), QUIT.
 *            Commands are pipelined where the server allows it. One connection carries many messages: the host offers
 *            the next with smtp_client_message when on_ready says so.
 * Owner:     one heap object per connection, made and freed by flow. Nothing is called after smtp_client_free, which
 *            is not for use inside a callback; after on_failed or on_quit the object is inert.
 * Thread:    the loop's.
 * Limits:    LIMIT_PEER_REPLY octets and SMTP_CLIENT_REPLY_LINES lines for one reply; what does not look like a reply
 *            counts as 4xx and ends the connection.
 * Standards: RFC 5321, 2920, 3207, 4954, 1870, 3030, 3461, 6152, 6531, 9422. */
#ifndef FACTEUR_PROTO_SMTP_CLIENT_H
#define FACTEUR_PROTO_SMTP_CLIENT_H

#include "facteur/mail/body.h"
#include "facteur/proto/sasl.h"
#include "facteur/proto/smtp_syntax.h"

#include <sys/types.h>

struct smtp_client;

enum { SMTP_CLIENT_REPLY_LINES = 1000 };

/* What we wait for; the host has a deadline for each (RFC 5321 4.5.3.2). */
enum smtp_client_phase {
    CLIENT_PHASE_GREETING,
    CLIENT_PHASE_EHLO,
    CLIENT_PHASE_TLS,
    CLIENT_PHASE_AUTH,
    CLIENT_PHASE_MAIL,
    CLIENT_PHASE_RCPT,
    CLIENT_PHASE_DATA_START,
    CLIENT_PHASE_DATA_BLOCK,
    CLIENT_PHASE_DATA_END,
    CLIENT_PHASE_QUIT,
    CLIENT_PHASE_IDLE, /* for the host's next message */
    CLIENT_PHASE_OURS  /* for something of our own: a block of the body, a key */
};

/* The next hop's answer, or ours where it gave none (code 421, 4.4.2 …). */
struct smtp_client_reply {
    short code;
    char enhanced[12]; /* "" when it gave none */
    char text[512];    /* its words, one line, printable */
    bool ours;         /* the words and the codes are ours: it gave none */
};

struct smtp_client_rcpt {
    const char *address;            /* as it goes into the path */
    const char *orcpt;              /* or NULL */
    unsigned notify;                /* enum smtp_notify */
    struct smtp_client_reply reply; /* out: of RCPT, or what ended the transaction */
};
struct smtp_client_message {
    const char *sender; /* "" for the null reverse-path */
    uint64_t size;      /* octets on the wire */
    bool utf8, eight_bit, binary;
    const char *not_7bit; /* why it cannot be converted for a server that takes only 7 bits, or NULL */
    enum smtp_ret ret;
    const char *envid;              /* or NULL */
    struct smtp_client_rcpt *rcpts; /* the host's; live until on_message */
    size_t count;
    void *ctx;
};

struct smtp_client_host {
    void (*send)(void *world, struct slice octets); /* copies */
    bool (*is_full)(void *world);                   /* output is above high water: wait for smtp_client_drained */
    void (*start_tls)(void *world);                 /* ends in smtp_client_tls_started or smtp_client_failed */
    /* The wait that begins now; a deadline that was set before is replaced. */
    void (*phase)(void *world, enum smtp_client_phase phase);
    /* SCRAM: compute the key in a job (copy salt, iterations and password), then smtp_client_derived. */
    void (*derive)(void *world, const struct sasl_client *sasl);
    /* Session up (after EHLO, TLS, AUTH) or a transaction over: send the next with smtp_client_message, or
     * smtp_client_quit, or do it later. */
    void (*on_ready)(void *world);
    /* More of the body: up to n octets of the stored text (LF lines, or raw for binary) at *ret. 0 at its end,
     * -EAGAIN: it comes later, then smtp_client_body_ready; another negative: it cannot be read, the connection is
     * given up. */
    ssize_t (*read_body)(void *world, const char **ret, size_t n);
    /* The transaction is over: each rcpt's reply is final (2xx: taken). `unclear`: the connection broke after the final
     * dot, the message may have been taken (RFC 1047). */
    void (*on_message)(void *world, struct smtp_client_message *m, bool unclear);
    /* The session cannot go on: the greeting, EHLO, STARTTLS or AUTH was refused, or the connection failed. A message
     * under way gets its on_message first. */
    void (*on_failed)(void *world, enum smtp_client_phase at, const struct smtp_client_reply *why);
    void (*on_quit)(void *world); /* QUIT was answered or the peer closed: close the connection */
};

enum smtp_client_tls {
    CLIENT_TLS_NEVER,
    CLIENT_TLS_IF_OFFERED, /* a password still never goes in the clear */
    CLIENT_TLS_REQUIRED,
    CLIENT_TLS_ACTIVE /* implicit: the connection is encrypted already */
};
struct smtp_client_options {
    const char *helo;
    enum smtp_client_tls tls;
    const char *user, *password; /* NULL: no AUTH; with a user, a server that offers none is a failure */
};

/* Waits for the greeting. The options' texts are copied; the host's table and `world` must outlive the client. */
struct smtp_client *smtp_client_new(const struct smtp_client_options *options, const struct smtp_client_host *host,
                                    void *world);
void smtp_client_free(struct smtp_client **c); /* wipes the password; NULL is fine */

/* What happened to the connection. None is for use inside a callback of the host. */
void smtp_client_feed(struct smtp_client *c, struct slice octets); /* borrowed for the call */
void smtp_client_tls_started(struct smtp_client *c);
void smtp_client_derived(struct smtp_client *c, const uint8_t salted[32]);
void smtp_client_drained(struct smtp_client *c);
void smtp_client_body_ready(struct smtp_client *c);
void smtp_client_failed(struct smtp_client *c, const char *why); /* timeout, connection lost, handshake failed */

/* The next message: only from on_ready or while the session is idle. What the server's extensions rule out (size,
 * 8-bit, binary, SMTPUTF8) is refused at once, without a word to the server: on_message is then called before this
 * returns, or, from inside on_ready, soon after. */
void smtp_client_message(struct smtp_client *c, struct smtp_client_message *m);
void smtp_client_quit(struct smtp_client *c); /* from on_ready or while idle */

bool smtp_client_offered_tls(const struct smtp_client *c);
bool smtp_client_offered_dsn(const struct smtp_client *c); /* RFC 3461: it sends the notifications itself */
/* Recipients that the server takes in one transaction as its LIMITS say (RFC 9422), or 0: it did not say. */
unsigned smtp_client_rcpt_max(const struct smtp_client *c);
/* The server takes this 8-bit or binary message only when it is converted to 7 bits (RFC 6152 section 3). */
bool smtp_client_wants_7bit(const struct smtp_client *c, const struct smtp_client_message *m);

#endif
