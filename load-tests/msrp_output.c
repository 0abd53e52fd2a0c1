/* Writing: chunks from their records, answers between them, as much per system call as there is. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "core/buffer.h"
#include "load-tests/msrp_private.h"

#define BATCH_OCTETS  (256 * 1024) /* written by one call                           */
#define BATCH_CHUNKS  64
#define BATCH_VECTORS (BATCH_CHUNKS * 4)
#define FLUSH_ROUNDS  4             /* then other connections have their turn        */
#define COPY_MAX      4096          /* shorter content is copied: fewer, longer vectors */
#define CONTROL_MAX   (1024 * 1024) /* answers that the server does not read         */
#define RANGE_MAX     96

const size_t msrp_write_buffer_size =
	BATCH_CHUNKS * (sizeof(((struct msrp_endpoint *)0)->head) + RANGE_MAX + COPY_MAX + 64);

void msrp_mark_dirty(struct msrp_connection *c)
{
	if (c->is_dirty || c->source.fd < 0)
		return;
	c->is_dirty = true;
	c->next_dirty = c->network->dirty;
	c->network->dirty = c;
}

void msrp_control_put(struct msrp_connection *c, const char *p, size_t n)
{
	if (c->control_n + n > c->control_size) {
		size_t size = c->control_size ? c->control_size * 2 : 4096;
		char *grown = c->control_n + n <= CONTROL_MAX && size >= c->control_n + n
				      ? realloc(c->control, size)
				      : NULL;
		if (!grown) {
			msrp_connection_lost(c, FLOOD_CLOSED,
					     "the server does not read our answers");
			return;
		}
		c->control = grown;
		c->control_size = size;
	}
	memcpy(c->control + c->control_n, p, n);
	c->control_n += n;
	msrp_mark_dirty(c);
}

struct batch {
	struct iovec vectors[BATCH_VECTORS];
	int vectors_n;
	size_t octets;
	char *copy; /* the next free octet of the network's write buffer */
};

/* Adds what of p[0..n) lies after the first *skip octets. */
static void batch_add(struct batch *b, const char *p, size_t n, size_t *skip)
{
	if (*skip >= n) {
		*skip -= n;
		return;
	}
	p += *skip;
	n -= *skip;
	*skip = 0;
	struct iovec *last = b->vectors_n ? &b->vectors[b->vectors_n - 1] : NULL;
	if (last && (char *)last->iov_base + last->iov_len == p) {
		last->iov_len += n;
	} else {
		assert(b->vectors_n < BATCH_VECTORS);
		b->vectors[b->vectors_n++] = (struct iovec){ (char *)p, n };
	}
	b->octets += n;
}

static bool batch_full(const struct batch *b)
{
	return b->octets >= BATCH_OCTETS || b->vectors_n > BATCH_VECTORS - 8;
}

/* The content, shortened when the batch is full: the chunk then goes on in the next one. */
static bool batch_add_content(struct batch *b, const struct msrp_outgoing *o, size_t *skip)
{
	const struct msrp_endpoint *e = o->endpoint;
	const char *pattern = e->network->pattern;
	uint32_t start = msrp_pattern_start(e->session, o->sequence);

	if (o->octets <= COPY_MAX) {
		memcpy(b->copy, pattern + (start + o->offset) % PATTERN_PERIOD, o->octets);
		batch_add(b, b->copy, o->octets, skip);
		b->copy += o->octets;
		return true;
	}
	uint32_t at = 0;
	if (*skip < o->octets) {
		at = (uint32_t)*skip;
		*skip = 0;
	} else {
		*skip -= o->octets;
		return true;
	}
	while (at < o->octets) {
		if (batch_full(b))
			return false;
		uint32_t n = o->octets - at < PATTERN_PIECE ? o->octets - at : PATTERN_PIECE;
		batch_add(b, pattern + (start + o->offset + at) % PATTERN_PERIOD, n, skip);
		at += n;
	}
	return true;
}

