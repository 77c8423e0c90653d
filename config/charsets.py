"""Writes the tables of the charsets of one octet a character:
python3 config/charsets.py | clang-format --assume-filename=src/mail/charset_table.c > src/mail/charset_table.c"""

CHARSETS = ["CP1252"] + ["ISO-8859-%d" % n for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)] + [
    "CP1250", "CP1251", "CP1253", "CP1254", "CP1256", "CP1257", "KOI8-R", "KOI8-U", "CP437", "CP850", "CP852", "CP866",
    "MACINTOSH"]


def high(charset):
    text = [bytes([octet]).decode(charset, "replace") for octet in range(0x80, 0x100)]
    return ", ".join("0x%04x" % ord(c) for c in text)


print("""/* Made by config/charsets.py: change that, not this. */
#include "charset_table_priv.h"

#include <string.h>

enum { HALF = 128 };

static const struct {
    const char *name;
    uint16_t high[HALF];
} tables[] = {""")
for charset in CHARSETS:
    print('{ "%s", { %s } },' % (charset, high(charset)))
print("""};

const uint16_t *charset_table(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (strcmp(tables[i].name, name) == 0)
            return tables[i].high;
    return NULL;
}""")
