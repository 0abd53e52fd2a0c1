#include "sip/peers.h"

#include <stdlib.h>

#define WAYS 4 /* places that one address may take */

struct fact {
	uint64_t hash, until_ms; /* 64 bits under a key: nobody finds another address with the same */
};

struct sip_peers {
	struct siphash_key key;
	struct fact facts[SIP_PEERS_MAX];
};

struct sip_peers *sip_peers_make(struct worker *worker)
{
	struct sip_peers *peers = calloc(1, sizeof(*peers));

	if (peers)
		worker_random(worker, &peers->key, sizeof(peers->key));
	return peers;
}

void sip_peers_free(struct sip_peers *peers)
{
	free(peers);
}

static struct fact *places(struct sip_peers *peers, enum sip_peer_fact fact, const struct net_address *peer, uint64_t *hash)
{
	char name[20] = { (char)fact };
	size_t n = 1;

	if (peer->any.sa_family == AF_INET6) {
		memcpy(name + n, &peer->v6.sin6_addr, 16);
		memcpy(name + n + 16, &peer->v6.sin6_port, 2);
		n += 18;
	} else {
		memcpy(name + n, &peer->v4.sin_addr, 4);
		memcpy(name + n + 4, &peer->v4.sin_port, 2);
		n += 6;
	}
	*hash = siphash(&peers->key, slice_of(name, n));
	return &peers->facts[*hash % (SIP_PEERS_MAX / WAYS) * WAYS];
}

void sip_peers_remember(struct sip_peers *peers, struct worker *worker, enum sip_peer_fact fact,
	const struct net_address *peer)
{
	uint64_t hash, now_ms = worker_now_ms(worker);
	struct fact *place = places(peers, fact, peer, &hash), *oldest = place;

	for (unsigned i = 0; i < WAYS; i++) {
		if (place[i].hash == hash) {
			oldest = &place[i];
			break;
		}
		if (place[i].until_ms < oldest->until_ms)
			oldest = &place[i];
	}
	*oldest = (struct fact){ hash, now_ms + (fact == SIP_PEER_NO_TCP ? SIP_PEER_NO_TCP_MS : SIP_PEER_FAILED_MS) };
}

bool sip_peers_know(struct sip_peers *peers, struct worker *worker, enum sip_peer_fact fact,
	const struct net_address *peer)
{
	uint64_t hash, now_ms = worker_now_ms(worker);
	const struct fact *place = places(peers, fact, peer, &hash);

	for (unsigned i = 0; i < WAYS; i++)
		if (place[i].hash == hash && place[i].until_ms > now_ms)
			return true;
	return false;
}