static uint32_t head_write(struct msrp_endpoint *e, const struct msrp_outgoing *o, char *into)
{
	struct buffer range = buffer_over(into + e->head_n, RANGE_MAX);

	memcpy(into, e->head, e->head_n);
	hex_put(into + e->tid_at + 8, o->sequence, 8);
	hex_put(into + e->tid_at + 16, o->chunk, 6);
	hex_put(into + e->sequence_at, o->sequence, 8);
	buffer_u64(&range, (uint64_t)o->offset + 1);
	buffer_char(&range, '-');
	buffer_u64(&range, (uint64_t)o->offset + o->octets);
	buffer_char(&range, '/');
	buffer_u64(&range, o->total);
	buffer_lit(&range, "\r\nContent-Type: text/plain\r\n\r\n");
	assert(!range.overflow); /* three numbers of 32 bits */
	return e->head_n + (uint32_t)range.n;
}

/* Adds one chunk from its octet `skip` on; returns its whole length, *complete: all of the rest is
 * in. */
static size_t batch_add_chunk(struct batch *b, const struct msrp_outgoing *o, size_t skip,
			      bool *complete)
{
	struct msrp_endpoint *e = o->endpoint;
	char *head = b->copy;
	uint32_t head_n = head_write(e, o, head);
	size_t tail_n = 9 + TID_MAX + 3;

	b->copy += head_n;
	batch_add(b, head, head_n, &skip);
	*complete = batch_add_content(b, o, &skip);
	if (*complete) {
		char *tail = b->copy;
		memcpy(tail, "\r\n-------", 9);
		memcpy(tail + 9, head + e->tid_at, TID_MAX);
		tail[9 + TID_MAX] = o->offset + o->octets == o->total ? '$' : '+';
		memcpy(tail + 9 + TID_MAX + 1, "\r\n", 2);
		b->copy += tail_n;
		batch_add(b, tail, tail_n, &skip);
	}
	return head_n + o->octets + tail_n;
}

static void enqueue(struct msrp_connection *c, struct msrp_endpoint *e)
{
	e->is_queued = true;
	e->next_to_send = NULL;
	if (c->last_to_send)
		c->last_to_send->next_to_send = e;
	else
		c->first_to_send = e;
	c->last_to_send = e;
}

/* The endpoints of a connection take turns, a chunk each. */
static bool pull(struct msrp_connection *c, struct msrp_outgoing *o)
{
	while (c->first_to_send) {
		struct msrp_endpoint *e = c->first_to_send;
		c->first_to_send = e->next_to_send;
		if (!c->first_to_send)
			c->last_to_send = NULL;
		e->is_queued = false;
		if (c->network->handlers->next(e, o)) {
			o->endpoint = e;
			enqueue(c, e);
			return true;
		}
	}
	return false;
}

/* Takes what was written out of the lists; what is left of the chunks becomes pending. */
static void account(struct msrp_connection *c, const struct msrp_outgoing *chunks,
		    const size_t *lengths, unsigned chunks_n, bool control_first, size_t control_n,
		    size_t written)
{
	unsigned done = 0;
	size_t begun = c->pending_written;

	for (unsigned step = 0; step < 2; step++) {
		if ((step == 0) ==
		    control_first) { /* the answers: before the chunks, or after the first */
			size_t n = written < control_n ? written : control_n;
			memmove(c->control, c->control + n, c->control_n - n);
			c->control_n -= n;
			written -= n;
		}
		unsigned until = step == 0 && !control_first ? 1 : step == 0 ? 0 : chunks_n;
		while (done < until && written >= lengths[done] - begun) {
			written -= lengths[done++] - begun;
			begun = 0;
		}
		if (done < until)
			break;
	}
	c->pending_written = done < chunks_n ? begun + written : 0;
	c->pending_n = chunks_n - done;
	if (c->pending_n)
		memmove(c->pending, chunks + done, c->pending_n * sizeof(*chunks));
}

