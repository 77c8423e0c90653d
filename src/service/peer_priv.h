/* What peer.c (a connection from accept to its end) and peer_room.c (who goes for a new one) share. */
#ifndef FACTEUR_SERVICE_PEER_PRIV_H
#define FACTEUR_SERVICE_PEER_PRIV_H

#include "facteur/service/peer.h"

struct peers {
    struct flow *f;
    struct peers *next; /* of f->services */
    const struct peer_protocol *protocol;
    struct tls_server *tls;
    struct link all;
    uint64_t next_id;
    struct peers_stats stats;
    void (*on_stopped)(void *owner);
    void *owner;
    struct deferred stopped;
    struct timer *hurry;
    bool stopping;
};

void peer_cut(struct peer *p);     /* the dialogue ends, and the stream is closed now */
bool peer_gets_in(struct peer *p); /* the limits let it in, perhaps in another's place; else p->verdict says why not */

#endif
