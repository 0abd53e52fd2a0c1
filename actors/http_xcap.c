#include "actors/http_xcap.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "core/log.h"

static enum MHD_Result add_query(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct buffer *out = arg;

	(void)kind;
	/* `xmlns(a=urn:x)` is taken apart at its first =, and several at an & */
	buffer_str(out, out->n ? "&" : "");
	buffer_str(out, name);
	if (value) {
		buffer_char(out, '=');
		buffer_str(out, value);
	}
	return MHD_YES;
}

void http_xcap_read(struct MHD_Connection *connection, const char *path, const char *method, struct buffer *query,
	struct xcap_request *r)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	(void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_query, query);
	*r = (struct xcap_request){ .method = method, .path = path + sizeof(XCAP_ROOT) - 1, .query = buffer_slice(query),
		.host = http_header(connection, MHD_HTTP_HEADER_HOST),
		.type = http_header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.if_match = http_header(connection, MHD_HTTP_HEADER_IF_MATCH),
		.if_none_match = http_header(connection, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.authorization = http_header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
		.xcap_identity = http_header(connection, "X-XCAP-Asserted-Identity"),
		.identity_3gpp = http_header(connection, "X-3GPP-Asserted-Identity") };
	if (info && info->client_addr)
		memcpy(&r->peer, info->client_addr, info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
			sizeof(struct sockaddr_in));
}

static enum MHD_Result answer(struct http_tally *tally, struct MHD_Connection *connection, struct http_answer *a,
	enum reason reason)
{
	if (a->code >= MHD_HTTP_BAD_REQUEST) {
		http_tally_refused(tally, reason, 1);
		LOG(INFO, NULL, "http", 0, "refused status=%u reason=%s", a->code, reason_label(reason));
	}
	return http_reply(connection, a);
}

enum MHD_Result http_xcap(const struct xcap *xcap, struct http_tally *tally, struct MHD_Connection *connection,
	const struct xcap_request *request, struct http_upload **state)
{
	struct xcap_request r = *request;
	struct http_upload *upload = *state;
	struct http_answer a = { 0 };
	enum reason why;

	if (!upload) {
		*state = http_upload_begin(documents_max(xcap->documents));
		if (!*state)
			return MHD_NO; /* no memory: closing is the only answer left */
		return xcap_permits(xcap, &r, &a, &why) ? MHD_YES : answer(tally, connection, &a, why);
	}
	if (r.body.n)
		return http_upload_add(upload, r.body) ? MHD_YES : MHD_NO;
	if (upload->is_too_large)
		return http_reply_refused(tally, connection, MHD_HTTP_CONTENT_TOO_LARGE, REASON_DOCUMENT,
			"more than limits.xml_bytes");
	if (upload->has_no_memory)
		return http_reply_refused(tally, connection, MHD_HTTP_SERVICE_UNAVAILABLE, REASON_NO_MEMORY, "no memory");
	r.body = http_upload_body(upload);
	xcap_answer(xcap, &r, &a, &why);
	return answer(tally, connection, &a, why);
}
