#include "facteur/service/control.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/io/listener.h"
#include "facteur/io/timer.h"

#include "control_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { MESSAGES_MAX = 256 * 1024, BACKLOG_INPUT = CONTROL_LINE + 64 * 1024 /* a line and one read */ };

struct control {
    struct control_env env;
    struct listener *listener;
    struct link clients;
    unsigned count; /* of clients whose memory is still there */
    bool paused, closed;
    struct job_scope scope;
};

struct control_client {
    struct link link;
    struct control *control;
    struct stream *stream;
    struct timer *deadline;
    struct buf in;
    struct control_job *job; /* the question under way, or NULL */
    bool ended;              /* the peer sends no more */
    bool closing;
};

struct verb {
    const char *name;
    void (*ask)(struct control_client *cl, const json_t *request);
};

static void ask_reload(struct control_client *cl, const json_t *request);

static const struct verb verbs[] = {
    { "status", control_ask_status },
    { "reload", ask_reload },
    { "queue-list", control_queue_list },
    { "queue-show", control_queue_show },
    { "queue-history", control_queue_history },
    { "queue-body", control_queue_body },
    { "queue-flush", control_queue_flush },
    { "queue-delete", control_queue_delete },
    { "mailbox-list", control_mailbox_list },
    { "mailbox-quota", control_mailbox_quota },
    { "mailbox-rebuild", control_mailbox_rebuild },
};

/* What a program is told beside the sentence. */
static const struct {
    int code;
    const char *name;
} code_names[] = {
    { -EINVAL, "bad-request" }, { -ENOENT, "not-found" }, { -EBADMSG, "damaged" },
    { -EBUSY, "busy" },         { -EAGAIN, "busy" },
};

static void pump(struct control_client *cl);

const struct control_env *control_env(const struct control_client *cl)
{
    return &cl->control->env;
}

/* --- ends --- */

static void leave(struct control_client *cl)
{
    if (cl->job != NULL)
        cl->job->client = NULL; /* the job goes on without a listener */
    cl->job = NULL;
    cl->closing = true;
    timer_close(&cl->deadline);
    list_unlink(&cl->link);
}

static void client_close(struct control_client *cl)
{
    if (!cl->closing)
        leave(cl);
    stream_close(cl->stream);
}

/* The polite end: what was answered still arrives. */
static void client_finish(struct control_client *cl)
{
    leave(cl);
    stream_finish(cl->stream);
}

static void control_free_if_done(struct control *c)
{
    if (c->closed && c->count == 0)
        mem_free(c);
}

static void on_closed(void *owner)
{
    struct control_client *cl = owner;
    struct control *c = cl->control;

    buf_clear(&cl->in);
    mem_free(cl);
    c->count--;
    if (c->paused && !c->closed) {
        c->paused = false;
        listener_pause(c->listener, false);
    }
    control_free_if_done(c);
}

/* --- answers --- */

void control_answer(struct control_client *cl, json_t *answer)
{
    char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;

    json_decref(answer);
    if (text == NULL)
        stream_write(cl->stream,
                     SLICE_LIT("{\"ok\":false,\"code\":\"failed\",\"error\":\"the answer cannot be told\"}"));
    else
        stream_write(cl->stream, slice_str(text));
    stream_write(cl->stream, SLICE_LIT("\n"));
    free(text); /* jansson's own */
    timer_set(cl->deadline, CONTROL_IDLE_MS);
}

void control_refuse(struct control_client *cl, const char *code, const char *text)
{
    control_answer(cl, json_pack("{sb ss ss}", "ok", 0, "code", code, "error", text));
}

static void answer_job(struct control_client *cl, struct control_job *j)
{
    const char *name = "failed";

    if (j->code >= 0) {
        json_t *answer = j->answer;

        j->answer = NULL;
        control_answer(cl, answer);
        return;
    }
    for (size_t i = 0; i < sizeof code_names / sizeof code_names[0]; i++)
        if (code_names[i].code == j->code)
            name = code_names[i].name;
    control_refuse(cl, name, j->e.text[0] != '\0' ? j->e.text : err_text(j->code));
}

static void run_job(struct job *job)
{
    struct control_job *j = LIST_ENTRY(job, struct control_job, job);

    j->code = j->ask(j);
}

void control_end(struct control_job *j)
{
    struct control_client *cl = j->client;

    if (cl == NULL)
        return;
    j->client = NULL;
    cl->job = NULL;
    answer_job(cl, j);
    pump(cl);
}

static void job_done(void *owner, struct job *job)
{
    struct control *c = owner;
    struct control_job *j = LIST_ENTRY(job, struct control_job, job);

    if (j->then != NULL)
        j->then(&c->env, j);
    control_end(j);
}

void control_job_free(struct control_job *j)
{
    json_decref(j->answer);
    mem_free(j->sender);
    mem_free(j);
}

static void job_drop(struct job *job)
{
    control_job_free(LIST_ENTRY(job, struct control_job, job));
}

void control_begin(struct control_client *cl, struct control_job *j)
{
    j->client = cl;
    cl->job = j;
}

void control_start(struct control_client *cl, enum job_class cls, struct control_job *j)
{
    control_begin(cl, j);
    j->job.run = run_job;
    j->job.done = job_done;
    j->job.drop = job_drop;
    j->job.owner = cl->control;
    job_start(cl->control->env.pool, cls, &cl->control->scope, &j->job);
}

