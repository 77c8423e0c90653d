#include "facteur/base/codec.h"
#include "facteur/base/mem.h"

#include "control_priv.h"

static const struct {
    unsigned bit;
    const char *name;
} flag_names[] = {
    { QUEUE_SMTPUTF8, "smtputf8" }, { QUEUE_BINARY, "binarymime" }, { QUEUE_8BIT, "8bitmime" },
    { QUEUE_RET_FULL, "ret=full" }, { QUEUE_RET_HDRS, "ret=hdrs" }, { QUEUE_WARNED, "warned" },
    { QUEUE_HELD, "held" },
}, notify_names[] = {
    { NOTIFY_NEVER, "never" }, { NOTIFY_SUCCESS, "success" }, { NOTIFY_FAILURE, "failure" }, { NOTIFY_DELAY, "delay" },
};

static const char *const event_names[] = {
    [HISTORY_RECEIVED] = "received", [HISTORY_DELIVERED] = "delivered", [HISTORY_RELAYED] = "relayed",
    [HISTORY_DEFERRED] = "deferred", [HISTORY_BOUNCED] = "bounced",     [HISTORY_DELETED] = "deleted",
    [HISTORY_REFUSED] = "refused",
};

json_t *control_json_text(const char *text)
{
    struct slice s = slice_head(slice_str(text), CONTROL_TEXT_MAX);
    struct buf out;
    json_t *json;
    int code = 0;

    if (text == NULL)
        return json_null();
    while (text[s.n] != '\0' && s.n > 0 && ((unsigned char)text[s.n] & 0xc0) == 0x80)
        s.n--; /* not inside a character */
    if (utf8_valid(s))
        return json_stringn(s.p, s.n);
    buf_init(&out, 4 * (size_t)CONTROL_TEXT_MAX);
    for (size_t i = 0; i < s.n && code == 0; i++)
        code = (unsigned char)s.p[i] < 0x80 ? buf_addc(&out, s.p[i]) : buf_addf(&out, "\\x%02x", (unsigned char)s.p[i]);
    json = json_stringn(out.n > 0 ? out.p : "", out.n);
    buf_clear(&out);
    return json;
}

json_t *control_json_id(uint64_t id)
{
    char text[14];

    base32_u64(id, text);
    return json_string(text);
}

static json_t *recipient_json(const struct queue_recipient *r)
{
    json_t *notify = json_array();

    for (size_t i = 0; i < sizeof notify_names / sizeof notify_names[0]; i++)
        if (r->notify & notify_names[i].bit)
            json_array_append_new(notify, json_string(notify_names[i].name));
    return json_pack("{sI so ss so so so so sI sI so}", "seq", (json_int_t)r->seq, "address",
                     control_json_text(r->address), "route", r->route == QUEUE_LOCAL ? "local" : "remote", "mailbox",
                     control_json_text(r->route == QUEUE_LOCAL ? r->mailbox : NULL), "domain",
                     control_json_text(r->domain), "orcpt", control_json_text(r->orcpt), "notify", notify, "due_ms",
                     (json_int_t)r->due_ms, "attempts", (json_int_t)r->attempts, "last_reply",
                     control_json_text(r->last_reply));
}

json_t *control_json_message(const struct queue_message *m, size_t from, size_t most)
{
    json_t *flags = json_array(), *recipients = json_array();

    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
        if (m->flags & flag_names[i].bit)
            json_array_append_new(flags, json_string(flag_names[i].name));
    for (size_t i = from; i < m->count && i - from < most; i++)
        json_array_append_new(recipients, recipient_json(&m->recipients[i]));
    return json_pack("{so sI so so so so sI sI sI sb so sI so}", "id", control_json_id(m->id), "received_ms",
                     (json_int_t)m->received_ms, "sender", control_json_text(m->sender), "envid",
                     control_json_text(m->envid), "login", control_json_text(m->login), "client",
                     control_json_text(m->client), "size", (json_int_t)m->size, "wire_size", (json_int_t)m->wire_size,
                     "header_size", (json_int_t)m->header_size, "spooled", (int)m->spooled, "flags", flags,
                     "recipient_count", (json_int_t)m->count, "recipients", recipients);
}

json_t *control_json_event(const struct history_event *ev)
{
    size_t kind = (size_t)ev->kind < sizeof event_names / sizeof event_names[0] ? (size_t)ev->kind : 0;

    return json_pack("{sI ss so so so}", "wall_ms", (json_int_t)ev->wall_ms, "event",
                     event_names[kind] != NULL ? event_names[kind] : "unknown", "who", control_json_text(ev->who),
                     "text", control_json_text(ev->text), "peer", control_json_text(ev->peer));
}
