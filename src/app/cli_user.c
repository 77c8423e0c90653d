#include "cli_priv.h"

#include "facteur/app/privs.h"
#include "facteur/base/mem.h"
#include "facteur/conf/userfile.h"
#include "facteur/store/maildir.h"
#include "facteur/store/password.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

enum { PASSWORD_MAX = 255, HASH_MAX = 1024, KEY_MAX = LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3, PATH_TEXT = 1024 };

static const struct {
    const char *name;
    enum password_scheme scheme;
} schemes[] = {
    { "yescrypt", PASSWORD_YESCRYPT },
    { "argon2id", PASSWORD_ARGON2ID },
    { "sha512", PASSWORD_SHA512 },
    { "bcrypt", PASSWORD_BCRYPT },
};

/* --- passwords --- */

/* Asks on a terminal that does not show what is typed. */
static int prompt(const struct cli *c, const char *question, char to[PASSWORD_MAX + 1])
{
    struct termios shown, hidden;
    int fd = fileno(c->in), code;

    if (tcgetattr(fd, &shown) < 0)
        return cli_fail(c, EX_USAGE, "no terminal to ask for the password; use --password-stdin");
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fputs(question, c->err);
    fflush(c->err);
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    code = cli_read_line(c->in, to, PASSWORD_MAX + 1);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    fputc('\n', c->err);
    if (code < 0 || to[0] == '\0')
        return cli_fail(c, EX_DATAERR, "a password has 1 to %d octets", PASSWORD_MAX);
    return EX_OK;
}

static int read_password(const struct cli *c, char to[PASSWORD_MAX + 1])
{
    char again[PASSWORD_MAX + 1] = "";
    int code;

    if (cli_value(c, "password-stdin") != NULL) {
        if (cli_read_line(c->in, to, PASSWORD_MAX + 1) < 0 || to[0] == '\0')
            return cli_fail(c, EX_DATAERR, "standard input has no line of 1 to %d octets", PASSWORD_MAX);
        return EX_OK;
    }
    code = prompt(c, "Password: ", to);
    if (code == EX_OK)
        code = prompt(c, "Again: ", again);
    if (code == EX_OK && strcmp(to, again) != 0)
        code = cli_fail(c, EX_DATAERR, "the two are not the same");
    sodium_memzero(again, sizeof again);
    return code;
}

static int wanted_scheme(const struct cli *c, enum password_scheme *ret)
{
    const char *name = cli_value(c, "scheme");

    *ret = PASSWORD_YESCRYPT;
    for (size_t i = 0; name != NULL && i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strcmp(schemes[i].name, name) == 0) {
            *ret = schemes[i].scheme;
            return EX_OK;
        }
    }
    if (name == NULL)
        return EX_OK;
    return cli_fail(c, EX_USAGE, "there is no scheme \"%s\"; choose yescrypt, argon2id, sha512 or bcrypt", name);
}

/* The hash of the scheme, and the keys that SCRAM-SHA-256 needs. */
static int make_hashes(const struct cli *c, struct buf hashes[2])
{
    char password[PASSWORD_MAX + 1] = "";
    enum password_scheme kinds[2] = { PASSWORD_YESCRYPT, PASSWORD_SCRAM };
    struct err e = { 0 };
    int code = wanted_scheme(c, &kinds[0]);

    if (code == EX_OK)
        code = read_password(c, password);
    for (size_t i = 0; i < 2 && code == EX_OK; i++)
        if (password_hash(kinds[i], slice_str(password), &hashes[i], &e) < 0)
            code = cli_fail(c, EX_SOFTWARE, "%s", e.text);
    sodium_memzero(password, sizeof password);
    return code;
}

/* --- names --- */

/* The name as a key, of a domain that this server has. */
static int user_key(const struct cli *c, const struct config *config, char to[KEY_MAX])
{
    struct address a;
    int code = address_parse(slice_str(c->args[0]), ADDRESS_UTF8 | ADDRESS_BARE, &a);

    if (code == 0 && a.domain[0] == '\0' && config->default_domain != NULL)
        code = domain_parse(slice_str(config->default_domain), a.domain);
    if (code < 0 || a.domain[0] == '\0')
        return cli_fail(c, EX_DATAERR, "\"%s\" is no address like anna@%s", c->args[0],
                        config->default_domain != NULL ? config->default_domain : "example.org");
    if (config_domain(config, a.domain) == NULL)
        return cli_fail(c, EX_DATAERR, "%s is no domain of this server; add it under \"domains:\" in %s first",
                        a.domain, config->file);
    address_key(&a, to);
    return EX_OK;
}

static int wants_users_file(const struct cli *c, const struct config *config)
{
    if (config->users_file != NULL)
        return EX_OK;
    return cli_fail(c, EX_CONFIG, "%s names no file that commands may change; add the line   users_file: users.yaml",
                    config->file);
}

/* --- what follows a change --- */

