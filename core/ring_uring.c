/*
 * The ring on io_uring, Linux 6.1 or newer: one system call per turn submits,
 * runs the deferred work of the kernel and waits.  The only file that knows
 * liburing.
 */
#include "core/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/net.h"
#include "core/operations.h"

/*
 * user_data is the token; the two upper bits of its kind are ours, so that
 * what stays in the kernel for long is told from a send without a look-up.
 * user_data 0 is our own business: the failure of a cancel.
 */
#define USER_RECEIVES (UINT64_C(1) << 63) /* accept, recv, recvmsg: is in `receives` */
#define USER_DATAGRAM (UINT64_C(1) << 62) /* recvmsg: io_uring_recvmsg_out comes first */
#define USER_FLAGS (USER_RECEIVES | USER_DATAGRAM)
#define USER_IGNORE UINT64_C(0)
#define USER_WAKE UINT64_C(1)

#define BUFFER_GROUP 0
#define CQ_PER_SQ 8

/*
 * The kernel takes provided buffers first in, first out, which makes all of
 * them cold and resident.  So it is given only a window of them, refilled from
 * the most recently released; the window doubles when it was too small (the
 * receive is started again unseen) and follows the load down.  As blocks are
 * filled now it holds HOT_OCTETS at most: more would have left the processor's
 * cache again before they are looked at.  Full blocks are passed on whole, so
 * that each octet is in the cache four times, the kernel's copies included.
 */
#define WINDOW_MIN 16
#define WINDOW_TURNS 1024
#define HOT_OCTETS (1024 * 1024)
#define HOT_OCTETS_IN_FULL (256 * 1024)
#define FILL_BLOCKS 64

struct ring_uring {
	struct ring ring;
	struct io_uring uring;
	bool uring_open;
	int wake_fd;
	uint64_t wake_count;             /* the kernel writes it */
	struct net_blocks blocks;
	struct operations receives;
	struct msghdr datagram;          /* how recvmsg lays out a block */
	struct io_uring_buf_ring *offered;
	size_t offered_octets;
	unsigned offered_mask;
	unsigned window, offered_count;  /* may be, and are, with the kernel */
	unsigned turns, taken, taken_peak;
	double fill;                     /* octets in a block, mean of about the last FILL_BLOCKS */
	struct io_uring_cqe *spill;      /* reaped only to make room, not yet delivered */
	size_t spill_first, spill_end, spill_size;
};

static struct ring_uring *uring_of(struct ring *ring)
{
	return (struct ring_uring *)ring;
}

/* ---- submitting ---- */

/* Completions are taken out of the kernel's queue when it refuses more work because of them. */
static void spill_completions(struct ring_uring *u)
{
	struct io_uring_cqe *cqe;

	if (u->spill_first == u->spill_end)
		u->spill_first = u->spill_end = 0;
	while (io_uring_peek_cqe(&u->uring, &cqe) == 0) {
		if (u->spill_end == u->spill_size) {
			u->spill_size = u->spill_size ? u->spill_size * 2 : 256;
			u->spill = realloc(u->spill, u->spill_size * sizeof(*u->spill));
			assert(u->spill);
		}
		u->spill[u->spill_end++] = *cqe;
		io_uring_cqe_seen(&u->uring, cqe);
	}
}

static struct io_uring_sqe *next_sqe(struct ring_uring *u)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&u->uring))) {
		int n = io_uring_submit(&u->uring);
		assert(n >= 0 || n == -EBUSY || n == -EAGAIN || n == -EINTR);
		if (n < 0)
			spill_completions(u);
	}
	return sqe;
}

static uint64_t user_data(ring_token token, uint64_t flags)
{
	assert(ring_token_kind(token) != 0 && !(token & USER_FLAGS));
	return token | flags;
}

