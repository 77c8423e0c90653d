#include "cli_priv.h"

#include "facteur/base/buf.h"
#include "facteur/base/clock.h"
#include "facteur/base/codec.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

enum { BODY_PIECE_MAX = 1024 * 1024 };

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* --- list --- */

static void put_sender(FILE *out, const json_t *message)
{
    const char *sender = text_of(message, "sender");

    cli_put_text(out, sender != NULL && sender[0] != '\0' ? sender : "<>");
}

static void put_recipient(FILE *out, const json_t *r)
{
    int64_t wait = number_of(r, "due_ms") - clock_wall_ms(), attempts = number_of(r, "attempts");
    const char *reply = text_of(r, "last_reply");
    char text[CLI_SHORT];

    fputs("    to ", out);
    cli_put_text(out, text_of(r, "address"));
    cli_format_age(wait, text);
    fprintf(out, "  %s%s", wait > 0 ? "due in " : "due now", wait > 0 ? text : "");
    if (attempts > 0)
        fprintf(out, ", %lld attempt%s", (long long)attempts, attempts == 1 ? "" : "s");
    if (reply != NULL) {
        fputs("\n       ", out);
        cli_put_text(out, reply);
    }
    fputc('\n', out);
}

static bool is_held(const json_t *message)
{
    const json_t *flags = json_object_get(message, "flags");

    for (size_t i = 0; i < json_array_size(flags); i++) {
        const char *flag = json_string_value(json_array_get(flags, i));

        if (flag != NULL && strcmp(flag, "held") == 0)
            return true;
    }
    return false;
}

static void put_where(FILE *out, const json_t *message)
{
    const char *where = json_string_value(json_object_get(message, "where"));

    if (!is_true(message, "active"))
        return;
    fputs("  (", out);
    cli_put_text(out, where != NULL ? where : "being delivered");
    fputc(')', out);
}

static void put_message(FILE *out, const json_t *message)
{
    const json_t *recipients = json_object_get(message, "recipients");
    size_t shown = json_array_size(recipients);
    int64_t all = number_of(message, "recipient_count"), size = number_of(message, "size");
    char age[CLI_SHORT], octets[CLI_SHORT];

    cli_format_age(clock_wall_ms() - number_of(message, "received_ms"), age);
    cli_format_size(size > 0 ? (uint64_t)size : 0, octets);
    cli_put_text(out, text_of(message, "id"));
    fprintf(out, "  %-8s %-10s ", age, octets);
    put_sender(out, message);
    put_where(out, message);
    fprintf(out, "%s\n", is_held(message) ? "  (held)" : "");
    for (size_t i = 0; i < shown; i++)
        put_recipient(out, json_array_get(recipients, i));
    if (all > 0 && (uint64_t)all > shown)
        fprintf(out, "    and %lld more\n", (long long)all - (long long)shown);
}

static int tell_unread(const struct cli *c, int64_t unread, bool cut)
{
    return cli_fail(c, EX_DATAERR,
                    "%s%lld message%s cannot be read: queue.db is damaged. Stop the server, then \"facteur queue "
                    "salvage\" saves what can be read",
                    cut ? "more than " : "", (long long)unread, unread == 1 && !cut ? "" : "s");
}

/* Calls `each` for every message of the queue, a page at a time. */
static int walk(const struct cli *c, struct client *client, int (*each)(void *ctx, const json_t *message), void *ctx)
{
    json_t *next = NULL;
    int64_t unread = 0;
    bool cut = false;
    int code = EX_OK;

    do {
        json_t *request = json_pack("{ss}", "do", "queue-list"), *answer = NULL;
        const json_t *messages;

        if (next != NULL)
            json_object_set_new(request, "after", next);
        next = NULL;
        code = cli_ask(c, client, request, &answer);
        if (code != EX_OK)
            break;
        messages = json_object_get(answer, "messages");
        for (size_t i = 0; i < json_array_size(messages) && code == EX_OK; i++)
            code = each(ctx, json_array_get(messages, i));
        unread += number_of(answer, "unread");
        cut = is_true(answer, "cut");
        next = cut ? NULL : json_incref(json_object_get(answer, "next"));
        json_decref(answer);
    } while (next != NULL && code == EX_OK);
    json_decref(next);
    return code == EX_OK && (unread > 0 || cut) ? tell_unread(c, unread, cut) : code;
}

