/*
 * What the sender of a large message to many sends: the room switches it to those
 * who are in it, and the spool, filled only when somebody is not, keeps it for the
 * others (large_list_copies.c).
 */
#include "actors/large_list_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "actors/policy.h"

/* ---- the spool ---- */

static void on_spool_taken(void *arg)
{
	struct large_copy *copy = arg;

	msrp_room_hold(copy->list->room, large_spool_is_full(copy->spool));
}

static void on_spool_ready(void *arg)
{
	struct large_copy *copy = arg;

	copy->state = LARGE_COPY_WHOLE;
	msrp_room_hold(copy->list->room, false);
	large_list_settle(copy->list);
}

static void on_spool_failed(int err, void *arg)
{
	struct large_copy *copy = arg;

	REFUSED(&copy->list->im->worker->counters, err == EAGAIN ? REASON_STORE_BUSY : REASON_STORE);
	large_copy_kill(copy, 408);
}

static const struct large_spool_events spool_events = { on_spool_taken, on_spool_ready, on_spool_failed };

/* ---- a message comes ---- */

static void put_line(struct buffer *out, const char *name, struct slice value)
{
	buffer_str(out, name);
	buffer_lit(out, ": ");
	buffer_put(out, value);
	buffer_lit(out, "\r\n");
}

/* Header lines that a copy has as the sender wrote them: all that do not belong to one leg or to how it is answered. */
static bool is_passed_on(struct slice name)
{
	static const char *const own[] = { "To-Path", "From-Path", "Message-ID", "Byte-Range", "Success-Report",
		"Failure-Report", "Content-Type" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (slice_case_eq(name, slice_str(own[i])))
			return false;
	return true;
}

static void put_lines(struct buffer *out, const struct msrp_head *head)
{
	struct slice rest = head->lines;

	while (rest.n) {
		struct slice line = slice_trim(slice_cut(rest, '\n', &rest));
		if (line.n && is_passed_on(slice_trim(slice_cut(line, ':', NULL)))) {
			buffer_put(out, line);
			buffer_lit(out, "\r\n");
		}
	}
}

/* "MSRP <tid> SEND" and what is kept of its lines (D2-15). */
static void put_kept(struct buffer *out, const struct msrp_head *head)
{
	struct slice disposition;

	buffer_lit(out, "MSRP ");
	buffer_put(out, head->transaction_id);
	buffer_lit(out, " SEND\r\n");
	put_line(out, "Message-ID", head->message_id);
	put_line(out, "Content-Type", head->content_type);
	if (msrp_head_find(head, SLICE("Content-Disposition"), &disposition))
		put_line(out, "Content-Disposition", disposition);
}

static struct slice since(const struct buffer *out, size_t at)
{
	return slice_of(out->p + at, out->n - at);
}

static struct large_copy *make_copy(struct large_list *l, const struct msrp_head *head)
{
	size_t room = 2 * (head->lines.n + head->message_id.n + head->content_type.n) + 256, at;
	struct large_copy *copy = calloc(1, sizeof(*copy) + room);
	uint64_t most = l->max_octets ? l->max_octets : 1ull << 50;

	if (!copy)
		return NULL;
	struct buffer out = buffer_over(copy->text, room);
	buffer_put(&out, head->message_id);
	copy->id = buffer_slice(&out);
	at = out.n;
	buffer_put(&out, head->content_type);
	copy->content_type = since(&out, at);
	at = out.n;
	put_lines(&out, head);
	copy->lines = since(&out, at);
	at = out.n;
	put_kept(&out, head);
	copy->msrp = since(&out, at);
	copy->list = l;
	copy->is_multimedia = deferred_is_multimedia(head->content_type);
	copy->spool = out.overflow ? NULL : large_spool_open(l->im, most, &spool_events, copy);
	if (!copy->spool) {
		free(copy);
		return NULL;
	}
	copy->number = l->copy_count++;
	l->copies_kept++;
	TAILQ_INSERT_TAIL(&l->copies, copy, link);
	return copy;
}

static unsigned count_waiting(const struct large_list *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->recipients.count; i++)
		n += large_leg_waits_for_copies(&l->legs[i]);
	return n;
}

static void on_message(struct msrp_room *room, const struct msrp_room_begin *begin, struct msrp_room_verdict *verdict, void *arg)
{
	struct large_list *l = arg;
	const struct msrp_byte_range *range = &begin->head->byte_range;

	if (l->max_octets && range->total != MSRP_RANGE_UNKNOWN && range->total > l->max_octets)
		*verdict = (struct msrp_room_verdict){ .status = 413, .why = REASON_MSRP_TOO_LARGE };
	else if (!policy_permits_type(l->im->config, begin->head->content_type))
		*verdict = (struct msrp_room_verdict){ .status = 415, .why = REASON_UNSUPPORTED_BODY };
	else if (count_waiting(l) && (l->open || l->copies_kept >= LARGE_LIST_COPIES_MAX))
		*verdict = (struct msrp_room_verdict){ .status = 413, .why = REASON_QUEUE_FULL };
}

