/*
 * What happens inside the dialog of a user agent of ours: BYE, INVITE and UPDATE
 * of the peer (refreshes and new paths), and the refreshes that we owe (RFC 4028).
 */
#include "actors/virtual_user_agent_internal.h"

#include "core/log.h"
#include "sip/write.h"

/* Last in a handler: the owner may end it. */
static void tell_new_path(struct virtual_user_agent *agent)
{
	if (!agent->must_tell_lost)
		return;
	agent->must_tell_lost = false;
	if (agent->events && agent->events->on_lost)
		agent->events->on_lost(agent, REASON_MSRP_PATH_CHANGED, agent->arg);
}

/* ---- the ACK of our 2xx ---- */

static void on_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	struct virtual_user_agent *agent = arg;
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp sdp;
	bool brings_answer = agent->offered_in_2xx && virtual_user_agent_is_established(agent);

	sip_flow_get_peer(sip_server_flow(server), &from);
	sip_server_watch(server, NULL, NULL);
	agent->offered_in_2xx = false;
	if (brings_answer) {
		msrp_leg_expect_peer(agent->leg, false);
		if (session_sdp_read(ack, &sdp, &media) != SDP_ACCEPTED ||
		    !virtual_user_agent_attach(agent, &(struct session_peer){ &sdp, media, true, &from, agent->identity })) {
			agent->invite = NULL;
			REFUSED(&agent->im->worker->counters, REASON_SDP);
			virtual_user_agent_fail(agent, REASON_SDP, "no acceptable answer in the ACK");
			return;
		}
	}
	virtual_user_agent_acked(agent);
	if (brings_answer)
		tell_new_path(agent);
}

/* RFC 3261 13.3.1.4 */
static void on_unacked(struct sip_server *server, void *arg)
{
	struct virtual_user_agent *agent = arg;

	sip_server_watch(server, NULL, NULL);
	if (virtual_user_agent_is_established(agent)) {
		agent->invite = NULL;
		REFUSED(&agent->im->worker->counters, REASON_TIMEOUT);
		virtual_user_agent_fail(agent, REASON_TIMEOUT, "no ACK");
		return;
	}
	virtual_user_agent_acked(agent);
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	virtual_user_agent_acked(arg);
}

static const struct sip_server_events accepted_events = { NULL, on_acked, on_unacked, on_invite_gone, NULL };

void virtual_user_agent_await_ack(struct virtual_user_agent *agent, struct sip_server *invite)
{
	agent->invite = invite;
	sip_server_watch(invite, &accepted_events, agent);
}

/* ---- the peer's INVITE and UPDATE ---- */

static void answer_offer(struct virtual_user_agent *agent, struct sip_server *server, const struct sip_message *m,
	bool says_sdp)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));

	(void)sip_dialog_refresh_target(agent->dialog, m); /* without memory the old one may still do */
	if (sip_header_first(m, SIP_HDR_ALLOW))
		agent->takes_update = sip_items_have(m, SIP_HDR_ALLOW, "UPDATE");
	if (agent->im->config->core.mode == MODE_STANDALONE) /* he may have come back by another connection */
		agent->dialog->next.flow = *sip_server_flow(server);
	virtual_user_agent_write_contact(agent, &headers, sip_server_flow(server));
	session_timer_answer(&agent->timer, m, agent->im, SIP_REFRESHER_UAC, &headers);
	if (m->method == SIP_INVITE) {
		virtual_user_agent_await_ack(agent, server);
		msrp_leg_expect_peer(agent->leg, agent->offered_in_2xx);
	}
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = says_sdp ? SLICE("application/sdp") : SLICE_EMPTY,
		.body = says_sdp ? slice_of(agent->sdp, agent->sdp_n) : SLICE_EMPTY });
	tell_new_path(agent);
}

/* False: answered. */
static bool may_offer(struct virtual_user_agent *agent, struct sip_server *server, const struct sip_message *m)
{
	struct im *im = agent->im;

	if (agent->state == VIRTUAL_USER_AGENT_INVITING || agent->ringing || agent->invite)
		session_answer_busy(im, server); /* RFC 3261 14.2, RFC 3311 5.2 */
	else if (!virtual_user_agent_is_established(agent))
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
	else if (agent->asked)
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
	else if (session_timer_is_too_brief(m, im->config->timers.min_se_ms))
		session_timer_refuse(im, server);
	else
		return true;
	return false;
}

