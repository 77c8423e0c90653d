#include "facteur/proto/sasl.h"

#include "facteur/base/codec.h"
#include "sasl_priv.h"

#include <errno.h>
#include <sodium.h>

/* What is in hand while one decoded line is judged. */
struct exchange {
    struct sasl_server *s;
    sasl_keys_fn *keys;
    void *ctx;
    struct buf *out;
};

static enum sasl_step ask(const struct exchange *x, const char *text, unsigned next_state)
{
    x->s->state = next_state;
    return base64_encode(slice_str(text), x->out) == 0 ? SASL_CONTINUE : SASL_MALFORMED;
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static enum sasl_step step_plain(const struct exchange *x, struct slice in)
{
    struct sasl_attempt *a = &x->s->attempt;
    struct slice authzid, user;

    if (!slice_cut(&in, '\0', &authzid) || !slice_cut(&in, '\0', &user))
        return SASL_MALFORMED;
    if ((authzid.n > 0 && !sasl_is_plain_text(authzid)) || !sasl_is_plain_text(user) || !sasl_is_plain_text(in))
        return SASL_MALFORMED;
    if (slice_copy(authzid, a->authzid, sizeof a->authzid) < 0 || slice_copy(user, a->user, sizeof a->user) < 0 ||
        slice_copy(in, a->password, sizeof a->password) < 0)
        return SASL_MALFORMED;
    return SASL_ATTEMPT;
}

static enum sasl_step step_login_user(const struct exchange *x, struct slice in)
{
    struct sasl_attempt *a = &x->s->attempt;

    if (!sasl_is_plain_text(in) || slice_copy(in, a->user, sizeof a->user) < 0)
        return SASL_MALFORMED;
    return ask(x, "Password:", SASL_LOGIN_PASS);
}

static enum sasl_step step_login_pass(const struct exchange *x, struct slice in)
{
    struct sasl_attempt *a = &x->s->attempt;

    if (!sasl_is_plain_text(in) || slice_copy(in, a->password, sizeof a->password) < 0)
        return SASL_MALFORMED;
    return SASL_ATTEMPT;
}

/* saslname: "," and "=" stand as =2C and =3D (RFC 5802 5.1). */
static int read_saslname(struct slice in, char to[256])
{
    char name[256];
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];

        if (c == '=') {
            struct slice code = slice_head(slice_skip(in, i + 1), 2);

            if (!slice_is(code, "2C") && !slice_is(code, "3D"))
                return -EINVAL;
            c = slice_is(code, "2C") ? ',' : '=';
            i += 2;
        }
        if (n == sizeof name - 1)
            return -EINVAL;
        name[n++] = c;
    }
    if (!sasl_is_plain_text(slice_make(name, n)))
        return -EINVAL;
    memcpy(to, name, n);
    to[n] = '\0';
    return 0;
}

/* gs2-header: "n" or "y" (no channel binding), an authzid, two commas. Leaves *in at client-first-message-bare. */
static int read_gs2(struct sasl_server *s, struct slice *in)
{
    struct slice rest = *in, part;

    if (!slice_cut(&rest, ',', &part) || (!slice_is(part, "n") && !slice_is(part, "y")))
        return -EINVAL;
    if (!slice_cut(&rest, ',', &part))
        return -EINVAL;
    if (part.n > 0 &&
        (part.n < 2 || memcmp(part.p, "a=", 2) != 0 || read_saslname(slice_skip(part, 2), s->attempt.authzid) < 0))
        return -EINVAL;
    s->gs2_n = in->n - rest.n;
    TRY(buf_add(&s->text, in->p, s->gs2_n));
    *in = rest;
    return 0;
}

static bool is_nonce(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    return s.n > 0;
}

