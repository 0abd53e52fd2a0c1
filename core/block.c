#include "core/block.h"

#include "core/ring.h"

void block_recycle(struct block *block)
{
	block->ring->ops->recycle(block->ring, block);
}
