/* facteur: app/cli_priv: what the commands share.
 * Purpose:   the commands' functions, the config and the server they ask, and text for terminals.
 * Owner:     see cli.h.
 * Thread:    the only one.
 * Limits:    none.
 * Standards: sysexits.h. */
#ifndef FACTEUR_APP_CLI_PRIV_H
#define FACTEUR_APP_CLI_PRIV_H

#include "facteur/app/cli.h"
#include "facteur/app/client.h"
#include "facteur/conf/config.h"

#include <stdint.h>

/* The nearest of `count` words, or NULL when none is near. `each` gives the i-th. */
const char *cli_nearest(const char *word, size_t count, const char *(*each)(const void *list, size_t i),
                        const void *list);

/* Whether there is one that can be read: EX_OK, or EX_NOINPUT / EX_NOPERM after saying why not. */
int cli_find_config(const struct cli *c);
/* Loads the policy file: EX_OK, or EX_CONFIG / EX_NOINPUT / EX_NOPERM after its problems were printed. */
int cli_load(const struct cli *c, struct config **ret);
/* The same as it will be after a change. */
int cli_load_for(const struct cli *c, struct config_change change, struct config **ret);

/* Connects to the running server: EX_OK, or EX_UNAVAILABLE / EX_NOPERM / EX_CONFIG after saying why. */
int cli_connect(const struct cli *c, struct client **ret);
/* Asks; says what went wrong and returns the exit code. */
int cli_ask(const struct cli *c, struct client *client, json_t *request, json_t **ret);
/* Connects, asks {"do": word} and hangs up. */
int cli_ask_once(const struct cli *c, const char *word, json_t **ret);
/* control.sock below a state directory; false when it is too long. */
bool cli_socket_path(const char *state, char *to, size_t size);

/* Asks "… [y/N]" on a terminal: EX_OK for yes, EX_TEMPFAIL for no; without a terminal EX_USAGE and the advice to give
 * --yes. */
int cli_confirm(const struct cli *c, const char *question);

/* Reads a line without its end into `to`; -EINVAL when there is none or it does not fit. */
int cli_read_line(FILE *in, char *to, size_t size) MUST_USE;

/* Text from outside for a terminal: control characters become \xNN. NULL is "-". */
void cli_put_text(FILE *out, const char *text);
void cli_put_lines(FILE *out, const char *text);  /* the same, but line ends and tabs stay */
void cli_put_json(FILE *out, const json_t *json); /* one line */

enum { CLI_SHORT = 48 };
void cli_format_age(int64_t ms, char to[CLI_SHORT]);       /* "3d 4h", "12m", "5s" */
void cli_format_size(uint64_t octets, char to[CLI_SHORT]); /* "4.2 KiB" */
void cli_format_time(int64_t wall_ms, char to[CLI_SHORT]); /* local time, "2026-01-31 12:34:56 +0100" */

int cli_run_serve(struct cli *c);
int cli_run_check(struct cli *c);
int cli_run_reload(struct cli *c);
int cli_run_status(struct cli *c);
int cli_run_user_add(struct cli *c);
int cli_run_user_passwd(struct cli *c);
int cli_run_user_list(struct cli *c);
int cli_run_user_del(struct cli *c);
int cli_run_queue_list(struct cli *c);
int cli_run_queue_show(struct cli *c);
int cli_run_queue_flush(struct cli *c);
int cli_run_queue_delete(struct cli *c);
int cli_run_queue_salvage(struct cli *c);
int cli_run_mailbox_list(struct cli *c);
int cli_run_mailbox_quota(struct cli *c);
int cli_run_mailbox_rebuild(struct cli *c);
int cli_run_tls_self_signed(struct cli *c);
int cli_run_version(struct cli *c);
int cli_run_help(struct cli *c);

#endif
