#include <stddef.h>

#include "msrp/connection.h"
#include "msrp/output.h"
#include "msrp/room_internal.h"

/* Of `receivers` the one who sends now is none. */
static bool most_are_behind(const struct msrp_room *room)
{
	return room->behind * 2 + 1 > room->receivers;
}

static size_t high_of(const struct msrp_seat *seat)
{
	unsigned sessions = seat->leg->connection->leg_count;

	return seat->high * (sessions ? sessions : 1);
}

/* Above that somebody is slow. */
static size_t mark_of(const struct msrp_seat *seat)
{
	size_t high = high_of(seat), low = seat->room->endpoint->options->limits.leg_low;

	if (high / 2 > low)
		return high / 2;
	return low < high ? low : high;
}

static void drop(struct msrp_seat *seat, size_t queued)
{
	LOG(WARN, room_worker(seat->room), "leg", pool_slot(seat->leg), "member dropped queued=%zu reason=%s", queued,
		reason_label(REASON_QUEUE_FULL));
	room_drop(seat, REASON_QUEUE_FULL);
}

void room_pace_look(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;
	struct msrp_connection *c = seat->leg->connection;
	size_t queued, high;

	if (!seat->leg->is_bound || seat->is_dropped || (queued = msrp_output_queued(c)) <= mark_of(seat))
		return;
	c->holds_senders = true;
	if (!seat->is_behind && seat->receives) {
		seat->is_behind = true;
		seat->seen = queued;
		room->behind++;
	}
	high = high_of(seat);
	if (queued > high && (!most_are_behind(room) || queued > high * ROOM_HIGH_MAX))
		drop(seat, queued);
}

/* Nobody waits for ever: who takes nothing at all in that time goes. */
static void on_pace(struct timer *timer)
{
	struct msrp_room *room = (struct msrp_room *)((char *)timer - offsetof(struct msrp_room, pace));

	if (!room->holds_back)
		return;
	for (unsigned i = 0; i < room->slots; i++) {
		struct msrp_seat *seat = room->seats[i];
		size_t queued;
		if (!seat || !seat->is_behind || !seat->leg->connection)
			continue;
		queued = msrp_output_queued(seat->leg->connection);
		if (queued >= seat->seen)
			drop(seat, queued);
		seat->seen = queued;
	}
	worker_arm(room_worker(room), &room->pace, room->endpoint->options->limits.chunk_stall_ms, on_pace);
}

void room_pace_sender(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;
	struct msrp_connection *c = seat->leg->connection;

	if ((!room->behind && !room->is_held) || !c)
		return;
	seat->is_held_back = room->holds_back = true;
	if (!c->is_slowed) { /* one receive at a time: a multishot may bring much more after it is cancelled */
		c->is_slowed = true;
		msrp_connection_set_receive(c);
	}
	if (!(most_are_behind(room) || room->is_held) || !msrp_connection_is_single(c))
		return;
	if (!(c->pauses & PAUSE_FAR_FULL))
		COUNT(&room->endpoint->worker->counters, msrp_rx_paused);
	msrp_connection_pause(c, PAUSE_FAR_FULL);
	if (!timer_is_armed(&room->pace))
		worker_arm(room_worker(room), &room->pace, room->endpoint->options->limits.chunk_stall_ms, on_pace);
}

static void let_go_on(struct msrp_seat *seat)
{
	struct msrp_connection *c = seat->leg->connection;

	seat->is_held_back = false;
	if (!c)
		return;
	c->is_slowed = false;
	msrp_connection_resume(c, PAUSE_FAR_FULL);
	msrp_connection_set_receive(c);
}

void room_pace_go_on(struct msrp_room *room)
{
	if (!room->holds_back || room->is_held || (room->behind && most_are_behind(room)))
		return;
	room->holds_back = false;
	worker_disarm(room_worker(room), &room->pace);
	for (unsigned i = 0; i < room->slots; i++) {
		if (room->seats[i] && room->seats[i]->is_held_back)
			let_go_on(room->seats[i]);
	}
}

void room_pace_forget(struct msrp_seat *seat)
{
	if (seat->is_held_back)
		let_go_on(seat);
	if (!seat->is_behind)
		return;
	seat->is_behind = false;
	seat->room->behind--;
}

void msrp_room_on_drained(struct msrp_leg *leg)
{
	struct msrp_seat *seat = leg->seat;

	if (seat->is_behind) {
		seat->is_behind = false;
		seat->room->behind--;
	}
	room_pace_go_on(seat->room);
}
