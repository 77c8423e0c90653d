#include "facteur/io/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static int parse_port(struct slice text, uint16_t *ret)
{
    uint64_t port;

    TRY(slice_u64(text, UINT16_MAX, &port));
    *ret = (uint16_t)port;
    return 0;
}

static int parse_unix(struct slice path, struct endpoint *ret)
{
    struct endpoint ep = { .family = 1 };

    if (path.n == 0 || slice_copy(path, ep.path, sizeof ep.path) < 0)
        return -EINVAL;
    *ret = ep;
    return 0;
}

/* Cuts the text at the colon before the port, brackets off. The address itself is left to inet_pton. */
static int split(struct slice text, uint8_t *ret_family, struct slice *ret_host, struct slice *ret_port)
{
    ptrdiff_t at;

    if (text.n > 0 && text.p[0] == '[') {
        at = slice_find(text, ']');
        if (at < 0 || (size_t)at + 1 >= text.n || text.p[at + 1] != ':')
            return -EINVAL;
        *ret_family = 6;
        *ret_host = slice_make(text.p + 1, (size_t)at - 1);
        *ret_port = slice_skip(text, (size_t)at + 2);
        return 0;
    }
    at = slice_find(text, ':');
    if (at < 0)
        return -EINVAL;
    *ret_family = 4;
    *ret_host = slice_head(text, (size_t)at);
    *ret_port = slice_skip(text, (size_t)at + 1);
    return 0;
}

int endpoint_parse(struct slice text, struct endpoint *ret)
{
    struct endpoint ep = { 0 };
    struct slice host, port;
    char address[INET6_ADDRSTRLEN];

    if (slice_istarts(text, "unix:"))
        return parse_unix(slice_skip(text, 5), ret);
    TRY(split(text, &ep.family, &host, &port));
    if (slice_copy(host, address, sizeof address) < 0 || parse_port(port, &ep.port) < 0 ||
        inet_pton(ep.family == 4 ? AF_INET : AF_INET6, address, ep.octets) != 1)
        return -EINVAL;
    *ret = ep;
    return 0;
}

void endpoint_format(const struct endpoint *ep, char to[ENDPOINT_TEXT])
{
    char address[INET6_ADDRSTRLEN] = "";

    to[0] = '\0';
    if (ep->family == 1)
        (void)snprintf(to, ENDPOINT_TEXT, "unix:%s", ep->path);
    else if (ep->family == 4 && inet_ntop(AF_INET, ep->octets, address, sizeof address) != NULL)
        (void)snprintf(to, ENDPOINT_TEXT, "%s:%u", address, ep->port);
    else if (ep->family == 6 && inet_ntop(AF_INET6, ep->octets, address, sizeof address) != NULL)
        (void)snprintf(to, ENDPOINT_TEXT, "[%s]:%u", address, ep->port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->family != b->family)
        return false;
    if (a->family == 1)
        return strcmp(a->path, b->path) == 0;
    return a->port == b->port && memcmp(a->octets, b->octets, a->family == 4 ? 4 : 16) == 0;
}
