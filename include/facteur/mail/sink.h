/* facteur: mail/sink: where message octets go next.
 * Purpose:   one link of the push chain that a message's octets run through.
 * Owner:     by value; `to` is borrowed from whoever built the chain.
 * Thread:    the maker's.
 * Limits:    each link's own.
 * Standards: none. */
#ifndef FACTEUR_MAIL_SINK_H
#define FACTEUR_MAIL_SINK_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

struct sink {
    int (*push)(void *to, struct slice octets); /* 0 or negative; after a failure no more comes */
    void *to;
};

static inline int MUST_USE sink_push(const struct sink *s, struct slice octets)
{
    return s->push(s->to, octets);
}

#endif
