#include "text_priv.h"
#include "utf8_priv.h"

enum { TEXT, TAG, NAME, ATTRIBUTES, QUOTED, DECLARATION, COMMENT, CONTENT, ENTITY };

void html_init(struct html *h)
{
    *h = (struct html){ .state = TEXT };
}

/* Elements inside of a line: words do not end at them. */
static const char *const inlines[] = {
    "a",    "abbr", "acronym", "b",    "bdi",   "bdo",  "big",    "code",   "del", "em",  "font", "i", "ins", "kbd",
    "mark", "q",    "s",       "samp", "small", "span", "strike", "strong", "sub", "sup", "tt",   "u", "var", "wbr",
};

/* Elements whose content is no text, and what ends it. */
static const struct {
    const char *name, *close;
} silent[] = { { "script", "</script" }, { "style", "</style" }, { "title", "</title" } };

static const struct {
    const char *name;
    uint32_t character; /* 0: nothing */
} entities[] = {
    { "amp", '&' },      { "lt", '<' },        { "gt", '>' },        { "quot", '"' },     { "apos", '\'' },
    { "nbsp", ' ' },     { "ensp", ' ' },      { "emsp", ' ' },      { "thinsp", ' ' },   { "shy", 0 },
    { "zwnj", 0 },       { "zwj", 0 },         { "euro", 0x20ac },   { "ndash", 0x2013 }, { "mdash", 0x2014 },
    { "lsquo", 0x2018 }, { "rsquo", 0x2019 },  { "sbquo", 0x201a },  { "ldquo", 0x201c }, { "rdquo", 0x201d },
    { "bdquo", 0x201e }, { "hellip", 0x2026 }, { "bull", 0x2022 },   { "trade", 0x2122 }, { "larr", 0x2190 },
    { "rarr", 0x2192 },  { "lsaquo", 0x2039 }, { "rsaquo", 0x203a }, { "minus", 0x2212 }, { "OElig", 0x152 },
    { "oelig", 0x153 },  { "Scaron", 0x160 },  { "scaron", 0x161 },  { "Yuml", 0x178 },
};

/* The entities of Latin-1 from U+00A1 on. */
static const char *const latin1[] = {
    "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",   "ordf",   "laquo",
    "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",   "acute",  "micro",  "para",
    "middot", "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute",
    "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave",
    "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",   "times",
    "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute", "acirc",
    "atilde", "auml",   "aring",  "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute",
    "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide", "oslash",
    "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml",
};

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A numeric reference ("#228", "#xe4"); false when it is none or stands for nothing. */
static bool read_number(struct slice name, uint32_t *ret)
{
    bool hex = name.n > 2 && (name.p[1] == 'x' || name.p[1] == 'X');
    uint32_t value = 0;

    if (name.n < 2 || name.p[0] != '#')
        return false;
    for (size_t i = hex ? 2 : 1; i < name.n; i++) {
        char c = (char)(name.p[i] | 0x20);

        if (name.p[i] >= '0' && name.p[i] <= '9')
            value = value * (hex ? 16 : 10) + (uint32_t)(name.p[i] - '0');
        else if (hex && c >= 'a' && c <= 'f')
            value = value * 16 + (uint32_t)(c - 'a') + 10;
        else
            return false;
        if (value > 0x10ffff)
            return false;
    }
    if (value == 0 || (value >= 0xd800 && value < 0xe000))
        return false;
    *ret = value == 0xa0 ? ' ' : value;
    return true;
}

static bool is_named(struct slice name, const char *entity)
{
    return name.p[0] == entity[0] && slice_is(name, entity); /* the first octet tells most of them apart, and faster */
}

static bool read_entity(struct slice name, uint32_t *ret)
{
    if (read_number(name, ret))
        return true;
    if (name.n == 0)
        return false;
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++) {
        if (is_named(name, entities[i].name)) {
            *ret = entities[i].character;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof latin1 / sizeof *latin1; i++) {
        if (is_named(name, latin1[i])) {
            *ret = 0xa1 + (uint32_t)i;
            return true;
        }
    }
    return false;
}

/* What was taken for an entity has ended at c; *ret_used: c belongs to it. */
static int end_entity(struct html *h, char c, bool *ret_used, struct buf *out)
{
    struct slice name = { h->name, h->n };
    uint32_t character;

    h->state = TEXT;
    *ret_used = false;
    if (!read_entity(name, &character)) {
        TRY(buf_addc(out, '&'));
        return buf_add(out, name.p, name.n);
    }
    *ret_used = c == ';';
    return character != 0 ? utf8_add(character, out) : 0;
}

