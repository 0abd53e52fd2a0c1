/*
 * A log-linear histogram of times: every octave is cut into 64 equal parts, so a
 * value read back is at most 1/64 (1.6 %) above the one recorded, whatever its
 * size.  Recording is a few instructions and never allocates.
 *
 * Values are nanoseconds here, but any uint64_t will do.  Any thread, one at a time.
 */
#ifndef LOAD_TESTS_HISTOGRAM_H
#define LOAD_TESTS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB      (1u << HISTOGRAM_SUB_BITS)
/* 64 values below the first octave that is cut, then one row for each higher bit. */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
	uint64_t count, max;
	double sum;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
void histogram_add(struct histogram *into, const struct histogram *h);

/* The smallest recorded value, rounded up to the end of its bucket, that at least the share
 * `quantile` (0 to 1) of all values does not exceed; never more than the maximum; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double quantile);
double histogram_mean(const struct histogram *h);

#endif
