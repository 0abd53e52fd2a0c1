/* core/counters.c: sums over threads, and its text held against the OpenMetrics 1.0 grammar. */
#include "tests/unit/test.h"

#include <ctype.h>
#include <pthread.h>

#include "core/counters.h"

static char *text_of(const struct counters *sum)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	counters_write_ratios(&(struct counters *){ (struct counters *)sum }, 1, out);
	counters_write(sum, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void rows_have_names_and_texts(void **state)
{
	for (int i = 0; i < REASON_COUNT; i++) {
		assert_true(strlen(reason_text(i)) > 5);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(reason_label(i), reason_label(j)), "%s twice\n", reason_label(i));
	}
	for (int i = 0; i < COUNTER_COUNT; i++)
		for (int j = 0; j < i; j++)
			CHECK(strcmp(counter_name(i), counter_name(j)), "%s twice\n", counter_name(i));
	assert_string_equal(reason_label(REASON_LOOP), "loop");
	assert_string_equal(counter_name(COUNTER_msrp_chunks), "msrp_chunks");
}

static void sums(void **state)
{
	static struct counters a, b, sum;
	struct counters *const all[] = { &a, NULL, &b };

	COUNT(&a, msrp_chunks);
	COUNT_N(&b, msrp_chunks, UINT64_C(1) << 40);
	REFUSED(&a, REASON_LOOP);
	REFUSED(&b, REASON_LOOP);
	gauge_add(&a, GAUGE_sessions, 5);
	gauge_add(&b, GAUGE_sessions, -2); /* moved between threads: only the sum means something */
	gauge_set(&b, GAUGE_timers, 7);
	pool_gauge_set(&a, POOL_legs, 3);
	histogram_add(&a, HISTOGRAM_chunk_switch, 10);
	histogram_add(&b, HISTOGRAM_chunk_switch, 1000000);
	counters_sum(&sum, all, 3);
	assert_int_equal(sum.values[COUNTER_msrp_chunks], (UINT64_C(1) << 40) + 1);
	assert_int_equal(sum.refused[REASON_LOOP], 2);
	assert_int_equal(sum.gauges[GAUGE_sessions], 3);
	assert_int_equal(sum.gauges[GAUGE_timers], 7);
	assert_int_equal(sum.pools[POOL_legs], 3);
	assert_int_equal(sum.histograms[HISTOGRAM_chunk_switch].sum_us, 1000010);
	counters_sum(&sum, all, 0);
	assert_int_equal(sum.values[COUNTER_msrp_chunks], 0);
}

static void ratios_of_each_worker(void **state)
{
	static struct counters first, third;
	struct counters *const all[] = { &first, NULL, &third };
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	ratio_set(&first, RATIO_worker_busy_ratio, 7);
	ratio_set(&third, RATIO_worker_busy_ratio, 1000);
	counters_write_ratios(all, 3, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "\nimserv_worker_busy_ratio{worker=\"0\"} 0.007\n"));
	assert_null(strstr(text, "worker=\"1\""));
	assert_non_null(strstr(text, "\nimserv_worker_busy_ratio{worker=\"2\"} 1.000\n"));
	free(text);
}

static void histogram_edges(void **state)
{
	static const struct {
		uint64_t us;
		unsigned bucket;
	} cases[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 }, { 1024, 10 }, { 1025, 11 },
		      { 1u << 25, 25 }, { (1u << 25) + 1, 26 }, { UINT64_MAX, 26 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct counters c = { 0 };

		histogram_add(&c, HISTOGRAM_store_commit, cases[i].us);
		for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
			CHECK(c.histograms[HISTOGRAM_store_commit].buckets[b] == (b == cases[i].bucket),
			      "%llu us in bucket %u\n", (unsigned long long)cases[i].us, b);
	}
}

/* ---- OpenMetrics ---- */

struct family {
	char name[80], type[16];
	bool has_unit, has_help, has_samples;
};

static bool name_is_valid(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalpha((unsigned char)s[i]) && s[i] != '_' && (i == 0 || !isdigit((unsigned char)s[i])))
			return false;
	return n > 0;
}

