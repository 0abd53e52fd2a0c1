/*
 * Workers with their SIP layers on real epoll rings on loopback, stepped round
 * robin in one thread, and peers that are plain sockets.  Included by the tests
 * of the SIP run-time.
 *
 * The clock is the test's: nothing happens "in time", so time-outs of minutes
 * take no time and every retransmission is looked for in its very millisecond.
 * Each worker listens on ports of its own, so that a test says where a message
 * arrives.
 */
#ifndef TESTS_UNIT_SIP_WORLD_H
#define TESTS_UNIT_SIP_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/peer_count.h"
#include "sip/dialog.h"
#include "sip/layer.h"
#include "sip/owner.h"
#include "tests/unit/test.h"

#define WORLD_WORKERS 4
#define PEERS_MAX     64
#define HELD_MAX      2048
#define MESSAGE_MAX   (256 * 1024)
#define T1_MS         10
#define LAPS_MAX      4000 /* of waiting for the kernel, with nothing else to do */

enum { LISTENER_UDP, LISTENER_TCP };

/* A plain socket of a peer.  UDP: to whichever worker is named. */
struct peer {
	int fd; /* -1: none */
	bool is_tcp, is_deaf, is_closed, is_listening;
	uint16_t port; /* of the peer */
	char *got;     /* TCP: what came and is no whole message yet */
	size_t n;
	char *messages[1024]; /* whole ones, terminated; NULL once looked at */
	size_t lengths[1024];
	unsigned arrived, seen;
};

/* A request given to the handler and what was told of it afterwards. */
struct held {
	struct sip_server *server; /* NULL once gone */
	struct worker *worker;
	enum sip_method method;
	unsigned cancelled, acked, unacked, gone;
	char tag[MINTED_CHARS + 1];
};

/* What a client transaction's watcher was told. */
struct watched {
	struct sip_client *client;
	unsigned responses, failed, gone;
	unsigned status; /* of the last response or failure */
	void (*on_response)(struct watched *, const struct sip_message *);
};

struct world {
	struct worker_group group;
	struct worker workers[WORLD_WORKERS];
	struct sip_options options;
	int udp[WORLD_WORKERS], tcp[WORLD_WORKERS];
	struct sockaddr_storage udp_address[WORLD_WORKERS], tcp_address[WORLD_WORKERS];
	struct peer peers[PEERS_MAX];
	unsigned peer_count;
	struct held held[HELD_MAX];
	unsigned held_count;
	/* what the handler does: answer at once with `answer`, or hold (0) */
	unsigned answer;
	bool use_dialogs; /* in-dialog requests go to sip_dialog_receive() first */
	int descriptors;
	unsigned asleep; /* bit per worker that takes no turns */
};

static uint64_t world_clock_us;
static struct ring_ops world_ops;
static bool world_trusts;

static inline uint64_t world_clock(struct ring *ring)
{
	return world_clock_us;
}

static inline bool world_is_trusted(const struct worker *worker, const struct sockaddr *address)
{
	return world_trusts;
}

static inline struct sip_layer *layer_of(struct world *w, unsigned i)
{
	return sip_layer_of(&w->workers[i]);
}

static inline uint64_t refused(const struct world *w, enum reason why)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < w->group.count; i++)
		n += w->workers[i].counters.refused[why];
	return n;
}

static inline uint64_t counted(const struct world *w, enum counter which)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < w->group.count; i++)
		n += w->workers[i].counters.values[which];
	return n;
}

static inline int world_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- what stands above the layer ---- */

static inline void held_cancel(struct sip_server *server, void *arg)
{
	((struct held *)arg)->cancelled++;
}

static inline void held_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	assert_int_equal(ack->method, SIP_ACK);
	((struct held *)arg)->acked++;
}

static inline void held_unacked(struct sip_server *server, void *arg)
{
	((struct held *)arg)->unacked++;
}

static inline void held_gone(struct sip_server *server, void *arg)
{
	struct held *held = arg;

	assert_ptr_equal(held->server, server);
	held->gone++;
	held->server = NULL;
}

static const struct sip_server_events held_events = { held_cancel, held_acked, held_unacked,
						      held_gone };

