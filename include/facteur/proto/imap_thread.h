/* facteur: proto/imap_thread: messages put in order and into threads.
 * Purpose:   the algorithms of SORT and THREAD over prepared keys.
 * Owner:     borrows its input; thread_write's memory is its own and ends with it.
 * Thread:    any (a job's).
 * Limits:    linear or n log n in the number of messages and references; no recursion, so a chain of a hundred thousand
 *            replies is as good as any; no thread is deeper than 2,000.
 * Standards: RFC 5256, RFC 5957 (SORT=DISPLAY). */
#ifndef FACTEUR_PROTO_IMAP_THREAD_H
#define FACTEUR_PROTO_IMAP_THREAD_H

#include "facteur/proto/imap_command.h"

struct thread_message {
    uint32_t number; /* what is answered: sequence number or UID; ascending in the input, and the last tie-break */
    bool reply;      /* its subject was that of a reply or forward */
    int64_t internal_ms, sent_ms;
    uint64_t size;
    /* folded UTF-8 */
    struct slice subject, from, to, cc, display_from, display_to;
    struct slice message_id, references; /* message ids divided by spaces, oldest first */
};

/* Sorts in place. */
void sort_messages(struct thread_message *messages, size_t count, const struct imap_sort *keys, size_t key_count);

/* Adds the threads as THREAD answers them: "(2)(3 6 (4 23)(44 7 96))". Sorts the input as it needs. 0 or -ENOBUFS. */
int thread_write(struct thread_message *messages, size_t count, enum imap_thread algorithm, struct buf *out) MUST_USE;

#endif
