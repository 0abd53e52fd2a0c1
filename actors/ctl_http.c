#include "actors/ctl_http.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/buffer.h"

#define HEAD_MAX 16384

struct endpoint {
	char host[256], port[8];
};

static bool read_url(const char *url, struct endpoint *e)
{
	struct slice rest = slice_str(url), host, port;

	if (!slice_case_starts(rest, SLICE("http://")))
		return false;
	rest = slice_skip(rest, 7);
	if (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (rest.n && rest.p[0] == '[') {
		host = slice_cut(slice_skip(rest, 1), ']', &port);
		if (!port.p || (port.n && port.p[0] != ':'))
			return false;
		port = port.n ? slice_skip(port, 1) : SLICE_EMPTY;
	} else {
		host = slice_cut(rest, ':', &port);
	}
	uint64_t number = 80;
	if (host.n == 0 || host.n >= sizeof(e->host) || memchr(host.p, '/', host.n) ||
	    (port.p && !slice_u64(port, 65535, &number)) || number == 0)
		return false;
	memcpy(e->host, host.p, host.n);
	e->host[host.n] = 0;
	snprintf(e->port, sizeof(e->port), "%u", (unsigned)number);
	return true;
}

/* ---- waiting ---- */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the socket can do it, or the time is over.  0, ETIMEDOUT, EPIPE (nobody reads any more what goes to
 * `output`; -1: it is not looked at), or what the system says. */
static int wait_for(int fd, short events, uint64_t deadline, int output)
{
	struct pollfd p[] = { { fd, events, 0 }, { output, 0, 0 } };

	for (;;) {
		uint64_t now = now_ms();
		if (now >= deadline)
			return ETIMEDOUT;
		int n = poll(p, 2, deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX);
		if (n > 0 && p[1].revents)
			return EPIPE;
		if (n > 0)
			return 0; /* an error shows in what is tried next */
		if (n < 0 && errno != EINTR)
			return errno;
	}
}

static int dial_one(const struct addrinfo *at, uint64_t deadline, int *out)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0;
	socklen_t size = sizeof(err);

	if (fd < 0)
		return errno;
	if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
		err = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline, -1) : errno;
		if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) != 0)
			err = errno;
	}
	if (err)
		close(fd); /* nothing was written to it */
	else
		*out = fd;
	return err;
}

static int dial(const struct endpoint *e, uint64_t deadline, int *fd, char *error, size_t size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	int failed = getaddrinfo(e->host, e->port, &hints, &found), err = EHOSTUNREACH;

	if (failed) {
		snprintf(error, size, "%.80s: %.80s", e->host, gai_strerror(failed));
		return EHOSTUNREACH;
	}
	for (struct addrinfo *at = found; at && err; at = at->ai_next)
		err = dial_one(at, deadline, fd);
	freeaddrinfo(found);
	if (err)
		snprintf(error, size, "%.80s port %s: %.60s%s", e->host, e->port, strerror(err),
			err == ECONNREFUSED ? ": is imservd running? is --api right?" : "");
	return err;
}

/* The server wants an address of its own in Host, whatever name we knew it by. */
static void put_host(struct buffer *out, int fd)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(peer);
	char host[INET6_ADDRSTRLEN + 32] = "", port[8] = "";

	if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
		(void)getnameinfo((struct sockaddr *)&peer, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV); /* else it stays empty, and is refused */
	host[strcspn(host, "%")] = 0; /* the interface is our business */
	buffer_printf(out, peer.ss_family == AF_INET6 ? "Host: [%s]:%s\r\n" : "Host: %s:%s\r\n", host, port);
}