static inline void respond(struct sip_server *server, unsigned status)
{
	sip_server_respond(server, &(struct sip_reply){ .status = status });
}

static inline void world_on_request(struct worker *worker, struct sip_server *server,
				    const struct sip_message *m)
{
	struct world *w = worker->im;

	if (w->use_dialogs && sip_dialog_receive(worker, server, m))
		return;
	CHECK(w->held_count < HELD_MAX, "too many requests\n");
	struct held *held = &w->held[w->held_count++];
	*held = (struct held){ .server = server, .worker = worker, .method = m->method };
	sip_server_watch(server, &held_events, held);
	struct slice tag = sip_server_to_tag(server);
	memcpy(held->tag, tag.p, tag.n < MINTED_CHARS ? tag.n : MINTED_CHARS);
	if (w->answer)
		respond(server, w->answer);
}

static inline void watched_response(struct sip_client *client, const struct sip_message *m,
				    void *arg)
{
	struct watched *watched = arg;

	watched->responses++;
	watched->status = m->status;
	if (watched->on_response)
		watched->on_response(watched, m);
}

static inline void watched_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct watched *watched = arg;

	watched->failed++;
	watched->status = status;
}

static inline void watched_gone(struct sip_client *client, void *arg)
{
	struct watched *watched = arg;

	assert_ptr_equal(watched->client, client);
	watched->gone++;
	watched->client = NULL;
}

static const struct sip_client_events watched_events = { watched_response, watched_failed,
							 watched_gone };

/* ---- peers ---- */

static inline struct peer *peer_new(struct world *w, int fd, bool is_tcp)
{
	struct sockaddr_in me;
	socklen_t n = sizeof(me);

	CHECK(w->peer_count < PEERS_MAX, "too many peers\n");
	assert_true(fd >= 0);
	struct peer *peer = &w->peers[w->peer_count++];
	*peer = (struct peer){ .fd = fd, .is_tcp = is_tcp };
	assert_int_equal(getsockname(fd, (struct sockaddr *)&me, &n), 0);
	peer->port = ntohs(me.sin_port);
	return peer;
}

static inline int bound_socket(int type)
{
	struct sockaddr_in me = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof(me)), 0);
	return fd;
}

static inline struct peer *peer_udp(struct world *w)
{
	return peer_new(w, bound_socket(SOCK_DGRAM), false);
}

static inline struct peer *peer_tcp(struct world *w, unsigned worker)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_int_equal(connect(fd, (struct sockaddr *)&w->tcp_address[worker],
				 sizeof(struct sockaddr_in)),
			 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return peer_new(w, fd, true);
}

/* The connection that the server opens to a listening peer. */
static inline struct peer *peer_accepted(struct world *w, struct peer *listener);

static inline struct peer *peer_listener(struct world *w)
{
	int fd = bound_socket(SOCK_STREAM);

	assert_int_equal(listen(fd, 64), 0);
	struct peer *peer = peer_new(w, fd, true);
	peer->is_listening = true;
	return peer;
}

static inline void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

static inline void peer_forget(struct peer *peer)
{
	peer_close(peer);
	for (unsigned i = 0; i < peer->arrived; i++)
		free(peer->messages[i]);
	free(peer->got);
	peer->got = NULL;
	peer->n = 0;
	peer->arrived = peer->seen = 0;
}

static inline void peer_keep(struct peer *peer, const char *p, size_t n)
{
	CHECK(peer->arrived < 1024, "too many messages\n");
	char *text = malloc(n + 1);
	memcpy(text, p, n);
	text[n] = 0;
	peer->lengths[peer->arrived] = n;
	peer->messages[peer->arrived++] = text;
}

