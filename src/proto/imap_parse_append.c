#include "imap_parse_priv.h"

#include <errno.h>

/* [~]{n} and nothing behind it. */
static int read_message_literal(struct imap_cursor *x, struct imap_append *item)
{
    bool nonsync;

    item->binary = imap_take_char(x, '~');
    if (!imap_is_at(x, '{') || slice_find(x->in, '}') != (ptrdiff_t)x->in.n - 1 ||
        !imap_literal_at_end(x->in, &item->size, &nonsync, &(bool){ false }) ||
        slice_find(slice_skip(x->in, 1), '{') >= 0)
        return imap_bad_syntax(x, "A message literal is missing");
    if (item->utf8 && !item->binary)
        return imap_bad_syntax(x, "UTF8 needs a literal8"); /* RFC 6855 4 */
    return 0;
}

/* SP [flag-list SP] [date-time SP] literal, or … UTF8 SP "(" literal8 */
static int read_message(struct imap_cursor *x, struct imap_append *item)
{
    struct imap_cursor y;

    TRY(imap_space(x));
    if (imap_is_at(x, '(')) {
        TRY(imap_flag_list(x, &item->flags));
        TRY(imap_space(x));
    }
    if (imap_is_at(x, '"')) {
        item->has_date = true;
        TRY(imap_date_time(x, &item->internal_ms));
        TRY(imap_space(x));
    }
    y = *x;
    if (slice_iis(imap_word(&y), "UTF8")) {
        x->in = y.in;
        item->utf8 = true;
        if ((x->o->enabled & ENABLE_UTF8) == 0)
            return imap_bad_syntax(x, "UTF8 needs ENABLE UTF8=ACCEPT");
        TRY(imap_open(x));
    }
    return read_message_literal(x, item);
}

/* RFC 8508 3.1: one message, by its number or UID. */
static int read_replaced(struct imap_cursor *x)
{
    struct imap_set *set = &x->c->set;

    TRY(imap_space(x));
    TRY(imap_set(x, set));
    if (set->saved || set->count != 1 || set->pieces[0].from != set->pieces[0].to)
        return imap_bad_syntax(x, "REPLACE takes one message");
    return 0;
}

int imap_parse_append(struct slice text, bool first, const struct imap_parse_options *o, struct arena *a,
                      struct imap_command *ret, struct imap_append *ret_item, struct err *e)
{
    struct imap_cursor x = { .in = text, .o = o, .a = a, .c = ret, .e = e };
    struct imap_append item = { .size = 0 };

    if (first) {
        *ret = (struct imap_command){ 0 };
        TRY(imap_parse_head(&x));
        if (ret->verb == IMAP_REPLACE)
            TRY(read_replaced(&x));
        else if (ret->verb != IMAP_APPEND)
            return imap_bad_syntax(&x, "Only APPEND and REPLACE take messages");
        TRY(imap_space(&x));
        if (imap_is_at(&x, '{') && slice_find(x.in, '\n') < 0)
            return MORE;
        TRY(imap_mailbox(&x, &ret->mailbox));
    } else if (ret->verb == IMAP_REPLACE) {
        return imap_bad_syntax(&x, "REPLACE takes one message");
    }
    TRY(read_message(&x, &item));
    *ret_item = item;
    return 0;
}
