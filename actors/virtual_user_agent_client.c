/*
 * The client side of a user agent of ours: the INVITE, its forks, its taking
 * back, and what the answer makes of it.  A calling outlives its agent, so that
 * no 2xx stays without ACK and BYE (RFC 3261 13.2.2.4).
 */
#include "actors/virtual_user_agent_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/user.h"
#include "core/log.h"
#include "sip/header.h"

#define STRAYS_MAX 64 /* 2xx of one call that are ended: no proxy forks to so many */

struct virtual_user_agent_calling {
	LIST_ENTRY(virtual_user_agent_calling) link;
	struct im *im;
	struct virtual_user_agent *agent; /* NULL: it was answered, or wants no answer any more */
	struct sip_client *client;
	struct sip_dialog *common;        /* what the dialogs of all forks begin with */
	uint32_t cseq, session_expires_s; /* the latter of a 422; 0: none came */
	uint32_t uri_n, path_n, asserted_n, headers_n;
	const char *accept_contact;
	unsigned strays;
	bool peer_refreshes;
	bool is_to_one; /* nobody between us and him forks */
	char text[];    /* Request-URI, Route, P-Asserted-Identity, more lines */
};

static const struct sip_client_events invite_events;
static const struct sip_dialog_events no_dialog_events;

static struct slice uri_of(const struct virtual_user_agent_calling *c)
{
	return slice_of(c->text, c->uri_n);
}

static void calling_free(struct virtual_user_agent_calling *c)
{
	LIST_REMOVE(c, link);
	sip_dialog_close(c->common);
	free(c);
}

void virtual_user_agent_callings_free(struct im *im)
{
	struct virtual_user_agent_calling *c;

	while ((c = LIST_FIRST(&im->callings))) {
		if (c->agent)
			c->agent->calling = NULL;
		calling_free(c);
	}
}

/* ---- the INVITE ---- */

static void write_headers(const struct virtual_user_agent_calling *c, struct buffer *out, const struct sip_flow *flow)
{
	const struct timers_options *timers = &c->im->config->timers;
	uint64_t expires_s = timers->session_expires_ms / 1000, least_s = timers->min_se_ms / 1000;

	if (c->session_expires_s) /* RFC 4028 7.3: both as the 422 wanted */
		expires_s = least_s = c->session_expires_s;
	outgoing_path(out, slice_of(c->text + c->uri_n, c->path_n));
	buffer_lit(out, "Max-Forwards: 70\r\nFrom: ");
	buffer_put(out, sip_dialog_local(c->common));
	buffer_lit(out, ";tag=");
	buffer_put(out, sip_dialog_local_tag(c->common));
	buffer_lit(out, "\r\nTo: ");
	buffer_put(out, sip_dialog_remote(c->common));
	buffer_lit(out, "\r\nCall-ID: ");
	buffer_put(out, sip_dialog_call_id(c->common));
	buffer_printf(out, "\r\nCSeq: %u INVITE\r\n", c->cseq);
	virtual_user_agent_write_contact(c->agent, out, flow);
	buffer_str(out, "Accept-Contact: ");
	buffer_str(out, c->accept_contact ? c->accept_contact : "*;" IM_FEATURE_TAG ";require;explicit");
	buffer_lit(out, "\r\n");
	virtual_user_agent_write_asserted(out, slice_of(c->text + c->uri_n + c->path_n, c->asserted_n));
	buffer_put(out, slice_of(c->text + c->uri_n + c->path_n + c->asserted_n, c->headers_n));
	/* D1-04: a session of ours is refreshed by us, one of a conference by its participant */
	buffer_printf(out, "Supported: timer\r\nSession-Expires: %llu;refresher=%s\r\nMin-SE: %llu\r\n",
		(unsigned long long)expires_s, c->peer_refreshes ? "uas" : "uac", (unsigned long long)least_s);
}

static int send_invite(struct virtual_user_agent_calling *c)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_flow flow = outgoing_flow(c->im, &c->common->next);

	write_headers(c, &headers, &flow);
	struct sip_outgoing invite = { .method = SLICE("INVITE"), .uri = uri_of(c), .headers = buffer_slice(&headers),
		.content_type = SLICE("application/sdp"), .body = slice_of(c->agent->sdp, c->agent->sdp_n),
		.target = c->common->next };
	return headers.overflow ? EMSGSIZE : sip_client_send(&c->client, c->im->worker, &invite, &invite_events, c);
}

/* RFC 4028 7.3: once more, with the interval that he wants at least. */
static bool retry_longer(struct virtual_user_agent_calling *c, struct sip_client *client, const struct sip_message *m)
{
	uint32_t least;

	if (m->status != 422 || !c->agent || c->session_expires_s || !sip_seconds_of(m, SIP_HDR_MIN_SE, &least) ||
	    least * 1000ull <= c->im->config->timers.session_expires_ms)
		return false;
	c->session_expires_s = least;
	c->cseq++;
	if (send_invite(c) != 0) {
		c->client = client;
		return false;
	}
	sip_client_forget(client);
	return true;
}

