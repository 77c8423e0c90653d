#include "cli_priv.h"

#include "facteur/app/server.h"
#include "facteur/base/mem.h"
#include "facteur/io/tls.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

enum { PRINT_MAX = 1024 * 1024, SOCKET_PATH = 4096 };

/* --- what several commands do --- */

int cli_load(const struct cli *c, struct config **ret)
{
    return cli_load_for(c, (struct config_change){ 0 }, ret);
}

int cli_load_for(const struct cli *c, struct config_change change, struct config **ret)
{
    struct conf_problems problems = { 0 };
    struct config *config = NULL;
    int code;

    if (access(c->config, R_OK) < 0) {
        code = -errno;
        return cli_fail(c, code == -EACCES ? EX_NOPERM : EX_NOINPUT, "%s: %s; --config FILE names another policy file",
                        c->config, err_text(code));
    }
    code = config_load_for(c->config, change, &config, &problems);
    if (problems.text.n > 0)
        cli_put_lines(c->err, buf_cstr(&problems.text));
    if (code < 0 && problems.text.n == 0)
        (void)cli_fail(c, EX_CONFIG, "%s: %s", c->config, err_text(code));
    conf_problems_clear(&problems);
    if (config == NULL)
        return EX_CONFIG;
    *ret = config;
    return EX_OK;
}

bool cli_socket_path(const char *state, char *to, size_t size)
{
    int n = snprintf(to, size, "%s/control.sock", state);

    return n > 0 && (size_t)n < size;
}

int cli_connect(const struct cli *c, struct client **ret)
{
    char path[SOCKET_PATH];
    struct config *config = NULL;
    struct err e = { 0 };
    bool fits = true;
    int code;

    if (c->socket == NULL) {
        code = cli_load(c, &config);
        if (config == NULL)
            return code;
        fits = cli_socket_path(config->state, path, sizeof path);
        config_unref(&config);
    }
    if (!fits)
        return cli_fail(c, EX_CONFIG, "the state directory's path is too long");
    code = client_open(c->socket != NULL ? c->socket : path, ret, &e);
    if (code == -ENOENT || code == -ECONNREFUSED)
        return cli_fail(c, EX_UNAVAILABLE, "no server is running with this state directory (%s)", e.text);
    if (code < 0)
        return cli_fail(c, cli_exit_code(code), "%s", e.text);
    return EX_OK;
}

int cli_ask(const struct cli *c, struct client *client, json_t *request, json_t **ret)
{
    struct err e = { 0 };
    int code = client_call(client, request, ret, &e);

    return code < 0 ? cli_fail(c, cli_exit_code(code), "%s", e.text) : EX_OK;
}

int cli_ask_once(const struct cli *c, const char *word, json_t **ret)
{
    struct client *client = NULL;
    int code = cli_connect(c, &client);

    if (code != EX_OK)
        return code;
    code = cli_ask(c, client, json_pack("{ss}", "do", word), ret);
    client_close(&client);
    return code;
}

/* --- serve, check, reload --- */

int cli_run_serve(struct cli *c)
{
    struct err e = { 0 };
    int code = server_run(c->config, &e);

    if (code != EX_OK && e.text[0] != '\0')
        return cli_fail(c, code, "%s", e.text);
    return code;
}

/* A key that does not fit its certificate is a mistake of the policy as well. */
static int check_tls(const struct cli *c, const struct config *config)
{
    struct tls_files *files = mem_array(config->tls.pair_count, sizeof *files);
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    struct err e = { 0 };
    int code = 0;

    for (size_t i = 0; i < config->tls.pair_count; i++)
        files[i] = (struct tls_files){ config->tls.pairs[i].certificate, config->tls.pairs[i].key };
    for (size_t i = 0; i < config->tls.pair_count && code == 0; i++) { /* one by one, to know the line */
        const struct conf_place *at = &config->tls.pairs[i].at;

        code = tls_server_new(&files[i], 1, NULL, &server, &e);
        tls_server_unref(&server);
        if (code < 0)
            (void)cli_fail(c, EX_CONFIG, "%s:%u:%u: %s", at->file, at->line, at->column, e.text);
    }
    mem_free(files);
    if (code == 0 && config->tls.ca != NULL) {
        code = tls_client_new(config->tls.ca, &client, &e);
        tls_client_unref(&client);
        if (code < 0)
            (void)cli_fail(c, EX_CONFIG, "%s", e.text);
    }
    return code < 0 ? EX_CONFIG : EX_OK;
}

int cli_run_check(struct cli *c)
{
    struct config *config = NULL;
    struct buf text;
    int code = cli_load(c, &config);

    if (config == NULL)
        return code;
    code = check_tls(c, config);
    buf_init(&text, PRINT_MAX);
    if (code != EX_OK) {
        /* said already */
    } else if (cli_value(c, "print") == NULL) {
        fprintf(c->out, "%s: good (%zu listeners, %zu domains, %zu users, %zu aliases)\n", c->config,
                config->listener_count, config->domains.count, config->users.count, config->aliases.count);
    } else if (config_print(config, &text) < 0) {
        code = cli_fail(c, EX_SOFTWARE, "the policy is too long to print");
    } else {
        cli_put_lines(c->out, buf_cstr(&text));
    }
    buf_clear(&text);
    config_unref(&config);
    return code;
}

int cli_run_reload(struct cli *c)
{
    json_t *answer = NULL;
    const char *messages;
    bool loaded;
    int code = cli_ask_once(c, "reload", &answer);

    if (code != EX_OK)
        return code;
    messages = json_string_value(json_object_get(answer, "messages"));
    loaded = json_is_true(json_object_get(answer, "loaded"));
    if (messages != NULL && messages[0] != '\0') {
        cli_put_lines(c->err, messages);
        if (messages[strlen(messages) - 1] != '\n')
            fputc('\n', c->err);
    }
    json_decref(answer);
    if (!loaded)
        return cli_fail(c, EX_CONFIG, "the server keeps the policy that it has");
    fputs("The server has read the policy anew.\n", c->out);
    return EX_OK;
}

int cli_run_version(struct cli *c)
{
    fprintf(c->out, "facteur %s\n%s, libuv %s, libsodium %s\n", cli_version(), tls_library(), uv_version_string(),
            sodium_version_string());
    return EX_OK;
}
