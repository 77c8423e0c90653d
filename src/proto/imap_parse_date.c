#include "imap_parse_priv.h"

static const char months[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

static bool is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t days_in(uint64_t month, uint64_t year)
{
    static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[month] + (month == 1 && is_leap(year) ? 1U : 0U);
}

/* Days since 1970-01-01 of the Gregorian calendar; month from 0, day from 1. */
static int64_t day_number(uint64_t year, uint64_t month, uint64_t day)
{
    int64_t y = (int64_t)year - 1, leaps = year == 0 ? -1 : y / 4 - y / 100 + y / 400, days = y * 365 + leaps;

    for (uint64_t m = 0; m < month; m++)
        days += (int64_t)days_in(m, year);
    return days + (int64_t)day - 719163;
}

/* Exactly `width` digits. */
static int read_digits(struct imap_cursor *x, size_t width, uint64_t *ret)
{
    if (slice_u64(slice_head(x->in, width), UINT32_MAX, ret) < 0 || x->in.n < width)
        return imap_bad_syntax(x, "A date is malformed");
    x->in = slice_skip(x->in, width);
    return 0;
}

/* 1-Feb-1994 */
static int read_day(struct imap_cursor *x, int64_t *ret_day)
{
    size_t width = x->in.n > 1 && x->in.p[1] >= '0' && x->in.p[1] <= '9' ? 2 : 1, month = 0;
    uint64_t day = 0, year = 0;

    TRY(read_digits(x, width, &day));
    TRY(imap_expect(x, '-'));
    while (month < 12 && !slice_iis(slice_head(x->in, 3), months[month]))
        month++;
    x->in = slice_skip(x->in, 3);
    TRY(imap_expect(x, '-'));
    TRY(read_digits(x, 4, &year));
    if (month == 12 || day == 0 || day > days_in(month, year))
        return imap_bad_syntax(x, "There is no such date");
    *ret_day = day_number(year, month, day);
    return 0;
}

int imap_date(struct imap_cursor *x, int64_t *ret_day)
{
    bool quoted = imap_take_char(x, '"');

    TRY(read_day(x, ret_day));
    return quoted ? imap_expect(x, '"') : 0;
}

static int read_time(struct imap_cursor *x, int64_t *ret_seconds)
{
    uint64_t hour = 0, minute = 0, second = 0;

    TRY(read_digits(x, 2, &hour));
    TRY(imap_expect(x, ':'));
    TRY(read_digits(x, 2, &minute));
    TRY(imap_expect(x, ':'));
    TRY(read_digits(x, 2, &second));
    if (hour > 23 || minute > 59 || second > 60)
        return imap_bad_syntax(x, "There is no such time");
    *ret_seconds = (int64_t)(hour * 3600 + minute * 60 + second);
    return 0;
}

static int read_zone(struct imap_cursor *x, int64_t *ret_seconds)
{
    bool west = imap_is_at(x, '-');
    uint64_t hours = 0, minutes = 0;

    if (!west)
        TRY(imap_expect(x, '+'));
    else
        (void)imap_take_char(x, '-');
    TRY(read_digits(x, 2, &hours));
    TRY(read_digits(x, 2, &minutes));
    if (hours > 23 || minutes > 59)
        return imap_bad_syntax(x, "There is no such time zone");
    *ret_seconds = (west ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
    return 0;
}

int imap_date_time(struct imap_cursor *x, int64_t *ret_ms)
{
    int64_t day = 0, time = 0, zone = 0;

    TRY(imap_expect(x, '"'));
    (void)imap_take_char(x, ' ');
    TRY(read_day(x, &day));
    TRY(imap_expect(x, ' '));
    TRY(read_time(x, &time));
    TRY(imap_expect(x, ' '));
    TRY(read_zone(x, &zone));
    TRY(imap_expect(x, '"'));
    *ret_ms = (day * 86400 + time - zone) * 1000;
    return 0;
}
