/*
 * The client side of a user agent of ours: the INVITE to one target or to all
 * contacts of a user, its taking back, and what the answer makes of it.  The
 * fork (session_fork.h) outlives the agent, so that no 2xx stays without ACK and
 * BYE (RFC 3261 13.2.2.4).
 */
#include "actors/virtual_user_agent_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/header.h"
#include "sip/write.h"

/* What the INVITEs are written from: with the fork, in session_fork.kept. */
struct calling {
	const char *accept_contact; /* NULL: the default */
	const struct virtual_user_agent_parts *parts; /* NULL: none */
	uint32_t uri_n, path_n, asserted_n, headers_n, attributes_n;
	bool peer_refreshes, is_secure;
	char text[];                /* those of which the lengths are above, one behind the other */
};

static const struct calling *calling_of(const struct session_fork *fork)
{
	return (const struct calling *)(const void *)fork->kept;
}

static struct slice uri_of(const struct calling *c)
{
	return slice_of(c->text, c->uri_n);
}

static struct slice path_of(const struct calling *c)
{
	return slice_of(c->text + c->uri_n, c->path_n);
}

static struct slice asserted_of(const struct calling *c)
{
	return slice_of(path_of(c).p + c->path_n, c->asserted_n);
}

static struct slice headers_of(const struct calling *c)
{
	return slice_of(asserted_of(c).p + c->asserted_n, c->headers_n);
}

static struct slice attributes_of(const struct calling *c)
{
	return slice_of(headers_of(c).p + c->headers_n, c->attributes_n);
}

static struct calling *calling_make(const struct virtual_user_agent_call *call)
{
	size_t text_n = call->uri.n + call->path.n + call->asserted.n + call->headers.n + call->attributes.n;
	struct calling *c = calloc(1, sizeof(*c) + text_n);
	struct buffer text;

	if (!c)
		return NULL;
	text = buffer_over(c->text, text_n);
	buffer_put(&text, call->uri);
	buffer_put(&text, call->path);
	buffer_put(&text, call->asserted);
	buffer_put(&text, call->headers);
	buffer_put(&text, call->attributes);
	c->uri_n = (uint32_t)call->uri.n;
	c->path_n = (uint32_t)call->path.n;
	c->asserted_n = (uint32_t)call->asserted.n;
	c->headers_n = (uint32_t)call->headers.n;
	c->attributes_n = (uint32_t)call->attributes.n;
	c->accept_contact = call->accept_contact;
	c->parts = call->parts;
	c->peer_refreshes = call->peer_refreshes;
	c->is_secure = call->is_secure;
	return c;
}

/* ---- the INVITE ---- */

static void write_names(struct buffer *out, const struct session_branch *branch)
{
	const struct sip_dialog *common = branch->fork->common;

	buffer_lit(out, "Max-Forwards: 70\r\nFrom: ");
	buffer_put(out, sip_dialog_local(common));
	buffer_lit(out, ";tag=");
	buffer_put(out, sip_dialog_local_tag(common));
	buffer_lit(out, "\r\nTo: ");
	buffer_put(out, sip_dialog_remote(common));
	buffer_lit(out, "\r\nCall-ID: ");
	buffer_put(out, sip_dialog_call_id(common));
	buffer_printf(out, "\r\nCSeq: %u INVITE\r\n", branch->cseq);
}

/* D1-04: a session of ours is refreshed by us, that of a conference by its participant. */
static void write_timer(struct buffer *out, const struct session_branch *branch)
{
	const struct timers_options *timers = &branch->fork->im->config->timers;
	uint64_t expires_s = timers->session_expires_ms / 1000, least_s = timers->min_se_ms / 1000;

	if (branch->session_expires_s) /* RFC 4028 7.3: both as the 422 wanted */
		expires_s = least_s = branch->session_expires_s;
	buffer_printf(out, "Supported: timer, 100rel\r\nSession-Expires: %llu;refresher=%s\r\nMin-SE: %llu\r\n",
		(unsigned long long)expires_s, calling_of(branch->fork)->peer_refreshes ? "uas" : "uac",
		(unsigned long long)least_s);
}

