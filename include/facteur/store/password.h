/* facteur: store/password: password hashes.
 * Purpose:   verifies and makes the hashes of the policy file.
 * Owner:     no state.
 * Thread:    jobs: slow by intent. scram keys are quick to parse anywhere.
 * Limits:    passwords of 1 to 255 octets; memory of argon2id at most 128 MiB, larger parameters are refused.
 * Standards: crypt(5): yescrypt, bcrypt, SHA-512, SHA-256; argon2id (RFC 9106); SCRAM-SHA-256 (RFC 5802, 7677). */
#ifndef FACTEUR_STORE_PASSWORD_H
#define FACTEUR_STORE_PASSWORD_H

#include "facteur/base/buf.h"

/* True when the password fits one of the hashes. With count 0 the work of one hash is done all the same. */
bool password_verify(const char *const *hashes, size_t count, struct slice password);

enum password_scheme { PASSWORD_YESCRYPT, PASSWORD_BCRYPT, PASSWORD_SHA512, PASSWORD_ARGON2ID, PASSWORD_SCRAM };
int password_hash(enum password_scheme scheme, struct slice password, struct buf *out, struct err *e) MUST_USE;

#endif
