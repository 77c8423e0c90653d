/* From, To and the like: nothing but an answer, and every address in it is one that the envelope would take. */
#include "facteur/base/mem.h"
#include "facteur/mail/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct address a[4], again;
    int n = header_addresses((struct slice){ (const char *)data, size }, a, 4);

    for (int i = 0; i < n && i < 4; i++) {
        char *text = address_str(&a[i]);

        if (address_parse(slice_str(text), ADDRESS_UTF8 | ADDRESS_LITERAL, &again) < 0)
            abort();
        mem_free(text);
    }
    return 0;
}
