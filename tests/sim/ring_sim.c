#include "tests/sim/ring_sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net.h"
#include "core/operations.h"
#include "tests/sim/network.h"

#define START_US (1000 * 1000 * 1000)
#define START_WALL_US (UINT64_C(1767225600) * 1000000) /* 2026-01-01 */
#define PASSES_MAX 4              /* completions of one socket in one turn */
#define TURNS_PER_INSTANT_MAX 1000000
#define IDLE_STEP_US 1000

const struct sim_options SIM_CALM = {
	.latency_min_us = 20, .latency_max_us = 500,
	.stream_room_min = 4096, .stream_room_max = 256 * 1024,
	.spike = 5, .short_write = 100, .short_read = 100, .small_segment = 50, .late = 100,
};

struct sim_ring {
	struct ring ring;
	struct sim *sim;
	unsigned index;
	struct operations operations;
	int *touched;             /* descriptors on which something may go on */
	size_t touched_count, touched_size;
	unsigned blocks_max, blocks_in_use;
	size_t block_size;
	bool was_woken;
	bool is_blocked;          /* its last turn would have waited, until deadline_us */
	uint64_t deadline_us;
	uint64_t seen_activity;
};

struct sim {
	uint64_t seed, random;
	struct sim_options options;
	struct network network;
	struct sim_ring **rings;
	unsigned rings_count;
	uint64_t activity;        /* turns that did something */
	unsigned turns_in_instant;
};

/* ---- the run ---- */

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "simulator, seed %llu, at %llu us: ", (unsigned long long)sim->seed,
		(unsigned long long)(sim->network.now_us - START_US));
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

static void must(struct sim *sim, bool condition, const char *rule, int fd)
{
	if (!condition)
		sim_fail(sim, "descriptor %d: %s", fd, rule);
}

uint64_t sim_random_u64(struct sim *sim) /* splitmix64 */
{
	uint64_t z = sim->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

unsigned sim_random_below(struct sim *sim, unsigned n)
{
	return (unsigned)((sim_random_u64(sim) >> 32) * n >> 32);
}

bool sim_chance(struct sim *sim, unsigned in_1000)
{
	return in_1000 && sim_random_below(sim, 1000) < in_1000;
}

uint64_t sim_seed(const struct sim *sim)
{
	return sim->seed;
}

uint64_t sim_now_us(const struct sim *sim)
{
	return sim->network.now_us;
}

struct sim_options *sim_settings(struct sim *sim)
{
	return &sim->options;
}

/* Most runs have few kinds of trouble, so that one is not hidden behind another. */
struct sim_options sim_rough(uint64_t seed)
{
	struct sim_options o = SIM_CALM;
	struct sim dice = { .random = seed ^ 0x726f756768 };
	unsigned *const chances[] = { &o.spike, &o.short_write, &o.short_read, &o.small_segment, &o.late,
		&o.no_buffer, &o.udp_loss, &o.udp_duplicate, &o.udp_reorder, &o.connect_timeout, &o.reset };
	static const unsigned most[] = { 50, 500, 500, 300, 500, 50, 200, 100, 200, 50, 10 };

	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++)
		*chances[i] = sim_chance(&dice, 400) ? sim_random_below(&dice, most[i] + 1) : *chances[i];
	o.latency_max_us <<= sim_random_below(&dice, 8);
	o.stream_room_max = o.stream_room_min << sim_random_below(&dice, 7);
	return o;
}

/* ---- what may go on ---- */

static struct sim_ring *ring_of(struct ring *ring)
{
	return (struct sim_ring *)ring;
}

static void touch(struct network_socket *s)
{
	struct sim_ring *r = s->ring;

	if (!r || s->is_touched)
		return;
	s->is_touched = true;
	if (r->touched_count == r->touched_size) {
		r->touched_size = r->touched_size ? r->touched_size * 2 : 64;
		r->touched = realloc(r->touched, r->touched_size * sizeof(int));
		assert(r->touched);
	}
	r->touched[r->touched_count++] = s->fd;
}

static bool is_idle(const struct network_socket *s)
{
	return s->receive == OPERATION_NONE && s->send_first == OPERATION_NONE;
}

/* ---- blocks: each its own memory, of exactly what arrived ---- */

struct sim_block {
	struct block block;
	char octets[];
};

