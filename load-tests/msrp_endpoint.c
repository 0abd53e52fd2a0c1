#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/buffer.h"
#include "load-tests/address.h"
#include "load-tests/msrp_private.h"

#define READ_SIZE (256 * 1024)

/* ---- errors ---- */

static void fault(struct msrp_connection *c, struct msrp_endpoint *e, enum flood_error error,
		  const char *what)
{
	c->network->handlers->on_error(c->network, e, error, what);
}

void msrp_connection_lost(struct msrp_connection *c, enum flood_error error, const char *what)
{
	if (c->source.fd < 0)
		return;
	loop_remove(c->network->loop, &c->source);
	fault(c, c->last_endpoint, error, what);
}

/* ---- reading ---- */

/* The endpoint of "msrp://host:port/ROLE SESSION RANDOM;tcp", if it is one of ours to the letter.
 */
static struct msrp_endpoint *endpoint_of(struct msrp_connection *c, struct slice uri)
{
	struct msrp_endpoint *e = c->last_endpoint;
	struct msrp_network *n = c->network;
	uint32_t session;

	if (e && uri.n == e->uri_n && memcmp(uri.p, e->uri, uri.n) == 0)
		return e;
	const char *slash = uri.n ? memrchr(uri.p, '/', uri.n) : NULL;
	if (!slash || (size_t)(uri.p + uri.n - slash) < 8 ||
	    !hex_get(slice_of(slash + 2, 6), &session) ||
	    (uint64_t)session * 2 + 1 >= n->endpoints_n)
		return NULL;
	e = n->endpoints[session * 2 + (slash[1] == 'b')];
	if (!e || uri.n != e->uri_n || memcmp(uri.p, e->uri, uri.n) != 0)
		return NULL;
	c->last_endpoint = e;
	return e;
}

static void on_response(struct msrp_connection *c)
{
	struct wire_parser *p = &c->parser;
	struct msrp_endpoint *e = endpoint_of(c, p->to_path);
	uint32_t sequence, chunk;

	if (e && p->tid.n == TID_MAX && memcmp(p->tid.p + 1, e->name, 7) == 0) {
		if (p->tid.p[0] == 'e') {
			c->network->handlers->on_bound(e, p->status);
			return;
		}
		if (p->tid.p[0] == 'f' && hex_get(slice_of(p->tid.p + 8, 8), &sequence) &&
		    hex_get(slice_of(p->tid.p + 16, 6), &chunk)) {
			c->network->handlers->on_response(e, sequence, chunk, p->status);
			return;
		}
	}
	fault(c, e, FLOOD_FOREIGN, "an answer to nothing we sent");
}

static void answer(struct msrp_connection *c, struct msrp_endpoint *e)
{
	struct wire_parser *p = &c->parser;
	char text[sizeof(e->answer) + 2 * WIRE_TID_MAX + 16];
	struct buffer b = buffer_over(text, sizeof(text));
	struct slice tid = slice_of(p->end_line + 9, p->end_line_n - 9u);

	buffer_lit(&b, "MSRP ");
	buffer_put(&b, tid);
	buffer_put(&b, slice_of(e->answer, e->answer_n));
	buffer_put(&b, tid);
	buffer_lit(&b, "$\r\n");
	assert(!b.overflow); /* sized for the longest transaction id */
	msrp_control_put(c, b.p, b.n);
}

static void on_send_end(struct msrp_connection *c)
{
	struct msrp_endpoint *e = c->receiving;

	if (!e)
		return;
	c->receiving = NULL;
	if (!c->parser.wants_no_answer)
		answer(c, e);
	if (!c->parser.has_body && c->parser.flag == '$') {
		c->network->handlers->on_empty(e);
		return;
	}
	c->incoming.flag = c->parser.flag;
	if (c->network->collects)
		msrp_collect_end(c, e);
	else if (c->incoming_is_bad)
		fault(c, e, FLOOD_BODY, "content differs from what was sent");
	else if (c->incoming.flag == '#')
		fault(c, e, FLOOD_ABORTED, "message ended with #");
	else
		c->network->handlers->on_chunk(e, &c->incoming);
}

/* "m" RUN "." SESSION ROLE "." SEQUENCE */
static bool sequence_of(struct msrp_endpoint *e, struct slice message_id, uint32_t *session, uint32_t *sequence)
{
	char want[16] = "m";

	memcpy(want + 1, e->network->run, 6);
	*session = e->session;
	if (e->network->has_rooms)
		return message_id.n == 23 && memcmp(message_id.p, want, 7) == 0 &&
		       hex_get(slice_of(message_id.p + 7, 6), session) &&
		       (uint64_t)*session * 2 + 1 < e->network->endpoints_n && message_id.p[14] == '.' &&
		       hex_get(slice_skip(message_id, 15), sequence);
	hex_put(want + 7, e->session, 6);
	return message_id.n == 23 && memcmp(message_id.p, want, 13) == 0 &&
	       message_id.p[13] != e->role && message_id.p[14] == '.' &&
	       hex_get(slice_skip(message_id, 15), sequence);
}

