#include "mime_priv.h"

enum { FIELD_NAME_MAX = 1000 };

void mime_scratch_init(struct mime_scratch *s)
{
    buf_init(&s->text, SCAN_TEXT_MAX);
    buf_init(&s->comment, SCAN_TEXT_MAX);
    buf_init(&s->more, SCAN_TEXT_MAX);
}

void mime_scratch_clear(struct mime_scratch *s)
{
    buf_clear(&s->text);
    buf_clear(&s->comment);
    buf_clear(&s->more);
}

struct slice mime_keep(struct arena *a, struct slice text)
{
    return (struct slice){ arena_str(a, text), text.n };
}

/* What a field's function gets. */
struct at_hand {
    struct mime_header *header;
    struct mime_part *part;
    struct arena *arena;
    struct mime_scratch *scratch;
    struct scan scan; /* the value */
    struct slice value;
};

static struct slice keep_unfolded(const struct at_hand *f)
{
    buf_reset(&f->scratch->text);
    scan_unfold(f->value, &f->scratch->text);
    return mime_keep(f->arena, buf_slice(&f->scratch->text));
}

static void keep_first(const struct at_hand *f, struct slice *to)
{
    if (to->p == NULL)
        *to = keep_unfolded(f);
}

static void take_version(struct at_hand *f)
{
    f->header->is_mime = true;
}

/* type "/" subtype, which ";" or the end follow. */
static bool scan_type(struct at_hand *f, struct slice *ret_type, struct slice *ret_subtype)
{
    struct buf *type = &f->scratch->text, *subtype = &f->scratch->more;
    struct scan *s = &f->scan;

    buf_reset(type);
    buf_reset(subtype);
    if (scan_cfws(s) != SCAN_MORE || scan_token(s, type) != SCAN_MORE || type->n == 0 || !scan_skip(s, '/'))
        return false;
    if (scan_cfws(s) != SCAN_MORE || scan_token(s, subtype) == SCAN_BROKEN || subtype->n == 0)
        return false;
    if (s->p < s->end && *s->p != ';')
        return false;
    *ret_type = mime_keep(f->arena, buf_slice(type));
    *ret_subtype = mime_keep(f->arena, buf_slice(subtype));
    return true;
}

static void take_type(struct at_hand *f)
{
    f->header->is_mime = true;
    if (f->header->seen_type)
        return;
    f->header->seen_type = true;
    f->header->is_type_valid = scan_type(f, &f->part->type, &f->part->subtype);
    if (f->header->is_type_valid)
        mime_read_params(f->arena, f->scratch, &f->scan, &f->part->params);
}

static void take_encoding(struct at_hand *f)
{
    static const struct {
        const char *name;
        enum mime_encoding coding;
    } known[] = {
        { "7bit", MIME_7BIT },
        { "8bit", MIME_8BIT },
        { "binary", MIME_BINARY },
        { "base64", MIME_BASE64 },
        { "quoted-printable", MIME_QUOTED_PRINTABLE },
    };
    struct buf *token = &f->scratch->text;

    buf_reset(token);
    if (f->part->encoding.p != NULL || scan_cfws(&f->scan) == SCAN_BROKEN || scan_token(&f->scan, token) != SCAN_END ||
        token->n == 0)
        return; /* what is no token says nothing */
    f->part->encoding = mime_keep(f->arena, buf_slice(token));
    f->part->coding = MIME_UNKNOWN_ENCODING;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_iis(f->part->encoding, known[i].name))
            f->part->coding = known[i].coding;
}

static void take_disposition(struct at_hand *f)
{
    struct buf *token = &f->scratch->text;

    buf_reset(token);
    if (f->part->disposition_params.count > 0 || scan_cfws(&f->scan) == SCAN_BROKEN ||
        scan_token(&f->scan, token) == SCAN_BROKEN)
        return; /* one without parameters gives way to the next */
    f->part->disposition = mime_keep(f->arena, buf_slice(token));
    mime_read_params(f->arena, f->scratch, &f->scan, &f->part->disposition_params);
}

/* Counts (items NULL) or keeps the tags. */
static size_t scan_languages(struct at_hand *f, struct slice *items)
{
    struct buf *tag = &f->scratch->text;
    struct scan s = f->scan;
    size_t n = 0;

    if (scan_cfws(&s) != SCAN_MORE)
        return 0;
    for (;;) {
        buf_reset(tag);
        if (scan_atom(&s, tag) == SCAN_BROKEN)
            return n;
        if (items != NULL)
            items[n] = mime_keep(f->arena, buf_slice(tag));
        n++;
        if (!scan_skip(&s, ','))
            return n;
        (void)scan_cfws(&s);
    }
}

static void take_language(struct at_hand *f)
{
    size_t count = f->part->language_count > 0 ? 0 : scan_languages(f, NULL);

    if (count == 0 || mime_is_full(f->arena))
        return;
    f->part->languages = arena_zero(f->arena, count * sizeof *f->part->languages);
    f->part->language_count = scan_languages(f, f->part->languages);
}

static void take_id(struct at_hand *f)
{
    keep_first(f, &f->part->id);
}

static void take_description(struct at_hand *f)
{
    keep_first(f, &f->part->description);
}

