#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "msrp/message.h"
#include "msrp/room_internal.h"
#include "msrp/room_report.h"
#include "msrp/transaction.h"

/* ---- beginning ---- */

static size_t octets_of(unsigned words, bool wants_success, bool tells_copies)
{
	size_t n = words * sizeof(uint64_t);

	if (wants_success)
		n *= 2;
	if (tells_copies)
		n += (size_t)words * 64 * sizeof(uint32_t);
	return n;
}

static unsigned count_of(const uint64_t *set, unsigned words)
{
	unsigned n = 0;

	for (unsigned i = 0; i < words; i++)
		n += (unsigned)__builtin_popcountll(set[i]);
	return n;
}

struct msrp_room_message *room_message_open(struct msrp_seat *from, const struct msrp_head *head, const uint64_t *targets)
{
	struct msrp_room *room = from->room;
	unsigned words = room_set_words(room->slots);
	struct msrp_room_message *m = calloc(1, sizeof(*m) + octets_of(words, head->success_report, room->tells_copies));

	if (!m)
		return NULL;
	m->room = room;
	m->from = from;
	m->hash = msrp_message_hash(head->message_id);
	m->total = MSRP_RANGE_UNKNOWN;
	m->holds = 1;
	m->failure_report = head->failure_report;
	m->is_open = true;
	m->words = words;
	m->targets = m->memory;
	memcpy(m->targets, targets, words * sizeof(*targets));
	if (room->tells_copies)
		m->parts = (uint32_t *)(m->memory + words * (head->success_report ? 2 : 1));
	if (head->success_report && room_report_add(m) == 0) {
		m->wants_success = true;
		m->waits = m->memory + words;
		memcpy(m->waits, targets, words * sizeof(*targets));
		m->unconfirmed = count_of(targets, words);
	}
	m->id_n = (uint8_t)head->message_id.n;
	memcpy(m->id, head->message_id.p, m->id_n);
	TAILQ_INSERT_TAIL(&room->messages, m, link);
	TAILQ_INSERT_TAIL(&from->open, m, open_link);
	from->open_count++;
	return m;
}

struct msrp_room_message *room_message_find_open(const struct msrp_seat *from, uint64_t hash)
{
	struct msrp_room_message *m;

	TAILQ_FOREACH(m, &from->open, open_link) {
		if (m->hash == hash)
			return m;
	}
	return NULL;
}

void room_message_release(struct msrp_room_message *m)
{
	assert(m->holds);
	if (--m->holds)
		return;
	assert(!m->is_open && !m->is_due);
	room_report_remove(m);
	TAILQ_REMOVE(&m->room->messages, m, link);
	free(m->covered);
	free(m->cpim);
	free(m);
}

/* ---- what becomes of it ---- */

static void tell_concluded(struct msrp_room_message *m, unsigned status)
{
	struct msrp_seat *from = m->from;

	if (!from || !from->room->events->on_concluded)
		return;
	if (from->concluded_status < status) /* of several the worst */
		from->concluded_status = (uint16_t)status;
	room_todo(from);
}

/* D2-44. */
void room_message_settle(struct msrp_room_message *m)
{
	bool waits = m->expected || (m->wants_success ? m->unconfirmed : m->chunks);
	unsigned status = m->status ? m->status : 200;

	if (m->is_open || m->is_concluded || m->is_aborted || (waits && !m->status))
		return;
	m->is_concluded = true;
	m->holds++;
	if (status == 200 ? m->wants_success : m->failure_report != MSRP_FAILURE_NO)
		room_report_send(m, status);
	tell_concluded(m, status);
	room_report_not_due(m);
	room_message_release(m);
}

void room_message_error(struct msrp_room_message *m, unsigned status)
{
	if (!m->status)
		m->status = (uint16_t)status;
	room_message_settle(m);
}

static void copy_ended(struct msrp_seat *seat, unsigned status)
{
	seat->copy_status = (uint16_t)status;
	room_todo(seat);
}

void room_message_look_at_copy(struct msrp_room_message *m, struct msrp_seat *seat)
{
	if (!m->parts || m->is_open || m->is_aborted || !room_set_has(m->targets, m->words, seat->slot))
		return;
	if (m->parts[seat->slot] || (m->wants_success && room_set_has(m->waits, m->words, seat->slot)))
		return;
	room_set_take(m->targets, m->words, seat->slot);
	copy_ended(seat, 200);
}

/* True when he had not confirmed it. */
static bool stop_waiting(struct msrp_room_message *m, const struct msrp_seat *seat)
{
	if (!m->wants_success || !room_set_take(m->waits, m->words, seat->slot))
		return false;
	m->unconfirmed--;
	return true;
}

