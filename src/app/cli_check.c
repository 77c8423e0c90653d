/* The check: the policy, and whether what it names can be used. */
#include "cli_priv.h"

#include "facteur/app/privs.h"
#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "facteur/io/tls.h"
#include "server_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { PRINT_MAX = 1024 * 1024, WARNING_MAX = 1024 };

/* A warning changes no exit code. */
static void PRINTF_LIKE(3, 4) warn(const struct cli *c, const struct conf_place *at, const char *fmt, ...)
{
    char text[WARNING_MAX];
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    fprintf(c->err, "%s:%u:%u: warning: ", at->file, at->line, at->column);
    cli_put_text(c->err, text);
    fputc('\n', c->err);
}

static void warn_of_end(const struct cli *c, const struct conf_certificate *pair, const struct tls_server *server)
{
    int64_t days;
    enum cert_state state = cert_state(tls_server_pair_expires(server, 0), clock_wall_ms(), &days);

    if (state != CERT_GOOD)
        warn(c, &pair->at, "certificate %s %s %" PRId64 " day%s%s: renew it", pair->certificate,
             state == CERT_ENDED ? "ended" : "ends in", days, days == 1 ? "" : "s", state == CERT_ENDED ? " ago" : "");
}

/* A key that does not fit its certificate is a mistake of the policy as well. */
static int check_tls(const struct cli *c, const struct config *config)
{
    struct tls_files *files = mem_array(config->tls.pair_count, sizeof *files);
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    struct err e = { 0 };
    bool named = false;
    int code = 0;

    for (size_t i = 0; i < config->tls.pair_count; i++)
        files[i] = (struct tls_files){ config->tls.pairs[i].certificate, config->tls.pairs[i].key };
    for (size_t i = 0; i < config->tls.pair_count && code == 0; i++) { /* one by one, to know the line */
        const struct conf_place *at = &config->tls.pairs[i].at;

        code = tls_server_new(&files[i], 1, NULL, &server, &e);
        if (code < 0)
            (void)cli_fail(c, EX_CONFIG, "%s:%u:%u: %s", at->file, at->line, at->column, e.text);
        else
            warn_of_end(c, &config->tls.pairs[i], server);
        named |= code == 0 && tls_server_names(server, config->hostname);
        tls_server_unref(&server);
    }
    if (code == 0 && config->tls.pair_count > 0 && !named)
        warn(c, &config->tls.pairs[0].at, "no certificate names %s, which is \"hostname\": clients will not trust it",
             config->hostname);
    mem_free(files);
    if (code == 0 && config->tls.ca != NULL) {
        code = tls_client_new(config->tls.ca, &client, &e);
        tls_client_unref(&client);
        if (code < 0)
            (void)cli_fail(c, EX_CONFIG, "%s", e.text);
    }
    return code < 0 ? EX_CONFIG : EX_OK;
}

static int check_file(const struct cli *c, const struct privs_user *user, const char *path, struct conf_place at)
{
    bool reaches = true;
    int code = privs_may_read(user, path, &reaches);

    if (code != -EACCES && code != -EPERM)
        return EX_OK; /* what else may be wrong has been said */
    return cli_fail(c, EX_CONFIG,
                    reaches
                        ? "%s:%u:%u: the server's user %s cannot read %s: chown %s %s"
                        : "%s:%u:%u: the server's user %s cannot read %s, since it may not enter its directory: let "
                          "it in, or give %s a copy of %s elsewhere",
                    at.file, at.line, at.column, user->name, path, user->name, path);
}

/* At the start root reads them; at a reload the server's user must. */
static int check_rights(const struct cli *c, const struct config *config)
{
    struct privs_user user;
    struct err e = { 0 };
    int worst = EX_OK, code = privs_find_user(config, &user, &e);

    if (geteuid() != 0) {
        if (code == -ENOENT && config->run_as != NULL)
            warn(c, &config->run_as_at, "run_as: the user %s does not exist on this system", config->run_as);
        return EX_OK;
    }
    if (code < 0 && config->run_as != NULL)
        return cli_fail(c, EX_CONFIG, "%s", e.text);
    if (code < 0) { /* an ordinary user that starts it needs none */
        warn(c, &(struct conf_place){ config->file, 1, 1 },
             "root cannot start the server: there is no run_as and no user " PRIVS_DEFAULT_USER);
        return EX_OK;
    }
    worst = check_file(c, &user, config->file, (struct conf_place){ config->file, 1, 1 });
    for (const struct conf_file *f = config->files; f != NULL; f = f->next) {
        code = check_file(c, &user, f->path, f->at);
        worst = code != EX_OK ? code : worst;
    }
    return worst;
}

static void put_good(const struct cli *c, const struct config *config)
{
    size_t listeners = config->listener_count, domains = config->domains.count, users = config->users.count,
           aliases = config->aliases.count;

    fprintf(c->out, "%s: good (%zu listener%s, %zu domain%s, %zu user%s, %zu alias%s)\n", c->config, listeners,
            listeners == 1 ? "" : "s", domains, domains == 1 ? "" : "s", users, users == 1 ? "" : "s", aliases,
            aliases == 1 ? "" : "es");
}

int cli_run_check(struct cli *c)
{
    struct config *config = NULL;
    struct buf text;
    int code = cli_load(c, &config);

    if (config == NULL)
        return code;
    code = check_tls(c, config);
    if (code == EX_OK)
        code = check_rights(c, config);
    buf_init(&text, PRINT_MAX);
    if (code != EX_OK) {
        /* said already */
    } else if (cli_value(c, "print") == NULL) {
        put_good(c, config);
    } else if (config_print(config, &text) < 0) {
        code = cli_fail(c, EX_SOFTWARE, "the policy is too long to print");
    } else {
        cli_put_lines(c->out, buf_cstr(&text));
    }
    buf_clear(&text);
    config_unref(&config);
    return code;
}
