/* load-tests/histogram.c: what it gives back is never below what was recorded, nor 1/64 above. */
#include "load-tests/histogram.h"
#include "tests/unit/test.h"

static struct histogram h, other;

static void an_empty_histogram_is_zero(void **state)
{
	histogram_reset(&h);
	assert_int_equal(histogram_quantile(&h, 0.5), 0);
	assert_int_equal(histogram_quantile(&h, 1), 0);
	assert_true(histogram_mean(&h) == 0);
}

/* Powers of two and their neighbours are where buckets begin and end. */
static void one_value_comes_back_within_a_64th(void **state)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int offset = -1; offset <= 1; offset++) {
			uint64_t value = ((uint64_t)1 << bit) + (uint64_t)(int64_t)offset;
			histogram_reset(&h);
			histogram_record(&h, value);
			CHECK(histogram_quantile(&h, 0.5) == value,
			      "2^%u%+d: capped by the maximum\n", bit, offset);
			if (value == UINT64_MAX)
				continue;
			/* with a larger maximum the end of the bucket shows */
			histogram_record(&h, UINT64_MAX);
			uint64_t got = histogram_quantile(&h, 0.5);
			CHECK(got >= value && got - value <= value / 64,
			      "2^%u%+d: %llu became %llu\n", bit, offset, (unsigned long long)value,
			      (unsigned long long)got);
		}
	}
}

static void small_values_are_exact(void **state)
{
	histogram_reset(&h);
	for (uint64_t v = 1; v <= 100; v++)
		histogram_record(&h, v);
	assert_int_equal(histogram_quantile(&h, 0.5), 50);
	assert_int_equal(histogram_quantile(&h, 0.99), 99);
	assert_int_equal(histogram_quantile(&h, 1), 100);
	assert_int_equal(histogram_quantile(&h, 0), 1);
	assert_true(histogram_mean(&h) == 50.5);
}

static void quantiles_of_a_ramp(void **state)
{
	static const double quantiles[] = { 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999 };
	const uint64_t n = 1000000;

	histogram_reset(&h);
	for (uint64_t v = 1; v <= n; v++)
		histogram_record(&h, v * 1000);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		double want = quantiles[i] * (double)n * 1000,
		       got = (double)histogram_quantile(&h, quantiles[i]);
		CHECK(got >= want * 0.9999 && got <= want * (1 + 1.0 / 64) + 1, "q%g: %g, not %g\n",
		      quantiles[i], got, want);
	}
}

/* One in a thousand is slow: p99 must not see it, p99.9 just not, the maximum must. */
static void the_tail_is_seen_where_it_is(void **state)
{
	histogram_reset(&h);
	for (int i = 0; i < 999; i++)
		histogram_record(&h, 10);
	histogram_record(&h, 5000000);
	assert_int_equal(histogram_quantile(&h, 0.99), 10);
	assert_int_equal(histogram_quantile(&h, 0.999), 10);
	assert_int_equal(histogram_quantile(&h, 0.9991), 5000000);
	assert_int_equal(h.max, 5000000);
}

static void adding_equals_recording_in_one(void **state)
{
	static struct histogram both;

	histogram_reset(&h);
	histogram_reset(&other);
	histogram_reset(&both);
	for (uint64_t v = 0; v < 5000; v++) {
		histogram_record(v % 3 ? &h : &other, v * v);
		histogram_record(&both, v * v);
	}
	histogram_add(&h, &other);
	assert_memory_equal(&h, &both, sizeof(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_histogram_is_zero),
		cmocka_unit_test(one_value_comes_back_within_a_64th),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(quantiles_of_a_ramp),
		cmocka_unit_test(the_tail_is_seen_where_it_is),
		cmocka_unit_test(adding_equals_recording_in_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