void room_message_fail(struct msrp_room_message *m, struct msrp_seat *seat, unsigned status)
{
	bool had_target = room_set_take(m->targets, m->words, seat->slot);

	room_streams_leave(seat, m);
	stop_waiting(m, seat);
	if (m->parts && had_target)
		copy_ended(seat, status);
	room_message_error(m, status);
}

void room_messages_forget(struct msrp_seat *seat)
{
	struct msrp_room *room = seat->room;
	struct msrp_room_message *m, *next;

	while ((m = TAILQ_FIRST(&seat->open)))
		room_message_cut(m);
	for (m = TAILQ_FIRST(&room->messages); m; m = next) {
		m->holds++;
		if (m->from == seat)
			m->from = NULL;
		room_set_take(m->targets, m->words, seat->slot);
		if (m->parts && seat->slot / 64 < m->words)
			m->parts[seat->slot] = 0;
		if (stop_waiting(m, seat))
			room_message_error(m, 408);
		if (m->covered && seat->slot / 64 < m->words)
			m->covered[seat->slot] = 0;
		next = TAILQ_NEXT(m, link);
		room_message_release(m);
	}
}

/* ---- its end ---- */

static void close_message(struct msrp_room_message *m)
{
	m->is_open = false;
	TAILQ_REMOVE(&m->from->open, m, open_link);
	m->from->open_count--;
}

void room_message_end(struct msrp_room_message *m, char flag)
{
	struct msrp_room *room = m->room;
	struct msrp_seat *from = m->from;

	close_message(m);
	m->is_aborted = flag == '#';
	if (room->tap && room->tap->on_end)
		room->tap->on_end(room, m, flag, room->tap_arg);
	if (m->is_aborted) {
		room_message_release(m);
		return;
	}
	from->leg->messages++;
	COUNT(&room->endpoint->worker->counters, msrp_messages);
	if (room->events->on_sent) {
		from->sent++;
		room_todo(from);
	}
	if (m->parts) {
		ROOM_SET_EACH(slot, m->targets, m->words)
			room_message_look_at_copy(m, room->seats[slot]);
	}
	if (m->wants_success || m->expected)
		room_report_due(m);
	room_message_settle(m);
	room_message_release(m);
}

/* A chunk of nothing for those who wait for more. */
static void write_cut(struct msrp_room_message *m)
{
	struct msrp_byte_range range = { room_message_shifted(m, m->octets + 1), MSRP_RANGE_UNKNOWN, room_message_shifted(m, m->total) };
	size_t size = 512 + m->id_n;
	char *p = room_scratch(m->room->endpoint, size), id[MSRP_ID_CHARS];
	struct buffer b;

	if (!p) {
		REFUSED(&m->room->endpoint->worker->counters, REASON_NO_MEMORY);
		return;
	}
	msrp_transaction_make_id(m->room->endpoint, UINT32_MAX, id);
	b = buffer_over(p, size);
	buffer_lit(&b, "Message-ID: ");
	buffer_put(&b, slice_of(m->id, m->id_n));
	buffer_lit(&b, "\r\nByte-Range: ");
	msrp_byte_range_write(&b, &range);
	buffer_lit(&b, "\r\n");
	msrp_write_end_line(&b, slice_of(id, sizeof(id)), '#', false);
	assert(!b.overflow);
	ROOM_SET_EACH(slot, m->targets, m->words)
		room_copy_chunk(m->room->seats[slot], id, buffer_slice(&b), NULL);
}

void room_message_cut(struct msrp_room_message *m)
{
	COUNT(&m->room->endpoint->worker->counters, msrp_dropped);
	if (m->octets)
		write_cut(m);
	room_message_end(m, '#');
}

/* ---- who is no member ---- */

void msrp_room_expect(struct msrp_room_message *m, unsigned n)
{
	if (!m->expected && n)
		m->holds++;
	m->expected += n;
}

void msrp_room_confirm(struct msrp_room_message *m, unsigned status)
{
	assert(m->expected);
	m->expected--;
	if (status >= 300)
		room_message_error(m, status);
	else
		room_message_settle(m);
	if (!m->expected)
		room_message_release(m);
}

bool msrp_room_is_for(const struct msrp_room_message *m, const struct msrp_leg *leg)
{
	return leg->seat && leg->seat->room == m->room && room_set_has(m->targets, m->words, leg->seat->slot);
}

bool msrp_room_wants_report(const struct msrp_room_message *m)
{
	return m->wants_success;
}
