#include "msrp/switch.h"

#include <assert.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/content.h"
#include "msrp/ending.h"
#include "msrp/leg_internal.h"
#include "msrp/message.h"
#include "msrp/output.h"
#include "msrp/pressure.h"
#include "msrp/refusal.h"
#include "msrp/room_internal.h"
#include "msrp/transaction.h"
#include "msrp/waiting.h"

#define HEAD_EXTRA 256 /* start line, names of the paths, a range: more than they can have */

/* ---- answers ---- */

void msrp_switch_answer(struct msrp_leg *leg, struct slice transaction_id, unsigned status,
	struct slice comment)
{
	struct msrp_connection *c = leg->connection;
	size_t size = 128 + 2 * transaction_id.n + leg->peer_first_n + leg->uri_n + comment.n;
	struct buffer b;
	char *p;

	if (!c || !leg->is_bound || !(p = msrp_output_reserve(c, size, NULL)))
		return;
	b = buffer_over(p, size);
	msrp_write_response(&b, &(struct msrp_response){
		.transaction_id = transaction_id,
		.to_uri = msrp_leg_peer_first(leg),
		.from_uri = msrp_leg_uri_slice(leg),
		.status = status,
		.comment = comment,
	});
	assert(!b.overflow);
	msrp_output_commit(c, b.n);
}

/* The chunk that is coming in cannot be forwarded. */
void msrp_switch_refuse(struct msrp_connection *c, unsigned status, enum reason why)
{
	struct msrp_incoming *in = c->in;
	struct worker *worker = c->endpoint->worker;

	REFUSED(&worker->counters, why);
	COUNT(&worker->counters, msrp_dropped);
	LOG(WARN, worker, "leg", pool_slot(in->leg), "chunk given up status=%u reason=%s", status,
		reason_label(why));
	if (in->is_send && in->failure_report != MSRP_FAILURE_NO && !in->was_answered)
		msrp_switch_answer(in->leg, c->parser->transaction_id, status, SLICE_EMPTY);
	in->way = WAY_SKIP;
	in->leg = NULL;
}

bool msrp_switch_on_response(struct msrp_connection *c)
{
	const struct msrp_head *head = &c->parser->head;
	struct msrp_transaction *part = msrp_transaction_find(c->endpoint, head->transaction_id);

	if (part && !part->from) {
		msrp_room_on_response(c, part->room, head->status);
		return true;
	}
	if (!part || part->to->connection != c)
		return false;
	msrp_transaction_on_response(part, head->status, head->comment);
	return true;
}

/* ---- heads ---- */

const struct msrp_head *msrp_switch_head(struct msrp_connection *c, struct slice text, struct msrp_parser *scratch)
{
	size_t used;

	if (c->in->head_is_parsed)
		return &c->parser->head;
	msrp_parser_init(scratch, &(struct msrp_limits){ text.n + 1 }); /* limits.header_bytes may be lower by now */
	if (msrp_parse(scratch, text, &used) != MSRP_HEAD)
		assert(!"it was a head before");
	return &scratch->head;
}

void msrp_switch_keep_head(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;

	if (in->head_copy)
		return;
	in->head_copy = malloc(in->head.n);
	if (!in->head_copy) {
		msrp_connection_lose(c, REASON_NO_MEMORY);
		return;
	}
	memcpy(in->head_copy, in->head.p, in->head.n);
	in->head.p = in->head_copy;
}

static void forget_head(struct msrp_incoming *in)
{
	free(in->head_copy);
	in->head_copy = NULL;
	in->head = SLICE_EMPTY;
}

/* ---- transactions ---- */

/* Before a chunk that wants an answer: the table of those is bounded. */
static void look_at_outstanding(struct msrp_connection *c, struct msrp_leg *leg)
{
	struct msrp_transaction *oldest;

	if (leg->transaction_count < msrp_transactions_most(c->endpoint))
		return;
	oldest = TAILQ_FIRST(&leg->transactions);
	if (oldest->is_partial) { /* its sender does not wait for it */
		COUNT(&c->endpoint->worker->counters, msrp_dropped);
		msrp_transaction_fail(oldest, 0, SLICE_EMPTY);
	} else if (msrp_connection_is_single(c)) {
		msrp_connection_pause(c, PAUSE_OUTSTANDING);
	}
}

/* NULL with *refused: no transaction is left.  NULL without: the chunk wants no answer. */
static struct msrp_transaction *open_transaction(struct msrp_connection *c, bool *refused)
{
	struct msrp_incoming *in = c->in;
	struct msrp_transaction *t;
	bool is_shared = !msrp_connection_is_single(c);

