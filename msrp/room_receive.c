#include <assert.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/content.h"
#include "msrp/message.h"
#include "msrp/room_internal.h"
#include "msrp/switch.h"

#define HEAD_EXTRA 256 /* a range, the empty line: more than they can have */

/* ---- refusals ---- */

static void free_stream(struct msrp_incoming *in)
{
	if (in->room_stream)
		room_stream_free(in->room_stream);
	in->room_stream = NULL;
}

void room_refuse(struct msrp_connection *c, unsigned status, enum reason why)
{
	struct msrp_incoming *in = c->in;
	struct msrp_seat *seat = in->leg->seat;
	struct msrp_room_message *m = room_message_find_open(seat, in->message);

	if (in->room_stream)
		room_stream_end(in->room_stream, '#');
	if (m && in->room_stream)
		room_message_end(m, '#');
	else if (m)
		room_message_cut(m);
	free_stream(in);
	msrp_message_refuse(in->leg, in->message, status);
	msrp_switch_refuse(c, status, why);
}

/* ---- heads ---- */

/* A chunk of a message that has begun. */
static unsigned look_at_next(struct msrp_connection *c, struct msrp_room_message *m, enum reason *why)
{
	struct msrp_incoming *in = c->in;

	/* an empty last chunk says with its flag what there is to say */
	if (!c->parser->head.has_byte_range && !in->has_content_type)
		in->range.start = m->octets + 1;
	*why = REASON_MSRP_RANGE;
	if (m->head_n && in->range.start <= m->head_n)
		return 400;
	if (in->range.total != MSRP_RANGE_UNKNOWN)
		m->total = in->range.total;
	return 0;
}

/* 0, or what the chunk gets, and *why. */
static unsigned look_at_head(struct msrp_connection *c, enum reason *why)
{
	struct msrp_incoming *in = c->in;
	struct msrp_leg *leg = in->leg;
	struct msrp_seat *seat = leg->seat;
	struct msrp_room_message *m = room_message_find_open(seat, in->message);
	unsigned status;

	if (m && m->octets && in->range.start == 1 && in->has_content_type) { /* from the beginning */
		room_message_cut(m);
		m = NULL;
	}
	*why = REASON_MSRP_LEG_LOST;
	if (seat->is_dropped)
		return 408;
	*why = REASON_MSRP_NOT_TAKEN;
	if (!seat->sends && in->has_content_type)
		return 403;
	*why = REASON_MSRP_TOO_LARGE;
	if (msrp_content_is_announced_beyond(leg, &in->range))
		return 413;
	if (m)
		return look_at_next(c, m, why);
	if (in->range.start != 1) {
		status = msrp_message_refused(leg, in->message);
		*why = status ? REASON_MSRP_REFUSED_BEFORE : REASON_MSRP_RANGE;
		return status ? status : 400;
	}
	*why = REASON_MSRP_INTERLEAVED;
	if (seat->open_count == ROOM_OPEN_MESSAGES)
		return 413;
	msrp_message_forgive(leg, in->message);
	in->is_wrapper = room_is_cpim(&c->parser->head);
	return 0;
}

/* RFC 7701 7.1: a quoted string. */
static void on_nickname(struct msrp_connection *c, struct msrp_leg *leg)
{
	const struct msrp_head *head = &c->parser->head;
	struct msrp_room *room = leg->seat->room;
	struct worker *worker = room_worker(room);
	struct slice name = SLICE_EMPTY;
	unsigned status;

	if (!room->events->on_nickname)
		status = 501;
	else if (!msrp_head_find(head, SLICE("Use-Nickname"), &name) || name.n < 2 || name.p[0] != '"' || name.p[name.n - 1] != '"')
		status = 424;
	else
		status = room->events->on_nickname(room, leg, slice_of(name.p + 1, name.n - 2), leg->seat->arg, room->arg);
	if (status >= 300) {
		REFUSED(&worker->counters, REASON_MSRP_NICKNAME);
		LOG(INFO, worker, "leg", pool_slot(leg), "nickname refused status=%u reason=%s", status, reason_label(REASON_MSRP_NICKNAME));
	}
	msrp_connection_answer(c, head, status);
}

