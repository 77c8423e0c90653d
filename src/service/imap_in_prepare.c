/* What the index keeps of each message, so that a client's first look at a mailbox opens no file twice. */
#include "section_priv.h"

#include "facteur/mail/charset.h"
#include "facteur/mail/date.h"
#include "facteur/mail/text.h"
#include "facteur/mail/words.h"
#include "facteur/proto/imap_write.h"
#include "facteur/service/imap_in.h"
#include "facteur/store/digest.h"
#include "facteur/store/index.h"

#include <errno.h>

enum {
    PREPARED_TEXT = 1024 * 1024, /* octets of an ENVELOPE or BODYSTRUCTURE; a message that would have more is cut */
    PREPARED_KEY = 1024,         /* of a sort key: more does not change an order that a person sees */
    PREPARED_IDS = 64 * 1024,    /* of References */
    PREVIEW_PIECE = 1024
};

static const struct mime_envelope no_envelope;

struct prepare {
    struct arena *arena;
    struct message_file file;
    struct buf out, decoded;
};

/* What has been written to `out`, in the arena. */
static struct slice kept(struct prepare *p)
{
    struct slice s = slice_make(arena_str(p->arena, buf_slice(&p->out)), p->out.n);

    buf_reset(&p->out);
    return s;
}

/* A message with more recipients than fit says fewer of them (RFC 9051 sets no limit; a hostile one makes many of few
 * octets). */
static struct slice envelope_of(struct prepare *p, const struct mime_envelope *e)
{
    struct mime_envelope less = *e;

    if (imap_write_envelope(&p->out, e) == 0)
        return kept(p);
    less.to = less.cc = less.bcc = NULL;
    if (imap_write_envelope(&p->out, &less) < 0)
        (void)!imap_write_envelope(&p->out, NULL);
    return kept(p);
}

static struct slice structure_of(struct prepare *p, const struct mime_part *root)
{
    const struct mime_part opaque = { .type = SLICE_LIT("application"),
                                      .subtype = SLICE_LIT("octet-stream"),
                                      .body_at = root->body_at,
                                      .end = root->end,
                                      .body_bare = root->body_bare };

    if (imap_write_structure(&p->out, root, true) < 0)
        (void)!imap_write_structure(&p->out, &opaque, true);
    return kept(p);
}

/* A little at a time: the first lines are all that is wanted, and what has been read has to be decoded. */
static ssize_t read_source(void *from, void *to, size_t n, uint64_t at)
{
    return message_read(from, to, n < PREVIEW_PIECE ? n : PREVIEW_PIECE, at);
}

static int preview_of(struct prepare *p, const struct mime *m, struct slice *ret)
{
    const struct text_source source = { read_source, &p->file };
    int r = text_preview(m, &source, &p->out);

    if (r == -ENOBUFS)
        r = 0;
    if (r == 0)
        *ret = kept(p);
    return r;
}

static struct slice fold(struct prepare *p, struct slice text)
{
    (void)!charset_fold(slice_head(text, PREPARED_KEY), &p->out);
    return kept(p);
}

static struct slice decode(struct prepare *p, struct slice value)
{
    buf_reset(&p->decoded);
    (void)!words_decode(slice_head(value, PREPARED_KEY), &p->decoded);
    return buf_slice(&p->decoded);
}

/* RFC 5256 section 3: addr-mailbox of the first address. */
static struct slice mailbox_of(struct prepare *p, const struct mime_address *a)
{
    return a != NULL ? fold(p, a->mailbox) : SLICE_LIT("");
}

/* RFC 5957 section 3: its name, or a group's; without one the address. */
static struct slice display_of(struct prepare *p, const struct mime_address *a)
{
    if (a == NULL)
        return SLICE_LIT("");
    if (a->name.n > 0 || a->group_start)
        return fold(p, decode(p, a->group_start ? a->mailbox : a->name));
    buf_reset(&p->decoded);
    (void)!buf_add(&p->decoded, a->mailbox.p, a->mailbox.n);
    (void)!buf_addc(&p->decoded, '@');
    (void)!buf_add(&p->decoded, a->host.p, a->host.n);
    return fold(p, buf_slice(&p->decoded));
}

