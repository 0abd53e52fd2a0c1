#include "actors/session_sdp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "sip/header.h"

/* The application/sdp part of multipart/mixed: RFC 2046 5.1, one level deep, which is all that an
 * INVITE with a resource list or an SDP alone needs. */
static bool part_of_multipart(struct slice body, struct slice boundary, struct slice *content)
{
	char text[80];
	struct buffer delimiter = buffer_over(text, sizeof(text));
	struct slice rest = body;

	buffer_lit(&delimiter, "--");
	buffer_put(&delimiter, boundary);
	if (delimiter.overflow || boundary.n == 0)
		return false;
	const char *at = memmem(rest.p, rest.n, delimiter.p, delimiter.n);
	while (at) {
		struct slice part = slice_skip(rest, (size_t)(at - rest.p) + delimiter.n);
		if (slice_starts(part, SLICE("--")))
			return false;
		const char *end = memmem(part.p, part.n, delimiter.p, delimiter.n);
		if (!end)
			return false;
		rest = slice_of(end, part.n - (size_t)(end - part.p));
		part = slice_of(part.p, (size_t)(end - part.p));
		at = end;
		const char *blank = memmem(part.p, part.n, "\r\n\r\n", 4);
		if (!blank)
			continue;
		struct slice lines = slice_of(part.p, (size_t)(blank - part.p)), line;
		struct slice inner = slice_of(blank + 4, (size_t)(part.p + part.n - blank - 4));
		if (inner.n >= 2 && !memcmp(inner.p + inner.n - 2, "\r\n", 2))
			inner.n -= 2; /* belongs to the delimiter */
		while (lines.n) {
			line = slice_cut(lines, '\n', &lines);
			struct slice value, name = slice_cut(line, ':', &value);
			if (slice_case_eq(slice_trim(name), SLICE("Content-Type")) &&
			    sip_content_type_is(slice_trim(value), "application/sdp")) {
				*content = inner;
				return true;
			}
		}
	}
	return false;
}

static enum sdp_judgement find_sdp(const struct sip_message *m, struct slice *content)
{
	struct slice type = sip_header_value(m, SIP_HDR_CONTENT_TYPE), boundary;
	struct sip_content_type decoded;

	if (m->body.n == 0)
		return SDP_MISSING;
	if (!sip_content_type_decode(type, &decoded))
		return SDP_UNSUPPORTED;
	if (sip_content_type_is(type, "application/sdp")) {
		*content = m->body;
		return SDP_ACCEPTED;
	}
	if (!sip_content_type_is(type, "multipart/mixed"))
		return SDP_UNSUPPORTED;
	if (!sip_param_find(decoded.params, "boundary", &boundary))
		return SDP_MALFORMED;
	return part_of_multipart(m->body, sip_unquote(boundary), content) ? SDP_ACCEPTED : SDP_MISSING;
}

enum sdp_judgement session_sdp_read(const struct sip_message *m, struct sdp *sdp, const struct sdp_media **media)
{
	struct slice content;
	struct msrp_path path;
	bool tls = false;
	enum sdp_judgement found = find_sdp(m, &content);

	if (found != SDP_ACCEPTED)
		return found;
	if (sdp_parse(sdp, content) != SDP_OK)
		return SDP_MALFORMED;
	*media = sdp_msrp_media(sdp);
	if (!*media)
		return SDP_NO_MSRP;
	if (sdp_media_is_msrp(*media, &tls) && tls)
		return SDP_NO_TRANSPORT;
	if (msrp_path_parse((*media)->path, &path) != MSRP_PATH_OK || path.first.secure)
		return SDP_BAD_PATH;
	return SDP_ACCEPTED;
}

