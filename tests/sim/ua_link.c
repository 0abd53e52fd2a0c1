/* Sockets of the clients: connections, listeners, datagrams, and their completions. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

#define IN_MAX (4 * 1024 * 1024)

enum { TOKEN_ACCEPT = 1, TOKEN_CONNECT, TOKEN_RECV, TOKEN_SEND, TOKEN_DATAGRAM, TOKEN_DATAGRAM_SENT };

struct datagram {
	struct ua *ua;
	struct msghdr header;
	struct iovec iovec;
	struct sockaddr_in to;
	char octets[];
};

static ring_token token_of(const struct link *link, unsigned kind)
{
	return ring_token_of(kind, link->slot, 1);
}

void ua_wake(struct ua_host *host)
{
	host->ring->ops->wake(host->ring);
}

/* ---- making ---- */

static struct link *link_new(struct ua_host *host, struct ua *ua, int fd)
{
	struct link *link = ua_alloc(sizeof(*link));

	if (fd < 0)
		world_fail(host->world, "a client gets no socket: %s", strerror(-fd));
	*link = (struct link){ .host = host, .ua = ua, .fd = fd, .slot = host->link_count };
	host->links = realloc(host->links, ++host->link_count * sizeof(link));
	assert(host->links);
	host->links[link->slot] = link;
	return link;
}

struct link *ua_link_connect(struct ua *ua, const struct sockaddr_storage *to, bool is_msrp)
{
	struct ring *ring = ua->host->ring;
	struct link *link = link_new(ua->host, ua, ring->ops->open_stream(ring, AF_INET));

	link->is_msrp = is_msrp;
	link->is_connecting = true;
	link->to = *to;
	ring->ops->connect(ring, link->fd, (const struct sockaddr *)&link->to, token_of(link, TOKEN_CONNECT));
	return link;
}

struct link *ua_link_listen(struct ua *ua, uint16_t *port)
{
	struct sockaddr_storage any = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&any;
	struct ring *ring = ua->host->ring;

	*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct link *link = link_new(ua->host, ua, ring->ops->open_listener(ring, &any));
	link->is_listener = link->is_msrp = true;
	link->is_receiving = true;
	ring->ops->local_address(ring, link->fd, &any);
	*port = ntohs(v4->sin_port);
	ring->ops->accept(ring, link->fd, token_of(link, TOKEN_ACCEPT));
	return link;
}

/* ---- reading and writing ---- */

void ua_link_read(struct link *link)
{
	struct ring *ring = link->host->ring;

	if (!link->is_connected || link->is_receiving || link->is_paused || link->is_closing || link->is_dead ||
	    link->read_at_us)
		return;
	link->is_receiving = true;
	ring->ops->recv(ring, link->fd, false, token_of(link, TOKEN_RECV));
}

static void send_flight(struct link *link)
{
	struct ring *ring = link->host->ring;

	link->is_sending = true;
	ring->ops->send(ring, link->fd, link->flight + link->flight_at, link->flight_n - link->flight_at,
		token_of(link, TOKEN_SEND));
}

static void flush(struct link *link)
{
	if (!link->is_connected || link->is_sending || link->is_closing || link->is_dead || link->out_n == 0)
		return;
	free(link->flight);
	link->flight = link->out;
	link->flight_n = link->out_n;
	link->flight_at = 0;
	link->out = NULL;
	link->out_n = link->out_size = 0;
	send_flight(link);
}

static void append(char **to, size_t *n, size_t *size, struct slice octets)
{
	if (*n + octets.n > *size) {
		*size = 2 * (*n + octets.n);
		*to = realloc(*to, *size);
		assert(*to);
	}
	memcpy(*to + *n, octets.p, octets.n);
	*n += octets.n;
}

void ua_link_write(struct link *link, struct slice octets)
{
	if (link->is_closing || link->is_dead || octets.n == 0)
		return;
	append(&link->out, &link->out_n, &link->out_size, octets);
	flush(link);
}

/* ---- ending ---- */

static void close_if_idle(struct link *link)
{
	struct ring *ring = link->host->ring;

	if (!link->is_closing || link->fd < 0 || link->is_connecting || link->is_receiving || link->is_sending)
		return;
	ring->ops->close(ring, link->fd);
	link->fd = -1;
}

void ua_link_close(struct link *link)
{
	struct ring *ring = link->host->ring;

	if (link->is_closing)
		return;
	link->is_closing = link->is_dead = true;
	if (link->is_connecting)
		ring->ops->cancel(ring, token_of(link, TOKEN_CONNECT));
	if (link->is_receiving)
		ring->ops->cancel(ring, token_of(link, link->is_listener ? TOKEN_ACCEPT : TOKEN_RECV));
	if (link->is_sending)
		ring->ops->cancel(ring, token_of(link, TOKEN_SEND));
	close_if_idle(link);
	ua_wake(link->host);
}

