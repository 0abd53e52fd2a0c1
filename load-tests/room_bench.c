/*
 * What a room alone costs (msrp/room.h): members that are plain sockets in one thread, the worker with the room
 * in another.  Prints the CPU time of the worker's thread for each copy that was delivered, its answer included.
 *
 *	room_bench [MEMBERS [SENDERS [OUTSTANDING [OCTETS [MESSAGES [epoll|uring [no]]]]]]]
 *
 * Defaults 100 10 8 300 20000 uring; "no": Failure-Report: no, members do not answer.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/minted.h"
#include "core/stream.h"
#include "msrp/room.h"

#define IN_MAX     (256 * 1024)
#define OCTETS_MAX 65536

struct member {
	int fd;
	bool sends, is_bound;
	unsigned outstanding;
	char path[64], uri[256];
	char *in, *out;
	size_t in_n, out_n;
};

static unsigned members = 100, senders = 10, window = 8, octets = 300, messages = 20000, tid;
static bool is_epoll, no_answers;
static struct member *all;
static uint64_t sent, delivered;
static struct worker_group group = { .count = 1 };
static struct worker worker;
static struct msrp_options options;
static struct sockaddr_storage address;
static atomic_bool is_ready;
static atomic_int measure; /* 1: from here, 2: to here */
static double cpu_from, cpu_to;

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the server ---- */

static void on_bound(struct msrp_leg *leg, void *arg)
{
}

static void on_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	fprintf(stderr, "room_bench: a member is lost: %s\n", reason_label(why));
}

static void on_dropped(struct msrp_room *room, struct msrp_leg *leg, enum reason why, void *member_arg, void *arg)
{
	fprintf(stderr, "room_bench: a member was dropped: %s\n", reason_label(why));
	exit(1);
}

static void must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "room_bench: %s\n", what);
	exit(1);
}

static void start(void)
{
	struct ring_options ring_options = { .entries = 4096, .buffers = 2048, .buffer_size = 16384 };
	struct sockaddr_storage any = { 0 };
	struct ring *ring;

	((struct sockaddr_in *)&any)->sin_family = AF_INET;
	((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(worker_init(&worker, 0, &group) == 0, "no memory");
	must((is_epoll ? ring_open_epoll : ring_open_uring)(&ring, &ring_options) == 0, "no ring");
	worker_use_ring(&worker, ring);
	int fd = ring->ops->open_listener(ring, &any);
	ring->ops->local_address(ring, fd, &address);
	options = (struct msrp_options){ .listener_count = 1, .legs_max = members + 16, .msrp_transaction_ms = 30000,
		.listeners[0] = { .proto = LISTEN_MSRP, .fds[0] = fd, .bound = address },
		.limits = { .header_bytes = 16384, .unbound_ms = 60000, .chunk_stall_ms = 10000, .leg_high = 256 * 1024, .leg_low = 64 * 1024,
			.queued_bytes = 256 << 20 } };
	must(stream_worker_init(&worker, members * 2 + 64) == 0 && msrp_worker_init(&worker, &options) == 0, "no memory");
}

static void *serve(void *arg)
{
	static const struct msrp_leg_events leg_events = { on_bound, on_lost };
	static const struct msrp_room_events room_events = { .on_dropped = on_dropped };
	const struct msrp_room_options room_options = { .members_max = members };
	const struct msrp_room_member member = { .sends = true, .receives = true };
	struct msrp_room *room;
	int seen = 0;

	start();
	must(msrp_room_open(&room, &worker, &room_options, &room_events, NULL) == 0, "no room");
	for (unsigned i = 0; i < members; i++) {
		struct msrp_leg *leg;
		must(msrp_leg_open(&leg, &worker, NULL, false, &leg_events, NULL) == 0, "no leg");
		must(msrp_leg_set_peer(leg, &(struct msrp_peer){ .path = slice_str(all[i].path) }) == 0, "no peer");
		must(msrp_room_add(room, leg, &member) == 0, "no member");
		snprintf(all[i].uri, sizeof(all[i].uri), "%.*s", SLICE_ARG(msrp_leg_uri(leg)));
	}
	atomic_store(&is_ready, true);
	while (seen < 2) {
		int now = atomic_load(&measure);
		if (now != seen)
			*(now == 1 ? &cpu_from : &cpu_to) = seconds(CLOCK_THREAD_CPUTIME_ID);
		seen = now;
		if (seen < 2)
			worker_turn(&worker, true);
	}
	return NULL;
}

/* ---- members ---- */

static void write_out(struct member *m)
{
	while (m->out_n) {
		ssize_t n = send(m->fd, m->out, m->out_n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		m->out_n -= (size_t)n;
		memmove(m->out, m->out + n, m->out_n);
	}
}

static void put(struct member *m, const char *text, size_t n)
{
	must(m->out_n + n < IN_MAX, "a member does not get rid of its answers");
	memcpy(m->out + m->out_n, text, n);
	m->out_n += n;
}

static void speak(struct member *m)
{
	static char body[OCTETS_MAX];
	char text[1024];

	memset(body, 'x', octets);
	for (; m->outstanding < window && sent < messages; m->outstanding++, sent++, tid++) {
		int n = snprintf(text, sizeof(text), "MSRP s%010u SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m%u\r\nByte-Range: 1-%u/%u\r\n%s"
			"Content-Type: text/plain\r\n\r\n", tid, m->uri, m->path, tid, octets, octets, no_answers ? "Failure-Report: no\r\n" : "");
		put(m, text, (size_t)n);
		put(m, body, octets);
		n = snprintf(text, sizeof(text), "\r\n-------s%010u$\r\n", tid);
		put(m, text, (size_t)n);
	}
}

static void answer(struct member *m, struct slice id)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "MSRP %.*s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%.*s$\r\n", SLICE_ARG(id), m->uri, m->path,
		SLICE_ARG(id));

	put(m, text, (size_t)n);
}

/* The next chunk or response; 0: it is not whole. */
static size_t take_one(struct member *m, struct slice in)
{
	char line[64];
	const char *blank = in.n > 20 ? memchr(in.p + 5, ' ', 64 < in.n - 5 ? 64 : in.n - 5) : NULL, *end;

	if (!blank)
		return 0;
	struct slice id = slice_of(in.p + 5, (size_t)(blank - in.p) - 5);
	size_t line_n = (size_t)snprintf(line, sizeof(line), "\r\n-------%.*s", SLICE_ARG(id));
	end = memmem(blank, in.n - (size_t)(blank - in.p), line, line_n);
	if (!end || (size_t)(end - in.p) + line_n + 3 > in.n)
		return 0;
	if (blank[1] == 'S') {
		delivered++;
		if (!no_answers)
			answer(m, id);
	} else if (m->is_bound) {
		m->outstanding--;
	}
	m->is_bound = true;
	return (size_t)(end - in.p) + line_n + 3;
}

static void take(struct member *m)
{
	size_t at = 0, n;

	while ((n = take_one(m, slice_of(m->in + at, m->in_n - at))))
		at += n;
	memmove(m->in, m->in + at, m->in_n -= at);
	if (m->sends && !no_answers && m->is_bound && atomic_load(&measure))
		speak(m);
}

static void read_in(struct member *m)
{
	for (;;) {
		ssize_t n = recv(m->fd, m->in + m->in_n, IN_MAX - m->in_n, MSG_DONTWAIT);
		if (n <= 0)
			return;
		m->in_n += (size_t)n;
		take(m);
		if ((size_t)n < 16384)
			return;
	}
}

static void turn(int epoll)
{
	struct epoll_event events[256];
	int n = epoll_wait(epoll, events, 256, 1000);

	for (int i = 0; i < n; i++) {
		struct member *m = events[i].data.ptr;
		read_in(m);
		write_out(m);
	}
}

static void say_hello(struct member *m, const char *id)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: b\r\n-------%s$\r\n", id, m->uri,
		m->path, id);

	put(m, text, (size_t)n);
	write_out(m);
}

