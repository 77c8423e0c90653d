/* Names in certificates: which one answers to which name. */
#include "tls_ctx_priv.h"

#include <arpa/inet.h>

enum { SAN_DNS = 2, SAN_IP = 7 }; /* GeneralName's tags, RFC 5280 section 4.2.1.6 */

static size_t address_octets(struct slice name, uint8_t to[16])
{
    char text[INET6_ADDRSTRLEN];

    if (slice_copy(name, text, sizeof text) < 0)
        return 0;
    if (inet_pton(AF_INET, text, to) == 1)
        return 4;
    return inet_pton(AF_INET6, text, to) == 1 ? 16 : 0;
}

bool tls_is_address(struct slice name)
{
    uint8_t octets[16];

    return address_octets(name, octets) > 0;
}

static bool dns_matches(struct slice pattern, struct slice name)
{
    ptrdiff_t dot;

    if (pattern.n < 3 || pattern.p[0] != '*' || pattern.p[1] != '.')
        return slice_ieq(pattern, name);
    dot = slice_find(name, '.');
    return dot > 0 && slice_ieq(slice_skip(pattern, 1), slice_skip(name, (size_t)dot));
}

bool tls_cert_names(const mbedtls_x509_crt *cert, struct slice name)
{
    uint8_t octets[16];
    size_t n = address_octets(name, octets);

    for (const mbedtls_x509_sequence *san = &cert->subject_alt_names; san != NULL; san = san->next) {
        struct slice value = slice_make((const char *)san->buf.p, san->buf.len);
        int tag = san->buf.tag & (MBEDTLS_ASN1_TAG_CLASS_MASK | MBEDTLS_ASN1_TAG_VALUE_MASK);

        if (n == 0 && tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | SAN_DNS) && dns_matches(value, name))
            return true;
        if (n > 0 && tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | SAN_IP) &&
            slice_eq(value, slice_make((const char *)octets, n)))
            return true;
    }
    return false;
}
