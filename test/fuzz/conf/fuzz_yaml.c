/* The policy file's loader on any text, with no other file looked at; what loads is printed and loads again. */
#include "facteur/conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *parse(struct slice text)
{
    struct conf_problems problems;
    struct config *c = NULL;
    int code = config_parse(NULL, text, &c, &problems);

    if ((code == 0) != (c != NULL) || (code < 0) != (problems.count > 0))
        __builtin_trap();
    conf_problems_clear(&problems);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = parse(slice_make((const char *)data, size));
    struct buf out;

    if (c == NULL)
        return 0;
    buf_init(&out, 64 << 20);
    if (config_print(c, &out) < 0)
        __builtin_trap();
    config_unref(&c);
    c = parse(buf_slice(&out)); /* not for files with secrets, which are printed as stars */
    if (c != NULL)
        config_unref(&c);
    buf_clear(&out);
    return 0;
}
