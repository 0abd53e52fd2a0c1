/*
 * The life of a stream: at most one receive, one send (or the connect) in
 * flight; whatever ends it, the descriptor is closed when the last of them has
 * given its final completion.
 *
 * A handler of the layer above may close or detach the stream inside any
 * event, so nothing of it is touched after an event until find_open() has said
 * that it is still there.
 */
#include "core/stream.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"

#define NO_BUFFERS_PAUSE_MS 3  /* a few turns of a busy worker give blocks back in that time     */
#define FREE_SMALL_MAX      256
#define FREE_LARGE_MAX      64 /* 4 MiB per worker stay warm; beyond that malloc() is asked      */
#define LAST_TURNS_MAX      1000 /* of stream_worker_free(), a millisecond each                  */

enum { TOKEN_RECV = TOKEN_STREAM_FIRST, TOKEN_SEND, TOKEN_CONNECT };

struct stream_buffer {
	struct stream_buffer *next;
	size_t start, end; /* what is queued of octets[]                                     */
	size_t size;       /* of octets[]; tells small, large and exact buffers apart        */
	char octets[];
};

#define SMALL_OCTETS (STREAM_BUFFER_SMALL - sizeof(struct stream_buffer))
#define LARGE_OCTETS (STREAM_BUFFER_LARGE - sizeof(struct stream_buffer))

/* Most recently used first: few hot buffers beat many cold ones (design.md 4). */
struct free_list {
	struct stream_buffer *first;
	unsigned count;
};

struct streams {
	struct pool pool;
	struct free_list small, large;
};

static struct streams *streams_of(const struct worker *worker)
{
	return worker->streams;
}

static ring_token token_of(const struct stream *stream, unsigned kind)
{
	return ring_token_of(kind, pool_slot(stream), pool_generation(stream));
}

/* ---- buffers ---- */

static struct stream_buffer *take_free(struct free_list *list)
{
	struct stream_buffer *buffer = list->first;

	if (buffer) {
		list->first = buffer->next;
		list->count--;
	}
	return buffer;
}

static struct stream_buffer *buffer_take(struct streams *streams, size_t size)
{
	struct stream_buffer *buffer = NULL;

	if (size == SMALL_OCTETS)
		buffer = take_free(&streams->small);
	else if (size == LARGE_OCTETS)
		buffer = take_free(&streams->large);
	if (!buffer)
		buffer = malloc(sizeof(*buffer) + size);
	if (!buffer)
		return NULL;
	buffer->next = NULL;
	buffer->start = buffer->end = 0;
	buffer->size = size;
	return buffer;
}

static bool put_free(struct free_list *list, unsigned max, struct stream_buffer *buffer)
{
	if (list->count == max)
		return false;
	buffer->next = list->first;
	list->first = buffer;
	list->count++;
	return true;
}

static void buffer_give(struct streams *streams, struct stream_buffer *buffer)
{
	if (buffer->size == SMALL_OCTETS && put_free(&streams->small, FREE_SMALL_MAX, buffer))
		return;
	if (buffer->size == LARGE_OCTETS && put_free(&streams->large, FREE_LARGE_MAX, buffer))
		return;
	free(buffer);
}

static size_t room_of(const struct stream_buffer *buffer)
{
	return buffer ? buffer->size - buffer->end : 0;
}

static size_t octets_of(const struct stream_buffer *buffer)
{
	return buffer->end - buffer->start;
}

static void append(struct stream *stream, struct stream_buffer *buffer)
{
	if (stream->last)
		stream->last->next = buffer;
	else
		stream->first = buffer;
	stream->last = buffer;
}

static void drop_first(struct stream *stream)
{
	struct stream_buffer *buffer = stream->first;

	stream->first = buffer->next;
	if (!stream->first)
		stream->last = NULL;
	buffer_give(streams_of(stream->worker), buffer);
}

