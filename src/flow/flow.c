#include "facteur/flow/flow.h"

#include "facteur/base/log.h"
#include "facteur/base/rand.h"
#include "facteur/flow/chronicle.h"
#include "facteur/flow/clock_watch.h"
#include "facteur/flow/commit.h"
#include "facteur/flow/local.h"
#include "facteur/flow/remote.h"
#include "facteur/flow/schedule.h"
#include "facteur/flow/space.h"
#include "schedule_priv.h"

void flow_start(struct flow *f, struct config *config)
{
    struct remote_env env = {
        .loop = f->loop, .jobs = f->pool, .dns = f->dns, .spool = f->spool, .load_body = schedule_load_body, .ctx = f
    };

    f->config = config_ref(config);
    f->first_id = queue_new_id(f->queue);
    rand_bytes(f->scram_secret, sizeof f->scram_secret);
    f->passwords = password_cache_new();
    list_init(&f->unrecorded);
    f->commit = commit_new(f);
    f->chronicle = chronicle_new(f);
    f->space = space_new(f);
    f->local = local_new(f);
    f->remote = remote_new(&env, config, f->tls);
    f->schedule = schedule_new(f);
    f->clock_watch = clock_watch_new(f);
    schedule_wake(f);
}

void flow_configure(struct flow *f, struct config *config, struct tls_client *tls)
{
    struct err e = { 0 };

    if (dns_set_servers(f->dns, config->dns.servers, &e) < 0) /* also the system's may have changed */
        LOG(ERROR, "name-servers-stay", kv_str("reason", e.text));
    config_unref(&f->config);
    f->config = config_ref(config);
    password_cache_wipe(f->passwords);
    tls_client_unref(&f->tls);
    f->tls = tls != NULL ? tls_client_ref(tls) : NULL;
    remote_set_config(f->remote, config, f->tls);
    schedule_wake(f);
}

void flow_turn(struct flow *f)
{
    local_turn(f->local);
    record_turn(f);
    commit_turn(f->commit);
    if (f->on_quiet != NULL && f->remote_done && schedule_is_quiet(f) && commit_is_idle(f->commit)) {
        void (*fn)(void *owner) = f->on_quiet;

        f->on_quiet = NULL;
        chronicle_flush(f->chronicle);
        fn(f->on_quiet_owner);
    }
}

static void remote_is_done(void *owner)
{
    ((struct flow *)owner)->remote_done = true;
}

void flow_stop(struct flow *f, void (*done)(void *owner), void *owner)
{
    f->on_quiet = done;
    f->on_quiet_owner = owner;
    schedule_stop(f);
    local_hurry(f->local);
    commit_hurry(f->commit);
    remote_shutdown(f->remote, f->config->limits.timeout.shutdown / 2, remote_is_done, f);
}

void flow_clear(struct flow *f)
{
    remote_free(&f->remote);
    clock_watch_free(&f->clock_watch);
    schedule_free(&f->schedule);
    local_free(&f->local);
    space_free(&f->space);
    chronicle_free(&f->chronicle);
    commit_free(&f->commit);
    config_unref(&f->config);
    password_cache_free(&f->passwords);
    tls_client_unref(&f->tls);
}
