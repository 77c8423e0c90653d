/* facteur: store/folders_priv: what the sources of folders share.
 * Purpose:   the directories of a Maildir as folders: which there are, making them and taking them away.
 * Owner:     index.folders_state.
 * Thread:    as store/index.
 * Limits:    FOLDERS_ON_DISK directories are looked at.
 * Standards: Maildir++; RFC 6154 (special use).
 *
 * Files:
 *   folders.c       index_folder, create, delete, subscribe       folders_scan.c   the Maildir against the rows
 *   folders_list.c  index_list, index_status                      folders_dir.c    making and removing directories
 *   folders_rename.c                                              folders_file.c   small files beside the messages
 *
 * A folder is made under a name that is not listed and then renamed, and deleted the other way round: so it is there
 * with all that belongs to it, or not at all. What it is for stands in its facteur-uidvalidity. */
#ifndef FACTEUR_STORE_FOLDERS_PRIV_H
#define FACTEUR_STORE_FOLDERS_PRIV_H

#include "index_priv.h"

#include "folder_name_priv.h"
#include "folders_file_priv.h"
#include "subscriptions_priv.h"

enum { FOLDERS_ON_DISK = 100000, SPECIALS = SPECIAL_TRASH + 1 };

struct folders {
    struct dir_mark seen; /* the Maildir's own directory */
    bool known;           /* the rows are what it says while it does not change */
    bool sweep;           /* there may be directories to remove */
    struct map counted;   /* struct counted of folders, by id */
};
struct folders *folders_state(struct index *x);

/* Brings the rows up to date with the directories; costs one stat call when nothing has happened. 0 or negative. */
int folders_scan(struct index *x, struct err *e) MUST_USE;

/* The folder's rows go everywhere; its directory has gone already. */
int folders_drop(struct index *x, struct folder *row, struct err *e) MUST_USE;

/* What a folder that nobody has said anything about is for, by its name; SPECIAL_NONE when there is such a one. */
enum index_special folders_special_for(struct index *x, const char *name);

/* --- directories (folders_dir.c) --- */

/* Makes the directory complete (cur, new, tmp, maildirfolder). The caller syncs the Maildir, and index_folder_add what is
 * inside. -EEXIST. */
int folders_dir_make(struct index *x, const char *dir, struct err *e) MUST_USE;
/* It is listed no more; durable. Its files go with folders_sweep. */
int folders_dir_remove(struct index *x, const char *dir, struct err *e) MUST_USE;
/* Removes what was deleted, for about a slice: MORE or DONE. search_fill and index_list do it; costs nothing when there
 * is nothing to do. */
int folders_sweep(struct index *x);

#endif
