#include "msrp/connection.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/peer_count.h"
#include "msrp/foreign.h"
#include "msrp/input.h"
#include "msrp/leg_internal.h"
#include "msrp/output.h"
#include "msrp/sharing.h"
#include "msrp/pressure.h"
#include "msrp/reading.h"
#include "msrp/switch.h"
#include "msrp/waiting.h"

static const struct stream_events stream_events;

/* ---- beginning ---- */

static void on_timer(struct timer *timer);

static struct msrp_connection *make(struct msrp_endpoint *endpoint)
{
	struct msrp_connection *c = pool_take(&endpoint->connections);

	if (!c) {
		REFUSED(&endpoint->worker->counters, REASON_POOL_EXHAUSTED);
		return NULL;
	}
	c->endpoint = endpoint;
	LIST_INIT(&c->legs);
	msrp_reading_none(c);
	return c;
}

struct msrp_connection *msrp_connection_make_proxy(struct msrp_endpoint *endpoint,
	struct msrp_proxy *proxy)
{
	struct msrp_connection *c = make(endpoint);

	if (c)
		c->proxy = proxy;
	return c;
}

static bool count_address(struct msrp_connection *c, int fd)
{
	const struct msrp_options *options = c->endpoint->options;
	struct ring *ring = c->endpoint->worker->ring;
	unsigned max = options->limits.conns_per_ip;
	struct sockaddr_storage peer;

	if (ring->ops->peer_address(ring, fd, &peer) != 0)
		return false; /* it closed already */
	if (options->is_trusted && options->is_trusted(c->endpoint->worker, (const struct sockaddr *)&peer))
		max = 0;
	c->is_counted = peer_count_enter(&peer, max, &c->address_bucket);
	if (!c->is_counted)
		REFUSED(&c->endpoint->worker->counters, REASON_CONNECTION_LIMIT);
	return c->is_counted;
}

static void uncount_address(struct msrp_connection *c)
{
	if (c->is_counted)
		peer_count_leave(c->address_bucket);
	c->is_counted = false;
}

/* TLS of a new stream; the handshake's deadline is that of the binding. */
static int secure(struct msrp_connection *c, struct tls *tls, uint64_t until_ms)
{
	uint64_t now_ms = worker_now_ms(c->endpoint->worker);

	return stream_secure(c->stream, tls, until_ms > now_ms ? until_ms - now_ms : 1);
}

struct msrp_connection *msrp_connection_adopt(struct msrp_endpoint *endpoint, int fd, struct tls *tls,
	uint64_t unbound_at_ms)
{
	struct worker *worker = endpoint->worker;
	struct msrp_connection *c = make(endpoint);
	uint64_t now_ms = worker_now_ms(worker);

	if (!c)
		return NULL;
	if (!count_address(c, fd) || !(c->stream = stream_adopt(worker, fd, &stream_events, c))) {
		uncount_address(c);
		pool_give(&endpoint->connections, c);
		return NULL;
	}
	if (tls && secure(c, tls, unbound_at_ms) != 0) {
		(void)stream_detach(c->stream); /* nothing was begun on it: the descriptor is the caller's again */
		uncount_address(c);
		pool_give(&endpoint->connections, c);
		return NULL;
	}
	c->unbound_at_ms = unbound_at_ms;
	worker_arm(worker, &c->timer, unbound_at_ms > now_ms ? unbound_at_ms - now_ms : 1,
		   on_timer);
	msrp_connection_set_receive(c);
	return c;
}

static bool secure_client(struct msrp_connection *c, struct slice host)
{
	struct worker *worker = c->endpoint->worker;
	char name[256] = "";

	memcpy(name, host.p, host.n < sizeof(name) ? host.n : sizeof(name) - 1);
	struct tls *tls = worker->tls ? tls_connect(worker->tls, TLS_MSRP, name) : NULL;
	if (tls && secure(c, tls, c->unbound_at_ms) == 0)
		return true;
	tls_free(tls);
	REFUSED(&worker->counters, REASON_NO_MEMORY); /* there are certificates: there is a listener with one */
	return false;
}

