#include "core/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISON 1
#endif
#endif
#ifdef POOL_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define CACHE_LINE 64 /* objects of one or two lines, header included, do not lie in one more */

struct item {
	uint32_t slot, generation;
	uint32_t next_free; /* slot + 1 */
	bool is_out;
};

_Static_assert(sizeof(struct item) == 16, "objects stay aligned to 16");

int pool_init(struct pool *pool, const char *name, size_t octets, uint32_t max)
{
	memset(pool, 0, sizeof(*pool));
	pool->name = name;
	pool->item_octets = (sizeof(struct item) + octets + 15) & ~(size_t)15;
	pool->max = max < POOL_SLOTS_MAX ? max : POOL_SLOTS_MAX;
	while ((pool->item_octets << (pool->slab_shift + 1)) <= POOL_SLAB_OCTETS)
		pool->slab_shift++;
	size_t slabs = ((size_t)pool->max >> pool->slab_shift) + 1;
	pool->slabs = calloc(slabs, sizeof(*pool->slabs));
	return pool->slabs ? 0 : ENOMEM;
}

int pool_raise(struct pool *pool, uint32_t max)
{
	max = max < POOL_SLOTS_MAX ? max : POOL_SLOTS_MAX;
	if (max <= pool->max)
		return 0;
	char **slabs = realloc(pool->slabs, (((size_t)max >> pool->slab_shift) + 1) * sizeof(*slabs));
	if (!slabs)
		return ENOMEM;
	pool->slabs = slabs;
	pool->max = max;
	return 0;
}

void pool_free(struct pool *pool)
{
	assert(pool->used == 0);
	for (uint32_t i = 0; i < pool->slab_count; i++)
		free(pool->slabs[i]);
	free(pool->slabs);
	memset(pool, 0, sizeof(*pool));
}

static struct item *item_at(const struct pool *pool, uint32_t slot)
{
	uint32_t place = slot & ((UINT32_C(1) << pool->slab_shift) - 1);

	return (struct item *)(pool->slabs[slot >> pool->slab_shift] + place * pool->item_octets);
}

static struct item *item_of(const void *object)
{
	return (struct item *)((char *)object - sizeof(struct item));
}

static struct item *make_item(struct pool *pool)
{
	if (pool->made == pool->max)
		return NULL;
	uint32_t slab = pool->made >> pool->slab_shift;
	if (slab == pool->slab_count) {
		size_t octets = ((pool->item_octets << pool->slab_shift) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
		char *memory = aligned_alloc(CACHE_LINE, octets);
		if (!memory)
			return NULL;
		pool->slabs[pool->slab_count++] = memory;
	}
	struct item *item = item_at(pool, pool->made);
	item->slot = pool->made++;
	item->generation = 0;
	return item;
}

void *pool_take(struct pool *pool)
{
	struct item *item;

	if (pool->free_head) {
		item = item_at(pool, pool->free_head - 1);
		pool->free_head = item->next_free;
	} else if (!(item = make_item(pool))) {
		return NULL;
	}
	if (++item->generation == 0)
		item->generation = 1;
	item->next_free = 0;
	item->is_out = true;
	__atomic_store_n(&pool->used, pool->used + 1, __ATOMIC_RELAXED);
	if (pool->used > pool->high_water)
		pool->high_water = pool->used;
	ASAN_UNPOISON_MEMORY_REGION(item + 1, pool->item_octets - sizeof(*item));
	memset(item + 1, 0, pool->item_octets - sizeof(*item));
	return item + 1;
}

void pool_give(struct pool *pool, void *object)
{
	struct item *item = item_of(object);

	assert(item->is_out);
	item->is_out = false;
	item->next_free = pool->free_head;
	pool->free_head = item->slot + 1;
	__atomic_store_n(&pool->used, pool->used - 1, __ATOMIC_RELAXED);
	ASAN_POISON_MEMORY_REGION(object, pool->item_octets - sizeof(*item));
}

uint32_t pool_slot(const void *object)
{
	return item_of(object)->slot;
}

uint32_t pool_generation(const void *object)
{
	return item_of(object)->generation;
}

void *pool_at(const struct pool *pool, uint32_t slot)
{
	if (slot >= pool->made)
		return NULL;
	struct item *item = item_at(pool, slot);
	return item->is_out ? item + 1 : NULL;
}

void *pool_find(const struct pool *pool, uint32_t slot, uint32_t generation)
{
	void *object = pool_at(pool, slot);

	return object && item_of(object)->generation == generation ? object : NULL;
}
