#include "facteur/base/codec.h"
#include "facteur/mail/mutf7.h"
#include "imap_write_priv.h"

enum {
    DIGITS = 20,     /* of a number of 64 bits */
    DATE_LENGTH = 28 /* "17-Jul-1996 02:44:25 +0000" with its quotes */
};

/* What a string needs: bits that its octets have between them. */
enum { NEEDS_ESCAPE = 1, NEEDS_LITERAL = 2, HAS_NUL = 4 };

static unsigned needs_of(struct slice s)
{
    unsigned needs = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            needs |= NEEDS_ESCAPE;
        else if (c == '\r' || c == '\n' || c >= 0x80)
            needs |= NEEDS_LITERAL;
        else if (c == '\0')
            needs |= HAS_NUL;
    }
    return needs;
}

static char safe(char c)
{
    return c != '\0' ? c : '?';
}

static int write_quoted(struct buf *out, struct slice s, bool escape)
{
    char *room = s.n < SIZE_MAX / 2 - 2 ? buf_room(out, (escape ? 2 * s.n : s.n) + 2) : NULL;
    char *to = room;

    if (room == NULL)
        return -ENOBUFS;
    *to++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            *to++ = '\\';
        *to++ = safe(s.p[i]);
    }
    *to++ = '"';
    out->n += (size_t)(to - room);
    return 0;
}

static int write_literal(struct buf *out, struct slice s)
{
    char *room;

    TRY(buf_addc(out, '{'));
    TRY(imap_write_number(out, s.n));
    TRY(buf_adds(out, "}\r\n"));
    room = buf_room(out, s.n);
    if (room == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < s.n; i++)
        room[i] = safe(s.p[i]);
    out->n += s.n;
    return 0;
}

int imap_write_string(struct buf *out, struct slice s)
{
    unsigned needs = needs_of(s);
    size_t start = out->n;

    if ((needs & NEEDS_LITERAL) == 0)
        return write_quoted(out, s, (needs & NEEDS_ESCAPE) != 0);
    return imap_write_all_or_none(out, start, write_literal(out, s));
}

int imap_write_nstring(struct buf *out, struct slice s)
{
    return s.p != NULL ? imap_write_string(out, s) : buf_add(out, "NIL", 3);
}

static bool is_atom_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

/* RFC 9051 section 9: ASTRING-CHAR is an ATOM-CHAR or "]". An atom "NIL" would be read as nothing by some. */
static bool is_astring_atom(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_atom_char(s.p[i]) && s.p[i] != ']')
            return false;
    }
    return s.n > 0 && !slice_iis(s, "NIL");
}

static bool is_atom(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_atom_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

int imap_write_astring(struct buf *out, struct slice s)
{
    return is_astring_atom(s) ? buf_add(out, s.p, s.n) : imap_write_string(out, s);
}

int imap_write_mailbox(struct buf *out, struct slice utf8_name, bool utf8)
{
    struct buf encoded;
    int code;

    if (ascii_only(utf8_name) && (utf8 || slice_find(utf8_name, '&') < 0))
        return imap_write_astring(out, utf8_name);
    /* RFC 9051 section 9: after ENABLE a quoted string may hold UTF-8. */
    if (utf8 && slice_find(utf8_name, '\r') < 0 && slice_find(utf8_name, '\n') < 0)
        return write_quoted(out, utf8_name, true);
    buf_init(&encoded, 8 * utf8_name.n + 16);
    code = mutf7_encode(utf8_name, &encoded);
    code = code < 0 ? code : imap_write_astring(out, buf_slice(&encoded));
    buf_clear(&encoded);
    return code;
}

int imap_write_number(struct buf *out, uint64_t n)
{
    char digits[DIGITS];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return buf_add(out, digits + at, sizeof digits - at);
}

static int write_flag(struct buf *out, size_t first, struct slice name)
{
    if (out->n > first)
        TRY(buf_addc(out, ' '));
    return buf_add(out, name.p, name.n);
}

static int write_flags(struct buf *out, uint8_t flags, uint64_t keywords, const char *const *names, unsigned name_count,
                       bool recent)
{
    static const struct slice system_flags[] = { SLICE_LIT("\\Answered"), SLICE_LIT("\\Flagged"),
                                                 SLICE_LIT("\\Deleted"),  SLICE_LIT("\\Seen"),
                                                 SLICE_LIT("\\Draft"),    SLICE_LIT("$Forwarded") };
    size_t first;

    TRY(buf_addc(out, '('));
    first = out->n;
    for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++) {
        if ((flags & 1U << i) != 0)
            TRY(write_flag(out, first, system_flags[i]));
    }
    if (recent)
        TRY(write_flag(out, first, SLICE_LIT("\\Recent")));
    for (unsigned i = 0; i < name_count && i < 64 && keywords >> i != 0; i++) {
        /* Names come from a file that other programs may write: what is no atom is not said. */
        if ((keywords >> i & 1) != 0 && names[i] != NULL && is_atom(slice_str(names[i])))
            TRY(write_flag(out, first, slice_str(names[i])));
    }
    return buf_addc(out, ')');
}

int imap_write_flags(struct buf *out, uint8_t flags, uint64_t keywords, const char *const *names, unsigned name_count,
                     bool recent)
{
    size_t start = out->n;

    return imap_write_all_or_none(out, start, write_flags(out, flags, keywords, names, name_count, recent));
}

static char *two_digits(char *to, int64_t n)
{
    *to++ = (char)('0' + n / 10);
    *to++ = (char)('0' + n % 10);
    return to;
}

int imap_write_date(struct buf *out, int64_t wall_ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char zone[] = " +0000\"";
    const int64_t last = INT64_C(253402300799); /* 9999-12-31 23:59:59 */
    int64_t seconds = wall_ms < 0 ? 0 : wall_ms / 1000;
    int64_t days, second, era_day, era, year_of_era, day_of_year, month_from_march, day, month, year;
    char *room = buf_room(out, DATE_LENGTH);
    char *to = room;

    if (room == NULL)
        return -ENOBUFS;
    seconds = seconds > last ? last : seconds;
    days = seconds / 86400 + 719468; /* since 0000-03-01: leap days come last in such a year */
    second = seconds % 86400;
    era = days / 146097; /* 400 years */
    era_day = days % 146097;
    year_of_era = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    day_of_year = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month_from_march = (5 * day_of_year + 2) / 153;
    day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    month = (month_from_march + 2) % 12;
    year = era * 400 + year_of_era + (month < 2 ? 1 : 0);

    *to++ = '"';
    to = two_digits(to, day);
    if (day < 10) /* RFC 9051 section 9: date-day-fixed */
        to[-2] = ' ';
    *to++ = '-';
    memcpy(to, months + 3 * month, 3);
    to += 3;
    *to++ = '-';
    to = two_digits(two_digits(to, year / 100), year % 100);
    *to++ = ' ';
    to = two_digits(to, second / 3600);
    *to++ = ':';
    to = two_digits(to, second / 60 % 60);
    *to++ = ':';
    to = two_digits(to, second % 60);
    memcpy(to, zone, sizeof zone - 1);
    out->n += DATE_LENGTH;
    return 0;
}
