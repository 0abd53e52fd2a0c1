#include "actors/http_request.h"

#include <stdbool.h>
#include <string.h>

#define SCHEME "http://"

/* Behind `http://`, or NULL: not absolute. */
static const char *authority(const char *target)
{
	size_t n = sizeof(SCHEME) - 1;

	return strncasecmp(target, SCHEME, n) == 0 ? target + n : NULL;
}

const char *http_request_path(const char *target)
{
	const char *host = authority(target);

	if (!host)
		return target;
	return host[strcspn(host, "/")] ? host + strcspn(host, "/") : "/";
}

const char *http_request_host(struct MHD_Connection *connection, const char *target, char room[HTTP_HOST_MAX])
{
	const char *host = authority(target);
	size_t n = host ? strcspn(host, "/") : 0;

	if (!host)
		return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	if (n >= HTTP_HOST_MAX)
		return NULL;
	memcpy(room, host, n);
	room[n] = 0;
	return room;
}

/* ---- headers ---- */

/* Those of which a second one could make us and whoever is before us read two requests, or two users. */
static const char *const singles[] = { "Host", "Authorization", "Content-Length", "Transfer-Encoding", "Origin" };
enum { HOST, AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING, ORIGIN, SINGLES };

struct heads {
	unsigned count[SINGLES];
	bool has_bad_name;
};

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct heads *heads = arg;

	(void)kind;
	(void)value;
	/* RFC 9112 5.1: `Origin : x` must not pass as something that is not Origin */
	if (name[0] == 0 || strpbrk(name, " \t\r\n\"(),/:;<=>?@[\\]{}"))
		heads->has_bad_name = true;
	for (unsigned i = 0; i < SINGLES; i++)
		heads->count[i] += strcasecmp(name, singles[i]) == 0;
	return MHD_YES;
}

unsigned http_request_refuses(struct MHD_Connection *connection, const char *version, const char **why)
{
	struct heads heads = { 0 };

	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, look, &heads);
	for (unsigned i = 0; i < SINGLES; i++)
		if (heads.count[i] > 1) {
			*why = "a header twice that may be there once";
			return MHD_HTTP_BAD_REQUEST;
		}
	*why = "a header without a good name";
	if (heads.has_bad_name)
		return MHD_HTTP_BAD_REQUEST;
	*why = "HTTP/1.1 without Host";
	if (heads.count[HOST] == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
		return MHD_HTTP_BAD_REQUEST;
	*why = "both Content-Length and Transfer-Encoding";
	if (heads.count[CONTENT_LENGTH] && heads.count[TRANSFER_ENCODING])
		return MHD_HTTP_BAD_REQUEST;
	return 0;
}

size_t http_request_unescape(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}
