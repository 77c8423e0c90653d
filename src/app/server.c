#include "facteur/app/server.h"

#include "facteur/app/crash_mark.h"
#include "facteur/app/privs.h"
#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/remote.h"
#include "facteur/flow/schedule.h"
#include "facteur/io/timer.h"
#include "facteur/service/imap_in.h"
#include "facteur/service/pop3_in.h"
#include "server_priv.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { SOCKET_PATH = 108, DAY_MS = 24 * 3600 * 1000 };

/* --- the end --- */

static void mailboxes_closed(void *owner)
{
    ((struct server *)owner)->phase = SERVER_DRAINS_POOL;
}

static void mail_finished(void *owner)
{
    struct server *s = owner;

    mailboxes_stop(s->flow.mailboxes, mailboxes_closed, s);
}

static void sessions_closed(void *owner)
{
    struct server *s = owner;

    if (--s->services_open > 0)
        return;
    s->phase = SERVER_FINISHES_MAIL;
    flow_stop(&s->flow, mail_finished, s);
}

static void on_deadline(void *owner)
{
    struct server *s = owner;

    LOG(WARNING, "stopped-in-haste",
        kv_str("advice", "what is not finished is in the queue and goes on at the next start"));
    s->cut_off = true;
    loop_stop(s->loop);
}

static void on_stop(void *owner, int signum)
{
    struct server *s = owner;

    if (s->phase != SERVER_RUNS) {
        log_flush();
        _exit(EX_OK); /* the second signal; everything that was acknowledged is on the disk */
    }
    LOG(INFO, "stopping", kv_num("signal", signum));
    notify_stopping(s->notify);
    s->phase = SERVER_CLOSES_SESSIONS;
    timer_set(s->deadline, s->config->limits.timeout.shutdown);
    timer_stop(s->daily);
    server_unlisten(s);
    s->services_open = 3;
    peers_stop(s->smtp, sessions_closed, s);
    peers_stop(s->imap, sessions_closed, s);
    peers_stop(s->pop3, sessions_closed, s);
}

static void on_turn(void *owner)
{
    struct server *s = owner;

    log_flush();
    if (s->phase == SERVER_ENDED)
        return;
    flow_turn(&s->flow);
    if (s->phase == SERVER_DRAINS_POOL && job_pool_idle(s->pool)) {
        s->phase = SERVER_ENDED;
        loop_stop(s->loop);
    }
}

/* --- the command line's wishes --- */

static void on_flushed(void *owner, uint64_t id)
{
    struct server *s = owner;

    (void)id;
    remote_revive(s->flow.remote);
    schedule_wake(&s->flow);
}

static void on_deleted(void *owner, uint64_t id)
{
    (void)owner;
    (void)id; /* the row is gone, and what is active cannot be deleted */
}

static bool is_active(void *owner, uint64_t id)
{
    return schedule_is_active(&((struct server *)owner)->flow, id);
}

static int open_control(struct server *s, struct err *e)
{
    struct control_env env = { .loop = s->loop,
                               .pool = s->pool,
                               .queue = s->flow.queue,
                               .spool = s->flow.spool,
                               .history = s->flow.history,
                               .flow = &s->flow,
                               .ctx = s,
                               .status = server_status,
                               .reload = server_reload,
                               .flushed = on_flushed,
                               .deleted = on_deleted,
                               .is_active = is_active };
    char path[SOCKET_PATH];

    if (snprintf(path, sizeof path, "%s/control.sock", s->config->state) >= (int)sizeof path)
        return err_set(e, -ENAMETOOLONG, "%s/control.sock: longer than a Unix socket's path may be (107 octets)",
                       s->config->state);
    return control_new(&env, path, &s->control, e);
}

/* --- the beginning --- */

static int load_config(struct server *s, struct err *e)
{
    struct conf_problems problems = { 0 };
    int code = config_load(s->config_path, &s->config, &problems);

    if (problems.text.n > 0)
        (void)fwrite(problems.text.p, 1, problems.text.n, stderr);
    if (code < 0)
        (void)err_set(e, code, "%s: %u problem%s; nothing was started", s->config_path, problems.count,
                      problems.count == 1 ? "" : "s");
    conf_problems_clear(&problems);
    return code;
}

