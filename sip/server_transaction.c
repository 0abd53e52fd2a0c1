/*
 * Server transactions: RFC 3261 17.2 with the Accepted state of RFC 6026.
 *
 *   INVITE      Proceeding -> Completed -> Confirmed -> gone      (300 to 699)
 *               Proceeding -> Accepted -> gone                    (2xx)
 *   all others  Trying -> Proceeding -> Completed -> gone
 *
 * Until the final response the headers that every response repeats are kept (the skeleton); after
 * it only the response itself, for repetitions.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/owner.h"
#include "sip/server_internal.h"
#include "sip/write.h"

/* ---- the tables ---- */

#define KEY_PART_MAX 256 /* of each text in a key, of which there are at most five */

struct key {
	uint64_t hash;
	struct slice text;
};

/* What is long is named by its hash, so that the key has a bound. */
static void put_part(struct buffer *out, const struct sip_layer *layer, struct slice part)
{
	if (part.n <= KEY_PART_MAX)
		buffer_put(out, part);
	else
		buffer_printf(out, "#%zu:%016llx", part.n, (unsigned long long)siphash(&layer->key, part));
}

/* RFC 3261 17.2.3: branch, sent-by and method; without the cookie (RFC 2543) the fields that it names.  And
 * the Call-ID, which says which worker has the transaction: two calls whose client does not mint branches
 * (RFC 4475 3.3.12) are two calls wherever they arrive. */
static bool write_key(struct sip_layer *layer, const struct sip_message *m, enum sip_method method, struct buffer *out,
	struct key *key)
{
	struct sip_via via;

	if (!sip_via_decode(sip_header_value(m, SIP_HDR_VIA), &via, NULL))
		return false;
	put_part(out, layer, via.host);
	buffer_printf(out, ":%u %u ", via.port, (unsigned)method);
	put_part(out, layer, sip_header_value(m, SIP_HDR_CALL_ID));
	buffer_char(out, ' ');
	/* the cookie alone names nothing (RFC 4475 3.2.1) */
	if (slice_starts(via.branch, SLICE(SIP_BRANCH_COOKIE)) && via.branch.n > sizeof(SIP_BRANCH_COOKIE) - 1) {
		put_part(out, layer, via.branch);
	} else {
		struct sip_address from;
		uint32_t number = 0;
		struct slice ignored;
		(void)sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &number, &ignored); /* 0 will do */
		if (sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from))
			put_part(out, layer, from.tag);
		buffer_printf(out, " %u ", number);
		put_part(out, layer, m->uri);
		buffer_char(out, ' ');
		put_part(out, layer, via.whole);
	}
	key->text = buffer_slice(out);
	key->hash = siphash(&layer->key, key->text);
	return !out->overflow;
}

static struct sip_server *find(struct sip_layer *layer, const struct key *key)
{
	for (struct sip_server *s = chains_first(&layer->servers_by_key, key->hash); s; s = s->key_next)
		if (s->key_hash == key->hash && slice_eq(slice_of(s->text, s->key_n), key->text))
			return s;
	return NULL;
}

struct sip_server *server_find_by_tag(struct sip_layer *layer, struct slice tag, uint32_t cseq)
{
	struct sip_server *s = chains_first(&layer->servers_by_tag, siphash(&layer->key, tag));

	for (; s; s = s->tag_next)
		if (s->cseq == cseq && slice_eq(slice_of(s->to_tag, s->to_tag_n), tag))
			return s;
	return NULL;
}

/* RFC 3261 8.2.2.2: From tag, Call-ID and CSeq of a request without To tag. */
static bool merged_hash_of(struct sip_layer *layer, const struct sip_message *m, uint64_t *hash)
{
	struct sip_address to, from;

	if (m->method == SIP_SUBSCRIBE || m->method == SIP_REFER)
		return false; /* of these we are a proxy, who may see them twice: spirals */
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) || to.tag.n ||
	    !sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from))
		return false;
	*hash = siphash(&layer->key, from.tag) * 3 ^ siphash(&layer->key, sip_header_value(m, SIP_HDR_CALL_ID)) ^
		siphash(&layer->key, sip_header_value(m, SIP_HDR_CSEQ)) * 5;
	return true;
}

