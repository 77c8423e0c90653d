/* The DNS decoder. The first octet chooses the type; the question asked is "a.test" or what the message itself asks. */
#include "facteur/io/dns.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = { DNS_A, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA };
    struct dns_answer a;

    if (size == 0)
        return 0;
    if (dns_answer_parse(slice_make((const char *)data + 1, size - 1), types[data[0] % 6], SLICE_LIT("a.test"), &a) < 0)
        return 0;
    if (a.count > 128 || (a.status == DNS_OK) != (a.count > 0))
        abort();
    for (size_t i = 0; i < a.count; i++) {
        unsigned sum = 0;

        if (strlen(a.records[i].name) > 254)
            abort();
        for (size_t j = 0; j < a.records[i].text.n; j++)
            sum += (unsigned char)a.records[i].text.p[j];
        if (sum > 255u * 65535u)
            abort();
    }
    dns_answer_free(&a);
    return 0;
}
