/*
 * A SIP connection over a stream: its life, its deadlines, and the write queue of whoever answers over it
 * (RFC 3261 18.3).
 */
#include "sip/connection_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "core/peer_count.h"

#define LOST_MS 500 /* from octets that are not SIP to the close */
#define WRITE_STALL_MS 32000 /* design.md 2: 32 s without progress closes it */
/* Times leg_high: what others want of a peer that does not read.  A busy core's connection has a turn's
 * worth of requests queued, some MiB, and is not full. */
#define QUEUE_FULL_TIMES 16

int sip_connections_init(struct sip_layer *layer)
{
	layer->opened = calloc(SIP_OPENED_CHAINS, sizeof(*layer->opened));
	if (!layer->opened)
		return ENOMEM;
	sip_turns_init(layer);
	return pool_init(&layer->connections, "connections", sizeof(struct sip_connection),
		layer->options->connections_max);
}

void sip_connection_leave_count(struct sip_connection *c)
{
	if (c->is_bound)
		return;
	peer_count_leave(c->bucket);
	c->is_bound = true;
}

void sip_connection_bind(struct sip_connection *c)
{
	sip_connection_leave_count(c);
}

/* By address and port: a request must not walk all that ever connected to find its way. */
struct sip_connection **sip_connection_chain(struct sip_layer *layer, const struct net_address *to)
{
	char name[18];
	size_t n;

	if (to->any.sa_family == AF_INET6) {
		memcpy(name, &to->v6.sin6_addr, n = 16);
		memcpy(name + n, &to->v6.sin6_port, 2);
	} else {
		memcpy(name, &to->v4.sin_addr, n = 4);
		memcpy(name + n, &to->v4.sin_port, 2);
	}
	return &layer->opened[siphash(&layer->key, slice_of(name, n + 2)) % SIP_OPENED_CHAINS];
}

void sip_connection_used_by(struct sip_connection *c, unsigned worker)
{
	c->users[worker / 64] |= 1ull << (worker % 64);
}

/* Requests that only this connection can answer need not wait for their timers. */
void sip_connection_tell_users(struct sip_connection *c)
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

void sip_connection_free(struct sip_connection *c, bool at_once)
{
	struct sip_layer *layer = c->layer;

	struct kept_answer *answer;

	if (!c->is_half_closed)
		sip_connection_tell_users(c);
	while ((answer = c->answers)) {
		c->answers = answer->next;
		free(answer);
	}
	if (!c->is_bound)
		peer_count_leave(c->bucket);
	if (c->is_outgoing) {
		struct sip_connection **link = sip_connection_chain(layer, &c->stream->peer);
		while (*link != c)
			link = &(*link)->opened_next;
		*link = c->opened_next;
	}
	sip_connection_forget_turn(c);
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

void sip_connection_give_up(struct sip_connection *c, enum reason why, bool at_once)
{
	LOG(WARN, c->layer->worker, "sip", 0, "connection-closed reason=%s", reason_label(why));
	REFUSED(&c->layer->worker->counters, why);
	sip_connection_free(c, at_once);
}

static void on_lost_over(struct timer *timer)
{
	sip_connection_free((struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall)), false);
}

/* What comes from now on has no meaning, but the messages before it have: their owners may still be at them,
 * and closing on octets that nobody read would take the answers from the peer (RFC 1122 4.2.2.13). */
void sip_connection_lose(struct sip_connection *c, enum reason why)
{
	LOG(WARN, c->layer->worker, "sip", 0, "stream-lost reason=%s", reason_label(why));
	REFUSED(&c->layer->worker->counters, why);
	c->is_lost = true;
	free(c->held);
	c->held = NULL;
	c->held_n = c->held_size = 0;
	worker_arm(c->layer->worker, &c->stall, LOST_MS, on_lost_over);
}

void sip_connection_on_stall(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	sip_connection_give_up(c, REASON_TIMEOUT, true);
}

static void on_write_stall(struct timer *timer)
{
	struct sip_connection *c =
		(struct sip_connection *)((char *)timer - offsetof(struct sip_connection, write_stall));

	sip_connection_give_up(c, REASON_STREAM_STALL, true);
}

/* Large requests and answers go to addresses that nobody may want again.  A next hop is simply connected to
 * again when there is something to say. */
void sip_connection_on_idle(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, idle));
	uint64_t unused_ms = worker_now_ms(c->layer->worker) - c->used_ms;

	if (unused_ms < IDLE_MS || c->unanswered || stream_queued(c->stream)) {
		worker_arm(c->layer->worker, &c->idle, unused_ms < IDLE_MS ? IDLE_MS - unused_ms : IDLE_MS, sip_connection_on_idle);
		return;
	}
	LOG(DEBUG, c->layer->worker, "sip", 0, "connection-closed why=idle");
	sip_connection_free(c, false);
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
		worker_arm(c->layer->worker, &c->stall, FIRST_MESSAGE_MS, sip_connection_on_stall);
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
			sip_connection_read(c);
	}
	sip_connection_finish(c);
}

void sip_connection_on_end(struct stream *stream, int err)
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
	sip_connection_free(c, true);
	for (unsigned i = 0; i < count; i++)
		sip_client_transport_failed(layer, clients[i]);
	free(clients);
	sip_connection_answer_elsewhere(layer, protocol, answers);
}

static void on_connect_late(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	sip_connection_on_end(c->stream, ETIMEDOUT);
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

const struct stream_events sip_connection_events = {
	on_connected, sip_connection_on_data, on_written, sip_connection_on_end, sip_connection_on_finished
};

/* ---- found, written, freed ---- */

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
	flow->peer = c->stream->peer;
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
	if (c->unanswered && sip_is_final_response(wire))
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
		sip_connection_free(layer->all, at_once);
	if (at_once) {
		pool_free(&layer->connections);
		free(layer->opened);
		layer->opened = NULL;
	}
}
