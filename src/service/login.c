#include "facteur/service/login.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/store/password.h"
#include "facteur/store/password_cache.h"
#include "facteur/store/scram_keys.h"

typedef void login_done_fn(struct peer *p, const struct verdict *v);

/* A failed login whose answer waits. */
struct login {
    struct peer *peer;
    struct timer *timer;
    struct verdict verdict;
    login_done_fn *done;
};

/* The check of a password costs tens of milliseconds by intent: a job, with copies of what it needs. */
struct login_job {
    struct job job;
    const struct conf_user *user; /* of the session's snapshot; NULL: unknown, and the work is done all the same */
    bool pretended;               /* the hashes are another's, and what they say counts for nothing */
    enum conf_user_service service;
    login_done_fn *done;
    size_t count;
    char **hashes;
    char *password;
    size_t password_n;
    char login[256];
    bool good;
};

static const char *const service_words[] = {
    [USER_SUBMISSION] = "sending mail", [USER_IMAP] = "IMAP", [USER_POP3] = "POP3"
};

/* What a right password does not decide: the account may use other services. Said plainly, for its owner has proved to
 * be the owner. */
static bool service_allowed(const struct conf_user *user, enum conf_user_service service, struct verdict *ret)
{
    unsigned mail = user->services & (USER_IMAP | USER_POP3);

    if ((user->services & service) != 0)
        return true;
    if (service != USER_SUBMISSION && mail != 0)
        *ret = verdict_make(534, "5.7.9", "This account is not enabled for %s: use %s instead", service_words[service],
                            service_words[mail]);
    else
        *ret = verdict_make(534, "5.7.9", "This account is not enabled for %s", service_words[service]);
    return false;
}

static struct verdict judged(struct peer *p, const struct conf_user *user, enum conf_user_service service,
                             const char *mechanism)
{
    struct flow *f = peers_flow(p->peers);
    struct verdict v;

    counters_auth_ok(f->counters, &p->client.ip);
    if (!service_allowed(user, service, &v)) {
        peers_stats(p->peers)->login_failures++;
        LOG(WARNING, "login-refused", kv_str("session", p->client.session), kv_str("client", p->client.address),
            kv_str("user", user->name), kv_str("reason", "services of the account do not have this one"),
            kv_str("rule", "users.services"), kv_num("line", user->at.line),
            kv_str("file", strcmp(user->at.file, p->config->file) != 0 ? user->at.file : NULL));
        return v;
    }
    if (!peer_takes_seat(p, user, &v)) {
        if (service == USER_SUBMISSION)
            v.code = 454; /* RFC 4954 6; 452 is no reply to AUTH */
        return v;
    }
    p->client.user = user;
    if (p->counted && !p->known) {
        p->known = true;
        counters_known(f->counters, &p->client.ip);
    }
    peers_stats(p->peers)->logins++;
    LOG(INFO, "login", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_str("user", user->name), kv_str("mechanism", mechanism), kv_str("tls", p->client.tls));
    return verdict_make(235, "2.7.0", "Authentication successful");
}

static void on_delayed(void *owner)
{
    struct login *l = owner;
    struct peer *p = l->peer;
    struct verdict v = l->verdict;
    login_done_fn *done = l->done;

    login_end(p);
    done(p, &v);
}

void login_end(struct peer *p)
{
    if (p->login == NULL)
        return;
    timer_close(&p->login->timer);
    mem_free(p->login);
    p->login = NULL;
}

/* The same words for a wrong password, an unknown user and a switched-off account; the log knows the difference. The
 * reply comes late, later with each failure. */
static void login_bad(struct peer *p, const char *login, const char *why, login_done_fn *done)
{
    struct flow *f = peers_flow(p->peers);
    int64_t delay = counters_auth_failed(f->counters, p->config, &p->client.ip);
    struct login *l = mem_zero(sizeof *l);

    peers_stats(p->peers)->login_failures++;
    LOG(WARNING, "login-failed", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_str("user", login), kv_str("reason", why), kv_num("delay_ms", delay));
    l->peer = p;
    l->done = done;
    l->verdict = verdict_make(535, "5.7.8", "Authentication credentials invalid");
    l->timer = timer_new(f->loop, on_delayed, l);
    p->login = l;
    timer_set(l->timer, delay);
}

static const char *not_there(const struct conf_user *user)
{
    if (user == NULL)
        return "no such user";
    return user->enabled ? NULL : "the account is switched off";
}

static const char *wrong(const struct conf_user *user)
{
    return user->passwords.count > 0 ? "wrong password" : "the account has no password";
}

