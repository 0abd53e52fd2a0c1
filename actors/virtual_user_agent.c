/*
 * The life of a user agent of ours: made, moved from state to state by
 * virtual_user_agent_enter(), ended by BYE, freed when nobody will call back any
 * more.
 */
#include "actors/virtual_user_agent_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/write.h"

static const struct {
	const char *name;
	int ms;
} state_info[] = {
#define X(name, ms, what) { #name, ms },
	VIRTUAL_USER_AGENT_STATES(X)
#undef X
};

static void on_state_expired(struct timer *timer);

static uint64_t longest_stay_ms(const struct virtual_user_agent *agent, enum virtual_user_agent_state state)
{
	int ms = state_info[state].ms;

	if (ms == SESSION_LIMIT_UNBOUND)
		return agent->im->config->limits.unbound_ms;
	if (ms == SESSION_LIMIT_REATTACH)
		return agent->im->config->limits.reattach_ms;
	return ms == SESSION_LIMIT_NONE ? 0 : (uint64_t)ms;
}

void virtual_user_agent_enter(struct virtual_user_agent *agent, enum virtual_user_agent_state next, const char *why)
{
	struct worker *worker = agent->im->worker;
	uint64_t ms = longest_stay_ms(agent, next);

	LOG(INFO, worker, "agent", virtual_user_agent_id(agent), "state=%s from=%s why=%s", state_info[next].name,
		state_info[agent->state].name, why);
	agent->state = next;
	if (ms)
		worker_arm(worker, &agent->state_timer, ms, on_state_expired);
	else
		worker_disarm(worker, &agent->state_timer);
}

/* ---- making and unmaking ---- */

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_virtual_user_agents, pool_used(&im->virtual_user_agents));
	im_count_sessions(im);
}

struct virtual_user_agent *virtual_user_agent_make(struct im *im, const struct virtual_user_agent_face *face)
{
	struct virtual_user_agent *agent;

	if (!im_take_session_place(im))
		return NULL;
	agent = pool_take(&im->virtual_user_agents);
	if (!agent) {
		im_give_session_place(im);
		return NULL;
	}
	agent->im = im;
	agent->timer.events = &virtual_user_agent_timer_events;
	agent->sdp_id = worker_random_fast(im->worker) >> 2;
	agent->is_focus = face->is_focus;
	agent->methods = face->methods;
	if (face->user.n == MINTED_CHARS)
		memcpy(agent->contact, face->user.p, MINTED_CHARS);
	else
		minted_make(im->worker, agent->contact);
	count(im);
	return agent;
}

void virtual_user_agent_unmake(struct virtual_user_agent *agent)
{
	struct im *im = agent->im;

	worker_disarm(im->worker, &agent->state_timer);
	worker_disarm(im->worker, &agent->again);
	session_timer_stop(&agent->timer);
	if (agent->asked)
		sip_client_forget(agent->asked);
	if (agent->bye_out)
		sip_client_forget(agent->bye_out);
	if (agent->invite)
		sip_server_watch(agent->invite, NULL, NULL);
	if (agent->ringing && agent->ringing->server)
		sip_server_watch(agent->ringing->server, NULL, NULL);
	free(agent->ringing);
	virtual_user_agent_stop_calling(agent);
	if (agent->leg)
		msrp_leg_close(agent->leg);
	if (agent->dialog)
		sip_dialog_close(agent->dialog);
	free(agent->sdp);
	pool_give(&im->virtual_user_agents, agent);
	im_give_session_place(im);
	count(im);
}

struct msrp_leg *virtual_user_agent_leg(const struct virtual_user_agent *agent)
{
	return agent->leg;
}

uint64_t virtual_user_agent_id(const struct virtual_user_agent *agent)
{
	return (uint64_t)pool_generation(agent) << 32 | pool_slot(agent);
}

bool virtual_user_agent_is_bound(const struct virtual_user_agent *agent)
{
	return agent->leg && msrp_leg_is_bound(agent->leg);
}

struct sip_dialog *virtual_user_agent_dialog(const struct virtual_user_agent *agent)
{
	return agent->dialog;
}

