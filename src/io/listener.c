#include "facteur/io/listener.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "sockaddr_priv.h"
#include "stream_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

/* Accepting is done here and not by uv_listen: accept4 tells the peer's address in the same call, libuv 1.45 and later
 * take one connection a turn and earlier ones all of them, and a lack of descriptors must pause and not spin. */

enum { BACKLOG = 4096, ACCEPTS_A_TURN = 64, PAUSE_MS = 1000 };

struct listener {
    uv_poll_t poll;
    uv_timer_t timer; /* the pause after EMFILE */
    struct loop *loop;
    void (*on_accept)(void *owner, struct stream *s);
    void *owner;
    struct endpoint at;
    int fd, reserve;
    int open_handles;
    bool inherited, paused, resting, closed;
};

static void on_readable(uv_poll_t *handle, int status, int events);

static void watch(struct listener *l)
{
    if (l->closed)
        return;
    if (l->paused || l->resting)
        (void)uv_poll_stop(&l->poll);
    else
        (void)uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_rested(uv_timer_t *timer)
{
    struct listener *l = timer->data;

    l->resting = false;
    if (l->reserve < 0)
        l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch(l);
}

/* Nothing can be accepted: one peer is let in with the reserve descriptor and turned away, so that it does not hang,
 * and the others wait in the backlog until the pause is over. */
static void rest(struct listener *l, int code)
{
    char at[ENDPOINT_TEXT];

    if ((code == EMFILE || code == ENFILE) && l->reserve >= 0) {
        int fd;

        (void)close(l->reserve);
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
        l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    endpoint_format(&l->at, at);
    LOG(WARNING, "accept-paused", kv_str("listener", at), kv_str("error", err_text(-code)), kv_num("ms", PAUSE_MS));
    l->resting = true;
    watch(l);
    (void)uv_timer_start(&l->timer, on_rested, PAUSE_MS, 0);
}

static bool is_about_one_peer(int code)
{
    return code == ECONNABORTED || code == EINTR || code == EPROTO || code == EPERM || code == ENETDOWN ||
           code == ENETUNREACH || code == EHOSTDOWN || code == EHOSTUNREACH || code == ENONET || code == ENOPROTOOPT ||
           code == EOPNOTSUPP;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;

    (void)events;
    loop_note(l->loop, "accept");
    for (int i = 0; i < ACCEPTS_A_TURN && status == 0 && !l->closed && !l->paused; i++) {
        struct sockaddr_storage sa = { 0 };
        socklen_t n = sizeof sa;
        struct endpoint peer;
        struct stream *s;
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && is_about_one_peer(errno))
            continue;
        if (fd < 0) {
            rest(l, errno);
            return;
        }
        sockaddr_to((const struct sockaddr *)&sa, n, &peer);
        s = stream_accepted(l->loop, fd, &peer);
        if (s != NULL)
            l->on_accept(l->owner, s);
    }
}

/* ---- making the socket ---- */

static bool is_stale(const struct sockaddr_storage *sa, socklen_t n)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)sa, n) < 0 && errno == ECONNREFUSED;

    if (fd >= 0)
        (void)close(fd);
    return stale;
}

static int bind_to(int fd, const struct endpoint *at, unsigned mode)
{
    struct sockaddr_storage sa;
    socklen_t n = sockaddr_from(at, &sa);
    struct stat st;

    if (bind(fd, (const struct sockaddr *)&sa, n) < 0) {
        /* The socket of a process that was killed is still there, and nobody answers at it. */
        if (errno != EADDRINUSE || at->family != 1 || lstat(at->path, &st) < 0 || !S_ISSOCK(st.st_mode) ||
            !is_stale(&sa, n))
            return -errno;
        if (unlink(at->path) < 0 || bind(fd, (const struct sockaddr *)&sa, n) < 0)
            return -errno;
    }
    /* Nobody can connect before listen(), so the permissions are right from the first moment. */
    if (at->family == 1 && mode != 0 && chmod(at->path, (mode_t)mode) < 0)
        return -errno;
    return 0;
}

static int open_socket(const struct endpoint *at, const struct listener_options *o, int *ret)
{
    static const int domain[] = { [1] = AF_UNIX, [4] = AF_INET, [6] = AF_INET6 };
    const int on = 1;
    int fd, rc = 0;

    if (at->family != 1 && at->family != 4 && at->family != 6)
        return -EINVAL;
    fd = socket(domain[at->family], SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (o->reuse && at->family != 1)
        rc |= setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->family == 6) /* an address means itself: [::] and 0.0.0.0 can stand side by side */
        rc |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    rc = rc < 0 ? -errno : bind_to(fd, at, o->mode);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    *ret = fd;
    return 0;
}

static int prepare_socket(int fd, struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    const int on = 1;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        return -errno;
    sockaddr_to((const struct sockaddr *)&sa, n, at);
    /* What is accepted inherits it on Linux: one call instead of one a connection. */
    if (at->family != 1 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return -errno;
    return 0;
}

int listener_inspect(int fd, struct endpoint *ret)
{
    struct sockaddr_storage sa = { 0 };
    struct endpoint at;
    int type = 0, listens = 0;
    socklen_t n = sizeof sa, type_n = sizeof type, listens_n = sizeof listens;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) < 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_n) < 0 || listens == 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        return -EINVAL;
    sockaddr_to((const struct sockaddr *)&sa, n, &at);
    if (at.family == 0)
        return -EINVAL;
    *ret = at;
    return 0;
}

int listener_new(struct loop *loop, const struct endpoint *at, const struct listener_options *options,
                 void (*on_accept)(void *owner, struct stream *s), void *owner, struct listener **ret, struct err *e)
{
    struct listener *l = mem_zero(sizeof *l);
    char text[ENDPOINT_TEXT];
    int rc = 0;

    l->inherited = options->fd >= 0;
    l->fd = options->fd;
    l->at = *at;
    if (!l->inherited)
        rc = open_socket(at, options, &l->fd);
    if (rc == 0) {
        rc = prepare_socket(l->fd, &l->at);
        if (rc == 0)
            rc = uv_poll_init(&loop->uv, &l->poll, l->fd);
        if (rc < 0 && !l->inherited)
            (void)close(l->fd);
    }
    if (rc < 0) {
        mem_free(l);
        endpoint_format(at, text);
        return err_set(e, rc, "cannot listen on %s: %s", text, err_text(rc));
    }
    (void)uv_timer_init(&loop->uv, &l->timer);
    l->poll.data = l->timer.data = l;
    l->open_handles = 2;
    l->loop = loop;
    l->on_accept = on_accept;
    l->owner = owner;
    l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch(l);
    *ret = l;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    if (--l->open_handles == 0)
        mem_free(l);
}

void listener_close(struct listener **l_p)
{
    struct listener *l = *l_p;

    if (l == NULL)
        return;
    *l_p = NULL;
    l->closed = true;
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    (void)close(l->fd);
    if (l->reserve >= 0)
        (void)close(l->reserve);
    if (l->at.family == 1 && !l->inherited)
        (void)unlink(l->at.path);
}

const struct endpoint *listener_endpoint(const struct listener *l)
{
    return &l->at;
}

void listener_pause(struct listener *l, bool paused)
{
    l->paused = paused;
    watch(l);
}
