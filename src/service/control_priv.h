/* facteur: service/control_priv: what the parts of the control socket share.
 * Purpose:   a connection, its one question, and the answers' JSON.
 * Owner:     see control.h; a control_job belongs to the pool until its drop.
 * Thread:    the loop's; control_ask functions run on the pool and see their control_job only.
 * Limits:    one question a connection at a time.
 * Standards: RFC 8259. */
#ifndef FACTEUR_SERVICE_CONTROL_PRIV_H
#define FACTEUR_SERVICE_CONTROL_PRIV_H

#include "facteur/service/control.h"

struct control_client;

/* A question on its way through a lane. `ask` fills `answer` or returns a negative code with `e`; `then`, which may be
 * NULL, runs on the loop while control lives, also when the asking connection is gone. */
struct control_job {
    struct job job;
    struct queue *queue;
    struct spool *spool;
    struct history *history;
    uint64_t id;
    uint64_t number; /* the request's "max", "from" or "offset" */
    int (*ask)(struct control_job *j);
    void (*then)(const struct control_env *env, struct control_job *j);
    json_t *answer; /* an object */
    char *sender;   /* of a message that was deleted */
    int code;
    struct err e;
    struct control_client *client; /* NULL when it has gone */
};

/* Answers the connection's question and goes on with the next. Takes the reference; NULL is answered as a failure. */
void control_answer(struct control_client *cl, json_t *answer);
void control_refuse(struct control_client *cl, const char *code, const char *text);

/* Starts the question; the answer comes by itself. */
void control_start(struct control_client *cl, enum job_class cls, struct control_job *j);
/* The same for a question that is asked elsewhere: begun here, and ended with j->answer or j->code once. */
void control_begin(struct control_client *cl, struct control_job *j);
void control_end(struct control_job *j);
void control_job_free(struct control_job *j);
const struct control_env *control_env(const struct control_client *cl);

/* The requests of the queue: control_queue.c. */
void control_ask_status(struct control_client *cl, const json_t *request);
void control_queue_list(struct control_client *cl, const json_t *request);
void control_queue_show(struct control_client *cl, const json_t *request);
void control_queue_history(struct control_client *cl, const json_t *request);
void control_queue_body(struct control_client *cl, const json_t *request);
void control_queue_flush(struct control_client *cl, const json_t *request);
void control_queue_delete(struct control_client *cl, const json_t *request);

/* The requests of the mailboxes: control_mailbox.c. */
void control_mailbox_list(struct control_client *cl, const json_t *request);
void control_mailbox_quota(struct control_client *cl, const json_t *request);
void control_mailbox_rebuild(struct control_client *cl, const json_t *request);

/* JSON: control_json.c. A text is cut at CONTROL_TEXT_MAX; octets that are no UTF-8 become \xNN. NULL gives null. */
json_t *control_json_text(const char *text);
json_t *control_json_id(uint64_t id);
/* With the recipients from index `from`, `most` of them. */
json_t *control_json_message(const struct queue_message *m, size_t from, size_t most);
json_t *control_json_event(const struct history_event *ev);

#endif
