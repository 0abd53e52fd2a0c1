#include "actors/http_reply.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "actors/admin.h"
#include "core/log.h"

static const struct {
	const char *name, *value;
} always[] = {
	{ MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
	/* whatever a browser makes of it, it is what Content-Type says, and no other site's */
	{ "X-Content-Type-Options", "nosniff" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Referrer-Policy", "no-referrer" },
};

/* `lines`: WWW-Authenticate, each with CRLF. */
static bool add_challenges(struct MHD_Response *response, char *lines)
{
	struct slice line, rest = slice_str(lines), value;

	while (rest.n) {
		line = slice_trim(slice_cut(rest, '\n', &rest));
		if (line.n == 0)
			continue;
		(void)slice_cut(line, ':', &value);
		value = slice_trim(value);
		lines[value.p + value.n - lines] = 0; /* at the CR */
		if (MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, value.p) != MHD_YES)
			return false;
	}
	return true;
}

static bool add_headers(struct MHD_Response *response, const struct http_answer *a)
{
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (MHD_add_response_header(response, always[i].name, always[i].value) != MHD_YES)
			return false;
	if (a->type && MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type) != MHD_YES)
		return false;
	if (a->etag[0] && MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, a->etag) != MHD_YES)
		return false;
	if (a->policy && MHD_add_response_header(response, "Content-Security-Policy", a->policy) != MHD_YES)
		return false;
	if (a->code == MHD_HTTP_METHOD_NOT_ALLOWED)
		return MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow ? a->allow : "GET, HEAD") == MHD_YES;
	if (a->code == MHD_HTTP_UNAUTHORIZED && a->challenges)
		return add_challenges(response, a->challenges);
	if (a->code == MHD_HTTP_UNAUTHORIZED)
		return MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer") == MHD_YES;
	return true;
}

static enum MHD_Result queue(struct MHD_Connection *connection, const struct http_answer *a)
{
	struct MHD_Response *response;
	enum MHD_Result result = MHD_NO;

	if (!a->body)
		return MHD_NO; /* no memory: closing is the only answer left */
	response = MHD_create_response_from_buffer(a->n, a->body,
		a->is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
	if (!response) {
		if (!a->is_static)
			free(a->body);
		return MHD_NO;
	}
	if (add_headers(response, a))
		result = MHD_queue_response(connection, a->code, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result http_reply(struct MHD_Connection *connection, struct http_answer *a)
{
	enum MHD_Result result = queue(connection, a);

	free(a->challenges);
	a->challenges = NULL;
	return result;
}

enum MHD_Result http_reply_error(struct MHD_Connection *connection, unsigned code, const char *reason)
{
	struct admin_answer answer = { 0 };

	admin_error(&answer, code, reason);
	return http_reply(connection, &(struct http_answer){ code, "application/json", answer.body, answer.n });
}

const char *http_header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

enum MHD_Result http_reply_refused(struct http_tally *tally, struct MHD_Connection *connection, unsigned code,
	enum reason reason, const char *why)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char peer[INET6_ADDRSTRLEN] = "?";

	if (info && info->client_addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)info->client_addr)->sin_addr, peer, sizeof(peer));
	else if (info && info->client_addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr, peer, sizeof(peer));
	http_tally_refused(tally, reason, 1);
	LOG(WARN, NULL, "http", 0, "refused status=%u reason=%s peer=%s", code, reason_label(reason), peer);
	return http_reply_error(connection, code, why);
}
