/*
 * Workers with their MSRP endpoints on real epoll rings, stepped round robin in
 * one thread, and clients that are plain sockets.  Included by the tests of the
 * MSRP run-time.
 */
#ifndef TESTS_UNIT_MSRP_WORLD_H
#define TESTS_UNIT_MSRP_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "msrp/endpoint.h"
#include "tests/unit/test.h"

#define KB(n)       ((size_t)(n) * 1024)
#define PATIENCE_MS 20000
#define CLIENTS_MAX 32
#define SIDES_MAX   256

struct client {
	int fd;          /* -1: none */
	bool is_closed;  /* the server closed it */
	bool is_deaf;    /* does not read */
	char *got;       /* all that came, terminated */
	size_t n, size, seen;
	char *out;       /* what the socket did not take yet */
	size_t out_n;
};

/* A leg and what its actor was told. */
struct side {
	struct msrp_leg *leg;
	unsigned bound, lost;
	enum reason why;
	bool close_when_lost;
	char path[128]; /* the peer's */
	char uri[512];  /* ours */
};

struct world {
	struct worker_group group;
	struct worker workers[4];
	struct msrp_options options;
	int listeners[4];
	struct sockaddr_storage addresses[4];
	struct client clients[CLIENTS_MAX];
	unsigned client_count;
	struct side sides[SIDES_MAX];
	unsigned side_count;
	int descriptors;
	bool is_threaded; /* the workers run by themselves; nobody else may look at them */
	pthread_t threads[4];
	struct msg stops[4];
};

static inline uint64_t world_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline int world_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- clients ---- */

