#include "msrp/sharing.h"

#include "core/tls.h"
#include "msrp/connection.h"
#include "msrp/output.h"

/* A peer that aims for collisions has connections of its own for that. */
static struct msrp_name *bucket_of(struct msrp_endpoint *endpoint, const struct net_address *to, bool is_secure)
{
	uint32_t address = to->v4.sin_addr.s_addr, hash;

	if (to->any.sa_family == AF_INET6)
		for (unsigned i = address = 0; i < 16; i++)
			address = address * 31 + to->v6.sin6_addr.s6_addr[i];
	/* the port is at the same place in both */
	hash = (address ^ (uint32_t)to->v4.sin_port << 1 ^ is_secure) * 0x9e3779b1u;
	return &endpoint->opened[hash >> 16 & (MSRP_OPENED_BUCKETS - 1)];
}

static struct slice host_of(const struct msrp_leg *leg)
{
	struct msrp_path path;

	return msrp_path_parse(msrp_leg_peer_path(leg), &path) == MSRP_PATH_OK ? path.first.host : SLICE_EMPTY;
}

/* One of our own sessions is at the other end, of whatever worker. */
static bool is_our_own(const struct msrp_leg *leg)
{
	struct msrp_path path;

	return msrp_path_parse(msrp_leg_peer_path(leg), &path) == MSRP_PATH_OK &&
	       minted_worker(path.first.session_id) >= 0;
}

/* What made the connection trustworthy does so for this session too (RFC 4975 14.4, RFC 8122 6.2). */
static bool is_trusted_for(const struct msrp_connection *c, const struct msrp_leg *leg)
{
	const struct tls *tls = stream_tls_of(c->stream);
	const struct msrp_leg *other = LIST_FIRST(&c->legs);
	struct tls_certificate certificate;

	if (!leg->is_secure || !tls)
		return leg->is_secure == (tls != NULL);
	if (!leg->fingerprint) /* the name was looked at for a session without fingerprint */
		return !other->fingerprint && tls_peer_is_verified(tls) && slice_case_eq(host_of(other), host_of(leg));
	tls_peer_certificate(tls, &certificate);
	return tls_certificate_is(&certificate, slice_str(leg->fingerprint));
}

struct msrp_connection *msrp_sharing_find(const struct msrp_leg *leg, const struct sockaddr_storage *to)
{
	struct msrp_endpoint *endpoint = leg->endpoint;
	struct net_address address;

	net_address_set(&address, to);
	const struct msrp_name *name = bucket_of(endpoint, &address, leg->is_secure);
	struct msrp_connection *c = pool_find(&endpoint->connections, name->slot, name->generation);
	if (!c || c->is_lost || !c->stream || c->leg_count == 0 || c->pauses || is_our_own(leg))
		return NULL;
	if (msrp_output_queued(c) > endpoint->options->limits.leg_low)
		return NULL;
	return net_address_equal(&c->stream->peer, &address) && is_trusted_for(c, leg) ? c : NULL;
}

void msrp_sharing_offer(struct msrp_connection *c, const struct msrp_leg *leg)
{
	if (!is_our_own(leg))
		*bucket_of(c->endpoint, &c->stream->peer, leg->is_secure) =
			(struct msrp_name){ pool_slot(c), pool_generation(c) };
}