/* `octets` may be NULL: the caller fills block->data. */
static struct block *block_new(struct sim_ring *r, size_t head, const char *octets, size_t n)
{
	struct sim_block *b = malloc(sizeof(*b) + head + n);

	assert(b);
	b->block = (struct block){ .ring = &r->ring, .data = b->octets, .size = (uint32_t)r->block_size,
		.references = 1 };
	if (octets && n)
		memcpy(b->octets + head, octets, n);
	r->blocks_in_use++;
	return &b->block;
}

static void sim_recycle(struct ring *ring, struct block *block)
{
	struct sim_ring *r = ring_of(ring);

	if (block->ring != ring || r->blocks_in_use == 0)
		sim_fail(r->sim, "a block comes home to a ring that is not its own");
	r->blocks_in_use--;
	free(block); /* the first member of its sim_block */
}

static unsigned sim_blocks_in_use(struct ring *ring)
{
	return ring_of(ring)->blocks_in_use;
}

/* ---- trying an operation: a result, or -EAGAIN ---- */

static bool lacks_block(struct sim_ring *r)
{
	return r->blocks_in_use == r->blocks_max || sim_chance(r->sim, r->sim->options.no_buffer);
}

static int try_recv(struct sim_ring *r, struct network_socket *s, struct ring_completion *out)
{
	char *octets;
	ssize_t n;

	if (s->kind != NETWORK_STREAM || s->state != STATE_CONNECTED)
		return -ENOTCONN;
	if (!network_is_readable(s))
		return -EAGAIN;
	if (lacks_block(r))
		return -ENOBUFS;
	octets = malloc(r->block_size);
	assert(octets);
	n = network_read(&r->sim->network, s, octets, r->block_size);
	if (n > 0) {
		out->block = block_new(r, 0, octets, (size_t)n);
		out->data = slice_of(out->block->data, (size_t)n);
	}
	free(octets);
	return (int)n;
}

static int try_recvmsg(struct sim_ring *r, struct network_socket *s, struct ring_completion *out)
{
	size_t n, room = r->block_size - NET_DATAGRAM_PAYLOAD;
	struct network_datagram *d;

	if (s->kind != NETWORK_UDP)
		return -EOPNOTSUPP;
	if (!network_is_readable(s))
		return -EAGAIN;
	if (lacks_block(r))
		return -ENOBUFS;
	d = network_datagram(s);
	n = d->n > room ? room : d->n;
	out->truncated = d->n > room;
	if (n) {
		out->block = block_new(r, sizeof(d->from), d->octets, n);
		memcpy(out->block->data, &d->from, sizeof(d->from));
		out->from = (struct sockaddr_storage *)out->block->data;
		out->data = slice_of(out->block->data + sizeof(d->from), n);
	}
	free(d);
	return (int)n;
}

static int try_connect(struct sim_ring *r, struct network_socket *s, struct operation *operation)
{
	int err;

	if (!operation->p)
		return network_connected(s);
	err = network_connect(&r->sim->network, s, operation->p);
	operation->p = NULL;
	return err == -EINPROGRESS ? -EAGAIN : err;
}

static int try_send(struct sim_ring *r, struct network_socket *s, const struct operation *operation)
{
	struct iovec iovec = { (void *)(uintptr_t)operation->p, operation->n };
	struct msghdr single = { .msg_iov = &iovec, .msg_iovlen = 1 };
	const struct msghdr *m = operation->kind == OPERATION_SEND ? &single : operation->p;

	switch (s->kind) {
	case NETWORK_UDP:
		return (int)network_send_datagram(&r->sim->network, s, m);
	case NETWORK_STREAM:
		return (int)network_write(&r->sim->network, s, m->msg_iov, m->msg_iovlen);
	case NETWORK_LISTENER:
		break;
	}
	return -ENOTCONN;
}

static int try(struct sim_ring *r, struct network_socket *s, uint32_t index, struct ring_completion *out)
{
	struct operation *operation = &r->operations.slots[index];

	switch (operation->kind) {
	case OPERATION_ACCEPT:
		return s->kind == NETWORK_LISTENER ? network_accept(&r->sim->network, s) : -EINVAL;
	case OPERATION_CONNECT:
		return s->kind == NETWORK_STREAM ? try_connect(r, s, operation) : -EOPNOTSUPP;
	case OPERATION_RECV:
		return try_recv(r, s, out);
	case OPERATION_RECVMSG:
		return try_recvmsg(r, s, out);
	case OPERATION_SEND:
	case OPERATION_SENDMSG:
		return try_send(r, s, operation);
	}
	sim_fail(r->sim, "an operation of no kind");
}