static bool is_merged(struct sip_layer *layer, uint64_t hash)
{
	for (struct sip_server *s = chains_first(&layer->servers_by_merged, hash); s; s = s->merged_next)
		if (s->merged_hash == hash)
			return true;
	return false;
}

static void server_free(struct sip_server *s)
{
	struct sip_layer *layer = s->layer;
	const struct sip_server_events *events = s->events;

	if (events && events->on_gone)
		events->on_gone(s, s->arg);
	chains_remove(&layer->servers_by_key, s);
	if (s->is_merged_known)
		chains_remove(&layer->servers_by_merged, s);
	if (s->is_tag_known)
		chains_remove(&layer->servers_by_tag, s);
	worker_disarm(layer->worker, &s->repeat);
	worker_disarm(layer->worker, &s->life);
	free(s->text);
	server_reliable_free(s);
	pool_give(&layer->servers, s);
	sip_transactions_gauge(layer);
}

/* ---- answering ---- */

void server_transmit(struct sip_server *s, struct slice wire)
{
	struct sip_transmission t = { .flow = s->flow, .wire = wire, .is_response = true };

	if (sip_flow_is_stream(&s->flow)) {
		sip_flow_get_peer(&s->flow, &t.fallback);
		sip_port_set((struct sockaddr *)&t.fallback, s->answer_port);
	} else {
		sip_port_set(&t.flow.peer.any, s->answer_port);
	}
	sip_transport_send(s->layer, &t);
}

static struct slice stored_response(const struct sip_server *s)
{
	return slice_of(s->text + s->key_n + s->skeleton_n, s->response_n);
}

static void repeat_response(struct sip_server *s)
{
	if (s->response_n == 0)
		return;
	COUNT(&s->layer->worker->counters, sip_tx_retransmissions);
	server_transmit(s, stored_response(s));
}

/* Keeps the response for repetitions; the skeleton only while another response may follow.  Without
 * memory nothing is kept: the client repeats, and is answered by silence until its timer ends. */
void server_store_response(struct sip_server *s, struct slice wire, bool is_final)
{
	uint32_t kept = s->key_n + (is_final ? 0 : s->skeleton_n);
	char *text = malloc(kept + wire.n);

	if (!text)
		return;
	memcpy(text, s->text, kept);
	memcpy(text + kept, wire.p, wire.n);
	free(s->text);
	s->text = text;
	s->skeleton_n = kept - s->key_n;
	s->response_n = (uint32_t)wire.n;
}

/* Via, From, To, Call-ID and CSeq; `to` empty: with our own tag. */
static void put_skeleton(const struct sip_server *s, struct buffer *out, struct slice to)
{
	struct slice rest = slice_of(s->text + s->key_n, s->skeleton_n);

	if (!to.n) {
		buffer_put(out, rest);
		return;
	}
	while (rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		if (slice_eq(slice_cut(line, ':', NULL), SLICE("To"))) {
			sip_write_header(out, "To", to);
		} else {
			buffer_put(out, line);
			buffer_char(out, '\n');
		}
	}
}

struct slice server_compose(struct sip_server *s, const struct sip_reply *reply, struct slice more)
{
	struct buffer out = buffer_over(s->layer->scratch, s->layer->scratch_n);

	sip_write_status_line(&out, reply->status, reply->reason);
	put_skeleton(s, &out, reply->to);
	if (!reply->to.n)
		sip_write_header(&out, "Server", s->layer->options->user_agent);
	buffer_put(&out, more);
	buffer_put(&out, reply->headers);
	sip_write_end(&out, reply->content_type, reply->body);
	assert(!out.overflow); /* all parts are bounded by their callers */
	return buffer_slice(&out);
}

static uint64_t t1(const struct sip_server *s)
{
	return s->layer->options->t1_ms;
}

