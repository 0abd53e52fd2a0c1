#include "msrp/receiver.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/content.h"
#include "msrp/ending.h"
#include "msrp/message.h"
#include "msrp/output.h"
#include "msrp/pressure.h"
#include "msrp/switch.h"
#include "msrp/transaction.h"

enum state {
	NONE,  /* between messages                                  */
	OPEN,  /* its last octet has not come                       */
	ENDED, /* it has; what is before the last piece is handed on */
	WHOLE, /* on_whole() was told: the owner has the word       */
};

struct msrp_receiver {
	const struct msrp_receiver_events *events;
	void *arg;
	uint64_t size, max_octets;
	enum state state;
	/* ---- of the message ---- */
	uint64_t message;       /* hash of its Message-ID                             */
	uint64_t next;          /* octets that came                                   */
	uint64_t handed;        /* of these, octets that the owner was given          */
	uint64_t total;         /* as its chunks say                                  */
	struct msrp_held held;  /* what he was not given yet, from `at` on            */
	size_t at;
	bool wants_report, is_handing;
	enum msrp_failure_report failure_report; /* of its last chunk, which has no answer yet */
	uint8_t id_n, message_id_n;
	char id[MSRP_TRANSACTION_ID_MAX]; /* likewise */
	char message_id[MSRP_MESSAGE_ID_MAX];
	/* ---- of the leg ---- */
	unsigned in_flight;     /* pieces that the owner has not taken                */
	size_t types_n;
	char types[];
};

/* ---- attaching ---- */

int msrp_receiver_attach(struct msrp_leg *leg, const struct msrp_receiver_options *options,
	const struct msrp_receiver_events *events, void *arg)
{
	struct msrp_receiver *r = calloc(1, sizeof(*r) + options->types.n);

	assert(!leg->receiver && !leg->pair && !leg->waiting.n);
	if (!r)
		return ENOMEM;
	r->events = events;
	r->arg = arg;
	r->size = options->size;
	r->max_octets = options->max_octets;
	r->types_n = options->types.n;
	if (r->types_n)
		memcpy(r->types, options->types.p, r->types_n);
	leg->receiver = r;
	leg->ends_here = true;
	return 0;
}

bool msrp_receiver_is_open(const struct msrp_leg *leg)
{
	return leg->receiver && leg->receiver->state != NONE;
}

/* ---- the end of a message ---- */

/* Between messages again.  What is being handed on stays until that has returned. */
static void forget_message(struct msrp_leg *leg)
{
	struct msrp_receiver *r = leg->receiver;

	r->state = NONE;
	if (!r->is_handing) {
		msrp_held_free(leg->endpoint, &r->held);
		r->at = 0;
	}
	if (leg->connection)
		msrp_connection_resume(leg->connection, PAUSE_FAR_FULL);
}

static void abort_message(struct msrp_leg *leg, enum reason why)
{
	struct msrp_receiver *r = leg->receiver;

	forget_message(leg);
	if (r->events->on_aborted)
		r->events->on_aborted(leg, why, r->arg);
}

/* The chunk that is coming in, and with it its message if that has begun. */
static void refuse(struct msrp_connection *c, unsigned status, enum reason why)
{
	struct msrp_leg *leg = c->in->leg;
	struct msrp_receiver *r = leg->receiver;
	bool is_open = r && r->state == OPEN && r->message == c->in->message;

	msrp_message_refuse(leg, c->in->message, status);
	msrp_switch_refuse(c, status, why);
	if (is_open)
		abort_message(leg, why);
}

void msrp_receiver_lost(struct msrp_leg *leg)
{
	enum state state = leg->receiver->state;

	if (state == OPEN || state == ENDED) /* a whole one is still concluded, though nobody hears of it */
		abort_message(leg, REASON_MSRP_LEG_LOST);
}

void msrp_receiver_free(struct msrp_leg *leg)
{
	if (!leg->receiver)
		return;
	msrp_held_free(leg->endpoint, &leg->receiver->held);
	free(leg->receiver);
	leg->receiver = NULL;
}

/* ---- answers ---- */

static void answer(struct msrp_leg *leg, struct slice id, enum msrp_failure_report wish, unsigned status)
{
	if (wish == MSRP_FAILURE_YES || (wish == MSRP_FAILURE_PARTIAL && status >= 300))
		msrp_switch_answer(leg, id, status, SLICE_EMPTY);
}

