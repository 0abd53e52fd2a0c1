/*
 * Where the log goes: stderr, a file, or the socket of journald or syslog.  What a socket does not take goes to stderr.
 *
 * Thread: whoever writes the log; before its own thread runs any thread, each line with one call.
 */
#ifndef CORE_LOG_SINK_H
#define CORE_LOG_SINK_H

#include <stdatomic.h>

#include "core/log_line.h"

struct log_sink {
	enum { LOG_TO_FILE, LOG_TO_JOURNAL, LOG_TO_SYSLOG } kind;
	enum log_format format;
	int fd;
	atomic_bool is_torn; /* the file took a part of a line only: the next begins with an end of line */
};

#define LOG_SINK_STDERR { .kind = LOG_TO_FILE, .fd = 2 }

/* Is log.sink a path, and no word with a meaning of its own? */
bool log_sink_is_file(const char *sink);

/* 0 or errno, then nothing is open.  A daemon that does not listen is no error: it may come later. */
int log_sink_open(struct log_sink *sink, const struct log_options *options);
void log_sink_close(struct log_sink *sink);

/* False: nobody took it.  A reader that takes nothing makes it wait: a pipe for ever, a socket for a second. */
bool log_sink_write(struct log_sink *sink, const struct log_record *record);

#endif
