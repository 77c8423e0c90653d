/* facteur: io/tls (for io only): the one place that knows which mbedTLS this is.
 * Purpose:   2.28 and 3.x under the same few names.
 * Owner:     no state.
 * Thread:    any.
 * Limits:    none.
 * Standards: none. */
#ifndef FACTEUR_IO_TLS_COMPAT_H
#define FACTEUR_IO_TLS_COMPAT_H

#include <mbedtls/version.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>

static inline int compat_start(void) /* TLS 1.3 computes through PSA; calling it again is fine */
{
    return psa_crypto_init() == PSA_SUCCESS ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}
static inline int compat_parse_key(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *rng)
{
    return mbedtls_pk_parse_keyfile(key, path, NULL, mbedtls_ctr_drbg_random, rng);
}
static inline int compat_check_pair(mbedtls_x509_crt *cert, mbedtls_pk_context *key, mbedtls_ctr_drbg_context *rng)
{
    return mbedtls_pk_check_pair(&cert->pk, key, mbedtls_ctr_drbg_random, rng);
}
static inline void compat_min_version(mbedtls_ssl_config *conf)
{
    mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
#endif
}
static inline int compat_set_serial(mbedtls_x509write_cert *cert, unsigned char *serial, size_t n)
{
    return mbedtls_x509write_crt_set_serial_raw(cert, serial, n);
}
#else
#include <mbedtls/bignum.h>

static inline int compat_start(void)
{
    return 0;
}
static inline int compat_parse_key(mbedtls_pk_context *key, const char *path, mbedtls_ctr_drbg_context *rng)
{
    (void)rng;
    return mbedtls_pk_parse_keyfile(key, path, NULL);
}
static inline int compat_check_pair(mbedtls_x509_crt *cert, mbedtls_pk_context *key, mbedtls_ctr_drbg_context *rng)
{
    (void)rng;
    return mbedtls_pk_check_pair(&cert->pk, key);
}
static inline void compat_min_version(mbedtls_ssl_config *conf)
{
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
}
static inline int compat_set_serial(mbedtls_x509write_cert *cert, unsigned char *serial, size_t n)
{
    mbedtls_mpi number;
    int rc;

    mbedtls_mpi_init(&number);
    rc = mbedtls_mpi_read_binary(&number, serial, n);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_serial(cert, &number);
    mbedtls_mpi_free(&number);
    return rc;
}
#endif

#endif