static void on_life_over(struct timer *timer)
{
	struct sip_server *s = (struct sip_server *)((char *)timer - offsetof(struct sip_server, life));
	struct sip_layer *layer = s->layer;
	uint32_t slot = pool_slot(s), generation = pool_generation(s);

	if (s->state == SERVER_PROCEEDING) {
		server_reliable_timed_out(s);
		return;
	}
	if (s->state == SERVER_ACCEPTED && !s->is_acked) {
		REFUSED(&layer->worker->counters, REASON_TIMEOUT);
		if (s->events && s->events->on_unacked)
			s->events->on_unacked(s, s->arg);
	} else if (s->state == SERVER_COMPLETED && s->method == SIP_INVITE) {
		COUNT(&layer->worker->counters, sip_transaction_timeouts); /* H: no ACK */
	}
	if (pool_find(&layer->servers, slot, generation) == s)
		server_free(s);
}

static void on_repeat(struct timer *timer)
{
	struct sip_server *s = (struct sip_server *)((char *)timer - offsetof(struct sip_server, repeat));

	repeat_response(s);
	s->repeat_ms *= 2;
	if (s->repeat_ms > SIP_T2_MS && s->state != SERVER_PROCEEDING) /* RFC 3262 3: those double without end */
		s->repeat_ms = SIP_T2_MS;
	worker_arm(s->layer->worker, &s->repeat, s->repeat_ms, on_repeat);
}

void server_begin_repeating(struct sip_server *s)
{
	s->repeat_ms = (uint32_t)t1(s);
	worker_arm(s->layer->worker, &s->repeat, s->repeat_ms, on_repeat);
}

void server_wait(struct sip_server *s, uint64_t ms)
{
	worker_arm(s->layer->worker, &s->life, ms, on_life_over);
}

void server_enter_tag_table(struct sip_server *s)
{
	if (s->is_tag_known)
		return;
	chains_add(&s->layer->servers_by_tag, s);
	s->is_tag_known = true;
}

static void accept_invite(struct sip_server *s)
{
	struct sip_layer *layer = s->layer;

	s->state = SERVER_ACCEPTED;
	server_enter_tag_table(s);
	server_begin_repeating(s); /* whatever the transport: RFC 3261 13.3.1.4 */
	worker_arm(layer->worker, &s->life, 64 * t1(s), on_life_over);
}

/* Of a turn there is only one time: what began and ended in it took as long as it did so far. */
static void read_clock(struct worker *worker, struct worker_task *task)
{
	struct sip_layer *layer = (struct sip_layer *)((char *)task - offsetof(struct sip_layer, clock_task));
	uint64_t now_us = worker->ring->ops->now_us(worker->ring);

	histogram_add_n(&worker->counters, HISTOGRAM_sip_transaction,
		now_us > worker->now_us ? now_us - worker->now_us : 0, layer->answered_at_once);
	layer->answered_at_once = 0;
}

static void measure(struct sip_server *s)
{
	struct sip_layer *layer = s->layer;
	struct worker *worker = layer->worker;

	if (s->started_us != worker->now_us) {
		histogram_add(&worker->counters, HISTOGRAM_sip_transaction, worker->now_us - s->started_us);
		return;
	}
	layer->answered_at_once++;
	layer->clock_task.run = read_clock;
	worker_at_turn_end(worker, &layer->clock_task);
}

static void complete(struct sip_server *s, unsigned status)
{
	struct sip_layer *layer = s->layer;
	bool is_stream = sip_flow_is_stream(&s->flow);

	measure(s);
	if (s->method == SIP_INVITE && status < 300) {
		accept_invite(s);
		return;
	}
	s->state = SERVER_COMPLETED;
	if (s->method == SIP_INVITE) {
		if (!is_stream)
			server_begin_repeating(s);
		worker_arm(layer->worker, &s->life, 64 * t1(s), on_life_over);
	} else if (is_stream) { /* timer J is zero: nothing is repeated on a stream */
		server_free(s);
	} else {
		worker_arm(layer->worker, &s->life, 64 * t1(s), on_life_over);
	}
}

