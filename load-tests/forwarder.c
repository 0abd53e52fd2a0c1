/*
 * The limit of budgets.md section 1: a relay that parses nothing.  Connections are
 * paired in the order of their arrival, first with second, third with fourth, and
 * octets are copied from one to the other through one 256 KiB buffer.
 *
 * Usage: forwarder PORT     (loopback only; ends with SIGTERM or SIGINT)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

struct end {
	int fd;
	struct end *other; /* NULL: waiting for its partner, or already closed */
	char *rest;        /* what the partner's socket did not take           */
	size_t rest_at, rest_n;
};

static char buffer[BUFFER_SIZE];
static int epoll_fd;

static void watch(struct end *e, uint32_t events, int operation)
{
	struct epoll_event event = { .events = events, .data.ptr = e };
	if (epoll_ctl(epoll_fd, operation, e->fd, &event) < 0) {
		perror("forwarder: epoll_ctl");
		exit(1);
	}
}

/* The struct stays: an event of the same turn may still name it.  The process is short-lived. */
static void end_close(struct end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	free(e->rest);
	e->rest = NULL;
	e->rest_n = 0;
}

static void pair_close(struct end *e)
{
	if (e->other)
		end_close(e->other);
	end_close(e);
}

/* One read per event; while a rest waits, the source is not read. */
static void forward(struct end *from)
{
	struct end *to = from->other;
	ssize_t n = recv(from->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !to || to->fd < 0) {
		pair_close(from);
		return;
	}
	ssize_t sent = send(to->fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent == n)
		return;
	if (sent < 0 && errno != EAGAIN) {
		pair_close(from);
		return;
	}
	if (sent < 0)
		sent = 0;
	if (!to->rest && !(to->rest = malloc(BUFFER_SIZE))) {
		pair_close(from);
		return;
	}
	to->rest_at = 0;
	to->rest_n = (size_t)(n - sent);
	__builtin_memcpy(to->rest, buffer + sent, to->rest_n);
	watch(from, from->rest_n ? EPOLLOUT : 0, EPOLL_CTL_MOD);
	watch(to, EPOLLOUT | (from->rest_n ? 0 : EPOLLIN), EPOLL_CTL_MOD);
}

static void resume(struct end *e)
{
	ssize_t n = send(e->fd, e->rest + e->rest_at, e->rest_n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN)
			pair_close(e);
		return;
	}
	e->rest_at += (size_t)n;
	e->rest_n -= (size_t)n;
	if (e->rest_n)
		return;
	watch(e, e->other->rest_n ? 0 : EPOLLIN, EPOLL_CTL_MOD);
	watch(e->other, EPOLLIN | (e->other->rest_n ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

static void accept_one(int listener)
{
	static struct end *waiting;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct end *e = fd < 0 ? NULL : calloc(1, sizeof(*e));

	if (!e) {
		perror("forwarder: accept");
		if (fd >= 0)
			close(fd);
		return;
	}
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
			 sizeof(on)); /* only slower without it */
	e->fd = fd;
	if (waiting) {
		e->other = waiting;
		waiting->other = e;
		watch(waiting, EPOLLIN,
		      EPOLL_CTL_ADD); /* not read before there is somebody to write to */
		watch(e, EPOLLIN, EPOLL_CTL_ADD);
		waiting = NULL;
	} else {
		waiting = e;
	}
}

int main(int argc, char **argv)
{
	char *end = NULL;
	unsigned long port = argc == 2 ? strtoul(argv[1], &end, 10) : 0;

	if (argc != 2 || *end || port > 65535) {
		fprintf(stderr, "usage: forwarder PORT   (0: any; the ready line names it)\n");
		return 2;
	}
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE,
				&files); /* the old limit then shows as a failing accept */
	}
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t at_n = sizeof(at);
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (listener < 0 || epoll_fd < 0 ||
	    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &at_n) < 0) {
		perror("forwarder: listen");
		return 1;
	}
	struct end entrance = { .fd = listener };
	watch(&entrance, EPOLLIN, EPOLL_CTL_ADD);
	fprintf(stderr, "forwarder ready tcp:127.0.0.1:%u\n", ntohs(at.sin_port));
	for (;;) {
		struct epoll_event events[256];
		int n = epoll_wait(epoll_fd, events, 256, -1);
		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;
			if (e == &entrance)
				accept_one(listener);
			else if (e->fd >= 0 && e->rest_n && events[i].events & EPOLLOUT)
				resume(e);
			else if (e->fd >= 0 && events[i].events & EPOLLIN)
				forward(e);
			else if (e->fd >= 0 && events[i].events & (EPOLLHUP | EPOLLERR))
				pair_close(e);
		}
	}
}
