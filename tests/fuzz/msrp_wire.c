/* The sockets of fuzz_msrp_stream.c: see msrp_wire.h. */
#include "tests/fuzz/msrp_wire.h"

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_FD (1 << 20) /* no descriptor of the kernel has such a number */
#define START_US UINT64_C(1000000000)

struct wire wire;
static char octets_in[WIRE_ENDS_MAX][WIRE_IN_MAX], octets_out[WIRE_ENDS_MAX][WIRE_OUT_MAX];
static struct wire_mark marks[WIRE_ENDS_MAX][2][WIRE_MARKS_MAX];

struct fuzz_ring {
	struct ring ring;
	unsigned index;
	struct wire_operation accept;
};

static struct fuzz_ring rings[WIRE_WORKERS];

static struct fuzz_ring *ring_of(struct ring *ring)
{
	return (struct fuzz_ring *)ring;
}

int wire_listener(unsigned worker)
{
	return FIRST_FD - 1 - (int)worker;
}

int wire_fd(const struct wire_end *end)
{
	return FIRST_FD + (int)(end - wire.ends);
}

static struct wire_end *end_of(int fd)
{
	assert(fd >= FIRST_FD && fd < FIRST_FD + (int)wire.end_count);
	struct wire_end *end = &wire.ends[fd - FIRST_FD];
	assert(end->is_open);
	return end;
}

static uint64_t next_random(void) /* splitmix64 */
{
	uint64_t z = wire.random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- memory: linked with --wrap ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool is_out_of_memory(void)
{
	if (!wire.is_server || !wire.fails_in || --wire.fails_in)
		return false;
	wire.failed++;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return is_out_of_memory() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return is_out_of_memory() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return is_out_of_memory() ? NULL : __real_realloc(p, n);
}

/* ---- clients ---- */

static struct wire_end *new_end(unsigned worker)
{
	if (wire.end_count == WIRE_ENDS_MAX)
		return NULL;
	unsigned i = wire.end_count++;
	struct wire_end *end = &wire.ends[i];
	*end = (struct wire_end){ .was_opened = true, .worker = worker, .in = octets_in[i], .out = octets_out[i],
		.got.marks = marks[i][0], .said.marks = marks[i][1], .out_room = WIRE_OUT_MAX };
	return end;
}

struct wire_end *wire_open(unsigned worker)
{
	return new_end(worker);
}

bool wire_write(struct wire_end *end, const char *p, size_t n)
{
	if (n > WIRE_IN_MAX - end->in_written)
		return false;
	memcpy(end->in + end->in_written, p, n);
	end->in_written += n;
	return true;
}

static void mark(struct wire_log *log, size_t n)
{
	log->n += n;
	if (log->mark_count && (log->marks[log->mark_count - 1].step == wire.step ||
			log->mark_count == WIRE_MARKS_MAX)) {
		wire.is_vague |= log->marks[log->mark_count - 1].step != wire.step;
		log->mark_count--; /* one per step, as long as there is room */
	}
	log->marks[log->mark_count++] = (struct wire_mark){ log->n, wire.step };
}

unsigned wire_when(const struct wire_log *log, size_t offset)
{
	for (unsigned i = 0; i < log->mark_count; i++) {
		if (log->marks[i].end >= offset)
			return log->marks[i].step;
	}
	return UINT32_MAX;
}

static void tell_log(const struct wire_log *log, const char *octets, const char *who)
{
	size_t at = 0;

	for (unsigned i = 0; i < log->mark_count; i++) {
		fprintf(stderr, "---- step %u, %s:\n%.*s\n", log->marks[i].step, who, (int)(log->marks[i].end - at),
			octets + at);
		at = log->marks[i].end;
	}
}

void wire_tell(void)
{
	for (unsigned i = 0; i < wire.end_count; i++) {
		const struct wire_end *end = &wire.ends[i];
		fprintf(stderr, "======== connection %u of worker %u%s%s\n", i, end->worker, end->is_open ? ", open" : "",
			end->has_ended ? ", the client has closed it" : "");
		tell_log(&end->got, end->in, "client");
		tell_log(&end->said, end->out, "server");
	}
}

/* ---- the ring ---- */

static void no_destroy(struct ring *ring)
{
}

static uint64_t now_us(struct ring *ring)
{
	return wire.now_us;
}

static void fill_random(struct ring *ring, void *p, size_t n)
{
	uint64_t z = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			z = next_random();
		((uint8_t *)p)[i] = (uint8_t)(z >> i % 8 * 8);
	}
}

static int no_socket(struct ring *ring, const struct sockaddr_storage *bind)
{
	return -EACCES;
}

