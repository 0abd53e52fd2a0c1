/*
 * SIP over a stream: framing, one connection's share of credit, and the write
 * queue of whoever answers over it (RFC 3261 18.3, RFC 5626 3.5.1).
 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "core/peer_count.h"
#include "core/tls.h"
#include "sip/layer.h"

#define FIRST_MESSAGE_MS  32000 /* a connection that never says anything valid               */
#define IDLE_MS           300000 /* of our connections: longer than any request waits for its answer     */
#define HALF_CLOSED_MS    32000 /* for the answers to a peer that sends no more: 64*T1              */
#define ANSWERED_MS       200   /* after the last of them: then a peer that is gone has said so        */
#define LOST_MS           500   /* from octets that are not SIP to the close                  */
#define CONNECT_MS        10000 /* of our connections; TCP itself would try for minutes        */

/* A final response given to a half-closed stream, until it is known whether anybody was there. */
struct kept_answer {
	struct kept_answer *next;
	struct sockaddr_storage fallback;
	size_t n;
	char wire[];
};

struct sip_connection {
	struct sip_layer *layer;
	struct stream *stream;
	struct sip_connection *next, **link; /* all of the worker */
	struct sip_connection *next_waiting;
	struct sip_connection *opened_next; /* that we opened: of one chain of layer->opened */
	struct sip_framer framer;
	char *held;                /* octets of a message that is not whole yet */
	size_t held_n, held_size;
	struct timer stall;        /* first message, then any that does not get whole */
	struct timer write_stall;
	struct timer idle;         /* that we opened */
	uint64_t used_ms;
	uint64_t connect_by_ms;    /* while connecting: when `stall` ends it */
	uint8_t protocol, listener;
	const char *name;          /* TLS that we opened: who the peer must be */
	bool is_bound;             /* we opened it, or it is a registered flow or a session's: it counts no more
	                            * in limits.conns_per_ip */
	bool has_spoken;           /* a valid message came, or we opened it */
	bool is_half_closed;       /* the peer sends no more, and waits for answers */
	struct kept_answer *answers;
	unsigned unanswered;       /* requests that came by it and have no final response yet */
	bool is_outgoing, is_connected, is_waiting, is_paused_for_writing;
	bool is_partial;           /* the beginning of a message came */
	bool is_lost;              /* framing is gone: what comes is not looked at */
	unsigned bucket;
	struct sip_client_name *clients; /* of the connect under way */
	unsigned client_count, clients_size;
	uint64_t users[WORKERS_MAX / 64]; /* other workers that sent requests by it */
};

#define WRITE_STALL_MS 32000 /* design.md 2: 32 s without progress closes it */
/* Times leg_high: what others want of a peer that does not read.  A busy core's connection has a turn's
 * worth of requests queued, some MiB, and is not full. */
#define QUEUE_FULL_TIMES 16

int sip_connections_init(struct sip_layer *layer)
{
	layer->opened = calloc(SIP_OPENED_CHAINS, sizeof(*layer->opened));
	if (!layer->opened)
		return ENOMEM;
	return pool_init(&layer->connections, "connections", sizeof(struct sip_connection),
		layer->options->connections_max);
}

static void bind_connection(struct sip_connection *c)
{
	if (c->is_bound)
		return;
	peer_count_leave(c->bucket);
	c->is_bound = true;
}

void sip_connection_bind(struct sip_connection *c)
{
	bind_connection(c);
}

/* By address and port: a request must not walk all that ever connected to find its way. */
static struct sip_connection **opened_chain(struct sip_layer *layer, const struct sockaddr_storage *to)
{
	char name[18];
	size_t n;

	if (to->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)to;
		memcpy(name, &in6->sin6_addr, n = 16);
		memcpy(name + n, &in6->sin6_port, 2);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)to;
		memcpy(name, &in->sin_addr, n = 4);
		memcpy(name + n, &in->sin_port, 2);
	}
	return &layer->opened[siphash(&layer->key, slice_of(name, n + 2)) % SIP_OPENED_CHAINS];
}

