/*
 * What a stream with TLS has more than another: the connection of core/tls, and
 * the ciphertext that waits to be sent.  Private to core/stream*.c.
 *
 * Plaintext stays in the stream's own queue until the ciphertext of what went
 * before is gone, so at most one buffer of it exists twice.
 *
 * Thread: owning worker only.  Owner: the stream.
 */
#ifndef CORE_STREAM_TLS_H
#define CORE_STREAM_TLS_H

#include "core/stream.h"
#include "core/tls.h"

#define STREAM_TLS_QUEUE_MAX (256 * 1024) /* answers to records that the peer does not read */

struct stream_tls {
	struct stream *stream;
	struct tls *tls;
	struct send_buffers *buffers;
	struct send_queue out;  /* ciphertext                                       */
	struct timer deadline;  /* of the handshake                                 */
	uint64_t handshake_ms;
	bool is_ready;          /* the handshake is over                            */
	bool has_failed;        /* only the alert is still sent                     */
	bool is_shut;           /* close_notify was put out                         */
};

/* `with_connection` false: the struct tls has gone to somebody else. */
void stream_tls_free(struct stream_tls *t, bool with_connection);

/* Something can be sent, or encrypted and sent. */
bool stream_tls_has_work(const struct stream_tls *t);

/* The connect has succeeded: the handshake begins.  The stream may be gone afterwards, as after
 * stream_tls_received(), which gives the layer above what is in the ciphertext. */
void stream_tls_begin(struct stream *stream);
void stream_tls_received(struct stream *stream, struct slice data);
/* Of a closing stream: what is queued for the peer can only follow its handshake.  False: that has failed. */
bool stream_tls_finish(struct stream *stream, struct slice data);

/* Turns the next buffer of plaintext, or the end, into ciphertext if that is its turn.  False: TLS failed and
 * the stream with it, which may be gone. */
bool stream_tls_seal(struct stream *stream);

#endif