struct msrp_connection *msrp_connection_open(struct msrp_leg *leg,
	const struct sockaddr_storage *to, struct slice host)
{
	struct msrp_endpoint *endpoint = leg->endpoint;
	struct worker *worker = endpoint->worker;
	struct msrp_connection *c = make(endpoint);

	if (!c)
		return NULL;
	c->stream = stream_connect(worker, to, &stream_events, c);
	c->unbound_at_ms = worker_now_ms(worker) + endpoint->options->limits.unbound_ms;
	if (!c->stream || (leg->is_secure && !secure_client(c, host))) {
		if (c->stream)
			stream_close(c->stream, true);
		pool_give(&endpoint->connections, c);
		return NULL;
	}
	c->is_connecting = true;
	worker_arm(worker, &c->timer, endpoint->options->limits.unbound_ms, on_timer);
	msrp_connection_join(c, leg);
	return c;
}

void msrp_connection_certificate(const struct msrp_connection *c, struct tls_certificate *certificate)
{
	const struct tls *tls = c->stream ? stream_tls_of(c->stream) : NULL;

	*certificate = (struct tls_certificate){ 0 };
	if (tls)
		tls_peer_certificate(tls, certificate);
	else if (c->proxy)
		*certificate = *msrp_proxy_certificate(c);
}

/* ---- sessions on it ---- */

void msrp_connection_join(struct msrp_connection *c, struct msrp_leg *leg)
{
	if (leg->connection == c)
		return;
	leg->connection = c;
	LIST_INSERT_HEAD(&c->legs, leg, on_connection);
	c->leg_count++;
	msrp_connection_share(c);
}

void msrp_connection_share(struct msrp_connection *c)
{
	if (!msrp_connection_is_single(c))
		msrp_connection_resume(c, PAUSE_FOR_LEG);
}

void msrp_connection_has_session(struct msrp_connection *c)
{
	if (!c->was_bound) {
		c->was_bound = true;
		worker_disarm(c->endpoint->worker, &c->timer);
		uncount_address(c);
	}
	msrp_connection_set_receive(c);
}

void msrp_connection_bind(struct msrp_connection *c, struct msrp_leg *leg)
{
	msrp_connection_join(c, leg);
	leg->is_bound = true;
	msrp_connection_has_session(c);
	msrp_leg_on_bound(leg);
}

void msrp_connection_unbind(struct msrp_connection *c, struct msrp_leg *leg)
{
	if (!leg->is_bound && leg->waiting.n) /* they are of this connection, not of the one that the leg gets */
		msrp_waiting_refuse(leg, 506, REASON_MSRP_SECOND_CONNECTION);
	if (c->in->leg == leg)
		msrp_switch_abort(c);
	if (c->writer && c->writer->in->leg && c->writer->in->leg->pair == leg)
		msrp_switch_abort(c->writer);
	LIST_REMOVE(leg, on_connection);
	c->leg_count--;
	leg->connection = NULL;
	leg->is_bound = false;
	/* it was for the sake of this leg that its connection was not read; sessions of others may go on with it */
	msrp_connection_resume(c, PAUSE_FOR_LEG);
	if (c->leg_count == 0 && c->proxy)
		msrp_proxy_is_idle(c);
}

bool msrp_connection_is_single(const struct msrp_connection *c)
{
	return c->leg_count == 1 && !c->proxy && !msrp_foreign_is_used(c);
}

/* ---- reading ---- */

void msrp_connection_set_receive(struct msrp_connection *c)
{
	enum stream_receive want = STREAM_MULTISHOT;

	if (!c->stream || c->is_lost)
		return;
	if (c->pauses)
		want = STREAM_PAUSED;
	else if (!c->was_bound || c->is_slowed || c->leg_count > 1 || c->foreign)
		/* Unbound: it can be handed over between two of them.  Shared: it is never stopped
		 * for a slow leg, so it must not bring more at once than a leg may queue. */
		want = STREAM_ONE_SHOT;
	if (c->stream->receive != want)
		stream_set_receive(c->stream, want);
}

void msrp_connection_pause(struct msrp_connection *c, unsigned why)
{
	if (c->pauses & why)
		return;
	c->pauses |= why;
	msrp_connection_set_receive(c);
}

void msrp_connection_resume(struct msrp_connection *c, unsigned why)
{
	if (!(c->pauses & why))
		return;
	c->pauses &= ~why;
	c->progress_ms = worker_now_ms(c->endpoint->worker);
	if (why & PAUSE_REWOUND)
		msrp_todo(c, TODO_PUMP);
	msrp_connection_set_receive(c);
}

