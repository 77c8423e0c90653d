/* facteur-uidvalidity: what must survive the loss of index.db and is in no file's name.
 *
 * The file is replaced as a whole and synced before a UID beyond its uidnext is used, so a UID that a client may have
 * seen is below the uidnext that stands there, whatever happens. */
#include "index_priv.h"

#include "facteur/base/clock.h"
#include "facteur/base/codec.h"
#include "facteur/base/rand.h"
#include "facteur/store/sys.h"

#include "dir_priv.h"
#include "dovecot_priv.h"
#include "folders_file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static const char file[] = "facteur-uidvalidity";
enum { FILE_MAX = 1024, UID_BELIEVED = INT32_MAX /* the most that names alone are believed */ };

static const char *const specials[] = {
    [SPECIAL_NONE] = "none",       [SPECIAL_ALL] = "all",   [SPECIAL_ARCHIVE] = "archive", [SPECIAL_DRAFTS] = "drafts",
    [SPECIAL_FLAGGED] = "flagged", [SPECIAL_JUNK] = "junk", [SPECIAL_SENT] = "sent",       [SPECIAL_TRASH] = "trash",
};

struct uid_file {
    uint32_t uidvalidity;
    uint64_t uidnext;
    char mailbox_id[32];
    enum index_special special;
    bool adopting;
};

static bool mailbox_id_valid(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z')))
            return false;
    return s.n > 0;
}

static void take_line(struct slice line, struct uid_file *u)
{
    struct slice key;
    uint64_t n;

    (void)slice_cut(&line, ' ', &key);
    if (slice_is(key, "uidvalidity") && slice_u64(line, UINT32_MAX, &n) == 0)
        u->uidvalidity = (uint32_t)n;
    else if (slice_is(key, "uidnext"))
        (void)slice_u64(line, (uint64_t)UID_MAX + 1, &u->uidnext);
    else if (slice_is(key, "mailbox-id") && mailbox_id_valid(line))
        slice_clip(line, u->mailbox_id, sizeof u->mailbox_id);
    else if (slice_is(key, "adopting"))
        u->adopting = true;
    for (unsigned i = 0; slice_is(key, "special") && i < sizeof specials / sizeof specials[0]; i++)
        if (slice_is(line, specials[i]))
            u->special = (enum index_special)i;
}

/* -ENOENT; -EBADMSG when it is not what we write. */
static int read_file(int dir, struct uid_file *ret)
{
    struct uid_file u = { 0 };
    struct slice rest, line;
    struct buf text;
    int r;

    buf_init(&text, FILE_MAX);
    r = small_file_read(dir, file, &text);
    rest = buf_slice(&text);
    if (r == 0 && (!slice_cut(&rest, '\n', &line) || !slice_is(line, "facteur-uidvalidity 1")))
        r = -EBADMSG;
    while (r == 0 && slice_cut(&rest, '\n', &line))
        take_line(line, &u);
    buf_clear(&text);
    if (r == 0 && (u.uidvalidity == 0 || u.uidnext == 0 || u.mailbox_id[0] == '\0'))
        r = -EBADMSG;
    if (r == 0)
        *ret = u;
    return r == -EFBIG || r == -EINVAL ? -EBADMSG : r;
}

int index_uid_write(struct index *x, struct folder *f, uint32_t reserved, struct err *e)
{
    struct buf text;
    int r;

    buf_init(&text, FILE_MAX);
    r = buf_addf(&text, "facteur-uidvalidity 1\nuidvalidity %" PRIu32 "\nuidnext %" PRIu32 "\nmailbox-id %s\n",
                 f->uidvalidity, reserved, f->mailbox_id);
    if (r == 0 && f->special != SPECIAL_NONE)
        r = buf_addf(&text, "special %s\n", specials[f->special]);
    if (r == 0 && f->adopting)
        r = buf_adds(&text, "adopting\n");
    if (r == 0)
        r = small_file_write(f->base, file, buf_slice(&text));
    buf_clear(&text);
    if (r < 0)
        return err_set(e, r, "write %s of %s, folder %s: %s", file, x->user, f->name, err_text(r));
    f->reserved = reserved;
    return 0;
}

int index_uid_reserve(struct index *x, struct folder *f, uint64_t below, struct err *e)
{
    uint64_t block = below + (x->options.uid_block > 0 ? x->options.uid_block - 1 : 0);

    if (below <= f->reserved)
        return 0;
    if (below > (uint64_t)UID_MAX + 1)
        return err_set(e, -EOVERFLOW, "folder %s of %s has no UIDs left", f->name, x->user);
    if (block > (uint64_t)UID_MAX + 1)
        block = (uint64_t)UID_MAX + 1;
    return index_uid_write(x, f, (uint32_t)block, e);
}

