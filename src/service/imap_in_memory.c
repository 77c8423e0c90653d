/* What a session's output may hold: as much as is useful while there is plenty, little of it when clients that do not
 * read have taken most of limits.memory's half. A user's connections have at most half of what is left, so that there is
 * something for the next. */
#include "imap_in_priv.h"

#include "facteur/base/clock.h"

enum {
    SLICE_LEAST = 16 * 1024,
    TURN = STREAM_HIGH_WATER + 2 * SLICE_LEAST, /* what a command may need when it gets little */
    SLICES = 16,                                /* so many of a size must fit into what is left */
    LOOK_AGAIN_MS = 20,                         /* for one that waits for memory */
    BEGIN_MS = 30 * 1000,                       /* a command does not wait longer to begin */
    SEARCH_OF_MESSAGE = 48                      /* what a search holds of each message of a mailbox */
};

/* What an answer is made from or into may be large. */
static const bool is_large[IMAP_VERB_COUNT] = {
    [IMAP_FETCH] = true,  [IMAP_SEARCH] = true, [IMAP_SORT] = true,
    [IMAP_THREAD] = true, [IMAP_LIST] = true,   [IMAP_LSUB] = true,
};

static uint64_t share(const struct imap_session *s)
{
    return s->peer.config->limits.memory / 2;
}

static uint64_t room_left(const struct imap_session *s)
{
    uint64_t used = peers_flow(s->peer.peers)->output.octets, mine = account_output(s->peer.account)->octets;
    uint64_t left = used < share(s) ? share(s) - used : 0;

    return mine < left ? left - mine : 0;
}

size_t imap_in_slice(const struct imap_session *s)
{
    uint64_t n = room_left(s) / SLICES;

    return n < SLICE_LEAST ? SLICE_LEAST : n < IMAP_OUTPUT ? (size_t)n : IMAP_OUTPUT;
}

void imap_in_count(struct imap_session *s)
{
    if (s->peer.account != NULL)
        meter_set(account_output(s->peer.account), &s->metered, s->held + s->out.cap);
}

void imap_in_hold(struct imap_session *s, size_t octets)
{
    s->held = s->command != NULL && octets < TURN ? TURN : octets;
    imap_in_count(s);
}

void imap_in_take_slice(struct imap_session *s, struct account_job *j)
{
    j->room = imap_in_slice(s);
    imap_in_hold(s, j->room);
}

/* A search of a mailbox that is larger than all this goes on alone, when the others have gone. */
static uint64_t need_of(const struct imap_session *s)
{
    enum imap_verb verb = s->command->verb;
    bool searches = verb == IMAP_SEARCH || verb == IMAP_SORT || verb == IMAP_THREAD;
    uint64_t n = searches && s->box != NULL ? (uint64_t)s->box->m.count * SEARCH_OF_MESSAGE : 0;

    return n < TURN ? TURN : n;
}

enum imap_turn imap_in_take_turn(struct imap_session *s)
{
    uint64_t need, left;
    int64_t now_ms = clock_mono_ms();

    if (!is_large[s->command->verb] || s->peer.account == NULL)
        return TURN_COME;
    need = need_of(s);
    left = room_left(s);
    if (left >= need || left >= share(s) / 4) {
        s->turn_by_ms = 0;
        imap_in_hold(s, (size_t)need);
        return TURN_COME;
    }
    if (s->turn_by_ms == 0)
        s->turn_by_ms = now_ms + BEGIN_MS;
    if (now_ms < s->turn_by_ms)
        return TURN_AHEAD;
    s->turn_by_ms = 0;
    return TURN_OVER;
}

void imap_in_wait_for_memory(struct imap_session *s, void (*resume)(struct imap_session *))
{
    s->resume = resume;
    s->wants_memory = true;
    peer_deadline(&s->peer, LOOK_AGAIN_MS);
}

bool imap_in_look_again(struct imap_session *s)
{
    if (!s->wants_memory)
        return false;
    s->wants_memory = false;
    imap_in_drained(s);
    return true;
}