struct slice virtual_user_agent_said(const struct virtual_user_agent *agent)
{
	return agent->sdp ? slice_of(agent->sdp, agent->sdp_n) : SLICE_EMPTY;
}

bool virtual_user_agent_is_anonymous(const struct virtual_user_agent *agent)
{
	return agent->peer_is_anonymous;
}

bool virtual_user_agent_is_established(const struct virtual_user_agent *agent)
{
	switch (agent->state) {
	case VIRTUAL_USER_AGENT_BINDING:
	case VIRTUAL_USER_AGENT_ACTIVE:
	case VIRTUAL_USER_AGENT_DETACHED:
		return true;
	case VIRTUAL_USER_AGENT_RINGING:
	case VIRTUAL_USER_AGENT_INVITING:
	case VIRTUAL_USER_AGENT_LEAVING:
	case VIRTUAL_USER_AGENT_CLOSING:
		break;
	}
	return false;
}

/* ---- as whom it stands there ---- */

void virtual_user_agent_write_allow(const struct virtual_user_agent *agent, struct buffer *out)
{
	buffer_lit(out, "Allow: " VIRTUAL_USER_AGENT_ALLOW);
	if (agent->methods) {
		buffer_lit(out, ", ");
		buffer_str(out, agent->methods);
	}
	buffer_lit(out, "\r\n");
}

void virtual_user_agent_write_contact(const struct virtual_user_agent *agent, struct buffer *out,
	const struct sip_flow *flow)
{
	buffer_lit(out, "Contact: <");
	outgoing_contact_uri(out, agent->im, flow, virtual_user_agent_self(agent));
	buffer_str(out, agent->is_focus ? ">;isfocus;" : ">;automata;");
	buffer_lit(out, IM_FEATURE_TAG "\r\n");
	virtual_user_agent_write_allow(agent, out);
}

void virtual_user_agent_write_asserted(struct buffer *out, struct slice asserted)
{
	bool is_name_addr = memchr(asserted.p, '<', asserted.n) != NULL;

	if (asserted.n == 0)
		return;
	buffer_str(out, is_name_addr ? "P-Asserted-Identity: " : "P-Asserted-Identity: <");
	sip_write_text(out, asserted);
	buffer_str(out, is_name_addr ? "\r\n" : ">\r\n");
}

/* ---- the leg ---- */

static void on_leg_bound(struct msrp_leg *leg, void *arg)
{
	struct virtual_user_agent *agent = arg;

	if (agent->state != VIRTUAL_USER_AGENT_BINDING && agent->state != VIRTUAL_USER_AGENT_DETACHED)
		return;
	if (agent->dialog->next.has_flow) /* it counts no more in limits.conns_per_ip */
		sip_flow_watch(agent->im->worker, &agent->dialog->next.flow);
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_ACTIVE, "bound");
	if (agent->events->on_bound)
		agent->events->on_bound(agent, agent->arg);
}

static void on_leg_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct virtual_user_agent *agent = arg;

	if (why == REASON_CONNECT_FAILED)
		connect_limit_failed(agent->im, agent->identity);
	switch (agent->state) { /* no default: a new state must be thought of here */
	case VIRTUAL_USER_AGENT_ACTIVE:
		virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_DETACHED, reason_label(why));
		if (agent->events->on_lost)
			agent->events->on_lost(agent, why, agent->arg);
		break;
	case VIRTUAL_USER_AGENT_LEAVING: /* nothing more will come of what the owner waits for */
		if (agent->events->on_lost)
			agent->events->on_lost(agent, why, agent->arg);
		break;
	case VIRTUAL_USER_AGENT_BINDING:
		/* closed again: he may come back until the time is over, or his BYE is on its way */
		if (why != REASON_PEER_CLOSED)
			virtual_user_agent_fail(agent, why, reason_label(why));
		break;
	case VIRTUAL_USER_AGENT_DETACHED:
	case VIRTUAL_USER_AGENT_RINGING:
	case VIRTUAL_USER_AGENT_INVITING:
	case VIRTUAL_USER_AGENT_CLOSING:
		break;
	}
}

