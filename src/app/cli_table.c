#include "cli_priv.h"

static const struct cli_option none[] = { { 0 } };
static const struct cli_option json[] = { { "json", NULL, "print JSON" }, { 0 } };

static const struct cli_option check_options[] = {
    { "print", NULL, "print every value in effect, secrets hidden" },
    { 0 },
};
static const struct cli_option new_password_options[] = {
    { "scheme", "NAME", "yescrypt (the default), argon2id, sha512 or bcrypt" },
    { "password-stdin", NULL, "read the password from the first line of standard input" },
    { 0 },
};
static const struct cli_option yes_options[] = { { "yes", NULL, "do not ask" }, { 0 } };
static const struct cli_option show_options[] = {
    { "json", NULL, "print JSON" },
    { "body", NULL, "print the message itself, as it is stored, and nothing else" },
    { 0 },
};
static const struct cli_option delete_options[] = {
    { "all", NULL, "every message that is not being delivered at this moment" },
    { "yes", NULL, "do not ask before --all" },
    { 0 },
};
static const struct cli_option self_signed_options[] = {
    { "cert", "FILE", "where the certificate goes" },
    { "key", "FILE", "where its key goes (mode 0600)" },
    { 0 },
};

static const struct cli_command commands[] = {
    { "serve", "", 0, 0, "Run the server in the foreground",
      "It stops on SIGTERM or SIGINT, reloads the policy file on SIGHUP and opens its log file anew. Started as root\n"
      "it binds its ports and then becomes the user that run_as names (or \"facteur\").",
      none, cli_run_serve, CLI_POLICY },
    { "check", "", 0, 0, "Check the policy file and the certificates that it names",
      "All mistakes are listed as file:line:column. The exit code is 0 for a good file and 78 for a bad one.",
      check_options, cli_run_check, CLI_POLICY },
    { "reload", "", 0, 0, "Make the running server read the policy file again",
      "A file with mistakes changes nothing; they are printed here and the exit code is 78.", none, cli_run_reload,
      CLI_SERVER },
    { "status", "", 0, 0, "Show what the running server is doing", NULL, json, cli_run_status, CLI_SERVER },
    { "user add", "NAME", 1, 1, "Add a user to the users file, with a password",
      "NAME is an address of one of the server's domains; a bare name gets default_domain. The password is asked for\n"
      "twice, or read from standard input with --password-stdin. The Maildir is made, and a running server is told.",
      new_password_options, cli_run_user_add, CLI_TELLS },
    { "user passwd", "NAME", 1, 1, "Change the password of a user of the users file", NULL, new_password_options,
      cli_run_user_passwd, CLI_TELLS },
    { "user list", "", 0, 0, "List the users of the policy", NULL, json, cli_run_user_list, CLI_POLICY },
    { "user del", "NAME", 1, 1, "Remove a user from the users file",
      "Stored mail stays where it is; the place is printed.", yes_options, cli_run_user_del, CLI_TELLS },
    { "queue list", "", 0, 0, "List the messages that wait, oldest first", NULL, json, cli_run_queue_list, CLI_SERVER },
    { "queue show", "ID", 1, 1, "Show one message: envelope, recipients, history, header", NULL, show_options,
      cli_run_queue_show, CLI_SERVER },
    { "queue flush", "[ID]", 0, 1, "Try all messages but held ones, or this one, now", NULL, none, cli_run_queue_flush,
      CLI_SERVER },
    { "queue delete", "[ID...]", 0, CLI_ARGUMENTS, "Remove messages without telling anybody",
      "Nobody gets a bounce. A message that is being delivered at this moment is left alone.", delete_options,
      cli_run_queue_delete, CLI_SERVER },
    { "queue salvage", "", 0, 0, "Make a new queue.db of what can be read of a damaged one",
      "The server must be stopped. What cannot be read is named, and the damaged file stays in the state directory as\n"
      "queue.db.damaged. A queue.db that is whole is left as it is.",
      none, cli_run_queue_salvage, CLI_POLICY },
    { "mailbox list", "USER", 1, 1, "List a user's mailboxes with what is in them", NULL, json, cli_run_mailbox_list,
      CLI_SERVER },
    { "mailbox quota", "USER", 1, 1, "Show how much a user has stored, and may", NULL, json, cli_run_mailbox_quota,
      CLI_SERVER },
    { "mailbox rebuild", "USER", 1, 1, "Make a user's index anew from the Maildir",
      "Messages keep their UIDs, so no client downloads anything again. Never needed by itself: a damaged index is\n"
      "noticed and rebuilt.",
      none, cli_run_mailbox_rebuild, CLI_SERVER },
    { "tls self-signed", "NAME...", 1, CLI_ARGUMENTS, "Make a self-signed certificate for host names or addresses",
      "For tests and first starts: mail clients will ask whether to trust it.", self_signed_options,
      cli_run_tls_self_signed, CLI_NOTHING },
    { "version", "", 0, 0, "Print the version", NULL, none, cli_run_version, CLI_NOTHING },
    { "help", "[COMMAND]", 0, 2, "Explain a command", NULL, none, cli_run_help, CLI_NOTHING },
    { 0 },
};

const struct cli_command *cli_commands(void)
{
    return commands;
}