static bool has_row(void *queue, uint64_t id)
{
    struct queue_message *m = NULL;
    struct err ignored = { 0 };
    int code = queue_get(queue, id, false, &m, &ignored);

    queue_message_free(&m);
    return code != -ENOENT; /* when in doubt the file stays */
}

static void tell_swept(const char *where, int count, const struct err *e)
{
    if (count != 0)
        LOG(INFO, "swept", kv_str("where", where), kv_num("files", count), kv_str("reason", e->text));
}

static void sweep_at_start(struct server *s)
{
    struct err e = { 0 };

    tell_swept("spool", spool_sweep(s->flow.spool, has_row, s->flow.queue, &e), &e);
    tell_swept("maildirs", maildirs_sweep(s->flow.maildirs, &e), &e);
}

struct sweep_job {
    struct job job;
    struct maildirs *maildirs;
    int count;
    struct err err;
};

static void run_sweep(struct job *job)
{
    struct sweep_job *j = LIST_ENTRY(job, struct sweep_job, job);

    j->count = maildirs_sweep(j->maildirs, &j->err);
}

static void sweep_done(void *owner, struct job *job)
{
    const struct sweep_job *j = LIST_ENTRY(job, struct sweep_job, job);

    (void)owner;
    tell_swept("maildirs", j->count, &j->err);
}

static void sweep_drop(struct job *job)
{
    mem_free(LIST_ENTRY(job, struct sweep_job, job));
}

static void on_day(void *owner)
{
    struct server *s = owner;
    struct sweep_job *j = mem_zero(sizeof *j);

    j->maildirs = s->flow.maildirs;
    j->job.run = run_sweep;
    j->job.done = sweep_done;
    j->job.drop = sweep_drop;
    job_start(s->pool, JOB_DISK, NULL, &j->job);
    server_warn_of_certificates(s);
    timer_set(s->daily, DAY_MS);
}

/* Mail does not wait for it. */
static void open_history(struct server *s)
{
    struct err e = { 0 };
    bool aside = false;
    int code = history_open(s->config->state, &s->flow.history, &aside, &e);

    if (code < 0) {
        LOG(ERROR, "no-history", kv_str("reason", e.text), kv_str("advice", "mail is not affected"));
        s->flow.history = NULL;
    } else if (aside) {
        char file[PATH_MAX];

        (void)snprintf(file, sizeof file, "%s/history.db.damaged", s->config->state);
        LOG(WARNING, "history-put-aside", kv_str("reason", e.text), kv_str("file", file),
            kv_str("advice", "mail is not affected; look at the disk"));
    }
}

static int open_state(struct server *s, struct err *e)
{
    struct flow *f = &s->flow;

    TRY(queue_open(s->config->state, &f->queue, e));
    TRY(spool_open(s->config->state, &f->spool, e));
    TRY(maildirs_open(s->config->state, &f->maildirs, e));
    open_history(s);
    f->after_crash = crash_mark_take(s->config->state);
    if (f->after_crash)
        LOG(ERROR, "crashed-before",
            kv_str("advice", "the former process ended by a fault of its own: please report it"));
    TRY(crash_mark_install(s->config->state, e));
    sweep_at_start(s);
    return 0;
}

/* SQLite opens a file that it may only read all the same, and fails later with other words. */
static bool is_about_rights(const char *state, int code)
{
    static const char *const names[] = { "", "facteur.lock", "queue.db", "queue.db-wal", "spool", "mail" };
    char path[PATH_MAX];

    if (code == -EACCES || code == -EPERM)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", state, names[i]);
        if (access(path, W_OK) < 0 && errno == EACCES)
            return true;
    }
    return false;
}

static int open_own_state(struct server *s, struct err *e)
{
    char user[PRIVS_NAME];
    struct err why;
    int code = open_state(s, e);

    if (code == 0 || !is_about_rights(s->config->state, code))
        return code;
    why = *e;
    privs_name(user);
    return err_set(e, -EACCES, "%.400s; %s and all that is in it must belong to %s: chown -R %s %s", why.text,
                   s->config->state, user, user, s->config->state);
}

