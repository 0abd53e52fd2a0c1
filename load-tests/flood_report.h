/*
 * What a run found, and how it is told: one progress line a second on stderr, and at
 * the end a text or a JSON object on stdout.
 */
#ifndef LOAD_TESTS_FLOOD_REPORT_H
#define LOAD_TESTS_FLOOD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "load-tests/flood_errors.h"
#include "load-tests/flood_options.h"
#include "load-tests/histogram.h"

struct flood_report {
	struct histogram arrival; /* ns from the intended send time to the whole message at B */
	struct histogram confirmation; /* ns from there to the last 200 at A */
	struct histogram without_deaf, with_deaf; /* --deaf: arrival in intervals of each kind */
	uint64_t deaf_octets; /* that came at those who did not read all the time */
	uint64_t due; /* messages whose intended send time was in the measured time */
	uint64_t arrived, confirmed; /* in the measured time                                     */
	uint64_t errors[FLOOD_ERRORS_N];
	char error_example[FLOOD_ERRORS_N][80]; /* what the first of each kind was */
	uint32_t sessions_up;
	double setup_s, measured_s;
	bool has_server;
	double server_cpu_s;        /* in the measured time               */
	uint64_t server_memory_kib; /* at its end                         */
	double memory_per_session;  /* octets: sessions up against before */
	double idle_memory_per_session; /* the same after --idle           */
	double own_cpu_s;           /* of imflood itself, in the measured time */
};

/* `what` (NULL: no more to say) is copied. */
void report_error(struct flood_report *r, enum flood_error error, const char *what);
uint64_t report_errors(const struct flood_report *r);
void report_text(const struct flood_report *r, const struct flood_options *o);
void report_json(const struct flood_report *r, const struct flood_options *o);

#endif
