/* facteur: proto/talk_priv: input that is kept, and output that gathers, of a dialogue that is fed and asked by turns.
 * Purpose:   smtp_server and imap_server: while one of their public functions runs, `now` is all input that has not been
 *            consumed, and replies go into an outbox on the stack, so that an idle session holds no memory for either.
 * Owner:     struct talk_input is embedded by value: talk_clear frees. struct talk_outbox lives in the public function.
 * Thread:    the loop's.
 * Limits:    `kept`'s maximum, given to talk_init; TALK_OUTBOX.
 * Standards: none. */
#ifndef FACTEUR_PROTO_TALK_PRIV_H
#define FACTEUR_PROTO_TALK_PRIV_H

#include "facteur/base/buf.h"

struct talk_input {
    struct slice now; /* what is not consumed yet; valid from talk_feed or talk_resume to talk_keep */
    struct buf kept;  /* the same between two calls, from kept_at on */
    size_t kept_at;
};

void talk_init(struct talk_input *t, size_t max);
void talk_clear(struct talk_input *t);
/* Begins a turn with new octets (borrowed until talk_keep) behind those that were kept. -ENOBUFS: more than can be kept. */
int talk_feed(struct talk_input *t, struct slice octets) MUST_USE;
void talk_resume(struct talk_input *t); /* begins a turn without new ones */
/* Ends a turn: what was not consumed is kept; when all was, no memory is. -ENOBUFS: more than can be kept. */
int talk_keep(struct talk_input *t) MUST_USE;

enum { TALK_OUTBOX = 4096 /* replies of one turn that leave together */ };

struct talk_outbox {
    void (*send)(void *world, struct slice octets);
    void *world;
    size_t n;
    char p[TALK_OUTBOX];
};

void talk_open(struct talk_outbox *o, void (*send)(void *world, struct slice octets), void *world);
void talk_put(struct talk_outbox *o, const char *text, size_t n);
void talk_flush(struct talk_outbox *o);

#endif
