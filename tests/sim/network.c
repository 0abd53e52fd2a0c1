#include "tests/sim/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG_MAX 4096
#define DATAGRAMS_MAX 4096      /* the receive buffer of a UDP socket */
#define SEGMENT_MAX 16384
#define SMALL_SEGMENT_MAX 8
#define SPIKE_FACTOR 50
#define FIRST_PORT 40000

enum event_kind {
	EVENT_SYN,         /* the connect request arrives where a listener may be */
	EVENT_ESTABLISHED, /* and its answer at the client                        */
	EVENT_REFUSED,
	EVENT_TIMED_OUT,
	EVENT_SEGMENT,     /* octets up to `offset` can be read                   */
	EVENT_END,
	EVENT_RESET,
	EVENT_DATAGRAM,
};

struct network_event {
	uint64_t at_us, sequence;
	enum event_kind kind;
	struct network_socket *socket; /* a reference */
	uint64_t offset;
	struct network_datagram *datagram;
};

static void *must(void *p)
{
	if (!p)
		abort(); /* a simulator without memory proves nothing */
	return p;
}

/* ---- events ---- */

static bool is_earlier(const struct network_event *a, const struct network_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->sequence < b->sequence;
}

static void event_add(struct network *net, struct network_event event)
{
	size_t at = net->events_count++;

	if (net->events_count > net->events_size) {
		net->events_size = net->events_size ? net->events_size * 2 : 64;
		net->events = must(realloc(net->events, net->events_size * sizeof(event)));
	}
	event.sequence = net->sequence++;
	event.socket->references++;
	for (; at > 0 && is_earlier(&event, &net->events[(at - 1) / 2]); at = (at - 1) / 2)
		net->events[at] = net->events[(at - 1) / 2];
	net->events[at] = event;
}

static struct network_event event_take(struct network *net)
{
	struct network_event first = net->events[0], last = net->events[--net->events_count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < net->events_count) {
		if (child + 1 < net->events_count &&
		    is_earlier(&net->events[child + 1], &net->events[child]))
			child++;
		if (!is_earlier(&net->events[child], &last))
			break;
		net->events[at] = net->events[child];
		at = child;
	}
	net->events[at] = last;
	return first;
}

static uint64_t latency_us(struct network *net)
{
	const struct sim_options *o = sim_settings(net->sim);
	uint64_t us = o->latency_min_us +
		      sim_random_below(net->sim, o->latency_max_us - o->latency_min_us + 1);

	return sim_chance(net->sim, o->spike) ? us * SPIKE_FACTOR : us;
}

/* The time at which something sent to `s` now arrives: after all that was sent before. */
static uint64_t arrival_us(struct network *net, struct network_socket *s)
{
	uint64_t at = net->now_us + latency_us(net);

	if (at <= s->in.last_arrival_us)
		at = s->in.last_arrival_us + 1;
	return s->in.last_arrival_us = at;
}

static void send_event(struct network *net, struct network_socket *to, enum event_kind kind)
{
	event_add(net, (struct network_event){ .at_us = arrival_us(net, to), .kind = kind, .socket = to });
}

/* A reset does not queue behind what is on the way; it may overtake and so lose it. */
static void send_reset(struct network *net, struct network_socket *to)
{
	event_add(net, (struct network_event){ .at_us = net->now_us + latency_us(net),
		.kind = EVENT_RESET, .socket = to });
}

/* ---- sockets ---- */

static struct network_socket *socket_new(struct network *net, enum network_kind kind)
{
	struct network_socket *s = must(calloc(1, sizeof(*s)));
	const struct sim_options *o = sim_settings(net->sim);

	s->kind = kind;
	s->fd = -1;
	s->references = 1;
	s->last = &s->first;
	if (kind == NETWORK_STREAM) {
		s->in.room = o->stream_room_min +
			     sim_random_below(net->sim, o->stream_room_max - o->stream_room_min + 1);
		s->in.octets = must(malloc(s->in.room));
	}
	return s;
}

static void socket_release(struct network_socket *s)
{
	struct network_datagram *d;

	if (--s->references)
		return;
	while ((d = network_datagram(s)))
		free(d);
	free(s->in.octets);
	free(s->backlog);
	free(s);
}

