/* config_print and config_reference: the schema's table told as YAML in effect, and as the reference page's tables. */
#include "load_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { PUT_MOST = 2048 };

void put(struct printer *p, const char *fmt, ...)
{
    char text[PUT_MOST];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->full |= buf_adds(p->out, text) < 0;
}

/* Plain where YAML cannot take it for anything but a text. */
static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "null", "mx" };
    static const char more[] = "0123456789/._@-";

    if (text[0] != '/' && (text[0] == '\0' || strchr(letters, text[0]) == NULL))
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if (strchr(letters, *c) == NULL && strchr(more, *c) == NULL)
            return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_iis(slice_str(text), words[i]))
            return false;
    return true;
}

void put_text(struct printer *p, const char *text)
{
    if (text == NULL) {
        put(p, "null");
    } else if (is_plain(text)) {
        put(p, "%s", text);
    } else {
        put(p, "\"");
        for (const char *c = text; *c != '\0'; c++)
            put(p, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        put(p, "\"");
    }
}

void put_section(struct printer *p, const struct section *s, const void *base)
{
    for (const struct field *f = s->fields; f->key != NULL; f++) {
        if (f->type->print == NULL)
            continue;
        put(p, "%*s%s:", (int)p->indent, "", f->key);
        if (f->section == NULL)
            put(p, " ");
        else
            put(p, "\n");
        p->indent += 2;
        f->type->print(p, f, (const char *)base + f->offset);
        p->indent -= 2;
        if (f->section == NULL)
            put(p, "\n");
    }
}

int config_print(const struct config *c, struct buf *out)
{
    struct printer p = { .out = out };

    put_section(&p, &section_top, c);
    return p.full ? -ENOBUFS : 0;
}

/* A cell of a table: "|" would end it. */
static void put_cell(struct printer *p, const char *text, bool code)
{
    put(p, "%s", code ? "`" : "");
    for (; *text != '\0'; text++)
        put(p, *text == '|' ? "\\%c" : "%c", *text);
    put(p, "%s", code ? "`" : "");
}

static void put_range(struct printer *p, const struct field *f)
{
    if (f->max == 0 || f->type == &type_port)
        return;
    put(p, "; ");
    if (f->type == &type_size) {
        p->full |= size_format(f->min, p->out) < 0;
        put(p, " to ");
        p->full |= size_format(f->max, p->out) < 0;
    } else if (f->type == &type_count) {
        put(p, "%llu to %llu", (unsigned long long)f->min, (unsigned long long)f->max);
    } else {
        p->full |= duration_format((int64_t)f->min, p->out) < 0;
        put(p, " to ");
        p->full |= duration_format((int64_t)f->max, p->out) < 0;
    }
}

static void put_row(struct printer *p, const struct field *f)
{
    put(p, "| ");
    put_cell(p, f->key, true);
    put(p, " | ");
    put_cell(p, f->meaning, false);
    put(p, " | %s", f->type->name);
    put_range(p, f);
    put(p, " | ");
    if (f->required)
        put(p, "required");
    else if (f->preset != NULL && f->preset[0] != '\0')
        put_cell(p, f->preset, true);
    else
        put(p, "–");
    put(p, " | ");
    put_cell(p, f->example, true);
    put(p, " |\n");
}

int config_reference(struct buf *out)
{
    struct printer p = { .out = out };

    for (const struct section *const *s = sections; *s != NULL; s++) {
        if ((*s)->path[0] == '\0')
            put(&p, "### Top level\n\n");
        else
            put(&p, "\n### `%s`\n\n", (*s)->path);
        put(&p, "%s\n\n| key | meaning | kind | default | example |\n| --- | --- | --- | --- | --- |\n", (*s)->intro);
        for (const struct field *f = (*s)->fields; f->key != NULL; f++)
            put_row(&p, f);
    }
    return p.full ? -ENOBUFS : 0;
}
