#include "facteur/app/notify.h"

#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/base/slice.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    struct sockaddr_un to;
    socklen_t to_n;      /* 0: nobody wants to know */
    int64_t watchdog_ms; /* how often it is fed; 0: there is none */
    struct timer *watchdog;
    bool stopping;
};

static void read_socket(struct notify *n, const char *name)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length >= sizeof n->to.sun_path)
        return; /* a kind of address that is not for processes on this machine */
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, length);
    if (name[0] == '@')
        n->to.sun_path[0] = '\0';
    n->to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Fed twice as often as is asked for. */
static void read_watchdog(struct notify *n, const char *usec, const char *pid)
{
    uint64_t us, who = (uint64_t)getpid();

    if (pid != NULL && slice_u64(slice_str(pid), INT32_MAX, &who) < 0)
        return;
    if (who == (uint64_t)getpid() && slice_u64(slice_str(usec), INT64_MAX, &us) == 0 && us > 0)
        n->watchdog_ms = us / 2000 > 0 ? (int64_t)(us / 2000) : 1;
}

struct notify *notify_new(void)
{
    struct notify *n = mem_zero(sizeof *n);
    const char *name = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");

    if (name != NULL)
        read_socket(n, name);
    if (n->to_n > 0 && usec != NULL)
        read_watchdog(n, usec, getenv("WATCHDOG_PID"));
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return n;
}

void notify_close(struct notify **n)
{
    if (*n == NULL)
        return;
    timer_close(&(*n)->watchdog);
    mem_free(*n);
    *n = NULL;
}

static void say(const struct notify *n, const char *state)
{
    int fd;

    if (n->to_n == 0)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->to_n) < 0)
        LOG(WARNING, "not-notified", kv_str("state", state), kv_str("reason", err_text(-errno)));
    if (fd >= 0)
        (void)close(fd);
}

static void on_watchdog(void *owner)
{
    struct notify *n = owner;

    say(n, "WATCHDOG=1");
    timer_set(n->watchdog, n->watchdog_ms);
}

void notify_ready(struct notify *n, struct loop *loop)
{
    say(n, "READY=1");
    if (n->watchdog_ms == 0)
        return;
    n->watchdog = timer_new(loop, on_watchdog, n);
    timer_set(n->watchdog, n->watchdog_ms);
}

void notify_reloading(const struct notify *n)
{
    char state[64];

    if (n->stopping)
        return;
    /* With the time, for the kind of service that is reloaded by this (Type=notify-reload). */
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
    say(n, state);
}

void notify_reloaded(const struct notify *n)
{
    if (!n->stopping)
        say(n, "READY=1");
}

void notify_stopping(struct notify *n)
{
    n->stopping = true;
    say(n, "STOPPING=1");
}
