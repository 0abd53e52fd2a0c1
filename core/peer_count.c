#include "core/peer_count.h"

#include <netinet/in.h>
#include <stdatomic.h>

#include "core/siphash.h"

static struct siphash_key key;
static _Atomic unsigned counts[PEER_COUNT_BUCKETS];

void peer_count_init(const uint8_t octets[16])
{
	memcpy(key.k, octets, sizeof(key.k));
}

static unsigned bucket_of(const struct sockaddr_storage *peer)
{
	struct slice address = peer->ss_family == AF_INET6 ?
		slice_of((const char *)&((const struct sockaddr_in6 *)peer)->sin6_addr, 16) :
		slice_of((const char *)&((const struct sockaddr_in *)peer)->sin_addr, 4);

	return (unsigned)(siphash(&key, address) % PEER_COUNT_BUCKETS);
}

bool peer_count_enter(const struct sockaddr_storage *peer, unsigned max, unsigned *bucket)
{
	unsigned which = bucket_of(peer);

	if (atomic_fetch_add_explicit(&counts[which], 1, memory_order_relaxed) >= max && max != 0) {
		peer_count_leave(which);
		return false;
	}
	*bucket = which;
	return true;
}

void peer_count_leave(unsigned bucket)
{
	atomic_fetch_sub_explicit(&counts[bucket], 1, memory_order_relaxed);
}
