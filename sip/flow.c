/* Flows: who is at the other end, and which address of ours it sees. */
#include "sip/flow.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net.h"
#include "sip/layer.h"

void sip_flow_set_peer(struct sip_flow *flow, const struct sockaddr_storage *peer)
{
	net_address_set(&flow->peer, peer);
}

void sip_flow_get_peer(const struct sip_flow *flow, struct sockaddr_storage *peer)
{
	net_address_get(&flow->peer, peer);
}

void sip_flow_source(const struct sip_flow *flow, char *text, size_t size, struct slice *host, uint16_t *port)
{
	bool is_v6 = flow->peer.any.sa_family == AF_INET6;
	const void *octets = is_v6 ? (const void *)&flow->peer.v6.sin6_addr : (const void *)&flow->peer.v4.sin_addr;

	if (!inet_ntop(flow->peer.any.sa_family, octets, text, (socklen_t)size))
		text[0] = 0;
	*host = slice_str(text);
	*port = ntohs(is_v6 ? flow->peer.v6.sin6_port : flow->peer.v4.sin_port);
}

void sip_port_set(struct sockaddr *address, uint16_t port)
{
	if (address->sa_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)address)->sin_port = htons(port);
}

uint16_t sip_answer_port(const struct sip_message *request, const struct sip_flow *flow)
{
	const struct sockaddr_in6 *v6 = &flow->peer.v6;
	struct sip_via via;
	/* a Via that cannot be read asks for nothing: back to where it came from */
	bool is_readable = sip_via_decode(sip_header_value(request, SIP_HDR_VIA), &via, NULL);

	if (!sip_flow_is_stream(flow) && (!is_readable || via.has_rport))
		return ntohs(v6->sin6_family == AF_INET6 ? v6->sin6_port : flow->peer.v4.sin_port);
	return is_readable && via.port ? via.port : flow->protocol == SIP_TLS ? 5061 : 5060;
}

bool sip_flow_equal(const struct sip_flow *a, const struct sip_flow *b)
{
	if (a->protocol != b->protocol || a->peer.any.sa_family != b->peer.any.sa_family)
		return false;
	if (sip_flow_is_stream(a))
		return a->worker == b->worker && a->slot == b->slot && a->generation == b->generation;
	return net_address_equal(&a->peer, &b->peer);
}

const char *sip_protocol_name(enum sip_protocol protocol)
{
	return protocol == SIP_UDP ? "UDP" : protocol == SIP_TCP ? "TCP" : "TLS";
}

enum listen_role sip_flow_role(const struct worker *worker, const struct sip_flow *flow)
{
	return sip_layer_of(worker)->options->listeners[flow->listener].role;
}

static bool is_wildcard(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr == INADDR_ANY;
}

/* Behind a wildcard listener the route to the peer says which address of ours it sees.  False: there is none. */
static bool local_by_route(const struct sip_flow *flow, struct net_address *local)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(*local);
	int fd = socket(flow->peer.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	sip_flow_get_peer(flow, &peer);
	/* connecting a datagram socket sends nothing: it only looks the route up */
	bool is_known = connect(fd, (struct sockaddr *)&peer, net_address_size((struct sockaddr *)&peer)) == 0 &&
		getsockname(fd, &local->any, &n) == 0;
	close(fd);
	return is_known;
}

static bool same_host(const struct net_address *a, const struct net_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	return a->any.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0 :
					      a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

/* A socket and three system calls for each Via would cost more than the rest of the message. */
static const struct net_address *local_by_cache(struct sip_layer *layer, const struct sip_flow *flow)
{
	const struct net_address *peer = &flow->peer;
	struct slice host = peer->any.sa_family == AF_INET6 ? slice_of((const char *)&peer->v6.sin6_addr, 16) :
							      slice_of((const char *)&peer->v4.sin_addr, 4);
	struct sip_route *route = &layer->routes[siphash(&layer->key, host) % SIP_ROUTES];
	uint64_t now_ms = worker_now_ms(layer->worker);

	if (now_ms < route->until_ms && same_host(&route->peer, peer))
		return &route->local;
	if (!local_by_route(flow, &route->local)) {
		route->until_ms = 0;
		return NULL;
	}
	route->peer = *peer;
	route->until_ms = now_ms + SIP_ROUTE_MS;
	return &route->local;
}

void sip_flow_local(struct worker *worker, const struct sip_flow *flow, struct sockaddr_storage *local)
{
	*local = sip_layer_of(worker)->options->listeners[flow->listener].bound;
	if (!is_wildcard(local) || flow->peer.any.sa_family != local->ss_family)
		return;
	const struct net_address *seen = local_by_cache(sip_layer_of(worker), flow);
	if (!seen)
		return;
	if (local->ss_family == AF_INET6)
		((struct sockaddr_in6 *)local)->sin6_addr = seen->v6.sin6_addr;
	else
		((struct sockaddr_in *)local)->sin_addr = seen->v4.sin_addr;
}

static void put_host_port(struct buffer *out, const char *advertise, const struct sockaddr_storage *address)
{
	char host[INET6_ADDRSTRLEN] = "";
	bool is_v6 = address->ss_family == AF_INET6;
	uint16_t port = ntohs(is_v6 ? ((const struct sockaddr_in6 *)address)->sin6_port :
				      ((const struct sockaddr_in *)address)->sin_port);

	if (advertise[0]) {
		buffer_printf(out, strchr(advertise, ':') && advertise[0] != '[' ? "[%s]:%u" : "%s:%u", advertise, port);
		return;
	}
	inet_ntop(address->ss_family,
		is_v6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr :
			(const void *)&((const struct sockaddr_in *)address)->sin_addr,
		host, sizeof(host));
	buffer_printf(out, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
}

void sip_flow_host_port(struct worker *worker, const struct sip_flow *flow, struct buffer *out)
{
	struct sockaddr_storage local;

	sip_flow_local(worker, flow, &local);
	put_host_port(out, sip_layer_of(worker)->options->listeners[flow->listener].advertise, &local);
}