/* ---- a 2xx ---- */

/* Its dialog, acknowledged.  NULL: no memory; it is repeated and we try again. */
static struct sip_dialog *acknowledge(struct virtual_user_agent_calling *c, struct sip_client *client,
	const struct sip_message *m, bool *is_whole)
{
	const struct sip_dialog *common = c->common;
	struct sip_dialog_start start = { .call_id = sip_dialog_call_id(common), .local = sip_dialog_local(common),
		.remote = sip_dialog_remote(common), .local_tag = sip_dialog_local_tag(common),
		.next = common->next, .events = &no_dialog_events };
	struct sip_dialog *dialog;

	if (sip_dialog_open_client(&dialog, c->im->worker, &start) != 0)
		return NULL;
	dialog->local_cseq = c->cseq;
	int err = sip_dialog_confirm(dialog, m);
	*is_whole = err == 0;
	if (err == EINVAL) /* nothing to go on with, but it has to end */
		err = sip_dialog_confirm_anyhow(dialog, m, uri_of(c));
	if (err) {
		sip_dialog_close(dialog);
		return NULL;
	}
	session_acknowledge_in(dialog, client, m, c->cseq);
	return dialog;
}

/* Another one was faster, or nobody wants it any more: acknowledged and ended at once. */
static void end_stray(struct virtual_user_agent_calling *c, struct sip_client *client, const struct sip_message *m)
{
	struct sip_dialog *dialog;
	struct sip_client *bye;
	bool is_whole;

	if (c->strays++ >= STRAYS_MAX) {
		REFUSED(&c->im->worker->counters, REASON_DIALOG_LIMIT);
		return;
	}
	dialog = acknowledge(c, client, m, &is_whole);
	if (!dialog)
		return;
	COUNT(&c->im->worker->counters, session_strays);
	(void)session_send_in(dialog, "BYE", SLICE_EMPTY, SLICE_EMPTY, NULL, NULL, &bye); /* nobody waits for it */
	sip_dialog_close(dialog);
}

static void establish(struct virtual_user_agent *agent, const struct sip_message *m, const struct sip_flow *flow)
{
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp sdp;

	agent->takes_update = sip_items_have(m, SIP_HDR_ALLOW, "UPDATE");
	session_timer_accepted(&agent->timer, m, agent->im);
	sip_flow_get_peer(flow, &from);
	if (session_sdp_read(m, &sdp, &media) != SDP_ACCEPTED) {
		REFUSED(&agent->im->worker->counters, REASON_SDP);
		virtual_user_agent_fail(agent, REASON_SDP, "session description not acceptable");
		return;
	}
	struct session_peer said = { &sdp, media, true, &from, agent->identity };
	if (!virtual_user_agent_attach(agent, &said)) {
		virtual_user_agent_fail(agent, REASON_CONNECT_FORBIDDEN, "session description not acceptable");
		return;
	}
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_BINDING, "answered");
	agent->events->on_answered(agent, &said, agent->arg); /* it may be gone */
}

static void on_success(struct virtual_user_agent_calling *c, struct sip_client *client, const struct sip_message *m)
{
	struct virtual_user_agent *agent = c->agent;
	struct sip_flow flow = *sip_client_flow(client);
	bool is_whole;

	if (!agent) {
		end_stray(c, client, m);
		return;
	}
	agent->dialog = acknowledge(c, client, m, &is_whole);
	if (!agent->dialog)
		return;
	agent->dialog->events = &virtual_user_agent_dialog_events;
	agent->dialog->owner = agent;
	agent->invite_cseq = c->cseq;
	agent->calling = NULL;
	c->agent = NULL;
	if (c->is_to_one) {
		sip_client_forget(client);
		calling_free(c);
	}
	if (is_whole) {
		establish(agent, m, &flow);
		return;
	}
	REFUSED(&agent->im->worker->counters, REASON_SYNTAX);
	virtual_user_agent_fail(agent, REASON_SYNTAX, "answer without Contact or tag");
}

/* ---- no 2xx ---- */

static void give_up(struct virtual_user_agent_calling *c, unsigned status, const struct sip_message *m)
{
	struct virtual_user_agent *agent = c->agent;
	struct virtual_user_agent_refusal refusal = { .status = outgoing_final_status(status), .received = status };

	c->agent = NULL;
	if (!agent)
		return;
	agent->calling = NULL;
	if (m && refusal.status == status)
		refusal.phrase = m->reason;
	if (m)
		refusal.warning = sip_header_value(m, SIP_HDR_WARNING);
	agent->events->on_refused(agent, &refusal, agent->arg);
	virtual_user_agent_unmake(agent);
}

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct virtual_user_agent_calling *c = arg;

	if (m->status >= 200 && m->status < 300)
		on_success(c, client, m);
	else if (m->status < 199 && c->agent && c->agent->events->on_ringing)
		c->agent->events->on_ringing(c->agent, m->status, c->agent->arg);
	else if (m->status >= 300 && !retry_longer(c, client, m))
		give_up(c, m->status, m);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	(void)client;
	give_up(arg, status, NULL);
}

