/* facteur: proto/imap_write: how answers are spelled.
 * Purpose:   strings, dates, flags, ENVELOPE, BODYSTRUCTURE and the like as IMAP says them; nothing that a message
 *            contains can end a string or a line before its time.
 * Owner:     writes into the caller's buf.
 * Thread:    any (most of it runs in jobs).
 * Limits:    the buf's maximum: -ENOBUFS and the buf is as it was.
 * Standards: RFC 9051 sections 7 and 9; RFC 3501 where a client has not enabled IMAP4rev2. */
#ifndef FACTEUR_PROTO_IMAP_WRITE_H
#define FACTEUR_PROTO_IMAP_WRITE_H

#include "facteur/base/ranges.h"
#include "facteur/mail/mime.h"

/* Quoted when that is possible (7-bit, no CR, LF, NUL), else a literal; NULs become U+FFFD's place-holder "?". */
int imap_write_string(struct buf *out, struct slice s) MUST_USE;
int imap_write_nstring(struct buf *out, struct slice s) MUST_USE;                    /* NIL for p NULL */
int imap_write_astring(struct buf *out, struct slice s) MUST_USE;                    /* an atom when possible */
int imap_write_mailbox(struct buf *out, struct slice utf8_name, bool utf8) MUST_USE; /* modified UTF-7 unless `utf8` */
int imap_write_number(struct buf *out, uint64_t n) MUST_USE;

/* "(\Seen $Forwarded work)": bits as enum mailbox_flag of store/mailbox; keyword n's name is names[n]. */
int imap_write_flags(struct buf *out, uint8_t flags, uint64_t keywords, const char *const *names, unsigned name_count,
                     bool recent) MUST_USE;
/* "\"17-Jul-1996 02:44:25 +0000\"": always in UTC. */
int imap_write_date(struct buf *out, int64_t wall_ms) MUST_USE;

/* As RFC 9051 7.5.2 has them, with the defaults of Sender and Reply-To. */
int imap_write_envelope(struct buf *out, const struct mime_envelope *e) MUST_USE;
int imap_write_structure(struct buf *out, const struct mime_part *root, bool extended) MUST_USE;

#endif