/* ---- completions ---- */

static void forget(struct sim_ring *r, struct network_socket *s, uint32_t index)
{
	uint32_t *at = &s->send_first, before = OPERATION_NONE;

	if (s->receive == index) {
		s->receive = OPERATION_NONE;
	} else {
		while (*at != index) {
			before = *at;
			at = &r->operations.slots[*at].next;
		}
		*at = r->operations.slots[index].next;
		if (s->send_last == index)
			s->send_last = before;
	}
	operation_remove(&r->operations, index);
	if (is_idle(s))
		s->ring = NULL;
}

static void trace(const struct sim_ring *r, const struct ring_completion *c, int fd)
{
	if (r->sim->options.trace)
		fprintf(stderr, "%10llu ring %u fd %d token %016llx result %d%s\n",
			(unsigned long long)(sim_now_us(r->sim) - START_US), r->index, fd - NETWORK_FIRST_FD,
			(unsigned long long)c->token, c->result, c->more ? " more" : "");
}

static bool goes_on(const struct operation *operation, int result)
{
	if (!operation->multishot)
		return false;
	return operation->kind == OPERATION_RECV ? result > 0 : result >= 0;
}

/* A cancel may come too late: what was possible before it still happens, in one run of two. */
static bool attempt(struct sim_ring *r, struct network_socket *s, uint32_t index, struct ring_completion *out)
{
	struct operation operation = r->operations.slots[index];

	*out = (struct ring_completion){ .token = operation.token, .result = -EAGAIN };
	if (!operation.cancelled || sim_chance(r->sim, 500))
		out->result = try(r, s, index, out);
	if (out->result == -EAGAIN) {
		if (!operation.cancelled)
			return false;
		out->result = -ECANCELED;
	}
	out->more = goes_on(&operation, out->result);
	trace(r, out, operation.fd);
	if (!out->more)
		forget(r, s, index);
	return true;
}

/* The first of the sends that can end: only the first one may be tried, the others may be cancelled. */
static bool attempt_sends(struct sim_ring *r, struct network_socket *s, struct ring_completion *out)
{
	uint32_t index = s->send_first;

	if (index == OPERATION_NONE)
		return false;
	if (attempt(r, s, index, out))
		return true;
	while ((index = r->operations.slots[index].next) != OPERATION_NONE) {
		if (r->operations.slots[index].cancelled) {
			*out = (struct ring_completion){ .token = r->operations.slots[index].token,
				.result = -ECANCELED };
			trace(r, out, s->fd);
			forget(r, s, index);
			return true;
		}
	}
	return false;
}

static bool attempt_receive(struct sim_ring *r, struct network_socket *s, struct ring_completion *out)
{
	return s->receive != OPERATION_NONE && attempt(r, s, s->receive, out);
}

static bool attempt_any(struct sim_ring *r, struct network_socket *s, struct ring_completion *out)
{
	bool done = sim_chance(r->sim, 500) ?
		attempt_receive(r, s, out) || attempt_sends(r, s, out) :
		attempt_sends(r, s, out) || attempt_receive(r, s, out);

	if (done)
		touch(s); /* there may be more; of no ring when it was the last */
	return done;
}

static void shuffle(struct sim *sim, int *list, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = sim_random_below(sim, (unsigned)i);
		int swap = list[i - 1];
		list[i - 1] = list[j];
		list[j] = swap;
	}
}

/* One completion of every touched socket, in any order. */
static unsigned pass(struct sim_ring *r, struct ring_completion *out, unsigned max, unsigned late)
{
	int *list = r->touched;
	size_t count = r->touched_count;
	unsigned n = 0;

	shuffle(r->sim, list, count);
	r->touched = NULL; /* what is touched meanwhile is for the next pass */
	r->touched_count = r->touched_size = 0;
	for (size_t i = 0; i < count; i++) {
		struct network_socket *s = network_find(&r->sim->network, list[i]);
		if (!s || s->ring != r)
			continue; /* closed or handed over since */
		s->is_touched = false;
		if (n == max || sim_chance(r->sim, late))
			touch(s);
		else
			n += attempt_any(r, s, &out[n]);
	}
	free(list);
	return n;
}

