/*
 * One TCP connection of a worker: receiving, a bounded write queue, connecting
 * and closing in the only order that the ring's rules permit.  SIP and MSRP
 * connections are built on it.
 *
 * Writing copies: what the protocol layer writes during a turn is appended to
 * the queue and goes out in one send at the end of the turn, so many small
 * chunks cost one system call, and a receive block never waits for a peer.
 *
 * Thread: owning worker only.  Owner: the worker's stream pool; the layer above
 * holds a pointer until stream_close(), after which no event comes any more.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include "core/net.h"
#include "core/send_queue.h"
#include "core/worker.h"

#define STREAM_BUFFER_SMALL SEND_BUFFER_SMALL
#define STREAM_BUFFER_LARGE SEND_BUFFER_LARGE
#define STREAM_LINGER_MS    5000        /* how long stream_close() tries to write what is queued */

struct stream;
struct stream_tls;
struct tls;
struct tls_set;

struct stream_events {
	/* The connect of stream_connect() succeeded. */
	void (*on_connected)(struct stream *);
	/* Octets arrived; they are gone when this returns. */
	void (*on_data)(struct stream *, struct slice data);
	/* A send ended: stream_queued() is smaller than before. */
	void (*on_written)(struct stream *);
	/* The peer closed (err 0), or connecting or the connection failed (positive errno).  The last
	 * event; the layer above still calls stream_close(). */
	void (*on_end)(struct stream *, int err);
	/* The peer will send no more, but may still read (plain TCP only).  It may be written to until the layer
	 * closes it; on_end comes only if that fails.  NULL: on_end(0) comes instead. */
	void (*on_finished)(struct stream *);
};

enum stream_receive {
	STREAM_PAUSED,    /* not reading: TCP holds the sender               */
	STREAM_ONE_SHOT,  /* one receive at a time: detachable between them  */
	STREAM_MULTISHOT, /* armed once                                      */
};

struct stream {
	const struct stream_events *events;
	void *owner;             /* the layer above; NULL after stream_close()      */
	struct worker *worker;
	int fd;
	struct net_address peer;
	/* ---- private, but `receive` may be read ---- */
	struct send_queue queue; /* written by the layer, not yet sent              */
	struct worker_task flush_task;
	struct stream_tls *tls;  /* NULL: octets go as they are                      */
	struct timer pause_timer; /* after -ENOBUFS, and the linger of a close       */
	enum stream_receive receive : 8;
	bool is_connecting, is_connected, is_receiving, is_closing, is_cancelled, is_read_out, has_ended;
	uint32_t lingers;        /* its share of what lingers                       */
};

/* Per worker, before it runs: registers the stream's completions.  0 or ENOMEM. */
int stream_worker_init(struct worker *worker, unsigned streams_max);
void stream_worker_free(struct worker *worker);

/* NULL: pool exhausted or no descriptor (counted); the caller answers or gives up.
 * stream_adopt() takes `fd` over only on success. Both start STREAM_PAUSED. */
struct stream *stream_adopt(struct worker *worker, int fd, const struct stream_events *events, void *owner);
struct stream *stream_connect(struct worker *worker, const struct sockaddr_storage *to,
	const struct stream_events *events, void *owner);

/*
 * TLS from here on: right after stream_adopt() or stream_connect(), before anything is read or written.
 * What the layer writes and reads is plaintext; on_connected comes after the handshake.  One that is not
 * over in `handshake_ms` ends the stream, as does anything else that TLS does not like: counted and logged
 * here, on_end with EPROTO.  Takes `tls` over on success; ENOMEM.
 */
int stream_secure(struct stream *stream, struct tls *tls, uint64_t handshake_ms);
/* NULL: without TLS. */
struct tls *stream_tls_of(const struct stream *stream);

/* Takes effect at once for PAUSED in that no further receive is started; what a cancelled multishot
 * still delivers comes as on_data. */
void stream_set_receive(struct stream *stream, enum stream_receive receive);

/* Appends a copy.  ENOMEM: nothing was appended. */
int stream_write(struct stream *stream, struct slice octets);

/* Room for `n` contiguous octets at the end of the queue, or NULL (ENOMEM).  What stream_commit()
 * then says was written becomes part of the queue; nothing else may be called in between. */
char *stream_reserve(struct stream *stream, size_t n);
void stream_commit(struct stream *stream, size_t n);

/* Ciphertext that waits is counted too. */
size_t stream_queued(const struct stream *stream);

/* No events from here on.  What is queued is still written, with TLS and then close_notify, for
 * STREAM_LINGER_MS at most, unless `at_once`; then the descriptor is closed and the memory given back. */
void stream_close(struct stream *stream, bool at_once);

/* After on_finished and a write: false once the peer answered that with a reset. */
bool stream_is_alive(struct stream *stream);

/* Hand-over to another worker: the descriptor, or -EBUSY while something is queued or in flight (set
 * STREAM_PAUSED first and try again from on_data).  On success the stream is gone, and what stream_tls_of()
 * said before is the caller's. */
int stream_detach(struct stream *stream);

/* The stream's name for flows: worker-local slot and generation, and back. */
uint32_t stream_slot(const struct stream *stream);
uint32_t stream_generation(const struct stream *stream);
struct stream *stream_find(struct worker *worker, uint32_t slot, uint32_t generation);

unsigned stream_count(const struct worker *worker);
/* About so many octets wait on streams that are closed already. */
size_t stream_lingering(const struct worker *worker);

#endif