static inline void client_write(struct client *client)
{
	while (client->fd >= 0 && client->out_n) {
		ssize_t n = send(client->fd, client->out, client->out_n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		client->out_n -= (size_t)n;
		memmove(client->out, client->out + n, client->out_n);
	}
}

static inline void client_send_n(struct client *client, const char *p, size_t n)
{
	client->out = realloc(client->out, client->out_n + n + 1);
	assert_non_null(client->out);
	memcpy(client->out + client->out_n, p, n);
	client->out_n += n;
	client_write(client);
}

__attribute__((format(printf, 2, 3))) static inline void client_send(struct client *client,
	const char *format, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	assert_in_range(n, 0, sizeof(text) - 1);
	client_send_n(client, text, (size_t)n);
}

static inline void client_read(struct client *client)
{
	char octets[65536];
	ssize_t n;

	while (client->fd >= 0 && !client->is_deaf && !client->is_closed) {
		n = recv(client->fd, octets, sizeof(octets), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			client->is_closed = true;
			return;
		}
		if (client->n + (size_t)n + 1 > client->size) {
			client->size = 2 * (client->n + (size_t)n + 1);
			client->got = realloc(client->got, client->size);
			assert_non_null(client->got);
		}
		memcpy(client->got + client->n, octets, (size_t)n);
		client->n += (size_t)n;
		client->got[client->n] = '\0';
	}
}

static inline void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* ---- turning ---- */

static inline void world_lap(struct world *w)
{
	for (unsigned i = 0; i < w->group.count && !w->is_threaded; i++)
		worker_turn(&w->workers[i], false);
	for (unsigned i = 0; i < w->client_count; i++) {
		client_write(&w->clients[i]);
		client_read(&w->clients[i]);
	}
}

static inline void world_run_ms(struct world *w, uint64_t ms)
{
	uint64_t end = world_now_ms() + ms;

	do {
		world_lap(w);
		poll(NULL, 0, 1);
	} while (world_now_ms() < end);
}

#define WAIT_FOR(w, condition)                                                              \
	do {                                                                                \
		uint64_t world_end = world_now_ms() + PATIENCE_MS;                          \
		for (unsigned world_lap_no = 0; !(condition); world_lap_no++) {             \
			CHECK(world_now_ms() < world_end, "waited in vain for %s\n", #condition); \
			world_lap(w);                                                       \
			if (world_lap_no > 50)                                              \
				poll(NULL, 0, 1);                                           \
		}                                                                           \
	} while (0)

/* The text in what came and was not looked at yet, or NULL. */
static inline char *client_has(const struct client *client, const char *text)
{
	return client->n > client->seen ? memmem(client->got + client->seen,
		client->n - client->seen, text, strlen(text)) : NULL;
}

/* Waits for the text and goes behind it. */
static inline void expect(struct world *w, struct client *client, const char *text)
{
	uint64_t end = world_now_ms() + PATIENCE_MS;
	char *at;

	while (!(at = client_has(client, text))) {
		CHECK(world_now_ms() < end, "waited in vain for \"%s\"; got \"%.*s\"\n", text,
			client->n ? (int)(client->n - client->seen) : 0,
			client->n ? client->got + client->seen : "");
		world_lap(w);
	}
	client->seen = (size_t)(at + strlen(text) - client->got);
}

/* Nothing of it within some time. */
static inline void expect_no(struct world *w, struct client *client, const char *text)
{
	world_run_ms(w, 30);
	CHECK(!client_has(client, text), "unexpected \"%s\" in \"%s\"\n", text,
		client->got + client->seen);
}

/* A whole chunk or response as a client sees it; read with nothing of the server's. */
struct chunk {
	char id[64], what[64]; /* what: "SEND", "200 OK" */
	char head[4096];       /* all header lines */
	char range[64];        /* "" when absent */
	size_t start;          /* of range, 0 when absent */
	const char *body;      /* until the client gets more */
	size_t n;
	bool has_body;
	char flag;
};

static inline bool chunk_scan(const struct client *client, struct chunk *chunk, size_t *used)
{
	const char *begin = client->got + client->seen, *end = client->got + client->n;
	char end_line[80];
	const char *at, *head_end, *line;

	if (client->n == client->seen)
		return false;
	*chunk = (struct chunk){ .flag = 0 };
	if (sscanf(begin, "MSRP %63s %63[^\r]", chunk->id, chunk->what) != 2)
		return false;
	snprintf(end_line, sizeof(end_line), "\r\n-------%s", chunk->id);
	at = memmem(begin, (size_t)(end - begin), end_line, strlen(end_line));
	if (!at || end - at < (ptrdiff_t)strlen(end_line) + 3)
		return false;
	head_end = memmem(begin, (size_t)(at + 2 - begin), "\r\n\r\n", 4);
	chunk->has_body = head_end != NULL;
	line = strstr(begin, "\r\n") + 2;
	snprintf(chunk->head, sizeof(chunk->head), "%.*s",
		(int)((chunk->has_body ? head_end : at) + 2 - line), line);
	if ((line = strstr(chunk->head, "Byte-Range: "))) {
		assert_int_equal(sscanf(line, "Byte-Range: %63[^\r]", chunk->range), 1);
		chunk->start = strtoul(chunk->range, NULL, 10);
	}
	if (chunk->has_body) {
		chunk->body = head_end + 4;
		/* an empty body: its CRLF is the one of the empty line */
		chunk->n = at > chunk->body ? (size_t)(at - chunk->body) : 0;
	}
	chunk->flag = at[strlen(end_line)];
	*used = (size_t)(at - begin) + strlen(end_line) + 3;
	return true;
}

/* Waits for the next chunk or response and goes behind it. */
static inline void expect_chunk(struct world *w, struct client *client, const char *what,
	struct chunk *chunk)
{
	uint64_t end = world_now_ms() + PATIENCE_MS;
	size_t used;

	while (!chunk_scan(client, chunk, &used)) {
		CHECK(world_now_ms() < end, "waited in vain for %s; got \"%.*s\"\n", what,
		      (int)(client->n - client->seen),
		      client->got ? client->got + client->seen : "");
		world_lap(w);
	}
	client->seen += used;
	CHECK(!strcmp(chunk->what, what), "not %s but %s: %s\n", what, chunk->what, chunk->head);
}

/* Nothing at all within some time. */
static inline void expect_nothing(struct world *w, struct client *client)
{
	world_run_ms(w, 30);
	CHECK(client->n == client->seen, "unexpected \"%s\"\n", client->got + client->seen);
}

/* The answer to that transaction, with its paths. */
static inline void expect_answer(struct world *w, struct client *client, const struct side *side,
	const char *id, const char *status)
{
	struct chunk chunk;
	char head[1024];

	expect_chunk(w, client, status, &chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\n", side->path, side->uri);
	assert_string_equal(chunk.id, id);
	assert_string_equal(chunk.head, head);
	assert_int_equal(chunk.flag, '$');
}

/* ---- the world ---- */

static const uint8_t world_key[16] = "keykeykeykeykey";

static inline void world_listen(struct world *w, unsigned i)
{
	struct sockaddr_storage any = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&any;
	struct ring *ring = w->workers[i].ring;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->listeners[i] = ring->ops->open_listener(ring, &any);
	assert_true(w->listeners[i] >= 0);
	assert_int_equal(ring->ops->local_address(ring, w->listeners[i], &w->addresses[i]), 0);
	w->options.listeners[0].fds[i] = w->listeners[i];
}

/* Change w->options between world_init() and world_start(). */
static inline void world_init(struct world *w, unsigned workers)
{
	memset(w, 0, sizeof(*w));
	w->descriptors = world_descriptors();
	w->group.count = workers;
	minted_init(world_key, workers);
	w->options.limits = (struct limits_options){
		.header_bytes = 16384, .unbound_ms = 5000, .chunk_stall_ms = 10000,
		.leg_high = KB(256), .leg_low = KB(64), .queued_bytes = KB(256) * 1024,
	};
	w->options.msrp_transaction_ms = 30000;
	w->options.legs_max = SIDES_MAX;
	w->options.listener_count = 1;
	w->options.listeners[0].proto = LISTEN_MSRP;
	atomic_store(&log_level_now, LOG_ERROR);
}

static inline void world_start(struct world *w)
{
	struct ring_options options = { .entries = 256, .buffers = 64, .buffer_size = 16384 };

	for (unsigned i = 0; i < w->group.count; i++) {
		struct ring *ring;
		assert_int_equal(worker_init(&w->workers[i], i, &w->group), 0);
		assert_int_equal(ring_open_epoll(&ring, &options), 0);
		worker_use_ring(&w->workers[i], ring);
		world_listen(w, i);
	}
	w->options.listeners[0].bound = w->addresses[0];
	for (unsigned i = 0; i < w->group.count; i++) {
		assert_int_equal(stream_worker_init(&w->workers[i], 512), 0);
		assert_int_equal(msrp_worker_init(&w->workers[i], &w->options), 0);
	}
}

static inline void *world_run_worker(void *arg)
{
	struct worker *worker = arg;

	worker->must_stop = false;
	while (!worker->must_stop)
		worker_turn(worker, true);
	return NULL;
}

static inline void world_start_threads(struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++)
		assert_int_equal(pthread_create(&w->threads[i], NULL, world_run_worker,
						&w->workers[i]),
				 0);
	w->is_threaded = true;
}

static inline void world_stop_threads(struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		w->stops[i] = (struct msg){ .kind = MSG_WORKER_STOP };
		worker_post_from_outside(&w->group, i, &w->stops[i]);
	}
	for (unsigned i = 0; i < w->group.count; i++)
		assert_int_equal(pthread_join(w->threads[i], NULL), 0);
	w->is_threaded = false;
}

static inline bool world_is_quiet(const struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		const struct worker *worker = &w->workers[i];
		const struct msrp_endpoint *endpoint = worker->msrp;

		if (pool_used(&endpoint->legs) || pool_used(&endpoint->connections) ||
			pool_used(&endpoint->transactions) || stream_count(worker) ||
			endpoint->queued || endpoint->held || worker->timers.armed)
			return false;
		for (unsigned j = 0; j < w->group.count; j++) {
			if (endpoint->used_credit[j])
				return false;
		}
	}
	return true;
}

