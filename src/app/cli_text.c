#include "cli_priv.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* C0, DEL, and C1 in its UTF-8 form: what a terminal obeys. */
static bool is_control(const unsigned char *p)
{
    return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

static void put_escaped(FILE *out, const char *text, const char *keep)
{
    for (const unsigned char *p = (const unsigned char *)(text != NULL ? text : "-"); *p != '\0'; p++) {
        if (strchr(keep, *p) != NULL || !is_control(p)) {
            fputc(*p, out);
            continue;
        }
        fprintf(out, "\\x%02x", *p);
        if (*p == 0xc2)
            fprintf(out, "\\x%02x", *++p);
    }
}

void cli_put_text(FILE *out, const char *text)
{
    put_escaped(out, text, "");
}

void cli_put_lines(FILE *out, const char *text)
{
    put_escaped(out, text, "\n\t");
}

void cli_put_json(FILE *out, const json_t *json)
{
    (void)json_dumpf(json, out, JSON_COMPACT | JSON_ENCODE_ANY);
    fputc('\n', out);
}

void cli_format_age(int64_t ms, char to[CLI_SHORT])
{
    static const struct {
        int64_t ms;
        char unit;
    } units[] = { { 86400000, 'd' }, { 3600000, 'h' }, { 60000, 'm' }, { 1000, 's' } };
    size_t i = 0;

    if (ms < 0)
        ms = 0;
    while (i < 3 && ms < units[i].ms)
        i++;
    if (i < 2) /* days and hours, hours and minutes; below that one unit is enough */
        (void)snprintf(to, CLI_SHORT, "%lld%c %lld%c", (long long)(ms / units[i].ms), units[i].unit,
                       (long long)(ms % units[i].ms / units[i + 1].ms), units[i + 1].unit);
    else
        (void)snprintf(to, CLI_SHORT, "%lld%c", (long long)(ms / units[i].ms), units[i].unit);
}

void cli_format_size(uint64_t octets, char to[CLI_SHORT])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double n = (double)octets;
    size_t i = 0;

    while (n >= 1024 && i < 4) {
        n /= 1024;
        i++;
    }
    (void)snprintf(to, CLI_SHORT, i == 0 ? "%.0f %s" : "%.1f %s", n, units[i]);
}

void cli_format_time(int64_t wall_ms, char to[CLI_SHORT])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(to, CLI_SHORT, "%Y-%m-%d %H:%M:%S %z", &tm) == 0)
        (void)snprintf(to, CLI_SHORT, "%lld", (long long)seconds);
}

int cli_read_line(FILE *in, char *to, size_t size)
{
    size_t n = 0;
    int octet;

    while ((octet = fgetc(in)) != EOF && octet != '\n') {
        if (n + 1 >= size || octet == '\0')
            return -EINVAL;
        to[n++] = (char)octet;
    }
    if (octet == EOF && n == 0)
        return -EINVAL;
    if (n > 0 && to[n - 1] == '\r')
        n--;
    to[n] = '\0';
    return 0;
}

int cli_confirm(const struct cli *c, const char *question)
{
    char answer[16];

    if (!isatty(fileno(c->in)))
        return cli_fail(c, EX_USAGE, "nobody is there to ask; say --yes");
    cli_put_text(c->err, question);
    fputs(" [y/N] ", c->err);
    fflush(c->err);
    if (cli_read_line(c->in, answer, sizeof answer) == 0 && (answer[0] == 'y' || answer[0] == 'Y'))
        return EX_OK;
    return cli_fail(c, EX_TEMPFAIL, "nothing was changed");
}
