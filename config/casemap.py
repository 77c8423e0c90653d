"""Writes the table of cases:
python3 config/casemap.py | clang-format --assume-filename=src/mail/casemap.c > src/mail/casemap.c"""
import unicodedata


def fold(c):
    """The simple title case of the simple lower case: one form for all the cases of a letter."""
    lower = chr(c).lower()
    lower = lower if len(lower) == 1 else chr(c)
    title = lower.title()
    return ord(title) if len(title) == 1 else ord(lower)


rows = []  # from, to, step, distance
for c in range(0x80, 0x110000):
    distance = fold(c) - c
    if 0xD800 <= c < 0xE000 or distance == 0:
        continue
    row = rows[-1] if rows else None
    if row and row[3] == distance and (c - row[1] == row[2] or (row[0] == row[1] and c - row[1] <= 2)):
        row[2] = c - row[1]
        row[1] = c
    else:
        rows.append([c, c, 1, distance])

print(f"""/* Made by config/casemap.py from Unicode {unicodedata.unidata_version}: change that, not this. */
#include "casemap_priv.h"

#include <stddef.h>

/* Every `step`th character from `from` to `to` folds to the one `distance` away. Ascending. */
static const struct row {{
    uint32_t from, to;
    int32_t step, distance;
}} rows[] = {{""")
for first, last, step, distance in rows:
    print(f"    {{ 0x{first:04x}, 0x{last:04x}, {step}, {distance} }},")
print("""};

uint32_t casemap_fold(uint32_t c)
{
    size_t low = 0, high = sizeof rows / sizeof *rows;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct row *r = &rows[middle];

        if (c > r->to)
            low = middle + 1;
        else if (c < r->from)
            high = middle;
        else
            return (c - r->from) % (uint32_t)r->step == 0 ? (uint32_t)((int32_t)c + r->distance) : c;
    }
    return c;
}""")
