/*
 * What comes over MSRP for a user who is away: each message from its first chunk
 * to the commit of its last piece (design.md 5, row "store").  A disk that fails
 * is 408, which RFC 4975 lets the sender repeat; a mailbox that is full 413.
 */
#include "actors/large_message_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "core/log.h"
#include "sip/header.h"

#define LINES_ROOM 256 /* of the start line and the names of what is kept */

static void on_taken(void *arg);
static void on_stored(void *arg);
static void on_failed(int err, void *arg);
static const struct large_upload_events upload_events = { on_taken, on_stored, on_failed };

static struct msrp_leg *leg_of(const struct large_message *l)
{
	return l->agent ? virtual_user_agent_leg(l->agent) : NULL;
}

/* Nothing is open any more. */
static void forget(struct large_message *l)
{
	free(l->msrp);
	l->msrp = NULL;
	l->upload = NULL;
	l->octets = 0;
	l->is_whole = false;
}

void large_message_abandon(struct large_message *l)
{
	if (!l->msrp)
		return;
	if (!l->is_whole)
		COUNT(&l->im->worker->counters, deferred_large_aborted);
	if (l->upload)
		large_upload_drop(l->upload);
	forget(l);
}

/* The message is over for the leg too, which must not wait for pieces of it. */
static void release_pieces(struct large_message *l)
{
	for (; l->pieces; l->pieces--)
		msrp_receiver_taken(leg_of(l));
}

/* We cannot go on with it. */
static void give_up(struct large_message *l, unsigned status, enum reason why)
{
	if (l->upload)
		large_upload_drop(l->upload);
	forget(l);
	l->has_failed |= l->is_silent;
	COUNT(&l->im->worker->counters, deferred_large_failed);
	msrp_receiver_refuse(leg_of(l), status, why);
	release_pieces(l);
	large_message_settle(l);
}

/* ---- a message begins ---- */

static void keep_line(struct buffer *out, const struct msrp_head *head, const char *name)
{
	struct slice value;

	if (!msrp_head_find(head, slice_str(name), &value))
		return;
	buffer_str(out, name);
	buffer_lit(out, ": ");
	buffer_put(out, value);
	buffer_lit(out, "\r\n");
}

/* D2-15: Message-ID and Content-Type, and what a client needs to show an attachment as one. */
static bool keep_lines(struct large_message *l, const struct msrp_head *head)
{
	size_t room = head->lines.n + LINES_ROOM;
	char *text = malloc(room);
	struct buffer out = buffer_over(text, text ? room : 0);

	if (!text)
		return false;
	buffer_lit(&out, "MSRP ");
	buffer_put(&out, head->transaction_id);
	buffer_lit(&out, " SEND\r\n");
	keep_line(&out, head, "Message-ID");
	keep_line(&out, head, "Content-Type");
	keep_line(&out, head, "Content-Disposition");
	l->msrp = text;
	l->msrp_n = out.n;
	return !out.overflow;
}

/* D2-62 */
static bool is_for_now_only(struct slice content_type)
{
	return sip_content_type_is(content_type, "application/im-iscomposing+xml") ||
	       sip_content_type_is(content_type, "message/imdn+xml");
}

static unsigned on_message(struct msrp_leg *leg, const struct msrp_head *head, enum reason *why, void *arg)
{
	struct large_message *l = arg;

	l->seen++;
	l->is_silent = head->failure_report == MSRP_FAILURE_NO;
	if (is_for_now_only(head->content_type)) {
		*why = REASON_NOT_STORED;
		large_message_settle(l);
		return 415;
	}
	if (!keep_lines(l, head)) {
		*why = REASON_NO_MEMORY;
		forget(l);
		l->has_failed |= l->is_silent;
		large_message_settle(l);
		return 408;
	}
	l->is_multimedia = deferred_is_multimedia(head->content_type);
	large_message_wait(l);
	return 0;
}

/* ---- its content ---- */

/* The quota that is taken while it comes: the announced size, else the most that it may become. */
static uint64_t reserved(const struct large_message *l)
{
	if (l->has_size)
		return l->size;
	return l->max_octets && l->max_octets < l->room ? l->max_octets : l->room;
}

/* Of nothing there is no more: the leg does not see to that, to which 0 is any number. */
static bool is_beyond(const struct large_message *l, struct slice octets)
{
	return l->has_size && l->size == 0 && octets.n > 0;
}

