#include "msrp/room.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/leg_internal.h"
#include "msrp/output.h"
#include "msrp/room_report.h"
#include "msrp/switch.h"

#define SLOTS_FIRST 8

/* ---- a room ---- */

static void tell_all(struct worker *worker, struct worker_task *task);

int msrp_room_open(struct msrp_room **out, struct worker *worker, const struct msrp_room_options *options,
	const struct msrp_room_events *events, void *arg)
{
	struct msrp_room *room = calloc(1, sizeof(*room));

	if (!room) {
		REFUSED(&worker->counters, REASON_NO_MEMORY);
		return ENOMEM;
	}
	room->endpoint = msrp_endpoint_of(worker);
	room->events = events;
	room->arg = arg;
	room->members_max = options->members_max < MSRP_ROOM_MEMBERS_MAX ? options->members_max : MSRP_ROOM_MEMBERS_MAX;
	room->tells_copies = options->tells_copies;
	room->task.run = tell_all;
	TAILQ_INIT(&room->messages);
	TAILQ_INIT(&room->due);
	TAILQ_INIT(&room->chunks);
	TAILQ_INIT(&room->open_chunks);
	TAILQ_INIT(&room->todo);
	*out = room;
	return 0;
}

static void free_room(struct msrp_room *room)
{
	worker_forget_task(room_worker(room), &room->task);
	free(room->seats);
	free(room->receiving);
	free(room);
}

/* Nobody is there any more who could say something of them. */
static void free_messages(struct msrp_room *room)
{
	struct msrp_room_message *m;

	while ((m = TAILQ_FIRST(&room->messages))) {
		m->holds++;
		room_report_not_due(m);
		m->holds = 1;
		room_message_release(m);
	}
}

void msrp_room_close(struct msrp_room *room)
{
	assert(!room->is_closed);
	room->is_held = false;
	for (unsigned i = 0; i < room->slots; i++) {
		if (room->seats[i])
			msrp_room_remove(room, room->seats[i]->leg);
	}
	room_chunks_free(room);
	free_messages(room);
	worker_disarm(room_worker(room), &room->reports);
	worker_disarm(room_worker(room), &room->pace);
	room->is_closed = true;
	if (!room->is_telling)
		free_room(room);
}

unsigned msrp_room_count(const struct msrp_room *room)
{
	return room->count;
}

/* ---- who may get what ---- */

static void set_receives(struct msrp_seat *seat, bool receives)
{
	struct msrp_room *room = seat->room;
	bool did = room_set_take(room->receiving, room_set_words(room->slots), seat->slot);

	if (receives)
		room_set_add(room->receiving, seat->slot);
	room->receivers = room->receivers + receives - did;
}

void msrp_room_set(struct msrp_room *room, struct msrp_leg *leg, bool sends, bool receives)
{
	struct msrp_seat *seat = leg->seat;

	if (!seat || seat->room != room || seat->is_dropped)
		return;
	seat->sends = sends;
	seat->receives = receives;
	set_receives(seat, receives);
}

/* ---- joining ---- */

static int make_slots(struct msrp_room *room)
{
	unsigned size = room->slots_size ? 2 * room->slots_size : SLOTS_FIRST, words = room_set_words(size);
	unsigned had = room_set_words(room->slots_size);
	struct msrp_seat **seats = realloc(room->seats, size * sizeof(*seats));
	uint64_t *receiving;

	if (!seats)
		return ENOMEM;
	room->seats = seats;
	if (!(receiving = realloc(room->receiving, words * sizeof(*receiving))))
		return ENOMEM;
	room->receiving = receiving;
	memset(receiving + had, 0, (words - had) * sizeof(*receiving));
	room->slots_size = size;
	return 0;
}

static int take_slot(struct msrp_room *room, struct msrp_seat *seat)
{
	while (room->free_from < room->slots && room->seats[room->free_from])
		room->free_from++;
	if (room->free_from == room->slots) {
		if (room->slots == room->slots_size && make_slots(room) != 0)
			return ENOMEM;
		room->slots++;
	}
	seat->slot = room->free_from++;
	room->seats[seat->slot] = seat;
	return 0;
}

int msrp_room_add(struct msrp_room *room, struct msrp_leg *leg, const struct msrp_room_member *member)
{
	struct msrp_seat *seat;

	assert(!leg->seat && !leg->pair && !leg->ends_here);
	if (room->count >= room->members_max)
		return ENOSPC;
	seat = calloc(1, sizeof(*seat));
	if (!seat || take_slot(room, seat) != 0) {
		REFUSED(&room_worker(room)->counters, REASON_NO_MEMORY);
		free(seat);
		return ENOMEM;
	}
	seat->room = room;
	seat->leg = leg;
	seat->arg = member->arg;
	seat->high = member->high ? member->high : room->endpoint->options->limits.leg_high;
	seat->sends = member->sends;
	seat->receives = member->receives;
	TAILQ_INIT(&seat->open);
	set_receives(seat, member->receives);
	room->count++;
	leg->seat = seat;
	if (leg->connection && leg->waiting.n)
		msrp_todo(leg->connection, TODO_PUMP);
	return 0;
}