	*refused = false;
	if (!in->is_send || in->failure_report == MSRP_FAILURE_NO)
		return NULL;
	look_at_outstanding(c, in->leg);
	if (is_shared && in->leg->transaction_count >= msrp_transactions_most(c->endpoint))
		t = NULL;
	else
		t = msrp_transaction_open(in->leg, in->leg->pair, c->parser->transaction_id,
			in->failure_report);
	if (!t) {
		*refused = true;
		msrp_switch_refuse(c, 408, REASON_POOL_EXHAUSTED);
	}
	return t;
}

/* The chunk with the end of a message has gone on. */
static void count_message(struct msrp_connection *c)
{
	if (!c->in->is_send || c->in->is_nickname || c->parser->flag != '$')
		return;
	c->in->leg->messages++;
	COUNT(&c->endpoint->worker->counters, msrp_messages);
}

/* ---- streaming ---- */

static bool name_part(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;

	if (in->transaction)
		return msrp_transaction_add_part(in->transaction, in->id);
	msrp_transaction_make_id(c->endpoint, UINT32_MAX, in->id);
	return true;
}

/* A new outgoing chunk, from in->next on; its end is not known, so it may end anywhere. */
static bool open_part(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg, *far = leg->pair;
	struct msrp_connection *out = far->connection;
	struct msrp_parser scratch;
	const struct msrp_head *head = msrp_switch_head(c, in->head, &scratch);
	struct msrp_byte_range range = { in->next, MSRP_RANGE_UNKNOWN, in->range.total };
	size_t size = HEAD_EXTRA + head->method_name.n + head->lines.n + far->peer_path_n +
		far->uri_n;
	struct buffer b;
	char *p;

	if (!name_part(c) || !(p = msrp_output_reserve(out, size, c)))
		return false;
	b = buffer_over(p, size);
	msrp_write_forward(&b, head, &(struct msrp_rewrite){
		.transaction_id = slice_of(in->id, MSRP_ID_CHARS),
		.to_path = msrp_leg_peer_path(far),
		.from_path = msrp_leg_uri_slice(far),
		.byte_range = &range,
	});
	assert(!b.overflow);
	in->is_out_open = true;
	out->writer = c;
	msrp_output_commit(out, b.n);
	msrp_parser_avoid(c->parser, slice_of(in->id, MSRP_ID_CHARS));
	msrp_count_switched(c->endpoint);
	return true;
}

static void close_part(struct msrp_connection *c, char flag)
{
	struct msrp_incoming *in = c->in;
	struct msrp_connection *out = in->leg->pair->connection;
	char *p = msrp_output_reserve(out, MSRP_END_LINE_MAX, c);

	if (p) {
		struct buffer b = buffer_over(p, MSRP_END_LINE_MAX);
		msrp_write_end_line(&b, slice_of(in->id, MSRP_ID_CHARS), flag, true);
		assert(!b.overflow);
		msrp_output_commit(out, b.n);
	} else {
		out->has_half = true;
	}
	in->is_out_open = false;
	out->writer = NULL;
	msrp_parser_avoid(c->parser, SLICE_EMPTY);
}

void msrp_switch_interrupt(struct msrp_connection *writer, struct msrp_connection *out)
{
	if (writer->in->way == WAY_ROOM)
		msrp_room_interrupt(writer, out);
	else
		close_part(writer, '+');
}

/* No further part can be made. */
static void give_up_stream(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	bool is_far_lost = in->leg->pair->connection->is_lost;

	if (in->transaction)
		msrp_transaction_fail(in->transaction, 0, SLICE_EMPTY);
	forget_head(in);
	msrp_switch_refuse(c, 408, is_far_lost ? REASON_MSRP_LEG_LOST : REASON_POOL_EXHAUSTED);
}

void msrp_switch_give_up(struct msrp_connection *c, unsigned status, enum reason why)
{
	struct msrp_incoming *in = c->in;

	if (in->is_out_open || msrp_message_is_open(in->leg, in->message)) {
		if (in->is_out_open || open_part(c))
			close_part(c, '#');
	}
	msrp_message_remember(in->leg, in->message, '#');
	msrp_message_refuse(in->leg, in->message, status);
	if (in->transaction)
		msrp_transaction_fail(in->transaction, 0, SLICE_EMPTY);
	forget_head(in);
	msrp_switch_refuse(c, status, why);
}

/* More than the message has by its own Byte-Range, or any can have: a part of it could have no valid range. */
static bool is_beyond_total(const struct msrp_incoming *in, size_t n)
{
	uint64_t total = in->range.total == MSRP_RANGE_UNKNOWN ? MSRP_RANGE_MAX : in->range.total;

	return n > total - (in->next - 1);
}