static int open_stream(struct ring *ring, int family)
{
	struct wire_end *end = new_end(ring_of(ring)->index);

	if (!end)
		return -EMFILE;
	end->is_open = end->is_connecting = end->is_accepted = true;
	return wire_fd(end);
}

static int no_spread(struct ring *ring, int fd, unsigned sockets)
{
	return -EACCES;
}

static int address_of(struct ring *ring, int fd, struct sockaddr_storage *out)
{
	*out = (struct sockaddr_storage){ .ss_family = AF_INET };
	((struct sockaddr_in *)out)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return 0;
}

static void close_end(struct ring *ring, int fd)
{
	struct wire_end *end = end_of(fd);

	assert(!end->recv.is_on && !end->send.is_on && !end->connect.is_on);
	end->is_open = false;
}

static void leave(struct ring *ring, int fd)
{
	struct wire_end *end = end_of(fd);

	(void)ring;
	assert(!end->recv.is_on && !end->send.is_on && !end->connect.is_on);
}

/* An operation may begin: the descriptor is open and no other ring's. */
static struct wire_end *use(struct ring *ring, int fd)
{
	struct wire_end *end = end_of(fd);

	if (!end->recv.is_on && !end->send.is_on && !end->connect.is_on)
		end->ring = ring_of(ring)->index;
	assert(end->ring == ring_of(ring)->index);
	return end;
}

static void begin(struct wire_operation *operation, struct wire_operation wanted)
{
	assert(!operation->is_on && ring_token_kind(wanted.token) > 0 && ring_token_kind(wanted.token) < 64);
	*operation = wanted;
	operation->is_on = true;
}

static void start_accept(struct ring *ring, int fd, ring_token token)
{
	assert(fd == wire_listener(ring_of(ring)->index));
	begin(&ring_of(ring)->accept, (struct wire_operation){ .token = token });
}

static void start_connect(struct ring *ring, int fd, const struct sockaddr *to, ring_token token)
{
	begin(&use(ring, fd)->connect, (struct wire_operation){ .token = token });
}

static void start_recv(struct ring *ring, int fd, bool multishot, ring_token token)
{
	begin(&use(ring, fd)->recv, (struct wire_operation){ .token = token, .is_multishot = multishot });
}

static void start_recvmsg(struct ring *ring, int fd, ring_token token)
{
	abort();
}

static void start_send(struct ring *ring, int fd, const void *p, size_t n, ring_token token)
{
	assert(n > 0);
	begin(&use(ring, fd)->send, (struct wire_operation){ .token = token, .p = p, .n = n });
}

static void start_sendmsg(struct ring *ring, int fd, const struct msghdr *m, ring_token token)
{
	abort();
}

static void cancel(struct ring *ring, ring_token token)
{
	struct wire_operation *accept = &ring_of(ring)->accept;

	if (accept->is_on && accept->token == token)
		accept->is_cancelled = true;
	for (unsigned i = 0; i < wire.end_count; i++) {
		struct wire_operation *all[] = { &wire.ends[i].recv, &wire.ends[i].send, &wire.ends[i].connect };
		for (unsigned j = 0; j < 3; j++) {
			if (all[j]->is_on && all[j]->token == token)
				all[j]->is_cancelled = true;
		}
	}
}

static void recycle(struct ring *ring, struct block *block)
{
	unsigned index = ring_of(ring)->index;

	assert(block->ring == ring && wire.blocks[index] > 0);
	wire.blocks[index]--;
	free(block);
}

static unsigned blocks_in_use(struct ring *ring)
{
	return wire.blocks[ring_of(ring)->index];
}

static void wake(struct ring *ring)
{
}

/* ---- completions ---- */

static struct ring_completion final(struct wire_operation *operation, int result)
{
	operation->is_on = false;
	return (struct ring_completion){ .token = operation->token, .result = result };
}

static bool try_connect(struct wire_end *end, struct ring_completion *out)
{
	if (!end->connect.is_on || (end->is_connecting && !end->connect.is_cancelled))
		return false;
	int result = end->connect.is_cancelled ? -ECANCELED : end->is_refused ? -ECONNREFUSED : 0;
	*out = final(&end->connect, result);
	return true;
}

static bool try_send(struct wire_end *end, struct ring_completion *out)
{
	size_t room = end->out_room - end->said.n, n = end->send.n < room ? end->send.n : room;

	if (!end->send.is_on)
		return false;
	assert(end->said.n <= end->out_room && end->out_room <= WIRE_OUT_MAX);
	if (end->was_reset) {
		*out = final(&end->send, -ECONNRESET);
	} else if (n && (!end->send.is_cancelled || next_random() & 1)) {
		memcpy(end->out + end->said.n, end->send.p, n);
		mark(&end->said, n);
		*out = final(&end->send, (int)n);
	} else if (end->send.is_cancelled) {
		*out = final(&end->send, -ECANCELED);
	} else {
		return false;
	}
	return true;
}

