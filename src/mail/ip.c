#include "facteur/mail/ip.h"

#include <arpa/inet.h>
#include <errno.h>

enum { BITS4 = 32, BITS6 = 128, BITS_MAPPED = 96 };

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

int ip_parse(struct slice text, struct ip *ret)
{
    char s[IP_TEXT];
    struct ip ip = { 0 };

    if (slice_copy(text, s, sizeof s) < 0)
        return -EINVAL;
    if (inet_pton(AF_INET, s, ip.octets) == 1) {
        ip.family = 4;
    } else if (inet_pton(AF_INET6, s, ip.octets) == 1) {
        ip.family = 6;
        if (memcmp(ip.octets, mapped, sizeof mapped) == 0) {
            memcpy(ip.octets, ip.octets + sizeof mapped, 4);
            memset(ip.octets + 4, 0, sizeof ip.octets - 4);
            ip.family = 4;
        }
    } else {
        return -EINVAL;
    }
    *ret = ip;
    return 0;
}

void ip_format(const struct ip *ip, char to[IP_TEXT])
{
    to[0] = '\0';
    if (ip->family != 0)
        (void)inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->octets, to, IP_TEXT);
}

static size_t octets_of(const struct ip *ip)
{
    return ip->family == 4 ? 4 : ip->family == 6 ? 16 : 0;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->octets, b->octets, octets_of(a)) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t one[16] = { [15] = 1 };

    if (ip->family == 4)
        return ip->octets[0] == 127;
    return ip->family == 0 || memcmp(ip->octets, one, sizeof one) == 0;
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zero[16] = { 0 };

    return ip->family != 0 && memcmp(ip->octets, zero, octets_of(ip)) == 0;
}

/* The address with all bits behind the first `bits` cleared. */
static struct ip keep_bits(struct ip ip, unsigned bits)
{
    for (unsigned i = 0; i < octets_of(&ip); i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

        if (kept < 8)
            ip.octets[i] = (uint8_t)(ip.octets[i] & ~(0xffU >> kept));
    }
    return ip;
}

int network_parse(struct slice text, struct network *ret)
{
    struct network n;
    struct slice address, prefix = text;
    bool has_prefix = slice_cut(&prefix, '/', &address);
    unsigned most;
    uint64_t bits;
    struct ip masked;

    TRY(ip_parse(address, &n.base));
    most = n.base.family == 4 ? BITS4 : BITS6;
    bits = most;
    if (has_prefix) {
        /* An IPv4-mapped network counts its bits from the IPv6 form's start. */
        uint64_t skip = n.base.family == 4 && slice_find(address, ':') >= 0 ? BITS_MAPPED : 0;

        if (prefix.n > 3 || slice_u64(prefix, most + skip, &bits) < 0 || bits < skip)
            return -EINVAL;
        bits -= skip;
    }
    n.bits = (uint8_t)bits;
    masked = keep_bits(n.base, n.bits);
    if (!ip_equal(&masked, &n.base))
        return -ERANGE;
    *ret = n;
    return 0;
}

bool network_has(const struct network *n, const struct ip *ip)
{
    struct ip masked;

    if (ip->family == 0 || n->base.family != ip->family)
        return false;
    masked = keep_bits(*ip, n->bits);
    return ip_equal(&masked, &n->base);
}

struct ip ip_mask(const struct ip *ip, unsigned bits4, unsigned bits6)
{
    return keep_bits(*ip, ip->family == 4 ? bits4 : bits6);
}
