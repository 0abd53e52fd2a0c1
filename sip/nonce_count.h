/*
 * Which counts (nc) of which nonce were used: a second use is a replay
 * (RFC 7616 3.4).  A count may overtake the one before it on its way here, as
 * requests of one client come by UDP or through several workers, so the last 64
 * counts are remembered one by one; what is older counts as used.
 *
 * Bounded: when it is full the nonce that was first used longest ago is
 * forgotten, and from then on every nonce that is not here and was minted no
 * later than that one is stale.  So forgetting never lets a replay in; its
 * owner only has to answer one more challenge.
 *
 * Thread: owning worker only.  Owner: the actors of that worker.
 */
#ifndef SIP_NONCE_COUNT_H
#define SIP_NONCE_COUNT_H

#include <stdbool.h>

#include "core/pool.h"
#include "core/siphash.h"
#include "core/slice.h"

#define NONCE_COUNTS_MAX 65536

struct nonce_use;

struct nonce_counts {
	struct pool pool;
	struct siphash_key key;
	struct nonce_use **table;
	uint32_t table_mask;
	struct nonce_use *oldest, **newest; /* in the order of their first use */
	bool has_forgotten;
	uint64_t forgotten_ms; /* not here and minted no later: stale */
};

enum nonce_verdict {
	NONCE_GOOD,    /* not used before; it is now                    */
	NONCE_STALE,   /* too old, or used before: challenge once more  */
	NONCE_NO_ROOM, /* no memory: nothing can be said                */
};

/* `max` nonces at most (tests: fewer than NONCE_COUNTS_MAX), a power of two.  0 or ENOMEM. */
int nonce_counts_init(struct nonce_counts *counts, uint32_t max, const struct siphash_key *key);
void nonce_counts_free(struct nonce_counts *counts);

/* The nonce is ours (digest_nonce_decode) and the response to it was right.  The clock is that of minting. */
enum nonce_verdict nonce_counts_use(struct nonce_counts *counts, struct slice nonce, uint32_t nc, uint64_t now_ms);

#endif