/* Adds the next "<…>" of a text, without brackets, quotes and white space. False when there is no more. */
static bool next_id(struct prepare *p, struct slice *text)
{
    ptrdiff_t open = slice_find(*text, '<');
    struct slice id;
    size_t start = p->out.n;

    if (open < 0)
        return false;
    *text = slice_skip(*text, (size_t)open + 1);
    if (!slice_cut(text, '>', &id) || p->out.n + id.n + 1 > PREPARED_IDS)
        return false;
    if (start > 0)
        (void)!buf_addc(&p->out, ' ');
    for (size_t i = 0; i < id.n; i++) {
        if (strchr(" \t\r\n\"\\", id.p[i]) == NULL)
            (void)!buf_addc(&p->out, id.p[i]);
    }
    if (p->out.n == start + (start > 0 ? 1 : 0))
        p->out.n = start;
    return true;
}

static void ids_of(struct prepare *p, const struct mime_envelope *e, struct index_prepared *ret)
{
    struct slice text = e->message_id;

    (void)next_id(p, &text);
    ret->message_id = kept(p);
    text = e->references;
    while (next_id(p, &text))
        continue;
    if (p->out.n == 0) { /* RFC 5256 section 3, REFERENCES step 1 */
        text = e->in_reply_to;
        (void)next_id(p, &text);
    }
    ret->references = kept(p);
}

static void sort_keys(struct prepare *p, const struct mime_envelope *e, struct index_prepared *ret)
{
    ret->from = mailbox_of(p, e->from);
    ret->to = mailbox_of(p, e->to);
    ret->cc = mailbox_of(p, e->cc);
    ret->display_from = display_of(p, e->from);
    ret->display_to = display_of(p, e->to);
    (void)!words_base_subject(decode(p, e->subject), &p->out, &ret->reply);
    ret->subject = kept(p);
    ids_of(p, e, ret);
    (void)!date_parse(e->date, &ret->sent_ms); /* else INTERNALDATE, which is there already */
}

static int email_id_of(struct prepare *p, char *to)
{
    struct digest d;
    uint64_t at = 0;

    digest_init(&d);
    while (at < p->file.size) {
        struct slice piece;

        TRY(message_piece(&p->file, at, p->file.size, &piece));
        digest_push(&d, piece);
        at += piece.n;
    }
    digest_end(&d, to);
    return 0;
}

/* The header alone is read apart. */
static int prepare_envelope(struct prepare *p, struct index_prepared *ret)
{
    struct mime m;
    uint64_t at = 0;
    int code = 0;

    mime_init(&m, false);
    while (at < p->file.size && code == 0) {
        struct slice piece;

        code = message_piece(&p->file, at, p->file.size, &piece);
        if (code < 0)
            break;
        at += piece.n;
        if (mime_push(&m, piece) == DONE)
            break;
    }
    mime_end(&m);
    if (code == 0) {
        ret->envelope = envelope_of(p, m.root->envelope != NULL ? m.root->envelope : &no_envelope);
        ret->partial = true;
    }
    mime_clear(&m);
    return code;
}

static int prepare(struct prepare *p, struct index_prepared *ret)
{
    struct index_prepared made = { .sent_ms = ret->sent_ms };
    const struct mime_envelope *e;
    const struct mime *m;

    TRY(message_parse(&p->file, &m));
    e = m->root->envelope != NULL ? m->root->envelope : &no_envelope;
    made.envelope = envelope_of(p, e);
    made.structure = structure_of(p, m->root);
    made.body = SLICE_LIT(""); /* rarely asked for */
    sort_keys(p, e, &made);
    TRY(preview_of(p, m, &made.preview));
    TRY(email_id_of(p, made.email_id));
    *ret = made;
    return 0;
}

int imap_in_prepare(int fd, uint64_t stored, struct arena *a, struct index_prepared *ret)
{
    struct prepare p = { .arena = a };
    int code;

    message_init(&p.file);
    p.file.limits = ret->limits;
    buf_init(&p.out, PREPARED_TEXT);
    buf_init(&p.decoded, 8 * PREPARED_KEY);
    message_open(&p.file, fd, stored);
    code = ret->hasty ? prepare_envelope(&p, ret) : prepare(&p, ret);
    (void)message_release(&p.file); /* it is the index's */
    message_clear(&p.file);
    buf_clear(&p.out);
    buf_clear(&p.decoded);
    return code;
}
