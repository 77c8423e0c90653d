/* facteur: mail/body: where a message ends, and whether its lines are lines.
 * Purpose:   takes the octets after DATA or BDAT, finds the end, removes dot-stuffing, gives lines on with LF alone
 *            (the form of spool and Maildir), and finds what is not allowed. Framing and line rule are one machine,
 *            because a dot only counts after a true CRLF.
 * Owner:     embedded in the session by value; holds no memory.
 * Thread:    the loop's.
 * Limits:    line length and message size are given at the start; after a defect the octets are counted, not kept.
 * Standards: RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2; RFC 3030 (BDAT, BINARYMIME). */
#ifndef FACTEUR_MAIL_BODY_H
#define FACTEUR_MAIL_BODY_H

#include "facteur/base/buf.h"
#include "facteur/mail/sink.h"

enum body_framing {
    BODY_DOT,   /* DATA: lines until CRLF.CRLF */
    BODY_CHUNK, /* BDAT: as many octets as said, text lines */
    BODY_BINARY /* BDAT with BODY=BINARYMIME: octets as they are, CRLF kept, NUL and bare CR or LF allowed */
};

enum body_defect { /* the first one found; the message is refused with its text */
                   BODY_GOOD,
                   BODY_BARE_CR,
                   BODY_BARE_LF,
                   BODY_NUL,
                   BODY_LONG_LINE,
                   BODY_TOO_BIG,
                   BODY_SINK_FAILED /* sink_code says how */
};

struct body_limits {
    uint64_t size; /* octets as on the wire after unstuffing; 0: no limit */
    uint32_t line; /* octets with CRLF; 0: no limit */
    bool fix_bare; /* a bare LF or CR becomes a line end (old devices in trusted networks); never ends the message, and
                      a dot after it is text: neither an end nor stuffing */
    bool open_end; /* a last line without CRLF stays so: IMAP gives back what it was given */
};

struct body_in {
    struct body_limits limits;
    struct sink out;
    enum body_framing framing;
    enum body_defect defect;
    int sink_code;
    unsigned state;      /* of the framing machine */
    uint64_t chunk_left; /* of this BDAT chunk */
    uint64_t wire_size;  /* octets of the message so far, with CRLF, unstuffed */
    uint64_t lines;
    uint32_t line_now; /* octets in the line so far */
};

void body_in_init(struct body_in *b, enum body_framing framing, const struct body_limits *limits, struct sink out);

/* A further BDAT chunk of n octets. */
void body_in_chunk(struct body_in *b, uint64_t n);

/* Takes octets; *ret_used says how many belonged to the message (or chunk). DONE at CRLF.CRLF or the chunk's end, else
 * MORE. Never fails: a defect is noted and the rest is still consumed to its end. */
enum progress body_in_push(struct body_in *b, struct slice in, size_t *ret_used);

/* At the end of the last chunk (BDAT LAST): notes a text that ends inside a CRLF; completes a last line without one
 * unless open_end. */
void body_in_finish(struct body_in *b);

/* The other way: LF lines to the wire. Writes CRLF, stuffs dots when `dot` (DATA), never the final dot. A stored CRLF
 * stays one line end, and a stored bare CR becomes one. Keeps what it must remember between calls in *state (starts at
 * 0). -ENOBUFS: nothing taken, drain `out` first; it asks for room for two octets more a line. */
int body_out(unsigned *state, struct slice in, bool dot, struct buf *out) MUST_USE;

/* Whether the last line that body_out wrote has no line end yet: CRLF must come before the final dot. */
static inline bool body_out_in_line(unsigned state)
{
    return state == 1;
}

#endif
