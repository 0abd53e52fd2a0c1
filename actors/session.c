/*
 * The life of a session, top-down: INVITE -> lookup -> INVITE to the other side -> answer -> both
 * legs bound -> chunks -> BYE.  Every function below is one event; enter() is the only place
 * where the state changes.
 */
#include "actors/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/outgoing.h"
#include "actors/session_sdp.h"
#include "actors/session_timer.h"
#include "actors/user.h"
#include "core/log.h"
#include "core/minted.h"
#include "core/siphash.h"
#include "sip/dialog.h"
#include "sip/header.h"
#include "sip/write.h"

struct session;

/* One side of the B2BUA: a is who called, b who was called. */
struct side {
	struct session *session;
	struct sip_dialog *dialog;
	struct msrp_leg *leg;
	struct session_timer timer;
	char *sdp;          /* what we last sent to this side, for refreshes */
	size_t sdp_n;
	uint64_t peer_sdp;  /* hash of what it last sent, to tell a refresh from a change */
	char contact[MINTED_CHARS];
	uint64_t sdp_id;
	struct sip_client *refresh; /* an UPDATE of ours that is under way */
	bool is_bound, bye_is_out, has_left;
};

struct session {
	struct actor actor;
	struct im *im;
	enum session_state state;
	struct timer state_timer;
	struct side a, b;
	struct sip_server *invite;  /* A's, until its ACK or refusal */
	struct sip_client *outgoing; /* B's, until it is gone         */
	bool invite_is_answered, outgoing_is_answered; /* finally */
	char *request;              /* A's INVITE as received, until B answered */
	size_t request_n;
	struct identity *caller;    /* until B answered */
	char *callee;               /* canonical; until B answered */
	size_t callee_n;
	struct sip_flow outgoing_flow;
	unsigned byes_out;
};

static const struct {
	const char *name;
	int ms;
} state_info[] = {
#define X(name, ms, what) { #name, ms },
	SESSION_STATES(X)
#undef X
};

static void on_state_expired(struct timer *timer);
static void end(struct session *s, const char *reason);
static void free_if_done(struct session *s);

static uint64_t longest_stay_ms(const struct session *s, enum session_state state)
{
	int ms = state_info[state].ms;

	if (ms == SESSION_LIMIT_UNBOUND)
		return s->im->config->limits.unbound_ms;
	if (ms == SESSION_LIMIT_REATTACH)
		return s->im->config->limits.reattach_ms;
	return ms == SESSION_LIMIT_NONE ? 0 : (uint64_t)ms;
}

/* The only place where a session changes state: one log line, one timer, every time. */
static void enter(struct session *s, enum session_state next, const char *why)
{
	struct worker *worker = s->im->worker;
	uint64_t ms = longest_stay_ms(s, next);

	LOG(INFO, worker, "session", s->actor.id, "state=%s from=%s why=%s", state_info[next].name,
		state_info[s->state].name, why);
	if (next == SESSION_ACTIVE && s->state != SESSION_ACTIVE)
		COUNT(&worker->counters, sessions_started);
	s->state = next;
	if (ms)
		worker_arm(worker, &s->state_timer, ms, on_state_expired);
	else
		worker_disarm(worker, &s->state_timer);
}

/* ---- making and unmaking ---- */

static void on_refresh_needed(struct session_timer *timer);
static void on_session_expired(struct session_timer *timer);
static const struct session_timer_events timer_events = { on_refresh_needed, on_session_expired };

static void on_session_message(struct actor *actor, struct msg *msg);
static const struct actor_type session_type = { "session", on_session_message };

static struct session *session_make(struct im *im)
{
	struct session *s = pool_take(&im->sessions);

	if (!s)
		return NULL;
	s->im = im;
	s->a.session = s->b.session = s;
	s->a.timer.events = s->b.timer.events = &timer_events;
	if (actor_open(im->worker, &s->actor, &session_type) != 0) {
		pool_give(&im->sessions, s);
		return NULL;
	}
	gauge_set(&im->worker->counters, GAUGE_sessions, pool_used(&im->sessions));
	pool_gauge_set(&im->worker->counters, POOL_sessions, pool_used(&im->sessions));
	return s;
}