static void stream_octets(struct msrp_connection *c, struct slice octets)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg;

	if (is_beyond_total(in, octets.n)) {
		msrp_switch_give_up(c, 400, REASON_SYNTAX);
		return;
	}
	if (in->is_send && msrp_content_is_beyond(leg, in->next - 1 + octets.n)) {
		msrp_switch_give_up(c, 413, REASON_MSRP_TOO_LARGE);
		return;
	}
	if (octets.n && !in->is_out_open && !open_part(c)) {
		give_up_stream(c);
		return;
	}
	if (octets.n && !msrp_output_write(leg->pair->connection, octets, c))
		return; /* the far leg is lost: that is told at the end of the turn */
	in->next += octets.n;
	leg->octets += octets.n;
	if (c->parser->avoid_found && in->is_out_open)
		close_part(c, '+');
	msrp_pressure_look(c, leg);
}

static void begin_stream(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	bool refused;

	if (!msrp_leg_is_ready(in->leg) || in->leg->waiting.n) {
		msrp_waiting_begin(c, kept);
		return;
	}
	in->transaction = open_transaction(c, &refused);
	if (refused)
		return;
	in->way = WAY_STREAM;
	in->next = in->range.start;
	in->head = slice_of(kept.p, in->head_n);
	stream_octets(c, slice_skip(kept, in->head_n));
}

static void end_stream(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg;
	char flag = c->parser->flag;

	/* One that was interrupted has ended with '+' already; other flags still have to be said.
	 */
	if (!in->is_out_open && flag != '+' && !open_part(c)) {
		give_up_stream(c);
		return;
	}
	if (in->is_out_open)
		close_part(c, flag);
	msrp_message_remember(leg, in->message, flag);
	count_message(c);
	if (in->transaction)
		msrp_transaction_end(in->transaction);
	msrp_pressure_look(c, leg);
}

/* ---- chunks that are forwarded whole ---- */

static bool is_small(const struct msrp_incoming *in)
{
	if (in->range.end == MSRP_RANGE_UNKNOWN || msrp_content_is_beyond(in->leg, in->range.end))
		return false;
	uint64_t announced = in->range.end + 1 - in->range.start;
	return announced <= MSRP_SMALL_CHUNK && in->body_n <= announced;
}

/* The id is made after the content was read, so the content cannot hold it but by chance. */
static void forward_whole(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg, *far = leg->pair;
	struct msrp_connection *out = far->connection;
	struct msrp_parser scratch;
	const struct msrp_head *head = msrp_switch_head(c, kept, &scratch);
	size_t size = HEAD_EXTRA + head->method_name.n + head->lines.n + far->peer_path_n +
		far->uri_n + in->body_n;
	bool refused;
	struct buffer b;
	char *p;

	in->transaction = open_transaction(c, &refused);
	if (refused)
		return;
	/* The first part is the transaction itself, so naming it cannot fail. */
	if (!name_part(c) || !(p = msrp_output_reserve(out, size, NULL)))
		return;
	b = buffer_over(p, size);
	msrp_write_forward(&b, head, &(struct msrp_rewrite){
		.transaction_id = slice_of(in->id, MSRP_ID_CHARS),
		.to_path = msrp_leg_peer_path(far),
		.from_path = msrp_leg_uri_slice(far),
	});
	buffer_put(&b, slice_of(kept.p + in->head_n, in->body_n));
	msrp_write_end_line(&b, slice_of(in->id, MSRP_ID_CHARS), c->parser->flag, head->has_body);
	assert(!b.overflow);
	msrp_output_commit(out, b.n);
	msrp_count_switched(c->endpoint);
	leg->octets += in->body_n;
	if (in->is_send && !in->is_nickname)
		msrp_message_remember(leg, in->message, c->parser->flag);
	count_message(c);
	if (in->transaction)
		msrp_transaction_end(in->transaction);
	msrp_pressure_look(c, leg);
}

/* A SEND that says nothing but who sends it: the first of the active side, or keep-alive. */
static bool is_only_for_us(const struct msrp_connection *c)
{
	const struct msrp_incoming *in = c->in;
	bool is_empty = in->is_send && !in->is_nickname && in->body_n == 0 && !in->has_content_type;

	return is_empty && !msrp_message_is_open(in->leg, in->message) &&
		(c->parser->flag == '$' || !msrp_leg_is_ready(in->leg));
}

static void end_pending(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;

	if (is_only_for_us(c)) {
		if (in->failure_report == MSRP_FAILURE_YES)
			msrp_switch_answer(in->leg, c->parser->transaction_id, 200, SLICE_EMPTY);
	} else if (!msrp_leg_is_ready(in->leg) || in->leg->waiting.n) {
		msrp_waiting_begin(c, kept);
	} else {
		forward_whole(c, kept);
	}
}

/* ---- events ---- */

