/* facteur: service/section_priv: what a section of a message consists of, as octets for the client.
 * Purpose:   BODY[…], BINARY[…] and RFC822…: finds the part, says the literal's length before its first octet, and gives
 *            it out in pieces, so that a message of any size needs the memory of one piece.
 * Owner:     struct message_file holds a file and buffers that are used again for the next one; struct section borrows
 *            from it and holds nothing itself. One section at a time.
 * Thread:    jobs.
 * Limits:    files up to SECTION_WHOLE are read at once, others in pieces of SECTION_PIECE; for a header SECTION_HEAD
 *            octets are read at first; header fields are looked for in the first MIME_HEADER octets of a header.
 * Standards: RFC 9051 section 6.4.5 (sections, partial), RFC 3516 (BINARY). Every line end goes out as CRLF. */
#ifndef FACTEUR_SERVICE_SECTION_PRIV_H
#define FACTEUR_SERVICE_SECTION_PRIV_H

#include "facteur/mail/transfer.h"
#include "facteur/proto/imap_command.h"

#include <sys/types.h>

enum { SECTION_WHOLE = 256 * 1024, SECTION_PIECE = 64 * 1024, SECTION_HEAD = 8 * 1024 };

struct message_file {
    int fd;           /* -1: none */
    uint64_t size;    /* stored octets */
    bool parsed;      /* `mime` is the message's */
    bool has_body_at; /* where the header ends is known: */
    uint64_t body_at;
    uint64_t octets_at; /* where `octets`, which were read last, stand in the file */
    struct buf octets;
    struct buf lines;          /* a piece as lines for the wire, on its way to a decoder */
    struct buf text;           /* what was made of a header, or decoded to be counted */
    struct mime_limits limits; /* of the structure; set behind message_init */
    struct mime mime;
};

void message_init(struct message_file *f);
/* Takes fd over; a file that is open is closed first. Nothing is read yet. */
void message_open(struct message_file *f, int fd, uint64_t size);
void message_close(struct message_file *f);  /* memory stays for the next */
int message_release(struct message_file *f); /* the descriptor, which is not closed then; the memory stays too */
void message_clear(struct message_file *f);
/* The message's structure, parsed when first asked for. */
int message_parse(struct message_file *f, const struct mime **ret) MUST_USE;
int message_head(struct message_file *f) MUST_USE; /* reads the first SECTION_HEAD octets if nothing has been read */
/* What of the file from `at` on has been read already, up to n octets. */
struct slice message_has(const struct message_file *f, uint64_t at, size_t n);
/* Stored octets: up to a piece of those from `at` on and before `end`, borrowed until the next call; or copied, as many
 * as there are up to n (for struct text_source). */
int message_piece(struct message_file *f, uint64_t at, uint64_t end, struct slice *ret) MUST_USE;
ssize_t message_read(struct message_file *f, void *to, size_t n, uint64_t at) MUST_USE;

struct section {
    uint64_t length; /* of the literal */
    bool exists;     /* false: there is no such part; its length is 0 */
    bool binary;     /* may hold NUL: a literal8 */
    /* its own */
    uint64_t at, end; /* stored octets still to be read */
    bool after_cr;    /* the octet before `at` */
    bool decode;
    bool is_text; /* it is the message_file's `text` */
    struct transfer transfer;
    uint64_t skip, left; /* of what is made: not wanted, wanted */
    size_t most;         /* given: octets of a piece; 0: as they come */
};

/* The item is a section, one of RFC822's, or a BINARY one. -EOPNOTSUPP: its encoding is unknown or broken
 * ([UNKNOWN-CTE]). */
int section_find(struct message_file *f, const struct imap_fetch_item *item, struct section *ret) MUST_USE;
/* Adds the next piece. MORE, DONE, or negative: the file is not what it was, and the literal cannot be finished. */
int section_next(struct message_file *f, struct section *s, struct buf *out) MUST_USE;

/* Puts names of fields in the order that section_find needs. */
void section_sort_fields(struct slice *fields, size_t count);

#endif
