#include <assert.h>
#include <stdlib.h>

#include "msrp/room_internal.h"

#define HEAD_EXTRA 256 /* a range, the empty line: more than they can have */

struct room_stream *room_stream_open(struct msrp_connection *c, struct msrp_room_message *m, struct slice head)
{
	size_t head_n = (head.n + 7) & ~(size_t)7;
	struct room_stream *s = calloc(1, sizeof(*s) + head_n + 8 + m->words * sizeof(uint64_t));

	if (!s)
		return NULL;
	s->c = c;
	s->message = m;
	s->next = c->in->range.start;
	s->total = c->in->range.total;
	s->words = m->words;
	s->head_n = head.n;
	memcpy(s->head, head.p, head.n);
	s->opened = (uint64_t *)(((uintptr_t)(s->head + head.n) + 7) & ~(uintptr_t)7);
	LIST_INSERT_HEAD(&m->room->streams, s, link);
	return s;
}

void room_stream_free(struct room_stream *s)
{
	assert(!s->is_open);
	LIST_REMOVE(s, link);
	free(s);
}

/* ---- parts ---- */

static void end_parts(struct room_stream *s, char flag)
{
	struct msrp_room *room = s->message->room;

	ROOM_SET_EACH(slot, s->opened, s->words)
		room_copy_end(room->seats[slot], s, flag);
	room_chunk_end(s->chunk);
	s->chunk = NULL;
	s->is_open = s->must_reopen = false;
	msrp_parser_avoid(s->c->parser, SLICE_EMPTY);
}

/* Names the next part; what its heads have in common goes to *tail, until room_scratch() is used again. */
static bool name_part(struct room_stream *s, struct slice *tail)
{
	struct msrp_room_message *m = s->message;
	struct msrp_endpoint *endpoint = m->room->endpoint;
	struct msrp_byte_range range = { room_message_shifted(m, s->next), MSRP_RANGE_UNKNOWN, room_message_shifted(m, s->total) };
	struct msrp_parser parser;
	struct buffer b;
	size_t used, size, line;

	msrp_parser_init(&parser, &(struct msrp_limits){ s->head_n + 1 });
	if (msrp_parse(&parser, slice_of(s->head, s->head_n), &used) != MSRP_HEAD)
		assert(!"it was a head before");
	size = HEAD_EXTRA + s->head_n;
	char *p = room_scratch(endpoint, size);
	if (!p || room_chunk_open(&s->chunk, m, parser.head.failure_report, s->id) != 0)
		return false;
	b = buffer_over(p, size);
	msrp_write_forward(&b, &parser.head, &(struct msrp_rewrite){
		.transaction_id = slice_of(s->id, MSRP_ID_CHARS),
		.byte_range = &range,
	});
	assert(!b.overflow);
	line = (size_t)((char *)memchr(p, '\n', b.n) + 1 - p);
	*tail = slice_of(p + line, b.n - line);
	return true;
}

static bool copy_to(struct room_stream *s, struct msrp_seat *seat, struct slice tail)
{
	if (!tail.n || !room_copy_chunk(seat, s->id, tail, s))
		return false;
	room_chunk_waits(s->chunk, seat);
	return true;
}

bool room_stream_octets(struct room_stream *s, struct slice octets, size_t n)
{
	struct msrp_room_message *m = s->message;
	struct msrp_room *room = m->room;
	struct slice tail = SLICE_EMPTY;

	if (s->is_open && s->must_reopen)
		end_parts(s, '+');
	if (octets.n && !s->is_open) {
		if (!name_part(s, &tail))
			return false;
		s->is_open = true;
		msrp_parser_avoid(s->c->parser, slice_of(s->id, MSRP_ID_CHARS));
		msrp_count_switched(room->endpoint);
	}
	ROOM_SET_EACH(slot, m->targets, m->words) {
		struct msrp_seat *seat = room->seats[slot];
		if (!octets.n || (!room_set_has(s->opened, s->words, slot) && !copy_to(s, seat, tail)))
			continue;
		room_copy_octets(seat, octets, s);
		room_pace_look(seat);
	}
	if (octets.n && room->tap && room->tap->on_octets)
		room->tap->on_octets(room, m, room_message_shifted(m, s->next) - 1, octets, room->tap_arg);
	s->next += n;
	if (m->octets < s->next - 1)
		m->octets = s->next - 1;
	return true;
}

/* ---- the end ---- */

/* Those whose part was ended before get one of nothing, for the flag. */
static void say_flag(struct room_stream *s, const uint64_t *rest, char flag)
{
	struct msrp_room *room = s->message->room;
	struct slice tail;
	bool is_named = name_part(s, &tail);

	ROOM_SET_EACH(slot, rest, s->words) {
		struct msrp_seat *seat = room->seats[slot];
		if (!is_named) /* he has a message without end, and cannot be told */
			room_drop(seat, REASON_POOL_EXHAUSTED);
		else if (copy_to(s, seat, tail))
			room_copy_end(seat, s, flag);
	}
	room_chunk_end(s->chunk);
	s->chunk = NULL;
}

void room_stream_end(struct room_stream *s, char flag)
{
	const struct msrp_room_message *m = s->message;
	uint64_t rest[MSRP_ROOM_MEMBERS_MAX / 64], any = 0;

	for (unsigned i = 0; i < s->words; i++)
		any |= rest[i] = m->targets[i] & ~s->opened[i];
	if (s->is_open)
		end_parts(s, flag);
	if (any && (flag == '$' || (flag == '#' && m->octets)))
		say_flag(s, rest, flag);
}

void room_streams_leave(struct msrp_seat *seat, const struct msrp_room_message *m)
{
	struct room_stream *s;

	LIST_FOREACH(s, &seat->room->streams, link) {
		if ((!m || s->message == m) && room_set_has(s->opened, s->words, seat->slot))
			room_copy_end(seat, s, '#');
	}
}

void msrp_room_interrupt(struct msrp_connection *writer, struct msrp_connection *out)
{
	struct room_stream *s = writer->in->room_stream;

	room_copy_end(out->writer_leg->seat, s, '+');
	s->must_reopen = true;
}

void msrp_room_abort(struct msrp_connection *c)
{
	struct room_stream *s = c->in->room_stream;
	struct msrp_room_message *m = s->message;

	COUNT(&c->endpoint->worker->counters, msrp_dropped);
	room_stream_end(s, '#');
	room_stream_free(s);
	c->in->room_stream = NULL;
	room_message_end(m, '#');
}
