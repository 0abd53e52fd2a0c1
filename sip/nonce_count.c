#include "sip/nonce_count.h"

#include <errno.h>
#include <stdlib.h>

#include "sip/digest.h"

#define WINDOW 64

struct nonce_use {
	struct nonce_use *hash_next, *newer;
	uint64_t minted_ms;
	uint64_t used; /* bit i: count `highest` - i was used */
	uint32_t highest;
	char nonce[DIGEST_NONCE_CHARS];
};

int nonce_counts_init(struct nonce_counts *counts, uint32_t max, const struct siphash_key *key)
{
	memset(counts, 0, sizeof(*counts));
	counts->key = *key;
	counts->table_mask = max - 1;
	counts->newest = &counts->oldest;
	counts->table = calloc(max, sizeof(*counts->table));
	if (!counts->table)
		return ENOMEM;
	return pool_init(&counts->pool, "nonces", sizeof(struct nonce_use), max);
}

static struct nonce_use **chain_of(struct nonce_counts *counts, struct slice nonce)
{
	return &counts->table[siphash(&counts->key, nonce) & counts->table_mask];
}

static void forget_oldest(struct nonce_counts *counts)
{
	struct nonce_use *use = counts->oldest;
	struct nonce_use **link = chain_of(counts, slice_of(use->nonce, sizeof(use->nonce)));

	while (*link != use)
		link = &(*link)->hash_next;
	*link = use->hash_next;
	counts->oldest = use->newer;
	if (!counts->oldest)
		counts->newest = &counts->oldest;
	if (!counts->has_forgotten || use->minted_ms > counts->forgotten_ms)
		counts->forgotten_ms = use->minted_ms;
	counts->has_forgotten = true;
	pool_give(&counts->pool, use);
}

void nonce_counts_free(struct nonce_counts *counts)
{
	while (counts->oldest)
		forget_oldest(counts);
	if (counts->table)
		pool_free(&counts->pool);
	free(counts->table);
	counts->table = NULL;
}

static bool is_expired(uint64_t minted_ms, uint64_t now_ms)
{
	return minted_ms + DIGEST_NONCE_LIFE_MS < now_ms;
}

static struct nonce_use *find(struct nonce_counts *counts, struct slice nonce)
{
	for (struct nonce_use *use = *chain_of(counts, nonce); use; use = use->hash_next)
		if (memcmp(use->nonce, nonce.p, sizeof(use->nonce)) == 0)
			return use;
	return NULL;
}

static struct nonce_use *make(struct nonce_counts *counts, struct slice nonce, uint64_t minted_ms)
{
	struct nonce_use *use = pool_take(&counts->pool);

	if (!use && counts->oldest) {
		forget_oldest(counts);
		use = pool_take(&counts->pool);
	}
	if (!use)
		return NULL;
	memcpy(use->nonce, nonce.p, sizeof(use->nonce));
	use->minted_ms = minted_ms;
	struct nonce_use **chain = chain_of(counts, nonce);
	use->hash_next = *chain;
	*chain = use;
	*counts->newest = use;
	counts->newest = &use->newer;
	return use;
}

/* False: used before, or too far behind to know. */
static bool take_count(struct nonce_use *use, uint32_t nc)
{
	if (nc > use->highest) {
		uint32_t ahead = nc - use->highest;
		use->used = ahead < WINDOW ? use->used << ahead : 0;
		use->used |= 1;
		use->highest = nc;
		return true;
	}
	uint32_t behind = use->highest - nc;
	if (behind >= WINDOW || use->used & UINT64_C(1) << behind)
		return false;
	use->used |= UINT64_C(1) << behind;
	return true;
}

enum nonce_verdict nonce_counts_use(struct nonce_counts *counts, struct slice nonce, uint32_t nc, uint64_t now_ms)
{
	uint64_t minted_ms;

	while (counts->oldest && is_expired(counts->oldest->minted_ms, now_ms))
		forget_oldest(counts); /* the watermark moves to what is too old anyway */
	if (!digest_nonce_decode(nonce, &minted_ms) || is_expired(minted_ms, now_ms) || nc == 0)
		return NONCE_STALE;
	struct nonce_use *use = find(counts, nonce);
	if (!use && counts->has_forgotten && minted_ms <= counts->forgotten_ms)
		return NONCE_STALE;
	if (!use && !(use = make(counts, nonce, minted_ms)))
		return NONCE_NO_ROOM;
	return take_count(use, nc) ? NONCE_GOOD : NONCE_STALE;
}
