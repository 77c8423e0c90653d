/* What a server says: the first octet chooses the host's wishes, 0xff cuts the rest into pieces. */
#include "facteur/proto/smtp_client.h"

#include <errno.h>
#include <stdlib.h>

struct world {
    struct smtp_client *client;
    struct smtp_client_message message;
    struct smtp_client_rcpt rcpts[2];
    unsigned messages, reads;
    bool tls_wanted, derive_wanted, over;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void host_send(void *world, struct slice octets)
{
    (void)world;
    (void)octets;
}
static bool host_is_full(void *world)
{
    return ((struct world *)world)->reads % 3 == 2;
}
static void host_start_tls(void *world)
{
    ((struct world *)world)->tls_wanted = true;
}
static void host_phase(void *world, enum smtp_client_phase phase)
{
    (void)world;
    (void)phase;
}
static void host_derive(void *world, const struct sasl_client *sasl)
{
    (void)sasl;
    ((struct world *)world)->derive_wanted = true;
}
static void host_on_ready(void *world)
{
    struct world *w = world;

    if (w->messages++ == 3) {
        smtp_client_quit(w->client);
        return;
    }
    w->reads = 0;
    w->message.binary = w->messages == 2;
    smtp_client_message(w->client, &w->message);
}
static ssize_t host_read_body(void *world, const char **ret, size_t n)
{
    struct world *w = world;

    (void)n;
    *ret = "Subject: x\n\n.\n";
    return w->reads++ < 4 ? 14 : 0;
}
static void host_on_message(void *world, struct smtp_client_message *m, bool unclear)
{
    (void)world;
    (void)unclear;
    for (size_t i = 0; i < m->count; i++)
        if (m->rcpts[i].reply.code < 200 || m->rcpts[i].reply.code > 599)
            abort(); /* every recipient has an answer */
}
static void host_on_failed(void *world, enum smtp_client_phase at, const struct smtp_client_reply *why)
{
    (void)at;
    if (why->code < 400 || why->code > 599)
        abort();
    ((struct world *)world)->over = true;
}
static void host_on_quit(void *world)
{
    ((struct world *)world)->over = true;
}

static const struct smtp_client_host host = {
    host_send,     host_is_full,   host_start_tls,  host_phase,     host_derive,
    host_on_ready, host_read_body, host_on_message, host_on_failed, host_on_quit,
};

static void events(struct world *w)
{
    static const uint8_t key[32] = { 1 };

    if (w->tls_wanted) {
        w->tls_wanted = false;
        smtp_client_tls_started(w->client);
    }
    if (w->derive_wanted) {
        w->derive_wanted = false;
        smtp_client_derived(w->client, key);
    }
    w->reads++;
    smtp_client_drained(w->client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct world w = { .rcpts = { { .address = "a@x", .notify = SMTP_NOTIFY_DELAY }, { .address = "b@y" } } };
    struct smtp_client_options options = { .helo = "me" };

    if (n == 0)
        return 0;
    options.tls = (enum smtp_client_tls)(data[0] & 3);
    options.user = (data[0] & 4) != 0 ? "user" : NULL;
    options.password = "password";
    w.message = (struct smtp_client_message){ .sender = "s@z", .size = 99, .rcpts = w.rcpts, .count = 2 };
    w.client = smtp_client_new(&options, &host, &w);
    for (size_t at = 1, end; at < n; at = end + 1) {
        for (end = at; end < n && data[end] != 0xff; end++)
            ;
        smtp_client_feed(w.client, slice_make((const char *)data + at, end - at));
        events(&w);
    }
    smtp_client_failed(w.client, "end");
    if (!w.over)
        abort(); /* the host always hears of the end */
    smtp_client_free(&w.client);
    return 0;
}
