/*
 * The ring interface: one list of tests, run on each implementation.  Both
 * ends of every conversation are on the ring under test.  Tests of io_uring
 * are skipped, and counted as such, where the machine does not let us use it.
 */
#include "core/ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/ring_sim.h"
#include "tests/unit/test.h"

#define PATIENCE_US (5 * 1000 * 1000)
#define LITTLE_US (50 * 1000) /* long enough to see that nothing comes */
#define BUFFER_SIZE 4096
#define STASH_MAX 4096
#define SEEDS 40

enum implementation { ON_URING, ON_EPOLL, ON_SIMULATOR };
static const char *const implementation_names[] = { "io_uring", "epoll", "simulator" };

struct fixture {
	enum implementation on;
	struct sim *sim;
	struct ring *ring, *second; /* second: for what is handed over */
	uint32_t tokens;
	struct ring_completion stash[STASH_MAX];
	unsigned stashed;
};

static ring_token new_token(struct fixture *f)
{
	f->tokens++;
	return ring_token_of(1 + f->tokens % 40, f->tokens * 7, f->tokens);
}

/* ---- waiting ---- */

static unsigned turn(struct fixture *f, struct ring_completion *out, unsigned max, uint64_t wait_us)
{
	return f->ring->ops->turn(f->ring, out, max, wait_us);
}

/* Up to 16 completions into the stash; in the simulator, time passes when there is none. */
static void turn_to_stash(struct fixture *f, uint64_t wait_us)
{
	CHECK(f->stashed + 16 <= STASH_MAX, "the stash is full\n");
	unsigned n = turn(f, f->stash + f->stashed, 16, wait_us);
	CHECK(n <= 16, "%u completions, 16 asked for\n", n);
	for (unsigned i = 0; i < n; i++) {
		CHECK(ring_token_kind(f->stash[f->stashed + i].token) != 0, "an internal completion\n");
		CHECK(ring_token_generation(f->stash[f->stashed + i].token) <= f->tokens, "a foreign token\n");
	}
	f->stashed += n;
	if (n == 0 && f->sim)
		sim_advance(f->sim);
}

static bool take(struct fixture *f, ring_token token, struct ring_completion *out)
{
	for (unsigned i = 0; i < f->stashed; i++) {
		if (f->stash[i].token == token) {
			*out = f->stash[i];
			memmove(f->stash + i, f->stash + i + 1, (--f->stashed - i) * sizeof(*out));
			return true;
		}
	}
	return false;
}

static struct ring_completion await(struct fixture *f, ring_token token)
{
	struct ring_completion c = { 0 };
	uint64_t until = f->ring->ops->now_us(f->ring) + PATIENCE_US;

	while (!take(f, token, &c)) {
		CHECK(f->ring->ops->now_us(f->ring) < until, "no completion came\n");
		turn_to_stash(f, LITTLE_US);
	}
	assert_true(c.token == token);
	return c;
}

static void pass_time(struct fixture *f)
{
	uint64_t until = f->ring->ops->now_us(f->ring) + LITTLE_US;

	while (f->ring->ops->now_us(f->ring) < until)
		turn_to_stash(f, LITTLE_US);
}

static void expect_silence(struct fixture *f, ring_token token)
{
	struct ring_completion c;

	pass_time(f);
	CHECK(!take(f, token, &c), "a completion with result %d, more %d\n", c.result, c.more);
}

static void expect_end(struct fixture *f, ring_token token, int result)
{
	struct ring_completion c = await(f, token);

	CHECK(c.result == result && !c.more, "result %d, more %d instead of %d\n", c.result, c.more, result);
	expect_silence(f, token);
}

/* ---- conversations ---- */

static struct sockaddr_storage loopback(int family)
{
	struct sockaddr_storage address = { 0 };

	if (family == AF_INET) {
		*(struct sockaddr_in *)&address = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	} else {
		*(struct sockaddr_in6 *)&address =
			(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	}
	return address;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
	return ntohs(((const struct sockaddr_in *)address)->sin_port); /* the same place in IPv6 */
}

static struct sockaddr_storage address_of(struct fixture *f, int fd)
{
	struct sockaddr_storage address = { 0 };

