/*
 * A hash table whose items hold the pointers to the next of their chain.  It
 * grows with what is in it, by one chain at a time (linear hashing), so there
 * is no pause to hash everything anew; and since memory of chains that were never
 * used stays the kernel's, a table that may become large costs an idle server
 * nothing.
 *
 * Thread: owning worker only.  It owns the table, not the items.
 */
#ifndef CORE_CHAINS_H
#define CORE_CHAINS_H

#include <stddef.h>
#include <stdint.h>

struct chains {
	void **heads;  /* `max` of them, the first `count` in use */
	size_t count, max, used;
	size_t mask;   /* the next power of two from `count` on, less one */
	size_t next_at;
	uint64_t (*hash_of)(const void *item, const void *arg);
	const void *arg;
};

/* Chains of one item up to `max` of them, a power of two.  `next_at`: where in an item the pointer to the next
 * one is.  `hash_of`: the same for an item as long as it is in the table.  0 or ENOMEM. */
int chains_init(struct chains *chains, size_t max, size_t next_at,
	uint64_t (*hash_of)(const void *item, const void *arg), const void *arg);
void chains_free(struct chains *chains);

void chains_add(struct chains *chains, void *item);
void chains_remove(struct chains *chains, void *item); /* it is there */

static inline size_t chains_place(const struct chains *chains, uint64_t hash)
{
	size_t place = hash & chains->mask;

	return place < chains->count ? place : place & chains->mask >> 1;
}

/* The first of the chain in which everything with that hash is, the youngest first; NULL: it is empty. */
static inline void *chains_first(const struct chains *chains, uint64_t hash)
{
	return chains->heads[chains_place(chains, hash)];
}

#endif