static const struct msrp_leg_events leg_events = { on_leg_bound, on_leg_lost };

int virtual_user_agent_open_leg(struct virtual_user_agent *agent, const struct sip_flow *flow, bool is_secure,
	struct slice path)
{
	struct sockaddr_storage local;

	session_leg_address(agent->im->worker, flow, is_secure, path, &local);
	return msrp_leg_open(&agent->leg, agent->im->worker, &local, is_secure, &leg_events, agent);
}

int virtual_user_agent_open_any_leg(struct virtual_user_agent *agent, const struct sip_flow *flow, bool is_secure)
{
	int err = virtual_user_agent_open_leg(agent, flow, is_secure, SLICE_EMPTY);

	return err == EADDRNOTAVAIL ? virtual_user_agent_open_leg(agent, flow, !is_secure, SLICE_EMPTY) : err;
}

/* ---- the end ---- */

static void free_if_done(struct virtual_user_agent *agent)
{
	if (!agent->bye_out && !agent->bye_waits)
		virtual_user_agent_unmake(agent);
}

/* Whatever it answers, or nobody: the dialog is over. */
static void on_bye_answered(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct virtual_user_agent *agent = arg;

	if (m->status < 200)
		return;
	sip_client_forget(client);
	agent->bye_out = NULL;
	free_if_done(agent);
}

static void on_bye_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct virtual_user_agent *agent = arg;

	sip_client_forget(client);
	agent->bye_out = NULL;
	free_if_done(agent);
}

static const struct sip_client_events bye_events = { on_bye_answered, on_bye_failed, NULL };

static void send_bye(struct virtual_user_agent *agent)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	agent->bye_waits = false;
	agent->peer_has_left = true;
	if (agent->bye_reason[0])
		buffer_printf(&headers, "Reason: SIP;cause=480;text=\"%s\"\r\n", agent->bye_reason);
	if (session_send_in(agent->dialog, "BYE", buffer_slice(&headers), SLICE_EMPTY, &bye_events, agent,
		    &agent->bye_out) != 0)
		agent->bye_out = NULL; /* no memory: he finds out by his session timer */
}

void virtual_user_agent_acked(struct virtual_user_agent *agent)
{
	agent->invite = NULL;
	if (!agent->bye_waits)
		return;
	send_bye(agent);
	free_if_done(agent);
}

void virtual_user_agent_is_left(struct virtual_user_agent *agent)
{
	agent->peer_has_left = true;
	agent->bye_waits = false;
	free_if_done(agent);
}

static void say_goodbye(struct virtual_user_agent *agent, const char *reason)
{
	struct sip_server *bye = agent->bye;

	agent->bye = NULL;
	if (bye)
		sip_server_watch(bye, NULL, NULL);
	if (bye && reason) /* to who wants no reports, 200 would say that what he sent is safe (design.md 5) */
		sip_server_refuse(bye, 500, REASON_STORE);
	else if (bye)
		sip_server_respond(bye, &(struct sip_reply){ .status = 200 });
	if (agent->peer_has_left || !agent->dialog || !agent->dialog->is_confirmed)
		return;
	snprintf(agent->bye_reason, sizeof(agent->bye_reason), "%s", reason ? reason : "");
	agent->bye_waits = agent->invite != NULL; /* RFC 3261 15: no BYE before the ACK of our 2xx */
	if (!agent->bye_waits)
		send_bye(agent);
}

/* From here on it is alone. */
static void leave(struct virtual_user_agent *agent, const char *reason)
{
	agent->events = NULL;
	worker_disarm(agent->im->worker, &agent->again);
	session_timer_stop(&agent->timer);
	virtual_user_agent_stop_asking(agent);
	virtual_user_agent_stop_calling(agent);
	virtual_user_agent_stop_ringing(agent, 480, REASON_REJECTED, SLICE_EMPTY);
	if (agent->leg)
		msrp_leg_close(agent->leg);
	agent->leg = NULL;
	say_goodbye(agent, reason);
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_CLOSING, reason ? reason : "done");
	free_if_done(agent);
}

