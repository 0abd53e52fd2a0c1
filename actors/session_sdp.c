#include "actors/session_sdp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "actors/policy.h"
#include "actors/session_body.h"
#include "sip/header.h"

/* ---- reading ---- */

/* The listeners are those of the process, as its configuration is. */
static bool serves_tcp = true, serves_tls;

void session_sdp_serve(const struct msrp_options *options)
{
	serves_tcp = serves_tls = false;
	for (unsigned i = 0; i < options->listener_count; i++)
		*(options->listeners[i].proto == LISTEN_MSRPS ? &serves_tls : &serves_tcp) = true;
}

static enum sdp_judgement judgement_of_body(enum session_body_verdict verdict)
{
	switch (verdict) {
	case BODY_HAS_SDP:
		break;
	case BODY_WITHOUT_SDP:
		return SDP_MISSING;
	case BODY_UNSUPPORTED:
		return SDP_UNSUPPORTED;
	case BODY_ENCODED:
		return SDP_ENCODED;
	case BODY_MALFORMED:
		return SDP_MALFORMED;
	}
	return SDP_ACCEPTED;
}

static bool is_too_long(struct slice text)
{
	size_t n = text.n;

	for (size_t i = 0; i < text.n && n <= SESSION_SDP_MAX; i++)
		if (text.p[i] == '\n')
			n++;
	return n > SESSION_SDP_MAX;
}

static enum sdp_judgement judge_direction(const struct sdp *sdp, const struct sdp_media *media)
{
	switch (sdp_media_direction(sdp, media)) {
	case SDP_INACTIVE:
		return SDP_INACTIVE_;
	case SDP_RECVONLY:
		return SDP_RECVONLY_;
	case SDP_UNSAID:
	case SDP_SENDRECV:
	case SDP_SENDONLY:
		break;
	}
	return SDP_ACCEPTED;
}

/* Can this m= line be the session's? */
static enum sdp_judgement judge_media(const struct sdp *sdp, const struct sdp_media *media, bool is_initial_offer)
{
	struct msrp_path path;
	bool tls;

	if (media->port == 0 || !slice_case_eq(media->media, SLICE("message")))
		return SDP_NO_MSRP;
	if (!sdp_media_is_msrp(media, &tls) || !(tls ? serves_tls : serves_tcp))
		return SDP_NO_TRANSPORT;
	if (msrp_path_parse(media->path, &path) != MSRP_PATH_OK || path.first.secure != tls)
		return SDP_BAD_PATH;
	if (!is_initial_offer)
		return SDP_ACCEPTED;
	if (slice_trim(media->accept_types).n == 0) /* RFC 4975 8.6 */
		return SDP_NO_ACCEPT_TYPES;
	return judge_direction(sdp, media);
}

/* The first that can be; else what is wrong with the first that came close. */
static enum sdp_judgement choose_media(const struct sdp *sdp, bool is_initial_offer, const struct sdp_media **media)
{
	enum sdp_judgement nearest = SDP_NO_MSRP;

	for (unsigned i = 0; i < sdp->media_count; i++) {
		enum sdp_judgement judgement = judge_media(sdp, &sdp->media[i], is_initial_offer);
		if (judgement == SDP_ACCEPTED) {
			*media = &sdp->media[i];
			return SDP_ACCEPTED;
		}
		if (nearest == SDP_NO_MSRP)
			nearest = judgement;
	}
	return nearest;
}

enum sdp_judgement session_sdp_parse(const struct sip_message *m, struct sdp *sdp)
{
	struct session_body body;
	enum sdp_judgement judgement = judgement_of_body(session_body_read(m, &body));

	if (judgement != SDP_ACCEPTED)
		return judgement;
	if (is_too_long(body.sdp))
		return SDP_TOO_LONG;
	enum sdp_verdict verdict = sdp_parse(sdp, body.sdp);
	if (verdict != SDP_OK)
		return verdict == SDP_TOO_MANY_MEDIA ? SDP_TOO_MANY : SDP_MALFORMED;
	return SDP_ACCEPTED;
}

static enum sdp_judgement read_description(const struct sip_message *m, bool is_initial_offer, struct sdp *sdp,
	const struct sdp_media **media)
{
	enum sdp_judgement judgement = session_sdp_parse(m, sdp);

	return judgement == SDP_ACCEPTED ? choose_media(sdp, is_initial_offer, media) : judgement;
}