void sip_connection_used_by(struct sip_connection *c, unsigned worker)
{
	c->users[worker / 64] |= 1ull << (worker % 64);
}

/* Requests that only this connection can answer need not wait for their timers. */
static void tell_users(struct sip_connection *c)
{
	struct worker *worker = c->layer->worker;
	struct sip_flow flow;

	if (c->layer->is_stopping)
		return;
	sip_connection_flow(c, &flow);
	sip_clients_flow_lost(c->layer, &flow);
	for (unsigned i = 0; i < worker->group->count; i++) {
		if (!(c->users[i / 64] & 1ull << (i % 64)))
			continue;
		struct sip_flow_lost *lost = malloc(sizeof(*lost));
		if (!lost)
			return; /* they run into timer B or F */
		*lost = (struct sip_flow_lost){ .msg.kind = MSG_SIP_FLOW_LOST, .flow = flow };
		worker_post(worker, i, &lost->msg);
	}
}

static void connection_free(struct sip_connection *c, bool at_once)
{
	struct sip_layer *layer = c->layer;

	struct kept_answer *answer;

	if (!c->is_half_closed)
		tell_users(c);
	while ((answer = c->answers)) {
		c->answers = answer->next;
		free(answer);
	}
	if (!c->is_bound)
		peer_count_leave(c->bucket);
	if (c->is_outgoing) {
		struct sip_connection **link = opened_chain(layer, &c->stream->peer);
		while (*link != c)
			link = &(*link)->opened_next;
		*link = c->opened_next;
	}
	if (c->is_waiting) {
		struct sip_connection **link = &layer->waiting_for_credit;
		while (*link != c)
			link = &(*link)->next_waiting;
		*link = c->next_waiting;
	}
	worker_disarm(layer->worker, &c->stall);
	worker_disarm(layer->worker, &c->write_stall);
	worker_disarm(layer->worker, &c->idle);
	stream_close(c->stream, at_once);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	free(c->held);
	free(c->clients);
	pool_give(&layer->connections, c);
}

static void give_up(struct sip_connection *c, enum reason why, bool at_once)
{
	LOG(WARN, c->layer->worker, "sip", 0, "connection-closed reason=%s", reason_label(why));
	REFUSED(&c->layer->worker->counters, why);
	connection_free(c, at_once);
}

static void on_lost_over(struct timer *timer)
{
	connection_free((struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall)), false);
}

/* What comes from now on has no meaning, but the messages before it have: their owners may still be at them,
 * and closing on octets that nobody read would take the answers from the peer (RFC 1122 4.2.2.13). */
static void lose_stream(struct sip_connection *c, enum reason why)
{
	LOG(WARN, c->layer->worker, "sip", 0, "stream-lost reason=%s", reason_label(why));
	REFUSED(&c->layer->worker->counters, why);
	c->is_lost = true;
	free(c->held);
	c->held = NULL;
	c->held_n = c->held_size = 0;
	worker_arm(c->layer->worker, &c->stall, LOST_MS, on_lost_over);
}

static void on_stall(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	give_up(c, REASON_TIMEOUT, true);
}

static void on_write_stall(struct timer *timer)
{
	struct sip_connection *c =
		(struct sip_connection *)((char *)timer - offsetof(struct sip_connection, write_stall));

	give_up(c, REASON_STREAM_STALL, true);
}

/* Large requests and answers go to addresses that nobody may want again.  A next hop is simply connected to
 * again when there is something to say. */
static void on_idle(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, idle));
	uint64_t unused_ms = worker_now_ms(c->layer->worker) - c->used_ms;

	if (unused_ms < IDLE_MS || c->unanswered || stream_queued(c->stream)) {
		worker_arm(c->layer->worker, &c->idle, unused_ms < IDLE_MS ? IDLE_MS - unused_ms : IDLE_MS, on_idle);
		return;
	}
	LOG(DEBUG, c->layer->worker, "sip", 0, "connection-closed why=idle");
	connection_free(c, false);
}

