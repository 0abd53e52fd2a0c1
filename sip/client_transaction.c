/*
 * Client transactions: RFC 3261 17.1 with the Accepted state of RFC 6026.
 *
 *   INVITE      Calling -> Proceeding -> Completed -> gone        (300 to 699: we ACK)
 *                                     -> Accepted -> gone         (2xx: the functions ACK)
 *   all others  Trying -> Proceeding -> Completed -> gone
 *
 * A request to a name is located first, and goes to the next server when one fails (RFC 3263 4.3).  One
 * that is too large for UDP goes by TCP while that works (RFC 3261 18.1.1).
 *
 * Failures are told by a timer, never inside the call that sends.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/client.h"
#include "sip/write.h"

#define FAIL_SOON_MS 1
/* RFC 3261 16.6, timer C: more than three minutes.  Longer than the functions above let it ring (180 s),
 * so that they decide; it ends what nobody watches any more. */
#define RINGING_MS 200000

#define ACKS_MAX 16 /* forks whose 2xx may be repeated: beyond that each repetition is told again */

/* ---- the table ---- */

static uint64_t hash_of(const struct sip_layer *layer, const char *minted)
{
	return siphash(&layer->key, slice_of(minted, MINTED_CHARS));
}

static uint64_t client_hash_of(const void *client, const void *layer)
{
	return hash_of(layer, ((const struct sip_client *)client)->minted);
}

/* RFC 3261 17.1.3: branch and CSeq method; a CANCEL has the branch of its INVITE. */
static struct sip_client *find(struct sip_layer *layer, const char *minted, enum sip_method method)
{
	for (struct sip_client *c = chains_first(&layer->clients_by_branch, hash_of(layer, minted)); c; c = c->table_next)
		if (memcmp(c->minted, minted, MINTED_CHARS) == 0 && c->method == method)
			return c;
	return NULL;
}

/*
 * A request to a registered contact can be answered by the contact's connection only (design.md 2), so
 * it fails when that ends: found by the flow, in a table of its own.
 */
static struct sip_client **flow_chain_of(struct sip_layer *layer, const struct sip_flow *flow)
{
	uint32_t hash = (flow->worker * 31u + flow->slot) * 0x9e3779b1u ^ flow->generation;

	return &layer->flow_table[hash % SIP_FLOW_CHAINS];
}

void sip_client_enter_flow_table(struct sip_client *c)
{
	struct sip_client **chain = flow_chain_of(c->layer, &c->flow);

	c->flow_next = *chain;
	c->flow_link = chain;
	if (c->flow_next)
		c->flow_next->flow_link = &c->flow_next;
	*chain = c;
}

static void leave_flow_table(struct sip_client *c)
{
	if (!c->flow_link)
		return;
	*c->flow_link = c->flow_next;
	if (c->flow_next)
		c->flow_next->flow_link = c->flow_link;
	c->flow_link = NULL;
}

static void client_free(struct sip_client *c)
{
	struct sip_layer *layer = c->layer;
	const struct sip_client_events *events = c->events;

	c->events = NULL;
	if (events && events->on_gone)
		events->on_gone(c, c->arg);
	sip_client_leave_table(c);
	leave_flow_table(c);
	worker_disarm(layer->worker, &c->repeat);
	worker_disarm(layer->worker, &c->life);
	free(c->request);
	if (c->way)
		sip_locate_forget(&c->way->location);
	free(c->way);
	while (c->acks) {
		struct client_ack *ack = c->acks;
		c->acks = ack->next;
		free(ack);
	}
	pool_give(&layer->clients, c);
	sip_transactions_gauge(layer);
}

void sip_client_leave_table(struct sip_client *c)
{
	chains_remove(&c->layer->clients_by_branch, c);
}

/* ---- sending ---- */

uint64_t sip_client_t1_ms(const struct sip_client *c)
{
	return c->layer->options->t1_ms;
}

static struct sip_client_name name_of(const struct sip_client *c)
{
	return (struct sip_client_name){ pool_slot(c), pool_generation(c) };
}

void sip_client_transmit(struct sip_client *c, const struct sip_flow *flow, struct slice wire, bool tell)
{
	struct sip_transmission t = { .flow = *flow, .wire = wire };

	if (tell)
		t.client = name_of(c);
	sip_transport_send(c->layer, &t);
}

static void send_cancel(struct sip_client *invite_client);

static void fail(struct sip_client *c, unsigned status)
{
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);

	if (c->events && c->events->on_failed)
		c->events->on_failed(c, status, c->arg);
	if (pool_find(&layer->clients, slot, generation) == c)
		client_free(c);
}

