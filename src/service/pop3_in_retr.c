/* RETR and TOP: piece by piece, in slices of as much as output may hold (peer_output.c). */
#include "pop3_in_priv.h"

#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "facteur/mail/body.h"
#include "facteur/store/sys.h"

#include <errno.h>
#include <stdio.h>

enum { PIECE = 64 * 1024 };

struct retr_job {
    struct account_job aj;
    uint32_t folder, uid;
    uint64_t octets; /* as LIST said */
    int fd;
    uint64_t at;
    uint64_t lines; /* of the body still to be sent */
    bool whole, in_body, line_empty, at_end, begun;
    unsigned wire; /* body_out's state */
    struct buf out;
};

/* How much of a piece TOP lets through: the header, the empty line, and so many lines. */
static size_t cut_lines(struct retr_job *j, struct slice piece)
{
    for (size_t i = 0; i < piece.n; i++) {
        char c = piece.p[i];

        if (j->in_body && j->lines == 0)
            return i;
        if (c == '\n' && j->in_body)
            j->lines--;
        if (c == '\n')
            j->in_body = j->in_body || j->line_empty;
        j->line_empty = c == '\n' || (c == '\r' && j->line_empty);
    }
    return piece.n;
}

static int read_piece(struct retr_job *j)
{
    size_t most = j->aj.room < PIECE ? j->aj.room : PIECE;
    char *piece = mem_alloc(most);
    ssize_t n = sys->pread(j->fd, piece, most, (off_t)j->at);
    size_t take = n > 0 ? (size_t)n : 0;
    int r = n < 0 ? (int)n : 0;

    if (take > 0 && !j->whole)
        take = cut_lines(j, slice_make(piece, take));
    j->at_end = n <= 0 || take < (size_t)n;
    j->at += take;
    if (r == 0)
        r = body_out(&j->wire, slice_make(piece, take), true, &j->out);
    if (r == 0 && j->at_end)
        r = buf_adds(&j->out, body_out_in_line(j->wire) ? "\r\n.\r\n" : ".\r\n");
    mem_free(piece);
    return r;
}

static int run_retr(struct account_job *aj, struct index *x)
{
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);
    uint64_t size;

    if (j->fd < 0)
        TRY(index_message(x, j->folder, j->uid, &j->fd, &size, &aj->err));
    while (!j->at_end && j->out.n < aj->room)
        TRY(read_piece(j));
    return j->at_end ? DONE : MORE;
}

/* What it may make next, or the client has still to take. */
static void take_slice(struct pop3_session *s, struct account_job *aj)
{
    aj->room = peer_slice(&s->peer);
    peer_count_output(&s->peer, aj->room < PEER_TURN ? PEER_TURN : aj->room);
}

static void sent(struct pop3_session *s, int code)
{
    peer_count_output(&s->peer, 0);
    pop3_server_sent(s->proto, code);
    peer_sync_input(&s->peer);
}

void pop3_in_resume(struct pop3_session *s)
{
    if (s->peer.paused != NULL)
        take_slice(s, s->peer.paused);
    (void)peer_resume_job(&s->peer);
}

static void retr_done(void *owner, struct account_job *aj)
{
    struct pop3_session *s = owner;
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);

    if (aj->code < 0 && (j->begun || aj->code != -ENOENT))
        LOG(ERROR, "message-unreadable", kv_str("session", s->peer.client.session),
            kv_str("user", s->peer.client.user->name), kv_num("uid", j->uid), kv_str("reason", aj->err.text));
    if (aj->code < 0 && j->begun) { /* half a message cannot be taken back */
        stream_close(s->peer.stream);
        return;
    }
    if (aj->code >= 0 && !j->begun) {
        char line[64];
        int n = j->whole ? snprintf(line, sizeof line, "+OK %llu octets\r\n", (unsigned long long)j->octets)
                         : snprintf(line, sizeof line, "+OK The top follows\r\n");

        pop3_in_send(s, slice_make(line, (size_t)n));
        j->begun = true;
    }
    if (aj->code >= 0)
        pop3_in_send(s, buf_slice(&j->out));
    buf_reset(&j->out);
    if (aj->code != MORE) {
        if (aj->code == DONE && j->whole)
            (void)!ranges_add(&s->seen, j->uid, j->uid);
        sent(s, aj->code);
    } else if (stream_is_full(s->peer.stream)) {
        buf_clear(&j->out);
        peer_hold_job(&s->peer, aj);
        peer_count_output(&s->peer, PEER_TURN);
    } else {
        take_slice(s, aj);
        peer_start_job(&s->peer, aj);
    }
}

static void retr_drop(struct account_job *aj)
{
    struct retr_job *j = LIST_ENTRY(aj, struct retr_job, aj);

    if (j->fd >= 0)
        (void)sys->close(j->fd);
    buf_clear(&j->out);
    mem_free(j);
}

/* Now, or when there is memory for the answer. */
static void begin(struct pop3_session *s, struct account_job *aj)
{
    switch (peer_take_turn(&s->peer, PEER_TURN)) {
    case TURN_COME:
        take_slice(s, aj);
        pop3_in_start(s, aj);
        break;
    case TURN_AHEAD:
        s->waits = aj;
        peer_deadline(&s->peer, PEER_LOOK_AGAIN_MS);
        break;
    case TURN_OVER:
        s->waits = aj;
        pop3_in_give_up(s);
        break;
    }
}

bool pop3_in_look_again(struct pop3_session *s)
{
    struct account_job *aj = s->waits;

    if (aj == NULL)
        return false;
    s->waits = NULL;
    begin(s, aj);
    return true;
}

void pop3_in_give_up(struct pop3_session *s)
{
    s->waits->drop(s->waits);
    s->waits = NULL;
    sent(s, -ENOBUFS);
}

void pop3_in_retrieve(void *world, size_t message, uint64_t lines)
{
    struct pop3_session *s = world;
    struct retr_job *j = mem_zero(sizeof *j);

    j->folder = s->box->folder.id;
    j->uid = s->uids[message];
    j->octets = s->messages[message].size;
    j->whole = lines == UINT64_MAX;
    j->lines = lines;
    j->line_empty = true;
    j->fd = -1;
    buf_init(&j->out, (size_t)16 * PIECE);
    j->aj.run = run_retr;
    j->aj.done = retr_done;
    j->aj.drop = retr_drop;
    j->aj.reads_only = true;
    begin(s, &j->aj);
}
