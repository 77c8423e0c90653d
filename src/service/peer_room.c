/* Room for a new connection when there are limits.connections of them (A55). */
#include "peer_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"

static bool does_nothing(const struct peer *p)
{
    const struct peer_protocol *protocol = p->peers->protocol;

    return p->open && p->counted && !p->known && !p->client.trusted && !protocol->is_waiting(p) &&
           (protocol->is_at_work == NULL || !protocol->is_at_work(p));
}

/* Of all protocols. A new connection's own is not there yet. */
static struct peer *oldest_idle(const struct flow *f)
{
    struct peer *oldest = NULL;

    for (const struct peers *s = f->services; s != NULL; s = s->next) {
        LIST_EACH (it, &s->all) {
            struct peer *p = LIST_ENTRY(it, struct peer, link);

            if (!does_nothing(p) || (oldest != NULL && oldest->since_ms <= p->since_ms))
                continue;
            oldest = p;
        }
    }
    return oldest;
}

/* Its place is free at once; its stream takes a little longer. */
static bool make_room(const struct flow *f)
{
    struct peer *p = oldest_idle(f);

    if (p == NULL)
        return false;
    LOG(INFO, "made-room", kv_str("session", p->client.session), kv_str("client", p->client.address),
        kv_num("open_ms", clock_mono_ms() - p->since_ms), kv_str("rule", "limits.connections"));
    counters_disconnect(f->counters, &p->client.ip);
    p->counted = false;
    if (p->in_tls || stream_is_full(p->stream))
        peer_cut(p);
    else
        p->peers->protocol->goodbye(p, "Too many connections, and this one does nothing");
    return true;
}

bool peer_gets_in(struct peer *p)
{
    struct flow *f = p->peers->f;

    if (counters_connect(f->counters, p->config, &p->client.ip, &p->verdict))
        return true;
    if (strcmp(p->verdict.rule, "limits.connections") != 0 || !make_room(f))
        return false;
    p->verdict = verdict_ok("", "%s", "Ok");
    return counters_connect(f->counters, p->config, &p->client.ip, &p->verdict);
}