/* Written for the tests alone: a message as a peer would cut it off a stream. */
static inline void peer_cut(struct peer *peer)
{
	size_t whole;

	for (;;) {
		char *end = peer->n ? memmem(peer->got, peer->n, "\r\n\r\n", 4) : NULL;
		if (peer->n >= 2 && memcmp(peer->got, "\r\n", 2) == 0) {
			whole = 2;
		} else if (end) {
			char *length = memmem(peer->got, (size_t)(end - peer->got),
					      "\r\nContent-Length: ", 18);
			CHECK(length, "no Content-Length in \"%.*s\"\n", (int)peer->n, peer->got);
			whole = (size_t)(end + 4 - peer->got) + strtoul(length + 18, NULL, 10);
		} else {
			return;
		}
		if (peer->n < whole)
			return;
		peer_keep(peer, peer->got, whole);
		peer->n -= whole;
		memmove(peer->got, peer->got + whole, peer->n);
	}
}

static inline void peer_read(struct peer *peer)
{
	static char octets[MESSAGE_MAX];

	while (peer->fd >= 0 && !peer->is_deaf && !peer->is_closed && !peer->is_listening) {
		ssize_t n = recv(peer->fd, octets, sizeof(octets), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (!peer->is_tcp && n >= 0) {
			peer_keep(peer, octets, (size_t)n);
			continue;
		}
		if (!peer->is_tcp) /* what an earlier datagram met */
			continue;
		if (n <= 0) {
			peer->is_closed = true;
			return;
		}
		peer->got = realloc(peer->got, peer->n + (size_t)n);
		memcpy(peer->got + peer->n, octets, (size_t)n);
		peer->n += (size_t)n;
		peer_cut(peer);
	}
}

/* ---- turning ---- */

static inline void world_lap(struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++)
		if (!(w->asleep & 1u << i))
			worker_turn(&w->workers[i], false);
	for (unsigned i = 0; i < w->peer_count; i++)
		peer_read(&w->peers[i]);
}

static inline struct peer *peer_accepted(struct world *w, struct peer *listener)
{
	int fd;

	for (unsigned i = 0; (fd = accept(listener->fd, NULL, NULL)) < 0; i++) {
		CHECK(i < LAPS_MAX, "waited in vain for a connection\n");
		world_lap(w);
	}
	return peer_new(w, fd, true);
}

/* All that needs no time to pass: from socket to worker to worker to socket. */
static inline void settle(struct world *w)
{
	for (unsigned i = 0; i < 8; i++)
		world_lap(w);
}

static inline void advance(struct world *w, uint64_t ms)
{
	for (; ms; ms--) {
		world_clock_us += 1000;
		for (unsigned i = 0; i < 3; i++)
			world_lap(w);
	}
	settle(w);
}

/* Jumps from timer to timer. */
static inline void advance_far(struct world *w, uint64_t ms)
{
	uint64_t end_ms = world_clock_us / 1000 + ms;

	while (world_clock_us / 1000 < end_ms) {
		uint64_t next = end_ms;
		for (unsigned i = 0; i < w->group.count; i++) {
			uint64_t at = timer_wheel_next_ms(&w->workers[i].timers);
			next = at < next ? at : next;
		}
		if (next > world_clock_us / 1000)
			world_clock_us = next * 1000;
		for (unsigned i = 0; i < 3; i++)
			world_lap(w);
		if (next == world_clock_us / 1000 && next < end_ms)
			world_clock_us = (next + 1) * 1000;
	}
	settle(w);
}