static void close_side(struct side *side)
{
	if (side->leg)
		msrp_leg_close(side->leg);
	side->leg = NULL;
	session_timer_stop(&side->timer);
	if (side->refresh)
		sip_client_forget(side->refresh);
	side->refresh = NULL;
	if (side->dialog)
		sip_dialog_close(side->dialog);
	side->dialog = NULL;
	free(side->sdp);
	side->sdp = NULL;
}

/* What only the way to the answer needs: an active session keeps little. */
static void free_invitation(struct session *s)
{
	free(s->request);
	free(s->caller);
	free(s->callee);
	s->request = NULL;
	s->caller = NULL;
	s->callee = NULL;
}

static void session_free(struct session *s)
{
	struct im *im = s->im;

	assert(!s->invite && !s->outgoing);
	worker_disarm(im->worker, &s->state_timer);
	close_side(&s->a);
	close_side(&s->b);
	free_invitation(s);
	actor_close(&s->actor);
	pool_give(&im->sessions, s);
	COUNT(&im->worker->counters, sessions_ended);
	gauge_set(&im->worker->counters, GAUGE_sessions, pool_used(&im->sessions));
	pool_gauge_set(&im->worker->counters, POOL_sessions, pool_used(&im->sessions));
}

/* What is left of a finally answered transaction (repeating, absorbing) is no business of ours. */
static void let_go(struct session *s)
{
	if (s->invite && s->invite_is_answered) {
		sip_server_watch(s->invite, NULL, NULL);
		s->invite = NULL;
	}
	if (s->outgoing && s->outgoing_is_answered) {
		sip_client_forget(s->outgoing);
		s->outgoing = NULL;
	}
}

static void free_if_done(struct session *s)
{
	if (s->state != SESSION_CLOSED)
		return;
	let_go(s);
	if (!s->invite && !s->outgoing && s->byes_out == 0)
		session_free(s);
}

static bool keep(char **to, size_t *to_n, struct slice text)
{
	char *copy = malloc(text.n ? text.n : 1);

	if (!copy)
		return false;
	if (text.n)
		memcpy(copy, text.p, text.n);
	free(*to);
	*to = copy;
	*to_n = text.n;
	return true;
}

/* ---- answering A ---- */

/* The final answer other than 2xx; the transaction is not ours any more. */
static void forget_invite(struct session *s)
{
	s->invite = NULL;
	s->invite_is_answered = true;
}

static void refuse(struct session *s, unsigned status, enum reason why)
{
	if (!s->invite || s->invite_is_answered)
		return;
	struct sip_server *invite = s->invite;
	sip_server_watch(invite, NULL, NULL);
	forget_invite(s);
	sip_server_refuse(invite, status, why);
}

static void refuse_with_warning(struct session *s, unsigned status, enum reason why, const char *text)
{
	if (!s->invite || s->invite_is_answered)
		return;
	struct sip_server *invite = s->invite;
	sip_server_watch(invite, NULL, NULL);
	forget_invite(s);
	im_refuse_with_warning(s->im, invite, status, why, text);
}

/* Nothing was set up on the other side (or that is over): the session is gone. */
static void fail(struct session *s, unsigned status, enum reason why)
{
	refuse(s, status, why);
	enter(s, SESSION_CLOSED, reason_label(why));
	free_if_done(s);
}

static void on_invite_cancelled(struct sip_server *server, void *arg);
static void on_invite_acked(struct sip_server *server, const struct sip_message *ack, void *arg);
static void on_invite_unacked(struct sip_server *server, void *arg);
static void on_invite_gone(struct sip_server *server, void *arg);

static const struct sip_server_events invite_events = { on_invite_cancelled, on_invite_acked, on_invite_unacked,
	on_invite_gone };

/* ---- the INVITE to B ---- */

static void on_outgoing_response(struct sip_client *client, const struct sip_message *m, void *arg);
static void on_outgoing_failed(struct sip_client *client, unsigned status, void *arg);
static void on_outgoing_gone(struct sip_client *client, void *arg);
static const struct sip_client_events outgoing_events = { on_outgoing_response, on_outgoing_failed,
	on_outgoing_gone };

