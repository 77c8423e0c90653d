/* The survey of a message, and the plan that it makes. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "mime_priv.h"
#include "seven_bit_priv.h"

#include <errno.h>

/* A boundary of so many octets fits a line with what stands around it; 70 are allowed (RFC 2046 section 5.1.1). */
enum { BOUNDARY_MAX = MIME_LINE - 8, FIELDS_ADDED = 120 /* octets, about */ };

void seven_bit_init(struct seven_bit *s)
{
    *s = (struct seven_bit){ 0 };
    buf_init(&s->decoded, 2 * SEVEN_BIT_BLOCK);
    mime_init(&s->mime, true);
    mime_survey(&s->mime);
}

void seven_bit_clear(struct seven_bit *s)
{
    mime_clear(&s->mime);
    buf_clear(&s->decoded);
    mem_free(s->steps);
    *s = (struct seven_bit){ 0 };
}

void seven_bit_survey(struct seven_bit *s, struct slice octets)
{
    s->size += octets.n;
    (void)mime_push(&s->mime, octets);
}

/* ---- what stands against it ---- */

static bool is_unfit(const struct mime_unfit *u)
{
    return u->octets > 0 || u->lines || u->words;
}

static bool is_leaf(const struct mime_part *part)
{
    return !part->multipart && !part->message;
}

/* The next part in the order of the message; *depth is its depth after it. */
static const struct mime_part *next_part(const struct mime_part *part, unsigned *depth)
{
    if (part->first != NULL) {
        ++*depth;
        return part->first;
    }
    while (part != NULL && part->next == NULL) {
        part = part->parent;
        --*depth;
    }
    return part != NULL ? part->next : NULL;
}

static bool has_unfit_parts(const struct seven_bit *s)
{
    unsigned depth = 0;

    for (const struct mime_part *p = s->mime.root; p != NULL; p = next_part(p, &depth))
        if (is_unfit(&p->header_unfit) || is_unfit(&p->body_unfit))
            return true;
    return false;
}

static bool has_bad_boundary(const struct mime_part *part)
{
    struct slice text = part->multipart ? mime_boundary(part) : (struct slice){ 0 };

    return text.n > BOUNDARY_MAX || !ascii_only(text) || slice_find(text, '\0') >= 0;
}

/* Its text would be taken for a preamble, and lost. */
static bool has_no_parts(const struct mime_part *part)
{
    return part->multipart && is_unfit(&part->body_unfit) && part->first->header_at == part->end;
}

/* RFC 2046 sections 5.2.2 and 5.2.3: always 7bit. */
static bool is_fragment(const struct mime_part *part)
{
    return is_leaf(part) && slice_iis(part->type, "message") && is_unfit(&part->body_unfit) &&
           (slice_iis(part->subtype, "partial") || slice_iis(part->subtype, "external-body"));
}

static const char *obstacle_of(const struct mime_part *part, unsigned depth)
{
    bool whole = part->parent == NULL;

    if (part->header_unfit.octets > 0)
        return whole ? "its header has 8-bit characters" : "the header of one of its parts has 8-bit characters";
    if (part->header_unfit.words || mime_wire_header(part) >= MIME_HEADER)
        return whole ? "its header has an endless line" : "the header of one of its parts has an endless line";
    if (has_bad_boundary(part))
        return "the boundary of a multipart is too long or not ASCII";
    if (has_no_parts(part))
        return "the boundary of a multipart is nowhere in it";
    if (is_fragment(part))
        return "it holds a fragment of a message (message/partial or message/external-body)";
    if (depth + 1 >= MIME_DEPTH && is_unfit(&part->body_unfit))
        return "its parts are nested too deeply";
    return NULL;
}

static const char *find_obstacle(const struct seven_bit *s)
{
    unsigned depth = 0;

    if (s->mime.parts >= MIME_PARTS || mime_is_full(&s->mime.arena))
        return "it has too many parts";
    for (const struct mime_part *p = s->mime.root; p != NULL; p = next_part(p, &depth)) {
        const char *obstacle = obstacle_of(p, depth);

        if (obstacle != NULL)
            return obstacle;
    }
    return NULL;
}

