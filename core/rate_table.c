#include "core/rate_table.h"

#include <stdlib.h>
#include <string.h>

/* The word: 24 bits of the name above 40 of time in eighths of a microsecond, which come round every 38 hours.
 * What is more than a burst ahead is old. */
#define TIME_BITS 40
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define UNITS     8

struct rate_table *rate_table_make(const uint8_t key[16])
{
	struct rate_table *table = calloc(1, sizeof(*table));

	if (table)
		memcpy(table->key.k, key, sizeof(table->key.k));
	return table;
}

uint64_t rate_table_name(const struct rate_table *table, unsigned kind, struct slice name)
{
	uint64_t hash = siphash(&table->key, name) + kind * UINT64_C(0x9e3779b97f4a7c15);

	hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93); /* a kind of its own must reach all bits */
	return hash ^ hash >> 32;
}

static uint64_t ahead_of(uint64_t word, uint64_t now)
{
	return (word - now) & TIME_MASK;
}

static bool is_old(uint64_t word, uint64_t now)
{
	return word == 0 || ahead_of(word, now) > (uint64_t)RATE_BURST_MAX_US * UNITS;
}

/* Its place, or the one that it takes: one that is old, else the one nearest to it.  The same for all workers, so
 * that two of them do not make two buckets of one name. */
static unsigned place_of(_Atomic uint64_t *set, uint64_t tag, uint64_t now)
{
	uint64_t least = UINT64_MAX;
	unsigned place = 0;

	for (unsigned i = 0; i < RATE_WAYS; i++) {
		uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
		if (word >> TIME_BITS == tag)
			return i;
		uint64_t ahead = is_old(word, now) ? 0 : ahead_of(word, now) + 1;
		if (ahead < least) {
			least = ahead;
			place = i;
		}
	}
	return place;
}

bool rate_table_take(struct rate_table *table, const struct rate_bucket *bucket, uint64_t now_us)
{
	uint64_t now = now_us * UNITS & TIME_MASK, tag = bucket->name >> TIME_BITS | 1; /* never that of nothing */
	uint64_t full = bucket->per_us * UNITS, each = full / bucket->rate ? full / bucket->rate : 1;
	_Atomic uint64_t *set = table->words[bucket->name % RATE_SETS];

	for (;;) {
		_Atomic uint64_t *word = &set[place_of(set, tag, now)];
		uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
		uint64_t ahead = old >> TIME_BITS == tag && !is_old(old, now) ? ahead_of(old, now) : 0;
		if (ahead + each > full)
			return false;
		uint64_t taken = tag << TIME_BITS | ((now + ahead + each) & TIME_MASK);
		if (atomic_compare_exchange_weak_explicit(word, &old, taken, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
}