static void write_headers(const struct virtual_user_agent *agent, struct buffer *out,
	const struct session_branch *branch)
{
	const struct calling *c = calling_of(branch->fork);

	outgoing_path(out, branch->fork->to_contacts ? session_branch_path(branch) : path_of(c));
	write_names(out, branch);
	virtual_user_agent_write_contact(agent, out, &branch->flow);
	buffer_lit(out, "Accept-Contact: ");
	buffer_str(out, c->accept_contact ? c->accept_contact : "*;" IM_FEATURE_TAG ";require;explicit");
	buffer_lit(out, "\r\n");
	virtual_user_agent_write_asserted(out, asserted_of(c));
	write_timer(out, branch);
	buffer_put(out, headers_of(c));
}

/* Made as the agent's own, and kept by the branch until it is that. */
static int offer_to(struct virtual_user_agent *agent, struct session_branch *branch)
{
	const struct calling *c = calling_of(branch->fork);

	if (branch->leg) /* again, after a 422 */
		return 0;
	agent->sdp_version = 0;
	int err = virtual_user_agent_open_any_leg(agent, &branch->flow, c->is_secure);
	if (!err && !virtual_user_agent_offer(agent, attributes_of(c)))
		err = EMSGSIZE;
	branch->leg = agent->leg;
	branch->sdp = agent->sdp;
	branch->sdp_n = agent->sdp_n;
	agent->leg = NULL;
	agent->sdp = NULL;
	agent->sdp_n = 0;
	return err;
}

/* The description among the other parts; heap, NULL: no memory. */
static char *put_together(const struct virtual_user_agent_parts *parts, struct slice sdp, struct slice *body)
{
	size_t n = parts->before.n + sdp.n + parts->after.n;
	char *text = malloc(n + 1);

	if (!text)
		return NULL;
	struct buffer out = buffer_over(text, n + 1);
	buffer_put(&out, parts->before);
	buffer_put(&out, sdp);
	buffer_put(&out, parts->after);
	*body = buffer_slice(&out);
	return text;
}

static int send_invite(struct session_branch *branch, const struct sip_client_events *events, void *owner)
{
	const struct virtual_user_agent_parts *parts = calling_of(branch->fork)->parts;
	char *heap = NULL;
	struct virtual_user_agent *agent = owner;
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));
	struct sip_target target = session_branch_target(branch);
	struct slice uri = branch->fork->to_contacts ? session_branch_uri(branch) : uri_of(calling_of(branch->fork));

	branch->flow = outgoing_flow(agent->im, &target);
	int err = offer_to(agent, branch);
	if (err)
		return err;
	write_headers(agent, &headers, branch);
	struct sip_outgoing invite = { .method = SLICE("INVITE"), .uri = uri, .headers = buffer_slice(&headers),
		.content_type = SLICE("application/sdp"), .body = slice_of(branch->sdp, branch->sdp_n), .target = target };
	if (headers.overflow)
		return EMSGSIZE;
	if (parts) {
		heap = put_together(parts, invite.body, &invite.body);
		if (!heap)
			return ENOMEM;
		invite.content_type = parts->content_type;
	}
	err = sip_client_send(&branch->client, agent->im->worker, &invite, events, branch);
	free(heap);
	return err;
}

/* ---- what becomes of it ---- */

static bool waits(const void *owner)
{
	return ((const struct virtual_user_agent *)owner)->state == VIRTUAL_USER_AGENT_INVITING;
}

/* What said so last counts; without a word it is as before. */
static void note_allow(struct virtual_user_agent *agent, const struct sip_message *response)
{
	if (sip_header_first(response, SIP_HDR_ALLOW))
		agent->takes_update = sip_items_have(response, SIP_HDR_ALLOW, "UPDATE");
}

static void on_ringing(const struct sip_message *response, void *owner)
{
	struct virtual_user_agent *agent = owner;

	note_allow(agent, response);
	if (agent->events->on_ringing)
		agent->events->on_ringing(agent, response->status, agent->arg);
}

static void establish(struct virtual_user_agent *agent, const struct session_answer *answer)
{
	const struct sip_message *m = answer->response;
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sip_message early;
	struct sdp sdp;

	note_allow(agent, m);
	agent->peer_is_anonymous = sip_privacy_is_wanted(m);
	session_timer_accepted(&agent->timer, m, agent->im);
	sip_flow_get_peer(&answer->flow, &from);
	if (session_sdp_read(session_answer_description(answer, &early), &sdp, &media) != SDP_ACCEPTED) {
		REFUSED(&agent->im->worker->counters, REASON_SDP);
		virtual_user_agent_call_failed(agent, 488, "session description not acceptable");
		return;
	}
	struct session_peer said = { &sdp, media, true, &from, agent->identity };
	if (!virtual_user_agent_attach(agent, &said)) {
		virtual_user_agent_call_failed(agent, 488, "session description not acceptable");
		return;
	}
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_BINDING, "answered");
	agent->events->on_answered(agent, &said, agent->arg); /* it may be gone */
}