/* What the store is told first: all of it, or what will come. */
static bool begin_upload(struct large_message *l, struct slice content, bool is_whole)
{
	struct sip_message invite;
	char id[DEFERRED_ID_CHARS];

	if (!large_message_read(l, &invite))
		return false; /* cannot be: it was read before */
	struct deferred_times times = deferred_times_of(l->im, &invite, DEFERRED_LARGE);
	size_t room = deferred_head_max(&invite) / 2;
	char *text = malloc(2 * room);
	struct buffer head = buffer_over(text, text ? room : 0), summary = buffer_over(text ? text + room : NULL, text ? room : 0);

	if (text && deferred_write_head(&head, &summary, l->im, l->sender, &invite, DEFERRED_LARGE, times.received_us)) {
		deferred_make_id(l->im->worker, id);
		struct store_deferred message = { .id = slice_of(id, sizeof(id)), .type = STORE_LARGE,
			.is_urgent = deferred_is_urgent(&invite), .is_multimedia = l->is_multimedia,
			.received_us = times.received_us, .expires_at_s = times.expires_at_s,
			.size = is_whole ? content.n : reserved(l),
			.call_id = sip_header_value(&invite, SIP_HDR_CALL_ID), .head = buffer_slice(&head),
			.msrp = slice_of(l->msrp, l->msrp_n), .summary = buffer_slice(&summary),
			.content = is_whole ? content : SLICE_EMPTY };
		l->upload = large_upload_begin(l->im, &(struct large_upload_start){ large_message_recipient(l), l->registration,
			&message, &upload_events, l });
	}
	free(text);
	return l->upload != NULL;
}

static void on_piece(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct large_message *l = arg;

	l->octets += octets.n;
	l->pieces++;
	large_message_wait(l);
	if (is_beyond(l, octets))
		give_up(l, 413, REASON_MSRP_TOO_LARGE);
	else if ((!l->upload && !begin_upload(l, SLICE_EMPTY, false)) || !large_upload_put(l->upload, offset, octets))
		give_up(l, 408, REASON_NO_MEMORY);
}

static bool close_upload(struct large_message *l, uint64_t offset, struct slice octets)
{
	struct sip_message invite;

	if (!l->upload)
		return begin_upload(l, octets, true);
	if (!large_message_read(l, &invite))
		return false; /* cannot be: it was read before */
	struct deferred_times times = deferred_times_of(l->im, &invite, DEFERRED_LARGE);
	return large_upload_close(l->upload, &(struct large_upload_end){ .piece = octets, .offset = offset,
		.msrp = slice_of(l->msrp, l->msrp_n), .received_us = times.received_us,
		.expires_at_s = times.expires_at_s, .is_multimedia = l->is_multimedia });
}

static void on_whole(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct large_message *l = arg;

	l->octets += octets.n;
	if (is_beyond(l, octets)) {
		give_up(l, 413, REASON_MSRP_TOO_LARGE);
		return;
	}
	if (!close_upload(l, offset, octets)) {
		give_up(l, 408, REASON_NO_MEMORY);
		return;
	}
	l->is_whole = true;
	large_message_wait(l);
}

static void on_aborted(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct large_message *l = arg;

	LOG(INFO, l->im->worker, "large", l->actor.id, "aborted octets=%llu reason=%s", (unsigned long long)l->octets,
		reason_label(why));
	large_message_abandon(l);
	release_pieces(l);
	large_message_settle(l);
}

const struct msrp_receiver_events large_message_receiver_events = { on_message, on_piece, on_whole, on_aborted };

/* ---- the store's answers ---- */

static void on_taken(void *arg)
{
	struct large_message *l = arg;

	l->pieces--;
	msrp_receiver_taken(leg_of(l));
}

static void on_stored(void *arg)
{
	struct large_message *l = arg;

	l->stored_messages++;
	l->stored_octets += l->octets;
	forget(l);
	msrp_receiver_conclude(leg_of(l), 200);
	large_message_settle(l);
}

static void on_failed(int err, void *arg)
{
	struct large_message *l = arg;
	bool is_quota = err == EDQUOT || err == EFBIG;

	forget(l);
	l->has_failed |= l->is_silent;
	msrp_receiver_refuse(leg_of(l), is_quota ? 413 : 408,
		is_quota ? REASON_QUOTA : err == EAGAIN ? REASON_STORE_BUSY : REASON_STORE);
	release_pieces(l);
	large_message_settle(l);
}