/* ---- leaving ---- */

/* Nothing in the room has to do with him any more. */
static void leave(struct msrp_seat *seat, bool is_failure)
{
	struct msrp_room *room = seat->room;

	room_streams_leave(seat, NULL);
	room_chunks_forget(seat, is_failure);
	room_messages_forget(seat);
	msrp_held_free(room->endpoint, &seat->backlog);
	room_pace_forget(seat);
	room_pace_go_on(room);
}

void msrp_room_remove(struct msrp_room *room, struct msrp_leg *leg)
{
	struct msrp_seat *seat = leg->seat;

	if (!seat || seat->room != room)
		return;
	if (leg->connection && leg->connection->in->leg == leg && leg->connection->in->way != WAY_WAIT)
		msrp_switch_abort(leg->connection);
	leave(seat, seat->is_dropped);
	set_receives(seat, false);
	if (seat->has_todo)
		TAILQ_REMOVE(&room->todo, seat, todo_link);
	room->seats[seat->slot] = NULL;
	if (seat->slot < room->free_from)
		room->free_from = seat->slot;
	room->count--;
	leg->seat = NULL;
	free(seat);
}

void room_drop(struct msrp_seat *seat, enum reason why)
{
	struct worker *worker = room_worker(seat->room);

	if (seat->is_dropped)
		return;
	seat->is_dropped = seat->tell_dropped = true;
	seat->why = why;
	set_receives(seat, false);
	COUNT(&worker->counters, msrp_room_dropped);
	if (why != REASON_COUNT) /* else its connection has said why */
		REFUSED(&worker->counters, why);
	room_todo(seat);
}

/* ---- what the run-time tells ---- */

void msrp_room_on_bound(struct msrp_leg *leg)
{
	room_copy_release(leg->seat);
}

void msrp_room_on_lost(struct msrp_leg *leg, unsigned status)
{
	struct msrp_seat *seat = leg->seat;

	leave(seat, true);
	if (!status)
		room_drop(seat, REASON_COUNT);
}

bool msrp_room_is_quiet(const struct msrp_room *room, const struct msrp_leg *leg)
{
	const struct msrp_seat *seat = leg->seat;

	if (!seat || seat->room != room || seat->is_dropped)
		return true;
	return !seat->unanswered && !seat->backlog.n && (!leg->connection || msrp_output_queued(leg->connection) == 0);
}

void msrp_room_set_tap(struct msrp_room *room, const struct msrp_room_tap *tap, void *arg)
{
	room->tap = tap;
	room->tap_arg = arg;
}

void msrp_room_hold(struct msrp_room *room, bool is_held)
{
	room->is_held = is_held;
	room_pace_go_on(room);
}

/* ---- what the owner is told, at the end of a turn ---- */

void room_todo(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;

	if (!seat->has_todo)
		TAILQ_INSERT_TAIL(&room->todo, seat, todo_link);
	seat->has_todo = true;
	worker_at_turn_end(room_worker(room), &room->task);
}

/* He has left all: whoever reads too little loses his connection with what waits on it. */
static void tell_dropped(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;
	struct msrp_leg *leg = seat->leg;

	seat->tell_dropped = false;
	if (seat->why == REASON_COUNT) {
		seat->why = leg->lost_why;
	} else if (leg->connection) {
		if (seat->why == REASON_QUEUE_FULL && leg->connection->leg_count == 1)
			leg->connection->is_overrun = true;
		msrp_leg_lose(leg, seat->why);
	} else {
		leave(seat, true);
	}
	LOG(INFO, room_worker(room), "leg", pool_slot(leg), "left its room members=%u reason=%s", room->count,
		reason_label(seat->why));
	if (room->events->on_dropped)
		room->events->on_dropped(room, leg, seat->why, seat->arg, room->arg);
}

/* One thing: he may be gone afterwards. */
static void tell(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;
	const struct msrp_room_events *events = room->events;
	unsigned status;

	if (seat->sent) {
		seat->sent--;
		room_todo(seat);
		events->on_sent(room, seat->leg, seat->arg, room->arg);
	} else if ((status = seat->concluded_status)) {
		seat->concluded_status = 0;
		room_todo(seat);
		events->on_concluded(room, seat->leg, status, seat->arg, room->arg);
	} else if ((status = seat->copy_status)) {
		seat->copy_status = 0;
		room_todo(seat);
		if (events->on_copy)
			events->on_copy(room, seat->leg, status, seat->arg, room->arg);
	} else if (seat->tell_dropped) {
		tell_dropped(seat);
	}
}

static void tell_all(struct worker *worker, struct worker_task *task)
{
	struct msrp_room *room = (struct msrp_room *)((char *)task - offsetof(struct msrp_room, task));
	struct msrp_seat *seat;

	room->is_telling = true;
	while (!room->is_closed && (seat = TAILQ_FIRST(&room->todo))) {
		TAILQ_REMOVE(&room->todo, seat, todo_link);
		seat->has_todo = false;
		tell(seat);
	}
	room->is_telling = false;
	if (room->is_closed)
		free_room(room);
}
