/*
 * Our INVITEs and UPDATEs inside the dialogs of a session: refreshes of the
 * session timer (RFC 4028), changes on their way to the other side (6.2.3.3,
 * 6.2.7.2) and their taking back; what their answers mean, and when they are
 * sent again (491: RFC 3261 14.1; 422; UPDATE that is not understood).
 */
#include "actors/session_internal.h"

#include "actors/outgoing.h"
#include "core/log.h"
#include "sip/header.h"

static const struct sip_client_events asked_events;

bool session_keep_sdp(struct side *side, struct slice text)
{
	char versioned[SDP_TEXT_MAX], before[SDP_TEXT_MAX];
	struct buffer out = buffer_over(versioned, sizeof(versioned));

	if (side->sdp && sdp_text_says_same(text, session_sdp_of(side, before)))
		return true;
	sdp_text_with_version(&out, text, side->sdp_version + 1);
	if (out.overflow || !session_set_sdp(side, buffer_slice(&out)))
		return false;
	side->sdp_version++;
	return true;
}

/* ---- sending ---- */

static struct slice offer_of(const struct side *side, enum session_asking why, bool by_invite, char *room)
{
	switch (why) {
	case ASKING_CHANGE:
		return slice_of(side->session->change.sdp, side->session->change.sdp_n);
	case ASKING_REFRESH: /* RFC 4028 7.4: an UPDATE need not have one, an INVITE is better understood with it */
		return by_invite ? session_sdp_of(side, room) : SLICE_EMPTY;
	case ASKING_BACK:
		break;
	}
	return session_sdp_of(side, room);
}

bool session_ask(struct side *side, enum session_asking why, bool by_invite)
{
	struct im *im = side->session->im;
	char text[1024], sdp[SDP_TEXT_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_flow flow = outgoing_flow(im, &side->dialog->next);
	struct slice offer = offer_of(side, why, by_invite, sdp);

	worker_disarm(im->worker, &side->again);
	outgoing_contact(&headers, im, &flow, session_self(side));
	buffer_lit(&headers, "Allow: " IM_ALLOW "\r\nSupported: timer, replaces\r\n"); /* no PRACK in changes */
	session_timer_ask(&side->timer, im, &headers);
	side->asking = why;
	side->asked_by_invite = by_invite;
	side->asked_has_offer = offer.n > 0;
	side->asked_cseq = side->dialog->local_cseq + 1;
	if (!headers.overflow && session_send(side, by_invite ? "INVITE" : "UPDATE", buffer_slice(&headers), offer,
					 &asked_events, &side->asked) == 0) {
		msrp_leg_expect_peer(side->leg, offer.n > 0);
		return true;
	}
	side->asked = NULL;
	return false;
}

static void forget_asked(struct side *side)
{
	side->asked = NULL;
	if (side->leg)
		msrp_leg_expect_peer(side->leg, false);
}

void session_stop_asking(struct side *side)
{
	worker_disarm(side->session->im->worker, &side->again);
	if (!side->asked)
		return;
	sip_client_cancel(side->asked); /* an INVITE that is only being tried would wait for ever */
	sip_client_forget(side->asked);
	forget_asked(side);
}

static void ask_or_try_later(struct side *side, enum session_asking why);

static void on_again(struct timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, again));

	if (!session_is_established(side->session))
		return;
	/* what is under way meanwhile refreshes too */
	if (!side->asked)
		ask_or_try_later(side, side->asking);
	else if (side->asking == ASKING_BACK)
		worker_arm(side->session->im->worker, timer, 1000, on_again);
}

/* RFC 3261 14.1: the owner of the Call-ID waits for 2.1 to 4 s, the other for up to 2 s, in steps of 10 ms. */
static void ask_again_later(struct side *side)
{
	struct worker *worker = side->session->im->worker;
	bool is_ours = side == &side->session->b;
	uint64_t steps = worker_random_fast(worker) % (is_ours ? 191 : 201), now_ms = worker_now_ms(worker);
	uint64_t ms = is_ours ? 2100 + 10 * steps : 10 * steps;

	/* a session must not expire while its refresh waits for a lot */
	if (side->asking == ASKING_REFRESH && side->timer.ends_at_ms > now_ms &&
	    ms > (side->timer.ends_at_ms - now_ms) / 2)
		ms = (side->timer.ends_at_ms - now_ms) / 2;
	worker_arm(worker, &side->again, ms, on_again);
}

/* Neither side may have an INVITE under way (RFC 3261 14.1); a server whose ACK is missing counts. */
static bool may_ask(const struct side *side)
{
	const struct session *s = side->session;
	bool is_served = s->change.by == side && s->change.server;
	bool is_new = side == &s->a && s->invite;

	return !side->asked && !is_served && !side->unacked && !is_new;
}

static void ask_or_try_later(struct side *side, enum session_asking why)
{
	side->asking = why;
	if (!may_ask(side))
		ask_again_later(side);
	else if (!session_ask(side, why, !side->takes_update))
		session_timer_retry(&side->timer);
}

