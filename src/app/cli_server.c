#include "cli_priv.h"

#include "facteur/app/server.h"
#include "facteur/io/tls.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

enum { SOCKET_PATH = 4096 };

/* --- what several commands do --- */

int cli_load(const struct cli *c, struct config **ret)
{
    return cli_load_for(c, (struct config_change){ 0 }, ret);
}

int cli_find_config(const struct cli *c)
{
    int code = access(c->config, R_OK) < 0 ? -errno : 0;

    if (code == -EACCES)
        return cli_fail(c, EX_NOPERM, "%s: %s; run this as root or as facteur's user", c->config, err_text(code));
    if (code < 0)
        return cli_fail(c, EX_NOINPUT, "%s: %s; --config FILE names another policy file", c->config, err_text(code));
    return EX_OK;
}

int cli_load_for(const struct cli *c, struct config_change change, struct config **ret)
{
    struct conf_problems problems = { 0 };
    struct config *config = NULL;
    int code = cli_find_config(c);

    if (code != EX_OK)
        return code;
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
    if (code == -EACCES)
        return cli_fail(c, EX_NOPERM, "%s; run this as root or as facteur's user", e.text);
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

/* --- serve, reload --- */

int cli_run_serve(struct cli *c)
{
    struct err e = { 0 };
    int code = cli_find_config(c);

    if (code != EX_OK)
        return code;
    code = server_run(c->config, &e);

    if (code != EX_OK && e.text[0] != '\0')
        return cli_fail(c, code, "%s", e.text);
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
