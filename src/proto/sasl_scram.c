#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "sasl_priv.h"

#include <errno.h>
#include <sodium.h>

static void hmac(struct slice key, struct slice text, uint8_t out[SCRAM_KEY])
{
    crypto_auth_hmacsha256_state h;

    (void)crypto_auth_hmacsha256_init(&h, (const unsigned char *)key.p, key.n);
    (void)crypto_auth_hmacsha256_update(&h, (const unsigned char *)text.p, text.n);
    (void)crypto_auth_hmacsha256_final(&h, out);
    sodium_memzero(&h, sizeof h);
}

void scram_hmac(const uint8_t key[SCRAM_KEY], struct slice text, uint8_t out[SCRAM_KEY])
{
    hmac(slice_make((const char *)key, SCRAM_KEY), text, out);
}

void scram_hash(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY])
{
    (void)crypto_hash_sha256(out, in, SCRAM_KEY);
}

void scram_nonce(char to[SCRAM_NONCE + 1])
{
    uint8_t raw[SCRAM_NONCE / 4 * 3];

    rand_bytes(raw, sizeof raw);
    (void)sodium_bin2base64(to, SCRAM_NONCE + 1, raw, sizeof raw, sodium_base64_VARIANT_ORIGINAL);
}

int scram_attribute(struct slice *in, char name, struct slice *ret)
{
    struct slice rest = *in, head;

    (void)slice_cut(&rest, ',', &head);
    if (head.n < 2 || head.p[0] != name || head.p[1] != '=')
        return -EINVAL;
    *ret = slice_skip(head, 2);
    *in = rest;
    return 0;
}

bool sasl_is_plain_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= 255 && utf8_valid(s);
}

int sasl_decode(struct slice line, struct buf *to)
{
    buf_init(to, LIMIT_SASL_LINE);
    return base64_decode(line, to);
}

void sasl_buf_wipe(struct buf *b)
{
    mem_free_secret(b->p, b->cap);
    b->p = NULL;
    b->n = 0;
    b->cap = 0;
}

/* PBKDF2-HMAC-SHA-256 of one block (RFC 8018 5.2, RFC 5802 2.2 "Hi"). The keyed state is made once and copied: half the
 * compressions of calling HMAC anew. */
void sasl_scram_derive(struct slice password, const uint8_t *salt, size_t salt_n, uint32_t iterations, uint8_t out[32])
{
    static const uint8_t block_one[4] = { 0, 0, 0, 1 };
    crypto_auth_hmacsha256_state keyed, h;
    uint8_t u[SCRAM_KEY];

    (void)crypto_auth_hmacsha256_init(&keyed, (const unsigned char *)password.p, password.n);
    h = keyed;
    (void)crypto_auth_hmacsha256_update(&h, salt, salt_n);
    (void)crypto_auth_hmacsha256_update(&h, block_one, sizeof block_one);
    (void)crypto_auth_hmacsha256_final(&h, u);
    memcpy(out, u, SCRAM_KEY);
    for (uint32_t i = 1; i < iterations; i++) {
        h = keyed;
        (void)crypto_auth_hmacsha256_update(&h, u, sizeof u);
        (void)crypto_auth_hmacsha256_final(&h, u);
        for (size_t j = 0; j < SCRAM_KEY; j++)
            out[j] ^= u[j];
    }
    sodium_memzero(&keyed, sizeof keyed);
    sodium_memzero(&h, sizeof h);
    sodium_memzero(u, sizeof u);
}
