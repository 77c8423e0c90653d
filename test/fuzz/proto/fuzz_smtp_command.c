/* The grammar of MAIL, RCPT, BDAT and reply lines. First octet: which one. */
#include "facteur/proto/smtp_syntax.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* A NUL-terminated text of printable ASCII (or UTF-8 where it may be) shorter than size. */
static void check_text(const char *text, size_t size)
{
    check(memchr(text, '\0', size) != NULL);
    for (; *text != '\0'; text++)
        check((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_refusal(const struct verdict *why)
{
    check(why->code >= 500 && why->code < 600 && why->enhanced[0] == '5');
}

static void fuzz_mail(struct slice in)
{
    struct smtp_mail mail;
    struct verdict why;

    if (smtp_parse_mail(in, 100000, &mail, &why) < 0) {
        check_refusal(&why);
        return;
    }
    check(mail.size <= 100000);
    check_text(mail.envid, sizeof mail.envid);
    check_text(mail.reverse_path.domain, sizeof mail.reverse_path.domain);
    check(mail.utf8 || !mail.reverse_path.utf8);
}

static void fuzz_rcpt(struct slice in, bool utf8)
{
    struct smtp_rcpt rcpt;
    struct verdict why;

    if (smtp_parse_rcpt(in, utf8, &rcpt, &why) < 0) {
        check_refusal(&why);
        return;
    }
    check(!address_is_null(&rcpt.forward_path));
    check(utf8 || !rcpt.forward_path.utf8);
    check_text(rcpt.orcpt, sizeof rcpt.orcpt);
    check((rcpt.notify & SMTP_NOTIFY_NEVER) == 0 || rcpt.notify == SMTP_NOTIFY_NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make((const char *)data, size), text;
    uint64_t octets = 0;
    bool last;
    short code = 0;

    if (size == 0 || size > LIMIT_COMMAND_LINE)
        return 0;
    in = slice_skip(in, 1);
    switch (data[0]) {
    case 'M':
        fuzz_mail(in);
        break;
    case 'R':
    case 'U':
        fuzz_rcpt(in, data[0] == 'U');
        break;
    case 'B':
        if (smtp_parse_bdat(in, &octets, &last) == 0)
            check(octets <= INT64_MAX);
        break;
    default:
        if (smtp_parse_reply_line(in, &code, &last, &text) == 0)
            check(code >= 200 && code <= 599 && text.n <= in.n);
        break;
    }
    return 0;
}
