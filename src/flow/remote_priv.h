/* facteur: flow/remote: what its files share.
 * Purpose:   the relay, its destinations and their connections.
 * Owner:     the relay owns destinations and connections; a connection that has ended frees itself when its stream is
 *            closed.
 * Thread:    the loop's.
 * Limits:    as remote.h.
 * Standards: as remote.h.
 *
 * remote.c knows works and their results, remote_destination.c lines, hosts and how many connections there may be,
 * remote_connection.c one connection from connect to close, remote_session.c the
 * dialogue on it, remote_message.c what it carries, remote_body.c where the
 * body's octets come from. */
#ifndef FACTEUR_FLOW_REMOTE_PRIV_H
#define FACTEUR_FLOW_REMOTE_PRIV_H

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/flow/next_hop.h"
#include "facteur/flow/remote.h"
#include "facteur/io/stream.h"
#include "facteur/io/timer.h"

struct remote {
    struct remote_env env;
    struct config *config;
    struct tls_client *tls;
    struct next_hop_self self;
    struct map by_key; /* destinations */
    struct link destinations;
    struct link starved;  /* destinations with work that wait for a connection to be free */
    struct link idle;     /* connections without work, the longest idle first */
    struct link ended;    /* connections that only wait for their stream to be closed */
    struct link unused;   /* destinations to be freed on the next turn */
    struct link finished; /* works whose done is owed */
    struct deferred report;
    size_t destination_count, connections, waiting, open_works;
    unsigned sessions;   /* since start: names the next one */
    uint64_t results[3]; /* recipients by enum remote_result */
    bool stopping;
    struct timer *cut_off; /* of a shutdown */
    void (*on_stopped)(void *owner);
    void *stop_owner;
};

struct remote_destination {
    struct remote *r;
    char *key, *domain;
    struct link in_all, in_starved, in_unused;
    struct config *config; /* what `hop` points into */
    struct conf_next_hop hop;
    struct link waiting; /* works */
    size_t waiting_count;
    int64_t moved_ms; /* mono: the last transaction's end, or when the line began */
    struct link connections;
    size_t connection_count, opening; /* opening: of them, without a session yet */
    struct next_hop_search *search;
    struct next_hop_host *hosts;
    size_t host_count, first_host; /* the one that answered last */
    int64_t hosts_until;           /* mono */
    int64_t no_more_until;         /* mono: a further connection was refused while others stood */
    int64_t dead_until;            /* mono; 0: not dead */
    struct smtp_client_reply dead_reply;
    char dead_host[256];
};

/* "Delivered-To: ", a quoted local part, "@" and a domain, the line's end. */
enum { REMOTE_FIRST_LINE = LIMIT_LOCAL_PART * 2 + LIMIT_DOMAIN + 24 };

/* The octets of a message's body, from memory or in blocks from its spool file. */
struct remote_body {
    struct remote *r;
    const char *p; /* what is at hand */
    size_t n;
    struct slice inline_body;      /* behind it */
    char first[REMOTE_FIRST_LINE]; /* a line that stands before the stored text */
    struct spool_block *block;     /* that p points into, or NULL */
    struct spool_block *next;      /* read ahead */
    uint64_t id, at, left;         /* at, left: of the spool file, not yet asked for */
    int fd, status;
    bool reading, wanted; /* wanted: somebody waits for `ready` */
    struct job_scope scope;
    void (*ready)(void *owner);
    void *owner;
};

struct remote_convert;

enum connection_state {
    CONNECTION_OPENING, /* no session yet */
    CONNECTION_IDLE,
    CONNECTION_LOADING, /* has a work, whose body is not there yet */
    CONNECTION_BUSY,
    CONNECTION_QUITTING,
    CONNECTION_ENDED
};

struct remote_connection {
    struct remote *r;
    struct remote_destination *d; /* NULL when ended */
    struct link in_list;          /* of the destination, or r->ended */
    struct link in_idle;
    enum connection_state state;
    struct config *config; /* what hop points into */
    struct conf_next_hop hop;
    struct tls_client *tls;
    char id[16];
    struct stream *stream;
    struct smtp_client *client;
    struct timer *timer;
    int64_t deadline, timer_at; /* mono; 0: none */
    int64_t since;              /* mono: the wait at hand began */
    bool told_slow;             /* that it waits for long */
    enum smtp_client_phase phase;
    bool connected, plain, timed_out, cut; /* plain: do not try TLS; cut: by a shutdown */
    char tls_text[96];
    char host[256];              /* "mx.example.org [192.0.2.1]" */
    struct next_hop_host *hosts; /* to try; own copy */
    size_t host_count, host_index;
    struct job_scope scope; /* of key derivation */
    /* what it carries */
    unsigned carried; /* messages that it came through */
    bool carrying;    /* a transaction was begun; on_ready will say that the connection came through it */
    struct remote_work *work;
    struct smtp_client_message message;
    struct smtp_client_rcpt *rcpts;
    size_t rcpts_cap;
    struct remote_body body;
    char not_7bit[96];              /* why the message at hand cannot be converted */
    struct remote_convert *convert; /* of a message that does not go out as it is stored, or NULL */
};

