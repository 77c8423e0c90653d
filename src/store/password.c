/* Password hashes: one table row a scheme. */
#include "facteur/store/password.h"

#include "facteur/base/codec.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"

#include <crypt.h>
#include <errno.h>
#include <sodium.h>

enum { PASSWORD_MAX = 255, HASH_MAX = 511 };
enum { ARGON_MEMORY_KIB_MAX = 128 * 1024, ARGON_TIME_MAX = 16, ARGON_MEMORY = 64 * 1024 * 1024, ARGON_TIME = 3 };
enum { SCRAM_ITERATIONS = 4096, SCRAM_ITERATIONS_MAX = 1000000, SCRAM_SALT = 16, SCRAM_SALT_MAX = 64, SCRAM_KEY = 32 };
enum { SHA_ROUNDS_MAX = 1000000, BCRYPT_COST_MAX = 14 };

static const char scram_tag[] = "{SCRAM-SHA-256}";

/* The hash that is computed where there is none to compare with: of yescrypt, the scheme that password_hash and /etc/shadow
 * use today. Nothing that it answers is believed. */
static const char nobody[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";

/* The decimal number behind `key` in a hash's parameters, or `fallback` without the key; UINT64_MAX if it is none. */
static uint64_t parameter(const char *hash, const char *key, uint64_t fallback)
{
    const char *at = strstr(hash, key);
    uint64_t n;

    if (at == NULL)
        return fallback;
    at += strlen(key);
    return slice_u64(slice_make(at, strspn(at, "0123456789")), UINT32_MAX, &n) == 0 ? n : UINT64_MAX;
}

static bool crypt_same(const char *hash, const char *password)
{
    struct crypt_data *data = mem_zero(sizeof *data); /* 32 KiB: not for a pool thread's stack */
    const char *made = crypt_r(password, hash, data);
    bool same = made != NULL && made[0] != '*' && slice_same_secret(slice_str(made), slice_str(hash));

    mem_free_secret(data, sizeof *data);
    return same;
}

static bool verify_crypt(const char *hash, struct slice password)
{
    return crypt_same(hash, password.p);
}

static bool verify_sha(const char *hash, struct slice password)
{
    return parameter(hash, "rounds=", 5000) <= SHA_ROUNDS_MAX && crypt_same(hash, password.p);
}

static bool verify_bcrypt(const char *hash, struct slice password)
{
    return parameter(hash + 3, "$", UINT64_MAX) <= BCRYPT_COST_MAX && crypt_same(hash, password.p);
}

static bool verify_argon2id(const char *hash, struct slice password)
{
    if (parameter(hash, "m=", UINT64_MAX) > ARGON_MEMORY_KIB_MAX || parameter(hash, "t=", UINT64_MAX) > ARGON_TIME_MAX)
        return false;
    return crypto_pwhash_str_verify(hash, password.p, password.n) == 0;
}

static void hmac(const unsigned char *key, size_t key_n, struct slice text, unsigned char to[SCRAM_KEY])
{
    crypto_auth_hmacsha256_state h;

    (void)crypto_auth_hmacsha256_init(&h, key, key_n);
    (void)crypto_auth_hmacsha256_update(&h, (const unsigned char *)text.p, text.n);
    (void)crypto_auth_hmacsha256_final(&h, to);
    sodium_memzero(&h, sizeof h);
}

/* Hi() of RFC 5802 section 2.2: PBKDF2 with HMAC-SHA-256, one block. The keyed state is made once and copied. */
static void scram_salted(struct slice password, struct slice salt, uint64_t iterations, unsigned char to[SCRAM_KEY])
{
    static const unsigned char one[4] = { 0, 0, 0, 1 };
    crypto_auth_hmacsha256_state keyed, h;
    unsigned char u[SCRAM_KEY];

    (void)crypto_auth_hmacsha256_init(&keyed, (const unsigned char *)password.p, password.n);
    h = keyed;
    (void)crypto_auth_hmacsha256_update(&h, (const unsigned char *)salt.p, salt.n);
    (void)crypto_auth_hmacsha256_update(&h, one, sizeof one);
    (void)crypto_auth_hmacsha256_final(&h, u);
    memcpy(to, u, SCRAM_KEY);
    for (uint64_t i = 1; i < iterations; i++) {
        h = keyed;
        (void)crypto_auth_hmacsha256_update(&h, u, sizeof u);
        (void)crypto_auth_hmacsha256_final(&h, u);
        for (size_t j = 0; j < SCRAM_KEY; j++)
            to[j] ^= u[j];
    }
    sodium_memzero(&keyed, sizeof keyed);
    sodium_memzero(&h, sizeof h);
    sodium_memzero(u, sizeof u);
}

/* StoredKey and ServerKey of RFC 5802 section 3. */
static void scram_keys(struct slice password, struct slice salt, uint64_t iterations, unsigned char stored[SCRAM_KEY],
                       unsigned char server[SCRAM_KEY])
{
    unsigned char salted[SCRAM_KEY], client[SCRAM_KEY];

    scram_salted(password, salt, iterations, salted);
    hmac(salted, sizeof salted, SLICE_LIT("Client Key"), client);
    (void)crypto_hash_sha256(stored, client, sizeof client);
    hmac(salted, sizeof salted, SLICE_LIT("Server Key"), server);
    sodium_memzero(salted, sizeof salted);
    sodium_memzero(client, sizeof client);
}

/* "{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey", the last three in base64, as Dovecot writes it. */
static bool verify_scram(const char *hash, struct slice password)
{
    struct slice rest = slice_str(hash + sizeof scram_tag - 1);
    struct slice count, salt64, stored64;
    unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];
    struct buf salt, key;
    uint64_t iterations;
    bool same = false;

    if (!slice_cut(&rest, ',', &count) || !slice_cut(&rest, ',', &salt64) || !slice_cut(&rest, ',', &stored64) ||
        slice_u64(count, SCRAM_ITERATIONS_MAX, &iterations) < 0 || iterations == 0)
        return false;
    buf_init(&salt, SCRAM_SALT_MAX);
    buf_init(&key, SCRAM_KEY);
    if (base64_decode(salt64, &salt) == 0 && base64_decode(stored64, &key) == 0 && salt.n > 0) {
        scram_keys(password, buf_slice(&salt), iterations, stored, server);
        same = slice_same_secret(buf_slice(&key), slice_make((const char *)stored, sizeof stored));
    }
    buf_clear(&salt);
    buf_clear(&key);
    return same;
}

