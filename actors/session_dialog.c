/*
 * An established session: requests inside its dialogs, its MSRP legs, and the
 * SIP session timers of both sides.
 */
#include "actors/session_internal.h"

#include "actors/outgoing.h"
#include "sip/write.h"

/* ---- the legs ---- */

static void on_leg_bound(struct msrp_leg *leg, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	side->is_bound = true;
	if (s->a.is_bound && s->b.is_bound && (s->state == SESSION_BINDING || s->state == SESSION_DETACHED))
		session_enter(s, SESSION_ACTIVE, "bound");
}

static void on_leg_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	side->is_bound = false;
	switch (s->state) { /* no default: a new state must be thought of here */
	case SESSION_ACTIVE:
		if (why == REASON_QUEUE_FULL)
			session_end(s, reason_label(why));
		else
			session_enter(s, SESSION_DETACHED, reason_label(why));
		break;
	case SESSION_BINDING:
		/* closed again: he may come back until the time is over, or his BYE is on its way */
		if (why != REASON_PEER_CLOSED)
			session_end(s, reason_label(why));
		break;
	case SESSION_DETACHED: /* the other one too */
	case SESSION_LOOKUP:
	case SESSION_INVITED:
	case SESSION_CANCELLED:
	case SESSION_CLOSING:
	case SESSION_CLOSED:
		break;
	}
}

const struct msrp_leg_events session_leg_events = { on_leg_bound, on_leg_lost };

/* ---- requests inside the dialogs ---- */

static bool is_established(const struct session *s)
{
	return s->state == SESSION_BINDING || s->state == SESSION_ACTIVE || s->state == SESSION_DETACHED;
}

static void on_bye(struct side *side, struct sip_server *server, const struct sip_message *m)
{
	struct session *s = side->session;
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (side->has_left) { /* for him the dialog ended with his first BYE */
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	sip_server_respond(server, &(struct sip_reply){ .status = 200 });
	side->has_left = side->bye_is_out = true; /* his own; none from us */
	if (s->state == SESSION_LOOKUP || s->state == SESSION_INVITED) {
		session_cancelled(s); /* RFC 3261 15: A may end his early dialog by BYE too */
		return;
	}
	if (!is_established(s))
		return;
	sip_copy_headers(&headers, m, SIP_HDR_REASON);
	session_end_with(s, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers), "bye");
}

/* re-INVITE and UPDATE: a refresh is answered here, with what we said before; new parameters are not
 * accepted and the old ones stay in use (6.2.3.3: 488). */
