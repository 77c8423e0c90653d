/* What the parts of the running server share. */
#ifndef FACTEUR_APP_SERVER_PRIV_H
#define FACTEUR_APP_SERVER_PRIV_H

#include "facteur/app/inherited.h"
#include "facteur/app/notify.h"
#include "facteur/app/privs.h"
#include "facteur/flow/flow.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/io/listener.h"
#include "facteur/mail/charset.h"
#include "facteur/service/control.h"
#include "facteur/service/peer.h"
#include "facteur/service/smtp_in.h"

enum server_phase { SERVER_RUNS, SERVER_CLOSES_SESSIONS, SERVER_FINISHES_MAIL, SERVER_DRAINS_POOL, SERVER_ENDED };

struct server {
    const char *config_path;
    struct config *config;
    struct loop *loop;
    struct job_pool *pool;
    struct flow flow;
    struct peers *smtp, *imap, *pop3;
    unsigned services_open; /* while stopping: those that still have sessions */
    struct control *control;
    struct tls_server *tls;
    struct notify *notify;
    struct inherited inherited;
    struct link listeners;     /* struct server_listener */
    struct charsets *charsets; /* loaded while libraries could be */
    struct privs_confined confined;
    struct timer *deadline, *daily;
    int64_t started_ms; /* wall */
    enum server_phase phase;
    bool as_root; /* root started it */
    bool cut_off; /* the deadline for a quiet end has passed */
};

/* Brings the listening sockets in line with `config`: the ones that stay are kept, new ones are bound first, and only
 * when all of them are does anything change. */
int server_listen(struct server *s, struct config *config, struct err *e) MUST_USE;
void server_unlisten(struct server *s);

/* How near a certificate is to its end: ended days ago, or ends in days. */
enum cert_state { CERT_GOOD, CERT_ENDS_SOON, CERT_ENDED };
enum cert_state cert_state(int64_t ends_ms, int64_t now_ms, int64_t *ret_days);
void server_warn_of_certificates(const struct server *s);

int server_open_log(const struct config *c, struct err *e) MUST_USE;
int server_reload(void *server, struct buf *messages); /* the control socket's */
void server_on_hangup(void *owner, int signum);

json_t *server_status(void *server);
json_t *server_listeners_json(const struct server *s);

/* Reads the certificates of a configuration; *ret NULL when it names none. `kept` is used again when its file has not
 * changed. */
int server_load_tls(const struct config *config, struct tls_client *kept, struct tls_server **ret,
                    struct tls_client **ret_client, struct err *e) MUST_USE;

#endif
