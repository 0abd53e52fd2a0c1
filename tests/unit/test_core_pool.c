/* core/pool.c: bounds, generations, reuse. */
#include "core/pool.h"

#include "tests/unit/test.h"

struct thing {
	char octets[100];
};

static void exhaustion_is_an_answer(void **state)
{
	for (uint32_t max = 1; max <= 2000; max = max * 3 + 1) { /* also more than a slab holds */
		struct pool pool;
		void **out = calloc(max, sizeof(*out));
		assert_int_equal(pool_init(&pool, "things", sizeof(struct thing), max), 0);
		for (uint32_t i = 0; i < max; i++) {
			out[i] = pool_take(&pool);
			assert_non_null(out[i]);
			assert_int_equal((uintptr_t)out[i] % 16, 0);
			memset(out[i], 0xee, sizeof(struct thing)); /* all of it is ours */
		}
		assert_null(pool_take(&pool));
		assert_int_equal(pool_used(&pool), max);
		pool_give(&pool, out[0]);
		out[0] = pool_take(&pool);
		assert_non_null(out[0]);
		assert_null(pool_take(&pool));
		for (uint32_t i = 0; i < max; i++)
			pool_give(&pool, out[i]);
		assert_int_equal(pool_used(&pool), 0);
		assert_int_equal(pool.high_water, max);
		pool_free(&pool);
		free(out);
	}
}

static void what_is_taken_is_zero(void **state)
{
	static const struct thing zero;
	struct pool pool;

	assert_int_equal(pool_init(&pool, "things", sizeof(struct thing), 4), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct thing *thing = pool_take(&pool);
		assert_memory_equal(thing, &zero, sizeof(zero));
		memset(thing, 0xff, sizeof(*thing));
		pool_give(&pool, thing);
	}
	pool_free(&pool);
}

static void a_stale_name_finds_nothing(void **state)
{
	struct pool pool;

	assert_int_equal(pool_init(&pool, "things", sizeof(struct thing), 8), 0);
	void *first = pool_take(&pool);
	uint32_t slot = pool_slot(first), generation = pool_generation(first);
	assert_int_not_equal(generation, 0);
	assert_ptr_equal(pool_find(&pool, slot, generation), first);
	assert_null(pool_find(&pool, slot, generation + 1));
	assert_null(pool_find(&pool, slot, 0));
	assert_null(pool_find(&pool, slot + 1, generation)); /* a slot nobody made yet */
	assert_null(pool_find(&pool, UINT32_MAX, generation));
	pool_give(&pool, first);
	assert_null(pool_find(&pool, slot, generation));
	assert_null(pool_at(&pool, slot));
	void *second = pool_take(&pool);
	assert_int_equal(pool_slot(second), slot); /* the last one given back is the hot one */
	assert_null(pool_find(&pool, slot, generation));
	assert_ptr_equal(pool_find(&pool, slot, pool_generation(second)), second);
	pool_give(&pool, second);
	pool_free(&pool);
}

static void generations_skip_zero(void **state)
{
	struct pool pool;

	assert_int_equal(pool_init(&pool, "things", sizeof(struct thing), 1), 0);
	void *thing = pool_take(&pool);
	/* the generation is the second word of the header: 4294967295 turns are too many here */
	((uint32_t *)thing)[-3] = UINT32_MAX;
	assert_int_equal(pool_generation(thing), UINT32_MAX);
	pool_give(&pool, thing);
	thing = pool_take(&pool);
	assert_int_equal(pool_generation(thing), 1);
	pool_give(&pool, thing);
	pool_free(&pool);
}

/* Against an array of what is out: names stay unique, walks see all and only those. */
static void any_order_of_taking_and_giving(void **state)
{
	enum { MAX = 300 };
	struct pool pool;
	struct thing *out[MAX];
	unsigned seed = 3, n = 0;

	assert_int_equal(pool_init(&pool, "things", sizeof(struct thing), MAX), 0);
	for (unsigned i = 0; i < 200000; i++) {
		if (rand_r(&seed) % 2) {
			struct thing *thing = pool_take(&pool);
			assert_int_equal(thing == NULL, n == MAX);
			if (thing)
				out[n++] = thing;
		} else if (n) {
			unsigned at = (unsigned)rand_r(&seed) % n;
			pool_give(&pool, out[at]);
			out[at] = out[--n];
		}
		assert_int_equal(pool_used(&pool), n);
		if (i % 1000)
			continue;
		unsigned seen = 0;
		for (uint32_t slot = 0; slot < pool.made; slot++)
			seen += pool_at(&pool, slot) != NULL;
		assert_int_equal(seen, n);
		for (unsigned j = 0; j < n; j++)
			assert_ptr_equal(pool_find(&pool, pool_slot(out[j]), pool_generation(out[j])), out[j]);
	}
	while (n)
		pool_give(&pool, out[--n]);
	pool_free(&pool);
}

static void objects_larger_than_a_slab(void **state)
{
	struct pool pool;
	void *out[3];

	assert_int_equal(pool_init(&pool, "large", POOL_SLAB_OCTETS + 1, 3), 0);
	for (unsigned i = 0; i < 3; i++) {
		out[i] = pool_take(&pool);
		memset(out[i], (int)i, POOL_SLAB_OCTETS + 1);
	}
	assert_null(pool_take(&pool));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(((char *)out[i])[POOL_SLAB_OCTETS], i);
		pool_give(&pool, out[i]);
	}
	pool_free(&pool);
	assert_int_equal(pool_init(&pool, "many", 1, UINT32_MAX), 0);
	assert_int_equal(pool.max, POOL_SLOTS_MAX);
	pool_free(&pool);
}

/* A limit that was raised while objects are out: they stay where they are. */
static void the_limit_can_be_raised(void **state)
{
	enum { FEW = 3, MANY = 10000 };
	static void *out[MANY];
	struct pool pool;

	assert_int_equal(pool_init(&pool, "raised", 100, FEW), 0);
	for (unsigned i = 0; i < FEW; i++)
		assert_non_null(out[i] = pool_take(&pool));
	assert_null(pool_take(&pool));
	assert_int_equal(pool_raise(&pool, MANY), 0);
	assert_int_equal(pool_raise(&pool, FEW), 0);
	for (unsigned i = FEW; i < MANY; i++)
		assert_non_null(out[i] = pool_take(&pool));
	assert_null(pool_take(&pool));
	for (unsigned i = 0; i < MANY; i++) {
		assert_ptr_equal(pool_find(&pool, pool_slot(out[i]), pool_generation(out[i])), out[i]);
		pool_give(&pool, out[i]);
	}
	assert_int_equal(pool_raise(&pool, UINT32_MAX), 0);
	assert_int_equal(pool.max, POOL_SLOTS_MAX);
	pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exhaustion_is_an_answer),
		cmocka_unit_test(what_is_taken_is_zero),
		cmocka_unit_test(a_stale_name_finds_nothing),
		cmocka_unit_test(generations_skip_zero),
		cmocka_unit_test(any_order_of_taking_and_giving),
		cmocka_unit_test(objects_larger_than_a_slab),
		cmocka_unit_test(the_limit_can_be_raised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
