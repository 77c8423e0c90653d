/* A self-signed certificate, for tests and for a first start before there is a real one. */
#include "facteur/base/buf.h"
#include "facteur/base/mem.h"
#include "facteur/base/rand.h"
#include "tls_ctx_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { YEARS = 10, SAN_MAX = 16 * 1024, PEM_MAX = 32 * 1024 };

struct maker {
    mbedtls_ctr_drbg_context rng;
    mbedtls_pk_context key;
    mbedtls_x509write_cert cert;
    struct buf san;
};

/* A DER tag and length in front of n octets. */
static int add_head(struct buf *to, uint8_t tag, size_t n)
{
    TRY(buf_addc(to, (char)tag));
    if (n >= 256) {
        TRY(buf_addc(to, (char)0x82));
        TRY(buf_addc(to, (char)(n >> 8)));
    } else if (n >= 128) {
        TRY(buf_addc(to, (char)0x81));
    }
    return buf_addc(to, (char)(n & 255));
}

/* One GeneralName (RFC 5280 section 4.2.1.6): dNSName [2] or iPAddress [7]. */
static int add_name(struct buf *to, const char *name)
{
    uint8_t octets[16];
    size_t n = inet_pton(AF_INET, name, octets) == 1 ? 4 : inet_pton(AF_INET6, name, octets) == 1 ? 16 : 0;

    if (n > 0) {
        TRY(add_head(to, 0x87, n));
        return buf_add(to, octets, n);
    }
    TRY(add_head(to, 0x82, strlen(name)));
    return buf_adds(to, name);
}

/* mbedTLS 2.28 has no call for subjectAltName, so it is written by hand for all versions. */
static int make_san(const char *const *names, size_t count, struct buf *san)
{
    struct buf list;
    int rc = 0;

    buf_init(&list, SAN_MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_name(&list, names[i]);
    if (rc == 0)
        rc = add_name(&list, "127.0.0.1");
    if (rc == 0)
        rc = add_name(&list, "::1");
    if (rc == 0)
        rc = add_head(san, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE, list.n);
    if (rc == 0)
        rc = buf_add(san, list.p, list.n);
    buf_clear(&list);
    return rc;
}

static int set_dates(mbedtls_x509write_cert *cert)
{
    time_t now = time(NULL) - 24 * 3600; /* clocks that are a little behind accept it too */
    struct tm tm;
    char from[32], to[32];

    if (gmtime_r(&now, &tm) == NULL || strftime(from, sizeof from, "%Y%m%d%H%M%S", &tm) == 0)
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    tm.tm_year += YEARS;
    if (tm.tm_mon == 1 && tm.tm_mday == 29)
        tm.tm_mday = 28;
    if (strftime(to, sizeof to, "%Y%m%d%H%M%S", &tm) == 0)
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    return mbedtls_x509write_crt_set_validity(cert, from, to);
}

static int fill_cert(struct maker *m, const char *common_name)
{
    unsigned char serial[16];
    char subject[80];

    rand_bytes(serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive and never zero */
    /* A common name holds 64 characters at most and is only for people to read: clients look at subjectAltName. */
    (void)snprintf(subject, sizeof subject, "CN=%.64s", common_name);
    mbedtls_x509write_crt_set_version(&m->cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&m->cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&m->cert, &m->key);
    mbedtls_x509write_crt_set_issuer_key(&m->cert, &m->key);
    TRY(compat_set_serial(&m->cert, serial, sizeof serial));
    TRY(mbedtls_x509write_crt_set_subject_name(&m->cert, subject));
    TRY(mbedtls_x509write_crt_set_issuer_name(&m->cert, subject));
    TRY(set_dates(&m->cert));
    TRY(mbedtls_x509write_crt_set_basic_constraints(&m->cert, 0, -1));
    TRY(mbedtls_x509write_crt_set_subject_key_identifier(&m->cert));
    TRY(mbedtls_x509write_crt_set_authority_key_identifier(&m->cert));
    return mbedtls_x509write_crt_set_extension(&m->cert, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                               (const unsigned char *)m->san.p, m->san.n);
}

static int make_key(struct maker *m)
{
    TRY(mbedtls_pk_setup(&m->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(m->key), mbedtls_ctr_drbg_random, &m->rng);
}

static int write_file(const char *path, mode_t mode, const char *text, struct err *e)
{
    size_t n = strlen(text), done = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc = 0;

    if (fd < 0)
        return err_set(e, -errno, "cannot write %s: %s", path, err_text(-errno));
    if (fchmod(fd, mode) < 0)
        rc = -errno;
    while (rc == 0 && done < n) {
        ssize_t put = write(fd, text + done, n - done);

        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            rc = -errno;
    }
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc == 0 ? 0 : err_set(e, rc, "cannot write %s: %s", path, err_text(rc));
}

static int make(struct maker *m, const char *const *names, size_t count, const char *cert_path, const char *key_path,
                struct err *e)
{
    char pem[PEM_MAX], why[128];
    int rc;

    TRY(tls_rng_start(&m->rng, e));
    if (make_san(names, count, &m->san) < 0)
        return err_set(e, -EINVAL, "too many names for one certificate");
    rc = make_key(m);
    if (rc == 0)
        rc = fill_cert(m, count > 0 ? names[0] : "localhost");
    if (rc == 0)
        rc = mbedtls_pk_write_key_pem(&m->key, (unsigned char *)pem, sizeof pem);
    if (rc == 0 && write_file(key_path, 0600, pem, e) < 0)
        return e != NULL ? e->code : -EIO;
    if (rc == 0)
        rc = mbedtls_x509write_crt_pem(&m->cert, (unsigned char *)pem, sizeof pem, mbedtls_ctr_drbg_random, &m->rng);
    if (rc != 0)
        return err_set(e, -EIO, "self-signed certificate: %s", tls_error(rc, why, sizeof why));
    return write_file(cert_path, 0644, pem, e);
}

int tls_self_signed(const char *const *names, size_t count, const char *cert_path, const char *key_path, struct err *e)
{
    struct maker *m = mem_zero(sizeof *m);
    int rc;

    mbedtls_pk_init(&m->key);
    mbedtls_x509write_crt_init(&m->cert);
    buf_init(&m->san, SAN_MAX);
    rc = make(m, names, count, cert_path, key_path, e);
    mbedtls_x509write_crt_free(&m->cert);
    mbedtls_pk_free(&m->key);
    mbedtls_ctr_drbg_free(&m->rng);
    buf_clear(&m->san);
    mem_free(m);
    return rc;
}