static void run_login(struct job *job)
{
    struct login_job *j = LIST_ENTRY(job, struct login_job, job);

    j->good = password_verify((const char *const *)j->hashes, j->count, slice_make(j->password, j->password_n)) &&
              !j->pretended;
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

static struct password_claim claim_of(const struct conf_user *user, struct slice password)
{
    return (struct password_claim){
        .user = user->name, .hashes = user->passwords.items, .count = user->passwords.count, .password = password
    };
}

/* Whether the slow hash may be left out. Only what was right is ever kept, so whoever guesses pays for each guess, and
 * nobody learns from the time who exists: the digest is made for all names alike. */
static bool known_good(struct peer *p, const struct conf_user *user, const struct sasl_attempt *attempt)
{
    static const struct conf_user nobody = { .name = "" };
    struct password_claim claim = claim_of(user != NULL ? user : &nobody, slice_str(attempt->password));

    return p->config->auth.cache > 0 && password_cache_has(peers_flow(p->peers)->passwords, &claim, clock_mono_ms()) &&
           not_there(user) == NULL;
}

static void login_done(void *owner, struct job *job)
{
    struct peer *p = owner;
    struct login_job *j = LIST_ENTRY(job, struct login_job, job);
    const char *why = j->user != NULL && !j->good ? wrong(j->user) : not_there(j->user);
    struct password_claim claim;
    struct verdict v;

    if (why != NULL) {
        login_bad(p, j->login, why, j->done);
        return;
    }
    claim = claim_of(j->user, slice_make(j->password, j->password_n));
    password_cache_put(peers_flow(p->peers)->passwords, &claim, p->config->auth.cache, clock_mono_ms());
    v = judged(p, j->user, j->service, "password");
    j->done(p, &v);
}

static void start_check(struct peer *p, const struct conf_user *user, const struct sasl_attempt *attempt,
                        enum conf_user_service service, login_done_fn *done)
{
    struct login_job *j = mem_zero(sizeof *j);
    const struct conf_user *whose = user;

    j->pretended = user == NULL || user->passwords.count == 0;
    if (j->pretended)
        whose = p->config->typical_user;
    j->user = user;
    j->service = service;
    j->done = done;
    j->count = whose != NULL ? whose->passwords.count : 0;
    j->hashes = mem_array(j->count, sizeof *j->hashes);
    for (size_t i = 0; i < j->count; i++)
        j->hashes[i] = mem_str(whose->passwords.items[i]);
    j->password_n = strlen(attempt->password);
    j->password = mem_dup(attempt->password, j->password_n);
    slice_clip(slice_str(attempt->user), j->login, sizeof j->login);
    j->job.run = run_login;
    j->job.done = login_done;
    j->job.drop = login_drop;
    j->job.owner = p;
    job_start(peers_flow(p->peers)->pool, JOB_HASH, &p->jobs, &j->job);
}

enum when login_ask(struct peer *p, const struct sasl_attempt *attempt, enum conf_user_service service,
                    login_done_fn *done, struct verdict *ret)
{
    const struct conf_user *user = config_login(p->config, slice_str(attempt->user));
    struct verdict allowed = counters_auth_allowed(peers_flow(p->peers)->counters, p->config, &p->client.ip);
    const char *why;

    if (!verdict_is_ok(&allowed)) {
        *ret = allowed;
        return NOW;
    }
    /* To act as somebody else is nobody's right here. */
    if (attempt->authzid[0] != '\0' && config_login(p->config, slice_str(attempt->authzid)) != user) {
        login_bad(p, attempt->user, "asked to act as another user", done);
        return LATER;
    }
    if (!attempt->scram) {
        if (known_good(p, user, attempt)) {
            *ret = judged(p, user, service, "password-again");
            return NOW;
        }
        start_check(p, user, attempt, service, done);
        return LATER;
    }
    why = user != NULL && !attempt->scram_proved ? wrong(user) : not_there(user);
    if (why != NULL) {
        login_bad(p, attempt->user, why, done);
        return LATER;
    }
    *ret = judged(p, user, service, attempt->mechanism);
    return NOW;
}

void login_scram_keys(struct peer *p, struct slice login, struct sasl_scram_keys *ret)
{
    const struct conf_user *user = config_login(p->config, login);
    const struct conf_user *typical = p->config->typical_user;
    struct scram_keys keys, others;

    memset(ret, 0, sizeof *ret);
    ret->known = user != NULL && scram_keys_find(user->passwords.items, user->passwords.count, &keys);
    if (!ret->known) {
        scram_keys_pretend(login, peers_flow(p->peers)->scram_secret, &keys);
        if (typical != NULL && scram_keys_find(typical->passwords.items, typical->passwords.count, &others))
            keys.iterations = others.iterations;
    }
    memcpy(ret->salt, keys.salt, sizeof ret->salt);
    ret->salt_n = keys.salt_n;
    ret->iterations = keys.iterations;
    memcpy(ret->stored, keys.stored, sizeof ret->stored);
    memcpy(ret->server, keys.server, sizeof ret->server);
}
