/*
 * What a worker remembers of addresses for a while: that they take no TCP
 * (RFC 3261 18.1.1), that they failed lately.  A fixed table under a keyed hash:
 * what finds no room is forgotten, which costs a second attempt and nothing else.
 *
 * Thread: owning worker only.
 */
#ifndef SIP_PEERS_H
#define SIP_PEERS_H

#include "core/siphash.h"
#include "sip/flow.h"

#define SIP_PEERS_MAX      8192
#define SIP_PEER_NO_TCP_MS (10 * 60 * 1000) /* design.md 4 */
#define SIP_PEER_FAILED_MS (30 * 1000)

enum sip_peer_fact {
	SIP_PEER_NO_TCP, /* large requests go by UDP all the same */
	SIP_PEER_FAILED, /* other servers of the same name first  */
};

struct sip_peers;

struct sip_peers *sip_peers_make(struct worker *worker); /* NULL: no memory */
void sip_peers_free(struct sip_peers *peers);

void sip_peers_remember(struct sip_peers *peers, struct worker *worker, enum sip_peer_fact fact,
	const struct net_address *peer);
bool sip_peers_know(struct sip_peers *peers, struct worker *worker, enum sip_peer_fact fact,
	const struct net_address *peer);

#endif
