/* The PROXY protocol's header, versions 1 and 2: pure, strict. */
#include "facteur/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>

enum {
    V1_MAX = 107, /* the specification's, CRLF included */
    V2_FIXED = 16,
    V2_MAX = 4096 /* ours: addresses and what TLVs real senders add, with room */
};

static const char v2_signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

/* Is `in` the beginning of `what`, as far as it goes? */
static bool begins(struct slice in, struct slice what)
{
    size_t n = in.n < what.n ? in.n : what.n;

    return memcmp(in.p, what.p, n) == 0;
}

static int v1_address(struct slice text, int family, uint8_t *octets)
{
    char copy[INET6_ADDRSTRLEN];

    if (slice_copy(text, copy, sizeof copy) < 0 || inet_pton(family, copy, octets) != 1)
        return -EINVAL;
    return 0;
}

static int v1_port(struct slice text, uint16_t *ret)
{
    uint64_t port;

    if (slice_u64(text, UINT16_MAX, &port) < 0 || (text.n > 1 && text.p[0] == '0'))
        return -EINVAL;
    *ret = (uint16_t)port;
    return 0;
}

/* The line behind "PROXY ", without its CRLF. */
static int v1_line(struct slice line, struct endpoint *ret)
{
    struct endpoint client = { 0 };
    uint8_t server[16];
    uint16_t server_port;
    struct slice family, from, to, from_port;
    int af;

    if (slice_is(line, "UNKNOWN") || (line.n > 8 && slice_is(slice_head(line, 8), "UNKNOWN "))) {
        *ret = client;
        return 0;
    }
    if (!slice_cut(&line, ' ', &family) || !slice_cut(&line, ' ', &from) || !slice_cut(&line, ' ', &to) ||
        !slice_cut(&line, ' ', &from_port))
        return -EINVAL;
    if (slice_is(family, "TCP4"))
        client.family = 4;
    else if (slice_is(family, "TCP6"))
        client.family = 6;
    else
        return -EINVAL;
    af = client.family == 4 ? AF_INET : AF_INET6;
    TRY(v1_address(from, af, client.octets));
    TRY(v1_address(to, af, server));
    TRY(v1_port(from_port, &client.port));
    TRY(v1_port(line, &server_port));
    *ret = client;
    return 0;
}

static int v1_parse(struct slice in, size_t *ret_used, struct endpoint *ret)
{
    struct slice head = slice_head(in, V1_MAX);
    size_t n = 6;

    while (n < head.n && head.p[n] >= 0x20 && head.p[n] < 0x7f)
        n++;
    if (n + 1 >= head.n) /* all of it is text so far, or its last octet is the CR */
        return head.n == V1_MAX || (n < head.n && head.p[n] != '\r') ? -EINVAL : MORE;
    if (head.p[n] != '\r' || head.p[n + 1] != '\n')
        return -EINVAL;
    TRY(v1_line(slice_make(in.p + 6, n - 6), ret));
    *ret_used = n + 2;
    return DONE;
}

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static int v2_parse(struct slice in, size_t *ret_used, struct endpoint *ret)
{
    const uint8_t *p = (const uint8_t *)in.p;
    struct endpoint client = { 0 };
    size_t n;

    if (in.n < V2_FIXED)
        return MORE;
    n = u16(p + 14);
    if (p[12] >> 4 != 2 || (p[12] & 15) > 1 || p[13] >> 4 > 3 || (p[13] & 15) > 2 || V2_FIXED + n > V2_MAX)
        return -EINVAL;
    if ((p[12] & 15) == 1 && p[13] == 0x11) { /* PROXY, TCP over IPv4 */
        if (n < 12)
            return -EINVAL;
        client.family = 4;
    } else if ((p[12] & 15) == 1 && p[13] == 0x21) { /* over IPv6 */
        if (n < 36)
            return -EINVAL;
        client.family = 6;
    } else if ((p[12] & 15) == 1 && (p[13] & 15) == 2) { /* datagrams have no business here */
        return -EINVAL;
    }
    if (in.n < V2_FIXED + n)
        return MORE;
    if (client.family == 4) {
        memcpy(client.octets, p + 16, 4);
        client.port = u16(p + 24);
    } else if (client.family == 6) {
        memcpy(client.octets, p + 16, 16);
        client.port = u16(p + 48);
    }
    *ret_used = V2_FIXED + n;
    *ret = client;
    return DONE;
}

int proxy_header_parse(struct slice in, size_t *ret_used, struct endpoint *ret_client)
{
    struct slice v2 = slice_make(v2_signature, sizeof v2_signature);

    if (in.n == 0)
        return MORE;
    if (begins(in, SLICE_LIT("PROXY ")))
        return in.n < 6 ? MORE : v1_parse(in, ret_used, ret_client);
    if (begins(in, v2))
        return v2_parse(in, ret_used, ret_client);
    return -EINVAL;
}