static void on_dialog_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner);
static const struct sip_dialog_events dialog_events = { on_dialog_request };

static void on_leg_bound(struct msrp_leg *leg, void *arg);
static void on_leg_lost(struct msrp_leg *leg, enum reason why, void *arg);
static const struct msrp_leg_events leg_events = { on_leg_bound, on_leg_lost };

/* A's INVITE again, to build B's from it. */
static bool reread(const struct session *s, struct sip_message *m)
{
	struct sip_limits limits = { s->request_n + 1, s->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(s->request, s->request_n), &limits, SIP_DATAGRAM, &used) ==
	       SIP_PARSE_OK;
}

/* 64 bits are enough: a peer who aims for a collision only has his own change ignored. */
static uint64_t sdp_hash(const struct sdp *sdp)
{
	static const struct siphash_key key = { { 0x736470, 0x68617368 } };

	return siphash(&key, sdp->text);
}

static int open_leg(struct side *side, const struct sip_flow *flow)
{
	struct sockaddr_storage local;

	sip_flow_local(side->session->im->worker, flow, &local);
	return msrp_leg_open(&side->leg, side->session->im->worker, &local, &leg_events, side);
}

static bool write_sdp_for(struct side *side, const struct sdp *sdp, const struct sdp_media *media,
	enum sdp_setup setup)
{
	char text[16384];
	struct buffer out = buffer_over(text, sizeof(text));
	struct session_sdp_own own = { side->leg, side->sdp_id, 1, setup };

	return session_sdp_write(&out, sdp, media, &own) && keep(&side->sdp, &side->sdp_n, buffer_slice(&out));
}

/* From, To, Call-ID of B's dialog; what it says of the caller is the privacy service's decision. */
static int open_b_dialog(struct session *s, const struct sip_message *m, const struct sip_target *target)
{
	char from_text[1024], to_text[1024], call_id_text[64], tag[MINTED_CHARS];
	struct buffer from = buffer_over(from_text, sizeof(from_text)), to = buffer_over(to_text, sizeof(to_text)),
		      call_id = buffer_over(call_id_text, sizeof(call_id_text));

	identity_write_from(&from, s->im, s->caller, m);
	outgoing_to_value(&to, m);
	outgoing_call_id(&call_id, s->im->worker);
	minted_make(s->im->worker, tag);
	if (from.overflow || to.overflow)
		return ENOMEM;
	struct sip_dialog_start start = { .call_id = buffer_slice(&call_id), .local = buffer_slice(&from),
		.remote = buffer_slice(&to), .local_tag = slice_of(tag, sizeof(tag)), .next = *target,
		.events = &dialog_events, .owner = &s->b };
	return sip_dialog_open_client(&s->b.dialog, s->im->worker, &start);
}

static void write_invite_headers(struct session *s, struct buffer *out, const struct sip_message *m)
{
	const struct timers_options *timers = &s->im->config->timers;

	if (s->im->config->core.mode == MODE_IMS)
		outgoing_routes(out, s->im, m);
	outgoing_max_forwards(out, m);
	buffer_lit(out, "From: ");
	buffer_put(out, s->b.dialog->local);
	buffer_lit(out, ";tag=");
	buffer_put(out, s->b.dialog->local_tag);
	buffer_lit(out, "\r\nTo: ");
	buffer_put(out, s->b.dialog->remote);
	buffer_lit(out, "\r\nCall-ID: ");
	buffer_put(out, s->b.dialog->call_id);
	buffer_printf(out, "\r\nCSeq: %u INVITE\r\n", ++s->b.dialog->local_cseq);
	outgoing_contact(out, s->im, &s->outgoing_flow, slice_of(s->b.contact, MINTED_CHARS));
	identity_write(out, s->im, s->caller, m);
	buffer_lit(out, "Accept-Contact: *;" IM_FEATURE_TAG ";explicit\r\nAllow: " IM_ALLOW "\r\nSupported: timer\r\n");
	buffer_printf(out, "Session-Expires: %llu;refresher=uas\r\nMin-SE: %llu\r\n",
		(unsigned long long)timers->session_expires_ms / 1000, (unsigned long long)timers->min_se_ms / 1000);
	outgoing_passed_on(out, m);
}

