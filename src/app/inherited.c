#include "facteur/app/inherited.h"

#include "facteur/base/slice.h"
#include "facteur/io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

/* The number in a variable of the environment; 0: it is not set. */
static int read_variable(const char *name, uint64_t most, uint64_t *ret, struct err *e)
{
    const char *text = getenv(name);

    *ret = 0;
    if (text != NULL && slice_u64(slice_str(text), most, ret) < 0)
        return err_set(e, -EINVAL, "%s=%.32s: a number up to %u is expected", name, text, (unsigned)most);
    return 0;
}

static bool takes_both(int fd, const struct endpoint *at)
{
    static const uint8_t any[16] = { 0 };
    int only = 1;
    socklen_t n = sizeof only;

    return at->family == 6 && memcmp(at->octets, any, sizeof any) == 0 &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && only == 0;
}

static int take_one(struct inherited *in, int fd, struct err *e)
{
    struct endpoint at = { 0 };

    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return err_set(e, -EINVAL, "LISTEN_FDS: descriptor %d: %s", fd, err_text(-errno));
    if (listener_inspect(fd, &at) == 0 && takes_both(fd, &at))
        return err_set(e, -EINVAL,
                       "LISTEN_FDS: the socket for [::]:%u takes IPv4 connections too, which [::] in listen does not: "
                       "set BindIPv6Only=ipv6-only in the .socket unit, and ListenStream=0.0.0.0:%u beside it",
                       at.port, at.port);
    in->sockets[in->count].fd = fd;
    in->sockets[in->count].at = at;
    in->count++;
    return 0;
}

int inherited_take(struct inherited *in, struct err *e)
{
    uint64_t pid, count;

    TRY(read_variable("LISTEN_PID", INT32_MAX, &pid, e));
    TRY(read_variable("LISTEN_FDS", INHERITED_MOST, &count, e));
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (pid != (uint64_t)getpid())
        return 0;
    for (int i = 0; i < (int)count; i++)
        TRY(take_one(in, FIRST_FD + i, e));
    return 0;
}

int inherited_socket(const struct inherited *in, const struct endpoint *at)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].at.family != 0 && endpoint_equal(&in->sockets[i].at, at))
            return fcntl(in->sockets[i].fd, F_DUPFD_CLOEXEC, FIRST_FD);
    }
    return -1;
}
