/* What the files of proto/imap_write share. */
#ifndef FACTEUR_PROTO_IMAP_WRITE_PRIV_H
#define FACTEUR_PROTO_IMAP_WRITE_PRIV_H

#include "facteur/proto/imap_write.h"

#include <errno.h>

/* Ends a writer: what it wrote stays, or all of it goes. `start` is out->n before it. */
static inline int MUST_USE imap_write_all_or_none(struct buf *out, size_t start, int code)
{
    if (code < 0)
        out->n = start;
    return code;
}

#endif