void msrp_room_on_head(struct msrp_connection *c, struct msrp_leg *leg, struct slice kept)
{
	const struct msrp_head *head = &c->parser->head;
	enum reason why;
	unsigned status;

	if (head->method == MSRP_METHOD_NICKNAME) {
		on_nickname(c, leg);
		return;
	}
	if (head->method == MSRP_METHOD_REPORT) {
		room_report_on(leg->seat, head);
		return;
	}
	*c->in = (struct msrp_incoming){
		.way = WAY_PENDING,
		.leg = leg,
		.is_send = true,
		.has_content_type = head->content_type.n > 0,
		.head_is_parsed = true,
		.failure_report = head->failure_report,
		.message = msrp_message_hash(head->message_id),
		.range = head->byte_range,
		.head_n = kept.n,
	};
	if ((status = look_at_head(c, &why)))
		room_refuse(c, status, why);
}

/* ---- chunks that are forwarded whole ---- */

/* All that is the same for everybody, behind the start line and the paths. */
static struct slice write_tail(struct msrp_connection *c, const struct msrp_head *head, const struct msrp_room_message *m,
	const char id[MSRP_ID_CHARS], struct slice content)
{
	const struct msrp_incoming *in = c->in;
	bool is_first = m->cpim && in->range.start == 1;
	size_t size = HEAD_EXTRA + head->method_name.n + head->lines.n + content.n + m->cpim_n, line;
	char *p = room_scratch(c->endpoint, size);
	struct msrp_byte_range range = { is_first ? 1 : room_message_shifted(m, in->range.start),
		room_message_shifted(m, in->range.end), room_message_shifted(m, in->range.total) };
	struct buffer b;

	if (!p)
		return SLICE_EMPTY;
	b = buffer_over(p, size);
	msrp_write_forward(&b, head, &(struct msrp_rewrite){
		.transaction_id = slice_of(id, MSRP_ID_CHARS),
		.byte_range = m->head_n ? &range : NULL,
	});
	line = (size_t)((char *)memchr(p, '\n', b.n) + 1 - p);
	if (is_first) {
		buffer_put(&b, slice_of(m->cpim, m->cpim_n));
		content = slice_skip(content, m->head_n);
	}
	buffer_put(&b, content);
	msrp_write_end_line(&b, slice_of(id, MSRP_ID_CHARS), c->parser->flag, head->has_body);
	assert(!b.overflow);
	return slice_of(p + line, b.n - line);
}

static void copy_whole(struct msrp_room_message *m, struct room_chunk *chunk, const char id[MSRP_ID_CHARS], struct slice tail)
{
	struct msrp_room *room = m->room;

	ROOM_SET_EACH(slot, m->targets, m->words) {
		struct msrp_seat *seat = room->seats[slot];
		if (!room_copy_chunk(seat, id, tail, NULL))
			continue;
		room_chunk_waits(chunk, seat);
		room_pace_look(seat);
	}
	room_chunk_end(chunk);
	msrp_count_switched(room->endpoint);
}

static void tell_tap(struct msrp_room_message *m, uint64_t start, struct slice content)
{
	struct msrp_room *room = m->room;

	if (!room->tap || !room->tap->on_octets)
		return;
	if (m->cpim && start == 1) {
		room->tap->on_octets(room, m, 0, slice_of(m->cpim, m->cpim_n), room->tap_arg);
		content = slice_skip(content, m->head_n);
		start = m->head_n + 1;
	}
	if (content.n)
		room->tap->on_octets(room, m, room_message_shifted(m, start) - 1, content, room->tap_arg);
}

/* The chunk that is answered and done with. */
static void conclude(struct msrp_connection *c, struct msrp_room_message *m)
{
	struct msrp_leg *leg = c->in->leg;
	char flag = c->parser->flag;

	if (c->in->failure_report == MSRP_FAILURE_YES)
		msrp_switch_answer(leg, c->parser->transaction_id, 200, SLICE_EMPTY);
	if (flag != '+')
		room_message_end(m, flag);
	room_pace_sender(leg->seat);
}