static void connect_member(struct member *m, int epoll)
{
	m->fd = socket(AF_INET, SOCK_STREAM, 0);
	m->in = malloc(IN_MAX);
	m->out = malloc(IN_MAX);
	if (!m->in || !m->out || connect(m->fd, (struct sockaddr *)&address, sizeof(struct sockaddr_in)) != 0) {
		fprintf(stderr, "room_bench: no connection\n");
		exit(1);
	}
	fcntl(m->fd, F_SETFL, O_NONBLOCK);
	setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	epoll_ctl(epoll, EPOLL_CTL_ADD, m->fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = m });
	say_hello(m, "bind1234");
	while (!m->is_bound)
		turn(epoll);
}

/* Without answers half a window goes on when half of it has come to all. */
static void go_on(void)
{
	if (!no_answers || delivered < (sent - senders * window / 2) * (members - 1))
		return;
	for (unsigned i = 0; i < senders; i++) {
		all[i].outstanding = window / 2;
		speak(&all[i]);
		write_out(&all[i]);
	}
}

static double run(int epoll)
{
	uint64_t wanted = (uint64_t)messages * (members - 1);
	double from = seconds(CLOCK_MONOTONIC);

	measure = 1;
	for (unsigned i = 0; i < senders; i++) {
		speak(&all[i]);
		write_out(&all[i]);
	}
	while (delivered < wanted) {
		turn(epoll);
		go_on();
	}
	measure = 2;
	return seconds(CLOCK_MONOTONIC) - from;
}

int main(int argc, char **argv)
{
	unsigned *numbers[] = { &members, &senders, &window, &octets, &messages };
	pthread_t thread;
	int epoll = epoll_create1(0);

	for (int i = 1; i < argc && i <= 5; i++)
		*numbers[i - 1] = (unsigned)atoi(argv[i]);
	is_epoll = argc > 6 && !strcmp(argv[6], "epoll");
	no_answers = argc > 7;
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 20000, 20000 });
	minted_init((const uint8_t *)"keykeykeykeykey", 1);
	atomic_store(&log_level_now, LOG_ERROR);
	all = calloc(members, sizeof(*all));
	for (unsigned i = 0; all && i < members; i++)
		snprintf(all[i].path, sizeof(all[i].path), "msrp://127.0.0.1:%u/member%u;tcp", 20000 + i % 40000, i);
	if (!all || senders > members || octets > OCTETS_MAX || pthread_create(&thread, NULL, serve, NULL) != 0)
		return 2;
	while (!atomic_load(&is_ready))
		usleep(1000);
	for (unsigned i = 0; i < members; i++)
		connect_member(&all[i], epoll);
	double wall = run(epoll);
	say_hello(&all[0], "last1234"); /* wakes it */
	pthread_join(thread, NULL);
	printf("members %u senders %u x %u octets %u: %.0f copies/s, %.3f us of CPU each\n", members, senders, window, octets,
		(double)delivered / wall, (cpu_to - cpu_from) / (double)delivered * 1e6);
	return 0;
}
