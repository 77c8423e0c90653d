/* facteur: service/peer: one connection, whatever it speaks.
 * Purpose:   what SMTP, IMAP and POP3 have in common: PROXY header, limits of connections, TLS, deadlines,
 *            backpressure, the log's identity of a session, work in its user's account, and the end. The protocol is a
 *            table of functions.
 * Owner:     one struct peers per process and protocol; a peer is embedded at the start of its protocol's session, made
 *            by accept and freed by itself.
 * Thread:    the loop's.
 * Limits:    limits.connections (when there are that many, the oldest one of a stranger that does nothing goes for a
 *            new one), connections_per_address, connections_per_user, connection_rate; limits.timeout.tls; half of
 *            limits.memory for what IMAP and POP3 clients are to read.
 * Standards: RFC 8314 (implicit TLS), HAProxy's PROXY protocol 1 and 2. */
#ifndef FACTEUR_SERVICE_PEER_H
#define FACTEUR_SERVICE_PEER_H

#include "facteur/flow/client.h"
#include "facteur/flow/flow.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/listener.h"
#include "facteur/io/timer.h"
#include "facteur/mail/verdict.h"

struct peer;
struct peers;

struct peer_protocol {
    const char *name;               /* "imap": its name in ALPN, and the first letter of its sessions' ids */
    size_t session_size;            /* of the struct that begins with a struct peer */
    enum conf_user_service service; /* that an account needs to log in here */
    /* The client is known (PROXY header read, implicit TLS not yet begun): makes the dialogue. p->verdict says whether
     * the limits let it in. */
    void (*open)(struct peer *p);
    void (*start)(struct peer *p); /* greets: after open, or after implicit TLS */
    void (*feed)(struct peer *p, struct slice octets);
    bool (*is_waiting)(const struct peer *p);         /* input must not come */
    bool (*is_at_work)(const struct peer *p);         /* for a client that has not logged in; NULL: never */
    void (*drained)(struct peer *p);                  /* output has room again; may be NULL */
    void (*tls_started)(struct peer *p);              /* after STARTTLS */
    void (*timeout)(struct peer *p);                  /* the deadline of peer_deadline has passed */
    void (*goodbye)(struct peer *p, const char *why); /* say so and close, as soon as no command is under way */
    void (*end)(struct peer *p);                      /* forget the dialogue; never from inside one of its calls */
    const char *(*state)(const struct peer *p);       /* for the log */
};

struct peer {
    struct link link;
    struct peers *peers;
    struct stream *stream;
    struct config *config;  /* a reference */
    struct tls_server *tls; /* of the same moment: a reference, or NULL */
    const struct conf_listener *listener;
    struct client client;
    struct timer *timer;
    int64_t since_ms;           /* mono: when it came */
    struct job_scope jobs;      /* abandoned when the dialogue ends */
    struct verdict verdict;     /* the limits' */
    struct login *login;        /* under way; service/login's own */
    char *guest;                /* the user whose session this is counted as; or NULL */
    struct account *account;    /* of IMAP and POP3, from login to the end; counted */
    struct account_job *paused; /* peer_hold_job */
    size_t metered;             /* on the account's meter, beside the stream's: peer_count_output */
    int64_t turn_by_ms;         /* monotonic: peer_take_turn is over then; 0: it waits for none */
    struct buf proxy;
    bool open; /* the dialogue is there: from `open` to `end` */
    bool wants_proxy, counted, in_tls;
    bool known; /* has logged in, and counts in the total alone */
};

struct peers_stats {
    uint64_t connections, open, logins, login_failures, refused;
};

/* `tls` may be NULL: then there is neither STARTTLS nor implicit TLS. */
struct peers *peers_new(struct flow *f, struct tls_server *tls, const struct peer_protocol *protocol);
void peers_free(struct peers **s);                           /* all have closed */
void peers_set_tls(struct peers *s, struct tls_server *tls); /* for new connections */
/* A new policy: ends the sessions of accounts that might not log in as they did any more. */
void peers_recheck(struct peers *s, const struct config *fresh);
void peers_accept(struct peers *s, struct config *config, const struct conf_listener *listener, struct stream *stream);
/* Says goodbye to all, and ends those whose clients do not read; `done` when the last has closed (on a later turn, also
 * when there is none). */
void peers_stop(struct peers *s, void (*done)(void *owner), void *owner);
bool peers_stopping(const struct peers *s);
struct peers_stats *peers_stats(struct peers *s);
/* Whether the user may have one more session (limits.connections_per_user); it is counted until the end. */
bool peer_takes_seat(struct peer *p, const struct conf_user *user, struct verdict *ret);
struct flow *peers_flow(struct peers *s);

void peer_send(struct peer *p, struct slice octets);
void peer_start_tls(struct peer *p);
/* What was sent goes out, then the connection ends. `agreed`: the peer has said that it is done, so that its end need
 * not be awaited. */
void peer_close(struct peer *p, bool agreed);
void peer_sync_input(struct peer *p);           /* after anything that may change is_waiting */
void peer_deadline(struct peer *p, int64_t ms); /* 0: none */
void peer_log_timeout(const struct peer *p);    /* the deadline was the end */
/* Something was refused to the client: for the log, and counted. */
void peer_log_refused(const struct peer *p, const char *reply, struct slice command);

/* Work in the account of the user who has logged in (src/service/peer_job.c); a job ends with the dialogue. */
struct account *peer_open_account(const struct peer *p);    /* counted */
void peer_start_job(struct peer *p, struct account_job *j); /* also from its done, after MORE */
/* From done, after MORE: the job waits until the client has taken what it was sent, but no longer than limits.timeout.data. */
void peer_hold_job(struct peer *p, struct account_job *j);
bool peer_resume_job(struct peer *p); /* the client has: goes on with the job. False: none was held */

/* Output (src/service/peer_output.c). That of all connections counts on the meters of their users and of flow: streams
 * count themselves, the session says what it holds beside its stream, at the end 0. All this needs p->account. */
enum {
    PEER_SLICE = 256 * 1024,      /* output to be made at a time when there is plenty of memory … */
    PEER_SLICE_LEAST = 16 * 1024, /* … and when there is little */
    PEER_TURN = STREAM_HIGH_WATER + 2 * PEER_SLICE_LEAST, /* what an answer may need when it gets little */
    PEER_LOOK_AGAIN_MS = 20                               /* for one that waits for its turn */
};
size_t peer_slice(const struct peer *p); /* as things are */
void peer_count_output(struct peer *p, size_t octets);
/* Of an answer that may be large and needs so much, before it begins; one that has had its turn always gets a slice.
 * TURN_AHEAD: ask again in PEER_LOOK_AGAIN_MS. TURN_OVER: it has waited too long. */
enum peer_turn { TURN_COME, TURN_AHEAD, TURN_OVER };
enum peer_turn peer_take_turn(struct peer *p, uint64_t need);

#endif
