/* facteur: mail/mime: what a message consists of.
 * Purpose:   one streaming parser for everything that looks into messages: BODYSTRUCTURE, ENVELOPE, FETCH of parts,
 *            search, previews. It takes the stored octets (LF or CRLF lines) in pieces of any size and makes a tree of
 *            parts with their places; contents are read later by those places.
 * Owner:     struct mime is embedded by value; the tree and all its slices are in its arena until mime_clear.
 * Thread:    any; one at a time.
 * Limits:    MIME_DEPTH levels and MIME_PARTS parts, or mime_limit's; beyond them a part is opaque (application/octet-stream);
 *            MIME_HEADER octets of header looked at a part (the rest is counted); boundaries of any length, of which
 *            MIME_BOUNDARY octets count; MIME_MEMORY octets of tree, beyond which addresses and parameters are left
 *            out. No recursion; linear in the input.
 * Standards: RFC 2045, 2046, 2183, 2231, 2557, 3282, 1864, 5322, 6532. Broken messages never fail: a missing boundary
 *            ends with its parent, a header without an empty line ends at the next boundary; lines in a header that are
 *            no fields are passed over. Where the RFCs leave open how, it is read as Dovecot 2.3 does. */
#ifndef FACTEUR_MAIL_MIME_H
#define FACTEUR_MAIL_MIME_H

#include "facteur/base/arena.h"
#include "facteur/base/buf.h"

enum {
    MIME_DEPTH = 100,
    MIME_PARTS = 10000,
    MIME_HEADER = 1024 * 1024,
    MIME_BOUNDARY = 2048,
    MIME_LINE = 998, /* octets before the line end; RFC 5322 section 2.1.1 */
    MIME_MEMORY = 32 * 1024 * 1024
};

struct mime_param {
    struct slice name, value; /* the value unquoted, without comments */
};
/* `items`: what a program asks for (mime_param): RFC 2231 pieces joined and decoded to UTF-8 under the plain name, before
 * those that came whole. `raw`: what BODYSTRUCTURE shows: the whole ones in their order, then pieces joined but not
 * decoded under "name*" (or "name" when nothing in them is encoded); pieces with gaps stay single. */
struct mime_params {
    struct mime_param *items, *raw;
    size_t count, raw_count;
};

/* One address of a list; a group's start has only `mailbox` (its name) and group_start, its end only group_end. Texts
 * are as they stand in the message, unquoted and unfolded, encoded words not decoded; white space in names is single.
 * p NULL where there is none; but every address outside of its group's ends has a mailbox and a host, MISSING_MAILBOX
 * and MISSING_DOMAIN (or SYNTAX_ERROR) where the message has none: NIL would make it a group. */
struct mime_address {
    struct mime_address *next;
    struct slice name, route, mailbox, host;
    bool group_start, group_end;
};

/* RFC 9051 7.5.2 ENVELOPE. p NULL: the field is missing. sender and reply_to are as in the message: the defaults are
 * the formatter's. Of several fields with one name all addresses count, else the last field (References: the first). */
struct mime_envelope {
    struct slice date, in_reply_to, message_id; /* unfolded, also with space at their ends */
    struct slice subject;                       /* unfolded, white space single; not decoded */
    struct mime_address *from, *sender, *reply_to, *to, *cc, *bcc;
    struct slice references; /* for THREAD */
};

/* What a transport of 7 bits does not take (RFC 2045 section 2.7): filled in when mime_survey asked for it. */
struct mime_unfit {
    uint64_t octets;  /* above 127, NUL, or a CR alone */
    uint64_t escapes; /* these and what else quoted-printable writes as three octets; fit by themselves */
    bool lines;       /* one is longer than MIME_LINE octets, or ends in an LF alone */
    bool words;       /* only in headers: no fold makes a line short enough */
};

enum mime_encoding { MIME_7BIT, MIME_8BIT, MIME_BINARY, MIME_BASE64, MIME_QUOTED_PRINTABLE, MIME_UNKNOWN_ENCODING };

struct mime_part {
    struct mime_part *parent, *next, *first, *last; /* children: a multipart's parts, or a message's one */
    unsigned children;
    bool multipart;             /* multipart/…; one in which no boundary was found has one empty text/plain part */
    bool message;               /* message/rfc822 or message/global, with `envelope` and one child that is its body */
    struct slice type, subtype; /* as written, or the default (also for an invalid Content-Type, RFC 2045 5.2); of an
                                   opaque part application/octet-stream. charset=us-ascii is the formatter's */
    struct mime_params params;
    struct slice id, description, encoding, md5, location; /* unfolded; p NULL without. The first of its name counts */
    struct slice disposition;                              /* its token; p NULL without */
    struct mime_params disposition_params;
    struct slice *languages;
    size_t language_count;
    enum mime_encoding coding;
    struct mime_envelope
        *envelope; /* of the message that this part's header opens: the root, and children of messages */
    /* Places, in stored octets: the header with its empty line is [header_at, body_at), the body [body_at, end). Sizes
     * on the wire (every line end is CRLF) are these plus the bare LFs. */
    uint64_t header_at, body_at, end;
    uint64_t header_bare, body_bare; /* line ends without CR in header and body: + so many octets on the wire */
    uint64_t body_lines;
    struct mime_unfit header_unfit, body_unfit; /* a multipart's body is here what stands around its parts */
};

/* The root is the first level and the first part; 0: the most there may be. */
struct mime_limits {
    unsigned depth, parts;
};

struct mime_parser;
struct mime {
    struct arena arena;
    struct mime_part *root; /* after mime_end */
    size_t parts;
    struct mime_limits limits;
    bool survey;
    struct mime_parser *parser; /* while it runs */
};

/* `structure` false: only the root's header is looked at (for ENVELOPE alone); mime_push then says DONE at its end, and
 * the root has neither parts nor an end. */
void mime_init(struct mime *m, bool structure);
void mime_clear(struct mime *m);
/* Behind mime_init: header_unfit and body_unfit are wanted, too. */
static inline void mime_survey(struct mime *m)
{
    m->survey = true;
}
/* Behind mime_init: less than MIME_DEPTH levels and MIME_PARTS parts. */
static inline void mime_limit(struct mime *m, struct mime_limits l)
{
    m->limits.depth = l.depth > 0 && l.depth < MIME_DEPTH ? l.depth : MIME_DEPTH;
    m->limits.parts = l.parts > 0 && l.parts < MIME_PARTS ? l.parts : MIME_PARTS;
}
/* MORE, or DONE when nothing more needs to come. Never fails. */
enum progress mime_push(struct mime *m, struct slice octets);
void mime_end(struct mime *m);

/* The part that a section number names (RFC 9051 6.4.5.1: {1, 2} is 1.2; depth 0 is the root), or NULL. The message that
 * a message/rfc822 part contains is its `first`. */
const struct mime_part *mime_find(const struct mime *m, const uint32_t *path, size_t depth);

static inline uint64_t mime_wire_header(const struct mime_part *p)
{
    return p->body_at - p->header_at + p->header_bare;
}
static inline uint64_t mime_wire_body(const struct mime_part *p)
{
    return p->end - p->body_at + p->body_bare;
}

/* A list of addresses, for others who have a header. 0, or -EMSGSIZE for more than MIME_HEADER octets. */
int mime_parse_addresses(struct arena *a, struct slice value, struct mime_address **ret) MUST_USE;

/* A parameter's value, decoded; the name's case is folded. NULL without. */
const struct slice *mime_param(const struct mime_params *params, const char *name);

#endif