	assert_int_equal(f->ring->ops->local_address(f->ring, fd, &address), 0);
	return address;
}

struct connection {
	int listener, client, server;
	ring_token accept;
	struct sockaddr_storage address;
};

static struct connection connected(struct fixture *f, int family)
{
	const struct ring_ops *ops = f->ring->ops;
	struct sockaddr_storage bind = loopback(family), peer;
	struct connection c = { .listener = ops->open_listener(f->ring, &bind), .accept = new_token(f) };
	ring_token connect = new_token(f);

	if (c.listener == -EADDRNOTAVAIL || c.listener == -EAFNOSUPPORT)
		skip(); /* no IPv6 here */
	CHECK(c.listener >= 0, "open_listener: %d\n", c.listener);
	c.address = address_of(f, c.listener);
	ops->accept(f->ring, c.listener, c.accept);
	c.client = ops->open_stream(f->ring, family);
	CHECK(c.client >= 0, "open_stream: %d\n", c.client);
	ops->connect(f->ring, c.client, (const struct sockaddr *)&c.address, connect);
	struct ring_completion done = await(f, connect), accepted = await(f, c.accept);
	CHECK(done.result == 0 && !done.more, "connect: %d\n", done.result);
	CHECK(accepted.result >= 0 && accepted.more, "accept: %d\n", accepted.result);
	c.server = accepted.result;
	assert_int_equal(ops->peer_address(f->ring, c.client, &peer), 0);
	assert_int_equal(port_of(&peer), port_of(&c.address));
	return c;
}

static void stop_listening(struct fixture *f, struct connection *c)
{
	f->ring->ops->cancel(f->ring, c->accept);
	expect_end(f, c->accept, -ECANCELED);
	f->ring->ops->close(f->ring, c->listener);
}

static void disconnect(struct fixture *f, struct connection *c)
{
	stop_listening(f, c);
	f->ring->ops->close(f->ring, c->client);
	f->ring->ops->close(f->ring, c->server);
}

static void send_all(struct fixture *f, int fd, const char *p, size_t n)
{
	while (n) {
		ring_token token = new_token(f);
		f->ring->ops->send(f->ring, fd, p, n, token);
		struct ring_completion c = await(f, token);
		CHECK(c.result > 0 && !c.more && !c.block, "send: %d\n", c.result);
		p += c.result;
		n -= (size_t)c.result;
	}
}

/* Collects what a multishot recv delivers until n octets are there. */
static void expect_stream(struct fixture *f, ring_token token, const char *p, size_t n)
{
	while (n) {
		struct ring_completion c = await(f, token);
		CHECK(c.result > 0 && c.more, "recv: %d, more %d\n", c.result, c.more);
		assert_true(c.block && c.data.n == (size_t)c.result && c.data.n <= n && !c.from);
		assert_memory_equal(c.data.p, p, c.data.n);
		p += c.data.n;
		n -= c.data.n;
		block_release(c.block);
	}
}

static ring_token recv_start(struct fixture *f, int fd, bool multishot)
{
	ring_token token = new_token(f);

	f->ring->ops->recv(f->ring, fd, multishot, token);
	return token;
}

/* ---- streams ---- */

static void echo_between(struct fixture *f, int family)
{
	struct connection c = connected(f, family);
	ring_token at_server = recv_start(f, c.server, true), at_client = recv_start(f, c.client, true);

	send_all(f, c.client, "to the server", 13);
	expect_stream(f, at_server, "to the server", 13);
	send_all(f, c.server, "and back", 8);
	expect_stream(f, at_client, "and back", 8);
	f->ring->ops->cancel(f->ring, at_client);
	expect_end(f, at_client, -ECANCELED);
	f->ring->ops->close(f->ring, c.client);
	expect_end(f, at_server, 0);
	f->ring->ops->close(f->ring, c.server);
	stop_listening(f, &c);
}

static void echo(struct fixture *f)
{
	echo_between(f, AF_INET);
}

static void echo_ipv6(struct fixture *f)
{
	echo_between(f, AF_INET6);
}

static void accept_goes_on(struct fixture *f)
{
	struct connection c = connected(f, AF_INET);
	int clients[5], servers[5];

	for (int i = 0; i < 5; i++) {
		ring_token connect = new_token(f);
		clients[i] = f->ring->ops->open_stream(f->ring, AF_INET);
		f->ring->ops->connect(f->ring, clients[i], (const struct sockaddr *)&c.address, connect);
		assert_int_equal(await(f, connect).result, 0);
	}
	for (int i = 0; i < 5; i++) {
		struct ring_completion accepted = await(f, c.accept);
		CHECK(accepted.result >= 0 && accepted.more, "accept: %d\n", accepted.result);
		servers[i] = accepted.result;
		for (int j = 0; j < i; j++)
			assert_int_not_equal(servers[i], servers[j]);
	}
	for (int i = 0; i < 5; i++) {
		f->ring->ops->close(f->ring, clients[i]);
		f->ring->ops->close(f->ring, servers[i]);
	}
	disconnect(f, &c);
}

static void refused(struct fixture *f)
{
	struct sockaddr_storage bind = loopback(AF_INET), free_port;
	int listener = f->ring->ops->open_listener(f->ring, &bind);
	int client = f->ring->ops->open_stream(f->ring, AF_INET);
	ring_token connect = new_token(f);

	free_port = address_of(f, listener);
	f->ring->ops->close(f->ring, listener);
	f->ring->ops->connect(f->ring, client, (const struct sockaddr *)&free_port, connect);
	expect_end(f, connect, -ECONNREFUSED);
	f->ring->ops->close(f->ring, client);
}

static void one_shot(struct fixture *f)
{
	struct connection c = connected(f, AF_INET);
	ring_token first = recv_start(f, c.server, false), second;
	struct ring_completion got;

	send_all(f, c.client, "a", 1);
	got = await(f, first);
	CHECK(got.result == 1 && !got.more, "result %d, more %d\n", got.result, got.more);
	block_release(got.block);
	send_all(f, c.client, "b", 1);
	expect_silence(f, first);
	second = recv_start(f, c.server, false);
	got = await(f, second);
	assert_true(got.result == 1 && got.data.p[0] == 'b');
	block_release(got.block);
	second = recv_start(f, c.server, false);
	f->ring->ops->close(f->ring, c.client);
	expect_end(f, second, 0);
	f->ring->ops->close(f->ring, c.server);
	stop_listening(f, &c);
}

/* A descriptor closed with octets unread resets the connection. */
static void reset_is_an_error(struct fixture *f)
{
	struct connection c = connected(f, AF_INET);
	ring_token at_client = recv_start(f, c.client, true);

	send_all(f, c.client, "never read", 10);
	expect_silence(f, at_client);
	f->ring->ops->close(f->ring, c.server);
	expect_end(f, at_client, -ECONNRESET);
	f->ring->ops->close(f->ring, c.client);
	stop_listening(f, &c);
}

/* Octets that are sent as room comes. */
struct bulk {
	int fd;
	const char *octets;
	size_t size, sent;
	unsigned sends;
	ring_token token;
};

static void bulk_next(struct fixture *f, struct bulk *b)
{
	if (b->sent < b->size) {
		b->token = new_token(f);
		f->ring->ops->send(f->ring, b->fd, b->octets + b->sent, b->size - b->sent, b->token);
	}
}

static void bulk_step(struct fixture *f, struct bulk *b)
{
	struct ring_completion done;

	while (take(f, b->token, &done)) {
		CHECK(done.result > 0 && !done.more, "send: %d\n", done.result);
		b->sent += (size_t)done.result;
		b->sends++;
		bulk_next(f, b);
	}
}

static void bulk_fill(struct fixture *f, struct bulk *b)
{
	unsigned before;

	bulk_next(f, b);
	do {
		before = b->sends;
		pass_time(f);
		bulk_step(f, b);
	} while (b->sends != before);
}

static void slow_reader(struct fixture *f)
{
	size_t size = 4 << 20, received = 0;
	struct connection c = connected(f, AF_INET);
	char *octets = malloc(size);
	struct bulk bulk = { c.client, octets, size };
	int small = 64 * 1024;

	for (size_t i = 0; i < size; i++)
		octets[i] = (char)(i * 31 + i / 4096);
	if (!f->sim)
		assert_int_equal(setsockopt(c.client, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	bulk_fill(f, &bulk);
	CHECK(bulk.sent < size, "nobody reads and yet all was sent\n");
	while (received < size) {
		ring_token recv = recv_start(f, c.server, false);
		struct ring_completion got;
		while (!take(f, recv, &got)) {
			turn_to_stash(f, LITTLE_US);
			bulk_step(f, &bulk);
		}
		assert_true(got.result > 0 && !got.more && got.data.n <= size - received);
		assert_memory_equal(got.data.p, octets + received, got.data.n);
		received += got.data.n;
		block_release(got.block);
	}
	while (bulk.sent < size) {
		turn_to_stash(f, LITTLE_US);
		bulk_step(f, &bulk);
	}
	assert_true(bulk.sends > 1);
	disconnect(f, &c);
	free(octets);
}

static void cancels_end_once(struct fixture *f)
{
	struct connection c = connected(f, AF_INET);
	char *much = calloc(1, 16 << 20);
	struct bulk bulk = { c.client, much, 16 << 20 };
	ring_token recv;

	for (int multishot = 0; multishot < 2; multishot++) {
		recv = recv_start(f, c.server, multishot);
		expect_silence(f, recv);
		f->ring->ops->cancel(f->ring, recv);
		f->ring->ops->cancel(f->ring, recv);
		expect_end(f, recv, -ECANCELED);
		f->ring->ops->cancel(f->ring, recv); /* too late is no error */
		expect_silence(f, recv);
	}
	recv = recv_start(f, c.server, true); /* in the same turn */
	f->ring->ops->cancel(f->ring, recv);
	expect_end(f, recv, -ECANCELED);

	/* a send that finds no room, with a receive in flight beside it */
	recv = recv_start(f, c.client, true);
	bulk_fill(f, &bulk);
	assert_true(bulk.sent < bulk.size);
	f->ring->ops->cancel(f->ring, bulk.token);
	expect_end(f, bulk.token, -ECANCELED);
	f->ring->ops->cancel(f->ring, recv);
	expect_end(f, recv, -ECANCELED);
	disconnect(f, &c);
	free(much);
}

/* Starts on the first ring, goes on and ends on the second one. */
static void handed_over(struct fixture *f)
{
	struct ring *first = f->ring;
	struct connection c = connected(f, AF_INET);
	ring_token recv = recv_start(f, c.server, false);
	struct ring_completion got;

	send_all(f, c.client, "1", 1);
	got = await(f, recv);
	block_release(got.block);
	f->ring = f->second;
	recv = recv_start(f, c.server, true);
	send_all(f, c.client, "two", 3);
	expect_stream(f, recv, "two", 3);
	f->ring->ops->close(f->ring, c.client);
	expect_end(f, recv, 0);
	f->ring->ops->close(f->ring, c.server);
	f->ring = first;
	stop_listening(f, &c);
}

/* And while the first ring has no turn, the number comes back to it as another socket. */
static void handed_over_and_back(struct fixture *f)
{
	struct ring *first = f->ring;
	struct connection c = connected(f, AF_INET), again;
	ring_token recv = recv_start(f, c.server, false);
	struct ring_completion got;

	send_all(f, c.client, "1", 1);
	got = await(f, recv);
	block_release(got.block);
	f->ring = f->second;
	again = connected(f, AF_INET);
	f->ring->ops->close(f->ring, again.client);
	f->ring->ops->close(f->ring, c.server);
	again.client = f->ring->ops->open_stream(f->ring, AF_INET); /* the lowest number: one of the two */
	int spare = f->ring->ops->open_stream(f->ring, AF_INET);
	if (again.client != c.server) {
		int swap = spare;
		spare = again.client;
		again.client = swap;
	}
	assert_int_equal(again.client, c.server);
	f->ring->ops->close(f->ring, spare);
	f->ring->ops->close(f->ring, again.server);
	ring_token connect = new_token(f);
	f->ring->ops->connect(f->ring, again.client, (const struct sockaddr *)&again.address, connect);
	assert_int_equal(await(f, connect).result, 0);
	again.server = await(f, again.accept).result;
	assert_true(again.server >= 0);
	send_all(f, again.server, "three", 5);
	stop_listening(f, &again);

	f->ring = first;
	recv = recv_start(f, again.client, true);
	expect_stream(f, recv, "three", 5);
	f->ring->ops->cancel(f->ring, recv);
	expect_end(f, recv, -ECANCELED);
	f->ring->ops->close(f->ring, again.server);
	f->ring->ops->close(f->ring, again.client);
	f->ring->ops->close(f->ring, c.client);
	stop_listening(f, &c);
}

/* ---- datagrams ---- */

static int open_udp(struct fixture *f, const struct sockaddr_storage *bind)
{
	int fd = f->ring->ops->open_udp(f->ring, bind);

	CHECK(fd >= 0, "open_udp: %d\n", fd);
	return fd;
}

struct datagram {
	struct msghdr message;
	struct iovec iovec;
	ring_token token;
};

static void datagram_start(struct fixture *f, int fd, struct datagram *d, struct sockaddr_storage *to,
			   const void *p, size_t n)
{
	d->iovec = (struct iovec){ (void *)(uintptr_t)p, n };
	d->message = (struct msghdr){ .msg_name = to, .msg_namelen = sizeof(struct sockaddr_in),
		.msg_iov = &d->iovec, .msg_iovlen = 1 };
	d->token = new_token(f);
	f->ring->ops->sendmsg(f->ring, fd, &d->message, d->token);
}

static void datagram_send(struct fixture *f, int fd, struct sockaddr_storage *to, const void *p, size_t n)
{
	struct datagram d;

	datagram_start(f, fd, &d, to, p, n);
	struct ring_completion c = await(f, d.token);
	CHECK(c.result == (int)n && !c.more, "sendmsg: %d\n", c.result);
}

struct udp_pair {
	int sender, receiver;
	struct sockaddr_storage from, to;
	ring_token recv;
};

static struct udp_pair udp_pair(struct fixture *f)
{
	struct sockaddr_storage bind = loopback(AF_INET);
	struct udp_pair u = { open_udp(f, &bind), open_udp(f, &bind) };

	u.from = address_of(f, u.sender);
	u.to = address_of(f, u.receiver);
	u.recv = new_token(f);
	f->ring->ops->recvmsg(f->ring, u.receiver, u.recv);
	return u;
}

static void udp_pair_close(struct fixture *f, struct udp_pair *u)
{
	f->ring->ops->cancel(f->ring, u->recv);
	expect_end(f, u->recv, -ECANCELED);
	f->ring->ops->close(f->ring, u->sender);
	f->ring->ops->close(f->ring, u->receiver);
}

static void udp_tells_the_sender(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);

	for (int i = 0; i < 3; i++) {
		datagram_send(f, u.sender, &u.to, "datagram", 8);
		struct ring_completion got = await(f, u.recv);
		assert_true(got.result == 8 && got.more && !got.truncated && got.from);
		assert_memory_equal(got.data.p, "datagram", 8);
		assert_int_equal(got.from->ss_family, AF_INET);
		assert_int_equal(port_of(got.from), port_of(&u.from));
		block_release(got.block);
	}
	udp_pair_close(f, &u);
}

static void udp_truncated(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);
	char *big = calloc(1, BUFFER_SIZE + 1);

	datagram_send(f, u.sender, &u.to, big, BUFFER_SIZE + 1);
	struct ring_completion got = await(f, u.recv);
	assert_true(got.truncated && got.result > BUFFER_SIZE / 2 && got.result < BUFFER_SIZE);
	block_release(got.block);
	datagram_send(f, u.sender, &u.to, big, (size_t)got.result); /* what just fits */
	got = await(f, u.recv);
	assert_true(!got.truncated && got.more);
	block_release(got.block);
	udp_pair_close(f, &u);
	free(big);
}

static void udp_empty_is_no_end(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);

