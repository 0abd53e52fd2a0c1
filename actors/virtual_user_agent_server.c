/*
 * A user agent of ours that was called: the answer to an INVITE, at once
 * (10.3.2.2, 10.3.2.5) or after ringing (7.2.1), and what comes of the INVITE
 * until then: CANCEL, BYE, no PRACK.
 */
#include "actors/virtual_user_agent_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

/* How it came to nothing; status 0: it did not. */
struct failure {
	unsigned status;
	enum reason why;
	enum sdp_judgement judgement; /* of his description; SDP_ACCEPTED: there is nothing to say of it */
};

static const struct failure none;

static struct failure open_dialog(struct virtual_user_agent *agent, struct sip_server *server,
	const struct sip_message *invite)
{
	struct sip_dialog_start start = { .local_tag = sip_server_to_tag(server),
		.events = &virtual_user_agent_dialog_events, .owner = agent };

	if (agent->im->config->core.mode == MODE_IMS)
		start.next = im_next_hop(agent->im);
	else
		start.next = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = *sip_server_flow(server) };
	switch (sip_dialog_open_server(&agent->dialog, agent->im->worker, invite, &start)) {
	case 0:
		return none;
	case EINVAL:
		return (struct failure){ 400, REASON_SYNTAX, SDP_ACCEPTED };
	case EMSGSIZE:
		return (struct failure){ 513, REASON_TOO_LARGE, SDP_ACCEPTED };
	default:
		return (struct failure){ 503, REASON_POOL_EXHAUSTED, SDP_ACCEPTED };
	}
}

/* He made no offer: his answer comes with the ACK (RFC 3261 13.3.1.4). */
static struct failure make_offer(struct virtual_user_agent *agent, const struct sip_flow *flow)
{
	if (!agent->media.accept_types) /* of nothing there is no part */
		return (struct failure){ 488, REASON_SDP, SDP_ACCEPTED };
	if (virtual_user_agent_open_any_leg(agent, flow, agent->is_sips) != 0)
		return (struct failure){ 503, REASON_POOL_EXHAUSTED, SDP_ACCEPTED };
	if (!virtual_user_agent_offer(agent, SLICE_EMPTY))
		return (struct failure){ 503, REASON_NO_MEMORY, SDP_ACCEPTED };
	agent->offered_in_2xx = true;
	return none;
}

static struct failure open_media(struct virtual_user_agent *agent, const struct sip_flow *flow,
	const struct sip_message *invite)
{
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp offer;
	enum sdp_judgement judgement = session_sdp_read(invite, &offer, &media);

	if (judgement == SDP_MISSING)
		return make_offer(agent, flow);
	if (judgement != SDP_ACCEPTED)
		return (struct failure){ 488, REASON_SDP, judgement };
	sip_flow_get_peer(flow, &from);
	struct session_peer said = { &offer, media, false, &from, agent->identity };
	if (!virtual_user_agent_has_common_type(agent, &said))
		return (struct failure){ 488, REASON_SDP, SDP_NO_COMMON_TYPE };
	if (virtual_user_agent_open_leg(agent, flow, session_sdp_is_secure(media), media->path) != 0)
		return (struct failure){ 503, REASON_POOL_EXHAUSTED, SDP_ACCEPTED };
	if (!virtual_user_agent_describe(agent, &said, virtual_user_agent_answer_setup(agent, &said)))
		return (struct failure){ 488, REASON_SDP, SDP_ACCEPTED };
	if (!virtual_user_agent_attach(agent, &said))
		return (struct failure){ 488, REASON_CONNECT_FORBIDDEN, SDP_ACCEPTED };
	return none;
}

/* What our final answer is made of. */
struct answering {
	struct sip_server *server;
	const struct sip_message *invite;
	struct slice asserted, headers;
};

static struct failure answer(struct virtual_user_agent *agent, const struct answering *a)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));

	sip_copy_headers(&headers, a->invite, SIP_HDR_RECORD_ROUTE); /* RFC 3261 12.1.1 */
	virtual_user_agent_write_contact(agent, &headers, sip_server_flow(a->server));
	outgoing_date(&headers, agent->im->worker);
	virtual_user_agent_write_asserted(&headers, a->asserted);
	buffer_put(&headers, a->headers);
	/* whoever called refreshes (D1-04) */
	session_timer_answer(&agent->timer, a->invite, agent->im, SIP_REFRESHER_UAC, &headers);
	if (headers.overflow)
		return (struct failure){ 513, REASON_TOO_LARGE, SDP_ACCEPTED };
	agent->takes_update = sip_items_have(a->invite, SIP_HDR_ALLOW, "UPDATE");
	if (agent->offered_in_2xx)
		msrp_leg_expect_peer(agent->leg, true);
	virtual_user_agent_await_ack(agent, a->server);
	sip_server_respond(a->server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = SLICE("application/sdp"), .body = slice_of(agent->sdp, agent->sdp_n) });
	return none;
}