enum sdp_judgement session_sdp_read(const struct sip_message *m, struct sdp *sdp, const struct sdp_media **media)
{
	return read_description(m, false, sdp, media);
}

enum sdp_judgement session_sdp_read_offer(const struct sip_message *m, struct sdp *sdp,
	const struct sdp_media **media)
{
	return read_description(m, true, sdp, media);
}

bool session_sdp_is_usable(const struct sdp *sdp, const struct sdp_media *media)
{
	return judge_media(sdp, media, false) == SDP_ACCEPTED;
}

void session_sdp_further(const struct sdp *offer, const struct sdp_media *media, struct session_further *further)
{
	further->count = 0;
	for (unsigned i = 0; i < offer->media_count; i++) {
		const struct sdp_media *at = &offer->media[i];
		if (at != media && sdp_media_direction(offer, at) == SDP_SENDONLY &&
		    judge_media(offer, at, true) == SDP_ACCEPTED)
			further->media[further->count++] = at;
	}
}

/* ---- policy ---- */

/* RFC 5547 6: `size:n` among the selectors; a name in quotes may look like one. */
static struct slice size_of_selector(struct slice selector)
{
	bool is_quoted = false, begins = true;

	for (size_t i = 0; i < selector.n; i++) {
		if (!is_quoted && begins && slice_case_starts(slice_skip(selector, i), SLICE("size:")))
			return slice_cut(slice_skip(selector, i + 5), ' ', NULL);
		begins = selector.p[i] == ' ';
		if (selector.p[i] == '"')
			is_quoted = !is_quoted;
	}
	return SLICE_EMPTY;
}

/* RFC 5547 6, and the draft's own attribute (D2-46). */
static bool names_file(const struct sdp_media *media)
{
	struct slice selector = media->file_selector;
	bool is_quoted = false, begins = true;

	for (size_t i = 0; i < selector.n; i++) {
		if (!is_quoted && begins && slice_case_starts(slice_skip(selector, i), SLICE("name:")))
			return true;
		begins = selector.p[i] == ' ';
		if (selector.p[i] == '"')
			is_quoted = !is_quoted;
	}
	return sdp_attribute(media->whole, "filename", NULL);
}

/* D1-17: filelength, filesize and the selector's size may all be there, if they agree. */
static bool announced_size(const struct sdp_media *media, bool *is_announced, uint64_t *size)
{
	const struct slice places[] = { media->file_length, media->file_size, size_of_selector(media->file_selector) };

	*is_announced = false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint64_t said;
		if (!places[i].p)
			continue;
		if (!slice_u64(slice_trim(places[i]), UINT64_MAX, &said) || (*is_announced && said != *size))
			return false;
		*is_announced = true;
		*size = said;
	}
	return true;
}

bool session_sdp_size(const struct sdp_media *media, uint64_t *size)
{
	bool is_announced;

	*size = 0;
	return announced_size(media, &is_announced, size) && is_announced;
}

bool session_sdp_is_file(const struct sdp *sdp, const struct sdp_media *media)
{
	return sdp_media_direction(sdp, media) != SDP_SENDRECV && names_file(media);
}

uint64_t session_sdp_size_limit(const struct im *im, const struct sdp *sdp, const struct sdp_media *media)
{
	return session_sdp_is_file(sdp, media) ? im->config->limits.max_size_file : im->config->limits.max_size_1to1;
}

enum sdp_judgement session_sdp_policy(const struct im *im, const struct sdp *sdp, const struct sdp_media *media)
{
	uint64_t size = 0, most = session_sdp_size_limit(im, sdp, media);
	char text[SESSION_SDP_MAX];
	struct buffer types = buffer_over(text, sizeof(text));
	bool is_announced;

	if (!announced_size(media, &is_announced, &size))
		return SDP_SIZE_UNCLEAR;
	if (is_announced && most && size > most && sdp_media_direction(sdp, media) == SDP_SENDONLY)
		return SDP_SIZE_BARRED;
	if (!policy_permits_every_type(im->config) &&
	    !policy_permitted_types(im->config, media->accept_types, &types))
		return SDP_TYPES_BARRED;
	return SDP_ACCEPTED;
}

enum sdp_judgement session_sdp_policy_of_all(const struct im *im, const struct sdp *sdp, const struct sdp_media *media)
{
	enum sdp_judgement judgement = session_sdp_policy(im, sdp, media);
	struct session_further further;

