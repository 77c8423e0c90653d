#include "facteur/mail/dsn.h"

#include "dsn_priv.h"
#include "facteur/base/codec.h"
#include "facteur/base/rand.h"
#include "facteur/mail/ip.h"
#include "facteur/mail/trace.h"

#include <errno.h>
#include <stdio.h>

enum { TEXT_LINE = 998 }; /* octets without the line end; RFC 5322 section 2.1.1 */

/* Worst first, with the action field's word (RFC 3464 section 2.3.3) and the subject. */
static const struct {
    const char *word, *subject;
} actions[] = {
    [DSN_FAILED] = { "failed", "Undelivered mail: your message was not delivered" },
    [DSN_DELAYED] = { "delayed", "Delayed mail: your message still waits" },
    [DSN_DELIVERED] = { "delivered", "Delivered: your message" },
    [DSN_RELAYED] = { "relayed", "Passed on: your message" },
    [DSN_EXPANDED] = { "expanded", "Passed on to a list: your message" },
};

/* What decides the types of the parts. */
struct form {
    char boundary[2 * 14];
    struct slice returned; /* of the original */
    bool full;
    bool eight_bit;       /* anything in the message over 127 */
    bool global_status;   /* a recipient's address is UTF-8 (RFC 6533 section 3) */
    bool global_returned; /* the original's header is UTF-8 (RFC 6533 section 4) */
};

enum dsn_action dsn_worst(const struct dsn *d)
{
    enum dsn_action worst = DSN_EXPANDED;

    for (size_t i = 0; i < d->count; i++)
        if (d->recipients[i].action < worst)
            worst = d->recipients[i].action;
    return worst;
}

const char *dsn_reply(const struct dsn *d, const struct dsn_recipient *r, char to[DSN_WORDS_MAX + 1])
{
    struct slice reply = slice_str(r->reply != NULL ? r->reply : "");

    slice_clip(d->reply_most > 0 ? slice_head(reply, d->reply_most) : reply, to, DSN_WORDS_MAX + 1);
    return to;
}

static bool starts_empty(struct slice text)
{
    return text.n == 0 || text.p[0] == '\n' || (text.n > 1 && text.p[0] == '\r' && text.p[1] == '\n');
}

/* The header of a message, with its last line end, without the empty line. A BINARYMIME message has kept its CRLF. */
static struct slice header_of(struct slice message)
{
    struct slice rest = message, line;

    while (!starts_empty(rest))
        (void)slice_cut(&rest, '\n', &line);
    return slice_head(message, message.n - rest.n);
}

/* At most DSN_HEADER_MAX octets, whole lines. */
static struct slice bounded_header(struct slice header)
{
    const char *last;

    if (header.n <= DSN_HEADER_MAX)
        return header;
    last = memrchr(header.p, '\n', DSN_HEADER_MAX);
    return slice_head(header, last != NULL ? (size_t)(last - header.p) + 1 : 0);
}

/* Whether a message can stand as text inside another: no NUL or CR, and lines of a length that may be sent. */
static bool is_text(struct slice message)
{
    struct slice line;

    if (slice_find(message, '\0') >= 0 || slice_find(message, '\r') >= 0)
        return false;
    while (message.n > 0) {
        (void)slice_cut(&message, '\n', &line);
        if (line.n > TEXT_LINE)
            return false;
    }
    return true;
}

static struct form form_of(const struct dsn *d)
{
    struct form f = { 0 };
    struct slice header = header_of(d->original);
    uint64_t random[2];

    rand_bytes(random, sizeof random);
    base32_u64(random[0], f.boundary);
    base32_u64(random[1], f.boundary + 13);
    f.full = d->return_full && is_text(d->original);
    f.returned = f.full ? d->original : bounded_header(header);
    f.global_returned = !ascii_only(f.full ? header : f.returned) && utf8_valid(header);
    f.eight_bit = !ascii_only(f.returned) || !ascii_only(slice_str(d->to));
    for (size_t i = 0; i < d->count; i++) {
        const struct dsn_recipient *r = &d->recipients[i];

        if (!ascii_only(slice_str(r->address)))
            f.global_status = true;
        if (r->reply != NULL && !ascii_only(slice_str(r->reply)))
            f.eight_bit = true;
    }
    f.eight_bit = f.eight_bit || f.global_status;
    return f;
}

/* "Name: words", folded; nothing for NULL or "". */
static int add_field(const char *name, const char *prefix, const char *words, bool utf8, struct buf *out)
{
    if (words == NULL || words[0] == '\0')
        return 0;
    TRY(buf_addf(out, "%s: %s", name, prefix));
    TRY(dsn_words(words, "\t", utf8, out));
    return buf_addc(out, '\n');
}

static int add_date(const char *name, int64_t wall_ms, struct buf *out)
{
    if (wall_ms <= 0)
        return 0;
    TRY(buf_addf(out, "%s: ", name));
    TRY(date_rfc5322(wall_ms, out));
    return buf_addc(out, '\n');
}

