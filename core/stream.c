/*
 * The life of a stream: at most one receive, one send (or the connect) in
 * flight; whatever ends it, the descriptor is closed when the last of them has
 * given its final completion.
 *
 * A handler of the layer above may close or detach the stream inside any
 * event, so nothing of it is touched after an event until stream_find_open() has said
 * that it is still there.
 */
#include "core/stream.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/stream_internal.h"
#include "core/stream_tls.h"

#define NO_BUFFERS_PAUSE_MS 3  /* a few turns of a busy worker give blocks back in that time     */
#define LAST_TURNS_MAX      1000 /* of stream_worker_free(), a millisecond each                  */

/* The queue that the socket is written from. */
static struct send_queue *outgoing(struct stream *stream)
{
	return stream->tls ? &stream->tls->out : &stream->queue;
}

static bool has_to_send(const struct stream *stream)
{
	return stream->tls ? stream_tls_has_work(stream->tls) : stream->queue.octets > 0;
}

size_t stream_queued(const struct stream *stream)
{
	return stream->queue.octets + (stream->tls ? stream->tls->out.octets : 0);
}

/* ---- the end ---- */

static void release(struct stream *stream)
{
	struct worker *worker = stream->worker;

	assert(!outgoing(stream)->is_in_flight);
	worker_disarm(worker, &stream->pause_timer);
	if (stream->tls)
		stream_tls_free(stream->tls, true);
	stream->tls = NULL;
	send_queue_drop(&stream->queue, stream_buffers(stream));
	streams_of(worker)->lingering -= stream->lingers;
	pool_give(&streams_of(worker)->pool, stream);
	gauge_add(&worker->counters, GAUGE_connections, -1);
	pool_gauge_set(&worker->counters, POOL_connections, pool_used(&streams_of(worker)->pool));
}

/* The worker's list of tasks holds a stream as the ring does. */
static bool is_in_flight(struct stream *stream)
{
	return stream->is_connecting || stream->is_receiving || outgoing(stream)->is_in_flight ||
	       stream->flush_task.is_queued;
}

static void release_if_idle(struct stream *stream)
{
	struct worker *worker = stream->worker;

	if (is_in_flight(stream))
		return;
	worker->ring->ops->close(worker->ring, stream->fd);
	release(stream);
}

static void cancel_receive(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;

	if (!stream->is_receiving || stream->is_cancelled)
		return;
	stream->is_cancelled = true;
	ring->ops->cancel(ring, stream_token(stream, TOKEN_RECV));
}

void stream_give_up(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;

	stream->has_ended = true;
	worker_disarm(stream->worker, &stream->pause_timer);
	send_queue_drop(&stream->queue, stream_buffers(stream));
	send_queue_drop(outgoing(stream), stream_buffers(stream));
	cancel_receive(stream);
	if (stream->is_connecting)
		ring->ops->cancel(ring, stream_token(stream, TOKEN_CONNECT));
	if (outgoing(stream)->is_in_flight)
		ring->ops->cancel(ring, stream_token(stream, TOKEN_SEND));
	release_if_idle(stream);
}

void stream_end(struct stream *stream, int err)
{
	assert(!stream->has_ended); /* see stream_find_open() */
	stream->has_ended = true;
	if (stream->tls)
		worker_disarm(stream->worker, &stream->tls->deadline);
	cancel_receive(stream);
	stream->events->on_end(stream, err);
}

struct stream *stream_find_open(struct worker *worker, ring_token token)
{
	struct stream *stream = pool_find(&streams_of(worker)->pool, ring_token_slot(token),
		ring_token_generation(token));

	return stream && !stream->is_closing && !stream->has_ended ? stream : NULL;
}

/* ---- receiving ---- */

void stream_start_receive(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;
	bool must_wait = !stream->is_connected || stream->is_receiving || stream->has_ended || stream->is_read_out ||
			 timer_is_armed(&stream->pause_timer); /* also the linger, see below */
	/* a handshake does not wait for the layer above, and one that failed is read until its alert is out */
	bool is_own = stream->tls && (!stream->tls->is_ready || stream->tls->has_failed);

	if (must_wait || (stream->receive == STREAM_PAUSED && !is_own))
		return;
	stream->is_receiving = true;
	ring->ops->recv(ring, stream->fd, stream->receive == STREAM_MULTISHOT && !is_own,
		stream_token(stream, TOKEN_RECV));
}

