#include "facteur/app/cli.h"

#include "cli_priv.h"
#include "facteur/base/slice.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { NEAR = 2, WORD_MAX = 40 };

enum { OPTION_CONFIG, OPTION_SOCKET, OPTION_HELP };
static const struct cli_option everywhere[] = {
    { "config", "FILE", "the policy file (default " CLI_DEFAULT_CONFIG ", or $FACTEUR_CONFIG)" },
    { "socket", "PATH", "the running server's socket (default: control.sock in its state directory)" },
    { "help", NULL, "explain the command" },
    { 0 },
};

/* --- words that are nearly right --- */

/* How many letters must be put in, left out or changed; WORD_MAX for long words. */
static unsigned distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    unsigned row[WORD_MAX + 1];

    if (na > WORD_MAX || nb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}

const char *cli_nearest(const char *word, size_t count, const char *(*each)(const void *list, size_t i),
                        const void *list)
{
    const char *nearest = NULL;
    unsigned best = NEAR + 1;

    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(word, each(list, i));

        if (d < best) {
            best = d;
            nearest = each(list, i);
        }
    }
    return nearest;
}

static const char *option_name(const void *list, size_t i)
{
    return ((const struct cli_option *)list)[i].name;
}

/* The part of a command's name that stands at the same place as the word in question. */
static const char *command_word(const void *group, size_t i)
{
    const char *name = cli_commands()[i].name;
    size_t n = group != NULL ? strlen(group) : 0;

    if (group == NULL)
        return name;
    return strncmp(name, group, n) == 0 && name[n] == ' ' ? name + n + 1 : "";
}

static size_t count_options(const struct cli_option *list)
{
    size_t n = 0;

    while (list[n].name != NULL)
        n++;
    return n;
}

static size_t count_commands(void)
{
    size_t n = 0;

    while (cli_commands()[n].name != NULL)
        n++;
    return n;
}

/* --- parsing --- */

static bool is_group(const char *word)
{
    size_t n = strlen(word);

    for (const struct cli_command *k = cli_commands(); k->name != NULL; k++)
        if (strncmp(k->name, word, n) == 0 && k->name[n] == ' ')
            return true;
    return false;
}

static const struct cli_command *find_command(const char *group, const char *word)
{
    char name[2 * WORD_MAX];
    int n = group != NULL ? snprintf(name, sizeof name, "%s %s", group, word) : snprintf(name, sizeof name, "%s", word);

    if (n < 0 || (size_t)n >= sizeof name)
        return NULL;
    for (const struct cli_command *k = cli_commands(); k->name != NULL; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

static int take_word(struct cli *c, char *word, struct err *e)
{
    const char *near;

    if (c->command != NULL) {
        if (c->arg_count >= c->command->most)
            return err_set(e, -EINVAL, "%s takes no further argument: \"%s\"", c->command->name, word);
        c->args[c->arg_count++] = word;
        return 0;
    }
    c->command = find_command(c->topic, word);
    if (c->command != NULL) {
        c->topic = NULL;
        return 0;
    }
    if (c->topic == NULL && is_group(word)) {
        c->topic = word;
        return 0;
    }
    near = cli_nearest(word, count_commands(), command_word, c->topic);
    return err_set(e, -EINVAL, "there is no command \"%s%s%s\"%s%s%s", c->topic != NULL ? c->topic : "",
                   c->topic != NULL ? " " : "", word, near != NULL ? " (did you mean " : "", near != NULL ? near : "",
                   near != NULL ? "?)" : "");
}

static const struct cli_option *find_option(const struct cli_option *list, const char *name, size_t n)
{
    for (; list != NULL && list->name != NULL; list++)
        if (strlen(list->name) == n && memcmp(list->name, name, n) == 0)
            return list;
    return NULL;
}

static int no_option(const struct cli *c, const char *text, size_t n, struct err *e)
{
    const struct cli_option *own = c->command != NULL ? c->command->options : NULL;
    char name[WORD_MAX + 1];
    const char *near;

    if (slice_copy(slice_make(text, n), name, sizeof name) < 0)
        return err_set(e, -EINVAL, "there is no option --%s", text);
    near = own != NULL ? cli_nearest(name, count_options(own), option_name, own) : NULL;
    if (near == NULL)
        near = cli_nearest(name, count_options(everywhere), option_name, everywhere);
    return err_set(e, -EINVAL, "there is no option --%s%s%s%s", name, near != NULL ? " (did you mean --" : "",
                   near != NULL ? near : "", near != NULL ? "?)" : "");
}

/* One option with its value, which may stand in the next word. */
static int take_option(struct cli *c, char *const *argv, int *at, struct err *e)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '='), *value = equals != NULL ? equals + 1 : NULL;
    size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *own = c->command != NULL ? c->command->options : NULL, *o = find_option(own, name, n);
    bool global = o == NULL;

    if (global)
        o = find_option(everywhere, name, n);
    if (o == NULL)
        return no_option(c, name, n, e);
    if (o->value == NULL && value != NULL)
        return err_set(e, -EINVAL, "--%s takes no value", o->name);
    if (o->value != NULL && value == NULL) {
        value = argv[*at + 1];
        if (value == NULL)
            return err_set(e, -EINVAL, "--%s wants a value: --%s %s", o->name, o->name, o->value);
        (*at)++;
    }
    if (!global)
        c->values[o - own] = value != NULL ? value : "";
    else if (o == &everywhere[OPTION_CONFIG])
        c->config = value;
    else if (o == &everywhere[OPTION_SOCKET])
        c->socket = value;
    else
        c->help = true;
    return 0;
}