void virtual_user_agent_end(struct virtual_user_agent *agent, const char *reason)
{
	assert(agent->events);
	leave(agent, reason);
}

void virtual_user_agent_fail(struct virtual_user_agent *agent, enum reason why, const char *text)
{
	const struct virtual_user_agent_events *events = agent->events;

	virtual_user_agent_stop_ringing(agent, why == REASON_DRAINING ? 503 : 480, why, SLICE_EMPTY);
	events->on_ended(agent, why, agent->arg);
	leave(agent, text);
}

void virtual_user_agent_call_failed(struct virtual_user_agent *agent, unsigned status, const char *text)
{
	const struct virtual_user_agent_events *events = agent->events;

	events->on_refused(agent, &(struct virtual_user_agent_refusal){ .status = status, .received = status == 408 ? 408 : 200 }, agent->arg);
	leave(agent, text);
}

/* ---- time ---- */

static void on_state_expired(struct timer *timer)
{
	struct virtual_user_agent *agent =
		(struct virtual_user_agent *)((char *)timer - offsetof(struct virtual_user_agent, state_timer));
	struct counters *counters = &agent->im->worker->counters;

	switch (agent->state) {
	case VIRTUAL_USER_AGENT_INVITING:
		REFUSED(counters, REASON_TIMEOUT);
		virtual_user_agent_call_failed(agent, 408, reason_label(REASON_TIMEOUT));
		break;
	case VIRTUAL_USER_AGENT_RINGING:
		REFUSED(counters, REASON_TIMEOUT);
		virtual_user_agent_fail(agent, REASON_TIMEOUT, reason_label(REASON_TIMEOUT));
		break;
	case VIRTUAL_USER_AGENT_BINDING:
		REFUSED(counters, REASON_MSRP_UNBOUND_TIMEOUT);
		virtual_user_agent_fail(agent, REASON_MSRP_UNBOUND_TIMEOUT, reason_label(REASON_MSRP_UNBOUND_TIMEOUT));
		break;
	case VIRTUAL_USER_AGENT_DETACHED:
		REFUSED(counters, REASON_MSRP_LEG_LOST);
		virtual_user_agent_fail(agent, REASON_MSRP_LEG_LOST, reason_label(REASON_MSRP_LEG_LOST));
		break;
	case VIRTUAL_USER_AGENT_LEAVING: /* a 200 would say that what he sent is safe */
		virtual_user_agent_fail(agent, REASON_TIMEOUT, reason_label(REASON_TIMEOUT));
		break;
	case VIRTUAL_USER_AGENT_CLOSING:
		virtual_user_agent_unmake(agent);
		break;
	case VIRTUAL_USER_AGENT_ACTIVE:
		assert(!"no longest stay in this state");
	}
}

/* ---- per worker ---- */

int virtual_user_agents_init(struct im *im)
{
	return pool_init(&im->virtual_user_agents, "virtual_user_agents", sizeof(struct virtual_user_agent),
		im->config->limits.sessions);
}

void virtual_user_agents_drain(struct im *im, bool is_last)
{
	for (uint32_t slot = 0; slot < im->virtual_user_agents.made; slot++) {
		struct virtual_user_agent *agent = pool_at(&im->virtual_user_agents, slot);
		if (agent && agent->events) {
			virtual_user_agent_fail(agent, REASON_DRAINING, "server is stopping");
		} else if (agent && is_last && agent->bye_waits) {
			sip_server_watch(agent->invite, NULL, NULL);
			virtual_user_agent_acked(agent);
		}
	}
}

/* The transactions below were dropped without a word. */
void virtual_user_agents_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->virtual_user_agents.made; slot++) {
		struct virtual_user_agent *agent = pool_at(&im->virtual_user_agents, slot);
		if (!agent)
			continue;
		agent->invite = agent->bye = NULL;
		if (agent->ringing)
			agent->ringing->server = NULL;
		agent->asked = agent->bye_out = NULL;
		virtual_user_agent_unmake(agent);
	}
	pool_free(&im->virtual_user_agents);
}
