/*
 * INVITE and UPDATE of either side inside its dialog (6.2.3.3, 6.2.7.2, D1-37):
 * a refresh is answered here with what we said before; a new description goes to
 * the other side, whose answer decides; glare (RFC 3261 14.2, RFC 3311 5.2).
 */
#include "actors/session_internal.h"

#include <stdlib.h>

#include "actors/outgoing.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

/* ---- where the MSRP of a side comes from and goes to ---- */

uint64_t session_identity_of(const struct im *im, const struct sip_dialog *dialog)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_address address;
	struct sip_uri uri;

	if (!dialog || !sip_address_decode(sip_dialog_remote(dialog), &address) || !sip_uri_parse(address.uri, &uri) ||
	    !sip_uri_canonical(&canonical, &uri, &im->server->sip.home))
		return 0;
	return connect_limit_identity(im, buffer_slice(&canonical));
}

bool session_attach(struct side *side, const struct session_peer *said)
{
	struct session *s = side->session;
	struct msrp_peer peer;

	if (!session_sdp_peer(s->im, said, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	bool is_same = msrp_leg_is_bound_to(side->leg, &peer);
	if (msrp_leg_set_peer(side->leg, &peer) != 0)
		return false;
	side->peer_sdp = sdp_text_hash(said->sdp);
	if (is_same)
		return true;
	side->connects = peer.connect;
	if (side->is_bound || s->state == SESSION_DETACHED) { /* limits.reattach begins again for the new one */
		side->is_bound = false;
		session_enter(s, s->state == SESSION_BINDING ? SESSION_BINDING : SESSION_DETACHED, "new-path");
	}
	return true;
}

static void signalled_from(const struct sip_flow *flow, struct sockaddr_storage *from)
{
	memset(from, 0, sizeof(*from));
	memcpy(from, &flow->peer, sizeof(flow->peer));
}

/* The role that our answer takes: the one that its connection has, where the offer leaves us the choice. */
static enum sdp_setup answer_setup(const struct side *side, const struct sdp *offer, const struct sdp_media *media)
{
	enum sdp_setup offered = sdp_media_setup(offer, media);

	if (offered != SDP_SETUP_ACTIVE && offered != SDP_SETUP_HOLDCONN && side->connects && msrp_leg_is_bound(side->leg))
		return SDP_SETUP_ACTIVE;
	return session_sdp_answer_setup(offer, media);
}

/* ---- answering ---- */

void session_answer_busy(struct im *im, struct sip_server *server)
{
	char text[64];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "Retry-After: %u\r\n", (unsigned)(worker_random_fast(im->worker) % 11));
	sip_server_tell_refusal(im->worker, server, 500, REASON_REQUEST_PENDING, NULL);
	sip_server_respond(server, &(struct sip_reply){ .status = 500, .headers = buffer_slice(&headers) });
}

static void on_acked(struct sip_server *server, const struct sip_message *ack, void *arg);

static void on_unacked(struct sip_server *server, void *arg)
{
	struct side *side = arg;

	session_forget_unacked(side);
	if (session_is_established(side->session)) /* RFC 3261 13.3.1.4 */
		session_end(side->session, "no ACK");
}

static void on_gone(struct sip_server *server, void *arg)
{
	((struct side *)arg)->unacked = NULL;
}

static const struct sip_server_events accepted_events = { NULL, on_acked, on_unacked, on_gone };

void session_forget_unacked(struct side *side)
{
	if (side->unacked)
		sip_server_watch(side->unacked, NULL, NULL);
	side->unacked = NULL;
	if (side->offered_in_2xx && side->leg)
		msrp_leg_expect_peer(side->leg, false);
	side->offered_in_2xx = false;
}

/* 2xx with the description that the side has now; `passed_on` may be NULL. */
static void answer(struct side *side, struct sip_server *server, const struct sip_message *request,
	const struct sip_message *passed_on)
{
	char text[OUTGOING_HEADERS_MAX], sdp[SDP_TEXT_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct session *s = side->session;
	bool is_invite = sip_server_method(server) == SIP_INVITE;
	bool wants_sdp = is_invite || request->body.n > 0;

	(void)sip_dialog_refresh_target(side->dialog, request); /* without memory the old one may still do */
	if (sip_header_first(request, SIP_HDR_ALLOW))
		side->takes_update = sip_items_have(request, SIP_HDR_ALLOW, "UPDATE");
	if (s->im->config->core.mode == MODE_STANDALONE) /* he may have come back by another connection */
		side->dialog->next.flow = *sip_server_flow(server);
	outgoing_contact(&headers, s->im, sip_server_flow(server), session_self(side));
	buffer_lit(&headers, "Allow: " IM_ALLOW "\r\n");
	sip_copy_headers(&headers, request, SIP_HDR_RECORD_ROUTE); /* RFC 3261 12.1.1, for one that makes a dialog */
	session_timer_answer(&side->timer, request, s->im, SIP_REFRESHER_UAC, &headers);
	size_t needed_n = headers.n;
	if (passed_on) {
		identity_write_of_response(&headers, s->im, passed_on, SLICE_EMPTY);
		outgoing_copied_without_body(&headers, s->im, passed_on, session_other(side)->hides);
	}
	if (headers.overflow) /* only what is passed on can be so long */
		headers.n = needed_n;
	if (is_invite) {
		session_forget_unacked(side); /* an earlier one that nobody acknowledged */
		sip_server_watch(server, &accepted_events, side);
		side->unacked = server;
		side->offered_in_2xx = request->body.n == 0;
		msrp_leg_expect_peer(side->leg, side->offered_in_2xx);
	}
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = wants_sdp ? SLICE("application/sdp") : SLICE_EMPTY,
		.body = wants_sdp ? session_sdp_of(side, sdp) : SLICE_EMPTY });
}

