/*
 * Socket calls and clocks that the io_uring and the epoll ring share, in the
 * shape of struct ring_ops; `ring` is not looked at.  Results: a descriptor or
 * 0, else a negative errno.  Any thread.
 */
#ifndef CORE_NET_H
#define CORE_NET_H

#include <netinet/in.h>

#include "core/ring.h"

/* Where the payload of a datagram begins in its block: before it stand 16 octets that io_uring
 * writes and the sender's address.  The same in every ring, so that limits are the same too. */
#define NET_DATAGRAM_FROM 16
#define NET_DATAGRAM_PAYLOAD (NET_DATAGRAM_FROM + sizeof(struct sockaddr_storage))

/* A port of a just killed ring process stays busy for some 40 ms, so binding is tried again for at
 * most 100 ms, asleep: use them where waiting is allowed.  A listener hands TCP_NODELAY down. */
int net_open_udp(struct ring *ring, const struct sockaddr_storage *bind);
int net_open_listener(struct ring *ring, const struct sockaddr_storage *bind);

int net_open_stream(struct ring *ring, int family);
int net_spread_udp(struct ring *ring, int fd, unsigned sockets);
int net_local_address(struct ring *ring, int fd, struct sockaddr_storage *address);
int net_peer_address(struct ring *ring, int fd, struct sockaddr_storage *address);
int net_backlog(struct ring *ring, int fd, struct ring_backlog *backlog);
int net_filter(struct ring *ring, int fd, const struct sock_filter *program, unsigned n);
uint64_t net_cpu_us(struct ring *ring);
uint64_t net_now_us(struct ring *ring);
uint64_t net_wall_us(struct ring *ring);

/* An IPv4 or IPv6 address and port: what thousands of connections, flows and dialogs keep of a
 * struct sockaddr_storage, which is five times as long.  All zero: none. */
struct net_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

/* Another family than the two becomes none. */
void net_address_set(struct net_address *address, const struct sockaddr_storage *from);
void net_address_get(const struct net_address *address, struct sockaddr_storage *to);
bool net_address_equal(const struct net_address *a, const struct net_address *b); /* port included */

/* What connect() and sendto() want to know of an address; 0 for a family that is not ours. */
socklen_t net_address_size(const struct sockaddr *address);

/* getrandom(2); unbuffered: worker_random() takes many at a time. */
void net_random(void *p, size_t n);

/* The memory and the free list of a ring's receive blocks; most recently freed first.  `data` of
 * block i is memory + i * stride; pages are the kernel's until first used. */
struct net_blocks {
	struct block *blocks;
	uint16_t *free;
	char *memory;
	size_t stride;
	unsigned count, free_count, in_use;
};

#define NET_BLOCKS_MAX 32768 /* io_uring numbers buffers with 16 bits, powers of two */

int net_blocks_open(struct net_blocks *b, struct ring *owner, const struct ring_options *options);
void net_blocks_close(struct net_blocks *b);

#endif
