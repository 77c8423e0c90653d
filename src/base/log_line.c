#include "facteur/base/clock.h"
#include "log_priv.h"

#include <time.h>
#include <unistd.h>

/* What a value's octet asks for; a value of OCTET_PLAIN alone is copied as it is. */
enum octet { OCTET_PLAIN = 0, OCTET_QUOTED = 1, OCTET_BACKSLASH = 2, OCTET_HEX = 4 };

static const char hex_digits[] = "0123456789abcdef";

static enum octet octet_of(unsigned char c)
{
    if (c < 0x20 || c > 0x7e)
        return OCTET_HEX;
    if (c == '"' || c == '\\')
        return OCTET_BACKSLASH;
    return c == ' ' || c == '=' ? OCTET_QUOTED : OCTET_PLAIN;
}

static char *put(char *to, const char *p, size_t n)
{
    if (n > 0)
        memcpy(to, p, n);
    return to + n;
}

static char *put_str(char *to, const char *s)
{
    return put(to, s, strlen(s));
}

static char *put_number(char *to, int64_t number)
{
    uint64_t n = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    if (number < 0)
        *to++ = '-';
    return put(to, digits + at, sizeof digits - at);
}

static char *put_2(char *to, int n)
{
    *to++ = (char)('0' + n / 10 % 10);
    *to++ = (char)('0' + n % 10);
    return to;
}

/* "2026-11-22T04:35:54" is made once a second and kept: gmtime_r costs more than the rest of a line. */
static char *put_time(char *to)
{
    static struct {
        int64_t second;
        char text[20];
    } kept = { .second = -1 };
    int64_t now = clock_wall_ms();
    int millis = (int)(now % 1000);

    if (now / 1000 != kept.second) {
        time_t second = (time_t)(now / 1000);
        struct tm tm;

        (void)gmtime_r(&second, &tm);
        (void)strftime(kept.text, sizeof kept.text, "%Y-%m-%dT%H:%M:%S", &tm);
        kept.second = now / 1000;
    }
    to = put_str(to, kept.text);
    *to++ = '.';
    *to++ = (char)('0' + millis / 100);
    to = put_2(to, millis % 100);
    *to++ = 'Z';
    return to;
}

/* One octet inside quotes; `wide` is what stands before its two hexadecimal digits. */
static char *put_octet(char *to, unsigned char c, const char *wide)
{
    switch (octet_of(c)) {
    case OCTET_HEX:
        to = put_str(to, wide);
        *to++ = hex_digits[c >> 4];
        *to++ = hex_digits[c & 15];
        return to;
    case OCTET_BACKSLASH:
        *to++ = '\\';
        break;
    case OCTET_PLAIN:
    case OCTET_QUOTED:
        break;
    }
    *to++ = (char)c;
    return to;
}

static char *put_quoted(char *to, struct slice text, bool cut, const char *wide)
{
    *to++ = '"';
    for (size_t i = 0; i < text.n; i++)
        to = put_octet(to, (unsigned char)text.p[i], wide);
    if (cut)
        to = put(to, "...", 3);
    *to++ = '"';
    return to;
}

static char *put_text(char *to, enum log_format format, struct slice text)
{
    bool cut = text.n > LOG_FIELD;
    unsigned seen = 0;

    text = slice_head(text, LOG_FIELD);
    if (format == LOG_FORMAT_JSON)
        return put_quoted(to, text, cut, "\\u00"); /* an octet over 127 is named by its number, not read as UTF-8 */
    for (size_t i = 0; i < text.n; i++)
        seen |= octet_of((unsigned char)text.p[i]);
    if (seen != OCTET_PLAIN)
        return put_quoted(to, text, cut, "\\x");
    to = put(to, text.p, text.n);
    return cut ? put(to, "...", 3) : to;
}

static char *put_key(char *to, enum log_format format, const char *key)
{
    if (format == LOG_FORMAT_JSON) {
        to = put(to, ",\"", 2);
        to = put_str(to, key);
        return put(to, "\":", 2);
    }
    *to++ = ' ';
    to = put_str(to, key);
    *to++ = '=';
    return to;
}

static char *put_head(char *to, enum log_format format, enum log_level level, const char *event)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    to = put_str(to, format == LOG_FORMAT_JSON ? "{\"ts\":\"" : "ts=");
    to = put_time(to);
    if (format == LOG_FORMAT_JSON)
        *to++ = '"';
    to = put_text(put_key(to, format, "level"), format, slice_str(names[level]));
    return put_text(put_key(to, format, "event"), format, slice_str(event));
}

size_t log_line(char *to, enum log_format format, enum log_level level, const char *event, const struct log_kv *fields)
{
    char *p = put_head(to, format, level, event);

    for (const struct log_kv *f = fields; f->key != NULL; f++) {
        size_t text = f->text.n > LOG_FIELD ? LOG_FIELD + 3 : f->text.n;
        size_t most = strlen(f->key) + 8 + (f->kind == LOG_KV_NUMBER ? 20 : 6 * text);

        if (f->kind == LOG_KV_TEXT && f->text.n == 0)
            continue;
        if (most > LOG_LINE - 2 - (size_t)(p - to))
            continue;
        p = put_key(p, format, f->key);
        p = f->kind == LOG_KV_NUMBER ? put_number(p, f->number) : put_text(p, format, f->text);
    }
    if (format == LOG_FORMAT_JSON)
        *p++ = '}';
    *p++ = '\n';
    return (size_t)(p - to);
}

size_t log_syslog_tag(char *to, enum log_level level)
{
    static const unsigned char severities[] = { 3, 4, 6, 7 };
    enum { FACILITY_MAIL = 2 };
    time_t now = (time_t)(clock_wall_ms() / 1000);
    char text[20] = "";
    struct tm tm;
    char *p = to;

    (void)localtime_r(&now, &tm);
    *p++ = '<';
    p = put_number(p, FACILITY_MAIL * 8 + severities[level]);
    *p++ = '>';
    (void)strftime(text, sizeof text, "%b %e %H:%M:%S", &tm); /* "C" locale: facteur never calls setlocale */
    p = put_str(p, text);
    p = put_str(p, " facteur[");
    p = put_number(p, getpid());
    p = put_str(p, "]: ");
    return (size_t)(p - to);
}