/* ---- remote.c ---- */
extern const struct smtp_client_reply remote_stopping; /* what is said of work that a shutdown ends */
void remote_finish(struct remote_work *work);          /* all results are in: done is owed */
void remote_result_set(struct remote_work *work, size_t i, enum remote_result result,
                       const struct smtp_client_reply *reply, const char *host, bool untried);
void remote_log_result(const struct remote_work *work, size_t i, const char *session, const char *tls, int64_t took_ms);
/* What is left of the work ends so, without a host having spoken. fail: a 5xx refuses for good; defer: it does not. */
void remote_fail_all(struct remote_work *work, const struct smtp_client_reply *reply);
void remote_defer_all(struct remote_work *work, const struct smtp_client_reply *reply, const char *host, bool untried);
/* Asks for an inline body that is not in memory. True: it is there (or known to be lost: load_status). */
bool remote_want_body(struct remote_work *work);
void remote_report_later(struct remote *r); /* on the next turn: done, free unused destinations, see if all is over */
void remote_look_if_stopped(struct remote *r);

/* ---- remote_destination.c ---- */
struct remote_destination *destination_of(struct remote *r, const char *domain);
void destination_run(struct remote_destination *d); /* gives work to connections and opens more */
struct remote_work *destination_take(struct remote_destination *d);
void destination_put_back(struct remote_destination *d, struct remote_work *work);
void destination_unreachable(struct remote_destination *d, const struct smtp_client_reply *why, const char *host);
void destination_add(struct remote_destination *d, struct remote_work *work); /* at the end of the line */
void destination_shed(struct remote_destination *d); /* what is beyond its share, when it does not move */
void destination_stop(struct remote_destination *d); /* begins its part of a shutdown */
void destination_free(struct remote_destination *d);
void destination_look_if_unused(struct remote_destination *d); /* it is freed on the next turn */
void remote_free_unused(struct remote *r);
void remote_feed_starved(struct remote *r);
static inline bool destination_is_dead(const struct remote_destination *d)
{
    return d->dead_until > clock_mono_ms();
}

/* ---- remote_connection.c ---- */
/* Begins with hosts[index]; takes the array over. */
void connection_open(struct remote_destination *d, struct next_hop_host *hosts, size_t count, size_t index, bool plain);
void connection_wake(struct remote_connection *c); /* idle: there may be work, or it is to quit */
void connection_quit(struct remote_connection *c); /* idle or just ready */
void connection_cut(struct remote_connection *c, const char *why);
void connection_destroy(struct remote_connection *c); /* with the relay */
/* Ends what the connection is to the relay; memory and stream follow on a later turn. May be called in any callback.
 * `politely`: what was said last (QUIT) still gets out. */
void connection_end(struct remote_connection *c, bool politely);
void connection_make_room(struct remote *r, struct remote_destination *d); /* after it: whoever waits may go on */
void connection_log_failure(const struct remote_connection *c, const struct smtp_client_reply *why);
/* There is no session yet, and with this host there will be none: the next one, or the destination is out of reach.
 * `all`: others would be no better. */
void connection_host_failed(struct remote_connection *c, const struct smtp_client_reply *why, bool all);
void connection_host_failed_text(struct remote_connection *c, const char *enhanced, const char *text);
void connection_tls_failed(struct remote_connection *c, const char *why);

/* ---- remote_session.c ---- */
void session_start(struct remote_connection *c);     /* connected, and encrypted where that comes first */
void session_start_tls(struct remote_connection *c); /* ends in the stream's on_tls */
void session_phase(struct remote_connection *c, enum smtp_client_phase phase);
void session_deadline(struct remote_connection *c, int64_t ms); /* from now; 0: none */
void session_on_timer(void *owner);
const char *session_waits_for(const struct remote_connection *c);

/* ---- remote_message.c ---- */
void message_next(struct remote_connection *c); /* the session is ready: carries on, takes work, waits or quits */
void message_over(struct remote_connection *c, bool unclear);
void message_loaded(struct remote_connection *c); /* the body of its work has come */
void message_unload(struct remote_connection *c); /* the connection ends before its work is through */

/* ---- remote_body.c ---- */
/* asked: the address for Delivered-To, or NULL */
void remote_body_start(struct remote_body *b, struct remote *r, const struct queue_message *m, const char *asked,
                       void (*ready)(void *owner), void *owner);
size_t remote_body_first(const struct queue_message *m, const char *asked);  /* octets of that line, as it is stored */
ssize_t remote_body_read(struct remote_body *b, const char **ret, size_t n); /* as read_body of smtp_client_host */
void remote_body_stop(struct remote_body *b);                                /* fine when it was never started */

/* ---- remote_convert.c: the body of the work, for a server that takes only 7 bits; remote_body_start before each reading
 * ---- */
void remote_convert_start(struct remote_connection *c);
/* The first reading: 0 at its end; -EAGAIN: to be called again when the body is ready; or it cannot be read. */
int remote_convert_survey(struct remote_connection *c);
/* Behind it: as seven_bit_plan. */
int remote_convert_plan(struct remote_connection *c, uint64_t *ret_size, struct err *e);
ssize_t remote_convert_read(struct remote_connection *c, const char **ret, size_t n); /* as remote_body_read */
void remote_convert_stop(struct remote_connection *c); /* fine when it was never started */

#endif
