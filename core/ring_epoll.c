/*
 * The ring on epoll: the system call is made when the descriptor is ready, or
 * at the beginning of the next turn for what is usually possible at once, and
 * its result is queued like a completion.  Level-triggered, one block per
 * descriptor and turn, so that one busy peer cannot starve the others.
 */
#include "core/ring.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/net.h"
#include "core/operations.h"

#define EVENTS_PER_TURN 256
#define ACCEPTS_PER_TURN 16
#define DATAGRAMS_PER_TURN 16
#define SENDS_PER_TURN 64

/*
 * A descriptor has at most one accept, recv or recvmsg, and a list of sends in
 * the order they were started (connect counts as one).  What epoll was asked
 * for is brought up to date once per turn: a one-shot receive that is started
 * again at once costs no epoll_ctl().
 */
struct descriptor {
	uint32_t receive;           /* operation or OPERATION_NONE */
	uint32_t send_first, send_last;
	uint32_t registered;        /* what epoll was last asked for               */
	bool send_waits;            /* the socket was full: wait for EPOLLOUT      */
	bool changed;               /* is in ring_epoll.changed                    */
	bool ready_to_send;         /* is in ring_epoll.sendable                   */
	bool fresh;                 /* was idle: may be another socket, same number */
};

struct int_list {
	int *at;
	size_t count, size;
};

struct ring_epoll {
	struct ring ring;
	int epoll_fd, wake_fd;
	struct net_blocks blocks;
	struct operations operations;
	struct descriptor *descriptors;
	size_t descriptors_size;
	struct int_list changed, sendable;
	struct ring_completion *queue;
	size_t queue_first, queue_end, queue_size;
};

static struct ring_epoll *epoll_of(struct ring *ring)
{
	return (struct ring_epoll *)ring;
}

static size_t double_until(size_t size, size_t wanted)
{
	if (size == 0)
		size = 64;
	while (size < wanted)
		size *= 2;
	return size;
}

static void list_add(struct int_list *list, int value)
{
	if (list->count == list->size) {
		list->size = double_until(list->size, list->count + 1);
		list->at = realloc(list->at, list->size * sizeof(*list->at));
		assert(list->at);
	}
	list->at[list->count++] = value;
}

static struct descriptor *descriptor_of(struct ring_epoll *e, int fd)
{
	assert(fd >= 0);
	if ((size_t)fd >= e->descriptors_size) {
		size_t size = double_until(e->descriptors_size, (size_t)fd + 1);
		e->descriptors = realloc(e->descriptors, size * sizeof(*e->descriptors));
		assert(e->descriptors);
		memset(e->descriptors + e->descriptors_size, 0,
		       (size - e->descriptors_size) * sizeof(*e->descriptors));
		e->descriptors_size = size;
	}
	return &e->descriptors[fd];
}

static bool is_idle(const struct descriptor *d)
{
	return d->receive == OPERATION_NONE && d->send_first == OPERATION_NONE;
}

static void mark_changed(struct ring_epoll *e, struct descriptor *d, int fd)
{
	if (!d->changed) {
		d->changed = true;
		list_add(&e->changed, fd);
	}
}

/* ---- completions ---- */

static size_t queue_count(const struct ring_epoll *e)
{
	return e->queue_end - e->queue_first;
}

static void queue_put(struct ring_epoll *e, struct ring_completion completion)
{
	if (e->queue_first == e->queue_end)
		e->queue_first = e->queue_end = 0;
	if (e->queue_end == e->queue_size) {
		e->queue_size = double_until(e->queue_size, e->queue_end + 1);
		e->queue = realloc(e->queue, e->queue_size * sizeof(*e->queue));
		assert(e->queue);
	}
	e->queue[e->queue_end++] = completion;
}

static unsigned queue_take(struct ring_epoll *e, struct ring_completion *out, unsigned max)
{
	unsigned n = queue_count(e) < max ? (unsigned)queue_count(e) : max;

	if (n)
		memcpy(out, e->queue + e->queue_first, n * sizeof(*out));
	e->queue_first += n;
	return n;
}