static struct failure finish(struct virtual_user_agent *agent, const struct answering *a)
{
	struct failure failure = open_media(agent, sip_server_flow(a->server), a->invite);

	return failure.status ? failure : answer(agent, a);
}

static struct virtual_user_agent *make(struct im *im, const struct virtual_user_agent_answer *a)
{
	struct virtual_user_agent *agent = virtual_user_agent_make(im, &a->face);

	if (!agent)
		return NULL;
	agent->events = a->events;
	agent->arg = a->arg;
	agent->media = a->media;
	agent->identity = connect_limit_identity(im, a->user);
	agent->is_sips = outgoing_wants_sips(a->invite);
	agent->state = VIRTUAL_USER_AGENT_RINGING;
	return agent;
}

bool virtual_user_agent_answer(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *a, enum reason *why)
{
	struct virtual_user_agent *agent = make(im, a);
	struct failure failure = { 503, REASON_SESSION_LIMIT, SDP_ACCEPTED };

	sip_server_watch(a->server, NULL, NULL);
	if (agent)
		failure = open_dialog(agent, a->server, a->invite);
	if (!failure.status)
		failure = finish(agent, &(struct answering){ a->server, a->invite, a->asserted, SLICE_EMPTY });
	if (!failure.status) {
		virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_BINDING, "answered");
		*out = agent;
		return true;
	}
	if (agent)
		virtual_user_agent_unmake(agent);
	if (why)
		*why = failure.why;
	sip_server_refuse(a->server, failure.status, failure.why);
	return false;
}

/* ---- ringing ---- */

static struct slice asserted_of(const struct virtual_user_agent_ringing *r)
{
	return slice_of(r->text + r->request_n, r->asserted_n);
}

/* With what a refusal of somebody else, passed on as a status alone, has to say of us (RFC 3261 8.2.1, 8.2.3). */
static void refuse(struct virtual_user_agent *agent, struct sip_server *server, unsigned status, enum reason why,
	struct slice headers)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	buffer_put(&out, headers);
	if (status == 415)
		buffer_lit(&out, "Accept: " IM_ACCEPT_SESSION ", application/resource-lists+xml\r\n");
	if (status == 405)
		virtual_user_agent_write_allow(agent, &out);
	im_refuse(agent->im, server, status, why, out.overflow ? SLICE_EMPTY : buffer_slice(&out));
}

void virtual_user_agent_stop_ringing(struct virtual_user_agent *agent, unsigned status, enum reason why,
	struct slice headers)
{
	struct virtual_user_agent_ringing *r = agent->ringing;

	if (!r)
		return;
	agent->ringing = NULL;
	agent->peer_has_left = true; /* the dialog came to nothing: no BYE */
	if (r->server) {
		sip_server_watch(r->server, NULL, NULL);
		refuse(agent, r->server, status, why, headers);
	}
	free(r);
}

void virtual_user_agent_cancelled(struct virtual_user_agent *agent, unsigned status, enum reason why)
{
	const struct virtual_user_agent_events *events = agent->events;

	virtual_user_agent_stop_ringing(agent, status, why, SLICE_EMPTY);
	if (!events->on_cancelled) {
		virtual_user_agent_fail(agent, REASON_PEER_CLOSED, "cancelled");
		return;
	}
	events->on_cancelled(agent, agent->arg);
	virtual_user_agent_unmake(agent);
}

static void on_cancel(struct sip_server *server, void *arg)
{
	(void)server;
	virtual_user_agent_cancelled(arg, 487, REASON_REJECTED);
}

/* RFC 3262 3: who does not acknowledge what he asked for is not there. */
static void on_unpracked(struct sip_server *server, void *arg)
{
	(void)server;
	virtual_user_agent_cancelled(arg, 504, REASON_NO_PRACK);
}

static void on_ringing_gone(struct sip_server *server, void *arg)
{
	struct virtual_user_agent *agent = arg;

	(void)server;
	agent->ringing->server = NULL;
	virtual_user_agent_cancelled(agent, 487, REASON_REJECTED);
}

static const struct sip_server_events ringing_events = { on_cancel, NULL, NULL, on_ringing_gone, on_unpracked };

