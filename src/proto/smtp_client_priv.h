/* facteur: proto/smtp_client: what its three files share.
 * Purpose:   the state of one connection, its table of exchanges, and the moves between them.
 * Owner:     smtp_client.c.
 * Thread:    the loop's.
 * Limits:    as smtp_client.h.
 * Standards: as smtp_client.h.
 *
 * The state says whose reply comes next. In a transaction with PIPELINING all commands leave at once and the state then
 * follows the replies; `sent` and `answered` count through the transaction's steps: MAIL, each RCPT, DATA. */
#ifndef FACTEUR_PROTO_SMTP_CLIENT_PRIV_H
#define FACTEUR_PROTO_SMTP_CLIENT_PRIV_H

#include "facteur/proto/smtp_client.h"

enum client_state {
    CLIENT_GREETING,
    CLIENT_EHLO,
    CLIENT_HELO,
    CLIENT_STARTTLS,
    CLIENT_HANDSHAKE, /* no reply is due: the host's TLS is at work */
    CLIENT_AUTH,
    CLIENT_DERIVE, /* no reply is due: the host computes a key */
    CLIENT_READY,
    CLIENT_MAIL,
    CLIENT_RCPT,
    CLIENT_DATA,
    CLIENT_BODY, /* no reply is due: the body is on its way */
    CLIENT_END,
    CLIENT_CHUNK,
    CLIENT_CHUNK_LAST,
    CLIENT_RSET,
    CLIENT_QUIT,
    CLIENT_OVER,
    CLIENT_STATES
};

enum client_extension {
    EXT_PIPELINING = 1,
    EXT_8BITMIME = 2,
    EXT_SMTPUTF8 = 4,
    EXT_CHUNKING = 8,
    EXT_BINARYMIME = 16,
    EXT_DSN = 32,
    EXT_STARTTLS = 64,
    EXT_SIZE = 128
};

enum { CLIENT_BLOCK = 16 * 1024 /* octets of the body asked for at once */ };

struct smtp_client {
    const struct smtp_client_host *host;
    void *world;
    char *helo, *user, *password;
    enum smtp_client_tls tls;
    enum client_state state;
    bool pumping, announce; /* announce: on_ready is owed */

    /* What the server said of itself. */
    unsigned extensions;
    uint64_t size_max; /* 0: not said, or no limit */
    unsigned rcpt_max;
    char auth[256]; /* mechanisms */
    bool offered_tls, encrypted;
    struct sasl_client sasl;

    /* The reply being read. */
    struct buf line;
    size_t reply_octets, reply_lines;
    struct smtp_client_reply reply;
    size_t input_left; /* octets behind the line in hand */

    /* The transaction under way. */
    struct smtp_client_message *message;
    struct smtp_client_reply outcome; /* of MAIL, DATA or the end: for all recipients that RCPT did not refuse */
    size_t sent, answered;            /* steps: 0 MAIL, 1 … count RCPT, count + 1 DATA */
    size_t good;                      /* recipients accepted */
    bool mail_taken;
    unsigned out_state; /* of body_out */
    struct buf out;
};

/* ---- smtp_client.c ---- */
void client_go(struct smtp_client *c, enum client_state to); /* the only writer of the state; sets the phase */
void client_send(struct smtp_client *c, struct slice octets);
void client_ready(struct smtp_client *c);
/* Ends the session: a message under way first, then on_failed. `unclear` as in on_message. */
void client_give_up(struct smtp_client *c, const struct smtp_client_reply *why, bool unclear);
/* Words of ours. */
void client_say(struct smtp_client_reply *to, short code, const char *enhanced, const char *text);
static inline bool client_has(const struct smtp_client *c, unsigned extension)
{
    return (c->extensions & extension) == extension;
}

/* ---- smtp_client_session.c: each is called for a reply to what its name says ---- */
void client_greeted(struct smtp_client *c);
void client_ehlo_line(struct smtp_client *c, struct slice text); /* for each line of the reply to EHLO but the first */
void client_ehlo_done(struct smtp_client *c);
void client_ehlo_refused(struct smtp_client *c);
void client_starttls_taken(struct smtp_client *c);
void client_starttls_refused(struct smtp_client *c);
void client_auth_reply(struct smtp_client *c, struct slice challenge);
void client_send_ehlo(struct smtp_client *c);

/* ---- smtp_client_message.c ---- */
void client_begin(struct smtp_client *c);
void client_finish(struct smtp_client *c, bool unclear); /* on_message */
void client_mail_taken(struct smtp_client *c);
void client_mail_refused(struct smtp_client *c);
void client_rcpt_answered(struct smtp_client *c);
void client_data_taken(struct smtp_client *c);
void client_data_refused(struct smtp_client *c);
void client_end_answered(struct smtp_client *c);
void client_chunk_taken(struct smtp_client *c);
void client_chunk_refused(struct smtp_client *c);
void client_send_body(struct smtp_client *c);
void client_send_chunk(struct smtp_client *c);

#endif
