#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log_sink.h"
#include "core/mailbox.h"
#include "core/worker.h"

#define STUCK_S 5 /* at the end a reader that takes nothing for so long is not waited for */

_Atomic int log_level_now = LOG_INFO;

static struct {
	struct log_sink sink; /* of the thread that writes; before it runs and after it, of main */
	pthread_t thread;
	struct mailbox mailbox;
	sem_t bell;
	atomic_bool runs, must_stop;
	_Atomic unsigned queued;
	_Atomic uint64_t written; /* lines, for log_stop() to see that it goes on */
	_Atomic uint64_t lost;    /* lines that were not said to be lost yet */
	_Atomic uint64_t lost_ever;
	struct counters counters; /* as the sink */
} logger = { .sink = LOG_SINK_STDERR };

enum { LINE, SINK }; /* kinds of messages to the thread */

/* Made into what the sink wants by who writes, so that no worker spends its time on that and a new sink with
 * another format begins at one place in the queue. */
struct line {
	struct msg msg;
	struct log_record record;
	char event[];
};

/* Stands in the queue where the lines for the new sink begin. */
struct change {
	struct msg msg;
	struct log_sink sink;
};

int log_open(const struct log_options *options)
{
	struct change *change = NULL;
	struct log_sink sink;
	int err = log_sink_open(&sink, options);

	if (err)
		return err;
	if (atomic_load(&logger.runs) && !(change = calloc(1, sizeof(*change)))) {
		log_sink_close(&sink);
		return ENOMEM;
	}
	atomic_store(&log_level_now, (int)options->level);
	if (!change) {
		log_sink_close(&logger.sink);
		logger.sink = sink;
		return 0;
	}
	change->msg.kind = SINK;
	change->sink = sink;
	atomic_fetch_add(&logger.queued, 1);
	if (mailbox_post(&logger.mailbox, &change->msg))
		sem_post(&logger.bell);
	return 0;
}

void log_reopen_level(enum log_level level)
{
	atomic_store(&log_level_now, (int)level);
}

struct counters *log_counters(void)
{
	return &logger.counters;
}

static void lose_line(void)
{
	atomic_fetch_add(&logger.lost, 1);
	atomic_fetch_add(&logger.lost_ever, 1);
}

static void write_out(const struct log_record *record)
{
	if (log_sink_write(&logger.sink, record))
		atomic_fetch_add_explicit(&logger.written, 1, memory_order_relaxed);
	else
		lose_line();
}

/* What a full queue, memory or the sink cost, as soon as there is somebody to tell. */
static void say_lost(void)
{
	struct log_record record = { .level = LOG_WARN, .worker = -1, .subject = "log" };
	uint64_t lost = atomic_exchange(&logger.lost, 0);
	char event[64];

	if (lost == 0)
		return;
	COUNTERS_STORE(logger.counters.values[COUNTER_log_lines_lost], atomic_load(&logger.lost_ever));
	snprintf(event, sizeof(event), "lost lines=%llu", (unsigned long long)lost);
	record.event = event;
	clock_gettime(CLOCK_REALTIME, &record.time);
	if (!log_sink_write(&logger.sink, &record))
		atomic_fetch_add(&logger.lost, lost); /* said after the next line */
}

static void take(struct msg *msg)
{
	if (msg->kind == SINK) {
		log_sink_close(&logger.sink);
		logger.sink = ((struct change *)msg)->sink;
	} else {
		write_out(&((struct line *)msg)->record);
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
	uint64_t written = 0;
	struct timespec end;
	int err;

	if (!atomic_exchange(&logger.runs, false))
		return;
	atomic_store(&logger.must_stop, true);
	sem_post(&logger.bell);
	do {
		written = atomic_load(&logger.written);
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec += STUCK_S;
		err = pthread_timedjoin_np(logger.thread, NULL, &end);
	} while (err == ETIMEDOUT && atomic_load(&logger.written) != written);
	/* else it waits for somebody who does not read: the process ends without it */
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

void log_write(struct log_site *site, enum log_level level, const struct worker *worker, const char *subject,
	uint64_t id, const char *format, ...)
{
	struct log_record record = { .level = level, .worker = worker ? (int)worker->index : -1, .subject = subject, .id = id };
	char event[LOG_LINE_MAX];
	struct timespec now;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (level < LOG_INFO && !is_within_burst(site, (uint64_t)now.tv_sec, &record.swallowed))
		return;
	clock_gettime(CLOCK_REALTIME, &record.time);
	va_start(ap, format);
	int size = vsnprintf(event, sizeof(event), format, ap);
	va_end(ap);
	record.event = size < 0 ? "unprintable" : event;
	/* acquire: a worker that sees the thread also sees its mailbox, made while the worker ran */
	if (!atomic_load_explicit(&logger.runs, memory_order_acquire)) {
		write_out(&record);
		return;
	}
	size_t n = strlen(record.event) + 1;
	struct line *line = NULL;
	if (atomic_fetch_add(&logger.queued, 1) >= LOG_QUEUE_LINES || !(line = malloc(sizeof(*line) + n))) {
		atomic_fetch_sub(&logger.queued, 1);
		lose_line();
		return;
	}
	line->msg.kind = LINE;
	line->record = record;
	line->record.event = line->event;
	memcpy(line->event, record.event, n);
	if (mailbox_post(&logger.mailbox, &line->msg))
		sem_post(&logger.bell);
}