/* Does the owner agree, and do they have types in common? */
static enum sdp_judgement judge(struct virtual_user_agent *agent, const struct session_peer *said)
{
	if (!virtual_user_agent_has_common_type(agent, said))
		return SDP_NO_COMMON_TYPE;
	if (agent->events->on_offer && !agent->events->on_offer(agent, said, &agent->media, agent->arg))
		return SDP_NOT_AGREED;
	return virtual_user_agent_has_common_type(agent, said) ? SDP_ACCEPTED : SDP_NO_COMMON_TYPE;
}

/* False: refused, and all is as it was. */
static bool agree(struct virtual_user_agent *agent, struct sip_server *server, const struct session_peer *said)
{
	struct virtual_user_agent_media before = agent->media;
	enum sdp_judgement judgement = judge(agent, said);

	/* ours first: of the two only the path cannot be taken back */
	if (judgement == SDP_ACCEPTED &&
	    virtual_user_agent_describe(agent, said, virtual_user_agent_answer_setup(agent, said)) &&
	    virtual_user_agent_attach(agent, said))
		return true;
	agent->media = before;
	session_sdp_refuse(agent->im, server, judgement == SDP_ACCEPTED ? SDP_NOT_AGREED : judgement);
	return false;
}

static void on_offer(struct virtual_user_agent *agent, struct sip_server *server, const struct sip_message *m)
{
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp sdp;

	if (!may_offer(agent, server, m))
		return;
	enum sdp_judgement judgement = session_sdp_read(m, &sdp, &media);
	if (judgement == SDP_MISSING) { /* an INVITE gets our offer (RFC 3261 14.2), an UPDATE only refreshes */
		agent->offered_in_2xx = m->method == SIP_INVITE;
		answer_offer(agent, server, m, m->method == SIP_INVITE);
		return;
	}
	if (judgement != SDP_ACCEPTED) {
		session_sdp_refuse(agent->im, server, judgement);
		return;
	}
	sip_flow_get_peer(sip_server_flow(server), &from);
	struct session_peer said = { &sdp, media, false, &from, agent->identity };
	if (!agree(agent, server, &said))
		return;
	answer_offer(agent, server, m, true);
}

/* ---- BYE ---- */

static void on_bye_gone(struct sip_server *server, void *arg)
{
	((struct virtual_user_agent *)arg)->bye = NULL;
}

static const struct sip_server_events bye_events = { NULL, NULL, NULL, on_bye_gone, NULL };

static void on_bye(struct virtual_user_agent *agent, struct sip_server *server)
{
	if (agent->state == VIRTUAL_USER_AGENT_CLOSING) { /* it crosses ours, or comes in its place */
		sip_server_respond(server, &(struct sip_reply){ .status = 200 });
		virtual_user_agent_is_left(agent);
		return;
	}
	if (agent->peer_has_left) { /* for him the dialog ended with his first BYE */
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	agent->peer_has_left = true;
	if (agent->ringing) { /* RFC 3261 15: who calls may end his early dialog so too */
		sip_server_respond(server, &(struct sip_reply){ .status = 200 });
		virtual_user_agent_cancelled(agent, 487, REASON_REJECTED);
		return;
	}
	if (!virtual_user_agent_is_established(agent) || !agent->events->on_bye) {
		sip_server_respond(server, &(struct sip_reply){ .status = 200 });
		virtual_user_agent_fail(agent, REASON_PEER_CLOSED, "bye");
		return;
	}
	agent->bye = server;
	sip_server_watch(server, &bye_events, agent);
	session_timer_stop(&agent->timer);
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_LEAVING, "bye");
	agent->events->on_bye(agent, agent->arg);
}

static void answer_options(struct virtual_user_agent *agent, struct sip_server *server)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	virtual_user_agent_write_allow(agent, &headers);
	buffer_lit(&headers, "Accept: application/sdp\r\n");
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
}

