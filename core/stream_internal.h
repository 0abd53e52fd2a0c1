/*
 * What stream.c and stream_tls.c share: the worker's streams, and the steps in
 * the life of one that TLS takes too.  Private to core/stream*.c; owning worker
 * only.
 */
#ifndef CORE_STREAM_INTERNAL_H
#define CORE_STREAM_INTERNAL_H

#include "core/pool.h"
#include "core/stream.h"

enum { TOKEN_RECV = TOKEN_STREAM_FIRST, TOKEN_SEND, TOKEN_CONNECT };

struct streams {
	struct pool pool;
	struct send_buffers buffers;
	size_t lingering; /* octets that were queued on streams when they were closed, until they are gone */
	char *plain; /* one record at a time; NULL until the first stream with TLS */
};

static inline struct streams *streams_of(const struct worker *worker)
{
	return worker->streams;
}

static inline struct send_buffers *stream_buffers(const struct stream *stream)
{
	return &streams_of(stream->worker)->buffers;
}

static inline ring_token stream_token(const struct stream *stream, unsigned kind)
{
	return ring_token_of(kind, pool_slot(stream), pool_generation(stream));
}

/* The stream of a completion while the layer above still listens to it. */
struct stream *stream_find_open(struct worker *worker, ring_token token);
/* The last event.  `err` 0: the peer closed.  The stream may be gone afterwards. */
void stream_end(struct stream *stream, int err);
/* Of a closing stream: nothing more is written.  It may be gone afterwards. */
void stream_give_up(struct stream *stream);

/* What is queued goes out at the end of the turn; the ring submits after it, so waiting costs nothing. */
void stream_flush_later(struct stream *stream);
void stream_start_receive(struct stream *stream);

#endif
