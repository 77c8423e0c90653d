/* facteur: base/log_priv: the two halves of base/log.
 * Purpose:   log_line makes lines, log.c keeps and writes them.
 * Owner:     the caller's memory.
 * Thread:    the loop's thread only (log_line keeps the formatted second).
 * Limits:    LOG_LINE octets a line; fields beyond it are left out.
 * Standards: as base/log. */
#ifndef FACTEUR_BASE_LOG_PRIV_H
#define FACTEUR_BASE_LOG_PRIV_H

#include "facteur/base/log.h"

enum { LOG_LINE = 8192, LOG_FIELD = 256 };

/* Writes one line with its LF to `to`, which has room for LOG_LINE octets; returns its length. */
size_t log_line(char *to, enum log_format format, enum log_level level, const char *event, const struct log_kv *fields);

/* "<22>Nov 22 04:35:54 facteur[123]: ", what a syslog datagram starts with (RFC 3164 section 4.1). */
size_t log_syslog_tag(char *to, enum log_level level);

#endif
