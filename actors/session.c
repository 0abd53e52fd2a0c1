/*
 * A session's life: made, moved from state to state by session_enter(), ended
 * by BYE, freed when nobody will call back any more.
 */
#include "actors/session_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/sdp_kept.h"
#include "actors/session_contact.h"
#include "core/log.h"
#include "sip/header.h"

static const struct {
	const char *name;
	int ms;
} session_state_info[] = {
#define X(name, ms, what) { #name, ms },
	SESSION_STATES(X)
#undef X
};

static void on_state_expired(struct timer *timer);

const char *session_state_name(enum session_state state)
{
	return session_state_info[state].name;
}

static uint64_t longest_stay_ms(const struct session *s, enum session_state state)
{
	int ms = session_state_info[state].ms;

	if (ms == SESSION_LIMIT_UNBOUND)
		return s->im->config->limits.unbound_ms;
	if (ms == SESSION_LIMIT_REATTACH)
		return s->im->config->limits.reattach_ms;
	if (state == SESSION_INVITED && s->expires_at_ms) { /* RFC 3261 13.3.1, D1-18 */
		uint64_t now_ms = worker_now_ms(s->im->worker);
		uint64_t left_ms = s->expires_at_ms > now_ms ? s->expires_at_ms - now_ms : 1;
		return left_ms < (uint64_t)ms ? left_ms : (uint64_t)ms;
	}
	return ms == SESSION_LIMIT_NONE ? 0 : (uint64_t)ms;
}

/* The only place where a session changes state: one log line, one timer, every time. */
void session_enter(struct session *s, enum session_state next, const char *why)
{
	struct worker *worker = s->im->worker;
	uint64_t ms = longest_stay_ms(s, next);

	LOG(INFO, worker, "session", s->actor.id, "state=%s from=%s why=%s", session_state_info[next].name,
		session_state_info[s->state].name, why);
	if (next == SESSION_ACTIVE && s->state == SESSION_BINDING) {
		COUNT(&worker->counters, sessions_started);
		if (s->a.dialog && s->a.dialog->next.has_flow) /* a registered contact's is known already */
			sip_flow_watch(worker, &s->a.dialog->next.flow);
	}
	s->state = next;
	if (next == SESSION_CANCELLED || next == SESSION_CLOSING || next == SESSION_CLOSED)
		session_record_end(s, why);
	if (ms)
		worker_arm(worker, &s->state_timer, ms, on_state_expired);
	else
		worker_disarm(worker, &s->state_timer);
}

/* ---- making and unmaking ---- */

static const struct actor_type session_type = { "session", session_on_message };

struct session *session_make(struct im *im)
{
	struct session *s;

	if (!im_take_session_place(im))
		return NULL;
	s = pool_take(&im->sessions);
	if (!s) {
		im_give_session_place(im);
		return NULL;
	}
	s->im = im;
	s->started_at_ms = worker_now_ms(im->worker);
	s->a.session = s->b.session = s;
	s->a.sdp_version = s->b.sdp_version = 1;
	s->a.timer.events = s->b.timer.events = &session_timer_handlers;
	if (actor_open(im->worker, &s->actor, &session_type) != 0) {
		pool_give(&im->sessions, s);
		im_give_session_place(im);
		return NULL;
	}
	im_count_sessions(im);
	pool_gauge_set(&im->worker->counters, POOL_sessions, pool_used(&im->sessions));
	return s;
}

static void close_side(struct side *side)
{
	session_close_leg(side);
	session_timer_stop(&side->timer);
	session_stop_asking(side);
	session_forget_unacked(side);
	if (side->dialog)
		sip_dialog_close(side->dialog);
	side->dialog = NULL;
	free(side->sdp);
	side->sdp = NULL;
}

static void forget_left(struct session *s)
{
	if (s->left)
		close_side(s->left);
	free(s->left);
	s->left = NULL;
}

/* What only the way to the answer needs: an active session keeps little. */
void session_free_invitation(struct session *s)
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

	assert(!s->invite);
	worker_disarm(im->worker, &s->state_timer);
	if (s->fork)
		session_fork_leave(s->fork);
	session_drop_change(s);
	session_drop_relays(s, false);
	session_contact_leave(&s->a);
	session_contact_leave(&s->b);
	close_side(&s->a);
	close_side(&s->b);
	forget_left(s);
	session_record_end(s, "stopped"); /* the process ends before the session did */
	session_free_invitation(s);
	free(s->bye_headers);
	actor_close(&s->actor);
	pool_give(&im->sessions, s);
	im_give_session_place(im);
	COUNT(&im->worker->counters, sessions_ended);
	im_count_sessions(im);
	pool_gauge_set(&im->worker->counters, POOL_sessions, pool_used(&im->sessions));
}

