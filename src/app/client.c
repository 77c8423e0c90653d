#include "facteur/app/client.h"

#include "facteur/base/buf.h"
#include "facteur/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 * 1024 * 1024, PIECE = 64 * 1024, SILENCE_S = 60 };

struct client {
    int fd;
    struct buf in;
};

static const struct {
    const char *name;
    int code;
} code_names[] = {
    { "bad-request", -EINVAL }, { "not-found", -ENOENT }, { "no-user", -ESRCH },
    { "damaged", -EBADMSG },    { "busy", -EBUSY },
};

int client_open(const char *path, struct client **ret, struct err *e)
{
    const struct timeval silence = { .tv_sec = SILENCE_S };
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct client *c;
    int fd, code;

    if (slice_copy(slice_str(path), at.sun_path, sizeof at.sun_path) < 0)
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long for a socket", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, -errno, "socket: %s", err_text(-errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence) < 0 ||
        connect(fd, (const struct sockaddr *)&at, sizeof at) < 0) {
        code = -errno;
        close(fd);
        return err_set(e, code, "%s: %s", path, err_text(code));
    }
    c = mem_zero(sizeof *c);
    c->fd = fd;
    buf_init(&c->in, ANSWER_MAX);
    *ret = c;
    return 0;
}

void client_close(struct client **cp)
{
    struct client *c = *cp;

    *cp = NULL;
    if (c == NULL)
        return;
    close(c->fd);
    buf_clear(&c->in);
    mem_free(c);
}

static int send_all(struct client *c, const char *text, size_t n, struct err *e)
{
    while (n > 0) {
        ssize_t sent = send(c->fd, text, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return err_set(e, -errno, "the server does not take the request: %s", err_text(-errno));
        text += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Reads until a line is in c->in; returns its length without the LF. */
static int read_line(struct client *c, size_t *ret, struct err *e)
{
    size_t looked = 0;

    for (;;) {
        ptrdiff_t end = slice_find(slice_skip(buf_slice(&c->in), looked), '\n');
        char *room;
        ssize_t got;

        if (end >= 0) {
            *ret = looked + (size_t)end;
            return 0;
        }
        looked = c->in.n;
        room = buf_room(&c->in, PIECE);
        if (room == NULL)
            return err_set(e, -EPROTO, "the server's answer is longer than %d MiB", ANSWER_MAX / 1024 / 1024);
        got = recv(c->fd, room, PIECE, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return err_set(e, -ETIMEDOUT, "the server has not answered for %d seconds", SILENCE_S);
        if (got < 0)
            return err_set(e, -errno, "the server's answer: %s", err_text(-errno));
        if (got == 0)
            return err_set(e, -EPROTO, "the server ended the connection without an answer");
        c->in.n += (size_t)got;
    }
}

static int refusal(const json_t *answer, struct err *e)
{
    const char *name = json_string_value(json_object_get(answer, "code"));
    const char *text = json_string_value(json_object_get(answer, "error"));
    int code = -EIO;

    for (size_t i = 0; name != NULL && i < sizeof code_names / sizeof code_names[0]; i++)
        if (strcmp(name, code_names[i].name) == 0)
            code = code_names[i].code;
    return err_set(e, code, "%s", text != NULL ? text : "the server refused without a reason");
}

int client_call(struct client *c, json_t *request, json_t **ret, struct err *e)
{
    char *text = json_dumps(request, JSON_COMPACT);
    json_error_t why;
    json_t *answer;
    size_t n = 0;
    int code;

    json_decref(request);
    if (text == NULL)
        return err_set(e, -EINVAL, "the request is no valid text");
    code = send_all(c, text, strlen(text), e);
    if (code == 0)
        code = send_all(c, "\n", 1, e);
    free(text); /* jansson's own */
    if (code == 0)
        code = read_line(c, &n, e);
    if (code < 0)
        return code;
    answer = json_loadb(c->in.p, n, JSON_REJECT_DUPLICATES, &why);
    buf_drop(&c->in, n + 1);
    if (!json_is_boolean(json_object_get(answer, "ok"))) {
        json_decref(answer);
        return err_set(e, -EPROTO, "that is no answer of a facteur server");
    }
    if (!json_is_true(json_object_get(answer, "ok"))) {
        code = refusal(answer, e);
        json_decref(answer);
        return code;
    }
    *ret = answer;
    return 0;
}
