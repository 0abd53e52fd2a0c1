/* core/chains.c: everything is found at each size, in order, and what is not used is not touched. */
#include "core/chains.h"

#include "tests/unit/test.h"

#define ITEMS 3000
#define MAX   1024 /* beyond it chains become longer */

struct item {
	uint64_t hash;
	struct item *next;
	bool is_in;
};

static uint64_t hash_of(const void *item, const void *arg)
{
	assert_ptr_equal(arg, &hash_of);
	return ((const struct item *)item)->hash;
}

static bool is_found(const struct chains *chains, const struct item *wanted)
{
	for (struct item *i = chains_first(chains, wanted->hash); i; i = i->next)
		if (i == wanted)
			return true;
	return false;
}

static void check(const struct chains *chains, const struct item *items)
{
	size_t n = 0;

	for (size_t i = 0; i < ITEMS; i++) {
		assert_int_equal(is_found(chains, &items[i]), items[i].is_in);
		n += items[i].is_in;
	}
	assert_int_equal(chains->used, n);
}

/* Every size on the way, with some taken out in between: all others stay where they are looked for. */
static void found_at_every_size(void **state)
{
	static struct item items[ITEMS];
	struct chains chains;
	uint64_t random = 1;

	memset(items, 0, sizeof(items));
	assert_int_equal(chains_init(&chains, MAX, offsetof(struct item, next), hash_of, &hash_of), 0);
	for (size_t i = 0; i < ITEMS; i++) {
		items[i].hash = i % 3 ? random = random * 6364136223846793005u + 1442695040888963407u : i;
		chains_add(&chains, &items[i]);
		items[i].is_in = true;
		if (i % 5 == 4) {
			struct item *gone = &items[random >> 33 & 1 ? i : i / 2];
			if (gone->is_in)
				chains_remove(&chains, gone);
			gone->is_in = false;
		}
		if (i < 200 || i % 97 == 0)
			check(&chains, items);
	}
	assert_int_equal(chains.count, MAX);
	check(&chains, items);
	for (size_t i = 0; i < ITEMS; i++) {
		if (items[i].is_in)
			chains_remove(&chains, &items[i]);
		items[i].is_in = false;
	}
	check(&chains, items);
	chains_free(&chains);
}

static void youngest_first(void **state)
{
	struct item items[300];
	struct chains chains;

	assert_int_equal(chains_init(&chains, MAX, offsetof(struct item, next), hash_of, &hash_of), 0);
	for (size_t i = 0; i < 300; i++) {
		items[i] = (struct item){ .hash = i % 2 };
		chains_add(&chains, &items[i]);
	}
	size_t wanted = 299;
	for (struct item *i = chains_first(&chains, 1); i; i = i->next, wanted -= 2)
		assert_ptr_equal(i, &items[wanted]);
	assert_int_equal(wanted + 1, 0);
	chains_free(&chains);
}

/* What was never used is not touched: the largest table costs nothing. */
static void small_when_empty(void **state)
{
	struct chains chains;
	struct item item = { .hash = UINT64_MAX };

	assert_int_equal(chains_init(&chains, 1, offsetof(struct item, next), hash_of, &hash_of), 0);
	chains_add(&chains, &item);
	assert_true(is_found(&chains, &item));
	chains_free(&chains);
	assert_int_equal(chains_init(&chains, 1u << 19, offsetof(struct item, next), hash_of, &hash_of), 0);
	assert_true(chains.count <= 512);
	chains_add(&chains, &item);
	assert_ptr_equal(chains_first(&chains, item.hash), &item);
	assert_true(chains_place(&chains, item.hash) < chains.count);
	chains_free(&chains);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_at_every_size),
		cmocka_unit_test(youngest_first),
		cmocka_unit_test(small_when_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