	datagram_send(f, u.sender, &u.to, "", 0);
	struct ring_completion got = await(f, u.recv);
	assert_true(got.result == 0 && got.more && !got.block);
	datagram_send(f, u.sender, &u.to, "x", 1);
	got = await(f, u.recv);
	assert_true(got.result == 1 && got.more);
	block_release(got.block);
	udp_pair_close(f, &u);
}

/* More than the submission queue holds, all in flight on one socket. */
static void udp_many_sends(struct fixture *f)
{
	enum { COUNT = 200 };
	struct udp_pair u = udp_pair(f);
	struct datagram *sends = calloc(COUNT, sizeof(*sends));
	uint8_t payload[COUNT];
	bool seen[COUNT] = { false };

	for (int i = 0; i < COUNT; i++) {
		payload[i] = (uint8_t)i;
		datagram_start(f, u.sender, &sends[i], &u.to, &payload[i], 1);
	}
	for (int i = 0; i < COUNT; i++) {
		struct ring_completion done = await(f, sends[i].token);
		assert_true(done.result == 1 && !done.more);
	}
	for (int i = 0; i < COUNT; i++) { /* ENOBUFS would be an end: there are blocks enough */
		struct ring_completion got = await(f, u.recv);
		CHECK(got.result == 1 && got.more, "recvmsg: %d\n", got.result);
		assert_false(seen[(uint8_t)got.data.p[0]]);
		seen[(uint8_t)got.data.p[0]] = true;
		block_release(got.block);
	}
	udp_pair_close(f, &u);
	free(sends);
}