void sip_client_on_life_over(struct timer *timer)
{
	struct sip_client *c = (struct sip_client *)((char *)timer - offsetof(struct sip_client, life));

	switch ((enum client_state)c->state) {
	case CLIENT_LOCATING:
	case CLIENT_FAILING:
		fail(c, 503);
		break;
	case CLIENT_PROCEEDING:
		if (c->method == SIP_INVITE && !c->is_cancelled) { /* C; what follows has 64*T1 */
			send_cancel(c);
			break;
		}
		COUNT(&c->layer->worker->counters, sip_transaction_timeouts);
		fail(c, 408);
		break;
	case CLIENT_CALLING:
	case CLIENT_TRYING:
		COUNT(&c->layer->worker->counters, sip_transaction_timeouts);
		if (!sip_client_send_elsewhere(c)) /* RFC 3263 4.3: no response at all is a failure of the server */
			fail(c, 408);
		break;
	case CLIENT_COMPLETED:
	case CLIENT_ACCEPTED:
		client_free(c);
		break;
	}
}

/* A: doubles without end (B ends it); E: doubles up to T2, and is T2 once a provisional answer came. */
void sip_client_on_repeat(struct timer *timer)
{
	struct sip_client *c = (struct sip_client *)((char *)timer - offsetof(struct sip_client, repeat));

	COUNT(&c->layer->worker->counters, sip_tx_retransmissions);
	sip_client_transmit(c, &c->flow, slice_of(c->request, c->request_n), false);
	c->repeat_ms *= 2;
	if (c->method != SIP_INVITE && (c->repeat_ms > SIP_T2_MS || c->state == CLIENT_PROCEEDING))
		c->repeat_ms = SIP_T2_MS;
	worker_arm(c->layer->worker, &c->repeat, c->repeat_ms, sip_client_on_repeat);
}

/* Never inside the call that sends. */
void sip_client_fail_soon(struct sip_client *c)
{
	struct worker *worker = c->layer->worker;

	c->state = CLIENT_FAILING;
	worker_disarm(worker, &c->repeat);
	worker_arm(worker, &c->life, FAIL_SOON_MS, sip_client_on_life_over);
}

void sip_client_transport_failed(struct sip_layer *layer, struct sip_client_name name)
{
	struct sip_client *c = name.generation ? pool_find(&layer->clients, name.slot, name.generation) : NULL;

	if (c && (c->state == CLIENT_CALLING || c->state == CLIENT_TRYING) && !sip_client_send_as_datagram(c) &&
	    !sip_client_send_elsewhere(c))
		sip_client_fail_soon(c);
}

void sip_clients_flow_lost(struct sip_layer *layer, const struct sip_flow *flow)
{
	struct sip_client *c = *flow_chain_of(layer, flow), *next;

	for (; c; c = next) {
		next = c->flow_next;
		if (!sip_flow_equal(&c->flow, flow))
			continue;
		leave_flow_table(c);
		if (c->state == CLIENT_CALLING || c->state == CLIENT_TRYING || c->state == CLIENT_PROCEEDING)
			sip_client_fail_soon(c);
	}
}

struct sip_client *sip_client_make(struct sip_layer *layer, enum sip_method method)
{
	struct sip_client *c = pool_take(&layer->clients);

	if (!c)
		return NULL;
	c->layer = layer;
	c->method = (uint8_t)method;
	c->state = method == SIP_INVITE ? CLIENT_CALLING : CLIENT_TRYING;
	return c;
}

void sip_client_enter_table(struct sip_client *c)
{
	chains_add(&c->layer->clients_by_branch, c);
	sip_transactions_gauge(c->layer);
}

const struct sip_flow *sip_client_flow(const struct sip_client *c)
{
	return &c->flow;
}

void sip_client_forget(struct sip_client *c)
{
	c->events = NULL;
	c->arg = NULL;
}

void sip_client_rest(struct sip_client *c)
{
	assert(c->method != SIP_INVITE);
	c->is_resting = true;
	worker_disarm(c->layer->worker, &c->repeat);
}

/* ---- what is made of the request: CANCEL, ACK of a failure ---- */

static bool reread(const struct sip_client *c, struct sip_message *m)
{
	struct sip_limits limits = { c->request_n + 1, c->request_n + 1, 0 };
	size_t used;

	return c->request && sip_message_parse(m, slice_of(c->request, c->request_n), &limits, SIP_DATAGRAM, &used) ==
				     SIP_PARSE_OK;
}

/* RFC 3261 9.1 and 17.1.1.3: same Request-URI, top Via, Route, From, Call-ID and CSeq number; To is the
 * request's (CANCEL) or the response's (ACK). */
