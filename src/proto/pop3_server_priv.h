/* What the files of proto/pop3_server share. */
#ifndef FACTEUR_PROTO_POP3_SERVER_PRIV_H
#define FACTEUR_PROTO_POP3_SERVER_PRIV_H

#include "facteur/proto/pop3_server.h"

enum { POP3_LINE = 512, POP3_SHOWN = 128 };

#define POP3_STATES(X) X(AUTHORIZATION) X(TRANSACTION) X(UPDATE)
#define POP3_STATE(s)  POP3_##s,
enum pop3_state { POP3_STATES(POP3_STATE) };
#define POP3_IN(state) (1U << POP3_##state)

/* What we owe an answer to. */
enum pop3_owed { POP3_OWES_NOTHING, POP3_OWES_AUTH, POP3_OWES_OPEN, POP3_OWES_MESSAGE, POP3_OWES_QUIT, POP3_OWES_TLS };

struct pop3_server {
    struct pop3_server_options options;
    const struct pop3_host *host;
    void *world;
    enum pop3_state state;
    enum pop3_owed owes;
    void (*take)(struct pop3_server *s, struct slice line); /* who gets the next line */
    const char *bye; /* why it ends as soon as nothing is owed; NULL: it does not */
    bool tls, closing, pumping, held;
    bool has_quit;   /* QUIT was said */
    bool swallowing; /* the rest of a line that was too long */
    struct buf in;   /* what has not been taken; freed while empty */
    size_t at;       /* so much of it has been taken while the pump runs */
    char user[256];  /* of USER, until PASS */
    struct sasl_server sasl;
    struct pop3_message *messages;
    size_t count;
    enum { POP3_LISTS_NOTHING, POP3_LISTS_SIZES, POP3_LISTS_IDS } listing; /* under way, up to list_at */
    size_t list_at;
    unsigned errors, failures;
    char shown[POP3_SHOWN]; /* the command, for the log: no secrets */
};

void pop3_say(struct pop3_server *s, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a line; CRLF is added */
/* "-ERR …". pop3_fail also counts: what no client should say. The last one that it may, before a +OK, ends the session. */
void pop3_refuse(struct pop3_server *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pop3_fail(struct pop3_server *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pop3_end(struct pop3_server *s);                    /* closes after what was said */
void pop3_go(struct pop3_server *s, enum pop3_state to); /* the only writer of state */

/* pop3_server_commands.c */
void pop3_take_command(struct pop3_server *s, struct slice line);
void pop3_list_on(struct pop3_server *s); /* as much of a long list as output takes */

/* The commands of the AUTHORIZATION state (pop3_server_auth.c). */
bool pop3_may_log_in(const struct pop3_server *s);
void pop3_user(struct pop3_server *s, struct slice arg);
void pop3_pass(struct pop3_server *s, struct slice arg);
void pop3_auth(struct pop3_server *s, struct slice arg);
void pop3_auth_decided(struct pop3_server *s, const struct verdict *v);
void pop3_capa_auth(struct pop3_server *s);

#endif
