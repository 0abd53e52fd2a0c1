#include "msrp/room_report.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/message.h"
#include "msrp/output.h"
#include "msrp/transaction.h"

/* ---- by Message-ID ---- */

static uint64_t hash_of(const void *item, const void *arg)
{
	return ((const struct msrp_room_message *)item)->hash;
}

int room_report_add(struct msrp_room_message *m)
{
	struct chains *chains = &m->room->endpoint->room_messages;
	int err = 0;

	if (!chains->heads)
		err = chains_init(chains, 1 << 16, offsetof(struct msrp_room_message, next_of_chain), hash_of, NULL);
	if (err) {
		REFUSED(&m->room->endpoint->worker->counters, REASON_NO_MEMORY);
		return err;
	}
	chains_add(chains, m);
	m->is_in_chain = true;
	return 0;
}

void room_report_remove(struct msrp_room_message *m)
{
	if (m->is_in_chain)
		chains_remove(&m->room->endpoint->room_messages, m);
	m->is_in_chain = false;
}

static struct msrp_room_message *find(struct msrp_seat *seat, struct slice id)
{
	struct chains *chains = &seat->room->endpoint->room_messages;
	uint64_t hash = msrp_message_hash(id);
	struct msrp_room_message *m = chains->heads ? chains_first(chains, hash) : NULL;

	while (m && (m->hash != hash || m->room != seat->room || !room_set_has(m->waits, m->words, seat->slot) ||
		!slice_eq(slice_of(m->id, m->id_n), id)))
		m = m->next_of_chain;
	return m;
}

/* ---- what members report ---- */

/* All that he got so far, in order from the first octet on. */
static bool cover(struct msrp_room_message *m, const struct msrp_seat *seat, const struct msrp_byte_range *range)
{
	uint64_t all = m->octets + (m->octets > m->head_n ? (uint64_t)m->shift : 0);
	uint64_t covered = m->covered ? m->covered[seat->slot] : 0;
	uint64_t end = range->end < all ? range->end : all; /* an unknown one is the largest */

	if (range->start > covered + 1)
		return false;
	if (!m->is_open && end >= all)
		return true;
	if (!m->covered)
		m->covered = calloc((size_t)m->words * 64, sizeof(*m->covered)); /* without: only one REPORT of all counts */
	if (m->covered && end > covered)
		m->covered[seat->slot] = end;
	return false;
}

static void on_success(struct msrp_seat *seat, struct msrp_room_message *m, const struct msrp_byte_range *range)
{
	if (!cover(m, seat, range))
		return;
	m->holds++;
	room_set_take(m->waits, m->words, seat->slot);
	m->unconfirmed--;
	room_message_look_at_copy(m, seat);
	room_message_settle(m);
	room_message_release(m);
}

void room_report_on(struct msrp_seat *seat, const struct msrp_head *head)
{
	struct worker *worker = room_worker(seat->room);
	struct msrp_room_message *m = head->has_message_id ? find(seat, head->message_id) : NULL;

	if (!m || !head->has_status || head->status_namespace != 0) {
		COUNT(&worker->counters, msrp_stray_reports);
		return;
	}
	if (head->status_code < 300) {
		on_success(seat, m, &head->byte_range);
		return;
	}
	REFUSED(&worker->counters, REASON_MSRP_MEMBER_REFUSED);
	m->holds++;
	room_message_fail(m, seat, head->status_code);
	room_message_release(m);
}

/* ---- what its sender is told ---- */

void room_report_send(const struct msrp_room_message *m, unsigned status)
{
	struct msrp_leg *leg = m->from ? m->from->leg : NULL;
	char id[MSRP_ID_CHARS];
	struct buffer b;
	size_t size;
	char *p;

	if (!leg || !leg->is_bound)
		return;
	size = 256 + leg->peer_path_n + leg->uri_n + m->id_n;
	if (!(p = msrp_output_reserve(leg->connection, size, NULL)))
		return;
	msrp_transaction_make_id(leg->endpoint, UINT32_MAX, id);
	b = buffer_over(p, size);
	msrp_write_report(&b, &(struct msrp_report){
		.transaction_id = slice_of(id, sizeof(id)),
		.to_path = msrp_leg_peer_path(leg),
		.from_path = msrp_leg_uri_slice(leg),
		.message_id = slice_of(m->id, m->id_n),
		.byte_range = { 1, m->octets, m->total == MSRP_RANGE_UNKNOWN ? m->octets : m->total },
		.status = status,
	});
	assert(!b.overflow);
	msrp_output_commit(leg->connection, b.n);
}

/* ---- the last moment ---- */

static void give_up(struct msrp_room_message *m)
{
	struct worker *worker = room_worker(m->room);

	REFUSED(&worker->counters, REASON_TIMEOUT);
	LOG(INFO, worker, "leg", m->from ? pool_slot(m->from->leg) : 0, "not confirmed by all members=%u others=%u reason=%s", m->unconfirmed,
		m->expected, reason_label(REASON_TIMEOUT));
	room_message_error(m, 408);
}

static void on_due(struct timer *timer)
{
	struct msrp_room *room = (struct msrp_room *)((char *)timer - offsetof(struct msrp_room, reports));
	uint64_t now_ms = worker_now_ms(room_worker(room));
	struct msrp_room_message *m;

	while ((m = TAILQ_FIRST(&room->due)) && m->due_ms <= now_ms)
		give_up(m);
	if (m)
		worker_arm(room_worker(room), &room->reports, m->due_ms - now_ms, on_due);
}

void room_report_due(struct msrp_room_message *m)
{
	struct msrp_room *room = m->room;

	if (room->due_count == ROOM_REPORTS)
		give_up(TAILQ_FIRST(&room->due));
	m->is_due = true;
	m->holds++;
	m->due_ms = worker_now_ms(room_worker(room)) + ROOM_REPORT_MS;
	TAILQ_INSERT_TAIL(&room->due, m, due_link);
	room->due_count++;
	if (!timer_is_armed(&room->reports))
		worker_arm(room_worker(room), &room->reports, ROOM_REPORT_MS, on_due);
}

void room_report_not_due(struct msrp_room_message *m)
{
	struct msrp_room *room = m->room;

	if (!m->is_due)
		return;
	m->is_due = false;
	TAILQ_REMOVE(&room->due, m, due_link);
	if (--room->due_count == 0)
		worker_disarm(room_worker(room), &room->reports);
	room_message_release(m);
}