static const struct {
    const char *prefix;
    bool (*verify)(const char *hash, struct slice password); /* the password ends in NUL */
} schemes[] = {
    { "$y$", verify_crypt }, { "$2b$", verify_bcrypt }, { "$2y$", verify_bcrypt },         { "$2a$", verify_bcrypt },
    { "$6$", verify_sha },   { "$5$", verify_sha },     { "$argon2id$", verify_argon2id }, { scram_tag, verify_scram },
};

bool password_verify(const char *const *hashes, size_t count, struct slice password)
{
    bool usable = password.n > 0 && password.n <= PASSWORD_MAX && slice_find(password, '\0') < 0;
    size_t n = usable ? password.n : 1;
    char *text = mem_dup(usable ? password.p : "x", n);
    bool same = false, worked = false;

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof schemes / sizeof schemes[0]; k++) {
            if (strlen(hashes[i]) > HASH_MAX || strncmp(hashes[i], schemes[k].prefix, strlen(schemes[k].prefix)) != 0)
                continue;
            same |= schemes[k].verify(hashes[i], slice_make(text, n));
            worked = true;
        }
    }
    if (!worked)
        (void)crypt_same(nobody, text);
    mem_free_secret(text, n);
    return usable && same;
}

static int hash_crypt(const char *prefix, unsigned long cost, const char *password, struct buf *out)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    char salt[32];
    struct crypt_data *data;
    const char *made;
    int r = -EINVAL;

    rand_bytes(salt, sizeof salt);
    if (crypt_gensalt_rn(prefix, cost, salt, sizeof salt, setting, sizeof setting) == NULL)
        return -EINVAL;
    data = mem_zero(sizeof *data);
    made = crypt_r(password, setting, data);
    if (made != NULL && made[0] != '*')
        r = buf_adds(out, made);
    mem_free_secret(data, sizeof *data);
    return r;
}

static int hash_argon2id(struct slice password, struct buf *out)
{
    char made[crypto_pwhash_STRBYTES];

    if (sodium_init() < 0 || crypto_pwhash_str_alg(made, password.p, password.n, ARGON_TIME, ARGON_MEMORY,
                                                   crypto_pwhash_ALG_ARGON2ID13) != 0)
        return -ENOMEM;
    return buf_adds(out, made);
}

static int hash_scram(struct slice password, struct buf *out)
{
    char salt[SCRAM_SALT];
    unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];

    rand_bytes(salt, sizeof salt);
    scram_keys(password, slice_make(salt, sizeof salt), SCRAM_ITERATIONS, stored, server);
    TRY(buf_addf(out, "%s%d,", scram_tag, SCRAM_ITERATIONS));
    TRY(base64_encode(slice_make(salt, sizeof salt), out));
    TRY(buf_addc(out, ','));
    TRY(base64_encode(slice_make((const char *)stored, sizeof stored), out));
    TRY(buf_addc(out, ','));
    return base64_encode(slice_make((const char *)server, sizeof server), out);
}

int password_hash(enum password_scheme scheme, struct slice password, struct buf *out, struct err *e)
{
    static const struct {
        const char *prefix;
        unsigned long cost; /* 0: the library's default */
    } by_crypt[] = {
        [PASSWORD_YESCRYPT] = { "$y$", 0 }, [PASSWORD_BCRYPT] = { "$2b$", 11 }, [PASSWORD_SHA512] = { "$6$", 0 }
    };
    char *text;
    int r;

    if (password.n == 0 || password.n > PASSWORD_MAX || slice_find(password, '\0') >= 0)
        return err_set(e, -EINVAL, "a password has 1 to %d octets and no NUL", PASSWORD_MAX);
    if (scheme == PASSWORD_BCRYPT && password.n > 72)
        return err_set(e, -EINVAL, "bcrypt takes 72 octets at most");
    text = mem_dup(password.p, password.n);
    if (scheme == PASSWORD_ARGON2ID)
        r = hash_argon2id(password, out);
    else if (scheme == PASSWORD_SCRAM)
        r = hash_scram(password, out);
    else
        r = hash_crypt(by_crypt[scheme].prefix, by_crypt[scheme].cost, text, out);
    mem_free_secret(text, password.n);
    return r < 0 ? err_set(e, r, "hash the password: %s", err_text(r)) : 0;
}
