/* What loads an IMAP server where Python would be the limit. Plain sockets, one thread a session, LITERAL+.
 *
 *   imap_load logins HOST PORT USER PASSWORD SESSIONS SECONDS
 *       connect, LOGIN, SELECT INBOX, LOGOUT, again and again
 *   imap_load append HOST PORT USER PASSWORD SESSIONS SECONDS FILE
 *       each session appends the file's octets (CRLF lines) to INBOX
 *
 * Prints {"count": done, "seconds": taken}; the exit status is 1 when a server said anything but OK. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, SESSIONS_MAX = 1000 };

static struct sockaddr_in server;
static const char *user, *password;
static double until;
static char *message;
static size_t message_n;

struct session {
    pthread_t thread;
    int fd;
    char in[BUFFER];
    size_t n;
    unsigned long count;
};

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void say(struct session *s, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t did = send(s->fd, p, n, MSG_NOSIGNAL);

        if (did <= 0)
            fail("send");
        p += did;
        n -= (size_t)did;
    }
}

/* Reads lines until one begins with `tag`, which must then say OK ("* " takes the greeting). */
static void wait_for(struct session *s, const char *tag)
{
    size_t tag_n = strlen(tag);

    for (;;) {
        char *end = memchr(s->in, '\n', s->n);
        bool is_it = false;

        if (end == NULL) {
            ssize_t got = s->n < sizeof s->in ? recv(s->fd, s->in + s->n, sizeof s->in - s->n, 0) : -1;

            if (got <= 0)
                fail("the server closed the connection");
            s->n += (size_t)got;
            continue;
        }
        end++;
        if ((size_t)(end - s->in) > tag_n && memcmp(s->in, tag, tag_n) == 0) {
            is_it = true;
            if (memcmp(s->in + tag_n, "OK", 2) != 0) {
                (void)fprintf(stderr, "%.*s", (int)(end - s->in), s->in);
                exit(1);
            }
        }
        s->n -= (size_t)(end - s->in);
        memmove(s->in, end, s->n);
        if (is_it)
            return;
    }
}

static void command(struct session *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    say(s, line, (size_t)n);
    wait_for(s, "a ");
}

static void open_session(struct session *s)
{
    int on = 1;

    s->n = 0;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("connect");
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    wait_for(s, "* ");
    command(s, "a LOGIN \"%s\" \"%s\"\r\n", user, password);
}

static void *run_logins(void *argument)
{
    struct session *s = argument;

    while (now() < until) {
        open_session(s);
        command(s, "a SELECT INBOX\r\n");
        command(s, "a LOGOUT\r\n");
        (void)close(s->fd);
        s->count++;
    }
    return NULL;
}

static void *run_appends(void *argument)
{
    struct session *s = argument;
    char head[128];
    int head_n = snprintf(head, sizeof head, "a APPEND INBOX {%zu+}\r\n", message_n);
    char *all = malloc((size_t)head_n + message_n + 2);

    if (all == NULL)
        fail("malloc");
    memcpy(all, head, (size_t)head_n);
    memcpy(all + head_n, message, message_n);
    memcpy(all + head_n + message_n, "\r\n", 2);
    while (now() < until) {
        say(s, all, (size_t)head_n + message_n + 2);
        wait_for(s, "a ");
        s->count++;
    }
    command(s, "a LOGOUT\r\n");
    (void)close(s->fd);
    free(all);
    return NULL;
}

static void read_message(const char *path)
{
    FILE *f = fopen(path, "rb");

    message = malloc(1 << 24);
    if (f == NULL || message == NULL)
        fail(path);
    message_n = fread(message, 1, 1 << 24, f);
    (void)fclose(f);
}

int main(int argc, char **argv)
{
    bool appends = argc == 9 && strcmp(argv[1], "append") == 0;
    size_t sessions = argc >= 8 ? strtoul(argv[6], NULL, 10) : 0;
    struct session *all = calloc(SESSIONS_MAX, sizeof *all);
    unsigned long count = 0;
    double began;

    if (all == NULL || sessions == 0 || sessions > SESSIONS_MAX ||
        (!appends && (argc != 8 || strcmp(argv[1], "logins") != 0))) {
        (void)fprintf(stderr, "imap_load logins|append HOST PORT USER PASSWORD SESSIONS SECONDS [FILE]\n");
        return 2;
    }
    server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10)) };
    if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
        fail(argv[2]);
    user = argv[4];
    password = argv[5];
    if (appends) {
        read_message(argv[8]);
        for (size_t i = 0; i < sessions; i++)
            open_session(&all[i]);
    }
    began = now();
    until = began + strtod(argv[7], NULL);
    for (size_t i = 0; i < sessions; i++) {
        if (pthread_create(&all[i].thread, NULL, appends ? run_appends : run_logins, &all[i]) != 0)
            fail("pthread_create");
    }
    for (size_t i = 0; i < sessions; i++) {
        (void)pthread_join(all[i].thread, NULL);
        count += all[i].count;
    }
    (void)printf("{\"count\": %lu, \"seconds\": %.4f}\n", count, now() - began);
    return 0;
}
