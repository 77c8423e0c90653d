#include "facteur/app/cli.h"
#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/flow/chronicle.h"
#include "facteur/flow/remote.h"
#include "facteur/flow/schedule.h"
#include "facteur/flow/space.h"
#include "server_priv.h"

#include <fcntl.h>
#include <unistd.h>

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *stalls_json(const struct server *s)
{
    struct loop_stalls stalls = loop_stalls(s->loop);

    return json_pack("{so,ss,so,so}", "longest_us", number((uint64_t)stalls.longest_us), "longest_what",
                     stalls.longest_what != NULL ? stalls.longest_what : "", "over_50_ms", number(stalls.over_limit),
                     "turns", number(stalls.turns));
}

static json_t *peers_json(struct peers *peers)
{
    const struct peers_stats *stats = peers_stats(peers);

    return json_pack("{so,so,so,so,so}", "open", number(stats->open), "connections", number(stats->connections),
                     "logins", number(stats->logins), "login_failures", number(stats->login_failures), "refused",
                     number(stats->refused));
}

static json_t *mailboxes_json(const struct flow *f)
{
    struct mailboxes_stats m = mailboxes_stats(f->mailboxes);

    return json_pack("{so,so,so,so,so}", "accounts", number(m.accounts), "open", number(m.mailboxes), "views",
                     number(m.views), "arrivals", number(m.arrivals), "rebuilt", number(m.rebuilt));
}

static json_t *mail_json(const struct flow *f)
{
    const struct flow_stats *m = &f->stats;

    return json_pack("{so,so,so,so,so,so,so,so,so,so}", "received", number(m->received), "received_octets",
                     number(m->received_octets), "delivered", number(m->delivered), "relayed", number(m->relayed),
                     "deferred", number(m->deferred), "bounced", number(m->bounced), "refused", number(m->refused),
                     "active", number(schedule_active(f)), "commits", number(m->commits), "commit_batches",
                     number(m->commit_batches));
}

enum { DEAD_MOST = 20 };

static void add_dead(void *ctx, const struct remote_dead *dead)
{
    json_t *list = ctx;

    if (json_array_size(list) < DEAD_MOST)
        (void)json_array_append_new(list, json_pack("{ss,ss,ss,so}", "destination", dead->destination, "host",
                                                    dead->host, "reason", dead->reason, "again_in_s",
                                                    number((uint64_t)dead->again_in_s)));
}

static json_t *relay_json(const struct flow *f)
{
    struct remote_stats r = remote_stats(f->remote);

    json_t *out_of_reach = json_array();

    remote_each_dead(f->remote, add_dead, out_of_reach);
    return json_pack("{so,so,so,so,so}", "waiting", number(r.waiting), "connections", number(r.connections),
                     "destinations", number(r.destinations), "unreachable", number(r.dead), "out_of_reach",
                     out_of_reach);
}

static json_t *dns_json(const struct flow *f)
{
    struct dns_stats d = dns_stats(f->dns);

    return json_pack("{so,so,so,so}", "asked", number(d.asked), "sent", number(d.sent), "from_cache",
                     number(d.from_cache), "failed", number(d.failed));
}

/* The second number of /proc/self/statm, in pages. */
static uint64_t resident_octets(void)
{
    char text[128];
    uint64_t pages = 0;
    struct slice rest, field;
    ssize_t n = -1;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, text, sizeof text);
        (void)close(fd);
    }
    rest = slice_make(text, n > 0 ? (size_t)n : 0);
    (void)slice_cut(&rest, ' ', &field);
    (void)slice_cut(&rest, ' ', &field);
    if (slice_u64(field, UINT32_MAX, &pages) < 0)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

json_t *server_status(void *server)
{
    const struct server *s = server;
    json_t *status =
        json_pack("{ss,si,ss,so,ss}", "version", cli_version(), "pid", (int)getpid(), "config", s->config->file,
                  "uptime_s", number((uint64_t)(clock_wall_ms() - s->started_ms) / 1000), "tls_library", tls_library());

    (void)json_object_set_new(status, "listeners", server_listeners_json(s));
    (void)json_object_set_new(
        status, "confined",
        json_pack("{sb,sb}", "landlock", (int)s->confined.landlock, "seccomp", (int)s->confined.seccomp));
    (void)json_object_set_new(status, "smtp", peers_json(s->smtp));
    (void)json_object_set_new(status, "imap", peers_json(s->imap));
    (void)json_object_set_new(status, "pop3", peers_json(s->pop3));
    (void)json_object_set_new(status, "mailboxes", mailboxes_json(&s->flow));
    (void)json_object_set_new(status, "mail", mail_json(&s->flow));
    (void)json_object_set_new(status, "relay", relay_json(&s->flow));
    (void)json_object_set_new(status, "dns", dns_json(&s->flow));
    (void)json_object_set_new(status, "stalls", stalls_json(s));
    (void)json_object_set_new(status, "memory",
                              json_pack("{so,so,so}", "resident", number(resident_octets()), "bodies",
                                        number(s->flow.body_octets), "output", number(s->flow.output.octets)));
    (void)json_object_set_new(status, "disk_free", number((uint64_t)space_octets(s->flow.space)));
    (void)json_object_set_new(status, "log_lines_dropped", number(log_dropped()));
    (void)json_object_set_new(status, "history_events_lost", number(chronicle_lost(s->flow.chronicle)));
    if (s->tls != NULL)
        (void)json_object_set_new(status, "certificate_ends_s", number((uint64_t)tls_server_expires(s->tls) / 1000));
    return status;
}
