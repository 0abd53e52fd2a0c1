#include "load-tests/histogram.h"

#include <string.h>

static unsigned bucket_of(uint64_t value)
{
	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((value >> shift) - HISTOGRAM_SUB);
}

static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < HISTOGRAM_SUB)
		return bucket;
	unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	uint64_t first = (uint64_t)(HISTOGRAM_SUB + (bucket & (HISTOGRAM_SUB - 1))) << shift;
	return first + (((uint64_t)1 << shift) - 1);
}

void histogram_reset(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void histogram_record(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->count++;
	h->sum += (double)value;
	if (value > h->max)
		h->max = value;
}

void histogram_add(struct histogram *into, const struct histogram *h)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += h->buckets[i];
	into->count += h->count;
	into->sum += h->sum;
	if (h->max > into->max)
		into->max = h->max;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
	double exact_rank = quantile * (double)h->count;
	uint64_t rank = (uint64_t)exact_rank, seen = 0;

	if ((double)rank < exact_rank || rank == 0)
		rank++;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank) {
			uint64_t end = bucket_end(i);
			return end < h->max ? end : h->max;
		}
	}
	return h->max; /* empty, or a quantile above 1 */
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? h->sum / (double)h->count : 0;
}
