#include "peer_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "facteur/policy/relay.h"
#include "facteur/service/login.h"

#include <errno.h>
#include <stdio.h>

enum {
    PROXY_HEADER_MAX = 4096,
    STOP_READING_MS = 2000 /* when the server stops: for a client to take what it was sent */
};

/* --- the end --- */

static void end_dialogue(struct peer *p)
{
    job_scope_abandon(&p->jobs);
    timer_stop(p->timer);
    login_end(p);
    if (!p->open)
        return;
    p->open = false;
    if (p->paused != NULL)
        account_drop(p->paused);
    p->paused = NULL;
    p->peers->protocol->end(p);
    stream_meter(p->stream, &p->peers->f->output);
    account_close(&p->account);
}

static void tell_stopped(struct deferred *d)
{
    struct peers *s = LIST_ENTRY(d, struct peers, stopped);

    timer_close(&s->hurry);
    s->on_stopped(s->owner);
}

static void maybe_stopped(struct peers *s)
{
    if (s->stopping && s->on_stopped != NULL && list_empty(&s->all))
        loop_defer(s->f->loop, &s->stopped, tell_stopped);
}

static void leave_seat(struct peer *p)
{
    if (p->guest != NULL)
        counters_user_leaves(p->peers->f->counters, p->guest);
    mem_free(p->guest);
    p->guest = NULL;
}

static void on_closed(void *owner)
{
    struct peer *p = owner;
    struct peers *s = p->peers;

    end_dialogue(p);
    LOG(DEBUG, "disconnected", kv_str("session", p->client.session));
    if (p->known)
        counters_disconnect_known(s->f->counters);
    else if (p->counted)
        counters_disconnect(s->f->counters, &p->client.ip);
    leave_seat(p);
    list_unlink(&p->link);
    s->stats.open--;
    timer_close(&p->timer);
    buf_clear(&p->proxy);
    config_unref(&p->config);
    tls_server_unref(&p->tls);
    mem_free(p);
    maybe_stopped(s);
}

void peer_cut(struct peer *p)
{
    end_dialogue(p);
    stream_close(p->stream);
}

static void on_end(void *owner, int status)
{
    (void)status;
    peer_cut(owner);
}

void peer_close(struct peer *p, bool agreed)
{
    timer_stop(p->timer);
    if (agreed)
        stream_finish_agreed(p->stream);
    else
        stream_finish(p->stream);
}

bool peer_takes_seat(struct peer *p, const struct conf_user *user, struct verdict *ret)
{
    bool yes;

    if (p->guest != NULL && strcmp(p->guest, user->name) == 0)
        return true;
    leave_seat(p); /* SMTP: another login, behind STARTTLS */
    yes = counters_user_comes(p->peers->f->counters, p->config, user->name, ret);
    if (yes)
        p->guest = mem_str(user->name);
    else
        LOG(WARNING, "login-refused", kv_str("session", p->client.session), kv_str("client", p->client.address),
            kv_str("user", user->name), kv_str("reason", "the user has too many sessions"), kv_str("rule", ret->rule),
            kv_num("limit", p->config->limits.connections_per_user));
    return yes;
}

/* --- deadlines, output --- */

void peer_log_timeout(const struct peer *p)
{
    const char *state = p->wants_proxy ? "PROXY" : p->in_tls ? "TLS" : p->peers->protocol->state(p);

    LOG(INFO, "timeout", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_str("state", state));
}

static void on_timer(void *owner)
{
    struct peer *p = owner;

    if (p->open && !p->in_tls) {
        p->peers->protocol->timeout(p);
        return;
    }
    peer_log_timeout(p);
    peer_cut(p);
}

void peer_log_refused(const struct peer *p, const char *reply, struct slice command)
{
    p->peers->stats.refused++;
    LOG(INFO, "refused", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_str("user", p->client.user != NULL ? p->client.user->name : ""), kv_slice("command", command),
        kv_str("reply", reply));
}

void peer_deadline(struct peer *p, int64_t ms)
{
    if (ms > 0)
        timer_set(p->timer, ms);
    else
        timer_stop(p->timer);
}

void peer_send(struct peer *p, struct slice octets)
{
    stream_write(p->stream, octets);
}

void peer_start_tls(struct peer *p)
{
    p->in_tls = true;
    timer_set(p->timer, p->config->limits.timeout.tls);
    stream_start_tls_server(p->stream, p->tls);
}

