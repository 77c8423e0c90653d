/* ENVELOPE and BODYSTRUCTURE. What a message lacks is filled in as Dovecot does it, because clients know that. */
#include "imap_write_priv.h"

static int write_space(struct buf *out)
{
    return buf_addc(out, ' ');
}

/* --- ENVELOPE --- */

/* RFC 9051 7.5.2. An address always has both halves (mail/mime sees to it): a NIL host would make a group of it. */
static int write_address(struct buf *out, const struct mime_address *a)
{
    const struct slice none = { NULL, 0 };

    if (a->group_end)
        return buf_adds(out, "(NIL NIL NIL NIL)");
    if (a->group_start) {
        TRY(buf_adds(out, "(NIL NIL "));
        TRY(imap_write_string(out, a->mailbox));
        return buf_adds(out, " NIL)");
    }
    TRY(buf_addc(out, '('));
    TRY(imap_write_nstring(out, a->name.n > 0 ? a->name : none));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, a->route.n > 0 ? a->route : none));
    TRY(write_space(out));
    TRY(imap_write_string(out, a->mailbox));
    TRY(write_space(out));
    TRY(imap_write_string(out, a->host));
    return buf_addc(out, ')');
}

static int write_addresses(struct buf *out, const struct mime_address *first)
{
    if (first == NULL)
        return buf_adds(out, " NIL");
    TRY(buf_adds(out, " ("));
    for (const struct mime_address *a = first; a != NULL; a = a->next)
        TRY(write_address(out, a));
    return buf_addc(out, ')');
}

static int write_envelope(struct buf *out, const struct mime_envelope *e)
{
    TRY(buf_addc(out, '('));
    TRY(imap_write_nstring(out, e->date));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, e->subject));
    TRY(write_addresses(out, e->from));
    TRY(write_addresses(out, e->sender != NULL ? e->sender : e->from));
    TRY(write_addresses(out, e->reply_to != NULL ? e->reply_to : e->from));
    TRY(write_addresses(out, e->to));
    TRY(write_addresses(out, e->cc));
    TRY(write_addresses(out, e->bcc));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, e->in_reply_to));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, e->message_id));
    return buf_addc(out, ')');
}

int imap_write_envelope(struct buf *out, const struct mime_envelope *e)
{
    static const struct mime_envelope nothing;
    size_t start = out->n;

    return imap_write_all_or_none(out, start, write_envelope(out, e != NULL ? e : &nothing));
}

/* --- BODYSTRUCTURE --- */

/* The grammar ties how a part is said to what it is. */
enum form { FORM_BASIC, FORM_TEXT, FORM_MESSAGE, FORM_MULTIPART };

static enum form form_of(const struct mime_part *p)
{
    if (p->message)
        return FORM_MESSAGE;
    if (p->multipart)
        return FORM_MULTIPART;
    return slice_iis(p->type, "text") ? FORM_TEXT : FORM_BASIC;
}

/* `text`: without a charset it is us-ascii (RFC 2046 4.1.2), and said so. */
static int write_params(struct buf *out, const struct mime_params *params, bool text)
{
    bool charset = false;

    if (params->raw_count == 0 && !text)
        return buf_adds(out, "NIL");
    TRY(buf_addc(out, '('));
    for (size_t i = 0; i < params->raw_count; i++) {
        if (i > 0)
            TRY(write_space(out));
        TRY(imap_write_string(out, params->raw[i].name));
        TRY(write_space(out));
        TRY(imap_write_string(out, params->raw[i].value));
        charset = charset || slice_iis(params->raw[i].name, "charset");
    }
    if (text && !charset) {
        if (params->raw_count > 0)
            TRY(write_space(out));
        TRY(buf_adds(out, "\"charset\" \"us-ascii\""));
    }
    return buf_addc(out, ')');
}

/* The fields that every part but a multipart has: body-type … body-fld-octets. */
static int write_fields(struct buf *out, const struct mime_part *p, enum form form)
{
    TRY(imap_write_string(out, p->type));
    TRY(write_space(out));
    TRY(imap_write_string(out, p->subtype));
    TRY(write_space(out));
    TRY(write_params(out, &p->params, form == FORM_TEXT));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, p->id));
    TRY(write_space(out));
    TRY(imap_write_nstring(out, p->description));
    TRY(write_space(out));
    TRY(p->encoding.n > 0 ? imap_write_string(out, p->encoding) : buf_adds(out, "\"7bit\""));
    TRY(write_space(out));
    return imap_write_number(out, mime_wire_body(p));
}

static int write_languages(struct buf *out, const struct mime_part *p)
{
    if (p->language_count == 0)
        return buf_adds(out, " NIL");
    TRY(buf_adds(out, " ("));
    for (size_t i = 0; i < p->language_count; i++) {
        if (i > 0)
            TRY(write_space(out));
        TRY(imap_write_string(out, p->languages[i]));
    }
    return buf_addc(out, ')');
}

/* body-fld-dsp, body-fld-lang, body-fld-loc. */
static int write_extension(struct buf *out, const struct mime_part *p)
{
    if (p->disposition.p == NULL) {
        TRY(buf_adds(out, " NIL"));
    } else {
        TRY(buf_adds(out, " ("));
        TRY(imap_write_string(out, p->disposition));
        TRY(write_space(out));
        TRY(write_params(out, &p->disposition_params, false));
        TRY(buf_addc(out, ')'));
    }
    TRY(write_languages(out, p));
    TRY(write_space(out));
    return imap_write_nstring(out, p->location);
}

/* What stands before a part's children; of a part without any, all but what ends it. */
static int write_before(struct buf *out, const struct mime_part *p, enum form form)
{
    TRY(buf_addc(out, '('));
    if (form == FORM_MULTIPART)
        return 0;
    TRY(write_fields(out, p, form));
    if (form != FORM_MESSAGE)
        return 0;
    TRY(write_space(out));
    TRY(imap_write_envelope(out, p->first->envelope));
    return write_space(out);
}

static int write_after(struct buf *out, const struct mime_part *p, enum form form, bool extended)
{
    bool multipart = form == FORM_MULTIPART;

    if (multipart) {
        TRY(write_space(out));
        TRY(imap_write_string(out, p->subtype));
    } else if (form == FORM_TEXT || form == FORM_MESSAGE) {
        TRY(write_space(out));
        TRY(imap_write_number(out, p->body_lines));
    }
    if (extended) {
        TRY(write_space(out));
        TRY(multipart ? write_params(out, &p->params, false) : imap_write_nstring(out, p->md5));
        TRY(write_extension(out, p));
    }
    return buf_addc(out, ')');
}

static int write_structure(struct buf *out, const struct mime_part *root, bool extended)
{
    const struct mime_part *p = root;

    for (;;) {
        enum form form = form_of(p);

        TRY(write_before(out, p, form));
        if (form == FORM_MESSAGE || form == FORM_MULTIPART) {
            p = p->first;
            continue;
        }
        TRY(write_after(out, p, form, extended));
        /* Up until there is a sibling. A message's one child has none. */
        while (p != root && p->next == NULL) {
            p = p->parent;
            TRY(write_after(out, p, form_of(p), extended));
        }
        if (p == root)
            return 0;
        p = p->next;
    }
}

int imap_write_structure(struct buf *out, const struct mime_part *root, bool extended)
{
    size_t start = out->n;

    return imap_write_all_or_none(out, start, write_structure(out, root, extended));
}
