/* The session of a retrieval: from the INVITE to the BYE.  What the names in it stand for: retrieval_lookup.c. */
#include "actors/retrieval.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/cdr.h"
#include "actors/retrieval_internal.h"
#include "actors/retrieval_name.h"
#include "actors/session_sdp.h"
#include "actors/session_timer.h"
#include "actors/user.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/owner.h"

bool retrieval_is_for(const struct im *im, const struct sip_uri *target)
{
	return retrieval_form_of(im, target) != RETRIEVAL_NONE;
}

bool retrieval_read(const struct retrieval *r, struct sip_message *invite)
{
	struct sip_limits limits = { r->request_n + 1, r->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(invite, slice_of(r->request, r->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

/* ---- the end ---- */

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_retrievals, pool_used(&im->retrievals));
}

static void write_record(const struct retrieval *r, const char *reason)
{
	char to[IM_CANONICAL_MAX];

	if (!cdr_is_on(r->im))
		return;
	snprintf(to, sizeof(to), "Deferred@%s", r->im->config->domain.store_host);
	cdr_write(r->im, &(struct cdr){ .type = "retrieval", .id = r->actor.id, .from = retrieval_user(r), .to = slice_str(to),
		.start_us = r->start_us, .messages = r->delivered, .reason = reason });
}

static void free_all(struct retrieval *r)
{
	struct im *im = r->im;

	worker_disarm(im->worker, &r->timer);
	if (r->invite)
		sip_server_watch(r->invite, NULL, NULL);
	free(r->request);
	free(r->positions);
	uri_list_free(&r->list);
	actor_close(&r->actor);
	pool_give(&im->retrievals, r);
	count(im);
}

/* What the client could do about it; NULL: nothing that the status does not say. */
static const char *warning_of(enum reason why)
{
	return why == REASON_RETRIEVAL_DIRECTION ? "A description with a=recvonly is expected" :
	       why == REASON_MSRP_CONTENT_TYPE ? "The accept-types must permit multipart/mixed" :
	       why == REASON_XML ? "The URI list cannot be read" :
	       why == REASON_URI_LIST ? "The URI list is too long" : NULL;
}

static void refuse(struct retrieval *r, struct sip_server *invite, unsigned status, enum reason why)
{
	const char *warning = warning_of(why);

	if (warning)
		im_refuse_with_warning(r->im, invite, status, why, warning);
	else
		sip_server_refuse(invite, status, why);
}

void retrieval_refuse(struct retrieval *r, unsigned status, enum reason why)
{
	struct sip_server *invite = r->invite;

	r->invite = NULL;
	sip_server_watch(invite, NULL, NULL);
	refuse(r, invite, status, why);
	write_record(r, reason_label(why));
	free_all(r);
}

static void finish(struct retrieval *r, const char *reason)
{
	LOG(INFO, r->im->worker, "retrieval", r->actor.id, "ended messages=%u reason=%s", r->delivered,
		reason);
	write_record(r, reason);
	free_all(r);
}

/* ---- the INVITE ---- */

static void on_cancelled(struct sip_server *server, void *arg)
{
	struct retrieval *r = arg;

	r->invite = NULL;
	sip_server_watch(server, NULL, NULL);
	sip_server_respond(server, &(struct sip_reply){ .status = 487 });
	finish(r, "cancelled");
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	struct retrieval *r = arg;

	r->invite = NULL;
	finish(r, "stopped");
}

static const struct sip_server_events invite_events = { .on_cancel = on_cancelled, .on_gone = on_invite_gone };

/* ---- delivering ---- */

static void on_done(const struct delivery_outcome *outcome, void *arg)
{
	struct retrieval *r = arg;
	struct virtual_user_agent *agent = r->agent;
	const char *reason = outcome->is_complete ? NULL : reason_label(outcome->why);

	r->agent = NULL;
	r->delivery = NULL;
	r->delivered = outcome->delivered;
	virtual_user_agent_end(agent, reason);
	finish(r, reason ? reason : "complete");
}

static const struct delivery_events delivery_events = { on_done };

static void on_bound(struct virtual_user_agent *agent, void *arg)
{
	struct retrieval *r = arg;

	if (!r->is_bound)
		delivery_go(r->delivery);
	r->is_bound = true;
}

static void on_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct retrieval *r = arg;

	if (r->delivery) {
		r->delivered = delivery_delivered(r->delivery);
		delivery_stop(r->delivery);
	}
	r->delivery = NULL;
	r->agent = NULL;
	finish(r, reason_label(why));
}

static const struct virtual_user_agent_events agent_events = { .on_bound = on_bound, .on_ended = on_ended };

static bool begin_delivery(struct retrieval *r, const struct sdp_media *media)
{
	uint64_t max_octets = 0;

	if (!slice_u64(slice_trim(media->max_size), UINT64_MAX, &max_octets))
		max_octets = 0;
	return delivery_start(&r->delivery, r->im, &(struct delivery_start){
		.canonical = retrieval_user(r), .leg = virtual_user_agent_leg(r->agent), .max_octets = max_octets,
		.positions = r->is_all ? NULL : r->positions, .count = r->count, .events = &delivery_events, .arg = r });
}

void retrieval_accept(struct retrieval *r)
{
	char text[512];
	struct buffer asserted = buffer_over(text, sizeof(text));
	struct sip_server *server = r->invite;
	enum reason why = REASON_NO_MEMORY;
	const struct sdp_media *media;
	struct sip_message invite;
	struct sdp offer;

	if (!retrieval_read(r, &invite) || session_sdp_read(&invite, &offer, &media) != SDP_ACCEPTED) {
		retrieval_refuse(r, 400, REASON_SYNTAX); /* cannot be: it was read before */
		return;
	}
	buffer_printf(&asserted, "sip:Deferred@%s", r->im->config->domain.store_host);
	r->invite = NULL;
	if (!virtual_user_agent_answer(&r->agent, r->im, &(struct virtual_user_agent_answer){
		    .server = server, .invite = &invite, .user = retrieval_user(r), .asserted = buffer_slice(&asserted),
		    .media = { .direction = SDP_SENDONLY }, .events = &agent_events, .arg = r }, &why)) {
		finish(r, reason_label(why));
		return;
	}
	COUNT(&r->im->worker->counters, retrievals);
	LOG(INFO, r->im->worker, "retrieval", r->actor.id, "accepted user=%.*s all=%d messages=%u",
		SLICE_ARG(retrieval_user(r)), r->is_all, r->count);
	if (begin_delivery(r, media))
		return;
	struct virtual_user_agent *agent = r->agent;
	REFUSED(&r->im->worker->counters, REASON_NO_MEMORY);
	r->agent = NULL;
	virtual_user_agent_end(agent, reason_label(REASON_NO_MEMORY));
	finish(r, reason_label(REASON_NO_MEMORY));
}

/* ---- checks ---- */

/* False: refused, or it is for the store to say. */
static bool has_good_description(struct retrieval *r, const struct sip_message *invite)
{
	const struct sdp_media *media;
	struct sdp offer;
	enum sdp_judgement judgement = session_sdp_read(invite, &offer, &media);

	if (judgement == SDP_MISSING || judgement == SDP_UNSUPPORTED || /* none, whatever else the body is (D2-08) */
	    (judgement == SDP_ACCEPTED && sdp_media_direction(&offer, media) != SDP_RECVONLY)) {
		retrieval_refuse(r, 403, REASON_RETRIEVAL_DIRECTION);
		return false;
	}
	if (r->other_n) {
		retrieval_refuse(r, 403, REASON_MAILBOX_FOREIGN);
		return false;
	}
	if (judgement != SDP_ACCEPTED || !delivery_is_acceptable(media)) { /* D2-23 */
		struct sip_server *server = r->invite;
		r->invite = NULL;
		sip_server_watch(server, NULL, NULL);
		if (judgement != SDP_ACCEPTED)
			session_sdp_refuse(r->im, server, judgement);
		else
			refuse(r, server, 488, REASON_MSRP_CONTENT_TYPE);
		finish(r, "description");
		return false;
	}
	return true;
}

/* 0, or what a URI list that cannot be used gets. */
static unsigned status_of_list(enum uri_list_verdict verdict, enum reason *why)
{
	*why = REASON_XML;
	switch (verdict) {
	case URI_LIST_OK:
	case URI_LIST_NONE:
		break;
	case URI_LIST_TOO_LARGE:
		return 413;
	case URI_LIST_NO_MEMORY:
		*why = REASON_NO_MEMORY;
		return 503;
	case URI_LIST_TOO_MANY:
		*why = REASON_URI_LIST;
		return 400;
	case URI_LIST_MALFORMED:
		return 400;
	}
	return 0;
}

static bool make_room(struct retrieval *r)
{
	uint64_t *positions = realloc(r->positions, (r->count + r->list.count + 1) * sizeof(*positions));

	if (positions)
		r->positions = positions;
	return positions != NULL;
}

void retrieval_check(struct retrieval *r)
{
	struct sip_message invite;
	enum reason why;
	unsigned status;

	r->has_looked = true;
	if (!retrieval_read(r, &invite)) { /* cannot be: it was read before */
		retrieval_refuse(r, 400, REASON_SYNTAX);
		return;
	}
	if (!has_good_description(r, &invite))
		return;
	if (session_timer_is_too_brief(&invite, r->im->config->timers.min_se_ms)) {
		struct sip_server *server = r->invite;
		r->invite = NULL;
		sip_server_watch(server, NULL, NULL);
		session_timer_refuse(r->im, server);
		finish(r, reason_label(REASON_INTERVAL_TOO_BRIEF));
		return;
	}
	enum uri_list_verdict verdict = uri_list_read(&r->list, &invite, &r->im->config->limits);
	if ((status = status_of_list(verdict, &why))) {
		retrieval_refuse(r, status, why);
		return;
	}
	if (verdict == URI_LIST_OK) /* what is listed, of the account (CR000 11.3.1.1) */
		r->is_all = false;
	if (!make_room(r))
		retrieval_refuse(r, 503, REASON_NO_MEMORY);
	else
		retrieval_look_up_list(r);
}

/* ---- the beginning ---- */

static void on_message(struct actor *actor, struct msg *msg)
{
	struct retrieval *r = (struct retrieval *)actor;

	if (msg->kind == MSG_USER_FOUND && r->invite) {
		struct user_find *found = (struct user_find *)msg;
		bool is_registered = found->is_registered;
		free(found);
		retrieval_on_found(r, is_registered);
		return;
	}
	free(msg);
}

static const struct actor_type retrieval_type = { "retrieval", on_message };

/* Who has an account in the store: every user of ours, and nobody else. */
static bool has_account(const struct im *im, struct slice canonical)
{
	struct slice user = sip_canonical_user(canonical);

	return user.n && slice_eq(slice_skip(canonical, user.n + 1), im->server->sip.home.home) &&
	       !sip_name_is_function(user, &im->server->sip) && !sip_name_is_group(user, &im->server->sip);
}

static struct retrieval *make(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct retrieval_start *start)
{
	struct retrieval *r = pool_take(&im->retrievals);

	if (!r)
		return NULL;
	r->im = im;
	r->request = malloc(m->wire.n);
	r->positions = malloc(sizeof(*r->positions)); /* of the Request-URI */
	if (!r->request || !r->positions || actor_open(im->worker, &r->actor, &retrieval_type) != 0) {
		free(r->request);
		free(r->positions);
		pool_give(&im->retrievals, r);
		return NULL;
	}
	memcpy(r->request, m->wire.p, m->wire.n);
	r->request_n = m->wire.n;
	r->start_us = cdr_now_us(im);
	memcpy(r->user, start->who->canonical, start->who->canonical_n);
	r->user_n = start->who->canonical_n;
	r->target_is_known = start->target_is_known;
	r->invite = server;
	sip_server_watch(server, &invite_events, r);
	count(im);
	return r;
}

void retrieval_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct retrieval_start *start)
{
	struct sip_uri target;
	struct retrieval *r;

	if (!sip_uri_parse(m->uri, &target)) { /* cannot be: it was parsed before */
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	}
	if (!has_account(im, slice_of(start->who->canonical, start->who->canonical_n))) {
		sip_server_refuse(server, 403, REASON_MAILBOX_FOREIGN);
		return;
	}
	r = make(im, server, m, start);
	if (!r) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (retrieval_form_of(im, &target) == RETRIEVAL_FUNCTION) {
		r->is_all = true;
		retrieval_check(r);
	} else {
		retrieval_look_up_target(r, &target);
	}
}

int retrievals_init(struct im *im)
{
	return pool_init(&im->retrievals, "retrievals", sizeof(struct retrieval), im->config->limits.sessions);
}

/* The transactions below were dropped without a word. */
void retrievals_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->retrievals.made; slot++) {
		struct retrieval *r = pool_at(&im->retrievals, slot);
		if (!r)
			continue;
		r->invite = NULL;
		finish(r, "stopped");
	}
	pool_free(&im->retrievals);
}