static void on_answer(struct session_answer *answer, void *owner)
{
	struct virtual_user_agent *agent = owner;

	agent->dialog = answer->dialog;
	agent->dialog->events = &virtual_user_agent_dialog_events;
	agent->dialog->owner = agent;
	agent->leg = answer->leg;
	agent->sdp = answer->sdp;
	agent->sdp_n = answer->sdp_n;
	agent->sdp_version = 1;
	if (answer->is_whole) {
		establish(agent, answer);
		return;
	}
	REFUSED(&agent->im->worker->counters, REASON_SYNTAX);
	virtual_user_agent_call_failed(agent, 480, "answer without Contact or tag");
}

static struct slice warning_of(struct slice headers)
{
	while (headers.n) {
		struct slice line = slice_trim(slice_cut(headers, '\n', &headers));
		if (slice_case_starts(line, SLICE("Warning:")))
			return slice_trim(slice_skip(line, 8));
	}
	return SLICE_EMPTY;
}

static void on_failed(const struct session_failure *failure, void *owner)
{
	struct virtual_user_agent *agent = owner;

	agent->events->on_refused(agent, &(struct virtual_user_agent_refusal){ .status = failure->status,
		.received = failure->received, .phrase = failure->phrase, .warning = warning_of(failure->headers) },
		agent->arg);
	virtual_user_agent_unmake(agent);
}

static void on_settled(void *owner)
{
	(void)owner; /* it left, or has its answer */
}

static struct sip_dialog *dialog_of(const void *owner)
{
	return ((const struct virtual_user_agent *)owner)->dialog;
}

static void write_contact(struct buffer *out, const struct sip_flow *flow, const void *owner)
{
	virtual_user_agent_write_contact(owner, out, flow);
}

static void on_fork_gone(void *owner)
{
	((struct virtual_user_agent *)owner)->fork = NULL;
}

static const struct session_fork_events fork_events = { .send = send_invite, .waits = waits, .on_ringing = on_ringing,
	.on_answer = on_answer, .on_failed = on_failed, .on_settled = on_settled, .dialog = dialog_of,
	.write_contact = write_contact, .on_gone = on_fork_gone };

/* ---- beginning and taking back ---- */

void virtual_user_agent_stop_calling(struct virtual_user_agent *agent)
{
	struct session_fork *fork = agent->fork;

	agent->fork = NULL;
	if (fork)
		session_fork_leave(fork);
}

static bool begin(struct virtual_user_agent *agent, const struct virtual_user_agent_call *call)
{
	struct im *im = agent->im;
	char call_id_text[64], tag[MINTED_CHARS];
	struct buffer call_id = buffer_over(call_id_text, sizeof(call_id_text));
	struct calling *calling = calling_make(call);

	outgoing_call_id(&call_id, im->worker);
	minted_make(im->worker, tag);
	struct session_fork_start start = { .dialog = { .call_id = buffer_slice(&call_id), .local = call->local,
		.remote = call->remote, .local_tag = slice_of(tag, sizeof(tag)), .next = call->target },
		.found = call->found, .events = &fork_events, .owner = agent, .id = virtual_user_agent_id(agent) };
	if (!calling) {
		free(call->found);
		return false;
	}
	if (session_fork_open(&agent->fork, im, &start) != 0) {
		free(calling);
		return false;
	}
	agent->fork->kept = (char *)calling;
	return session_fork_begin(agent->fork) == 0;
}

bool virtual_user_agent_call(struct virtual_user_agent **out, struct im *im, const struct virtual_user_agent_call *call)
{
	struct virtual_user_agent *agent = virtual_user_agent_make(im, &call->face);

	if (!agent) {
		free(call->found);
		return false;
	}
	agent->events = call->events;
	agent->arg = call->arg;
	agent->media = call->media;
	agent->is_caller = true;
	agent->is_sips = outgoing_is_sips(call->uri);
	agent->identity = connect_limit_identity(im, call->user);
	if (!begin(agent, call)) {
		virtual_user_agent_unmake(agent);
		return false;
	}
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_INVITING, "called");
	*out = agent;
	return true;
}
