#include "cli_priv.h"

#include <sysexits.h>

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));

    return n > 0 ? (uint64_t)n : 0;
}

/* {"do": word, "user": the command's argument}. */
static int ask(const struct cli *c, const char *word, json_t **ret)
{
    struct client *client = NULL;
    int code = cli_connect(c, &client);

    if (code != EX_OK)
        return code;
    code = cli_ask(c, client, json_pack("{ss ss}", "do", word, "user", c->args[0]), ret);
    client_close(&client);
    return code;
}

static void put_mailbox(FILE *out, const json_t *box)
{
    const char *special = json_string_value(json_object_get(box, "special"));
    char octets[CLI_SHORT];

    cli_format_size(number_of(box, "octets"), octets);
    fprintf(out, "%8llu %8llu %10s  ", (unsigned long long)number_of(box, "messages"),
            (unsigned long long)number_of(box, "unseen"), octets);
    cli_put_text(out, json_string_value(json_object_get(box, "name")));
    if (special != NULL)
        fprintf(out, "  (%s)", special);
    fputs(json_is_true(json_object_get(box, "subscribed")) ? "\n" : "  not subscribed\n", out);
}

int cli_run_mailbox_list(struct cli *c)
{
    json_t *answer = NULL;
    const json_t *list;
    int code = ask(c, "mailbox-list", &answer);

    if (code != EX_OK)
        return code;
    list = json_object_get(answer, "mailboxes");
    if (cli_value(c, "json") != NULL) {
        cli_put_json(c->out, list);
    } else {
        fputs("messages   unseen       size  name\n", c->out);
        for (size_t i = 0; i < json_array_size(list); i++)
            put_mailbox(c->out, json_array_get(list, i));
    }
    json_decref(answer);
    return EX_OK;
}

int cli_run_mailbox_quota(struct cli *c)
{
    json_t *answer = NULL;
    char used[CLI_SHORT], quota[CLI_SHORT];
    uint64_t octets, most;
    int code = ask(c, "mailbox-quota", &answer);

    if (code != EX_OK)
        return code;
    octets = number_of(answer, "octets");
    most = number_of(answer, "quota");
    if (cli_value(c, "json") != NULL) {
        (void)json_object_del(answer, "ok");
        cli_put_json(c->out, answer);
    } else {
        cli_format_size(octets, used);
        cli_format_size(most, quota);
        fprintf(c->out, "%s in %llu messages", used, (unsigned long long)number_of(answer, "messages"));
        if (most > 0)
            fprintf(c->out, " of %s (%d %%)\n", quota, (int)((double)octets * 100 / (double)most));
        else
            fputs(", no quota\n", c->out);
    }
    json_decref(answer);
    return EX_OK;
}

int cli_run_mailbox_rebuild(struct cli *c)
{
    json_t *answer = NULL;
    int code = ask(c, "mailbox-rebuild", &answer);

    if (code == EX_OK)
        fprintf(c->out, "The index of %s has been made anew.\n", json_string_value(json_object_get(answer, "rebuilt")));
    json_decref(answer);
    return code;
}