static void invite_b(struct session *s, struct slice request_uri, const struct sip_target *target)
{
	char headers_text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	const struct sdp_media *media;
	struct sip_message m;
	struct sdp sdp;

	s->outgoing_flow = outgoing_flow(s->im, target);
	if (!reread(s, &m) || session_sdp_read_offer(&m, &sdp, &media) != SDP_ACCEPTED ||
	    open_leg(&s->b, &s->outgoing_flow) != 0 || open_b_dialog(s, &m, target) != 0 ||
	    !write_sdp_for(&s->b, &sdp, media, SDP_SETUP_ACTPASS)) {
		fail(s, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	minted_make(s->im->worker, s->b.contact);
	write_invite_headers(s, &headers, &m);
	struct sip_outgoing invite = { .method = SLICE("INVITE"), .uri = request_uri,
		.headers = buffer_slice(&headers), .content_type = SLICE("application/sdp"),
		.body = slice_of(s->b.sdp, s->b.sdp_n), .target = *target };
	if (headers.overflow) {
		fail(s, 513, REASON_TOO_LARGE);
		return;
	}
	if (sip_client_send(&s->outgoing, s->im->worker, &invite, &outgoing_events, s) != 0) {
		fail(s, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	enter(s, SESSION_INVITED, "invite-relayed");
}

static void on_session_message(struct actor *actor, struct msg *msg)
{
	struct session *s = (struct session *)actor;
	struct user_find *found = (struct user_find *)msg;
	const struct config *config = s->im->config;

	assert(msg->kind == MSG_USER_FOUND); /* the only message that names a session */
	if (s->state == SESSION_LOOKUP && !found->is_registered) {
		if (config->core.mode == MODE_IMS)
			refuse_with_warning(s, config->policy.unavailable_session_code, REASON_OFFLINE,
				"Session cannot be deferred");
		else
			refuse(s, config->policy.unavailable_session_code, REASON_OFFLINE);
		enter(s, SESSION_CLOSED, "offline");
		free_if_done(s);
	} else if (s->state == SESSION_LOOKUP && config->core.mode == MODE_IMS) {
		struct sip_target target = im_next_hop(s->im);
		struct sip_message m;
		invite_b(s, reread(s, &m) ? m.uri : SLICE_EMPTY, &target);
	} else if (s->state == SESSION_LOOKUP) {
		struct sip_target target = { .has_flow = true, .flow_only = true, .flow = found->contacts[0].flow };
		invite_b(s, slice_of(found->contacts[0].uri, found->contacts[0].uri_n), &target);
	}
	free(found);
}

static bool take_request(struct session *s, struct sip_server *server, const struct sip_message *invite,
	const struct session_start *start)
{
	struct sip_dialog_start dialog = { .local_tag = sip_server_to_tag(server), .events = &dialog_events,
		.owner = &s->a };

	s->invite = server;
	s->caller = malloc(sizeof(*s->caller));
	if (!s->caller || !keep(&s->request, &s->request_n, invite->wire) ||
	    !keep(&s->callee, &s->callee_n, start->callee)) {
		fail(s, 503, REASON_NO_MEMORY);
		return false;
	}
	*s->caller = *start->caller;
	minted_make(s->im->worker, s->a.contact);
	s->a.sdp_id = worker_random_fast(s->im->worker) >> 2;
	s->b.sdp_id = worker_random_fast(s->im->worker) >> 2;
	if (s->im->config->core.mode == MODE_IMS)
		dialog.next = im_next_hop(s->im);
	else
		dialog.next = (struct sip_target){ .has_flow = true, .flow_only = true,
			.flow = *sip_server_flow(server) };
	int err = sip_dialog_open_server(&s->a.dialog, s->im->worker, invite, &dialog);
	if (err) {
		fail(s, err == EINVAL ? 400 : 503, err == EINVAL ? REASON_SYNTAX : REASON_POOL_EXHAUSTED);
		return false;
	}
	return true;
}

/* Checks the offer's direction, size and session timer; false: answered. */
static bool is_acceptable(struct im *im, struct sip_server *server, const struct sip_message *invite)
{
	const struct sdp_media *media;
	struct sdp sdp;
	enum sdp_judgement judgement;

	if (session_timer_is_too_brief(invite, im->config->timers.min_se_ms)) {
		session_timer_refuse(im, server);
		return false;
	}
	judgement = session_sdp_read_offer(invite, &sdp, &media);
	if (judgement != SDP_ACCEPTED) {
		session_sdp_refuse(im, server, judgement);
		return false;
	}
	return true;
}

void session_start(struct im *im, struct sip_server *server, const struct sip_message *invite,
	const struct session_start *start)
{
	if (atomic_load(&im->server->is_draining)) {
		sip_server_refuse(server, 503, REASON_DRAINING);
		return;
	}
	if (!is_acceptable(im, server, invite))
		return;
	struct session *s = session_make(im);
	if (!s) {
		sip_server_refuse(server, 503, REASON_SESSION_LIMIT);
		return;
	}
	if (!take_request(s, server, invite, start))
		return;
	sip_server_watch(server, &invite_events, s);
	if (start->route == SESSION_TO_NEXT_HOP) {
		struct sip_target target = im_next_hop(im);
		invite_b(s, invite->uri, &target);
		return;
	}
	if (user_find(im, start->callee, s->actor.id) != 0) {
		fail(s, 503, REASON_NO_MEMORY);
		return;
	}
	enter(s, SESSION_LOOKUP, "invite-received");
}

/* ---- B's answers ---- */

static void write_answer_headers(struct session *s, struct buffer *out, const struct sip_message *invite,
	const struct sip_message *response)
{
	sip_copy_headers(out, invite, SIP_HDR_RECORD_ROUTE); /* the route set of A's dialog: RFC 3261 12.1.1 */
	outgoing_contact(out, s->im, sip_server_flow(s->invite), slice_of(s->a.contact, MINTED_CHARS));
	buffer_lit(out, "Allow: " IM_ALLOW "\r\n");
	identity_write_of_response(out, s->im, response, slice_of(s->callee, s->callee_n));
}

static void relay_provisional(struct session *s, const struct sip_message *response)
{
	char text[2048];
	struct buffer headers = buffer_over(text, sizeof(text));

	struct sip_message invite;

	if (s->state != SESSION_INVITED || !reread(s, &invite))
		return;
	write_answer_headers(s, &headers, &invite, response);
	sip_server_respond(s->invite, &(struct sip_reply){ .status = response->status, .reason = response->reason,
		.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
}

/* One request in a dialog; its events come with `side`. */
static int send_in_dialog(struct side *side, const char *method, struct slice headers,
	const struct sip_client_events *events, struct sip_client **client)
{
	char text[4096];
	struct buffer out = buffer_over(text, sizeof(text));

	sip_dialog_write(side->dialog, &out, method, 0);
	buffer_put(&out, headers);
	struct sip_outgoing request = { .method = slice_str(method), .uri = side->dialog->target,
		.headers = buffer_slice(&out), .target = side->dialog->next };
	if (out.overflow)
		return ENOMEM;
	return sip_client_send(client, side->session->im->worker, &request, events, side);
}

static void acknowledge(struct session *s, struct sip_client *client, const struct sip_message *response)
{
	char text[4096];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sip_address to;

	if (!sip_address_decode(sip_header_value(response, SIP_HDR_TO), &to))
		return;
	sip_dialog_write(s->b.dialog, &out, "ACK", s->b.dialog->local_cseq);
	struct sip_outgoing ack = { .method = SLICE("ACK"), .uri = s->b.dialog->target,
		.headers = buffer_slice(&out), .target = s->b.dialog->next };
	if (!out.overflow)
		(void)sip_client_ack(client, to.tag, &ack); /* ENOMEM: B repeats its 2xx, we try again */
}

static void on_bye_done(struct sip_client *client, const struct sip_message *m, void *arg);
static void on_bye_failed(struct sip_client *client, unsigned status, void *arg);
static const struct sip_client_events bye_events = { on_bye_done, on_bye_failed, NULL };

/* `headers`: a Reason, or nothing. */
static void send_bye(struct side *side, struct slice headers)
{
	struct sip_client *bye;

	if (!side->dialog || !side->dialog->is_confirmed || side->bye_is_out)
		return;
	side->bye_is_out = true;
	if (send_in_dialog(side, "BYE", headers, &bye_events, &bye) == 0)
		side->session->byes_out++;
}

static void bye_is_over(struct sip_client *client, struct session *s)
{
	sip_client_forget(client);
	s->byes_out--;
	if (s->byes_out == 0 && s->state == SESSION_CLOSING)
		enter(s, SESSION_CLOSED, "bye-answered");
	free_if_done(s);
}

/* Whatever it answers, or nobody: the dialog is over. */
static void on_bye_done(struct sip_client *client, const struct sip_message *m, void *arg)
{
	if (m->status >= 200)
		bye_is_over(client, ((struct side *)arg)->session);
}

static void on_bye_failed(struct sip_client *client, unsigned status, void *arg)
{
	bye_is_over(client, ((struct side *)arg)->session);
}

static void release_legs(struct session *s)
{
	struct side *sides[] = { &s->a, &s->b };

	for (int i = 0; i < 2; i++) {
		if (sides[i]->leg)
			msrp_leg_close(sides[i]->leg);
		sides[i]->leg = NULL;
		session_timer_stop(&sides[i]->timer);
	}
}

/* BYE to whoever is still in the session. */
static void end_with(struct session *s, struct slice headers, const char *why)
{
	release_legs(s);
	if (s->invite_is_answered) /* else A has no dialog yet and got, or gets, a final response */
		send_bye(&s->a, headers);
	send_bye(&s->b, headers);
	enter(s, SESSION_CLOSING, why);
	if (s->byes_out == 0)
		enter(s, SESSION_CLOSED, "nobody-left");
	free_if_done(s);
}

/* We end it; `reason` NULL: it had not begun. */
static void end(struct session *s, const char *reason)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (reason)
		buffer_printf(&headers, "Reason: SIP;cause=480;text=\"%s\"\r\n", reason);
	end_with(s, buffer_slice(&headers), reason ? reason : "cancelled");
}

static bool answer_a(struct session *s, const struct sip_message *response, const struct sdp *answer,
	const struct sdp_media *media)
{
	char headers_text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));
	const struct sdp_media *offered;
	struct sip_message invite;
	struct sdp offer;
	struct msrp_peer peer;
	struct sockaddr_storage from = { 0 };

	if (!reread(s, &invite) || session_sdp_read_offer(&invite, &offer, &offered) != SDP_ACCEPTED ||
	    open_leg(&s->a, sip_server_flow(s->invite)) != 0)
		return false;
	memcpy(&from, &sip_server_flow(s->invite)->peer, sizeof(sip_server_flow(s->invite)->peer));
	struct session_peer caller = { &offer, offered, false, &from };
	if (!session_sdp_peer(s->im, &caller, &peer)) {
		REFUSED(&s->im->worker->counters, REASON_CONNECT_FORBIDDEN);
		return false;
	}
	if (!write_sdp_for(&s->a, answer, media, session_sdp_answer_setup(&offer, offered)) ||
	    msrp_leg_set_peer(s->a.leg, &peer) != 0)
		return false;
	s->a.peer_sdp = sdp_hash(&offer);
	write_answer_headers(s, &headers, &invite, response);
	session_timer_answer(&s->a.timer, &invite, s->im, &headers);
	outgoing_passed_on(&headers, response);
	if (headers.overflow)
		return false;
	s->invite_is_answered = true;
	sip_server_respond(s->invite, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = SLICE("application/sdp"), .body = slice_of(s->a.sdp, s->a.sdp_n) });
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
	s->b.peer_sdp = sdp_hash(sdp);
	return msrp_leg_set_peer(s->b.leg, &peer) == 0;
}

static void on_accepted(struct session *s, struct sip_client *client, const struct sip_message *response)
{
	const struct sdp_media *media;
	struct sdp sdp;

	if (sip_dialog_confirm(s->b.dialog, response) != 0) {
		fail(s, 480, REASON_SYNTAX); /* no Contact or tag: not even an ACK can be sent */
		return;
	}
	acknowledge(s, client, response);
	if (s->state == SESSION_CANCELLED) { /* it crossed our CANCEL */
		end(s, NULL);
		return;
	}
	if (!attach_b(s, response, &sdp, &media) || !answer_a(s, response, &sdp, media)) {
		refuse(s, 480, REASON_SDP);
		end(s, "session description not acceptable");
		return;
	}
	session_timer_accepted(&s->b.timer, response, s->im);
	msrp_leg_pair(s->a.leg, s->b.leg);
	free_invitation(s);
	enter(s, SESSION_BINDING, "answered");
}

static void on_refused(struct session *s, const struct sip_message *response)
{
	if (s->state == SESSION_INVITED && s->invite && !s->invite_is_answered) {
		char text[4096];
		struct buffer headers = buffer_over(text, sizeof(text));
		struct sip_server *invite = s->invite;
		unsigned status = outgoing_final_status(response->status);
		outgoing_explanation(&headers, response);
		sip_server_watch(invite, NULL, NULL);
		forget_invite(s);
		REFUSED(&s->im->worker->counters, REASON_REJECTED);
		sip_server_respond(invite, &(struct sip_reply){ .status = status,
			.reason = status == response->status ? response->reason : SLICE_EMPTY,
			.headers = headers.overflow ? SLICE_EMPTY : buffer_slice(&headers) });
	}
	enter(s, SESSION_CLOSED, "refused");
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
		free_if_done(s);
		return;
	}
	if (s->state == SESSION_INVITED || s->state == SESSION_CANCELLED)
		on_accepted(s, client, m);
	else
		LOG(WARN, s->im->worker, "session", s->actor.id, "second-answer state=%s", state_info[s->state].name);
}

static void on_outgoing_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct session *s = arg;

	/* the contact's flow is gone, or nobody is there: to the caller the user is not available */
	refuse(s, status == 503 ? 480 : status, status == 503 ? REASON_CONNECT_FAILED : REASON_TIMEOUT);
	s->outgoing_is_answered = true;
	enter(s, SESSION_CLOSED, "no-answer");
	free_if_done(s);
}

