#include "imap_server_priv.h"

#include <errno.h>

/* "No" to a message: the command is over with it, and its octets are not taken. */
static void refuse(struct imap_server *s, const struct imap_result *r)
{
    const struct imap_work *w = s->work;
    uint64_t limit = s->options.append_limit, octets = w->item.size;
    bool nonsync = w->item_nonsync;

    imap_reply(s, r);
    if (s->ending)
        return;
    imap_refuse_literal(s, octets, nonsync);
    if (nonsync && limit > 0 && octets > limit && !s->ending)
        imap_say_bye(s, "Message is larger than the limit");
}

void imap_append_decided(struct imap_server *s, const struct imap_result *r)
{
    struct imap_work *w = s->work;

    if (r->status != IMAP_OK) {
        refuse(s, r);
        return;
    }
    w->messages++;
    w->left = w->item.size;
    w->sink = s->host->append_body(s->world);
    s->take = imap_take_message;
    if (s->bye != NULL)
        imap_say_bye(s, s->bye);
    else if (!w->item_nonsync)
        imap_puts(s, "+ OK\r\n");
}

/* What the host need not be asked about. */
static bool is_refused(struct imap_server *s, int code, const struct err *e, struct imap_result *ret)
{
    const struct imap_work *w = s->work;
    uint64_t limit = s->options.append_limit;

    if (w->failed)
        *ret = w->failure;
    else if (code < 0)
        *ret = imap_bad("%s", e->text);
    else if (w->item.size == 0)
        *ret = imap_no("", "A message of 0 octets is not stored");
    else if (limit > 0 && w->item.size > limit)
        *ret = imap_no("TOOBIG", "Message is larger than %llu octets", (unsigned long long)limit);
    else
        return false;
    return true;
}

/* The ")" of "UTF8 (" literal8 ")", which stands behind the message. */
static int take_utf8_end(const struct imap_work *w, struct slice *text, struct err *e)
{
    if (w->messages == 0 || !w->item.utf8)
        return 0;
    if (text->n == 0 || text->p[0] != ')')
        return err_set(e, -EINVAL, "Expected )");
    *text = slice_skip(*text, 1);
    return 0;
}

bool imap_announce_message(struct imap_server *s, struct slice text, uint64_t octets, bool nonsync)
{
    struct imap_work *w = s->work;
    struct imap_parse_options o = imap_options_of(s);
    struct imap_result r;
    struct err e = { 0 };
    int code = take_utf8_end(w, &text, &e);

    text = imap_keep(&w->arena, text);
    if (code == 0)
        code = imap_parse_append(text, w->messages == 0, &o, &w->arena, &w->command, &w->item, &e);
    if (code == MORE)
        return false;
    w->line = w->messages == 0 ? text : w->line;
    w->size += text.n;
    w->item.size = octets;
    w->item_nonsync = nonsync;
    buf_clear(&w->text);
    if (is_refused(s, code, &e, &r)) {
        refuse(s, &r);
        return true;
    }
    imap_flush(s);
    s->waiting = OWED_APPEND;
    if (s->host->ask_append(s->world, &w->command, &w->item, &r) == NOW) {
        s->waiting = OWED_NOTHING;
        imap_append_decided(s, &r);
    }
    return true;
}

void imap_append_fail(struct imap_server *s, const struct imap_result *r)
{
    struct imap_work *w = s->work;

    if (w == NULL || w->messages == 0 || w->failed)
        return;
    w->failed = true;
    w->failure = *r;
    w->failure.code_text = NULL;
}

static void push(struct imap_server *s, struct slice octets)
{
    struct imap_work *w = s->work;
    struct imap_result r;
    int code = 0;

    if (w->failed)
        return;
    if (!w->item.binary && slice_find(octets, '\0') >= 0) {
        r = imap_no("CANNOT", "A message with NUL needs a literal8"); /* RFC 9051 4.3 */
        imap_append_fail(s, &r);
        return;
    }
    code = sink_push(&w->sink, octets);
    if (code < 0) {
        r = imap_result_of_error(code);
        imap_append_fail(s, &r);
    }
}

enum progress imap_take_message(struct imap_server *s)
{
    struct imap_work *w = s->work;
    size_t n = s->input.now.n < w->left ? s->input.now.n : (size_t)w->left;

    if (n == 0)
        return MORE;
    push(s, slice_head(s->input.now, n));
    imap_consume(s, n);
    w->left -= n;
    if (w->left > 0)
        return DONE;
    s->take = imap_take_command;
    if (!w->failed)
        s->host->append_end(s->world);
    return DONE;
}

void imap_append_ended(struct imap_server *s, struct slice text)
{
    struct imap_work *w = s->work;
    struct imap_result r = w->failure;
    struct err e = { 0 };
    int code = take_utf8_end(w, &text, &e);

    if (code == 0 && slice_trim(text).n > 0)
        code = err_set(&e, -EINVAL, "Expected a further message, or the end");
    if (code < 0 && !w->failed)
        r = imap_bad("%s", e.text);
    if (code < 0 || w->failed) {
        imap_reply(s, &r);
        return;
    }
    w->messages = 0; /* they are the host's now */
    s->waiting = OWED_RUN;
    imap_flush(s);
    s->host->run(s->world, &w->command);
}
