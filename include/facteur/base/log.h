/* facteur: base/log: one event a line.
 * Purpose:   what happened, for a person with tail -f and for a program: logfmt or JSON.
 * Owner:     one per process (the only module with state of its own beside app/).
 * Thread:    the loop's thread only; jobs return errors instead of logging them.
 * Limits:    256 octets a field, then "..."; 256 KiB wait to be written, then lines are dropped and counted. Writing
 *            never blocks: a pipe is written when it takes a whole line.
 * Standards: logfmt; JSON (RFC 8259); syslog (RFC 3164 over /dev/log). Octets outside 0x20-0x7E are escaped. */
#ifndef FACTEUR_BASE_LOG_H
#define FACTEUR_BASE_LOG_H

#include "facteur/base/err.h"
#include "facteur/base/slice.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_FILE, LOG_TARGET_SYSLOG, LOG_TARGET_NONE };

/* One key=value. Made by the log_… functions below, never by hand. */
struct log_kv {
    const char *key;
    enum { LOG_KV_TEXT, LOG_KV_NUMBER } kind;
    struct slice text;
    int64_t number;
};

static inline struct log_kv kv_str(const char *key, const char *s)
{
    return (struct log_kv){ key, LOG_KV_TEXT, slice_str(s != NULL ? s : ""), 0 };
}
static inline struct log_kv kv_slice(const char *key, struct slice s)
{
    return (struct log_kv){ key, LOG_KV_TEXT, s, 0 };
}
static inline struct log_kv kv_num(const char *key, int64_t n)
{
    return (struct log_kv){ key, LOG_KV_NUMBER, { NULL, 0 }, n };
}

/* LOG(INFO, "accepted", kv_str("session", id), kv_num("size", n)); empty texts are left out of the line. */
#define LOG(level, event, ...)                                                                                         \
    do {                                                                                                               \
        if (log_wants(LOG_LEVEL_##level))                                                                              \
            log_write(LOG_LEVEL_##level, event, (const struct log_kv[]){ __VA_ARGS__, { 0 } });                        \
    } while (0)

bool log_wants(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_kv *fields /* ends with key NULL */);

/* Sets where and how; `path` for LOG_TARGET_FILE (opened for appending, 0640) and, where it is not NULL, for
 * LOG_TARGET_SYSLOG (a datagram socket other than /dev/log). On an error the old target stays. Before the first call:
 * standard error, logfmt, info. */
int log_open(enum log_target target, const char *path, enum log_format format, enum log_level level,
             struct err *e) MUST_USE;
int log_reopen(struct err *e) MUST_USE; /* opens the file by its name again (after logrotate) */

size_t log_waiting(void);   /* octets that wait to be written */
void log_flush(void);       /* writes what waits, as far as it goes without blocking; called once a loop turn */
void log_close(void);       /* flushes and closes */
uint64_t log_dropped(void); /* lines dropped since start */

#endif