	session_sdp_further(sdp, media, &further);
	for (unsigned i = 0; i < further.count && judgement == SDP_ACCEPTED; i++)
		judgement = session_sdp_policy(im, sdp, further.media[i]);
	return judgement;
}

/* ---- refusing ---- */

static const struct refusal {
	unsigned status;
	enum reason why;
	unsigned warning;    /* code; 0: none */
	const char *text;    /* of the Warning */
	const char *headers; /* or "" */
} refusals[] = {
	[SDP_MISSING] = { 488, REASON_SDP, 304, "An MSRP message stream is needed", "" },
	[SDP_UNSUPPORTED] = { 415, REASON_UNSUPPORTED_BODY, 0, "",
		"Accept: " IM_ACCEPT_SESSION "\r\nAccept-Encoding: identity\r\n" },
	[SDP_ENCODED] = { 415, REASON_UNSUPPORTED_BODY, 0, "",
		"Accept: " IM_ACCEPT_SESSION "\r\nAccept-Encoding: identity\r\n" },
	[SDP_MALFORMED] = { 400, REASON_SDP, 0, "", "" },
	[SDP_TOO_LONG] = { 513, REASON_TOO_LARGE, 0, "", "" },
	[SDP_TOO_MANY] = { 488, REASON_SDP, 399, "Too many media", "" },
	[SDP_NO_MSRP] = { 488, REASON_SDP, 304, "An MSRP message stream is needed", "" },
	[SDP_NO_TRANSPORT] = { 488, REASON_SDP, 302, "The transport of the message stream is not available", "" },
	[SDP_BAD_PATH] = { 488, REASON_SDP, 399, "The session description is not acceptable", "" },
	[SDP_NO_ACCEPT_TYPES] = { 488, REASON_SDP, 305, "The message stream names no accept-types", "" },
	[SDP_INACTIVE_] = { 488, REASON_SDP, 399, "An inactive message stream is not acceptable", "" },
	[SDP_RECVONLY_] = { 403, REASON_SDP, 0, "", "" },
	[SDP_SIZE_UNCLEAR] = { 488, REASON_SDP, 399, "The announced sizes cannot be read or contradict each other", "" },
	[SDP_SIZE_BARRED] = { 403, REASON_TOO_LARGE, 0, "", "" },
	[SDP_TYPES_BARRED] = { 403, REASON_UNSUPPORTED_BODY, 0, "", "" },
	[SDP_NOT_AGREED] = { 488, REASON_SDP, 399, "The session description is not acceptable", "" },
	[SDP_NO_COMMON_TYPE] = { 488, REASON_SDP, 305, "None of the accept-types is used in this session", "" },
};

void session_sdp_refuse(struct im *im, struct sip_server *server, enum sdp_judgement why)
{
	const struct refusal *r = &refusals[why];
	char text[512];
	struct buffer headers = buffer_over(text, sizeof(text));

	buffer_str(&headers, r->headers);
	if (r->warning)
		im_write_warning(im, &headers, r->warning, r->text);
	im_refuse(im, server, r->status, r->why, buffer_slice(&headers));
}

/* ---- the way to the peer ---- */

bool session_sdp_is_secure(const struct sdp_media *media)
{
	bool is_secure = false;

	return sdp_media_is_msrp(media, &is_secure) && is_secure;
}

/* RFC 6135: the offerer of actpass or of nothing connects; only to `passive` must we connect.  Who wants no
 * connection for now gets none (RFC 4145 4.1). */
enum sdp_setup session_sdp_answer_setup(const struct sdp *offer, const struct sdp_media *media)
{
	switch (sdp_media_setup(offer, media)) {
	case SDP_SETUP_PASSIVE:
		return SDP_SETUP_ACTIVE;
	case SDP_SETUP_HOLDCONN:
		return SDP_SETUP_HOLDCONN;
	case SDP_SETUP_NONE:
	case SDP_SETUP_ACTIVE:
	case SDP_SETUP_ACTPASS:
		break;
	}
	return SDP_SETUP_PASSIVE;
}

static bool address_of(struct slice host, uint16_t port, struct sockaddr_storage *address)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return true;
	}
	return false;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr,
		       16) == 0;
}

