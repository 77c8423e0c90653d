/* facteur: store/folder_name_priv: folder names and what their directories are called.
 * Purpose:   "Sent/2024" is the directory ".Sent.2024" (Maildir++): modified UTF-7, a dot between levels. A dot inside
 *            a level, which Dovecot's Maildir++ cannot hold, is written "&AC4-" (a run of its own that no other name
 *            contains), so that every name comes back as it was; Dovecot then shows that text as it stands.
 * Owner:     writes into the caller's memory.
 * Thread:    any.
 * Limits:    a directory's name is a file name: 255 octets for all levels together.
 * Standards: RFC 3501 section 5.1.3, RFC 9051 section 5.1, Maildir++. */
#ifndef FACTEUR_STORE_FOLDER_NAME_PRIV_H
#define FACTEUR_STORE_FOLDER_NAME_PRIV_H

#include "facteur/store/index.h"

enum { FOLDER_LEVELS = 16, FOLDER_LEVEL = 255, FOLDER_DIR = 255 };

bool folder_name_is_inbox(struct slice name); /* in any case */

/* The name as it is listed: INBOX in any case as the first level becomes "INBOX". -ENAMETOOLONG. */
int folder_name_normal(struct slice name, char to[INDEX_NAME + 1]) MUST_USE;

/* The directory of a normal name that index_name_check allows; "." is INBOX. -EINVAL, -ENAMETOOLONG. */
int folder_name_encode(struct slice name, char to[FOLDER_DIR + 1]) MUST_USE;

/* The normal name of the directory `dir` (with its leading dot). A level that is not what we would have written is
 * shown as it stands if it is UTF-8 without control characters. -EINVAL: no folder's directory, never to be listed. */
int folder_name_decode(struct slice dir, char to[INDEX_NAME + 1]) MUST_USE;

#endif
