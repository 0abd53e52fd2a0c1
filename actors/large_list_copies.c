/*
 * Those who get a message of a large list whole and later: who answered when it
 * had begun is sent it from the spool, for who is away it is stored.  Each gets
 * the messages in their order, and confirms each once for all.
 */
#include "actors/large_list_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "sip/header.h"
#include "sip/write.h"

/* ---- who is owed something ---- */

/* He gets messages by another way than the room. */
bool large_leg_waits_for_copies(const struct large_leg *leg)
{
	return leg->state <= LARGE_LEG_CALLED || leg->state == LARGE_LEG_LATE || leg->state == LARGE_LEG_DEFERRED;
}

bool large_leg_is_owed(const struct large_leg *leg)
{
	const struct large_copy *copy;

	if (!large_leg_waits_for_copies(leg))
		return false;
	TAILQ_FOREACH(copy, &leg->list->copies, link) {
		if (copy->number >= leg->next && copy->state != LARGE_COPY_DEAD)
			return true;
	}
	return false;
}

static struct large_copy *next_copy(const struct large_leg *leg)
{
	struct large_copy *copy;

	TAILQ_FOREACH(copy, &leg->list->copies, link) {
		if (copy->number >= leg->next && copy->state != LARGE_COPY_DEAD)
			return copy;
	}
	return NULL;
}

/* MSRP's words for why an invitation failed (RFC 4975 10). */
unsigned large_list_msrp_status(unsigned sip)
{
	if (sip < 300)
		return 200;
	if (sip == 415 || sip == 488 || sip == 606)
		return 415;
	if (sip == 413 || sip == 513)
		return 413;
	return sip == 403 || sip == 603 ? 403 : 408;
}

static void confirm(struct large_copy *copy, unsigned status)
{
	if (!copy->message || !copy->expected)
		return;
	struct msrp_room_message *message = copy->message;
	if (--copy->expected == 0)
		copy->message = NULL;
	msrp_room_confirm(message, status);
}

void large_leg_give_up(struct large_leg *leg, unsigned status)
{
	struct large_copy *copy;

	if (leg->upload)
		large_upload_drop(leg->upload);
	leg->list->storing -= leg->upload != NULL;
	leg->upload = NULL;
	TAILQ_FOREACH(copy, &leg->list->copies, link) {
		if (copy->number >= leg->next && copy->state != LARGE_COPY_DEAD)
			confirm(copy, large_list_msrp_status(status));
	}
	leg->next = leg->list->copy_count;
}

/* This one is done with for him. */
static void pass(struct large_leg *leg, struct large_copy *copy, unsigned status)
{
	confirm(copy, status);
	leg->next = copy->number + 1;
	large_list_settle(leg->list);
}

static void free_copy(struct large_copy *copy)
{
	TAILQ_REMOVE(&copy->list->copies, copy, link);
	copy->list->copies_kept--;
	large_spool_drop(copy->spool);
	free(copy);
}

void large_list_free_copies(struct large_list *l)
{
	struct large_copy *copy;

	while ((copy = TAILQ_FIRST(&l->copies)))
		free_copy(copy);
}

void large_list_abandon_copies(struct large_list *l)
{
	struct large_copy *copy;

	for (unsigned i = 0; l->legs && i < l->recipients.count; i++) {
		struct large_leg *leg = &l->legs[i];
		if (leg->agent && leg->is_sending)
			msrp_sender_drop(virtual_user_agent_leg(leg->agent), &leg->outgoing);
	}
	TAILQ_FOREACH(copy, &l->copies, link) {
		large_spool_abandon(copy->spool);
		copy->spool = NULL;
	}
}

/* He who sends has left. */
void large_list_end_coming(struct large_list *l)
{
	struct large_copy *copy;

	TAILQ_FOREACH(copy, &l->copies, link) {
		if (copy->state == LARGE_COPY_COMING)
			large_copy_kill(copy, 408);
	}
}

/* It will not be whole: nobody gets it, and nobody waits for it. */
void large_copy_kill(struct large_copy *copy, unsigned status)
{
	struct large_list *l = copy->list;

	LOG(INFO, l->im->worker, "large_list", l->actor.id, "message given up octets=%llu expected=%u status=%u",
		(unsigned long long)large_spool_size(copy->spool), copy->expected, status);
	copy->state = LARGE_COPY_DEAD;
	while (copy->message)
		confirm(copy, status);
	msrp_room_hold(copy->list->room, false);
	large_list_settle(copy->list);
}

/* ---- those who come late ---- */

static void give_from(struct large_leg *leg, struct slice content, uint64_t offset)
{
	struct slice rest = slice_skip(content, offset < content.n ? offset : content.n);

	if (rest.n > MSRP_ASKED_MAX)
		rest.n = MSRP_ASKED_MAX;
	msrp_sender_give(virtual_user_agent_leg(leg->agent), &leg->outgoing, &rest, 1);
}

