/*
 * The log: `time level worker subject id event key=value ...`, one event a line.
 *   error  someone must act         warn   someone will ask
 *   info   life of a session        debug  one line per packet
 * Never the content of a message.  Errors and warnings of one call
 * site beyond LOG_SITE_BURST a second are swallowed and counted in its next line.
 *
 * Any thread.  Between log_start() and log_stop() a thread of its own does the
 * writing, so that no worker waits for a file; what it cannot take is counted
 * and said.  Outside of that, lines are written at once.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdatomic.h>

#include "core/log_line.h"
#include "core/log_sink.h"
#include "core/slice.h"

#define LOG_SITE_BURST  20
#define LOG_QUEUE_LINES 16384

struct worker;
struct counters;

struct log_site {
	_Atomic uint64_t second;
	_Atomic unsigned lines, swallowed;
};

extern _Atomic int log_level_now;

/* Level, format and sink, from here on; a file is opened again also under the same name.  Main, also while the
 * log runs: what was said before still goes where it went.  0, or errno and nothing has changed. */
int log_open(const struct log_options *options);
int log_start(void); /* 0 or errno of pthread_create */
void log_stop(void); /* writes what is queued, unless nobody takes it */
struct counters *log_counters(void); /* of lines that were lost; any thread may read it */
void log_reopen_level(enum log_level level);

__attribute__((format(printf, 6, 7))) void log_write(struct log_site *site, enum log_level level,
	const struct worker *worker, const char *subject, uint64_t id, const char *format, ...);

/* LOG(INFO, worker, "session", id, "opened from=%.*s", SLICE_ARG(from)); id 0 is left out */
#define LOG(LEVEL, worker, subject, id, ...)                                                       \
	do {                                                                                       \
		static struct log_site log_site_here;                                              \
		if ((int)LOG_##LEVEL <= atomic_load_explicit(&log_level_now, memory_order_relaxed)) \
			log_write(&log_site_here, LOG_##LEVEL, (worker), (subject), (id), __VA_ARGS__); \
	} while (0)

#endif
