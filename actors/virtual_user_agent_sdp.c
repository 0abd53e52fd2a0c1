/*
 * The descriptions of a user agent of ours: no other side's is passed on, so
 * they are made here, and get what the B2BUA's get too (path, setup, o=).
 */
#include "actors/virtual_user_agent_internal.h"

#include "actors/policy.h"
#include "core/log.h"
#include "sip/write.h"

/* What says which message or file it is, in both notations; repeated in the answer (D2-45, RFC 5547 8.2.1). */
static const char *const descriptive[] = { "filelength", "filesize", "filename", "filetype", "disposition",
	"file-selector", "file-transfer-id", "file-disposition", "file-date" };

static void put_attribute(struct buffer *out, const char *name, struct slice value)
{
	buffer_lit(out, "a=");
	buffer_str(out, name);
	buffer_char(out, ':');
	buffer_put(out, value);
	buffer_lit(out, "\r\n");
}

/* Of the offered ones those that the operator permits. */
static bool put_types(struct buffer *out, const struct im *im, const char *name, struct slice offered)
{
	char text[SDP_TEXT_MAX];
	struct buffer permitted = buffer_over(text, sizeof(text));

	if (policy_permits_every_type(im->config)) {
		put_attribute(out, name, slice_trim(offered));
		return true;
	}
	if (!policy_permitted_types(im->config, offered, &permitted))
		return false;
	put_attribute(out, name, buffer_slice(&permitted));
	return true;
}

static bool put_accepted(const struct virtual_user_agent *agent, struct buffer *out, const struct session_peer *offer)
{
	const struct virtual_user_agent_media *ours = &agent->media;

	if (ours->accept_types)
		put_attribute(out, "accept-types", slice_str(ours->accept_types));
	else if (!offer || !put_types(out, agent->im, "accept-types", offer->media->accept_types))
		return false;
	if (ours->accept_wrapped_types)
		put_attribute(out, "accept-wrapped-types", slice_str(ours->accept_wrapped_types));
	else if (offer && offer->media->accept_wrapped_types.n)
		(void)put_types(out, agent->im, "accept-wrapped-types", offer->media->accept_wrapped_types); /* none: left out */
	return true;
}

/* RFC 3264 6.1: who is told `inactive` says that too. */
static enum sdp_direction direction(const struct virtual_user_agent *agent, const struct session_peer *offer)
{
	if (offer && sdp_media_direction(offer->sdp, offer->media) == SDP_INACTIVE)
		return SDP_INACTIVE;
	return agent->media.direction;
}

/* Without what sdp_rewrite() puts in: o=, c=, path, setup. */
static bool draft(const struct virtual_user_agent *agent, struct buffer *out, const struct session_peer *offer)
{
	struct slice value;

	buffer_lit(out, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n");
	if (!put_accepted(agent, out, offer))
		return false;
	for (size_t i = 0; offer && i < sizeof(descriptive) / sizeof(descriptive[0]); i++)
		if (sdp_attribute(offer->media->whole, descriptive[i], &value))
			put_attribute(out, descriptive[i], value);
	buffer_lit(out, "a=path:msrp://0.0.0.0:9/draft;tcp\r\na=");
	buffer_str(out, sdp_direction_name(direction(agent, offer)));
	buffer_lit(out, "\r\n");
	return !out->overflow;
}

static bool keep(struct virtual_user_agent *agent, struct slice text)
{
	char versioned[SDP_TEXT_MAX];
	struct buffer out = buffer_over(versioned, sizeof(versioned));

	if (agent->sdp && sdp_text_says_same(text, slice_of(agent->sdp, agent->sdp_n)))
		return true;
	sdp_text_with_version(&out, text, agent->sdp_version + 1);
	if (out.overflow || !session_keep(&agent->sdp, &agent->sdp_n, buffer_slice(&out)))
		return false;
	agent->sdp_version++;
	return true;
}

bool virtual_user_agent_describe(struct virtual_user_agent *agent, const struct session_peer *offer,
	enum sdp_setup setup)
{
	char draft_text[SDP_TEXT_MAX], text[SDP_TEXT_MAX];
	struct buffer drafted = buffer_over(draft_text, sizeof(draft_text)), out = buffer_over(text, sizeof(text));
	struct msrp_leg *leg = agent->leg;
	struct sdp sdp;

	if (!draft(agent, &drafted, offer) || sdp_parse(&sdp, buffer_slice(&drafted)) != SDP_OK)
		return false;
	struct sdp_own own = { .session_id = agent->sdp_id, .version = 1, .address = slice_str(msrp_leg_host(leg)),
		.media = sdp_msrp_media(&sdp), .offer = offer ? offer->sdp : NULL,
		.offered = offer ? offer->media : NULL, .is_alone = !offer, .port = msrp_leg_port(leg),
		.proto = msrp_leg_is_secure(leg) ? SLICE("TCP/TLS/MSRP") : SLICE("TCP/MSRP"),
		.path = msrp_leg_uri(leg), .fingerprint = msrp_leg_fingerprint(leg), .setup = setup,
		.has_cema = !offer || sdp_media_has_cema(offer->media), .max_size = agent->media.max_size };
	return own.media && sdp_rewrite(&out, &sdp, &own) && keep(agent, buffer_slice(&out));
}

bool virtual_user_agent_attach(struct virtual_user_agent *agent, const struct session_peer *said)
{
	struct worker *worker = agent->im->worker;
	struct msrp_peer peer;

	if (!session_sdp_peer(agent->im, said, &peer)) {
		REFUSED(&worker->counters, REASON_CONNECT_FORBIDDEN);
		LOG(WARN, worker, "agent", virtual_user_agent_id(agent), "msrp-peer-refused reason=%s",
			reason_label(REASON_CONNECT_FORBIDDEN));
		return false;
	}
	bool is_same = msrp_leg_is_bound_to(agent->leg, &peer);
	bool was_bound = agent->state == VIRTUAL_USER_AGENT_ACTIVE;
	if (msrp_leg_set_peer(agent->leg, &peer) != 0)
		return false;
	if (is_same)
		return true;
	agent->connects = peer.connect;
	if (!was_bound && agent->state != VIRTUAL_USER_AGENT_DETACHED)
		return true;
	/* limits.reattach begins for the new path */
	virtual_user_agent_enter(agent, VIRTUAL_USER_AGENT_DETACHED, "new-path");
	agent->must_tell_lost = was_bound;
	return true;
}

enum sdp_setup virtual_user_agent_answer_setup(const struct virtual_user_agent *agent, const struct session_peer *offer)
{
	enum sdp_setup offered = sdp_media_setup(offer->sdp, offer->media);

	/* the role that its connection has, where the offer leaves us the choice */
	if (offered != SDP_SETUP_ACTIVE && offered != SDP_SETUP_HOLDCONN && agent->connects && msrp_leg_is_bound(agent->leg))
		return SDP_SETUP_ACTIVE;
	return session_sdp_answer_setup(offer->sdp, offer->media);
}