/* RFC 4975 7.1.2. */
static void report(struct msrp_leg *leg)
{
	const struct msrp_receiver *r = leg->receiver;
	size_t size = 256 + leg->peer_path_n + leg->uri_n + r->message_id_n;
	struct msrp_connection *c = leg->connection;
	char id[MSRP_ID_CHARS];
	struct buffer b;
	char *p;

	if (!c || !leg->is_bound || !(p = msrp_output_reserve(c, size, NULL)))
		return;
	msrp_transaction_make_id(leg->endpoint, UINT32_MAX, id);
	b = buffer_over(p, size);
	msrp_write_report(&b, &(struct msrp_report){
		.transaction_id = slice_of(id, sizeof(id)),
		.to_path = msrp_leg_peer_path(leg),
		.from_path = msrp_leg_uri_slice(leg),
		.message_id = slice_of(r->message_id, r->message_id_n),
		.byte_range = { 1, r->next, r->next },
		.status = 200,
	});
	assert(!b.overflow);
	msrp_output_commit(c, b.n);
}

void msrp_receiver_conclude(struct msrp_leg *leg, unsigned status)
{
	struct msrp_receiver *r = leg->receiver;

	assert(r->state == WHOLE);
	answer(leg, slice_of(r->id, r->id_n), r->failure_report, status);
	if (status < 300) {
		if (r->wants_report)
			report(leg);
		leg->messages++;
		COUNT(&leg->endpoint->worker->counters, msrp_messages_received);
	} else {
		msrp_message_refuse(leg, r->message, status);
	}
	forget_message(leg);
}

void msrp_receiver_refuse(struct msrp_leg *leg, unsigned status, enum reason why)
{
	struct msrp_receiver *r = leg->receiver;
	struct msrp_connection *c = leg->connection;

	if (r->state == NONE)
		return;
	msrp_message_refuse(leg, r->message, status);
	if (r->state == OPEN && c && c->in->leg == leg && c->in->way == WAY_RECEIVE && c->in->message == r->message) {
		msrp_switch_refuse(c, status, why);
	} else { /* between two chunks, or behind the last one, which waits for an answer */
		REFUSED(&leg->endpoint->worker->counters, why);
		LOG(WARN, leg->endpoint->worker, "leg", pool_slot(leg), "message given up status=%u reason=%s", status,
			reason_label(why));
		if (r->state != OPEN)
			answer(leg, slice_of(r->id, r->id_n), r->failure_report, status);
	}
	forget_message(leg);
}

/* ---- handing on ---- */

static size_t waiting_n(const struct msrp_receiver *r)
{
	return r->held.n - r->at;
}

static bool may_hand(const struct msrp_receiver *r)
{
	return (r->state == OPEN || r->state == ENDED) && r->in_flight < MSRP_PIECES_IN_FLIGHT;
}

static void hand_piece(struct msrp_leg *leg, struct slice octets)
{
	struct msrp_receiver *r = leg->receiver;
	uint64_t offset = r->handed;

	r->handed += octets.n;
	r->in_flight++;
	r->events->on_piece(leg, offset, octets, r->arg);
}

static void hand_last(struct msrp_leg *leg)
{
	struct msrp_receiver *r = leg->receiver;
	struct slice last = slice_of(r->held.p ? r->held.p + r->at : "", waiting_n(r));

	r->state = WHOLE;
	r->events->on_whole(leg, r->handed, last, r->arg);
}

/* All that may go now.  The owner may say anything meanwhile: it is heard when he returns. */
static void hand_on(struct msrp_leg *leg)
{
	struct msrp_receiver *r = leg->receiver;

	if (r->is_handing)
		return;
	r->is_handing = true;
	while (may_hand(r) && waiting_n(r) >= MSRP_PIECE_MAX + (size_t)(r->state == ENDED)) {
		struct slice piece = slice_of(r->held.p + r->at, MSRP_PIECE_MAX);
		r->at += MSRP_PIECE_MAX;
		hand_piece(leg, piece);
	}
	if (may_hand(r) && r->state == ENDED)
		hand_last(leg);
	r->is_handing = false;
	if (r->state == NONE || r->state == WHOLE || waiting_n(r) == 0) {
		msrp_held_free(leg->endpoint, &r->held);
		r->at = 0;
	}
}

void msrp_receiver_taken(struct msrp_leg *leg)
{
	struct msrp_receiver *r = leg->receiver;

	assert(r->in_flight);
	r->in_flight--;
	hand_on(leg);
	if (leg->connection && waiting_n(r) < MSRP_PIECE_MAX)
		msrp_connection_resume(leg->connection, PAUSE_FAR_FULL);
}