void sip_server_respond(struct sip_server *s, const struct sip_reply *reply)
{
	bool is_final = reply->status >= 200;

	assert(s->state == SERVER_TRYING || s->state == SERVER_PROCEEDING);
	if (reply->is_reliable) {
		assert(reply->status > 100 && !is_final);
		server_respond_reliably(s, reply);
		return;
	}
	if (is_final)
		server_reliable_is_over(s);
	struct slice wire = server_compose(s, reply, SLICE_EMPTY);
	s->status = (uint16_t)reply->status;
	server_transmit(s, wire);
	if (s->method == SIP_INVITE || !sip_flow_is_stream(&s->flow) || !is_final)
		server_store_response(s, wire, is_final);
	if (is_final)
		complete(s, reply->status);
	else
		s->state = SERVER_PROCEEDING;
}

void sip_server_refuse(struct sip_server *s, unsigned status, enum reason why)
{
	struct sip_layer *layer = s->layer;
	char text[32];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (status >= 300)
		sip_server_tell_refusal(layer->worker, s, status, why, NULL);
	if (status == 503)
		buffer_printf(&headers, "Retry-After: %u\r\n", layer->options->retry_after_s);
	sip_server_respond(s, &(struct sip_reply){ .status = status, .headers = buffer_slice(&headers) });
}

/* ---- making one ---- */

static bool write_skeleton(struct sip_server *s, const struct sip_message *m, struct buffer *out)
{
	char host_text[INET6_ADDRSTRLEN];
	struct sip_response response = { .status = 200, .to_tag = slice_of(s->to_tag, s->to_tag_n) };

	sip_flow_source(&s->flow, host_text, sizeof(host_text), &response.source.host, &response.source.port);
	sip_write_response(out, m, &response);
	return !out->overflow;
}

static bool keep_text(struct sip_server *s, const struct sip_message *m, const struct key *key)
{
	struct buffer out = buffer_over(s->layer->scratch, s->layer->scratch_n);

	if (!write_skeleton(s, m, &out))
		return false;
	/* the status line is written anew for each response */
	struct slice skeleton = buffer_slice(&out);
	const char *line_end = memchr(skeleton.p, '\n', skeleton.n);
	skeleton = slice_skip(skeleton, (size_t)(line_end - skeleton.p) + 1);
	s->text = malloc(key->text.n + skeleton.n);
	if (!s->text)
		return false;
	memcpy(s->text, key->text.p, key->text.n);
	memcpy(s->text + key->text.n, skeleton.p, skeleton.n);
	s->key_n = (uint32_t)key->text.n;
	s->skeleton_n = (uint32_t)skeleton.n;
	return true;
}

static void set_to_tag(struct sip_server *s, const struct sip_message *m, const struct sip_server *invite)
{
	struct sip_address to;

	if (sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) && to.tag.n) {
		s->had_to_tag = true;
		/* kept for the ACK of a 2xx to a re-INVITE; a tag of ours always fits */
		if (to.tag.n <= sizeof(s->to_tag)) {
			memcpy(s->to_tag, to.tag.p, to.tag.n);
			s->to_tag_n = (uint8_t)to.tag.n;
		}
		return;
	}
	if (invite && invite->to_tag_n) { /* the 200 to a CANCEL has the tag of the INVITE (RFC 3261 9.2) */
		memcpy(s->to_tag, invite->to_tag, invite->to_tag_n);
		s->to_tag_n = invite->to_tag_n;
		return;
	}
	minted_make(s->layer->worker, s->to_tag);
	s->to_tag_n = MINTED_CHARS;
}

static struct sip_server *server_make(struct sip_layer *layer, const struct sip_message *m,
	const struct sip_flow *flow, const struct key *key, const struct sip_server *invite)
{
	struct sip_server *s = pool_take(&layer->servers);
	struct slice method;

	if (!s)
		return NULL;
	s->layer = layer;
	s->flow = *flow;
	s->method = (uint8_t)m->method;
	s->is_private = sip_privacy_is_wanted(m);
	s->state = SERVER_TRYING;
	s->started_us = layer->worker->now_us;
	s->answer_port = sip_answer_port(m, flow);
	(void)sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &s->cseq, &method); /* checked later: 400 */
	set_to_tag(s, m, invite);
	if (!keep_text(s, m, key)) {
		pool_give(&layer->servers, s);
		return NULL;
	}
	s->key_hash = key->hash;
	chains_add(&layer->servers_by_key, s);
	sip_transactions_gauge(layer);
	return s;
}