struct listing {
    FILE *out;
    bool json;
    unsigned long count;
};

static int list_one(void *ctx, const json_t *message)
{
    struct listing *l = ctx;

    if (l->json) {
        fputs(l->count == 0 ? "[" : ",\n", l->out);
        (void)json_dumpf(message, l->out, JSON_COMPACT);
    } else {
        put_message(l->out, message);
    }
    l->count++;
    return ferror(l->out) ? EX_IOERR : EX_OK;
}

int cli_run_queue_list(struct cli *c)
{
    struct listing l = { .out = c->out, .json = cli_value(c, "json") != NULL };
    struct client *client = NULL;
    int code = cli_connect(c, &client);

    if (code != EX_OK)
        return code;
    code = walk(c, client, list_one, &l);
    client_close(&client);
    if (l.json)
        fputs(l.count == 0 ? "[]\n" : "]\n", c->out);
    else if (code == EX_OK && l.count == 0)
        fputs("The queue is empty.\n", c->out);
    else if (l.count > 0)
        fprintf(c->out, "%lu message%s\n", l.count, l.count == 1 ? "" : "s");
    return code;
}

/* --- show --- */

/* Prints octets `from` to `until` of the message; until the end for INT64_MAX. As they are, or fit for a terminal. */
static int put_body(const struct cli *c, struct client *client, const char *id, int64_t until, bool raw)
{
    int64_t at = 0, size = INT64_MAX;
    struct buf piece;
    int code = EX_OK;

    buf_init(&piece, BODY_PIECE_MAX);
    while (at < size && at < until && code == EX_OK) {
        json_t *answer = NULL;
        const char *data;

        code = cli_ask(c, client, json_pack("{ss ss sI}", "do", "queue-body", "id", id, "offset", (json_int_t)at),
                       &answer);
        if (code != EX_OK)
            break;
        data = text_of(answer, "data");
        size = number_of(answer, "size");
        buf_reset(&piece);
        if (data == NULL || base64_decode(slice_str(data), &piece) < 0 || (piece.n == 0 && at < size))
            code = cli_fail(c, EX_PROTOCOL, "the server sent no body");
        if (until - at < (int64_t)piece.n)
            piece.n = (size_t)(until - at);
        at += (int64_t)piece.n;
        if (code == EX_OK && !raw)
            cli_put_lines(c->out, buf_cstr(&piece));
        else if (code == EX_OK && fwrite(piece.p, 1, piece.n, c->out) != piece.n)
            code = cli_fail(c, EX_IOERR, "standard output: %s", err_text(-errno));
        json_decref(answer);
    }
    buf_clear(&piece);
    return code;
}

/* The envelope with all its recipients, which may come in several answers. */
static int fetch_message(const struct cli *c, struct client *client, const char *id, json_t **ret)
{
    json_t *whole = NULL;
    json_int_t from = 0;
    int code;

    do {
        json_t *answer = NULL;

        code = cli_ask(c, client, json_pack("{ss ss sI}", "do", "queue-show", "id", id, "from", from), &answer);
        if (code != EX_OK)
            break;
        from = json_integer_value(json_object_get(answer, "next_recipient"));
        if (whole == NULL)
            whole = json_incref(json_object_get(answer, "message"));
        else
            json_array_extend(json_object_get(whole, "recipients"),
                              json_object_get(json_object_get(answer, "message"), "recipients"));
        json_decref(answer);
    } while (from > 0);
    if (code != EX_OK) {
        json_decref(whole);
        return code;
    }
    *ret = whole;
    return EX_OK;
}