static void udp_spread(struct fixture *f)
{
	enum { SOCKETS = 4, COUNT = 400 };
	struct sockaddr_storage bind = loopback(AF_INET), to;
	int sender = open_udp(f, &bind), sockets[SOCKETS];
	ring_token tokens[SOCKETS];
	unsigned got[SOCKETS] = { 0 }, sum = 0;

	sockets[0] = open_udp(f, &bind);
	to = address_of(f, sockets[0]);
	for (int i = 1; i < SOCKETS; i++)
		sockets[i] = open_udp(f, &to);
	assert_int_equal(f->ring->ops->spread_udp(f->ring, sockets[0], SOCKETS), 0);
	for (int i = 0; i < SOCKETS; i++) {
		tokens[i] = new_token(f);
		f->ring->ops->recvmsg(f->ring, sockets[i], tokens[i]);
	}
	for (int i = 0; i < COUNT; i++)
		datagram_send(f, sender, &to, "spread", 6);
	while (sum < COUNT) {
		struct ring_completion c;
		turn_to_stash(f, LITTLE_US);
		for (int i = 0; i < SOCKETS; i++) {
			while (take(f, tokens[i], &c)) {
				assert_true(c.result == 6 && c.more);
				block_release(c.block);
				got[i]++, sum++;
			}
		}
	}
	for (int i = 0; i < SOCKETS; i++) {
		CHECK(got[i] > COUNT / 10, "socket %d got %u of %d\n", i, got[i], COUNT);
		f->ring->ops->cancel(f->ring, tokens[i]);
		expect_end(f, tokens[i], -ECANCELED);
		f->ring->ops->close(f->ring, sockets[i]);
	}
	f->ring->ops->close(f->ring, sender);
}

