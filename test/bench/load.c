/* The benchmark's SMTP client: many sessions on one epoll loop, with as little work for each message as can be, so that
 * the server is what is measured. Its dialogue is that of Postfix's smtp-source: HELO, one command at a time, no
 * pipelining unless asked for.
 *
 *   load [options] HOST PORT
 *     -s N     sessions side by side (1)
 *     -m N     messages in all (1)
 *     -l N     octets of a message, header included (4096)
 *     -r N     recipients of a message (1); with more than one their number is put before the address, as in
 * smtp-source -t ADDR  recipient                      -f ADDR  sender -d       keep the connection for the next message
 *     -p       pipelining: MAIL, all RCPT and DATA in one write
 *     -w MS    pause after each message
 *     -i       open the sessions, say EHLO, write "ready" and stay until standard input ends
 *
 * It prints one line of JSON: messages, seconds from the first connect to the last 250, its own CPU seconds, and how
 * long a message took, in microseconds, from connect (with -d from MAIL) to its 250. Any other reply than the expected
 * one ends it with status 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_IN = 4096, EVENTS = 256, ENVELOPE_MAX = 65536, DEADLINE_S = 300 };

enum step { GREETING, HELO, MAIL, RCPT, DATA, ENVELOPE, END, QUIT, PAUSE, DONE };

/* What the server says when it took each step. */
static const int expected[] = {
    [GREETING] = 220, [HELO] = 250,     [MAIL] = 250, [RCPT] = 250,
    [DATA] = 354,     [ENVELOPE] = 250, [END] = 250,  [QUIT] = 221,
};

struct session {
    int fd;
    enum step step;
    size_t answered; /* replies of this step so far */
    size_t in_n;
    const char *out; /* the rest of the body while the socket takes no more */
    size_t out_n;
    int64_t started_ns, wake_ns;
    char in[LINE_MAX_IN];
};