/* The final completion of an operation, and the operation forgotten. */
static void finish(struct ring_epoll *e, uint32_t index, struct ring_completion last)
{
	struct operation *operation = &e->operations.slots[index];
	struct descriptor *d = descriptor_of(e, operation->fd);

	if (d->receive == index) {
		d->receive = OPERATION_NONE;
	} else {
		uint32_t *at = &d->send_first, before = OPERATION_NONE;
		while (*at != index) {
			before = *at;
			at = &e->operations.slots[*at].next;
		}
		*at = operation->next;
		if (d->send_last == index)
			d->send_last = before;
		if (d->send_first == OPERATION_NONE)
			d->send_waits = false;
	}
	mark_changed(e, d, operation->fd);
	last.token = operation->token;
	last.more = false;
	operation_remove(&e->operations, index);
	queue_put(e, last);
}

static void finish_with(struct ring_epoll *e, uint32_t index, ssize_t result)
{
	finish(e, index, (struct ring_completion){ .result = (int32_t)result });
}

/* One result of a multishot operation, which goes on. */
static void deliver(struct ring_epoll *e, uint32_t index, struct ring_completion completion)
{
	completion.token = e->operations.slots[index].token;
	completion.more = true;
	queue_put(e, completion);
}

/* ---- blocks ---- */

static struct block *block_next(struct ring_epoll *e, unsigned depth)
{
	struct net_blocks *b = &e->blocks;

	return depth < b->free_count ? &b->blocks[b->free[b->free_count - 1 - depth]] : NULL;
}

static void blocks_took(struct ring_epoll *e, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		block_next(e, i)->references = 1;
	e->blocks.free_count -= count;
	e->blocks.in_use += count;
}

static void epoll_recycle(struct ring *ring, struct block *block)
{
	struct net_blocks *b = &epoll_of(ring)->blocks;

	assert(block->ring == ring && b->in_use > 0);
	b->in_use--;
	b->free[b->free_count++] = block->id;
}

static unsigned epoll_blocks_in_use(struct ring *ring)
{
	return epoll_of(ring)->blocks.in_use;
}

/* ---- what happens when a descriptor is ready ---- */

static bool must_wait(ssize_t result)
{
	return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_acceptable(struct ring_epoll *e, uint32_t index, int fd)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted >= 0)
			deliver(e, index, (struct ring_completion){ .result = accepted });
		else if (must_wait(accepted))
			return;
		else if (errno != ECONNABORTED) /* the peer gave up while it waited: the next */
			return finish_with(e, index, -errno);
	}
}

static void on_stream_readable(struct ring_epoll *e, uint32_t index, int fd)
{
	struct block *block = block_next(e, 0);
	ssize_t n;

	if (!block)
		return finish_with(e, index, -ENOBUFS);
	n = recv(fd, block->data, block->size, MSG_DONTWAIT);
	if (must_wait(n))
		return;
	if (n <= 0)
		return finish_with(e, index, n < 0 ? -errno : 0);
	blocks_took(e, 1);
	struct ring_completion got = { .result = (int32_t)n, .block = block,
		.data = slice_of(block->data, (size_t)n) };
	if (e->operations.slots[index].multishot)
		deliver(e, index, got);
	else
		finish(e, index, got);
}

static struct ring_completion datagram(struct block *block, const struct mmsghdr *m)
{
	return (struct ring_completion){
		.result = (int32_t)m->msg_len,
		.truncated = m->msg_hdr.msg_flags & MSG_TRUNC,
		.block = block,
		.data = slice_of(block->data + NET_DATAGRAM_PAYLOAD, m->msg_len),
		.from = m->msg_hdr.msg_name,
	};
}

static void on_datagrams(struct ring_epoll *e, uint32_t index, int fd)
{
	struct mmsghdr messages[DATAGRAMS_PER_TURN];
	struct iovec iovecs[DATAGRAMS_PER_TURN];
	struct block *blocks[DATAGRAMS_PER_TURN];
	unsigned n = 0;
	int got;

	for (; n < DATAGRAMS_PER_TURN && (blocks[n] = block_next(e, n)); n++) {
		char *data = blocks[n]->data;
		iovecs[n].iov_base = data + NET_DATAGRAM_PAYLOAD;
		iovecs[n].iov_len = blocks[n]->size - NET_DATAGRAM_PAYLOAD;
		messages[n].msg_hdr = (struct msghdr){ .msg_name = data + NET_DATAGRAM_FROM,
			.msg_namelen = sizeof(struct sockaddr_storage), .msg_iov = &iovecs[n],
			.msg_iovlen = 1 };
	}
	if (n == 0)
		return finish_with(e, index, -ENOBUFS);
	got = recvmmsg(fd, messages, n, MSG_DONTWAIT, NULL);
	if (must_wait(got))
		return;
	if (got < 0)
		return finish_with(e, index, -errno);
	blocks_took(e, (unsigned)got);
	for (int i = 0; i < got; i++) {
		if (messages[i].msg_len) {
			deliver(e, index, datagram(blocks[i], &messages[i]));
		} else { /* an empty datagram carries no block */
			block_release(blocks[i]);
			deliver(e, index, (struct ring_completion){ 0 });
		}
	}
}

