#include "facteur/base/log.h"

#include "facteur/base/clock.h"
#include "facteur/base/mem.h"
#include "log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* How a descriptor is written without waiting for its reader. */
enum channel {
    CHANNEL_FILE,    /* write: a disk file or /dev/null never blocks for long */
    CHANNEL_PIPE,    /* pipe or terminal: poll, then at most PIPE_BUF octets, which then fit */
    CHANNEL_STREAM,  /* a stream socket (the journal): send with MSG_DONTWAIT */
    CHANNEL_DATAGRAM /* syslog: one datagram a line */
};

enum { LOG_BUFFER = 256 * 1024, RECONNECT_MS = 1000, SYSLOG_TAG = 64 };

static struct {
    int fd;
    enum channel channel;
    enum log_target target;
    enum log_format format;
    enum log_level level;
    char *path;
    bool ready;                /* the channel of the first standard error was found */
    bool disconnected;         /* the syslog socket's reader has gone */
    int64_t reconnect_ms;      /* clock_mono_ms of the next try */
    uint64_t dropped, unsaid;  /* lines in all, and since a line last said so */
    size_t start, end;         /* what waits in data */
    char data[LOG_BUFFER + 2]; /* pages that are never touched cost no memory */
} g = { .fd = STDERR_FILENO, .target = LOG_TARGET_STDERR, .level = LOG_LEVEL_INFO };

static enum channel channel_of(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return CHANNEL_FILE; /* closed: the write says EBADF */
    if (S_ISSOCK(st.st_mode))
        return CHANNEL_STREAM;
    return S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd)) ? CHANNEL_PIPE : CHANNEL_FILE;
}

/* Counts and forgets the lines that wait. */
static void drop_waiting(void)
{
    for (size_t i = g.start; i < g.end; i++)
        if (g.data[i] == '\n') {
            g.dropped++;
            g.unsaid++;
        }
    g.start = g.end = 0;
}

/* Closes the target and takes another. */
static void take_target(int fd, enum channel channel)
{
    if (g.fd >= 0 && g.fd != STDERR_FILENO)
        (void)close(g.fd);
    g.fd = fd;
    g.channel = channel;
    g.disconnected = false;
    g.ready = true;
}

/* The length of the next piece: whole lines up to `most` octets, or a part of a longer line. */
static size_t piece(size_t most)
{
    size_t n = g.end - g.start < most ? g.end - g.start : most;
    const char *last = memrchr(g.data + g.start, '\n', n);

    return last != NULL ? (size_t)(last - (g.data + g.start)) + 1 : n;
}