/* Closes all and sees that nothing is left. */
static inline void world_end(struct world *w)
{
	for (unsigned i = 0; i < w->side_count; i++) {
		if (w->sides[i].leg)
			msrp_leg_close(w->sides[i].leg);
	}
	for (unsigned i = 0; i < w->client_count; i++)
		client_close(&w->clients[i]);
	WAIT_FOR(w, world_is_quiet(w));
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = &w->workers[i];
		assert_int_equal(worker->ring->ops->blocks_in_use(worker->ring), 0);
		assert_int_equal(worker->counters.gauges[GAUGE_msrp_legs], 0);
		msrp_worker_stop(worker, true);
	}
	world_run_ms(w, 5);
	for (unsigned i = 0; i < w->group.count; i++) {
		msrp_worker_free(&w->workers[i]);
		stream_worker_free(&w->workers[i]);
		w->workers[i].ring->ops->close(w->workers[i].ring, w->listeners[i]);
		worker_free(&w->workers[i]);
	}
	for (unsigned i = 0; i < w->client_count; i++) {
		free(w->clients[i].got);
		free(w->clients[i].out);
	}
	assert_int_equal(world_descriptors(), w->descriptors);
}

static inline struct client *client_open(struct world *w, unsigned worker)
{
	struct client *client = &w->clients[w->client_count++];

	assert_in_range(w->client_count, 1, CLIENTS_MAX);
	*client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(connect(client->fd, (struct sockaddr *)&w->addresses[worker],
		sizeof(struct sockaddr_in)), 0);
	assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return client;
}