static void submit_receive(struct ring_uring *u, const struct operation *operation)
{
	struct io_uring_sqe *sqe = next_sqe(u);
	uint64_t flags = USER_RECEIVES;

	switch (operation->kind) {
	case OPERATION_ACCEPT:
		io_uring_prep_multishot_accept(sqe, operation->fd, NULL, NULL,
					       SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case OPERATION_RECV:
		if (operation->multishot)
			io_uring_prep_recv_multishot(sqe, operation->fd, NULL, 0, 0);
		else
			io_uring_prep_recv(sqe, operation->fd, NULL, 0, 0);
		break;
	case OPERATION_RECVMSG:
		io_uring_prep_recvmsg_multishot(sqe, operation->fd, &u->datagram, 0);
		flags |= USER_DATAGRAM;
		break;
	case OPERATION_CONNECT:
	case OPERATION_SEND:
	case OPERATION_SENDMSG:
		assert(!"a sending operation in the table of the receiving ones");
	}
	if (operation->kind != OPERATION_ACCEPT) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = BUFFER_GROUP;
	}
	io_uring_sqe_set_data64(sqe, user_data(operation->token, flags));
}

static void submit_wake(struct ring_uring *u)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
	io_uring_sqe_set_data64(sqe, USER_WAKE);
}

static void start_receive(struct ring *ring, int fd, enum operation_kind kind, bool multishot,
			  ring_token token)
{
	struct ring_uring *u = uring_of(ring);
	uint32_t index = operation_add(&u->receives, token, fd, kind);

	u->receives.slots[index].multishot = multishot;
	submit_receive(u, &u->receives.slots[index]);
}

static void uring_accept(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, OPERATION_ACCEPT, true, token);
}

static void uring_recv(struct ring *ring, int fd, bool multishot, ring_token token)
{
	start_receive(ring, fd, OPERATION_RECV, multishot, token);
}

static void uring_recvmsg(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, OPERATION_RECVMSG, true, token);
}

static void uring_connect(struct ring *ring, int fd, const struct sockaddr *address,
			  ring_token token)
{
	struct io_uring_sqe *sqe = next_sqe(uring_of(ring));
	socklen_t size = net_address_size(address);

	/* Too short for any address: the kernel says EINVAL. */
	io_uring_prep_connect(sqe, fd, address, size ? size : sizeof(address->sa_family));
	io_uring_sqe_set_data64(sqe, user_data(token, 0));
}

static void uring_send(struct ring *ring, int fd, const void *p, size_t n, ring_token token)
{
	struct io_uring_sqe *sqe = next_sqe(uring_of(ring));

	io_uring_prep_send(sqe, fd, p, n, MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, user_data(token, 0));
}

static void uring_sendmsg(struct ring *ring, int fd, const struct msghdr *message, ring_token token)
{
	struct io_uring_sqe *sqe = next_sqe(uring_of(ring));

	io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, user_data(token, 0));
}

/* The table remembers it too: a receive that ended for want of a buffer just before is then not
 * started again. */
static void uring_cancel(struct ring *ring, ring_token token)
{
	struct ring_uring *u = uring_of(ring);
	uint32_t index = operation_find(&u->receives, token);
	uint64_t flags = 0;
	struct io_uring_sqe *sqe;

	if (index != OPERATION_NONE) {
		struct operation *operation = &u->receives.slots[index];
		operation->cancelled = true;
		flags = USER_RECEIVES | (operation->kind == OPERATION_RECVMSG ? USER_DATAGRAM : 0);
	}
	sqe = next_sqe(u);
	io_uring_prep_cancel64(sqe, user_data(token, flags), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, USER_IGNORE);
}

/* ---- receive blocks ---- */

static void offer_blocks(struct ring_uring *u)
{
	struct net_blocks *b = &u->blocks;
	int added = 0;

	while (u->offered_count < u->window && b->free_count) {
		struct block *block = &b->blocks[b->free[--b->free_count]];
		io_uring_buf_ring_add(u->offered, block->data, block->size, block->id,
				      (int)u->offered_mask, added++);
		u->offered_count++;
	}
	if (added)
		io_uring_buf_ring_advance(u->offered, added);
}

