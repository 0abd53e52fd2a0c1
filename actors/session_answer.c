/*
 * From B's answer to A's: provisional ones relayed, a 2xx acknowledged and its
 * description turned into ours, failures mapped (D1-19).
 */
#include "actors/session_internal.h"

#include "actors/outgoing.h"
#include "actors/session_body.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

static void write_answer_headers(struct session *s, struct buffer *out, const struct sip_message *invite,
	const struct sip_message *response)
{
	bool hides = identity_hides_answerer(s->im, response);

	sip_copy_headers(out, invite, SIP_HDR_RECORD_ROUTE); /* the route set of A's dialog: RFC 3261 12.1.1 */
	outgoing_contact_like(out, s->im, sip_server_flow(s->invite), slice_of(s->a.contact, MINTED_CHARS), response,
		hides);
	buffer_lit(out, "Allow: " IM_ALLOW "\r\n");
	identity_write_of_response(out, s->im, response, slice_of(s->callee, s->callee_n));
	outgoing_copied(out, s->im, response, hides);
}

static void relay_provisional(struct session *s, const struct sip_message *response)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_message invite;

	if (s->state != SESSION_INVITED || !session_reread_invite(s, &invite))
		return;
	write_answer_headers(s, &headers, &invite, response);
	sip_server_respond(s->invite, &(struct sip_reply){ .status = response->status, .reason = response->reason,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

static bool answer_a(struct session *s, const struct sip_message *response, const struct sdp *answer,
	const struct sdp_media *media)
{
	char headers_text[OUTGOING_HEADERS_MAX], parts_text[SESSION_BODY_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text)),
		      parts = buffer_over(parts_text, sizeof(parts_text));
	bool hides = identity_hides_answerer(s->im, response);
	const struct sdp_media *offered;
	struct session_body_sent body;
	struct sip_message invite;
	struct sdp offer;
	struct msrp_peer peer;
	struct sockaddr_storage from = { 0 };

	if (!session_reread_invite(s, &invite) || session_sdp_read_offer(&invite, &offer, &offered) != SDP_ACCEPTED ||
	    session_open_leg(&s->a, sip_server_flow(s->invite)) != 0)
		return false;
	memcpy(&from, &sip_server_flow(s->invite)->peer, sizeof(sip_server_flow(s->invite)->peer));
	struct session_peer caller = { &offer, offered, false, &from };
	if (!session_sdp_peer(s->im, &caller, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	struct session_description description = { answer, media, &offer, offered,
		session_sdp_answer_setup(&offer, offered), hides };
	if (!session_write_sdp(&s->a, &description) || msrp_leg_set_peer(s->a.leg, &peer) != 0)
		return false;
	s->a.peer_sdp = sdp_text_hash(&offer);
	s->a.connects = peer.connect;
	write_answer_headers(s, &headers, &invite, response);
	s->a.takes_update = sip_items_have(&invite, SIP_HDR_ALLOW, "UPDATE");
	session_timer_answer(&s->a.timer, &invite, s->im, &headers);
	if (!session_body_replace(&parts, response, slice_of(s->a.sdp, s->a.sdp_n), hides, &body) || headers.overflow)
		return false;
	s->invite_is_answered = true;
	sip_server_respond(s->invite, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = body.content_type, .body = body.body });
	return true;
}

static bool attach_b(struct session *s, const struct sip_message *response, struct sdp *sdp,
	const struct sdp_media **media)
{
	struct sockaddr_storage from = { 0 };
	struct msrp_peer peer;

	if (session_sdp_read(response, sdp, media) != SDP_ACCEPTED)
		return false;
	memcpy(&from, &s->outgoing_flow.peer, sizeof(s->outgoing_flow.peer));
	struct session_peer callee = { sdp, *media, true, &from };
	if (!session_sdp_peer(s->im, &callee, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	s->b.peer_sdp = sdp_text_hash(sdp);
	s->b.connects = peer.connect;
	s->b.hides = identity_hides_answerer(s->im, response);
	return msrp_leg_set_peer(s->b.leg, &peer) == 0;
}

/* Another fork, or B's proxy, answered too (RFC 3261 13.2.2.4): acknowledged and ended at once. */
static void end_fork(struct session *s, struct sip_client *client, const struct sip_message *response)
{
	const struct sip_dialog *b = s->b.dialog;
	struct side fork = { .session = s };
	struct sip_dialog_start start = { .call_id = b->call_id, .local = b->local, .remote = b->remote,
		.local_tag = b->local_tag, .next = b->next, .events = &session_dialog_events, .owner = &s->b };
	struct sip_client *bye;

	if (sip_dialog_open_client(&fork.dialog, s->im->worker, &start) != 0)
		return; /* it repeats its 2xx */
	if (sip_dialog_confirm(fork.dialog, response) == 0) {
		fork.dialog->local_cseq = s->b.invite_cseq;
		session_acknowledge(&fork, client, response, s->b.invite_cseq);
		(void)session_send(&fork, "BYE", SLICE_EMPTY, SLICE_EMPTY, NULL, &bye); /* nobody waits for it */
	}
	sip_dialog_close(fork.dialog);
}

/* A 2xx after the first one: B's own again, whose ACK could not be sent, or another's. */
static void on_accepted_again(struct session *s, struct sip_client *client, const struct sip_message *response)
{
	struct sip_address to;

	if (!s->b.dialog || !s->b.dialog->is_confirmed ||
	    !sip_address_decode(sip_header_value(response, SIP_HDR_TO), &to))
		return;
	if (slice_eq(to.tag, s->b.dialog->remote_tag))
		session_acknowledge(&s->b, client, response, s->b.invite_cseq);
	else
		end_fork(s, client, response);
}

static void on_accepted(struct session *s, struct sip_client *client, const struct sip_message *response)
{
	const struct sdp_media *media;
	struct sdp sdp;

	if (sip_dialog_confirm(s->b.dialog, response) != 0) {
		session_fail(s, 480, REASON_SYNTAX); /* no Contact or tag: not even an ACK can be sent */
		return;
	}
	session_acknowledge(&s->b, client, response, s->b.invite_cseq);
	s->b.takes_update = sip_items_have(response, SIP_HDR_ALLOW, "UPDATE");
	if (s->state == SESSION_CANCELLED) { /* it crossed our CANCEL */
		session_end(s, NULL);
		return;
	}
	if (!attach_b(s, response, &sdp, &media) || !answer_a(s, response, &sdp, media)) {
		session_refuse(s, 480, REASON_SDP);
		session_end(s, "session description not acceptable");
		return;
	}
	session_timer_accepted(&s->b.timer, response, s->im);
	msrp_leg_pair(s->a.leg, s->b.leg);
	session_free_invitation(s);
	session_enter(s, SESSION_BINDING, "answered");
}

static void on_refused(struct session *s, const struct sip_message *response)
{
	if (s->state == SESSION_INVITED && s->invite && !s->invite_is_answered) {
		char text[4096];
		struct buffer headers = buffer_over(text, sizeof(text));
		struct sip_server *invite = s->invite;
		unsigned status = outgoing_final_status(response->status);
		outgoing_copied(&headers, s->im, response, identity_hides_answerer(s->im, response));
		sip_server_watch(invite, NULL, NULL);
		session_forget_invite(s);
		REFUSED(&s->im->worker->counters, REASON_REJECTED);
		LOG(INFO, s->im->worker, "session", s->actor.id, "refused method=INVITE status=%u reason=%s by=callee", status,
			reason_label(REASON_REJECTED));
		sip_server_respond(invite, &(struct sip_reply){ .status = status,
			.reason = status == response->status ? response->reason : SLICE_EMPTY,
			.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
	}
	session_enter(s, SESSION_CLOSED, "refused");
}

static void on_outgoing_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct session *s = arg;

	if (m->status < 200) {
		relay_provisional(s, m);
		return;
	}
	s->outgoing_is_answered = true;
	if (m->status >= 300) {
		on_refused(s, m);
		session_free_if_done(s);
		return;
	}
	if (s->state == SESSION_INVITED || s->state == SESSION_CANCELLED)
		on_accepted(s, client, m);
	else
		on_accepted_again(s, client, m);
}

static void on_outgoing_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct session *s = arg;

	/* the contact's flow is gone, or nobody is there: to the caller the user is not available */
	session_refuse(s, status == 503 ? 480 : status, status == 503 ? REASON_CONNECT_FAILED : REASON_TIMEOUT);
	s->outgoing_is_answered = true;
	session_enter(s, SESSION_CLOSED, "no-answer");
	session_free_if_done(s);
}

static void on_outgoing_gone(struct sip_client *client, void *arg)
{
	struct session *s = arg;

	s->outgoing = NULL;
	session_free_if_done(s);
}

const struct sip_client_events session_outgoing_events = { on_outgoing_response, on_outgoing_failed,
	on_outgoing_gone };
