#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/remote.h"

#include "control_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    LIST_RECIPIENTS = 20,        /* of each message in a list; show has all */
    LIST_RECIPIENTS_TOTAL = 500, /* in one answer */
    EVENTS_MAX = 1000,
    WHERE = 700, /* octets of what is told of a message under way */
};

/* A number that may be left out. */
static bool number_field(const json_t *request, const char *key, uint64_t otherwise, uint64_t *ret)
{
    const json_t *value = json_object_get(request, key);

    if (value == NULL) {
        *ret = otherwise;
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

/* A queue id; 0 stands for one that was left out. */
static bool id_field(const json_t *request, const char *key, uint64_t *ret)
{
    const json_t *value = json_object_get(request, key);

    if (value == NULL) {
        *ret = 0;
        return true;
    }
    return json_is_string(value) &&
           base32_u64_parse(slice_make(json_string_value(value), json_string_length(value)), ret) == 0 && *ret != 0;
}

static struct control_job *job_new(const struct control_env *env, uint64_t id, uint64_t number,
                                   int (*ask)(struct control_job *j))
{
    struct control_job *j = mem_zero(sizeof *j);

    j->queue = env->queue;
    j->spool = env->spool;
    j->history = env->history;
    j->id = id;
    j->number = number;
    j->ask = ask;
    return j;
}

static bool wants_id(struct control_client *cl, const json_t *request, uint64_t *ret)
{
    if (id_field(request, "id", ret) && *ret != 0)
        return true;
    control_refuse(cl, "bad-request", "a queue id of 13 characters is wanted");
    return false;
}

/* --- status --- */

static int ask_count(struct control_job *j)
{
    struct queue_counts counts = { 0 };

    int code = queue_count(j->queue, &counts, &j->e);

    if (code == -EBADMSG) { /* the rest of the status is worth knowing all the same */
        j->answer = json_pack("{sb s{ss}}", "ok", 1, "queue", "damaged", j->e.text);
        return 0;
    }
    if (code < 0)
        return code;
    j->answer = json_pack("{sb s{sI sI sI}}", "ok", 1, "queue", "messages", (json_int_t)counts.messages, "recipients",
                          (json_int_t)counts.recipients, "octets", (json_int_t)counts.octets);
    return 0;
}

/* The counts go into the status' own "queue". */
static void then_status(const struct control_env *env, struct control_job *j)
{
    json_t *status, *counts, *queue;

    if (j->answer == NULL)
        return;
    status = env->status(env->ctx);
    counts = json_object_get(j->answer, "queue");
    queue = json_object_get(status, "queue");
    if (json_is_object(queue))
        json_object_update(queue, counts);
    else
        json_object_set(status, "queue", counts);
    json_object_del(j->answer, "queue");
    json_object_set_new(j->answer, "status", status);
}

void control_ask_status(struct control_client *cl, const json_t *request)
{
    struct control_job *j = job_new(control_env(cl), 0, 0, ask_count);

    (void)request;
    j->then = then_status;
    control_start(cl, JOB_QUEUE, j);
}

/* --- list and show --- */

static int ask_list(struct control_job *j)
{
    struct queue_message **messages = NULL;
    json_t *list = json_array();
    struct queue_gaps gaps = { 0 };
    size_t count = 0, shown = 0, recipients = 0;
    int code = queue_list(j->queue, j->id, (size_t)j->number, &messages, &count, &gaps, &j->e);

    if (code < 0) {
        json_decref(list);
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        if (recipients < LIST_RECIPIENTS_TOTAL) {
            json_array_append_new(list, control_json_message(messages[i], 0, LIST_RECIPIENTS));
            recipients += messages[i]->count < LIST_RECIPIENTS ? messages[i]->count : LIST_RECIPIENTS;
            j->id = messages[i]->id;
            shown++;
        }
        queue_message_free(&messages[i]);
    }
    mem_free(messages);
    j->answer = json_pack("{sb so}", "ok", 1, "messages", list);
    if (shown < count || gaps.rows == (size_t)j->number)
        json_object_set_new(j->answer, "next", control_json_id(shown < count ? j->id : gaps.last));
    if (shown == count && (gaps.unread > 0 || gaps.cut)) { /* else the next answer looks at them again */
        json_object_set_new(j->answer, "unread", json_integer((json_int_t)gaps.unread));
        json_object_set_new(j->answer, "cut", json_boolean(gaps.cut));
    }
    return 0;
}

static void mark_active(const struct control_env *env, json_t *message)
{
    const char *text = json_string_value(json_object_get(message, "id"));
    char where[WHERE];
    uint64_t id;

    if (text == NULL || base32_u64_parse(slice_str(text), &id) < 0)
        return;
    json_object_set_new(message, "active", json_boolean(env->is_active(env->ctx, id)));
    if (env->flow != NULL && env->flow->remote != NULL && remote_whereabouts(env->flow->remote, id, where, WHERE))
        json_object_set_new(message, "where", json_string(where));
}

static void then_mark(const struct control_env *env, struct control_job *j)
{
    json_t *one = json_object_get(j->answer, "message");
    const json_t *list = json_object_get(j->answer, "messages");

    if (one != NULL)
        mark_active(env, one);
    for (size_t i = 0; i < json_array_size(list); i++)
        mark_active(env, json_array_get(list, i));
}

void control_queue_list(struct control_client *cl, const json_t *request)
{
    uint64_t after, most;
    struct control_job *j;

    if (!id_field(request, "after", &after) || !number_field(request, "max", CONTROL_LIST_MAX, &most) || most == 0) {
        control_refuse(cl, "bad-request", "\"after\" is a queue id and \"max\" a number from 1");
        return;
    }
    j = job_new(control_env(cl), after, most < CONTROL_LIST_MAX ? most : CONTROL_LIST_MAX, ask_list);
    j->then = then_mark;
    control_start(cl, JOB_QUEUE, j);
}

static int no_message(struct control_job *j, int code)
{
    char id[14];

    if (code != -ENOENT)
        return code;
    base32_u64(j->id, id);
    return err_set(&j->e, -ENOENT, "%s is not in the queue", id);
}

static int ask_show(struct control_job *j)
{
    struct queue_message *m = NULL;
    size_t from = (size_t)j->number;
    int code = queue_get(j->queue, j->id, false, &m, &j->e);

    if (code < 0)
        return no_message(j, code);
    j->answer = json_pack("{sb so}", "ok", 1, "message", control_json_message(m, from, CONTROL_RECIPIENTS_MAX));
    if (from < m->count && m->count - from > CONTROL_RECIPIENTS_MAX)
        json_object_set_new(j->answer, "next_recipient", json_integer((json_int_t)from + CONTROL_RECIPIENTS_MAX));
    queue_message_free(&m);
    return 0;
}

void control_queue_show(struct control_client *cl, const json_t *request)
{
    uint64_t id, from;
    struct control_job *j;

    if (!wants_id(cl, request, &id))
        return;
    if (!number_field(request, "from", 0, &from) || from > UINT32_MAX) {
        control_refuse(cl, "bad-request", "\"from\" is the number of a recipient");
        return;
    }
    j = job_new(control_env(cl), id, from, ask_show);
    j->then = then_mark;
    control_start(cl, JOB_QUEUE, j);
}

static void add_event(void *ctx, const struct history_event *ev)
{
    json_t *events = ctx;

    if (json_array_size(events) < EVENTS_MAX)
        json_array_append_new(events, control_json_event(ev));
}

static int ask_history(struct control_job *j)
{
    json_t *events = json_array();
    int code = history_show(j->history, j->id, add_event, events, &j->e);

    if (code < 0) {
        json_decref(events);
        return code;
    }
    j->answer = json_pack("{sb so}", "ok", 1, "events", events);
    return 0;
}

void control_queue_history(struct control_client *cl, const json_t *request)
{
    uint64_t id;

    if (wants_id(cl, request, &id))
        control_start(cl, JOB_HISTORY, job_new(control_env(cl), id, 0, ask_history));
}

/* --- body --- */

static int read_spool(struct control_job *j, uint64_t size, char *to, size_t n)
{
    int fd = spool_read_open(j->spool, j->id, &j->e);
    size_t got = 0;

    if (fd < 0)
        return fd;
    while (got < n) {
        ssize_t r = pread(fd, to + got, n - got, (off_t)(j->number + got));

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            int code = r < 0 ? -errno : -EIO;

            close(fd);
            return err_set(&j->e, code, "spool file, %" PRIu64 " of %" PRIu64 " octets: %s", j->number + got, size,
                           r < 0 ? err_text(code) : "it ends early");
        }
        got += (size_t)r;
    }
    close(fd);
    return 0;
}

static int piece_json(struct control_job *j, const struct queue_message *m)
{
    uint64_t left = j->number < m->size ? m->size - j->number : 0;
    size_t n = left < CONTROL_BODY_MAX ? (size_t)left : CONTROL_BODY_MAX;
    struct buf text;
    char *octets = mem_alloc(n);
    int code = 0;

    if (n > 0 && m->spooled)
        code = read_spool(j, m->size, octets, n);
    else if (n > 0 && m->body != NULL)
        memcpy(octets, m->body + j->number, n);
    else if (n > 0)
        code = err_set(&j->e, -EIO, "the row has no body");
    buf_init(&text, CONTROL_BODY_MAX / 3 * 4 + 8);
    if (code == 0)
        code = base64_encode(slice_make(octets, n), &text);
    if (code == 0)
        j->answer = json_pack("{sb sI ss}", "ok", 1, "size", (json_int_t)m->size, "data", buf_cstr(&text));
    buf_clear(&text);
    mem_free(octets);
    return code;
}

static int ask_body(struct control_job *j)
{
    struct queue_message *m = NULL;
    int code = queue_get(j->queue, j->id, true, &m, &j->e);

    if (code < 0)
        return no_message(j, code);
    code = piece_json(j, m);
    queue_message_free(&m);
    return code;
}

void control_queue_body(struct control_client *cl, const json_t *request)
{
    uint64_t id, offset;

    if (!wants_id(cl, request, &id))
        return;
    if (!number_field(request, "offset", 0, &offset)) {
        control_refuse(cl, "bad-request", "\"offset\" is a number of octets");
        return;
    }
    control_start(cl, JOB_QUEUE, job_new(control_env(cl), id, offset, ask_body));
}

/* --- flush and delete --- */

static int ask_flush(struct control_job *j)
{
    struct queue_op op = { .kind = QUEUE_DUE, .id = j->id, .due_ms = clock_wall_ms() };
    struct queue_message *m = NULL;
    struct link ops;
    int code;

    if (j->id != 0) {
        code = queue_get(j->queue, j->id, false, &m, &j->e);
        if (code < 0)
            return no_message(j, code);
        queue_message_free(&m);
    }
    list_init(&ops);
    list_push(&ops, &op.link);
    TRY(queue_apply(j->queue, &ops, &j->e));
    j->answer = json_pack("{sb so}", "ok", 1, "flushed", j->id != 0 ? control_json_id(j->id) : json_string("all"));
    return 0;
}

static void then_flushed(const struct control_env *env, struct control_job *j)
{
    char id[14];

    if (j->code < 0)
        return;
    base32_u64(j->id, id);
    LOG(INFO, "queue-flush", kv_str("queue", j->id != 0 ? id : "all"));
    env->flushed(env->ctx, j->id);
}

void control_queue_flush(struct control_client *cl, const json_t *request)
{
    struct control_job *j;
    uint64_t id;

    if (json_object_get(request, "id") == NULL)
        id = 0;
    else if (!wants_id(cl, request, &id))
        return;
    j = job_new(control_env(cl), id, 0, ask_flush);
    j->then = then_flushed;
    control_start(cl, JOB_QUEUE, j);
}

static int ask_delete(struct control_job *j)
{
    struct queue_message *m = NULL;
    int code = queue_get(j->queue, j->id, false, &m, &j->e);

    if (code == 0)
        code = queue_delete(j->queue, j->id, &j->e);
    if (code < 0) {
        queue_message_free(&m);
        return no_message(j, code);
    }
    if (m->spooled)
        (void)spool_remove(j->spool, j->id); /* what stays is swept at the next start */
    j->sender = mem_str(m->sender);
    queue_message_free(&m);
    j->answer = json_pack("{sb so}", "ok", 1, "deleted", control_json_id(j->id));
    return 0;
}

/* One line of history, for its own sake: nobody waits for it. */
struct note_job {
    struct job job;
    struct history *history;
    struct history_event event;
};

static void run_note(struct job *job)
{
    struct note_job *n = LIST_ENTRY(job, struct note_job, job);
    struct link events;

    list_init(&events);
    list_push(&events, &n->event.link);
    if (history_write(n->history, &events, NULL) < 0)
        return; /* history may be lost */
}

static void drop_note(struct job *job)
{
    struct note_job *n = LIST_ENTRY(job, struct note_job, job);

    mem_free(n->event.who);
    mem_free(n->event.text);
    mem_free(n);
}

static void then_deleted(const struct control_env *env, struct control_job *j)
{
    struct note_job *n;
    char id[14];

    if (j->code < 0)
        return;
    base32_u64(j->id, id);
    LOG(INFO, "queue-delete", kv_str("queue", id), kv_str("from", j->sender));
    n = mem_zero(sizeof *n);
    n->job.run = run_note;
    n->job.drop = drop_note;
    n->history = env->history;
    n->event.wall_ms = clock_wall_ms();
    n->event.id = j->id;
    n->event.kind = HISTORY_DELETED;
    n->event.who = mem_str(j->sender);
    n->event.text = mem_str("deleted by command");
    job_start(env->pool, JOB_HISTORY, NULL, &n->job);
    env->deleted(env->ctx, j->id);
}

void control_queue_delete(struct control_client *cl, const json_t *request)
{
    const struct control_env *env = control_env(cl);
    struct control_job *j;
    uint64_t id;

    if (!wants_id(cl, request, &id))
        return;
    if (env->is_active(env->ctx, id)) {
        control_refuse(cl, "busy", "the message is being delivered at this moment; try again when that has ended");
        return;
    }
    j = job_new(env, id, 0, ask_delete);
    j->then = then_deleted;
    control_start(cl, JOB_QUEUE, j);
}
