#include "facteur/mail/verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* A reply is one line of printable ASCII (RFC 5321 section 4.2), whatever words were put into it. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
}

static struct verdict PRINTF_LIKE(3, 0) make(int code, const char *enhanced, const char *fmt, va_list args)
{
    struct verdict v = { .code = (short)code };

    if (slice_copy(slice_str(enhanced), v.enhanced, sizeof v.enhanced) < 0)
        v.enhanced[0] = '\0';
    if (vsnprintf(v.text, sizeof v.text, fmt, args) < 0)
        v.text[0] = '\0';
    make_printable(v.text);
    return v;
}

struct verdict verdict_ok(const char *enhanced, const char *fmt, ...)
{
    struct verdict v;
    va_list args;

    va_start(args, fmt);
    v = make(250, enhanced, fmt, args);
    va_end(args);
    return v;
}

struct verdict verdict_make(int code, const char *enhanced, const char *fmt, ...)
{
    struct verdict v;
    va_list args;

    va_start(args, fmt);
    v = make(code, enhanced, fmt, args);
    va_end(args);
    return v;
}

struct verdict verdict_by(struct verdict v, const char *rule, unsigned line)
{
    v.rule = rule;
    v.line = line;
    return v;
}

struct verdict verdict_of_error(int code)
{
    if (code == -ENOSPC || code == -EDQUOT ||
        code == -EFBIG) /* the last: RLIMIT_FSIZE, or the file system's own bound */
        return verdict_make(452, "4.3.1", "not enough storage, try again later");
    return verdict_make(451, "4.3.0", "local trouble, try again later");
}
