/* facteur: store/dovecot_priv: the UIDs that Dovecot gave.
 * Purpose:   a Maildir that Dovecot has served is adopted with its UIDVALIDITY, UIDs and POP3 UIDLs: dovecot-uidlist is
 *            read once, when a folder has no UIDs of ours; it is never written.
 * Owner:     struct dovecot_uidlist is embedded by value; dovecot_uidlist_clear frees.
 * Thread:    jobs.
 * Limits:    a file of DOVECOT_UIDLIST octets; lines that cannot be right are passed over.
 * Standards: Dovecot's dovecot-uidlist, versions 1 and 3. */
#ifndef FACTEUR_STORE_DOVECOT_PRIV_H
#define FACTEUR_STORE_DOVECOT_PRIV_H

#include "facteur/base/buf.h"

enum { DOVECOT_UIDLIST = 256 * 1024 * 1024, DOVECOT_UIDL = 70 /* RFC 1939 section 7 */ };

struct dovecot_record {
    struct slice name; /* the base of the file's name: without ":2,…" */
    struct slice uidl; /* as a POP3 client knows it; empty: it was made of UIDVALIDITY and UID */
    uint32_t uid;
};

struct dovecot_uidlist {
    uint32_t uidvalidity, uidnext;
    char guid[33];                  /* the mailbox's, in hexadecimal; "" without */
    struct dovecot_record *records; /* by name; each name and each UID once */
    size_t count;
    struct buf text; /* in which the slices are */
};
void dovecot_uidlist_clear(struct dovecot_uidlist *l);

/* Takes the octets of a file, whose memory moves in (text is empty after it, also on failure). -EBADMSG: no header that
 * can be understood. */
int dovecot_uidlist_parse(struct buf *text, struct dovecot_uidlist *ret) MUST_USE;

/* The folder's list. -ENOENT: none; -EBADMSG: nothing that we understand (the caller gives UIDs of its own then). */
int dovecot_uidlist_read(int dir, struct dovecot_uidlist *ret, struct err *e) MUST_USE;

/* The record of a file, by the base of its name; or NULL. */
const struct dovecot_record *dovecot_uidlist_find(const struct dovecot_uidlist *l, struct slice base);

#endif