static struct failure keep_invite(struct virtual_user_agent *agent, const struct virtual_user_agent_answer *a)
{
	struct slice wire = a->invite->wire;
	struct virtual_user_agent_ringing *r = calloc(1, sizeof(*r) + wire.n + a->asserted.n);

	if (!r)
		return (struct failure){ 503, REASON_NO_MEMORY, SDP_ACCEPTED };
	r->server = a->server;
	r->wants_reliable = sip_items_have(a->invite, SIP_HDR_REQUIRE, "100rel");
	r->request_n = (uint32_t)wire.n;
	r->asserted_n = (uint32_t)a->asserted.n;
	memcpy(r->text, wire.p, wire.n);
	if (a->asserted.n)
		memcpy(r->text + wire.n, a->asserted.p, a->asserted.n);
	agent->ringing = r;
	return none;
}

bool virtual_user_agent_ring(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *a, enum reason *why)
{
	struct virtual_user_agent *agent;
	struct failure failure = { 503, REASON_SESSION_LIMIT, SDP_ACCEPTED };

	sip_server_watch(a->server, NULL, NULL);
	if (!session_invite_is_acceptable(im, a->server, a->invite, a->is_judged)) {
		if (why)
			*why = REASON_SDP;
		return false;
	}
	agent = make(im, a);
	if (agent)
		failure = open_dialog(agent, a->server, a->invite);
	if (!failure.status)
		failure = keep_invite(agent, a);
	if (!failure.status) {
		sip_server_watch(a->server, &ringing_events, agent);
		virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_RINGING, "invited");
		*out = agent;
		return true;
	}
	if (agent)
		virtual_user_agent_unmake(agent);
	if (why)
		*why = failure.why;
	sip_server_refuse(a->server, failure.status, failure.why);
	return false;
}

bool virtual_user_agent_reread(const struct virtual_user_agent *agent, struct sip_message *invite)
{
	const struct virtual_user_agent_ringing *r = agent->ringing;
	size_t used;

	if (!r)
		return false;
	struct sip_limits limits = { r->request_n + 1, r->request_n + 1, 0 };
	return sip_message_parse(invite, slice_of(r->text, r->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

void virtual_user_agent_progress(struct virtual_user_agent *agent, unsigned status)
{
	struct virtual_user_agent_ringing *r = agent->ringing;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	const struct sdp_media *media;
	struct sip_message invite;
	struct sdp sdp;

	if (!r || (status == 180 ? r->has_180 : r->has_183) || !virtual_user_agent_reread(agent, &invite))
		return;
	/* RFC 3262 5: the first reliable one would have to carry our offer, and we have none before the 200 */
	if (r->wants_reliable && session_sdp_read(&invite, &sdp, &media) == SDP_MISSING)
		return;
	*(status == 180 ? &r->has_180 : &r->has_183) = true;
	sip_copy_headers(&headers, &invite, SIP_HDR_RECORD_ROUTE);
	virtual_user_agent_write_contact(agent, &headers, sip_server_flow(r->server));
	virtual_user_agent_write_asserted(&headers, asserted_of(r));
	sip_server_respond(r->server, &(struct sip_reply){ .status = status, .is_reliable = r->wants_reliable,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

bool virtual_user_agent_accept(struct virtual_user_agent *agent, const struct virtual_user_agent_media *media,
	struct slice headers, enum reason *why)
{
	struct virtual_user_agent_ringing *r = agent->ringing;
	struct failure failure = { 400, REASON_SYNTAX, SDP_ACCEPTED };
	struct sip_message invite;

	agent->media = *media;
	if (virtual_user_agent_reread(agent, &invite)) /* cannot fail: it was read before */
		failure = finish(agent, &(struct answering){ r->server, &invite, asserted_of(r), headers });
	if (!failure.status) {
		agent->ringing = NULL;
		free(r);
		virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_BINDING, "answered");
		return true;
	}
	if (why)
		*why = failure.why;
	if (failure.judgement != SDP_ACCEPTED) {
		sip_server_watch(r->server, NULL, NULL);
		session_sdp_refuse(agent->im, r->server, failure.judgement);
		r->server = NULL;
	}
	virtual_user_agent_refuse(agent, failure.status, failure.why, SLICE_EMPTY);
	return false;
}

void virtual_user_agent_refuse(struct virtual_user_agent *agent, unsigned status, enum reason why, struct slice headers)
{
	virtual_user_agent_stop_ringing(agent, status, why, headers);
	virtual_user_agent_unmake(agent);
}
