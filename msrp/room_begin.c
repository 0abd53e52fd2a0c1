/* A message begins: who gets it, and what the owner says to that. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msrp/content.h"
#include "msrp/room_internal.h"
#include "msrp/switch.h"

bool room_is_cpim(const struct msrp_head *head)
{
	return head->content_type.n && slice_case_eq(msrp_accept_type(head->content_type), SLICE("message/cpim"));
}

/* ---- for whom it is ---- */

static void set_private(const struct msrp_room *room, const struct msrp_room_verdict *verdict, uint64_t *targets, unsigned words)
{
	uint64_t all[MSRP_ROOM_MEMBERS_MAX / 64];

	memcpy(all, targets, words * sizeof(*all));
	memset(targets, 0, words * sizeof(*targets));
	for (unsigned i = 0; i < verdict->only_count; i++) {
		const struct msrp_seat *seat = verdict->only[i]->seat;
		if (seat && seat->room == room && room_set_has(all, words, seat->slot))
			room_set_add(targets, seat->slot);
	}
}

static int rewrite_from(struct msrp_room_message *m, struct slice content, struct slice from)
{
	struct slice block = slice_of(content.p, room_cpim_head(content));
	size_t size = block.n + from.n + 16;
	struct buffer b;

	if (!(m->cpim = malloc(size)))
		return ENOMEM;
	b = buffer_over(m->cpim, size);
	room_cpim_write(&b, block, from);
	assert(!b.overflow);
	m->cpim_n = b.n;
	m->head_n = block.n;
	m->shift = (int64_t)b.n - (int64_t)block.n;
	return 0;
}

/* Of a message that its receiver does not take by his own SDP (RFC 4975 8.6), and how large it says it is. */
static unsigned misfit(struct msrp_leg *far, const struct msrp_head *head)
{
	uint64_t total = head->byte_range.total;

	if (far->accept_octets && total != MSRP_RANGE_UNKNOWN && total > far->accept_octets)
		return 413;
	return head->content_type.n && !msrp_content_suits(far, head->content_type) ? 415 : 0;
}

/* Leaves those for whom it is nothing out.  0, or why that was so for somebody; *rest: somebody remains. */
static unsigned leave_out(struct msrp_room *room, const struct msrp_head *head, uint64_t *targets, unsigned words, bool *rest)
{
	unsigned worst = 0, status;

	*rest = false;
	ROOM_SET_EACH(slot, targets, words) {
		if (!(status = misfit(room->seats[slot]->leg, head))) {
			*rest = true;
			continue;
		}
		room_set_take(targets, words, slot);
		REFUSED(&room_worker(room)->counters, status == 413 ? REASON_MSRP_TOO_LARGE : REASON_MSRP_CONTENT_TYPE);
		worst = worst ? worst : status;
	}
	return worst;
}

/* NULL: refused with *status. */
static struct msrp_room_message *open_message(struct msrp_connection *c, const struct msrp_room_begin *begin,
	const struct msrp_room_verdict *verdict, unsigned *status, enum reason *why)
{
	uint64_t targets[MSRP_ROOM_MEMBERS_MAX / 64];
	struct msrp_seat *seat = begin->leg->seat;
	struct msrp_room *room = seat->room;
	unsigned words = room_set_words(room->slots);
	struct msrp_room_message *m;
	unsigned left_out;
	bool rest;

	memcpy(targets, room->receiving, words * sizeof(*targets));
	room_set_take(targets, words, seat->slot);
	if (verdict->is_private)
		set_private(room, verdict, targets, words);
	left_out = leave_out(room, begin->head, targets, words, &rest);
	if (left_out && !rest && !room->tap) {
		*status = left_out;
		*why = left_out == 413 ? REASON_MSRP_TOO_LARGE : REASON_MSRP_CONTENT_TYPE;
		return NULL;
	}
	*status = 408;
	*why = REASON_NO_MEMORY;
	if (!(m = room_message_open(seat, begin->head, targets)))
		return NULL;
	m->total = c->in->range.total;
	m->status = (uint16_t)left_out;
	if (verdict->cpim_from.n && begin->is_cpim && rewrite_from(m, begin->content, verdict->cpim_from) != 0) {
		room_message_end(m, '#');
		return NULL;
	}
	if (room->tap && room->tap->on_begin)
		room->tap->on_begin(room, m, begin, room->tap_arg);
	return m;
}

static struct msrp_room_message *begin_message(struct msrp_connection *c, const struct msrp_head *head, struct slice content,
	unsigned *status, enum reason *why)
{
	struct msrp_leg *leg = c->in->leg;
	struct msrp_room *room = leg->seat->room;
	struct msrp_room_verdict verdict = { .why = REASON_MSRP_NOT_TAKEN };
	struct msrp_room_begin begin = {
		.leg = leg,
		.member_arg = leg->seat->arg,
		.head = head,
		.content = content,
		.is_cpim = room_is_cpim(head),
	};

	begin.has_cpim_head = begin.is_cpim && room_cpim_head(content);
	if (room->events->on_message)
		room->events->on_message(room, &begin, &verdict, room->arg);
	*status = verdict.status;
	*why = verdict.why;
	if (!*status && verdict.cpim_from.n && begin.is_cpim && !begin.has_cpim_head) {
		*status = 400;
		*why = REASON_SYNTAX;
	}
	return *status ? NULL : open_message(c, &begin, &verdict, status, why);
}

struct msrp_room_message *room_message_of(struct msrp_connection *c, struct slice kept, struct slice content)
{
	struct msrp_parser scratch;
	const struct msrp_head *head;
	struct msrp_room_message *m = room_message_find_open(c->in->leg->seat, c->in->message);
	unsigned status;
	enum reason why;

	if (m)
		return m;
	head = msrp_switch_head(c, slice_of(kept.p, c->in->head_n), &scratch);
	m = begin_message(c, head, content, &status, &why);
	if (!m)
		room_refuse(c, status, why);
	return m;
}
