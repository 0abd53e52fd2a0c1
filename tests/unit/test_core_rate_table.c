/* core/rate_table.c: rates, bursts, many names, a table that is full, threads. */
#include "core/rate_table.h"

#include <pthread.h>

#include "tests/unit/test.h"

#define SECOND UINT64_C(1000000)
#define THREADS 4

static const uint8_t key[16] = "keykeykeykeykey";
static struct rate_table *table;

static int make(void **state)
{
	table = rate_table_make(key);
	return !table;
}

static int end(void **state)
{
	free(table);
	return 0;
}

static uint64_t name_of(unsigned kind, unsigned i)
{
	char text[32];

	snprintf(text, sizeof(text), "user%u@example.com", i);
	return rate_table_name(table, kind, slice_str(text));
}

static bool take(uint64_t name, uint64_t rate, uint64_t now_us)
{
	return rate_table_take(table, &(struct rate_bucket){ name, rate, SECOND }, now_us);
}

/* How many of so many at once. */
static unsigned taken_of(uint64_t name, uint64_t rate, uint64_t now_us, unsigned asked)
{
	unsigned n = 0;

	for (unsigned i = 0; i < asked; i++)
		n += take(name, rate, now_us);
	return n;
}

static void a_second_at_once_and_then_its_rate(void **state)
{
	static const uint64_t rates[] = { 1, 2, 3, 10, 999, 100000, 1000000 };
	/* a clock that has just begun, one that runs for years, and around where the word's time comes round */
	static const uint64_t starts[] = { 0, 5, 400 * 86400 * SECOND, (UINT64_C(1) << 37) - SECOND / 2 };

	for (size_t s = 0; s < 4; s++)
		for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
			uint64_t now = starts[s], rate = rates[r], name = name_of((unsigned)s, (unsigned)r);
			CHECK(taken_of(name, rate, now, (unsigned)rate + 5) == rate, "burst of %llu\n",
				(unsigned long long)rate);
			/* what a quarter of the time that one token takes gives back is none, the whole of it one */
			now += SECOND / rate / 4;
			CHECK(rate > 100000 || !take(name, rate, now), "%llu/s: too early\n", (unsigned long long)rate);
			now += SECOND / rate;
			CHECK(take(name, rate, now), "%llu/s: not given back\n", (unsigned long long)rate);
			/* over a long time no more than the rate, however often it is asked */
			unsigned n = 0;
			for (unsigned ms = 0; ms < 10000; ms += 10)
				n += taken_of(name, rate, now + ms * 1000, rate < 100 ? 3 : 1);
			if (rate < 100)
				assert_in_range(n, 10 * rate - 1, 10 * rate + 1);
			/* and after a second of silence all of it again */
			now += 12 * SECOND;
			CHECK(taken_of(name, rate, now, (unsigned)rate + 5) == rate, "again %llu\n",
				(unsigned long long)rate);
		}
}

static void names_and_kinds_are_apart(void **state)
{
	uint64_t now = 1000 * SECOND;

	for (unsigned i = 0; i < 1000; i++)
		for (unsigned kind = 0; kind < 3; kind++) {
			assert_true(take(name_of(kind, i), 1, now));
			assert_false(take(name_of(kind, i), 1, now));
		}
	assert_true(name_of(1, 1) != name_of(2, 1));
}

static void refusals_cost_nothing(void **state)
{
	uint64_t now = 1000 * SECOND, name = name_of(0, 1);

	assert_true(take(name, 1, now));
	assert_int_equal(taken_of(name, 1, now + SECOND / 2, 1000), 0);
	assert_true(take(name, 1, now + SECOND));
}

static void a_minute_between_warnings(void **state)
{
	struct rate_bucket warning = { name_of(9, 1), 1, 60 * SECOND };

	for (unsigned s = 0; s < 300; s++)
		assert_int_equal(rate_table_take(table, &warning, s * SECOND), s % 60 == 0);
}

/* More names than there is room for are all served; who is known longest is not forgotten for one who has just
 * come, and nobody gets less than his due. */
static void a_full_table_forgets(void **state)
{
	uint64_t now = 1000 * SECOND, flooder = name_of(0, 0);

	assert_int_equal(taken_of(flooder, 100, now, 1000), 100);
	for (unsigned i = 1; i < 4 * RATE_SETS * RATE_WAYS; i++)
		assert_true(take(name_of(0, i), 2, now)); /* half full: nearer to it than the flooder is */
	assert_int_equal(taken_of(flooder, 100, now, 1000), 0);
	/* what is old makes room */
	now += 2 * SECOND;
	for (unsigned i = 1; i < 1000; i++) {
		assert_true(take(name_of(0, i), 1, now));
		assert_false(take(name_of(0, i), 1, now));
	}
}

static uint64_t shared_name;

static void *run(void *arg)
{
	unsigned *taken = arg;

	for (unsigned i = 0; i < 20000; i++)
		*taken += take(shared_name, 1000, 77 * SECOND);
	return NULL;
}

/* The limit is the server's, not a worker's. */
static void workers_share_a_bucket(void **state)
{
	unsigned taken[THREADS] = { 0 }, sum = 0;
	pthread_t threads[THREADS];

	shared_name = name_of(0, 4711);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, &taken[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += taken[i];
	}
	assert_int_equal(sum, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_second_at_once_and_then_its_rate, make, end),
		cmocka_unit_test_setup_teardown(names_and_kinds_are_apart, make, end),
		cmocka_unit_test_setup_teardown(refusals_cost_nothing, make, end),
		cmocka_unit_test_setup_teardown(a_minute_between_warnings, make, end),
		cmocka_unit_test_setup_teardown(a_full_table_forgets, make, end),
		cmocka_unit_test_setup_teardown(workers_share_a_bucket, make, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
