/*
 * The session of a large message that is stored: from the INVITE of which the
 * recipient is found away to the BYE.  What comes over MSRP: large_message_receive.c.
 */
#include "actors/large_message_internal.h"

#include <stdlib.h>

#include "actors/cdr.h"
#include "actors/policy.h"
#include "actors/session_sdp.h"
#include "actors/store_actor.h"
#include "core/log.h"

#define WARNING_SIZE_MISSING "Message size missing" /* D1-06 */

static void on_actor_message(struct actor *actor, struct msg *msg)
{
	free(msg); /* nobody knows its id but the store, which answers by another way */
}

static const struct actor_type large_message_type = { "large", on_actor_message };

bool large_message_read(const struct large_message *l, struct sip_message *invite)
{
	struct sip_limits limits = { l->request_n + 1, l->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(invite, slice_of(l->request, l->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

/* ---- the end ---- */

static void write_record(const struct large_message *l, const char *reason)
{
	if (cdr_is_on(l->im))
		cdr_write(l->im, &(struct cdr){ .type = "large", .id = l->actor.id, .from = cdr_from(l->sender),
			.to = large_message_recipient(l), .start_us = l->start_us, .octets = l->stored_octets,
			.messages = l->stored_messages, .reason = reason });
}

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_large_messages, pool_used(&im->large_messages));
}

static void free_all(struct large_message *l)
{
	struct im *im = l->im;

	worker_disarm(im->worker, &l->timer);
	if (l->invite)
		sip_server_watch(l->invite, NULL, NULL);
	if (l->upload)
		large_upload_drop(l->upload);
	free(l->request);
	free(l->sender);
	free(l->recipient);
	free(l->msrp);
	actor_close(&l->actor);
	pool_give(&im->large_messages, l);
	count(im);
}

static void finish(struct large_message *l, const char *reason)
{
	LOG(INFO, l->im->worker, "large", l->actor.id, "ended messages=%llu octets=%llu reason=%s",
		(unsigned long long)l->stored_messages, (unsigned long long)l->stored_octets, reason);
	write_record(l, reason);
	free_all(l);
}

/* Nothing was accepted. */
static void refuse(struct large_message *l, unsigned status, enum reason why)
{
	struct sip_server *invite = l->invite;

	l->invite = NULL;
	sip_server_watch(invite, NULL, NULL);
	sip_server_refuse(invite, status, why);
	write_record(l, reason_label(why));
	free_all(l);
}

static void refuse_with_warning(struct large_message *l, unsigned status, enum reason why, const char *text)
{
	struct sip_server *invite = l->invite;

	l->invite = NULL;
	sip_server_watch(invite, NULL, NULL);
	im_refuse_with_warning(l->im, invite, status, why, text);
	write_record(l, reason_label(why));
	free_all(l);
}

/* We hang up, or answer his BYE.  `trouble` NULL: all is well. */
static void hang_up(struct large_message *l, const char *trouble, const char *reason)
{
	struct virtual_user_agent *agent = l->agent;

	large_message_abandon(l);
	l->agent = NULL;
	virtual_user_agent_end(agent, trouble);
	finish(l, reason);
}

/* ---- waiting ---- */

static void on_time(struct timer *timer)
{
	struct large_message *l = (struct large_message *)((char *)timer - offsetof(struct large_message, timer));

	if (l->invite) {
		refuse(l, 503, REASON_STORE_BUSY);
	} else if (l->is_whole) { /* the store answers, sooner or later */
		large_message_wait(l);
	} else if (l->is_leaving) {
		/* 200 would be the only word to who wants no reports: not of a message that we could not keep */
		hang_up(l, l->has_failed ? reason_label(REASON_STORE) : NULL, "bye");
	} else {
		REFUSED(&l->im->worker->counters, REASON_TIMEOUT);
		hang_up(l, "nothing was sent", reason_label(REASON_TIMEOUT));
	}
}

void large_message_wait(struct large_message *l)
{
	uint64_t ms = !l->is_leaving ? LARGE_MESSAGE_IDLE_MS : l->seen ? LARGE_MESSAGE_LINGER_MS : LARGE_MESSAGE_FIRST_MS;

	worker_arm(l->im->worker, &l->timer, ms, on_time);
}

/* May what his BYE has overtaken still be on its way?  Who wants answers and does not wait for them has given it up. */
static bool may_come(const struct large_message *l)
{
	return l->agent && virtual_user_agent_is_bound(l->agent) &&
	       (l->seen == 0 || (l->is_silent && msrp_receiver_is_open(virtual_user_agent_leg(l->agent))));
}

/* From the end of this turn on nothing is being read, and the leg may be closed. */
void large_message_settle(struct large_message *l)
{
	if (l->is_leaving && !l->is_whole && !may_come(l))
		worker_arm(l->im->worker, &l->timer, 1, on_time);
	else
		large_message_wait(l);
}

/* ---- the user agent ---- */

static void on_bound(struct virtual_user_agent *agent, void *arg)
{
	large_message_wait(arg);
}

/* Its message was given up by the leg; a new connection may begin again at its first octet. */
static void on_lost(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	large_message_settle(arg);
}

static void on_bye(struct virtual_user_agent *agent, void *arg)
{
	struct large_message *l = arg;

	l->is_leaving = true;
	if (!l->is_whole && !may_come(l))
		hang_up(l, l->has_failed ? reason_label(REASON_STORE) : NULL, "bye");
	else
		large_message_wait(l);
}

static void on_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct large_message *l = arg;

	large_message_abandon(l);
	l->agent = NULL;
	finish(l, reason_label(why));
}

static const struct virtual_user_agent_events agent_events = { on_bound, on_lost, on_bye, on_ended };

/* ---- accepting ---- */

static int attach_receiver(struct large_message *l)
{
	const struct policy_options *policy = &l->im->config->policy;
	char text[MSRP_ACCEPT_MAX];
	struct buffer types = buffer_over(text, sizeof(text));
	struct msrp_receiver_options options = { .size = l->size, .max_octets = l->max_octets };
	struct msrp_accept accept;

	for (unsigned i = 0; i < policy->content_types.count; i++) {
		buffer_str(&types, policy->content_types.list[i]);
		buffer_char(&types, ' ');
	}
	if (!policy_permits_every_type(l->im->config)) {
		msrp_accept_set(&accept, buffer_slice(&types), SLICE("*"));
		options.types = slice_of(accept.text, accept.types_n);
	}
	return msrp_receiver_attach(virtual_user_agent_leg(l->agent), &options, &large_message_receiver_events, l);
}

static void accept_invite(struct large_message *l)
{
	const char *store_host = l->im->config->domain.store_host;
	char text[512];
	struct buffer asserted = buffer_over(text, sizeof(text));
	struct sip_server *server = l->invite;
	enum reason why = REASON_NO_MEMORY;
	struct sip_message invite;

	if (!large_message_read(l, &invite)) { /* cannot be: it was read before */
		refuse(l, 400, REASON_SYNTAX);
		return;
	}
	buffer_printf(&asserted, "sip:Deferred@%s", store_host);
	l->invite = NULL;
	bool is_accepted = virtual_user_agent_answer(&l->agent, l->im, &(struct virtual_user_agent_answer){
		.server = server, .invite = &invite, .user = slice_of(l->sender->canonical, l->sender->canonical_n),
		.asserted = buffer_slice(&asserted), .media = { .direction = SDP_RECVONLY, .max_size = l->max_octets },
		.events = &agent_events, .arg = l }, &why);
	if (!is_accepted) {
		finish(l, reason_label(why));
		return;
	}
	LOG(INFO, l->im->worker, "large", l->actor.id, "accepted for=%.*s octets=%llu", SLICE_ARG(large_message_recipient(l)),
		(unsigned long long)l->size);
	if (attach_receiver(l) != 0)
		hang_up(l, reason_label(REASON_NO_MEMORY), reason_label(REASON_NO_MEMORY));
	else
		large_message_wait(l);
}

/* ---- is there room? ---- */

#define ROOM_UNLIMITED (1ull << 50)

static bool is_room(struct large_message *l, const struct store_deferred_counts *counts)
{
	const struct deferred_options *options = &l->im->config->deferred;

	l->room = ROOM_UNLIMITED;
	if (options->quota_bytes)
		l->room = options->quota_bytes > counts->octets ? options->quota_bytes - counts->octets : 0;
	return (!options->quota_messages || counts->messages < options->quota_messages) && l->size <= l->room;
}

static void on_counted(struct worker *worker, struct store_request *request)
{
	struct store_deferred_summary *summary = (struct store_deferred_summary *)request;
	struct large_message *l = (struct large_message *)actor_find(worker, (actor_id)(uintptr_t)request->asker);

	if (l && l->invite) {
		worker_disarm(worker, &l->timer);
		if (request->msg.err)
			refuse(l, 503, REASON_STORE);
		else if (!is_room(l, &summary->counts))
			refuse(l, 480, REASON_QUOTA);
		else
			accept_invite(l);
	}
	free(request);
}

static bool ask_for_room(struct large_message *l)
{
	struct store_deferred_summary *summary = store_deferred_summary_new(large_message_recipient(l), 0);
	struct ring *ring = l->im->worker->ring;

	if (!summary)
		return false;
	summary->now_s = ring->ops->wall_us(ring) / 1000000;
	summary->request.on_answer = on_counted;
	summary->request.asker = (void *)(uintptr_t)l->actor.id;
	if (store_ask(l->im->worker, &summary->request) != 0) {
		free(summary);
		return false;
	}
	worker_arm(l->im->worker, &l->timer, LARGE_MESSAGE_CHECK_MS, on_time);
	return true;
}

/* ---- the INVITE ---- */

static void on_cancelled(struct sip_server *server, void *arg)
{
	refuse(arg, 487, REASON_REJECTED);
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	struct large_message *l = arg;

	l->invite = NULL;
	finish(l, "stopped");
}

static const struct sip_server_events invite_events = { on_cancelled, NULL, NULL, on_invite_gone, NULL };

/* False: refused. */
static bool check(struct large_message *l)
{
	const struct config *config = l->im->config;
	const struct sdp_media *media;
	struct sip_message invite;
	struct sdp offer;

	/* what our own functions send fails instead of coming back to where it was (design.md 7) */
	if (config->policy.offline_large != OFFLINE_DEFER ||
	    identity_is_function(l->im, slice_of(l->sender->canonical, l->sender->canonical_n))) {
		refuse(l, 480, REASON_OFFLINE);
		return false;
	}
	if (!large_message_read(l, &invite) || session_sdp_read_offer(&invite, &offer, &media) != SDP_ACCEPTED) {
		refuse(l, 400, REASON_SDP); /* cannot be: it was read before */
		return false;
	}
	l->has_size = session_sdp_size(media, &l->size);
	l->max_octets = session_sdp_size_limit(l->im, &offer, media);
	if (!l->has_size && config->deferred.require_size) {
		refuse_with_warning(l, 403, REASON_SIZE_MISSING, WARNING_SIZE_MISSING);
		return false;
	}
	return true;
}

static void drop_start(const struct large_message_start *start)
{
	free(start->request);
	free(start->sender);
	free(start->recipient);
}

bool large_message_start(struct im *im, const struct large_message_start *start)
{
	struct large_message *l = pool_take(&im->large_messages);

	if (!l) {
		sip_server_refuse(start->invite, 503, REASON_POOL_EXHAUSTED);
		drop_start(start);
		return false;
	}
	l->im = im;
	if (actor_open(im->worker, &l->actor, &large_message_type) != 0) {
		pool_give(&im->large_messages, l);
		sip_server_refuse(start->invite, 503, REASON_NO_MEMORY);
		drop_start(start);
		return false;
	}
	l->invite = start->invite;
	l->request = start->request;
	l->request_n = start->request_n;
	l->sender = start->sender;
	l->recipient = start->recipient;
	l->recipient_n = start->recipient_n;
	l->registration = start->registration;
	l->start_us = cdr_now_us(im);
	count(im);
	sip_server_watch(l->invite, &invite_events, l);
	if (check(l) && !ask_for_room(l))
		refuse(l, 503, REASON_NO_MEMORY);
	return true;
}

int large_messages_init(struct im *im)
{
	int err = pool_init(&im->large_messages, "large_messages", sizeof(struct large_message), im->config->limits.sessions);

	return err ? err : large_uploads_init(im);
}

/* The transactions below were dropped without a word. */
void large_messages_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->large_messages.made; slot++) {
		struct large_message *l = pool_at(&im->large_messages, slot);
		if (!l)
			continue;
		l->invite = NULL;
		l->upload = NULL;
		finish(l, "stopped");
	}
	pool_free(&im->large_messages);
	large_uploads_free(im);
}
