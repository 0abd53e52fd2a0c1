/*
 * What GET /metrics answers (design.md 10), OpenMetrics 1.0: what the server is and how it fares, what the
 * process takes, some figures of each worker, and every row of core/counters.def and core/reasons.def.
 * No family names a user, a peer or a domain: who may read it learns how much there is to do, not of whom.
 *
 * Thread: any; it only reads.
 */
#ifndef ACTORS_METRICS_H
#define ACTORS_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/counters.h"

enum server_state {
	SERVER_STARTING,
	SERVER_READY,
	SERVER_DRAINING, /* no new work; ends when the sessions have ended, or after runtime.drain */
};

/* What it is made of; what it points to must live as long as somebody may ask. */
struct metrics_source {
	struct counters *const *counters; /* one per thread that counts; entries may be NULL */
	unsigned counters_count;
	unsigned workers;       /* so many of them, the first, are workers' */
	const char *mode, *io;  /* ours: nothing in them needs escaping */
	uint64_t started_ms;    /* CLOCK_MONOTONIC */
	/* Read an atomic here. */
	enum server_state (*state)(void *arg);
	/* CPU time that this worker's thread has had; false: not known (yet).  NULL: of none. */
	bool (*worker_cpu_us)(void *arg, unsigned worker, uint64_t *us);
	/* limits.sessions as it is now: a reload may change it.  NULL: of none. */
	unsigned (*sessions_limit)(void *arg);
	void *arg;
};

/* The whole text, `# EOF` included.  Errors stay in `out` (ferror). */
void metrics_write(const struct metrics_source *source, FILE *out);

#endif