static int add_head(const struct dsn *d, const struct form *f, struct buf *out)
{
    TRY(add_date("Date", d->now_ms, out));
    TRY(buf_addf(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\n", d->hostname));
    TRY(buf_adds(out, "To: <"));
    TRY(dsn_words(d->to, "\t", true, out));
    TRY(buf_addf(out, ">\nSubject: %s\n", actions[dsn_worst(d)].subject));
    TRY(buf_addf(out, "Message-ID: <%s.dsn@%s>\n", f->boundary, d->hostname));
    TRY(buf_adds(out, "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"));
    TRY(buf_addf(out, "Content-Type: multipart/report; report-type=%s;\n\tboundary=\"=_%s\"\n",
                 f->global_status ? "global-delivery-status" : "delivery-status", f->boundary));
    if (f->eight_bit)
        TRY(buf_adds(out, "Content-Transfer-Encoding: 8bit\n"));
    return buf_adds(out, "\nThis is a report about a message, in the form of RFC 3464.\n");
}

/* The line between parts and the header of the next. */
static int add_part(const struct form *f, const char *type, const char *description, bool eight_bit, struct buf *out)
{
    TRY(buf_addf(out, "\n--=_%s\nContent-Type: %s\nContent-Description: %s\n", f->boundary, type, description));
    if (eight_bit)
        TRY(buf_adds(out, "Content-Transfer-Encoding: 8bit\n"));
    return buf_addc(out, '\n');
}

/* The name alone, or an address as a literal (RFC 3464 2.3.5, RFC 5321 4.1.3). */
static int add_remote(const char *remote, struct buf *out)
{
    struct slice rest = slice_str(remote != NULL ? remote : ""), name;
    struct ip ip;
    char address[IP_TEXT], literal[IP_TEXT + 8], word[256];

    (void)slice_cut(&rest, ' ', &name);
    slice_clip(name, word, sizeof word);
    if (ip_parse(name, &ip) < 0)
        return add_field("Remote-MTA", "dns; ", word, false, out);
    ip_format(&ip, address);
    (void)snprintf(literal, sizeof literal, "[%s%s]", ip.family == 6 ? "IPv6:" : "", address);
    return add_field("Remote-MTA", "dns; ", literal, false, out);
}

static int add_recipient(const struct dsn *d, const struct dsn_recipient *r, bool global, struct buf *out)
{
    bool utf8 = !ascii_only(slice_str(r->address));
    char reply[DSN_WORDS_MAX + 1];

    TRY(buf_addc(out, '\n'));
    TRY(add_field("Original-Recipient", "", r->orcpt, global, out));
    TRY(add_field("Final-Recipient", utf8 ? "utf-8; " : "rfc822; ", r->address, global, out));
    TRY(buf_addf(out, "Action: %s\n", actions[r->action].word));
    TRY(add_field("Status", "", r->status, false, out));
    TRY(add_remote(r->remote, out));
    TRY(add_field("Diagnostic-Code", r->remote != NULL && !r->ours ? "smtp; " : "x-facteur; ", dsn_reply(d, r, reply),
                  global, out));
    TRY(add_date("Last-Attempt-Date", r->last_attempt_ms, out));
    if (r->action == DSN_DELAYED)
        TRY(add_date("Will-Retry-Until", r->retry_until_ms, out));
    return 0;
}

/* RFC 3464 section 2.2 and 2.3: fields of the message, then a block for each recipient. */
static int add_status(const struct dsn *d, const struct form *f, struct buf *out)
{
    TRY(add_part(f, f->global_status ? "message/global-delivery-status" : "message/delivery-status", "Technical report",
                 f->global_status, out));
    TRY(add_field("Original-Envelope-Id", "", d->envid, f->global_status, out));
    TRY(add_field("Reporting-MTA", "dns; ", d->hostname, false, out));
    TRY(add_field("X-Facteur-Queue-ID", "", d->queue_id, false, out));
    TRY(add_date("Arrival-Date", d->arrival_ms, out));
    for (size_t i = 0; i < d->count; i++)
        TRY(add_recipient(d, &d->recipients[i], f->global_status, out));
    return 0;
}

static const char *returned_type(const struct form *f)
{
    if (f->full)
        return f->global_returned ? "message/global" : "message/rfc822";
    return f->global_returned ? "message/global-headers" : "text/rfc822-headers";
}

static int add_clean(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        TRY(buf_addc(out, text.p[i] != '\0' && text.p[i] != '\r' ? text.p[i] : ' '));
    return 0;
}

/* How much of a line that is too long stands before its fold: up to a space, or else between two characters. */
static size_t fold_at(struct slice line)
{
    const char *space = memrchr(line.p + 1, ' ', TEXT_LINE - 2);
    size_t n = TEXT_LINE - 1;

    if (space != NULL)
        return (size_t)(space - line.p);
    while (n > TEXT_LINE - 4 && ((unsigned char)line.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* The header as it can be sent: LF lines of a length that may be. */
static int add_header(struct slice header, struct buf *out)
{
    struct slice line;

    while (header.n > 0) {
        (void)slice_cut(&header, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        while (line.n >= TEXT_LINE) {
            size_t n = fold_at(line);

            TRY(add_clean(slice_head(line, n), out));
            TRY(buf_addc(out, '\n'));
            if (line.p[n] != ' ')
                TRY(buf_addc(out, ' '));
            line = slice_skip(line, n);
        }
        TRY(add_clean(line, out));
        TRY(buf_addc(out, '\n'));
    }
    return 0;
}

static int add_returned(const struct form *f, struct buf *out)
{
    if (!f->full)
        return add_header(f->returned, out);
    TRY(buf_add(out, f->returned.p, f->returned.n));
    return f->returned.n > 0 && f->returned.p[f->returned.n - 1] != '\n' ? buf_addc(out, '\n') : 0;
}

int dsn_write(const struct dsn *d, struct buf *out)
{
    struct form f = form_of(d);

    TRY(add_head(d, &f, out));
    TRY(add_part(&f, "text/plain; charset=utf-8", "Notification", f.eight_bit, out));
    TRY(dsn_text(d, out));
    TRY(add_status(d, &f, out));
    TRY(add_part(&f, returned_type(&f), f.full ? "Your message" : "The header of your message", !ascii_only(f.returned),
                 out));
    TRY(add_returned(&f, out));
    return buf_addf(out, "\n--=_%s--\n", f.boundary);
}