static void put_field(FILE *out, const char *label, const char *value)
{
    if (value == NULL)
        return;
    fprintf(out, "%-10s", label);
    cli_put_text(out, value);
    fputc('\n', out);
}

static void put_flags(FILE *out, const json_t *flags)
{
    if (json_array_size(flags) == 0)
        return;
    fprintf(out, "%-10s", "Flags:");
    for (size_t i = 0; i < json_array_size(flags); i++) {
        fputs(i > 0 ? ", " : "", out);
        cli_put_text(out, json_string_value(json_array_get(flags, i)));
    }
    fputc('\n', out);
}

static void put_envelope(FILE *out, const json_t *message)
{
    const json_t *recipients = json_object_get(message, "recipients");
    const char *where = json_string_value(json_object_get(message, "where"));
    int64_t size = number_of(message, "size");
    char received[CLI_SHORT], octets[CLI_SHORT];

    cli_format_time(number_of(message, "received_ms"), received);
    cli_format_size(size > 0 ? (uint64_t)size : 0, octets);
    put_field(out, "Message:", text_of(message, "id"));
    put_field(out, "Received:", received);
    put_field(out, "Client:", text_of(message, "client"));
    put_field(out, "Login:", text_of(message, "login"));
    fprintf(out, "%-10s", "Sender:");
    put_sender(out, message);
    fputc('\n', out);
    put_field(out, "Envelope:", text_of(message, "envid"));
    fprintf(out, "%-10s%s%s\n", "Size:", octets, is_true(message, "spooled") ? " (in the spool)" : "");
    put_flags(out, json_object_get(message, "flags"));
    if (is_true(message, "active"))
        put_field(out, "State:", where != NULL ? where : "being delivered at this moment");
    for (size_t i = 0; i < json_array_size(recipients); i++)
        put_recipient(out, json_array_get(recipients, i));
}

static void put_event(FILE *out, const json_t *event)
{
    const char *parts[] = { text_of(event, "who"), text_of(event, "peer"), text_of(event, "text") };
    const char *kind = text_of(event, "event");
    char when[CLI_SHORT];

    cli_format_time(number_of(event, "wall_ms"), when);
    fprintf(out, "  %s  %-9s", when, kind != NULL ? kind : "");
    for (size_t i = 0; i < 3; i++) {
        if (parts[i] == NULL || parts[i][0] == '\0')
            continue;
        fputs("  ", out);
        cli_put_text(out, parts[i]);
    }
    fputc('\n', out);
}

static void put_events(FILE *out, const json_t *events)
{
    if (json_array_size(events) > 0)
        fputs("\nHistory:\n", out);
    for (size_t i = 0; i < json_array_size(events); i++)
        put_event(out, json_array_get(events, i));
}

static bool is_in_queue(struct client *client, const char *id)
{
    json_t *answer = NULL;
    int code = client_call(client, json_pack("{ss ss}", "do", "queue-show", "id", id), &answer, NULL);

    json_decref(answer);
    return code != -ENOENT;
}

/* What became of a message that has left the queue. */
static int show_finished(const struct cli *c, const char *id, json_t *events)
{
    if (cli_value(c, "json") != NULL) {
        json_t *message = json_pack("{ss sb sO}", "id", id, "finished", 1, "events", events);

        cli_put_json(c->out, message);
        json_decref(message);
        return EX_OK;
    }
    put_field(c->out, "Message:", id);
    put_field(c->out, "State:", "finished: it is not in the queue any more");
    put_events(c->out, events);
    return EX_OK;
}