static void on_outgoing_gone(struct sip_client *client, void *arg)
{
	struct session *s = arg;

	s->outgoing = NULL;
	free_if_done(s);
}

/* ---- A's transaction ---- */

static void on_invite_cancelled(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	refuse(s, 487, REASON_REJECTED);
	if (s->state == SESSION_INVITED) {
		enter(s, SESSION_CANCELLED, "cancelled");
		sip_client_cancel(s->outgoing);
		return;
	}
	if (s->state == SESSION_LOOKUP) {
		enter(s, SESSION_CLOSED, "cancelled");
		free_if_done(s);
	}
}

static void on_invite_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	/* from here on the session lives by its legs and timers */
	sip_server_watch(server, NULL, NULL);
	((struct session *)arg)->invite = NULL;
}

static void on_invite_unacked(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	if (s->state == SESSION_BINDING || s->state == SESSION_ACTIVE || s->state == SESSION_DETACHED)
		end(s, "no ACK");
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	s->invite = NULL;
	free_if_done(s);
}

/* ---- the legs ---- */

static void on_leg_bound(struct msrp_leg *leg, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	side->is_bound = true;
	if (s->a.is_bound && s->b.is_bound && (s->state == SESSION_BINDING || s->state == SESSION_DETACHED))
		enter(s, SESSION_ACTIVE, "bound");
}

