/* The PROXY header: what is DONE stays DONE with more behind it, and each beginning of it is MORE. */
#include "facteur/io/listener.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make((const char *)data, size);
    struct endpoint ep, again;
    size_t used, used_again;
    char text[ENDPOINT_TEXT];

    if (proxy_header_parse(in, &used, &ep) != DONE)
        return 0;
    if (used > size || used == 0 || (ep.family != 0 && ep.family != 4 && ep.family != 6))
        abort();
    endpoint_format(&ep, text);
    if (proxy_header_parse(slice_head(in, used), &used_again, &again) != DONE || used_again != used ||
        !endpoint_equal(&ep, &again))
        abort();
    for (size_t n = 0; n < used; n++)
        if (proxy_header_parse(slice_head(in, n), &used, &ep) != MORE)
            abort();
    return 0;
}
