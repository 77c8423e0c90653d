/* /etc/hosts: its text as it is, kept until the file changes; a look-up walks its lines. */
#include "dns_priv.h"

#include "facteur/base/mem.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

/* Lists against advertising are put there too, and are no next hops: of a longer file only the beginning counts. */
enum { HOSTS_MOST = 64 * 1024, ADDRESS_TEXT = 64 };

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A local file of a few lines: read on the loop, at its first use and when it has changed. */
static void read_again(struct dns_hosts *h)
{
    struct stat now;
    int fd = open(h->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n;

    if (fd < 0 || fstat(fd, &now) < 0 || !S_ISREG(now.st_mode)) {
        h->n = 0;
        h->seen = (struct stat){ 0 };
    } else if (h->text == NULL || !is_same(&now, &h->seen)) {
        if (h->text == NULL)
            h->text = mem_alloc(HOSTS_MOST);
        n = pread(fd, h->text, HOSTS_MOST, 0);
        h->n = n > 0 ? (size_t)n : 0;
        h->seen = now;
        while (h->n == HOSTS_MOST && n > 0 && h->text[n - 1] != '\n') /* no half a name */
            h->n = (size_t)--n;
    }
    if (fd >= 0)
        (void)close(fd);
}

static struct slice next_word(struct slice *line)
{
    size_t start = 0, end;

    while (start < line->n && strchr(" \t\r", line->p[start]) != NULL)
        start++;
    for (end = start; end < line->n && strchr(" \t\r", line->p[end]) == NULL;)
        end++;
    *line = slice_skip(*line, end);
    return slice_make(line->p - (end - start), end - start);
}

static bool is_named(struct slice rest, struct slice name)
{
    struct slice word = next_word(&rest);

    while (word.n > 0) {
        if (word.p[word.n - 1] == '.')
            word.n--;
        if (word.n == name.n && strncasecmp(word.p, name.p, name.n) == 0)
            return true;
        word = next_word(&rest);
    }
    return false;
}

static bool read_address(struct slice text, struct dns_record *ret)
{
    char copy[ADDRESS_TEXT];

    *ret = (struct dns_record){ 0 };
    if (slice_copy(text, copy, sizeof copy) < 0)
        return false;
    ret->type = strchr(copy, ':') != NULL ? DNS_AAAA : DNS_A;
    return inet_pton(ret->type == DNS_A ? AF_INET : AF_INET6, copy, ret->octets) == 1;
}

size_t dns_hosts_find(struct dns_hosts *h, struct slice name, struct dns_record *to, size_t max)
{
    struct slice rest, line, content;
    size_t count = 0;

    read_again(h);
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    rest = slice_make(h->text, h->n);
    while (name.n > 0 && rest.n > 0 && count < max) {
        (void)slice_cut(&rest, '\n', &line);
        (void)slice_cut(&line, '#', &content);
        if (read_address(next_word(&content), &to[count]) && is_named(content, name))
            count++;
    }
    return count;
}

void dns_hosts_clear(struct dns_hosts *h)
{
    mem_free(h->text);
    *h = (struct dns_hosts){ .path = h->path };
}