void peer_sync_input(struct peer *p)
{
    if (!p->open)
        return;
    if (p->peers->protocol->is_waiting(p) || stream_is_full(p->stream))
        stream_pause(p->stream);
    else
        stream_resume(p->stream);
}

/* --- the beginning --- */

static void begin(struct peer *p)
{
    const struct peer_protocol *protocol = p->peers->protocol;

    ip_format(&p->client.ip, p->client.address);
    p->client.trusted = policy_is_trusted(p->config, &p->client.ip);
    p->verdict = verdict_ok("", "%s", "Ok");
    p->counted = peer_gets_in(p);
    LOG(DEBUG, "connected", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_num("port", stream_local(p->stream)->port));
    p->open = true;
    protocol->open(p);
    if (p->listener->tls == TLS_IMPLICIT) {
        peer_start_tls(p);
        return;
    }
    protocol->start(p);
    peer_sync_input(p);
}

static void take_proxy(struct peer *p, struct slice octets)
{
    struct endpoint client = { 0 };
    size_t used = 0;
    int r = buf_add(&p->proxy, octets.p, octets.n);

    if (r == 0)
        r = proxy_header_parse(buf_slice(&p->proxy), &used, &client);
    if (r == MORE)
        return;
    if (r < 0) {
        LOG(WARNING, "proxy-header-bad", kv_str("session", p->client.session), kv_str("client", p->client.address));
        peer_cut(p);
        return;
    }
    if (client.family != 0) {
        p->client.ip.family = client.family;
        memcpy(p->client.ip.octets, client.octets, sizeof client.octets);
    }
    p->wants_proxy = false;
    if (p->proxy.n > used)
        stream_unread(p->stream, slice_skip(buf_slice(&p->proxy), used));
    buf_clear(&p->proxy);
    begin(p);
}

static void on_bytes(void *owner, struct slice octets)
{
    struct peer *p = owner;

    if (p->wants_proxy) {
        take_proxy(p, octets);
        return;
    }
    if (!p->open)
        return;
    p->peers->protocol->feed(p, octets);
    peer_sync_input(p);
}

static void on_drain(void *owner)
{
    struct peer *p = owner;

    if (p->open && p->peers->protocol->drained != NULL)
        p->peers->protocol->drained(p);
    peer_sync_input(p);
}

static void on_tls(void *owner, int status, const struct tls_info *info, const char *why)
{
    struct peer *p = owner;

    if (status == 0 && info->alpn[0] != '\0' && strcmp(info->alpn, p->peers->protocol->name) != 0) {
        status = -EPROTO; /* somebody led a client of another protocol here (RFC 7301, ALPACA) */
        why = "the client wants another protocol (ALPN)";
    }
    if (status < 0) {
        LOG(INFO, "tls-failed", kv_str("session", p->client.session), kv_str("client", p->client.address),
            kv_str("reason", why));
        peer_cut(p);
        return;
    }
    p->in_tls = false;
    (void)snprintf(p->client.tls, sizeof p->client.tls, "%s %s", info->version, info->cipher);
    p->client.user = NULL;
    if (p->listener->tls == TLS_IMPLICIT)
        p->peers->protocol->start(p);
    else
        p->peers->protocol->tls_started(p);
    peer_sync_input(p);
}

static const struct stream_events events = {
    .on_bytes = on_bytes, .on_end = on_end, .on_drain = on_drain, .on_tls = on_tls, .on_closed = on_closed
};

static bool comes_by_proxy(const struct conf_listener *listener, const struct ip *ip)
{
    for (size_t i = 0; i < listener->proxy_from.count; i++) {
        if (network_has(&listener->proxy_from.items[i], ip))
            return true;
    }
    return false;
}

void peers_accept(struct peers *s, struct config *config, const struct conf_listener *listener, struct stream *stream)
{
    const struct endpoint *peer = stream_peer(stream);
    struct peer *p = mem_zero(s->protocol->session_size);

    p->peers = s;
    p->stream = stream;
    p->config = config_ref(config);
    p->tls = s->tls != NULL ? tls_server_ref(s->tls) : NULL;
    p->listener = listener;
    p->client.ip.family = peer->family == 1 ? 0 : peer->family;
    memcpy(p->client.ip.octets, peer->octets, sizeof peer->octets);
    ip_format(&p->client.ip, p->client.address);
    (void)snprintf(p->client.session, sizeof p->client.session, "%c%08llx", s->protocol->name[0],
                   (unsigned long long)s->next_id++);
    p->client.helo = "";
    p->client.with = "";
    p->since_ms = clock_mono_ms();
    p->timer = timer_new(s->f->loop, on_timer, p);
    job_scope_init(&p->jobs);
    buf_init(&p->proxy, PROXY_HEADER_MAX + 64 * 1024);
    list_push(&s->all, &p->link);
    s->stats.connections++;
    s->stats.open++;
    p->wants_proxy = comes_by_proxy(listener, &p->client.ip);
    stream_start(stream, &events, p);
    stream_meter(stream, &s->f->output);
    if (p->wants_proxy)
        timer_set(p->timer, config->limits.timeout.tls);
    else
        begin(p);
}