/* ---- answers of its own ---- */

void msrp_connection_answer(struct msrp_connection *c, const struct msrp_head *head, unsigned status)
{
	size_t size = 128 + head->transaction_id.n * 2 + head->to_path.n + head->from_path.n;
	struct buffer b;
	char *p;

	if (head->method == MSRP_METHOD_REPORT) /* RFC 4975 7.1.2: it is never answered */
		return;
	if (head->method == MSRP_METHOD_SEND && head->failure_report == MSRP_FAILURE_NO)
		return; /* 7.2: it asks for no answer */
	if (!(p = msrp_output_reserve(c, size, NULL)))
		return;
	b = buffer_over(p, size);
	msrp_write_answer(&b, head, status);
	assert(!b.overflow);
	msrp_output_commit(c, b.n);
}

/* ---- events of the stream ---- */

/* RFC 4975 14.4, RFC 8122 6.2: whom we connected to is who its fingerprint says, or an authority. */
static bool is_announced(const struct stream *stream, const struct msrp_leg *leg)
{
	const struct tls *tls = stream_tls_of(stream);
	struct tls_certificate certificate;

	if (!tls || !leg->fingerprint)
		return !tls || tls_peer_is_verified(tls);
	tls_peer_certificate(tls, &certificate);
	return tls_certificate_is(&certificate, slice_str(leg->fingerprint));
}

static void on_connected(struct stream *stream)
{
	struct msrp_connection *c = stream->owner;
	struct msrp_leg *leg = LIST_FIRST(&c->legs);

	c->is_connecting = false;
	if (c->is_lost || !leg)
		return;
	if (!is_announced(stream, leg)) {
		msrp_connection_lose(c, REASON_TLS_CERTIFICATE);
		return;
	}
	msrp_connection_bind(c, leg);
	msrp_leg_write_empty_send(leg);
	msrp_sharing_offer(c, leg);
}

static void on_data(struct stream *stream, struct slice octets)
{
	struct msrp_connection *c = stream->owner;

	COUNT_N(&c->endpoint->worker->counters, msrp_rx_bytes, octets.n);
	msrp_input_receive(c, octets);
}

static void on_written(struct stream *stream)
{
	struct msrp_connection *c = stream->owner;

	if (c->is_lost)
		return;
	msrp_pressure_account(c);
	msrp_foreign_on_written(c);
	if (c->pauses & PAUSE_REWOUND && !c->early_for)
		msrp_todo(c, TODO_HANDOVER);
}

static void on_end(struct stream *stream, int err)
{
	struct msrp_connection *c = stream->owner;

	if (c->is_connecting)
		msrp_connection_lose(c, REASON_CONNECT_FAILED);
	else if (err == EPROTO) /* counted where it was seen */
		msrp_connection_lose(c, REASON_PEER_CLOSED);
	else
		msrp_connection_lose(c, err == 0 ? REASON_PEER_CLOSED : REASON_SEND_FAILED);
}

static const struct stream_events stream_events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_written = on_written,
	.on_end = on_end,
};

static void on_timer(struct timer *timer)
{
	struct msrp_connection *c =
		(struct msrp_connection *)((char *)timer - offsetof(struct msrp_connection, timer));
	struct worker *worker = c->endpoint->worker;
	uint64_t limit_ms = c->endpoint->options->limits.chunk_stall_ms;
	uint64_t idle_ms = worker_now_ms(worker) - c->progress_ms;

	if (c->is_lost)
		return;
	if (!c->was_bound) {
		msrp_connection_lose(c, c->is_connecting ? REASON_CONNECT_FAILED :
			REASON_MSRP_UNBOUND_TIMEOUT);
		return;
	}
	if (c->in->way == WAY_NONE && !c->held.n)
		return; /* armed again with the next chunk that does not come whole */
	if (c->pauses) /* it is us who do not read */
		idle_ms = 0;
	if (idle_ms >= limit_ms)
		msrp_connection_lose(c, REASON_MSRP_CHUNK_STALL);
	else
		worker_arm(worker, &c->timer, limit_ms - idle_ms, on_timer);
}