/* client-first-message in, server-first-message out: r=nonce,s=salt,i=iterations. */
static int scram_first(const struct exchange *x, struct slice in)
{
    struct sasl_server *s = x->s;
    struct slice bare, name, nonce;
    char ours[SCRAM_NONCE + 1], salt[sodium_base64_ENCODED_LEN(sizeof s->keys.salt, sodium_base64_VARIANT_ORIGINAL)];
    size_t at;

    buf_init(&s->text, SCRAM_TEXT);
    TRY(read_gs2(s, &in));
    bare = in;
    TRY(scram_attribute(&in, 'n', &name)); /* "m=", an extension that must be known, ends here too */
    TRY(scram_attribute(&in, 'r', &nonce));
    TRY(read_saslname(name, s->attempt.user));
    if (!is_nonce(nonce) || nonce.n > sizeof s->nonce - 1 - SCRAM_NONCE)
        return -EINVAL;
    scram_nonce(ours);
    memcpy(s->nonce, nonce.p, nonce.n);
    memcpy(s->nonce + nonce.n, ours, sizeof ours);
    x->keys(x->ctx, slice_str(s->attempt.user), &s->keys);

    if (s->keys.salt_n > sizeof s->keys.salt)
        return -EINVAL;
    (void)sodium_bin2base64(salt, sizeof salt, s->keys.salt, s->keys.salt_n, sodium_base64_VARIANT_ORIGINAL);
    TRY(buf_add(&s->text, bare.p, bare.n));
    TRY(buf_addc(&s->text, ','));
    at = s->text.n;
    TRY(buf_addf(&s->text, "r=%s,s=%s,i=%u", s->nonce, salt, (unsigned)s->keys.iterations));
    return base64_encode(slice_skip(buf_slice(&s->text), at), x->out);
}

static enum sasl_step step_scram_first(const struct exchange *x, struct slice in)
{
    x->s->state = SASL_SCRAM_FINAL;
    return scram_first(x, in) == 0 ? SASL_CONTINUE : SASL_MALFORMED;
}

/* Whether the "c=" of the client's last message is the GS2 header of its first. */
static bool is_same_gs2(const struct sasl_server *s, struct slice value)
{
    struct buf gs2;
    bool same;

    same = sasl_decode(value, &gs2) == 0 && slice_eq(buf_slice(&gs2), slice_head(buf_slice(&s->text), s->gs2_n));
    buf_clear(&gs2);
    return same;
}

/* RFC 5802 3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage); its hash must be StoredKey. */
static bool is_proved(const struct sasl_server *s, struct slice proof)
{
    struct slice signed_text = slice_skip(buf_slice(&s->text), s->gs2_n);
    uint8_t key[SCRAM_KEY], stored[SCRAM_KEY];
    bool proved;

    scram_hmac(s->keys.stored, signed_text, key);
    for (size_t i = 0; i < SCRAM_KEY; i++)
        key[i] ^= (uint8_t)proof.p[i];
    scram_hash(key, stored);
    proved = sodium_memcmp(stored, s->keys.stored, SCRAM_KEY) == 0;
    sodium_memzero(key, sizeof key);
    return proved && s->keys.known;
}

/* client-final-message: c=gs2,r=nonce[,extensions],p=proof. 0 when it is well-formed; the proof stands decoded in
 * *proof.
 */
static int scram_final(struct sasl_server *s, struct slice in, struct buf *proof)
{
    struct slice whole = in, gs2, nonce, last;

    TRY(scram_attribute(&in, 'c', &gs2));
    TRY(scram_attribute(&in, 'r', &nonce));
    do
        last = in;
    while (slice_cut(&in, ',', &gs2 /* an extension */));
    in = whole;
    TRY(scram_attribute(&in, 'c', &gs2));
    if (last.n < 2 || memcmp(last.p, "p=", 2) != 0 || !is_same_gs2(s, gs2) || !slice_is(nonce, s->nonce))
        return -EINVAL;
    if (sasl_decode(slice_skip(last, 2), proof) < 0 || proof->n != SCRAM_KEY)
        return -EINVAL;
    TRY(buf_addc(&s->text, ','));
    return buf_add(&s->text, whole.p, whole.n - last.n - 1);
}

static enum sasl_step step_scram_final(const struct exchange *x, struct slice in)
{
    struct sasl_server *s = x->s;
    uint8_t signature[SCRAM_KEY];
    struct buf b = { 0 };
    enum sasl_step step = SASL_MALFORMED;

