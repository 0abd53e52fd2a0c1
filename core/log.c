#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "core/buffer.h"
#include "core/log_syslog.h"
#include "core/mailbox.h"
#include "core/worker.h"

_Atomic int log_level_now = LOG_INFO;

enum sink { SINK_FD, SINK_SYSLOG };

struct target {
	enum sink sink;
	int fd;
};

static struct {
	struct target target; /* of the thread that writes; before it runs and after it, of main */
	_Atomic int format;   /* enum log_format */
	pthread_t thread;
	struct mailbox mailbox;
	sem_t bell;
	atomic_bool runs, must_stop;
	_Atomic unsigned queued;
	_Atomic uint64_t lost;
} logger = { .target.fd = STDERR_FILENO };

enum { LINE, TARGET }; /* kinds of messages to the thread */

struct line {
	struct msg msg;
	enum log_level level;
	size_t n;
	char text[];
};

/* Stands in the queue where the lines for the new target begin. */
struct change {
	struct msg msg;
	struct target target;
};

static const char *const level_names[] = { "error", "warn", "info", "debug" };

bool log_sink_is_file(const char *sink)
{
	return sink && strcmp(sink, "stderr") != 0 && strcmp(sink, "journald") != 0 && strcmp(sink, "syslog") != 0;
}

static int open_target(const char *sink, struct target *target)
{
	*target = (struct target){ SINK_FD, STDERR_FILENO };
	if (!sink || !strcmp(sink, "stderr") || !strcmp(sink, "journald"))
		return 0; /* journald reads the stderr of a unit */
	if (!strcmp(sink, "syslog")) {
		log_syslog_open();
		target->sink = SINK_SYSLOG;
		return 0;
	}
	target->fd = open(sink, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	return target->fd < 0 ? errno : 0;
}

static void close_target(struct target target)
{
	if (target.sink == SINK_FD && target.fd != STDERR_FILENO)
		close(target.fd); /* what failed to be written was lost before */
}

int log_open(const struct log_options *options)
{
	struct change *change = NULL;
	struct target target;
	int err = open_target(options->sink, &target);

	if (err)
		return err;
	if (atomic_load(&logger.runs) && !(change = calloc(1, sizeof(*change)))) {
		close_target(target);
		return ENOMEM;
	}
	atomic_store(&logger.format, (int)options->format);
	atomic_store(&log_level_now, (int)options->level);
	if (!change) {
		close_target(logger.target);
		logger.target = target;
		return 0;
	}
	*change = (struct change){ .msg.kind = TARGET, .target = target };
	atomic_fetch_add(&logger.queued, 1);
	if (mailbox_post(&logger.mailbox, &change->msg))
		sem_post(&logger.bell);
	return 0;
}

void log_reopen_level(enum log_level level)
{
	atomic_store(&log_level_now, (int)level);
}

static void write_out(enum log_level level, const char *text, size_t n)
{
	if (logger.target.sink == SINK_SYSLOG) {
		log_syslog_write((int)level, text, (int)n);
		return;
	}
	while (n > 0) {
		ssize_t done = write(logger.target.fd, text, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nobody is left to tell that the log cannot be written */
		text += done;
		n -= (size_t)done;
	}
}

static void say_lost(void);

static void take(struct msg *msg)
{
	if (msg->kind == TARGET) {
		close_target(logger.target);
		logger.target = ((struct change *)msg)->target;
	} else {
		struct line *line = (struct line *)msg;
		write_out(line->level, line->text, line->n);
	}
	atomic_fetch_sub(&logger.queued, 1);
	free(msg);
}

static void *run(void *arg)
{
	struct msg *msg;

	(void)arg;
	for (;;) {
		while ((msg = mailbox_take(&logger.mailbox)))
			take(msg);
		say_lost();
		if (atomic_load(&logger.must_stop) && atomic_load(&logger.queued) == 0)
			return NULL;
		if (mailbox_sleep(&logger.mailbox))
			while (sem_wait(&logger.bell) != 0 && errno == EINTR)
				;
		mailbox_awake(&logger.mailbox);
	}
}

int log_start(void)
{
	mailbox_init(&logger.mailbox);
	sem_init(&logger.bell, 0, 0);
	atomic_store(&logger.must_stop, false);
	int err = pthread_create(&logger.thread, NULL, run, NULL);
	if (!err)
		atomic_store(&logger.runs, true);
	return err;
}

void log_stop(void)
{
	if (!atomic_exchange(&logger.runs, false))
		return;
	atomic_store(&logger.must_stop, true);
	sem_post(&logger.bell);
	pthread_join(logger.thread, NULL);
}

/* False: this line is one too many of its site.  *swallowed: how many were before this one. */
static bool is_within_burst(struct log_site *site, uint64_t second, unsigned *swallowed)
{
	*swallowed = 0;
	if (atomic_load_explicit(&site->second, memory_order_relaxed) != second) {
		atomic_store_explicit(&site->second, second, memory_order_relaxed);
		atomic_store_explicit(&site->lines, 0, memory_order_relaxed);
		*swallowed = atomic_exchange_explicit(&site->swallowed, 0, memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&site->lines, 1, memory_order_relaxed) < LOG_SITE_BURST)
		return true;
	atomic_fetch_add_explicit(&site->swallowed, 1, memory_order_relaxed);
	return false;
}

static void put_time(struct buffer *b, const struct timespec *now)
{
	struct tm tm;

	gmtime_r(&now->tv_sec, &tm);
	buffer_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min, tm.tm_sec, now->tv_nsec / 1000000);
}

/* Octets of the UTF-8 character at `text` (RFC 3629), or 0: it is none, or a control character. */
static unsigned character(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	unsigned n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if ((n > 1 && c[0] < 0xc2) || c[0] > 0xf4)
		return 0;
	for (unsigned i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((n == 1 && (c[0] < 0x20 || c[0] == 0x7f)) || (n == 2 && c[0] == 0xc2 && c[1] < 0xa0))
		return 0;
	/* longer than needed, or half of a surrogate pair, or beyond Unicode */
	if (n == 3 && ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] >= 0x90)))
		return 0;
	return n;
}

