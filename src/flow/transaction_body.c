/* The data of a message on its way in: what is kept of it, and the fields that are added. */
#include "transaction_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/rand.h"
#include "facteur/flow/stages.h"
#include "facteur/mail/trace.h"

enum { PRELUDE_MAX = 8 * 1024, HEADER_LONG = 64 * 1024 };

static uint64_t count_lines(struct slice s)
{
    uint64_t n = 0;
    ptrdiff_t at;

    while ((at = slice_find(s, '\n')) >= 0) {
        s = slice_skip(s, (size_t)at + 1);
        n++;
    }
    return n;
}

static bool is_binary(const struct transaction *t)
{
    return t->mail.body == SMTP_BODY_BINARY;
}

/* Everything that is stored passes here. A binary body keeps its CRLF, so its size on the wire is its size. */
static int keep(struct transaction *t, struct slice octets)
{
    /* Many clients say BODY=8BITMIME whatever they send, others never do: what counts is what a next hop gets. */
    if (!t->eight_bit)
        t->eight_bit = !ascii_only(octets);
    t->wire_size += octets.n + (is_binary(t) ? 0 : count_lines(octets));
    return body_store_push(t->store, octets);
}

/* The header is handled with LF lines; a binary message is stored with CRLF throughout. */
static int keep_lines(struct transaction *t, struct slice lines)
{
    struct slice line;

    t->header_utf8 = t->header_utf8 || !ascii_only(lines);
    if (!is_binary(t))
        return keep(t, lines);
    while (slice_cut(&lines, '\n', &line)) {
        TRY(keep(t, line));
        TRY(keep(t, SLICE_LIT("\r\n")));
    }
    return keep(t, line);
}

static int trace_lines(const struct transaction *t, struct buf *out)
{
    struct trace trace = { .helo = t->client->helo,
                           .client = t->client->address,
                           .hostname = t->config->hostname,
                           .with = t->client->with,
                           .tls = t->client->tls,
                           .login = t->client->user != NULL ? t->client->user->name : "",
                           .queue_id = t->queue_id,
                           .recipient = t->only_recipient != NULL ? t->only_recipient : "",
                           .wall_ms = clock_wall_ms() };

    return trace_received(&trace, out);
}

/* RFC 6409 8: submission completes what a mail program or a device forgot. */
static int mend(const struct transaction *t, struct buf *out)
{
    if (t->client->user == NULL && !t->client->submission)
        return 0;
    if (header_find(&t->header, "Date", 0) == NULL) {
        TRY(buf_adds(out, "Date: "));
        TRY(date_rfc5322(clock_wall_ms(), out));
        TRY(buf_addc(out, '\n'));
    }
    if (header_find(&t->header, "Message-ID", 0) == NULL)
        TRY(buf_addf(out, "Message-ID: <%s.%08x@%s>\n", t->queue_id, (unsigned)rand_below(UINT32_MAX),
                     t->config->hostname));
    if (header_find(&t->header, "From", 0) == NULL && t->sender[0] != '\0')
        TRY(buf_addf(out, "From: <%s>\n", t->sender));
    return 0;
}

/* RFC 5321 4.4: the one Return-Path is ours, made at the final delivery. RFC 8601 5: what claims to be our verdict and is
 * not; a filter of ours, which may write it, is in a trusted network. */
static bool is_forged(const struct transaction *t, const struct header_field *field)
{
    struct slice value = slice_skip(field->all, field->name.n);

    if (slice_iis(field->name, "Return-Path"))
        return true;
    if (t->client->trusted || !slice_iis(field->name, "Authentication-Results"))
        return false;
    value = slice_skip(value, (size_t)slice_find(value, ':') + 1);
    return trace_authenticates_as(value, t->config->hostname);
}

static int keep_fields(struct transaction *t)
{
    for (size_t i = 0; i < t->header.count; i++) {
        if (!is_forged(t, &t->header.fields[i]))
            TRY(keep_lines(t, t->header.fields[i].all));
    }
    return keep_lines(t, SLICE_LIT("\n"));
}

static int keep_header(struct transaction *t)
{
    struct buf prelude;
    int code;

    buf_init(&prelude, PRELUDE_MAX);
    code = trace_return_path(t->sender, &prelude);
    if (code == 0)
        code = keep_lines(t, buf_slice(&prelude));
    t->trace_at = (uint32_t)body_store_size(t->store);
    buf_reset(&prelude);
    if (code == 0)
        code = trace_lines(t, &prelude);
    if (code == 0)
        code = mend(t, &prelude);
    if (code == 0)
        code = keep_lines(t, buf_slice(&prelude));
    buf_clear(&prelude);
    if (code == 0)
        code = keep_fields(t);
    t->header_size = (uint32_t)body_store_size(t->store);
    if (code == 0 && t->header.spill.n > 0) /* a body that began without the empty line before it */
        code = keep(t, t->header.spill);
    return code;
}

/* A header under way is memory like a body, so that sessions that send long ones are bounded together. */
static void count_header(struct transaction *t)
{
    t->flow->body_octets -= t->header_octets;
    t->header_octets = t->header.text.cap;
    t->flow->body_octets += t->header_octets;
}

void transaction_clear_header(struct transaction *t)
{
    header_clear(&t->header);
    count_header(t);
}

static int header_ended(struct transaction *t)
{
    int code = 0;

    t->header_done = true;
    (void)stages_run(t, stages_header, &t->header_verdict, NULL); /* header stages never wait */
    if (verdict_is_ok(&t->header_verdict))
        code = keep_header(t);
    transaction_clear_header(t);
    return code;
}

static void refuse_header(struct transaction *t, const struct verdict *v)
{
    t->header_done = true;
    t->header_verdict = *v;
    transaction_clear_header(t);
}

static void refuse_large_header(struct transaction *t)
{
    struct verdict v = verdict_by(verdict_make(552, "5.3.4", "The header is too large"), "header-size", 0);

    refuse_header(t, &v);
}

/* False: there is no memory for more of it now. Long headers, which hardly anybody sends, have half of it, so that they
 * do not keep out the others. */
static bool has_room(struct transaction *t)
{
    uint64_t most = t->config->limits.memory;
    struct verdict v;

    count_header(t);
    if (t->header_octets > HEADER_LONG)
        most /= 2;
    if (t->flow->body_octets < most)
        return true;
    v = verdict_by(verdict_make(452, "4.3.1", "Too many messages under way; try again later"), "limits.memory", 0);
    refuse_header(t, &v);
    return false;
}

int transaction_end_header(struct transaction *t)
{
    if (t->header_done)
        return 0;
    if (header_end(&t->header) == 0)
        return header_ended(t);
    refuse_large_header(t);
    return 0;
}

static int push_header(struct transaction *t, struct slice *in)
{
    size_t used = 0;
    int r = header_push(&t->header, *in, &used);

    if (r < 0) {
        refuse_large_header(t);
        return 0;
    }
    if (r == MORE && !has_room(t))
        return 0;
    *in = slice_skip(*in, used);
    return r == DONE ? header_ended(t) : 0;
}

static int push(void *to, struct slice in)
{
    struct transaction *t = to;

    if (!t->header_done)
        TRY(push_header(t, &in));
    if (!t->header_done || !verdict_is_ok(&t->header_verdict) || in.n == 0)
        return 0; /* what is refused at the end need not be kept */
    return keep(t, in);
}

struct sink transaction_sink(struct transaction *t)
{
    return (struct sink){ push, t };
}