/* The suffix a sample of this type may have; NULL when the name is not of the family. */
static const char *suffix_of(const struct family *f, const char *name, size_t n)
{
	size_t length = strlen(f->name);
	static const struct {
		const char *type, *suffix;
	} allowed[] = { { "counter", "_total" }, { "gauge", "" }, { "histogram", "_bucket" },
			{ "histogram", "_count" }, { "histogram", "_sum" } };

	if (n < length || strncmp(name, f->name, length) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (!strcmp(f->type, allowed[i].type) && strlen(allowed[i].suffix) == n - length &&
		    !strncmp(name + length, allowed[i].suffix, n - length))
			return allowed[i].suffix;
	return NULL;
}

static void check_metadata(struct family *f, const char *line, char (*seen)[80], unsigned *families)
{
	char name[80], rest[400];

	CHECK(sscanf(line, "# %*s %79s %399[^\n]", name, rest) == 2, "\"%s\"\n", line);
	if (!strncmp(line, "# TYPE ", 7)) {
		CHECK(name_is_valid(name, strlen(name)) && !strncmp(name, "imserv_", 7), "\"%s\"\n", line);
		CHECK(!strcmp(rest, "counter") || !strcmp(rest, "gauge") || !strcmp(rest, "histogram"),
		      "\"%s\"\n", line);
		CHECK(strcmp(rest, "counter") || strlen(name) < 6 || strcmp(name + strlen(name) - 6, "_total"),
		      "a counter family must not end in _total: \"%s\"\n", line);
		for (unsigned i = 0; i < *families; i++)
			CHECK(strcmp(seen[i], name), "family %s twice or interleaved\n", name);
		strcpy(seen[(*families)++], name);
		*f = (struct family){ 0 };
		strcpy(f->name, name);
		memcpy(f->type, rest, strlen(rest) + 1); /* one of the three above */
		return;
	}
	CHECK(!strcmp(name, f->name) && !f->has_samples, "metadata of another family: \"%s\"\n", line);
	if (!strncmp(line, "# UNIT ", 7)) {
		size_t n = strlen(name), m = strlen(rest);

		CHECK(!f->has_unit && n > m && !strcmp(name + n - m, rest) && name[n - m - 1] == '_',
		      "a unit must be the end of the name: \"%s\"\n", line);
		f->has_unit = true;
	} else {
		CHECK(!strncmp(line, "# HELP ", 7) && !f->has_help, "\"%s\"\n", line);
		CHECK(!strchr(rest, '\\') && !strchr(rest, '"'), "needs escaping: \"%s\"\n", line);
		f->has_help = true;
	}
}

static void check_sample(struct family *f, const char *line)
{
	size_t n = strcspn(line, "{ ");
	const char *at = line + n, *suffix = suffix_of(f, line, n);
	char *end;

	CHECK(suffix && f->has_help, "\"%s\" after the metadata of %s\n", line, f->name);
	if (*at == '{') {
		size_t label = strcspn(at + 1, "=");

		CHECK(name_is_valid(at + 1, label) && !strncmp(at + 1 + label, "=\"", 2), "\"%s\"\n", line);
		at = strchr(at + 3 + label, '"');
		CHECK(at && at[1] == '}', "\"%s\"\n", line);
		at += 2;
	} else {
		CHECK(strcmp(suffix, "_bucket"), "a bucket without le: \"%s\"\n", line);
	}
	CHECK(*at == ' ' && (isdigit((unsigned char)at[1]) || at[1] == '-'), "\"%s\"\n", line);
	strtod(at + 1, &end);
	CHECK(*end == '\0', "\"%s\"\n", line);
	f->has_samples = true;
}

static void text_is_openmetrics(void **state)
{
	static struct counters sum;
	static char seen[400][80];
	unsigned families = 0;
	struct family f = { "", "gauge", false, true, true };
	char *text, *line, *next;

	gauge_set(&sum, GAUGE_timers, -1);
	histogram_add(&sum, HISTOGRAM_store_commit, 123);
	text = text_of(&sum);
	assert_true(strlen(text) > 6 && !strcmp(text + strlen(text) - 6, "# EOF\n"));
	text[strlen(text) - 6] = '\0';
	for (line = text; *line; line = next) {
		next = strchr(line, '\n');
		assert_non_null(next); /* every line ends, none is empty */
		*next++ = '\0';
		if (line[0] == '#') {
			if (!strncmp(line, "# TYPE ", 7))
				CHECK(f.has_samples, "%s has no sample\n", f.name);
			check_metadata(&f, line, seen, &families);
		} else {
			check_sample(&f, line);
		}
	}
	assert_true(f.has_samples);
	assert_int_equal(families, COUNTER_COUNT + GAUGE_COUNT + HISTOGRAM_COUNT + RATIO_COUNT + 2);
	free(text);
}

static void names_of_the_contract(void **state)
{
	static const char *const lines[] = {
		"\nimserv_sessions 0\n", "\nimserv_conferences 0\n", "\nimserv_msrp_legs 0\n",
		"\nimserv_connections 0\n", "\nimserv_sip_transactions 0\n", "\nimserv_timers 0\n",
		"\nimserv_deferred_messages 0\n", "\nimserv_deferred_bytes 0\n",
		"\nimserv_pool_used{pool=\"sessions\"} 0\n", "\nimserv_refused_total{reason=\"loop\"} 0\n",
		"\nimserv_msrp_rx_paused_total 0\n",
		"\n# HELP imserv_msrp_rx_paused reads of an MSRP leg stopped because",
	};
	static struct counters none;
	char *text = text_of(&none);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK(strstr(text, lines[i]), "missing: %s", lines[i]);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		char line[120];

		snprintf(line, sizeof(line), "\nimserv_%s_total 0\n", counter_name(i));
		CHECK(strstr(text, line), "missing: %s", line);
	}
	for (int i = 0; i < REASON_COUNT; i++) {
		char line[120];

		snprintf(line, sizeof(line), "\nimserv_refused_total{reason=\"%s\"} 0\n", reason_label(i));
		CHECK(strstr(text, line), "missing: %s", line);
	}
	free(text);
}