/* What is left of a finally answered transaction (repeating, absorbing) is no business of ours. */
static void let_go(struct session *s)
{
	if (s->invite && s->invite_is_answered) {
		sip_server_watch(s->invite, NULL, NULL);
		s->invite = NULL;
	}
}

void session_free_if_done(struct session *s)
{
	if (s->state != SESSION_CLOSED)
		return;
	let_go(s);
	if (!s->invite && s->byes_out == 0)
		session_free(s);
}

bool session_keep(char **to, uint32_t *to_n, struct slice text)
{
	char *copy = malloc(text.n ? text.n : 1);

	if (!copy)
		return false;
	if (text.n)
		memcpy(copy, text.p, text.n);
	free(*to);
	*to = copy;
	*to_n = (uint32_t)text.n;
	return true;
}

/* ---- descriptions ---- */

static struct slice path_of(const struct side *side)
{
	return side->leg ? msrp_leg_uri(side->leg) : SLICE_EMPTY;
}

struct slice session_sdp_of(const struct side *side, char *room)
{
	return sdp_kept_text(slice_of(side->sdp, side->sdp_n), path_of(side), room);
}

void session_pack_sdp(struct side *side)
{
	size_t n = sdp_kept_pack(side->sdp, side->sdp_n, path_of(side));
	char *smaller = realloc(side->sdp, n ? n : 1);

	if (smaller)
		side->sdp = smaller;
	side->sdp_n = (uint32_t)n;
}

bool session_set_sdp(struct side *side, struct slice text)
{
	if (!session_keep(&side->sdp, &side->sdp_n, text))
		return false;
	session_pack_sdp(side);
	return true;
}

/* ---- answering A ---- */

/* The final answer other than 2xx; the transaction is not ours any more. */
void session_forget_invite(struct session *s)
{
	s->invite = NULL;
	s->invite_is_answered = true;
	s->a.bye_is_out = true; /* a refused INVITE leaves no dialog that a BYE could end */
}

void session_refuse(struct session *s, unsigned status, enum reason why)
{
	if (!s->invite || s->invite_is_answered)
		return;
	struct sip_server *invite = s->invite;
	sip_server_watch(invite, NULL, NULL);
	session_forget_invite(s);
	sip_server_refuse(invite, status, why);
}

void session_refuse_with_warning(struct session *s, unsigned status, enum reason why, const char *text)
{
	if (!s->invite || s->invite_is_answered)
		return;
	struct sip_server *invite = s->invite;
	sip_server_watch(invite, NULL, NULL);
	session_forget_invite(s);
	im_refuse_with_warning(s->im, invite, status, why, text);
}

/* Nothing was set up on the other side (or that is over): the session is gone. */
void session_fail(struct session *s, unsigned status, enum reason why)
{
	session_refuse(s, status, why);
	session_enter(s, SESSION_CLOSED, reason_label(why));
	session_free_if_done(s);
}

/* ---- the end ---- */

int session_send_in(struct sip_dialog *dialog, const char *method, struct slice headers, struct slice sdp,
	const struct sip_client_events *events, void *arg, struct sip_client **client)
{
	char text[SIP_DIALOG_HEADERS_MAX + 2048];
	struct buffer out = buffer_over(text, sizeof(text));

	sip_dialog_write(dialog, &out, method, 0);
	buffer_put(&out, headers);
	struct sip_outgoing request = { .method = slice_str(method), .uri = sip_dialog_uri(dialog),
		.headers = buffer_slice(&out), .target = dialog->next,
		.content_type = sdp.n ? SLICE("application/sdp") : SLICE_EMPTY, .body = sdp };
	if (out.overflow)
		return ENOMEM;
	return sip_client_send(client, dialog->worker, &request, events, arg);
}

int session_send(struct side *side, const char *method, struct slice headers, struct slice sdp,
	const struct sip_client_events *events, struct sip_client **client)
{
	return session_send_in(side->dialog, method, headers, sdp, events, side, client);
}