/* An idle stream holds no buffer; one in flight belongs to the ring. */
static void drop_queue(struct stream *stream)
{
	struct stream_buffer *in_flight = stream->is_sending ? stream->first : NULL;
	struct stream_buffer *next = in_flight ? in_flight->next : stream->first;

	while (next) {
		struct stream_buffer *buffer = next;
		next = buffer->next;
		buffer_give(streams_of(stream->worker), buffer);
	}
	stream->first = stream->last = in_flight;
	stream->queued = in_flight ? octets_of(in_flight) : 0;
	if (in_flight)
		in_flight->next = NULL;
}

/* ---- the end ---- */

static void release(struct stream *stream)
{
	struct worker *worker = stream->worker;

	assert(!stream->is_sending);
	worker_disarm(worker, &stream->pause_timer);
	drop_queue(stream);
	pool_give(&streams_of(worker)->pool, stream);
	gauge_add(&worker->counters, GAUGE_connections, -1);
	pool_gauge_set(&worker->counters, POOL_connections, pool_used(&streams_of(worker)->pool));
}

/* The worker's list of tasks holds a stream as the ring does. */
static bool is_in_flight(const struct stream *stream)
{
	return stream->is_connecting || stream->is_receiving || stream->is_sending ||
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
	ring->ops->cancel(ring, token_of(stream, TOKEN_RECV));
}

/* Of a closing stream: nothing more is written. */
static void give_up(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;

	stream->has_ended = true;
	worker_disarm(stream->worker, &stream->pause_timer);
	drop_queue(stream);
	cancel_receive(stream);
	if (stream->is_connecting)
		ring->ops->cancel(ring, token_of(stream, TOKEN_CONNECT));
	if (stream->is_sending)
		ring->ops->cancel(ring, token_of(stream, TOKEN_SEND));
	release_if_idle(stream);
}

/* The last event.  `err` 0: the peer closed. */
static void end(struct stream *stream, int err)
{
	assert(!stream->has_ended); /* see find_open() */
	stream->has_ended = true;
	cancel_receive(stream);
	stream->events->on_end(stream, err);
}

/* The stream of a completion while the layer above still listens to it. */
static struct stream *find_open(struct worker *worker, ring_token token)
{
	struct stream *stream = pool_find(&streams_of(worker)->pool, ring_token_slot(token),
		ring_token_generation(token));

	return stream && !stream->is_closing && !stream->has_ended ? stream : NULL;
}

/* ---- receiving ---- */

static void start_receive(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;
	bool must_wait = !stream->is_connected || stream->is_receiving || stream->has_ended ||
			 timer_is_armed(&stream->pause_timer); /* also the linger, see below */

	if (must_wait || stream->receive == STREAM_PAUSED)
		return;
	stream->is_receiving = true;
	ring->ops->recv(ring, stream->fd, stream->receive == STREAM_MULTISHOT,
		token_of(stream, TOKEN_RECV));
}

static void on_pause_over(struct timer *timer)
{
	start_receive((struct stream *)((char *)timer - offsetof(struct stream, pause_timer)));
}

void stream_set_receive(struct stream *stream, enum stream_receive receive)
{
	bool is_multishot = stream->receive == STREAM_MULTISHOT;

	assert(!stream->is_closing);
	stream->receive = receive;
	if (receive == STREAM_PAUSED || (receive == STREAM_ONE_SHOT && is_multishot))
		cancel_receive(stream); /* its final completion starts the other kind, if any */
	start_receive(stream);
}

/* All that a peer sends comes through here. */
static void on_received(struct worker *worker, const struct ring_completion *c)
{
	struct stream *stream = find_open(worker, c->token);

	if (stream && c->result > 0) {
		stream->events->on_data(stream, c->data);
		stream = find_open(worker, c->token);
	}
	if (c->block)
		block_release(c->block);
	if (!stream || c->more)
		return;
	if (c->result == -ENOBUFS) {
		COUNT(&worker->counters, ring_no_buffers);
		worker_arm(worker, &stream->pause_timer, NO_BUFFERS_PAUSE_MS, on_pause_over);
	} else if (c->result > 0 || c->result == -ECANCELED || c->result == -EINTR) {
		start_receive(stream);
	} else {
		end(stream, -c->result);
	}
}

/* While a closing stream writes its last octets it reads and forgets: octets that lie unread when
 * the descriptor is closed make the kernel send a reset, which may overtake what we wrote. */