static void on_pause_over(struct timer *timer)
{
	stream_start_receive((struct stream *)((char *)timer - offsetof(struct stream, pause_timer)));
}

void stream_set_receive(struct stream *stream, enum stream_receive receive)
{
	bool is_multishot = stream->receive == STREAM_MULTISHOT;

	assert(!stream->is_closing);
	stream->receive = receive;
	if (receive == STREAM_PAUSED || (receive == STREAM_ONE_SHOT && is_multishot))
		cancel_receive(stream); /* its final completion starts the other kind, if any */
	stream_start_receive(stream);
}

/* All that a peer sends comes through here. */
static void on_received(struct worker *worker, const struct ring_completion *c)
{
	struct stream *stream = stream_find_open(worker, c->token);

	if (stream && c->result > 0) {
		if (stream->tls)
			stream_tls_received(stream, c->data);
		else
			stream->events->on_data(stream, c->data);
		stream = stream_find_open(worker, c->token);
	}
	if (c->block)
		block_release(c->block);
	if (!stream || c->more)
		return;
	if (c->result == -ENOBUFS) {
		COUNT(&worker->counters, ring_no_buffers);
		worker_arm(worker, &stream->pause_timer, NO_BUFFERS_PAUSE_MS, on_pause_over);
	} else if (c->result > 0 || c->result == -ECANCELED || c->result == -EINTR) {
		stream_start_receive(stream);
	} else if (c->result == 0 && stream->events->on_finished && !stream->tls) {
		stream->is_read_out = true;
		stream->events->on_finished(stream);
	} else {
		stream_end(stream, -c->result);
	}
}

/* While a closing stream writes its last octets it reads and forgets: octets that lie unread when
 * the descriptor is closed make the kernel send a reset, which may overtake what we wrote. */
static void receive_nothing(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;

	if (stream->has_ended || stream->is_receiving || stream->is_read_out || !stream->is_connected)
		return;
	stream->is_receiving = true;
	ring->ops->recv(ring, stream->fd, false, stream_token(stream, TOKEN_RECV));
}

static void on_recv(struct worker *worker, const struct ring_completion *c)
{
	struct stream *stream = stream_find(worker, ring_token_slot(c->token),
		ring_token_generation(c->token));

	if (!stream) {
		COUNT(&worker->counters, ring_late_completions);
		if (c->block)
			block_release(c->block);
		return;
	}
	if (!c->more)
		stream->is_receiving = stream->is_cancelled = false;
	if (!stream->is_closing) {
		on_received(worker, c);
		return;
	}
	bool goes_on = c->result <= 0 || stream_tls_finish(stream, c->data);
	if (c->block)
		block_release(c->block);
	if (!goes_on) {
		stream_give_up(stream);
		return;
	}
	if (c->more)
		return;
	if (c->result > 0 || c->result == -ECANCELED)
		receive_nothing(stream);
	if (stream->has_ended)
		release_if_idle(stream);
}

/* ---- sending ---- */

static void send_first(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;
	struct send_queue *queue = outgoing(stream);

	if (!stream->is_connected || !has_to_send(stream) || (stream->tls && !stream_tls_seal(stream)))
		return;
	if (queue->octets == 0) { /* TLS had nothing to say at its end */
		if (stream->is_closing)
			stream_give_up(stream);
		return;
	}
	struct slice octets = send_queue_begin(queue, stream_buffers(stream));
	ring->ops->send(ring, stream->fd, octets.p, octets.n, stream_token(stream, TOKEN_SEND));
}

static void flush(struct worker *worker, struct worker_task *task)
{
	struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, flush_task));

	if (!stream->has_ended)
		send_first(stream);
	else if (stream->is_closing)
		release_if_idle(stream);
}

void stream_flush_later(struct stream *stream)
{
	if (has_to_send(stream) && !outgoing(stream)->is_in_flight && stream->is_connected && !stream->has_ended)
		worker_at_turn_end(stream->worker, &stream->flush_task);
}

/* Closing: everything is written, or it failed; else the next buffer. */
static void go_on_closing(struct stream *stream, bool has_failed)
{
	if (stream->has_ended)
		release_if_idle(stream);
	else if (has_failed || !(has_to_send(stream) || stream->queue.octets))
		stream_give_up(stream);
	else
		stream_flush_later(stream);
}

