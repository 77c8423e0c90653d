/* Work in a user's account on behalf of a connection. */
#include "facteur/service/peer.h"

struct account *peer_open_account(const struct peer *p)
{
    const struct conf_user *user = p->client.user;
    struct account *a = account_open(peers_flow(p->peers)->mailboxes, user->name, user->quota);

    stream_meter(p->stream, account_output(a)); /* until the dialogue ends */
    return a;
}

void peer_start_job(struct peer *p, struct account_job *j)
{
    if (peers_stopping(p->peers) && j->code == MORE && j->reads_only) {
        p->paused = j; /* a long answer is not waited for */
        account_hold(j);
        return;
    }
    account_start(p->account, &p->jobs, j);
}

void peer_hold_job(struct peer *p, struct account_job *j)
{
    p->paused = j;
    account_hold(j);
    peer_deadline(p, p->config->limits.timeout.data); /* who never reads does not keep all this */
}

bool peer_resume_job(struct peer *p)
{
    struct account_job *j = p->paused;

    if (j == NULL || peers_stopping(p->peers))
        return j != NULL;
    p->paused = NULL;
    peer_deadline(p, 0);
    peer_start_job(p, j);
    return true;
}
