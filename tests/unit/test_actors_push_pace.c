/* actors/push_pace.c: one clock for all workers, and turns in the order of asking. */
#include "actors/push_pace.h"

#include "tests/unit/test.h"

#define WORKERS 3
#define WAITERS 8

static struct config config;
static struct im_server server;
static struct worker workers[WORKERS];
static struct im ims[WORKERS];
static struct push_pace paces[WORKERS];
static struct push_turn turns[WORKERS][WAITERS];
static unsigned granted, order[WORKERS * WAITERS];

static void on_turn(struct push_turn *turn)
{
	order[granted++] = (unsigned)(turn - &turns[0][0]);
}

static int setup(void **state)
{
	memset(&server, 0, sizeof(server));
	memset(turns, 0, sizeof(turns));
	granted = 0;
	for (unsigned w = 0; w < WORKERS; w++) {
		memset(&workers[w], 0, sizeof(workers[w]));
		memset(&paces[w], 0, sizeof(paces[w]));
		ims[w] = (struct im){ .worker = &workers[w], .server = &server, .config = &config };
		workers[w].now_us = 1000000000;
		timer_wheel_init(&workers[w].timers, workers[w].now_us / 1000);
		push_pace_init(&paces[w], &ims[w]);
		for (unsigned i = 0; i < WAITERS; i++)
			turns[w][i].on_turn = on_turn;
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned w = 0; w < WORKERS; w++) {
		for (unsigned i = 0; i < WAITERS; i++)
			push_pace_leave(&paces[w], &turns[w][i]);
		push_pace_free(&paces[w]);
	}
	return 0;
}

static void pass_ms(unsigned ms)
{
	while (ms--)
		for (unsigned w = 0; w < WORKERS; w++) {
			workers[w].now_us += 1000;
			timer_wheel_advance(&workers[w].timers, workers[w].now_us / 1000);
		}
}

static void test_without_a_rate_nobody_waits(void **state)
{
	config.deferred.push_rate = 0;
	for (unsigned i = 0; i < WAITERS; i++)
		assert_true(push_pace_take(&paces[0], &turns[0][i]));
	assert_int_equal(granted, 0);
}

static void test_the_rate_is_the_servers(void **state)
{
	unsigned at_once = 0;

	config.deferred.push_rate = 10; /* one in 100 ms */
	for (unsigned i = 0; i < WAITERS; i++)
		for (unsigned w = 0; w < WORKERS; w++)
			at_once += push_pace_take(&paces[w], &turns[w][i]);
	assert_int_equal(at_once, 1);
	pass_ms(1001);
	assert_int_equal(granted, 10);
	pass_ms(10000);
	assert_int_equal(at_once + granted, WORKERS * WAITERS);
}

static void test_turns_in_order(void **state)
{
	config.deferred.push_rate = 1000;
	assert_true(push_pace_take(&paces[0], &turns[0][0]));
	for (unsigned i = 1; i < WAITERS; i++)
		if (push_pace_take(&paces[0], &turns[0][i]))
			on_turn(&turns[0][i]); /* what a late worker may make good for */
	push_pace_leave(&paces[0], &turns[0][WAITERS - 2]);
	pass_ms(20);
	assert_int_equal(granted, WAITERS - 2);
	for (unsigned i = 0; i < granted; i++)
		assert_int_equal(order[i], i < WAITERS - 3 ? i + 1 : i + 2);
}

/* A rate that is reloaded to off lets all go with the next turn. */
static void test_rate_goes(void **state)
{
	config.deferred.push_rate = 1;
	assert_true(push_pace_take(&paces[0], &turns[0][0]));
	for (unsigned i = 1; i < WAITERS; i++)
		assert_false(push_pace_take(&paces[0], &turns[0][i]));
	config.deferred.push_rate = 0;
	pass_ms(1001);
	assert_int_equal(granted, WAITERS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_a_rate_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_rate_is_the_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