/* --- requests --- */

static void ask_reload(struct control_client *cl, const json_t *request)
{
    const struct control_env *env = control_env(cl);
    struct buf messages;
    json_t *text;
    int code;

    (void)request;
    buf_init(&messages, MESSAGES_MAX);
    loop_note(env->loop, "reload");
    code = env->reload(env->ctx, &messages);
    text = json_string(buf_cstr(&messages));
    if (text == NULL)
        text = json_string("the reasons are in the log");
    buf_clear(&messages);
    control_answer(cl, json_pack("{sb sb so}", "ok", 1, "loaded", code >= 0, "messages", text));
}

/* False: this is no request at all, and whoever wrote it does not speak our language. */
static bool take_request(struct control_client *cl, struct slice line)
{
    json_error_t why;
    json_t *request = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &why);
    const char *word = json_string_value(json_object_get(request, "do"));
    const struct verb *verb = NULL;

    if (word == NULL) {
        json_decref(request);
        return false;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, word) == 0)
            verb = &verbs[i];
    if (verb == NULL)
        control_refuse(cl, "bad-request", "this server does not know that request; is it older than the command?");
    else
        verb->ask(cl, request);
    json_decref(request);
    return true;
}

/* Takes the requests that are complete, one after the other, until one has to be waited for. */
static void pump(struct control_client *cl)
{
    ptrdiff_t end;

    while (!cl->closing && cl->job == NULL && !stream_is_full(cl->stream) &&
           (end = slice_find(buf_slice(&cl->in), '\n')) >= 0) {
        bool good = end < CONTROL_LINE && take_request(cl, slice_head(buf_slice(&cl->in), (size_t)end));

        buf_drop(&cl->in, (size_t)end + 1);
        if (!good) {
            LOG(WARNING, "control-garbage", kv_str("action", "closed"));
            client_close(cl);
            return;
        }
    }
    if (cl->closing)
        return;
    if (cl->job != NULL || stream_is_full(cl->stream)) {
        stream_pause(cl->stream);
    } else if (cl->ended) {
        client_finish(cl);
    } else if (cl->in.n >= CONTROL_LINE) {
        LOG(WARNING, "control-garbage", kv_str("action", "closed"), kv_num("octets", (int64_t)cl->in.n));
        client_close(cl);
    } else {
        stream_resume(cl->stream);
    }
}

static void on_bytes(void *owner, struct slice octets)
{
    struct control_client *cl = owner;

    if (cl->closing)
        return;
    loop_note(cl->control->env.loop, "control");
    if (buf_add(&cl->in, octets.p, octets.n) < 0) {
        client_close(cl);
        return;
    }
    pump(cl);
}

static void on_end(void *owner, int status)
{
    struct control_client *cl = owner;

    if (cl->closing)
        return;
    cl->ended = true;
    if (status < 0)
        client_close(cl);
    else
        pump(cl);
}

static void on_drain(void *owner)
{
    struct control_client *cl = owner;

    if (!cl->closing)
        pump(cl);
}

static void on_deadline(void *owner)
{
    struct control_client *cl = owner;

    if (cl->job != NULL)
        timer_set(cl->deadline, CONTROL_IDLE_MS); /* it is we who are late */
    else
        client_close(cl);
}

static const struct stream_events client_events = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

static void on_accept(void *owner, struct stream *s)
{
    struct control *c = owner;
    struct control_client *cl;

    if (c->count >= CONTROL_CLIENTS) { /* more of one wake-up than there is room for */
        stream_close(s);
        return;
    }
    cl = mem_zero(sizeof *cl);
    cl->control = c;
    cl->stream = s;
    cl->deadline = timer_new(c->env.loop, on_deadline, cl);
    buf_init(&cl->in, BACKLOG_INPUT);
    list_push(&c->clients, &cl->link);
    c->count++;
    timer_set(cl->deadline, CONTROL_IDLE_MS);
    stream_start(s, &client_events, cl);
    if (c->count >= CONTROL_CLIENTS) {
        c->paused = true;
        listener_pause(c->listener, true);
    }
}

/* --- life --- */

int control_new(const struct control_env *env, const char *path, struct control **ret, struct err *e)
{
    const struct listener_options options = { .fd = -1, .mode = 0600 };
    struct endpoint at = { .family = 1 };
    struct control *c;
    int code;

    if (slice_copy(slice_str(path), at.path, sizeof at.path) < 0)
        return err_set(e, -ENAMETOOLONG, "%s: a socket's path has %zu octets at most; choose a shorter state directory",
                       path, sizeof at.path - 1);
    c = mem_zero(sizeof *c);
    c->env = *env;
    list_init(&c->clients);
    job_scope_init(&c->scope);
    code = listener_new(env->loop, &at, &options, on_accept, c, &c->listener, e);
    if (code < 0) {
        mem_free(c);
        return code;
    }
    *ret = c;
    return 0;
}

void control_close(struct control **cp)
{
    struct control *c = *cp;

    *cp = NULL;
    if (c == NULL)
        return;
    c->closed = true;
    listener_close(&c->listener);
    LIST_EACH (it, &c->clients)
        client_close(LIST_ENTRY(it, struct control_client, link));
    job_scope_abandon(&c->scope);
    control_free_if_done(c);
}