/* What the dialog itself does not need is the owner's. */
static void hand_over(struct virtual_user_agent *agent, struct sip_server *server, const struct sip_message *m)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (agent->events && agent->events->on_request && !agent->peer_has_left) {
		agent->events->on_request(agent, server, m, agent->arg);
		return;
	}
	if (agent->methods) { /* he takes some, but has gone */
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	virtual_user_agent_write_allow(agent, &headers);
	im_refuse(agent->im, server, 405, REASON_METHOD_NOT_ALLOWED, buffer_slice(&headers));
}

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	struct virtual_user_agent *agent = owner;
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	switch (m->method) {
	case SIP_BYE:
		on_bye(agent, server);
		break;
	case SIP_INVITE:
	case SIP_UPDATE:
		on_offer(agent, server, m);
		break;
	case SIP_PRACK:
		sip_server_prack(dialog->worker, server, m);
		break;
	case SIP_OPTIONS: /* whether we are still there is what it asks for inside a dialog */
		answer_options(agent, server);
		break;
	case SIP_MESSAGE:
	case SIP_SUBSCRIBE:
	case SIP_NOTIFY:
	case SIP_REFER:
	case SIP_INFO:
	case SIP_METHOD_OTHER:
		hand_over(agent, server, m);
		break;
	case SIP_PUBLISH:
	case SIP_ACK:
	case SIP_CANCEL:
	case SIP_REGISTER:
		virtual_user_agent_write_allow(agent, &headers);
		im_refuse(agent->im, server, 405, REASON_METHOD_NOT_ALLOWED, buffer_slice(&headers));
		break;
	}
}

const struct sip_dialog_events virtual_user_agent_dialog_events = { on_dialog_request };

/* ---- refreshes of ours ---- */

static const struct sip_client_events refresh_events;

static void refresh(struct virtual_user_agent *agent)
{
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_flow flow = outgoing_flow(agent->im, &agent->dialog->next);
	bool by_invite = !agent->takes_update;
	/* RFC 4028 7.4: an UPDATE need not have a description, an INVITE is better understood with it */
	struct slice offer = by_invite ? slice_of(agent->sdp, agent->sdp_n) : SLICE_EMPTY;

	virtual_user_agent_write_contact(agent, &headers, &flow);
	buffer_lit(&headers, "Supported: timer\r\n");
	session_timer_ask(&agent->timer, agent->im, &headers);
	agent->asked_by_invite = by_invite;
	agent->asked_cseq = agent->dialog->local_cseq + 1;
	if (headers.overflow || session_send_in(agent->dialog, by_invite ? "INVITE" : "UPDATE", buffer_slice(&headers), offer,
					&refresh_events, agent, &agent->asked) != 0) {
		agent->asked = NULL;
		session_timer_retry(&agent->timer);
		return;
	}
	msrp_leg_expect_peer(agent->leg, by_invite);
}

static void on_again(struct timer *timer)
{
	struct virtual_user_agent *agent = (struct virtual_user_agent *)((char *)timer - offsetof(struct virtual_user_agent, again));

	if (virtual_user_agent_is_established(agent) && !agent->asked && !agent->invite)
		refresh(agent);
}

/* RFC 3261 14.1: the owner of the Call-ID waits for 2.1 to 4 s, the other for up to 2 s. */
static void refresh_later(struct virtual_user_agent *agent)
{
	struct worker *worker = agent->im->worker;
	uint64_t ms = (agent->is_caller ? 2100 : 0) + 10 * (worker_random_fast(worker) % 191);
	uint64_t now_ms = worker_now_ms(worker), ends_at_ms = agent->timer.ends_at_ms;

	/* a session must not expire while its refresh waits for a lot */
	if (ends_at_ms > now_ms && ms > (ends_at_ms - now_ms) / 2)
		ms = (ends_at_ms - now_ms) / 2;
	worker_arm(worker, &agent->again, ms, on_again);
}

/* The description that it has now, if that has a new path. */
static void take_answer(struct virtual_user_agent *agent, const struct sip_message *m)
{
	const struct sdp_media *media;
	struct sip_flow flow = outgoing_flow(agent->im, &agent->dialog->next);
	struct sockaddr_storage from = { 0 };
	struct sdp sdp;

	if (m->body.n == 0 || session_sdp_read(m, &sdp, &media) != SDP_ACCEPTED)
		return; /* what it said before stays */
	sip_flow_get_peer(&flow, &from);
	/* refused: the leg has no connection, and the session ends for that */
	(void)virtual_user_agent_attach(agent, &(struct session_peer){ &sdp, media, true, &from, agent->identity });
}

