/* facteur: base/rand: randomness from the kernel.
 * Purpose:   nonces, salts, jitter, hash keys.
 * Owner:     no state.
 * Thread:    any.
 * Limits:    aborts when the kernel has none: no token or key is ever made without it.
 * Standards: getrandom(2). */
#ifndef FACTEUR_BASE_RAND_H
#define FACTEUR_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n);
uint64_t rand_below(uint64_t bound); /* uniform in 0 .. bound-1; bound > 0 */

#endif
