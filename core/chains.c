#include "core/chains.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CHAINS_MIN 64 /* one page would be 512 */

int chains_init(struct chains *chains, size_t max, size_t next_at,
	uint64_t (*hash_of)(const void *item, const void *arg), const void *arg)
{
	size_t count = max < CHAINS_MIN ? max : CHAINS_MIN;

	assert(max && (max & (max - 1)) == 0);
	*chains = (struct chains){ .heads = calloc(max, sizeof(*chains->heads)), .count = count, .max = max,
		.mask = count - 1, .next_at = next_at, .hash_of = hash_of, .arg = arg };
	return chains->heads ? 0 : ENOMEM;
}

void chains_free(struct chains *chains)
{
	free(chains->heads);
	chains->heads = NULL;
}

static void **next_of(const struct chains *chains, void *item)
{
	return (void **)((char *)item + chains->next_at);
}

static size_t place_of(const struct chains *chains, const void *item)
{
	return chains_place(chains, chains->hash_of(item, chains->arg));
}

/* One more chain: part of the one that stood for it till now belongs there.  The order is kept in both. */
static void grow(struct chains *chains)
{
	size_t added = chains->count++;

	if (added > chains->mask)
		chains->mask = chains->mask << 1 | 1;
	void **stays = &chains->heads[added & chains->mask >> 1], **goes = &chains->heads[added];
	for (void *item = *stays, *next; item; item = next) {
		next = *next_of(chains, item);
		if (place_of(chains, item) == added) {
			*goes = item;
			goes = next_of(chains, item);
		} else {
			*stays = item;
			stays = next_of(chains, item);
		}
	}
	*stays = *goes = NULL;
}

void chains_add(struct chains *chains, void *item)
{
	void **head = &chains->heads[place_of(chains, item)];

	*next_of(chains, item) = *head;
	*head = item;
	if (++chains->used > chains->count && chains->count < chains->max)
		grow(chains);
}

void chains_remove(struct chains *chains, void *item)
{
	void **link = &chains->heads[place_of(chains, item)];

	while (*link != item)
		link = next_of(chains, *link);
	*link = *next_of(chains, item);
	chains->used--;
}