static bool is_hot(const struct ring_uring *u, unsigned window)
{
	bool is_bulk = u->fill > u->blocks.blocks[0].size / 2;

	return window <= WINDOW_MIN || window * u->fill <= (is_bulk ? HOT_OCTETS_IN_FULL : HOT_OCTETS);
}

static void widen_window(struct ring_uring *u)
{
	if (is_hot(u, u->window * 2))
		u->window = u->window * 2 < u->blocks.count ? u->window * 2 : u->blocks.count;
}

static void fit_window(struct ring_uring *u)
{
	if (u->taken > u->taken_peak)
		u->taken_peak = u->taken;
	u->taken = 0;
	while (!is_hot(u, u->window))
		u->window /= 2;
	if (++u->turns < WINDOW_TURNS)
		return;
	if (u->window / 2 >= WINDOW_MIN && u->taken_peak < u->window / 4)
		u->window /= 2;
	u->turns = u->taken_peak = 0;
}

static struct block *take_block(struct ring_uring *u, unsigned id)
{
	struct block *block = &u->blocks.blocks[id];

	assert(id < u->blocks.count && u->offered_count > 0);
	u->offered_count--;
	u->taken++;
	u->blocks.in_use++;
	block->references = 1;
	return block;
}

static void uring_recycle(struct ring *ring, struct block *block)
{
	struct net_blocks *b = &uring_of(ring)->blocks;

	assert(block->ring == ring && b->in_use > 0);
	b->in_use--;
	b->free[b->free_count++] = block->id;
}

static unsigned uring_blocks_in_use(struct ring *ring)
{
	return uring_of(ring)->blocks.in_use;
}

/* ---- completions ---- */

static void fill_datagram(struct ring_completion *out, struct block *block, size_t octets)
{
	struct io_uring_recvmsg_out *head = (struct io_uring_recvmsg_out *)block->data;

	assert(octets >= NET_DATAGRAM_PAYLOAD);
	octets -= NET_DATAGRAM_PAYLOAD;
	out->result = (int32_t)octets;
	out->truncated = head->flags & MSG_TRUNC;
	out->data = slice_of(block->data + NET_DATAGRAM_PAYLOAD, octets);
	out->from = (struct sockaddr_storage *)(block->data + NET_DATAGRAM_FROM);
}

static void fill_received(struct ring_uring *u, const struct io_uring_cqe *cqe,
			  struct ring_completion *out)
{
	struct block *block;

	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return;
	block = take_block(u, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	u->fill += (cqe->res - u->fill) / FILL_BLOCKS;
	if (cqe->res > 0 && cqe->user_data & USER_DATAGRAM)
		fill_datagram(out, block, (size_t)cqe->res);
	else if (cqe->res > 0)
		out->data = slice_of(block->data, (size_t)cqe->res);
	if (out->data.n) {
		out->block = block;
	} else { /* the end of a stream or an empty datagram needs no block */
		out->from = NULL;
		block_release(block);
	}
}

/*
 * The kernel ended a receive.  A multishot one goes on when it ended for
 * reasons that are not the caller's: its window of buffers was empty though
 * blocks are free, its completion queue overflowed, an empty datagram came, or
 * a peer gave up before it was accepted.  False: nothing to deliver.
 */
static bool on_receive_end(struct ring_uring *u, const struct io_uring_cqe *cqe,
			   struct ring_completion *out)
{
	uint32_t index = operation_find(&u->receives, out->token);
	struct operation *operation = &u->receives.slots[index];
	bool no_window = cqe->res == -ENOBUFS && (u->blocks.free_count || u->offered_count);
	bool passing = no_window || (cqe->res == -ECONNABORTED && operation->kind == OPERATION_ACCEPT);
	bool stream_ended = cqe->res == 0 && operation->kind == OPERATION_RECV;

