#include "core/net.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define BIND_ATTEMPTS 20
#define BIND_PAUSE_NS (5 * 1000 * 1000L)
#define LISTEN_BACKLOG 4096
#define UDP_BUFFER_OCTETS (4 << 20) /* the kernel cuts it to rmem_max; bursts of one proxy need it */

void net_address_set(struct net_address *address, const struct sockaddr_storage *from)
{
	memset(address, 0, sizeof(*address));
	memcpy(address, from, net_address_size((const struct sockaddr *)from));
}

void net_address_get(const struct net_address *address, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, address, net_address_size(&address->any));
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET6)
		return a->v6.sin6_port == b->v6.sin6_port && memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
	return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

socklen_t net_address_size(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return sizeof(struct sockaddr_in);
	case AF_INET6:
		return sizeof(struct sockaddr_in6);
	default:
		return 0;
	}
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static int bind_patiently(int fd, const struct sockaddr_storage *address)
{
	for (int attempt = 1;; attempt++) {
		if (!bind(fd, (const struct sockaddr *)address, net_address_size((const struct sockaddr *)address)))
			return 0;
		if (errno != EADDRINUSE || attempt == BIND_ATTEMPTS)
			return -errno;
		nanosleep(&(struct timespec){ .tv_nsec = BIND_PAUSE_NS }, NULL);
	}
}

static bool is_port_zero(const struct sockaddr_storage *address)
{
	return (address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port :
						 ((const struct sockaddr_in *)address)->sin_port) == 0;
}

/* [::] must not take the IPv4 port as well: 0.0.0.0 is a listener of its own. */
static int open_bound(const struct sockaddr_storage *address, int type)
{
	int fd, err;

	if (net_address_size((const struct sockaddr *)address) == 0)
		return -EAFNOSUPPORT;
	fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Asked for any port, the kernel would count one that a stranger's SO_REUSEPORT (or for UDP
	 * SO_REUSEADDR) socket has as free, and share its datagrams: the group is opened afterwards. */
	bool is_any_port = is_port_zero(address);
	err = type == SOCK_STREAM ? set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) : 0;
	if (!err && !is_any_port)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && address->ss_family == AF_INET6)
		err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err)
		err = bind_patiently(fd, address);
	if (!err && is_any_port)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int net_open_udp(struct ring *ring, const struct sockaddr_storage *address)
{
	int fd = open_bound(address, SOCK_DGRAM);

	if (fd >= 0) {
		/* Best effort: a small buffer costs datagrams, not correctness. */
		(void)set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_OCTETS);
		(void)set_option(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_OCTETS);
	}
	return fd;
}

int net_open_listener(struct ring *ring, const struct sockaddr_storage *address)
{
	int fd = open_bound(address, SOCK_STREAM), err;

	if (fd < 0)
		return fd;
	err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
	if (!err && listen(fd, LISTEN_BACKLOG))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int net_open_stream(struct ring *ring, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* One proxy is one 4-tuple, which the kernel's hash would give to one worker for ever. */
int net_spread_udp(struct ring *ring, int fd, unsigned sockets)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM) },
		{ BPF_ALU | BPF_MOD | BPF_K, 0, 0, sockets },
		{ BPF_RET | BPF_A, 0, 0, 0 },
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (sockets == 0)
		return -EINVAL;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)))
		return -errno;
	return 0;
}

int net_local_address(struct ring *ring, int fd, struct sockaddr_storage *address)
{
	socklen_t size = sizeof(*address);

	return getsockname(fd, (struct sockaddr *)address, &size) ? -errno : 0;
}

int net_peer_address(struct ring *ring, int fd, struct sockaddr_storage *address)
{
	socklen_t size = sizeof(*address);

	return getpeername(fd, (struct sockaddr *)address, &size) ? -errno : 0;
}

int net_backlog(struct ring *ring, int fd, struct ring_backlog *backlog)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(memory);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size))
		return -errno;
	*backlog = (struct ring_backlog){ memory[SK_MEMINFO_RMEM_ALLOC], memory[SK_MEMINFO_RCVBUF], memory[SK_MEMINFO_DROPS] };
	return 0;
}

int net_filter(struct ring *ring, int fd, const struct sock_filter *program, unsigned n)
{
	struct sock_fprog filter = { (unsigned short)n, (struct sock_filter *)program };

	if (program)
		return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ? -errno : 0;
	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int)) ? -errno : 0;
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t net_now_us(struct ring *ring)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t net_cpu_us(struct ring *ring)
{
	return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t net_wall_us(struct ring *ring)
{
	return clock_us(CLOCK_REALTIME);
}

void net_random(void *p, size_t n)
{
	char *to = p;

	while (n) {
		ssize_t got = getrandom(to, n, 0);
		if (got < 0) {
			assert(errno == EINTR); /* flags 0 and a valid address: nothing else */
			continue;
		}
		to += got;
		n -= (size_t)got;
	}
}

int net_blocks_open(struct net_blocks *b, struct ring *owner, const struct ring_options *options)
{
	size_t stride = (options->buffer_size + 63) / 64 * 64;
	void *memory;

	if (options->buffers == 0 || options->buffers > NET_BLOCKS_MAX ||
	    options->buffer_size <= NET_DATAGRAM_PAYLOAD || options->buffer_size > UINT32_MAX)
		return EINVAL;
	memory = mmap(NULL, stride * options->buffers, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	*b = (struct net_blocks){
		.blocks = calloc(options->buffers, sizeof(struct block)),
		.free = calloc(options->buffers, sizeof(uint16_t)),
		.memory = memory,
		.stride = stride,
		.count = options->buffers,
	};
	if (!b->blocks || !b->free) {
		net_blocks_close(b);
		return ENOMEM;
	}
	for (unsigned i = 0; i < b->count; i++) {
		b->blocks[i] = (struct block){ .ring = owner, .data = b->memory + i * stride,
			.size = (uint32_t)options->buffer_size, .id = (uint16_t)i };
		b->free[b->free_count++] = (uint16_t)(b->count - 1 - i);
	}
	return 0;
}

void net_blocks_close(struct net_blocks *b)
{
	if (b->memory)
		munmap(b->memory, b->stride * b->count);
	free(b->blocks);
	free(b->free);
	*b = (struct net_blocks){ 0 };
}
