/* Both sides of SASL, line by line. First octet: side and mechanism; the lines are separated by LF. */
#include "facteur/proto/sasl.h"

#include "facteur/base/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void keys(void *ctx, struct slice user, struct sasl_scram_keys *ret)
{
    (void)ctx;
    check(user.n > 0 && user.n < 256 && utf8_valid(user));
    *ret = (struct sasl_scram_keys){ .known = true, .salt = "salt", .salt_n = 4, .iterations = 4096 };
}

static void check_base64(const struct buf *out)
{
    struct buf decoded;

    buf_init(&decoded, LIMIT_SASL_LINE);
    check(base64_decode(buf_slice(out), &decoded) == 0);
    buf_clear(&decoded);
}

static void fuzz_server(struct slice mechanism, struct slice in)
{
    static const struct sasl_mechanisms all = { true, true, true };
    struct sasl_server s = { 0 };
    struct slice line;
    enum sasl_step step = SASL_MALFORMED;
    struct buf out;
    bool more = slice_cut(&in, '\n', &line);

    buf_init(&out, LIMIT_SASL_LINE);
    if (sasl_server_start(&s, mechanism, &all, line.n > 0 ? &line : NULL, keys, NULL, &step, &out) < 0)
        return;
    while (step == SASL_CONTINUE && more) {
        check_base64(&out);
        buf_reset(&out);
        more = slice_cut(&in, '\n', &line);
        step = sasl_server_next(&s, line, keys, NULL, &out);
    }
    if (step == SASL_ATTEMPT) {
        check(s.attempt.user[0] != '\0' && memchr(s.attempt.user, '\0', sizeof s.attempt.user) != NULL);
        check(s.attempt.scram || s.attempt.password[0] != '\0');
        check(!s.attempt.scram_proved); /* nobody guesses a key of zeros' proof */
    }
    sasl_server_clear(&s);
    buf_clear(&out);
}

static void fuzz_client(const char *mechanism, struct slice in)
{
    struct sasl_client c;
    struct slice line;
    struct buf out;
    uint8_t salted[32] = { 0 };
    bool more = in.n > 0;

    buf_init(&out, LIMIT_SASL_LINE);
    check(sasl_client_start(&c, mechanism, "user", "secret", &out) == 0);
    if (c.state == SASL_C_SCRAM_FIRST)
        memcpy(c.nonce, "AAAAAAAAAAAAAAAAAAAAAAAA", 25); /* so that an input can name it */
    while (more) {
        enum sasl_client_step step;

        buf_reset(&out);
        more = slice_cut(&in, '\n', &line);
        step = sasl_client_next(&c, line, &out);
        if (step == SASL_CLIENT_FAILED)
            break;
        if (step == SASL_CLIENT_KEY) {
            check(c.iterations >= 4096 && c.iterations <= 1000000 && c.salt_n > 0 && c.salt_n <= sizeof c.salt);
            check(sasl_client_key(&c, salted, &out) == 0);
        }
        check_base64(&out);
    }
    sasl_client_clear(&c);
    buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const mechanisms[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256" };
    struct slice in = slice_make((const char *)data, size);

    if (size == 0 || size > LIMIT_SASL_LINE)
        return 0;
    in = slice_skip(in, 1);
    if ((data[0] & 4) == 0)
        fuzz_server(slice_str(mechanisms[data[0] % 3]), in);
    else
        fuzz_client(mechanisms[data[0] % 3], in);
    return 0;
}
