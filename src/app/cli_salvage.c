#include "cli_priv.h"

#include "facteur/app/privs.h"
#include "facteur/base/codec.h"
#include "facteur/store/queue_salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static void put_lost(void *ctx, enum queue_lost what, uint64_t id, const char *from, const char *to)
{
    static const char *const words[] = {
        [QUEUE_LOST_MESSAGE] = "cannot be read",
        [QUEUE_LOST_RECIPIENTS] = "is saved, but some of its recipients cannot be read",
        [QUEUE_LOST_SPOOL] = "is the text of a message without a row: it is in spool.damaged/ now",
    };
    FILE *out = ctx;
    char text[14];

    base32_u64(id, text);
    fputs(text, out);
    if (from != NULL || to != NULL) {
        fputs(" from ", out);
        cli_put_text(out, from == NULL ? "?" : from[0] == '\0' ? "<>" : from);
        fputs(" to ", out);
        cli_put_text(out, to != NULL ? to : "?");
    }
    fprintf(out, " %s\n", words[what]);
}

static void put_summary(FILE *out, const char *state, const struct queue_salvage *s)
{
    if (s->whole) {
        fprintf(out, "%s/queue.db is whole (%" PRIu64 " message%s): nothing was changed.\n", state, s->messages,
                s->messages == 1 ? "" : "s");
        return;
    }
    fprintf(out, "Saved: %" PRIu64 " message%s to %" PRIu64 " recipient%s. Cannot be read: %" PRIu64 " message%s%s.\n",
            s->messages, s->messages == 1 ? "" : "s", s->recipients, s->recipients == 1 ? "" : "s", s->messages_lost,
            s->messages_lost == 1 ? "" : "s", s->pages_lost ? ", and perhaps others that nothing is left of" : "");
    fprintf(out, "The damaged file is %s/%s now; keep it until you miss nothing. Start facteur again.\n", state,
            s->kept);
}

int cli_run_queue_salvage(struct cli *c)
{
    struct queue_salvage s = { .lost = put_lost, .ctx = c->out };
    struct config *config = NULL;
    struct err e = { 0 };
    bool root = geteuid() == 0;
    int code = cli_load(c, &config);

    if (config == NULL)
        return code;
    code = root ? privs_borrow(config, &e) : 0;
    if (code == 0) {
        (void)umask(077);
        code = queue_salvage(config->state, &s, &e);
        if (root)
            privs_return();
    }
    if (code < 0)
        code = cli_fail(c, code == -EPROTO ? EX_DATAERR : cli_exit_code(code), "%s", e.text);
    else
        put_summary(c->out, config->state, &s);
    config_unref(&config);
    return code;
}
