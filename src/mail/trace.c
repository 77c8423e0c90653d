#include "facteur/mail/trace.h"

#include "facteur/mail/limits.h"
#include "scan_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Words from outside inside one of our fields: no white space, controls or octets that end a comment, a literal or a
 * path; bounded, so that no line grows past 998 octets. */
static int add_safe(const char *s, struct buf *out)
{
    struct slice in = slice_head(slice_str(s), LIMIT_USERNAME + 2);
    char *to = buf_room(out, in.n);

    if (to == NULL)
        return -ENOBUFS;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];

        to[i] = c <= 0x20 || c == 0x7f || strchr("()<>\\\"", c) != NULL ? '?' : in.p[i];
    }
    out->n += in.n;
    return 0;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3). */
static int add_literal(const char *address, struct buf *out)
{
    TRY(buf_adds(out, strchr(address, ':') != NULL ? "[IPv6:" : "["));
    TRY(add_safe(address, out));
    return buf_addc(out, ']');
}

static int add_from(const struct trace *t, struct buf *out)
{
    if (t->client[0] == '\0' && t->helo[0] == '\0')
        return 0;
    TRY(buf_adds(out, "from "));
    if (t->helo[0] != '\0')
        TRY(add_safe(t->helo, out));
    else
        TRY(add_literal(t->client, out));
    TRY(buf_adds(out, " ("));
    if (t->client[0] != '\0')
        TRY(add_literal(t->client, out));
    else
        TRY(buf_adds(out, "local"));
    return buf_adds(out, ")\n\t");
}

/* "(TLSv1.3, authenticated)" behind the protocol; nothing where there is nothing to say. */
static int add_with_comment(struct slice version, bool login, struct buf *out)
{
    if (version.n == 0 && !login)
        return 0;
    TRY(buf_adds(out, " ("));
    TRY(buf_add(out, version.p, version.n));
    if (login)
        TRY(buf_adds(out, version.n > 0 ? ", authenticated" : "authenticated"));
    return buf_addc(out, ')');
}

/* The recipient is a path already: its quotes stay, controls and angle brackets cannot be in it. */
static int add_path(const char *address, struct buf *out)
{
    TRY(buf_addc(out, '<'));
    for (const char *p = address; *p != '\0'; p++)
        TRY(buf_addc(out, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p));
    return buf_addc(out, '>');
}

int trace_received(const struct trace *t, struct buf *out)
{
    struct slice version, cipher = slice_str(t->tls);

    (void)slice_cut(&cipher, ' ', &version);
    TRY(buf_adds(out, "Received: "));
    TRY(add_from(t, out));
    TRY(buf_adds(out, "by "));
    TRY(add_safe(t->hostname, out));
    TRY(buf_adds(out, " (facteur) with "));
    TRY(add_safe(t->with, out));
    TRY(add_with_comment(version, t->login[0] != '\0', out));
    TRY(buf_adds(out, "\n\tid "));
    TRY(add_safe(t->queue_id, out));
    if (t->recipient[0] != '\0') {
        TRY(buf_adds(out, "\n\tfor "));
        TRY(add_path(t->recipient, out));
    }
    if (cipher.n > 0) { /* additional registered clauses come last (RFC 5321 section 4.4, RFC 8314 section 4.3) */
        TRY(buf_adds(out, "\n\ttls "));
        TRY(buf_add(out, cipher.p, cipher.n));
    }
    TRY(buf_adds(out, ";\n\t"));
    TRY(date_rfc5322(t->wall_ms, out));
    return buf_addc(out, '\n');
}

int trace_return_path(const char *reverse_path, struct buf *out)
{
    TRY(buf_adds(out, "Return-Path: "));
    TRY(add_path(reverse_path, out));
    return buf_addc(out, '\n');
}

bool trace_authenticates_as(struct slice value, const char *hostname)
{
    struct scan s = { .p = value.p, .end = value.p + value.n };
    struct slice id;
    struct buf text;
    bool same = false;

    buf_init(&text, SCAN_TEXT_MAX);
    if (scan_cfws(&s) == SCAN_MORE &&
        (scan_peek(&s) == '"' ? scan_quoted_string(&s, &text) : scan_token(&s, &text)) != SCAN_BROKEN) {
        id = slice_trim(buf_slice(&text));
        if (id.n > 0 && id.p[id.n - 1] == '.')
            id.n--;
        same = slice_iis(id, hostname);
    }
    buf_clear(&text);
    return same;
}

int date_rfc5322(int64_t wall_ms, struct buf *out)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    int64_t floor_s = wall_ms >= 0 ? wall_ms / 1000 : -((999 - wall_ms) / 1000);
    time_t second = (time_t)floor_s;
    struct tm tm;
    long offset;

    if (localtime_r(&second, &tm) == NULL)
        return -EINVAL;
    offset = tm.tm_gmtoff / 60; /* minutes; "-0000" would say that the zone is not known */
    return buf_addf(out, "%s, %02d %s %04d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday], tm.tm_mday,
                    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, offset < 0 ? '-' : '+',
                    labs(offset) / 60, labs(offset) % 60);
}