/* A file that root has replaced still belongs to whom it did, or to the server's user when it is new. */
static void give_back(const struct config *config, const struct stat *before)
{
    struct privs_user user;

    if (geteuid() != 0)
        return;
    if (before->st_nlink > 0)
        (void)!chown(config->users_file, before->st_uid, before->st_gid);
    else if (privs_find_user(config, &user, NULL) == 0)
        (void)!chown(config->users_file, user.uid, user.gid);
}

/* Tells a running server; quietly fine when none runs. */
static int tell_server(const struct cli *c, const struct config *config)
{
    char path[PATH_TEXT];
    struct client *client = NULL;
    struct err e = { 0 };
    json_t *answer = NULL;
    bool loaded;
    int code = 0;

    if (c->socket == NULL && !cli_socket_path(config->state, path, sizeof path))
        return EX_OK;
    code = client_open(c->socket != NULL ? c->socket : path, &client, &e);
    if (code == -ENOENT || code == -ECONNREFUSED || code == -ENAMETOOLONG)
        return EX_OK;
    if (code == 0)
        code = client_call(client, json_pack("{ss}", "do", "reload"), &answer, &e);
    client_close(&client);
    if (code < 0)
        return cli_fail(c, cli_exit_code(code), "changed, but the running server was not told: %s", e.text);
    loaded = json_is_true(json_object_get(answer, "loaded"));
    if (!loaded)
        cli_put_lines(c->err, json_string_value(json_object_get(answer, "messages")));
    json_decref(answer);
    return loaded ? EX_OK : cli_fail(c, EX_CONFIG, "changed, but the running server refuses the new policy");
}

/* As the server's user when we are root, so that the server owns its Maildirs. */
static int make_maildir(const struct cli *c, const struct config *config, const char *user)
{
    struct maildirs *m = NULL;
    struct err e = { 0 };
    bool root = geteuid() == 0;
    int code = root ? privs_borrow(config, &e) : 0;

    if (root && code == -ENOENT && config->run_as == NULL)
        return EX_OK; /* whoever it runs as, the server makes it itself */
    if (code == 0)
        code = maildirs_open(config->state, &m, &e);
    if (code == 0)
        code = maildir_make(m, user, &e);
    maildirs_close(&m);
    if (root)
        privs_return();
    return code < 0 ? cli_fail(c, cli_exit_code(code), "the user is there, its Maildir not yet: %s", e.text) : EX_OK;
}

/* --- add and passwd --- */

typedef int (*change)(const char *path, const char *name, const char *const *hashes, size_t count, struct err *e);

/* Why a user that the policy knows is not in the users file, or the other way round. */
static int explain(const struct cli *c, const struct config *config, const char *key, int code, const struct err *e)
{
    const struct conf_user *known = config_user(config, key);

    if (known != NULL && code == -ENOENT)
        return cli_fail(c, EX_DATAERR, "%s stands in %s:%u, not in %s; change it there", key, known->at.file,
                        known->at.line, config->users_file);
    return cli_fail(c, code == -ENOENT ? EX_NOUSER : cli_exit_code(code), "%s", e->text);
}

static int write_user(const struct cli *c, const struct config *config, const char *key, change write)
{
    struct buf hashes[2];
    struct stat before = { 0 };
    struct err e = { 0 };
    const char *texts[2];
    int code;

    for (size_t i = 0; i < 2; i++)
        buf_init(&hashes[i], HASH_MAX);
    code = make_hashes(c, hashes);
    if (code == EX_OK) {
        if (stat(config->users_file, &before) < 0)
            before.st_nlink = 0;
        for (size_t i = 0; i < 2; i++)
            texts[i] = buf_cstr(&hashes[i]);
        code = write(config->users_file, key, texts, 2, &e);
        code = code < 0 ? explain(c, config, key, code, &e) : EX_OK;
        give_back(config, &before);
    }
    for (size_t i = 0; i < 2; i++)
        buf_clear(&hashes[i]);
    return code;
}

/* What every command that changes a user needs; *config stays NULL where there is none to free. */
static int begin_change(const struct cli *c, struct config_change will, struct config **config, char key[KEY_MAX])
{
    int code = cli_load_for(c, will, config);

    if (*config == NULL)
        return code;
    code = wants_users_file(c, *config);
    return code == EX_OK ? user_key(c, *config, key) : code;
}

/* Aliases may wait for more users than this one. */
static void tell_remaining(const struct cli *c)
{
    struct config *config = NULL;

    if (cli_load(c, &config) != EX_OK)
        fputs("Until that is mended, facteur does not start with this policy.\n", c->err);
    config_unref(&config);
}

int cli_run_user_add(struct cli *c)
{
    struct config *config = NULL;
    char key[KEY_MAX];
    int code = begin_change(c, (struct config_change){ .adds_user = true }, &config, key);

    if (code == EX_OK && config_user(config, key) != NULL)
        code = cli_fail(c, EX_DATAERR, "%s is a user already (%s:%u)", key, config_user(config, key)->at.file,
                        config_user(config, key)->at.line);
    if (code == EX_OK && config_alias(config, key) != NULL)
        code = cli_fail(c, EX_DATAERR, "%s is an alias (%s:%u)", key, config_alias(config, key)->at.file,
                        config_alias(config, key)->at.line);
    if (code == EX_OK)
        code = write_user(c, config, key, userfile_add);
    if (code == EX_OK)
        code = make_maildir(c, config, key);
    if (code == EX_OK)
        code = tell_server(c, config);
    if (code == EX_OK) {
        fprintf(c->out, "Added %s.\n", key);
        tell_remaining(c);
    }
    config_unref(&config);
    return code;
}