/* He will not get what begins now: he was not reached, has left before it, or has lost his connection. */
static bool is_lost(const struct large_leg *leg, const struct msrp_room_message *message)
{
	return leg->state == LARGE_LEG_FAILED || leg->state == LARGE_LEG_GONE ||
	       (leg->state == LARGE_LEG_MEMBER && !msrp_room_is_for(message, virtual_user_agent_leg(leg->agent)));
}

/* Who could not be reached counts like who did not take it (D2-44). */
static void confirm_failed(const struct large_list *l, struct msrp_room_message *message)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->recipients.count; i++)
		n += is_lost(&l->legs[i], message);
	if (!n)
		return;
	msrp_room_expect(message, n);
	for (unsigned i = 0; i < l->recipients.count; i++)
		if (is_lost(&l->legs[i], message))
			msrp_room_confirm(message, l->legs[i].status ? large_list_msrp_status(l->legs[i].status) : 408);
}

static void on_begin(struct msrp_room *room, struct msrp_room_message *message, const struct msrp_room_begin *begin, void *arg)
{
	struct large_list *l = arg;
	unsigned waiting = count_waiting(l);

	l->has_begun = true;
	l->open++;
	large_list_heard(l);
	if (waiting)
		msrp_room_expect(message, waiting);
	struct large_copy *copy = waiting ? make_copy(l, begin->head) : NULL;
	if (copy) {
		copy->message = message;
		copy->expected = waiting;
	} else if (waiting) {
		REFUSED(&l->im->worker->counters, REASON_NO_MEMORY);
		while (waiting--)
			msrp_room_confirm(message, 408);
	}
	confirm_failed(l, message);
}

/* The one that comes in: there is one at a time where there is any. */
static struct large_copy *coming(const struct large_list *l)
{
	struct large_copy *copy;

	TAILQ_FOREACH(copy, &l->copies, link) {
		if (copy->state == LARGE_COPY_COMING)
			return copy;
	}
	return NULL;
}

static void on_octets(struct msrp_room *room, struct msrp_room_message *message, uint64_t offset, struct slice octets, void *arg)
{
	struct large_list *l = arg;
	struct large_copy *copy = coming(l);

	l->octets += octets.n;
	if (!copy)
		return;
	if (offset != large_spool_size(copy->spool)) { /* what is kept is kept in order */
		REFUSED(&l->im->worker->counters, REASON_MSRP_RANGE);
		large_copy_kill(copy, 400);
	} else if (!large_spool_put(copy->spool, octets)) {
		REFUSED(&l->im->worker->counters, REASON_STORE_BUSY);
		large_copy_kill(copy, 408);
	} else if (large_spool_is_full(copy->spool)) {
		msrp_room_hold(room, true);
	}
}

static void on_end(struct msrp_room *room, struct msrp_room_message *message, char flag, void *arg)
{
	struct large_list *l = arg;
	struct large_copy *copy = coming(l);

	l->open--;
	large_list_heard(l);
	large_list_settle(l);
	if (!copy)
		return;
	if (flag != '$') {
		large_copy_kill(copy, 408);
		return;
	}
	copy->state = large_spool_end(copy->spool) ? LARGE_COPY_WHOLE : LARGE_COPY_ENDED;
	if (large_spool_has_failed(copy->spool))
		large_copy_kill(copy, 408);
}

static const struct msrp_room_tap tap = { on_begin, on_octets, on_end };

/* ---- the room ---- */

static void on_dropped(struct msrp_room *room, struct msrp_leg *msrp, enum reason why, void *member_arg, void *arg)
{
	struct large_list *l = arg;
	struct large_leg *leg = member_arg;

	LOG(INFO, l->im->worker, "large_list", l->actor.id, "dropped %s=%.*s reason=%s", leg ? "recipient" : "sender",
		SLICE_ARG(leg ? large_leg_canonical(leg) : slice_of(l->who.canonical, l->who.is_anonymous ? 0 : l->who.canonical_n)),
		reason_label(why));
	if (leg) {
		large_leg_hang_up(leg, reason_label(why));
		large_leg_enter(leg, LARGE_LEG_GONE, reason_label(why));
	} else {
		l->is_leaving = true;
	}
	large_list_settle(l);
}

static void on_sent(struct msrp_room *room, struct msrp_leg *msrp, void *member_arg, void *arg)
{
	((struct large_list *)arg)->messages++;
}

static void on_copy(struct msrp_room *room, struct msrp_leg *msrp, unsigned status, void *member_arg, void *arg)
{
	large_list_settle(arg);
}

static void on_concluded(struct msrp_room *room, struct msrp_leg *msrp, unsigned status, void *member_arg, void *arg)
{
	large_list_settle(arg);
}

static const struct msrp_room_events room_events = { .on_dropped = on_dropped, .on_message = on_message, .on_sent = on_sent,
	.on_copy = on_copy, .on_concluded = on_concluded };

int large_list_open_room(struct large_list *l)
{
	int err = msrp_room_open(&l->room, l->im->worker, &(struct msrp_room_options){
		.members_max = l->recipients.count + 1, .tells_copies = true }, &room_events, l);

	if (!err)
		msrp_room_set_tap(l->room, &tap, l);
	return err;
}
