#include "load-tests/msrp_endpoint.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/buffer.h"
#include "load-tests/address.h"

#define READ_SIZE       (256 * 1024)
#define BATCH_OCTETS    (256 * 1024)  /* written by one call                                    */
#define BATCH_CHUNKS    64
#define BATCH_VECTORS   (BATCH_CHUNKS * 4)
#define FLUSH_ROUNDS    4             /* then other connections have their turn                 */
#define COPY_MAX        4096          /* shorter content is copied: fewer, longer vectors       */
#define CONTROL_MAX     (1024 * 1024) /* answers that the server does not read                  */
#define PATTERN_PERIOD  8191u         /* prime: no chunk size hides a shift                     */
#define PATTERN_PIECE   (64u * 1024)  /* contiguous octets from any start                       */
#define TID_MAX         22            /* 'f', 7 random, 8 of the sequence, 6 of the chunk       */
#define RANGE_MAX       96
#define WRITE_SIZE      (BATCH_CHUNKS * (sizeof(((struct msrp_endpoint *)0)->head) + RANGE_MAX + COPY_MAX + 64))

/* ---- names ---- */

static void put_hex(char *into, uint32_t value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; value >>= 4)
		into[i] = "0123456789abcdef"[value & 15];
}

static bool get_hex(struct slice s, uint32_t *value)
{
	uint32_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned c = (unsigned char)s.p[i], digit = c - '0';
		if (digit > 9) {
			digit = c - 'a';
			if (digit > 5)
				return false;
			digit += 10;
		}
		v = v << 4 | digit;
	}
	*value = v;
	return true;
}

/* Where the content of a message begins in the pattern: neighbours differ. */
static uint32_t pattern_start(const struct msrp_endpoint *e, uint32_t sequence)
{
	return (e->session * 17u + sequence * 131u) % PATTERN_PERIOD;
}

/* ---- errors ---- */

static void fault(struct msrp_connection *c, struct msrp_endpoint *e, enum flood_error error, const char *what)
{
	c->network->handlers->on_error(c->network, e, error, what);
}

static void connection_lost(struct msrp_connection *c, enum flood_error error, const char *what)
{
	if (c->source.fd < 0)
		return;
	loop_remove(c->network->loop, &c->source);
	fault(c, c->last_endpoint, error, what);
}

/* ---- writing ---- */

static void mark_dirty(struct msrp_connection *c)
{
	if (c->is_dirty || c->source.fd < 0)
		return;
	c->is_dirty = true;
	c->next_dirty = c->network->dirty;
	c->network->dirty = c;
}

static void control_put(struct msrp_connection *c, const char *p, size_t n)
{
	if (c->control_n + n > c->control_size) {
		size_t size = c->control_size ? c->control_size * 2 : 4096;
		char *grown = c->control_n + n <= CONTROL_MAX && size >= c->control_n + n ? realloc(c->control, size) : NULL;
		if (!grown) {
			connection_lost(c, FLOOD_CLOSED, "the server does not read our answers");
			return;
		}
		c->control = grown;
		c->control_size = size;
	}
	memcpy(c->control + c->control_n, p, n);
	c->control_n += n;
	mark_dirty(c);
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
	uint32_t start = pattern_start(e, o->sequence);

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
	put_hex(into + e->tid_at + 8, o->sequence, 8);
	put_hex(into + e->tid_at + 16, o->chunk, 6);
	put_hex(into + e->sequence_at, o->sequence, 8);
	buffer_u64(&range, (uint64_t)o->offset + 1);
	buffer_char(&range, '-');
	buffer_u64(&range, (uint64_t)o->offset + o->octets);
	buffer_char(&range, '/');
	buffer_u64(&range, o->total);
	buffer_lit(&range, "\r\nContent-Type: text/plain\r\n\r\n");
	assert(!range.overflow); /* three numbers of 32 bits */
	return e->head_n + (uint32_t)range.n;
}