static void send_whole(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	struct slice content = slice_of(kept.p + in->head_n, in->body_n), tail;
	struct msrp_room_message *m = room_message_of(c, kept, content);
	struct msrp_parser scratch;
	struct room_chunk *chunk;
	char id[MSRP_ID_CHARS];
	uint64_t end = in->range.start - 1 + in->body_n;

	if (!m)
		return;
	if (room_chunk_open(&chunk, m, in->failure_report, id) != 0) {
		room_refuse(c, 408, REASON_POOL_EXHAUSTED);
		return;
	}
	tail = write_tail(c, msrp_switch_head(c, slice_of(kept.p, in->head_n), &scratch), m, id, content);
	if (!tail.n) {
		room_chunk_end(chunk);
		room_refuse(c, 408, REASON_NO_MEMORY);
		return;
	}
	copy_whole(m, chunk, id, tail);
	tell_tap(m, in->range.start, content);
	in->leg->octets += in->body_n;
	if (m->octets < end)
		m->octets = end;
	conclude(c, m);
}

/* It says nothing but who sends it: the first of the active side, or keep-alive. */
static void end_pending(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;

	if (in->body_n || in->has_content_type || room_message_find_open(in->leg->seat, in->message))
		send_whole(c, kept);
	else if (in->failure_report == MSRP_FAILURE_YES)
		msrp_switch_answer(in->leg, c->parser->transaction_id, 200, SLICE_EMPTY);
}

/* ---- chunks that go on as they come ---- */

static void stream_octets(struct msrp_connection *c, struct slice octets)
{
	struct msrp_incoming *in = c->in;
	struct room_stream *s = in->room_stream;
	struct msrp_leg *leg = in->leg;
	uint64_t total = s->total == MSRP_RANGE_UNKNOWN ? MSRP_RANGE_MAX : s->total;

	if (octets.n > total - (s->next - 1)) {
		room_refuse(c, 400, REASON_SYNTAX);
		return;
	}
	if (msrp_content_is_beyond(leg, s->next - 1 + octets.n)) {
		room_refuse(c, 413, REASON_MSRP_TOO_LARGE);
		return;
	}
	if (!room_stream_octets(s, octets, octets.n)) {
		room_refuse(c, 408, REASON_POOL_EXHAUSTED);
		return;
	}
	leg->octets += octets.n;
	if (c->parser->avoid_found)
		s->must_reopen = true;
	room_pace_sender(leg->seat);
}

static void begin_stream(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	struct slice content = slice_skip(kept, in->head_n);
	struct msrp_room_message *m = room_message_of(c, kept, content);

	if (!m)
		return;
	in->room_stream = room_stream_open(c, m, slice_of(kept.p, in->head_n));
	if (!in->room_stream) {
		room_refuse(c, 408, REASON_NO_MEMORY);
		return;
	}
	in->way = WAY_ROOM;
	if (m->cpim && in->range.start == 1) {
		if (!room_stream_octets(in->room_stream, slice_of(m->cpim, m->cpim_n), m->head_n)) {
			room_refuse(c, 408, REASON_POOL_EXHAUSTED);
			return;
		}
		in->leg->octets += m->head_n;
		content = slice_skip(content, m->head_n);
	}
	stream_octets(c, content);
}

static void end_stream(struct msrp_connection *c)
{
	struct msrp_incoming *in = c->in;
	struct msrp_room_message *m = in->room_stream->message;

	room_stream_end(in->room_stream, c->parser->flag);
	free_stream(in);
	conclude(c, m);
}

/* ---- what follows a head ---- */

static bool is_small(const struct msrp_incoming *in)
{
	if (in->range.end == MSRP_RANGE_UNKNOWN)
		return false;
	uint64_t announced = in->range.end + 1 - in->range.start;
	return announced <= MSRP_SMALL_CHUNK && in->body_n <= announced;
}

void msrp_room_on_body(struct msrp_connection *c, struct slice kept)
{
	struct msrp_incoming *in = c->in;
	struct slice octets = c->parser->body;

	if (in->way == WAY_ROOM) {
		stream_octets(c, octets);
		return;
	}
	in->body_n += octets.n;
	if (octets.n && !in->has_content_type) { /* RFC 4975 7.1: it has to be there then */
		room_refuse(c, 400, REASON_SYNTAX);
		return;
	}
	if (in->is_wrapper && in->body_n < MSRP_ROOM_SHOWN_MAX && !room_cpim_head(slice_skip(kept, in->head_n)))
		return;
	if (in->body_n && !is_small(in))
		begin_stream(c, kept);
}

void msrp_room_on_end(struct msrp_connection *c, struct slice kept)
{
	if (c->in->way == WAY_ROOM)
		end_stream(c);
	else
		end_pending(c, kept);
}