static void on_readable(struct ring_epoll *e, int fd)
{
	uint32_t index = e->descriptors[fd].receive;

	switch (e->operations.slots[index].kind) {
	case OPERATION_ACCEPT:
		return on_acceptable(e, index, fd);
	case OPERATION_RECV:
		return on_stream_readable(e, index, fd);
	case OPERATION_RECVMSG:
		return on_datagrams(e, index, fd);
	case OPERATION_CONNECT:
	case OPERATION_SEND:
	case OPERATION_SENDMSG:
		assert(!"a sending operation in the place of the receiving one");
	}
}

/* First the request, then, once the socket is writable, its outcome. */
static ssize_t try_connect(struct operation *operation)
{
	int err = 0;
	socklen_t size = sizeof(err);

	if (operation->n) {
		size_t address_size = operation->n;
		operation->n = 0;
		if (!connect(operation->fd, operation->p, (socklen_t)address_size))
			return 0;
		if (errno == EINPROGRESS)
			errno = EAGAIN;
		return -1;
	}
	if (getsockopt(operation->fd, SOL_SOCKET, SO_ERROR, &err, &size))
		return -1;
	errno = err;
	return err ? -1 : 0;
}

static ssize_t try_send(struct operation *operation)
{
	switch (operation->kind) {
	case OPERATION_CONNECT:
		return try_connect(operation);
	case OPERATION_SEND:
		return send(operation->fd, operation->p, operation->n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case OPERATION_SENDMSG:
		return sendmsg(operation->fd, operation->p, MSG_DONTWAIT | MSG_NOSIGNAL);
	case OPERATION_ACCEPT:
	case OPERATION_RECV:
	case OPERATION_RECVMSG:
		break;
	}
	assert(!"a receiving operation in the list of the sending ones");
}

static void mark_sendable(struct ring_epoll *e, struct descriptor *d, int fd)
{
	if (!d->ready_to_send) {
		d->ready_to_send = true;
		list_add(&e->sendable, fd);
	}
}

static void on_writable(struct ring_epoll *e, int fd)
{
	for (int i = 0; i < SENDS_PER_TURN; i++) {
		struct descriptor *d = &e->descriptors[fd];
		uint32_t index = d->send_first;
		if (index == OPERATION_NONE)
			return;
		ssize_t n = try_send(&e->operations.slots[index]);
		if (must_wait(n)) {
			d->send_waits = true;
			mark_changed(e, d, fd);
			return;
		}
		finish_with(e, index, n < 0 ? -errno : n);
	}
	/* More than one turn's share: the rest in the next one. */
	if (!e->descriptors[fd].send_waits)
		mark_sendable(e, &e->descriptors[fd], fd);
}

static void try_sends(struct ring_epoll *e)
{
	size_t count = e->sendable.count;

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		int fd = e->sendable.at[i];
		e->descriptors[fd].ready_to_send = false;
		if (!e->descriptors[fd].send_waits)
			on_writable(e, fd);
	}
	e->sendable.count -= count;
	memmove(e->sendable.at, e->sendable.at + count, e->sendable.count * sizeof(int));
}

/* ---- what epoll is asked for ---- */

/*
 * A descriptor that was idle may have been closed meanwhile and its number may
 * now be another socket, so that for it our note of what epoll knows is a guess:
 * asking again corrects it.
 */
static void register_interest(struct ring_epoll *e, int fd)
{
	struct descriptor *d = &e->descriptors[fd];
	uint32_t wanted = (d->receive != OPERATION_NONE ? EPOLLIN : 0) | (d->send_waits ? EPOLLOUT : 0);
	struct epoll_event event = { .events = wanted, .data.fd = fd };

	if (wanted == d->registered && !(d->fresh && wanted))
		return;
	if (!wanted) {
		/* ENOENT, EBADF: closed elsewhere, which is as good. */
		(void)epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	} else {
		int first = d->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
		int err = epoll_ctl(e->epoll_fd, first, fd, &event);
		if (err && (errno == ENOENT || errno == EEXIST))
			err = epoll_ctl(e->epoll_fd, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
					fd, &event);
		if (err) { /* ENOMEM, or no descriptor at all: the operations say so */
			int reason = -errno;
			while (d->send_first != OPERATION_NONE)
				finish_with(e, d->send_first, reason);
			if (d->receive != OPERATION_NONE)
				finish_with(e, d->receive, reason);
			wanted = 0;
		}
	}
	d->registered = wanted;
	d->fresh = false;
}

