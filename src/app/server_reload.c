/* The policy read again: all of it, or everything as it was. */
#include "server_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/flow/remote.h"

#include <errno.h>

static const char *user_of(const struct config *c)
{
    return c->run_as != NULL ? c->run_as : PRIVS_DEFAULT_USER;
}

static int check_unchangeable(const struct server *s, const struct config *fresh, struct err *e)
{
    if (s->phase != SERVER_RUNS)
        return err_set(e, -ESHUTDOWN, "facteur is stopping");
    if (strcmp(s->config->state, fresh->state) != 0)
        return err_set(e, -EINVAL, "the state directory cannot change while facteur runs (%s to %s): restart it",
                       s->config->state, fresh->state);
    if (s->as_root && strcmp(user_of(s->config), user_of(fresh)) != 0)
        return err_set(e, -EINVAL, "run_as cannot change while facteur runs (%s to %s): restart it", user_of(s->config),
                       user_of(fresh));
    return 0;
}

static void take_config(struct server *s, struct config *fresh, struct tls_server *tls, struct tls_client *client)
{
    peers_set_tls(s->smtp, tls);
    peers_set_tls(s->imap, tls);
    peers_set_tls(s->pop3, tls);
    peers_recheck(s->smtp, fresh);
    peers_recheck(s->imap, fresh);
    peers_recheck(s->pop3, fresh);
    mailboxes_configure(s->flow.mailboxes, fresh);
    tls_server_unref(&s->tls);
    s->tls = tls;
    flow_configure(&s->flow, fresh, client);
    tls_client_unref(&client);
    config_unref(&s->config);
    s->config = fresh;
}

/* What does not fit is left out: the first problems are the ones to mend. */
static void say(struct buf *messages, struct slice text)
{
    if (text.n > 0 && buf_add(messages, text.p, text.n) < 0)
        LOG(DEBUG, "message-too-long", kv_num("size", (int64_t)text.n));
}

int server_open_log(const struct config *c, struct err *e)
{
    return log_open(c->log.target, c->log.path, c->log.format, c->log.level, e);
}

/* Both or neither. The listeners come last: to close them and open them again would turn clients away. */
static int switch_log_and_listeners(struct server *s, struct config *fresh, struct err *e)
{
    struct err ignored = { 0 };
    int code;

    TRY(server_open_log(fresh, e));
    code = server_listen(s, fresh, e);
    if (code < 0 && server_open_log(s->config, &ignored) < 0)
        LOG(WARNING, "log-stays", kv_str("reason", ignored.text));
    return code;
}

static struct slice without_last_newline(const struct buf *b)
{
    struct slice s = buf_slice(b);

    return s.n > 0 && s.p[s.n - 1] == '\n' ? slice_head(s, s.n - 1) : s;
}

/* Landlock's refusal looks like any other. */
static void explain_reach(const struct server *s, struct buf *messages)
{
    const char *denied = err_text(-EACCES);

    if (s->confined.landlock && memmem(messages->p, messages->n, denied, strlen(denied)) != NULL)
        say(messages,
            SLICE_LIT("\nafter the start facteur can read only the directories that the policy named then: if "
                      "the file's rights are good, restart it"));
}

/* A new snapshot, or everything as it was. */
static int load_anew(struct server *s, struct buf *messages)
{
    struct conf_problems problems = { 0 };
    struct config *fresh = NULL;
    struct tls_server *tls = NULL;
    struct tls_client *client = NULL;
    struct err e = { 0 };
    int code = config_load(s->config_path, &fresh, &problems);

    say(messages, buf_slice(&problems.text));
    conf_problems_clear(&problems);
    if (code == 0)
        code = check_unchangeable(s, fresh, &e);
    if (code == 0)
        code = server_load_tls(fresh, s->flow.tls, &tls, &client, &e);
    if (code == 0)
        code = switch_log_and_listeners(s, fresh, &e);
    say(messages, slice_str(e.text));
    if (code < 0) {
        explain_reach(s, messages);
        LOG(ERROR, "reload-failed", kv_slice("reason", without_last_newline(messages)),
            kv_str("advice", "the old configuration stays in force"));
        tls_server_unref(&tls);
        tls_client_unref(&client);
        config_unref(&fresh);
        return code;
    }
    take_config(s, fresh, tls, client);
    server_warn_of_certificates(s);
    LOG(INFO, "reloaded", kv_str("config", fresh->file), kv_slice("messages", without_last_newline(messages)));
    return 0;
}

int server_reload(void *server, struct buf *messages)
{
    struct server *s = server;
    int code;

    notify_reloading(s->notify);
    code = load_anew(s, messages);
    notify_reloaded(s->notify);
    return code;
}

void server_on_hangup(void *owner, int signum)
{
    struct buf messages;
    struct err e = { 0 };

    (void)signum;
    buf_init(&messages, 64 * 1024);
    if (log_reopen(&e) < 0)
        LOG(ERROR, "log-not-reopened", kv_str("reason", e.text));
    (void)server_reload(owner, &messages);
    buf_clear(&messages);
}
