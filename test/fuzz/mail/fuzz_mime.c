/* Messages: any octets make a tree whose parts lie inside each other, the same whole and in pieces. */
#include "facteur/base/mem.h"
#include "facteur/mail/mime.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void parse(struct mime *m, struct slice message, size_t piece)
{
    mime_init(m, true);
    for (; message.n > 0; message = slice_skip(message, piece))
        require(mime_push(m, slice_head(message, piece)) == MORE);
    mime_end(m);
    require(m->parser == NULL && m->root != NULL);
}

static void require_same(struct slice a, struct slice b)
{
    require((a.p == NULL) == (b.p == NULL) && slice_eq(a, b));
}

static void check_params(const struct mime_params *a, const struct mime_params *b)
{
    require(a->count == b->count && a->raw_count == b->raw_count && a->raw_count >= a->count);
    for (size_t i = 0; i < a->count; i++) {
        require_same(a->items[i].name, b->items[i].name);
        require_same(a->items[i].value, b->items[i].value);
        require(a->items[i].value.p != NULL && mime_param(a, "name") == mime_param(a, "NAME"));
    }
    for (size_t i = 0; i < a->raw_count; i++)
        require_same(a->raw[i].value, b->raw[i].value);
}

static void check_addresses(const struct mime_address *a, const struct mime_address *b)
{
    bool inside = false;

    for (; a != NULL; a = a->next, b = b->next) {
        require(b != NULL && a->group_start == b->group_start && a->group_end == b->group_end);
        require_same(a->name, b->name);
        require_same(a->mailbox, b->mailbox);
        require_same(a->host, b->host);
        require((a->host.p == NULL) == (a->group_start || a->group_end));
        require((a->mailbox.p == NULL) == a->group_end);
        require(a->group_start ? !inside : !a->group_end || inside);
        inside = a->group_start || (inside && !a->group_end);
    }
    require(b == NULL && !inside);
}

static void check_line(struct slice s) /* nothing in it breaks a response */
{
    for (size_t i = 0; i < s.n; i++)
        require(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static void check_envelope(const struct mime_envelope *a, const struct mime_envelope *b)
{
    check_line(a->date);
    check_line(a->subject);
    check_line(a->in_reply_to);
    check_line(a->message_id);
    check_line(a->references);
    require_same(a->subject, b->subject);
    check_addresses(a->from, b->from);
    check_addresses(a->sender, b->sender);
    check_addresses(a->reply_to, b->reply_to);
    check_addresses(a->to, b->to);
    check_addresses(a->cc, b->cc);
    check_addresses(a->bcc, b->bcc);
}

static uint64_t count_bare(struct slice s, uint64_t from, uint64_t to)
{
    uint64_t bare = 0;

    for (uint64_t i = from; i < to; i++)
        bare += s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r');
    return bare;
}

static void check_part(struct slice message, const struct mime_part *a, const struct mime_part *b)
{
    const struct mime_part *before = NULL;
    unsigned children = 0;

    require(a->header_at <= a->body_at && a->body_at <= a->end && a->end <= message.n);
    require(a->header_at == b->header_at && a->body_at == b->body_at && a->end == b->end);
    require(a->header_bare == b->header_bare && a->body_bare == b->body_bare && a->body_lines == b->body_lines);
    require(a->header_bare == count_bare(message, a->header_at, a->body_at));
    require(a->body_bare == count_bare(message, a->body_at, a->end));
    require(a->type.n > 0 && a->subtype.n > 0 && !(a->multipart && a->message));
    require_same(a->type, b->type);
    require_same(a->subtype, b->subtype);
    check_line(a->type);
    check_line(a->subtype);
    check_line(a->id);
    check_line(a->description);
    check_line(a->location);
    check_line(a->md5);
    check_params(&a->params, &b->params);
    check_params(&a->disposition_params, &b->disposition_params);
    require((a->envelope != NULL) == (a->parent == NULL || a->parent->message));
    if (a->envelope != NULL)
        check_envelope(a->envelope, b->envelope);
    for (const struct mime_part *p = a->first; p != NULL; p = p->next, children++) {
        require(p->parent == a && p->header_at >= (before != NULL ? before->end : a->body_at) && p->end <= a->end);
        before = p;
    }
    require(children == a->children && (a->multipart ? children > 0 : children == (a->message ? 1 : 0)));
}

static const struct mime_part *next_part(const struct mime_part *part)
{
    if (part->first != NULL)
        return part->first;
    while (part != NULL && part->next == NULL)
        part = part->parent;
    return part != NULL ? part->next : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime whole, pieces;
    const struct mime_part *a, *b;
    struct slice message;
    uint32_t path[2];
    size_t parts = 0;

    if (size < 1)
        return 0;
    message = (struct slice){ (const char *)data + 1, size - 1 };
    parse(&whole, message, message.n + 1);
    parse(&pieces, message, 1U + data[0] % 64);
    require(whole.parts == pieces.parts);
    for (a = whole.root, b = pieces.root; a != NULL; a = next_part(a), b = next_part(b), parts++) {
        require(b != NULL);
        check_part(message, a, b);
    }
    require(b == NULL && parts == whole.parts);
    path[0] = 1 + data[0] % 3;
    path[1] = 1;
    (void)mime_find(&whole, path, 2);
    mime_clear(&whole);
    mime_clear(&pieces);
    return 0;
}
