#include "core/stream_tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/stream_internal.h"

/* ---- the connection ---- */

static int put(void *arg, struct slice ciphertext)
{
	struct stream_tls *t = arg;

	if (t->out.octets > STREAM_TLS_QUEUE_MAX)
		return ENOBUFS;
	return send_queue_write(&t->out, t->buffers, ciphertext);
}

static struct stream_tls *make(struct stream *stream, struct tls *tls, struct send_buffers *buffers)
{
	struct stream_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->stream = stream;
	t->tls = tls;
	t->buffers = buffers;
	t->is_ready = tls_is_ready(tls); /* handed over by another worker */
	tls_set_output(tls, put, t);
	return t;
}

void stream_tls_free(struct stream_tls *t, bool with_connection)
{
	if (with_connection)
		tls_free(t->tls);
	else
		tls_set_output(t->tls, NULL, NULL);
	worker_disarm(t->stream->worker, &t->deadline);
	send_queue_drop(&t->out, t->buffers);
	free(t);
}

/* ---- sending ---- */

static bool wants_to_shut(const struct stream_tls *t)
{
	return t->stream->is_closing && t->is_ready && !t->has_failed && !t->is_shut;
}

bool stream_tls_has_work(const struct stream_tls *t)
{
	return t->out.octets || (t->is_ready && !t->has_failed && t->stream->queue.octets) || wants_to_shut(t);
}

static int encrypt(struct stream_tls *t)
{
	struct send_queue *plain = &t->stream->queue;
	int err = 0;

	if (t->out.octets || !t->is_ready || t->has_failed)
		return 0;
	if (plain->octets) {
		struct slice octets = send_queue_begin(plain, t->buffers);
		err = tls_write(t->tls, octets);
		send_queue_end(plain, t->buffers, octets.n);
	}
	if (!err && plain->octets == 0 && wants_to_shut(t)) {
		t->is_shut = true;
		tls_shut(t->tls);
	}
	return err;
}

/* ---- what is told of it ---- */

