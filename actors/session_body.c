#include "actors/session_body.h"

#include "sip/header.h"
#include "sip/multipart.h"

/* The headers that say what a body, or a part of one, is. */
struct content {
	struct slice type, disposition, encoding, transfer_encoding;
	struct slice octets;
};

/* RFC 3261 20.11: required unless it says otherwise. */
static bool is_optional(const struct content *content)
{
	struct slice params, handling;
	const char *at = content->disposition.n ? memchr(content->disposition.p, ';', content->disposition.n) : NULL;

	if (!at)
		return false;
	params = slice_skip(content->disposition, (size_t)(at - content->disposition.p));
	return sip_param_find(params, "handling", &handling) && slice_case_eq(sip_unquote(handling), SLICE("optional"));
}

/* An early-session (RFC 3959) or a picture of a description is not the session's. */
static bool is_of_session(const struct content *content)
{
	struct slice type = slice_trim(slice_cut(content->disposition, ';', NULL));

	return type.n == 0 || slice_case_eq(type, SLICE("session"));
}

static bool is_encoded(const struct content *content)
{
	struct slice transfer = content->transfer_encoding;

	return (content->encoding.n && !slice_case_eq(content->encoding, SLICE("identity"))) ||
	       (transfer.n && !slice_case_eq(transfer, SLICE("binary")) && !slice_case_eq(transfer, SLICE("8bit")) &&
		       !slice_case_eq(transfer, SLICE("7bit")));
}

static enum session_body_verdict look_into(const struct content *content, unsigned depth, struct session_body *body);

static enum session_body_verdict look_into_parts(const struct content *content, unsigned depth,
	struct session_body *body)
{
	enum session_body_verdict worst = BODY_WITHOUT_SDP;
	enum sip_part_verdict verdict;
	struct sip_parts parts;
	struct sip_part part;

	if (!sip_parts_begin(&parts, content->type, content->octets))
		return BODY_MALFORMED;
	while ((verdict = sip_parts_next(&parts, &part)) == SIP_PART_OK) {
		struct content inner = { sip_part_header(&part, "Content-Type"),
			sip_part_header(&part, "Content-Disposition"), sip_part_header(&part, "Content-Encoding"),
			sip_part_header(&part, "Content-Transfer-Encoding"), part.content };
		body->headers = part.headers;
		enum session_body_verdict found = look_into(&inner, depth, body);
		if (found == BODY_HAS_SDP)
			return found;
		if (worst == BODY_WITHOUT_SDP)
			worst = found;
	}
	return verdict == SIP_PART_BAD ? BODY_MALFORMED : worst;
}

static enum session_body_verdict look_into(const struct content *content, unsigned depth, struct session_body *body)
{
	enum session_body_verdict found = BODY_UNSUPPORTED;
	struct sip_content_type type;

	if (sip_content_type_is(content->type, "application/sdp") && is_of_session(content))
		found = is_encoded(content) ? BODY_ENCODED : BODY_HAS_SDP;
	else if (sip_content_type_decode(content->type, &type) && slice_case_eq(type.type, SLICE("multipart")) &&
		 depth < SESSION_BODY_DEPTH)
		found = is_encoded(content) ? BODY_ENCODED : look_into_parts(content, depth + 1, body);
	if (found == BODY_HAS_SDP && sip_content_type_is(content->type, "application/sdp"))
		body->sdp = content->octets;
	else if (found != BODY_HAS_SDP && is_optional(content))
		return BODY_WITHOUT_SDP;
	return found;
}

static bool is_all_there_is(struct slice sdp, const struct content *content)
{
	struct sip_parts parts;
	struct sip_part part, other;

	return sdp.p == content->octets.p ||
	       (sip_parts_begin(&parts, content->type, content->octets) &&
		       sip_parts_next(&parts, &part) == SIP_PART_OK && part.content.p == sdp.p &&
		       sip_parts_next(&parts, &other) == SIP_PART_END);
}

static struct content content_of(const struct sip_message *m)
{
	return (struct content){ sip_header_value(m, SIP_HDR_CONTENT_TYPE),
		sip_header_value(m, SIP_HDR_CONTENT_DISPOSITION), sip_header_value(m, SIP_HDR_CONTENT_ENCODING),
		SLICE_EMPTY, m->body };
}

enum session_body_verdict session_body_read(const struct sip_message *m, struct session_body *body)
{
	struct content content = content_of(m);

	*body = (struct session_body){ 0 };
	if (m->body.n == 0)
		return BODY_WITHOUT_SDP;
	enum session_body_verdict verdict = look_into(&content, 0, body);
	body->is_alone = verdict == BODY_HAS_SDP && is_all_there_is(body->sdp, &content);
	return verdict;
}

/* Without a Content-Length, which would be that of the old description. */
static void put_part_headers(struct buffer *out, struct slice headers)
{
	bool is_left_out = false;

	while (headers.n) {
		struct slice rest, line = slice_cut(headers, '\n', &rest);
		size_t n = rest.p ? line.n + 1 : line.n;
		if (line.n && line.p[0] != ' ' && line.p[0] != '\t')
			is_left_out = slice_case_eq(slice_trim(slice_cut(line, ':', NULL)), SLICE("Content-Length"));
		if (!is_left_out)
			buffer_put(out, slice_of(headers.p, n));
		headers = rest;
	}
}

bool session_body_replace(struct buffer *out, const struct sip_message *m, struct slice sdp, bool alone,
	struct session_body_sent *sent)
{
	struct session_body body;

	*sent = (struct session_body_sent){ SLICE("application/sdp"), sdp };
	if (alone || session_body_read(m, &body) != BODY_HAS_SDP || body.is_alone)
		return true;
	size_t start = out->n;
	buffer_put(out, slice_of(m->body.p, (size_t)(body.headers.p - m->body.p)));
	put_part_headers(out, body.headers);
	const char *blank = body.headers.p + body.headers.n;
	buffer_put(out, slice_of(blank, (size_t)(body.sdp.p - blank)));
	buffer_put(out, sdp);
	const char *behind = body.sdp.p + body.sdp.n;
	buffer_put(out, slice_of(behind, (size_t)(m->body.p + m->body.n - behind)));
	sent->content_type = sip_header_value(m, SIP_HDR_CONTENT_TYPE);
	sent->body = slice_of(out->p + start, out->n - start);
	return !out->overflow;
}