static void on_refresh(struct side *side, struct sip_server *server, const struct sip_message *m)
{
	char headers_text[2048];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	struct session *s = side->session;
	const struct sdp_media *media;
	struct sdp sdp;
	bool has_offer = m->body.n > 0;

	if (session_timer_is_too_brief(m, s->im->config->timers.min_se_ms)) {
		session_timer_refuse(s->im, server);
		return;
	}
	if (s->state == SESSION_LOOKUP || s->state == SESSION_INVITED) { /* RFC 3261 14.2, RFC 3311 5.2 */
		REFUSED(&s->im->worker->counters, REASON_REQUEST_PENDING);
		sip_server_respond(server, &(struct sip_reply){ .status = 500,
			.headers = SLICE("Retry-After: 5\r\n") });
		return;
	}
	if (!is_established(s)) {
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	if (side->refresh && !side->takes_update && (has_offer || m->method == SIP_INVITE)) { /* RFC 3261 14.2 */
		sip_server_refuse(server, 491, REASON_REQUEST_PENDING);
		return;
	}
	if (has_offer && (session_sdp_read(m, &sdp, &media) != SDP_ACCEPTED ||
				 session_sdp_hash(&sdp) != side->peer_sdp)) {
		session_sdp_refuse(s->im, server, SDP_BAD_PATH);
		return;
	}
	if (sip_dialog_refresh_target(side->dialog, m) != 0) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	if (s->im->config->core.mode == MODE_STANDALONE) /* he may have come back by another connection */
		side->dialog->next.flow = *sip_server_flow(server);
	outgoing_contact(&headers, s->im, sip_server_flow(server), slice_of(side->contact, MINTED_CHARS));
	buffer_lit(&headers, "Allow: " IM_ALLOW "\r\n");
	session_timer_answer(&side->timer, m, s->im, &headers);
	bool wants_sdp = has_offer || sip_server_method(server) == SIP_INVITE;
	sip_server_respond(server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = wants_sdp ? SLICE("application/sdp") : SLICE_EMPTY,
		.body = wants_sdp ? slice_of(side->sdp, side->sdp_n) : SLICE_EMPTY });
}

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	switch (m->method) {
	case SIP_BYE:
		on_bye(owner, server, m);
		break;
	case SIP_INVITE:
	case SIP_UPDATE:
		on_refresh(owner, server, m);
		break;
	case SIP_OPTIONS:
		sip_server_respond(server, &(struct sip_reply){ .status = 200,
			.headers = SLICE("Allow: " IM_ALLOW "\r\nAccept: application/sdp\r\nSupported: timer\r\n") });
		break;
	case SIP_ACK:
	case SIP_CANCEL:
	case SIP_REGISTER:
	case SIP_MESSAGE:
	case SIP_SUBSCRIBE:
	case SIP_NOTIFY:
	case SIP_PUBLISH:
	case SIP_REFER:
	case SIP_PRACK:
	case SIP_INFO:
	case SIP_METHOD_OTHER:
		REFUSED(&dialog->worker->counters, REASON_METHOD_NOT_ALLOWED);
		sip_server_respond(server, &(struct sip_reply){ .status = 405,
			.headers = SLICE("Allow: " IM_ALLOW "\r\n") });
		break;
	}
}

const struct sip_dialog_events session_dialog_events = { on_dialog_request };

/* ---- session timers ---- */

static void on_refresh_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct side *side = arg;

	if (m->status < 200)
		return;
	if (m->status < 300)
		(void)sip_dialog_refresh_target(side->dialog, m); /* without memory the old one may still do */
	if (m->status < 300 && !side->takes_update)
		session_acknowledge(side, client, m, side->invite_cseq);
	sip_client_forget(client);
	side->refresh = NULL;
	if (m->status < 300 && is_established(side->session))
		session_timer_accepted(&side->timer, m, side->session->im);
}

static void on_refresh_failed(struct sip_client *client, unsigned status, void *arg)
{
	sip_client_forget(client);
	((struct side *)arg)->refresh = NULL; /* the session ends with its timer */
}

static const struct sip_client_events refresh_events = { on_refresh_answered, on_refresh_failed, NULL };

static void on_refresh_needed(struct session_timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, timer));
	struct im *im = side->session->im;
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_flow flow = outgoing_flow(im, &side->dialog->next);
	struct slice offer = side->takes_update ? SLICE_EMPTY : slice_of(side->sdp, side->sdp_n);

	if (side->refresh) /* still under way; a second one would be nobody's */
		return;
	outgoing_contact(&headers, im, &flow, slice_of(side->contact, MINTED_CHARS));
	buffer_printf(&headers, "Allow: " IM_ALLOW "\r\nSupported: timer\r\n"
		"Session-Expires: %u;refresher=uac\r\nMin-SE: %llu\r\n", timer->expires_s,
		(unsigned long long)im->config->timers.min_se_ms / 1000);
	side->invite_cseq = side->dialog->local_cseq + 1;
	/* not sent or not answered: the session ends with its timer */
	if (session_send(side, offer.n ? "INVITE" : "UPDATE", buffer_slice(&headers), offer, &refresh_events,
		    &side->refresh) != 0)
		side->refresh = NULL;
}

static void on_session_expired(struct session_timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, timer));

	REFUSED(&side->session->im->worker->counters, REASON_TIMEOUT);
	session_end(side->session, "session timer expired");
}

const struct session_timer_events session_timer_handlers = { on_refresh_needed, on_session_expired };