static void stop_sending(struct large_leg *leg, unsigned status)
{
	struct large_copy *copy = next_copy(leg);

	leg->is_sending = false;
	if (copy)
		pass(leg, copy, status);
}

static void on_piece(struct deferred_reader *reader, int err, uint64_t offset, struct slice piece)
{
	struct large_leg *leg = (struct large_leg *)((char *)reader - offsetof(struct large_leg, reader));

	if (!leg->is_sending || !leg->agent)
		return;
	if (!err) {
		give_from(leg, piece, 0);
		return;
	}
	REFUSED(&leg->list->im->worker->counters, REASON_STORE);
	msrp_sender_drop(virtual_user_agent_leg(leg->agent), &leg->outgoing);
	stop_sending(leg, 408);
}

static void on_want(struct msrp_leg *msrp, struct msrp_outgoing *outgoing, uint64_t offset, void *arg)
{
	struct large_leg *leg = arg;
	struct large_copy *copy = next_copy(leg);
	bool is_stored;

	if (!copy) { /* cannot be: what is whole stays until he has it */
		msrp_sender_drop(msrp, outgoing);
		leg->is_sending = false;
		return;
	}
	struct slice content = large_spool_content(copy->spool, &is_stored);
	if (!is_stored) {
		give_from(leg, content, offset);
		return;
	}
	leg->reader.on_piece = on_piece;
	if (deferred_reader_ask_upload(&leg->reader, leg->list->im->worker, large_spool_upload(copy->spool), offset) == 0)
		return;
	msrp_sender_drop(msrp, outgoing);
	stop_sending(leg, 408);
}

static void on_sent_late(struct msrp_leg *msrp, struct msrp_outgoing *outgoing, unsigned status, void *arg)
{
	struct large_leg *leg = arg;

	deferred_reader_stop(&leg->reader);
	if (status >= 200 && status < 300)
		COUNT(&leg->list->im->worker->counters, large_list_late);
	stop_sending(leg, status == MSRP_STATUS_LOST ? 408 : status < 300 ? 200 : status);
}

static const struct msrp_sender_events late_events = { on_want, on_sent_late };

static void send_late(struct large_leg *leg, struct large_copy *copy)
{
	leg->outgoing = (struct msrp_outgoing){ .content_type = copy->content_type, .lines = copy->lines,
		.size = large_spool_size(copy->spool), .given_id = copy->id };
	leg->is_sending = true;
	msrp_sender_send(virtual_user_agent_leg(leg->agent), &leg->outgoing);
}

int large_leg_join(struct large_leg *leg)
{
	struct large_list *l = leg->list;
	struct msrp_leg *msrp = virtual_user_agent_leg(leg->agent);
	int err;

	if (l->has_begun)
		err = msrp_sender_attach(msrp, 1, &late_events, leg);
	else
		err = msrp_room_add(l->room, msrp, &(struct msrp_room_member){ .receives = true, .arg = leg });
	if (!err)
		large_leg_enter(leg, l->has_begun ? LARGE_LEG_LATE : LARGE_LEG_MEMBER, "answered");
	return err;
}

/* ---- those who are away ---- */

static void on_taken(void *arg)
{
	(void)arg; /* in one request: there are no pieces */
}

static void end_storing(struct large_leg *leg, unsigned status)
{
	struct large_copy *copy = next_copy(leg);

	leg->upload = NULL;
	leg->list->storing--;
	if (copy)
		pass(leg, copy, status);
}

static void on_stored(void *arg)
{
	end_storing(arg, 200);
}

static void on_failed(int err, void *arg)
{
	end_storing(arg, err == EDQUOT || err == EFBIG ? 413 : 408);
}

static const struct large_upload_events upload_events = { on_taken, on_stored, on_failed };

/* The INVITE that he would have got: what is kept of a large message is made of that (D2-15). */
static bool write_invite(const struct large_leg *leg, struct buffer *out, const struct sip_message *invite)
{
	static const enum sip_header_id kept[] = { SIP_HDR_CALL_ID, SIP_HDR_SUBJECT, SIP_HDR_PRIORITY, SIP_HDR_DATE,
		SIP_HDR_EXPIRES, SIP_HDR_PRIVACY, SIP_HDR_P_ASSERTED_IDENTITY };
	struct large_list *l = leg->list;

	sip_write_request_line(out, SLICE("INVITE"), large_leg_uri(leg));
	sip_copy_headers(out, invite, SIP_HDR_FROM);
	buffer_lit(out, "To: <");
	sip_write_text(out, large_leg_uri(leg));
	buffer_lit(out, ">\r\nCSeq: 1 INVITE\r\n");
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		sip_copy_headers(out, invite, kept[i]);
	if (!identity_hides_sender(l->im, &l->who))
		buffer_printf(out, "Referred-By: <sip:%.*s>\r\n", (int)l->who.canonical_n, l->who.canonical);
	buffer_lit(out, "\r\n");
	return !out->overflow;
}

