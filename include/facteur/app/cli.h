/* facteur: app/cli: the command line.
 * Purpose:   one table of commands says what there is, what each takes, how its help reads and what it runs.
 * Owner:     the table is constant; struct cli borrows argv.
 * Thread:    the only one, before the loop.
 * Limits:    CLI_OPTIONS options a command, CLI_ARGUMENTS arguments.
 * Standards: POSIX utility conventions with GNU's long options; exit codes of sysexits.h. */
#ifndef FACTEUR_APP_CLI_H
#define FACTEUR_APP_CLI_H

#include "facteur/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CLI_OPTIONS = 8, CLI_ARGUMENTS = 64 };

#define CLI_DEFAULT_CONFIG "/etc/facteur/facteur.yaml"

struct cli;

struct cli_option {
    const char *name;  /* without the dashes; NULL ends a list */
    const char *value; /* what follows, as help names it ("FILE"), or NULL for a switch */
    const char *text;  /* one line of help */
};

/* A running server, one if there is one, only the policy, or nothing: so --config and --socket mean something or not. */
enum cli_needs { CLI_SERVER, CLI_TELLS, CLI_POLICY, CLI_NOTHING };

struct cli_command {
    const char *name;      /* one word, or two: "queue list" */
    const char *arguments; /* as the usage line shows them, "" for none */
    unsigned least, most;  /* how many of them */
    const char *summary;   /* one line */
    const char *text;      /* paragraphs of the command's own help, or NULL */
    const struct cli_option *options;
    int (*run)(struct cli *c); /* returns a code of sysexits.h */
    enum cli_needs needs;
};

/* A parsed command line. */
struct cli {
    const struct cli_command *command;
    const char *topic;  /* a group's word without a command behind it ("queue --help"), or NULL */
    const char *config; /* --config, else FACTEUR_CONFIG, else CLI_DEFAULT_CONFIG */
    const char *socket; /* --socket, or NULL: control.sock in the state directory */
    bool help;
    const char *values[CLI_OPTIONS]; /* by the option's place in its list: the value, "" for a switch, NULL if absent */
    char *args[CLI_ARGUMENTS];
    unsigned arg_count;
    FILE *in, *out, *err;
};

const struct cli_command *cli_commands(void); /* the table; ends with name NULL */

/* Reads argv (argv[0] is the program). Options stand anywhere, "--" ends them, "--name=value" and "--name value" are
 * the same. -EINVAL with a sentence that names the nearest command or option. `command` NULL with 0: help is wanted
 * (or nothing was given). in, out and err become the standard streams. */
int cli_parse(int argc, char *const *argv, struct cli *ret, struct err *e) MUST_USE;

/* The value of an option of the command ("" for a switch that was given), or NULL. */
const char *cli_value(const struct cli *c, const char *option);

/* Help: of all commands, of a group ("queue") or of one command. False: there is none of that name. */
bool cli_help(FILE *out, const char *name);

/* Prints "facteur: …" to c->err and returns `code`, a command's exit code. */
int cli_fail(const struct cli *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* sysexits.h's code for a negative errno. */
int cli_exit_code(int code);

/* All of the program: parse, run, exit code. */
int cli_main(int argc, char *const *argv);

const char *cli_version(void); /* "0.1.0" */

#endif
