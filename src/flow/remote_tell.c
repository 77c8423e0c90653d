/* What the relay says of itself to who asks: with whom a message is under way, and which destinations are out of reach. */
#include "remote_priv.h"

#include <stdio.h>

static int64_t seconds_since(int64_t mono_ms)
{
    return (clock_mono_ms() - mono_ms) / 1000;
}

static void tell_connection(const struct remote_connection *c, char *to, size_t size)
{
    (void)snprintf(to, size, "with %s, waiting for %s since %llds", c->host, session_waits_for(c),
                   (long long)seconds_since(c->since));
}

/* The connection that will take what waits, as far as one is being opened. */
static void tell_line(const struct remote_destination *d, char *to, size_t size)
{
    (void)snprintf(to, size, "waiting for a connection to %s", d->key);
    LIST_EACH (l, (struct link *)&d->connections) {
        const struct remote_connection *c = LIST_ENTRY(l, struct remote_connection, in_list);

        if (c->state == CONNECTION_OPENING) {
            tell_connection(c, to, size);
            return;
        }
    }
}

static bool carries(const struct remote_destination *d, uint64_t id, char *to, size_t size)
{
    LIST_EACH (l, (struct link *)&d->connections) {
        const struct remote_connection *c = LIST_ENTRY(l, struct remote_connection, in_list);

        if (c->work != NULL && c->work->message->id == id) {
            tell_connection(c, to, size);
            return true;
        }
    }
    return false;
}

static bool has_in_line(const struct remote_destination *d, uint64_t id)
{
    LIST_EACH (l, (struct link *)&d->waiting) {
        if (LIST_ENTRY(l, struct remote_work, link)->message->id == id)
            return true;
    }
    return false;
}

bool remote_whereabouts(const struct remote *r, uint64_t id, char *to, size_t size)
{
    LIST_EACH (l, (struct link *)&r->destinations) {
        const struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_all);

        if (carries(d, id, to, size))
            return true;
        if (has_in_line(d, id)) {
            tell_line(d, to, size);
            return true;
        }
    }
    return false;
}

void remote_each_dead(const struct remote *r, void (*fn)(void *ctx, const struct remote_dead *dead), void *ctx)
{
    LIST_EACH (l, (struct link *)&r->destinations) {
        const struct remote_destination *d = LIST_ENTRY(l, struct remote_destination, in_all);

        if (destination_is_dead(d))
            fn(ctx, &(struct remote_dead){ .destination = d->key,
                                           .host = d->dead_host,
                                           .reason = d->dead_reply.text,
                                           .again_in_s = 1 - seconds_since(d->dead_until) });
    }
}