static int show(const struct cli *c, struct client *client, const char *id)
{
    json_t *message = NULL, *history = NULL, *events;
    int code;

    if (cli_value(c, "body") != NULL)
        return put_body(c, client, id, INT64_MAX, true);
    code = cli_ask(c, client, json_pack("{ss ss}", "do", "queue-history", "id", id), &history);
    if (code != EX_OK)
        return code;
    events = json_object_get(history, "events");
    if (json_array_size(events) > 0 && !is_in_queue(client, id)) {
        code = show_finished(c, id, events);
        json_decref(history);
        return code;
    }
    code = fetch_message(c, client, id, &message);
    if (code == EX_OK && cli_value(c, "json") != NULL) {
        json_object_set(message, "events", events);
        cli_put_json(c->out, message);
    } else if (code == EX_OK) {
        put_envelope(c->out, message);
        put_events(c->out, events);
        fputs("\nHeader:\n", c->out);
        code = put_body(c, client, id, number_of(message, "header_size"), false);
    }
    json_decref(history);
    json_decref(message);
    return code;
}

int cli_run_queue_show(struct cli *c)
{
    struct client *client = NULL;
    int code = cli_connect(c, &client);

    if (code != EX_OK)
        return code;
    code = show(c, client, c->args[0]);
    client_close(&client);
    return code;
}

/* --- flush and delete --- */

int cli_run_queue_flush(struct cli *c)
{
    json_t *request = json_pack("{ss}", "do", "queue-flush"), *answer = NULL;
    struct client *client = NULL;
    int code = cli_connect(c, &client);

    if (code != EX_OK) {
        json_decref(request);
        return code;
    }
    if (c->arg_count > 0)
        json_object_set_new(request, "id", json_string(c->args[0]));
    code = cli_ask(c, client, request, &answer);
    client_close(&client);
    json_decref(answer);
    if (code == EX_OK)
        fputs(c->arg_count > 0 ? "The message is tried now.\n" : "All messages are tried now.\n", c->out);
    return code;
}

struct deletion {
    const struct cli *cli;
    struct client *client;
    unsigned long deleted, left;
};

static int delete_one(const struct cli *c, struct client *client, const char *id)
{
    json_t *answer = NULL;
    int code = cli_ask(c, client, json_pack("{ss ss}", "do", "queue-delete", "id", id), &answer);

    json_decref(answer);
    return code;
}

/* With --all, what is being delivered or has been delivered meanwhile is not an error. */
static int delete_each(void *ctx, const json_t *message)
{
    struct deletion *d = ctx;
    const char *id = text_of(message, "id");
    json_t *answer = NULL;
    struct err e = { 0 };
    int code;

    if (id == NULL)
        return EX_PROTOCOL;
    code = client_call(d->client, json_pack("{ss ss}", "do", "queue-delete", "id", id), &answer, &e);
    json_decref(answer);
    if (code == 0)
        d->deleted++;
    else if (code == -EBUSY)
        d->left++;
    else if (code != -ENOENT)
        return cli_fail(d->cli, cli_exit_code(code), "%s: %s", id, e.text);
    return EX_OK;
}

static int delete_all(const struct cli *c, struct client *client)
{
    struct deletion d = { .cli = c, .client = client };
    int code = walk(c, client, delete_each, &d);

    fprintf(c->out, "%lu message%s deleted", d.deleted, d.deleted == 1 ? "" : "s");
    if (d.left > 0)
        fprintf(c->out, ", %lu being delivered and left", d.left);
    fputs(".\n", c->out);
    return code;
}

int cli_run_queue_delete(struct cli *c)
{
    bool all = cli_value(c, "all") != NULL;
    struct client *client = NULL;
    int code = EX_OK, worst = EX_OK;

    if (all == (c->arg_count > 0))
        return cli_fail(c, EX_USAGE, "queue delete wants queue ids, or --all");
    if (all && cli_value(c, "yes") == NULL)
        code = cli_confirm(c, "Delete every message in the queue, without a bounce to anybody?");
    if (code == EX_OK)
        code = cli_connect(c, &client);
    if (code != EX_OK)
        return code;
    if (all)
        worst = delete_all(c, client);
    for (unsigned i = 0; i < c->arg_count; i++) {
        code = delete_one(c, client, c->args[i]);
        if (code == EX_OK)
            fprintf(c->out, "Deleted %s.\n", c->args[i]);
        else
            worst = code;
    }
    client_close(&client);
    return worst;
}