/* What the store is told of it; NULL: no memory. */
static struct large_upload *begin_upload(struct large_leg *leg, const struct large_copy *copy, const struct sip_message *invite)
{
	struct large_list *l = leg->list;
	struct deferred_times times = deferred_times_of(l->im, invite, DEFERRED_LARGE);
	size_t room = deferred_head_max(invite) / 2;
	char *text = malloc(2 * room), id[DEFERRED_ID_CHARS];
	struct buffer head = buffer_over(text, text ? room : 0), summary = buffer_over(text ? text + room : NULL, text ? room : 0);
	struct large_upload *upload = NULL;
	bool is_shared;
	struct slice content = large_spool_content(copy->spool, &is_shared);

	if (text && deferred_write_head(&head, &summary, l->im, &l->who, invite, DEFERRED_LARGE, times.received_us)) {
		deferred_make_id(l->im->worker, id);
		struct store_deferred message = { .id = slice_of(id, sizeof(id)), .type = STORE_LARGE,
			.is_urgent = deferred_is_urgent(invite), .is_multimedia = copy->is_multimedia,
			.received_us = times.received_us, .expires_at_s = times.expires_at_s,
			.size = large_spool_size(copy->spool), .call_id = sip_header_value(invite, SIP_HDR_CALL_ID),
			.head = buffer_slice(&head), .msrp = copy->msrp, .summary = buffer_slice(&summary),
			.content = content };
		upload = large_upload_begin(l->im, &(struct large_upload_start){ .mailbox = large_leg_canonical(leg),
			.registration = leg->registration, .message = &message, .events = &upload_events, .arg = leg,
			.shared = is_shared ? large_spool_upload(copy->spool) : 0 });
	}
	free(text);
	return upload;
}

static void store_for(struct large_leg *leg, struct large_copy *copy)
{
	struct large_list *l = leg->list;
	size_t room = l->request_n + IM_CANONICAL_MAX + 2 * large_leg_uri(leg).n + 256;
	struct sip_limits limits = { room + 1, room + 1, 0 };
	char *text = malloc(room);
	struct buffer out = buffer_over(text, text ? room : 0);
	struct sip_message invite, his;
	size_t used;

	if (text && large_list_read(l, &invite) && write_invite(leg, &out, &invite) &&
	    sip_message_parse(&his, buffer_slice(&out), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
		leg->upload = begin_upload(leg, copy, &his);
	free(text);
	if (leg->upload) {
		l->storing++;
		return;
	}
	REFUSED(&l->im->worker->counters, REASON_NO_MEMORY);
	pass(leg, copy, 408);
}

/* D2-13: what was announced is what is stored. */
static bool is_as_announced(const struct large_list *l, const struct large_copy *copy)
{
	return !l->has_size || l->size == large_spool_size(copy->spool);
}

/* ---- going on ---- */

static void advance(struct large_leg *leg)
{
	struct large_list *l = leg->list;
	struct large_copy *copy = next_copy(leg);

	if (!copy || copy->state != LARGE_COPY_WHOLE)
		return;
	if (leg->state == LARGE_LEG_LATE && leg->agent && !leg->is_sending) {
		send_late(leg, copy);
	} else if (leg->state == LARGE_LEG_DEFERRED && !leg->upload) {
		if (!is_as_announced(l, copy))
			pass(leg, copy, large_spool_size(copy->spool) > l->size ? 413 : 400);
		else if (l->storing < LARGE_LIST_STORING)
			store_for(leg, copy);
	}
}

static bool is_needed(const struct large_copy *copy)
{
	const struct large_list *l = copy->list;

	if (copy->state == LARGE_COPY_COMING || copy->state == LARGE_COPY_ENDED)
		return true;
	for (unsigned i = 0; i < l->recipients.count; i++)
		if (large_leg_waits_for_copies(&l->legs[i]) && l->legs[i].next <= copy->number && copy->state != LARGE_COPY_DEAD)
			return true;
	return false;
}

void large_list_advance(struct large_list *l)
{
	struct large_copy *copy, *next;

	for (unsigned i = 0; i < l->recipients.count; i++)
		advance(&l->legs[i]);
	for (copy = TAILQ_FIRST(&l->copies); copy; copy = next) {
		next = TAILQ_NEXT(copy, link);
		if (!is_needed(copy))
			free_copy(copy);
	}
}