static void on_gone(struct sip_client *client, void *arg)
{
	struct virtual_user_agent_calling *c = arg;

	(void)client;
	give_up(c, 503, NULL); /* a 2xx for which there was no memory, however often it came */
	calling_free(c);
}

static const struct sip_client_events invite_events = { on_response, on_failed, on_gone };

/* Nobody asks in a dialog that was ended at once. */
static void on_stray_request(struct sip_dialog *dialog, struct sip_server *server, const struct sip_message *m,
	void *owner)
{
	(void)m;
	(void)owner;
	REFUSED(&dialog->worker->counters, REASON_DIALOG_UNKNOWN);
	sip_server_respond(server, &(struct sip_reply){ .status = 481 });
}

static const struct sip_dialog_events no_dialog_events = { on_stray_request };

/* ---- beginning and taking back ---- */

void virtual_user_agent_stop_calling(struct virtual_user_agent *agent)
{
	struct virtual_user_agent_calling *c = agent->calling;

	if (!c)
		return;
	agent->calling = NULL;
	c->agent = NULL;
	sip_client_cancel(c->client);
}

static struct virtual_user_agent_calling *calling_make(struct im *im, const struct virtual_user_agent_call *call)
{
	char call_id_text[64], tag[MINTED_CHARS];
	struct buffer call_id = buffer_over(call_id_text, sizeof(call_id_text)), text;
	size_t text_n = call->uri.n + call->path.n + call->asserted.n + call->headers.n;
	struct virtual_user_agent_calling *c = calloc(1, sizeof(*c) + text_n);

	if (!c)
		return NULL;
	outgoing_call_id(&call_id, im->worker);
	minted_make(im->worker, tag);
	struct sip_dialog_start start = { .call_id = buffer_slice(&call_id), .local = call->local, .remote = call->remote,
		.local_tag = slice_of(tag, sizeof(tag)), .next = call->target, .events = &no_dialog_events };
	if (sip_dialog_open_client(&c->common, im->worker, &start) != 0) {
		free(c);
		return NULL;
	}
	text = buffer_over(c->text, text_n);
	buffer_put(&text, call->uri);
	buffer_put(&text, call->path);
	buffer_put(&text, call->asserted);
	buffer_put(&text, call->headers);
	c->im = im;
	c->cseq = 1;
	c->uri_n = (uint32_t)call->uri.n;
	c->path_n = (uint32_t)call->path.n;
	c->asserted_n = (uint32_t)call->asserted.n;
	c->headers_n = (uint32_t)call->headers.n;
	c->accept_contact = call->accept_contact;
	c->peer_refreshes = call->peer_refreshes;
	c->is_to_one = call->target.flow_only;
	LIST_INSERT_HEAD(&im->callings, c, link);
	return c;
}

static bool call_one(struct virtual_user_agent **out, struct im *im, const struct virtual_user_agent_call *call)
{
	struct virtual_user_agent *agent = virtual_user_agent_make(im, &call->face);
	struct sip_flow flow = outgoing_flow(im, &call->target);

	if (!agent)
		return false;
	agent->events = call->events;
	agent->arg = call->arg;
	agent->media = call->media;
	agent->is_caller = true;
	agent->is_sips = outgoing_is_sips(call->uri);
	agent->identity = connect_limit_identity(im, call->user);
	agent->calling = calling_make(im, call);
	if (agent->calling)
		agent->calling->agent = agent;
	if (!agent->calling || virtual_user_agent_open_any_leg(agent, &flow, call->is_secure) != 0 ||
	    !virtual_user_agent_offer(agent, call->attributes) || send_invite(agent->calling) != 0) {
		if (agent->calling)
			calling_free(agent->calling);
		agent->calling = NULL;
		virtual_user_agent_unmake(agent);
		return false;
	}
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_INVITING, "called");
	*out = agent;
	return true;
}

bool virtual_user_agent_call(struct virtual_user_agent **out, struct im *im, const struct virtual_user_agent_call *call)
{
	struct virtual_user_agent_call one = *call;
	const struct user_contact *best = call->found && call->found->contact_count ? &call->found->contacts[0] : NULL;

	if (best) {
		one.uri = slice_of(best->uri, best->uri_n);
		one.path = slice_of(best->path, best->path_n);
		one.target = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = best->flow };
	}
	bool is_called = call_one(out, im, &one);
	free(call->found);
	return is_called;
}
