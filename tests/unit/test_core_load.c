/* core/load.c: what counts as busy and what as idle; and that the rings know when they slept. */
#include "core/load.h"


#include "core/worker.h"
#include "tests/unit/test.h"

#define SECOND_US 1000000

static void what_counts(void **state)
{
	static const struct {
		const char *what;
		uint64_t turn_us, waited_us, gap_us; /* over and over, a gap between two turns */
		unsigned thousandths;
	} cases[] = {
		{ "nothing but sleep", 5000, 5000, 0, 0 },
		{ "half of it", 5000, 2500, 0, 500 },
		{ "never asleep", 5000, 0, 0, 1000 },
		{ "longer asleep than the turn: clocks of two kinds", 5000, 6000, 0, 0 },
		{ "time between turns is nobody's", 1000, 0, 4000, 200 },
		{ "turns longer than an interval", 3 * LOAD_INTERVAL_US, LOAD_INTERVAL_US, 0, 667 },
		{ "no time at all goes by in turns, as in the simulator", 0, 0, 500, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t now_us = 77;
		struct load load;
		unsigned intervals = 0;

		load_init(&load, now_us);
		while (now_us < SECOND_US) {
			uint64_t began_us = now_us;
			now_us += cases[i].turn_us;
			intervals += load_turn(&load, began_us, cases[i].waited_us, now_us);
			now_us += cases[i].gap_us;
		}
		CHECK(load.thousandths + 1 >= cases[i].thousandths && load.thousandths <= cases[i].thousandths + 1,
			"%s: %u\n", cases[i].what, load.thousandths);
		CHECK(intervals >= 3 && intervals <= 10, "%s: %u intervals in a second\n", cases[i].what, intervals);
		assert_in_range(load.interval_us, LOAD_INTERVAL_US, 4 * LOAD_INTERVAL_US);
	}
}

static void a_busy_worker_wakes_to_say_that_it_is_idle(void **state)
{
	struct load load;

	load_init(&load, 0);
	assert_int_equal(load_wait_us(&load, UINT64_MAX), UINT64_MAX);
	assert_true(load_turn(&load, 0, 0, LOAD_INTERVAL_US));
	assert_int_equal(load.thousandths, 1000);
	assert_int_equal(load_wait_us(&load, UINT64_MAX), LOAD_INTERVAL_US);
	assert_int_equal(load_wait_us(&load, 3), 3);
	assert_true(load_turn(&load, LOAD_INTERVAL_US, LOAD_INTERVAL_US, 2 * LOAD_INTERVAL_US));
	assert_int_equal(load.thousandths, 0);
	assert_int_equal(load_wait_us(&load, UINT64_MAX), UINT64_MAX);
}

static unsigned intervals_told;

static void on_load(struct worker *worker)
{
	intervals_told++;
}

/* A real worker that sleeps and is woken by its own time-out. */
static void a_sleeping_worker_is_idle(struct ring *ring)
{
	struct worker_group group = { .count = 1 };
	static struct worker worker;

	assert_int_equal(worker_init(&worker, 0, &group), 0);
	worker_use_ring(&worker, ring);
	worker.on_load = on_load;
	intervals_told = 0;
	worker.load.thousandths = 1000; /* as if it had been busy: it wakes to say that it is not */
	while (worker.load.thousandths >= 500)
		worker_turn(&worker, true);
	assert_true(intervals_told > 0);
	assert_int_equal(worker.counters.ratios[RATIO_worker_busy_ratio], worker.load.thousandths);
	assert_true(ring->waited_us > LOAD_INTERVAL_US / 2);
	worker_free(&worker);
}

static void asleep_in_epoll(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 8, .buffer_size = 2048 };
	struct ring *ring;

	assert_int_equal(ring_open_epoll(&ring, &options), 0);
	a_sleeping_worker_is_idle(ring);
}

static void asleep_in_io_uring(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 8, .buffer_size = 2048 };
	struct ring *ring;

	if (ring_open_uring(&ring, &options) != 0)
		skip();
	a_sleeping_worker_is_idle(ring);
}

/* A worker that works all the time does not sleep, whatever part of the time it has the CPU. */
static void a_working_worker_is_busy(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 8, .buffer_size = 2048 };
	struct worker_group group = { .count = 1 };
	static struct worker worker;
	struct ring *ring;

	assert_int_equal(ring_open_epoll(&ring, &options), 0);
	assert_int_equal(worker_init(&worker, 0, &group), 0);
	worker_use_ring(&worker, ring);
	worker.on_load = on_load;
	intervals_told = 0;
	while (!intervals_told)
		worker_turn(&worker, false);
	assert_true(worker.load.thousandths > 0);
	assert_int_equal(ring->waited_us, 0);
	worker_free(&worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts),
		cmocka_unit_test(a_busy_worker_wakes_to_say_that_it_is_idle),
		cmocka_unit_test(asleep_in_epoll),
		cmocka_unit_test(asleep_in_io_uring),
		cmocka_unit_test(a_working_worker_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