    if (scram_final(s, in, &b) == 0) {
        s->attempt.scram_proved = is_proved(s, buf_slice(&b));
        step = s->attempt.scram_proved ? SASL_CONTINUE : SASL_ATTEMPT;
    }
    sasl_buf_wipe(&b);
    if (step != SASL_CONTINUE)
        return step;
    /* Our own proof goes before the 235, as one more challenge that the client answers with an empty line. */
    scram_hmac(s->keys.server, slice_skip(buf_slice(&s->text), s->gs2_n), signature);
    buf_init(&b, 64);
    s->state = SASL_SCRAM_ACK;
    if (buf_adds(&b, "v=") < 0 || base64_encode(slice_make((const char *)signature, sizeof signature), &b) < 0 ||
        base64_encode(buf_slice(&b), x->out) < 0)
        step = SASL_MALFORMED;
    buf_clear(&b);
    return step;
}

static enum sasl_step step_scram_ack(const struct exchange *x, struct slice in)
{
    (void)x;
    return in.n == 0 ? SASL_ATTEMPT : SASL_MALFORMED;
}

static enum sasl_step step(const struct exchange *x, struct slice decoded)
{
    static enum sasl_step (*const steps[])(const struct exchange *x, struct slice in) = {
        [SASL_PLAIN] = step_plain,
        [SASL_LOGIN_USER] = step_login_user,
        [SASL_LOGIN_PASS] = step_login_pass,
        [SASL_SCRAM_FIRST] = step_scram_first,
        [SASL_SCRAM_FINAL] = step_scram_final,
        [SASL_SCRAM_ACK] = step_scram_ack,
    };

    return x->s->state == SASL_IDLE ? SASL_MALFORMED : steps[x->s->state](x, decoded);
}

enum sasl_step sasl_server_next(struct sasl_server *s, struct slice line, sasl_keys_fn *keys, void *ctx,
                                struct buf *out)
{
    struct exchange x = { s, keys, ctx, out };
    struct buf decoded;
    enum sasl_step ret = SASL_MALFORMED;

    if (slice_is(line, "*"))
        return SASL_CANCELLED;
    if (sasl_decode(line, &decoded) == 0)
        ret = step(&x, buf_slice(&decoded));
    sasl_buf_wipe(&decoded);
    return ret;
}

/* One row a mechanism; `prompt` is sent when there was no initial response. */
struct mechanism {
    const char *name;
    size_t offered; /* offset of its flag in struct sasl_mechanisms */
    unsigned state;
    const char *prompt;
};
static const struct mechanism mechanisms[] = {
    { "PLAIN", offsetof(struct sasl_mechanisms, plain), SASL_PLAIN, "" },
    { "LOGIN", offsetof(struct sasl_mechanisms, login), SASL_LOGIN_USER, "Username:" },
    { "SCRAM-SHA-256", offsetof(struct sasl_mechanisms, scram), SASL_SCRAM_FIRST, "" },
};

int sasl_server_start(struct sasl_server *s, struct slice mechanism, const struct sasl_mechanisms *offered,
                      const struct slice *initial, sasl_keys_fn *keys, void *ctx, enum sasl_step *ret, struct buf *out)
{
    const struct mechanism *m = NULL;
    struct exchange x = { s, keys, ctx, out };

    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (slice_iis(mechanism, mechanisms[i].name) &&
            *(const bool *)(const void *)((const char *)offered + mechanisms[i].offered))
            m = &mechanisms[i];
    if (m == NULL)
        return -ENOTSUP;
    sasl_server_clear(s);
    s->state = m->state;
    s->attempt.mechanism = m->name;
    s->attempt.scram = m->state == SASL_SCRAM_FIRST;
    if (initial == NULL)
        *ret = ask(&x, m->prompt, m->state);
    else
        *ret = sasl_server_next(s, slice_is(*initial, "=") ? SLICE_LIT("") : *initial, keys, ctx, out);
    return 0;
}

void sasl_server_clear(struct sasl_server *s)
{
    sasl_buf_wipe(&s->text);
    sodium_memzero(s, sizeof *s);
}
