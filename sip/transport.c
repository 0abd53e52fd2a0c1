#include "sip/layer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/log.h"
#include "sip/owner.h"
#include "sip/stun.h"
#include "sip/trace.h"
#include "sip/write.h"

#define DATAGRAM_INLINE  1536
#define DATAGRAMS_MAX    65536
#define REARM_MS         2
#define LAST_TURNS_MAX   100 /* of sip_transport_free(), a millisecond each */

/* One datagram on its way out; the ring owns all of it until the completion. */
struct datagram {
	struct msghdr header;
	struct iovec octets;
	struct sockaddr_storage to;
	char *large; /* NULL: it fits */
	char inline_octets[DATAGRAM_INLINE];
};

/* ---- from the wire to the owner ---- */

/* On the owner.  The message lives until this returns. */
static void receive_here(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	sip_trace_received(layer->worker, flow, m);
	if (m->is_request)
		sip_server_receive(layer, m, flow);
	else
		sip_client_receive(layer, m, flow);
}

static void post_to_owner(struct sip_layer *layer, unsigned owner, const struct sip_message *m,
	const struct sip_flow *flow)
{
	struct sip_received *r = malloc(sizeof(*r) + m->wire.n);

	if (!r) {
		REFUSED(&layer->worker->counters, REASON_NO_MEMORY); /* a repetition may find more */
		return;
	}
	*r = (struct sip_received){ .msg = { .kind = MSG_SIP_RECEIVED }, .flow = *flow, .n = (uint32_t)m->wire.n };
	memcpy(r->wire, m->wire.p, m->wire.n);
	layer->credit[owner]--;
	COUNT(&layer->worker->counters, sip_foreign_messages);
	worker_post(layer->worker, owner, &r->msg);
}

/* Responses end work where requests begin it, so they go on when requests wait, but not without end: whoever
 * knows one branch of ours can send any number of them. */
static bool has_credit(const struct sip_layer *layer, unsigned owner, const struct sip_message *m)
{
	return layer->credit[owner] > (m->is_request ? 0 : -SIP_CREDIT);
}

bool sip_transport_dispatch(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	bool may_wait)
{
	struct counters *counters = &layer->worker->counters;
	int owner = sip_owner_of(m, layer->options, layer->worker->group->count);

	if (owner < 0) {
		REFUSED(counters, REASON_RESPONSE_UNKNOWN);
		return true;
	}
	if (may_wait && sip_overload_refuses(layer, m, flow, (unsigned)owner))
		return true;
	if ((unsigned)owner != layer->worker->index && !has_credit(layer, (unsigned)owner, m)) {
		if (!may_wait)
			REFUSED(counters, REASON_CREDIT); /* the sender repeats it */
		return false;
	}
	COUNT(counters, sip_rx_messages);
	if (m->is_request)
		COUNT(counters, sip_rx_requests);
	else
		COUNT(counters, sip_rx_responses);
	if ((unsigned)owner == layer->worker->index)
		receive_here(layer, m, flow);
	else
		post_to_owner(layer, (unsigned)owner, m, flow);
	return true;
}

