#include "facteur/store/scram_keys.h"

#include "facteur/base/codec.h"
#include "facteur/base/rand.h"

#include <sodium.h>

enum { PRETENDED_ITERATIONS = 4096, PRETENDED_SALT = 16 };

static const char prefix[] = "{SCRAM-SHA-256}";

/* One base64 field of min to max octets. */
static bool read_field(struct slice *in, size_t min, size_t max, uint8_t *to, uint8_t *ret_n)
{
    struct slice field;
    struct buf raw;
    bool good;

    (void)slice_cut(in, ',', &field);
    buf_init(&raw, max);
    good = base64_decode(field, &raw) == 0 && raw.n >= min;
    if (good) {
        memcpy(to, raw.p, raw.n);
        *ret_n = (uint8_t)raw.n;
    }
    buf_clear(&raw);
    return good;
}

static bool parse(struct slice in, struct scram_keys *ret)
{
    struct slice number;
    struct scram_keys k = { .salt_n = 0 };
    uint64_t iterations;
    uint8_t n;

    if (!slice_istarts(in, prefix))
        return false;
    in = slice_skip(in, sizeof prefix - 1);
    if (!slice_cut(&in, ',', &number) || slice_u64(number, UINT32_MAX, &iterations) < 0 || iterations == 0)
        return false;
    k.iterations = (uint32_t)iterations;
    if (!read_field(&in, 1, sizeof k.salt, k.salt, &k.salt_n) ||
        !read_field(&in, sizeof k.stored, sizeof k.stored, k.stored, &n) ||
        !read_field(&in, sizeof k.server, sizeof k.server, k.server, &n))
        return false;
    *ret = k;
    return true;
}

bool scram_keys_find(const char *const *hashes, size_t count, struct scram_keys *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (parse(slice_str(hashes[i]), ret))
            return true;
    }
    return false;
}

void scram_keys_pretend(struct slice user, const uint8_t secret[32], struct scram_keys *ret)
{
    uint8_t mac[crypto_auth_hmacsha256_BYTES];

    (void)crypto_auth_hmacsha256(mac, (const unsigned char *)user.p, user.n, secret);
    ret->salt_n = PRETENDED_SALT;
    memcpy(ret->salt, mac, PRETENDED_SALT);
    ret->iterations = PRETENDED_ITERATIONS;
    rand_bytes(ret->stored, sizeof ret->stored);
    rand_bytes(ret->server, sizeof ret->server);
}