/* A peer's text may be in the event: nothing of it may start a line of its own, move a terminal's
 * cursor or make JSON invalid. */
static void put_clean(struct buffer *b, const char *text, bool json)
{
	while (*text && b->size - b->n > 8) {
		unsigned n = character(text);
		if (json && (*text == '"' || *text == '\\'))
			buffer_char(b, '\\');
		if (n == 0)
			buffer_printf(b, json ? "\\u%04x" : "\\x%02x", (unsigned char)*text);
		else
			buffer_put(b, slice_of(text, n));
		text += n ? n : 1;
	}
}

static size_t format_line(char *text, enum log_level level, const struct worker *worker, const char *subject,
	uint64_t id, const char *event, unsigned swallowed)
{
	struct buffer b = buffer_over(text, LOG_LINE_MAX - 32); /* room for the end */
	bool json = atomic_load_explicit(&logger.format, memory_order_relaxed) == LOG_JSON;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	buffer_str(&b, json ? "{\"time\":\"" : "");
	put_time(&b, &now);
	buffer_printf(&b, json ? "\",\"level\":\"%s\"" : " %s", level_names[level]);
	if (worker)
		buffer_printf(&b, json ? ",\"worker\":%u" : " w%u", worker->index);
	else if (!json)
		buffer_str(&b, " -");
	buffer_printf(&b, json ? ",\"subject\":\"%s\"" : " %s", subject);
	if (id)
		buffer_printf(&b, json ? ",\"id\":\"%llx\"" : " %llx", (unsigned long long)id);
	buffer_str(&b, json ? ",\"event\":\"" : " ");
	put_clean(&b, event, json);
	b.size = LOG_LINE_MAX;
	if (swallowed)
		buffer_printf(&b, " swallowed=%u", swallowed);
	buffer_str(&b, json ? "\"}\n" : "\n");
	return b.n;
}

/* What a full queue or memory cost, as soon as there is somebody to tell. */
static void say_lost(void)
{
	uint64_t lost = atomic_exchange(&logger.lost, 0);
	char event[64], text[LOG_LINE_MAX];

	if (lost == 0)
		return;
	snprintf(event, sizeof(event), "lost lines=%llu", (unsigned long long)lost);
	write_out(LOG_WARN, text, format_line(text, LOG_WARN, NULL, "log", 0, event, 0));
}

void log_write(struct log_site *site, enum log_level level, const struct worker *worker, const char *subject,
	uint64_t id, const char *format, ...)
{
	char event[LOG_LINE_MAX], text[LOG_LINE_MAX];
	struct timespec now;
	unsigned swallowed;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (level < LOG_INFO && !is_within_burst(site, (uint64_t)now.tv_sec, &swallowed))
		return;
	if (level >= LOG_INFO)
		swallowed = 0;
	va_start(ap, format);
	vsnprintf(event, sizeof(event), format, ap);
	va_end(ap);
	size_t n = format_line(text, level, worker, subject, id, event, swallowed);
	/* acquire: a worker that sees the thread also sees its mailbox, made while the worker ran */
	if (!atomic_load_explicit(&logger.runs, memory_order_acquire)) {
		write_out(level, text, n);
		return;
	}
	if (atomic_fetch_add(&logger.queued, 1) >= LOG_QUEUE_LINES) {
		atomic_fetch_sub(&logger.queued, 1);
		atomic_fetch_add(&logger.lost, 1);
		return;
	}
	struct line *line = malloc(sizeof(*line) + n);
	if (!line) {
		atomic_fetch_sub(&logger.queued, 1);
		atomic_fetch_add(&logger.lost, 1);
		return;
	}
	line->msg.kind = LINE;
	line->level = level;
	line->n = n;
	memcpy(line->text, text, n);
	if (mailbox_post(&logger.mailbox, &line->msg))
		sem_post(&logger.bell);
}
