/*
 * From B's answer to A's: provisional ones relayed, a 2xx acknowledged and its
 * description turned into ours, failures mapped (D1-19).
 */
#include "actors/session_internal.h"

#include "actors/outgoing.h"
#include "actors/session_body.h"
#include "actors/session_contact.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

static void write_answer_headers(struct session *s, struct buffer *out, const struct sip_message *invite,
	const struct sip_message *response)
{
	bool hides = identity_hides_answerer(s->im, response);

	sip_copy_headers(out, invite, SIP_HDR_RECORD_ROUTE); /* the route set of A's dialog: RFC 3261 12.1.1 */
	outgoing_contact_like(out, s->im, sip_server_flow(s->invite), session_self(&s->a), response,
		hides);
	buffer_lit(out, "Allow: " IM_ALLOW "\r\n");
	identity_write_of_response(out, s->im, response, slice_of(s->callee, s->callee_n));
	outgoing_copied_without_body(out, s->im, response, hides);
}

static void on_ringing(const struct sip_message *response, void *owner)
{
	struct session *s = owner;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_message invite;

	/* RFC 3262 5: the first reliable one would have to carry the offer, which B has not answered yet */
	if (s->wants_reliable && s->is_offerless)
		return;
	if (!session_reread_invite(s, &invite))
		return;
	write_answer_headers(s, &headers, &invite, response);
	sip_server_respond(s->invite, &(struct sip_reply){ .status = response->status, .reason = response->reason,
		.is_reliable = s->wants_reliable, .headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

/* Our answer to A's offer, and the way to his MSRP end. */
static bool write_answer(struct session *s, const struct sip_message *invite, struct session_description description)
{
	struct session_line more[SDP_MEDIA_MAX];
	struct msrp_peer peer;
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *offered;
	struct sdp offer;

	if (session_offer_of(s, invite, &offer, &offered) != SDP_ACCEPTED)
		return false;
	const struct sdp_media *first = offered;
	offered = session_files_main(s, &offer, first);
	memcpy(&from, &sip_server_flow(s->invite)->peer, sizeof(sip_server_flow(s->invite)->peer));
	struct session_peer caller = { &offer, offered, false, &from, s->a.identity };
	if (!session_sdp_peer(s->im, &caller, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		LOG(WARN, s->im->worker, "session", s->actor.id, "msrp-peer-refused reason=%s",
			reason_label(REASON_CONNECT_FORBIDDEN));
		return false;
	}
	if (session_open_leg(&s->a, sip_server_flow(s->invite), session_sdp_is_secure(offered), offered->path) != 0)
		return false;
	description.offer = &offer;
	description.offered = offered;
	description.setup = session_sdp_answer_setup(&offer, offered);
	int count = session_files_accept(s, description.sdp, &offer, first, more);
	if (count < 0)
		return false;
	description.more = more;
	description.more_count = (unsigned)count;
	if (!session_write_sdp(&s->a, &description) || msrp_leg_set_peer(s->a.leg, &peer) != 0)
		return false;
	s->a.peer_sdp = sdp_text_hash(&offer);
	s->a.connects = peer.connect;
	return true;
}

/* B's answer is our offer to A. */
static bool write_offer(struct session *s, const struct session_description *description)
{
	return session_open_leg(&s->a, sip_server_flow(s->invite), session_sdp_is_secure(description->media), SLICE_EMPTY) == 0 &&
	       session_write_sdp(&s->a, description);
}

/* `described` has the description, `response` all else. */
/* D1-04: a client refreshes; towards the Controlling Function the terminating side does (IM-6.2.7.1-25). */
static enum sip_refresher unsaid_refresher(const struct session *s)
{
	bool is_terminating = s->im->config->core.mode == MODE_IMS && s->callee_n > 0;

	return is_terminating ? SIP_REFRESHER_UAS : SIP_REFRESHER_UAC;
}

static bool answer_a(struct session *s, const struct sip_message *response, const struct sip_message *described,
	const struct sdp *answer, const struct sdp_media *media)
{
	char headers_text[OUTGOING_HEADERS_MAX], parts_text[SESSION_BODY_MAX], sdp_text[SDP_TEXT_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text)),
		      parts = buffer_over(parts_text, sizeof(parts_text));
	bool hides = identity_hides_answerer(s->im, response);
	struct session_body_sent body;
	struct sip_message invite;
	/* where A made no offer, his answer to ours comes with the ACK */
	struct session_description description = { .sdp = answer, .media = media, .setup = SDP_SETUP_ACTPASS,
		.hides = hides };

	if (!session_reread_invite(s, &invite) ||
	    !(s->is_offerless ? write_offer(s, &description) : write_answer(s, &invite, description)))
		return false;
	write_answer_headers(s, &headers, &invite, response);
	s->a.takes_update = sip_items_have(&invite, SIP_HDR_ALLOW, "UPDATE");
	session_timer_answer(&s->a.timer, &invite, s->im, unsaid_refresher(s), &headers);
	if (!session_body_replace(&parts, described, session_sdp_of(&s->a, sdp_text), hides, &body) || headers.overflow)
		return false;
	s->invite_is_answered = true;
	sip_server_respond(s->invite, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = body.content_type, .body = body.body });
	return true;
}

static bool attach_b(struct session *s, const struct sip_message *response, const struct sip_flow *flow, struct sdp *sdp,
	const struct sdp_media **media)
{
	struct sockaddr_storage from = { 0 };
	struct msrp_peer peer;

	if (session_sdp_read(response, sdp, media) != SDP_ACCEPTED)
		return false;
	sip_flow_get_peer(flow, &from);
	if (s->b.files && !session_files_answered(&s->b, sdp, media, &from))
		return false;
	struct session_peer callee = { sdp, *media, true, &from, s->b.identity };
	if (!session_sdp_peer(s->im, &callee, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		LOG(WARN, s->im->worker, "session", s->actor.id, "msrp-peer-refused reason=%s",
			reason_label(REASON_CONNECT_FORBIDDEN));
		return false;
	}
	s->b.peer_sdp = sdp_text_hash(sdp);
	s->b.connects = peer.connect;
	s->b.hides = identity_hides_answerer(s->im, response);
	s->b.is_focus = outgoing_is_of_focus(response);
	return msrp_leg_set_peer(s->b.leg, &peer) == 0;
}

static void take_answer(struct session *s, const struct session_answer *answer)
{
	struct sip_message early;
	const struct sip_message *m = answer->response, *described = session_answer_description(answer, &early);
	const struct sdp_media *media;
	struct sdp sdp;

	if (!answer->is_whole) {
		session_refuse(s, 480, REASON_SYNTAX);
		session_end(s, "answer without Contact or tag");
		return;
	}
	s->b.takes_update = sip_items_have(m, SIP_HDR_ALLOW, "UPDATE");
	s->a.identity = connect_limit_identity(s->im, slice_of(s->caller->canonical, s->caller->canonical_n));
	s->b.identity = s->callee_n ? connect_limit_identity(s->im, slice_of(s->callee, s->callee_n)) :
				      session_identity_of(s->im, s->b.dialog);
	if (!attach_b(s, described, &answer->flow, &sdp, &media) || !answer_a(s, m, described, &sdp, media)) {
		session_refuse(s, 480, REASON_SDP);
		session_end(s, "session description not acceptable");
		return;
	}
	session_timer_accepted(&s->b.timer, m, s->im);
	msrp_leg_pair(s->a.leg, s->b.leg);
	session_files_pair(s);
	session_contact_enter(&s->a);
	session_contact_enter(&s->b);
	session_free_invitation(s);
	session_enter(s, SESSION_BINDING, "answered");
}

void session_on_late_answer(struct session *s, const struct sip_message *ack, const struct sip_flow *flow)
{
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp sdp;

	memcpy(&from, &flow->peer, sizeof(flow->peer));
	if (session_sdp_read(ack, &sdp, &media) != SDP_ACCEPTED ||
	    !session_attach(&s->a, &(struct session_peer){ &sdp, media, true, &from, s->a.identity })) {
		REFUSED(&s->im->worker->counters, REASON_SDP);
		session_end(s, "no acceptable answer in the ACK");
	}
}

static void on_failed(const struct session_failure *failure, void *owner)
{
	struct session *s = owner;
	struct sip_server *invite = s->invite;

	session_record_end(s, reason_label(failure->why));
	if (failure->phrase.n == 0 && failure->headers.n == 0) { /* ours, or as good as ours */
		session_refuse(s, failure->status, failure->why);
	} else if (invite && !s->invite_is_answered) {
		sip_server_watch(invite, NULL, NULL);
		session_forget_invite(s);
		sip_server_tell_refusal(s->im->worker, invite, failure->status, failure->why, "the answer of the other side");
		sip_server_respond(invite, &(struct sip_reply){ .status = failure->status, .reason = failure->phrase,
			.headers = failure->headers });
	}
	session_enter(s, s->fork->waiting ? SESSION_CANCELLED : SESSION_CLOSED, "refused");
	session_free_if_done(s);
}

/* ---- what the fork tells ---- */

static bool waits(const void *owner)
{
	return ((const struct session *)owner)->state == SESSION_INVITED;
}

static void on_answer(struct session_answer *answer, void *owner)
{
	struct session *s = owner;

	s->b.dialog = answer->dialog;
	s->b.dialog->events = &session_dialog_events;
	s->b.dialog->owner = &s->b;
	s->b.invite_cseq = answer->cseq;
	s->b.leg = answer->leg;
	s->b.sdp = answer->sdp;
	s->b.sdp_n = answer->sdp_n;
	s->b.files = answer->files;
	take_answer(s, answer);
}


static void on_settled(void *owner)
{
	struct session *s = owner;

	if (s->state != SESSION_CANCELLED)
		return;
	session_enter(s, SESSION_CLOSED, "refused");
	session_free_if_done(s);
}

static struct sip_dialog *dialog_of(const void *owner)
{
	return ((const struct session *)owner)->b.dialog;
}

static void write_contact(struct buffer *out, const struct sip_flow *flow, const void *owner)
{
	const struct session *s = owner;

	outgoing_contact(out, s->im, flow, session_self(&s->b));
	buffer_lit(out, "Allow: " IM_ALLOW "\r\n");
}

static void on_fork_gone(void *owner)
{
	((struct session *)owner)->fork = NULL;
}

const struct session_fork_events session_fork_events = { .send = session_send_invite, .waits = waits,
	.on_ringing = on_ringing, .on_answer = on_answer, .on_failed = on_failed, .on_settled = on_settled,
	.dialog = dialog_of, .write_contact = write_contact, .on_gone = on_fork_gone };
