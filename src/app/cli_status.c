#include "cli_priv.h"

#include "facteur/base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

enum { DEPTH = 3, COLUMN = 22, DAY_S = 24 * 3600 };

/* What a number is, told by the end of its key; `hide` octets of the key are the unit and not part of the label. The
 * first that fits counts. */
enum unit { PLAIN, SECONDS, MICROSECONDS, OCTETS, WHEN_S };
static const struct {
    const char *end;
    size_t hide;
    enum unit unit;
} units[] = {
    { "over_50_ms", 0, PLAIN }, { "_ends_s", 2, WHEN_S },  { "_us", 3, MICROSECONDS }, { "_s", 2, SECONDS },
    { "octets", 0, OCTETS },    { "resident", 0, OCTETS }, { "bodies", 0, OCTETS },    { "output", 0, OCTETS },
    { "disk_free", 0, OCTETS }, { "", 0, PLAIN },
};

static size_t unit_of(const char *key)
{
    size_t n = strlen(key), i = 0;

    while (strlen(units[i].end) > n || strcmp(key + n - strlen(units[i].end), units[i].end) != 0)
        i++; /* the last fits all */
    return i;
}

/* "(ended 1 day ago)" */
static void put_days(FILE *out, int64_t left_s)
{
    int64_t days = (left_s < 0 ? -left_s : left_s) / DAY_S;

    fprintf(out, " (%s %" PRId64 " day%s%s)", left_s < 0 ? "ended" : "ends in", days, days == 1 ? "" : "s",
            left_s < 0 ? " ago" : "");
}

static void put_number(FILE *out, enum unit unit, int64_t n)
{
    char text[CLI_SHORT];

    switch (unit) {
    case PLAIN:
        (void)snprintf(text, sizeof text, "%" PRId64, n);
        break;
    case SECONDS:
        cli_format_age(n < INT64_MAX / 1000 ? n * 1000 : INT64_MAX, text);
        break;
    case MICROSECONDS:
        (void)snprintf(text, sizeof text, "%.3f ms", (double)n / 1000);
        break;
    case OCTETS:
        cli_format_size(n > 0 ? (uint64_t)n : 0, text);
        break;
    case WHEN_S:
        cli_format_time(n < INT64_MAX / 1000 ? n * 1000 : INT64_MAX, text);
        break;
    }
    fputs(text, out);
    if (unit == WHEN_S)
        put_days(out, n - clock_wall_ms() / 1000);
}

static void put_value(FILE *out, const char *key, const json_t *value)
{
    if (json_is_string(value))
        cli_put_text(out, json_string_length(value) > 0 ? json_string_value(value) : "-");
    else if (json_is_integer(value))
        put_number(out, units[unit_of(key)].unit, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(out, "%.3f", json_real_value(value));
    else
        fputs(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-", out);
}

static void put_label(FILE *out, const char *key, int depth, bool pad)
{
    int n = (int)(strlen(key) - units[unit_of(key)].hide);
    int used = 2 * depth + n + 1;

    fprintf(out, "%*s", 2 * depth, "");
    for (int i = 0; i < n; i++)
        fputc(key[i] == '_' ? ' ' : key[i], out);
    fprintf(out, ":%*s", !pad ? 0 : used < COLUMN ? COLUMN - used : 1, "");
}

/* All values of an object in one line, for lists of objects. */
static void put_flat(FILE *out, json_t *object)
{
    const char *comma = "";

    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        fprintf(out, "%s%s ", comma, json_object_iter_key(it));
        put_value(out, json_object_iter_key(it), json_object_iter_value(it));
        comma = ", ";
    }
}

static void put_list(FILE *out, const char *key, const json_t *list, int depth)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);

        fprintf(out, "%*s", 2 * depth + 2, "");
        if (json_is_object(item))
            put_flat(out, item);
        else
            put_value(out, key, item);
        fputc('\n', out);
    }
}

static void put_object(FILE *out, json_t *object, int depth)
{
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        json_t *value = json_object_iter_value(it);
        bool nested = json_is_object(value) && depth < DEPTH, block = nested || json_is_array(value);

        put_label(out, key, depth, !block);
        if (block)
            fputc('\n', out);
        if (nested) {
            put_object(out, value, depth + 1);
        } else if (json_is_array(value)) {
            put_list(out, key, value, depth);
        } else {
            put_value(out, key, value);
            fputc('\n', out);
        }
    }
}

int cli_run_status(struct cli *c)
{
    json_t *answer = NULL, *status;
    int code = cli_ask_once(c, "status", &answer);

    if (code != EX_OK)
        return code;
    status = json_object_get(answer, "status");
    if (cli_value(c, "json") != NULL)
        cli_put_json(c->out, status);
    else
        put_object(c->out, status, 0);
    json_decref(answer);
    return EX_OK;
}
