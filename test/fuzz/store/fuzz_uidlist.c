/* Any octets as dovecot-uidlist: each record's parts stay within the text, UIDs and names are unique, and every record
 * is found by its name. */
#include "../../../src/store/dovecot_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void within(const struct buf *text, struct slice s)
{
    check(s.n == 0 || (s.p >= text->p && s.p + s.n <= text->p + text->n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dovecot_uidlist l;
    struct buf text;

    buf_init(&text, 1024 * 1024);
    if (buf_add(&text, data, size) < 0 || dovecot_uidlist_parse(&text, &l) < 0) {
        check(text.n == 0 || size > 1024 * 1024);
        buf_clear(&text);
        return 0;
    }
    check(l.uidvalidity != 0 && l.uidnext != 0 && strlen(l.guid) <= 32);
    for (size_t i = 0; i < l.count; i++) {
        const struct dovecot_record *r = &l.records[i];

        within(&l.text, r->name);
        within(&l.text, r->uidl);
        check(r->uid != 0 && r->uid < l.uidnext && r->uidl.n <= DOVECOT_UIDL && r->name.n > 0);
        check(dovecot_uidlist_find(&l, r->name) == r);
    }
    dovecot_uidlist_clear(&l);
    return 0;
}
