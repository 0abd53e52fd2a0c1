#include "load-tests/sip_client.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load-tests/address.h"

/* More than is begun in a turn (BEGIN_MAX): who sends faster than he reads loses the answers in the kernel. */
#define READS_MAX  512
#define OUT_MAX    (4u * 1024 * 1024)
#define OUT_HIGH   (256u * 1024) /* beyond it nothing new is begun on this flow */
#define UNSENT_MAX (64 * 1024) /* in the kernel, on a stream */
#define UDP_BUFFER (8 * 1024 * 1024) /* a burst of retransmissions must not be lost on our side */

static void flow_broken(struct sip_flow *f, const char *what)
{
	if (f->source.fd < 0)
		return;
	loop_remove(f->client->loop, &f->source);
	f->out_at = f->out_n = 0;
	f->client->on_fault(f->client->user, false, what);
}

static void handle(struct sip_flow *f, struct slice text)
{
	struct sip_client *c = f->client;
	struct sip_text message;

	if (sip_text_parse(&message, text))
		c->on_message(c->user, f, &message);
	else
		c->on_fault(c->user, true, "neither a request nor a response");
}

static void on_datagram(struct loop_source *source, uint32_t events)
{
	struct sip_flow *f = (struct sip_flow *)source;
	static char text[SIP_TEXT_MAX];

	for (int i = 0; i < READS_MAX; i++) { /* then others have their turn */
		socklen_t from_n = sizeof(f->from);
		ssize_t n = recvfrom(source->fd, text, sizeof(text), MSG_DONTWAIT,
				     (struct sockaddr *)&f->from, &from_n);
		if (n <
		    0) /* EAGAIN, or an ICMP error of an earlier request: that one is repeated */
			return;
		handle(f, slice_of(text, (size_t)n));
	}
}

static void watch(struct sip_flow *f, bool waits)
{
	waits = waits || flow_tls_wants_room(f->tls);
	if (waits != f->waits_for_room) {
		f->waits_for_room = waits;
		loop_change(f->client->loop, &f->source, EPOLLIN | (waits ? EPOLLOUT : 0));
	}
}

static void write_out(struct sip_flow *f)
{
	while (f->connected && f->out_at < f->out_n) {
		const char *p = f->out + f->out_at;
		size_t left = f->out_n - f->out_at;
		ssize_t n = f->tls ? flow_tls_write(f->tls, p, left) :
				     send(f->source.fd, p, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n <= 0 && (n == 0 || errno != EAGAIN)) {
			flow_broken(f, n ? strerror(errno) : "SIP connection closed by the server");
			return;
		}
		if (n < 0)
			break;
		f->out_at += (size_t)n;
	}
	if (f->out_at == f->out_n)
		f->out_at = f->out_n = 0;
	watch(f, f->out_n > 0 || !f->connected);
}

/* False: nothing more is there, or the flow is gone. */
static bool read_stream(struct sip_flow *f)
{
	char *at = f->in + f->in_n;
	ssize_t n = f->tls ? flow_tls_read(f->tls, at, SIP_TEXT_MAX - f->in_n) :
			     recv(f->source.fd, at, SIP_TEXT_MAX - f->in_n, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		flow_broken(f, n ? strerror(errno) : "SIP connection closed by the server");
		return false;
	}
	struct slice in = slice_of(f->in, f->in_n + (size_t)n);
	while (f->source.fd >= 0) {
		while (in.n && (in.p[0] == '\r' || in.p[0] == '\n')) /* keep-alive, RFC 5626 */
			in = slice_skip(in, 1);
		size_t whole = sip_text_frame(in);
		if (whole == 0)
			break;
		if (whole == SIZE_MAX) {
			f->client->on_fault(f->client->user, true,
					    "stream without message boundary");
			flow_broken(f, "unreadable SIP stream");
			return false;
		}
		handle(f, slice_of(in.p, whole));
		in = slice_skip(in, whole);
	}
	f->in_n = in.n;
	memmove(f->in, in.p, in.n);
	return f->source.fd >= 0;
}

/* False: it goes on when the socket is ready, or failed. */
static bool shake_hands(struct sip_flow *f)
{
	int done = flow_tls_handshake(f->tls);

	if (done < 0)
		flow_broken(f, "TLS handshake");
	else if (!done)
		watch(f, false);
	f->connected = done > 0;
	f->is_handshaking = done == 0;
	if (f->connected)
		write_out(f);
	return f->connected && f->source.fd >= 0;
}

