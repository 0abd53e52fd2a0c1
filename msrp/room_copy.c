#include <assert.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/output.h"
#include "msrp/pressure.h"
#include "msrp/room_internal.h"
#include "msrp/switch.h"

enum { PARTS = 8 };

char *room_scratch(struct msrp_endpoint *endpoint, size_t n)
{
	if (n > endpoint->room_scratch_n) {
		char *p = realloc(endpoint->room_scratch, n + n / 2);
		if (!p)
			return NULL;
		endpoint->room_scratch = p;
		endpoint->room_scratch_n = n + n / 2;
	}
	return endpoint->room_scratch;
}

/* ---- who is not bound yet ---- */

static bool keep(struct msrp_seat *seat, const struct slice *parts, unsigned count, size_t n)
{
	struct msrp_endpoint *endpoint = seat->room->endpoint;
	enum reason why = REASON_COUNT;

	if (seat->backlog.n + n > seat->high)
		why = REASON_QUEUE_FULL;
	else if (!msrp_pressure_may_hold(endpoint, n))
		why = REASON_QUEUED_BYTES;
	for (unsigned i = 0; why == REASON_COUNT && i < count; i++) {
		if (msrp_held_append(endpoint, &seat->backlog, parts[i]) != 0)
			why = REASON_NO_MEMORY;
	}
	if (why != REASON_COUNT)
		room_drop(seat, why);
	return why == REASON_COUNT;
}

/* RFC 6714: he calls himself otherwise than his SDP did when this was written.  False: no memory. */
static bool readdress(struct msrp_seat *seat)
{
	struct msrp_endpoint *endpoint = seat->room->endpoint;
	struct slice rest = slice_of(seat->backlog.p, seat->backlog.n), path = msrp_leg_peer_path(seat->leg);
	struct msrp_held other = { 0 };
	struct msrp_parser parser;
	enum msrp_event event;
	size_t used;
	int err = 0;

	msrp_parser_init(&parser, &(struct msrp_limits){ rest.n + 1 });
	while (!err && (event = msrp_parse(&parser, rest, &used)) != MSRP_MORE && event != MSRP_BAD) {
		struct slice octets = slice_of(rest.p, used), to = parser.head.to_path;
		if (event == MSRP_HEAD) {
			err = msrp_held_append(endpoint, &other, slice_of(octets.p, (size_t)(to.p - octets.p)));
			if (!err)
				err = msrp_held_append(endpoint, &other, path);
			octets = slice_skip(octets, (size_t)(to.p + to.n - octets.p));
		}
		if (!err)
			err = msrp_held_append(endpoint, &other, octets);
		rest = slice_skip(rest, used);
	}
	if (!err)
		err = msrp_held_append(endpoint, &other, rest);
	if (err) {
		msrp_held_free(endpoint, &other);
		return false;
	}
	msrp_held_free(endpoint, &seat->backlog);
	seat->backlog = other;
	return true;
}

void room_copy_release(struct msrp_seat *seat)
{
	struct msrp_leg *leg = seat->leg;
	struct msrp_connection *out = leg->connection;

	if (!seat->backlog.n)
		return;
	if (leg->sdp_path_n && !readdress(seat)) {
		room_drop(seat, REASON_NO_MEMORY);
		return;
	}
	if (out->writer)
		msrp_switch_interrupt(out->writer, out);
	if (msrp_output_write(out, slice_of(seat->backlog.p, seat->backlog.n), NULL) && seat->backlog_stream) {
		out->writer = seat->backlog_stream->c;
		out->writer_leg = leg;
	} else if (seat->backlog_stream) {
		room_set_take(seat->backlog_stream->opened, seat->backlog_stream->words, seat->slot);
	}
	seat->backlog_stream = NULL;
	msrp_held_free(seat->room->endpoint, &seat->backlog);
	room_pace_look(seat);
}

/* ---- chunks ---- */

static size_t sum_of(const struct slice parts[PARTS])
{
	size_t n = 0;

	for (unsigned i = 0; i < PARTS; i++)
		n += parts[i].n;
	return n;
}

static bool write_parts(struct msrp_connection *out, const struct slice parts[PARTS], size_t n)
{
	char *p = msrp_output_reserve(out, n, NULL);

	if (!p)
		return false;
	for (unsigned i = 0; i < PARTS; i++) {
		memcpy(p, parts[i].p, parts[i].n);
		p += parts[i].n;
	}
	msrp_output_commit(out, n);
	return true;
}

bool room_copy_chunk(struct msrp_seat *seat, const char id[MSRP_ID_CHARS], struct slice tail, struct room_stream *stream)
{
	struct msrp_leg *leg = seat->leg;
	struct msrp_connection *out = leg->is_bound ? leg->connection : NULL;
	const struct slice parts[PARTS] = {
		SLICE("MSRP "), slice_of(id, MSRP_ID_CHARS), SLICE(" SEND\r\nTo-Path: "), msrp_leg_peer_path(leg),
		SLICE("\r\nFrom-Path: "), msrp_leg_uri_slice(leg), SLICE("\r\n"), tail,
	};

	if (seat->is_dropped || !leg->peer_path)
		return false;
	if (!out && seat->backlog_stream) {
		struct room_stream *other = seat->backlog_stream;
		room_copy_end(seat, other, '+');
		other->must_reopen = true;
	}
	if (!(out ? write_parts(out, parts, sum_of(parts)) : keep(seat, parts, PARTS, sum_of(parts))))
		return false;
	COUNT(&seat->room->endpoint->worker->counters, msrp_room_copies);
	if (stream) {
		room_set_add(stream->opened, seat->slot);
		if (out) {
			out->writer = stream->c;
			out->writer_leg = leg;
		} else {
			seat->backlog_stream = stream;
		}
	}
	return true;
}

bool room_copy_octets(struct msrp_seat *seat, struct slice octets, struct room_stream *stream)
{
	struct msrp_leg *leg = seat->leg;

	if (seat->is_dropped)
		return false;
	if (!leg->is_bound)
		return keep(seat, &octets, 1, octets.n);
	assert(leg->connection->writer == stream->c && leg->connection->writer_leg == leg);
	return msrp_output_write(leg->connection, octets, stream->c);
}

void room_copy_end(struct msrp_seat *seat, struct room_stream *stream, char flag)
{
	struct msrp_leg *leg = seat->leg;
	struct msrp_connection *out = leg->connection;
	char text[MSRP_END_LINE_MAX], *p;
	struct buffer b = buffer_over(text, sizeof(text));

	room_set_take(stream->opened, stream->words, seat->slot);
	msrp_write_end_line(&b, slice_of(stream->id, MSRP_ID_CHARS), flag, true);
	assert(!b.overflow);
	if (seat->backlog_stream == stream) {
		struct slice line = buffer_slice(&b);
		seat->backlog_stream = NULL;
		if (!seat->is_dropped)
			keep(seat, &line, 1, line.n);
		return;
	}
	if (!out || out->writer_leg != leg)
		return;
	if ((p = msrp_output_reserve(out, b.n, stream->c))) {
		memcpy(p, text, b.n);
		msrp_output_commit(out, b.n);
	} else {
		out->has_half = true;
	}
	out->writer = NULL;
	out->writer_leg = NULL;
}