/* Each in its own memory, of exactly what arrived. */
static void deliver(struct wire_end *end, struct ring *ring, size_t n, struct ring_completion *out)
{
	struct block *block = __real_malloc(sizeof(*block) + n);

	assert(block);
	*block = (struct block){ .ring = ring, .data = (char *)(block + 1), .size = (uint32_t)n, .references = 1 };
	memcpy(block->data, end->in + end->got.n, n);
	mark(&end->got, n);
	wire.blocks[ring_of(ring)->index]++;
	*out = (struct ring_completion){ .token = end->recv.token, .result = (int)n, .more = true,
		.block = block, .data = slice_of(block->data, n) };
}

static bool try_recv(struct wire_end *end, struct ring *ring, struct ring_completion *out)
{
	size_t may = end->in_room < end->in_written ? end->in_room : end->in_written;
	size_t n = may - end->got.n < wire.block_size ? may - end->got.n : wire.block_size;

	if (!end->recv.is_on)
		return false;
	if (end->was_reset) {
		*out = final(&end->recv, -ECONNRESET);
	} else if (n && (!end->recv.is_cancelled || next_random() & 1)) {
		deliver(end, ring, n, out);
		out->more = end->recv.is_multishot;
		end->recv.is_on = out->more;
	} else if (end->recv.is_cancelled) {
		*out = final(&end->recv, -ECANCELED);
	} else if (end->has_ended && end->got.n == end->in_written) {
		*out = final(&end->recv, 0);
	} else {
		return false;
	}
	return true;
}

static bool try_accept(struct fuzz_ring *r, struct ring_completion *out)
{
	if (!r->accept.is_on)
		return false;
	if (r->accept.is_cancelled) {
		*out = final(&r->accept, -ECANCELED);
		return true;
	}
	for (unsigned i = 0; i < wire.end_count; i++) {
		struct wire_end *end = &wire.ends[i];
		if (end->is_accepted || end->worker != r->index)
			continue;
		end->is_accepted = end->is_open = true;
		*out = (struct ring_completion){ .token = r->accept.token, .result = wire_fd(end), .more = true };
		return true;
	}
	return false;
}

static unsigned turn(struct ring *ring, struct ring_completion *out, unsigned max, uint64_t timeout_us)
{
	struct fuzz_ring *r = ring_of(ring);
	unsigned n = 0, first = wire.end_count ? wire.step % wire.end_count : 0;

	if (try_accept(r, &out[n]))
		n++;
	for (unsigned i = 0; i < wire.end_count && n + 3 <= max; i++) {
		struct wire_end *end = &wire.ends[(first + i) % wire.end_count];
		if (!end->is_open || end->ring != r->index)
			continue;
		if (try_connect(end, &out[n]))
			n++;
		if (wire.step & 1 && try_recv(end, ring, &out[n]))
			n++;
		if (try_send(end, &out[n]))
			n++;
		if (!(wire.step & 1) && try_recv(end, ring, &out[n]))
			n++;
	}
	wire.completions += n;
	return n;
}

static const struct ring_ops ring_ops = {
	.name = "fuzzer", .destroy = no_destroy, .now_us = now_us, .wall_us = now_us, .random = fill_random,
	.open_udp = no_socket, .open_listener = no_socket, .open_stream = open_stream, .spread_udp = no_spread,
	.local_address = address_of, .peer_address = address_of, .close = close_end, .leave = leave,
	.accept = start_accept, .connect = start_connect, .recv = start_recv, .recvmsg = start_recvmsg,
	.send = start_send, .sendmsg = start_sendmsg, .cancel = cancel, .turn = turn, .wake = wake,
	.recycle = recycle, .blocks_in_use = blocks_in_use,
};

struct ring *wire_ring(unsigned worker)
{
	return &rings[worker].ring;
}

void wire_begin(uint64_t seed, size_t block_size)
{
	wire.now_us = START_US;
	wire.random = seed;
	wire.is_vague = wire.is_server = false;
	wire.fails_in = wire.failed = 0;
	wire.step = wire.completions = wire.end_count = 0;
	wire.block_size = block_size;
	for (unsigned i = 0; i < WIRE_WORKERS; i++) {
		rings[i] = (struct fuzz_ring){ .ring = { &ring_ops }, .index = i };
		wire.blocks[i] = 0;
	}
}
