/*
 * Sessions of imflood whose B stops reading now and then (--deaf): what they do to the others.  The measured time is cut
 * into intervals; in every other one A of each such session sends as much as it is let, and B reads nothing.  The
 * latency of the ordinary sessions is kept apart for both kinds; the first half of an interval counts for neither,
 * because in it queues fill or empty.
 */
#ifndef LOAD_TESTS_DEAF_READERS_H
#define LOAD_TESTS_DEAF_READERS_H

#include "load-tests/histogram.h"
#include "load-tests/pair.h"

#define DEAF_INTERVALS 8 /* of the measured time, half of them deaf */

struct deaf_readers {
	struct pair *pairs;
	uint32_t n;
	uint64_t start_ns, end_ns;
	bool are_deaf;
};

/* Before traffic; the pairs are up. */
void deaf_begin(struct deaf_readers *d, struct pair *pairs, uint32_t n, uint64_t start_ns, uint64_t end_ns);

/* Some times a second: they stop reading and begin again as the time says; after the end all read. */
void deaf_turn(struct deaf_readers *d, uint64_t now_ns);

/* What A of such a session sends next, if anything. */
bool deaf_next(struct deaf_readers *d, struct pair *p, struct msrp_outgoing *out);

/* Which of two histograms what was due then belongs to: without or with deaf readers; NULL: neither. */
struct histogram *deaf_histogram(const struct deaf_readers *d, uint64_t due_ns, struct histogram *without,
				 struct histogram *with);

#endif
