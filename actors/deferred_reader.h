/*
 * Content of one deferred message that was not in the block which brought the message: read from the store piece by
 * piece.  Owning worker only.
 */
#ifndef ACTORS_DEFERRED_READER_H
#define ACTORS_DEFERRED_READER_H

#include "core/store_deferred.h"
#include "core/worker.h"

/* Part of whoever reads; deferred_reader_stop() before it goes. */
struct deferred_reader {
	/* err 0: what is at `offset`, until this returns.  ENOENT: the message is gone.  Else what the store said.
	 * Never inside deferred_reader_ask(). */
	void (*on_piece)(struct deferred_reader *, int err, uint64_t offset, struct slice piece);
	struct store_content_get *asked; /* NULL: nothing is under way */
};

/* One at a time.  ENOMEM: nothing was asked. */
int deferred_reader_ask(struct deferred_reader *reader, struct worker *worker, uint64_t position, uint64_t offset);
/* The same of content that still comes: `upload` is the store's name of it. */
int deferred_reader_ask_upload(struct deferred_reader *reader, struct worker *worker, uint64_t upload, uint64_t offset);
/* What is under way finds nobody. */
void deferred_reader_stop(struct deferred_reader *reader);

#endif
