/* The URI of a leg: which listener it names, and by which address. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msrp/leg_internal.h"

#define URI_MAX (8 + 256 + 2 + 6 + 1 + MINTED_CHARS + 4)

static uint16_t port_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
	return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static bool is_wildcard(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
	return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static void write_address(struct buffer *b, const struct sockaddr_storage *address)
{
	char text[INET6_ADDRSTRLEN] = "";
	const void *octets = address->ss_family == AF_INET6 ?
		(const void *)&((const struct sockaddr_in6 *)address)->sin6_addr :
		(const void *)&((const struct sockaddr_in *)address)->sin_addr;

	inet_ntop(address->ss_family, octets, text, sizeof(text));
	buffer_str(b, text);
}

/* It has an address to name, without knowing by which one the peer reaches us. */
static bool names_itself(const struct msrp_listener *listener)
{
	return listener->advertise[0] || !is_wildcard(&listener->bound);
}

bool msrp_leg_has_listener(const struct worker *worker, int family, bool is_secure)
{
	const struct msrp_options *options = msrp_endpoint_of(worker)->options;

	for (unsigned i = 0; i < options->listener_count; i++) {
		const struct msrp_listener *listener = &options->listeners[i];
		if (listener->proto == (is_secure ? LISTEN_MSRPS : LISTEN_MSRP) && listener->bound.ss_family == family &&
		    names_itself(listener))
			return true;
	}
	return false;
}

/* The listener of the family that our peer already reached us by, else the first. */
static const struct msrp_listener *listener_for(const struct msrp_options *options,
	const struct sockaddr_storage *local, bool is_secure)
{
	const struct msrp_listener *first = NULL;

	for (unsigned i = 0; i < options->listener_count; i++) {
		const struct msrp_listener *listener = &options->listeners[i];
		if (listener->proto != (is_secure ? LISTEN_MSRPS : LISTEN_MSRP))
			continue;
		if (local && listener->bound.ss_family == local->ss_family &&
		    (names_itself(listener) || !is_wildcard(local)))
			return listener;
		if (!first)
			first = listener;
	}
	return first;
}

static void write_host(struct buffer *b, const struct msrp_listener *listener,
	const struct sockaddr_storage *local)
{
	if (listener->advertise[0])
		buffer_str(b, listener->advertise);
	else if (is_wildcard(&listener->bound) && local && local->ss_family != AF_UNSPEC)
		write_address(b, local);
	else
		write_address(b, &listener->bound);
}

/* msrp_binding knows that the session-id and ";tcp" are the last of it. */
static void write_uri(struct buffer *b, const struct msrp_leg *leg, struct slice host)
{
	bool is_ipv6 = memchr(host.p, ':', host.n) != NULL;
	char session_id[MINTED_CHARS];

	minted_make(leg->endpoint->worker, session_id);
	buffer_str(b, leg->is_secure ? "msrps://" : "msrp://");
	buffer_str(b, is_ipv6 ? "[" : "");
	buffer_put(b, host);
	buffer_str(b, is_ipv6 ? "]:" : ":");
	buffer_u64(b, leg->port);
	buffer_char(b, '/');
	buffer_put(b, slice_of(session_id, MINTED_CHARS));
	buffer_lit(b, ";tcp");
}

int msrp_leg_make_uri(struct msrp_leg *leg, const struct sockaddr_storage *local)
{
	struct worker *worker = leg->endpoint->worker;
	const struct msrp_listener *listener = listener_for(leg->endpoint->options, local, leg->is_secure);
	char host_text[256], uri_text[URI_MAX];
	struct buffer host = buffer_over(host_text, sizeof(host_text));
	struct buffer uri = buffer_over(uri_text, sizeof(uri_text));

	if (!listener)
		return EADDRNOTAVAIL;
	leg->listener = (unsigned)(listener - leg->endpoint->options->listeners);
	write_host(&host, listener, local);
	leg->port = port_of(&listener->bound);
	if (listener->per_worker_ports)
		leg->port = (uint16_t)(leg->port + worker->index);
	write_uri(&uri, leg, buffer_slice(&host));
	assert(!host.overflow && !uri.overflow); /* msrp_listener.advertise bounds it */
	leg->host = malloc(host.n + 1 + uri.n);
	if (!leg->host)
		return ENOMEM;
	memcpy(leg->host, host.p, host.n);
	leg->host[host.n] = '\0';
	leg->uri = leg->host + host.n + 1;
	memcpy(leg->uri, uri.p, uri.n);
	leg->uri_n = (uint16_t)uri.n;
	return 0;
}

struct slice msrp_leg_uri(const struct msrp_leg *leg)
{
	return msrp_leg_uri_slice(leg);
}

uint16_t msrp_leg_port(const struct msrp_leg *leg)
{
	return leg->port;
}

const char *msrp_leg_host(const struct msrp_leg *leg)
{
	return leg->host;
}