int cli_parse(int argc, char *const *argv, struct cli *ret, struct err *e)
{
    const char *config = getenv("FACTEUR_CONFIG");
    struct cli c = { .in = stdin, .out = stdout, .err = stderr };
    bool options = true;

    c.config = config != NULL && config[0] != '\0' ? config : CLI_DEFAULT_CONFIG;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && strcmp(argv[i], "-h") == 0)
            c.help = true;
        else if (options && c.command == NULL && c.topic == NULL && strcmp(argv[i], "--version") == 0)
            c.command = find_command(NULL, "version");
        else if (options && strncmp(argv[i], "--", 2) == 0)
            TRY(take_option(&c, argv, &i, e));
        else if (options && argv[i][0] == '-' && argv[i][1] != '\0')
            return err_set(e, -EINVAL, "options have two dashes: \"%s\"", argv[i]);
        else
            TRY(take_word(&c, argv[i], e));
    }
    if (c.topic != NULL && !c.help)
        return err_set(e, -EINVAL, "%s what? \"facteur help %s\" lists the commands", c.topic, c.topic);
    if (c.command != NULL && !c.help && c.arg_count < c.command->least)
        return err_set(e, -EINVAL, "%s wants %s", c.command->name, c.command->arguments);
    *ret = c;
    return 0;
}

const char *cli_value(const struct cli *c, const char *option)
{
    const struct cli_option *o = find_option(c->command->options, option, strlen(option));

    return o != NULL ? c->values[o - c->command->options] : NULL;
}

/* --- help --- */

static void put_option(FILE *out, const struct cli_option *o)
{
    char left[2 * WORD_MAX];

    (void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->value != NULL ? " " : "",
                   o->value != NULL ? o->value : "");
    fprintf(out, "  %-18s %s\n", left, o->text);
}

static void put_options(FILE *out, const struct cli_option *list)
{
    for (; list->name != NULL; list++)
        put_option(out, list);
}

/* Whether an option of `everywhere` means something to a command. */
static bool is_for(const struct cli_command *k, size_t i)
{
    return i == OPTION_HELP || (i == OPTION_CONFIG && k->needs != CLI_NOTHING) ||
           (i == OPTION_SOCKET && k->needs <= CLI_TELLS);
}

static void put_command(FILE *out, const struct cli_command *k)
{
    fprintf(out, "%s.\n\nUsage: facteur %s%s%s%s\n", k->summary, k->name, k->options->name != NULL ? " [OPTIONS]" : "",
            k->arguments[0] != '\0' ? " " : "", k->arguments);
    if (k->text != NULL)
        fprintf(out, "\n%s\n", k->text);
    if (k->needs == CLI_SERVER)
        fputs("\nIt asks the running server.\n", out);
    fputs("\nOptions:\n", out);
    put_options(out, k->options);
    for (size_t i = 0; everywhere[i].name != NULL; i++)
        if (is_for(k, i))
            put_option(out, &everywhere[i]);
}

