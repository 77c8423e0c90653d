/* What the files of service/imap_in share: the session, and one function for each command. */
#ifndef FACTEUR_SERVICE_IMAP_IN_PRIV_H
#define FACTEUR_SERVICE_IMAP_IN_PRIV_H

#include "facteur/flow/body_store.h"
#include "facteur/flow/mailboxes.h"
#include "facteur/proto/imap_server.h"
#include "facteur/proto/imap_write.h"
#include "facteur/service/imap_in.h"
#include "facteur/service/login.h"

enum {
    IMAP_OUTPUT = PEER_SLICE, /* octets that a job makes before the client must have taken some */
    IMAP_OUT =
        64 * 1024 * 1024, /* … that wait to be taken: what is said of a mailbox at once, a few of them a message */
    IMAP_ANSWER = IMAP_OUT / 2 /* a single answer */
};

struct imap_append_state;
struct imap_late;

struct imap_session {
    struct peer peer; /* first */
    struct imap_server *proto;
    struct open_mailbox *box;           /* selected: a reference; or NULL */
    struct mailbox_view view;           /* of box */
    struct ranges saved;                /* "$": UIDs (RFC 5182) */
    const struct imap_command *command; /* under way in `run`; or NULL */
    struct imap_append_state *append;
    struct buf out; /* being put together, or not taken by the client yet; kept small between commands */
    size_t out_at;  /* octets of it that are on their way */
    size_t held;    /* what the command under way holds besides, or may make next */
    void (*resume)(struct imap_session *); /* what goes on when the client has taken what it was sent; or NULL */
    bool wants_memory;                     /* … and when there is memory for it */
    struct imap_late *late;                /* a reply that waits for that */
    enum imap_phase phase;
    int64_t idle_until_ms; /* monotonic: when IDLE has lasted long enough */
    uint64_t told_modseq;  /* what happened up to it has been told, EXPUNGEs too */
    bool idle;             /* news are told as they come */
};

/* imap_in_out.c. A command is begun when the client has taken the answers before it. */
void imap_in_begin(struct imap_session *s, const struct imap_command *c);
void imap_in_run(struct imap_session *s, const struct imap_command *c); /* imap_in.c */
/* Ends the command under way: news, then the tagged reply. */
void imap_in_done(struct imap_session *s, struct imap_result r);
/* The result of a failure; what a client cannot have caused is logged with its reason. */
struct imap_result imap_in_failed(const struct imap_session *s, int code, const struct err *e);
/* Messages that the command named have gone. `no`: it named them by their numbers, and its client would miss an answer
 * (RFC 2180); by UIDs those that are not there are ignored (RFC 9051 6.4.9). */
struct imap_result imap_in_gone(bool no);
/* Untagged answers gather in `out`. imap_in_flush lets out what the client takes, imap_in_flush_large does when there is
 * much; imap_in_send is for what was made elsewhere. Any amount, up to IMAP_OUT, may be given at once: it leaves in order
 * as the client reads, and imap_in_done's reply comes behind it. */
void imap_in_flush(struct imap_session *s);
void imap_in_flush_large(struct imap_session *s);
void imap_in_flush_all(struct imap_session *s); /* to the stream, taken or not: before the end */
void imap_in_send(struct imap_session *s, struct slice octets);
void imap_in_drained(struct imap_session *s);
void imap_in_end_output(struct imap_session *s);
/* Starts a job on the session's account whose changes are the selected mailbox's (box true). */
void imap_in_start(struct imap_session *s, struct account_job *j, bool box);
/* Goes on with a job that answered MORE: at once (true) when output has room, else when the client has taken some; it
 * then should hold little. Call it from the job's done. */
bool imap_in_continue(struct imap_session *s, struct account_job *j);
/* Untagged news; `may_expunge` false keeps sequence numbers. */
void imap_in_news(struct imap_session *s, bool may_expunge);
void imap_in_changed(struct mailbox_view *v); /* the view's on_change */
void imap_in_tell_idle(struct imap_session *s);