/* ---- blocks, turns, wakes ---- */

/* Four blocks: who keeps them all gets -ENOBUFS, and data again after giving one back. */
static void no_buffers(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);
	struct ring_completion got[5];

	for (int i = 0; i < 5; i++)
		datagram_send(f, u.sender, &u.to, &"12345"[i], 1);
	for (int i = 0; i < 4; i++) {
		got[i] = await(f, u.recv);
		CHECK(got[i].result == 1 && got[i].more, "recvmsg: %d\n", got[i].result);
	}
	assert_int_equal(f->ring->ops->blocks_in_use(f->ring), 4);
	expect_end(f, u.recv, -ENOBUFS);
	assert_true(got[0].data.p[0] == '1' && got[3].data.p[0] == '4');
	block_release(block_hold(got[2].block));
	assert_int_equal(f->ring->ops->blocks_in_use(f->ring), 4);
	block_release(got[2].block);
	assert_int_equal(f->ring->ops->blocks_in_use(f->ring), 3);
	block_release(got[0].block); /* io_uring wants one more than there are datagrams */
	u.recv = new_token(f);
	f->ring->ops->recvmsg(f->ring, u.receiver, u.recv);
	got[4] = await(f, u.recv);
	assert_true(got[4].result == 1 && got[4].data.p[0] == '5' && got[4].more);
	block_release(got[4].block);
	block_release(got[1].block);
	block_release(got[3].block);
	udp_pair_close(f, &u);
}