/* ---- receiving ---- */

/* What a verdict that loses the stream is answered with; 0: with nothing. */
static unsigned status_of(enum sip_verdict verdict, enum reason *why)
{
	switch (verdict) {
	case SIP_PARSE_BAD_400:
		*why = REASON_FRAMING;
		return 400;
	case SIP_PARSE_TOO_LARGE_413:
		*why = REASON_TOO_LARGE;
		return 413;
	case SIP_PARSE_TOO_LARGE_513:
	case SIP_PARSE_HEADERS_513:
		*why = REASON_TOO_LARGE;
		return 513;
	case SIP_PARSE_VERSION_505:
		*why = REASON_SYNTAX;
		return 505;
	case SIP_PARSE_OK:
	case SIP_PARSE_MORE:
	case SIP_PARSE_KEEPALIVE:
	case SIP_PARSE_PING:
	case SIP_PARSE_DROP:
		break;
	}
	*why = REASON_FRAMING;
	return 0;
}

static void whole_came(struct sip_connection *c)
{
	c->is_partial = false;
	if (c->is_half_closed) /* what was held of it is worked off, under the deadline of its answers */
		return;
	worker_disarm(c->layer->worker, &c->stall);
}

static void wait_for_credit(struct sip_connection *c)
{
	whole_came(c); /* the owner is slow, not the peer */
	stream_set_receive(c->stream, STREAM_PAUSED);
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	c->next_waiting = c->layer->waiting_for_credit;
	c->layer->waiting_for_credit = c;
	COUNT(&c->layer->worker->counters, mailbox_credit_waits);
}

enum eaten { EATEN_ALL, EATEN_WAIT, EATEN_GONE };

/* Without a readable Via nobody can (RFC 3261 8.2.6.2): a half-closed connection must not wait for that. */
static bool can_be_answered(const struct sip_message *m)
{
	struct sip_via via;

	return m->is_request && m->method != SIP_ACK && sip_via_decode(sip_header_value(m, SIP_HDR_VIA), &via, NULL);
}

/* Takes whole messages off `in`; *left is what remains.  GONE: the connection was closed, or the stream lost. */
static enum eaten eat(struct sip_connection *c, struct slice in, struct slice *left)
{
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);
	struct sip_message m;
	struct sip_flow flow;
	enum reason why;
	bool is_asking;
	size_t used;

	for (;;) {
		*left = in;
		if (in.n == 0)
			return EATEN_ALL;
		struct sip_framer before = c->framer;
		enum sip_verdict verdict = sip_stream_parse(&c->framer, &m, in, &layer->limits, &used);
		switch (verdict) {
		case SIP_PARSE_MORE:
			return EATEN_ALL;
		case SIP_PARSE_PING:
			/* by the same way as all others: who pings and does not read is stopped too */
			if (sip_connection_write(c, SLICE("\r\n"), (struct sip_client_name){ 0 }) != 0)
				REFUSED(&layer->worker->counters, REASON_NO_MEMORY);
			break;
		case SIP_PARSE_KEEPALIVE:
			break;
		case SIP_PARSE_OK:
			sip_connection_flow(c, &flow);
			is_asking = can_be_answered(&m);
			c->unanswered += is_asking; /* before: the answer may come within */
			if (!sip_transport_dispatch(layer, &m, &flow, true)) {
				c->unanswered -= is_asking;
				c->framer = before;
				return EATEN_WAIT;
			}
			if (!sip_connection_find(layer, slot, generation))
				return EATEN_GONE;
			c->has_spoken = true;
			if (c->is_outgoing)
				bind_connection(c); /* an answer's: whoever the Via named is there */
			whole_came(c);
			break;
		case SIP_PARSE_BAD_400:
		case SIP_PARSE_TOO_LARGE_413:
		case SIP_PARSE_TOO_LARGE_513:
		case SIP_PARSE_HEADERS_513:
		case SIP_PARSE_VERSION_505:
		case SIP_PARSE_DROP: {
			unsigned status = status_of(verdict, &why);
			sip_connection_flow(c, &flow);
			if (status)
				sip_transport_answer_bad(layer, &m, &flow, status, why);
			if (m.framed && verdict != SIP_PARSE_TOO_LARGE_413) { /* its body is not read */
				if (!status)
					REFUSED(&layer->worker->counters, why);
				if (c->has_spoken)
					whole_came(c);
				break;
			}
			lose_stream(c, why);
			return EATEN_GONE;
		}
		}
		in = slice_skip(in, used);
	}
}