/* imap_in_memory.c. Output of all sessions counts on the meters of their users and of flow. What a session holds beside
 * `out` and its stream is said with imap_in_hold; the end of the command takes it back. */
void imap_in_count(struct imap_session *s); /* after `out` has grown or shrunk */
void imap_in_hold(struct imap_session *s, size_t octets);
/* Before a job goes on: its `room`, which counts as held. A command that has had its turn always gets some. */
void imap_in_take_slice(struct imap_session *s, struct account_job *j);
enum peer_turn imap_in_take_turn(struct imap_session *s); /* of the command, before it begins */
void imap_in_wait_for_memory(struct imap_session *s, void (*resume)(struct imap_session *));
bool imap_in_look_again(struct imap_session *s); /* at the deadline: true if it was that of such a wait */

/* imap_in_view.c. */
/* The command's set as UIDs of the selected mailbox (sequence numbers, UIDs or "$"). *ret_beyond (may be NULL): it named
 * sequence numbers that are not there. */
int imap_in_uids(struct imap_session *s, const struct imap_command *c, struct ranges *ret, bool *ret_beyond) MUST_USE;
int imap_in_set_uids(struct imap_session *s, const struct imap_set *set, bool uid, struct ranges *ret,
                     bool *ret_beyond) MUST_USE;
/* Whether some of them have gone, and this client has not been told yet: it named them by number (RFC 2180 section 4). */
bool imap_in_has_ghosts(const struct imap_session *s, const struct ranges *uids);
/* Untagged answers into `out`, which is sent when it is large: "* 3 FETCH (UID 5 MODSEQ (7) FLAGS (\Seen))" of a message
 * (UID and MODSEQ as the client has asked for them), FLAGS and PERMANENTFLAGS, VANISHED. */
void imap_in_write_flags(struct imap_session *s, uint32_t seq, const struct mailbox_message *m, bool recent);
void imap_in_write_flag_list(struct imap_session *s);
void imap_in_write_vanished(struct imap_session *s, const struct ranges *uids, bool earlier);
void imap_in_unselect(struct imap_session *s); /* imap_in.c */

/* The commands: imap_in_<file>.c. Each ends in imap_in_done, at once or later. */
void imap_in_select(struct imap_session *s, const struct imap_command *c);  /* SELECT, EXAMINE */
void imap_in_close(struct imap_session *s, const struct imap_command *c);   /* CLOSE, UNSELECT */
void imap_in_check(struct imap_session *s, const struct imap_command *c);   /* NOOP, CHECK */
void imap_in_expunge(struct imap_session *s, const struct imap_command *c); /* EXPUNGE, UID EXPUNGE */
void imap_in_store(struct imap_session *s, const struct imap_command *c);
void imap_in_fetch(struct imap_session *s, const struct imap_command *c);
void imap_in_search(struct imap_session *s, const struct imap_command *c); /* SEARCH, SORT, THREAD */
void imap_in_copy(struct imap_session *s, const struct imap_command *c);   /* COPY, MOVE */
void imap_in_append(struct imap_session *s, const struct imap_command *c); /* APPEND, REPLACE */
void imap_in_list(struct imap_session *s, const struct imap_command *c);   /* LIST, LSUB */
void imap_in_status(struct imap_session *s, const struct imap_command *c);
void imap_in_folder(struct imap_session *s, const struct imap_command *c); /* CREATE … UNSUBSCRIBE */
void imap_in_namespace(struct imap_session *s, const struct imap_command *c);
void imap_in_quota(struct imap_session *s, const struct imap_command *c); /* GETQUOTA, GETQUOTAROOT, SETQUOTA */

/* APPEND's literals: imap_in_append.c. */
enum when imap_in_ask_append(void *world, const struct imap_command *c, const struct imap_append *item,
                             struct imap_result *ret);
struct sink imap_in_append_body(void *world);
void imap_in_append_end(void *world);
void imap_in_append_abort(void *world);
void imap_in_append_free(struct imap_session *s);

#endif
