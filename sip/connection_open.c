/*
 * SIP connections are made: accepted, or opened for a request or an answer.
 */
#include "sip/connection_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "core/peer_count.h"
#include "core/tls.h"

static struct sip_connection *connection_make(struct sip_layer *layer)
{
	struct sip_connection *c = pool_take(&layer->connections);

	if (!c)
		return NULL;
	c->layer = layer;
	c->next = layer->all;
	c->link = &layer->all;
	if (c->next)
		c->next->link = &c->next;
	layer->all = c;
	return c;
}

static void connection_unmake(struct sip_connection *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	pool_give(&c->layer->connections, c);
}

/* Counts it unless its address has too many that said nothing valid yet. */
static bool has_room(struct sip_layer *layer, const struct sockaddr_storage *peer, unsigned *bucket)
{
	unsigned max = layer->options->limits.conns_per_ip;

	if (layer->options->is_trusted && layer->options->is_trusted(layer->worker, (const struct sockaddr *)peer))
		max = 0;
	return peer_count_enter(peer, max, bucket);
}

/* TLS of a new stream.  False: no memory, or nothing to verify the peer by. */
static bool secure(struct sip_connection *c, struct tls *tls)
{
	const struct limits_options *limits = &c->layer->options->limits;

	if (tls && stream_secure(c->stream, tls, limits->unbound_ms) == 0)
		return true;
	tls_free(tls);
	return false;
}

void sip_connection_accepted(struct sip_layer *layer, unsigned listener, int fd)
{
	struct ring *ring = layer->worker->ring;
	struct sockaddr_storage peer;
	struct sip_connection *c;
	unsigned bucket;

	if (ring->ops->peer_address(ring, fd, &peer) != 0 || !has_room(layer, &peer, &bucket)) {
		REFUSED(&layer->worker->counters, REASON_CONNECTION_LIMIT);
		ring->ops->close(ring, fd);
		return;
	}
	c = connection_make(layer);
	struct stream *stream = c ? stream_adopt(layer->worker, fd, &sip_connection_events, c) : NULL;
	if (!stream) {
		if (c)
			connection_unmake(c);
		REFUSED(&layer->worker->counters, REASON_POOL_EXHAUSTED);
		peer_count_leave(bucket);
		ring->ops->close(ring, fd);
		return;
	}
	const struct sip_listener *l = &layer->options->listeners[listener];
	c->stream = stream;
	c->protocol = l->proto == LISTEN_TLS ? SIP_TLS : SIP_TCP;
	c->listener = (uint8_t)listener;
	c->bucket = bucket;
	c->is_connected = true;
	if (c->protocol == SIP_TLS && !secure(c, tls_accept(layer->worker->tls, l->tls, TLS_SIP))) {
		sip_connection_give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	COUNT(&layer->worker->counters, sip_connections_accepted);
	worker_arm(layer->worker, &c->stall, FIRST_MESSAGE_MS, sip_connection_on_stall);
	stream_set_receive(stream, STREAM_MULTISHOT);
}

/* The name that a server must prove with its certificate. */
static struct tls *client_tls(struct sip_layer *layer, const struct sip_target *target)
{
	char text[INET6_ADDRSTRLEN];
	struct slice host;
	uint16_t port;

	sip_flow_source(&target->flow, text, sizeof(text), &host, &port);
	return layer->worker->tls ? tls_connect(layer->worker->tls, TLS_SIP, target->name ? target->name : text) : NULL;
}

static struct sip_connection *connection_open(struct sip_layer *layer, const struct sip_target *target)
{
	struct sip_connection *c = connection_make(layer), **chain = sip_connection_chain(layer, &target->flow.peer);
	enum listen_proto proto = target->flow.protocol == SIP_TLS ? LISTEN_TLS : LISTEN_TCP;
	struct sockaddr_storage address;

	if (!c)
		return NULL;
	sip_flow_get_peer(&target->flow, &address);
	c->stream = stream_connect(layer->worker, &address, &sip_connection_events, c);
	if (!c->stream) {
		connection_unmake(c);
		return NULL;
	}
	if (target->flow.protocol == SIP_TLS && !secure(c, client_tls(layer, target))) {
		LOG(WARN, layer->worker, "sip", 0, "cannot-connect reason=%s error=\"no tls entry with ca, or no memory\"",
			reason_label(REASON_CONNECT_FAILED));
		REFUSED(&layer->worker->counters, REASON_CONNECT_FAILED);
		stream_close(c->stream, true);
		connection_unmake(c);
		return NULL;
	}
	c->protocol = target->flow.protocol;
	c->name = target->name;
	c->is_outgoing = c->is_bound = c->has_spoken = true;
	c->opened_next = *chain;
	*chain = c;
	for (unsigned i = layer->options->listener_count; i-- > 0;)
		if (layer->options->listeners[i].proto == proto)
			c->listener = (uint8_t)i;
	c->used_ms = worker_now_ms(layer->worker);
	worker_arm(layer->worker, &c->idle, IDLE_MS, sip_connection_on_idle);
	sip_connection_hurry(c, CONNECT_MS);
	COUNT(&layer->worker->counters, sip_connections_opened);
	return c;
}

static bool same_name(const char *a, const char *b)
{
	return a == b || (a && b && strcasecmp(a, b) == 0);
}

static struct sip_connection *find_opened(struct sip_layer *layer, const struct sip_target *target)
{
	for (struct sip_connection *c = *sip_connection_chain(layer, &target->flow.peer); c; c = c->opened_next)
		if (!c->is_lost && !c->is_half_closed && c->protocol == target->flow.protocol &&
		    net_address_equal(&c->stream->peer, &target->flow.peer) &&
		    (c->protocol != SIP_TLS || same_name(c->name, target->name)))
			return c;
	return NULL;
}

struct sip_connection *sip_connection_to(struct sip_layer *layer, const struct sip_target *target)
{
	if (target->flow.protocol == SIP_UDP || layer->is_stopping)
		return NULL;
	struct sip_connection *c = find_opened(layer, target);
	if (!c)
		return connection_open(layer, target);
	sip_connection_leave_count(c);
	return c;
}

struct sip_connection *sip_connection_to_answer(struct sip_layer *layer, enum sip_protocol protocol,
	const struct sockaddr_storage *address)
{
	struct sip_target target = { .flow.protocol = (uint8_t)protocol };
	unsigned bucket;

	if (protocol == SIP_UDP || layer->is_stopping)
		return NULL;
	sip_flow_set_peer(&target.flow, address);
	struct sip_connection *c = find_opened(layer, &target);
	if (c)
		return c;
	if (!has_room(layer, address, &bucket)) {
		REFUSED(&layer->worker->counters, REASON_CONNECTION_LIMIT);
		return NULL;
	}
	c = connection_open(layer, &target);
	if (!c) {
		peer_count_leave(bucket);
		return NULL;
	}
	c->bucket = bucket;
	c->is_bound = c->has_spoken = false;
	return c;
}