void session_acknowledge_in(struct sip_dialog *dialog, struct sip_client *client, const struct sip_message *response,
	uint32_t cseq)
{
	char text[SIP_DIALOG_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sip_address to;

	if (!sip_address_decode(sip_header_value(response, SIP_HDR_TO), &to))
		return;
	sip_dialog_write(dialog, &out, "ACK", cseq);
	struct sip_outgoing ack = { .method = SLICE("ACK"), .uri = sip_dialog_uri(dialog),
		.headers = buffer_slice(&out), .target = dialog->next };
	if (!out.overflow)
		(void)sip_client_ack(client, to.tag, &ack); /* ENOMEM: he repeats his 2xx, we try again */
}

void session_acknowledge(struct side *side, struct sip_client *client, const struct sip_message *response,
	uint32_t cseq)
{
	session_acknowledge_in(side->dialog, client, response, cseq);
}

static void on_bye_done(struct sip_client *client, const struct sip_message *m, void *arg);
static void on_bye_failed(struct sip_client *client, unsigned status, void *arg);
static const struct sip_client_events bye_events = { on_bye_done, on_bye_failed, NULL };

/* `headers`: a Reason, or nothing. */
static void send_bye(struct side *side, struct slice headers)
{
	struct session *s = side->session;
	struct sip_client *bye;

	if (!side->dialog || !side->dialog->is_confirmed || side->bye_is_out || side->bye_waits)
		return;
	/* RFC 3261 15: no BYE before the ACK of our 2xx; without memory for its headers it is early */
	if (side == &s->a && s->invite && session_keep(&s->bye_headers, &s->bye_headers_n, headers)) {
		side->bye_waits = true;
		return;
	}
	side->bye_is_out = true;
	if (session_send(side, "BYE", headers, SLICE_EMPTY, &bye_events, &bye) == 0)
		s->byes_out++;
}

static void close_if_nobody_left(struct session *s, const char *why)
{
	if (s->byes_out == 0 && !s->a.bye_waits && s->state == SESSION_CLOSING)
		session_enter(s, session_has_subscriptions(s) ? SESSION_SUBSCRIBED : SESSION_CLOSED, why);
	session_free_if_done(s);
}

void session_close_if_idle(struct session *s)
{
	if (s->state == SESSION_SUBSCRIBED && !s->relays && !session_has_subscriptions(s))
		session_enter(s, SESSION_CLOSED, "unsubscribed");
	session_free_if_done(s);
}

static void bye_is_over(struct sip_client *client, struct side *side)
{
	struct session *s = side->session;

	sip_client_forget(client);
	s->byes_out--;
	if (side == s->left)
		forget_left(s);
	close_if_nobody_left(s, "bye-answered");
}

void session_invite_is_over(struct session *s)
{
	s->invite = NULL;
	if (!s->a.bye_waits)
		return;
	s->a.bye_waits = false;
	send_bye(&s->a, slice_of(s->bye_headers, s->bye_headers_n));
	session_enter(s, SESSION_CLOSING, "bye-waited"); /* timer F starts now */
	close_if_nobody_left(s, "nobody-left");
}

/* Whatever it answers, or nobody: the dialog is over. */
static void on_bye_done(struct sip_client *client, const struct sip_message *m, void *arg)
{
	if (m->status >= 200)
		bye_is_over(client, arg);
}

static void on_bye_failed(struct sip_client *client, unsigned status, void *arg)
{
	bye_is_over(client, arg);
}

void session_send_away(struct session *s, struct sip_dialog *dialog)
{
	unsigned before = s->byes_out;

	s->left = calloc(1, sizeof(*s->left));
	if (!s->left) { /* he finds out by his session timer */
		sip_dialog_close(dialog);
		return;
	}
	s->left->session = s;
	s->left->dialog = dialog;
	dialog->owner = s->left;
	send_bye(s->left, SLICE("Reason: SIP;cause=200;text=\"Replaced\"\r\n"));
	if (s->byes_out == before)
		forget_left(s);
}

static void release_legs(struct session *s)
{
	struct side *sides[] = { &s->a, &s->b };

	for (int i = 0; i < 2; i++) {
		session_close_leg(sides[i]);
		session_timer_stop(&sides[i]->timer);
		worker_disarm(s->im->worker, &sides[i]->again);
	}
}

/* BYE to whoever is still in the session. */
void session_end_with(struct session *s, struct slice headers, const char *why)
{
	release_legs(s);
	session_drop_change(s);
	send_bye(&s->a, headers);
	send_bye(&s->b, headers);
	session_enter(s, SESSION_CLOSING, why);
	close_if_nobody_left(s, "nobody-left");
}

/* We end it; `reason` NULL: it had not begun. */
void session_end(struct session *s, const char *reason)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (reason)
		buffer_printf(&headers, "Reason: SIP;cause=480;text=\"%s\"\r\n", reason);
	session_end_with(s, buffer_slice(&headers), reason ? reason : "cancelled");
}

