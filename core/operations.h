/*
 * The operations of a ring that are in flight, found by token: what
 * ring_cancel() names, and what has to be started again unseen.  Slots are
 * reused; an index is good until operation_remove().
 *
 * Thread: owning worker only.  Grows by doubling; being out of memory for
 * a few octets per operation ends the process, because an operation is
 * promised never to fail when it is started.
 */
#ifndef CORE_OPERATIONS_H
#define CORE_OPERATIONS_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"

enum operation_kind {
	OPERATION_ACCEPT,
	OPERATION_CONNECT,
	OPERATION_RECV,
	OPERATION_RECVMSG,
	OPERATION_SEND,
	OPERATION_SENDMSG,
};

#define OPERATION_NONE 0u /* no slot has this index */

struct operation {
	ring_token token;
	const void *p;           /* connect: address; send: octets; sendmsg: msghdr */
	size_t n;
	int fd;
	enum operation_kind kind;
	bool multishot;
	bool cancelled;
	uint32_t chain;          /* next of the same bucket, or of the free list */
	uint32_t next;           /* the user's own list                          */
};

struct operations {
	struct operation *slots;
	uint32_t *buckets;
	uint32_t size, free, count; /* size: slots and buckets, a power of two */
	unsigned shift;
};

static inline uint32_t *operations_bucket(const struct operations *o, ring_token token)
{
	return &o->buckets[(token * 0x9e3779b97f4a7c15u) >> o->shift];
}

static inline void operations_grow(struct operations *o)
{
	uint32_t old = o->size, size = old ? old * 2 : 256;

	o->slots = realloc(o->slots, size * sizeof(*o->slots));
	free(o->buckets);
	o->buckets = calloc(size, sizeof(*o->buckets));
	assert(o->slots && o->buckets);
	o->shift = 64 - (unsigned)__builtin_ctz(size);
	o->size = size;
	/* Growth happens with every old slot in use, so that all of them are chained anew. */
	for (uint32_t i = old ? 1 : size; i < old; i++) {
		uint32_t *bucket = operations_bucket(o, o->slots[i].token);
		o->slots[i].chain = *bucket;
		*bucket = i;
	}
	for (uint32_t i = size - 1; i >= (old ? old : 1); i--) {
		o->slots[i].chain = o->free;
		o->free = i;
	}
}

static inline uint32_t operation_add(struct operations *o, ring_token token, int fd,
				     enum operation_kind kind)
{
	uint32_t index, *bucket;

	if (o->free == OPERATION_NONE)
		operations_grow(o);
	index = o->free;
	o->free = o->slots[index].chain;
	bucket = operations_bucket(o, token);
	o->slots[index] =
		(struct operation){ .token = token, .fd = fd, .kind = kind, .chain = *bucket };
	*bucket = index;
	o->count++;
	return index;
}

static inline uint32_t operation_find(const struct operations *o, ring_token token)
{
	uint32_t index = o->size ? *operations_bucket(o, token) : OPERATION_NONE;

	while (index != OPERATION_NONE && o->slots[index].token != token)
		index = o->slots[index].chain;
	return index;
}

static inline void operation_remove(struct operations *o, uint32_t index)
{
	uint32_t *at = operations_bucket(o, o->slots[index].token);

	while (*at != index)
		at = &o->slots[*at].chain;
	*at = o->slots[index].chain;
	o->slots[index].chain = o->free;
	o->free = index;
	o->count--;
}

static inline void operations_free(struct operations *o)
{
	free(o->slots);
	free(o->buckets);
	*o = (struct operations){ 0 };
}

#endif
