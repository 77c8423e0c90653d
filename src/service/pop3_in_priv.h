/* What the files of service/pop3_in share: the session, and what the dialogue asks of it. */
#ifndef FACTEUR_SERVICE_POP3_IN_PRIV_H
#define FACTEUR_SERVICE_POP3_IN_PRIV_H

#include "facteur/flow/mailboxes.h"
#include "facteur/proto/pop3_server.h"
#include "facteur/service/peer.h"
#include "facteur/service/pop3_in.h"

/* What a client of a user with leave_on_server has deleted (Dovecot's name too). */
#define POP3_LEFT "$POP3Deleted"

struct pop3_session {
    struct peer peer; /* first */
    struct pop3_server *proto;
    struct open_mailbox *box; /* locked; or NULL */
    uint32_t uidvalidity;
    struct pop3_message *messages;
    uint32_t *uids;
    const char **uidls; /* those that are not made of numbers; NULL for the others */
    size_t count;
    struct arena arena;
    struct ranges seen; /* retrieved: marked at QUIT */
    enum pop3_phase phase;
    struct account_job *waits; /* a RETR or TOP that has not had its turn (peer_take_turn); or NULL */
};

/* pop3_in.c. A client that asks and asks and does not read is not answered until it does. */
void pop3_in_send(struct pop3_session *s, struct slice octets);
void pop3_in_start(struct pop3_session *s, struct account_job *j); /* its changes are the mailbox's */
void pop3_in_leave(struct pop3_session *s);                        /* the mailbox: the next session may have it */

/* The dialogue's host: pop3_in_open.c, pop3_in_retr.c, pop3_in_quit.c. */
void pop3_in_open(void *world);
void pop3_in_uidl(void *world, size_t i, char *to);
void pop3_in_retrieve(void *world, size_t message, uint64_t lines);
bool pop3_in_look_again(
    struct pop3_session *s);                  /* at the deadline: true if it was that of one that waits for its turn */
void pop3_in_give_up(struct pop3_session *s); /* it is answered -ERR */
void pop3_in_resume(struct pop3_session *s);  /* the client has taken what it was sent */
void pop3_in_quit(void *world);

#endif