static void on_send(struct worker *worker, const struct ring_completion *c)
{
	struct stream *stream = stream_find(worker, ring_token_slot(c->token),
		ring_token_generation(c->token));
	bool has_failed = c->result < 0 && c->result != -EINTR && c->result != -EAGAIN;

	if (!stream) {
		COUNT(&worker->counters, ring_late_completions);
		return;
	}
	send_queue_end(outgoing(stream), stream_buffers(stream), c->result > 0 ? (size_t)c->result : 0);
	if (stream->is_closing) {
		go_on_closing(stream, has_failed);
		return;
	}
	if (stream->has_ended)
		return;
	if (has_failed) {
		stream_end(stream, -c->result);
		return;
	}
	if (stream->tls && stream->tls->has_failed) {
		if (!has_to_send(stream))
			stream_end(stream, EPROTO);
		else
			stream_flush_later(stream);
		return;
	}
	if (c->result > 0)
		stream->events->on_written(stream);
	stream = stream_find_open(worker, c->token);
	if (stream)
		stream_flush_later(stream);
}

int stream_write(struct stream *stream, struct slice octets)
{
	assert(!stream->is_closing);
	int err = send_queue_write(&stream->queue, stream_buffers(stream), octets);

	if (!err)
		stream_flush_later(stream);
	return err;
}

char *stream_reserve(struct stream *stream, size_t n)
{
	assert(!stream->is_closing);
	return send_queue_reserve(&stream->queue, stream_buffers(stream), n);
}

void stream_commit(struct stream *stream, size_t n)
{
	send_queue_commit(&stream->queue, n);
	stream_flush_later(stream);
}

/* ---- opening ---- */

static struct stream *open_stream(struct worker *worker, int fd, const struct stream_events *events,
	void *owner)
{
	struct stream *stream = pool_take(&streams_of(worker)->pool);

	if (!stream) {
		REFUSED(&worker->counters, REASON_POOL_EXHAUSTED);
		return NULL;
	}
	stream->events = events;
	stream->owner = owner;
	stream->worker = worker;
	stream->fd = fd;
	stream->flush_task.run = flush;
	gauge_add(&worker->counters, GAUGE_connections, 1);
	pool_gauge_set(&worker->counters, POOL_connections, pool_used(&streams_of(worker)->pool));
	return stream;
}

struct stream *stream_adopt(struct worker *worker, int fd, const struct stream_events *events,
	void *owner)
{
	struct stream *stream = open_stream(worker, fd, events, owner);
	struct sockaddr_storage peer;

	if (!stream)
		return NULL;
	stream->is_connected = true;
	/* a peer that has gone already has no address; the first receive tells it */
	if (worker->ring->ops->peer_address(worker->ring, fd, &peer) == 0)
		net_address_set(&stream->peer, &peer);
	return stream;
}

struct stream *stream_connect(struct worker *worker, const struct sockaddr_storage *to,
	const struct stream_events *events, void *owner)
{
	struct ring *ring = worker->ring;
	int fd = ring->ops->open_stream(ring, to->ss_family);
	struct stream *stream;

	if (fd < 0) {
		REFUSED(&worker->counters, REASON_CONNECT_FAILED);
		return NULL;
	}
	stream = open_stream(worker, fd, events, owner);
	if (!stream) {
		ring->ops->close(ring, fd);
		return NULL;
	}
	net_address_set(&stream->peer, to);
	stream->is_connecting = true;
	ring->ops->connect(ring, fd, &stream->peer.any, stream_token(stream, TOKEN_CONNECT));
	return stream;
}

static void on_connect(struct worker *worker, const struct ring_completion *c)
{
	struct stream *stream = stream_find(worker, ring_token_slot(c->token),
		ring_token_generation(c->token));

	if (!stream) {
		COUNT(&worker->counters, ring_late_completions);
		return;
	}
	stream->is_connecting = false;
	stream->is_connected = c->result >= 0;
	if (stream->is_closing) {
		bool goes_on = c->result >= 0 && stream_tls_finish(stream, SLICE_EMPTY);
		receive_nothing(stream);
		go_on_closing(stream, !goes_on);
		return;
	}
	if (c->result < 0) {
		stream_end(stream, -c->result);
		return;
	}
	if (stream->tls)
		stream_tls_begin(stream);
	else
		stream->events->on_connected(stream);
	stream = stream_find_open(worker, c->token);
	if (stream) {
		stream_start_receive(stream);
		stream_flush_later(stream);
	}
}

