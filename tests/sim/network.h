/*
 * The simulated network: sockets that never were the kernel's, and the time at
 * which what was sent arrives.  Calls are those of non-blocking sockets and
 * return a negative errno, -EAGAIN above all; ring_sim.c makes completions of
 * them.  A stream direction holds a bounded number of octets from write to
 * read, so that back-pressure is real.
 *
 * Owner: struct sim.  A socket lives until it is closed, its peer is too, and
 * no event for it is on the way.
 */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include <sys/types.h>

#include "tests/sim/ring_sim.h"

/* No descriptor of the kernel has such a number: one that strays there gives EBADF. */
#define NETWORK_FIRST_FD (1 << 20)

enum network_kind { NETWORK_UDP, NETWORK_LISTENER, NETWORK_STREAM };
enum network_state { STATE_FRESH, STATE_CONNECTING, STATE_CONNECTED, STATE_FAILED };

struct network_datagram {
	struct network_datagram *next;
	struct sockaddr_storage from;
	size_t n;
	char octets[];
};

/* One direction of a stream, at its reader: 0 <= read <= arrived <= written <= read + room. */
struct network_pipe {
	char *octets;
	size_t room;
	uint64_t written, arrived, read;
	uint64_t last_arrival_us;    /* nothing overtakes */
	bool has_end;                /* the end of the stream arrived */
};

struct network_socket {
	enum network_kind kind;
	int fd;                      /* -1: waits to be accepted, or closed */
	bool is_closed;
	unsigned references;
	struct sockaddr_storage local, peer;
	/* ---- stream ---- */
	enum network_state state;
	struct network_socket *other; /* NULL: never connected, or both closed */
	struct network_pipe in;
	int err;                     /* to be reported once: ECONNRESET, ECONNREFUSED, ETIMEDOUT */
	bool is_broken;              /* it was                                                 */
	bool was_reset;
	/* ---- listener ---- */
	struct network_socket **backlog;
	size_t backlog_count, backlog_size;
	/* ---- UDP ---- */
	struct network_datagram *first, **last;
	unsigned datagrams;
	bool is_spread;
	uint64_t last_arrival_us;
	/* ---- the ring that has operations in flight on it; ring_sim.c only ---- */
	struct sim_ring *ring;
	uint32_t receive, send_first, send_last;
	bool is_touched;
};

struct network_event;

struct network {
	struct sim *sim;
	uint64_t now_us;
	/* Something about an open socket changed that may let an operation go on. */
	void (*on_change)(struct network_socket *);
	struct network_socket **sockets; /* by fd - NETWORK_FIRST_FD */
	size_t sockets_size;
	unsigned open;
	uint16_t next_port;
	struct network_event *events;    /* a heap, earliest first */
	size_t events_count, events_size;
	uint64_t sequence;
	/* what became of datagrams, for tests */
	uint64_t datagrams_lost, datagrams_doubled, datagrams_overtaken, datagrams_unheard;
};

void network_init(struct network *net, struct sim *sim, void (*on_change)(struct network_socket *));
void network_free(struct network *net);

int network_open(struct network *net, enum network_kind kind, const struct sockaddr_storage *bind);
struct network_socket *network_find(struct network *net, int fd); /* NULL: not open */
void network_close(struct network *net, struct network_socket *s);

/* -EINPROGRESS, then -EAGAIN until it is decided. */
int network_connect(struct network *net, struct network_socket *s, const struct sockaddr *to);
int network_connected(struct network_socket *s);
int network_accept(struct network *net, struct network_socket *s);
ssize_t network_read(struct network *net, struct network_socket *s, void *p, size_t n);
ssize_t network_write(struct network *net, struct network_socket *s, const struct iovec *v, size_t count);
ssize_t network_send_datagram(struct network *net, struct network_socket *s, const struct msghdr *m);
struct network_datagram *network_datagram(struct network_socket *s); /* caller frees; NULL: none */
bool network_is_readable(const struct network_socket *s);
void network_reset(struct network *net, struct network_socket *s); /* both ends, soon */

uint64_t network_next_us(const struct network *net);               /* UINT64_MAX: nothing on the way */
void network_advance(struct network *net, uint64_t to_us);

#endif