/* Adds one chunk from its octet `skip` on; returns its whole length, *complete: all of the rest is in. */
static size_t batch_add_chunk(struct batch *b, const struct msrp_outgoing *o, size_t skip, bool *complete)
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
static void account(struct msrp_connection *c, const struct msrp_outgoing *chunks, const size_t *lengths,
	unsigned chunks_n, bool control_first, size_t control_n, size_t written)
{
	unsigned done = 0;
	size_t begun = c->pending_written;

	for (unsigned step = 0; step < 2; step++) {
		if ((step == 0) == control_first) { /* the answers: before the chunks, or after the first */
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
		lengths[chunks_n] = batch_add_chunk(&b, o, chunks_n ? 0 : c->pending_written, &complete);
		chunks_n++;
		if (chunks_n == 1 && !control_first && complete) { /* in the middle of a chunk they had to wait */
			control_n = c->control_n;
			batch_add(&b, c->control, control_n, &no_skip);
		}
	}
	if (b.octets == 0)
		return false;

	struct msghdr message = { .msg_iov = b.vectors, .msg_iovlen = (size_t)b.vectors_n };
	ssize_t n = sendmsg(c->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		connection_lost(c, FLOOD_CLOSED, strerror(errno));
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
		connection_lost(c, FLOOD_CLOSED, "no memory");
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

static void wait_for_room(struct msrp_connection *c, bool waits)
{
	if (c->waits_for_room == waits || c->source.fd < 0)
		return;
	c->waits_for_room = waits;
	loop_change(c->network->loop, &c->source, EPOLLIN | (waits ? EPOLLOUT : 0));
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
			wait_for_room(c, c->control_n || c->pending_n);
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
			mark_dirty(c);
	}
	return n->dirty != NULL;
}

void msrp_want_send(struct msrp_endpoint *e)
{
	struct msrp_connection *c = e->connection;

	if (e->is_queued || !c)
		return;
	enqueue(c, e);
	mark_dirty(c);
}

/* ---- reading ---- */

/* The endpoint of "msrp://host:port/ROLE SESSION RANDOM;tcp", if it is one of ours to the letter. */
static struct msrp_endpoint *endpoint_of(struct msrp_connection *c, struct slice uri)
{
	struct msrp_endpoint *e = c->last_endpoint;
	struct msrp_network *n = c->network;
	uint32_t session;

	if (e && uri.n == e->uri_n && memcmp(uri.p, e->uri, uri.n) == 0)
		return e;
	const char *slash = uri.n ? memrchr(uri.p, '/', uri.n) : NULL;
	if (!slash || (size_t)(uri.p + uri.n - slash) < 8 || !get_hex(slice_of(slash + 2, 6), &session) ||
		(uint64_t)session * 2 + 1 >= n->endpoints_n)
		return NULL;
	e = n->endpoints[session * 2 + (slash[1] == 'b')];
	if (!e || uri.n != e->uri_n || memcmp(uri.p, e->uri, uri.n) != 0)
		return NULL;
	c->last_endpoint = e;
	return e;
}

static void on_response(struct msrp_connection *c)
{
	struct wire_parser *p = &c->parser;
	struct msrp_endpoint *e = endpoint_of(c, p->to_path);
	uint32_t sequence, chunk;

	if (e && p->tid.n == TID_MAX && memcmp(p->tid.p + 1, e->name, 7) == 0) {
		if (p->tid.p[0] == 'e') {
			c->network->handlers->on_bound(e, p->status);
			return;
		}
		if (p->tid.p[0] == 'f' && get_hex(slice_of(p->tid.p + 8, 8), &sequence) &&
			get_hex(slice_of(p->tid.p + 16, 6), &chunk)) {
			c->network->handlers->on_response(e, sequence, chunk, p->status);
			return;
		}
	}
	fault(c, e, FLOOD_FOREIGN, "an answer to nothing we sent");
}

static void answer(struct msrp_connection *c, struct msrp_endpoint *e)
{
	struct wire_parser *p = &c->parser;
	char text[sizeof(e->answer) + 2 * WIRE_TID_MAX + 16];
	struct buffer b = buffer_over(text, sizeof(text));
	struct slice tid = slice_of(p->end_line + 9, p->end_line_n - 9u);

	buffer_lit(&b, "MSRP ");
	buffer_put(&b, tid);
	buffer_put(&b, slice_of(e->answer, e->answer_n));
	buffer_put(&b, tid);
	buffer_lit(&b, "$\r\n");
	assert(!b.overflow); /* sized for the longest transaction id */
	control_put(c, b.p, b.n);
}

static void on_send_end(struct msrp_connection *c)
{
	struct msrp_endpoint *e = c->receiving;

	if (!e)
		return;
	c->receiving = NULL;
	if (!c->parser.wants_no_answer)
		answer(c, e);
	if (!c->parser.has_body && c->parser.flag == '$') {
		c->network->handlers->on_empty(e);
		return;
	}
	c->incoming.flag = c->parser.flag;
	if (c->incoming_is_bad)
		fault(c, e, FLOOD_BODY, "content differs from what was sent");
	else if (c->incoming.flag == '#')
		fault(c, e, FLOOD_ABORTED, "message ended with #");
	else
		c->network->handlers->on_chunk(e, &c->incoming);
}

/* "m" RUN "." SESSION ROLE "." SEQUENCE */
static bool sequence_of(struct msrp_endpoint *e, struct slice message_id, uint32_t *sequence)
{
	char want[16] = "m";

	memcpy(want + 1, e->network->run, 6);
	put_hex(want + 7, e->session, 6);
	return message_id.n == 23 && memcmp(message_id.p, want, 13) == 0 && message_id.p[13] != e->role &&
		message_id.p[14] == '.' && get_hex(slice_skip(message_id, 15), sequence);
}

static void on_send_head(struct msrp_connection *c)
{
	struct wire_parser *p = &c->parser;
	struct msrp_endpoint *e = endpoint_of(c, p->to_path);

	c->receiving = NULL;
	c->incoming_is_bad = false;
	/* An offerer may be connected to before the answer names the far side (RFC 4975 section 8.1). */
	if (e && e->peer_path_n == 0)
		(void)msrp_endpoint_set_peer(e, p->from_path); /* if it is none, the comparison below fails */
	if (!e || p->from_path.n != e->peer_path_n || memcmp(p->from_path.p, e->peer_path, e->peer_path_n) != 0) {
		fault(c, e, FLOOD_FOREIGN, e ? "From-Path is not the path agreed" : "To-Path is none of ours");
		return;
	}
	if (!e->connection)
		e->connection = c;
	c->receiving = e;
	c->incoming = (struct msrp_incoming){ .offset = (uint32_t)(p->range_start - 1), .total = (uint32_t)p->range_total };
	if (p->has_body && !sequence_of(e, p->message_id, &c->incoming.sequence)) {
		fault(c, e, FLOOD_FOREIGN, "Message-ID of another session");
		c->receiving = NULL;
	}
	if (!p->has_body)
		on_send_end(c);
}

static void on_body(struct msrp_connection *c)
{
	struct slice left = c->parser.body;
	uint32_t start = c->receiving ? pattern_start(c->receiving, c->incoming.sequence) + c->incoming.offset : 0;

	while (left.n && c->receiving && !c->incoming_is_bad) {
		size_t n = left.n < PATTERN_PIECE ? left.n : PATTERN_PIECE;
		const char *want = c->network->pattern + (start + c->incoming.octets) % PATTERN_PERIOD;
		c->incoming_is_bad = memcmp(left.p, want, n) != 0;
		c->incoming.octets += (uint32_t)n;
		left = slice_skip(left, n);
	}
}

/* Everything whole in `in`; what is left is the beginning of more.  False: the connection is gone. */
static bool parse(struct msrp_connection *c, struct slice *in)
{
	while (c->source.fd >= 0) {
		switch (wire_next(&c->parser, in)) {
		case WIRE_MORE:
			return true;
		case WIRE_RESPONSE:
			on_response(c);
			break;
		case WIRE_SEND:
			on_send_head(c);
			break;
		case WIRE_BODY:
			on_body(c);
			break;
		case WIRE_END:
			on_send_end(c);
			break;
		case WIRE_BAD:
			connection_lost(c, FLOOD_SYNTAX, c->parser.bad);
			return false;
		}
	}
	return false;
}

static void connection_read(struct msrp_connection *c)
{
	char *buffer = c->network->read_buffer;

	if (c->carry_n)
		memcpy(buffer, c->carry, c->carry_n);
	ssize_t n = recv(c->source.fd, buffer + c->carry_n, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		connection_lost(c, FLOOD_CLOSED, n == 0 ? "closed by the server" : strerror(errno));
		return;
	}
	c->network->octets_in += (uint64_t)n;
	struct slice in = slice_of(buffer, c->carry_n + (size_t)n);
	if (!parse(c, &in))
		return;
	c->carry_n = in.n;
	if (in.n == 0)
		return;
	if (!c->carry && !(c->carry = malloc(WIRE_HEAD_MAX + 1))) {
		connection_lost(c, FLOOD_CLOSED, "no memory");
		return;
	}
	assert(in.n <= WIRE_HEAD_MAX); /* a longer head was WIRE_BAD */
	memcpy(c->carry, in.p, in.n);
}

static void on_connection_ready(struct loop_source *source, uint32_t events)
{
	struct msrp_connection *c = (struct msrp_connection *)source;

	if (!c->connected) {
		int error = 0;
		socklen_t n = sizeof(error);
		(void)getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &n); /* on failure the write says it */
		if (error) {
			connection_lost(c, FLOOD_CLOSED, strerror(error));
			return;
		}
		c->connected = true;
		wait_for_room(c, false);
		mark_dirty(c);
	} else if (events & EPOLLOUT) {
		wait_for_room(c, false);
		mark_dirty(c);
	}
	loop_clock(c->network->loop); /* a turn may be long; times of arrival are taken per read */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		connection_read(c);
	msrp_flush(c->network); /* what has to go on is still dirty and goes on in the next turn */
}

/* ---- connections ---- */

static struct msrp_connection *connection_new(struct msrp_network *n, int fd, bool connected)
{
	struct msrp_connection *c = calloc(1, sizeof(*c));
	int on = 1;

	if (!c) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only slower without it */
	*c = (struct msrp_connection){ .source = { on_connection_ready, fd }, .network = n, .connected = connected,
		.waits_for_room = !connected };
	int err = loop_add(n->loop, &c->source, EPOLLIN | (connected ? 0 : EPOLLOUT));
	if (err) {
		close(fd);
		free(c);
		errno = err;
		return NULL;
	}
	c->next_open = n->open;
	n->open = c;
	return c;
}

struct msrp_connection *msrp_connect(struct msrp_network *n, const struct sockaddr_storage *local,
	const struct sockaddr_storage *to, struct sockaddr_storage *bound)
{
	struct sockaddr_storage from = *local;
	int on = 1, fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	address_set_port(&from, 0);
	/* Without it a bound port is taken for all destinations, and 28 000 of them are soon used up. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, address_size(&from)) < 0 ||
		(connect(fd, (const struct sockaddr *)to, address_size(to)) < 0 && errno != EINPROGRESS)) {
		int err = errno;
		close(fd);
		errno = err;
		return NULL;
	}
	if (bound) {
		socklen_t size = sizeof(*bound);
		if (getsockname(fd, (struct sockaddr *)bound, &size) < 0)
			*bound = from;
	}
	return connection_new(n, fd, false);
}

static void on_accept(struct loop_source *source, uint32_t events)
{
	struct msrp_network *n = (struct msrp_network *)((char *)source - offsetof(struct msrp_network, listener));
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED)
			n->handlers->on_error(n, NULL, FLOOD_CLOSED, strerror(errno));
		return;
	}
	if (!connection_new(n, fd, true))
		n->handlers->on_error(n, NULL, FLOOD_CLOSED, strerror(errno));
}

int msrp_listen(struct msrp_network *n, const struct sockaddr_storage *local, struct sockaddr_storage *bound)
{
	struct sockaddr_storage at = *local;
	socklen_t size = sizeof(*bound);
	int fd = socket(local->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	address_set_port(&at, 0);
	n->listener = (struct loop_source){ on_accept, fd };
	if (bind(fd, (struct sockaddr *)&at, address_size(&at)) < 0 || listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)bound, &size) < 0) {
		int err = errno;
		loop_remove(n->loop, &n->listener);
		return err;
	}
	return loop_add(n->loop, &n->listener, EPOLLIN);
}

/* ---- endpoints ---- */

void msrp_endpoint_init(struct msrp_endpoint *e, struct msrp_network *n, uint32_t session, char role,
	const struct sockaddr_storage *at)
{
	char host[ADDRESS_TEXT_MAX], random[8];

	assert(session * 2 + 1 < n->endpoints_n);
	*e = (struct msrp_endpoint){ .network = n, .session = session, .role = role };
	address_print(at, host);
	prng_name(n->prng, random, sizeof(random));
	prng_name(n->prng, e->name, sizeof(e->name));
	int written = snprintf(e->uri, sizeof(e->uri), "msrp://%s/%c%06x%.8s;tcp", host, role, session, random);
	assert(written > 0 && (size_t)written < sizeof(e->uri)); /* an address is short */
	e->uri_n = (uint16_t)written;
	n->endpoints[session * 2 + (role == 'b')] = e;
}

bool msrp_endpoint_set_peer(struct msrp_endpoint *e, struct slice path)
{
	struct slice first = slice_cut(path, ' ', NULL);
	struct buffer head = buffer_over(e->head, sizeof(e->head)), between = buffer_over(e->answer, sizeof(e->answer));

	if (first.n == 0 || path.n > sizeof(e->peer_path))
		return false;
	memcpy(e->peer_path, path.p, path.n);
	e->peer_path_n = (uint16_t)path.n;
	e->peer_first_n = (uint16_t)first.n;

	buffer_lit(&head, "MSRP ");
	e->tid_at = (uint16_t)head.n;
	buffer_printf(&head, "f%.7s00000000000000 SEND\r\nTo-Path: ", e->name);
	buffer_put(&head, path);
	buffer_lit(&head, "\r\nFrom-Path: ");
	buffer_put(&head, slice_of(e->uri, e->uri_n));
	buffer_printf(&head, "\r\nMessage-ID: m%.6s%06x%c.", e->network->run, e->session, e->role);
	e->sequence_at = (uint16_t)head.n;
	buffer_lit(&head, "00000000\r\nByte-Range: ");
	e->head_n = (uint16_t)head.n;

	buffer_lit(&between, " 200 OK\r\nTo-Path: ");
	buffer_put(&between, first);
	buffer_lit(&between, "\r\nFrom-Path: ");
	buffer_put(&between, slice_of(e->uri, e->uri_n));
	buffer_lit(&between, "\r\n-------");
	e->answer_n = (uint16_t)between.n;
	return !head.overflow && !between.overflow;
}

void msrp_bind(struct msrp_endpoint *e, struct msrp_connection *c)
{
	char text[sizeof(e->head) + 64], tid[TID_MAX];
	struct buffer b = buffer_over(text, sizeof(text));

	e->connection = c;
	c->last_endpoint = e;
	tid[0] = 'e';
	memcpy(tid + 1, e->name, 7);
	memset(tid + 8, '0', TID_MAX - 8);
	buffer_lit(&b, "MSRP ");
	buffer_put(&b, slice_of(tid, TID_MAX));
	buffer_lit(&b, " SEND\r\nTo-Path: ");
	buffer_put(&b, slice_of(e->peer_path, e->peer_path_n));
	buffer_lit(&b, "\r\nFrom-Path: ");
	buffer_put(&b, slice_of(e->uri, e->uri_n));
	buffer_printf(&b, "\r\nMessage-ID: m%.6s%06x%c.empty\r\n-------", e->network->run, e->session, e->role);
	buffer_put(&b, slice_of(tid, TID_MAX));
	buffer_lit(&b, "$\r\n");
	assert(!b.overflow); /* as long as head, which fitted */
	control_put(c, b.p, b.n);
}

/* ---- the network ---- */

int msrp_network_open(struct msrp_network *n, struct event_loop *loop, struct prng *prng,
	const struct msrp_handlers *handlers, uint32_t sessions)
{
	*n = (struct msrp_network){ .loop = loop, .handlers = handlers, .prng = prng, .endpoints_n = sessions * 2,
		.listener = { on_accept, -1 } };
	n->endpoints = calloc(n->endpoints_n, sizeof(*n->endpoints));
	n->read_buffer = malloc(WIRE_HEAD_MAX + READ_SIZE);
	n->write_buffer = malloc(WRITE_SIZE);
	n->pattern = malloc(PATTERN_PERIOD + PATTERN_PIECE);
	if (!n->endpoints || !n->read_buffer || !n->write_buffer || !n->pattern) {
		msrp_network_close(n);
		return ENOMEM;
	}
	prng_name(prng, n->run, sizeof(n->run));
	prng_name(prng, n->pattern, PATTERN_PERIOD);
	for (unsigned i = 0; i < PATTERN_PIECE; i++)
		n->pattern[PATTERN_PERIOD + i] = n->pattern[i];
	return 0;
}

void msrp_network_close(struct msrp_network *n)
{
	loop_remove(n->loop, &n->listener);
	while (n->open) {
		struct msrp_connection *c = n->open;
		n->open = c->next_open;
		loop_remove(n->loop, &c->source);
		free(c->carry);
		free(c->control);
		free(c->pending);
		free(c);
	}
	free(n->endpoints);
	free(n->read_buffer);
	free(n->write_buffer);
	free(n->pattern);
	*n = (struct msrp_network){ .listener = { on_accept, -1 } };
}