/* ---- the end ---- */

void msrp_connection_watch_for_stall(struct msrp_connection *c)
{
	bool has_begun = c->in->way != WAY_NONE || c->held.n;

	if (has_begun && c->stream && c->was_bound && !c->is_lost && !timer_is_armed(&c->timer))
		worker_arm(c->endpoint->worker, &c->timer,
			c->endpoint->options->limits.chunk_stall_ms, on_timer);
}

void msrp_connection_lose(struct msrp_connection *c, enum reason why)
{
	if (c->is_lost)
		return;
	c->is_lost = true;
	c->lost_why = why;
	worker_disarm(c->endpoint->worker, &c->timer);
	msrp_todo(c, TODO_CLOSE);
}

void msrp_connection_close_if_unused(struct msrp_connection *c)
{
	if (!c->proxy && c->was_bound && c->leg_count == 0 && !msrp_foreign_is_used(c))
		msrp_todo(c, TODO_CLOSE);
}

/* Nothing refers to it any more. */
static void release(struct msrp_connection *c)
{
	struct msrp_endpoint *endpoint = c->endpoint;

	worker_disarm(endpoint->worker, &c->timer);
	uncount_address(c);
	if (c->early_for)
		c->early_for->early = NULL;
	if (c->pauses & PAUSE_CREDIT)
		TAILQ_REMOVE(&endpoint->without_credit[c->waits_for], c, credit_link);
	if (c->todo)
		TAILQ_REMOVE(&endpoint->todo, c, todo_link);
	msrp_held_free(c->endpoint, &c->held);
	msrp_reading_drop(c);
	msrp_foreign_end(c);
	if (c->proxy)
		msrp_proxy_free(c);
	msrp_pressure_forget(c);
	pool_give(&endpoint->connections, c);
}

static void tell_why(const struct msrp_connection *c)
{
	struct worker *worker = c->endpoint->worker;
	bool is_normal = c->lost_why == REASON_PEER_CLOSED && c->in->way == WAY_NONE && !c->held.n;

	if (!is_normal)
		REFUSED(&worker->counters, c->lost_why);
	LOG(INFO, worker, "msrp", pool_slot(c), "connection lost legs=%u reason=%s", c->leg_count,
		reason_label(c->lost_why));
}

static void close_now(struct msrp_connection *c)
{
	struct msrp_leg *leg;

	if (!c->is_lost && (c->leg_count || msrp_foreign_is_used(c)))
		return; /* a session came after all */
	if (c->is_lost && !c->proxy)
		tell_why(c);
	while ((leg = LIST_FIRST(&c->legs)))
		msrp_leg_lose(leg, c->lost_why);
	if (c->proxy && !c->is_homeless) {
		if (c->is_lost)
			msrp_proxy_tell_lost(c);
		return; /* octets may be under way to it */
	}
	/* A lost one may still take what was written before: a 481 and the like. */
	if (c->stream)
		stream_close(c->stream, msrp_pressure_ends_at_once(c));
	c->stream = NULL;
	release(c);
}

void msrp_connection_end_proxy(struct msrp_connection *c, enum reason why)
{
	c->is_homeless = true;
	msrp_connection_lose(c, why);
	msrp_todo(c, TODO_CLOSE);
}

void msrp_connection_release(struct msrp_connection *c)
{
	release(c);
}

static void hand_over(struct msrp_connection *c)
{
	int err;

	if (c->is_lost || !(c->pauses & PAUSE_REWOUND) || c->early_for)
		return;
	err = msrp_foreign_hand_over(c);
	if (err == 0) {
		c->stream = NULL;
		release(c);
	} else if (err == ENOMEM) {
		msrp_connection_lose(c, REASON_NO_MEMORY);
	} /* EBUSY: asked again when the answer that is queued was written */
}

void msrp_connection_do(struct msrp_connection *c)
{
	unsigned todo = c->todo;

	c->todo = 0;
	if (todo & TODO_PUMP && !c->is_lost)
		msrp_input_go_on(c);
	if (todo & TODO_FLUSH)
		msrp_proxy_flush(c);
	if (todo & TODO_CLOSE) {
		close_now(c);
		return;
	}
	if (todo & TODO_HANDOVER)
		hand_over(c);
}