/* A tag has ended with its ">". */
static int end_tag(struct html *h, struct buf *out)
{
    struct slice name = { h->name, h->n };

    h->state = TEXT;
    h->close = NULL;
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        if (slice_iis(name, silent[i].name)) {
            h->close = silent[i].close;
            h->state = CONTENT;
            h->n = 0;
            return 0; /* what ends it breaks the line */
        }
    }
    if (name.n > 0 && name.p[0] == '/')
        name = slice_skip(name, 1);
    for (size_t i = 0; i < sizeof inlines / sizeof *inlines; i++)
        if (slice_iis(name, inlines[i]))
            return 0;
    return buf_addc(out, '\n');
}

/* One octet of a name: of a tag, or "!" and what follows it. True when c belongs to what comes behind it. */
static bool take_name(struct html *h, char c)
{
    if (h->n > 0 && h->name[0] == '!') {
        h->name[h->n++] = c;
        if (h->n == 3 && h->name[1] == '-' && c == '-')
            h->state = COMMENT;
        else if (c != '-' || h->n == 3)
            h->state = DECLARATION;
        h->n = h->state == COMMENT ? 2 : h->n; /* its own dashes may end it: "<!-->" */
        return h->state == DECLARATION;
    }
    if (is_blank(c) || c == '>' || (c == '/' && h->n > 0)) {
        h->state = ATTRIBUTES;
        h->before = '\0';
        return true;
    }
    if (h->n < sizeof h->name)
        h->name[h->n++] = c;
    return false;
}

/* How much of `end` has been seen with c behind h->n octets of it. */
static void match(struct html *h, const char *end, char c)
{
    char folded = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;

    if (folded == end[h->n])
        h->n++;
    else if (end[0] != '-' || h->n < 2 || c != '-') /* "--->" ends a comment too */
        h->n = folded == end[0] ? 1 : 0;
}

/* One octet inside of what is no text. */
static int take_markup(struct html *h, char c, struct buf *out)
{
    switch (h->state) {
    case ATTRIBUTES:
        if (c == '>')
            return end_tag(h, out);
        if ((c == '"' || c == '\'') && h->before == '=')
            h->state = QUOTED;
        h->before = is_blank(c) ? h->before : c;
        break;
    case QUOTED:
        if (c == h->before) {
            h->state = ATTRIBUTES;
            h->before = '\0';
        }
        break;
    case DECLARATION:
        h->state = c == '>' ? TEXT : DECLARATION;
        break;
    case COMMENT:
        match(h, "-->", c);
        h->state = h->n == 3 ? TEXT : COMMENT;
        break;
    case CONTENT:
        match(h, h->close, c);
        if (h->n == strlen(h->close)) {
            h->state = ATTRIBUTES;
            h->n = 0;
            h->before = '\0';
        }
        break;
    default:
        break;
    }
    return 0;
}

/* One octet at which text may end or markup begin. *ret_used: it was taken. */
static int take(struct html *h, char c, bool *ret_used, struct buf *out)
{
    *ret_used = true;
    switch (h->state) {
    case TEXT:
        h->n = 0;
        h->state = c == '<' ? TAG : ENTITY;
        return 0;
    case TAG:
        if (is_alpha(c) || c == '/' || c == '!' || c == '?') {
            h->name[h->n++] = c;
            h->state = c == '?' ? DECLARATION : NAME;
            return 0;
        }
        h->state = TEXT;
        *ret_used = false;
        return buf_addc(out, '<');
    case NAME:
        *ret_used = !take_name(h, c);
        return 0;
    case ENTITY:
        if (h->n < sizeof h->name && (is_alpha(c) || (c >= '0' && c <= '9') || (c == '#' && h->n == 0))) {
            h->name[h->n++] = c;
            return 0;
        }
        return end_entity(h, c, ret_used, out);
    default:
        return take_markup(h, c, out);
    }
}

int html_push(struct html *h, struct slice utf8, bool last, struct buf *out)
{
    while (utf8.n > 0) {
        size_t n = 0;
        bool used;

        while (h->state == TEXT && n < utf8.n && utf8.p[n] != '<' && utf8.p[n] != '&')
            n++;
        TRY(buf_add(out, utf8.p, n));
        utf8 = slice_skip(utf8, n);
        if (utf8.n == 0)
            break;
        TRY(take(h, utf8.p[0], &used, out));
        if (used)
            utf8 = slice_skip(utf8, 1);
    }
    if (last && h->state == ENTITY) {
        bool used;

        return end_entity(h, '\0', &used, out);
    }
    return last && h->state == TAG ? buf_addc(out, '<') : 0;
}