static void print_peer(const struct stream *stream, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *v4 = &stream->peer.v4;
	const struct sockaddr_in6 *v6 = &stream->peer.v6;
	bool is_v6 = stream->peer.any.sa_family == AF_INET6;

	inet_ntop(is_v6 ? AF_INET6 : AF_INET, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, host,
		sizeof(host));
	snprintf(text, size, is_v6 ? "[%s]:%u" : "%s:%u", host, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

static void say_refused(const struct stream_tls *t, enum reason why, const char *text)
{
	struct worker *worker = t->stream->worker;
	char peer[INET6_ADDRSTRLEN + 8];

	print_peer(t->stream, peer, sizeof(peer));
	REFUSED(&worker->counters, why);
	LOG(WARN, worker, "tls", 0, "connection-closed peer=%s side=%s reason=%s error=\"%s\"", peer,
		tls_is_client(t->tls) ? "client" : "server", reason_label(why), text);
}

static void on_ready(struct stream_tls *t)
{
	struct worker *worker = t->stream->worker;

	t->is_ready = true;
	worker_disarm(worker, &t->deadline);
	COUNT(&worker->counters, tls_handshakes);
	if (tls_is_resumed(t->tls))
		COUNT(&worker->counters, tls_resumptions);
	LOG(DEBUG, worker, "tls", 0, "ready version=%s resumed=%d", tls_version(t->tls), tls_is_resumed(t->tls));
}

/* ---- in the life of a stream ---- */

static void on_deadline(struct timer *timer)
{
	struct stream_tls *t = (struct stream_tls *)((char *)timer - offsetof(struct stream_tls, deadline));

	if (!t->has_failed)
		say_refused(t, REASON_TLS_TIMEOUT, "handshake not over in time");
	stream_end(t->stream, EPROTO);
}

/* TLS wants no more of it: on_end comes when the alert has been sent. */
static void fail(struct stream *stream, enum reason why, const char *text)
{
	say_refused(stream->tls, why, text);
	stream->tls->has_failed = true;
	if (!stream_tls_has_work(stream->tls)) {
		stream_end(stream, EPROTO);
		return;
	}
	worker_arm(stream->worker, &stream->tls->deadline, STREAM_LINGER_MS, on_deadline);
	stream_flush_later(stream);
}

/* One step.  False: nothing more can be read, or the stream is gone. */
static bool decrypt_some(struct stream *stream)
{
	struct stream_tls *t = stream->tls;
	char *plain = streams_of(stream->worker)->plain;
	size_t n = 0;

	switch (tls_read(t->tls, plain, TLS_PLAIN_MAX, &n)) {
	case TLS_MORE:
		return false;
	case TLS_READY:
		on_ready(t);
		if (tls_is_client(t->tls))
			stream->events->on_connected(stream);
		return true;
	case TLS_DATA:
		stream->events->on_data(stream, slice_of(plain, n));
		return true;
	case TLS_CLOSED:
		stream_end(stream, 0);
		return false;
	case TLS_BAD:
		fail(stream, t->is_ready ? REASON_TLS_RECORD : REASON_TLS_HANDSHAKE, tls_error(t->tls));
		return false;
	}
	return false;
}

void stream_tls_received(struct stream *stream, struct slice data)
{
	struct worker *worker = stream->worker;
	ring_token token = stream_token(stream, TOKEN_RECV);

	if (stream->tls->has_failed)
		return;
	tls_feed(stream->tls->tls, data);
	while (decrypt_some(stream) && stream_find_open(worker, token) && !stream->tls->has_failed)
		;
	stream = stream_find(worker, ring_token_slot(token), ring_token_generation(token));
	if (!stream)
		return;
	tls_feed(stream->tls->tls, SLICE_EMPTY); /* of a stream that was closed meanwhile; its block goes home */
	if (!stream->is_closing)
		stream_flush_later(stream);
}

bool stream_tls_finish(struct stream *stream, struct slice data)
{
	struct stream_tls *t = stream->tls;
	enum tls_event event;
	size_t n;

	if (!t || t->is_ready || t->has_failed || stream->has_ended)
		return true;
	tls_feed(t->tls, data);
	event = tls_read(t->tls, streams_of(stream->worker)->plain, TLS_PLAIN_MAX, &n);
	tls_feed(t->tls, SLICE_EMPTY); /* what it says then is forgotten */
	if (event == TLS_READY)
		on_ready(t);
	else if (event != TLS_MORE)
		say_refused(t, REASON_TLS_HANDSHAKE, tls_error(t->tls));
	stream_flush_later(stream);
	return event == TLS_READY || event == TLS_MORE;
}

bool stream_tls_seal(struct stream *stream)
{
	int err = encrypt(stream->tls);

	if (!err)
		return true;
	say_refused(stream->tls, REASON_TLS_RECORD, tls_error(stream->tls->tls));
	stream->tls->has_failed = true;
	if (stream->is_closing)
		stream_give_up(stream);
	else
		stream_end(stream, EPROTO);
	return false;
}

int stream_secure(struct stream *stream, struct tls *tls, uint64_t handshake_ms)
{
	struct streams *streams = streams_of(stream->worker);

	assert(!stream->tls && !stream->is_receiving && stream_queued(stream) == 0);
	if (!streams->plain && !(streams->plain = malloc(TLS_PLAIN_MAX)))
		return ENOMEM;
	stream->tls = make(stream, tls, &streams->buffers);
	if (!stream->tls)
		return ENOMEM;
	stream->tls->handshake_ms = handshake_ms;
	if (stream->is_connected && !stream->tls->is_ready)
		worker_arm(stream->worker, &stream->tls->deadline, handshake_ms, on_deadline);
	stream_start_receive(stream);
	return 0;
}

struct tls *stream_tls_of(const struct stream *stream)
{
	return stream->tls ? stream->tls->tls : NULL;
}

void stream_tls_begin(struct stream *stream)
{
	worker_arm(stream->worker, &stream->tls->deadline, stream->tls->handshake_ms, on_deadline);
	stream_tls_received(stream, SLICE_EMPTY);
}
