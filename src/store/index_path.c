#include "index_priv.h"

#include <errno.h>

int index_folder_path(struct index *x, uint32_t folder, struct buf *out)
{
    const struct folder *f = index_folder_by_id(x, folder);

    if (f == NULL)
        return -ENOENT;
    return buf_addf(out, "%s/Maildir/%s", x->where, f->dir);
}
