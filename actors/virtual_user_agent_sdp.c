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

/* Of what the session takes that which was offered too, of that what the operator permits. */
static bool common_types(const struct virtual_user_agent *agent, struct slice offered, struct buffer *out)
{
	char text[SDP_TEXT_MAX];
	struct buffer common = buffer_over(text, sizeof(text));

	if (!policy_common_types(offered, slice_str(agent->media.accept_types), &common))
		return false;
	if (!policy_permits_every_type(agent->im->config))
		return policy_permitted_types(agent->im->config, buffer_slice(&common), out);
	buffer_put(out, buffer_slice(&common));
	return true;
}

bool virtual_user_agent_has_common_type(const struct virtual_user_agent *agent, const struct session_peer *offer)
{
	char text[SDP_TEXT_MAX];
	struct buffer common = buffer_over(text, sizeof(text));

	return !agent->media.is_switched || !agent->media.accept_types ||
	       common_types(agent, offer->media->accept_types, &common);
}

static bool put_accepted(const struct virtual_user_agent *agent, struct buffer *out, const struct session_peer *offer)
{
	const struct virtual_user_agent_media *ours = &agent->media;
	char text[SDP_TEXT_MAX];
	struct buffer common = buffer_over(text, sizeof(text));

	if (ours->is_switched && ours->accept_types && offer) {
		if (!common_types(agent, offer->media->accept_types, &common))
			return false;
		put_attribute(out, "accept-types", buffer_slice(&common));
	} else if (ours->accept_types) {
		put_attribute(out, "accept-types", slice_str(ours->accept_types));
	} else if (!offer || !put_types(out, agent->im, "accept-types", offer->media->accept_types)) {
		return false;
	}
	if (ours->accept_wrapped_types)
		put_attribute(out, "accept-wrapped-types", slice_str(ours->accept_wrapped_types));
	else if (offer && offer->media->accept_wrapped_types.n)
		(void)put_types(out, agent->im, "accept-wrapped-types", offer->media->accept_wrapped_types); /* none: left out */
	return true;
}

/* RFC 3264 6.1: who goes one way is answered by the other one, who is told `inactive` says that too. */
static enum sdp_direction direction(const struct virtual_user_agent *agent, const struct session_peer *offer)
{
	enum sdp_direction offered = offer ? sdp_media_direction(offer->sdp, offer->media) : SDP_UNSAID;

	if (offered == SDP_INACTIVE)
		return SDP_INACTIVE;
	if (agent->media.direction == SDP_SENDRECV && (offered == SDP_SENDONLY || offered == SDP_RECVONLY))
		return sdp_direction_inverted(offered);
	return agent->media.direction;
}

