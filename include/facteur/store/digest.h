/* facteur: store/digest: a message's identity by its octets.
 * Purpose:   EMAILID: the same name for the same message, wherever it is copied or moved to.
 * Owner:     embedded by value; holds no memory.
 * Thread:    any; one at a time.
 * Limits:    none.
 * Standards: RFC 7693 (BLAKE2b), RFC 8474 section 4. */
#ifndef FACTEUR_STORE_DIGEST_H
#define FACTEUR_STORE_DIGEST_H

#include "facteur/base/slice.h"

enum { DIGEST_ID = 34 /* octets of an id with its NUL */ };

struct digest {
    _Alignas(64) unsigned char state[384];
};

void digest_init(struct digest *d);
void digest_push(struct digest *d, struct slice octets);
void digest_end(struct digest *d, char id[DIGEST_ID]); /* "M" and 32 hexadecimal digits */

#endif
