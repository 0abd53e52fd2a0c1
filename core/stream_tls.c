#include "core/stream_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"

static int put(void *arg, struct slice ciphertext)
{
	struct stream_tls *t = arg;

	if (t->out.octets > STREAM_TLS_QUEUE_MAX)
		return ENOBUFS;
	return send_queue_write(&t->out, t->buffers, ciphertext);
}

struct stream_tls *stream_tls_make(struct stream *stream, struct tls *tls, struct send_buffers *buffers)
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

static bool wants_to_shut(const struct stream_tls *t)
{
	return t->stream->is_closing && t->is_ready && !t->has_failed && !t->is_shut;
}

bool stream_tls_has_work(const struct stream_tls *t)
{
	return t->out.octets || (t->is_ready && !t->has_failed && t->stream->queue.octets) || wants_to_shut(t);
}

int stream_tls_encrypt(struct stream_tls *t)
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

static void print_peer(const struct stream *stream, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&stream->peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&stream->peer;
	bool is_v6 = stream->peer.ss_family == AF_INET6;

	inet_ntop(is_v6 ? AF_INET6 : AF_INET, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, host,
		sizeof(host));
	snprintf(text, size, is_v6 ? "[%s]:%u" : "%s:%u", host, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

void stream_tls_refused(const struct stream_tls *t, enum reason why, const char *text)
{
	struct worker *worker = t->stream->worker;
	char peer[INET6_ADDRSTRLEN + 8];

	print_peer(t->stream, peer, sizeof(peer));
	REFUSED(&worker->counters, why);
	LOG(WARN, worker, "tls", 0, "connection-closed peer=%s side=%s reason=%s error=\"%s\"", peer,
		tls_is_client(t->tls) ? "client" : "server", reason_label(why), text);
}

void stream_tls_ready(struct stream_tls *t)
{
	struct worker *worker = t->stream->worker;

	t->is_ready = true;
	worker_disarm(worker, &t->deadline);
	COUNT(&worker->counters, tls_handshakes);
	if (tls_is_resumed(t->tls))
		COUNT(&worker->counters, tls_resumptions);
	LOG(DEBUG, worker, "tls", 0, "ready version=%s resumed=%d", tls_version(t->tls), tls_is_resumed(t->tls));
}