static struct load {
    struct sockaddr_in to;
    int epoll;
    size_t sessions, messages, octets, recipients;
    const char *recipient, *sender;
    bool keep, pipelining, idle;
    size_t pause_ms;
    size_t begun, taken, open, ready;
    int64_t last_ns;
    uint32_t *took_us;
    char *body;
    size_t body_n;
    char envelope[ENVELOPE_MAX];
    size_t envelope_n;
    struct session *all;
} load = { .sessions = 1,
           .messages = 1,
           .octets = 4096,
           .recipients = 1,
           .recipient = "user@bench.example",
           .sender = "sender@client.example" };

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("load: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void watch(struct session *s, int op, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = s };

    if (epoll_ctl(load.epoll, op, s->fd, &e) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* --- sending */

static void say(struct session *s, enum step step, const char *text, size_t n)
{
    s->step = step;
    s->answered = 0;
    /* Commands are small and sent one by one: the socket's buffer is empty. */
    if (send(s->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send: %s", strerror(errno));
}

static int recipient_line(char *to, size_t max, size_t i)
{
    return i == 0 ? snprintf(to, max, "RCPT TO:<%s>\r\n", load.recipient)
                  : snprintf(to, max, "RCPT TO:<%zu%s>\r\n", i + 1, load.recipient);
}

static void say_recipient(struct session *s, size_t i)
{
    char line[1024];

    say(s, RCPT, line, (size_t)recipient_line(line, sizeof(line), i));
    s->answered = i;
}

static void say_mail(struct session *s)
{
    char line[1024];

    say(s, MAIL, line, (size_t)snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", load.sender));
}

static void send_body(struct session *s)
{
    while (s->out_n > 0) {
        ssize_t n = send(s->fd, s->out, s->out_n, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            watch(s, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0)
            die("send: %s", strerror(errno));
        s->out += n;
        s->out_n -= (size_t)n;
    }
}

static void begin_body(struct session *s)
{
    s->step = END;
    s->answered = 0;
    s->out = load.body;
    s->out_n = load.body_n;
    send_body(s);
}

static void begin_message(struct session *s)
{
    if (load.keep)
        s->started_ns = now_ns();
    if (load.pipelining)
        say(s, ENVELOPE, load.envelope, load.envelope_n);
    else
        say_mail(s);
}

static void begin_session(struct session *s)
{
    int one = 1;

    s->started_ns = now_ns();
    s->step = GREETING;
    s->answered = 0;
    s->in_n = 0;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket: %s", strerror(errno));
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(s->fd, (const struct sockaddr *)&load.to, sizeof(load.to)) < 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    watch(s, EPOLL_CTL_ADD, EPOLLIN);
}

/* --- what comes next */

static void next_message(struct session *s, bool connected)
{
    if (load.begun == load.messages) {
        if (connected) {
            say(s, QUIT, "QUIT\r\n", 6);
        } else {
            s->step = DONE;
            load.open--;
        }
        return;
    }
    load.begun++;
    if (connected)
        begin_message(s);
    else
        begin_session(s);
}

static void after_pause(struct session *s, bool connected)
{
    if (load.pause_ms == 0) {
        next_message(s, connected);
        return;
    }
    s->step = PAUSE;
    s->answered = connected;
    s->wake_ns = now_ns() + (int64_t)load.pause_ms * 1000000;
}

static void taken(struct session *s)
{
    load.last_ns = now_ns();
    load.took_us[load.taken++] = (uint32_t)((load.last_ns - s->started_ns) / 1000);
    if (load.keep)
        after_pause(s, true);
    else
        say(s, QUIT, "QUIT\r\n", 6);
}

static void helo_taken(struct session *s)
{
    if (!load.idle) {
        begin_message(s);
        return;
    }
    if (++load.ready == load.sessions) {
        (void)puts("ready");
        (void)fflush(stdout);
        while (getchar() != EOF)
            ;
        exit(0);
    }
}

static void over(struct session *s)
{
    (void)close(s->fd);
    after_pause(s, false);
}

/* The step's last reply has come. */
static void advance(struct session *s)
{
    switch (s->step) {
    case GREETING:
        if (load.idle || load.pipelining)
            say(s, HELO, "EHLO client.example\r\n", 21);
        else
            say(s, HELO, "HELO client.example\r\n", 21);
        break;
    case HELO:
        helo_taken(s);
        break;
    case MAIL:
        say_recipient(s, 0);
        break;
    case RCPT:
        say(s, DATA, "DATA\r\n", 6);
        break;
    case DATA:
    case ENVELOPE:
        begin_body(s);
        break;
    case END:
        taken(s);
        break;
    case QUIT:
        over(s);
        break;
    case PAUSE:
    case DONE:
        break;
    }
}

static void on_reply(struct session *s, const char *line, size_t n)
{
    size_t replies = s->step == ENVELOPE ? load.recipients + 2 : s->step == RCPT ? load.recipients : 1;
    int want = s->step == ENVELOPE && s->answered + 1 == replies ? 354 : expected[s->step];

    if (s->step >= PAUSE || n < 3 || strtol(line, NULL, 10) != want)
        die("step %d: %.*s", (int)s->step, (int)n, line);
    if (n > 3 && line[3] == '-')
        return;
    if (++s->answered == replies)
        advance(s);
    else if (s->step == RCPT)
        say_recipient(s, s->answered);
}

static void on_input(struct session *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_n, sizeof(s->in) - s->in_n - 1, 0);
    char *line = s->in, *end;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("step %d: the connection ended: %s", (int)s->step, n < 0 ? strerror(errno) : "closed");
    s->in_n += (size_t)n;
    s->in[s->in_n] = '\0';
    /* A reply may end the session, which then begins anew with nothing read. */
    while (s->in_n > 0 && (end = memchr(line, '\n', s->in_n)) != NULL) {
        s->in_n -= (size_t)(end + 1 - line);
        on_reply(s, line, (size_t)(end - line));
        line = end + 1;
    }
    if (s->in_n > 0)
        memmove(s->in, line, s->in_n);
    if (s->in_n == sizeof(s->in) - 1)
        die("a reply without an end");
}

/* --- the loop */

/* Milliseconds until the next pause ends; starts those that have ended. */
static int pauses(void)
{
    int64_t now = now_ns(), next = INT64_MAX;

    for (size_t i = 0; i < load.sessions && load.pause_ms > 0; i++) {
        struct session *s = &load.all[i];

        if (s->step == PAUSE && s->wake_ns <= now)
            next_message(s, s->answered != 0);
        else if (s->step == PAUSE && s->wake_ns < next)
            next = s->wake_ns;
    }
    return next == INT64_MAX ? -1 : (int)((next - now + 999999) / 1000000);
}

static void run(void)
{
    struct epoll_event events[EVENTS];

    while (load.open > 0) {
        int wait_ms = pauses();
        int n = load.open > 0 ? epoll_wait(load.epoll, events, EVENTS, wait_ms) : 0;

        for (int i = 0; i < n; i++) {
            struct session *s = events[i].data.ptr;

            if ((events[i].events & EPOLLOUT) != 0) {
                watch(s, EPOLL_CTL_MOD, EPOLLIN);
                send_body(s);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                on_input(s);
        }
    }
}

/* --- before and after */

static void make_body(void)
{
    static const char line[] = "This line of the message is as long as lines of mail commonly are, more or less.\r\n";
    size_t max = load.octets + 1024;
    char *p = malloc(max);
    int n;

    if (p == NULL)
        die("out of memory");
    n = snprintf(p, max,
                 "From: <%s>\r\nTo: <%s>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
                 "Message-Id: <%d.%lld@client.example>\r\nSubject: benchmark\r\n\r\n",
                 load.sender, load.recipient, (int)getpid(), (long long)now_ns());
    load.body_n = (size_t)n;
    while (load.body_n + 2 < load.octets) {
        size_t left = load.octets - load.body_n - 2, take = left < sizeof(line) - 3 ? left : sizeof(line) - 3;

        memcpy(p + load.body_n, line, take);
        memcpy(p + load.body_n + take, "\r\n", 2);
        load.body_n += take + 2;
    }
    memcpy(p + load.body_n, ".\r\n", 3);
    load.body_n += 3;
    load.body = p;
}

static void make_envelope(void)
{
    size_t n = (size_t)snprintf(load.envelope, sizeof(load.envelope), "MAIL FROM:<%s>\r\n", load.sender);

    for (size_t i = 0; i < load.recipients && n < sizeof(load.envelope); i++)
        n += (size_t)recipient_line(load.envelope + n, sizeof(load.envelope) - n, i);
    if (n + 7 > sizeof(load.envelope))
        die("too many recipients");
    load.envelope_n = n + (size_t)snprintf(load.envelope + n, sizeof(load.envelope) - n, "DATA\r\n");
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(int64_t began_ns)
{
    struct rusage u;
    size_t n = load.taken;

    (void)getrusage(RUSAGE_SELF, &u);
    qsort(load.took_us, n, sizeof(*load.took_us), by_size);
    printf("{\"messages\": %zu, \"seconds\": %.6f, \"cpu\": %.6f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n", n,
           (double)(load.last_ns - began_ns) / 1e9,
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
           load.took_us[n / 2], load.took_us[n * 99 / 100], load.took_us[n - 1]);
}

static size_t number(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n == 0 || n > 1UL << 30)
        die("not a number from 1: %s", text);
    return n;
}

static void options(int argc, char **argv)
{
    static const struct {
        char letter;
        size_t *number;
        const char **text;
        bool *flag;
    } table[] = {
        { 's', &load.sessions, NULL, NULL },   { 'm', &load.messages, NULL, NULL },
        { 'l', &load.octets, NULL, NULL },     { 'r', &load.recipients, NULL, NULL },
        { 'w', &load.pause_ms, NULL, NULL },   { 't', NULL, &load.recipient, NULL },
        { 'f', NULL, &load.sender, NULL },     { 'd', NULL, NULL, &load.keep },
        { 'p', NULL, NULL, &load.pipelining }, { 'i', NULL, NULL, &load.idle },
    };
    size_t i;
    int c;

    while ((c = getopt(argc, argv, "s:m:l:r:t:f:w:dpi")) != -1) {
        for (i = 0; i < sizeof(table) / sizeof(*table) && table[i].letter != c; i++)
            ;
        if (i == sizeof(table) / sizeof(*table))
            die("usage: load [-s N] [-m N] [-l N] [-r N] [-t ADDR] [-f ADDR] [-w MS] [-d] [-p] [-i] HOST PORT");
        if (table[i].number != NULL)
            *table[i].number = number(optarg);
        else if (table[i].text != NULL)
            *table[i].text = optarg;
        else
            *table[i].flag = true;
    }
    if (strlen(load.recipient) > 500 || strlen(load.sender) > 500)
        die("an address is too long");
    if (argc - optind != 2)
        die("HOST and PORT are missing");
    load.to.sin_family = AF_INET;
    load.to.sin_port = htons((uint16_t)number(argv[optind + 1]));
    if (inet_pton(AF_INET, argv[optind], &load.to.sin_addr) != 1)
        die("not an IPv4 address: %s", argv[optind]);
    if (load.idle)
        load.messages = load.sessions;
    else if (load.sessions > load.messages)
        load.sessions = load.messages;
}

int main(int argc, char **argv)
{
    int64_t began_ns;

    options(argc, argv);
    (void)alarm(DEADLINE_S);
    make_body();
    make_envelope();
    load.took_us = calloc(load.messages, sizeof(*load.took_us));
    load.all = calloc(load.sessions, sizeof(*load.all));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.took_us == NULL || load.all == NULL || load.epoll < 0)
        die("no memory, or no epoll");
    began_ns = now_ns();
    load.open = load.sessions;
    for (size_t i = 0; i < load.sessions; i++)
        next_message(&load.all[i], false);
    run();
    report(began_ns);
    return 0;
}