static void on_send_head(struct msrp_connection *c)
{
	struct wire_parser *p = &c->parser;
	struct msrp_endpoint *e = endpoint_of(c, p->to_path);

	c->receiving = NULL;
	c->incoming_is_bad = false;
	/* An offerer may be connected to before the answer names the far side (RFC 4975
	 * section 8.1). */
	if (e && e->peer_path_n == 0)
		(void)msrp_endpoint_set_peer(
			e, p->from_path); /* if it is none, the comparison below fails */
	if (!e || p->from_path.n != e->peer_path_n ||
	    memcmp(p->from_path.p, e->peer_path, e->peer_path_n) != 0) {
		fault(c, e, FLOOD_FOREIGN,
		      e ? "From-Path is not the path agreed" : "To-Path is none of ours");
		return;
	}
	if (!e->connection)
		e->connection = c;
	c->receiving = e;
	c->incoming = (struct msrp_incoming){ .offset = (uint32_t)(p->range_start - 1),
					      .total = (uint32_t)p->range_total };
	if (p->has_body && c->network->collects) {
		msrp_collect_head(c);
	} else if (p->has_body && !sequence_of(e, p->message_id, &c->incoming.session, &c->incoming.sequence)) {
		fault(c, e, FLOOD_FOREIGN, "Message-ID of another session");
		c->receiving = NULL;
	}
	if (!p->has_body)
		on_send_end(c);
}

static void on_body(struct msrp_connection *c)
{
	struct slice left = c->parser.body;

	if (c->network->collects) {
		msrp_collect_body(c);
		return;
	}
	uint32_t start = c->receiving ? msrp_pattern_start(c->incoming.session, c->incoming.sequence) +
						c->incoming.offset
				      : 0;

	while (left.n && c->receiving && !c->incoming_is_bad) {
		size_t n = left.n < PATTERN_PIECE ? left.n : PATTERN_PIECE;
		const char *want =
			c->network->pattern + (start + c->incoming.octets) % PATTERN_PERIOD;
		c->incoming_is_bad = memcmp(left.p, want, n) != 0;
		c->incoming.octets += (uint32_t)n;
		left = slice_skip(left, n);
	}
}

/* Everything whole in `in`; what is left is the beginning of more.  False: the connection is gone.
 */
static bool parse(struct msrp_connection *c, struct slice *in)
{
	while (c->source.fd >= 0) {
		switch (wire_next(&c->parser, in)) {
		case WIRE_MORE:
			return true;
		case WIRE_RESPONSE:
			on_response(c);
			break;
		case WIRE_SEND:
			on_send_head(c);
			break;
		case WIRE_BODY:
			on_body(c);
			break;
		case WIRE_END:
			on_send_end(c);
			break;
		case WIRE_BAD:
			msrp_connection_lost(c, FLOOD_SYNTAX, c->parser.bad);
			return false;
		}
	}
	return false;
}

static void connection_read(struct msrp_connection *c)
{
	char *buffer = c->network->read_buffer;

	if (c->carry_n)
		memcpy(buffer, c->carry, c->carry_n);
	ssize_t n = recv(c->source.fd, buffer + c->carry_n, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		msrp_connection_lost(c, FLOOD_CLOSED,
				     n == 0 ? "closed by the server" : strerror(errno));
		return;
	}
	c->network->octets_in += (uint64_t)n;
	struct slice in = slice_of(buffer, c->carry_n + (size_t)n);
	if (!parse(c, &in))
		return;
	c->carry_n = in.n;
	if (in.n == 0)
		return;
	if (!c->carry && !(c->carry = malloc(WIRE_HEAD_MAX + 1))) {
		msrp_connection_lost(c, FLOOD_CLOSED, "no memory");
		return;
	}
	assert(in.n <= WIRE_HEAD_MAX); /* a longer head was WIRE_BAD */
	memcpy(c->carry, in.p, in.n);
}

static void on_connection_ready(struct loop_source *source, uint32_t events)
{
	struct msrp_connection *c = (struct msrp_connection *)source;

	if (!c->connected) {
		int error = 0;
		socklen_t n = sizeof(error);
		(void)getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error,
				 &n); /* on failure the write says it */
		if (error) {
			msrp_connection_lost(c, FLOOD_CLOSED, strerror(error));
			return;
		}
		c->connected = true;
		msrp_wait_for_room(c, false);
		msrp_mark_dirty(c);
	} else if (events & EPOLLOUT) {
		msrp_wait_for_room(c, false);
		msrp_mark_dirty(c);
	}
	loop_clock(c->network->loop); /* a turn may be long; times of arrival are taken per read */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		connection_read(c);
	msrp_flush(c->network); /* what has to go on is still dirty and goes on in the next turn */
}

