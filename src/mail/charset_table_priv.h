/* facteur: mail/charset_table_priv: charsets of one octet a character.
 * Purpose:   reads them without the C library's modules, which a confined process cannot load when it needs them.
 * Owner:     nothing to own.
 * Thread:    any.
 * Limits:    each octet is one character by itself: not CP1255 and CP1258, which compose.
 * Standards: ISO 8859, Windows code pages, RFC 1489, RFC 2319. */
#ifndef FACTEUR_MAIL_CHARSET_TABLE_PRIV_H
#define FACTEUR_MAIL_CHARSET_TABLE_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* What 0x80 to 0xff mean, 0xfffd where nothing; the octets below are ASCII. NULL: there is no such table. */
const uint16_t *charset_table(const char *name);

#endif
