#include "sockaddr_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

socklen_t sockaddr_from(const struct endpoint *ep, struct sockaddr_storage *to)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(ep->port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(ep->port) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    memset(to, 0, sizeof *to);
    switch (ep->family) {
    case 4:
        memcpy(&v4.sin_addr, ep->octets, 4);
        memcpy(to, &v4, sizeof v4);
        return sizeof v4;
    case 6:
        memcpy(&v6.sin6_addr, ep->octets, 16);
        memcpy(to, &v6, sizeof v6);
        return sizeof v6;
    case 1:
        memcpy(un.sun_path, ep->path, sizeof un.sun_path);
        memcpy(to, &un, sizeof un);
        return sizeof un;
    default:
        return 0;
    }
}

void sockaddr_to(const struct sockaddr *sa, socklen_t n, struct endpoint *to)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    const size_t path_at = offsetof(struct sockaddr_un, sun_path);

    memset(to, 0, sizeof *to);
    if (sa->sa_family == AF_INET && n >= sizeof v4) {
        memcpy(&v4, sa, sizeof v4);
        to->family = 4;
        to->port = ntohs(v4.sin_port);
        memcpy(to->octets, &v4.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6 && n >= sizeof v6) {
        memcpy(&v6, sa, sizeof v6);
        to->port = ntohs(v6.sin6_port);
        to->family = memcmp(&v6.sin6_addr, mapped, sizeof mapped) == 0 ? 4 : 6;
        if (to->family == 4)
            memcpy(to->octets, (const uint8_t *)&v6.sin6_addr + sizeof mapped, 4);
        else
            memcpy(to->octets, &v6.sin6_addr, 16);
    } else if (sa->sa_family == AF_UNIX) {
        to->family = 1;
        if (n > path_at) {
            size_t length = n - path_at < sizeof to->path ? n - path_at : sizeof to->path - 1;

            memcpy(to->path, (const char *)sa + path_at, length);
        }
    }
}
