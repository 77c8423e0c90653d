/* The certificates of the policy: read, and watched until they end. */
#include "facteur/base/clock.h"
#include "facteur/base/log.h"
#include "facteur/base/mem.h"
#include "server_priv.h"

#include <errno.h>

enum { DAY_MS = 24 * 3600 * 1000, WARN_DAYS = 14 };

static int load_client(const struct config *config, struct tls_client *kept, struct tls_client **ret, struct err *e)
{
    if (kept != NULL && tls_client_is_current(kept, config->tls.ca)) {
        *ret = tls_client_ref(kept);
        return 0;
    }
    TRY(tls_client_new(config->tls.ca, ret, e));
    if (!tls_client_has_authorities(*ret))
        LOG(WARNING, "no-authorities",
            kv_str("advice",
                   "install ca-certificates or set tls.ca; until then no next hop can be verified, and mail for "
                   "those that must be verified waits"));
    return 0;
}

/* Says which pair it was that could not be read, by its place in the policy. */
static int name_pair(const struct config *config, const struct tls_files *files, struct err *e)
{
    struct tls_server *one = NULL;
    int code = 0;

    for (size_t i = 0; i < config->tls.pair_count && code == 0; i++) {
        const struct conf_place *at = &config->tls.pairs[i].at;

        code = tls_server_new(&files[i], 1, NULL, &one, e);
        tls_server_unref(&one);
        if (code < 0)
            (void)err_wrap(e, "%s:%u:%u", at->file, at->line, at->column);
    }
    return code < 0 ? code : -EINVAL; /* what was wrong a moment ago is in e */
}

int server_load_tls(const struct config *config, struct tls_client *kept, struct tls_server **ret,
                    struct tls_client **ret_client, struct err *e)
{
    /* A client that names its protocol names one of these; what it speaks is compared by service/peer. */
    static const char *const alpn[] = { "imap", "pop3", "smtp", NULL };
    struct tls_server *server = NULL;
    struct tls_files *files = mem_array(config->tls.pair_count, sizeof *files);
    int code = 0;

    for (size_t i = 0; i < config->tls.pair_count; i++)
        files[i] = (struct tls_files){ config->tls.pairs[i].certificate, config->tls.pairs[i].key };
    if (config->tls.pair_count > 0)
        code = tls_server_new(files, config->tls.pair_count, alpn, &server, e);
    if (code < 0)
        code = name_pair(config, files, e);
    mem_free(files);
    if (code < 0)
        return code;
    code = load_client(config, kept, ret_client, e);
    if (code < 0) {
        tls_server_unref(&server);
        return code;
    }
    *ret = server;
    return 0;
}

enum cert_state cert_state(int64_t ends_ms, int64_t now_ms, int64_t *ret_days)
{
    int64_t left = ends_ms - now_ms;

    *ret_days = (left < 0 ? -left : left) / DAY_MS;
    return left <= 0 ? CERT_ENDED : left < (int64_t)WARN_DAYS * DAY_MS ? CERT_ENDS_SOON : CERT_GOOD;
}

void server_warn_of_certificates(const struct server *s)
{
    for (size_t i = 0; s->tls != NULL && i < s->config->tls.pair_count; i++) {
        const char *file = s->config->tls.pairs[i].certificate;
        int64_t days;
        enum cert_state state = cert_state(tls_server_pair_expires(s->tls, i), clock_wall_ms(), &days);

        if (state == CERT_ENDED)
            LOG(ERROR, "certificate-ended", kv_str("file", file), kv_num("days_ago", days),
                kv_str("advice", "mail programs refuse it: renew it, then \"facteur reload\""));
        else if (state == CERT_ENDS_SOON)
            LOG(WARNING, "certificate-ends", kv_str("file", file), kv_num("days_left", days),
                kv_str("advice", "renew it, then \"facteur reload\""));
    }
}