static void lost(struct link *link)
{
	if (link->is_dead)
		return;
	link->is_dead = true;
	if (link->is_msrp)
		ua_msrp_lost(link);
	else if (!link->ua->is_noise)
		ua_sip_lost(link->ua);
	ua_link_close(link);
}

/* ---- completions ---- */

static void on_accept(struct link *listener, const struct ring_completion *c)
{
	struct ua_host *host = listener->host;

	if (c->result >= 0 && listener->is_closing) {
		host->ring->ops->close(host->ring, c->result);
	} else if (c->result >= 0) {
		struct link *link = link_new(host, listener->ua, c->result);
		link->is_msrp = link->is_connected = true;
		link->is_raw = listener->ua->manners.is_raw;
		ua_link_read(link);
	}
	if (c->more)
		return;
	listener->is_receiving = false;
	if (!listener->is_closing)
		world_fail(host->world, "a client's listener ended: %s", strerror(-c->result));
	close_if_idle(listener);
}

static void on_connect(struct link *link, const struct ring_completion *c)
{
	link->is_connecting = false;
	if (link->is_closing) {
		close_if_idle(link);
	} else if (c->result < 0) {
		lost(link);
	} else {
		link->is_connected = true;
		if (link->is_msrp)
			ua_msrp_connected(link);
		flush(link);
		ua_link_read(link);
	}
}

static void take(struct link *link, struct slice octets)
{
	if (link->ua->is_noise || link->is_garbled)
		return;
	append(&link->in, &link->in_n, &link->in_size, octets);
	if (link->in_n > IN_MAX)
		world_fail(link->host->world, "the server sends without end");
	if (link->is_raw)
		return;
	if (link->is_msrp)
		ua_msrp_octets(link);
	else
		ua_sip_octets(link);
}

static void on_recv(struct link *link, const struct ring_completion *c)
{
	link->is_receiving = false;
	if (c->result > 0 && !link->is_dead)
		take(link, c->data);
	if (c->block)
		block_release(c->block);
	if (link->is_closing) {
		close_if_idle(link);
	} else if (c->result == -ENOBUFS) {
		link->read_at_us = ua_now_us(link->host) + 1000;
	} else if (c->result <= 0) {
		lost(link);
	} else {
		ua_link_read(link);
	}
}

static void on_sent(struct link *link, const struct ring_completion *c)
{
	link->is_sending = false;
	if (link->is_closing) {
		close_if_idle(link);
		return;
	}
	if (c->result < 0) {
		lost(link);
		return;
	}
	link->flight_at += (size_t)c->result;
	if (link->flight_at < link->flight_n)
		send_flight(link);
	else
		flush(link);
}

static struct ua *udp_owner(struct ua_host *host, unsigned index)
{
	struct ua *ua = host->uas;

	while (ua && index--)
		ua = ua->next;
	return ua;
}

static unsigned index_of(const struct ua *ua)
{
	unsigned index = 0;

	for (struct ua *u = ua->host->uas; u != ua; u = u->next)
		index++;
	return index;
}

static void receive_datagrams(struct ua *ua)
{
	struct ring *ring = ua->host->ring;

	private_of(ua)->is_receiving = true;
	ring->ops->recvmsg(ring, private_of(ua)->udp, ring_token_of(TOKEN_DATAGRAM, index_of(ua), 1));
}

static void close_udp_if_idle(struct ua_private *p)
{
	struct ring *ring = p->ua.host->ring;

	if (p->udp < 0 || p->is_receiving || p->sending)
		return;
	ring->ops->close(ring, p->udp);
	p->udp = -1;
}

static void on_datagram(struct ua_host *host, const struct ring_completion *c)
{
	struct ua *ua = udp_owner(host, ring_token_slot(c->token));
	struct ua_private *p = private_of(ua);

	if (c->block) {
		if (!host->has_left && !ua->is_noise)
			ua_sip_datagram(ua, c->data);
		block_release(c->block);
	}
	if (c->more)
		return;
	p->is_receiving = false;
	if (host->has_left)
		close_udp_if_idle(p);
	else
		receive_datagrams(ua);
}

static void on_datagram_sent(struct ua_host *host, uint32_t slot)
{
	struct ua_private *p = private_of(host->datagrams[slot]->ua);

	free(host->datagrams[slot]);
	host->datagrams[slot] = NULL;
	p->sending--;
	if (host->has_left)
		close_udp_if_idle(p);
}

static void on_completion(struct ua_host *host, const struct ring_completion *c)
{
	uint32_t slot = ring_token_slot(c->token);

	switch (ring_token_kind(c->token)) {
	case TOKEN_ACCEPT:
		on_accept(host->links[slot], c);
		break;
	case TOKEN_CONNECT:
		on_connect(host->links[slot], c);
		break;
	case TOKEN_RECV:
		on_recv(host->links[slot], c);
		break;
	case TOKEN_SEND:
		on_sent(host->links[slot], c);
		break;
	case TOKEN_DATAGRAM:
		on_datagram(host, c);
		break;
	case TOKEN_DATAGRAM_SENT:
		on_datagram_sent(host, slot);
		break;
	default:
		world_fail(host->world, "a client gets a completion of no kind");
	}
}