	assert(index != OPERATION_NONE);
	if (operation->cancelled) {
		if (cqe->res < 0)
			out->result = -ECANCELED;
	} else if (passing || (operation->multishot && cqe->res >= 0 && !stream_ended)) {
		if (no_window)
			widen_window(u);
		offer_blocks(u);
		submit_receive(u, operation);
		out->more = true;
		return !passing;
	}
	operation_remove(&u->receives, index);
	return true;
}

static bool translate(struct ring_uring *u, const struct io_uring_cqe *cqe,
		      struct ring_completion *out)
{
	if (cqe->user_data == USER_WAKE)
		submit_wake(u);
	if (cqe->user_data == USER_WAKE || cqe->user_data == USER_IGNORE)
		return false;
	*out = (struct ring_completion){
		.token = cqe->user_data & ~USER_FLAGS,
		.result = cqe->res,
		.more = cqe->flags & IORING_CQE_F_MORE,
	};
	fill_received(u, cqe, out);
	if (cqe->user_data & USER_RECEIVES && !out->more)
		return on_receive_end(u, cqe, out);
	return true;
}

/* EBUSY, EAGAIN: too many completions unread or no memory now; the next turn goes on. */
static void may_fail(int err)
{
	assert(err >= 0 || err == -ETIME || err == -EINTR || err == -EBUSY || err == -EAGAIN);
}

static void wait_for_one(struct ring_uring *u, uint64_t timeout_us)
{
	struct __kernel_timespec t = { (long long)(timeout_us / 1000000), (long long)(timeout_us % 1000000) * 1000 };
	uint64_t from_us = net_now_us(&u->ring);
	struct io_uring_cqe *cqe;

	may_fail(io_uring_submit_and_wait_timeout(&u->uring, &cqe, 1, timeout_us == UINT64_MAX ? NULL : &t, NULL));
	u->ring.waited_us += net_now_us(&u->ring) - from_us;
}

/* Submits and waits.  Without anything to submit or to fetch no system call is made.  In two steps, because the
 * kernel sends while it submits: that is work, and what is sent is complete at once, as a rule, so that there is
 * no wait after it. */
static void enter(struct ring_uring *u, uint64_t timeout_us)
{
	unsigned kernel_has = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;

	if (io_uring_sq_ready(&u->uring) || IO_URING_READ_ONCE(*u->uring.sq.kflags) & kernel_has)
		may_fail(io_uring_submit_and_get_events(&u->uring));
	if (timeout_us && io_uring_cq_ready(&u->uring) == 0)
		wait_for_one(u, timeout_us);
}

static unsigned uring_turn(struct ring *ring, struct ring_completion *out, unsigned max,
			   uint64_t timeout_us)
{
	struct ring_uring *u = uring_of(ring);
	struct io_uring_cqe *cqe, copy;
	unsigned n = 0;

	fit_window(u);
	offer_blocks(u);
	enter(u, u->spill_first < u->spill_end ? 0 : timeout_us);
	while (n < max && u->spill_first < u->spill_end) {
		copy = u->spill[u->spill_first++];
		n += translate(u, &copy, &out[n]);
	}
	/* Copied and released first: starting an operation again may submit. */
	while (n < max && u->spill_first == u->spill_end && io_uring_peek_cqe(&u->uring, &cqe) == 0) {
		copy = *cqe;
		io_uring_cqe_seen(&u->uring, cqe);
		n += translate(u, &copy, &out[n]);
	}
	return n;
}

/* ---- the ring itself ---- */

static void uring_close(struct ring *ring, int fd)
{
	close(fd);
}

static void uring_leave(struct ring *ring, int fd)
{
}

static void uring_random(struct ring *ring, void *p, size_t n)
{
	net_random(p, n);
}

static void uring_wake(struct ring *ring)
{
	uint64_t one = 1;

	/* A blocking eventfd, because io_uring does not wait on a non-blocking one; it would take
	 * 2^64 - 2 unheard calls to block here. */
	(void)!write(uring_of(ring)->wake_fd, &one, sizeof(one));
}

static void uring_destroy(struct ring *ring)
{
	struct ring_uring *u = uring_of(ring);

	if (u->uring_open) {
		/* Nothing may write into the blocks once they are unmapped, and ports are free
		 * sooner.  ENOENT: nothing was in flight. */
		struct io_uring_sync_cancel_reg all = {
			.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
			.timeout = { -1, -1 },
		};
		(void)io_uring_register_sync_cancel(&u->uring, &all);
		io_uring_queue_exit(&u->uring);
	}
	if (u->offered)
		munmap(u->offered, u->offered_octets);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	net_blocks_close(&u->blocks);
	operations_free(&u->receives);
	free(u->spill);
	free(u);
}

static const struct ring_ops uring_ops = {
	.name = "io_uring",
	.destroy = uring_destroy,
	.now_us = net_now_us,
	.cpu_us = net_cpu_us,
	.wall_us = net_wall_us,
	.random = uring_random,
	.open_udp = net_open_udp,
	.open_listener = net_open_listener,
	.open_stream = net_open_stream,
	.spread_udp = net_spread_udp,
	.local_address = net_local_address,
	.peer_address = net_peer_address,
	.backlog = net_backlog,
	.filter = net_filter,
	.close = uring_close,
	.leave = uring_leave,
	.accept = uring_accept,
	.connect = uring_connect,
	.recv = uring_recv,
	.recvmsg = uring_recvmsg,
	.send = uring_send,
	.sendmsg = uring_sendmsg,
	.cancel = uring_cancel,
	.turn = uring_turn,
	.wake = uring_wake,
	.recycle = uring_recycle,
	.blocks_in_use = uring_blocks_in_use,
};

static unsigned power_of_two_from(unsigned n)
{
	unsigned power = 1;

	while (power < n)
		power *= 2;
	return power;
}

/* By hand: liburing 2.3 has no io_uring_setup_buf_ring(). */
static int register_buffers(struct ring_uring *u)
{
	unsigned entries = power_of_two_from(u->blocks.count);
	struct io_uring_buf_reg reg = { .ring_entries = entries, .bgid = BUFFER_GROUP };
	void *memory;

	u->offered_octets = entries * sizeof(struct io_uring_buf);
	u->offered_mask = entries - 1;
	memory = mmap(NULL, u->offered_octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	u->offered = memory;
	io_uring_buf_ring_init(u->offered);
	u->window = u->blocks.count < WINDOW_MIN ? u->blocks.count : WINDOW_MIN;
	reg.ring_addr = (uint64_t)(uintptr_t)u->offered;
	return -io_uring_register_buf_ring(&u->uring, &reg, 0);
}

static int setup(struct ring_uring *u, const struct ring_options *options)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = options->entries * CQ_PER_SQ,
	};
	int err = io_uring_queue_init_params(options->entries, &u->uring, &params);

	if (err)
		return -err;
	u->uring_open = true;
	/* Saves looking the ring's descriptor up in each call; a convenience, so that failing is
	 * no reason to refuse. */
	(void)io_uring_register_ring_fd(&u->uring);
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (u->wake_fd < 0)
		return errno;
	err = net_blocks_open(&u->blocks, &u->ring, options);
	if (!err)
		err = register_buffers(u);
	return err;
}

int ring_open_uring(struct ring **out, const struct ring_options *options)
{
	struct ring_uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return ENOMEM;
	u->ring.ops = &uring_ops;
	u->wake_fd = -1;
	u->datagram.msg_namelen = sizeof(struct sockaddr_storage);
	err = setup(u, options);
	if (err) {
		uring_destroy(&u->ring);
		return err;
	}
	submit_wake(u);
	*out = &u->ring;
	return 0;
}

int ring_probe_uring(void)
{
	struct ring *ring;
	struct ring_options options = { .entries = 8, .buffers = 8, .buffer_size = 1024 };
	int err = ring_open_uring(&ring, &options);

	/* All else that is needed is older than IORING_SETUP_DEFER_TASKRUN of Linux 6.1. */
	if (!err)
		ring->ops->destroy(ring);
	return err;
}