static void write_derived(struct sip_client *c, const struct sip_message *invite, const char *method,
	const struct sip_message *to_of, struct buffer *out)
{
	struct slice ignored;
	uint32_t cseq = 0;

	(void)sip_cseq_decode(sip_header_value(invite, SIP_HDR_CSEQ), &cseq, &ignored); /* we wrote it */
	sip_write_request_line(out, slice_str(method), invite->uri);
	sip_write_header(out, "Via", sip_header_value(invite, SIP_HDR_VIA));
	sip_copy_headers(out, invite, SIP_HDR_ROUTE);
	buffer_lit(out, "Max-Forwards: 70\r\n");
	sip_copy_headers(out, invite, SIP_HDR_FROM);
	sip_write_header(out, "To", sip_header_value(to_of, SIP_HDR_TO));
	sip_copy_headers(out, invite, SIP_HDR_CALL_ID);
	buffer_printf(out, "CSeq: %u %s\r\n", cseq, method);
	sip_write_header(out, "User-Agent", c->layer->options->user_agent);
	sip_write_end(out, SLICE_EMPTY, SLICE_EMPTY);
}

static void acknowledge_failure(struct sip_client *c, const struct sip_message *response)
{
	struct buffer out = buffer_over(c->layer->scratch, c->layer->scratch_n);
	struct sip_message invite;

	if (!reread(c, &invite))
		return;
	write_derived(c, &invite, "ACK", response, &out);
	if (!out.overflow)
		sip_client_transmit(c, &c->flow, buffer_slice(&out), false);
}

static void send_cancel(struct sip_client *invite_client)
{
	struct sip_layer *layer = invite_client->layer;
	struct buffer out = buffer_over(layer->scratch, layer->scratch_n);
	struct sip_message invite;
	struct sip_client *c;

	invite_client->is_cancelled = true;
	/* RFC 3261 9.1: without a final response in 64*T1 the INVITE is considered cancelled */
	worker_arm(layer->worker, &invite_client->life, 64 * sip_client_t1_ms(invite_client), sip_client_on_life_over);
	if (!reread(invite_client, &invite) || !(c = sip_client_make(layer, SIP_CANCEL))) {
		REFUSED(&layer->worker->counters, REASON_POOL_EXHAUSTED);
		return;
	}
	memcpy(c->minted, invite_client->minted, MINTED_CHARS);
	c->flow = invite_client->flow;
	write_derived(c, &invite, "CANCEL", &invite, &out);
	if (out.overflow || !sip_client_keep(&c->request, &c->request_n, buffer_slice(&out))) {
		pool_give(&layer->clients, c);
		return;
	}
	sip_client_enter_table(c);
	sip_client_start(c);
}

void sip_client_cancel(struct sip_client *c)
{
	if (c->is_cancelled || c->method != SIP_INVITE)
		return;
	c->wants_cancel = true;
	if (c->state == CLIENT_PROCEEDING)
		send_cancel(c);
}

static struct client_ack *find_ack(const struct sip_client *c, struct slice tag)
{
	for (struct client_ack *ack = c->acks; ack; ack = ack->next)
		if (slice_eq(slice_of(ack->text, ack->tag_n), tag))
			return ack;
	return NULL;
}

/* For repetitions of that 2xx.  Without memory nothing is kept: the next one is told again. */
static void keep_ack(struct sip_client *c, struct slice tag, const struct sip_flow *flow, struct slice wire)
{
	struct client_ack *ack;

	if (c->ack_count == ACKS_MAX || find_ack(c, tag) || !(ack = malloc(sizeof(*ack) + tag.n + wire.n)))
		return;
	*ack = (struct client_ack){ .next = c->acks, .flow = *flow, .tag_n = (uint32_t)tag.n, .n = (uint32_t)wire.n };
	if (tag.n)
		memcpy(ack->text, tag.p, tag.n);
	memcpy(ack->text + tag.n, wire.p, wire.n);
	c->acks = ack;
	c->ack_count++;
}

int sip_client_ack(struct sip_client *c, struct slice to_tag, const struct sip_outgoing *ack)
{
	struct sip_layer *layer = c->layer;
	struct buffer wire = buffer_over(layer->scratch, layer->scratch_n);
	struct sip_client branch = { .layer = layer };
	struct sip_target target = ack->target;
	struct sip_flow flow;

	if (sip_target_is_by_name(&target)) { /* to the server that answered */
		target.has_flow = true;
		target.flow = c->flow;
	}
	int err = sip_transport_flow_to(layer, &target, &flow);
	if (err)
		return err;
	minted_make(layer->worker, branch.minted); /* a transaction of its own (RFC 3261 13.2.2.4) */
	sip_client_write(&branch, ack, &flow, &wire);
	assert(!wire.overflow);
	keep_ack(c, to_tag, &flow, buffer_slice(&wire));
	sip_client_transmit(c, &flow, buffer_slice(&wire), false);
	return 0;
}

/* ---- receiving ---- */

/* The event, after which the transaction may be gone: false. */
static bool tell(struct sip_client *c, const struct sip_message *m)
{
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);

	if (c->events && c->events->on_response)
		c->events->on_response(c, m, c->arg);
	return pool_find(&layer->clients, slot, generation) == c;
}