static int send_request(int fd, const struct ctl_request *r, uint64_t deadline)
{
	size_t body_n = r->body ? strlen(r->body) : 0, size = HEAD_MAX + body_n;
	char *text = malloc(size);
	struct buffer out = buffer_over(text, text ? size : 0);
	int err = 0;

	if (!text)
		return ENOMEM;
	buffer_printf(&out, "%s /api/v1/%s HTTP/1.1\r\n", r->method, r->path);
	put_host(&out, fd);
	buffer_printf(&out, "Authorization: Bearer %s\r\nConnection: close\r\n", r->token);
	if (r->condition)
		buffer_printf(&out, "%s\r\n", r->condition);
	if (r->body)
		buffer_printf(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
			r->type ? r->type : "application/json", body_n);
	buffer_lit(&out, "\r\n");
	buffer_put(&out, slice_of(r->body, body_n));
	if (out.overflow)
		err = EMSGSIZE;
	for (size_t at = 0; at < out.n && !err;) {
		ssize_t n = send(fd, out.p + at, out.n - at, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			err = errno;
		else if (n < 0)
			err = wait_for(fd, POLLOUT, deadline, -1);
		else
			at += (size_t)n;
	}
	if (text)
		explicit_bzero(text, size); /* a token and perhaps a password */
	free(text);
	return err;
}

/* ---- the answer ---- */

struct incoming {
	int fd;
	int output; /* -1, or what is written to while more is waited for */
	uint64_t deadline;
	char *p; /* what came and is not used yet */
	size_t n, size;
	bool is_over;
};

/* Waits for more.  0, ENODATA at the end, or what the system says. */
static int read_more(struct incoming *in)
{
	if (in->n == in->size) {
		size_t size = in->size ? in->size * 2 : HEAD_MAX;
		char *p = size <= CTL_ANSWER_MAX ? realloc(in->p, size) : NULL;
		if (!p)
			return ENOMEM;
		in->p = p;
		in->size = size;
	}
	ssize_t n;
	int err;
	while ((n = recv(in->fd, in->p + in->n, in->size - in->n, 0)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return errno;
		if ((err = wait_for(in->fd, POLLIN, in->deadline, in->output)))
			return err;
	}
	in->n += (size_t)n;
	return n ? 0 : ENODATA;
}

static void drop(struct incoming *in, size_t n)
{
	in->n -= n;
	memmove(in->p, in->p + n, in->n);
}

static struct slice header_of(struct slice head, const char *name)
{
	struct slice line, value;

	while (head.n) {
		line = slice_cut(head, '\n', &head);
		if (slice_case_eq(slice_trim(slice_cut(line, ':', &value)), slice_str(name)))
			return slice_trim(value);
	}
	return SLICE_EMPTY;
}

struct framing {
	bool is_chunked, has_length;
	uint64_t length;
};

static int read_head(struct incoming *in, unsigned *status, struct framing *framing)
{
	const char *end = NULL;
	uint64_t code;
	int err;

	while (!end && in->n < HEAD_MAX) {
		if ((err = read_more(in)))
			return err == ENODATA ? EPROTO : err;
		end = memmem(in->p, in->n, "\r\n\r\n", 4);
	}
	if (!end || in->n < 12 || memcmp(in->p, "HTTP/1.", 7) != 0 || !slice_u64(slice_of(in->p + 9, 3), 599, &code))
		return EPROTO;
	struct slice head = slice_of(in->p, (size_t)(end - in->p));
	*status = (unsigned)code;
	framing->is_chunked = slice_case_eq(header_of(head, "Transfer-Encoding"), SLICE("chunked"));
	framing->has_length = slice_u64(header_of(head, "Content-Length"), CTL_ANSWER_MAX, &framing->length);
	drop(in, head.n + 4);
	return 0;
}

/* One piece of the body is at the start of what came, *n octets; *n 0: that was all. */
static int next_piece(struct incoming *in, struct framing *framing, size_t *n)
{
	const char *end;
	char *stop;
	int err = 0;

	*n = 0;
	if (!framing->is_chunked) {
		if (in->n == 0 && !(framing->has_length && framing->length == 0))
			err = read_more(in);
		*n = framing->has_length && in->n > framing->length ? (size_t)framing->length : in->n;
		framing->length -= framing->has_length ? *n : 0;
		return err == ENODATA && !framing->has_length ? 0 : err;
	}
	while (!(end = in->n ? memmem(in->p, in->n, "\r\n", 2) : NULL))
		if ((err = read_more(in)))
			return err;
	unsigned long long size = strtoull(in->p, &stop, 16);
	if (stop == in->p || size > CTL_ANSWER_MAX)
		return EPROTO;
	drop(in, (size_t)(end - in->p) + 2);
	while (in->n < size + 2)
		if ((err = read_more(in)))
			return err;
	*n = (size_t)size;
	return 0;
}

static int collect(struct incoming *in, struct framing *framing, const struct ctl_request *r, struct ctl_answer *answer)
{
	size_t n, kept = 0;
	int err;

	while (!(err = next_piece(in, framing, &n)) && n) {
		if (answer->status == 200 && r->on_piece) {
			if (!r->on_piece(slice_of(in->p, n), r->arg))
				return 0;
		} else {
			char *body = kept + n < CTL_ANSWER_MAX ? realloc(answer->body, kept + n + 1) : NULL;
			if (!body)
				return ENOMEM;
			answer->body = body;
			memcpy(body + kept, in->p, n);
			kept += n;
			body[kept] = 0;
		}
		drop(in, n + (framing->is_chunked ? 2 : 0));
	}
	return err;
}

int ctl_http(const struct ctl_request *request, struct ctl_answer *answer)
{
	struct incoming in = { .fd = -1, .output = -1 };
	struct framing framing = { 0 };
	struct endpoint endpoint;
	int err;

	memset(answer, 0, sizeof(*answer));
	if (!read_url(request->api, &endpoint)) {
		snprintf(answer->error, sizeof(answer->error), "%.100s: expected http://HOST:PORT", request->api);
		return EINVAL;
	}
	in.deadline = now_ms() + request->wait_ms;
	if ((err = dial(&endpoint, in.deadline, &in.fd, answer->error, sizeof(answer->error))))
		return err;
	err = send_request(in.fd, request, in.deadline);
	if (err == EPIPE || err == ECONNRESET)
		err = 0; /* it answered before it had read all, and closed: the answer says why */
	if (!err)
		err = read_head(&in, &answer->status, &framing);
	if (!err && request->on_piece && answer->status == 200) {
		in.deadline = UINT64_MAX; /* a trace may be silent for hours, but for somebody */
		in.output = STDOUT_FILENO;
	}
	if (!err)
		err = collect(&in, &framing, request, answer);
	if (err == EPIPE && in.output >= 0)
		err = 0; /* enough, as on_piece would have said */
	if (err)
		snprintf(answer->error, sizeof(answer->error), "%.80s: %.80s", request->api,
			err == EPROTO ? "does not speak HTTP" : err == ENODATA ? "the answer broke off" :
			err == ETIMEDOUT ? "no answer in time (--timeout)" : strerror(err));
	close(in.fd);
	free(in.p);
	return err;
}
