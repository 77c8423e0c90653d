/* The relay as its user sees it: works in, results out. */
#include "remote_priv.h"

#include "facteur/base/mem.h"
#include "facteur/policy/relay.h"

#include <errno.h>
#include <stdio.h>

/* ---- results ---- */

const struct smtp_client_reply remote_stopping = { 421, "4.3.2", "This server is shutting down", true };

static void report(struct deferred *d)
{
    struct remote *r = LIST_ENTRY(d, struct remote, report);
    struct link now; /* what is finished by a done comes with the next turn */
    struct link *l;

    list_init(&now);
    list_move(&r->finished, &now);
    while ((l = list_pop(&now)) != NULL) {
        struct remote_work *work = LIST_ENTRY(l, struct remote_work, link);

        r->open_works--;
        work->done(work->owner, work);
    }
    remote_free_unused(r);
    remote_look_if_stopped(r);
}

void remote_report_later(struct remote *r)
{
    loop_defer(r->env.loop, &r->report, report);
}

void remote_finish(struct remote_work *work)
{
    struct remote *r = work->relay;

    work->ended = true;
    if (work->loading) /* the answer still comes to it */
        return;
    list_push(&r->finished, &work->link);
    remote_report_later(r);
}

void remote_result_set(struct remote_work *work, size_t i, enum remote_result result,
                       const struct smtp_client_reply *reply, const char *host, bool untried)
{
    struct remote_recipient *recipient = &work->recipients[i];

    recipient->result = result;
    recipient->reply = *reply;
    recipient->untried = untried && result == REMOTE_DEFERRED;
    (void)snprintf(recipient->host, sizeof recipient->host, "%s", host);
    work->relay->results[result]++;
}

static enum remote_result result_without_host(const struct smtp_client_reply *reply)
{
    return reply->code >= 500 ? REMOTE_REFUSED : REMOTE_DEFERRED;
}

void remote_fail_all(struct remote_work *work, const struct smtp_client_reply *reply)
{
    for (size_t i = work->next; i < work->count; i++) {
        remote_result_set(work, i, result_without_host(reply), reply, "", false);
        remote_log_result(work, i, "", "", 0);
    }
    work->next = work->count;
    remote_finish(work);
}

void remote_defer_all(struct remote_work *work, const struct smtp_client_reply *reply, const char *host, bool untried)
{
    for (size_t i = work->next; i < work->count; i++) {
        remote_result_set(work, i, REMOTE_DEFERRED, reply, host, untried);
        if (!untried)
            remote_log_result(work, i, "", "", 0);
    }
    work->next = work->count;
    remote_finish(work);
}

/* One line for each recipient's attempt. */
void remote_log_result(const struct remote_work *work, size_t i, const char *session, const char *tls, int64_t took_ms)
{
    static const char *const events[] = {
        [REMOTE_DEFERRED] = "relay-deferred",
        [REMOTE_TAKEN] = "relayed",
        [REMOTE_REFUSED] = "relay-refused",
    };
    const struct remote_recipient *recipient = &work->recipients[i];
    char id[14];

    base32_u64(work->message->id, id);
    LOG(INFO, events[recipient->result], kv_str("session", session), kv_str("queue", id),
        kv_str("to", recipient->recipient->address), kv_str("host", recipient->host), kv_str("tls", tls),
        kv_num("code", recipient->reply.code), kv_str("enhanced", recipient->reply.enhanced),
        kv_str("reply", recipient->reply.text), kv_num("took_ms", took_ms),
        kv_num("delay_ms", clock_wall_ms() - work->message->received_ms));
}

/* ---- inline bodies that are not in memory ---- */

static void body_loaded(void *owner, int status)
{
    struct remote_work *work = owner;

    work->loading = false;
    work->load_status = status < 0 ? status : 0;
    if (work->ended)
        remote_finish(work);
    else if (work->connection != NULL)
        message_loaded(work->connection);
}

bool remote_want_body(struct remote_work *work)
{
    const struct remote_env *env = &work->relay->env;

    if (work->message->spooled || work->message->body != NULL || work->load_status < 0)
        return true;
    if (work->loading)
        return false;
    if (env->load_body == NULL) {
        work->load_status = -ENOENT;
        return true;
    }
    work->loading = true;
    env->load_body(env->ctx, work->message, body_loaded, work);
    return false;
}

/* ---- the relay ---- */

struct remote *remote_new(const struct remote_env *env, struct config *config, struct tls_client *tls)
{
    struct remote *r = mem_zero(sizeof *r);