static void receive_nothing(struct stream *stream)
{
	struct ring *ring = stream->worker->ring;

	if (stream->has_ended || stream->is_receiving || !stream->is_connected)
		return;
	stream->is_receiving = true;
	ring->ops->recv(ring, stream->fd, false, token_of(stream, TOKEN_RECV));
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
	if (c->block)
		block_release(c->block);
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
	struct stream_buffer *buffer;

	assert(!stream->is_sending); /* nobody but us starts a send */
	if (!stream->is_connected || stream->queued == 0)
		return;
	while (octets_of(stream->first) == 0) /* reserved, nothing committed */
		drop_first(stream);
	buffer = stream->first;
	stream->is_sending = true;
	ring->ops->send(ring, stream->fd, buffer->octets + buffer->start, octets_of(buffer),
		token_of(stream, TOKEN_SEND));
}

static void flush(struct worker *worker, struct worker_task *task)
{
	struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, flush_task));

	if (!stream->has_ended)
		send_first(stream);
	else if (stream->is_closing)
		release_if_idle(stream);
}

/* The ring submits after the turn, so waiting for its end costs nothing. */
static void flush_later(struct stream *stream)
{
	if (stream->queued && !stream->is_sending && stream->is_connected && !stream->has_ended)
		worker_at_turn_end(stream->worker, &stream->flush_task);
}

static void take_off(struct stream *stream, size_t n)
{
	assert(n <= octets_of(stream->first));
	stream->first->start += n;
	stream->queued -= n;
	if (octets_of(stream->first) == 0)
		drop_first(stream);
}

/* Closing: everything is written, or it failed; else the next buffer. */
static void go_on_closing(struct stream *stream, bool has_failed)
{
	if (stream->has_ended)
		release_if_idle(stream);
	else if (has_failed || stream->queued == 0)
		give_up(stream);
	else
		flush_later(stream);
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
	stream->is_sending = false;
	if (c->result > 0)
		take_off(stream, (size_t)c->result);
	if (stream->is_closing) {
		go_on_closing(stream, has_failed);
		return;
	}
	if (stream->has_ended)
		return;
	if (has_failed) {
		end(stream, -c->result);
		return;
	}
	if (c->result > 0)
		stream->events->on_written(stream);
	stream = find_open(worker, c->token);
	if (stream)
		flush_later(stream);
}

/* A buffer for the end of the queue with room for `n` contiguous octets. */
static struct stream_buffer *new_buffer(struct stream *stream, size_t n, bool is_empty)
{
	size_t size = is_empty && n <= SMALL_OCTETS ? SMALL_OCTETS : LARGE_OCTETS;

	return buffer_take(streams_of(stream->worker), n > size ? n : size);
}

/* A chain of buffers for n octets; NULL: no memory. */
static struct stream_buffer *new_chain(struct stream *stream, size_t n)
{
	struct stream_buffer *first = NULL, **end_of_chain = &first;
	size_t covered = 0;

	while (covered < n) {
		size_t part = n - covered < LARGE_OCTETS ? n - covered : LARGE_OCTETS;
		struct stream_buffer *buffer = new_buffer(stream, part, !stream->first && !first);
		if (!buffer) {
			while ((buffer = first)) {
				first = buffer->next;
				buffer_give(streams_of(stream->worker), buffer);
			}
			return NULL;
		}
		*end_of_chain = buffer;
		end_of_chain = &buffer->next;
		covered += buffer->size;
	}
	return first;
}

/* What began small and grows within a turn moves into a large buffer, so that it is one send after
 * all.  False: no memory. */
static bool enlarge(struct stream *stream)
{
	struct stream_buffer *small = stream->first, *large;

	if (!small || small->next || stream->is_sending || small->size != SMALL_OCTETS)
		return true;
	large = buffer_take(streams_of(stream->worker), LARGE_OCTETS);
	if (!large)
		return false;
	large->end = octets_of(small);
	memcpy(large->octets, small->octets + small->start, large->end);
	drop_first(stream);
	append(stream, large);
	return true;
}

