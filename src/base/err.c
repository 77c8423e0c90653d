#include "facteur/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list args;

    if (e == NULL)
        return code;
    e->code = code;
    va_start(args, fmt);
    if (vsnprintf(e->text, sizeof e->text, fmt, args) < 0)
        e->text[0] = '\0';
    va_end(args);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char text[sizeof e->text];
    va_list args;
    size_t n;

    if (e == NULL)
        return 0;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    n = strlen(text);
    for (const char *p = ": "; *p != '\0' && n < sizeof text - 1; p++)
        text[n++] = *p;
    for (const char *p = e->text; *p != '\0' && n < sizeof text - 1; p++)
        text[n++] = *p;
    text[n] = '\0';
    memcpy(e->text, text, sizeof text);
    return e->code;
}

const char *err_text(int code)
{
    const char *words;

#ifdef __GLIBC__
    words = strerrordesc_np(code < 0 ? -code : code);
#else
    words = strerror(code < 0 ? -code : code); /* musl's returns constants */
#endif
    return words != NULL ? words : "unknown error";
}