static bool is_unspecified(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
	uint32_t mapped;
	memcpy(&mapped, v6->s6_addr + 12, sizeof(mapped));
	return IN6_IS_ADDR_UNSPECIFIED(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && mapped == htonl(INADDR_ANY));
}

static bool may_connect(const struct im *im, const struct sockaddr_storage *to,
	const struct sockaddr_storage *signalled)
{
	enum connect_to rule = im->config->limits.connect_to;

	if (is_unspecified(to)) /* would be this machine, or RFC 3264's old way to say hold */
		return false;
	if (rule == CONNECT_TO_ANY || (rule == CONNECT_TO_AUTO && im->config->core.mode == MODE_IMS))
		return true;
	return same_host(to, signalled) || address_is_loopback((const struct sockaddr *)to);
}

static bool address_of_media(const struct session_peer *peer, struct sockaddr_storage *address)
{
	struct slice line = peer->media->connection.p ? peer->media->connection : peer->sdp->connection, rest;

	slice_cut(line, ' ', &rest);
	slice_cut(rest, ' ', &rest);
	return address_of(slice_trim(slice_cut(rest, '/', NULL)), (uint16_t)peer->media->port, address);
}

/* The address that the SDP signals: the path's first URI (RFC 4975 8.1), and where that is a name, c=; with
 * a=msrp-cema c= and m= first, where a middlebox may have put itself (RFC 6714). */
static bool peer_address(const struct session_peer *peer, const struct msrp_path *path,
	struct sockaddr_storage *address)
{
	uint16_t port = path->first.port ? path->first.port : 2855;

	if (path->count == 1 && sdp_media_has_cema(peer->media) && address_of_media(peer, address))
		return true;
	return address_of(path->first.host, port, address) || address_of_media(peer, address);
}

/* False: nothing is left of them. */
static bool permit(const struct im *im, struct slice said, char *text, struct slice *permitted)
{
	struct buffer out = buffer_over(text, SESSION_SDP_MAX);

	*permitted = SLICE_EMPTY;
	if (!said.p || policy_permits_every_type(im->config))
		return true;
	bool is_any_left = policy_permitted_types(im->config, said, &out);
	*permitted = slice_of(text, is_any_left ? out.n : 0);
	return is_any_left;
}

/* What he takes, of what the policy permits; an answer may say nothing of it. */
static void accept_of(const struct im *im, const struct sdp_media *media, struct msrp_accept *accept)
{
	struct slice types = media->accept_types, wrapped = media->accept_wrapped_types;
	char types_text[SESSION_SDP_MAX], wrapped_text[SESSION_SDP_MAX];

	if (!policy_permits_every_type(im->config)) {
		(void)permit(im, types.p ? types : SLICE("*"), types_text, &types); /* none: he has got 403 or BYE */
		(void)permit(im, wrapped.p ? wrapped : SLICE(""), wrapped_text, &wrapped); /* none: what is in `types` */
	}
	msrp_accept_set(accept, types, wrapped);
	if (!slice_u64(slice_trim(media->max_size), UINT64_MAX, &accept->max_octets))
		accept->max_octets = 0;
}

bool session_sdp_peer(struct im *im, const struct session_peer *peer, struct msrp_peer *out)
{
	enum sdp_setup setup = sdp_media_setup(peer->sdp, peer->media);
	struct msrp_path path;

	memset(out, 0, sizeof(*out));
	out->path = peer->media->path;
	if (session_sdp_is_secure(peer->media))
		out->fingerprint = sdp_media_fingerprint(peer->sdp, peer->media);
	out->max_octets = session_sdp_size_limit(im, peer->sdp, peer->media);
	accept_of(im, peer->media, &out->accept);
	if (msrp_path_parse(out->path, &path) != MSRP_PATH_OK)
		return false;
	out->has_chatroom = sdp_attribute(peer->media->whole, "chatroom", NULL);
	out->has_cema = path.count == 1 && sdp_media_has_cema(peer->media);
	/* an answer without setup or passive: we connect; an offer: only if it says passive */
	out->connect = setup == SDP_SETUP_PASSIVE ||
		(peer->is_answer && setup != SDP_SETUP_ACTIVE && setup != SDP_SETUP_HOLDCONN);
	if (!out->connect)
		return true;
	return peer_address(peer, &path, &out->address) && may_connect(im, &out->address, peer->signalled) &&
	       connect_limit_permits(im, peer->identity);
}