static void on_received(struct worker *worker, struct msg *msg)
{
	struct sip_received *r = (struct sip_received *)msg;
	struct sip_layer *layer = sip_layer_of(worker);
	struct sip_limits limits = { r->n + 1, r->n + 1, 0 };
	struct sip_message m;
	size_t used;

	sip_overload_posted(layer);
	/* it was good where it arrived, so it is good here, where the limits may be others by now */
	if (sip_message_parse(&m, slice_of(r->wire, r->n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
		receive_here(layer, &m, &r->flow);
	worker_answer(worker, msg, MSG_SIP_HANDLED, 0);
}

/* Home again.  `from` is now the owner that answered. */
static void on_handled(struct worker *worker, struct msg *msg)
{
	struct sip_received *r = (struct sip_received *)msg;
	struct sip_layer *layer = sip_layer_of(worker);

	layer->credit[msg->from]++;
	if (layer->waiting_for_credit) /* once a turn: each waiting connection looks again at what it holds */
		worker_at_turn_end(worker, &layer->credit_came);
	free(r);
}

static void on_credit_came(struct worker *worker, struct worker_task *task)
{
	sip_connections_credit_came(sip_layer_of(worker));
}

void sip_transport_answer_bad(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	unsigned status, enum reason why)
{
	char host_text[INET6_ADDRSTRLEN], tag[24];
	struct buffer out = buffer_over(layer->scratch, layer->scratch_n); /* the Vias may be a whole head */
	struct sip_response response = { .status = status, .reason = m->error ? slice_str(m->error) : SLICE_EMPTY };

	sip_message_tell_refusal(layer->worker, m, status, why);
	if (!sip_header_first(m, SIP_HDR_VIA) || !m->is_request || m->method == SIP_ACK)
		return; /* nobody to answer: two servers could go on for ever */
	sip_flow_source(flow, host_text, sizeof(host_text), &response.source.host, &response.source.port);
	/* stateless: the same request gets the same tag again (RFC 3261 8.2.7) */
	snprintf(tag, sizeof(tag), "%016llx",
		(unsigned long long)siphash(&layer->key, sip_header_value(m, SIP_HDR_VIA)));
	response.to_tag = slice_str(tag);
	sip_write_response(&out, m, &response);
	if (status == 503)
		buffer_printf(&out, "Retry-After: %u\r\n", layer->options->retry_after_s);
	sip_write_header(&out, "Server", layer->options->user_agent);
	sip_write_end(&out, SLICE_EMPTY, SLICE_EMPTY);
	if (out.overflow)
		return;
	struct sip_transmission t = { .flow = *flow, .wire = buffer_slice(&out), .is_response = true };
	if (!sip_flow_is_stream(flow))
		sip_port_set(&t.flow.peer.any, sip_answer_port(m, flow));
	sip_transport_send(layer, &t);
}

static void send_datagram(struct sip_layer *layer, const struct sip_flow *flow, struct slice wire);

static void on_stun(struct sip_layer *layer, const struct sip_flow *flow, struct slice datagram)
{
	char answer[SIP_STUN_ANSWER_MAX];
	size_t n = sip_stun_answer(datagram, &flow->peer, answer);

	if (n == 0) {
		REFUSED(&layer->worker->counters, REASON_STUN);
		return;
	}
	COUNT(&layer->worker->counters, sip_keepalives);
	send_datagram(layer, flow, slice_of(answer, n));
}

static void on_datagram_octets(struct sip_layer *layer, unsigned listener, const struct ring_completion *c)
{
	struct sip_flow flow = { .protocol = SIP_UDP, .listener = (uint8_t)listener,
		.worker = (uint16_t)layer->worker->index };
	struct sip_message m;
	size_t used;

	sip_flow_set_peer(&flow, c->from);
	if (sip_stun_is(c->data)) {
		on_stun(layer, &flow, c->data);
		return;
	}
	enum sip_verdict verdict = sip_message_parse(&m, c->data, &layer->limits, SIP_DATAGRAM, &used);
	if (verdict >= SIP_PARSE_BAD_400 && verdict != SIP_PARSE_DROP)
		sip_trace_received(layer->worker, &flow, &m);
	if (c->truncated && verdict != SIP_PARSE_DROP && verdict != SIP_PARSE_KEEPALIVE) {
		m.error = "Datagram too long";
		sip_transport_answer_bad(layer, &m, &flow, 513, REASON_UDP_TRUNCATED);
		return;
	}
	switch (verdict) {
	case SIP_PARSE_OK:
		sip_transport_dispatch(layer, &m, &flow, false);
		break;
	case SIP_PARSE_KEEPALIVE:
		COUNT(&layer->worker->counters, sip_keepalives);
		break;
	case SIP_PARSE_PING:
	case SIP_PARSE_MORE: /* streams only */
		break;
	case SIP_PARSE_BAD_400:
		sip_transport_answer_bad(layer, &m, &flow, 400, REASON_FRAMING);
		break;
	case SIP_PARSE_TOO_LARGE_413:
		sip_transport_answer_bad(layer, &m, &flow, 413, REASON_TOO_LARGE);
		break;
	case SIP_PARSE_TOO_LARGE_513:
	case SIP_PARSE_HEADERS_513:
		sip_transport_answer_bad(layer, &m, &flow, 513, REASON_TOO_LARGE);
		break;
	case SIP_PARSE_VERSION_505:
		sip_transport_answer_bad(layer, &m, &flow, 505, REASON_SYNTAX);
		break;
	case SIP_PARSE_DROP:
		REFUSED(&layer->worker->counters, REASON_FRAMING);
		break;
	}
}

/* ---- receiving ---- */

static void start_receiving(struct sip_layer *layer, unsigned listener)
{
	const struct sip_listener *l = &layer->options->listeners[listener];
	struct ring *ring = layer->worker->ring;
	int fd = l->fds[layer->worker->index];

	if (l->proto == LISTEN_UDP)
		ring->ops->recvmsg(ring, fd, ring_token_of(TOKEN_SIP_DATAGRAM, listener, 1));
	else
		ring->ops->accept(ring, fd, ring_token_of(TOKEN_SIP_ACCEPT, listener, 1));
}

static void on_rearm(struct timer *timer)
{
	struct sip_layer *layer = (struct sip_layer *)((char *)timer - offsetof(struct sip_layer, rearm));

	for (unsigned i = 0; i < layer->options->listener_count; i++)
		if (layer->to_rearm & 1u << i)
			start_receiving(layer, i);
	layer->to_rearm = 0;
}

static void rearm_later(struct sip_layer *layer, unsigned listener)
{
	if (layer->is_stopping)
		return;
	layer->to_rearm |= 1u << listener;
	if (!timer_is_armed(&layer->rearm))
		worker_arm(layer->worker, &layer->rearm, REARM_MS, on_rearm);
}

static void on_datagram(struct worker *worker, const struct ring_completion *c)
{
	struct sip_layer *layer = sip_layer_of(worker);
	unsigned listener = ring_token_slot(c->token);

	if (c->block) {
		if (!layer->is_stopping && c->from)
			on_datagram_octets(layer, listener, c);
		block_release(c->block);
	}
	if (c->result == -ENOBUFS)
		COUNT(&worker->counters, ring_no_buffers);
	if (!c->more)
		rearm_later(layer, listener);
}

static void on_accept(struct worker *worker, const struct ring_completion *c)
{
	struct sip_layer *layer = sip_layer_of(worker);
	unsigned listener = ring_token_slot(c->token);

	if (c->result >= 0) {
		if (layer->is_stopping)
			worker->ring->ops->close(worker->ring, c->result);
		else
			sip_connection_accepted(layer, listener, c->result);
	}
	else if (c->result != -ECANCELED)
		REFUSED(&worker->counters, REASON_POOL_EXHAUSTED); /* of descriptors, as a rule */
	if (!c->more)
		rearm_later(layer, listener);
}

/* ---- sending ---- */

static void send_datagram(struct sip_layer *layer, const struct sip_flow *flow, struct slice wire)
{
	struct ring *ring = layer->worker->ring;
	struct datagram *d = pool_take(&layer->datagrams);

	if (!d) {
		REFUSED(&layer->worker->counters, REASON_POOL_EXHAUSTED); /* repeated by its transaction */
		return;
	}
	char *octets = d->inline_octets;
	if (wire.n > sizeof(d->inline_octets))
		octets = d->large = malloc(wire.n);
	if (!octets) {
		pool_give(&layer->datagrams, d);
		REFUSED(&layer->worker->counters, REASON_NO_MEMORY);
		return;
	}
	memcpy(octets, wire.p, wire.n);
	sip_flow_get_peer(flow, &d->to);
	d->octets = (struct iovec){ octets, wire.n };
	d->header = (struct msghdr){ .msg_name = &d->to, .msg_iov = &d->octets, .msg_iovlen = 1,
		.msg_namelen = d->to.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in) };
	ring->ops->sendmsg(ring, layer->options->listeners[flow->listener].fds[layer->worker->index], &d->header,
		ring_token_of(TOKEN_SIP_SEND, pool_slot(d), pool_generation(d)));
}

static void on_datagram_sent(struct worker *worker, const struct ring_completion *c)
{
	struct sip_layer *layer = sip_layer_of(worker);
	struct datagram *d =
		pool_find(&layer->datagrams, ring_token_slot(c->token), ring_token_generation(c->token));

	if (!d) {
		COUNT(&worker->counters, ring_late_completions);
		return;
	}
	if (c->result < 0)
		REFUSED(&worker->counters, REASON_SEND_FAILED);
	free(d->large);
	pool_give(&layer->datagrams, d);
}

/* On the worker of the flow's stream.  0 or errno. */
static int write_here(struct sip_layer *layer, const struct sip_transmission *t)
{
	struct sip_connection *c = sip_connection_find(layer, t->flow.slot, t->flow.generation);

	if (!c && t->is_response && t->fallback.ss_family)
		c = sip_connection_to_answer(layer, t->flow.protocol, &t->fallback); /* RFC 3261 18.2.2, once */
	if (!c)
		return ENOTCONN;
	if (t->is_response)
		return sip_connection_answer(c, t->wire, &t->fallback);
	if (sip_connection_is_half_closed(c))
		return ENOTCONN;
	if (sip_connection_is_full(c))
		return ENOBUFS;
	return sip_connection_write(c, t->wire, t->client);
}

static enum reason reason_of(int err)
{
	return err == ENOBUFS ? REASON_QUEUE_FULL : err == ENOMEM ? REASON_NO_MEMORY : REASON_SEND_FAILED;
}

static void post_to_flow(struct sip_layer *layer, const struct sip_transmission *t)
{
	struct sip_sending *s = malloc(sizeof(*s) + t->wire.n);

	if (!s) {
		REFUSED(&layer->worker->counters, REASON_NO_MEMORY);
		sip_client_transport_failed(layer, t->client);
		return;
	}
	*s = (struct sip_sending){ .msg = { .kind = MSG_SIP_SEND }, .flow = t->flow, .is_response = t->is_response,
		.client = t->client, .fallback = t->fallback, .n = (uint32_t)t->wire.n };
	memcpy(s->wire, t->wire.p, t->wire.n);
	worker_post(layer->worker, t->flow.worker, &s->msg);
}

static void on_send(struct worker *worker, struct msg *msg)
{
	struct sip_sending *s = (struct sip_sending *)msg;
	/* the client lives elsewhere: a connect that fails later is its time-out */
	struct sip_transmission t = { .flow = s->flow, .wire = slice_of(s->wire, s->n), .is_response = s->is_response,
		.fallback = s->fallback };
	struct sip_connection *c = sip_connection_find(sip_layer_of(worker), s->flow.slot, s->flow.generation);

	if (c && !s->is_response)
		sip_connection_used_by(c, msg->from);
	worker_answer(worker, msg, MSG_SIP_SENT, write_here(sip_layer_of(worker), &t));
}

static void on_flow_lost(struct worker *worker, struct msg *msg)
{
	const struct sip_flow *flow = &((struct sip_flow_lost *)msg)->flow;
	struct sip_layer *layer = sip_layer_of(worker);

	sip_clients_flow_lost(layer, flow);
	if (layer->options->on_flow_lost)
		layer->options->on_flow_lost(worker, flow);
	free(msg);
}

void sip_flow_watch(struct worker *worker, const struct sip_flow *flow)
{
	struct sip_flow_lost *watch;

	if (!sip_flow_is_stream(flow))
		return;
	if (!(watch = malloc(sizeof(*watch)))) {
		/* its end will be seen by the next request that is sent by it */
		REFUSED(&worker->counters, REASON_NO_MEMORY);
		return;
	}
	*watch = (struct sip_flow_lost){ .msg.kind = MSG_SIP_FLOW_WATCH, .flow = *flow };
	worker_post(worker, flow->worker, &watch->msg);
}

/* The same message says at once, or a copy of it later, that the stream has ended. */
static void on_flow_watch(struct worker *worker, struct msg *msg)
{
	const struct sip_flow *flow = &((struct sip_flow_lost *)msg)->flow;
	struct sip_connection *c = sip_connection_find(sip_layer_of(worker), flow->slot, flow->generation);

	if (!c) {
		worker_answer(worker, msg, MSG_SIP_FLOW_LOST, 0);
		return;
	}
	sip_connection_used_by(c, msg->from);
	sip_connection_bind(c);
	free(msg);
}

static void on_sent(struct worker *worker, struct msg *msg)
{
	struct sip_sending *s = (struct sip_sending *)msg;

	if (msg->err) {
		REFUSED(&worker->counters, reason_of(msg->err));
		sip_client_transport_failed(sip_layer_of(worker), s->client);
	}
	free(s);
}

void sip_transport_send(struct sip_layer *layer, const struct sip_transmission *t)
{
	COUNT(&layer->worker->counters, sip_tx_messages);
	sip_trace_sent(layer->worker, &t->flow, t->wire);
	if (!sip_flow_is_stream(&t->flow)) {
		send_datagram(layer, &t->flow, t->wire);
		return;
	}
	if (t->flow.worker != layer->worker->index) {
		post_to_flow(layer, t);
		return;
	}
	int err = write_here(layer, t);
	if (err) {
		REFUSED(&layer->worker->counters, reason_of(err));
		sip_client_transport_failed(layer, t->client);
	}
}

static int listener_for(const struct sip_layer *layer, enum sip_protocol protocol, int family)
{
	enum listen_proto wanted = protocol == SIP_UDP ? LISTEN_UDP : protocol == SIP_TCP ? LISTEN_TCP : LISTEN_TLS;

	for (unsigned i = 0; i < layer->options->listener_count; i++)
		if (layer->options->listeners[i].proto == wanted &&
		    layer->options->listeners[i].bound.ss_family == family)
			return (int)i;
	return -1;
}

int sip_transport_flow_to(struct sip_layer *layer, const struct sip_target *target, struct sip_flow *flow)
{
	if (target->has_flow) {
		*flow = target->flow;
		if (!sip_flow_is_stream(flow) || target->flow_only || flow->worker != layer->worker->index ||
		    sip_connection_find(layer, flow->slot, flow->generation))
			return 0;
	}
	memset(flow, 0, sizeof(*flow));
	if (target->flow.peer.any.sa_family == 0)
		return EHOSTUNREACH;
	if (target->flow.protocol == SIP_UDP) {
		int listener = listener_for(layer, SIP_UDP, target->flow.peer.any.sa_family);
		if (listener < 0)
			return EPROTONOSUPPORT; /* nothing to send from */
		flow->protocol = SIP_UDP;
		flow->listener = (uint8_t)listener;
		flow->worker = (uint16_t)layer->worker->index;
		flow->peer = target->flow.peer;
		return 0;
	}
	struct sip_connection *c = sip_connection_to(layer, target);
	if (!c)
		return ECONNREFUSED;
	sip_connection_flow(c, flow);
	return 0;
}

/* ---- per worker ---- */

int sip_transport_init(struct sip_layer *layer)
{
	struct worker *worker = layer->worker;

	if (pool_init(&layer->datagrams, "datagrams", sizeof(struct datagram), DATAGRAMS_MAX) != 0)
		return ENOMEM;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		layer->credit[i] = SIP_CREDIT;
	layer->credit_came.run = on_credit_came;
	worker->on_completion[TOKEN_SIP_DATAGRAM] = on_datagram;
	worker->on_completion[TOKEN_SIP_ACCEPT] = on_accept;
	worker->on_completion[TOKEN_SIP_SEND] = on_datagram_sent;
	worker->on_message[MSG_SIP_RECEIVED] = on_received;
	worker->on_message[MSG_SIP_HANDLED] = on_handled;
	worker->on_message[MSG_SIP_SEND] = on_send;
	worker->on_message[MSG_SIP_SENT] = on_sent;
	worker->on_message[MSG_SIP_FLOW_LOST] = on_flow_lost;
	worker->on_message[MSG_SIP_FLOW_WATCH] = on_flow_watch;
	for (unsigned i = 0; i < layer->options->listener_count; i++)
		start_receiving(layer, i);
	return 0;
}

/* The ring reads what is on its way out until it says that it was sent, and it goes on turning while the
 * streams below us are closed. */
static void finish_sending(struct sip_layer *layer)
{
	struct worker *worker = layer->worker;
	struct ring *ring = worker->ring;
	struct ring_completion done[64];

	for (unsigned turns = 0; turns < LAST_TURNS_MAX && pool_used(&layer->datagrams); turns++) {
		unsigned n = ring->ops->turn(ring, done, 64, 1000);
		for (unsigned i = 0; i < n; i++) {
			unsigned kind = ring_token_kind(done[i].token);
			if (kind == TOKEN_SIP_SEND || (kind < TOKEN_SIP_FIRST && worker->streams))
				worker->on_completion[kind](worker, &done[i]);
			else if (done[i].block)
				block_release(done[i].block);
			else if (kind == TOKEN_SIP_ACCEPT && done[i].result >= 0)
				ring->ops->close(ring, done[i].result);
		}
	}
}

void sip_transport_free(struct sip_layer *layer)
{
	worker_disarm(layer->worker, &layer->rearm);
	finish_sending(layer);
	for (uint32_t slot = 0; slot < layer->datagrams.made; slot++) {
		struct datagram *d = pool_at(&layer->datagrams, slot);
		if (!d)
			continue;
		free(d->large);
		pool_give(&layer->datagrams, d);
	}
	pool_free(&layer->datagrams);
}
