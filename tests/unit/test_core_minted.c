/* core/minted.c: only what this process minted, unchanged, is recognised. */
#include "core/minted.h"

#include "core/worker.h"
#include "tests/unit/test.h"

static const uint8_t key[16] = "0123456789abcdef", other_key[16] = "0123456789abcdeg";

static struct worker worker;
static struct worker_group group;

static void mint(unsigned index, char name[MINTED_CHARS])
{
	worker.index = index;
	minted_make(&worker, name);
}

static int setup(void **state)
{
	struct ring_options options = { .entries = 8, .buffers = 2, .buffer_size = 1024 };
	struct ring *ring;

	if (ring_open_epoll(&ring, &options) != 0 || worker_init(&worker, 0, &group) != 0)
		return -1;
	worker_use_ring(&worker, ring);
	minted_init(key, WORKERS_MAX);
	return 0;
}

static int teardown(void **state)
{
	worker_free(&worker);
	return 0;
}

static void every_worker_comes_back(void **state)
{
	char name[MINTED_CHARS], *copy;

	for (unsigned index = 0; index < WORKERS_MAX; index++) {
		mint(index, name);
		for (unsigned i = 0; i < MINTED_CHARS; i++)
			assert_non_null(memchr("abcdefghijklmnopqrstuvwxyz234567", name[i], 32));
		copy = exact_copy(name, MINTED_CHARS);
		assert_int_equal(minted_worker(slice_of(copy, MINTED_CHARS)), index);
		free(copy);
	}
}

static void every_other_character_is_noticed(void **state)
{
	char name[MINTED_CHARS];

	mint(3, name);
	for (unsigned at = 0; at < MINTED_CHARS; at++) {
		char right = name[at];
		for (unsigned c = 0; c < 256; c++) {
			name[at] = (char)c;
			int want = name[at] == right ? 3 : -1;
			CHECK(minted_worker(slice_of(name, MINTED_CHARS)) == want, "%02x at %u\n", c, at);
		}
		name[at] = right;
	}
}

static void other_lengths_are_not_ours(void **state)
{
	char name[MINTED_CHARS + 1], *copy;

	mint(1, name);
	name[MINTED_CHARS] = 'a';
	for (size_t n = 0; n <= MINTED_CHARS + 1; n++) {
		copy = exact_copy(name, n);
		assert_int_equal(minted_worker(slice_of(copy, n)), n == MINTED_CHARS ? 1 : -1);
		free(copy);
	}
	assert_int_equal(minted_worker(SLICE_EMPTY), -1);
}

static void another_process_is_not_us(void **state)
{
	char name[MINTED_CHARS];

	mint(1, name);
	minted_init(other_key, WORKERS_MAX);
	assert_int_equal(minted_worker(slice_of(name, MINTED_CHARS)), -1);
	minted_init(key, 1);
	assert_int_equal(minted_worker(slice_of(name, MINTED_CHARS)), -1); /* worker out of range */
	minted_init(key, 2);
	assert_int_equal(minted_worker(slice_of(name, MINTED_CHARS)), 1);
	minted_init(key, WORKERS_MAX);
}

static int by_octets(const void *a, const void *b)
{
	return memcmp(a, b, MINTED_CHARS);
}

/* D2-54: 128 random bits.  What can be shown is that each of them moves and none repeats. */
static void names_differ(void **state)
{
	enum { NAMES = 2000 };
	static char names[NAMES][MINTED_CHARS];
	bool seen[MINTED_CHARS][256] = { 0 };

	for (unsigned i = 0; i < NAMES; i++) {
		mint(0, names[i]);
		for (unsigned at = 0; at < MINTED_CHARS; at++)
			seen[at][(unsigned char)names[i][at]] = true;
	}
	qsort(names, NAMES, MINTED_CHARS, by_octets);
	for (unsigned i = 1; i < NAMES; i++)
		assert_memory_not_equal(names[i - 1], names[i], MINTED_CHARS);
	/* characters 4 to 27 are random in all five bits: 2 octets of worker end within the fourth */
	for (unsigned at = 4; at < 28; at++) {
		unsigned values = 0;
		for (unsigned c = 0; c < 256; c++)
			values += seen[at][c];
		assert_int_equal(values, 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_worker_comes_back),
		cmocka_unit_test(every_other_character_is_noticed),
		cmocka_unit_test(other_lengths_are_not_ours),
		cmocka_unit_test(another_process_is_not_us),
		cmocka_unit_test(names_differ),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