uint32_t index_uidvalidity(struct index *x)
{
    int64_t now = clock_wall_ms() / 1000;
    uint32_t next = x->uidvalidity < UINT32_MAX ? x->uidvalidity + 1 : UINT32_MAX;

    if (now > next && now <= UINT32_MAX)
        next = (uint32_t)now;
    x->uidvalidity = next;
    return next;
}

/* UIDs that names carry although nobody knows who gave them: they are kept, and new ones come after them. */
static int highest_uid(void *ctx, int dir, const char *name)
{
    uint32_t *highest = ctx;
    struct file_name n;

    (void)dir;
    file_name_parse(slice_str(name), &n);
    if (n.uid <= UID_BELIEVED && n.uid > *highest)
        *highest = n.uid;
    return 0;
}

static int start_anew(struct index *x, struct folder *f, struct err *e)
{
    uint32_t highest = 0;

    for (int i = 0; i < PLACES; i++) {
        int r = dir_each(f->places[i], highest_uid, &highest);

        if (r < 0)
            return err_set(e, r, "read folder %s of %s: %s", f->name, x->user, err_text(r));
    }
    f->uidvalidity = index_uidvalidity(x);
    f->uidnext = highest + 1;
    return 0;
}

static int start_from_dovecot(struct index *x, struct folder *f, struct err *e)
{
    struct dovecot_uidlist list = { 0 };
    int r = dovecot_uidlist_read(f->base, &list, e);

    (void)x;
    if (r < 0)
        return r;
    f->uidvalidity = list.uidvalidity;
    f->uidnext = list.uidnext;
    f->adopting = true;
    dovecot_uidlist_clear(&list);
    return f->uidvalidity == 0 || f->uidnext == 0 ? -EBADMSG : 0;
}

/* There is no file: it is made from the row, else from what Dovecot left, else anew. */
static int make_file(struct index *x, struct folder *f, struct err *e)
{
    if (f->mailbox_id[0] == '\0') {
        uint64_t id;

        rand_bytes(&id, sizeof id);
        f->mailbox_id[0] = 'M';
        base32_u64(id, f->mailbox_id + 1);
    }
    if (f->uidvalidity == 0 || (f->partial && f->uidnext == 1)) { /* no row tells what was given, either */
        int r = start_from_dovecot(x, f, NULL);

        if (r == -ENOENT || r == -EBADMSG)
            r = start_anew(x, f, e);
        else if (r < 0)
            (void)err_set(e, r, "read dovecot-uidlist of %s, folder %s: %s", x->user, f->name, err_text(r));
        if (r < 0)
            return r;
        f->first_recent = f->uidnext;
    } else if (!x->was_clean) { /* the row may be behind what was given */
        uint64_t next = (uint64_t)f->uidnext + x->options.uid_block;

        f->uidnext = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
    }
    if (f->uidvalidity > x->uidvalidity)
        x->uidvalidity = f->uidvalidity;
    return index_uid_write(x, f, f->uidnext, e);
}

/* The folder is not the one that the rows are about: they are not believed any more. */
static int take_other(struct index *x, struct folder *f, const struct uid_file *u, struct err *e)
{
    if (f->uidvalidity != 0)
        TRY(index_folder_forget(x, f, e));
    f->uidvalidity = u->uidvalidity;
    f->uidnext = f->first_recent = (uint32_t)u->uidnext;
    return 0;
}

int index_uid_check(struct index *x, struct folder *f, struct err *e)
{
    struct uid_file u = { 0 };
    int r = read_file(f->base, &u);

    if (r == -ENOENT || r == -EBADMSG)
        return make_file(x, f, e);
    if (r < 0)
        return err_set(e, r, "read %s of %s, folder %s: %s", file, x->user, f->name, err_text(r));
    if (u.uidvalidity != f->uidvalidity)
        TRY(take_other(x, f, &u, e));
    if (u.uidnext > f->uidnext)
        f->uidnext = (uint32_t)u.uidnext;
    f->reserved = (uint32_t)u.uidnext;
    f->adopting = u.adopting;
    memcpy(f->mailbox_id, u.mailbox_id, sizeof f->mailbox_id);
    if (f->special == SPECIAL_NONE)
        f->special = u.special;
    if (f->uidvalidity > x->uidvalidity)
        x->uidvalidity = f->uidvalidity;
    return f->uidnext > f->reserved ? index_uid_write(x, f, f->uidnext, e) : 0;
}
