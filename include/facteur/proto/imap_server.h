/* facteur: proto/imap_server: the server's side of IMAP.
 * Purpose:   lines and literals in, commands to the host, tagged replies out. One session: greeting → STARTTLS →
 *            LOGIN or AUTHENTICATE (ask_auth) → everything else: a complete command goes to host->run, which is
 *            answered by imap_server_done at once or later; until then input waits, so that commands are carried out
 *            and answered in order. CAPABILITY, ID, ENABLE, LOGOUT, STARTTLS, LOGIN, AUTHENTICATE and IDLE are
 *            done here; before each tagged reply host->news may write what happened to the mailbox.
 * Owner:     one heap object per connection, made and freed by the service; it calls nothing after imap_server_free.
 *            A command lives until imap_server_done. Never free it from inside a call of the host's.
 * Thread:    the loop's.
 * Limits:    8 KiB a command before login, options.line_length with its literals after; options.append_limit a message
 *            literal, refused before it is taken ([TOOBIG]; a non-synchronising one that is too long ends the session);
 *            options.errors BAD replies. Idle it holds no input buffer.
 * Standards: RFC 9051, 3501, 2177, 2971, 3502, 4959, 5161, 7888, 8508. */
#ifndef FACTEUR_PROTO_IMAP_SERVER_H
#define FACTEUR_PROTO_IMAP_SERVER_H

#include "facteur/mail/sink.h"
#include "facteur/mail/verdict.h"
#include "facteur/proto/host.h"
#include "facteur/proto/imap_parse.h"
#include "facteur/proto/sasl.h"

struct imap_server;

enum imap_phase {
    IMAP_PHASE_LOGIN,   /* not authenticated: a deadline for all of it */
    IMAP_PHASE_COMMAND, /* authenticated, the next command */
    IMAP_PHASE_LITERAL, /* in the middle of a command */
    IMAP_PHASE_IDLE,
    IMAP_PHASE_TLS,
    IMAP_PHASE_OURS /* we owe an answer */
};

struct imap_result {
    enum { IMAP_OK, IMAP_NO, IMAP_BAD } status;
    char code[160]; /* "TRYCREATE", "APPENDUID 1 2": without brackets; "" for none. Longer ones: code_text */
    char text[256];
    const struct buf *code_text; /* instead of code when not NULL: COPYUID with long sets; borrowed for the call */
};
struct imap_result imap_ok(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct imap_result imap_no(const char *code, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct imap_result imap_bad(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A failure of ours as the client sees it: -ENOENT [NONEXISTENT], -EDQUOT [OVERQUOTA], -ENOSPC [UNAVAILABLE], -EEXIST
 * [ALREADYEXISTS], -EPERM [CANNOT], all else [SERVERBUG] or [UNAVAILABLE]; never its details. */
struct imap_result imap_result_of_error(int code);

struct imap_host {
    void (*send)(void *world, struct slice octets);
    void (*start_tls)(void *world); /* ends in imap_server_tls_started */
    void (*phase)(void *world, enum imap_phase phase);
    void (*close)(void *world); /* what was sent goes out, then the connection ends */
    /* The attempt's verdict: 235, or 535 (wrong), 454 (later), 534 and 452 with a text that says why (the service is not
     * allowed to this user; too many sessions). LATER ends in imap_server_auth. */
    enum when (*ask_auth)(void *world, const struct sasl_attempt *attempt, struct verdict *ret);
    void (*scram_keys)(void *world, struct slice user, struct sasl_scram_keys *ret);
    /* All commands that are not done here. Answered by imap_server_done, at once or later. */
    void (*run)(void *world, const struct imap_command *c);
    /* A message literal is announced (the command so far in `c`): IMAP_OK takes it. LATER ends in
     * imap_server_append_answer. Then its octets go to append_body's sink (as on the wire), append_end ends it (unless
     * it failed); and when the command is complete, run is called with it. append_abort: it will not be (also after
     * earlier messages); it is owed from the first message that was taken until run, also when the session ends or is
     * freed. */
    enum when (*ask_append)(void *world, const struct imap_command *c, const struct imap_append *item,
                            struct imap_result *ret);
    struct sink (*append_body)(void *world);
    void (*append_end)(void *world);
    void (*append_abort)(void *world);
    /* Untagged news may be written now; EXPUNGE only when `may_expunge`. Called before each tagged reply in the
     * selected state. */
    void (*news)(void *world, bool may_expunge);
    void (*idle)(void *world, bool on); /* while on, the host writes news when they come */
    void (*refused)(void *world, const char *reply,
                    struct slice command);            /* for the log: NO and BAD; secrets are cut */
    void (*id)(void *world, struct slice parameters); /* what the client says it is: for the log */
};

struct imap_server_options {
    const char *hostname;
    bool tls_offered, tls_active;
    bool auth_without_tls; /* loopback */
    struct sasl_mechanisms auth;
    uint64_t append_limit; /* octets; announced as APPENDLIMIT */
    size_t line_length;    /* octets of a command with its literals, after login */
    unsigned errors, auth_failures;
    struct imap_parse_limits limits;
};

struct imap_server *imap_server_new(const struct imap_server_options *options, const struct imap_host *host,
                                    void *world);
void imap_server_free(struct imap_server **s);

void imap_server_start(struct imap_server *s);
void imap_server_refuse(struct imap_server *s, const struct verdict *why); /* instead of start: * BYE and close */
void imap_server_feed(struct imap_server *s, struct slice octets);
void imap_server_auth(struct imap_server *s, const struct verdict *v);
void imap_server_append_answer(struct imap_server *s, const struct imap_result *r);
void imap_server_append_failed(struct imap_server *s, const struct imap_result *r); /* the sink's store failed later */
void imap_server_done(struct imap_server *s, const struct imap_result *r);          /* the answer to run */
/* What SELECT and its like do to the state; before imap_server_done. */
void imap_server_selected(struct imap_server *s, bool selected, bool read_only);
void imap_server_tls_started(struct imap_server *s);
void imap_server_timeout(struct imap_server *s);               /* * BYE and close */
void imap_server_bye(struct imap_server *s, const char *text); /* as soon as no command is under way */
bool imap_server_is_waiting(const struct imap_server *s);
void imap_server_hold(struct imap_server *s, bool hold); /* an append's store is full for now: input waits */

bool imap_server_may_expunge(const struct imap_server *s);     /* before the reply to the command under way */
unsigned imap_server_enabled(const struct imap_server *s);     /* of enum imap_enable */
void imap_server_enable(struct imap_server *s, unsigned what); /* a CONDSTORE-enabling command */
bool imap_server_names_utf8(const struct imap_server *s);
/* The last command was LOGOUT: the peer sends nothing more. */
bool imap_server_has_quit(const struct imap_server *s);
bool imap_server_is_idle(const struct imap_server *s); /* in IDLE */
const char *imap_server_login(const struct imap_server *s);
const char *imap_server_state(const struct imap_server *s); /* "SELECTED", for `facteur status` */

#endif
