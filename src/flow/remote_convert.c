/* A message on its way to a server that does not take it as it is (8BITMIME, BINARYMIME): it is read once to see what
 * must change, and then while it is sent. */
#include "remote_priv.h"

#include "facteur/base/mem.h"
#include "facteur/mail/body.h"
#include "facteur/mail/seven_bit.h"

enum { CONVERT_BLOCK = SEVEN_BIT_BLOCK / 2 /* octets of the stored text, which become twice as many at most */ };

struct remote_convert {
    struct seven_bit seven_bit;
    bool binary;     /* the text is stored as it is on the wire */
    unsigned state;  /* of body_out */
    struct buf wire; /* a block as it is on the wire */
    struct buf out;
    size_t handed; /* octets of out */
    bool ended;
};

void remote_convert_start(struct remote_connection *c)
{
    struct remote_convert *v = mem_zero(sizeof *v);

    remote_convert_stop(c);
    seven_bit_init(&v->seven_bit);
    buf_init(&v->wire, SEVEN_BIT_BLOCK);
    buf_init(&v->out, SEVEN_BIT_OUT);
    v->binary = (c->work->message->flags & QUEUE_BINARY) != 0;
    c->convert = v;
}

void remote_convert_stop(struct remote_connection *c)
{
    struct remote_convert *v = c->convert;

    if (v == NULL)
        return;
    seven_bit_clear(&v->seven_bit);
    buf_clear(&v->wire);
    buf_clear(&v->out);
    mem_free(v);
    c->convert = NULL;
}

/* The next block of the message as it is on the wire; as remote_body_read. */
static ssize_t read_wire(struct remote_connection *c, struct slice *ret)
{
    struct remote_convert *v = c->convert;
    const char *p = NULL;
    ssize_t n = remote_body_read(&c->body, &p, CONVERT_BLOCK);

    if (n <= 0)
        return n;
    *ret = slice_make(p, (size_t)n);
    if (v->binary)
        return n;
    buf_reset(&v->wire);
    TRY(body_out(&v->state, *ret, false, &v->wire));
    *ret = buf_slice(&v->wire);
    return n;
}

int remote_convert_survey(struct remote_connection *c)
{
    struct slice wire = { 0 };
    ssize_t n;

    while ((n = read_wire(c, &wire)) > 0)
        seven_bit_survey(&c->convert->seven_bit, wire);
    return (int)n;
}

int remote_convert_plan(struct remote_connection *c, uint64_t *ret_size, struct err *e)
{
    c->convert->state = 0;
    return seven_bit_plan(&c->convert->seven_bit, ret_size, e);
}

/* Fills `out`; 0 at the end of the message. */
static ssize_t convert_block(struct remote_connection *c)
{
    struct remote_convert *v = c->convert;
    struct slice wire = { 0 };
    ssize_t n = v->ended ? 0 : read_wire(c, &wire);

    if (n < 0 || v->ended)
        return n;
    buf_reset(&v->out);
    v->handed = 0;
    v->ended = n == 0;
    TRY(v->ended ? seven_bit_end(&v->seven_bit, &v->out) : seven_bit_push(&v->seven_bit, wire, &v->out));
    return 1;
}

ssize_t remote_convert_read(struct remote_connection *c, const char **ret, size_t n)
{
    struct remote_convert *v = c->convert;
    ssize_t more = 1;

    while (v->handed == v->out.n && more > 0)
        more = convert_block(c);
    if (more <= 0)
        return more;
    if (n > v->out.n - v->handed)
        n = v->out.n - v->handed;
    *ret = v->out.p + v->handed;
    v->handed += n;
    return (ssize_t)n;
}