/* Out of buffers and cancelled before anybody knew: it must not go on, though buffers are back. */
static void no_buffers_and_cancelled(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);
	struct ring_completion got[4], done;
	struct datagram d;

	for (int i = 0; i < 4; i++)
		datagram_send(f, u.sender, &u.to, "x", 1);
	for (int i = 0; i < 4; i++)
		got[i] = await(f, u.recv);
	f->ring->ops->cancel(f->ring, u.recv); /* some end now, some when a fifth one comes */
	await(f, u.recv);
	datagram_start(f, u.sender, &d, &u.to, "y", 1);
	u.recv = new_token(f);
	f->ring->ops->recvmsg(f->ring, u.receiver, u.recv);
	assert_int_equal(turn(f, &f->stash[0], 1, LITTLE_US), 1);
	f->stashed = 1;
	for (int i = 0; i < 4; i++)
		block_release(got[i].block);
	f->ring->ops->cancel(f->ring, u.recv);
	while ((done = await(f, u.recv)).more)
		block_release(done.block);
	assert_true(done.result == -ECANCELED || done.result == -ENOBUFS);
	expect_silence(f, u.recv);
	if (take(f, d.token, &done))
		assert_int_equal(done.result, 1);
	f->ring->ops->close(f->ring, u.sender);
	f->ring->ops->close(f->ring, u.receiver);
}

