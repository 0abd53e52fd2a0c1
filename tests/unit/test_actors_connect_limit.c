/* actors/connect_limit.c: the last that is permitted, and one more. */
#include "actors/connect_limit.h"
#include "actors/im.h"
#include "core/log.h"
#include "tests/unit/test.h"

static struct worker worker;
static struct im im = { .worker = &worker };

static void fails(uint64_t identity, unsigned times)
{
	while (times--)
		connect_limit_failed(&im, identity);
}

static uint64_t refused(void)
{
	return worker.counters.refused[REASON_CONNECT_LIMIT];
}

static void at_the_limit_and_one_more(void **state)
{
	fails(7, CONNECT_FAILURES_MAX - 1);
	assert_true(connect_limit_permits(&im, 7));
	fails(7, 1);
	assert_false(connect_limit_permits(&im, 7));
	assert_int_equal(refused(), 1);
	assert_true(connect_limit_permits(&im, 8));
	worker.now_us += (CONNECT_FAILURES_MS - 1) * 1000ull;
	assert_false(connect_limit_permits(&im, 7));
	worker.now_us += 1000;
	assert_true(connect_limit_permits(&im, 7));
	fails(7, 1); /* a new minute begins with it */
	assert_true(connect_limit_permits(&im, 7));
	assert_int_equal(refused(), 2);
}

static void nobody_is_not_limited(void **state)
{
	fails(0, CONNECT_FAILURES_MAX * 2);
	assert_true(connect_limit_permits(&im, 0));
	assert_int_equal(connect_limit_identity(&im, SLICE_EMPTY), 0);
	assert_int_not_equal(connect_limit_identity(&im, SLICE("a@h")), connect_limit_identity(&im, SLICE("b@h")));
	assert_int_equal(connect_limit_identity(&im, SLICE("a@h")), connect_limit_identity(&im, SLICE("a@h")));
}

static void a_place_is_taken_over(void **state)
{
	fails(9, CONNECT_FAILURES_MAX);
	assert_false(connect_limit_permits(&im, 9));
	fails(9 + CONNECT_IDENTITIES, 1);
	assert_true(connect_limit_permits(&im, 9));
	assert_true(connect_limit_permits(&im, 9 + CONNECT_IDENTITIES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_limit_and_one_more),
		cmocka_unit_test(nobody_is_not_limited),
		cmocka_unit_test(a_place_is_taken_over),
	};

	atomic_store(&log_level_now, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
