/*
 * Streams on all three rings, both ends on one worker; on the simulator from
 * several seeds.  Tests of io_uring are skipped, and counted as such, where
 * the machine does not let us use it.
 */
#include "core/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "tests/sim/ring_sim.h"
#include "core/tls.h"
#include "tests/unit/test.h"
#include "tests/unit/tls_pem.h"

#define KB(n)       ((size_t)(n) * 1024)
#define MB(n)       (KB(n) * 1024)
#define PATIENCE_MS 20000
#define LITTLE_MS   60 /* long enough to see that nothing comes */
#define STREAMS_MAX 64
#define ENDS_MAX    32
#define SEEDS       8   /* of each test on the simulator   */
#define ROUGH_SEEDS 300 /* of the test with a rough network */
#define ROUGH_SECURE_SEEDS 25
#define SECURE_SEEDS 1

enum { TOKEN_ACCEPT = TOKEN_KINDS - 1 };

enum implementation { ON_URING, ON_EPOLL, ON_SIMULATOR };

struct ground {
	enum implementation on;
	uint64_t seed; /* of the simulator */
	bool is_secure; /* TLS on both ends */
};

enum event { EVENT_NONE, EVENT_CONNECTED, EVENT_DATA, EVENT_WRITTEN, EVENT_END };
enum action { ACT_CLOSE, ACT_CLOSE_AT_ONCE, ACT_DETACH };

/* One end of a connection: what it does and what it saw. */
struct end {
	struct stream *stream; /* NULL once closed or detached */
	struct world *world;
	size_t to_send, sent;  /* of the pattern; refilled up to `window` */
	size_t window;
	size_t received;       /* octets, each compared with the pattern */
	size_t echo_high;      /* not 0: writes back what it gets and pauses above that */
	size_t queued_max;
	unsigned connected, written, ended;
	int end_err;
	enum event on;         /* do `action` in that event */
	enum action action;
	int detached;          /* what stream_detach() said */
	struct tls *tls;       /* of what was detached      */
	enum stream_receive receive;
};

struct world {
	struct ground ground;
	struct sim *sim;       /* or NULL */
	struct worker_group group;
	struct worker worker;
	struct ring_ops ops;   /* the ring's own, with our clock and send in it */
	const struct ring_ops *real;
	unsigned sends;
	int listener;
	struct sockaddr_storage address;
	struct timer tick;     /* so that no turn waits for ever */
	struct end ends[ENDS_MAX];
	unsigned end_count;
	struct end *accepting; /* how the next accepted ends are set up */
	int descriptors;       /* open before */
};

static struct tls_set *certificates;
static struct world *world_here; /* for the functions in `ops`, which know only their ring */
static uint64_t skipped_us;