static void histograms_are_cumulative(void **state)
{
	static struct counters c;
	char *text;

	histogram_add(&c, HISTOGRAM_sip_transaction, 1);
	histogram_add(&c, HISTOGRAM_sip_transaction, 1500);
	histogram_add(&c, HISTOGRAM_sip_transaction, 2000);
	histogram_add(&c, HISTOGRAM_sip_transaction, 100000000);
	text = text_of(&c);
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"1e-06\"} 1\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"6.4e-05\"} 1\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"0.000128\"} 1\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"0.001024\"} 1\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"0.002048\"} 3\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"33.554432\"} 3\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_bucket{le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_count 4\n"));
	assert_non_null(strstr(text, "\nimserv_sip_transaction_seconds_sum 100.003501\n"));
	free(text);
}

static void workers_are_told_apart(void **state)
{
	static struct counters c[2];
	struct counters *const all[] = { &c[0], NULL, &c[1] };
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	COUNT_N(&c[0], worker_turns, 5);
	gauge_add(&c[1], GAUGE_sessions, 3);
	counters_write_workers(all, 3, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "# TYPE imserv_worker_loops counter\n# HELP imserv_worker_loops turns of this worker's loop\n"
		"imserv_worker_loops_total{worker=\"0\"} 5\nimserv_worker_loops_total{worker=\"2\"} 0\n# TYPE "));
	assert_non_null(strstr(text, "\nimserv_worker_sessions{worker=\"0\"} 0\nimserv_worker_sessions{worker=\"2\"} 3\n"));
	assert_null(strstr(text, "worker=\"1\""));
	free(text);
}

#define ADDS 200000

static void *count_up(void *arg)
{
	for (int i = 0; i < ADDS; i++)
		COUNT(arg, msrp_chunks);
	return NULL;
}

/* Readers beside writers: never less than before, and whole at the end (tsan watches, too). */
static void readers_beside_writers(void **state)
{
	static struct counters c[2], sum;
	struct counters *const all[] = { &c[0], &c[1] };
	pthread_t threads[2];
	uint64_t before = 0;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &c[i]), 0);
	for (int i = 0; i < 200; i++) {
		counters_sum(&sum, all, 2);
		assert_true(sum.values[COUNTER_msrp_chunks] >= before);
		before = sum.values[COUNTER_msrp_chunks];
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	counters_sum(&sum, all, 2);
	assert_int_equal(sum.values[COUNTER_msrp_chunks], 2 * ADDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_have_names_and_texts),
		cmocka_unit_test(sums),
		cmocka_unit_test(ratios_of_each_worker),
		cmocka_unit_test(histogram_edges),
		cmocka_unit_test(text_is_openmetrics),
		cmocka_unit_test(names_of_the_contract),
		cmocka_unit_test(histograms_are_cumulative),
		cmocka_unit_test(workers_are_told_apart),
		cmocka_unit_test(readers_beside_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