static inline uint64_t world_count(const struct world *w, enum counter which)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < w->group.count; i++)
		sum += w->workers[i].counters.values[which];
	return sum;
}

static inline uint64_t world_refused(const struct world *w, enum reason why)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < w->group.count; i++)
		sum += w->workers[i].counters.refused[why];
	return sum;
}

#define COUNTED(w, name) world_count((w), COUNTER_##name)

/* ---- legs ---- */

static inline void side_on_bound(struct msrp_leg *leg, void *arg)
{
	struct side *side = arg;

	assert_true(msrp_leg_is_bound(leg));
	side->bound++;
}

static inline void side_on_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = arg;

	side->lost++;
	side->why = why;
	if (side->close_when_lost) {
		msrp_leg_close(leg);
		side->leg = NULL;
	}
}

static const struct msrp_leg_events side_events = { side_on_bound, side_on_lost };

/* A leg on that worker whose peer has the path, unless that is NULL. */
static inline struct side *side_open(struct world *w, unsigned worker, const char *path)
{
	struct side *side = &w->sides[w->side_count++];

	assert_in_range(w->side_count, 1, SIDES_MAX);
	*side = (struct side){ 0 };
	assert_int_equal(msrp_leg_open(&side->leg, &w->workers[worker], NULL, false, &side_events, side),
			 0);
	snprintf(side->uri, sizeof(side->uri), "%.*s", SLICE_ARG(msrp_leg_uri(side->leg)));
	if (path) {
		struct msrp_peer peer = { .path = slice_str(path) };
		snprintf(side->path, sizeof(side->path), "%s", path);
		assert_int_equal(msrp_leg_set_peer(side->leg, &peer), 0);
	}
	return side;
}

/* What every request of the client for that leg begins with. */
#define PATHS(side) (side)->uri, (side)->path
#define HEAD(id, method) "MSRP " id " " method "\r\nTo-Path: %s\r\nFrom-Path: %s\r\n"

static inline void bind_side(struct world *w, struct client *client, struct side *side)
{
	client_send(client, HEAD("bind1234", "SEND") "Message-ID: bind\r\n-------bind1234$\r\n",
		PATHS(side));
	expect_answer(w, client, side, "bind1234", "200 OK");
}

static inline void side_close(struct side *side)
{
	msrp_leg_close(side->leg);
	side->leg = NULL;
}

#endif