static ssize_t write_pipe(void)
{
    struct pollfd p = { .fd = g.fd, .events = POLLOUT };

    if (poll(&p, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    if ((p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) { /* no reader: the write would only raise SIGPIPE */
        errno = EPIPE;
        return -1;
    }
    return write(g.fd, g.data + g.start, piece(PIPE_BUF));
}

/* Connects the syslog socket; 0 or negative errno. */
static int connect_syslog(const char *path, int *ret_fd)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd, code;

    if (slice_copy(slice_str(path), to.sun_path, sizeof to.sun_path) < 0)
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
        code = -errno;
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

/* The syslog daemon was restarted: its new socket is looked for once a second, what waits is kept meanwhile. */
static int reconnect_syslog(void)
{
    int fd = -1, code;

    if (clock_mono_ms() < g.reconnect_ms)
        return -ENOTCONN;
    g.reconnect_ms = clock_mono_ms() + RECONNECT_MS;
    code = connect_syslog(g.path, &fd);
    if (code == 0)
        take_target(fd, CHANNEL_DATAGRAM);
    return code;
}

static ssize_t write_datagram(void)
{
    size_t n = (size_t)((const char *)memchr(g.data + g.start, '\n', g.end - g.start) - (g.data + g.start));

    if (g.disconnected && reconnect_syslog() < 0) {
        errno = EAGAIN;
        return -1;
    }
    if (send(g.fd, g.data + g.start, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return (ssize_t)n + 1;
    if (errno == EMSGSIZE) {
        g.dropped++;
        g.unsaid++;
        return (ssize_t)n + 1;
    }
    g.disconnected = errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET;
    if (g.disconnected || errno == ENOBUFS)
        errno = EAGAIN;
    return -1;
}

static ssize_t write_some(void)
{
    switch (g.channel) {
    case CHANNEL_PIPE:
        return write_pipe();
    case CHANNEL_STREAM:
        return send(g.fd, g.data + g.start, g.end - g.start, MSG_DONTWAIT | MSG_NOSIGNAL);
    case CHANNEL_DATAGRAM:
        return write_datagram();
    case CHANNEL_FILE:
        break;
    }
    return write(g.fd, g.data + g.start, g.end - g.start);
}

void log_flush(void)
{
    int saved = errno;

    if (!g.ready)
        take_target(g.fd, channel_of(g.fd));
    while (g.start < g.end) {
        ssize_t n = write_some();

        if (n > 0)
            g.start += (size_t)n;
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && (errno == EPIPE || errno == EBADF))
            drop_waiting(); /* nobody reads: keeping the lines would not bring him back */
        else
            break; /* EAGAIN, or a full or failing disk: kept until there is room */
    }
    if (g.start == g.end)
        g.start = g.end = 0;
    errno = saved;
}

/* Room for one more line, or false. */
static bool make_room(void)
{
    enum { NEED = LOG_LINE + SYSLOG_TAG };

    if (LOG_BUFFER - g.end >= NEED)
        return true;
    log_flush();
    if (g.start > 0 && LOG_BUFFER - (g.end - g.start) >= NEED) {
        memmove(g.data, g.data + g.start, g.end - g.start);
        g.end -= g.start;
        g.start = 0;
    }
    return LOG_BUFFER - g.end >= NEED;
}

static void append(enum log_level level, const char *event, const struct log_kv *fields)
{
    if (g.channel == CHANNEL_DATAGRAM)
        g.end += log_syslog_tag(g.data + g.end, level);
    g.end += log_line(g.data + g.end, g.format, level, event, fields);
}

bool log_wants(enum log_level level)
{
    return level <= g.level && g.target != LOG_TARGET_NONE;
}

void log_write(enum log_level level, const char *event, const struct log_kv *fields)
{
    if (!log_wants(level))
        return;
    if (!make_room()) {
        g.dropped++;
        g.unsaid++;
        return;
    }
    if (g.unsaid > 0) {
        const struct log_kv said[] = { kv_num("lines", (int64_t)g.unsaid), { 0 } };

        g.unsaid = 0;
        append(LOG_LEVEL_WARNING, "log-dropped", said);
        if (!make_room()) {
            g.dropped++;
            g.unsaid++;
            return;
        }
    }
    append(level, event, fields);
}

static int open_file(const char *path, int *ret_fd, struct err *e)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0640);

    if (fd < 0)
        return err_set(e, -errno, "cannot open the log file %s: %s", path, err_text(errno));
    *ret_fd = fd;
    return 0;
}

int log_open(enum log_target target, const char *path, enum log_format format, enum log_level level, struct err *e)
{
    enum channel channel;
    char *copy;
    int fd = STDERR_FILENO;

    if (target == LOG_TARGET_SYSLOG) {
        int code;

        path = path != NULL ? path : "/dev/log";
        code = connect_syslog(path, &fd);
        if (code < 0)
            return err_set(e, code, "cannot reach syslog at %s: %s", path, err_text(code));
    }
    if (target == LOG_TARGET_FILE)
        TRY(open_file(path, &fd, e));
    channel = target == LOG_TARGET_SYSLOG ? CHANNEL_DATAGRAM : channel_of(fd);
    log_flush();
    take_target(fd, channel);
    copy = mem_str(target == LOG_TARGET_FILE || target == LOG_TARGET_SYSLOG ? path : NULL);
    mem_free(g.path);
    g.path = copy;
    g.target = target;
    g.format = format;
    g.level = level;
    return 0;
}

int log_reopen(struct err *e)
{
    int fd = -1;

    if (g.target != LOG_TARGET_FILE)
        return 0;
    TRY(open_file(g.path, &fd, e));
    log_flush();
    take_target(fd, channel_of(fd));
    return 0;
}

void log_close(void)
{
    log_flush();
    drop_waiting();
    take_target(STDERR_FILENO, channel_of(STDERR_FILENO));
    mem_free(g.path);
    g.path = NULL;
    g.target = LOG_TARGET_STDERR;
}

size_t log_waiting(void)
{
    return g.end - g.start;
}

uint64_t log_dropped(void)
{
    return g.dropped;
}