/* ---- the plan ---- */

static void add_step(struct seven_bit *s, struct seven_bit_step step)
{
    if (s->count == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 16;
        s->steps = mem_resize(s->steps, s->room * sizeof *s->steps);
    }
    s->steps[s->count++] = step;
}

static bool is_encoded(const struct mime_part *part)
{
    return part->coding == MIME_QUOTED_PRINTABLE || part->coding == MIME_BASE64;
}

/* Reports about mail (message/delivery-status) are texts; so are headers of messages as a part. */
static enum mime_encoding coding_for(const struct mime_part *part)
{
    bool text = slice_iis(part->type, "text") || slice_iis(part->type, "message");

    return text ? MIME_QUOTED_PRINTABLE : MIME_BASE64;
}

static void plan_part(struct seven_bit *s, const struct mime_part *part)
{
    bool encode = is_leaf(part) && is_unfit(&part->body_unfit);
    bool relabel = (part->coding == MIME_8BIT || part->coding == MIME_BINARY) && part->end > part->body_at;
    enum mime_encoding coding = encode ? coding_for(part) : MIME_7BIT;

    add_step(s, (struct seven_bit_step){ .at = part->header_at,
                                         .kind = STEP_HEADER,
                                         .labelled = encode || relabel,
                                         .label = (unsigned char)coding,
                                         .is_text = encode,
                                         .opens_message = part->envelope != NULL });
    add_step(s, (struct seven_bit_step){ .at = part->body_at,
                                         .kind = encode          ? STEP_ENCODE
                                                 : is_leaf(part) ? STEP_AS_IT_IS
                                                                 : STEP_AROUND,
                                         .coding = (unsigned char)coding,
                                         .from = (unsigned char)(is_encoded(part) ? part->coding : MIME_7BIT) });
}

/* What comes behind a part is its multipart's; behind an attached message nothing comes. */
static void plan_end(struct seven_bit *s, const struct mime_part *part)
{
    if (part->parent != NULL && part->parent->multipart)
        add_step(s, (struct seven_bit_step){ .at = part->end, .kind = STEP_AROUND });
}

static void make_steps(struct seven_bit *s)
{
    const struct mime_part *part = s->mime.root;

    while (part != NULL) {
        plan_part(s, part);
        if (part->first != NULL) {
            part = part->first;
            continue;
        }
        plan_end(s, part);
        while (part != NULL && part->next == NULL) {
            part = part->parent;
            if (part != NULL)
                plan_end(s, part);
        }
        part = part != NULL ? part->next : NULL;
    }
}

/* By how much a part grows: what is written for it, and what its header gets. */
static uint64_t growth(const struct mime_part *part)
{
    uint64_t n = part->end - part->body_at;

    if (!is_leaf(part) || !is_unfit(&part->body_unfit))
        return 0;
    if (coding_for(part) == MIME_BASE64)
        return FIELDS_ADDED + n / 19 * 7; /* 57 octets become a line of 78 */
    return FIELDS_ADDED + 2 * part->body_unfit.escapes + (n + 2 * part->body_unfit.escapes) / 24;
}

int seven_bit_plan(struct seven_bit *s, uint64_t *ret_size, struct err *e)
{
    uint64_t size = s->size;
    unsigned depth = 0;

    mime_end(&s->mime);
    if (has_unfit_parts(s)) {
        const char *obstacle = find_obstacle(s);

        if (obstacle != NULL)
            return err_set(e, -EBADMSG, "%s", obstacle);
        make_steps(s);
        for (const struct mime_part *p = s->mime.root; p != NULL; p = next_part(p, &depth))
            size += growth(p);
    }
    mime_clear(&s->mime);
    *ret_size = size;
    return 0;
}