enum sdp_judgement session_sdp_read_offer(const struct sip_message *m, struct sdp *sdp,
	const struct sdp_media **media)
{
	enum sdp_judgement judgement = session_sdp_read(m, sdp, media);

	if (judgement != SDP_ACCEPTED)
		return judgement;
	switch (sdp_media_direction(sdp, *media)) {
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

void session_sdp_refuse(struct im *im, struct sip_server *server, enum sdp_judgement why)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));
	const char *warning = "399 %s \"The session description is not acceptable\"";

	switch (why) {
	case SDP_MALFORMED:
		sip_server_refuse(server, 400, REASON_SDP);
		return;
	case SDP_RECVONLY_:
		sip_server_refuse(server, 403, REASON_SDP);
		return;
	case SDP_UNSUPPORTED:
		REFUSED(&im->worker->counters, REASON_UNSUPPORTED_BODY);
		sip_server_respond(server, &(struct sip_reply){ .status = 415,
			.headers = SLICE("Accept: application/sdp, multipart/mixed\r\n") });
		return;
	case SDP_NO_TRANSPORT:
		warning = "302 %s \"Only TCP/MSRP is available\"";
		break;
	case SDP_NO_MSRP:
	case SDP_MISSING:
		warning = "304 %s \"An MSRP message stream is needed\"";
		break;
	case SDP_INACTIVE_:
	case SDP_BAD_PATH:
	case SDP_ACCEPTED:
		break;
	}
	buffer_lit(&headers, "Warning: ");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	buffer_printf(&headers, warning, im->config->domain.home);
#pragma GCC diagnostic pop
	buffer_lit(&headers, "\r\n");
	REFUSED(&im->worker->counters, REASON_SDP);
	sip_server_respond(server, &(struct sip_reply){ .status = 488, .headers = buffer_slice(&headers) });
}

/* RFC 6135: the offerer of actpass or of nothing connects; only to `passive` must we connect. */
enum sdp_setup session_sdp_answer_setup(const struct sdp *offer, const struct sdp_media *media)
{
	return sdp_media_setup(offer, media) == SDP_SETUP_PASSIVE ? SDP_SETUP_ACTIVE : SDP_SETUP_PASSIVE;
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

static bool may_connect(const struct im *im, const struct sockaddr_storage *to,
	const struct sockaddr_storage *signalled)
{
	enum connect_to rule = im->config->limits.connect_to;

	if (rule == CONNECT_TO_ANY || (rule == CONNECT_TO_AUTO && im->config->core.mode == MODE_IMS))
		return true;
	return same_host(to, signalled) || address_is_loopback((const struct sockaddr *)to);
}

/* The address that the SDP signals: the path's first URI, and where that is a name, c= (RFC 6714). */
static bool peer_address(const struct session_peer *peer, const struct msrp_path *path,
	struct sockaddr_storage *address)
{
	struct slice line = peer->media->connection.p ? peer->media->connection : peer->sdp->connection, rest;
	uint16_t port = path->first.port ? path->first.port : 2855;

	if (address_of(path->first.host, port, address))
		return true;
	slice_cut(line, ' ', &rest);
	slice_cut(rest, ' ', &rest);
	return address_of(slice_trim(slice_cut(rest, '/', NULL)), (uint16_t)peer->media->port, address);
}

bool session_sdp_peer(struct im *im, const struct session_peer *peer, struct msrp_peer *out)
{
	enum sdp_setup setup = sdp_media_setup(peer->sdp, peer->media);
	struct msrp_path path;

	memset(out, 0, sizeof(*out));
	out->path = peer->media->path;
	if (msrp_path_parse(out->path, &path) != MSRP_PATH_OK)
		return false;
	/* an answer without setup or passive: we connect; an offer: only if it says passive */
	out->connect = peer->is_answer ? setup != SDP_SETUP_ACTIVE : setup == SDP_SETUP_PASSIVE;
	if (!out->connect)
		return true;
	return peer_address(peer, &path, &out->address) && may_connect(im, &out->address, peer->signalled);
}

bool session_sdp_write(struct buffer *out, const struct session_description *d, const struct msrp_leg *leg,
	uint64_t session_id)
{
	struct sdp_own ours = { .session_id = session_id, .version = 1, .address = slice_str(msrp_leg_host(leg)),
		.media = d->media, .offer = d->offer, .offered = d->offered, .port = msrp_leg_port(leg),
		.path = msrp_leg_uri(leg), .setup = d->setup, .is_nameless = d->hides,
		.is_alone = !d->offer };

	return sdp_rewrite(out, d->sdp, &ours);
}