static void register_changed(struct ring_epoll *e)
{
	for (size_t i = 0; i < e->changed.count; i++) {
		int fd = e->changed.at[i];
		register_interest(e, fd);
		e->descriptors[fd].changed = false;
	}
	e->changed.count = 0;
}

static void on_events(struct ring_epoll *e, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;
		uint32_t ready = events[i].events;
		if (fd == e->wake_fd) {
			uint64_t rings;
			(void)!read(fd, &rings, sizeof(rings)); /* non-blocking; only empties it */
			continue;
		}
		if (ready & (EPOLLIN | EPOLLHUP | EPOLLERR) &&
		    e->descriptors[fd].receive != OPERATION_NONE)
			on_readable(e, fd);
		if (ready & (EPOLLOUT | EPOLLHUP | EPOLLERR) && e->descriptors[fd].send_waits) {
			e->descriptors[fd].send_waits = false;
			mark_changed(e, &e->descriptors[fd], fd);
			on_writable(e, fd);
		}
		if (is_idle(&e->descriptors[fd]))
			mark_changed(e, &e->descriptors[fd], fd);
	}
}

static int wait_for_events(struct ring_epoll *e, struct epoll_event *events, uint64_t timeout_us)
{
	struct timespec t = { (time_t)(timeout_us / 1000000), (long)(timeout_us % 1000000) * 1000 };
	uint64_t from_us = timeout_us ? net_now_us(&e->ring) : 0;
	int n = epoll_pwait2(e->epoll_fd, events, EVENTS_PER_TURN,
			     timeout_us == UINT64_MAX ? NULL : &t, NULL);

	if (n < 0 && errno == ENOSYS) { /* Linux before 5.11, and tools like valgrind: whole milliseconds */
		uint64_t timeout_ms = timeout_us / 1000 + (timeout_us % 1000 != 0);
		n = epoll_wait(e->epoll_fd, events, EVENTS_PER_TURN, timeout_ms < INT_MAX ? (int)timeout_ms : -1);
	}
	assert(n >= 0 || errno == EINTR);
	if (timeout_us)
		e->ring.waited_us += net_now_us(&e->ring) - from_us;
	return n;
}

static unsigned epoll_turn(struct ring *ring, struct ring_completion *out, unsigned max,
			   uint64_t timeout_us)
{
	struct ring_epoll *e = epoll_of(ring);
	struct epoll_event events[EVENTS_PER_TURN];

	if (queue_count(e) < max) {
		try_sends(e);
		register_changed(e);
		if (queue_count(e) || e->sendable.count)
			timeout_us = 0;
		on_events(e, events, wait_for_events(e, events, timeout_us));
	}
	return queue_take(e, out, max);
}

/* ---- starting and cancelling ---- */

static void start_receive(struct ring *ring, int fd, enum operation_kind kind, bool multishot,
			  ring_token token)
{
	struct ring_epoll *e = epoll_of(ring);
	struct descriptor *d = descriptor_of(e, fd);

	assert(ring_token_kind(token) != 0 && d->receive == OPERATION_NONE);
	d->fresh |= is_idle(d);
	d->receive = operation_add(&e->operations, token, fd, kind);
	e->operations.slots[d->receive].multishot = multishot;
	mark_changed(e, d, fd);
}

static void start_send(struct ring *ring, int fd, struct operation wanted, ring_token token)
{
	struct ring_epoll *e = epoll_of(ring);
	struct descriptor *d = descriptor_of(e, fd);
	uint32_t index = operation_add(&e->operations, token, fd, wanted.kind);
	struct operation *operation = &e->operations.slots[index];

	assert(ring_token_kind(token) != 0);
	operation->p = wanted.p;
	operation->n = wanted.n;
	d->fresh |= is_idle(d);
	if (d->send_first == OPERATION_NONE)
		d->send_first = index;
	else
		e->operations.slots[d->send_last].next = index;
	d->send_last = index;
	mark_sendable(e, d, fd);
}

