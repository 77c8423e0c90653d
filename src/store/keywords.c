#include "keywords_priv.h"

#include "facteur/base/mem.h"

#include "folders_file_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static const char file_name[] = "dovecot-keywords";

enum { FILE_MAX = 64 * 1024 };

void keywords_clear(struct keywords *k)
{
    for (unsigned i = 0; i < k->count; i++)
        mem_free(k->names[i]);
    *k = (struct keywords){ 0 };
}

bool keyword_valid(struct slice name)
{
    if (name.n == 0 || name.n > KEYWORD_LENGTH)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c) != NULL) /* chars over 0x7f may be negative: <= ' ' */
            return false;
    }
    return true;
}

static bool is_known(const struct keywords *k, struct slice name)
{
    for (unsigned i = 0; i < KEYWORDS_IN_NAME; i++) {
        if (k->names[i] != NULL && slice_ieq(slice_str(k->names[i]), name))
            return true;
    }
    return false;
}

/* "12 name"; other lines are passed over. */
static void take_line(struct keywords *k, struct slice line)
{
    struct slice number;
    uint64_t n;

    if (!slice_cut(&line, ' ', &number) || slice_u64(number, KEYWORDS_IN_NAME - 1, &n) < 0 || !keyword_valid(line) ||
        is_known(k, line))
        return;
    mem_free(k->names[n]); /* said twice: the last counts */
    k->names[n] = mem_dup(line.p, line.n);
    if (k->count <= n)
        k->count = (unsigned)n + 1;
}

/* Files may have letters whose names are lost. */
static void name_holes(struct keywords *k)
{
    for (unsigned i = 0; i < k->count; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "unknown-%u", i);

        if (k->names[i] != NULL)
            continue;
        while (n > 0 && (size_t)n + 1 < sizeof name && is_known(k, slice_str(name))) {
            name[n++] = '-';
            name[n] = '\0';
        }
        k->names[i] = mem_str(name);
    }
}

int keywords_read(int dir, struct keywords *ret, struct err *e)
{
    struct keywords k = { 0 };
    struct buf text;
    struct slice rest, line;
    int r;

    buf_init(&text, FILE_MAX);
    r = small_file_read(dir, file_name, &text);
    rest = buf_slice(&text);
    while (rest.n > 0) {
        (void)slice_cut(&rest, '\n', &line);
        take_line(&k, line);
    }
    buf_clear(&text);
    if (r < 0 && r != -ENOENT && r != -EFBIG && r != -EINVAL && r != -ELOOP)
        return err_set(e, r, "read %s: %s", file_name, err_text(r));
    name_holes(&k);
    *ret = k;
    return 0;
}

int keywords_write(int dir, const char *const *names, unsigned count, struct err *e)
{
    struct buf text;
    int r = 0;

    buf_init(&text, FILE_MAX);
    for (unsigned i = 0; r == 0 && i < count && i < KEYWORDS_IN_NAME; i++)
        r = buf_addf(&text, "%u %s\n", i, names[i]);
    if (r == 0)
        r = small_file_write(dir, file_name, buf_slice(&text));
    buf_clear(&text);
    return r < 0 ? err_set(e, r, "write %s: %s", file_name, err_text(r)) : 0;
}