static int give_descriptor(struct network *net, struct network_socket *s)
{
	const struct sim_options *o = sim_settings(net->sim);
	size_t at = 0;

	if (o->descriptors_max && net->open >= o->descriptors_max)
		return -EMFILE;
	while (at < net->sockets_size && net->sockets[at])
		at++; /* the lowest one, as the kernel: numbers come back soon */
	if (at == net->sockets_size) {
		net->sockets_size = at ? at * 2 : 64;
		net->sockets = must(realloc(net->sockets, net->sockets_size * sizeof(*net->sockets)));
		memset(net->sockets + at, 0, (net->sockets_size - at) * sizeof(*net->sockets));
	}
	net->sockets[at] = s;
	net->open++;
	return s->fd = NETWORK_FIRST_FD + (int)at;
}

struct network_socket *network_find(struct network *net, int fd)
{
	size_t at = (size_t)(fd - NETWORK_FIRST_FD);

	return fd >= NETWORK_FIRST_FD && at < net->sockets_size ? net->sockets[at] : NULL;
}

static void changed(struct network *net, struct network_socket *s)
{
	if (!s->is_closed && s->fd >= 0)
		net->on_change(s);
}

/* ---- addresses ---- */

static uint16_t *port_in(struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? &((struct sockaddr_in *)a)->sin_port :
					 &((struct sockaddr_in6 *)a)->sin6_port;
}