int cli_run_user_passwd(struct cli *c)
{
    struct config *config = NULL;
    char key[KEY_MAX];
    int code = begin_change(c, (struct config_change){ 0 }, &config, key);

    if (code == EX_OK && config_user(config, key) == NULL)
        code = cli_fail(c, EX_NOUSER, "there is no user %s", key);
    if (code == EX_OK)
        code = write_user(c, config, key, userfile_set_password);
    if (code == EX_OK)
        code = tell_server(c, config);
    if (code == EX_OK)
        fprintf(c->out, "Changed the password of %s.\n", key);
    config_unref(&config);
    return code;
}

/* --- del --- */

static int delete_user(const struct cli *c, const struct config *config, const char *key)
{
    struct stat before = { 0 };
    struct err e = { 0 };
    struct buf place;
    int code;

    if (stat(config->users_file, &before) < 0)
        before.st_nlink = 0;
    code = userfile_delete(config->users_file, key, &e);
    if (code < 0)
        return explain(c, config, key, code, &e);
    give_back(config, &before);
    code = tell_server(c, config);
    buf_init(&place, PATH_TEXT);
    fprintf(c->out, "Removed %s.", key);
    if (maildir_path(key, &place) == 0)
        fprintf(c->out, " Stored mail stays in %s/%s", config->state, buf_cstr(&place));
    fputc('\n', c->out);
    buf_clear(&place);
    return code;
}

/* An alias that leads to the user would keep the server from starting. */
static int check_without(const struct cli *c, const char *key)
{
    struct config *after = NULL;
    int code = cli_load_for(c, (struct config_change){ .removes_user = key }, &after);

    config_unref(&after);
    return code == EX_OK ? code : cli_fail(c, code, "%s stays: the policy would be wrong without it", key);
}

int cli_run_user_del(struct cli *c)
{
    struct config *config = NULL;
    char key[KEY_MAX], question[KEY_MAX + 32];
    int code = begin_change(c, (struct config_change){ 0 }, &config, key);

    if (code == EX_OK && config_user(config, key) == NULL)
        code = cli_fail(c, EX_NOUSER, "there is no user %s", key);
    if (code == EX_OK)
        code = check_without(c, key);
    if (code == EX_OK && cli_value(c, "yes") == NULL) {
        (void)snprintf(question, sizeof question, "Remove the user %s?", key);
        code = cli_confirm(c, question);
    }
    if (code == EX_OK)
        code = delete_user(c, config, key);
    config_unref(&config);
    return code;
}

/* --- list --- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct conf_user *const *)a)->name, (*(const struct conf_user *const *)b)->name);
}

static json_t *user_json(const struct conf_user *u)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = { { USER_SUBMISSION, "submission" }, { USER_IMAP, "imap" }, { USER_POP3, "pop3" } };
    json_t *services = json_array(), *senders = json_array();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (u->services & names[i].bit)
            json_array_append_new(services, json_string(names[i].name));
    for (size_t i = 0; i < u->senders.count; i++)
        json_array_append_new(senders, json_string(u->senders.items[i]));
    return json_pack("{ss sb sI so so ss sI}", "name", u->name, "enabled", (int)u->enabled, "quota_octets",
                     (json_int_t)u->quota, "services", services, "senders", senders, "file", u->at.file, "line",
                     (json_int_t)u->at.line);
}

static void put_user(FILE *out, const struct conf_user *u)
{
    char quota[CLI_SHORT] = "no quota";

    if (u->quota > 0)
        cli_format_size(u->quota, quota);
    cli_put_text(out, u->name);
    fprintf(out, "%*s  %s%s\n", strlen(u->name) < 32 ? (int)(32 - strlen(u->name)) : 0, "", quota,
            u->enabled ? "" : ", disabled");
}

int cli_run_user_list(struct cli *c)
{
    struct config *config = NULL;
    const struct conf_user **users;
    json_t *list = json_array();
    size_t count = 0, cursor = 0;
    struct slice key;
    void *value;
    int code = cli_load(c, &config);

    if (config == NULL) {
        json_decref(list);
        return code;
    }
    users = mem_array(config->users.count, sizeof(void *));
    while (map_each(&config->users, &cursor, &key, &value))
        users[count++] = value;
    if (count > 0)
        qsort(users, count, sizeof(void *), by_name);
    for (size_t i = 0; i < count; i++) {
        if (cli_value(c, "json") != NULL)
            json_array_append_new(list, user_json(users[i]));
        else
            put_user(c->out, users[i]);
    }
    if (cli_value(c, "json") != NULL)
        cli_put_json(c->out, list);
    else if (count == 0)
        fputs("There are no users.\n", c->out);
    json_decref(list);
    mem_free(users);
    config_unref(&config);
    return EX_OK;
}
