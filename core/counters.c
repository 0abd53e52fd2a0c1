#include "core/counters.h"

#include <stdbool.h>
#include <string.h>

static const struct {
	const char *name, *unit, *help;
} counter_rows[] = {
#define COUNTER(name, unit, help) { #name, unit, help },
#include "core/counters.def"
};

static const struct {
	const char *name, *unit, *help;
} gauge_rows[] = {
#define GAUGE(name, unit, help) { #name, unit, help },
#include "core/counters.def"
};

static const struct {
	const char *name, *help;
} pool_rows[] = {
#define POOL(name, help) { #name, help },
#include "core/counters.def"
};

static const struct {
	const char *name, *help;
} histogram_rows[] = {
#define HISTOGRAM(name, help) { #name, help },
#include "core/counters.def"
};

static const struct {
	const char *name, *help;
} ratio_rows[] = {
#define RATIO(name, help) { #name, help },
#include "core/counters.def"
};

static const struct {
	const char *name, *help;
	bool is_counter;
	unsigned which; /* enum counter or enum gauge */
} worker_rows[] = {
#define WORKER_COUNTER(name, counter, help) { #name, help, true, COUNTER_##counter },
#define WORKER_GAUGE(name, gauge, help)	    { #name, help, false, GAUGE_##gauge },
#include "core/counters.def"
};

static const struct {
	const char *label, *text;
} reason_rows[] = {
#define REASON(name, label, text) { label, text },
#include "core/reasons.def"
};

const char *reason_label(enum reason why)
{
	return reason_rows[why].label;
}

const char *reason_text(enum reason why)
{
	return reason_rows[why].text;
}

const char *counter_name(enum counter which)
{
	return counter_rows[which].name;
}

/* ---- sums ---- */

static uint64_t load(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void add(struct counters *sum, const struct counters *c)
{
	for (int i = 0; i < COUNTER_COUNT; i++)
		sum->values[i] += load(&c->values[i]);
	for (int i = 0; i < REASON_COUNT; i++)
		sum->refused[i] += load(&c->refused[i]);
	for (int i = 0; i < GAUGE_COUNT; i++)
		sum->gauges[i] += __atomic_load_n(&c->gauges[i], __ATOMIC_RELAXED);
	for (int i = 0; i < POOL_COUNT; i++)
		sum->pools[i] += __atomic_load_n(&c->pools[i], __ATOMIC_RELAXED);
	for (int i = 0; i < HISTOGRAM_COUNT; i++) {
		sum->histograms[i].sum_us += load(&c->histograms[i].sum_us);
		for (int b = 0; b < HISTOGRAM_BUCKETS; b++)
			sum->histograms[i].buckets[b] += load(&c->histograms[i].buckets[b]);
	}
}

void counters_sum(struct counters *sum, struct counters *const *all, unsigned count)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < count; i++)
		if (all[i])
			add(sum, all[i]);
}

/* ---- OpenMetrics 1.0 ---- */

static void write_counters(const struct counters *sum, FILE *out)
{
	for (int i = 0; i < COUNTER_COUNT; i++)
		fprintf(out,
			"# TYPE imserv_%s counter\n"
			"# HELP imserv_%s %s (%s)\n"
			"imserv_%s_total %llu\n",
			counter_rows[i].name, counter_rows[i].name, counter_rows[i].help,
			counter_rows[i].unit, counter_rows[i].name,
			(unsigned long long)sum->values[i]);
}

static void write_refused(const struct counters *sum, FILE *out)
{
	fputs("# TYPE imserv_refused counter\n"
	      "# HELP imserv_refused refused, dropped or given up, by reason\n", out);
	for (int i = 0; i < REASON_COUNT; i++)
		fprintf(out, "imserv_refused_total{reason=\"%s\"} %llu\n", reason_rows[i].label,
			(unsigned long long)sum->refused[i]);
}

static void write_gauges(const struct counters *sum, FILE *out)
{
	for (int i = 0; i < GAUGE_COUNT; i++)
		fprintf(out,
			"# TYPE imserv_%s gauge\n"
			"# HELP imserv_%s %s (%s)\n"
			"imserv_%s %lld\n",
			gauge_rows[i].name, gauge_rows[i].name, gauge_rows[i].help,
			gauge_rows[i].unit, gauge_rows[i].name, (long long)sum->gauges[i]);
}

