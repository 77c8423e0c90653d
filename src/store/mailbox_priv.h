/* facteur: store/mailbox (for store only): what the list of messages and its views share.
 * Purpose:   sets of UIDs put together in one pass, and what a change means for one view.
 * Owner:     store/mailbox.
 * Thread:    the loop's.
 * Limits:    as many pieces as the mailbox has messages.
 * Standards: none. */
#ifndef FACTEUR_STORE_MAILBOX_PRIV_H
#define FACTEUR_STORE_MAILBOX_PRIV_H

#include "facteur/store/mailbox.h"

/* Sets: in one pass over both, however many pieces they have. */
void uids_push(struct ranges *r, uint32_t from, uint32_t to);               /* ascending only */
void uids_add(struct ranges *r, const struct ranges *more, uint32_t below); /* those of `more` that are below it */
void uids_take(struct ranges *r, const struct ranges *less);

/* What mailbox_apply has found; exact sets, of messages that were there or are. */
struct mailbox_news {
    struct ranges altered; /* other flags or keywords than before */
    struct ranges removed;
    struct ranges added;
    bool keywords_renamed; /* a bit that had a name has another one */
};
/* Notes them; whether there is something new to tell. */
bool view_note(struct mailbox_view *v, const struct mailbox_news *news, bool silent);

#endif