static void put_overview(FILE *out, const char *group)
{
    size_t n = group != NULL ? strlen(group) : 0;

    fprintf(out, "Usage: facteur %s%sCOMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n", n > 0 ? group : "",
            n > 0 ? " " : "");
    for (const struct cli_command *k = cli_commands(); k->name != NULL; k++) {
        char left[2 * WORD_MAX];

        if (n > 0 && (strncmp(k->name, group, n) != 0 || k->name[n] != ' '))
            continue;
        (void)snprintf(left, sizeof left, "%s%s%s", k->name, k->arguments[0] != '\0' ? " " : "", k->arguments);
        fprintf(out, "  %-24s %s\n", left, k->summary);
    }
    fputs("\nEverywhere:\n", out);
    put_options(out, everywhere);
    fputs(
        "\n\"facteur help COMMAND\" tells more. Exit codes are those of sysexits.h: 64 wrong usage, 65 not usable or\n"
        "damaged, 66 no such file or message, 67 no such user, 69 no server runs, 75 try again, 77 not permitted,\n"
        "78 mistakes in the policy file.\n",
        out);
}

bool cli_help(FILE *out, const char *name)
{
    const struct cli_command *k = name != NULL ? find_command(NULL, name) : NULL;

    if (name != NULL && k == NULL && !is_group(name))
        return false;
    if (k != NULL)
        put_command(out, k);
    else
        put_overview(out, name);
    return true;
}

int cli_run_help(struct cli *c)
{
    char name[2 * WORD_MAX];
    int n = snprintf(name, sizeof name, "%s%s%s", c->arg_count > 0 ? c->args[0] : "", c->arg_count > 1 ? " " : "",
                     c->arg_count > 1 ? c->args[1] : "");

    if (n < 0 || (size_t)n >= sizeof name || !cli_help(c->out, n > 0 ? name : NULL))
        return cli_fail(c, EX_USAGE, "there is no command of that name; \"facteur help\" lists them");
    return EX_OK;
}

/* --- the program --- */

int cli_fail(const struct cli *c, int code, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    fputs("facteur: ", c->err);
    cli_put_text(c->err, text);
    fputc('\n', c->err);
    return code;
}

int cli_exit_code(int code)
{
    static const struct {
        int code, exit;
    } table[] = {
        { -ENOENT, EX_NOINPUT },
        { -ESRCH, EX_NOUSER },
        { -EINVAL, EX_DATAERR },
        { -EILSEQ, EX_DATAERR },
        { -EBADMSG, EX_DATAERR },
        { -EEXIST, EX_DATAERR },
        { -ENAMETOOLONG, EX_DATAERR },
        { -ERANGE, EX_DATAERR },
        { -ECONNREFUSED, EX_UNAVAILABLE },
        { -EACCES, EX_NOPERM },
        { -EPERM, EX_NOPERM },
        { -EBUSY, EX_TEMPFAIL },
        { -EAGAIN, EX_TEMPFAIL },
        { -ETIMEDOUT, EX_TEMPFAIL },
        { -EADDRINUSE, EX_TEMPFAIL },
        { -EIO, EX_IOERR },
        { -ENOSPC, EX_IOERR },
        { -EROFS, EX_IOERR },
        { -EPROTO, EX_PROTOCOL },
    };

    if (code >= 0)
        return EX_OK;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == code)
            return table[i].exit;
    return EX_SOFTWARE;
}

const char *cli_version(void)
{
    return FACTEUR_VERSION;
}

int cli_main(int argc, char *const *argv)
{
    struct cli c = { .in = stdin, .out = stdout, .err = stderr };
    struct err e = { 0 };
    int exit_code = EX_OK;

    if (cli_parse(argc, argv, &c, &e) < 0)
        return cli_fail(&c, EX_USAGE, "%s", e.text);
    if (c.help) {
        (void)cli_help(c.out, c.command != NULL ? c.command->name : c.topic);
    } else if (c.command == NULL) {
        (void)cli_help(c.err, NULL);
        return EX_USAGE;
    } else {
        exit_code = c.command->run(&c);
    }
    if (fflush(c.out) != 0 || ferror(c.out))
        return exit_code != EX_OK ? exit_code : cli_fail(&c, EX_IOERR, "standard output: %s", err_text(-errno));
    return exit_code;
}