static size_t put(struct stream_buffer *buffer, struct slice octets)
{
	size_t n = octets.n < room_of(buffer) ? octets.n : room_of(buffer);

	if (n)
		memcpy(buffer->octets + buffer->end, octets.p, n);
	buffer->end += n;
	return n;
}

int stream_write(struct stream *stream, struct slice octets)
{
	struct stream_buffer *chain = NULL;
	size_t room;

	assert(!stream->is_closing);
	if (octets.n == 0)
		return 0;
	if (octets.n > room_of(stream->last) && !enlarge(stream))
		return ENOMEM;
	room = room_of(stream->last);
	if (octets.n > room) {
		chain = new_chain(stream, octets.n - room);
		if (!chain)
			return ENOMEM;
	}
	stream->queued += octets.n;
	if (room)
		octets = slice_skip(octets, put(stream->last, octets));
	while (chain) {
		struct stream_buffer *buffer = chain;
		chain = buffer->next;
		buffer->next = NULL;
		octets = slice_skip(octets, put(buffer, octets));
		append(stream, buffer);
	}
	flush_later(stream);
	return 0;
}

char *stream_reserve(struct stream *stream, size_t n)
{
	struct stream_buffer *buffer;

	assert(!stream->is_closing);
	if (room_of(stream->last) < n && !enlarge(stream))
		return NULL;
	buffer = stream->last;
	if (!buffer || room_of(buffer) < n) {
		buffer = new_buffer(stream, n, !stream->first);
		if (!buffer)
			return NULL;
		append(stream, buffer);
	}
	return buffer->octets + buffer->end;
}

void stream_commit(struct stream *stream, size_t n)
{
	assert(stream->last && n <= room_of(stream->last));
	stream->last->end += n;
	stream->queued += n;
	flush_later(stream);
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

	if (!stream)
		return NULL;
	stream->is_connected = true;
	/* a peer that has gone already has no address; the first receive tells it */
	(void)worker->ring->ops->peer_address(worker->ring, fd, &stream->peer);
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
	stream->peer = *to;
	stream->is_connecting = true;
	ring->ops->connect(ring, fd, &stream->peer, token_of(stream, TOKEN_CONNECT));
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
		receive_nothing(stream);
		go_on_closing(stream, c->result < 0);
		return;
	}
	if (c->result < 0) {
		end(stream, -c->result);
		return;
	}
	stream->events->on_connected(stream);
	stream = find_open(worker, c->token);
	if (stream) {
		start_receive(stream);
		flush_later(stream);
	}
}

/* ---- closing ---- */

static void on_linger_over(struct timer *timer)
{
	give_up((struct stream *)((char *)timer - offsetof(struct stream, pause_timer)));
}

void stream_close(struct stream *stream, bool at_once)
{
	assert(!stream->is_closing);
	stream->is_closing = true;
	stream->events = NULL;
	stream->owner = NULL;
	if (at_once || stream->has_ended || stream->queued == 0) {
		give_up(stream);
		return;
	}
	worker_arm(stream->worker, &stream->pause_timer, STREAM_LINGER_MS, on_linger_over);
	receive_nothing(stream);
	flush_later(stream);
}

int stream_detach(struct stream *stream)
{
	int fd = stream->fd;

	assert(!stream->is_closing);
	if (stream->queued || is_in_flight(stream))
		return -EBUSY;
	release(stream);
	return fd;
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
	struct stream_buffer *buffer;

	if (!streams)
		return;
	forget_tasks(worker);
	for (uint32_t slot = 0; slot < streams->pool.made; slot++) {
		struct stream *stream = pool_at(&streams->pool, slot);
		if (!stream)
			continue;
		stream->is_closing = true; /* what a layer left open has no events any more */
		give_up(stream);
	}
	for (unsigned i = 0; i < LAST_TURNS_MAX && pool_used(&streams->pool); i++)
		last_turn(worker);
	pool_free(&streams->pool);
	while ((buffer = take_free(&streams->small)) || (buffer = take_free(&streams->large)))
		free(buffer);
	free(streams);
	worker->streams = NULL;
}