static void epoll_accept(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, OPERATION_ACCEPT, true, token);
}

static void epoll_recv(struct ring *ring, int fd, bool multishot, ring_token token)
{
	start_receive(ring, fd, OPERATION_RECV, multishot, token);
}

static void epoll_recvmsg(struct ring *ring, int fd, ring_token token)
{
	start_receive(ring, fd, OPERATION_RECVMSG, true, token);
}

static void epoll_connect(struct ring *ring, int fd, const struct sockaddr *address,
			  ring_token token)
{
	socklen_t size = net_address_size(address);
	struct operation wanted = { .kind = OPERATION_CONNECT, .p = address,
		.n = size ? size : sizeof(address->sa_family) }; /* short: the kernel says EINVAL */

	start_send(ring, fd, wanted, token);
}

static void epoll_send(struct ring *ring, int fd, const void *p, size_t n, ring_token token)
{
	start_send(ring, fd, (struct operation){ .kind = OPERATION_SEND, .p = p, .n = n }, token);
}

static void epoll_sendmsg(struct ring *ring, int fd, const struct msghdr *message, ring_token token)
{
	start_send(ring, fd, (struct operation){ .kind = OPERATION_SENDMSG, .p = message }, token);
}

static void epoll_cancel(struct ring *ring, ring_token token)
{
	struct ring_epoll *e = epoll_of(ring);
	uint32_t index = operation_find(&e->operations, token);

	if (index != OPERATION_NONE)
		finish_with(e, index, -ECANCELED);
}

static void epoll_close(struct ring *ring, int fd)
{
	struct descriptor *d = descriptor_of(epoll_of(ring), fd);

	assert(is_idle(d));
	d->registered = 0; /* the kernel forgets a closed descriptor */
	close(fd);
}

static void epoll_leave(struct ring *ring, int fd)
{
	struct ring_epoll *e = epoll_of(ring);

	assert(is_idle(descriptor_of(e, fd)));
	register_interest(e, fd);
}

/* ---- the ring itself ---- */

static void epoll_random(struct ring *ring, void *p, size_t n)
{
	net_random(p, n);
}

static void epoll_wake(struct ring *ring)
{
	uint64_t one = 1;

	/* EAGAIN: rung 2^64 - 2 times and not heard, which is rung enough. */
	(void)!write(epoll_of(ring)->wake_fd, &one, sizeof(one));
}

static void epoll_destroy(struct ring *ring)
{
	struct ring_epoll *e = epoll_of(ring);

	if (e->epoll_fd >= 0)
		close(e->epoll_fd);
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	net_blocks_close(&e->blocks);
	operations_free(&e->operations);
	free(e->descriptors);
	free(e->changed.at);
	free(e->sendable.at);
	free(e->queue);
	free(e);
}

static const struct ring_ops epoll_ops = {
	.name = "epoll",
	.destroy = epoll_destroy,
	.now_us = net_now_us,
	.cpu_us = net_cpu_us,
	.wall_us = net_wall_us,
	.random = epoll_random,
	.open_udp = net_open_udp,
	.open_listener = net_open_listener,
	.open_stream = net_open_stream,
	.spread_udp = net_spread_udp,
	.local_address = net_local_address,
	.peer_address = net_peer_address,
	.backlog = net_backlog,
	.filter = net_filter,
	.close = epoll_close,
	.leave = epoll_leave,
	.accept = epoll_accept,
	.connect = epoll_connect,
	.recv = epoll_recv,
	.recvmsg = epoll_recvmsg,
	.send = epoll_send,
	.sendmsg = epoll_sendmsg,
	.cancel = epoll_cancel,
	.turn = epoll_turn,
	.wake = epoll_wake,
	.recycle = epoll_recycle,
	.blocks_in_use = epoll_blocks_in_use,
};

int ring_open_epoll(struct ring **out, const struct ring_options *options)
{
	struct ring_epoll *e = calloc(1, sizeof(*e));
	struct epoll_event event = { .events = EPOLLIN };
	int err;

	if (!e)
		return ENOMEM;
	e->ring.ops = &epoll_ops;
	e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = e->wake_fd;
	if (e->wake_fd < 0 || e->epoll_fd < 0 ||
	    epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->wake_fd, &event))
		err = errno;
	else
		err = net_blocks_open(&e->blocks, &e->ring, options);
	if (err) {
		epoll_destroy(&e->ring);
		return err;
	}
	*out = &e->ring;
	return 0;
}