/* ---- content ---- */

/* What forbids that so much more waits for the owner; REASON_COUNT: nothing. */
static enum reason what_forbids(const struct msrp_connection *c, const struct msrp_receiver *r, size_t n)
{
	size_t most = MSRP_PIECE_MAX + c->endpoint->options->limits.leg_high;

	if (msrp_connection_is_single(c)) /* not read any more: this is what was read already */
		most = MSRP_HELD_MAX;
	if (!msrp_pressure_may_hold(c->endpoint, n))
		return REASON_QUEUED_BYTES;
	return n > most || waiting_n(r) > most - n ? REASON_QUEUE_FULL : REASON_COUNT;
}

static bool keep(struct msrp_connection *c, struct slice octets)
{
	struct msrp_receiver *r = c->in->leg->receiver;
	enum reason why = what_forbids(c, r, octets.n);

	if (r->at > r->held.n / 2) {
		msrp_held_drop(c->endpoint, &r->held, r->at);
		r->at = 0;
	}
	if (why == REASON_COUNT && msrp_held_append(c->endpoint, &r->held, octets) != 0)
		why = REASON_NO_MEMORY;
	if (why != REASON_COUNT)
		refuse(c, 408, why);
	return why == REASON_COUNT;
}

/* A piece that is there in one is handed on where it is. */
static void take(struct msrp_connection *c, struct slice octets)
{
	struct msrp_leg *leg = c->in->leg;
	struct msrp_receiver *r = leg->receiver;

	while (octets.n && r->state == OPEN) {
		size_t waiting = waiting_n(r), n = octets.n;
		if (may_hand(r) && n >= MSRP_PIECE_MAX - waiting)
			n = MSRP_PIECE_MAX - waiting;
		if (may_hand(r) && n == MSRP_PIECE_MAX)
			hand_piece(leg, slice_of(octets.p, n));
		else if (keep(c, slice_of(octets.p, n)))
			hand_on(leg);
		octets = slice_skip(octets, n);
	}
	if (r->state == OPEN && waiting_n(r) >= MSRP_PIECE_MAX && msrp_connection_is_single(c)) {
		if (!(c->pauses & PAUSE_FAR_FULL))
			COUNT(&c->endpoint->worker->counters, msrp_rx_paused);
		msrp_connection_pause(c, PAUSE_FAR_FULL);
	}
}

static bool is_beyond(const struct msrp_leg *leg, uint64_t octet)
{
	const struct msrp_receiver *r = leg->receiver;

	return (r->size && octet > r->size) || (r->max_octets && octet > r->max_octets) ||
	       msrp_content_is_beyond(leg, octet);
}

/* ---- heads ---- */

static bool is_announced_beyond(const struct msrp_leg *leg, const struct msrp_byte_range *range)
{
	return (range->total != MSRP_RANGE_UNKNOWN && is_beyond(leg, range->total)) ||
	       (range->end != MSRP_RANGE_UNKNOWN && is_beyond(leg, range->end)) || is_beyond(leg, range->start - 1);
}

static bool is_taken(const struct msrp_receiver *r, struct slice content_type)
{
	return !r->types_n || msrp_accept_find(slice_of(r->types, r->types_n), msrp_accept_type(content_type)).n;
}

static unsigned begin_message(struct msrp_connection *c, enum reason *why)
{
	const struct msrp_head *head = &c->parser->head;
	struct msrp_leg *leg = c->in->leg;
	struct msrp_receiver *r = leg->receiver;
	unsigned status;

	if (r->state != NONE) {
		*why = REASON_MSRP_INTERLEAVED;
		return 413;
	}
	msrp_message_forgive(leg, c->in->message);
	status = r->events->on_message ? r->events->on_message(leg, head, why, r->arg) : 0;
	if (status)
		return status;
	r->state = OPEN;
	r->message = c->in->message;
	r->next = r->handed = 0;
	r->total = head->byte_range.total;
	r->wants_report = head->success_report;
	r->message_id_n = (uint8_t)head->message_id.n;
	memcpy(r->message_id, head->message_id.p, head->message_id.n);
	return 0;
}

static bool continues(struct msrp_receiver *r, const struct msrp_byte_range *range)
{
	if (range->start != r->next + 1 || (range->total != MSRP_RANGE_UNKNOWN && range->total < r->next))
		return false;
	if (r->total == MSRP_RANGE_UNKNOWN)
		r->total = range->total;
	return range->total == MSRP_RANGE_UNKNOWN || range->total == r->total;
}

