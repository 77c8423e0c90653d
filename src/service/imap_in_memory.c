/* What a session's output may hold (peer_output.c), and which commands wait for their turn. */
#include "imap_in_priv.h"

enum {
    SEARCH_OF_MESSAGE = 48 /* what a search holds of each message of a mailbox */
};

/* What an answer is made from or into may be large. */
static const bool is_large[IMAP_VERB_COUNT] = {
    [IMAP_FETCH] = true,  [IMAP_SEARCH] = true, [IMAP_SORT] = true,
    [IMAP_THREAD] = true, [IMAP_LIST] = true,   [IMAP_LSUB] = true,
};

void imap_in_count(struct imap_session *s)
{
    peer_count_output(&s->peer, s->held + s->out.cap);
}

void imap_in_hold(struct imap_session *s, size_t octets)
{
    s->held = s->command != NULL && octets < PEER_TURN ? PEER_TURN : octets;
    imap_in_count(s);
}

void imap_in_take_slice(struct imap_session *s, struct account_job *j)
{
    j->room = peer_slice(&s->peer);
    imap_in_hold(s, j->room);
}

static uint64_t need_of(const struct imap_session *s)
{
    enum imap_verb verb = s->command->verb;
    bool searches = verb == IMAP_SEARCH || verb == IMAP_SORT || verb == IMAP_THREAD;
    uint64_t n = searches && s->box != NULL ? (uint64_t)s->box->m.count * SEARCH_OF_MESSAGE : 0;

    return n < PEER_TURN ? PEER_TURN : n;
}

enum peer_turn imap_in_take_turn(struct imap_session *s)
{
    enum peer_turn turn;
    uint64_t need;

    if (!is_large[s->command->verb] || s->peer.account == NULL)
        return TURN_COME;
    need = need_of(s);
    turn = peer_take_turn(&s->peer, need);
    if (turn == TURN_COME)
        imap_in_hold(s, (size_t)need);
    return turn;
}

void imap_in_wait_for_memory(struct imap_session *s, void (*resume)(struct imap_session *))
{
    s->resume = resume;
    s->wants_memory = true;
    peer_deadline(&s->peer, PEER_LOOK_AGAIN_MS);
}

bool imap_in_look_again(struct imap_session *s)
{
    if (!s->wants_memory)
        return false;
    s->wants_memory = false;
    imap_in_drained(s);
    return true;
}