static void write_pools(const struct counters *sum, FILE *out)
{
	fputs("# TYPE imserv_pool_used gauge\n"
	      "# HELP imserv_pool_used objects in use in the pools of all workers:", out);
	for (int i = 0; i < POOL_COUNT; i++)
		fprintf(out, "%s %s = %s", i ? "," : "", pool_rows[i].name, pool_rows[i].help);
	fputc('\n', out);
	for (int i = 0; i < POOL_COUNT; i++)
		fprintf(out, "imserv_pool_used{pool=\"%s\"} %lld\n", pool_rows[i].name,
			(long long)sum->pools[i]);
}

static void write_seconds(uint64_t us, FILE *out)
{
	fprintf(out, "%llu.%06llu", (unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000));
}

/* As OpenMetrics 1.0 wants the bounds of buckets: the shortest digits, in the form of %g.  Of powers of two all
 * from 128 us on need each of their six places. */
static void write_bound(uint64_t us, FILE *out)
{
	if (us < 10)
		fprintf(out, "%ue-06", (unsigned)us);
	else if (us < 100)
		fprintf(out, "%u.%ue-05", (unsigned)us / 10, (unsigned)us % 10);
	else
		write_seconds(us, out);
}

/* A scrape may fall between a bucket and the sum of a running worker; the count is taken from the
 * buckets, so that at least those two always agree. */
static void write_histogram(const struct histogram_counts *h, const char *name, FILE *out)
{
	uint64_t count = 0;

	for (int b = 0; b < HISTOGRAM_BUCKETS; b++) {
		count += h->buckets[b];
		fprintf(out, "imserv_%s_seconds_bucket{le=\"", name);
		if (b < HISTOGRAM_BUCKETS - 1)
			write_bound(UINT64_C(1) << b, out);
		else
			fputs("+Inf", out);
		fprintf(out, "\"} %llu\n", (unsigned long long)count);
	}
	fprintf(out, "imserv_%s_seconds_count %llu\n", name, (unsigned long long)count);
	fprintf(out, "imserv_%s_seconds_sum ", name);
	write_seconds(h->sum_us, out);
	fputc('\n', out);
}

void counters_write_ratios(struct counters *const *all, unsigned workers, FILE *out)
{
	for (int i = 0; i < RATIO_COUNT; i++) {
		if (workers)
			fprintf(out, "# TYPE imserv_%s gauge\n# HELP imserv_%s %s\n", ratio_rows[i].name, ratio_rows[i].name,
				ratio_rows[i].help);
		for (unsigned w = 0; w < workers; w++) {
			if (!all[w])
				continue;
			uint32_t thousandths = __atomic_load_n(&all[w]->ratios[i], __ATOMIC_RELAXED);
			fprintf(out, "imserv_%s{worker=\"%u\"} %u.%03u\n", ratio_rows[i].name, w, thousandths / 1000,
				thousandths % 1000);
		}
	}
}

void counters_write_workers(struct counters *const *all, unsigned workers, FILE *out)
{
	for (size_t i = 0; i < sizeof(worker_rows) / sizeof(worker_rows[0]); i++) {
		const char *name = worker_rows[i].name;
		unsigned which = worker_rows[i].which;
		bool is_counter = worker_rows[i].is_counter;

		if (workers)
			fprintf(out, "# TYPE imserv_worker_%s %s\n# HELP imserv_worker_%s %s\n", name,
				is_counter ? "counter" : "gauge", name, worker_rows[i].help);
		for (unsigned w = 0; w < workers; w++) {
			const struct counters *c = all[w];
			if (c && is_counter)
				fprintf(out, "imserv_worker_%s_total{worker=\"%u\"} %llu\n", name, w,
					(unsigned long long)load(&c->values[which]));
			else if (c)
				fprintf(out, "imserv_worker_%s{worker=\"%u\"} %lld\n", name, w,
					(long long)__atomic_load_n(&c->gauges[which], __ATOMIC_RELAXED));
		}
	}
}

void counters_write(const struct counters *sum, FILE *out)
{
	write_counters(sum, out);
	write_refused(sum, out);
	write_gauges(sum, out);
	write_pools(sum, out);
	for (int i = 0; i < HISTOGRAM_COUNT; i++) {
		const char *name = histogram_rows[i].name;

		fprintf(out,
			"# TYPE imserv_%s_seconds histogram\n"
			"# UNIT imserv_%s_seconds seconds\n"
			"# HELP imserv_%s_seconds %s\n",
			name, name, name, histogram_rows[i].help);
		write_histogram(&sum->histograms[i], name, out);
	}
	fputs("# EOF\n", out);
}
