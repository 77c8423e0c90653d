/* What the files of SEARCH, SORT and THREAD share: imap_in_search.c (the command, on the loop) and imap_in_search_job.c
 * (all that takes time with the mailbox). */
#ifndef FACTEUR_SERVICE_IMAP_IN_SEARCH_PRIV_H
#define FACTEUR_SERVICE_IMAP_IN_SEARCH_PRIV_H

#include "facteur/proto/imap_thread.h"
#include "imap_in_priv.h"
#include "search_program.h"

struct search_job {
    struct account_job aj;
    struct arena arena;
    uint32_t folder;
    enum imap_verb verb;
    bool uid;
    struct slice tag;
    struct imap_search search; /* without its keys */
    unsigned returns;          /* 0: the answer is SEARCH, not ESEARCH */
    struct search_program program;
    struct mailbox_message *messages; /* the snapshot, ascending by UID */
    uint32_t *seqs;                   /* their sequence numbers */
    size_t count, next;
    bool narrowed, searched;
    /* rows of messages[row_from … row_to) */
    struct search_row *rows;
    size_t row_from, row_to;
    struct ranges found, numbers;   /* UIDs; the same as the answer lists them */
    struct thread_message *threads; /* of the found ones */
    size_t thread_count;
    uint32_t read_from;
    struct buf answer;
};

/* `answer` and `found` are ready when it is DONE. -ENOBUFS, -E2BIG: more than is sent at once. */
int search_job_run(struct account_job *aj, struct index *x);

#endif