static unsigned sim_turn_ring(struct ring *ring, struct ring_completion *out, unsigned max,
			      uint64_t timeout_us)
{
	struct sim_ring *r = ring_of(ring);
	uint64_t now_us = sim_now_us(r->sim), deadline_us = now_us + timeout_us;
	unsigned n = 0, passes = 1 + sim_random_below(r->sim, PASSES_MAX);

	while (passes-- && r->touched_count && n < max)
		n += pass(r, out + n, max - n, r->sim->options.late);
	while (n == 0 && r->touched_count) /* all were late: but a turn with work does some */
		n = pass(r, out, max, 0);
	if (deadline_us < now_us)
		deadline_us = UINT64_MAX;
	if (r->is_blocked && r->deadline_us < deadline_us)
		deadline_us = r->deadline_us; /* the turn that goes on waiting, as it were */
	r->is_blocked = n == 0 && !r->was_woken && deadline_us > now_us;
	r->deadline_us = deadline_us;
	r->was_woken = false;
	if (!r->is_blocked)
		r->sim->activity++;
	r->seen_activity = r->sim->activity;
	return n;
}

/* ---- starting ---- */

static struct network_socket *socket_of(struct sim_ring *r, int fd)
{
	struct network_socket *s = network_find(&r->sim->network, fd);

	must(r->sim, s, "is not open", fd);
	return s;
}

static struct network_socket *socket_for(struct sim_ring *r, int fd, ring_token token)
{
	struct network_socket *s = socket_of(r, fd);

	must(r->sim, ring_token_kind(token) > 0 && ring_token_kind(token) < 64, "a token of a reserved kind", fd);
	must(r->sim, !s->ring || s->ring == r, "has operations of another ring in flight", fd);
	if (s->ring != r)
		s->is_touched = false;
	s->ring = r;
	return s;
}

static void start_receive(struct ring *ring, int fd, struct operation wanted, ring_token token)
{
	struct sim_ring *r = ring_of(ring);
	struct network_socket *s = socket_for(r, fd, token);

	must(r->sim, s->receive == OPERATION_NONE, "receives already", fd);
	s->receive = operation_add(&r->operations, token, fd, wanted.kind);
	r->operations.slots[s->receive].multishot = wanted.multishot;
	touch(s);
}

static void start_send(struct ring *ring, int fd, struct operation wanted, ring_token token)
{
	struct sim_ring *r = ring_of(ring);
	struct network_socket *s = socket_for(r, fd, token);
	uint32_t index = operation_add(&r->operations, token, fd, wanted.kind);

	/* Two sends on a stream may each be short: what arrived would be anybody's guess. */
	must(r->sim, s->kind != NETWORK_STREAM || s->send_first == OPERATION_NONE, "sends already", fd);
	r->operations.slots[index].p = wanted.p;
	r->operations.slots[index].n = wanted.n;
	if (s->send_first == OPERATION_NONE)
		s->send_first = index;
	else
		r->operations.slots[s->send_last].next = index;
	s->send_last = index;
	touch(s);
}

static void sim_accept(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, (struct operation){ .kind = OPERATION_ACCEPT, .multishot = true }, token);
}

static void sim_recv(struct ring *ring, int fd, bool multishot, ring_token token)
{
	start_receive(ring, fd, (struct operation){ .kind = OPERATION_RECV, .multishot = multishot }, token);
}

static void sim_recvmsg(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, (struct operation){ .kind = OPERATION_RECVMSG, .multishot = true }, token);
}

static void sim_connect(struct ring *ring, int fd, const struct sockaddr *to, ring_token token)
{
	start_send(ring, fd, (struct operation){ .kind = OPERATION_CONNECT, .p = to }, token);
}

static void sim_send(struct ring *ring, int fd, const void *p, size_t n, ring_token token)
{
	start_send(ring, fd, (struct operation){ .kind = OPERATION_SEND, .p = p, .n = n }, token);
}

static void sim_sendmsg(struct ring *ring, int fd, const struct msghdr *m, ring_token token)
{
	start_send(ring, fd, (struct operation){ .kind = OPERATION_SENDMSG, .p = m }, token);
}

static void sim_cancel(struct ring *ring, ring_token token)
{
	struct sim_ring *r = ring_of(ring);
	uint32_t index = operation_find(&r->operations, token);

	if (index != OPERATION_NONE) {
		r->operations.slots[index].cancelled = true;
		touch(socket_of(r, r->operations.slots[index].fd));
	}
}

