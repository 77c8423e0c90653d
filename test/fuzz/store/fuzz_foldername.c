/* Any octets as a folder's name and as a directory's: what may be created comes back from its directory as it was, what
 * is listed has a name without control characters, and no directory leads out of the Maildir. */
#include "../../../src/store/folder_name_priv.h"
#include "../../../src/store/subscriptions_priv.h"
#include "facteur/base/codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void name_is_fine(const char *name)
{
    check(name[0] != '\0' && strlen(name) <= INDEX_NAME && utf8_valid(slice_str(name)));
    for (const char *p = name; *p != '\0'; p++)
        check((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void dir_is_fine(const char *dir)
{
    check(dir[0] == '.' && strlen(dir) <= FOLDER_DIR && strchr(dir, '/') == NULL && strstr(dir, "..") == NULL);
}

static void created(struct slice in)
{
    char normal[INDEX_NAME + 1], dir[FOLDER_DIR + 1], again[INDEX_NAME + 1];

    check(folder_name_normal(in, normal) == 0);
    name_is_fine(normal);
    check(folder_name_encode(slice_str(normal), dir) == 0);
    dir_is_fine(dir);
    if (strcmp(normal, "INBOX") == 0)
        return;
    check(folder_name_decode(slice_str(dir), again) == 0 && strcmp(normal, again) == 0);
}

static void listed(struct slice in)
{
    char name[INDEX_NAME + 1], dir[FOLDER_DIR + 1];

    if (folder_name_decode(in, name) < 0)
        return;
    name_is_fine(name);
    check(!folder_name_is_inbox(slice_str(name)));
    if (folder_name_encode(slice_str(name), dir) == 0)
        dir_is_fine(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct subscriptions s;

    if (index_name_check(in, NULL) == 0)
        created(in);
    listed(in);
    subscriptions_parse(in, &s);
    for (size_t i = 0; i < s.count; i++) {
        if (s.items[i].name != NULL)
            name_is_fine(s.items[i].name);
    }
    subscriptions_clear(&s);
    return 0;
}
