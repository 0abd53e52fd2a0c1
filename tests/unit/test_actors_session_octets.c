/*
 * What an idle session holds in pools (budgets.md: 6 KB in all, goal 3 KB): a struct that grows is seen here, not
 * in a load test.  What lies on the heap beside them (two descriptions, the texts of two dialogs and two legs)
 * is another 1.3 KB; load-tests/compare measures all of it.
 */
#include "actors/session_internal.h"
#include "msrp/endpoint.h"
#include "tests/unit/test.h"

#define MOST 2900

static size_t in_pool(const char *name, size_t octets, unsigned times)
{
	struct pool pool;

	assert_int_equal(pool_init(&pool, name, octets, 1), 0);
	size_t each = pool.item_octets;
	pool_free(&pool);
	print_message("%6zu octets: %u x %s of %zu\n", each * times, times, name, octets);
	return each * times;
}

static void an_idle_session(void **state)
{
	size_t octets = in_pool("session", sizeof(struct session), 1) + in_pool("dialog", sizeof(struct sip_dialog), 2) +
		in_pool("leg", sizeof(struct msrp_leg), 2) +
		in_pool("MSRP connection", sizeof(struct msrp_connection), 2) +
		in_pool("stream", sizeof(struct stream), 2);

	print_message("%6zu octets in all\n", octets);
	assert_in_range(octets, 1, MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(an_idle_session) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