static void stop_repeating(struct sip_client *c)
{
	worker_disarm(c->layer->worker, &c->repeat);
}

static void linger(struct sip_client *c, uint64_t ms)
{
	if (sip_flow_is_stream(&c->flow))
		client_free(c);
	else
		worker_arm(c->layer->worker, &c->life, ms, sip_client_on_life_over);
}

static void on_provisional(struct sip_client *c, const struct sip_message *m)
{
	if (c->state == CLIENT_COMPLETED || c->state == CLIENT_ACCEPTED)
		return;
	if (c->method == SIP_INVITE) {
		stop_repeating(c);
		/* B ends with the first answer; C is not begun again by others, so that it ends */
		if (!c->is_cancelled && c->state == CLIENT_CALLING)
			worker_arm(c->layer->worker, &c->life, RINGING_MS, sip_client_on_life_over);
	}
	c->state = CLIENT_PROCEEDING;
	if (c->wants_cancel && !c->is_cancelled)
		send_cancel(c);
	if (m->status > 100)
		(void)tell(c, m); /* nothing follows that would need it alive */
}

static void on_accepted(struct sip_client *c, const struct sip_message *m)
{
	struct client_ack *ack = NULL;
	struct sip_address to;

	if (c->state == CLIENT_COMPLETED)
		return; /* a 2xx after a failure: a fork that we gave up */
	if (sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to))
		ack = find_ack(c, to.tag);
	if (ack) {
		sip_client_transmit(c, &ack->flow, slice_of(ack->text + ack->tag_n, ack->n), false);
		return;
	}
	stop_repeating(c);
	if (c->state != CLIENT_ACCEPTED) {
		c->state = CLIENT_ACCEPTED;
		free(c->request);
		c->request = NULL;
		worker_arm(c->layer->worker, &c->life, 64 * sip_client_t1_ms(c), sip_client_on_life_over);
	}
	(void)tell(c, m); /* nothing follows that would need it alive */
}

static void on_invite_refused(struct sip_client *c, const struct sip_message *m)
{
	if (c->state == CLIENT_ACCEPTED)
		return;
	acknowledge_failure(c, m);
	if (c->state == CLIENT_COMPLETED || (m->status == 503 && sip_client_send_elsewhere(c)))
		return;
	stop_repeating(c);
	c->state = CLIENT_COMPLETED;
	worker_disarm(c->layer->worker, &c->life);
	if (tell(c, m))
		linger(c, 64 * sip_client_t1_ms(c));
}

static void on_final(struct sip_client *c, const struct sip_message *m)
{
	if (c->state == CLIENT_COMPLETED || (m->status == 503 && sip_client_send_elsewhere(c)))
		return;
	stop_repeating(c);
	c->state = CLIENT_COMPLETED;
	worker_disarm(c->layer->worker, &c->life);
	free(c->request);
	c->request = NULL;
	if (tell(c, m))
		linger(c, SIP_T4_MS);
}

void sip_client_receive(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	const struct sip_header *top = sip_header_first(m, SIP_HDR_VIA);
	struct slice minted, method, rest;
	struct sip_client *c;
	struct sip_via via;
	uint32_t cseq;

	/* RFC 3261 8.1.3.3, 16.7 step 3: a second Via is there exactly when the request was somebody else's */
	if (sip_response_check(m) || !sip_via_decode(top->value, &via, &rest) ||
	    !sip_branch_minted(via.branch, &minted) ||
	    !sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &cseq, &method) ||
	    !(c = find(layer, minted.p, sip_method_of(method))) ||
	    c->is_passed_on != (rest.n > 0 || sip_header_next(m, top))) {
		REFUSED(&layer->worker->counters, REASON_RESPONSE_UNKNOWN);
		return;
	}
	if (c->state == CLIENT_FAILING || c->state == CLIENT_LOCATING)
		return;
	if (m->status < 200)
		on_provisional(c, m);
	else if (c->method != SIP_INVITE)
		on_final(c, m);
	else if (m->status < 300)
		on_accepted(c, m);
	else
		on_invite_refused(c, m);
}

int sip_clients_init(struct sip_layer *layer, size_t chains)
{
	if (chains_init(&layer->clients_by_branch, chains, offsetof(struct sip_client, table_next), client_hash_of, layer) != 0)
		return ENOMEM;
	return pool_init(&layer->clients, "transactions", sizeof(struct sip_client), layer->options->transactions_max);
}

void sip_clients_free(struct sip_layer *layer)
{
	for (uint32_t slot = 0; slot < layer->clients.made; slot++) {
		struct sip_client *c = pool_at(&layer->clients, slot);
		if (!c)
			continue;
		c->events = NULL;
		client_free(c);
	}
	pool_free(&layer->clients);
	chains_free(&layer->clients_by_branch);
}
