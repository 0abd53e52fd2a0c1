/*
 * The frame of a run: its phases, its clock, what it measures, and how it is told while it lasts: one progress line a
 * second on stderr, and one JSON line a second in the file of --record.
 *
 * A run ends early, and is told, when SIGINT or SIGTERM comes.
 */
#ifndef LOAD_TESTS_FLOOD_RUN_H
#define LOAD_TESTS_FLOOD_RUN_H

#include <stdio.h>

#include "load-tests/event_loop.h"
#include "load-tests/flood_options.h"
#include "load-tests/flood_report.h"
#include "load-tests/random.h"
#include "load-tests/server_process.h"

#define SECOND_NS 1000000000u
#define TURN_NS   (50u * 1000000) /* the longest sleep: timers and progress wait for it */

/* In order.  Nothing new is begun after RUN_BACKLOG; in it only what was due before. */
#define RUN_PHASES(X)         \
	X(REGISTER, "register") \
	X(SETUP, "set-up")      \
	X(WARMUP, "warm-up")    \
	X(MEASURE, "measure")   \
	X(BACKLOG, "backlog")   \
	X(DRAIN, "drain")       \
	X(STORM, "storm")       \
	X(IDLE, "idle")         \
	X(RELEASE, "release")   \
	X(UNREGISTER, "unregister")

enum run_phase {
#define X(NAME, text) RUN_##NAME,
	RUN_PHASES(X)
#undef X
};

/* What is read at the beginning and the end of a stretch of time. */
struct run_marks {
	uint64_t ns;
	struct server_figures server;
	double own_cpu_s, own_wait_s; /* wait: ready to run, but another had the CPU */
};

struct flood_run {
	const struct flood_options *options;
	struct flood_report *report;
	struct event_loop loop;
	struct prng prng;
	enum run_phase phase;
	uint64_t measure_start_ns, measure_end_ns;
	uint32_t up;        /* sessions */
	uint64_t under_way; /* of all kinds of load */
	/* ---- own ---- */
	uint64_t begun_ns;
	struct server_process server;
	bool server_is_gone;
	struct run_marks measured;
	FILE *record;
	/* since the last line of progress */
	struct run_marks last;
	uint64_t done, due;
	uint64_t late_ns; /* the most */
	struct histogram times;
};

/* 0 or errno; ECANCELED: one line on stderr has said why. */
int run_open(struct flood_run *r, const struct flood_options *options, struct flood_report *report);
/* Ends the record with the report. */
void run_close(struct flood_run *r);

bool run_interrupted(void);

void run_measure_begin(struct flood_run *r);
void run_measure_end(struct flood_run *r);
bool run_is_measured(const struct flood_run *r, uint64_t due_ns);

/* Something was due at that time and is begun now, or as soon as the target lets us; how late we are is ours. */
void run_due(struct flood_run *r, enum flood_load load, uint64_t due_ns);
/* It came where it had to; then its answer came. */
void run_done(struct flood_run *r, enum flood_load load, uint64_t due_ns);
void run_confirmed(struct flood_run *r, enum flood_load load, uint64_t due_ns);

/* Some times a second. */
void run_progress(struct flood_run *r);

/* All zero without --pid; a process that has gone is reported once. */
void run_read_server(struct flood_run *r, struct server_figures *figures);

static inline uint64_t seconds_ns(double seconds)
{
	return (uint64_t)(seconds * SECOND_NS);
}

#endif
