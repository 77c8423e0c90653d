#include "facteur/proto/imap_parse.h"

enum { NAME_MAX_OCTETS = 1024, PATTERN_MAX = 2 * NAME_MAX_OCTETS + 2 };

static char fold(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_wild(char c)
{
    return c == '*' || c == '%';
}

/* Runs of wildcards as one: "*" when there is one in it. False when it has more other octets than the name: then it
 * cannot match, and what is left fits. */
static bool simplify(struct slice pattern, size_t name_n, char to[PATTERN_MAX], size_t *ret_n)
{
    size_t n = 0, plain = 0;

    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];

        if (!is_wild(c)) {
            if (++plain > name_n)
                return false;
            to[n++] = c;
        } else if (n == 0 || !is_wild(to[n - 1])) {
            to[n++] = c;
        } else if (c == '*') {
            to[n - 1] = '*';
        }
    }
    *ret_n = n;
    return true;
}

/* RFC 3501 5.1: INBOX is written in any case, also before what is below it. */
static size_t inbox_octets(struct slice name)
{
    enum { INBOX = 5 };

    return slice_is(slice_head(name, INBOX), "INBOX") && (name.n == INBOX || name.p[INBOX] == '/') ? INBOX : 0;
}

/* All places in the pattern at once, octet by octet of the name: nothing is tried twice. at[i]: what is before place i
 * has matched so far. */
bool imap_pattern_matches(struct slice pattern, struct slice name)
{
    char p[PATTERN_MAX];
    bool at[PATTERN_MAX + 1] = { true };
    size_t inbox = inbox_octets(name);
    size_t n = 0;

    if (name.n > NAME_MAX_OCTETS || !simplify(pattern, name.n, p, &n))
        return false;
    if (n > 0 && is_wild(p[0]))
        at[1] = true;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool before = at[0], any = false;

        at[0] = false;
        for (size_t k = 0; k < n; k++) {
            bool here = before, wild = is_wild(p[k]);

            before = at[k + 1];
            if (wild) /* it takes c, or it took earlier ones, or none */
                at[k + 1] = (before && (p[k] == '*' || c != '/')) || at[k];
            else
                at[k + 1] = here && (p[k] == c || (i < inbox && fold(p[k]) == c));
            any = any || at[k + 1];
        }
        if (!any)
            return false;
    }
    return at[n];
}
