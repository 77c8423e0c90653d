/* facteur: proto/imap_parse: the grammar of IMAP commands.
 * Purpose:   one complete command (its lines and literals as they came) to struct imap_command.
 * Owner:     results live in the caller's arena; they may also borrow from `text`, which lives as long.
 * Thread:    any.
 * Limits:    the text's length; IMAP_SEARCH_DEPTH, IMAP_SEARCH_KEYS; 20,000 pieces of a set; no recursion without a
 *            counted depth.
 * Standards: RFC 9051 section 9, 3501 section 9, 2971, 4466, 4731, 5032, 5161, 5182, 5256, 5258, 5464's absence, 5819,
 *            6154, 6855, 7162, 8437's absence, 8474, 8508, 8514, 8970, 9208, 9394, 3516, 3502. */
#ifndef FACTEUR_PROTO_IMAP_PARSE_H
#define FACTEUR_PROTO_IMAP_PARSE_H

#include "facteur/proto/imap_command.h"

/* What one command may hold; 0 in any of these: as much as the parser takes at most (IMAP_SEARCH_DEPTH,
 * IMAP_SEARCH_KEYS, IMAP_SET_PIECES). */
struct imap_parse_limits {
    unsigned search_depth, search_keys, set_pieces;
};

struct imap_parse_options {
    struct imap_parse_limits limits;
    bool names_utf8; /* after ENABLE UTF8=ACCEPT or IMAP4rev2: mailbox names are UTF-8, else modified UTF-7 */
    bool authenticated, selected; /* the state: what is not allowed in it is -EINVAL too */
    unsigned enabled;             /* of enum imap_enable: VANISHED and QRESYNC ask for it */
};

/* `text` is the command with its literals in place ("{5}\r\nhello") and without its last CRLF. 0; -EINVAL with a
 * sentence for the BAD reply; -E2BIG for [TOOBIG] or too deep. ret->tag is set in every case
 * when a tag could be read. APPEND and REPLACE are read up to their first message literal by imap_parse_append. */
int imap_parse(struct slice text, const struct imap_parse_options *o, struct arena *a, struct imap_command *ret,
               struct err *e) MUST_USE;

/* What stands before one message literal of APPEND, MULTIAPPEND or REPLACE: the first call gets the command's text up
 * to and with "{n}", further ones what stands between two literals. 0, -EINVAL … MORE: the literal at the end is the
 * mailbox name and not the message: the text goes on. */
int imap_parse_append(struct slice text, bool first, const struct imap_parse_options *o, struct arena *a,
                      struct imap_command *ret, struct imap_append *ret_item, struct err *e) MUST_USE;

/* "{123}", "{123+}", "~{123}" at the end of a line: true with its parts. -E2BIG is said by *ret_octets = UINT64_MAX. */
bool imap_literal_at_end(struct slice line, uint64_t *ret_octets, bool *ret_nonsync, bool *ret_binary);

/* Whether a command is one of a selected mailbox (RFC 9051 6.4). */
bool imap_is_of_mailbox(enum imap_verb verb);

/* LIST's pattern: "*" and "%" (RFC 9051 6.3.9), separator "/"; time of pattern × name at most. INBOX matches in any
 * case. */
bool imap_pattern_matches(struct slice pattern, struct slice name);

#endif