    r->env = *env;
    list_init(&r->destinations);
    list_init(&r->starved);
    list_init(&r->idle);
    list_init(&r->ended);
    list_init(&r->finished);
    list_init(&r->unused);
    remote_set_config(r, config, tls);
    return r;
}

void remote_set_config(struct remote *r, struct config *config, struct tls_client *tls)
{
    struct config *old = r->config;
    struct tls_client *old_tls = r->tls;

    r->config = config_ref(config);
    r->tls = tls != NULL ? tls_client_ref(tls) : NULL;
    if (old != NULL)
        config_unref(&old);
    if (old_tls != NULL)
        tls_client_unref(&old_tls);
    next_hop_know_self(&r->self, config);
    while (!list_empty(&r->idle)) /* they are of the old one */
        connection_quit(LIST_ENTRY(r->idle.next, struct remote_connection, in_idle));
    remote_revive(r);
}

void remote_revive(struct remote *r)
{
    LIST_EACH (l, &r->destinations) {
        struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_all);

        d->dead_until = d->no_more_until = d->hosts_until = 0;
        destination_look_if_unused(d);
    }
}

void remote_free(struct remote **r)
{
    if (*r == NULL)
        return;
    LIST_EACH (l, &(*r)->destinations) {
        struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_all);

        LIST_EACH (at, &d->connections)
            connection_destroy(LIST_ENTRY(at, struct remote_connection, in_list));
        destination_free(d);
    }
    LIST_EACH (at, &(*r)->ended)
        connection_destroy(LIST_ENTRY(at, struct remote_connection, in_list));
    loop_defer_cancel((*r)->env.loop, &(*r)->report);
    timer_close(&(*r)->cut_off);
    map_clear(&(*r)->by_key);
    config_unref(&(*r)->config);
    if ((*r)->tls != NULL)
        tls_client_unref(&(*r)->tls);
    mem_free(*r);
    *r = NULL;
}

void remote_start(struct remote *r, struct remote_work *work)
{
    work->relay = r;
    work->link = (struct link){ NULL, NULL };
    work->started_ms = clock_mono_ms();
    work->next = 0;
    work->ended = work->loading = work->crowded = false;
    work->load_status = 0;
    work->connection = NULL;
    r->open_works++;
    if (r->stopping || work->count == 0) {
        remote_defer_all(work, &remote_stopping, "", true);
        return;
    }
    struct remote_destination *d = destination_of(r, work->domain);

    destination_add(d, work);
    destination_run(d);
    destination_shed(d);
}

void remote_shed(struct remote *r)
{
    LIST_EACH (l, &r->destinations)
        destination_shed(LIST_ENTRY(l, struct remote_destination, in_all));
}

/* ---- the end ---- */

void remote_look_if_stopped(struct remote *r)
{
    void (*fn)(void *owner) = r->on_stopped;

    if (fn == NULL || r->connections > 0 || r->open_works > 0)
        return;
    r->on_stopped = NULL;
    timer_stop(r->cut_off);
    fn(r->stop_owner);
}

static void cut_off(void *owner)
{
    struct remote *r = owner;

    LIST_EACH (l, &r->destinations) {
        struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_all);

        LIST_EACH (at, &d->connections)
            connection_cut(LIST_ENTRY(at, struct remote_connection, in_list), remote_stopping.text);
    }
}

void remote_shutdown(struct remote *r, int64_t deadline_ms, void (*fn)(void *owner), void *owner)
{
    r->stopping = true;
    r->on_stopped = fn;
    r->stop_owner = owner;
    LIST_EACH (l, &r->destinations)
        destination_stop(LIST_ENTRY(l, struct remote_destination, in_all));
    if (r->cut_off == NULL)
        r->cut_off = timer_new(r->env.loop, cut_off, r);
    timer_set(r->cut_off, deadline_ms);
    remote_report_later(r);
}

struct remote_stats remote_stats(const struct remote *r)
{
    struct remote_stats stats = { .waiting = r->waiting,
                                  .connections = r->connections,
                                  .destinations = r->destination_count,
                                  .taken = r->results[REMOTE_TAKEN],
                                  .deferred = r->results[REMOTE_DEFERRED],
                                  .refused = r->results[REMOTE_REFUSED] };

    LIST_EACH (l, (struct link *)&r->destinations)
        stats.dead += destination_is_dead(LIST_ENTRY(l, struct remote_destination, in_all)) ? 1 : 0;
    return stats;
}
