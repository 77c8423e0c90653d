#include "talk_priv.h"

void talk_init(struct talk_input *t, size_t max)
{
    *t = (struct talk_input){ .kept_at = 0 };
    buf_init(&t->kept, max);
}

void talk_clear(struct talk_input *t)
{
    buf_clear(&t->kept);
}

int talk_feed(struct talk_input *t, struct slice octets)
{
    int r;

    t->now = octets;
    if (t->kept.n == 0)
        return 0;
    if (t->kept_at > 0) /* a line that comes octet by octet is not moved each time */
        buf_drop(&t->kept, t->kept_at);
    t->kept_at = 0;
    r = buf_add(&t->kept, octets.p, octets.n);
    t->now = buf_slice(&t->kept);
    return r;
}

void talk_resume(struct talk_input *t)
{
    t->now = slice_skip(buf_slice(&t->kept), t->kept_at);
}

int talk_keep(struct talk_input *t)
{
    struct slice rest = t->now;

    t->now = slice_make(NULL, 0);
    if (rest.n == 0) {
        buf_clear(&t->kept);
        t->kept_at = 0;
    } else if (t->kept.n > 0) {
        t->kept_at = t->kept.n - rest.n;
    } else {
        return buf_add(&t->kept, rest.p, rest.n);
    }
    return 0;
}

void talk_open(struct talk_outbox *o, void (*send)(void *world, struct slice octets), void *world)
{
    o->send = send;
    o->world = world;
    o->n = 0;
}

void talk_put(struct talk_outbox *o, const char *text, size_t n)
{
    if (n > sizeof o->p - o->n)
        talk_flush(o);
    if (n > sizeof o->p) {
        o->send(o->world, slice_make(text, n));
    } else if (n > 0) {
        memcpy(o->p + o->n, text, n);
        o->n += n;
    }
}

void talk_flush(struct talk_outbox *o)
{
    if (o->n > 0)
        o->send(o->world, slice_make(o->p, o->n));
    o->n = 0;
}