static void on_leg_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	side->is_bound = false;
	switch (s->state) { /* no default: a new state must be thought of here */
	case SESSION_ACTIVE:
		if (why == REASON_QUEUE_FULL)
			end(s, reason_label(why));
		else
			enter(s, SESSION_DETACHED, reason_label(why));
		break;
	case SESSION_BINDING:
		end(s, reason_label(why));
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

/* ---- requests inside the dialogs ---- */

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
	if (s->state != SESSION_BINDING && s->state != SESSION_ACTIVE && s->state != SESSION_DETACHED)
		return;
	sip_copy_headers(&headers, m, SIP_HDR_REASON);
	end_with(s, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers), "bye");
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
	if (s->state != SESSION_BINDING && s->state != SESSION_ACTIVE && s->state != SESSION_DETACHED) {
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	if (has_offer && (session_sdp_read(m, &sdp, &media) != SDP_ACCEPTED ||
				 sdp_hash(&sdp) != side->peer_sdp)) {
		session_sdp_refuse(s->im, server, SDP_BAD_PATH);
		return;
	}
	if (sip_dialog_refresh_target(side->dialog, m) != 0) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
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

/* ---- time ---- */

static void on_state_expired(struct timer *timer)
{
	struct session *s = (struct session *)((char *)timer - offsetof(struct session, state_timer));

	switch (s->state) {
	case SESSION_LOOKUP:
		fail(s, 503, REASON_TIMEOUT);
		break;
	case SESSION_INVITED:
		refuse(s, 408, REASON_TIMEOUT);
		enter(s, SESSION_CANCELLED, "no-answer");
		sip_client_cancel(s->outgoing);
		break;
	case SESSION_BINDING:
		REFUSED(&s->im->worker->counters, REASON_MSRP_UNBOUND_TIMEOUT);
		end(s, reason_label(REASON_MSRP_UNBOUND_TIMEOUT));
		break;
	case SESSION_DETACHED:
		REFUSED(&s->im->worker->counters, REASON_MSRP_LEG_LOST);
		end(s, reason_label(REASON_MSRP_LEG_LOST));
		break;
	case SESSION_CANCELLED: /* timers of both transactions are shorter: they end by themselves */
	case SESSION_CLOSING:
		enter(s, SESSION_CLOSED, "gave-up");
		free_if_done(s);
		break;
	case SESSION_ACTIVE:
	case SESSION_CLOSED:
		assert(!"no longest stay in this state");
	}
}

static void on_refresh_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct side *side = arg;

	if (m->status < 200)
		return;
	sip_client_forget(client);
	side->refresh = NULL;
	if (m->status < 300)
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
	char text[128];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_printf(&headers, "Supported: timer\r\nSession-Expires: %u;refresher=uac\r\n", timer->expires_s);
	/* not sent or not answered: the session ends with its timer */
	if (send_in_dialog(side, "UPDATE", buffer_slice(&headers), &refresh_events, &side->refresh) != 0)
		side->refresh = NULL;
}

