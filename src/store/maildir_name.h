/* facteur: store/maildir_name: what a file in a Maildir is called.
 * Purpose:   the name that a delivery derives, and what any program's name tells: id, sizes, flags.
 * Owner:     no state.
 * Thread:    any.
 * Limits:    names are hostile: any octets but '/' and NUL, 255 at most.
 * Standards: Maildir ("unique:2,flags"), Maildir++ (",S=" ",W="), ",U=" for the UID. */
#ifndef FACTEUR_STORE_MAILDIR_NAME_H
#define FACTEUR_STORE_MAILDIR_NAME_H

#include "facteur/base/buf.h"

struct maildir_name {
    bool ours; /* "<seconds>.Q<queue id>R<recipient>.<host>" */
    uint64_t id;
    uint32_t seq;
    bool has_size;
    uint64_t size; /* ",S=" */
};

void maildir_name_parse(struct slice name, struct maildir_name *ret);

/* The name that every delivery of this recipient derives. `to` has room for `room` octets. -ENAMETOOLONG. */
int maildir_name_format(int64_t received_ms, uint64_t id, uint32_t seq, const char *host, uint64_t size,
                        uint64_t wire_size, char *to, size_t room) MUST_USE;

/* Adds one part of a user's name as a file name: letters, digits and "_-+=~" and inner dots stay, all other octets
 * become %XX. -EINVAL empty, -ENAMETOOLONG over 255. */
int maildir_encode(struct slice part, struct buf *out) MUST_USE;

#endif