/* ---- time ---- */

static bool is_expired(const struct session *s)
{
	return s->expires_at_ms && worker_now_ms(s->im->worker) >= s->expires_at_ms;
}

static void on_state_expired(struct timer *timer)
{
	struct session *s = (struct session *)((char *)timer - offsetof(struct session, state_timer));

	switch (s->state) {
	case SESSION_LOOKUP:
		session_fail(s, 503, REASON_TIMEOUT);
		break;
	case SESSION_INVITED:
		session_refuse(s, is_expired(s) ? 487 : 408, REASON_TIMEOUT);
		session_enter(s, SESSION_CANCELLED, "no-answer");
		session_fork_cancel(s->fork);
		break;
	case SESSION_BINDING:
		REFUSED(&s->im->worker->counters, REASON_MSRP_UNBOUND_TIMEOUT);
		session_end(s, reason_label(REASON_MSRP_UNBOUND_TIMEOUT));
		break;
	case SESSION_DETACHED:
		REFUSED(&s->im->worker->counters, REASON_MSRP_LEG_LOST);
		session_end(s, reason_label(REASON_MSRP_LEG_LOST));
		break;
	case SESSION_CANCELLED: /* timers of both transactions are shorter: they end by themselves */
	case SESSION_CLOSING:
	case SESSION_SUBSCRIBED:
		session_enter(s, SESSION_CLOSED, "gave-up");
		session_free_if_done(s);
		break;
	case SESSION_ACTIVE:
	case SESSION_CLOSED:
		assert(!"no longest stay in this state");
	}
}

/* ---- per worker ---- */

int sessions_init(struct im *im)
{
	return pool_init(&im->sessions, "sessions", sizeof(struct session), im->config->limits.sessions);
}

void sessions_drain(struct im *im)
{
	bool is_last = im->is_drained;

	im->is_drained = true;
	for (uint32_t slot = 0; slot < im->sessions.made; slot++) {
		struct session *s = pool_at(&im->sessions, slot);
		if (!s)
			continue;
		switch (s->state) {
		case SESSION_LOOKUP:
			session_fail(s, 503, REASON_DRAINING);
			break;
		case SESSION_INVITED:
			session_refuse(s, 503, REASON_DRAINING);
			session_enter(s, SESSION_CANCELLED, "draining");
			session_fork_cancel(s->fork);
			break;
		case SESSION_BINDING:
		case SESSION_ACTIVE:
		case SESSION_DETACHED:
			session_end(s, "server is stopping");
			break;
		case SESSION_SUBSCRIBED: /* who subscribed will see that we are gone */
			session_enter(s, SESSION_CLOSED, "draining");
			session_free_if_done(s);
			break;
		case SESSION_CLOSING: /* for the second time: a BYE that waits for its ACK waits no longer */
			if (is_last && s->a.bye_waits) {
				sip_server_watch(s->invite, NULL, NULL);
				session_invite_is_over(s);
			}
			break;
		case SESSION_CANCELLED:
		case SESSION_CLOSED:
			break;
		}
	}
}

/* The process ends: the transactions below were dropped without a word. */
void sessions_free(struct im *im)
{
	session_forks_free(im);
	for (uint32_t slot = 0; slot < im->sessions.made; slot++) {
		struct session *s = pool_at(&im->sessions, slot);
		if (!s)
			continue;
		s->invite = s->a.unacked = s->b.unacked = s->change.server = NULL;
		s->a.asked = s->b.asked = NULL;
		session_drop_relays(s, true);
		session_free(s);
	}
	pool_free(&im->sessions);
}
