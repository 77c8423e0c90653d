#include "subscriptions_priv.h"

#include "facteur/base/mem.h"

#include "folder_name_priv.h"
#include "folders_file_priv.h"

#include <errno.h>

static const char file_name[] = "subscriptions";
static const char header[] = "V\t2\n\n";

enum { LINE_MAX_OCTETS = 2 * FOLDER_DIR };

void subscriptions_clear(struct subscriptions *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->items[i].line);
        mem_free(s->items[i].name);
    }
    mem_free(s->items);
    *s = (struct subscriptions){ 0 };
}

/* Takes both strings over. */
static void add(struct subscriptions *s, char *line, char *name)
{
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        s->items = mem_resize(s->items, s->cap * sizeof *s->items);
    }
    s->items[s->count++] = (struct subscription){ line, name };
}

/* A directory's name as it stands in a line of the new form: levels are divided by tabs. The dots at the front and
 * between levels are the only ones in it. */
static char *line_of_dir(struct slice dir)
{
    char *line = mem_dup(dir.p, dir.n);

    for (char *p = line; *p != '\0'; p++) {
        if (*p == '.')
            *p = '\t';
    }
    return line;
}

static char *line_of_name(const char *name)
{
    char dir[FOLDER_DIR + 1];

    if (strcmp(name, "INBOX") == 0)
        return mem_str(name);
    if (folder_name_encode(slice_str(name), dir) < 0)
        return NULL;
    return line_of_dir(slice_str(dir + 1));
}

/* The name that stands in a line with `sep` between levels, or NULL. Tabs in the text of a level would be escaped
 * ("\001t"): no level has any, so an escape makes it no name. */
static char *name_of_line(struct slice line, char sep)
{
    char dir[FOLDER_DIR + 1] = ".", name[INDEX_NAME + 1];

    if (folder_name_is_inbox(line))
        return mem_str("INBOX");
    if (line.n == 0 || slice_copy(line, dir + 1, sizeof dir - 1) < 0)
        return NULL;
    for (char *p = dir + 1; *p != '\0'; p++) {
        if (*p == '.' && sep != '.')
            return NULL;
        if (*p == sep)
            *p = '.';
    }
    return folder_name_decode(slice_str(dir), name) == 0 ? mem_str(name) : NULL;
}

static bool cut_header(struct slice *text)
{
    if (text->n < sizeof header - 1 || memcmp(text->p, header, sizeof header - 1) != 0)
        return false;
    *text = slice_skip(*text, sizeof header - 1);
    return true;
}

void subscriptions_parse(struct slice text, struct subscriptions *ret)
{
    struct subscriptions s = { 0 };
    char sep = cut_header(&text) ? '\t' : '.';
    struct slice line;

    while (text.n > 0) {
        (void)slice_cut(&text, '\n', &line);
        if (line.n == 0 || line.n > LINE_MAX_OCTETS || memchr(line.p, '\0', line.n) != NULL)
            continue;
        add(&s, sep == '.' ? line_of_dir(line) : mem_dup(line.p, line.n), name_of_line(line, sep));
    }
    *ret = s;
}

int subscriptions_read(int root, struct subscriptions *ret, struct err *e)
{
    struct buf text;
    int r;

    buf_init(&text, SUBSCRIPTIONS_FILE);
    r = small_file_read(root, file_name, &text);
    if (r == 0 || r == -ENOENT) {
        subscriptions_parse(buf_slice(&text), ret);
        r = 0;
    }
    buf_clear(&text);
    return r < 0 ? err_set(e, r, "read %s: %s", file_name, err_text(r)) : 0;
}

static int write_all(int root, const struct subscriptions *s, struct err *e)
{
    struct buf text;
    int r;

    buf_init(&text, SUBSCRIPTIONS_FILE);
    r = buf_adds(&text, header);
    for (size_t i = 0; r == 0 && i < s->count; i++)
        r = s->items[i].line != NULL ? buf_addf(&text, "%s\n", s->items[i].line) : 0;
    if (r == 0)
        r = small_file_write(root, file_name, buf_slice(&text));
    buf_clear(&text);
    return r < 0 ? err_set(e, r, "write %s: %s", file_name, err_text(r)) : 0;
}

static struct subscription *find(struct subscriptions *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].name != NULL && strcmp(s->items[i].name, name) == 0)
            return &s->items[i];
    }
    return NULL;
}

static void drop(struct subscription *item)
{
    mem_free(item->line);
    mem_free(item->name);
    *item = (struct subscription){ 0 };
}

/* True when that changed anything. */
static bool set_one(struct subscriptions *s, const char *name, bool on)
{
    struct subscription *item = find(s, name);
    bool found = item != NULL;

    if (on && !found)
        add(s, line_of_name(name), mem_str(name));
    for (; !on && item != NULL; item = find(s, name))
        drop(item);
    return on != found;
}

int subscriptions_set(int root, const char *const *names, size_t count, bool on, size_t max, struct err *e)
{
    struct subscriptions s = { 0 };
    bool changed = false;
    int r = subscriptions_read(root, &s, e);

    for (size_t i = 0; r == 0 && i < count; i++)
        changed = set_one(&s, names[i], on) || changed;
    if (r == 0 && changed && on && s.count > max)
        r = err_set(e, -EDQUOT, "there are %zu subscriptions, which is as many as there may be", max);
    if (r == 0 && changed)
        r = write_all(root, &s, e);
    subscriptions_clear(&s);
    return r;
}
