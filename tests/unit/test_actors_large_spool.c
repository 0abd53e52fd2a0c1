/* actors/large_spool.c: what is small stays in memory, whole, in whatever pieces it comes; more than it may become is
 * refused.  What goes to the store: tests/scenario/large_list.py. */
#include "actors/large_spool.h"
#include "core/store_deferred.h"
#include "tests/unit/test.h"

static void on_nothing(void *arg)
{
	fail_msg("an event from inside a call");
}

static void on_failed(int err, void *arg)
{
	fail_msg("an event from inside a call");
}

static const struct large_spool_events events = { on_nothing, on_nothing, on_failed };
static char octets[STORE_PIECE_MAX];
static struct config config;
static struct im im = { .config = &config };

static void small_ones_stay_in_memory(void **state)
{
	static const size_t sizes[] = { 0, 1, 2047, 2048, 2049, 5000, STORE_PIECE_MAX - 1, STORE_PIECE_MAX };
	static const size_t steps[] = { 1, 7, 2048, 4097, STORE_PIECE_MAX };

	config.limits.queued_bytes = STORE_PIECE_MAX;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 31 + i / 253);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct large_spool *spool = large_spool_open(&im, STORE_PIECE_MAX, &events, NULL);
			bool is_stored;
			for (size_t at = 0; at < sizes[i]; at += steps[k]) {
				size_t n = sizes[i] - at < steps[k] ? sizes[i] - at : steps[k];
				assert_true(large_spool_put(spool, slice_of(octets + at, n)));
			}
			assert_false(large_spool_is_full(spool));
			assert_true(large_spool_end(spool));
			assert_int_equal(large_spool_size(spool), sizes[i]);
			struct slice content = large_spool_content(spool, &is_stored);
			assert_true(!is_stored && slice_eq(content, slice_of(octets, sizes[i])));
			assert_int_equal(large_spool_upload(spool), 0);
			large_spool_drop(spool);
			assert_int_equal(im.large_spool_octets, 0);
		}
	}
	large_spool_drop(NULL);
}

static void more_than_announced_is_refused(void **state)
{
	struct large_spool *spool = large_spool_open(&im, 10, &events, NULL);

	assert_true(large_spool_put(spool, slice_of(octets, 10)));
	assert_false(large_spool_put(spool, slice_of(octets, 1)));
	assert_true(large_spool_has_failed(spool));
	assert_false(large_spool_put(spool, slice_of(octets, 0)));
	assert_false(large_spool_end(spool));
	large_spool_drop(spool);
}

static void all_together_have_a_bound(void **state)
{
	struct large_spool *one = large_spool_open(&im, STORE_PIECE_MAX, &events, NULL);
	struct large_spool *other = large_spool_open(&im, STORE_PIECE_MAX, &events, NULL);

	config.limits.queued_bytes = 8192;
	assert_true(large_spool_put(one, slice_of(octets, 4097)));
	assert_false(large_spool_put(other, slice_of(octets, 1)));
	assert_true(large_spool_has_failed(other));
	large_spool_drop(one);
	large_spool_drop(other);
	assert_int_equal(im.large_spool_octets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones_stay_in_memory),
		cmocka_unit_test(more_than_announced_is_refused),
		cmocka_unit_test(all_together_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
