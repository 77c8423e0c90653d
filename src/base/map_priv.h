/* facteur: base/map_priv: the hash of base/map, for its test against the published vectors.
 * Purpose:   SipHash-2-4.
 * Owner:     no state.
 * Thread:    any.
 * Limits:    none.
 * Standards: SipHash-2-4 (Aumasson, Bernstein 2012). */
#ifndef FACTEUR_BASE_MAP_PRIV_H
#define FACTEUR_BASE_MAP_PRIV_H

#include "facteur/base/slice.h"

uint64_t map_hash(const uint64_t key[2], struct slice s);

#endif