/* --- all of them --- */

struct peers *peers_new(struct flow *f, struct tls_server *tls, const struct peer_protocol *protocol)
{
    struct peers *s = mem_zero(sizeof *s);

    s->f = f;
    s->protocol = protocol;
    s->tls = tls != NULL ? tls_server_ref(tls) : NULL;
    s->next_id = rand_below(UINT32_MAX);
    list_init(&s->all);
    s->next = f->services;
    f->services = s;
    return s;
}

void peers_set_tls(struct peers *s, struct tls_server *tls)
{
    tls_server_unref(&s->tls);
    s->tls = tls != NULL ? tls_server_ref(tls) : NULL;
}

static bool has_all(const struct conf_strings *now, const struct conf_strings *then)
{
    for (size_t i = 0; i < then->count; i++) {
        bool found = false;

        for (size_t k = 0; k < now->count && !found; k++)
            found = strcmp(now->items[k], then->items[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static const char *why_not(const struct conf_user *now, const struct conf_user *then, enum conf_user_service service)
{
    if (now == NULL)
        return "the account is no more";
    if (!now->enabled)
        return "the account is switched off";
    if ((now->services & service) == 0)
        return "services of the account do not have this one any more";
    return has_all(&now->passwords, &then->passwords) ? NULL : "the password has changed";
}

/* Who does not read cannot be told goodbye; what is in the middle of a long answer does not come to its end. */
static bool is_unread(const struct peer *p)
{
    return p->paused != NULL || stream_is_full(p->stream);
}

void peers_recheck(struct peers *s, const struct config *fresh)
{
    LIST_EACH (it, &s->all) {
        struct peer *p = LIST_ENTRY(it, struct peer, link);
        const struct conf_user *then = p->client.user;
        const char *why = then != NULL ? why_not(config_user(fresh, then->name), then, s->protocol->service) : NULL;

        if (why == NULL)
            continue;
        LOG(INFO, "session-revoked", kv_str("session", p->client.session), kv_str("client", p->client.address),
            kv_str("user", then->name), kv_str("reason", why));
        if (p->in_tls || is_unread(p))
            peer_cut(p);
        else
            s->protocol->goodbye(p, "Log in again");
    }
}

static void cut_unfinished(void *owner)
{
    struct peers *s = owner;

    LIST_EACH (it, &s->all) {
        struct peer *p = LIST_ENTRY(it, struct peer, link);

        if (is_unread(p))
            peer_cut(p);
    }
}

void peers_stop(struct peers *s, void (*done)(void *owner), void *owner)
{
    s->stopping = true;
    s->on_stopped = done;
    s->owner = owner;
    LIST_EACH (it, &s->all) {
        struct peer *p = LIST_ENTRY(it, struct peer, link);

        if (p->open && !p->in_tls)
            s->protocol->goodbye(p, "The server is shutting down");
        else
            peer_cut(p);
    }
    s->hurry = timer_new(s->f->loop, cut_unfinished, s);
    timer_set(s->hurry, STOP_READING_MS);
    maybe_stopped(s);
}

bool peers_stopping(const struct peers *s)
{
    return s->stopping;
}

void peers_free(struct peers **s)
{
    if (*s == NULL)
        return;
    for (struct peers **at = &(*s)->f->services; *at != NULL; at = &(*at)->next) {
        if (*at == *s) {
            *at = (*s)->next;
            break;
        }
    }
    timer_close(&(*s)->hurry);
    tls_server_unref(&(*s)->tls);
    mem_free(*s);
    *s = NULL;
}

struct peers_stats *peers_stats(struct peers *s)
{
    return &s->stats;
}

struct flow *peers_flow(struct peers *s)
{
    return s->f;
}