/* ---- UDP ---- */

void ua_udp_open(struct ua *ua)
{
	struct sockaddr_storage any = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&any;
	struct ua_private *p = private_of(ua);
	struct ring *ring = ua->host->ring;

	*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	p->udp = ring->ops->open_udp(ring, &any);
	assert(p->udp >= 0);
	ring->ops->local_address(ring, p->udp, &any);
	p->udp_port = ntohs(v4->sin_port);
	receive_datagrams(ua);
}

void ua_udp_write(struct ua *ua, struct slice octets)
{
	struct ua_host *host = ua->host;
	struct datagram *d = ua_alloc(sizeof(*d) + octets.n);
	struct sockaddr_storage to;
	unsigned slot = 0;

	world_sip_address(host->world, false, &to);
	memcpy(&d->to, &to, sizeof(d->to));
	memcpy(d->octets, octets.p, octets.n);
	d->iovec = (struct iovec){ d->octets, octets.n };
	d->header = (struct msghdr){ .msg_name = &d->to, .msg_namelen = sizeof(d->to), .msg_iov = &d->iovec,
		.msg_iovlen = 1 };
	while (slot < host->datagram_count && host->datagrams[slot])
		slot++;
	if (slot == host->datagram_count) {
		host->datagrams = realloc(host->datagrams, ++host->datagram_count * sizeof(d));
		assert(host->datagrams);
	}
	host->datagrams[slot] = d;
	d->ua = ua;
	private_of(ua)->sending++;
	host->ring->ops->sendmsg(host->ring, private_of(ua)->udp, &d->header,
		ring_token_of(TOKEN_DATAGRAM_SENT, slot, 1));
}

/* ---- connections of the scenario ---- */

struct link *ua_raw_connect(struct ua *ua)
{
	struct link *link = ua_link_connect(ua, &world_of(ua)->im.msrp.listeners[0].bound, true);

	link->is_raw = true;
	return link;
}

struct link *ua_raw_accepted(struct ua *ua)
{
	struct link *found = NULL;

	for (unsigned i = 0; i < ua->host->link_count; i++)
		if (ua->host->links[i]->ua == ua && ua->host->links[i]->is_raw)
			found = ua->host->links[i];
	return found;
}

/* ---- the turn ---- */

static uint64_t due_us(const struct ua_host *host)
{
	uint64_t due = ua_sip_due_us(host);

	for (unsigned i = 0; i < host->link_count; i++)
		if (host->links[i]->read_at_us && host->links[i]->read_at_us < due)
			due = host->links[i]->read_at_us;
	for (struct call *call = host->calls; call; call = call->next)
		if (ua_call_due_us(call) < due)
			due = ua_call_due_us(call);
	return host->has_left ? UINT64_MAX : due;
}

static void run_due(struct ua_host *host)
{
	uint64_t now_us = ua_now_us(host);

	for (unsigned i = 0; i < host->link_count; i++) {
		if (host->links[i]->read_at_us && host->links[i]->read_at_us <= now_us) {
			host->links[i]->read_at_us = 0;
			ua_link_read(host->links[i]);
		}
	}
	for (struct call *call = host->calls; call; call = call->next)
		ua_call_run(call);
	ua_sip_run(host);
}

void ua_turn(struct ua_host *host)
{
	struct ring_completion completions[16];
	uint64_t due = due_us(host), now_us = ua_now_us(host);
	unsigned n = host->ring->ops->turn(host->ring, completions, 16,
		due == UINT64_MAX ? UINT64_MAX : due > now_us ? due - now_us : 0);

	for (unsigned i = 0; i < n; i++)
		on_completion(host, &completions[i]);
	if (!host->has_left)
		run_due(host);
}

/* ---- leaving ---- */

void ua_leave(struct ua_host *host)
{
	host->has_left = true;
	for (unsigned i = 0; i < host->link_count; i++)
		ua_link_close(host->links[i]);
	for (struct ua *ua = host->uas; ua; ua = ua->next)
		if (private_of(ua)->udp >= 0)
			host->ring->ops->cancel(host->ring, ring_token_of(TOKEN_DATAGRAM, index_of(ua), 1));
	ua_wake(host);
}

unsigned ua_descriptors(struct ua_host *host)
{
	unsigned n = 0;

	for (unsigned i = 0; i < host->link_count; i++)
		n += host->links[i]->fd >= 0;
	for (struct ua *ua = host->uas; ua; ua = ua->next)
		n += private_of(ua)->udp >= 0;
	return n;
}

void ua_links_free(struct ua_host *host)
{
	for (unsigned i = 0; i < host->link_count; i++) {
		free(host->links[i]->in);
		free(host->links[i]->out);
		free(host->links[i]->flight);
		free(host->links[i]);
	}
	for (unsigned i = 0; i < host->datagram_count; i++)
		free(host->datagrams[i]);
	free(host->links);
	free(host->datagrams);
}
