/* What a connection's output may hold: as much as is useful while there is plenty, little of it when clients that do not
 * read have taken most of limits.memory's half. A user's connections have at most half of what is left, so that there is
 * something for the next. */
#include "facteur/service/peer.h"

#include "facteur/base/clock.h"

enum {
    SLICES = 16,         /* so many of a size must fit into what is left */
    BEGIN_MS = 30 * 1000 /* an answer does not wait longer to begin */
};

static uint64_t share(const struct peer *p)
{
    return p->config->limits.memory / 2;
}

static uint64_t room_left(const struct peer *p)
{
    uint64_t used = peers_flow(p->peers)->output.octets, mine = account_output(p->account)->octets;
    uint64_t left = used < share(p) ? share(p) - used : 0;

    return mine < left ? left - mine : 0;
}

size_t peer_slice(const struct peer *p)
{
    uint64_t n = room_left(p) / SLICES;

    return n < PEER_SLICE_LEAST ? PEER_SLICE_LEAST : n < PEER_SLICE ? (size_t)n : PEER_SLICE;
}

void peer_count_output(struct peer *p, size_t octets)
{
    if (p->account != NULL)
        meter_set(account_output(p->account), &p->metered, octets);
}

/* One that needs more than all this goes on alone, when the others have gone. */
enum peer_turn peer_take_turn(struct peer *p, uint64_t need)
{
    uint64_t left = room_left(p);
    int64_t now_ms = clock_mono_ms();

    if (left >= need || left >= share(p) / 4) {
        p->turn_by_ms = 0;
        return TURN_COME;
    }
    if (p->turn_by_ms == 0)
        p->turn_by_ms = now_ms + BEGIN_MS;
    if (now_ms < p->turn_by_ms)
        return TURN_AHEAD;
    p->turn_by_ms = 0;
    return TURN_OVER;
}
