/*
 * How one event of the log looks, for each kind of sink.  A peer's text may be in the event: nothing of it may start a
 * line or a field of its own, move a terminal's cursor or make JSON invalid, whatever its octets are.
 *
 * Pure functions, any thread.
 */
#ifndef CORE_LOG_LINE_H
#define CORE_LOG_LINE_H

#include <time.h>

#include "core/options.h"

#define LOG_LINE_MAX  1024 /* longer events are cut, the line stays whole */
#define LOG_ENTRY_MAX (LOG_LINE_MAX + 512)

struct log_record {
	struct timespec time; /* CLOCK_REALTIME */
	enum log_level level;
	int worker;           /* -1: another thread */
	const char *subject;  /* a literal: it is not copied */
	uint64_t id;          /* 0: none */
	unsigned swallowed;   /* lines of this site before this one */
	const char *event;    /* as it was said; ends with NUL */
};

/* All write at most LOG_ENTRY_MAX octets to `out` and return how many. */

/* One line with its end, as log.format says. */
size_t log_line_write(char *out, const struct log_record *record, enum log_format format);

/* An entry of journald's native protocol: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, IMSERV_SUBJECT, IMSERV_ID, IMSERV_WORKER.
 * All of them together fit into a datagram, so none needs a memory file. */
size_t log_line_journal(char *out, const struct log_record *record);

/* A message to the local syslog: `<priority>time imservd[pid]: ...`, without its own time and level in text. */
size_t log_line_syslog(char *out, const struct log_record *record, enum log_format format);

#endif