static void few_at_a_time(struct fixture *f)
{
	struct udp_pair u = udp_pair(f);
	struct ring_completion got[3];
	unsigned sum = 0;

	for (int i = 0; i < 10; i++)
		datagram_send(f, u.sender, &u.to, &"0123456789"[i], 1);
	while (f->stashed) { /* what came meanwhile */
		struct ring_completion c = { 0 };
		assert_true(take(f, u.recv, &c) && c.data.p[0] == (char)('0' + sum++));
		block_release(c.block);
	}
	while (sum < 10) {
		unsigned n = turn(f, got, 3, LITTLE_US);
		assert_true(n <= 3);
		for (unsigned i = 0; i < n; i++) {
			assert_true(got[i].token == u.recv && got[i].result == 1);
			CHECK(got[i].data.p[0] == (char)('0' + sum), "%c is out of order\n", got[i].data.p[0]);
			sum++;
			block_release(got[i].block);
		}
		if (n == 0 && f->sim)
			sim_advance(f->sim);
	}
	udp_pair_close(f, &u);
}

/* Completions of several operations wait while only one at a time is taken. */
static void one_at_a_time(struct fixture *f)
{
	enum { PAIRS = 8 };
	struct connection c = connected(f, AF_INET);
	struct udp_pair u[PAIRS];
	unsigned sum = 0;

	for (int i = 0; i < PAIRS; i++)
		u[i] = udp_pair(f);
	for (int i = 0; i < PAIRS; i++)
		datagram_send(f, u[i].sender, &u[i].to, "x", 1);
	sum = f->stashed;
	while (sum < PAIRS) {
		sum += turn(f, f->stash + f->stashed, 1, LITTLE_US);
		if (sum == f->stashed && f->sim)
			sim_advance(f->sim);
		f->stashed = sum;
	}
	for (int i = 0; i < PAIRS; i++) {
		struct ring_completion got = await(f, u[i].recv);
		assert_true(got.result == 1 && got.more);
		block_release(got.block);
		udp_pair_close(f, &u[i]);
	}
	disconnect(f, &c);
}

static void turn_times_out(struct fixture *f)
{
	struct ring_completion c;
	uint64_t before = f->ring->ops->now_us(f->ring), after;

	assert_int_equal(turn(f, &c, 1, 0), 0);
	assert_int_equal(turn(f, &c, 1, 30 * 1000), 0);
	if (f->sim)
		sim_advance(f->sim);
	after = f->ring->ops->now_us(f->ring);
	CHECK(after - before >= 30 * 1000, "only %lu us\n", (unsigned long)(after - before));
	assert_true(after - before < PATIENCE_US);
	assert_true(before > 0 && f->ring->ops->wall_us(f->ring) > UINT64_C(1700000000) * 1000000);
}

static void *wake_later(void *arg)
{
	struct fixture *f = arg;

	nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	f->ring->ops->wake(f->ring);
	return NULL;
}

static void woken(struct fixture *f)
{
	struct ring_completion c;
	pthread_t thread;
	uint64_t before = f->ring->ops->now_us(f->ring);

	for (int i = 0; i < 3; i++) { /* rung before it sleeps, and more than once */
		f->ring->ops->wake(f->ring);
		f->ring->ops->wake(f->ring);
		assert_int_equal(turn(f, &c, 1, UINT64_MAX), 0);
		if (f->sim)
			assert_true(f->ring->ops->now_us(f->ring) == before);
	}
	if (f->sim)
		return;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, wake_later, f), 0);
		assert_int_equal(turn(f, &c, 1, UINT64_MAX), 0);
		pthread_join(thread, NULL);
	}
	assert_true(f->ring->ops->now_us(f->ring) - before < PATIENCE_US);
}

static void random_octets_differ(struct fixture *f)
{
	unsigned char a[32] = { 0 }, b[32] = { 0 }, *big = calloc(1, 4096);
	unsigned zeros = 0;

	for (int i = 0; i < 100; i++) {
		f->ring->ops->random(f->ring, a, sizeof(a));
		assert_memory_not_equal(a, b, sizeof(a));
		memcpy(b, a, sizeof(b));
	}
	f->ring->ops->random(f->ring, big, 4096);
	for (int i = 0; i < 4096; i++)
		zeros += big[i] == 0;
	assert_true(zeros < 100); /* about 16 */
	free(big);
}