void msrp_switch_on_head(struct msrp_connection *c, struct msrp_leg *leg, struct slice kept)
{
	const struct msrp_head *head = &c->parser->head;
	/* RFC 7701: to a room here or, where one has said that there is one, to the other side */
	bool is_nickname = head->method == MSRP_METHOD_NICKNAME && (leg->seat || (leg->pair && leg->pair->has_chatroom));
	unsigned status = !is_nickname ? msrp_refusal_of_head(head) : head->fault && !leg->seat ? 400 : 0;

	if (status) {
		struct worker *worker = c->endpoint->worker;
		enum reason why = status == 501 ? REASON_METHOD_UNKNOWN : REASON_SYNTAX;
		REFUSED(&worker->counters, why);
		LOG(WARN, worker, "leg", pool_slot(leg), "refused status=%u reason=%s why=\"%s\"", status,
			reason_label(why), msrp_fault_text(head->fault));
		msrp_connection_answer(c, &c->parser->head, status);
		return;
	}
	if (leg->ends_here) {
		msrp_receiver_on_head(c, leg);
		return;
	}
	if (leg->seat) {
		msrp_room_on_head(c, leg, kept);
		return;
	}
	*c->in = (struct msrp_incoming){
		.way = WAY_PENDING,
		.leg = leg,
		.is_send = head->method == MSRP_METHOD_SEND || is_nickname,
		.is_nickname = is_nickname,
		.has_content_type = head->content_type.n > 0,
		.head_is_parsed = true,
		.failure_report = head->failure_report,
		.message = msrp_message_hash(head->message_id),
		.range = head->byte_range,
		.head_n = kept.n,
	};
	if (c->in->is_send && !is_nickname)
		msrp_refusal_look_at_head(c, kept);
}

void msrp_switch_on_body(struct msrp_connection *c, struct slice kept)
{
	struct slice octets = c->parser->body;

	if (c->in->leg && c->in->leg->seat && c->in->way != WAY_WAIT) {
		msrp_room_on_body(c, kept);
		return;
	}
	switch (c->in->way) {
	case WAY_PENDING:
		c->in->body_n += octets.n;
		if (msrp_refusal_is_none(c, kept) && c->in->body_n && !is_small(c->in))
			begin_stream(c, kept);
		break;
	case WAY_STREAM:
		stream_octets(c, octets);
		break;
	case WAY_WAIT:
		msrp_waiting_add(c, kept);
		break;
	case WAY_RECEIVE:
		msrp_receiver_on_body(c);
		break;
	case WAY_ROOM:
	case WAY_NONE:
	case WAY_SKIP:
	case WAY_FOREIGN:
		break;
	}
}

void msrp_switch_on_end(struct msrp_connection *c, struct slice kept)
{
	switch (c->in->way) {
	case WAY_PENDING:
		if (c->in->leg->seat)
			msrp_room_on_end(c, kept);
		else
			end_pending(c, kept);
		break;
	case WAY_ROOM:
		msrp_room_on_end(c, kept);
		break;
	case WAY_STREAM:
		end_stream(c);
		break;
	case WAY_WAIT:
		msrp_waiting_add(c, kept);
		break;
	case WAY_RECEIVE:
		msrp_receiver_on_end(c);
		break;
	case WAY_NONE:
	case WAY_SKIP:
	case WAY_FOREIGN:
		break;
	}
	forget_head(c->in);
	c->in->way = WAY_NONE;
	c->in->leg = NULL;
	c->in->transaction = NULL;
}

void msrp_switch_abort(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg;

	switch (in->way) {
	case WAY_NONE:
		return;
	case WAY_STREAM:
		COUNT(&c->endpoint->worker->counters, msrp_dropped);
		if (in->is_out_open || (msrp_leg_is_ready(leg) && in->head_copy && open_part(c)))
			close_part(c, '#');
		break;
	case WAY_WAIT:
		leg->waiting.n = in->wait_at;
		break;
	case WAY_ROOM:
		msrp_room_abort(c);
		break;
	case WAY_SKIP:
	case WAY_PENDING:
	case WAY_FOREIGN:
	case WAY_RECEIVE: /* whoever ends it tells its leg */
		break;
	}
	forget_head(in);
	in->way = WAY_SKIP;
	in->leg = NULL;
	in->transaction = NULL;
}

void msrp_switch_far_lost(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;

	if (in->way != WAY_STREAM)
		return;
	COUNT(&c->endpoint->worker->counters, msrp_dropped);
	/* The connection of that leg may live on with other sessions: no chunk stays open there. */
	if (in->is_out_open)
		close_part(c, '#');
	forget_head(in);
	in->way = WAY_SKIP;
	in->leg = NULL;
	in->transaction = NULL;
}
