/* Envelope addresses: whatever is accepted has one canonical form that reads back as itself. */
#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct address *a, unsigned flags)
{
    char *text = address_str(a);
    char key[LIMIT_LOCAL_PART + LIMIT_DOMAIN + 3];
    struct address again, cut = *a;

    for (const char *p = text; *p != '\0'; p++)
        require((unsigned char)*p >= 0x20 && *p != 0x7f);
    require(a->utf8 == !ascii_only(slice_str(a->local)));
    require(ascii_only(slice_str(a->domain)));
    require(utf8_valid(slice_str(a->local)));
    require((flags & ADDRESS_UTF8) != 0 || !a->utf8);
    require((flags & ADDRESS_BARE) != 0 || a->domain[0] != '\0');
    require((flags & ADDRESS_LITERAL) != 0 || a->domain[0] != '[');
    require(address_parse(slice_str(text), flags, &again) == 0);
    require(slice_is(slice_str(again.local), a->local) && slice_is(slice_str(again.domain), a->domain));
    address_key(a, key);
    require(strlen(key) == strlen(a->local) + 1 + strlen(a->domain));
    (void)address_cut_tag(&cut, "+-");
    require(cut.local[0] != '\0');
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char domain[LIMIT_DOMAIN + 1], again[LIMIT_DOMAIN + 1];
    struct slice in, rest;
    struct address a;
    unsigned flags;

    if (size < 1)
        return 0;
    flags = data[0] & 7;
    in = (struct slice){ (const char *)data + 1, size - 1 };
    if (address_parse(in, flags, &a) == 0)
        check(&a, flags);
    rest = in;
    if (path_parse(&rest, flags, &a) == 0) {
        require(rest.n < in.n && rest.p + rest.n == in.p + in.n);
        if (!address_is_null(&a))
            check(&a, flags);
    }
    if (domain_parse(in, domain) == 0)
        require(domain_parse(slice_str(domain), again) == 0 && slice_is(slice_str(domain), again));
    if (helo_parse(in, domain) == 0)
        require(helo_parse(slice_str(domain), again) == 0 && slice_is(slice_str(domain), again));
    return 0;
}