/* ---- sockets ---- */

static int open_udp(struct ring *ring, const struct sockaddr_storage *bind)
{
	return network_open(&ring_of(ring)->sim->network, NETWORK_UDP, bind);
}

static int open_listener(struct ring *ring, const struct sockaddr_storage *bind)
{
	return network_open(&ring_of(ring)->sim->network, NETWORK_LISTENER, bind);
}

static int open_stream(struct ring *ring, int family)
{
	struct sockaddr_storage unbound = { .ss_family = (sa_family_t)family };

	return network_open(&ring_of(ring)->sim->network, NETWORK_STREAM, &unbound);
}

static int spread_udp(struct ring *ring, int fd, unsigned sockets)
{
	struct network_socket *s = socket_of(ring_of(ring), fd);

	s->is_spread = true;
	return s->kind == NETWORK_UDP && sockets ? 0 : -EINVAL;
}

static int local_address(struct ring *ring, int fd, struct sockaddr_storage *address)
{
	*address = socket_of(ring_of(ring), fd)->local;
	return 0;
}

static int peer_address(struct ring *ring, int fd, struct sockaddr_storage *address)
{
	struct network_socket *s = socket_of(ring_of(ring), fd);

	if (s->kind != NETWORK_STREAM || s->state != STATE_CONNECTED)
		return -ENOTCONN;
	*address = s->peer;
	return 0;
}

static int backlog(struct ring *ring, int fd, struct ring_backlog *out)
{
	socket_of(ring_of(ring), fd);
	*out = (struct ring_backlog){ 0 };
	return 0;
}

static int filter(struct ring *ring, int fd, const struct sock_filter *program, unsigned n)
{
	return -EOPNOTSUPP;
}

static void close_socket(struct ring *ring, int fd)
{
	struct sim *sim = ring_of(ring)->sim;
	struct network_socket *s = socket_of(ring_of(ring), fd);

	must(sim, is_idle(s), "is closed with operations in flight", fd);
	network_close(&sim->network, s);
}

static void leave(struct ring *ring, int fd)
{
	must(ring_of(ring)->sim, is_idle(socket_of(ring_of(ring), fd)), "goes to another ring with operations in flight", fd);
}

/* ---- clocks, wakes, the ring itself ---- */

static uint64_t now_us_of(struct ring *ring)
{
	return sim_now_us(ring_of(ring)->sim);
}

/* Turns take no time. */
static uint64_t cpu_us_of(struct ring *ring)
{
	return 0;
}

static uint64_t wall_us_of(struct ring *ring)
{
	return START_WALL_US + now_us_of(ring) - START_US;
}

static void random_of(struct ring *ring, void *p, size_t n)
{
	unsigned char *to = p;

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)sim_random_u64(ring_of(ring)->sim);
}

static void wake(struct ring *ring)
{
	ring_of(ring)->was_woken = true;
}

static void destroy(struct ring *ring)
{
	struct sim_ring *r = ring_of(ring);

	if (r->blocks_in_use)
		sim_fail(r->sim, "ring %u goes with %u blocks in use", r->index, r->blocks_in_use);
	for (size_t i = 0; i < r->sim->network.sockets_size; i++) {
		struct network_socket *s = r->sim->network.sockets[i];
		if (s && s->ring == r) {
			s->ring = NULL;
			s->receive = s->send_first = s->send_last = OPERATION_NONE;
			s->is_touched = false;
		}
	}
	r->sim->rings[r->index] = NULL;
	operations_free(&r->operations);
	free(r->touched);
	free(r);
}

static const struct ring_ops sim_ops = {
	.name = "simulator",
	.destroy = destroy,
	.now_us = now_us_of,
	.cpu_us = cpu_us_of,
	.wall_us = wall_us_of,
	.random = random_of,
	.open_udp = open_udp,
	.open_listener = open_listener,
	.open_stream = open_stream,
	.spread_udp = spread_udp,
	.local_address = local_address,
	.peer_address = peer_address,
	.backlog = backlog,
	.filter = filter,
	.close = close_socket,
	.leave = leave,
	.accept = sim_accept,
	.connect = sim_connect,
	.recv = sim_recv,
	.recvmsg = sim_recvmsg,
	.send = sim_send,
	.sendmsg = sim_sendmsg,
	.cancel = sim_cancel,
	.turn = sim_turn_ring,
	.wake = wake,
	.recycle = sim_recycle,
	.blocks_in_use = sim_blocks_in_use,
};

