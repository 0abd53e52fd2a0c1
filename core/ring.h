/*
 * What a worker asks of the operating system, as operations that complete
 * later (design.md 2).  Three implementations behind one table: io_uring,
 * epoll, and the simulator of tests/sim; nothing above core/ can tell which.
 *
 * Rules that all three keep:
 * - Each operation gives exactly one completion with `more` == false, also
 *   after ring_cancel(); accept, recv and recvmsg with `multishot` may give
 *   completions with `more` == true before it.
 * - No completion is delivered inside the call that starts an operation.
 * - What is given to connect, send and sendmsg (address, octets, msghdr and
 *   iovecs) belongs to the ring until the final completion.  A send may be
 *   short; the caller resumes.
 * - Received octets come in a block that the receiver gives back with
 *   block_release(); -ENOBUFS says that no block was free: the operation has
 *   ended and the caller starts it again after a pause.
 * - A descriptor is closed or handed to another ring only with nothing in
 *   flight on it.
 * - The end of a stream is result 0 with `more` false; an empty datagram is
 *   result 0 with `more` true and no block.  Errors are negative errno.
 * - A cancelled operation may still deliver, or end with another result than
 *   -ECANCELED; and -ENOBUFS may come with nothing waiting.
 * - At most one receive and one stream send at a time on a descriptor; several
 *   sends only on UDP.
 * - Kinds of tokens are 1 to 63: io_uring keeps the upper two bits.
 *
 * Thread: the owning worker only, except ring_wake(), which any thread may
 * call.  Sockets may be opened before the workers start.
 */
#ifndef CORE_RING_H
#define CORE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/block.h"
#include "core/slice.h"

/*
 * The caller's name of an operation: kind (8 bits), slot (24), generation (32).
 * Never a pointer, so that a late completion of a freed slot is recognised.
 */
typedef uint64_t ring_token;

#define RING_TOKEN_NONE ((ring_token)0) /* reserved: kinds begin at 1 */

static inline ring_token ring_token_of(unsigned kind, uint32_t slot, uint32_t generation)
{
	return (uint64_t)kind << 56 | (uint64_t)(slot & 0xffffff) << 32 | generation;
}

static inline unsigned ring_token_kind(ring_token token)
{
	return (unsigned)(token >> 56);
}

static inline uint32_t ring_token_slot(ring_token token)
{
	return (uint32_t)(token >> 32) & 0xffffff;
}

static inline uint32_t ring_token_generation(ring_token token)
{
	return (uint32_t)token;
}

struct ring_completion {
	ring_token token;
	int32_t result;             /* octets, a descriptor (accept), 0, or -errno    */
	bool more;                  /* false: the operation has ended                 */
	bool truncated;             /* recvmsg: the datagram was longer than a block  */
	struct block *block;        /* recv, recvmsg with result > 0: caller releases */
	struct slice data;          /* what arrived, inside the block                 */
	struct sockaddr_storage *from; /* recvmsg: the sender; lives as long as block */
};

struct sock_filter;

/* What a socket holds that nobody has read yet. */
struct ring_backlog {
	uint64_t octets, room;      /* of the kernel's memory: more than the payload */
	uint32_t drops;             /* datagrams dropped for want of room so far, comes round */
};

struct ring_options {
	unsigned entries;           /* submission queue; the completion queue is 8 times that */
	unsigned buffers;           /* receive blocks                                         */
	size_t buffer_size;         /* octets each                                            */
};

struct ring_ops {
	const char *name;           /* "io_uring", "epoll", "simulator"                       */
	void (*destroy)(struct ring *);
	uint64_t (*now_us)(struct ring *);       /* monotonic clock                           */
	uint64_t (*cpu_us)(struct ring *);       /* CPU time of the calling thread; 0: unknown    */
	uint64_t (*wall_us)(struct ring *);      /* microseconds since 1970, for Date         */
	void (*random)(struct ring *, void *p, size_t n);

	/* Sockets: a descriptor or -errno.  Non-blocking, close-on-exec. */
	/* Binding may sleep up to 100 ms when the port is busy: before the workers start. */
	int (*open_udp)(struct ring *, const struct sockaddr_storage *bind);    /* SO_REUSEPORT   */
	int (*open_listener)(struct ring *, const struct sockaddr_storage *bind); /* SO_REUSEPORT */
	int (*open_stream)(struct ring *, int family);                          /* TCP_NODELAY    */
	int (*spread_udp)(struct ring *, int fd, unsigned sockets); /* CBPF: random member of the group */
	int (*local_address)(struct ring *, int fd, struct sockaddr_storage *);
	int (*peer_address)(struct ring *, int fd, struct sockaddr_storage *);
	int (*backlog)(struct ring *, int fd, struct ring_backlog *);
	/* Which datagrams the socket takes: a classic BPF program; NULL: all. */
	int (*filter)(struct ring *, int fd, const struct sock_filter *program, unsigned n);
	void (*close)(struct ring *, int fd);    /* nothing may be in flight                  */
	void (*leave)(struct ring *, int fd);    /* likewise: it goes to another ring; this one
	                                          * does not touch it any more                */

	/* Operations.  They never fail here: every failure is a completion. */
	void (*accept)(struct ring *, int fd, ring_token);                      /* multishot      */
	void (*connect)(struct ring *, int fd, const struct sockaddr *, ring_token); /* it must stay put */
	void (*recv)(struct ring *, int fd, bool multishot, ring_token);
	void (*recvmsg)(struct ring *, int fd, ring_token);                     /* multishot, UDP */
	void (*send)(struct ring *, int fd, const void *p, size_t n, ring_token);
	void (*sendmsg)(struct ring *, int fd, const struct msghdr *, ring_token);
	void (*cancel)(struct ring *, ring_token); /* has no completion of its own; an operation
	                                            * that already ended is not an error          */
	/*
	 * Submits what was asked for, waits at most timeout_us (0: not at all,
	 * UINT64_MAX: for ever) for a completion or a wake, and writes up to `max`
	 * completions.  Returns how many; 0 after a wake or the time-out.
	 */
	unsigned (*turn)(struct ring *, struct ring_completion *out, unsigned max, uint64_t timeout_us);
	void (*wake)(struct ring *);              /* any thread */
	void (*recycle)(struct ring *, struct block *);
	unsigned (*blocks_in_use)(struct ring *); /* for counters and leak checks */
};

struct ring {
	const struct ring_ops *ops;
	uint64_t waited_us; /* in all turns: with nothing to submit and nothing that was complete */
};

/* errno of the kernel (ENOSYS, EPERM, ENOMEM ...) or 0.  io_uring rings belong to the thread that
 * opens them (IORING_SETUP_SINGLE_ISSUER). */
int ring_open_uring(struct ring **out, const struct ring_options *options);
int ring_open_epoll(struct ring **out, const struct ring_options *options);

/* 0 when this machine lets us use io_uring with all that ring_uring.c needs, else the errno. */
int ring_probe_uring(void);

#endif