/* ---- connections ---- */

static struct msrp_connection *connection_new(struct msrp_network *n, int fd, bool connected)
{
	struct msrp_connection *c = calloc(1, sizeof(*c));
	int on = 1;

	if (!c) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
			 sizeof(on)); /* only slower without it */
	*c = (struct msrp_connection){ .source = { on_connection_ready, fd },
				       .network = n,
				       .connected = connected,
				       .waits_for_room = !connected };
	int err = loop_add(n->loop, &c->source, EPOLLIN | (connected ? 0 : EPOLLOUT));
	if (err) {
		close(fd);
		free(c);
		errno = err;
		return NULL;
	}
	c->next_open = n->open;
	c->open_at = &n->open;
	if (n->open)
		n->open->open_at = &c->next_open;
	n->open = c;
	return c;
}

struct msrp_connection *msrp_connect(struct msrp_network *n, const struct sockaddr_storage *local,
				     const struct sockaddr_storage *to,
				     struct sockaddr_storage *bound)
{
	struct sockaddr_storage from = *local;
	int on = 1, fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	address_set_port(&from, 0);
	/* Without it a bound port is taken for all destinations, and 28 000 of them are soon used
	 * up. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, address_size(&from)) < 0 ||
	    (connect(fd, (const struct sockaddr *)to, address_size(to)) < 0 &&
	     errno != EINPROGRESS)) {
		int err = errno;
		close(fd);
		errno = err;
		return NULL;
	}
	if (bound) {
		socklen_t size = sizeof(*bound);
		if (getsockname(fd, (struct sockaddr *)bound, &size) < 0)
			*bound = from;
	}
	return connection_new(n, fd, false);
}

static void on_accept(struct loop_source *source, uint32_t events)
{
	struct msrp_network *n =
		(struct msrp_network *)((char *)source - offsetof(struct msrp_network, listener));
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED)
			n->handlers->on_error(n, NULL, FLOOD_CLOSED, strerror(errno));
		return;
	}
	if (!connection_new(n, fd, true))
		n->handlers->on_error(n, NULL, FLOOD_CLOSED, strerror(errno));
}

int msrp_listen(struct msrp_network *n, const struct sockaddr_storage *local,
		struct sockaddr_storage *bound)
{
	struct sockaddr_storage at = *local;
	socklen_t size = sizeof(*bound);
	int fd = socket(local->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	address_set_port(&at, 0);
	n->listener = (struct loop_source){ on_accept, fd };
	if (bind(fd, (struct sockaddr *)&at, address_size(&at)) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)bound, &size) < 0) {
		int err = errno;
		loop_remove(n->loop, &n->listener);
		return err;
	}
	return loop_add(n->loop, &n->listener, EPOLLIN);
}

/* ---- endpoints ---- */

const char *msrp_pattern_at(const struct msrp_network *n, uint32_t number)
{
	return n->pattern + number * 131u % PATTERN_PERIOD;
}

void msrp_endpoint_init(struct msrp_endpoint *e, struct msrp_network *n, uint32_t session,
			char role, const struct sockaddr_storage *at)
{
	char host[ADDRESS_TEXT_MAX], random[8];

	assert(session * 2 + 1 < n->endpoints_n);
	*e = (struct msrp_endpoint){ .network = n, .session = session, .role = role };
	address_print(at, host);
	prng_name(n->prng, random, sizeof(random));
	prng_name(n->prng, e->name, sizeof(e->name));
	int written = snprintf(e->uri, sizeof(e->uri), "msrp://%s/%c%06x%.8s;tcp", host, role,
			       session, random);
	assert(written > 0 && (size_t)written < sizeof(e->uri)); /* an address is short */
	e->uri_n = (uint16_t)written;
	n->endpoints[session * 2 + (role == 'b')] = e;
}

bool msrp_endpoint_set_peer(struct msrp_endpoint *e, struct slice path)
{
	struct slice first = slice_cut(path, ' ', NULL);
	struct buffer head = buffer_over(e->head, sizeof(e->head)),
		      between = buffer_over(e->answer, sizeof(e->answer));

	if (first.n == 0 || path.n > sizeof(e->peer_path))
		return false;
	memcpy(e->peer_path, path.p, path.n);
	e->peer_path_n = (uint16_t)path.n;
	e->peer_first_n = (uint16_t)first.n;

	buffer_lit(&head, "MSRP ");
	e->tid_at = (uint16_t)head.n;
	buffer_printf(&head, "f%.7s00000000000000 SEND\r\nTo-Path: ", e->name);
	buffer_put(&head, path);
	buffer_lit(&head, "\r\nFrom-Path: ");
	buffer_put(&head, slice_of(e->uri, e->uri_n));
	if (e->network->wants_no_answers)
		buffer_lit(&head, "\r\nFailure-Report: no");
	buffer_printf(&head, "\r\nMessage-ID: m%.6s%06x%c.", e->network->run, e->session, e->role);
	e->sequence_at = (uint16_t)head.n;
	buffer_lit(&head, "00000000\r\nByte-Range: ");
	e->head_n = (uint16_t)head.n;

	buffer_lit(&between, " 200 OK\r\nTo-Path: ");
	buffer_put(&between, first);
	buffer_lit(&between, "\r\nFrom-Path: ");
	buffer_put(&between, slice_of(e->uri, e->uri_n));
	buffer_lit(&between, "\r\n-------");
	e->answer_n = (uint16_t)between.n;
	return !head.overflow && !between.overflow;
}

void msrp_bind(struct msrp_endpoint *e, struct msrp_connection *c)
{
	char text[sizeof(e->head) + 64], tid[TID_MAX];
	struct buffer b = buffer_over(text, sizeof(text));

	e->connection = c;
	c->last_endpoint = e;
	tid[0] = 'e';
	memcpy(tid + 1, e->name, 7);
	memset(tid + 8, '0', TID_MAX - 8);
	buffer_lit(&b, "MSRP ");
	buffer_put(&b, slice_of(tid, TID_MAX));
	buffer_lit(&b, " SEND\r\nTo-Path: ");
	buffer_put(&b, slice_of(e->peer_path, e->peer_path_n));
	buffer_lit(&b, "\r\nFrom-Path: ");
	buffer_put(&b, slice_of(e->uri, e->uri_n));
	buffer_printf(&b, "\r\nMessage-ID: m%.6s%06x%c.empty\r\n-------", e->network->run,
		      e->session, e->role);
	buffer_put(&b, slice_of(tid, TID_MAX));
	buffer_lit(&b, "$\r\n");
	assert(!b.overflow); /* as long as head, which fitted */
	msrp_control_put(c, b.p, b.n);
}

void msrp_disconnect(struct msrp_endpoint *e)
{
	struct msrp_connection *c = e->connection;

	e->connection = NULL;
	msrp_collect_drop(e);
	if (!c)
		return;
	loop_remove(c->network->loop, &c->source);
	c->last_endpoint = c->receiving = NULL;
	c->next_over = c->network->over;
	c->network->over = c;
}

static void connection_free(struct msrp_connection *c)
{
	*c->open_at = c->next_open;
	if (c->next_open)
		c->next_open->open_at = c->open_at;
	loop_remove(c->network->loop, &c->source);
	free(c->carry);
	free(c->control);
	free(c->pending);
	free(c);
}

void msrp_reap(struct msrp_network *n)
{
	struct msrp_connection *c = n->over, *next;

	for (n->over = NULL; c; c = next) {
		next = c->next_over;
		if (!c->is_dirty) {
			connection_free(c);
			continue;
		}
		c->next_over = n->over; /* in the next turn */
		n->over = c;
	}
}

/* ---- the network ---- */

int msrp_network_open(struct msrp_network *n, struct event_loop *loop, struct prng *prng,
		      const struct msrp_handlers *handlers, uint32_t sessions)
{
	*n = (struct msrp_network){ .loop = loop,
				    .handlers = handlers,
				    .prng = prng,
				    .endpoints_n = sessions * 2,
				    .listener = { on_accept, -1 } };
	n->endpoints = calloc(n->endpoints_n, sizeof(*n->endpoints));
	n->read_buffer = malloc(WIRE_HEAD_MAX + READ_SIZE);
	n->write_buffer = malloc(msrp_write_buffer_size);
	n->pattern = malloc(PATTERN_PERIOD + PATTERN_PIECE);
	if (!n->endpoints || !n->read_buffer || !n->write_buffer || !n->pattern) {
		msrp_network_close(n);
		return ENOMEM;
	}
	prng_name(prng, n->run, sizeof(n->run));
	prng_name(prng, n->pattern, PATTERN_PERIOD);
	for (unsigned i = 0; i < PATTERN_PIECE; i++)
		n->pattern[PATTERN_PERIOD + i] = n->pattern[i];
	return 0;
}

void msrp_network_close(struct msrp_network *n)
{
	loop_remove(n->loop, &n->listener);
	while (n->open)
		connection_free(n->open);
	for (uint32_t i = 0; n->endpoints && i < n->endpoints_n; i++)
		if (n->endpoints[i])
			msrp_collect_drop(n->endpoints[i]);
	free(n->endpoints);
	free(n->read_buffer);
	free(n->write_buffer);
	free(n->pattern);
	*n = (struct msrp_network){ .listener = { on_accept, -1 } };
}
