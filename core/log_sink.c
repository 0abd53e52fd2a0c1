#include "core/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 1000 /* for a terminal or pipe that somebody has made non-blocking */

bool log_sink_is_file(const char *sink)
{
	return sink && strcmp(sink, "stderr") != 0 && strcmp(sink, "journald") != 0 && strcmp(sink, "syslog") != 0;
}

static int open_socket(struct log_sink *sink)
{
	static const struct timeval longest = { 1, 0 };

	sink->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sink->fd < 0)
		return errno;
	(void)setsockopt(sink->fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest)); /* else it waits, as a pipe */
	return 0;
}

int log_sink_open(struct log_sink *sink, const struct log_options *options)
{
	*sink = (struct log_sink){ .kind = LOG_TO_FILE, .format = options->format, .fd = STDERR_FILENO };
	if (!options->sink || !strcmp(options->sink, "stderr"))
		return 0;
	if (log_sink_is_file(options->sink)) {
		sink->fd = open(options->sink, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		return sink->fd < 0 ? errno : 0;
	}
	sink->kind = !strcmp(options->sink, "journald") ? LOG_TO_JOURNAL : LOG_TO_SYSLOG;
	return open_socket(sink);
}

void log_sink_close(struct log_sink *sink)
{
	if (sink->fd != STDERR_FILENO && sink->fd >= 0)
		close(sink->fd); /* what failed to be written was counted before */
	sink->fd = -1;
}

/* Whole, or *n octets of it. */
static bool write_all(int fd, const char *text, size_t size, size_t *n)
{
	for (*n = 0; *n < size;) {
		ssize_t done = write(fd, text + *n, size - *n);
		if (done > 0) {
			*n += (size_t)done;
		} else if (done < 0 && errno == EAGAIN) {
			struct pollfd writable = { fd, POLLOUT, 0 };
			if (poll(&writable, 1, WAIT_MS) == 0)
				return false;
		} else if (done == 0 || errno != EINTR) {
			return false;
		}
	}
	return true;
}

static bool write_line(struct log_sink *sink, int fd, const struct log_record *record)
{
	char line[LOG_ENTRY_MAX + 1];
	size_t written, n;
	bool was_torn = atomic_load_explicit(&sink->is_torn, memory_order_relaxed);

	line[0] = '\n';
	n = log_line_write(line + 1, record, sink->format);
	bool is_whole = write_all(fd, line + !was_torn, n + was_torn, &written);
	if (written > 0)
		atomic_store_explicit(&sink->is_torn, !is_whole, memory_order_relaxed);
	return is_whole;
}

/* To a name, not by a connection: a daemon that is started again needs no new one. */
static bool send_entry(int fd, const char *path, const char *entry, size_t n)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	ssize_t sent;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	do {
		sent = sendto(fd, entry, n, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
	} while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)n;
}

/* Tests have daemons of their own. */
static const char *name_of(const char *variable, const char *usual)
{
	const char *name = getenv(variable);

	return name && *name ? name : usual;
}

bool log_sink_write(struct log_sink *sink, const struct log_record *record)
{
	char entry[LOG_ENTRY_MAX];
	bool is_taken = false;

	switch (sink->kind) {
	case LOG_TO_FILE:
		return write_line(sink, sink->fd, record);
	case LOG_TO_JOURNAL:
		is_taken = send_entry(sink->fd, name_of("IMSERV_JOURNAL", "/run/systemd/journal/socket"), entry,
			log_line_journal(entry, record));
		break;
	case LOG_TO_SYSLOG:
		is_taken = send_entry(sink->fd, name_of("IMSERV_SYSLOG", "/dev/log"), entry,
			log_line_syslog(entry, record, sink->format));
		break;
	}
	return is_taken || write_line(sink, STDERR_FILENO, record);
}
