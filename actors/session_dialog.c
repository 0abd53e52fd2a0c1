/*
 * An established session: requests inside its dialogs and its MSRP legs.
 */
#include "actors/session_internal.h"

#include "actors/outgoing.h"
#include "sip/write.h"

/* ---- the legs ---- */

static void on_leg_bound(struct msrp_leg *leg, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	if (leg != side->leg) {
		session_file_bound(side, leg);
		return;
	}
	side->is_bound = true;
	if (s->a.is_bound && s->b.is_bound && (s->state == SESSION_BINDING || s->state == SESSION_DETACHED))
		session_enter(s, SESSION_ACTIVE, "bound");
}

static void on_leg_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	if (why == REASON_CONNECT_FAILED)
		connect_limit_failed(s->im, side->identity);
	if (leg != side->leg) {
		session_file_lost(side, leg, why);
		return;
	}
	side->is_bound = false;
	switch (s->state) { /* no default: a new state must be thought of here */
	case SESSION_ACTIVE:
		if (why == REASON_QUEUE_FULL || why == REASON_QUEUED_BYTES)
			session_end(s, reason_label(why));
		else if (!session_files_go_on(s))
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
	case SESSION_SUBSCRIBED:
	case SESSION_CLOSED:
		break;
	}
}

const struct msrp_leg_events session_leg_events = { on_leg_bound, on_leg_lost };

/* ---- requests inside the dialogs ---- */

bool session_is_established(const struct session *s)
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
	if (!session_is_established(s))
		return;
	sip_copy_headers(&headers, m, SIP_HDR_REASON);
	session_end_with(s, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers), "bye");
}

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	struct side *side = owner;

	if (side == side->session->left) { /* his place was taken; his BYE may cross ours */
		if (m->method == SIP_BYE)
			sip_server_respond(server, &(struct sip_reply){ .status = 200 });
		else
			sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	if (dialog == side->session->change.newcomer) { /* he has no place yet */
		session_on_newcomer_request(side->session, server, m);
		return;
	}
	switch (m->method) {
	case SIP_BYE:
		on_bye(owner, server, m);
		break;
	case SIP_INVITE:
	case SIP_UPDATE:
		session_on_offer(owner, server, m);
		break;
	case SIP_PRACK:
		sip_server_prack(dialog->worker, server, m);
		break;
	case SIP_MESSAGE:
	case SIP_SUBSCRIBE:
	case SIP_NOTIFY:
	case SIP_PUBLISH:
	case SIP_REFER:
	case SIP_INFO:
	case SIP_OPTIONS: /* whether the other one is still there is what it asks for inside a dialog */
	case SIP_METHOD_OTHER:
		session_relay(owner, server, m);
		break;
	case SIP_ACK:
	case SIP_CANCEL:
	case SIP_REGISTER:
		REFUSED(&dialog->worker->counters, REASON_METHOD_NOT_ALLOWED);
		sip_server_respond(server, &(struct sip_reply){ .status = 405,
			.headers = SLICE("Allow: " IM_ALLOW "\r\n") });
		break;
	}
}

const struct sip_dialog_events session_dialog_events = { on_dialog_request };