static void take_md5(struct at_hand *f)
{
    keep_first(f, &f->part->md5);
}

static void take_location(struct at_hand *f)
{
    keep_first(f, &f->part->location);
}

static void take_date(struct at_hand *f)
{
    f->part->envelope->date = keep_unfolded(f);
}

static void take_subject(struct at_hand *f)
{
    buf_reset(&f->scratch->text);
    scan_squeeze(f->value, &f->scratch->text);
    f->part->envelope->subject = mime_keep(f->arena, buf_slice(&f->scratch->text));
}

static void take_in_reply_to(struct at_hand *f)
{
    f->part->envelope->in_reply_to = keep_unfolded(f);
}

static void take_message_id(struct at_hand *f)
{
    f->part->envelope->message_id = keep_unfolded(f);
}

static void take_references(struct at_hand *f)
{
    keep_first(f, &f->part->envelope->references);
}

/* Lists of several fields with one name are one list: nobody hides an address behind another. */
static void take_list(struct at_hand *f, size_t which, struct mime_address **list)
{
    struct mime_address ***tail = &f->header->tails[which];

    if (*tail == NULL)
        *tail = list;
    *tail = mime_add_addresses(f->arena, f->scratch, f->value, *tail);
}

static void take_from(struct at_hand *f)
{
    take_list(f, 0, &f->part->envelope->from);
}

static void take_sender(struct at_hand *f)
{
    take_list(f, 1, &f->part->envelope->sender);
}

static void take_reply_to(struct at_hand *f)
{
    take_list(f, 2, &f->part->envelope->reply_to);
}

static void take_to(struct at_hand *f)
{
    take_list(f, 3, &f->part->envelope->to);
}

static void take_cc(struct at_hand *f)
{
    take_list(f, 4, &f->part->envelope->cc);
}

static void take_bcc(struct at_hand *f)
{
    take_list(f, 5, &f->part->envelope->bcc);
}

static const struct field {
    struct slice name;
    bool of_envelope;
    void (*take)(struct at_hand *f);
} fields[] = {
    { { "MIME-Version", 12 }, false, take_version },
    { { "Content-Type", 12 }, false, take_type },
    { { "Content-Transfer-Encoding", 25 }, false, take_encoding },
    { { "Content-Disposition", 19 }, false, take_disposition },
    { { "Content-Language", 16 }, false, take_language },
    { { "Content-ID", 10 }, false, take_id },
    { { "Content-Description", 19 }, false, take_description },
    { { "Content-MD5", 11 }, false, take_md5 },
    { { "Content-Location", 16 }, false, take_location },
    { { "Date", 4 }, true, take_date },
    { { "Subject", 7 }, true, take_subject },
    { { "In-Reply-To", 11 }, true, take_in_reply_to },
    { { "Message-ID", 10 }, true, take_message_id },
    { { "References", 10 }, true, take_references },
    { { "From", 4 }, true, take_from },
    { { "Sender", 6 }, true, take_sender },
    { { "Reply-To", 8 }, true, take_reply_to },
    { { "To", 2 }, true, take_to },
    { { "Cc", 2 }, true, take_cc },
    { { "Bcc", 3 }, true, take_bcc },
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value without its last line end and without the white space before it; but of a first line that is nothing else
 * only one octet goes, as Dovecot has it. */
static struct slice value_of(struct slice rest)
{
    size_t n = 0;

    if (rest.n > 0 && rest.p[rest.n - 1] == '\n')
        rest.n -= rest.n > 1 && rest.p[rest.n - 2] == '\r' ? 2 : 1;
    while (n < rest.n && is_blank(rest.p[n]))
        n++;
    if (n > 1 && (n == rest.n || rest.p[n] == '\n' || (rest.p[n] == '\r' && n + 1 < rest.n && rest.p[n + 1] == '\n')))
        n = 1;
    return slice_skip(rest, n);
}

void mime_take_field(struct mime_header *h, struct arena *a, struct mime_scratch *s, struct slice field)
{
    struct at_hand f = { .header = h, .part = h->part, .arena = a, .scratch = s };
    ptrdiff_t colon = slice_find(slice_head(field, FIELD_NAME_MAX + 1), ':');
    struct slice name = slice_head(field, colon > 0 ? (size_t)colon : 0);

    while (name.n > 0 && is_blank(name.p[name.n - 1]))
        name.n--;
    if (name.n == 0 || mime_is_full(a))
        return;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const struct field *known = &fields[i];

        if (known->name.n != name.n || !slice_ieq(known->name, name))
            continue;
        if (known->of_envelope && h->part->envelope == NULL)
            return;
        f.value = value_of(slice_skip(field, (size_t)colon + 1));
        f.scan = (struct scan){ f.value.p, f.value.p + f.value.n, &s->comment };
        known->take(&f);
        return;
    }
}

struct slice mime_boundary(const struct mime_part *part)
{
    const struct slice *decoded = mime_param(&part->params, "boundary");

    for (size_t i = 0; i < part->params.raw_count; i++)
        if (slice_iis(part->params.raw[i].name, "boundary"))
            return part->params.raw[i].value;
    return decoded != NULL ? *decoded : (struct slice){ 0 };
}