static void remember_merged(struct sip_server *s, uint64_t hash)
{
	s->merged_hash = hash;
	chains_add(&s->layer->servers_by_merged, s);
	s->is_merged_known = true;
}

/* ---- receiving ---- */

static void on_acked(struct sip_server *s, const struct sip_message *ack)
{
	if (s->is_acked)
		return;
	s->is_acked = true;
	worker_disarm(s->layer->worker, &s->repeat);
	if (s->events && s->events->on_acked)
		s->events->on_acked(s, ack, s->arg);
}

static void confirm(struct sip_server *s)
{
	worker_disarm(s->layer->worker, &s->repeat);
	s->state = SERVER_CONFIRMED;
	if (sip_flow_is_stream(&s->flow))
		server_free(s);
	else
		worker_arm(s->layer->worker, &s->life, SIP_T4_MS, on_life_over);
}

static void receive_ack(struct sip_layer *layer, const struct sip_message *m, struct sip_server *s)
{
	struct sip_address to;
	struct slice method;
	uint32_t cseq;

	if (!s && sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) &&
	    sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &cseq, &method))
		s = server_find_by_tag(layer, to.tag, cseq);
	if (!s) {
		if (!sip_overload_is_acked(layer, m))
			REFUSED(&layer->worker->counters, REASON_DIALOG_UNKNOWN); /* an ACK is never answered */
		return;
	}
	if (s->state == SERVER_ACCEPTED)
		on_acked(s, m);
	else if (s->state == SERVER_COMPLETED)
		confirm(s);
}

static void refuse_checked(struct sip_server *s, const struct sip_check *check)
{
	struct sip_layer *layer = s->layer;

	sip_server_tell_refusal(layer->worker, s, check->status, check->why, check->phrase);
	sip_server_respond(s, &(struct sip_reply){ .status = check->status,
		.reason = check->phrase ? slice_str(check->phrase) : SLICE_EMPTY,
		.headers = slice_of(check->headers, check->headers_n) });
}

static void receive_cancel(struct sip_layer *layer, const struct sip_message *m, struct sip_server *cancel,
	struct sip_server *invite)
{
	struct sip_check check = { .status = 400, .why = REASON_SYNTAX, .phrase = sip_request_check(m) };

	/* of the other checks none: it goes no further than its INVITE went */
	if (check.phrase) {
		refuse_checked(cancel, &check);
		return;
	}
	if (!invite) {
		sip_server_refuse(cancel, 481, REASON_CANCEL_UNKNOWN);
		return;
	}
	sip_server_respond(cancel, &(struct sip_reply){ .status = 200 });
	if (invite->state == SERVER_PROCEEDING && invite->events && invite->events->on_cancel)
		invite->events->on_cancel(invite, invite->arg);
}

static void repeat_of(struct sip_server *s)
{
	COUNT(&s->layer->worker->counters, sip_rx_retransmissions);
	switch ((enum server_state)s->state) {
	case SERVER_TRYING:
	case SERVER_CONFIRMED:
	case SERVER_ACCEPTED: /* RFC 6026 7.1: absorbed; the 2xx is repeated by its timer */
		break;
	case SERVER_PROCEEDING:
	case SERVER_COMPLETED:
		repeat_response(s);
		break;
	}
}

static void begin(struct sip_layer *layer, struct sip_server *s, const struct sip_message *m,
	const struct sip_flow *flow)
{
	struct sip_check check;
	uint64_t merged;

	sip_check_request(layer, m, flow, &check);
	if (check.status) {
		refuse_checked(s, &check);
		return;
	}
	if (merged_hash_of(layer, m, &merged)) {
		if (is_merged(layer, merged)) {
			sip_server_refuse(s, 482, REASON_MERGED);
			return;
		}
		remember_merged(s, merged);
	}
	if (m->method == SIP_INVITE)
		sip_server_respond(s, &(struct sip_reply){ .status = 100 });
	layer->on_request(layer->worker, s, m);
}

