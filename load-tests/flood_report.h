/*
 * What a run found, and how it is told at the end: as text or as a JSON object on stdout (flood_report.c,
 * report_json.c), and in the file of --record.
 */
#ifndef LOAD_TESTS_FLOOD_REPORT_H
#define LOAD_TESTS_FLOOD_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "load-tests/flood_errors.h"
#include "load-tests/flood_options.h"
#include "load-tests/histogram.h"

#define REFUSALS_MAX 64 /* kinds of refusal; what comes beyond is counted in the last */

/* Of one kind of load. */
struct load_figures {
	struct histogram arrival; /* ns from the intended time until it was done: a message whole at B, a session bound */
	struct histogram confirmation; /* ns from there to the last answer at A */
	uint64_t due;                  /* intended in the measured time */
	uint64_t arrived, confirmed;   /* in the measured time */
};

/* Requests refused with the same status; in all of the run. */
struct refusal {
	char method[12];
	unsigned status;
	uint64_t n, with_retry_after;
	uint32_t retry_after_max_s;
};

struct flood_report {
	struct load_figures loads[FLOOD_LOADS_N];
	struct histogram without_deaf, with_deaf; /* --deaf: arrival in intervals of each kind */
	uint64_t deaf_octets; /* that came at those who did not read all the time */
	struct histogram lateness; /* ns between when something was due and when imflood turned to it */
	struct refusal refusals[REFUSALS_MAX];
	unsigned refusals_n;
	uint64_t repeated; /* requests that imflood sent again, and that came again */
	uint64_t repeated_in;
	uint64_t own_drops; /* datagrams that this machine's kernel had no room for, at imflood's sockets */
	uint32_t registrations_left; /* that the server may have for an hour: the next run would meet them */
	uint64_t errors[FLOOD_ERRORS_N];
	char error_example[FLOOD_ERRORS_N][80]; /* what the first of each kind was */
	uint64_t stored, delivered; /* deferred: MESSAGEs; storm: from the first REGISTER to the last of them */
	double storm_s, storm_cpu_s;
	uint32_t sessions_up;
	double setup_s, measured_s;
	bool has_server, server_ended; /* ended: before the end of the measured time */
	bool is_unanswered;            /* nothing at all came from the target        */
	double server_cpu_s;        /* in the measured time               */
	uint64_t server_memory_kib; /* at its end                         */
	double memory_per_session;  /* octets: sessions up against before */
	double idle_memory_per_session; /* the same after --idle           */
	double own_cpu_s, own_wait_s;   /* of imflood itself, in the measured time; ready to run without a CPU */
};

/* `what` (NULL: no more to say) is copied. */
void report_error(struct flood_report *r, enum flood_error error, const char *what);
uint64_t report_errors(const struct flood_report *r);

/* A final answer that is none of 2xx: an error, and counted per method and status.  retry_after_s: -1 none. */
void report_refusal(struct flood_report *r, const char *method, unsigned status, long retry_after_s);
uint64_t report_refused(const struct flood_report *r);

/* Was imflood too slow for what it was told to do?  Then times are its own, and what was reached is its own limit. */
bool report_is_own_limit(const struct flood_report *r, const struct flood_options *o);

/* All loads in one. */
void report_total(const struct flood_report *r, struct load_figures *total);

/* One line on stderr for what can be mended with the command line or by starting the server. */
void report_hints(const struct flood_report *r, const struct flood_options *o);

void report_text(const struct flood_report *r, const struct flood_options *o);
/* One object without a line end. */
void report_json(FILE *f, const struct flood_report *r, const struct flood_options *o);
/* The first line of a record. */
void report_record_head(FILE *f, const struct flood_options *o);

/* ---- what both need ---- */

extern const struct load_info {
	const char *name, *text, *unit, *done, *confirmed;
} load_info[FLOOD_LOADS_N];

extern const struct quantile_info {
	const char *name;
	double quantile;
} quantile_info[];
#define QUANTILES_N 4

static inline double report_per_second(const struct flood_report *r, double n)
{
	return r->measured_s > 0 ? n / r->measured_s : 0;
}

static inline double cpu_us_each(double cpu_s, uint64_t n)
{
	return n ? cpu_s * 1e6 / (double)n : 0;
}

/* p99 with deaf readers over p99 without. */
double report_deaf_ratio(const struct flood_report *r);

extern const char *const flood_error_names[FLOOD_ERRORS_N];

#endif