#define WAIT_FOR(w, condition)                                                               \
	do {                                                                                 \
		for (unsigned world_laps = 0; !(condition); world_laps++) {                  \
			CHECK(world_laps < LAPS_MAX, "waited in vain for %s\n", #condition); \
			world_lap(w);                                                        \
			if (world_laps > 100)                                                \
				poll(NULL, 0, 1);                                            \
		}                                                                            \
	} while (0)

/* The next message that the peer has not looked at. */
static inline const char *peer_next(struct world *w, struct peer *peer)
{
	WAIT_FOR(w, peer->seen < peer->arrived);
	return peer->messages[peer->seen++];
}

/* It must begin like that. */
static inline const char *expect(struct world *w, struct peer *peer, const char *start)
{
	for (unsigned i = 0; peer->seen == peer->arrived; i++) {
		CHECK(i < LAPS_MAX, "waited in vain for \"%s\"\n", start);
		world_lap(w);
		if (i > 100)
			poll(NULL, 0, 1);
	}
	const char *text = peer->messages[peer->seen++];
	CHECK(strncmp(text, start, strlen(start)) == 0, "not \"%s\" but \"%s\"\n", start, text);
	return text;
}

static inline void expect_nothing(struct world *w, struct peer *peer)
{
	settle(w);
	CHECK(peer->seen == peer->arrived, "unexpected \"%s\"\n", peer->messages[peer->seen]);
}

static inline void expect_text(const char *message, const char *text)
{
	CHECK(strstr(message, text), "no \"%s\" in \"%s\"\n", text, message ? message : "");
}

/* The value of a header of a message that the server wrote, in a buffer of the function. */
static inline const char *value_of(const char *message, const char *name)
{
	static char values[8][4096];
	static unsigned next;
	char start[64];
	char *value = values[next++ % 8];

	snprintf(start, sizeof(start), "\r\n%s: ", name);
	const char *at = strstr(message, start);
	CHECK(at, "no %s in \"%s\"\n", name, message);
	at += strlen(start);
	snprintf(value, 4096, "%.*s", (int)(strstr(at, "\r\n") - at), at);
	return value;
}

/* ---- what peers send ---- */

static inline void send_octets(struct world *w, struct peer *peer, unsigned worker, const char *p,
			       size_t n)
{
	if (!peer->is_tcp) {
		assert_int_equal(sendto(peer->fd, p, n, 0,
					(struct sockaddr *)&w->udp_address[worker],
					sizeof(struct sockaddr_in)),
				 n);
		return;
	}
	while (n) {
		ssize_t sent = send(peer->fd, p, n, MSG_NOSIGNAL);
		if (sent < 0) {
			CHECK(errno == EAGAIN, "send: %s\n", strerror(errno));
			world_lap(w);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static inline void send_text(struct world *w, struct peer *peer, unsigned worker, const char *text)
{
	send_octets(w, peer, worker, text, strlen(text));
}

/* A request with what is not said filled in. */
struct request {
	const char *method, *uri, *via, *branch, *call_id, *from, *to, *max_forwards, *extra, *body,
		*cseq_method;
	unsigned cseq;
	bool no_rport;
};

static inline const char * or (const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

static inline const char *write_message(const struct peer *peer, struct request r)
{
	static char texts[4][MESSAGE_MAX];
	static unsigned next;
	char *text = texts[next++ % 4], via[512];

	snprintf(via, sizeof(via), "SIP/2.0/%s 127.0.0.1:%u;branch=%s%s",
		 peer->is_tcp ? "TCP" : "UDP", peer->port, or (r.branch, "z9hG4bKone"),
		 r.no_rport ? "" : ";rport");
	int n = snprintf(text, MESSAGE_MAX,
			 "%s %s SIP/2.0\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\n"
			 "CSeq: %u %s\r\nMax-Forwards: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
			 r.method, or (r.uri, "sip:bob@example.com"), or (r.via, via),
			 or (r.from, "<sip:alice@example.com>;tag=a"),
			 or (r.to, "<sip:bob@example.com>"), or (r.call_id, "call-1"),
			 r.cseq ? r.cseq : 1, or (r.cseq_method, r.method),
			 or (r.max_forwards, "70"), or (r.extra, ""), strlen(or (r.body, "")),
			 or (r.body, ""));
	assert_in_range(n, 1, MESSAGE_MAX - 1);
	return text;
}

static inline void send_request(struct world *w, struct peer *peer, unsigned worker,
				struct request r)
{
	send_text(w, peer, worker, write_message(peer, r));
}

/* A response of a peer to a request of ours as it was received; `to_tag` NULL: none, `extra` whole
 * lines. */
static inline const char *write_answer(const char *request, unsigned status, const char *to_tag,
				       const char *extra)
{
	static char text[32768];
	int n = snprintf(
		text, sizeof(text),
		"SIP/2.0 %u Whatever\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s%s\r\nCall-ID: %s\r\n"
		"CSeq: %s\r\n%sContent-Length: 0\r\n\r\n",
		status, value_of(request, "Via"), value_of(request, "From"),
		value_of(request, "To"), to_tag ? ";tag=" : "", or (to_tag, ""),
		value_of(request, "Call-ID"), value_of(request, "CSeq"), or (extra, ""));

	assert_in_range(n, 1, sizeof(text) - 1);
	return text;
}

static inline void answer(struct world *w, struct peer *peer, unsigned worker, const char *request,
			  unsigned status, const char *to_tag)
{
	send_text(w, peer, worker, write_answer(request, status, to_tag, NULL));
}

/* A Call-ID that hashes to that worker. */
static inline const char *call_id_of(struct world *w, unsigned worker)
{
	static char texts[8][32];
	static unsigned next, number;
	char *text = texts[next++ % 8];

	do {
		snprintf(text, 32, "call-%u@test", ++number);
	} while (sip_owner_of_call_id(slice_str(text), w->group.count) != worker);
	return text;
}

/* A branch that was not used yet. */
static inline const char *new_branch(void)
{
	static char texts[8][32];
	static unsigned next, number;
	char *text = texts[next++ % 8];

	snprintf(text, 32, "z9hG4bKtest%u", ++number);
	return text;
}

/* ---- what we send ---- */

static inline struct sip_target target_of(const struct peer *peer)
{
	struct sip_target target = { .flow.protocol = peer->is_tcp ? SIP_TCP : SIP_UDP };
	struct sockaddr_in *in = &target.flow.peer.v4;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons(peer->port);
	return target;
}

static inline struct sip_outgoing outgoing(const char *method, const struct sip_target *target)
{
	static char headers[512];

	snprintf(headers, sizeof(headers),
		 "From: <sip:imserv@example.com>;tag=us\r\nTo: <sip:bob@example.net>\r\n"
		 "Call-ID: ours\r\nCSeq: 7 %s\r\nMax-Forwards: 70\r\n",
		 method);
	return (struct sip_outgoing){ .method = slice_str(method),
				      .uri = SLICE("sip:bob@example.net"),
				      .headers = slice_str(headers),
				      .target = *target };
}

static inline void send_ours(struct world *w, unsigned worker, struct watched *watched,
			     const char *method, const struct sip_target *target)
{
	struct sip_outgoing request = outgoing(method, target);

	memset(watched, 0, sizeof(*watched));
	assert_int_equal(sip_client_send(&watched->client, &w->workers[worker], &request,
					 &watched_events, watched),
			 0);
}

/* ---- the world ---- */

static const uint8_t world_key[16] = "keykeykeykeykey";
static const char *const world_supported[] = { "timer", "100rel", NULL };
static const struct slice world_aliases[] = { { "example.org", 11 } };
static const struct slice world_groups[] = { { "group*", 6 } };

static inline void world_init(struct world *w, unsigned workers)
{
	memset(w, 0, sizeof(*w));
	world_trusts = false;
	w->descriptors = world_descriptors();
	w->group.count = workers;
	w->answer = 200;
	minted_init(world_key, workers);
	peer_count_init(world_key);
	sip_owner_init(world_key);
	w->options = (struct sip_options){
		.limits = { .header_bytes = 16384,
			    .conns_per_ip = 256,
			    .chunk_stall_ms = 10000,
			    .leg_high = 256 * 1024,
			    .leg_low = 64 * 1024 },
		.t1_ms = T1_MS,
		.transactions_max = 4096,
		.connections_max = 512,
		.body_bytes_max = 131072,
		.home = { .home = SLICE("example.com"),
			  .aliases = world_aliases,
			  .alias_count = 1,
			  .store_host = SLICE("store.example.com") },
		.store_host = SLICE("store.example.com"),
		.factory_user = SLICE("factory"),
		.history_user = SLICE("history"),
		.group_patterns = world_groups,
		.group_pattern_count = 1,
		.user_agent = SLICE("test"),
		.supported = world_supported,
		.is_trusted = world_is_trusted,
		.listener_count = 2,
	};
	atomic_store(&log_level_now, LOG_ERROR);
}

static inline void world_listen(struct world *w, unsigned i)
{
	struct sockaddr_storage any = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&any;
	struct ring *ring = w->workers[i].ring;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->udp[i] = ring->ops->open_udp(ring, &any);
	w->tcp[i] = ring->ops->open_listener(ring, &any);
	assert_true(w->udp[i] >= 0 && w->tcp[i] >= 0);
	assert_int_equal(ring->ops->local_address(ring, w->udp[i], &w->udp_address[i]), 0);
	assert_int_equal(ring->ops->local_address(ring, w->tcp[i], &w->tcp_address[i]), 0);
	w->options.listeners[LISTENER_UDP].fds[i] = w->udp[i];
	w->options.listeners[LISTENER_TCP].fds[i] = w->tcp[i];
}

static inline void world_start(struct world *w)
{
	struct ring_options options = { .entries = 256, .buffers = 64, .buffer_size = 16384 };

	if (!world_clock_us)
		world_clock_us = 1000000;
	for (unsigned i = 0; i < w->group.count; i++) {
		struct ring *ring;
		assert_int_equal(worker_init(&w->workers[i], i, &w->group), 0);
		assert_int_equal(ring_open_epoll(&ring, &options), 0);
		world_ops = *ring->ops;
		world_ops.now_us = world_clock;
		ring->ops = &world_ops;
		worker_use_ring(&w->workers[i], ring);
		w->workers[i].im = w;
		world_listen(w, i);
	}
	w->options.listeners[LISTENER_UDP].proto = LISTEN_UDP;
	w->options.listeners[LISTENER_UDP].bound = w->udp_address[0];
	w->options.listeners[LISTENER_TCP].proto = LISTEN_TCP;
	w->options.listeners[LISTENER_TCP].bound = w->tcp_address[0];
	for (unsigned i = 0; i < w->group.count; i++) {
		assert_int_equal(stream_worker_init(&w->workers[i], 512), 0);
		assert_int_equal(sip_dialogs_init(&w->workers[i], 64), 0);
		assert_int_equal(sip_worker_init(&w->workers[i], &w->options, world_on_request), 0);
	}
	settle(w);
}

static inline bool world_is_quiet(struct world *w)
{
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = &w->workers[i];
		struct sip_layer *layer = sip_layer_of(worker);

		if (sip_transaction_count(worker) || pool_used(&layer->connections) ||
		    pool_used(&layer->datagrams) || stream_count(worker) || worker->timers.armed ||
		    sip_dialog_count(worker))
			return false;
		for (unsigned j = 0; j < w->group.count; j++)
			if (layer->credit[j] != SIP_CREDIT)
				return false;
	}
	return true;
}

/* Closes all, lets every timer run out, and sees that nothing is left. */
static inline void world_end(struct world *w)
{
	for (unsigned i = 0; i < w->peer_count; i++)
		peer_forget(&w->peers[i]);
	settle(w); /* the ends of the connections arrive before time goes on, and begin timers of their own */
	advance_far(w, 10 * 60 * 1000);
	WAIT_FOR(w, world_is_quiet(w));
	for (unsigned i = 0; i < w->held_count; i++)
		assert_int_equal(w->held[i].gone, 1);
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = &w->workers[i];
		struct sip_layer *layer = sip_layer_of(worker);

		assert_int_equal(worker->ring->ops->blocks_in_use(worker->ring), 0);
		assert_int_equal(worker->counters.gauges[GAUGE_sip_transactions], 0);
		assert_null(layer->all);
		assert_null(layer->waiting_for_credit);
		assert_null(layer->turns.first);
		assert_null(layer->turns.resting);
		assert_int_equal(layer->servers_by_key.used + layer->servers_by_tag.used + layer->servers_by_merged.used +
			layer->clients_by_branch.used, 0);
		sip_worker_stop(worker, true);
	}
	settle(w);
	for (unsigned i = 0; i < w->group.count; i++) {
		struct worker *worker = &w->workers[i];

		sip_worker_free(worker);
		sip_dialogs_free(worker);
		stream_worker_free(worker);
		worker->ring->ops->close(worker->ring, w->udp[i]);
		worker->ring->ops->close(worker->ring, w->tcp[i]);
		worker_free(worker);
	}
	assert_int_equal(world_descriptors(), w->descriptors);
}

#endif
