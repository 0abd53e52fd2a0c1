/*
 * A receive block: one buffer of a ring's pool with what arrived in it.  The
 * ring fills it, whoever gets the completion owns one reference, and the last
 * release gives the buffer back to its ring, most recently used first: few hot
 * buffers beat many cold ones (design.md 4).
 *
 * Thread: owning worker only; what another worker needs of a block is copied.
 */
#ifndef CORE_BLOCK_H
#define CORE_BLOCK_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

struct block {
	struct ring *ring;
	char *data;          /* `size` octets                                   */
	uint32_t size;
	uint32_t references;
	uint16_t id;         /* the buffer's number in its ring                 */
};

void block_recycle(struct block *block); /* by block_release() only */

static inline struct block *block_hold(struct block *block)
{
	assert(block->references > 0);
	block->references++;
	return block;
}

static inline void block_release(struct block *block)
{
	assert(block->references > 0);
	if (--block->references == 0)
		block_recycle(block);
}

#endif
