#include "load_priv.h"

#include "facteur/base/codec.h"

#include <errno.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* The letter alone counts in 1024s, as everybody means it; "MB" is the decimal unit that it says. */
static const struct unit size_units[] = {
    { "", 1 },
    { "B", 1 },
    { "K", 1ULL << 10 },
    { "KiB", 1ULL << 10 },
    { "kB", 1000 },
    { "KB", 1000 },
    { "M", 1ULL << 20 },
    { "MiB", 1ULL << 20 },
    { "MB", 1000ULL * 1000 },
    { "G", 1ULL << 30 },
    { "GiB", 1ULL << 30 },
    { "GB", 1000ULL * 1000 * 1000 },
    { "T", 1ULL << 40 },
    { "TiB", 1ULL << 40 },
};

static const struct unit duration_units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 },
};

/* Takes the digits off the front. */
static int take_number(struct slice *s, uint64_t *ret)
{
    size_t n = 0;
    uint64_t value;

    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (n == 0)
        return -EINVAL;
    TRY(slice_u64(slice_head(*s, n), UINT64_MAX, &value));
    *s = slice_skip(*s, n);
    *ret = value;
    return 0;
}

int size_parse(struct slice text, uint64_t *ret)
{
    uint64_t value, size;

    TRY(take_number(&text, &value));
    text = slice_trim(text);
    for (size_t i = 0; i < sizeof size_units / sizeof *size_units; i++) {
        if (!slice_is(text, size_units[i].name))
            continue;
        if (__builtin_mul_overflow(value, size_units[i].factor, &size))
            return -ERANGE;
        *ret = size;
        return 0;
    }
    return -EINVAL;
}

static const struct unit *take_unit(struct slice *s)
{
    size_t n = 0;

    while (n < s->n && s->p[n] >= 'a' && s->p[n] <= 'z')
        n++;
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++)
        if (slice_is(slice_head(*s, n), duration_units[i].name)) {
            *s = slice_skip(*s, n);
            return &duration_units[i];
        }
    return NULL;
}

int duration_parse(struct slice text, int64_t *ret)
{
    uint64_t total = 0, value, part;

    if (slice_is(text, "0")) {
        *ret = 0;
        return 0;
    }
    do {
        const struct unit *unit;

        TRY(take_number(&text, &value));
        text = slice_trim(text); /* "5 d" is as good as "5d" */
        unit = take_unit(&text);
        text = slice_trim(text);
        if (unit == NULL)
            return -EINVAL;
        if (__builtin_mul_overflow(value, unit->factor, &part) || __builtin_add_overflow(total, part, &total) ||
            total > INT64_MAX)
            return -ERANGE;
    } while (text.n > 0);
    *ret = (int64_t)total;
    return 0;
}

int size_format(uint64_t size, struct buf *out)
{
    static const struct unit told[] = { { " GiB", 1ULL << 30 }, { " MiB", 1ULL << 20 }, { " KiB", 1ULL << 10 } };

    for (size_t i = 0; size > 0 && i < sizeof told / sizeof *told; i++)
        if (size % told[i].factor == 0)
            return buf_addf(out, "%llu%s", (unsigned long long)(size / told[i].factor), told[i].name);
    return buf_addf(out, "%llu", (unsigned long long)size);
}

int duration_format(int64_t ms, struct buf *out)
{
    uint64_t rest = ms > 0 ? (uint64_t)ms : 0;

    if (rest == 0)
        return buf_adds(out, "0");
    for (size_t i = sizeof duration_units / sizeof *duration_units - 1; i-- > 0;) { /* weeks are told in days */
        uint64_t count = rest / duration_units[i].factor;

        if (count == 0)
            continue;
        TRY(buf_addf(out, "%llu%s", (unsigned long long)count, duration_units[i].name));
        rest %= duration_units[i].factor;
    }
    return 0;
}

static bool is_base64_of(struct slice text, size_t least, size_t most)
{
    struct buf decoded;
    bool fits;

    buf_init(&decoded, most);
    fits = base64_decode(text, &decoded) == 0 && decoded.n >= least;
    buf_clear(&decoded);
    return fits;
}

bool hash_is_scram(struct slice hash)
{
    return slice_istarts(hash, "{SCRAM-SHA-256}");
}

/* {SCRAM-SHA-256}iterations,salt,stored key,server key (RFC 5802 section 3; Dovecot's spelling). */
static bool is_scram(struct slice hash)
{
    enum { SHA256 = 32, SALT_LEAST = 4, SALT_MOST = 64, ITERATIONS_MOST = 10000000 };
    struct slice rest = slice_skip(hash, sizeof "{SCRAM-SHA-256}" - 1), iterations, salt, stored;
    uint64_t count;

    if (!slice_cut(&rest, ',', &iterations) || !slice_cut(&rest, ',', &salt) || !slice_cut(&rest, ',', &stored))
        return false;
    return slice_u64(iterations, ITERATIONS_MOST, &count) == 0 && count > 0 &&
           is_base64_of(salt, SALT_LEAST, SALT_MOST) && is_base64_of(stored, SHA256, SHA256) &&
           is_base64_of(rest, SHA256, SHA256);
}

/* crypt(5) and argon2's encoded form by prefix and least length; the characters are those of every such hash. */
bool hash_is_known(struct slice hash)
{
    static const struct {
        const char *prefix;
        size_t least;
    } schemes[] = {
        { "$y$", 50 }, { "$2a$", 60 }, { "$2b$", 60 },       { "$2y$", 60 },
        { "$6$", 90 }, { "$5$", 46 },  { "$argon2id$", 60 },
    };

    if (hash_is_scram(hash))
        return is_scram(hash);
    for (size_t i = 0; i < hash.n; i++)
        if (hash.p[i] <= 0x20 || hash.p[i] >= 0x7f || strchr(":;*!\\", hash.p[i]) != NULL)
            return false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (slice_istarts(hash, schemes[i].prefix) && hash.n >= schemes[i].least)
            return true;
    return false;
}