static void forget_asked(struct virtual_user_agent *agent)
{
	sip_client_forget(agent->asked);
	agent->asked = NULL;
	if (agent->leg)
		msrp_leg_expect_peer(agent->leg, false);
}

void virtual_user_agent_stop_asking(struct virtual_user_agent *agent)
{
	if (!agent->asked)
		return;
	sip_client_cancel(agent->asked); /* an INVITE that is only being tried would wait for ever */
	forget_asked(agent);
}

/* RFC 5057 5.1: answers after which the dialog is no more. */
static bool ends_dialog(unsigned status)
{
	return status == 404 || status == 408 || status == 410 || status == 416 || status == 480 || status == 481 ||
	       (status >= 482 && status <= 485) || status == 502 || status == 604;
}

static void on_refused(struct virtual_user_agent *agent, const struct sip_message *m)
{
	REFUSED(&agent->im->worker->counters, REASON_REJECTED);
	LOG(INFO, agent->im->worker, "agent", virtual_user_agent_id(agent), "refresh refused status=%u", m->status);
	if (!agent->asked_by_invite && (m->status == 405 || m->status == 501)) { /* UPDATE is not known there: D1-37 */
		agent->takes_update = false;
		refresh(agent);
	} else if (m->status == 422 && session_timer_raise(&agent->timer, m)) {
		refresh(agent);
	} else if (m->status == 491) {
		refresh_later(agent);
	} else if (ends_dialog(m->status)) {
		agent->peer_has_left = m->status == 481;
		virtual_user_agent_fail(agent, REASON_REJECTED, "refresh refused");
	} else {
		session_timer_retry(&agent->timer);
	}
}

static void on_refresh_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct virtual_user_agent *agent = arg;

	if (m->status < 200)
		return;
	if (m->status < 300) {
		(void)sip_dialog_refresh_target(agent->dialog, m); /* without memory the old one may still do */
		if (agent->asked_by_invite)
			session_acknowledge_in(agent->dialog, client, m, agent->asked_cseq);
	}
	forget_asked(agent);
	if (!virtual_user_agent_is_established(agent))
		return;
	if (m->status >= 300) {
		on_refused(agent, m);
		return;
	}
	if (sip_header_first(m, SIP_HDR_ALLOW))
		agent->takes_update = sip_items_have(m, SIP_HDR_ALLOW, "UPDATE");
	session_timer_accepted(&agent->timer, m, agent->im);
	if (agent->asked_by_invite)
		take_answer(agent, m);
	tell_new_path(agent);
}

/* 408: nobody answers, the dialog is over (RFC 3261 12.2.1.2).  503: he may come back by another connection. */
static void on_refresh_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct virtual_user_agent *agent = arg;

	forget_asked(agent);
	if (!virtual_user_agent_is_established(agent))
		return;
	if (status != 408) {
		session_timer_retry(&agent->timer);
		return;
	}
	REFUSED(&agent->im->worker->counters, REASON_TIMEOUT);
	virtual_user_agent_fail(agent, REASON_TIMEOUT, "no answer inside the session");
}

static const struct sip_client_events refresh_events = { on_refresh_answered, on_refresh_failed, NULL };

static void on_refresh_due(struct session_timer *timer)
{
	struct virtual_user_agent *agent = (struct virtual_user_agent *)((char *)timer - offsetof(struct virtual_user_agent, timer));

	if (!virtual_user_agent_is_established(agent) || agent->asked)
		return; /* what is under way refreshes too */
	if (agent->invite) /* RFC 3261 14.1: his 2xx has no ACK yet */
		refresh_later(agent);
	else
		refresh(agent);
}

static void on_session_expired(struct session_timer *timer)
{
	struct virtual_user_agent *agent = (struct virtual_user_agent *)((char *)timer - offsetof(struct virtual_user_agent, timer));

	REFUSED(&agent->im->worker->counters, REASON_TIMEOUT);
	virtual_user_agent_fail(agent, REASON_TIMEOUT, "session timer expired");
}

const struct session_timer_events virtual_user_agent_timer_events = { on_refresh_due, on_session_expired };
