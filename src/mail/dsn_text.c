#include "dsn_priv.h"
#include "facteur/base/codec.h"
#include "facteur/mail/header.h"
#include "facteur/mail/trace.h"

#include <errno.h>

/* What the worst action means, in the subject's and the first paragraph's words. */
static const struct {
    const char *opening, *to;
} about[] = {
    [DSN_FAILED] = { "Your message could not be delivered, and will not be tried again.", "It was not delivered to:" },
    [DSN_DELAYED] = { "Your message has not been delivered yet. The server keeps trying; you need not send it again.",
                      "It still waits for:" },
    [DSN_DELIVERED] = { "Your message was delivered.", "It was delivered to:" },
    [DSN_RELAYED] = { "Your message was passed on to a server that sends no confirmations of delivery.",
                      "It was passed on for:" },
    [DSN_EXPANDED] = { "Your message was passed on to the members of a list.", "It was passed on for:" },
};

/* What the sender can do, by the end of the status code (RFC 3463); the first prefix that fits. */
static const struct {
    const char *status, *advice;
} advices[] = {
    { ".1.1", "There is no such mailbox there. Check the address for a typing error." },
    { ".1.2", "The part of the address after the @ is not known. Check it for a typing error." },
    { ".1.3", "The address is not written as an address must be. Check it for a typing error." },
    { ".1.10", "That domain takes no mail. Check the part of the address after the @." },
    { ".1", "Check the address for a typing error." },
    { ".2.2", "The mailbox is full. Reach the person in another way, or try again later." },
    { ".2.3", "The message is larger than this mailbox takes. Send it smaller, or as a link." },
    { ".2", "The mailbox takes no mail at present. Reach the person in another way." },
    { ".3.4", "The message is larger than the server takes. Send it smaller, or as a link." },
    { ".4.6", "The message went round in a circle between servers. Tell the postmaster of the recipient's domain." },
    { ".4.7", "The recipient's server could not be reached for too long. Try again later, or in another way." },
    { ".4", "The recipient's server could not be reached. Nothing is wrong with your message." },
    { ".6", "The recipient's server cannot take a message of this form." },
    { ".7", "The recipient's server does not want this message. Ask the recipient, or its postmaster, why." },
};

static const char *advice_for(const char *status)
{
    struct slice class_less = slice_str(status);

    class_less = slice_skip(class_less, 1);
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        size_t n = strlen(advices[i].status);

        if (slice_istarts(class_less, advices[i].status) && (class_less.n == n || class_less.p[n] == '.'))
            return advices[i].advice;
    }
    return NULL;
}

static int add_reason(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    char reply[DSN_WORDS_MAX + 1];

    if (r->reply == NULL || r->reply[0] == '\0')
        return 0;
    if (r->remote == NULL) {
        TRY(buf_adds(out, "    The reason:\n      "));
    } else {
        TRY(buf_adds(out, r->ours ? "    The reason (at host " : "    The server "));
        TRY(dsn_words(r->remote, "    ", false, out));
        TRY(buf_adds(out, r->ours ? "):\n      " : " said:\n      "));
    }
    TRY(dsn_words(dsn_reply(d, r, reply), "      ", true, out));
    return buf_addc(out, '\n');
}

static int add_recipient(const struct dsn *d, const struct dsn_recipient *r, struct buf *out)
{
    const char *advice = advice_for(r->status);

    TRY(buf_adds(out, "\n  "));
    TRY(dsn_words(r->address, "  ", true, out));
    TRY(buf_addc(out, '\n'));
    TRY(add_reason(d, r, out));
    if (r->action == DSN_FAILED && advice != NULL)
        TRY(buf_addf(out, "    What you can do:\n      %s\n", advice));
    if (r->action == DSN_DELAYED && r->retry_until_ms > 0) {
        TRY(buf_adds(out, "    It will be tried until "));
        TRY(date_rfc5322(r->retry_until_ms, out));
        TRY(buf_addc(out, '\n'));
    }
    return 0;
}

/* All recipients with this action, under one heading. `left` counts down over the whole text. */
static int add_group(const struct dsn *d, enum dsn_action action, size_t *left, struct buf *out)
{
    bool any = false;

    for (size_t i = 0; i < d->count; i++) {
        if (d->recipients[i].action != action)
            continue;
        if (*left == 0)
            return 0;
        if (!any)
            TRY(buf_addf(out, "\n%s\n", about[action].to));
        any = true;
        --*left;
        TRY(add_recipient(d, &d->recipients[i], out));
    }
    return 0;
}

/* "Subject: …" of the original where it can be read as it stands. */
static int add_original_field(const struct header *h, const char *name, struct buf *out)
{
    const struct header_field *f = header_find(h, name, 0);
    struct buf value;
    int code = 0;

    if (f == NULL)
        return 0;
    buf_init(&value, LIMIT_HEADER_FIELD);
    if (header_value(f, &value) == 0 && value.n > 0 && ascii_only(buf_slice(&value)) &&
        strstr(buf_cstr(&value), "=?") == NULL) {
        code = buf_addf(out, "  %s: ", name);
        if (code == 0)
            code = dsn_words(buf_cstr(&value), "    ", false, out);
        if (code == 0)
            code = buf_addc(out, '\n');
    }
    buf_clear(&value);
    return code;
}

static int add_original(const struct dsn *d, struct buf *out)
{
    struct header h;
    size_t used;
    int code;

    header_init(&h);
    code = header_push(&h, d->original, &used);
    if (code == MORE)
        code = header_end(&h);
    if (code == 0)
        code = buf_adds(out, "\nThe message:\n\n");
    if (code == 0)
        code = add_original_field(&h, "Subject", out);
    if (code == 0)
        code = add_original_field(&h, "Date", out);
    if (code == -EMSGSIZE)
        code = 0; /* a header over our limits is not quoted */
    if (code == 0)
        code = buf_addf(out, "  Queue id: %s\n", d->queue_id);
    header_clear(&h);
    return code;
}

int dsn_text(const struct dsn *d, struct buf *out)
{
    static const enum dsn_action order[] = { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };
    size_t left = DSN_TEXT_RECIPIENTS;

    TRY(buf_addf(out, "This is the mail server %s.\n\n", d->hostname));
    TRY(dsn_words(about[dsn_worst(d)].opening, "", false, out));
    TRY(buf_addc(out, '\n'));
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        TRY(add_group(d, order[i], &left, out));
    if (d->count > DSN_TEXT_RECIPIENTS)
        TRY(buf_addf(out, "\n  and %zu more, which the technical report below lists.\n",
                     d->count - DSN_TEXT_RECIPIENTS));
    TRY(add_original(d, out));
    return buf_addf(out, "\nFor help, forward this whole message to <postmaster@%s>.\n", d->hostname);
}