/* ---- the list ---- */

struct test {
	const char *name;
	void (*run)(struct fixture *);
	unsigned buffers;
};

static const struct test tests[] = {
	{ "echo over TCP", echo, 64 },
	{ "echo over TCP, IPv6", echo_ipv6, 64 },
	{ "accept goes on", accept_goes_on, 64 },
	{ "connect is refused", refused, 64 },
	{ "one-shot recv", one_shot, 64 },
	{ "a reset is an error", reset_is_an_error, 64 },
	{ "4 MiB to a slow reader", slow_reader, 64 },
	{ "cancels end once", cancels_end_once, 64 },
	{ "a descriptor is handed over", handed_over, 64 },
	{ "a descriptor's number comes back", handed_over_and_back, 64 },
	{ "UDP tells the sender", udp_tells_the_sender, 64 },
	{ "UDP truncation is told", udp_truncated, 64 },
	{ "an empty datagram is no end", udp_empty_is_no_end, 64 },
	{ "many sends on one socket, few buffers offered", udp_many_sends, 1000 },
	{ "UDP is spread over a group", udp_spread, 1000 },
	{ "no buffers, then some again", no_buffers, 4 },
	{ "no buffers, and cancelled at once", no_buffers_and_cancelled, 4 },
	{ "few completions at a time, in order", few_at_a_time, 64 },
	{ "one completion at a time, none lost", one_at_a_time, 64 },
	{ "a turn times out", turn_times_out, 4 },
	{ "a turn is woken", woken, 4 },
	{ "random octets", random_octets_differ, 4 },
};

#define TESTS (sizeof(tests) / sizeof(tests[0]))

struct run {
	const struct test *test;
	enum implementation on;
	uint64_t seed;
};

static struct ring *open_ring(struct fixture *f, const struct ring_options *options)
{
	struct ring *ring = NULL;
	int err = 0;

	switch (f->on) {
	case ON_URING:
		err = ring_open_uring(&ring, options);
		break;
	case ON_EPOLL:
		err = ring_open_epoll(&ring, options);
		break;
	case ON_SIMULATOR:
		ring = sim_ring_new(f->sim, options);
		break;
	}
	CHECK(!err, "the ring does not open: %s\n", strerror(err));
	return ring;
}

static void on_implementation(void **state)
{
	struct run *run = *state;
	struct ring_options options = { 64, run->test->buffers, BUFFER_SIZE };
	struct fixture *f;

	if (run->on == ON_URING && ring_probe_uring())
		skip();
	f = calloc(1, sizeof(*f));
	f->on = run->on;
	if (f->on == ON_SIMULATOR)
		f->sim = sim_new(run->seed, &SIM_CALM);
	f->ring = open_ring(f, &options);
	f->second = open_ring(f, &options);
	run->test->run(f);
	assert_int_equal(f->ring->ops->blocks_in_use(f->ring), 0);
	assert_int_equal(f->second->ops->blocks_in_use(f->second), 0);
	assert_int_equal(f->stashed, 0);
	if (f->sim) {
		assert_int_equal(sim_operations(f->ring), 0);
		assert_int_equal(sim_descriptors(f->sim), 0);
	}
	f->ring->ops->destroy(f->ring);
	f->second->ops->destroy(f->second);
	if (f->sim)
		sim_free(f->sim);
	free(f);
}

int main(void)
{
	static struct CMUnitTest list[TESTS * 2 + TESTS * SEEDS];
	static struct run runs[TESTS * 2 + TESTS * SEEDS];
	static char names[TESTS * 2 + TESTS * SEEDS][80];
	size_t n = 0;

	for (enum implementation on = ON_URING; on <= ON_SIMULATOR; on++) {
		for (size_t i = 0; i < TESTS; i++) {
			for (uint64_t seed = 1; seed <= (on == ON_SIMULATOR ? SEEDS : 1); seed++, n++) {
				runs[n] = (struct run){ &tests[i], on, seed };
				snprintf(names[n], sizeof(names[n]), "%s: %s (%u)", implementation_names[on],
					 tests[i].name, (unsigned)seed);
				list[n] = (struct CMUnitTest){ .name = names[n], .test_func = on_implementation,
					.initial_state = &runs[n] };
			}
		}
	}
	return cmocka_run_group_tests_name("core ring", list, NULL, NULL);
}
