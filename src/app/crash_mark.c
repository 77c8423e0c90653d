#include "facteur/app/crash_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static char mark[PATH_SIZE];
static struct sigaction before[SIGNALS];

static int mark_path(const char *state, char to[PATH_SIZE])
{
    return snprintf(to, PATH_SIZE, "%s/crashed", state) < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static void on_crash(int signum)
{
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0)
        (void)close(fd);
    for (int i = 0; i < SIGNALS; i++) {
        if (signals[i] == signum)
            (void)sigaction(signum, &before[i], NULL);
    }
    (void)raise(signum); /* delivered when this returns, and then to whom it belonged before */
}

bool crash_mark_take(const char *state)
{
    char path[PATH_SIZE];

    return mark_path(state, path) == 0 && unlink(path) == 0;
}

int crash_mark_install(const char *state, struct err *e)
{
    struct sigaction action = { .sa_handler = on_crash };

    if (mark_path(state, mark) < 0)
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long", state);
    for (int i = 0; i < SIGNALS; i++) {
        if (sigaction(signals[i], &action, &before[i]) < 0)
            return err_set(e, -errno, "sigaction: %s", err_text(-errno));
    }
    return 0;
}
