/*
 * What `imflood --record` wrote, read again for the report: a head, a line a second, and at the end the report, which is
 * missing when imflood was killed.
 */
#ifndef LOAD_TESTS_RECORD_H
#define LOAD_TESTS_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define RECORD_SECONDS_MAX 200000u /* more than two days */

/* The columns of a line that are plotted; NAN where a line has none. */
#define RECORD_COLUMNS(X)                      \
	X(T, "t")                              \
	X(DUE, "due_per_s")                    \
	X(DONE, "done_per_s")                  \
	X(UNDER_WAY, "under_way")              \
	X(UP, "up")                            \
	X(P50, "p50_us")                       \
	X(P90, "p90_us")                       \
	X(P99, "p99_us")                       \
	X(P999, "p99.9_us")                    \
	X(MAX, "max_us")                       \
	X(SERVER_CPU, "server_cpu")            \
	X(SERVER_MEMORY, "server_memory_kib")  \
	X(IMFLOOD_CPU, "imflood_cpu")          \
	X(LATE, "late_us")                     \
	X(ERRORS, "errors")                    \
	X(REFUSED, "refused")

enum record_column {
#define X(NAME, name) COLUMN_##NAME,
	RECORD_COLUMNS(X)
#undef X
		RECORD_COLUMNS_N
};

struct record {
	json_t *head, *report; /* report NULL: there is none */
	double *columns[RECORD_COLUMNS_N];
	size_t n;
	double measure_from, measure_to; /* seconds; equal: nothing was measured */
};

/* False: one line on stderr has said why.  Reads the whole file; to be closed in any case. */
bool record_read(struct record *r, const char *path);
void record_close(struct record *r);

/* Has any line a figure other than 0 there? */
bool record_has(const struct record *r, enum record_column column);

#endif
