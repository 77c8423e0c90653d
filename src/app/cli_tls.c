#include "cli_priv.h"

#include "facteur/io/tls.h"

#include <errno.h>
#include <sysexits.h>
#include <unistd.h>

int cli_run_tls_self_signed(struct cli *c)
{
    const char *cert = cli_value(c, "cert"), *key = cli_value(c, "key");
    const char *names[CLI_ARGUMENTS];
    struct err e = { 0 };
    int code;

    if (cert == NULL || key == NULL)
        return cli_fail(c, EX_USAGE, "--cert FILE and --key FILE say where the certificate and its key go");
    if (access(cert, F_OK) == 0 || access(key, F_OK) == 0)
        return cli_fail(c, EX_CANTCREAT, "%s is there already; move it away first",
                        access(cert, F_OK) == 0 ? cert : key);
    for (unsigned i = 0; i < c->arg_count; i++)
        names[i] = c->args[i];
    code = tls_self_signed(names, c->arg_count, cert, key, &e);
    if (code < 0)
        return cli_fail(c, code == -EACCES ? EX_NOPERM : EX_CANTCREAT, "%s", e.text);
    fprintf(c->out, "Wrote %s and %s; in the policy file:\ntls:\n  certificate: %s\n  key: %s\n", cert, key, cert, key);
    return EX_OK;
}
