/*
 * A user agent of ours that was called: the 200 to an INVITE (10.3.2.2; 10.3.2.5).
 */
#include "actors/virtual_user_agent_internal.h"

#include <errno.h>
#include <time.h>

#include "core/log.h"
#include "sip/write.h"

/* How it came to nothing; status 0: it did not. */
struct failure {
	unsigned status;
	enum reason why;
};

static struct failure open_dialog(struct virtual_user_agent *agent, const struct virtual_user_agent_answer *a)
{
	struct sip_dialog_start start = { .local_tag = sip_server_to_tag(a->server),
		.events = &virtual_user_agent_dialog_events, .owner = agent };

	if (agent->im->config->core.mode == MODE_IMS)
		start.next = im_next_hop(agent->im);
	else
		start.next = (struct sip_target){ .has_flow = true, .flow_only = true, .flow = *sip_server_flow(a->server) };
	switch (sip_dialog_open_server(&agent->dialog, agent->im->worker, a->invite, &start)) {
	case 0:
		return (struct failure){ 0, 0 };
	case EINVAL:
		return (struct failure){ 400, REASON_SYNTAX };
	case EMSGSIZE:
		return (struct failure){ 513, REASON_TOO_LARGE };
	default:
		return (struct failure){ 503, REASON_POOL_EXHAUSTED };
	}
}

static struct failure open_media(struct virtual_user_agent *agent, const struct virtual_user_agent_answer *a)
{
	struct sockaddr_storage from = { 0 };
	const struct sdp_media *media;
	struct sdp offer;

	if (session_sdp_read(a->invite, &offer, &media) != SDP_ACCEPTED)
		return (struct failure){ 488, REASON_SDP };
	sip_flow_get_peer(sip_server_flow(a->server), &from);
	struct session_peer said = { &offer, media, false, &from, agent->identity };
	if (virtual_user_agent_open_leg(agent, sip_server_flow(a->server), session_sdp_is_secure(media), media->path) != 0)
		return (struct failure){ 503, REASON_POOL_EXHAUSTED };
	if (!virtual_user_agent_describe(agent, &said, virtual_user_agent_answer_setup(agent, &said)))
		return (struct failure){ 488, REASON_SDP };
	if (!virtual_user_agent_attach(agent, &said))
		return (struct failure){ 488, REASON_CONNECT_FORBIDDEN };
	return (struct failure){ 0, 0 };
}

static void write_date(const struct virtual_user_agent *agent, struct buffer *out)
{
	struct ring *ring = agent->im->worker->ring;
	time_t now = (time_t)(ring->ops->wall_us(ring) / 1000000);
	char text[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buffer_printf(out, "Date: %s\r\n", text);
}

static struct failure answer(struct virtual_user_agent *agent, const struct virtual_user_agent_answer *a)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));

	sip_copy_headers(&headers, a->invite, SIP_HDR_RECORD_ROUTE); /* RFC 3261 12.1.1 */
	virtual_user_agent_write_contact(agent, &headers, sip_server_flow(a->server));
	write_date(agent, &headers);
	buffer_lit(&headers, "P-Asserted-Identity: <");
	sip_write_text(&headers, a->asserted);
	buffer_lit(&headers, ">\r\n");
	/* whoever called refreshes (D1-04) */
	session_timer_answer(&agent->timer, a->invite, agent->im, SIP_REFRESHER_UAC, &headers);
	if (headers.overflow)
		return (struct failure){ 513, REASON_TOO_LARGE };
	agent->takes_update = sip_items_have(a->invite, SIP_HDR_ALLOW, "UPDATE");
	virtual_user_agent_await_ack(agent, a->server);
	sip_server_respond(a->server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers),
		.content_type = SLICE("application/sdp"), .body = slice_of(agent->sdp, agent->sdp_n) });
	return (struct failure){ 0, 0 };
}

static struct failure begin(struct virtual_user_agent *agent, const struct virtual_user_agent_answer *a)
{
	struct failure failure = open_dialog(agent, a);

	if (!failure.status)
		failure = open_media(agent, a);
	return failure.status ? failure : answer(agent, a);
}

bool virtual_user_agent_answer(struct virtual_user_agent **out, struct im *im,
	const struct virtual_user_agent_answer *a, enum reason *why)
{
	struct virtual_user_agent *agent = virtual_user_agent_make(im);
	struct failure failure = { 503, REASON_SESSION_LIMIT };

	sip_server_watch(a->server, NULL, NULL);
	if (agent) {
		agent->events = a->events;
		agent->arg = a->arg;
		agent->media = a->media;
		agent->identity = connect_limit_identity(im, a->user);
		agent->is_sips = outgoing_wants_sips(a->invite);
		agent->state = VIRTUAL_USER_AGENT_BINDING;
		failure = begin(agent, a);
	}
	if (!failure.status) {
		virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_BINDING, "answered");
		*out = agent;
		return true;
	}
	if (agent)
		virtual_user_agent_unmake(agent);
	if (why)
		*why = failure.why;
	sip_server_refuse(a->server, failure.status, failure.why);
	return false;
}