static void on_session_expired(struct session_timer *timer)
{
	struct side *side = (struct side *)((char *)timer - offsetof(struct side, timer));

	REFUSED(&side->session->im->worker->counters, REASON_TIMEOUT);
	end(side->session, "session timer expired");
}

/* ---- per worker ---- */

int sessions_init(struct im *im)
{
	return pool_init(&im->sessions, "sessions", sizeof(struct session), im->config->limits.sessions);
}

void sessions_drain(struct im *im)
{
	for (uint32_t slot = 0; slot < im->sessions.made; slot++) {
		struct session *s = pool_at(&im->sessions, slot);
		if (!s)
			continue;
		switch (s->state) {
		case SESSION_LOOKUP:
			fail(s, 503, REASON_DRAINING);
			break;
		case SESSION_INVITED:
			refuse(s, 503, REASON_DRAINING);
			enter(s, SESSION_CANCELLED, "draining");
			sip_client_cancel(s->outgoing);
			break;
		case SESSION_BINDING:
		case SESSION_ACTIVE:
		case SESSION_DETACHED:
			end(s, "server is stopping");
			break;
		case SESSION_CANCELLED:
		case SESSION_CLOSING:
		case SESSION_CLOSED:
			break;
		}
	}
}

/* The process ends: the transactions below were dropped without a word. */
void sessions_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->sessions.made; slot++) {
		struct session *s = pool_at(&im->sessions, slot);
		if (!s)
			continue;
		s->invite = NULL;
		s->outgoing = NULL;
		session_free(s);
	}
	pool_free(&im->sessions);
}