static void on_stream(struct loop_source *source, uint32_t events)
{
	struct sip_flow *f = (struct sip_flow *)source;

	if (!f->connected && !f->is_handshaking) {
		int error = 0;
		socklen_t n = sizeof(error);
		(void)getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error,
				 &n); /* on failure the write says it */
		if (error) {
			flow_broken(f, strerror(error));
			return;
		}
		f->is_handshaking = f->tls != NULL;
		f->connected = !f->tls;
	}
	if (f->is_handshaking && !shake_hands(f))
		return;
	if (events & EPOLLOUT || !f->waits_for_room)
		write_out(f);
	if (f->source.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		while (read_stream(f) && f->tls) /* what TLS has read ahead makes no event */
			;
	if (f->tls && f->source.fd >= 0)
		watch(f, f->waits_for_room && f->out_n);
}

static void send_stream(struct sip_flow *f, struct slice text)
{
	if (f->source.fd < 0)
		return; /* reported when it broke */
	if (f->out_at > f->out_size / 2) {
		f->out_n -= f->out_at;
		memmove(f->out, f->out + f->out_at, f->out_n);
		f->out_at = 0;
	}
	if (f->out_n + text.n > f->out_size) {
		size_t size = f->out_size ? f->out_size * 2 : SIP_TEXT_MAX;
		char *grown = size > OUT_MAX ? NULL : realloc(f->out, size);
		if (!grown) {
			flow_broken(f, "the server does not read its SIP connection");
			return;
		}
		f->out = grown;
		f->out_size = size;
	}
	memcpy(f->out + f->out_n, text.p, text.n);
	f->out_n += text.n;
	if (f->connected && !f->waits_for_room)
		write_out(f);
}

/* What is lost on the way is repeated by its timer, so a failing sendto() needs no other answer. */
static void send_datagram(struct sip_flow *f, const struct sockaddr_storage *to, struct slice text)
{
	(void)sendto(f->source.fd, text.p, text.n, MSG_DONTWAIT, (const struct sockaddr *)to,
		     address_size(to));
}

bool sip_client_request(struct sip_client *c, unsigned index, struct slice text)
{
	struct sip_flow *f = c->flows[index];

	if (f->is_stream)
		send_stream(f, text);
	else
		send_datagram(f, &c->options->target, text);
	return f->source.fd >= 0;
}

bool sip_client_is_open(const struct sip_client *c, unsigned index)
{
	return c->flows[index]->source.fd >= 0;
}

bool sip_client_is_cut_off(const struct sip_client *c)
{
	for (unsigned i = 0; i < c->options->flows; i++)
		if (sip_client_is_open(c, i))
			return false;
	return true;
}

bool sip_client_has_room(const struct sip_client *c, unsigned index)
{
	const struct sip_flow *f = c->flows[index];

	return f->source.fd < 0 || f->out_n - f->out_at < OUT_HIGH; /* of one that is gone the next request tells */
}

void sip_client_respond(struct sip_flow *flow, struct slice text)
{
	if (flow->is_stream)
		send_stream(flow, text);
	else
		send_datagram(flow, &flow->from, text);
}

static void flow_free(struct sip_flow *f)
{
	loop_remove(f->client->loop, &f->source);
	flow_tls_free(f->tls);
	free(f->in);
	free(f->out);
	free(f);
}

static struct sip_flow *flow_new(struct sip_client *c, int fd, bool is_stream,
				 void (*on_ready)(struct loop_source *, uint32_t))
{
	struct sip_flow *f = calloc(1, sizeof(*f));

	if (!f || (is_stream && !(f->in = malloc(SIP_TEXT_MAX)))) {
		free(f);
		close(fd);
		return NULL;
	}
	f->source = (struct loop_source){ on_ready, fd };
	f->client = c;
	f->is_stream = is_stream;
	return f;
}

static void on_accept(struct loop_source *source, uint32_t events)
{
	struct sip_flow *listener = (struct sip_flow *)source, *f;
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 || !(f = flow_new(listener->client, fd, true, on_stream)))
		return; /* the server sees it refused and its request times out */
	f->connected = true;
	f->next = listener->client->accepted;
	listener->client->accepted = f;
	if (loop_add(f->client->loop, &f->source, EPOLLIN))
		flow_broken(f, "epoll");
}

