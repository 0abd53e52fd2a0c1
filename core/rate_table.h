/*
 * Token buckets of many names, for limits that hold over all workers: how many
 * requests a second one user, or one address, may send.
 *
 * A bucket is one word: the time at which it would be full again (the "theoretical arrival time" of the generic
 * cell rate algorithm, ITU-T I.371), beside a part of its name.  One that is full needs no place, so the table
 * holds who was active within the last burst only, and what is old leaves by being overwritten.  The table is of
 * fixed size: of RATE_WAYS names in one set that are all active the one that is nearest to full is forgotten.
 * Names are hashes under the table's own key, so that nobody can aim for another's place.
 *
 * Thread: any; a take is one compare-and-swap.
 */
#ifndef CORE_RATE_TABLE_H
#define CORE_RATE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/siphash.h"

#define RATE_SETS 8192
#define RATE_WAYS 8

#define RATE_BURST_MAX_US (3600u * 1000000) /* of a bucket: a full one is forgotten */

struct rate_table {
	struct siphash_key key;
	_Atomic uint64_t words[RATE_SETS][RATE_WAYS]; /* memory of sets never used stays the kernel's */
};

/* NULL: no memory.  The caller frees it with free(), after the workers. */
struct rate_table *rate_table_make(const uint8_t key[16]);

/* What is counted and for whom: `name` by rate_table_name(). */
struct rate_bucket {
	uint64_t name;
	uint64_t rate;     /* 1 or more in `per_us`: that many at once, and one each per_us / rate */
	uint64_t per_us;   /* at most RATE_BURST_MAX_US */
};

/* The hash of a name in a kind of names. */
uint64_t rate_table_name(const struct rate_table *table, unsigned kind, struct slice name);

/* True: a token was taken.  False: there is none. */
bool rate_table_take(struct rate_table *table, const struct rate_bucket *bucket, uint64_t now_us);

#endif
