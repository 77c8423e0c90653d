#include "facteur/mail/date.h"

#include <errno.h>

struct date {
    int64_t year, month, day, hour, minute, second, zone; /* month from 0; zone in minutes east */
};

/* The next word: letters, digits, sign; white space, commas, colons and comments divide. */
static bool next_word(struct slice *text, struct slice *ret, char *ret_divider)
{
    size_t i = 0, start;
    unsigned depth = 0;
    char divider = ' ';

    for (; i < text->n; i++) {
        char c = text->p[i];

        if (c == '\\' && depth > 0)
            i++;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (depth == 0 && strchr(" \t\r\n,:", c) == NULL)
            break;
        else if (depth == 0 && c == ':')
            divider = c;
    }
    start = i > text->n ? text->n : i;
    for (i = start; i < text->n && strchr(" \t\r\n,:(", text->p[i]) == NULL; i++)
        continue;
    *ret = slice_make(text->p + start, i - start);
    *ret_divider = divider;
    *text = slice_skip(*text, i);
    return ret->n > 0;
}

static bool number(struct slice word, uint64_t max, int64_t *ret)
{
    uint64_t n;

    if (word.n == 0 || slice_u64(word, max, &n) < 0)
        return false;
    *ret = (int64_t)n;
    return true;
}

static bool month(struct slice word, int64_t *ret)
{
    static const char *const names[] = { "jan", "feb", "mar", "apr", "may", "jun",
                                         "jul", "aug", "sep", "oct", "nov", "dec" };

    for (int64_t i = 0; i < 12; i++) {
        if (slice_istarts(word, names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool year(struct slice word, int64_t *ret)
{
    if (!number(word, 9999, ret))
        return false;
    if (word.n == 2) /* RFC 5322 section 4.3 */
        *ret += *ret < 50 ? 2000 : 1900;
    else if (word.n == 3)
        *ret += 1900;
    return *ret >= 1900;
}

/* Unknown names are UTC (RFC 5322 section 4.3), and so is what is no zone at all. */
static int64_t zone(struct slice word)
{
    static const struct {
        const char *name;
        int64_t hours;
    } names[] = { { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 },
                  { "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 } };
    int64_t n;

    if (word.n == 5 && (word.p[0] == '+' || word.p[0] == '-') && number(slice_skip(word, 1), 9999, &n)) {
        n = n / 100 * 60 + n % 100;
        return word.p[0] == '-' ? -n : n;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (slice_iis(word, names[i].name))
            return names[i].hours * 60;
    }
    return 0;
}

static int64_t days_of(const struct date *d)
{
    int64_t y = d->month < 2 ? d->year - 1 : d->year; /* years begin in March, so that leap days come last */
    int64_t m = d->month < 2 ? d->month + 10 : d->month - 2;
    int64_t era = y / 400, of_era = y % 400;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + d->day - 1 - 719468;
}

static bool read_clock(struct slice *text, struct date *d)
{
    struct slice word, rest;
    char divider;

    if (!next_word(text, &word, &divider) || !number(word, 23, &d->hour))
        return false;
    if (!next_word(text, &word, &divider) || divider != ':' || !number(word, 59, &d->minute))
        return false;
    rest = *text;
    if (next_word(&rest, &word, &divider) && divider == ':') {
        if (!number(word, 60, &d->second))
            return false;
        *text = rest;
    }
    return true;
}

static int read_date(struct slice text, struct date *d)
{
    struct slice word;
    char divider;

    if (!next_word(&text, &word, &divider))
        return -EINVAL;
    if ((word.p[0] < '0' || word.p[0] > '9') && !next_word(&text, &word, &divider)) /* the day of the week */
        return -EINVAL;
    if (!number(word, 31, &d->day) || d->day == 0)
        return -EINVAL;
    if (!next_word(&text, &word, &divider) || !month(word, &d->month))
        return -EINVAL;
    if (!next_word(&text, &word, &divider) || !year(word, &d->year))
        return -EINVAL;
    if (!read_clock(&text, d))
        return -EINVAL;
    if (next_word(&text, &word, &divider))
        d->zone = zone(word);
    return 0;
}

int date_parse(struct slice text, int64_t *ret_ms)
{
    struct date d = { .year = 0 };

    TRY(read_date(text, &d));
    *ret_ms = (((days_of(&d) * 24 + d.hour) * 60 + d.minute - d.zone) * 60 + d.second) * 1000;
    return 0;
}

int date_parse_day(struct slice text, int64_t *ret_day)
{
    struct date d = { .year = 0 };

    TRY(read_date(text, &d));
    *ret_day = days_of(&d);
    return 0;
}