/* A bound socket; *bound is its address with the real port. -errno on failure. */
static int bound_socket(const struct sockaddr_storage *local, int type,
			struct sockaddr_storage *bound)
{
	int on = 1, size = UDP_BUFFER,
	    fd = socket(local->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(*bound);

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
				 sizeof(on)); /* bind() then says what is wrong */
	else if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size,
				 sizeof(size)); /* smaller: more repetitions */
	if (bind(fd, (const struct sockaddr *)local, address_size(local)) < 0 ||
	    getsockname(fd, (struct sockaddr *)bound, &n) < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

/* A port that the command line names is that of the first flow from its address. */
static struct sockaddr_storage local_of(const struct sip_client *c, unsigned i)
{
	struct sockaddr_storage local = c->options->locals[i % c->options->locals_n];

	if (i >= c->options->locals_n)
		address_set_port(&local, 0);
	return local;
}

static int open_datagrams(struct sip_client *c, unsigned i)
{
	struct sockaddr_storage bound, local = local_of(c, i);
	int fd = bound_socket(&local, SOCK_DGRAM, &bound);

	if (fd < 0)
		return -fd;
	struct sip_flow *f = c->flows[i] = flow_new(c, fd, false, on_datagram);
	if (!f)
		return ENOMEM;
	f->local = bound;
	return loop_add(c->loop, &f->source, EPOLLIN);
}

/* *bound is where it listens. */
static int open_listener(struct sip_client *c, const struct sockaddr_storage *local, struct sockaddr_storage *bound)
{
	int fd = bound_socket(local, SOCK_STREAM, bound);

	if (fd < 0)
		return -fd;
	struct sip_flow *listener = flow_new(c, fd, true, on_accept);
	if (!listener)
		return ENOMEM;
	listener->next = c->accepted;
	c->accepted = listener;
	if (listen(fd, 128) < 0)
		return errno;
	return loop_add(c->loop, &listener->source, EPOLLIN);
}

static int open_stream(struct sip_client *c, unsigned i)
{
	struct sockaddr_storage bound, local = local_of(c, i), from_bound;
	const struct sockaddr_storage *target = &c->options->target;
	int on = 1, unsent = UNSENT_MAX, err = c->options->tls ? 0 : open_listener(c, &local, &bound);

	if (err)
		return err;
	address_set_port(&local, 0);
	int fd = bound_socket(&local, SOCK_STREAM, &from_bound);
	if (fd < 0)
		return -fd;
	if (c->options->tls)
		bound = from_bound; /* the server comes by our connection (RFC 5923), for we have no certificate */
	struct sip_flow *f = c->flows[i] = flow_new(c, fd, true, on_stream);
	if (!f)
		return ENOMEM;
	f->local = bound; /* the server may connect there, too */
	f->waits_for_room = true;
	if (c->options->tls && !(f->tls = flow_tls_new(fd)))
		return ENOMEM;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
			 sizeof(on)); /* only slower without it */
	/* what the server does not read waits with us, not for seconds in the kernel, where our answers stand behind it */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	if (connect(fd, (const struct sockaddr *)target, address_size(target)) < 0 &&
	    errno != EINPROGRESS)
		return errno;
	return loop_add(c->loop, &f->source, EPOLLIN | EPOLLOUT);
}

int sip_client_open(struct sip_client *c)
{
	int err = 0;

	c->flows = calloc(c->options->flows, sizeof(struct sip_flow *));
	if (!c->flows)
		return ENOMEM;
	for (unsigned i = 0; i < c->options->flows && !err; i++)
		err = c->options->tcp ? open_stream(c, i) : open_datagrams(c, i);
	return err;
}

uint64_t sip_client_drops(const struct sip_client *c)
{
	uint64_t drops = 0;

	for (unsigned i = 0; c->flows && i < c->options->flows; i++) {
		uint32_t figures[SK_MEMINFO_VARS];
		socklen_t n = sizeof(figures);
		const struct sip_flow *f = c->flows[i];
		if (f && !f->is_stream && f->source.fd >= 0 &&
		    getsockopt(f->source.fd, SOL_SOCKET, SO_MEMINFO, figures, &n) == 0)
			drops += figures[SK_MEMINFO_DROPS];
	}
	return drops;
}

void sip_client_close(struct sip_client *c)
{
	for (unsigned i = 0; c->flows && i < c->options->flows; i++)
		if (c->flows[i])
			flow_free(c->flows[i]);
	free(c->flows);
	c->flows = NULL;
	while (c->accepted) {
		struct sip_flow *f = c->accepted;
		c->accepted = f->next;
		flow_free(f);
	}
}