/* One system call's worth; true: all of it was taken and there may be more. */
static bool write_batch(struct msrp_connection *c)
{
	static struct batch b;
	struct msrp_outgoing chunks[BATCH_CHUNKS];
	size_t lengths[BATCH_CHUNKS], no_skip = 0, control_n = 0;
	unsigned chunks_n = 0;
	bool complete = true, control_first = c->pending_written == 0;

	b.vectors_n = 0;
	b.octets = 0;
	b.copy = c->network->write_buffer;
	if (control_first) {
		control_n = c->control_n;
		batch_add(&b, c->control, control_n, &no_skip);
	}
	while (chunks_n < BATCH_CHUNKS && complete && !batch_full(&b)) {
		struct msrp_outgoing *o = &chunks[chunks_n];
		if (chunks_n < c->pending_n)
			*o = c->pending[chunks_n];
		else if (!pull(c, o))
			break;
		lengths[chunks_n] =
			batch_add_chunk(&b, o, chunks_n ? 0 : c->pending_written, &complete);
		chunks_n++;
		if (chunks_n == 1 && !control_first &&
		    complete) { /* in the middle of a chunk they had to wait */
			control_n = c->control_n;
			batch_add(&b, c->control, control_n, &no_skip);
		}
	}
	if (b.octets == 0)
		return false;

	struct msghdr message = { .msg_iov = b.vectors, .msg_iovlen = (size_t)b.vectors_n };
	ssize_t n = sendmsg(c->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		msrp_connection_lost(c, FLOOD_CLOSED, strerror(errno));
		return false;
	}
	size_t written = n < 0 ? 0 : (size_t)n;
	c->network->octets_out += written;
	bool all = written == b.octets;
	if (all && complete && chunks_n >= c->pending_n) {
		c->control_n -= control_n;
		memmove(c->control, c->control + control_n, c->control_n);
		c->pending_n = 0;
		c->pending_written = 0;
		return true;
	}
	if (!c->pending && !(c->pending = malloc(BATCH_CHUNKS * sizeof(*c->pending)))) {
		msrp_connection_lost(c, FLOOD_CLOSED, "no memory");
		return false;
	}
	/* records beyond those of this batch are still pending behind them */
	struct msrp_outgoing behind[BATCH_CHUNKS];
	unsigned behind_n = c->pending_n > chunks_n ? c->pending_n - chunks_n : 0;
	if (behind_n)
		memcpy(behind, c->pending + chunks_n, behind_n * sizeof(*behind));
	account(c, chunks, lengths, chunks_n, control_first, control_n, written);
	if (behind_n)
		memcpy(c->pending + c->pending_n, behind, behind_n * sizeof(*behind));
	c->pending_n += behind_n;
	return all;
}

static void watch(struct msrp_connection *c)
{
	loop_change(c->network->loop, &c->source, (c->is_deaf ? 0 : EPOLLIN) | (c->waits_for_room ? EPOLLOUT : 0));
}

void msrp_wait_for_room(struct msrp_connection *c, bool waits)
{
	if (c->waits_for_room == waits || c->source.fd < 0)
		return;
	c->waits_for_room = waits;
	watch(c);
}

void msrp_stop_reading(struct msrp_connection *c, bool is_deaf)
{
	if (!c || c->source.fd < 0)
		return;
	c->is_deaf = is_deaf;
	watch(c);
}

static bool has_output(const struct msrp_connection *c)
{
	return c->control_n || c->pending_n || c->first_to_send;
}

/* True when it stopped only to let others go on. */
static bool connection_flush(struct msrp_connection *c)
{
	if (!c->connected || c->source.fd < 0 || c->waits_for_room)
		return false;
	for (int round = 0; round < FLUSH_ROUNDS; round++) {
		if (!has_output(c))
			return false;
		if (!write_batch(c)) {
			msrp_wait_for_room(c, c->control_n || c->pending_n);
			return false;
		}
	}
	return has_output(c);
}

bool msrp_flush(struct msrp_network *n)
{
	struct msrp_connection *c = n->dirty, *next;

	for (n->dirty = NULL; c; c = next) {
		next = c->next_dirty;
		c->is_dirty = false;
		if (connection_flush(c))
			msrp_mark_dirty(c);
	}
	msrp_reap(n);
	return n->dirty != NULL;
}

void msrp_want_send(struct msrp_endpoint *e)
{
	struct msrp_connection *c = e->connection;

	if (e->is_queued || !c)
		return;
	enqueue(c, e);
	msrp_mark_dirty(c);
}