/* 0, or what the chunk gets, and *why. */
static unsigned look_at_head(struct msrp_connection *c, enum reason *why)
{
	const struct msrp_head *head = &c->parser->head;
	struct msrp_leg *leg = c->in->leg;
	struct msrp_receiver *r = leg->receiver;
	bool is_open = r && r->state == OPEN && r->message == c->in->message;
	unsigned status;

	*why = REASON_MSRP_NOT_TAKEN;
	if (!r)
		return 403;
	if (!is_open && c->in->range.start != 1) {
		status = msrp_message_refused(leg, c->in->message);
		*why = status ? REASON_MSRP_REFUSED_BEFORE : REASON_MSRP_RANGE;
		return status ? status : 400;
	}
	*why = REASON_MSRP_TOO_LARGE;
	if (is_announced_beyond(leg, &c->in->range))
		return 413;
	*why = REASON_MSRP_CONTENT_TYPE;
	if (head->content_type.n && !is_taken(r, head->content_type))
		return 415;
	if (!is_open)
		return begin_message(c, why);
	*why = REASON_MSRP_RANGE;
	return continues(r, &c->in->range) ? 0 : 400;
}

/* No content, and no word about a message that has begun: the first of the active side, or keep-alive. */
static bool is_nothing(const struct msrp_connection *c)
{
	const struct msrp_receiver *r = c->in->leg->receiver;

	return !c->in->has_content_type && c->in->range.start == 1 &&
	       !(r && r->state == OPEN && r->message == c->in->message);
}

void msrp_receiver_on_head(struct msrp_connection *c, struct msrp_leg *leg)
{
	const struct msrp_head *head = &c->parser->head;
	enum reason why;
	unsigned status;

	if (head->method != MSRP_METHOD_SEND) { /* a REPORT: never answered */
		if (!msrp_sender_on_report(leg, head))
			COUNT(&c->endpoint->worker->counters, msrp_stray_reports);
		return;
	}
	*c->in = (struct msrp_incoming){
		.way = WAY_RECEIVE,
		.leg = leg,
		.is_send = true,
		.has_content_type = head->content_type.n > 0,
		.failure_report = head->failure_report,
		.message = msrp_message_hash(head->message_id),
		.range = head->byte_range,
	};
	c->in->is_nothing = is_nothing(c);
	if (!c->in->is_nothing && (status = look_at_head(c, &why)))
		refuse(c, status, why);
}

/* ---- what follows ---- */

void msrp_receiver_on_body(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	struct msrp_receiver *r = in->leg->receiver;
	struct slice octets = c->parser->body;
	uint64_t end;

	if (octets.n == 0)
		return;
	if (!in->has_content_type) { /* RFC 4975 7.1: it has to be there then */
		refuse(c, 400, REASON_SYNTAX);
		return;
	}
	end = r->next + octets.n;
	if (is_beyond(in->leg, end)) {
		refuse(c, 413, REASON_MSRP_TOO_LARGE);
	} else if (end > in->range.end || end > r->total || end > MSRP_RANGE_MAX) { /* unknown ones are the largest */
		refuse(c, 400, REASON_MSRP_RANGE);
	} else {
		r->next = end;
		in->leg->octets += octets.n;
		take(c, octets);
	}
}

/* All of it is here: its answer waits for the owner. */
static void end_message(struct msrp_connection *c)
{
	struct msrp_leg *leg = c->in->leg;
	struct msrp_receiver *r = leg->receiver;
	struct slice id = c->parser->transaction_id;

	if ((r->total != MSRP_RANGE_UNKNOWN && r->next != r->total) || (r->size && r->next != r->size)) {
		refuse(c, 400, REASON_MSRP_RANGE);
		return;
	}
	r->failure_report = c->in->failure_report;
	r->id_n = (uint8_t)id.n;
	memcpy(r->id, id.p, r->id_n);
	r->state = ENDED;
	hand_on(leg);
}

void msrp_receiver_on_end(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	char flag = c->parser->flag;

	if (in->is_nothing || flag != '$')
		answer(in->leg, c->parser->transaction_id, in->failure_report, 200);
	if (in->is_nothing)
		return;
	if (flag == '$')
		end_message(c);
	else if (flag == '#')
		abort_message(in->leg, REASON_MSRP_ABORTED);
}