static bool is_wildcard(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static bool is_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a, *b4 = (const struct sockaddr_in *)b;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a, *b6 = (const struct sockaddr_in6 *)b;

	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

static bool listens_at(struct network_socket *s, struct sockaddr_storage *to)
{
	return s->local.ss_family == to->ss_family && *port_in(&s->local) == *port_in(to) &&
	       (is_wildcard(&s->local) || is_same_host(&s->local, to));
}

static struct sockaddr_storage loopback(int family)
{
	struct sockaddr_storage a = { .ss_family = (sa_family_t)family };

	if (family == AF_INET)
		((struct sockaddr_in *)&a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_loopback;
	return a;
}

static void choose_port(struct network *net, struct sockaddr_storage *a)
{
	if (*port_in(a) == 0) {
		if (net->next_port < FIRST_PORT)
			net->next_port = FIRST_PORT;
		*port_in(a) = htons(net->next_port++);
	}
}

/* A random member of the group that `kind` sockets at this address form, or NULL.  Without
 * spread_udp() one source always reaches the same one, as with the kernel's hash. */
static struct network_socket *member(struct network *net, enum network_kind kind,
				     struct sockaddr_storage *to, struct sockaddr_storage *from)
{
	unsigned count = 0, wanted;
	bool is_spread = kind == NETWORK_LISTENER;
	size_t i;

	for (i = 0; i < net->sockets_size; i++) {
		struct network_socket *s = net->sockets[i];
		if (s && s->kind == kind && listens_at(s, to)) {
			count++;
			is_spread |= s->is_spread;
		}
	}
	if (count == 0)
		return NULL;
	wanted = is_spread ? sim_random_below(net->sim, count) : *port_in(from) % count;
	for (i = 0;; i++) {
		struct network_socket *s = net->sockets[i];
		if (s && s->kind == kind && listens_at(s, to) && wanted-- == 0)
			return s;
	}
}

/* ---- opening, connecting, closing ---- */

int network_open(struct network *net, enum network_kind kind, const struct sockaddr_storage *bind)
{
	struct network_socket *s;
	int fd;

	if (bind->ss_family != AF_INET && bind->ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	s = socket_new(net, kind);
	fd = give_descriptor(net, s);
	if (fd < 0) {
		socket_release(s);
		return fd;
	}
	s->local = *bind;
	if (kind != NETWORK_STREAM)
		choose_port(net, &s->local);
	return fd;
}

int network_connect(struct network *net, struct network_socket *s, const struct sockaddr *to)
{
	struct network_event event = { .socket = s, .kind = EVENT_SYN };

	if (to->sa_family != s->local.ss_family)
		return -EAFNOSUPPORT;
	if (s->state != STATE_FRESH)
		return -EISCONN;
	s->local = loopback(to->sa_family);
	choose_port(net, &s->local);
	memset(&s->peer, 0, sizeof(s->peer));
	memcpy(&s->peer, to, to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	s->state = STATE_CONNECTING;
	event.at_us = net->now_us + latency_us(net);
	if (sim_chance(net->sim, sim_settings(net->sim)->connect_timeout)) {
		event.kind = EVENT_TIMED_OUT;
		event.at_us = net->now_us + SIM_CONNECT_TIMEOUT_US;
	}
	event_add(net, event);
	return -EINPROGRESS;
}

int network_connected(struct network_socket *s)
{
	int err = s->err;

	switch (s->state) {
	case STATE_CONNECTED:
		return 0;
	case STATE_FAILED:
		s->err = 0;
		s->state = STATE_FRESH;
		return -err;
	case STATE_FRESH:
	case STATE_CONNECTING:
		break;
	}
	return -EAGAIN;
}

int network_accept(struct network *net, struct network_socket *s)
{
	int fd;

	if (s->backlog_count == 0)
		return -EAGAIN;
	fd = give_descriptor(net, s->backlog[0]);
	if (fd >= 0)
		memmove(s->backlog, s->backlog + 1, --s->backlog_count * sizeof(*s->backlog));
	return fd;
}

/* Both ends closed: they need not know each other any more. */
static void part(struct network_socket *s)
{
	struct network_socket *other = s->other;

	if (other && other->is_closed && s->is_closed) {
		s->other = other->other = NULL;
		socket_release(s);
		socket_release(other);
	}
}

static void close_stream(struct network *net, struct network_socket *s)
{
	s->is_closed = true;
	if (s->other && !s->other->is_closed && !s->was_reset) {
		/* TCP tells the sender of octets that nobody will read; for those that are still
		 * on the way it does so when they arrive. */
		if (s->in.arrived > s->in.read || s->fd < 0)
			send_reset(net, s->other);
		else
			send_event(net, s->other, EVENT_END);
		changed(net, s->other); /* what it has to send now vanishes: room enough */
	}
	part(s);
}

void network_close(struct network *net, struct network_socket *s)
{
	if (s->kind == NETWORK_STREAM)
		close_stream(net, s);
	s->is_closed = true;
	for (size_t i = 0; i < s->backlog_count; i++) {
		close_stream(net, s->backlog[i]);
		socket_release(s->backlog[i]);
	}
	s->backlog_count = 0;
	net->sockets[s->fd - NETWORK_FIRST_FD] = NULL;
	net->open--;
	s->fd = -1;
	socket_release(s);
}

void network_reset(struct network *net, struct network_socket *s)
{
	send_reset(net, s);
	if (s->other)
		send_reset(net, s->other);
}

/* ---- streams ---- */

bool network_is_readable(const struct network_socket *s)
{
	if (s->kind == NETWORK_UDP)
		return s->first;
	return s->in.arrived > s->in.read || s->err || s->is_broken || s->in.has_end;
}

static void pipe_copy_out(struct network_pipe *in, char *to, size_t n)
{
	size_t at = in->read % in->room, first = n < in->room - at ? n : in->room - at;

	memcpy(to, in->octets + at, first);
	memcpy(to + first, in->octets, n - first);
	in->read += n;
}

static void pipe_copy_in(struct network_pipe *in, const char *from, size_t n)
{
	size_t at = in->written % in->room, first = n < in->room - at ? n : in->room - at;

	memcpy(in->octets + at, from, first);
	memcpy(in->octets, from + first, n - first);
	in->written += n;
}

static int report(struct network_socket *s)
{
	int err = s->err;

	s->err = 0;
	s->is_broken = true;
	return -err;
}

ssize_t network_read(struct network *net, struct network_socket *s, void *p, size_t n)
{
	size_t there = (size_t)(s->in.arrived - s->in.read);

	if (s->state != STATE_CONNECTED)
		return -ENOTCONN;
	if (there == 0)
		return s->err ? report(s) : s->in.has_end || s->is_broken ? 0 : -EAGAIN;
	if (n > there)
		n = there;
	if (n > 1 && sim_chance(net->sim, sim_settings(net->sim)->short_read))
		n = 1 + sim_random_below(net->sim, (unsigned)n - 1);
	pipe_copy_out(&s->in, p, n);
	if (s->other)
		changed(net, s->other); /* has room now */
	return (ssize_t)n;
}

/* What was written arrives in pieces. */
static void send_segments(struct network *net, struct network_socket *to, uint64_t from)
{
	const struct sim_options *o = sim_settings(net->sim);

	while (from < to->in.written) {
		uint64_t left = to->in.written - from;
		unsigned most = left > SEGMENT_MAX ? SEGMENT_MAX : (unsigned)left;
		if (o->is_whole)
			from = to->in.written;
		else if (sim_chance(net->sim, o->small_segment))
			from += 1 + sim_random_below(net->sim, most < SMALL_SEGMENT_MAX ? most : SMALL_SEGMENT_MAX);
		else
			from += most / 2 + 1 + (most > 1 ? sim_random_below(net->sim, most - most / 2) : 0);
		if (from > to->in.written)
			from = to->in.written;
		event_add(net, (struct network_event){ .at_us = arrival_us(net, to),
			.kind = EVENT_SEGMENT, .socket = to, .offset = from });
	}
}

/* How much of the n octets is taken now. */
static size_t take_octets(struct network *net, size_t n, size_t room)
{
	if (n > room)
		n = room;
	if (n > 1 && sim_chance(net->sim, sim_settings(net->sim)->short_write))
		n = 1 + sim_random_below(net->sim, (unsigned)n - 1);
	return n;
}

ssize_t network_write(struct network *net, struct network_socket *s, const struct iovec *v, size_t count)
{
	struct network_socket *to = s->other;
	size_t n = 0, left, room;
	uint64_t from;

	for (size_t i = 0; i < count; i++)
		n += v[i].iov_len;
	if (s->err)
		return report(s);
	if (s->is_broken || s->state != STATE_CONNECTED)
		return -EPIPE;
	if (sim_chance(net->sim, sim_settings(net->sim)->reset))
		network_reset(net, s);
	if (!to || to->is_closed) { /* taken, and refused when it arrives */
		send_reset(net, s);
		return (ssize_t)n;
	}
	if (n == 0)
		return 0;
	if (to->was_reset)
		return (ssize_t)n; /* and our own reset is on the way */
	room = to->in.room - (size_t)(to->in.written - to->in.read);
	if (room < n && room < to->in.room / 3)
		return -EAGAIN; /* as the kernel: else pieces get smaller and smaller */
	n = left = take_octets(net, n, room);
	from = to->in.written;
	for (size_t i = 0; left; i++) {
		size_t part_octets = v[i].iov_len < left ? v[i].iov_len : left;
		pipe_copy_in(&to->in, v[i].iov_base, part_octets);
		left -= part_octets;
	}
	send_segments(net, to, from);
	return (ssize_t)n;
}

/* ---- datagrams ---- */

struct network_datagram *network_datagram(struct network_socket *s)
{
	struct network_datagram *d = s->first;

	if (d) {
		s->first = d->next;
		s->datagrams--;
		if (!s->first)
			s->last = &s->first;
	}
	return d;
}

static void post_datagram(struct network *net, struct network_socket *to, struct network_datagram *d)
{
	uint64_t at = net->now_us + latency_us(net);

	if (sim_chance(net->sim, sim_settings(net->sim)->udp_reorder)) {
		at += latency_us(net); /* what is sent meanwhile overtakes it */
		net->datagrams_overtaken++;
	} else {
		if (at <= to->last_arrival_us)
			at = to->last_arrival_us + 1;
		to->last_arrival_us = at;
	}
	event_add(net, (struct network_event){ .at_us = at, .kind = EVENT_DATAGRAM, .socket = to, .datagram = d });
}

static struct network_datagram *datagram_new(const struct msghdr *m, struct sockaddr_storage from, size_t n)
{
	struct network_datagram *d = must(calloc(1, sizeof(*d) + n));
	size_t at = 0;

	d->from = from;
	d->n = n;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (m->msg_iov[i].iov_len)
			memcpy(d->octets + at, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
		at += m->msg_iov[i].iov_len;
	}
	return d;
}

ssize_t network_send_datagram(struct network *net, struct network_socket *s, const struct msghdr *m)
{
	const struct sim_options *o = sim_settings(net->sim);
	struct sockaddr_storage destination = { 0 }, from = s->local;
	struct network_socket *to;
	size_t n = 0;

	if (!m->msg_name)
		return -EDESTADDRREQ;
	memcpy(&destination, m->msg_name, m->msg_namelen < sizeof(destination) ? m->msg_namelen : sizeof(destination));
	if (destination.ss_family != s->local.ss_family)
		return -EAFNOSUPPORT;
	for (size_t i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	if (n > 65507)
		return -EMSGSIZE;
	if (is_wildcard(&from)) {
		from = loopback(from.ss_family);
		*port_in(&from) = *port_in(&s->local);
	}
	to = member(net, NETWORK_UDP, &destination, &from);
	if (!to) {
		net->datagrams_unheard++;
	} else if (sim_chance(net->sim, o->udp_loss)) {
		net->datagrams_lost++;
	} else {
		post_datagram(net, to, datagram_new(m, from, n));
		if (sim_chance(net->sim, o->udp_duplicate)) {
			net->datagrams_doubled++;
			post_datagram(net, to, datagram_new(m, from, n));
		}
	}
	return (ssize_t)n;
}

/* ---- what arrives ---- */

static void on_syn(struct network *net, struct network_socket *client)
{
	struct network_socket *listener = member(net, NETWORK_LISTENER, &client->peer, &client->local), *s;

	if (client->is_closed)
		return;
	if (!listener || listener->backlog_count == BACKLOG_MAX) {
		event_add(net, (struct network_event){ .at_us = net->now_us + latency_us(net),
			.kind = EVENT_REFUSED, .socket = client });
		return;
	}
	s = socket_new(net, NETWORK_STREAM);
	s->local = client->peer;
	s->peer = client->local;
	s->state = STATE_CONNECTED;
	s->other = client;
	client->other = s;
	s->references++;
	client->references++;
	if (listener->backlog_count == listener->backlog_size) {
		listener->backlog_size = listener->backlog_size ? listener->backlog_size * 2 : 16;
		listener->backlog = must(realloc(listener->backlog, listener->backlog_size * sizeof(s)));
	}
	listener->backlog[listener->backlog_count++] = s;
	changed(net, listener);
	send_event(net, client, EVENT_ESTABLISHED);
}

static void on_decided(struct network *net, struct network_socket *s, enum network_state state, int err)
{
	if (s->is_closed || s->state != STATE_CONNECTING)
		return;
	s->state = state;
	s->err = err;
	changed(net, s);
}

static void on_segment(struct network *net, struct network_socket *s, uint64_t offset)
{
	if (s->is_closed) {
		if (s->other && !s->other->is_closed)
			send_reset(net, s->other);
	} else if (!s->was_reset && offset > s->in.arrived) {
		s->in.arrived = offset;
		changed(net, s);
	}
}

static void on_reset(struct network *net, struct network_socket *s)
{
	if (s->is_closed || s->was_reset)
		return;
	s->was_reset = true;
	if (s->state == STATE_CONNECTING)
		s->state = STATE_FAILED;
	s->err = ECONNRESET;
	s->in.written = s->in.arrived; /* what was on the way is lost */
	changed(net, s);
	if (s->other)
		changed(net, s->other);
}

static void on_datagram(struct network *net, struct network_socket *s, struct network_datagram *d)
{
	if (s->is_closed || s->datagrams == DATAGRAMS_MAX) {
		net->datagrams_unheard++;
		free(d);
		return;
	}
	*s->last = d;
	s->last = &d->next;
	s->datagrams++;
	changed(net, s);
}

static void on_event(struct network *net, const struct network_event *event)
{
	struct network_socket *s = event->socket;

	switch (event->kind) {
	case EVENT_SYN:
		return on_syn(net, s);
	case EVENT_ESTABLISHED:
		return on_decided(net, s, STATE_CONNECTED, 0);
	case EVENT_REFUSED:
		return on_decided(net, s, STATE_FAILED, ECONNREFUSED);
	case EVENT_TIMED_OUT:
		return on_decided(net, s, STATE_FAILED, ETIMEDOUT);
	case EVENT_SEGMENT:
		return on_segment(net, s, event->offset);
	case EVENT_END:
		s->in.has_end = !s->was_reset;
		return changed(net, s);
	case EVENT_RESET:
		return on_reset(net, s);
	case EVENT_DATAGRAM:
		return on_datagram(net, s, event->datagram);
	}
}

uint64_t network_next_us(const struct network *net)
{
	return net->events_count ? net->events[0].at_us : UINT64_MAX;
}

void network_advance(struct network *net, uint64_t to_us)
{
	while (network_next_us(net) <= to_us) {
		struct network_event event = event_take(net);
		net->now_us = event.at_us;
		on_event(net, &event);
		socket_release(event.socket);
	}
	net->now_us = to_us;
}

void network_init(struct network *net, struct sim *sim, void (*on_change)(struct network_socket *))
{
	*net = (struct network){ .sim = sim, .on_change = on_change };
}

void network_free(struct network *net)
{
	for (size_t i = 0; i < net->sockets_size; i++) {
		if (net->sockets[i])
			network_close(net, net->sockets[i]);
	}
	for (size_t i = 0; i < net->events_count; i++) {
		free(net->events[i].datagram);
		socket_release(net->events[i].socket);
	}
	free(net->events);
	free(net->sockets);
}
