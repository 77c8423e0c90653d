/* facteur: mail/casemap_priv: one form for all the cases of a letter.
 * Purpose:   makes texts comparable without regard to case, the same on every machine and in every locale.
 * Owner:     nothing to own.
 * Thread:    any.
 * Limits:    characters that fold to several ("ß" to "SS") stay.
 * Standards: Unicode's simple case mappings, RFC 5051 section 2. */
#ifndef FACTEUR_MAIL_CASEMAP_PRIV_H
#define FACTEUR_MAIL_CASEMAP_PRIV_H

#include <stdint.h>

uint32_t casemap_fold(uint32_t c); /* of a character above ASCII */

#endif
