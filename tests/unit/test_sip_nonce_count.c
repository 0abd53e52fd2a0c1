#include "sip/nonce_count.h"

#include "sip/digest.h"
#include "tests/unit/test.h"

static const uint8_t key[16] = "sixteen octets .";
static struct siphash_key table_key = { { 1, 2 } };

static struct slice mint(char text[DIGEST_NONCE_CHARS], uint64_t now_ms)
{
	static uint64_t random;

	digest_nonce_make(text, now_ms, ++random);
	return slice_of(text, DIGEST_NONCE_CHARS);
}

static void open_counts(struct nonce_counts *counts, uint32_t max)
{
	assert_int_equal(digest_init(key), 0);
	assert_int_equal(nonce_counts_init(counts, max, &table_key), 0);
}

static void a_count_is_good_once(void **state)
{
	struct nonce_counts counts;
	char text[DIGEST_NONCE_CHARS];

	open_counts(&counts, 64);
	struct slice nonce = mint(text, 1000);
	assert_int_equal(nonce_counts_use(&counts, nonce, 1, 1000), NONCE_GOOD);
	assert_int_equal(nonce_counts_use(&counts, nonce, 1, 1001), NONCE_STALE);
	assert_int_equal(nonce_counts_use(&counts, nonce, 2, 1002), NONCE_GOOD);
	assert_int_equal(nonce_counts_use(&counts, nonce, 1, 1003), NONCE_STALE);
	assert_int_equal(nonce_counts_use(&counts, nonce, 2, 1003), NONCE_STALE);
	assert_int_equal(nonce_counts_use(&counts, nonce, 0, 1003), NONCE_STALE);
	assert_int_equal(nonce_counts_use(&counts, nonce, UINT32_MAX, 1003), NONCE_GOOD);
	assert_int_equal(nonce_counts_use(&counts, nonce, UINT32_MAX, 1003), NONCE_STALE);
	nonce_counts_free(&counts);
}

/* Requests of one client overtake each other; what comes 64 counts late is as good as used. */
static void counts_may_overtake_each_other(void **state)
{
	struct nonce_counts counts;
	char text[DIGEST_NONCE_CHARS];

	open_counts(&counts, 64);
	struct slice nonce = mint(text, 1000);
	assert_int_equal(nonce_counts_use(&counts, nonce, 70, 1000), NONCE_GOOD);
	for (uint32_t nc = 69; nc > 6; nc--)
		CHECK(nonce_counts_use(&counts, nonce, nc, 1000) == NONCE_GOOD, "nc %u\n", nc);
	assert_int_equal(nonce_counts_use(&counts, nonce, 6, 1000), NONCE_STALE);
	for (uint32_t nc = 1; nc <= 70; nc++)
		CHECK(nonce_counts_use(&counts, nonce, nc, 1000) == NONCE_STALE, "nc %u again\n", nc);
	nonce_counts_free(&counts);
}

static void old_and_foreign_nonces_are_stale(void **state)
{
	struct nonce_counts counts;
	char text[DIGEST_NONCE_CHARS], other[DIGEST_NONCE_CHARS];

	open_counts(&counts, 64);
	struct slice nonce = mint(text, 1000);
	assert_int_equal(nonce_counts_use(&counts, nonce, 1, 1000 + DIGEST_NONCE_LIFE_MS), NONCE_GOOD);
	assert_int_equal(nonce_counts_use(&counts, nonce, 2, 1001 + DIGEST_NONCE_LIFE_MS), NONCE_STALE);
	assert_int_equal(pool_used(&counts.pool), 0); /* and forgotten */
	assert_int_equal(nonce_counts_use(&counts, SLICE("made up"), 1, 1000), NONCE_STALE);
	nonce = mint(other, 2000 + DIGEST_NONCE_LIFE_MS);
	assert_int_equal(nonce_counts_use(&counts, nonce, 1, 2000 + DIGEST_NONCE_LIFE_MS), NONCE_GOOD);
	nonce_counts_free(&counts);
}

/* Whatever is forgotten, nothing is accepted twice. */
static void a_full_table_never_lets_a_replay_in(void **state)
{
	enum { MAX = 8, MORE = 100 };
	static char texts[MORE][DIGEST_NONCE_CHARS];
	struct nonce_counts counts;

	open_counts(&counts, MAX);
	for (int i = 0; i < MORE; i++) {
		struct slice nonce = mint(texts[i], 1000 + (uint64_t)i);
		assert_int_equal(nonce_counts_use(&counts, nonce, 1, 1000 + (uint64_t)i), NONCE_GOOD);
		assert_true(pool_used(&counts.pool) <= MAX);
	}
	for (int i = 0; i < MORE; i++)
		CHECK(nonce_counts_use(&counts, slice_of(texts[i], DIGEST_NONCE_CHARS), 1, 2000) == NONCE_STALE,
			"nonce %d again\n", i);
	/* those that are still there go on */
	assert_int_equal(nonce_counts_use(&counts, slice_of(texts[MORE - 1], DIGEST_NONCE_CHARS), 2, 2000), NONCE_GOOD);
	nonce_counts_free(&counts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_count_is_good_once),
		cmocka_unit_test(counts_may_overtake_each_other),
		cmocka_unit_test(old_and_foreign_nonces_are_stale),
		cmocka_unit_test(a_full_table_never_lets_a_replay_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