struct ring *sim_ring_new(struct sim *sim, const struct ring_options *options)
{
	struct sim_ring *r = calloc(1, sizeof(*r));

	assert(r && options->buffers && options->buffer_size > NET_DATAGRAM_PAYLOAD);
	*r = (struct sim_ring){ .ring.ops = &sim_ops, .sim = sim, .index = sim->rings_count,
		.blocks_max = options->buffers, .block_size = options->buffer_size };
	sim->rings = realloc(sim->rings, ++sim->rings_count * sizeof(*sim->rings));
	assert(sim->rings);
	sim->rings[r->index] = r;
	return &r->ring;
}

struct sim *sim_new(uint64_t seed, const struct sim_options *options)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert(sim);
	sim->seed = sim->random = seed;
	sim->options = *options;
	network_init(&sim->network, sim, touch);
	sim->network.now_us = START_US + sim_random_below(sim, START_US);
	return sim;
}

void sim_free(struct sim *sim)
{
	for (unsigned i = 0; i < sim->rings_count; i++) {
		if (sim->rings[i])
			sim_fail(sim, "ring %u outlives the simulator", i);
	}
	network_free(&sim->network);
	free(sim->rings);
	free(sim);
}

/* ---- scheduler ---- */

bool sim_runnable(struct sim *sim, struct ring *ring)
{
	struct sim_ring *r = ring_of(ring);

	return !r->is_blocked || r->was_woken || r->touched_count || r->deadline_us <= sim_now_us(sim) ||
	       r->seen_activity != sim->activity;
}

uint64_t sim_next_event_us(struct sim *sim)
{
	uint64_t next = network_next_us(&sim->network);

	for (unsigned i = 0; i < sim->rings_count; i++) {
		struct sim_ring *r = sim->rings[i];
		if (r && r->is_blocked && r->deadline_us > sim_now_us(sim) && r->deadline_us < next)
			next = r->deadline_us;
	}
	return next;
}

static void advance_to(struct sim *sim, uint64_t to_us)
{
	sim->turns_in_instant = 0;
	network_advance(&sim->network, to_us > sim_now_us(sim) ? to_us : sim_now_us(sim));
}

void sim_advance(struct sim *sim)
{
	uint64_t next = sim_next_event_us(sim);

	advance_to(sim, next == UINT64_MAX ? sim_now_us(sim) + IDLE_STEP_US : next);
}

/* One of those that can run, each as likely; the number of rings when there is none. */
static unsigned choose_runnable(struct sim *sim)
{
	unsigned chosen = sim->rings_count, count = 0;

	for (unsigned i = 0; i < sim->rings_count; i++) {
		if (sim->rings[i] && sim_runnable(sim, &sim->rings[i]->ring) &&
		    sim_random_below(sim, ++count) == 0)
			chosen = i;
	}
	return chosen;
}

bool sim_run_until(struct sim *sim, bool (*done)(void *), uint64_t limit_us, sim_turn turn, void *arg)
{
	uint64_t end_us = sim_now_us(sim) + limit_us;

	while (!done || !done(arg)) {
		unsigned i = choose_runnable(sim);
		if (i < sim->rings_count) {
			if (++sim->turns_in_instant > TURNS_PER_INSTANT_MAX)
				sim_fail(sim, "ring %u and others run for ever without time passing", i);
			turn(arg, i);
			continue;
		}
		uint64_t next_us = sim_next_event_us(sim);
		if (next_us > end_us) {
			advance_to(sim, end_us);
			return false;
		}
		advance_to(sim, next_us);
	}
	return true;
}

void sim_run_us(struct sim *sim, uint64_t duration_us, sim_turn turn, void *arg)
{
	(void)sim_run_until(sim, NULL, duration_us, turn, arg); /* never done: it is the time that ends it */
}

/* ---- faults and leaks ---- */

void sim_reset(struct sim *sim, int fd)
{
	struct network_socket *s = network_find(&sim->network, fd);

	must(sim, s && s->kind == NETWORK_STREAM, "is no open stream", fd);
	network_reset(&sim->network, s);
}

unsigned sim_descriptors(struct sim *sim)
{
	return sim->network.open;
}

unsigned sim_operations(struct ring *ring)
{
	return ring_of(ring)->operations.count;
}