void sip_server_receive(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	char key_text[2048], invite_text[2048];
	struct buffer out = buffer_over(key_text, sizeof(key_text)), invite_out = buffer_over(invite_text,
		sizeof(invite_text));
	enum sip_method method = m->method == SIP_ACK ? SIP_INVITE : m->method;
	struct sip_server *s, *invite = NULL;
	struct key key, invite_key;

	if (!write_key(layer, m, method, &out, &key)) {
		sip_transport_answer_bad(layer, m, flow, 400, REASON_SYNTAX); /* an ACK is only counted */
		return;
	}
	s = find(layer, &key);
	if (m->method == SIP_ACK) {
		receive_ack(layer, m, s);
		return;
	}
	if (s) {
		repeat_of(s);
		return;
	}
	if (sip_overload_refuses_datagram(layer, m, flow, key.hash))
		return;
	if (m->method == SIP_CANCEL && write_key(layer, m, SIP_INVITE, &invite_out, &invite_key))
		invite = find(layer, &invite_key);
	s = server_make(layer, m, flow, &key, invite);
	if (!s) {
		sip_transport_answer_bad(layer, m, flow, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (m->method == SIP_CANCEL)
		receive_cancel(layer, m, s, invite);
	else
		begin(layer, s, m, flow);
}

/* ---- what the functions ask ---- */

void sip_server_watch(struct sip_server *s, const struct sip_server_events *events, void *arg)
{
	s->events = events;
	s->arg = arg;
}

const struct sip_flow *sip_server_flow(const struct sip_server *s)
{
	return &s->flow;
}

enum sip_method sip_server_method(const struct sip_server *s)
{
	return s->method;
}

struct slice sip_server_header(const struct sip_server *s, const char *name)
{
	struct slice rest = slice_of(s->text + s->key_n, s->skeleton_n), line, value;

	while (rest.n) {
		line = slice_cut(rest, '\n', &rest);
		if (slice_eq(slice_cut(line, ':', &value), slice_str(name)))
			return slice_trim(value);
	}
	return SLICE_EMPTY;
}

struct slice sip_server_to_tag(struct sip_server *s)
{
	return slice_of(s->to_tag, s->to_tag_n);
}

void sip_servers_free(struct sip_layer *layer)
{
	for (uint32_t slot = 0; slot < layer->servers.made; slot++) {
		struct sip_server *s = pool_at(&layer->servers, slot);
		if (!s)
			continue;
		s->events = NULL;
		server_free(s);
	}
	pool_free(&layer->servers);
	chains_free(&layer->servers_by_key);
	chains_free(&layer->servers_by_tag);
	chains_free(&layer->servers_by_merged);
}

static uint64_t key_hash_of(const void *server, const void *layer)
{
	return ((const struct sip_server *)server)->key_hash;
}

static uint64_t merged_hash_of_server(const void *server, const void *layer)
{
	return ((const struct sip_server *)server)->merged_hash;
}

static uint64_t tag_hash_of(const void *server, const void *layer)
{
	const struct sip_server *s = server;

	return siphash(&((const struct sip_layer *)layer)->key, slice_of(s->to_tag, s->to_tag_n));
}

int sip_servers_init(struct sip_layer *layer, size_t chains)
{
	if (chains_init(&layer->servers_by_key, chains, offsetof(struct sip_server, key_next), key_hash_of, layer) != 0 ||
	    chains_init(&layer->servers_by_tag, chains, offsetof(struct sip_server, tag_next), tag_hash_of, layer) != 0 ||
	    chains_init(&layer->servers_by_merged, chains, offsetof(struct sip_server, merged_next),
		    merged_hash_of_server, layer) != 0)
		return ENOMEM;
	return pool_init(&layer->servers, "transactions", sizeof(struct sip_server), layer->options->transactions_max);
}
