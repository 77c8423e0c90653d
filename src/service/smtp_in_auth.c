#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/store/password.h"
#include "facteur/store/scram_keys.h"
#include "smtp_in_priv.h"

/* The check of a password costs tens of milliseconds by intent: a job, with copies of what it needs. */
struct login_job {
    struct job job;
    const struct conf_user *user; /* of the session's snapshot; NULL: unknown, and the work is done all the same */
    size_t count;
    char **hashes;
    char *password;
    size_t password_n;
    char login[256];
    bool good;
};

static void run_login(struct job *job)
{
    struct login_job *j = LIST_ENTRY(job, struct login_job, job);

    j->good = password_verify((const char *const *)j->hashes, j->count, slice_make(j->password, j->password_n));
}

static void login_drop(struct job *job)
{
    struct login_job *j = LIST_ENTRY(job, struct login_job, job);

    for (size_t i = 0; i < j->count; i++)
        mem_free(j->hashes[i]);
    mem_free(j->hashes);
    mem_free_secret(j->password, j->password_n);
    mem_free(j);
}

static struct verdict login_good(struct smtp_session *s, const struct conf_user *user, const char *mechanism)
{
    s->client.user = user;
    s->service->stats.logins++;
    counters_auth_ok(s->service->f->counters, &s->client.ip);
    LOG(INFO, "login", kv_str("session", s->client.session), kv_str("client", s->client.address),
        kv_str("user", user->name), kv_str("mechanism", mechanism), kv_str("tls", s->client.tls));
    return verdict_make(235, "2.7.0", "Authentication successful");
}

/* The same words for a wrong password, an unknown user and a switched-off account; the log knows the difference. The
 * reply comes late, later with each failure. */
static void login_bad(struct smtp_session *s, const char *login, const char *why)
{
    int64_t delay = counters_auth_failed(s->service->f->counters, s->config, &s->client.ip);

    s->service->stats.login_failures++;
    LOG(WARNING, "login-failed", kv_str("session", s->client.session), kv_str("client", s->client.address),
        kv_str("user", login), kv_str("reason", why), kv_num("delay_ms", delay));
    s->verdict = verdict_make(535, "5.7.8", "Authentication credentials invalid");
    s->delayed = true;
    timer_set(s->timer, delay);
}

/* What the right password alone does not decide. */
static const char *not_allowed(const struct conf_user *user)
{
    if (user == NULL)
        return "no such user";
    if (!user->enabled)
        return "the account is switched off";
    if ((user->services & USER_SUBMISSION) == 0)
        return "the account may not submit mail (services)";
    return NULL;
}

static void login_done(void *owner, struct job *job)
{
    struct smtp_session *s = owner;
    struct login_job *j = LIST_ENTRY(job, struct login_job, job);
    const char *why = j->user != NULL && !j->good ? "wrong password" : not_allowed(j->user);
    struct verdict v;

    if (why != NULL) {
        login_bad(s, j->login, why);
        return;
    }
    v = login_good(s, j->user, "password");
    smtp_in_answer(s, &v);
}

static void start_check(struct smtp_session *s, const struct conf_user *user, const struct sasl_attempt *attempt)
{
    struct login_job *j = mem_zero(sizeof *j);

    j->user = user;
    j->count = user != NULL ? user->passwords.count : 0;
    j->hashes = mem_array(j->count, sizeof *j->hashes);
    for (size_t i = 0; i < j->count; i++)
        j->hashes[i] = mem_str(user->passwords.items[i]);
    j->password_n = strlen(attempt->password);
    j->password = mem_dup(attempt->password, j->password_n);
    slice_clip(slice_str(attempt->user), j->login, sizeof j->login);
    j->job.run = run_login;
    j->job.done = login_done;
    j->job.drop = login_drop;
    j->job.owner = s;
    job_start(s->service->f->pool, JOB_HASH, &s->jobs, &j->job);
}

enum when smtp_in_ask_auth(void *world, const struct sasl_attempt *attempt, struct verdict *ret)
{
    struct smtp_session *s = world;
    const struct conf_user *user = config_login(s->config, slice_str(attempt->user));
    const char *why;

    *ret = counters_auth_allowed(s->service->f->counters, s->config, &s->client.ip);
    if (!verdict_is_ok(ret))
        return NOW;
    /* To act as somebody else is nobody's right here. */
    if (attempt->authzid[0] != '\0' && config_login(s->config, slice_str(attempt->authzid)) != user) {
        login_bad(s, attempt->user, "asked to act as another user");
        return LATER;
    }
    if (!attempt->scram) {
        start_check(s, user, attempt);
        return LATER;
    }
    why = !attempt->scram_proved ? "wrong password" : not_allowed(user);
    if (why != NULL) {
        login_bad(s, attempt->user, why);
        return LATER;
    }
    *ret = login_good(s, user, attempt->mechanism);
    return NOW;
}

void smtp_in_scram_keys(void *world, struct slice login, struct sasl_scram_keys *ret)
{
    struct smtp_session *s = world;
    const struct conf_user *user = config_login(s->config, login);
    struct scram_keys keys;

    memset(ret, 0, sizeof *ret);
    ret->known = user != NULL && scram_keys_find(user->passwords.items, user->passwords.count, &keys);
    if (!ret->known)
        scram_keys_pretend(login, s->service->scram_secret, &keys);
    memcpy(ret->salt, keys.salt, sizeof ret->salt);
    ret->salt_n = keys.salt_n;
    ret->iterations = keys.iterations;
    memcpy(ret->stored, keys.stored, sizeof ret->stored);
    memcpy(ret->server, keys.server, sizeof ret->server);
}