/* Nothing new: what we said before, with the role that fits the offer. */
static void answer_refresh(struct side *side, struct sip_server *server, const struct sip_message *m,
	const struct session_peer *said)
{
	char text[SDP_TEXT_MAX], before[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	if (said) {
		if (!msrp_leg_is_bound(side->leg) && !session_attach(side, said)) {
			sip_server_refuse(server, 488, REASON_CONNECT_FORBIDDEN);
			return;
		}
		sdp_text_with_setup(&out, session_sdp_of(side, before),
			answer_setup(side, said->sdp, said->media));
		if (out.overflow || !session_keep_sdp(side, buffer_slice(&out))) {
			sip_server_refuse(server, 503, REASON_NO_MEMORY);
			return;
		}
	}
	answer(side, server, m, NULL);
}

/* ---- the change under way ---- */

static void forget_change(struct session_change *change)
{
	if (change->newcomer)
		sip_dialog_close(change->newcomer);
	free(change->request);
	free(change->sdp);
	*change = (struct session_change){ 0 };
}

static struct sip_server *take_server(struct session_change *change)
{
	struct sip_server *server = change->server;

	if (server)
		sip_server_watch(server, NULL, NULL);
	change->server = NULL;
	return server;
}

/* CANCEL: RFC 3261 9.2.  What the other side accepts all the same is taken back. */
static void on_cancelled(struct sip_server *server, void *arg)
{
	struct session *s = arg;
	struct side *to = session_other(s->change.by);

	sip_server_refuse(take_server(&s->change), 487, REASON_REJECTED);
	s->change.is_cancelled = true;
	if (s->change.is_held)
		forget_change(&s->change);
	else if (to->asked)
		sip_client_cancel(to->asked);
}

static void on_change_gone(struct sip_server *server, void *arg)
{
	((struct session *)arg)->change.server = NULL;
}

static const struct sip_server_events change_events = { on_cancelled, NULL, NULL, on_change_gone };

void session_drop_change(struct session *s)
{
	struct sip_server *server = take_server(&s->change);

	if (server) /* RFC 3261 15.1.2 */
		sip_server_refuse(server, 487, REASON_REJECTED);
	forget_change(&s->change);
}

static bool reread(const struct session_change *change, struct sip_message *m)
{
	struct sip_limits limits = { change->request_n + 1, change->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(change->request, change->request_n), &limits, SIP_DATAGRAM, &used) ==
	       SIP_PARSE_OK;
}

void session_change_refused(struct side *to, unsigned status, const struct sip_message *response)
{
	struct session *s = to->session;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_server *server = take_server(&s->change);

	forget_change(&s->change);
	if (!server)
		return;
	unsigned passed_on = outgoing_final_status(status);
	if (passed_on == 408 && sip_server_method(server) != SIP_INVITE)
		passed_on = 480; /* RFC 4320 4.1 */
	if (response)
		outgoing_copied(&headers, s->im, response, to->hides);
	sip_server_tell_refusal(s->im->worker, server, passed_on, status == 491 ? REASON_REQUEST_PENDING : REASON_REJECTED,
		"the answer of the other side");
	sip_server_respond(server, &(struct sip_reply){ .status = passed_on,
		.reason = response && passed_on == response->status ? response->reason : SLICE_EMPTY,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

/* The other side has taken it, but it cannot be: nobody keeps it. */
static void undo(struct side *to, unsigned status, enum reason why)
{
	struct sip_server *server = take_server(&to->session->change);

	forget_change(&to->session->change);
	if (server)
		sip_server_refuse(server, status, why);
	session_take_back(to);
}

/* Both descriptions are good; what can fail comes first, so that half of it is never done. */
static bool apply(struct side *to, const struct session_peer *answered, const struct session_peer *offered,
	const struct sip_message *response)
{
	struct side *by = session_other(to);
	char text[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct msrp_peer peer;
	struct session_description description = { answered->sdp, answered->media, offered->sdp, offered->media,
		answer_setup(by, offered->sdp, offered->media),
		to->hides || identity_hides_answerer(to->session->im, response), by->sdp_version };

	if (!session_sdp_peer(to->session->im, answered, &peer) || !session_sdp_peer(to->session->im, offered, &peer)) {
		REFUSED(&to->session->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	return session_sdp_write(to->session->im, &out, &description, by->leg, by->sdp_id) &&
	       session_keep_sdp(by, buffer_slice(&out)) && session_attach(to, answered) &&
	       session_attach(by, offered);
}

static void keep_what_was_sent(struct side *to)
{
	struct session_change *change = &to->session->change;

	free(to->sdp);
	to->sdp = change->sdp;
	to->sdp_n = change->sdp_n;
	change->sdp = NULL;
	session_pack_sdp(to);
}

void session_change_accepted(struct side *to, const struct sip_message *response)
{
	struct session *s = to->session;
	struct side *by = s->change.by;
	const struct sdp_media *answer_media, *offer_media;
	struct sockaddr_storage to_from, by_from;
	struct sip_flow flow = outgoing_flow(s->im, &to->dialog->next);
	struct sip_message request;
	struct sdp answer_sdp, offer;

	if (!by) /* the one who asked has left: so does the session */
		return;
	if (s->change.is_cancelled || !reread(&s->change, &request) ||
	    session_sdp_read(&request, &offer, &offer_media) != SDP_ACCEPTED ||
	    session_sdp_read(response, &answer_sdp, &answer_media) != SDP_ACCEPTED) {
		undo(to, 488, REASON_SDP);
		return;
	}
	signalled_from(&flow, &to_from);
	flow = s->change.server ? *sip_server_flow(s->change.server) : outgoing_flow(s->im, &by->dialog->next);
	signalled_from(&flow, &by_from);
	struct session_peer answered = { &answer_sdp, answer_media, true, &to_from, to->identity };
	struct session_peer offered = { &offer, offer_media, false, &by_from, by->identity };
	struct session_place place = { &offered, &answered, to->hides || identity_hides_answerer(s->im, response),
		outgoing_wants_sips(&request) };
	bool is_done = s->change.newcomer ? session_take_place(by, &place) : apply(to, &answered, &offered, response);
	if (!is_done) {
		undo(to, 488, REASON_SDP);
		return;
	}
	keep_what_was_sent(to);
	struct sip_server *server = take_server(&s->change);
	LOG(INFO, s->im->worker, "session", s->actor.id, "changed by=%s", by == &s->a ? "caller" : "callee");
	if (server)
		answer(by, server, &request, response);
	forget_change(&s->change);
}

/* ---- beginning one ---- */

/* As the other side will get it: the same text and version where only the path is new. */
static bool write_offer(struct side *to, const struct session_peer *said)
{
	struct session_change *change = &to->session->change;
	char text[SDP_TEXT_MAX], before_text[SDP_TEXT_MAX];
	struct slice before = session_sdp_of(to, before_text);
	struct buffer out = buffer_over(text, sizeof(text));
	struct session_description description = { .sdp = said->sdp, .media = said->media,
		.setup = SDP_SETUP_ACTPASS, .hides = change->hides, .version = to->sdp_version + 1 };

	if (!session_sdp_write(to->session->im, &out, &description, to->leg, to->sdp_id))
		return false;
	if (sdp_text_says_same(buffer_slice(&out), before))
		return session_keep(&change->sdp, &change->sdp_n, before);
	if (!session_keep(&change->sdp, &change->sdp_n, buffer_slice(&out)))
		return false;
	to->sdp_version++; /* also if it is refused: he has seen it */
	return true;
}

/* Whose change it is, and what he said.  False: no memory; nothing has happened. */
static bool keep_change(struct side *by, struct slice request)
{
	struct session_change *change = &by->session->change;

	change->by = by;
	if (!change->newcomer)
		change->hides = by->hides;
	if (session_keep(&change->request, &change->request_n, request))
		return true;
	forget_change(change);
	return false;
}

static bool ask_other(struct side *by, const struct session_peer *said, bool by_invite)
{
	struct side *to = session_other(by);

	if (write_offer(to, said) && session_ask(to, ASKING_CHANGE, by_invite || !to->takes_update))
		return true;
	forget_change(&by->session->change);
	return false;
}

static bool begin(struct side *by, struct slice request, const struct session_peer *said, bool by_invite)
{
	return keep_change(by, request) && ask_other(by, said, by_invite);
}

static bool lacks_ack(const struct side *to)
{
	return to->unacked || (to == &to->session->a && to->session->invite);
}

bool session_may_go_to(const struct side *to)
{
	return !to->asked && !lacks_ack(to) && !to->session->change.by;
}

/* Only the ACK of that side is missing, which is under way: its peer, who has all answers, knows nothing of it and
 * may begin at once (RFC 3311 5.1).  Not so where the ACK brings an answer that is a change itself. */
static bool may_be_held_for(const struct side *to)
{
	return lacks_ack(to) && !to->offered_in_2xx && !to->asked && !to->session->change.by;
}

void session_change_go_on(struct side *to)
{
	struct session_change *change = &to->session->change;
	struct side *by = change->by;
	const struct sdp_media *media;
	struct sockaddr_storage from;
	struct sip_message request;
	struct sdp sdp;

	if (!change->is_held || by == to || lacks_ack(to) || !session_is_established(to->session))
		return;
	change->is_held = false;
	struct sip_server *server = change->server;
	if (!server) { /* gave up waiting */
		forget_change(change);
		return;
	}
	signalled_from(sip_server_flow(server), &from);
	struct session_peer said = { &sdp, NULL, false, &from, by->identity };
	if (!to->asked && reread(change, &request) && session_sdp_read(&request, &sdp, &media) == SDP_ACCEPTED) {
		said.media = media;
		if (ask_other(by, &said, request.method == SIP_INVITE))
			return;
	}
	sip_server_watch(server, NULL, NULL);
	forget_change(change);
	if (to->asked)
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
	else
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
}

static void pass_on(struct side *by, struct sip_server *server, const struct sip_message *m,
	const struct session_peer *said)
{
	struct session *s = by->session;
	struct msrp_peer peer;

	bool is_held = may_be_held_for(session_other(by));
	if (!is_held && !session_may_go_to(session_other(by))) {
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
		return;
	}
	if (!session_sdp_peer(s->im, said, &peer)) {
		sip_server_refuse(server, 488, REASON_CONNECT_FORBIDDEN);
		return;
	}
	if (session_sdp_is_secure(said->media) != msrp_leg_is_secure(by->leg)) { /* a leg is TLS or not for its life */
		session_sdp_refuse(s->im, server, SDP_NO_TRANSPORT);
		return;
	}
	if (is_held ? !keep_change(by, m->wire) : !begin(by, m->wire, said, m->method == SIP_INVITE)) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	s->change.is_held = is_held;
	s->change.server = server;
	sip_server_watch(server, &change_events, s);
}

void session_change_begin(struct side *place, struct sip_server *server, const struct sip_message *invite,
	const struct session_peer *said, bool hides)
{
	struct session *s = place->session;

	s->change.hides = hides;
	if (!begin(place, invite->wire, said, true)) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	s->change.server = server;
	sip_server_watch(server, &change_events, s);
}

void session_on_newcomer_request(struct session *s, struct sip_server *server, const struct sip_message *m)
{
	if (!s->change.server) { /* taken back already: of his dialog nothing is left */
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
	} else if (m->method == SIP_BYE) {
		sip_server_respond(server, &(struct sip_reply){ .status = 200 });
		on_cancelled(s->change.server, s);
	} else {
		session_answer_busy(s->im, server);
	}
}

/* The answer to an offer of ours comes with the ACK of the 2xx (RFC 3261 13.2.1). */
static void take_late_answer(struct side *side, const struct sip_message *ack)
{
	struct session *s = side->session;
	const struct sdp_media *media;
	struct sockaddr_storage from;
	struct sdp sdp;

	if (session_sdp_read(ack, &sdp, &media) != SDP_ACCEPTED) {
		REFUSED(&s->im->worker->counters, REASON_SDP);
		session_end(s, "no answer to the offer in the ACK");
		return;
	}
	if (sdp_text_hash(&sdp) == side->peer_sdp)
		return;
	struct sip_flow flow = outgoing_flow(s->im, &side->dialog->next);
	signalled_from(&flow, &from);
	struct session_peer said = { &sdp, media, true, &from, side->identity };
	if (!session_attach(side, &said)) {
		session_end(s, "session description not acceptable");
		return;
	}
	/* there is nobody to refuse it to; the other side hears of it when it may */
	if (!session_may_go_to(session_other(side)) || !begin(side, ack->wire, &said, true))
		LOG(WARN, s->im->worker, "session", s->actor.id, "answer in the ACK not passed on");
}

static void on_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	struct side *side = arg;
	bool wants_answer = side->offered_in_2xx;

	session_forget_unacked(side);
	if (wants_answer && session_is_established(side->session))
		take_late_answer(side, ack);
	session_change_go_on(side);
}

/* ---- receiving ---- */

/* RFC 3261 14.2, RFC 3311 5.2; true: answered. */
static bool is_glare(struct side *side, struct sip_server *server, const struct sip_message *m)
{
	struct session *s = side->session;
	bool is_invite = m->method == SIP_INVITE, has_offer = is_invite || m->body.n > 0;

	if (s->change.by == side && s->change.server) { /* the one before has no answer yet */
		bool was_invite = sip_server_method(s->change.server) == SIP_INVITE;
		if (!has_offer && was_invite)
			return false;
		session_answer_busy(s->im, server);
		return true;
	}
	bool collides = (side->asked && side->asked_has_offer) || side->offered_in_2xx;
	if (has_offer && collides)
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
	return has_offer && collides;
}

void session_on_offer(struct side *side, struct sip_server *server, const struct sip_message *m)
{
	struct session *s = side->session;
	const struct sdp_media *media;
	struct sockaddr_storage from;
	struct sdp sdp;

	if (session_timer_is_too_brief(m, s->im->config->timers.min_se_ms)) {
		session_timer_refuse(s->im, server);
		return;
	}
	if (s->state == SESSION_LOOKUP || s->state == SESSION_INVITED) {
		session_answer_busy(s->im, server); /* the INVITE that made the dialog has no answer yet */
		return;
	}
	if (!session_is_established(s)) {
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	if (is_glare(side, server, m))
		return;
	if (m->body.n == 0) {
		answer_refresh(side, server, m, NULL);
		return;
	}
	enum sdp_judgement judgement = side->files ? session_sdp_parse(m, &sdp) : session_sdp_read(m, &sdp, &media);
	if (judgement == SDP_ACCEPTED && !side->files)
		judgement = session_sdp_policy(s->im, &sdp, media);
	if (judgement != SDP_ACCEPTED) {
		session_sdp_refuse(s->im, server, judgement);
		return;
	}
	signalled_from(sip_server_flow(server), &from);
	if (side->files) {
		if (session_files_take_offer(side, &sdp, &from))
			answer(side, server, m, NULL);
		else
			sip_server_refuse(server, 488, REASON_SDP);
		return;
	}
	struct session_peer said = { &sdp, media, false, &from, side->identity };
	if (sdp_text_hash(&sdp) == side->peer_sdp)
		answer_refresh(side, server, m, &said);
	else
		pass_on(side, server, m, &said);
}
