/*
 * Replaces in an initial INVITE (RFC 3891): the caller takes the place of one
 * side of a session.  The other side gets the newcomer's description in its own
 * dialog; when it has accepted, the newcomer gets its 200 and who was there
 * before a BYE.  Knowing the dialog's tags, 128 random bits each, is permission.
 */
#include "actors/session_contact.h"
#include "actors/session_names.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/outgoing.h"
#include "core/log.h"
#include "sip/header.h"

/* Which side goes: the one in whose dialog the newcomer comes.  If he names the dialog as the far end of it would
 * (to-tag is the peer's own), he wants to speak to that peer: then it is the other one. */
static struct side *find_replaced(struct worker *worker, const struct dialog_name *name)
{
	struct sip_dialog *dialog = sip_dialog_find_named(worker, name->call_id, name->to_tag, name->from_tag);
	bool is_turned = !dialog;

	if (is_turned)
		dialog = sip_dialog_find_named(worker, name->call_id, name->from_tag, name->to_tag);
	if (!dialog || dialog->events != &session_dialog_events)
		return NULL;
	struct side *side = dialog->owner;
	if (side == side->session->left)
		return NULL;
	return is_turned ? session_other(side) : side;
}

/* RFC 3891 3, in its order; 0: it may be. */
static unsigned refusal_of(const struct side *side, const struct dialog_name *name, enum reason *why)
{
	const struct session *s = side->session;

	*why = REASON_DIALOG_UNKNOWN;
	if (s->state == SESSION_LOOKUP || s->state == SESSION_INVITED || s->state == SESSION_CANCELLED)
		return 481; /* early: only who made it may replace it */
	*why = REASON_REJECTED;
	if (!session_is_established(s))
		return 603;
	if (sip_param_find(name->params, "early-only", NULL))
		return 486;
	*why = REASON_REQUEST_PENDING;
	return session_may_go_to(session_other((struct side *)side)) && !s->invite && !s->left ? 0 : 491;
}

static int open_dialog(struct side *place, struct sip_server *server, const struct sip_message *invite)
{
	struct im *im = place->session->im;
	struct sip_dialog_start start = { .local_tag = sip_server_to_tag(server), .events = &session_dialog_events,
		.owner = place };

	if (im->config->core.mode == MODE_IMS)
		start.next = im_next_hop(im);
	else
		start.next = (struct sip_target){ .has_flow = true, .flow_only = true,
			.flow = *sip_server_flow(server) };
	return sip_dialog_open_server(&place->session->change.newcomer, im->worker, invite, &start);
}

static void begin(struct side *place, struct sip_server *server, const struct sip_message *invite, bool hides)
{
	struct session *s = place->session;
	const struct sdp_media *media;
	struct sockaddr_storage from = { 0 };
	struct msrp_peer peer;
	struct sdp sdp;

	enum sdp_judgement judgement = session_sdp_read(invite, &sdp, &media);
	if (judgement != SDP_ACCEPTED) { /* none at all: nothing that the other side could be asked */
		session_sdp_refuse(s->im, server, judgement);
		return;
	}
	memcpy(&from, &sip_server_flow(server)->peer, sizeof(sip_server_flow(server)->peer));
	struct session_peer said = { &sdp, media, false, &from };
	if (!session_sdp_peer(s->im, &said, &peer)) {
		sip_server_refuse(server, 488, REASON_CONNECT_FORBIDDEN);
		return;
	}
	int err = open_dialog(place, server, invite);
	if (err) {
		sip_server_refuse(server, err == EINVAL ? 400 : err == EMSGSIZE ? 513 : 503,
			err == EINVAL ? REASON_SYNTAX : err == EMSGSIZE ? REASON_TOO_LARGE : REASON_POOL_EXHAUSTED);
		return;
	}
	LOG(INFO, s->im->worker, "session", s->actor.id, "replaces side=%s", place == &s->a ? "caller" : "callee");
	session_change_begin(place, server, invite, &said, hides);
}

bool session_replaces(struct im *im, struct sip_server *server, const struct sip_message *invite, bool hides)
{
	struct sip_items values = sip_items_of(invite, SIP_HDR_REPLACES);
	struct slice value, another;
	struct dialog_name name;
	enum reason why;

	if (!sip_header_first(invite, SIP_HDR_REPLACES))
		return false;
	if (!sip_items_next(&values, &value) || sip_items_next(&values, &another) || !dialog_name_read(value, &name)) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return true;
	}
	struct side *place = find_replaced(im->worker, &name);
	if (!place && im->config->core.mode == MODE_IMS && minted_worker(name.to_tag) < 0 &&
	    minted_worker(name.from_tag) < 0)
		return false; /* a dialog that does not lead through us: whoever is called may know it */
	unsigned status = place ? refusal_of(place, &name, &why) : 481;
	if (status) {
		sip_server_refuse(server, status, place ? why : REASON_DIALOG_UNKNOWN);
		return true;
	}
	if (session_invite_is_acceptable(im, server, invite, false))
		begin(place, server, invite, hides);
	return true;
}

/* ---- the other side has accepted ---- */

/* Who was there before: off, with a BYE of his own. */
static void send_away(struct side *place)
{
	struct session *s = place->session;

	session_close_leg(place);
	session_timer_stop(&place->timer);
	session_stop_asking(place);
	session_forget_unacked(place);
	session_drop_relays(s, false); /* they spoke of him or to him */
	free(place->sdp);
	session_send_away(s, place->dialog);
}

bool session_take_place(struct side *place, const struct session_place *taking)
{
	struct session *s = place->session;
	struct session_change *change = &s->change;
	char text[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct msrp_peer peer;
	struct side newcomer = { .session = s, .dialog = change->newcomer, .hides = change->hides, .sdp_version = 1,
		.is_sips = taking->is_sips, .identity = session_identity_of(s->im, change->newcomer),
		.sdp_id = worker_random_fast(s->im->worker) >> 2 };
	struct sockaddr_storage local;

	if (!session_sdp_peer(s->im, taking->offered, &peer))
		return false;
	session_leg_address(s->im->worker, sip_server_flow(change->server), session_sdp_is_secure(taking->offered->media),
		taking->offered->media->path, &local);
	if (msrp_leg_open(&newcomer.leg, s->im->worker, &local, session_sdp_is_secure(taking->offered->media),
		    &session_leg_events, place) != 0)
		return false;
	struct session_description description = { taking->answered->sdp, taking->answered->media,
		taking->offered->sdp, taking->offered->media,
		session_sdp_answer_setup(taking->offered->sdp, taking->offered->media), taking->answerer_hides, 1 };
	if (!session_sdp_write(s->im, &out, &description, newcomer.leg, newcomer.sdp_id) ||
	    !session_set_sdp(&newcomer, buffer_slice(&out)) ||
	    msrp_leg_set_peer(newcomer.leg, &peer) != 0 || !session_attach(session_other(place), taking->answered)) {
		msrp_leg_close(newcomer.leg);
		free(newcomer.sdp);
		return false;
	}
	newcomer.peer_sdp = sdp_text_hash(taking->offered->sdp);
	newcomer.connects = peer.connect;
	minted_make(s->im->worker, newcomer.contact);
	session_contact_leave(place);
	session_close_files(session_other(place));
	send_away(place);
	*place = newcomer;
	session_contact_enter(place);
	change->newcomer = NULL;
	msrp_leg_pair(s->a.leg, s->b.leg);
	session_enter(s, SESSION_DETACHED, "replaced");
	return true;
}