static int start(struct server *s, struct err *e)
{
    struct tls_client *client = NULL;

    s->notify = notify_new();
    TRY(privs_limits(e));
    TRY(inherited_take(&s->inherited, e));
    TRY(load_config(s, e));
    TRY(loop_new(&s->loop, e));
    TRY(server_load_tls(s->config, NULL, &s->tls, &client, e));
    s->flow.tls = client;
    TRY(server_open_log(s->config, e));
    TRY(server_listen(s, s->config, e));
    s->charsets = charsets_load();
    TRY(privs_drop(s->config, &s->confined, e));
    s->pool = job_pool_new(s->loop);
    TRY(open_own_state(s, e));
    TRY(dns_new(s->loop, s->config->dns.servers, &s->flow.dns, e));
    s->flow.loop = s->loop;
    s->flow.pool = s->pool;
    s->flow.counters = counters_new();
    flow_start(&s->flow, s->config);
    s->flow.mailboxes = mailboxes_new(&s->flow, imap_in_prepare);
    s->smtp = peers_new(&s->flow, s->tls, &smtp_in_protocol);
    s->imap = peers_new(&s->flow, s->tls, &imap_in_protocol);
    s->pop3 = peers_new(&s->flow, s->tls, &pop3_in_protocol);
    s->deadline = timer_new(s->loop, on_deadline, s);
    s->daily = timer_new(s->loop, on_day, s);
    timer_set(s->daily, DAY_MS);
    TRY(open_control(s, e));
    loop_on_turn(s->loop, on_turn, s);
    TRY(loop_on_signal(s->loop, SIGTERM, on_stop, s));
    TRY(loop_on_signal(s->loop, SIGINT, on_stop, s));
    return loop_on_signal(s->loop, SIGHUP, server_on_hangup, s);
}

/* Also of what has only half begun. */
static void finish(struct server *s)
{
    while (s->pool != NULL && !job_pool_idle(s->pool))
        (void)loop_run_once(s->loop);
    server_unlisten(s);
    control_close(&s->control);
    peers_free(&s->smtp);
    peers_free(&s->imap);
    peers_free(&s->pop3);
    mailboxes_free(&s->flow.mailboxes);
    timer_close(&s->deadline);
    timer_close(&s->daily);
    notify_close(&s->notify);
    flow_clear(&s->flow);
    dns_free(&s->flow.dns);
    counters_free(&s->flow.counters);
    if (s->loop != NULL)
        (void)loop_run_once(s->loop);
    job_pool_free(&s->pool);
    loop_free(&s->loop);
    history_close(&s->flow.history);
    maildirs_close(&s->flow.maildirs);
    spool_close(&s->flow.spool);
    queue_close(&s->flow.queue);
    tls_server_unref(&s->tls);
    charsets_release(&s->charsets);
    config_unref(&s->config);
}

static int exit_code(int code)
{
    switch (code) {
    case -EINVAL:
        return EX_CONFIG;
    case -EADDRINUSE:
    case -EBUSY:
        return EX_TEMPFAIL;
    case -EBADMSG:
    case -EPROTO:
        return EX_DATAERR;
    case -EACCES:
    case -EPERM:
        return EX_NOPERM;
    case -ENOSPC:
    case -EDQUOT:
    case -EROFS:
    case -EIO:
        return EX_IOERR;
    default:
        return EX_CONFIG; /* F8: it starts only when it can write its queue */
    }
}

int server_run(const char *config_path, struct err *e)
{
    struct server *s = mem_zero(sizeof *s);
    int code;

    s->config_path = config_path;
    s->started_ms = clock_wall_ms();
    s->as_root = geteuid() == 0;
    list_init(&s->listeners);
    code = start(s, e);
    if (code < 0) {
        finish(s);
        mem_free(s);
        log_close();
        return exit_code(code);
    }
    LOG(INFO, "started", kv_str("hostname", s->config->hostname), kv_str("state", s->config->state),
        kv_num("pid", getpid()));
    server_warn_of_certificates(s);
    notify_ready(s->notify, s->loop);
    (void)loop_run(s->loop);
    if (s->cut_off) {
        log_close();
        _exit(EX_OK);
    }
    LOG(INFO, "stopped", kv_num("received", (int64_t)s->flow.stats.received));
    finish(s);
    mem_free(s);
    log_close();
    return EX_OK;
}