static char pattern(size_t at)
{
	return (char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void fill(char *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(from + i);
}

static int open_descriptors(struct world *w)
{
	int n = 0;

	if (w->sim)
		return (int)sim_descriptors(w->sim);
	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- the layer above ---- */

static bool act(struct end *end, enum event event)
{
	struct stream *stream = end->stream;

	if (!stream || end->on != event)
		return false;
	switch (end->action) {
	case ACT_CLOSE:
	case ACT_CLOSE_AT_ONCE:
		end->stream = NULL;
		stream_close(stream, end->action == ACT_CLOSE_AT_ONCE);
		return true;
	case ACT_DETACH:
		stream_set_receive(stream, STREAM_PAUSED);
		end->tls = stream_tls_of(stream);
		end->detached = stream_detach(stream);
		if (end->detached >= 0)
			end->stream = NULL;
		return true;
	}
	return false;
}

static void send_some(struct end *end)
{
	char piece[5000];

	while (end->stream && end->sent < end->to_send && stream_queued(end->stream) < end->window) {
		size_t n = end->to_send - end->sent < sizeof(piece) ? end->to_send - end->sent : sizeof(piece);
		fill(piece, end->sent, n);
		assert_int_equal(stream_write(end->stream, slice_of(piece, n)), 0);
		end->sent += n;
	}
}

static void on_connected(struct stream *stream)
{
	struct end *end = stream->owner;

	end->connected++;
	act(end, EVENT_CONNECTED);
}

static void on_data(struct stream *stream, struct slice data)
{
	struct end *end = stream->owner;

	assert_ptr_equal(end->stream, stream);
	for (size_t i = 0; i < data.n; i++)
		CHECK(data.p[i] == pattern(end->received + i), "octet %zu differs\n", end->received + i);
	end->received += data.n;
	if (end->echo_high) {
		assert_int_equal(stream_write(stream, data), 0);
		if (stream_queued(stream) > end->echo_high)
			stream_set_receive(stream, STREAM_PAUSED);
		if (stream_queued(stream) > end->queued_max)
			end->queued_max = stream_queued(stream);
	}
	act(end, EVENT_DATA);
}

static void on_written(struct stream *stream)
{
	struct end *end = stream->owner;

	end->written++;
	if (end->echo_high && stream_queued(stream) < end->echo_high / 2)
		stream_set_receive(stream, end->receive);
	if (!act(end, EVENT_WRITTEN))
		send_some(end);
}

static void on_end(struct stream *stream, int err)
{
	struct end *end = stream->owner;

	end->ended++;
	end->end_err = err;
	act(end, EVENT_END);
}

static const struct stream_events events = { on_connected, on_data, on_written, on_end };

static struct stream *secured(struct end *end, struct tls *tls)
{
	if (end->stream && tls)
		assert_int_equal(stream_secure(end->stream, tls, PATIENCE_MS), 0);
	return end->stream;
}

static struct stream *adopt(struct end *end, int fd)
{
	struct world *w = end->world;

	end->stream = stream_adopt(&w->worker, fd, &events, end);
	return secured(end, w->ground.is_secure && end->stream ? tls_accept(certificates, 0, TLS_MSRP) : NULL);
}

static struct stream *connect_to_us(struct end *end)
{
	struct world *w = end->world;

	end->stream = stream_connect(&w->worker, &w->address, &events, end);
	return secured(end, w->ground.is_secure && end->stream ? tls_connect(certificates, TLS_MSRP, "127.0.0.1") : NULL);
}

/* ---- the world ---- */

static struct end *new_end(struct world *w)
{
	assert_true(w->end_count < ENDS_MAX);
	struct end *end = &w->ends[w->end_count++];

	*end = (struct end){ .world = w, .receive = STREAM_MULTISHOT, .window = KB(256) };
	return end;
}

static void on_accepted(struct worker *worker, const struct ring_completion *c)
{
	struct world *w = world_here;

	if (c->result < 0) {
		assert_int_equal(c->result, -ECANCELED);
		w->listener = c->more ? w->listener : -1;
		return;
	}
	if (w->end_count == ENDS_MAX) {
		worker->ring->ops->close(worker->ring, c->result);
		return;
	}
	struct end *end = new_end(w);
	if (w->accepting) {
		*end = *w->accepting;
		end->world = w;
	}
	if (!adopt(end, c->result)) {
		worker->ring->ops->close(worker->ring, c->result);
		return;
	}
	stream_set_receive(end->stream, end->receive);
	send_some(end);
}

static void on_tick(struct timer *timer)
{
	worker_arm(&world_here->worker, timer, 5, on_tick);
}

static uint64_t shifted_now_us(struct ring *ring)
{
	return world_here->real->now_us(ring) + skipped_us;
}

static void counted_send(struct ring *ring, int fd, const void *p, size_t n, ring_token token)
{
	world_here->sends++;
	world_here->real->send(ring, fd, p, n, token);
}

static void open_world(struct world *w, const struct ring_options *options)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct ring *ring;
	int err = 0;

	world_here = w;
	skipped_us = 0;
	if (w->ground.on == ON_SIMULATOR && !w->sim)
		w->sim = sim_new(w->ground.seed, &SIM_CALM);
	w->descriptors = open_descriptors(w);
	if (w->sim)
		ring = sim_ring_new(w->sim, options);
	else if (w->ground.on == ON_URING)
		err = ring_open_uring(&ring, options);
	else
		err = ring_open_epoll(&ring, options);
	assert_int_equal(err, 0);
	w->real = ring->ops;
	w->ops = *ring->ops;
	w->ops.now_us = shifted_now_us;
	w->ops.send = counted_send;
	ring->ops = &w->ops;
	w->group.count = 1;
	assert_int_equal(worker_init(&w->worker, 0, &w->group), 0);
	worker_use_ring(&w->worker, ring);
	assert_int_equal(stream_worker_init(&w->worker, STREAMS_MAX), 0);
	memcpy(&w->address, &any, sizeof(any));
	w->listener = ring->ops->open_listener(ring, &w->address);
	assert_true(w->listener >= 0);
	assert_int_equal(ring->ops->local_address(ring, w->listener, &w->address), 0);
	w->worker.on_completion[TOKEN_ACCEPT] = on_accepted;
	ring->ops->accept(ring, w->listener, ring_token_of(TOKEN_ACCEPT, 0, 1));
	worker_arm(&w->worker, &w->tick, 5, on_tick);
}

static void turn(struct world *w)
{
	worker_turn(&w->worker, true);
	if (w->sim && !sim_runnable(w->sim, w->worker.ring))
		sim_advance(w->sim);
}

#define UNTIL(w, condition, limit_ms)                                             \
	do {                                                                      \
		uint64_t until_here = worker_now_ms(&(w)->worker) + (limit_ms);    \
		while (!(condition) && worker_now_ms(&(w)->worker) < until_here)   \
			turn(w);                                                   \
	} while (0)

#define AWAIT(w, condition)                                                    \
	do {                                                                   \
		UNTIL(w, condition, PATIENCE_MS);                              \
		CHECK(condition, "%s did not come true\n", #condition);       \
	} while (0)

static void pass_time(struct world *w, uint64_t ms)
{
	UNTIL(w, false, ms);
}

static int setup(void **state)
{
	static const struct ring_options options = { .entries = 256, .buffers = 64, .buffer_size = 16384 };
	const struct ground *ground = *state;
	struct world *w = calloc(1, sizeof(*w));

	w->ground = *ground;
	*state = w;
	if (ground->on == ON_URING && ring_probe_uring() != 0) {
		free(w);
		*state = NULL;
		return 0;
	}
	open_world(w, &options);
	return 0;
}

static void close_listener(struct world *w)
{
	struct ring *ring = w->worker.ring;
	int fd = w->listener;

	ring->ops->cancel(ring, ring_token_of(TOKEN_ACCEPT, 0, 1));
	AWAIT(w, w->listener == -1);
	ring->ops->close(ring, fd);
}

/* Nothing may be left: no stream, no block, no timer, no descriptor. */
static void close_world(struct world *w)
{
	for (unsigned i = 0; i < w->end_count; i++) {
		if (w->ends[i].stream)
			stream_close(w->ends[i].stream, true);
		w->ends[i].stream = NULL;
	}
	close_listener(w);
	AWAIT(w, stream_count(&w->worker) == 0);
	assert_int_equal(w->worker.counters.gauges[GAUGE_connections], 0);
	assert_int_equal(w->worker.ring->ops->blocks_in_use(w->worker.ring), 0);
	worker_disarm(&w->worker, &w->tick);
	assert_int_equal(w->worker.timers.armed, 0);
	assert_null(w->worker.tasks);
	assert_int_equal(w->worker.counters.values[COUNTER_ring_late_completions], 0);
	stream_worker_free(&w->worker);
	worker_free(&w->worker);
	assert_int_equal(open_descriptors(w), w->descriptors);
	if (w->sim)
		sim_free(w->sim);
	w->sim = NULL;
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w)
		close_world(w);
	free(w);
	return 0;
}

static struct world *world_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static struct end *connect_end(struct world *w)
{
	struct end *end = new_end(w);

	assert_non_null(connect_to_us(end));
	stream_set_receive(end->stream, end->receive);
	return end;
}

/* Both ends of a new connection. */
static void make_pair(struct world *w, struct end **client, struct end **server)
{
	unsigned before = w->end_count;

	*client = connect_end(w);
	AWAIT(w, (*client)->connected && w->end_count == before + 2);
	*server = &w->ends[before + 1];
	assert_non_null((*server)->stream);
}

/* ---- tests ---- */

static void echo(struct world *w, enum stream_receive receive)
{
	struct end accepting = { .echo_high = KB(128), .receive = receive };
	struct end *client, *server;

	w->accepting = &accepting;
	make_pair(w, &client, &server);
	stream_set_receive(client->stream, receive);
	client->to_send = MB(8);
	send_some(client);
	/* the client reads only every other while */
	for (unsigned i = 0; client->received < MB(8) && i < 100000; i++) {
		stream_set_receive(client->stream, i % 8 < 4 ? STREAM_PAUSED : receive);
		turn(w);
	}
	CHECK(client->received == MB(8), "%zu octets came back\n", client->received);
	/* what is above the mark when the reading stops, and what a cancelled receive still brings */
	CHECK(server->queued_max <= KB(128) + 64 * KB(16), "%zu octets queued\n", server->queued_max);
	assert_int_equal(stream_queued(client->stream), 0);
	assert_int_equal(server->ended + client->ended, 0);
}

static void eight_mib_come_back_one_shot(void **state)
{
	echo(world_of(state), STREAM_ONE_SHOT);
}

static void eight_mib_come_back_multishot(void **state)
{
	echo(world_of(state), STREAM_MULTISHOT);
}

static void who_does_not_read_holds_the_sender(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;

	make_pair(w, &client, &server);
	client->to_send = MB(32);
	client->window = MB(32);
	send_some(client);
	AWAIT(w, server->received > KB(64));
	stream_set_receive(server->stream, STREAM_PAUSED);
	pass_time(w, LITTLE_MS);
	size_t received = server->received, queued = stream_queued(client->stream);
	assert_true(queued > MB(8)); /* more than two sockets hold */
	pass_time(w, LITTLE_MS);
	assert_int_equal(server->received, received);
	assert_int_equal(stream_queued(client->stream), queued);
	stream_set_receive(server->stream, STREAM_MULTISHOT);
	AWAIT(w, server->received == MB(32));
	assert_int_equal(stream_queued(client->stream), 0);
}

static void modes_may_change_at_any_time(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	unsigned seed = 7;

	make_pair(w, &client, &server);
	client->to_send = MB(4);
	send_some(client);
	for (unsigned i = 0; server->received < MB(4) && i < 200000; i++) {
		for (unsigned j = rand_r(&seed) % 4; j > 0; j--)
			stream_set_receive(server->stream, (enum stream_receive)(rand_r(&seed) % 3));
		if (i % 16 == 0)
			stream_set_receive(server->stream, STREAM_MULTISHOT);
		turn(w);
	}
	CHECK(server->received == MB(4), "%zu octets came\n", server->received);
}

static void what_is_queued_when_closing_is_delivered(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;

	for (unsigned unread = 0; unread <= KB(64); unread += KB(64)) {
		make_pair(w, &client, &server);
		/* octets that the closing end never read must not turn the end into a reset */
		stream_set_receive(client->stream, STREAM_PAUSED);
		pass_time(w, 10);
		server->to_send = unread;
		send_some(server);
		pass_time(w, 10);
		client->to_send = client->window = MB(4);
		send_some(client);
		assert_int_equal(stream_queued(client->stream), MB(4));
		stream_close(client->stream, false);
		client->stream = NULL;
		for (unsigned i = 0; !server->ended && i < 100000; i++) {
			stream_set_receive(server->stream, i % 4 < 2 ? STREAM_PAUSED : STREAM_MULTISHOT);
			turn(w);
		}
		assert_int_equal(server->received, MB(4));
		assert_int_equal(server->ended, 1);
		assert_int_equal(server->end_err, 0);
	}
}

static void closing_while_connecting_delivers_too(void **state)
{
	struct world *w = world_of(state);
	struct end *client = connect_end(w);

	client->to_send = KB(100);
	send_some(client);
	assert_int_equal(client->connected, 0);
	stream_close(client->stream, false);
	client->stream = NULL;
	AWAIT(w, w->end_count == 2 && w->ends[1].ended);
	assert_int_equal(w->ends[1].received, KB(100));
	assert_int_equal(client->connected + client->written + client->ended, 0);
}

static void a_linger_ends(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;

	make_pair(w, &client, &server);
	stream_set_receive(server->stream, STREAM_PAUSED);
	client->to_send = client->window = MB(32);
	send_some(client);
	stream_close(client->stream, false);
	client->stream = NULL;
	pass_time(w, LITTLE_MS);
	assert_int_equal(stream_count(&w->worker), 2);
	skipped_us = (STREAM_LINGER_MS - 2 * LITTLE_MS) * 1000ull;
	worker_turn(&w->worker, false);
	assert_int_equal(stream_count(&w->worker), 2);
	skipped_us = STREAM_LINGER_MS * 1000ull;
	AWAIT(w, stream_count(&w->worker) == 1);
}

static void detaching_waits_for_what_is_in_flight(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	int fd;

	make_pair(w, &client, &server);
	assert_int_equal(stream_detach(server->stream), -EBUSY); /* a receive */
	stream_set_receive(server->stream, STREAM_PAUSED);
	assert_int_equal(stream_detach(server->stream), -EBUSY); /* and its cancel */
	server->to_send = KB(10);
	send_some(server);
	assert_int_equal(stream_detach(server->stream), -EBUSY); /* octets */
	AWAIT(w, client->received == KB(10));
	pass_time(w, 10);
	struct tls *tls = stream_tls_of(server->stream);
	fd = stream_detach(server->stream);
	assert_true(fd >= 0);
	server->stream = NULL;
	assert_int_equal(stream_count(&w->worker), 1);
	assert_int_equal(client->ended, 0);
	tls_free(tls);
	w->worker.ring->ops->close(w->worker.ring, fd); /* ours, and nothing in flight on it */
	AWAIT(w, client->ended);
}

static void a_detached_descriptor_goes_on_elsewhere(void **state)
{
	struct world *w = world_of(state);
	struct end accepting = { .receive = STREAM_ONE_SHOT, .on = EVENT_DATA, .action = ACT_DETACH };
	struct end *client, *server, *second;

	w->accepting = &accepting;
	make_pair(w, &client, &server);
	client->to_send = 100;
	send_some(client);
	AWAIT(w, !server->stream); /* perhaps before all of it came */
	assert_true(server->detached >= 0 && server->received > 0);
	assert_int_equal(stream_count(&w->worker), 1);
	client->to_send = 300; /* waits in the socket meanwhile */
	send_some(client);
	pass_time(w, LITTLE_MS);
	second = new_end(w);
	second->received = server->received;
	second->stream = stream_adopt(&w->worker, server->detached, &events, second);
	assert_non_null(secured(second, server->tls));
	stream_set_receive(second->stream, STREAM_MULTISHOT);
	AWAIT(w, second->received == 300);
	second->to_send = 50;
	send_some(second);
	AWAIT(w, client->received == 50);
	assert_int_equal(server->ended, 0);
}

static void too_few_blocks_only_cost_time(void **state)
{
	static const struct ring_options few = { .entries = 64, .buffers = 2, .buffer_size = 1024 };
	struct world *w = world_of(state);
	struct end *clients[12];
	struct ground ground = w->ground;
	size_t received = 0;

	close_world(w);
	*w = (struct world){ .ground = ground };
	open_world(w, &few);
	for (unsigned i = 0; i < 12; i++)
		clients[i] = connect_end(w);
	AWAIT(w, w->end_count == 24);
	for (unsigned i = 0; i < 12; i++) {
		clients[i]->to_send = KB(16);
		send_some(clients[i]);
	}
	for (uint64_t until = worker_now_ms(&w->worker) + PATIENCE_MS;
	     received < 12 * KB(16) && worker_now_ms(&w->worker) < until;) {
		turn(w);
		received = 0;
		for (unsigned i = 0; i < 24; i++)
			received += w->ends[i].received;
	}
	CHECK(received == 12 * KB(16), "%zu octets came\n", received);
	assert_true(w->worker.counters.values[COUNTER_ring_no_buffers] > 0);
}

static void a_refused_connect_ends_it(void **state)
{
	struct world *w = world_of(state);
	struct sockaddr_storage nobody = w->address;
	struct end *end = new_end(w);
	struct ring *ring = w->worker.ring;
	int fd;

	((struct sockaddr_in *)&nobody)->sin_port = 0;
	fd = ring->ops->open_listener(ring, &nobody);
	ring->ops->local_address(ring, fd, &nobody);
	ring->ops->close(ring, fd); /* a port that nobody listens on */
	end->stream = stream_connect(&w->worker, &nobody, &events, end);
	assert_int_equal(end->ended, 0); /* never inside the call */
	stream_write(end->stream, SLICE("lost"));
	AWAIT(w, end->ended);
	assert_int_equal(end->end_err, ECONNREFUSED);
	assert_int_equal(end->connected, 0);
	stream_close(end->stream, false); /* nobody to write to: gone at once */
	end->stream = NULL;
	assert_int_equal(stream_count(&w->worker), 0);
}

static void who_is_gone_is_told_once(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;

	make_pair(w, &client, &server);
	server->to_send = server->window = MB(16); /* still in flight when the end comes */
	stream_set_receive(client->stream, STREAM_PAUSED);
	send_some(server);
	pass_time(w, 10);
	stream_close(client->stream, true);
	client->stream = NULL;
	AWAIT(w, server->ended);
	pass_time(w, LITTLE_MS);
	assert_int_equal(server->ended, 1);
	unsigned written = server->written;
	stream_write(server->stream, SLICE("to nobody"));
	pass_time(w, LITTLE_MS);
	assert_int_equal(server->written, written);
}

static void closing_inside_every_event(void **state)
{
	struct world *w = world_of(state);
	static const enum event where[] = { EVENT_CONNECTED, EVENT_DATA, EVENT_WRITTEN, EVENT_END };

	for (unsigned i = 0; i < 4 * 2 * 2; i++) {
		bool queued = i % 4 >= 2;
		struct end accepting = { .receive = i % 8 < 4 ? STREAM_ONE_SHOT : STREAM_MULTISHOT,
			.to_send = KB(300), .window = KB(64) };
		w->end_count = 0;
		w->accepting = &accepting;
		struct end *end = connect_end(w);
		end->on = where[i / 4];
		end->action = i % 2 ? ACT_CLOSE : ACT_CLOSE_AT_ONCE;
		end->to_send = queued || end->on == EVENT_WRITTEN ? KB(300) : 0;
		send_some(end);
		if (end->on == EVENT_END) {
			AWAIT(w, w->end_count == 2 && w->ends[1].written);
			stream_close(w->ends[1].stream, true);
			w->ends[1].stream = NULL;
		}
		AWAIT(w, !end->stream);
		AWAIT(w, w->end_count == 2);
		if (w->ends[1].stream) {
			AWAIT(w, w->ends[1].ended);
			stream_close(w->ends[1].stream, true);
			w->ends[1].stream = NULL;
		}
		AWAIT(w, stream_count(&w->worker) == 0);
	}
}

static void all_ways_to_write_keep_the_order(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	unsigned seed = 11;
	size_t at = 0;

	make_pair(w, &client, &server);
	while (at < MB(4)) {
		static const size_t most[] = { 1, 40, 5000, 70000, 300000 };
		size_t n = (size_t)rand_r(&seed) % most[rand_r(&seed) % 5] + 1;
		if (rand_r(&seed) % 2) {
			char *piece = malloc(n);
			fill(piece, at, n);
			assert_int_equal(stream_write(client->stream, slice_of(piece, n)), 0);
			free(piece);
			at += n;
		} else {
			char *room = stream_reserve(client->stream, n);
			assert_non_null(room);
			size_t part = rand_r(&seed) % 3 ? n : rand_r(&seed) % n;
			fill(room, at, part);
			memset(room + part, '!', n - part); /* all of it is ours */
			stream_commit(client->stream, part);
			at += part;
		}
		if (rand_r(&seed) % 4 == 0)
			worker_turn(&w->worker, false);
		assert_int_equal(stream_write(client->stream, SLICE_EMPTY), 0);
	}
	AWAIT(w, server->received == at);
	assert_int_equal(stream_queued(client->stream), 0);
}

static void a_reservation_may_stay_unused(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	char *piece = malloc(KB(200));

	make_pair(w, &client, &server);
	w->sends = 0;
	for (size_t n = 1; n <= KB(128); n *= 2) { /* each too large for the buffer before it */
		assert_non_null(stream_reserve(client->stream, n));
		stream_commit(client->stream, 0);
	}
	pass_time(w, LITTLE_MS);
	assert_int_equal(w->sends, 0);
	fill(piece, 0, KB(200));
	stream_write(client->stream, slice_of(piece, KB(200)));
	AWAIT(w, server->received == KB(200));
	assert_non_null(stream_reserve(client->stream, 1));
	stream_commit(client->stream, 0);
	free(piece);
}

static void what_a_turn_writes_is_one_send(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	char piece[300];

	make_pair(w, &client, &server);
	w->sends = 0;
	for (unsigned i = 0; i < 100; i++) {
		fill(piece, i * sizeof(piece), sizeof(piece));
		stream_write(client->stream, slice_of(piece, sizeof(piece)));
	}
	assert_int_equal(w->sends, 0);
	worker_turn(&w->worker, false);
	assert_int_equal(w->sends, 1);
	AWAIT(w, server->received == 100 * sizeof(piece));
	assert_true(w->sends == 1 || w->sim); /* which writes short */
}

static void names_of_streams_that_are_gone_find_nothing(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;

	make_pair(w, &client, &server);
	uint32_t slot = stream_slot(client->stream), generation = stream_generation(client->stream);
	assert_ptr_equal(stream_find(&w->worker, slot, generation), client->stream);
	stream_close(client->stream, true);
	client->stream = NULL;
	AWAIT(w, stream_count(&w->worker) == 1);
	assert_null(stream_find(&w->worker, slot, generation));
	struct ring_completion late = { .result = -ECANCELED };
	for (unsigned kind = TOKEN_STREAM_FIRST; kind < TOKEN_STREAM_FIRST + 3; kind++) {
		late.token = ring_token_of(kind, slot, generation);
		w->worker.on_completion[kind](&w->worker, &late);
	}
	assert_int_equal(w->worker.counters.values[COUNTER_ring_late_completions], 3);
	w->worker.counters.values[COUNTER_ring_late_completions] = 0; /* as close_world() wants it */
}

static void an_exhausted_pool_refuses(void **state)
{
	struct world *w = world_of(state);
	struct stream *extra[STREAMS_MAX] = { 0 };
	struct end *end, *client, *server;
	int pair[2];

	while (w->end_count < ENDS_MAX)
		make_pair(w, &client, &server);
	end = client;
	for (unsigned i = stream_count(&w->worker); i < STREAMS_MAX; i++)
		extra[i] = stream_connect(&w->worker, &w->address, &events, end);
	assert_int_equal(stream_count(&w->worker), STREAMS_MAX);
	assert_null(stream_connect(&w->worker, &w->address, &events, end)); /* its descriptor is closed */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_null(stream_adopt(&w->worker, pair[0], &events, end));
	assert_int_equal(w->worker.counters.refused[REASON_POOL_EXHAUSTED], 2);
	assert_int_equal(close(pair[0]) | close(pair[1]), 0); /* still ours */
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (extra[i])
			stream_close(extra[i], true);
	AWAIT(w, stream_count(&w->worker) == ENDS_MAX);
}

/* A worker that stops frees its streams, whatever they were doing. */
static void a_worker_may_stop_in_the_middle(void **state)
{
	struct world *w = world_of(state);
	struct end *client, *server;
	struct ground ground = w->ground;

	make_pair(w, &client, &server);
	client->to_send = client->window = MB(32);
	stream_set_receive(server->stream, STREAM_PAUSED);
	send_some(client);
	pass_time(w, 10);
	struct end *closing = connect_end(w);
	closing->to_send = 100;
	send_some(closing);
	stream_close(closing->stream, false);
	closing->stream = NULL;
	connect_end(w);
	close_listener(w);
	stream_write(server->stream, SLICE("at the end of a turn that never comes"));
	worker_disarm(&w->worker, &w->tick);
	stream_worker_free(&w->worker);
	assert_int_equal(w->worker.timers.armed, 0);
	assert_int_equal(w->worker.counters.gauges[GAUGE_connections], 0);
	worker_free(&w->worker);
	assert_int_equal(open_descriptors(w), w->descriptors);
	if (w->sim)
		sim_free(w->sim);
	*w = (struct world){ .ground = ground };
	open_world(w, &(struct ring_options){ .entries = 64, .buffers = 8, .buffer_size = 4096 });
}

/*
 * Resets, failing connects, no buffers, every cut and order, with many streams
 * that do anything at any time: what arrives is what was sent, and in the end
 * nothing is left.
 */
static void do_anything(struct world *w, struct end *end)
{
	struct stream *stream = end->stream;
	size_t n = sim_random_below(w->sim, sim_chance(w->sim, 100) ? 100000 : 3000);

	switch (sim_random_below(w->sim, 12)) {
	case 0:
	case 1:
	case 2:
		end->to_send += n;
		end->window = stream_queued(stream) + n + 1;
		send_some(end);
		break;
	case 3:
		fill(stream_reserve(stream, n), end->sent, n / 2);
		stream_commit(stream, n / 2);
		end->sent += n / 2;
		end->to_send = end->sent;
		break;
	case 4:
	case 5:
	case 6:
		stream_set_receive(stream, (enum stream_receive)sim_random_below(w->sim, 3));
		break;
	case 7:
		end->on = (enum event)sim_random_below(w->sim, EVENT_END + 1);
		end->action = sim_chance(w->sim, 500) ? ACT_CLOSE : ACT_CLOSE_AT_ONCE;
		break;
	case 8:
		end->tls = stream_tls_of(stream);
		if (end->connected && !end->ended && (end->detached = stream_detach(stream)) >= 0) {
			end->stream = stream_adopt(&w->worker, end->detached, &events, end);
			assert_non_null(secured(end, end->tls));
		}
		break;
	case 9:
		if (sim_chance(w->sim, 300)) {
			end->stream = NULL;
			stream_close(stream, sim_chance(w->sim, 500));
		}
		break;
	default:
		break;
	}
}

static void rough(uint64_t seed, bool is_secure)
{
	struct sim_options options = sim_rough(seed);
	struct world *w = calloc(1, sizeof(*w));

	w->ground = (struct ground){ ON_SIMULATOR, seed, is_secure };
	w->sim = sim_new(seed, &options);
	open_world(w, &(struct ring_options){ .entries = 64, .buffers = 4, .buffer_size = 2048 });
	for (unsigned step = 0; step < 600; step++) {
		if (w->end_count < ENDS_MAX && sim_chance(w->sim, 30))
			connect_end(w);
		for (unsigned i = 0; i < w->end_count; i++)
			if (w->ends[i].stream && sim_chance(w->sim, 100))
				do_anything(w, &w->ends[i]);
		turn(w);
	}
	*sim_settings(w->sim) = SIM_CALM; /* the accept must end too */
	close_world(w);
	free(w);
}

static void a_rough_network_leaves_nothing_behind(void **state)
{
	for (uint64_t seed = 1; seed <= ROUGH_SEEDS; seed++)
		rough(seed, false);
}

static void nor_does_one_with_tls(void **state)
{
	for (uint64_t seed = 1; seed <= ROUGH_SECURE_SEEDS; seed++)
		rough(seed, true);
}

static const struct {
	const char *name;
	CMUnitTestFunction test;
	bool is_plain_only; /* counts sends or descriptors of its own */
} list[] = {
#define TEST(name) { #name, name, false }
	TEST(eight_mib_come_back_one_shot),
	TEST(eight_mib_come_back_multishot),
	TEST(who_does_not_read_holds_the_sender),
	TEST(modes_may_change_at_any_time),
	TEST(what_is_queued_when_closing_is_delivered),
	TEST(closing_while_connecting_delivers_too),
	TEST(a_linger_ends),
	TEST(detaching_waits_for_what_is_in_flight),
	TEST(a_detached_descriptor_goes_on_elsewhere),
	TEST(too_few_blocks_only_cost_time),
	TEST(a_refused_connect_ends_it),
	TEST(who_is_gone_is_told_once),
	TEST(closing_inside_every_event),
	TEST(all_ways_to_write_keep_the_order),
	TEST(a_reservation_may_stay_unused),
	TEST(what_a_turn_writes_is_one_send),
	TEST(names_of_streams_that_are_gone_find_nothing),
	TEST(an_exhausted_pool_refuses),
	TEST(a_worker_may_stop_in_the_middle),
};

#define LIST_LENGTH (sizeof(list) / sizeof(list[0]))

#define GROUNDS     (4 + SEEDS + SECURE_SEEDS)

static char directory[] = "/tmp/imserv-stream-XXXXXX";

static void no_complaint(void *arg, unsigned entry, const char *key, const char *text)
{
	fail_msg("%s: %s", key, text);
}

static int open_certificates(void **state)
{
	struct tls_options main_entry = { .name = (char *)"main", .cert = (char *)"main.pem", .key = (char *)"main.key",
		.ca = (char *)"ca.pem" };

	if (!mkdtemp(directory) || chdir(directory) != 0)
		return -1;
	tls_pems_write();
	int err = tls_set_open(&certificates, &main_entry, 1, no_complaint, NULL);
	tls_pems_remove();
	return err || chdir("/") != 0 || rmdir(directory) != 0 ? -1 : 0;
}

static int drop_certificates(void **state)
{
	tls_set_drop(certificates);
	return 0;
}

int main(void)
{
	static struct ground grounds[GROUNDS] = { { ON_URING }, { ON_EPOLL }, { ON_URING, 0, true }, { ON_EPOLL, 0, true } };
	static struct CMUnitTest tests[LIST_LENGTH * GROUNDS + 2];
	static char names[LIST_LENGTH * GROUNDS][100];
	size_t n = 0;

	for (unsigned g = 0; g < GROUNDS; g++) {
		if (g >= 4)
			grounds[g] = (struct ground){ ON_SIMULATOR, g - 3, g - 3 > SEEDS };
		for (size_t i = 0; i < LIST_LENGTH; i++) {
			if (grounds[g].is_secure && list[i].is_plain_only)
				continue;
			snprintf(names[n], sizeof(names[n]), "%s on %s, seed %u%s", list[i].name,
				grounds[g].on == ON_URING ? "io_uring" : grounds[g].on == ON_EPOLL ? "epoll" : "simulator",
				(unsigned)grounds[g].seed, grounds[g].is_secure ? ", TLS" : "");
			tests[n] = (struct CMUnitTest){ names[n], list[i].test, setup, teardown, &grounds[g] };
			n++;
		}
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_rough_network_leaves_nothing_behind);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(nor_does_one_with_tls);
	return _cmocka_run_group_tests("streams", tests, n, open_certificates, drop_certificates);
}