/* What is never anybody's but ours (D2-45), or is written from agent->media. */
static bool is_own(struct slice name)
{
	static const char *const own[] = { "path", "setup", "connection", "fingerprint", "crypto", "msrp-cema", "sendrecv",
		"sendonly", "recvonly", "inactive", "accept-types", "accept-wrapped-types", "max-size", "chatroom",
		"key-mgmt", "rtcp", "rtcp-mux", "candidate", "ice-ufrag", "ice-pwd", "ice-options" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (slice_case_eq(name, slice_str(own[i])))
			return true;
	return false;
}

static void copy_lines(struct buffer *out, struct slice section)
{
	while (section.n) {
		struct slice line = slice_trim(slice_cut(section, '\n', &section)), name;
		if (!slice_starts(line, SLICE("a=")))
			continue;
		name = slice_cut(slice_skip(line, 2), ':', NULL);
		if (is_own(name))
			continue;
		buffer_put(out, line);
		buffer_lit(out, "\r\n");
	}
}

void virtual_user_agent_copy_new_attributes(struct buffer *out, struct slice said, struct slice known)
{
	char name_text[64];

	while (said.n) {
		struct slice line = slice_trim(slice_cut(said, '\n', &said)), name;
		if (!slice_starts(line, SLICE("a=")))
			continue;
		name = slice_cut(slice_skip(line, 2), ':', NULL);
		if (is_own(name) || name.n >= sizeof(name_text))
			continue;
		memcpy(name_text, name.p, name.n);
		name_text[name.n] = '\0';
		if (sdp_attribute(known, name_text, NULL))
			continue;
		buffer_put(out, line);
		buffer_lit(out, "\r\n");
	}
}

static void put_max_size(struct buffer *out, const struct sdp_media *said, uint64_t most)
{
	uint64_t size;

	if (!said->max_size.p || !slice_u64(slice_trim(said->max_size), UINT64_MAX, &size))
		return;
	buffer_printf(out, "a=max-size:%llu\r\n", (unsigned long long)(most && most < size ? most : size));
}

void virtual_user_agent_copy_attributes(struct buffer *out, const struct sdp_media *said, uint64_t most)
{
	copy_lines(out, said->whole);
	if (said->accept_wrapped_types.p)
		put_attribute(out, "accept-wrapped-types", slice_trim(said->accept_wrapped_types));
	put_max_size(out, said, most);
}

static void put_descriptive(struct buffer *out, const struct session_peer *offer)
{
	struct slice value;

	for (size_t i = 0; i < sizeof(descriptive) / sizeof(descriptive[0]); i++)
		if (sdp_attribute(offer->media->whole, descriptive[i], &value))
			put_attribute(out, descriptive[i], value);
}

/* `attributes`: of an offer of ours. */
static void put_attributes(const struct virtual_user_agent *agent, struct buffer *out, const struct session_peer *offer,
	struct slice attributes)
{
	if (offer && agent->media.is_switched) {
		copy_lines(out, offer->media->whole);
		put_max_size(out, offer->media, agent->media.max_size);
	} else if (offer) {
		put_descriptive(out, offer);
	}
	buffer_put(out, attributes);
	if (agent->media.lines)
		buffer_str(out, agent->media.lines);
}

/* Without what sdp_rewrite() puts in: o=, c=, path, setup. */
static bool draft(const struct virtual_user_agent *agent, struct buffer *out, const struct session_peer *offer,
	struct slice attributes)
{
	buffer_lit(out, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n");
	if (!put_accepted(agent, out, offer))
		return false;
	put_attributes(agent, out, offer, attributes);
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

/* Ours in `out`: the answer to an offer, or an offer. */
static bool write_description(const struct virtual_user_agent *agent, struct buffer *out,
	const struct session_peer *offer, enum sdp_setup setup, struct slice attributes)
{
	char draft_text[SDP_TEXT_MAX];
	struct buffer drafted = buffer_over(draft_text, sizeof(draft_text));
	struct msrp_leg *leg = agent->leg;
	struct sdp sdp;

	if (!draft(agent, &drafted, offer, attributes) || sdp_parse(&sdp, buffer_slice(&drafted)) != SDP_OK)
		return false;
	struct sdp_own own = { .session_id = agent->sdp_id, .version = 1, .address = slice_str(msrp_leg_host(leg)),
		.media = sdp_msrp_media(&sdp), .offer = offer ? offer->sdp : NULL,
		.offered = offer ? offer->media : NULL, .is_alone = !offer, .port = msrp_leg_port(leg),
		.proto = msrp_leg_is_secure(leg) ? SLICE("TCP/TLS/MSRP") : SLICE("TCP/MSRP"),
		.path = msrp_leg_uri(leg), .fingerprint = msrp_leg_fingerprint(leg), .setup = setup,
		.has_cema = !offer || sdp_media_has_cema(offer->media), .max_size = agent->media.max_size };
	return own.media && sdp_rewrite(out, &sdp, &own);
}

bool virtual_user_agent_describe(struct virtual_user_agent *agent, const struct session_peer *offer,
	enum sdp_setup setup)
{
	char text[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	return write_description(agent, &out, offer, setup, SLICE_EMPTY) && keep(agent, buffer_slice(&out));
}

bool virtual_user_agent_offer(struct virtual_user_agent *agent, struct slice attributes)
{
	char text[SDP_TEXT_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	return write_description(agent, &out, NULL, SDP_SETUP_ACTPASS, attributes) && keep(agent, buffer_slice(&out));
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
	if (agent->media.is_switched && agent->media.max_size) /* to many: not the limit of messages to one */
		peer.max_octets = agent->media.max_size;
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
