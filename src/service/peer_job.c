/* Work in a user's account on behalf of a connection. */
#include "facteur/service/peer.h"

struct account *peer_open_account(const struct peer *p)
{
    const struct conf_user *user = p->client.user;

    return account_open(peers_flow(p->peers)->mailboxes, user->name, user->quota);
}

void peer_start_job(struct peer *p, struct account_job *j)
{
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

    if (j == NULL)
        return false;
    p->paused = NULL;
    peer_deadline(p, 0);
    peer_start_job(p, j);
    return true;
}