/* ---- closing ---- */

static void on_linger_over(struct timer *timer)
{
	stream_give_up((struct stream *)((char *)timer - offsetof(struct stream, pause_timer)));
}

void stream_close(struct stream *stream, bool at_once)
{
	assert(!stream->is_closing);
	stream->is_closing = true;
	stream->events = NULL;
	stream->owner = NULL;
	if (stream->tls)
		worker_disarm(stream->worker, &stream->tls->deadline);
	if (at_once || stream->has_ended || !(has_to_send(stream) || stream->queue.octets)) {
		stream_give_up(stream);
		return;
	}
	stream->lingers = (uint32_t)stream_queued(stream);
	streams_of(stream->worker)->lingering += stream->lingers;
	worker_arm(stream->worker, &stream->pause_timer, STREAM_LINGER_MS, on_linger_over);
	receive_nothing(stream);
	stream_flush_later(stream);
}

int stream_detach(struct stream *stream)
{
	int fd = stream->fd;

	assert(!stream->is_closing);
	if (stream_queued(stream) || is_in_flight(stream) || (stream->tls && tls_has_input(stream->tls->tls)))
		return -EBUSY;
	if (stream->tls)
		stream_tls_free(stream->tls, false);
	stream->tls = NULL;
	stream->worker->ring->ops->leave(stream->worker->ring, fd);
	release(stream);
	return fd;
}

bool stream_is_alive(struct stream *stream)
{
	struct sockaddr_storage peer;

	return stream->worker->ring->ops->peer_address(stream->worker->ring, stream->fd, &peer) == 0;
}

/* ---- the worker's streams ---- */

uint32_t stream_slot(const struct stream *stream)
{
	return pool_slot(stream);
}

uint32_t stream_generation(const struct stream *stream)
{
	return pool_generation(stream);
}

struct stream *stream_find(struct worker *worker, uint32_t slot, uint32_t generation)
{
	return pool_find(&streams_of(worker)->pool, slot, generation);
}

unsigned stream_count(const struct worker *worker)
{
	return pool_used(&streams_of(worker)->pool);
}

size_t stream_lingering(const struct worker *worker)
{
	return streams_of(worker)->lingering;
}

int stream_worker_init(struct worker *worker, unsigned streams_max)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (!streams)
		return ENOMEM;
	if (pool_init(&streams->pool, "connections", sizeof(struct stream), streams_max) != 0) {
		free(streams);
		return ENOMEM;
	}
	worker->streams = streams;
	worker->on_completion[TOKEN_RECV] = on_recv;
	worker->on_completion[TOKEN_SEND] = on_send;
	worker->on_completion[TOKEN_CONNECT] = on_connect;
	return 0;
}

/* The layers above are gone: only our completions are handled any more. */
static void last_turn(struct worker *worker)
{
	struct ring_completion completions[64];
	unsigned n = worker->ring->ops->turn(worker->ring, completions, 64, 1000);

	for (unsigned i = 0; i < n; i++) {
		unsigned kind = ring_token_kind(completions[i].token);
		if (kind >= TOKEN_RECV && kind <= TOKEN_CONNECT)
			worker->on_completion[kind](worker, &completions[i]);
		else if (completions[i].block)
			block_release(completions[i].block);
	}
}

static void forget_tasks(struct worker *worker)
{
	struct worker_task **link = &worker->tasks;

	while (*link) {
		struct worker_task *task = *link;
		if (task->run == flush) {
			*link = task->next;
			task->is_queued = false;
		} else {
			link = &task->next;
		}
	}
	worker->tasks_end = link;
}

void stream_worker_free(struct worker *worker)
{
	struct streams *streams = streams_of(worker);

	if (!streams)
		return;
	forget_tasks(worker);
	for (uint32_t slot = 0; slot < streams->pool.made; slot++) {
		struct stream *stream = pool_at(&streams->pool, slot);
		if (!stream)
			continue;
		stream->is_closing = true; /* what a layer left open has no events any more */
		stream_give_up(stream);
	}
	for (unsigned i = 0; i < LAST_TURNS_MAX && pool_used(&streams->pool); i++)
		last_turn(worker);
	pool_free(&streams->pool);
	send_buffers_free(&streams->buffers);
	free(streams->plain);
	free(streams);
	worker->streams = NULL;
}
