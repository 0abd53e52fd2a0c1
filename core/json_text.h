/*
 * JSON strings and times (RFC 8259, RFC 3339) written into memory of the caller, for lines that are made on a
 * worker.  Pure functions, any thread.
 */
#ifndef CORE_JSON_TEXT_H
#define CORE_JSON_TEXT_H

#include "core/buffer.h"

/* In quotes, whatever octets `text` has: control characters escaped, what is not UTF-8 (RFC 3629) replaced by U+FFFD,
 * one for each octet. */
void json_put_string(struct buffer *out, struct slice text);

/* "2026-01-02T03:04:05.006Z" in quotes: microseconds since 1970, UTC. */
void json_put_time(struct buffer *out, uint64_t wall_us);

#endif