/* Keeps what is not whole yet. */
static int hold(struct sip_connection *c, struct slice rest)
{
	if (rest.n == 0) {
		free(c->held);
		c->held = NULL;
		c->held_n = c->held_size = 0;
		return 0;
	}
	if (rest.n > c->held_size || !c->held) {
		size_t size = rest.n < 2048 ? 2048 : rest.n * 2;
		char *held = malloc(size);
		if (!held)
			return ENOMEM;
		memcpy(held, rest.p, rest.n);
		free(c->held);
		c->held = held;
		c->held_size = size;
	} else {
		memmove(c->held, rest.p, rest.n);
	}
	c->held_n = rest.n;
	return 0;
}

static int append(struct sip_connection *c, struct slice data)
{
	if (c->held_n + data.n > c->held_size) {
		size_t size = (c->held_n + data.n) * 2;
		char *held = realloc(c->held, size);
		if (!held)
			return ENOMEM;
		c->held = held;
		c->held_size = size;
	}
	memcpy(c->held + c->held_n, data.p, data.n);
	c->held_n += data.n;
	return 0;
}

static void eat_all(struct sip_connection *c, struct slice in)
{
	struct slice left;
	enum eaten eaten = eat(c, in, &left);

	if (eaten == EATEN_GONE)
		return;
	if (hold(c, left) != 0) {
		give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	if (eaten == EATEN_WAIT) {
		wait_for_credit(c);
		return;
	}
	if (left.n && !c->is_partial && !c->is_half_closed) { /* once for each message, so that its octets may not drip */
		uint64_t ms = c->layer->options->limits.chunk_stall_ms;
		c->is_partial = true;
		if (!c->has_spoken && ms > FIRST_MESSAGE_MS)
			ms = FIRST_MESSAGE_MS;
		worker_arm(c->layer->worker, &c->stall, ms, on_stall);
	}
}

static void on_data(struct stream *stream, struct slice data)
{
	struct sip_connection *c = stream->owner;

	c->used_ms = worker_now_ms(c->layer->worker);
	if (c->is_lost)
		return;
	if (c->held_n == 0) {
		eat_all(c, data);
		return;
	}
	if (append(c, data) != 0) {
		give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	if (!c->is_waiting)
		eat_all(c, slice_of(c->held, c->held_n));
}

static void finish(struct sip_connection *c);

void sip_connections_credit_came(struct sip_layer *layer)
{
	struct sip_connection *c = layer->waiting_for_credit, *next;

	layer->waiting_for_credit = NULL;
	for (; c; c = next) {
		next = c->next_waiting;
		c->is_waiting = false;
		if (!c->is_paused_for_writing)
			stream_set_receive(c->stream, STREAM_MULTISHOT);
		uint32_t slot = pool_slot(c), generation = pool_generation(c);
		if (c->held_n)
			eat_all(c, slice_of(c->held, c->held_n));
		if (sip_connection_find(layer, slot, generation))
			finish(c);
	}
}

/* ---- the stream's other events ---- */

static void on_connected(struct stream *stream)
{
	struct sip_connection *c = stream->owner;

	c->is_connected = true;
	free(c->clients);
	c->clients = NULL;
	c->client_count = c->clients_size = 0;
	worker_disarm(c->layer->worker, &c->stall);
	if (!c->has_spoken)
		worker_arm(c->layer->worker, &c->stall, FIRST_MESSAGE_MS, on_stall);
	stream_set_receive(stream, STREAM_MULTISHOT);
}

static void on_written(struct stream *stream)
{
	struct sip_connection *c = stream->owner;
	struct sip_layer *layer = c->layer;

	if (stream_queued(stream) == 0)
		worker_disarm(layer->worker, &c->write_stall);
	else
		worker_arm(layer->worker, &c->write_stall, WRITE_STALL_MS, on_write_stall);
	if (c->is_paused_for_writing && stream_queued(stream) <= layer->options->limits.leg_low) {
		c->is_paused_for_writing = false;
		if (!c->is_waiting)
			stream_set_receive(stream, STREAM_MULTISHOT);
	}
	finish(c);
}

static void send_answers_elsewhere(struct sip_layer *layer, enum sip_protocol protocol, struct kept_answer *answer);

static void on_end(struct stream *stream, int err)
{
	struct sip_connection *c = stream->owner;
	struct sip_layer *layer = c->layer;
	struct sip_client_name *clients = c->clients;
	unsigned count = c->client_count;
	struct kept_answer *answers = err ? c->answers : NULL;
	enum sip_protocol protocol = c->protocol;

	if (c->is_outgoing && !c->is_connected)
		REFUSED(&layer->worker->counters, REASON_CONNECT_FAILED);
	else if (c->held_n)
		REFUSED(&layer->worker->counters, REASON_PEER_CLOSED);
	LOG(DEBUG, layer->worker, "sip", 0, "connection-ended err=%d", err);
	c->clients = NULL;
	if (answers)
		c->answers = NULL;
	connection_free(c, true);
	for (unsigned i = 0; i < count; i++)
		sip_client_transport_failed(layer, clients[i]);
	free(clients);
	send_answers_elsewhere(layer, protocol, answers);
}

static bool is_final_response(struct slice wire)
{
	return slice_starts(wire, SLICE("SIP/2.0 ")) && wire.n > 8 && wire.p[8] >= '2';
}

/* ---- half-closed (RFC 9293 3.6): the peer sends no more, and may still read ---- */

/* RFC 3261 18.2.2: nobody was there, so the answers go where the Via says. */
static void send_answers_elsewhere(struct sip_layer *layer, enum sip_protocol protocol, struct kept_answer *answer)
{
	for (struct kept_answer *next; answer; answer = next) {
		next = answer->next;
		struct sip_connection *c = sip_connection_to_answer(layer, protocol, &answer->fallback);
		if (!c || sip_connection_write(c, slice_of(answer->wire, answer->n), (struct sip_client_name){ 0 }) != 0)
			REFUSED(&layer->worker->counters, REASON_SEND_FAILED);
		free(answer);
	}
}

/* Who closed both ways refused with a reset what was sent, who closed one way has it by now. */
static void on_answered(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	on_end(c->stream, stream_is_alive(c->stream) ? 0 : ECONNRESET);
}

static void finish(struct sip_connection *c)
{
	if (!c->is_half_closed || c->unanswered || c->is_waiting || stream_queued(c->stream))
		return;
	if (c->answers)
		worker_arm(c->layer->worker, &c->stall, ANSWERED_MS, on_answered);
	else
		on_end(c->stream, 0);
}

/* What comes later goes where its Via says. */
static void on_answers_late(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	give_up(c, REASON_PEER_CLOSED, false);
}

static void on_finished(struct stream *stream)
{
	struct sip_connection *c = stream->owner;

	if (c->held_n && !c->is_waiting) {
		REFUSED(&c->layer->worker->counters, REASON_PEER_CLOSED); /* half a message */
		(void)hold(c, SLICE_EMPTY); /* gives memory back, and takes none */
	}
	tell_users(c); /* no answer will come by it */
	c->is_half_closed = true;
	worker_arm(c->layer->worker, &c->stall, HALF_CLOSED_MS, on_answers_late);
	finish(c);
}

bool sip_connection_is_half_closed(const struct sip_connection *c)
{
	return c->is_half_closed;
}

int sip_connection_answer(struct sip_connection *c, struct slice wire, const struct sockaddr_storage *fallback)
{
	struct kept_answer *answer, **end = &c->answers;

	if (c->is_half_closed && fallback->ss_family && is_final_response(wire) &&
	    (answer = malloc(sizeof(*answer) + wire.n))) { /* without memory it has this one chance */
		*answer = (struct kept_answer){ .fallback = *fallback, .n = wire.n };
		memcpy(answer->wire, wire.p, wire.n);
		while (*end)
			end = &(*end)->next;
		*end = answer;
	}
	return sip_connection_write(c, wire, (struct sip_client_name){ 0 });
}

static void on_connect_late(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	on_end(c->stream, ETIMEDOUT);
}

void sip_connection_hurry(struct sip_connection *c, uint64_t ms)
{
	uint64_t by_ms = worker_now_ms(c->layer->worker) + ms;

	if (c->is_connected || (timer_is_armed(&c->stall) && c->connect_by_ms <= by_ms))
		return;
	c->connect_by_ms = by_ms;
	worker_arm(c->layer->worker, &c->stall, ms, on_connect_late);
}

void sip_flow_hurry(struct sip_layer *layer, const struct sip_flow *flow, uint64_t ms)
{
	struct sip_connection *c = sip_flow_is_stream(flow) && flow->worker == layer->worker->index ?
		sip_connection_find(layer, flow->slot, flow->generation) : NULL;

	if (c)
		sip_connection_hurry(c, ms);
}

static const struct stream_events events = { on_connected, on_data, on_written, on_end, on_finished };

/* ---- making them ---- */

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

	if (layer->options->is_trusted && layer->options->is_trusted((const struct sockaddr *)peer))
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
	struct stream *stream = c ? stream_adopt(layer->worker, fd, &events, c) : NULL;
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
		give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	COUNT(&layer->worker->counters, sip_connections_accepted);
	worker_arm(layer->worker, &c->stall, FIRST_MESSAGE_MS, on_stall);
	stream_set_receive(stream, STREAM_MULTISHOT);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct sip_flow fa = { .protocol = SIP_UDP }, fb = { .protocol = SIP_UDP };

	sip_flow_set_peer(&fa, a);
	sip_flow_set_peer(&fb, b);
	return sip_flow_equal(&fa, &fb);
}

/* The name that a server must prove with its certificate. */
static struct tls *client_tls(struct sip_layer *layer, const struct sip_target *target)
{
	struct sip_flow flow = { .protocol = SIP_TLS };
	char text[INET6_ADDRSTRLEN];
	struct slice host;
	uint16_t port;

	sip_flow_set_peer(&flow, &target->address);
	sip_flow_source(&flow, text, sizeof(text), &host, &port);
	return layer->worker->tls ? tls_connect(layer->worker->tls, TLS_SIP, target->name ? target->name : text) : NULL;
}

static struct sip_connection *connection_open(struct sip_layer *layer, const struct sip_target *target)
{
	struct sip_connection *c = connection_make(layer), **chain = opened_chain(layer, &target->address);
	enum listen_proto proto = target->protocol == SIP_TLS ? LISTEN_TLS : LISTEN_TCP;

	if (!c)
		return NULL;
	c->stream = stream_connect(layer->worker, &target->address, &events, c);
	if (!c->stream) {
		connection_unmake(c);
		return NULL;
	}
	if (target->protocol == SIP_TLS && !secure(c, client_tls(layer, target))) {
		LOG(WARN, layer->worker, "sip", 0, "cannot-connect reason=%s error=\"no tls entry with ca, or no memory\"",
			reason_label(REASON_CONNECT_FAILED));
		REFUSED(&layer->worker->counters, REASON_CONNECT_FAILED);
		stream_close(c->stream, true);
		connection_unmake(c);
		return NULL;
	}
	c->protocol = (uint8_t)target->protocol;
	c->name = target->name;
	c->is_outgoing = c->is_bound = c->has_spoken = true;
	c->opened_next = *chain;
	*chain = c;
	for (unsigned i = layer->options->listener_count; i-- > 0;)
		if (layer->options->listeners[i].proto == proto)
			c->listener = (uint8_t)i;
	c->used_ms = worker_now_ms(layer->worker);
	worker_arm(layer->worker, &c->idle, IDLE_MS, on_idle);
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
	for (struct sip_connection *c = *opened_chain(layer, &target->address); c; c = c->opened_next)
		if (!c->is_lost && !c->is_half_closed && c->protocol == target->protocol && same_address(&c->stream->peer, &target->address) &&
		    (c->protocol != SIP_TLS || same_name(c->name, target->name)))
			return c;
	return NULL;
}

struct sip_connection *sip_connection_to(struct sip_layer *layer, const struct sip_target *target)
{
	if (target->protocol == SIP_UDP || layer->is_stopping)
		return NULL;
	struct sip_connection *c = find_opened(layer, target);
	if (!c)
		return connection_open(layer, target);
	bind_connection(c);
	return c;
}

struct sip_connection *sip_connection_to_answer(struct sip_layer *layer, enum sip_protocol protocol,
	const struct sockaddr_storage *address)
{
	struct sip_target target = { .protocol = protocol, .address = *address };
	unsigned bucket;

	if (protocol == SIP_UDP || layer->is_stopping)
		return NULL;
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

struct sip_connection *sip_connection_find(struct sip_layer *layer, uint32_t slot, uint32_t generation)
{
	return pool_find(&layer->connections, slot, generation);
}

void sip_connection_flow(const struct sip_connection *c, struct sip_flow *flow)
{
	memset(flow, 0, sizeof(*flow));
	flow->protocol = c->protocol;
	flow->listener = c->listener;
	flow->worker = (uint16_t)c->layer->worker->index;
	flow->slot = pool_slot(c);
	flow->generation = pool_generation(c);
	sip_flow_set_peer(flow, &c->stream->peer);
}

bool sip_connection_is_full(const struct sip_connection *c)
{
	return stream_queued(c->stream) > QUEUE_FULL_TIMES * c->layer->options->limits.leg_high;
}

int sip_connection_write(struct sip_connection *c, struct slice wire, struct sip_client_name client)
{
	struct sip_layer *layer = c->layer;
	int err = stream_write(c->stream, wire);

	if (err)
		return err;
	c->used_ms = worker_now_ms(layer->worker);
	if (c->unanswered && is_final_response(wire))
		c->unanswered--;
	if (!timer_is_armed(&c->write_stall))
		worker_arm(layer->worker, &c->write_stall, WRITE_STALL_MS, on_write_stall);
	if (!c->is_paused_for_writing && stream_queued(c->stream) > layer->options->limits.leg_high) {
		c->is_paused_for_writing = true; /* a peer that does not read gets nothing more to answer */
		stream_set_receive(c->stream, STREAM_PAUSED);
	}
	if (c->is_connected || client.generation == 0)
		return 0;
	if (c->client_count == c->clients_size) { /* no more than there are transactions */
		unsigned size = c->clients_size ? c->clients_size * 2 : 16;
		struct sip_client_name *clients = realloc(c->clients, size * sizeof(*clients));
		if (!clients)
			return 0; /* its own timer tells it later */
		c->clients = clients;
		c->clients_size = size;
	}
	c->clients[c->client_count++] = client;
	return 0;
}

void sip_connections_free(struct sip_layer *layer, bool at_once)
{
	while (layer->all)
		connection_free(layer->all, at_once);
	if (at_once) {
		pool_free(&layer->connections);
		free(layer->opened);
		layer->opened = NULL;
	}
}
