/*
 * A pool of objects of one size with a fixed upper bound.  Each object has a
 * slot and a generation, so that a name of it (an actor id, a ring token, a
 * flow) outlives it without danger: pool_find() answers NULL for a name whose
 * object was given back.
 *
 * Memory is taken in slabs as it is needed and kept until pool_free().
 * Thread: owning worker only, except pool_used(), which any thread may read.
 */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_SLAB_OCTETS (64 * 1024)
#define POOL_SLOTS_MAX   (1u << 24)

struct pool {
	const char *name;      /* the label of imserv_pool_used */
	size_t item_octets;    /* header included */
	uint32_t max;
	uint32_t slab_shift;   /* a slab has 1 << slab_shift of them */
	uint32_t used;         /* written atomically: any thread may read it */
	uint32_t high_water;
	uint32_t made;         /* slots that ever existed */
	uint32_t free_head;    /* slot + 1 of the first free item; 0: none */
	char **slabs;
	uint32_t slab_count;
};

/* `max` is clipped to POOL_SLOTS_MAX.  0 or ENOMEM. */
int pool_init(struct pool *pool, const char *name, size_t octets, uint32_t max);

/* More of them from here on; a lower `max` changes nothing.  0, or ENOMEM and nothing has changed. */
int pool_raise(struct pool *pool, uint32_t max);

/* Everything must have been given back. */
void pool_free(struct pool *pool);

/* Zeroed; NULL when `max` objects are out or memory is. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *item);

uint32_t pool_slot(const void *item);
uint32_t pool_generation(const void *item); /* never 0 */

/* NULL when that object was given back, or never was. */
void *pool_find(const struct pool *pool, uint32_t slot, uint32_t generation);

/* The object in a slot while it is out, else NULL; for walks over all, slots 0 .. made - 1. */
void *pool_at(const struct pool *pool, uint32_t slot);

static inline uint32_t pool_used(const struct pool *pool)
{
	return __atomic_load_n(&pool->used, __ATOMIC_RELAXED);
}

#endif
