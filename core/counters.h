/*
 * Counters, gauges and histograms of one thread (design.md 10), declared once in core/counters.def;
 * the reasons to refuse or drop anything stand in core/reasons.def.
 *
 * Each worker (and any other thread that counts) has its own struct counters and is the only one
 * that writes it; everybody may read it at any time.  Reads and writes are relaxed: a sum is never
 * torn, but two counters of it may be from different moments.
 * A gauge is the writer's own share; the sum over all threads is what /metrics shows.
 *
 * Owner: whoever starts the thread; zeroed memory is a valid start.  It must outlive its readers.
 */
#ifndef CORE_COUNTERS_H
#define CORE_COUNTERS_H

#include <stdint.h>
#include <stdio.h>

enum counter {
#define COUNTER(name, unit, help) COUNTER_##name,
#include "core/counters.def"
	COUNTER_COUNT
};

enum gauge {
#define GAUGE(name, unit, help) GAUGE_##name,
#include "core/counters.def"
	GAUGE_COUNT
};

/* Pools shown as imserv_pool_used{pool="name"}. */
enum pool_gauge {
#define POOL(name, help) POOL_##name,
#include "core/counters.def"
	POOL_COUNT
};

enum histogram {
#define HISTOGRAM(name, help) HISTOGRAM_##name,
#include "core/counters.def"
	HISTOGRAM_COUNT
};

/* Of one thread, never summed: imserv_<name>{worker="i"}. */
enum ratio {
#define RATIO(name, help) RATIO_##name,
#include "core/counters.def"
	RATIO_COUNT
};

enum reason {
#define REASON(name, label, text) REASON_##name,
#include "core/reasons.def"
	REASON_COUNT
};

/* Bucket i holds what took at most 2^i microseconds (1 us to 2^25 us = 33.6 s); the last, the rest. */
#define HISTOGRAM_BUCKETS 27

struct histogram_counts {
	uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
	uint64_t sum_us;
};

struct counters {
	uint64_t values[COUNTER_COUNT];
	uint64_t refused[REASON_COUNT];
	int64_t gauges[GAUGE_COUNT];
	int64_t pools[POOL_COUNT];
	struct histogram_counts histograms[HISTOGRAM_COUNT];
	uint32_t ratios[RATIO_COUNT]; /* in thousandths */
} __attribute__((aligned(64))); /* no cache line shared with the next worker's */

/* One writer, so a plain add would do; the atomic store only keeps readers from torn values. */
#define COUNTERS_STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* Owning thread only, all of these. */
static inline void counter_add(struct counters *c, enum counter which, uint64_t n)
{
	COUNTERS_STORE(c->values[which], c->values[which] + n);
}

static inline void counter_refused(struct counters *c, enum reason why)
{
	COUNTERS_STORE(c->refused[why], c->refused[why] + 1);
}

static inline void gauge_add(struct counters *c, enum gauge which, int64_t n)
{
	COUNTERS_STORE(c->gauges[which], c->gauges[which] + n);
}

static inline void gauge_set(struct counters *c, enum gauge which, int64_t value)
{
	COUNTERS_STORE(c->gauges[which], value);
}

static inline void pool_gauge_set(struct counters *c, enum pool_gauge which, int64_t value)
{
	COUNTERS_STORE(c->pools[which], value);
}

static inline void ratio_set(struct counters *c, enum ratio which, uint32_t thousandths)
{
	COUNTERS_STORE(c->ratios[which], thousandths);
}

/* `n` of them took so long. */
static inline void histogram_add_n(struct counters *c, enum histogram which, uint64_t us, uint64_t n)
{
	struct histogram_counts *h = &c->histograms[which];
	unsigned bucket = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);

	if (bucket >= HISTOGRAM_BUCKETS)
		bucket = HISTOGRAM_BUCKETS - 1;
	COUNTERS_STORE(h->buckets[bucket], h->buckets[bucket] + n);
	COUNTERS_STORE(h->sum_us, h->sum_us + us * n);
}

static inline void histogram_add(struct counters *c, enum histogram which, uint64_t us)
{
	histogram_add_n(c, which, us, 1);
}

#define COUNT(c, name)	   counter_add((c), COUNTER_##name, 1)
#define COUNT_N(c, name, n) counter_add((c), COUNTER_##name, (n))
#define REFUSED(c, reason) counter_refused((c), (reason))

/* Any thread.  *sum = the sum over `count` threads; NULL entries are skipped. */
void counters_sum(struct counters *sum, struct counters *const *all, unsigned count);

/* OpenMetrics 1.0 text of a sum, `# EOF` included.  Any thread; errors stay in `out` (ferror). */
void counters_write(const struct counters *sum, FILE *out);

/* The ratios of each worker, to stand before that text: entry i of `all` is worker i's. */
void counters_write_ratios(struct counters *const *all, unsigned workers, FILE *out);
/* The counters and gauges of each worker alone; likewise. */
void counters_write_workers(struct counters *const *all, unsigned workers, FILE *out);

/* The `reason=` field of the log and the label of imserv_refused_total. */
const char *reason_label(enum reason why);
/* A sentence for a person. */
const char *reason_text(enum reason why);
const char *counter_name(enum counter which);

#endif