void session_take_back(struct side *side)
{
	char text[SDP_TEXT_MAX], before[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	/* the version counts on: the one that was not to be is known to the other side */
	sdp_text_with_version(&out, session_sdp_of(side, before), side->sdp_version + 1);
	if (out.overflow || !session_set_sdp(side, buffer_slice(&out))) {
		session_end(side->session, "a change could not be taken back");
		return;
	}
	side->sdp_version++;
	ask_or_try_later(side, ASKING_BACK);
}

/* ---- answers ---- */

/* RFC 5057 5.1: answers after which the dialog, or our part of it, is no more. */
static bool ends_session(unsigned status)
{
	return status == 404 || status == 408 || status == 410 || status == 416 || status == 480 || status == 481 ||
	       (status >= 482 && status <= 485) || status == 502 || status == 604;
}

/* A refresh or a taking back was refused. */
static void on_own_refused(struct side *side, unsigned status)
{
	struct session *s = side->session;

	REFUSED(&s->im->worker->counters, REASON_REJECTED);
	LOG(INFO, s->im->worker, "session", s->actor.id, "refresh refused status=%u", status);
	if (status == 491)
		ask_again_later(side);
	else if (side->asking == ASKING_BACK)
		session_end(s, "a change could not be taken back");
	else
		session_timer_retry(&side->timer);
}

static void on_refused(struct side *side, const struct sip_message *m)
{
	struct session *s = side->session;
	enum session_asking why = side->asking;

	/* UPDATE is not known there after all: D1-37 */
	if (!side->asked_by_invite && (m->status == 405 || m->status == 501)) {
		side->takes_update = false;
		if (session_ask(side, why, true))
			return;
	}
	if (m->status == 422 && session_timer_raise(&side->timer, m) &&
	    session_ask(side, why, side->asked_by_invite))
		return;
	if (why == ASKING_CHANGE)
		session_change_refused(side, m->status, m);
	else if (!ends_session(m->status))
		on_own_refused(side, m->status);
	if (ends_session(m->status) && session_is_established(s)) {
		REFUSED(&s->im->worker->counters, REASON_DIALOG_UNKNOWN);
		session_end(s, "the other side knows the session no more");
	}
}

/* To a refresh of ours: the description it has now, if it has a new path. */
static void take_answer(struct side *side, const struct sip_message *m)
{
	const struct sdp_media *media;
	struct sip_flow flow = outgoing_flow(side->session->im, &side->dialog->next);
	struct sockaddr_storage from = { 0 };
	struct sdp sdp;

	if (m->body.n == 0 || session_sdp_read(m, &sdp, &media) != SDP_ACCEPTED)
		return; /* what it said before stays */
	memcpy(&from, &flow.peer, sizeof(flow.peer));
	struct session_peer peer = { &sdp, media, true, &from };
	(void)session_attach(side, &peer); /* refused: the leg has no connection, and the session ends for that */
}

static void on_accepted(struct side *side, const struct sip_message *m)
{
	if (sip_header_first(m, SIP_HDR_ALLOW))
		side->takes_update = sip_items_have(m, SIP_HDR_ALLOW, "UPDATE");
	session_timer_accepted(&side->timer, m, side->session->im);
	if (side->asking == ASKING_CHANGE)
		session_change_accepted(side, m);
	else if (side->asked_has_offer)
		take_answer(side, m);
}

static void on_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct side *side = arg;

	if (m->status < 200)
		return;
	if (m->status < 300) {
		(void)sip_dialog_refresh_target(side->dialog, m); /* without memory the old one may still do */
		if (side->asked_by_invite)
			session_acknowledge(side, client, m, side->asked_cseq);
	}
	sip_client_forget(client);
	forget_asked(side);
	if (!session_is_established(side->session))
		return;
	if (m->status < 300)
		on_accepted(side, m);
	else
		on_refused(side, m);
}

/* 408: nobody answers, the dialog is over (RFC 3261 12.2.1.2).  503: it could not be sent, or its connection
 * ended; he may come back by another. */
static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	sip_client_forget(client);
	forget_asked(side);
	if (!session_is_established(s))
		return;
	if (side->asking == ASKING_CHANGE)
		session_change_refused(side, status == 408 ? 408 : 500, NULL);
	else if (status != 408)
		on_own_refused(side, status);
	if (status == 408 && session_is_established(s)) {
		REFUSED(&s->im->worker->counters, REASON_TIMEOUT);
		session_end(s, "no answer inside the session");
	}
}

static const struct sip_client_events asked_events = { on_answered, on_failed, NULL };

/* ---- session timers ---- */

static void on_refresh_needed(struct session_timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, timer));

	if (!side->asked) /* whatever is under way refreshes too */
		ask_or_try_later(side, ASKING_REFRESH);
}

static void on_session_expired(struct session_timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, timer));

	REFUSED(&side->session->im->worker->counters, REASON_TIMEOUT);
	session_end(side->session, "session timer expired");
}

const struct session_timer_events session_timer_handlers = { on_refresh_needed, on_session_expired };
