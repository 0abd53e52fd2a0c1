#include "actors/http.h"

#include "actors/admin.h"
#include "actors/http_pages.h"
#include "actors/http_patience.h"
#include "actors/http_reply.h"
#include "actors/http_request.h"
#include "actors/http_upload.h"
#include "actors/http_xcap.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

#define CONNECTIONS_PER_IP_MAX	16u
#define IDLE_S			10u
#define THREAD_STACK_BYTES	(512u * 1024u)
#define CONNECTION_MEMORY_BYTES (16u * 1024u) /* request line and headers: beyond it 431 */
#define BACKLOG			64

#define JSON	    "application/json"
#define PLAIN	    "text/plain; charset=utf-8"
#define PCAP	     "application/vnd.tcpdump.pcap"
#define STREAM_BLOCK 16384

static const char seen; /* the state of a request for a page, once it was asked for */

struct http {
	struct MHD_Daemon *daemon;
	struct http_source source;
	unsigned serve; /* SERVE_* */
	struct sockaddr_storage address;
	struct http_patience patience;
};

/* ---- /api/v1 ---- */

#define API "/api/v1"

static bool is_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static bool is_api(const char *path)
{
	return is_below(path, API);
}

/* Documents may be larger than what else is put. */
static size_t body_limit(const struct http *http, const char *path)
{
	return http->source.xcap && (!is_api(path) || is_below(path, API "/docs")) ?
		documents_max(http->source.xcap->documents) : ADMIN_BODY_MAX;
}

static int socket_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* Before any body is read.  0 or the code. */
static unsigned api_refuses(const struct http *http, struct MHD_Connection *connection, const char *target,
	const char **why)
{
	char room[HTTP_HOST_MAX];
	struct admin_credentials c = { .host = http_request_host(connection, target, room),
		.origin = http_header(connection, MHD_HTTP_HEADER_ORIGIN),
		.authorization = http_header(connection, MHD_HTTP_HEADER_AUTHORIZATION) };
	socklen_t size = sizeof(c.local);

	*why = "no such resource";
	if (!(http->serve & SERVE_ADMIN) || !http->source.admin)
		return MHD_HTTP_NOT_FOUND;
	if (getsockname(socket_of(connection), (struct sockaddr *)&c.local, &size) != 0)
		c.local.ss_family = AF_UNSPEC; /* then no Host is ours */
	return admin_refuses(http->source.admin, &c, why);
}

struct stream {
	struct sip_trace_reader *trace;
	int fd;
};

static ssize_t on_stream_read(void *arg, uint64_t at, char *to, size_t size)
{
	struct stream *stream = arg;
	size_t n = sip_trace_read(stream->trace, to, size, stream->fd);

	(void)at;
	return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void on_stream_end(void *arg)
{
	struct stream *stream = arg;

	sip_trace_close(stream->trace);
	free(stream);
}

static enum MHD_Result answer_stream(struct MHD_Connection *connection, struct sip_trace_reader *trace, const char *type)
{
	struct stream *stream = malloc(sizeof(*stream));
	struct MHD_Response *response = NULL;
	enum MHD_Result result;

	if (stream) {
		*stream = (struct stream){ trace, socket_of(connection) };
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream_read, stream,
			on_stream_end);
	}
	if (!response) {
		sip_trace_close(trace);
		free(stream);
		return MHD_NO;
	}
	result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	/* a user may be silent for hours: that is no lack of progress */
	if (result == MHD_YES)
		result = MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	if (result == MHD_YES)
		result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response); /* with it the stream, once nobody reads */
	return result;
}

static bool is_star(const char *value)
{
	return value && strcmp(value, "*") == 0;
}

static enum MHD_Result answer_api(struct http *http, struct MHD_Connection *connection, const char *path,
	const char *method, struct http_upload *upload)
{
	struct admin_answer answer = { 0 };
	struct admin_request request = {
		.method = method,
		.path = path + sizeof(API) - 1 + (path[sizeof(API) - 1] == '/'),
		.from = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "from"),
		.format = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "format"),
		.limit = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "limit"),
		.body = http_upload_body(upload),
		.type = http_header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.if_match = http_header(connection, MHD_HTTP_HEADER_IF_MATCH),
		.if_none_match = http_header(connection, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.if_absent = is_star(http_header(connection, MHD_HTTP_HEADER_IF_NONE_MATCH)),
		.if_present = is_star(http_header(connection, MHD_HTTP_HEADER_IF_MATCH)),
	};

	admin_answer(http->source.admin, &request, &answer);
	upload->drains = answer.drains;
	if (answer.trace)
		return answer_stream(connection, answer.trace, answer.is_pcap ? PCAP : PLAIN);
	struct http_answer a = { answer.code, answer.type ? answer.type : JSON, answer.body, answer.n, answer.allow };
	memcpy(a.etag, answer.etag, sizeof(a.etag));
	return http_reply(connection, &a);
}

static enum MHD_Result on_api(struct http *http, struct MHD_Connection *connection, const char *target,
	const char *method, struct slice octets, struct http_upload **state)
{
	struct http_upload *upload = *state;
	const char *why;
	unsigned code;

	if (!upload) {
		*state = http_upload_begin(body_limit(http, http_request_path(target)));
		code = *state ? api_refuses(http, connection, target, &why) : MHD_HTTP_SERVICE_UNAVAILABLE;
		if (code == 0)
			return MHD_YES;
		if (code == MHD_HTTP_UNAUTHORIZED)
			return http_reply_refused(http->source.tally, connection, code, REASON_HTTP_TOKEN, why);
		if (code == MHD_HTTP_FORBIDDEN)
			return http_reply_refused(http->source.tally, connection, code, http_header(connection, MHD_HTTP_HEADER_ORIGIN) ? REASON_HTTP_ORIGIN :
				REASON_HTTP_HOST, why);
		return http_reply_error(connection, code, *state ? why : "no memory");
	}
	if (octets.n == 0 && upload->is_too_large)
		return http_reply_error(connection, MHD_HTTP_CONTENT_TOO_LARGE,
			is_below(http_request_path(target), API "/docs") ? "more than limits.xml_bytes" : "more octets than are taken");
	if (octets.n == 0 && upload->has_no_memory)
		return http_reply_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory");
	if (octets.n == 0)
		return answer_api(http, connection, http_request_path(target), method, upload);
	return http_upload_add(upload, octets) ? MHD_YES : MHD_NO;
}

static struct http_waiting *waiting_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static enum MHD_Result on_xcap(struct http *http, struct MHD_Connection *connection, const char *path, const char *method,
	struct slice octets, void **state)
{
	char room[CONNECTION_MEMORY_BYTES];
	struct buffer query = buffer_over(room, sizeof(room));
	struct http_upload *upload = *state;
	struct xcap_request request;

	http_xcap_read(connection, path, method, &query, &request);
	request.body = octets;
	enum MHD_Result result = http_xcap(http->source.xcap, http->source.tally, connection, &request, &upload);
	*state = upload;
	return result;
}

/* Pages answer at the first call, before any body: what a POST carries is never read. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *target,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_bytes, void **state)
{
	struct http *http = arg;
	const char *path = http_request_path(target), *why;
	struct http_answer a;

	if (!*state)
		http_tally_request(http->source.tally);
	if (!*state && http_request_refuses(connection, version, &why)) {
		*state = (void *)&seen;
		return http_reply_refused(http->source.tally, connection, MHD_HTTP_BAD_REQUEST, REASON_HTTP_HEAD, why);
	}
	if (*state && *upload_bytes == 0)
		http_patience_heard(&http->patience, waiting_of(connection));
	if (is_api(path)) {
		struct http_upload *upload = *state;
		enum MHD_Result result = on_api(arg, connection, target, method, slice_of(upload_data, *upload_bytes), &upload);
		*state = upload;
		*upload_bytes = 0;
		return result;
	}
	if (http->source.xcap && http->serve & SERVE_XCAP && is_below(path, XCAP_ROOT)) {
		enum MHD_Result result = on_xcap(http, connection, path, method, slice_of(upload_data, *upload_bytes), state);
		*upload_bytes = 0;
		return result;
	}
	if (!*state && strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		/* a response queued now makes libmicrohttpd close instead of reading the body */
		*state = (void *)&seen;
	} else if (!*state) {
		*state = (void *)&seen;
		return MHD_YES; /* asks for the second call, after the headers, to keep the connection */
	}
	*upload_bytes = 0;
	a = http_page(&http->source.metrics, http->serve, path, method);
	return http_reply(connection, &a);
}

/* ---- opening and closing ---- */

static int listen_on(const struct sockaddr_storage *address, int *out)
{
	socklen_t size = address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6);
	int one = 1, err = 0;
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	/* a restart must not wait for TIME_WAIT; [::]:9090 must not take 0.0.0.0:9090 from another */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (address->ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, (const struct sockaddr *)address, size) < 0 || listen(fd, BACKLOG) < 0)
		err = errno;
	if (err)
		close(fd); /* nothing was written to it */
	else
		*out = fd;
	return err;
}

/* What a request kept; pages keep only that they were here. */
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode how)
{
	struct http *http = arg;
	struct http_upload *upload = *state == (void *)&seen ? NULL : *state;

	(void)how;
	http_patience_next(&http->patience, waiting_of(connection));
	if (upload && upload->drains)
		admin_drain(http->source.admin);
	http_upload_end(upload);
	*state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *http = arg;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*context = http_patience_begin(&http->patience, socket_of(connection));
	else
		http_patience_end(&http->patience, *context);
}

/* Somebody knocks: everybody may come in, and who is late has to go. */
static enum MHD_Result on_knock(void *arg, const struct sockaddr *address, socklen_t size)
{
	struct http *http = arg;
	unsigned late = http_patience_look(&http->patience);

	if (late) {
		http_tally_refused(http->source.tally, REASON_HTTP_LATE, late);
		LOG(WARN, NULL, "http", 0, "closed reason=%s connections=%u", reason_label(REASON_HTTP_LATE), late);
	}
	return MHD_YES;
}

static int start(struct http *http, int fd)
{
	socklen_t size = sizeof(http->address);

	if (getsockname(fd, (struct sockaddr *)&http->address, &size) < 0)
		return errno;
	http->daemon = MHD_start_daemon(
		MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, on_knock, http, on_request, http,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
		MHD_OPTION_UNESCAPE_CALLBACK, http_request_unescape, http,
		MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, CONNECTIONS_PER_IP_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
		MHD_OPTION_END);
	return http->daemon ? 0 : EIO;
}

int http_open(struct http **out, const struct listen_options *listen,
	      const struct http_source *source)
{
	struct http *http = calloc(1, sizeof(*http));
	int fd = -1, err;

	if (!http)
		return ENOMEM;
	http->source = *source;
	http->serve = listen->serve;
	http_patience_init(&http->patience, source->patience_ms ? source->patience_ms : IDLE_S * 1000);
	err = listen_on(&listen->bind, &fd);
	if (!err)
		err = start(http, fd);
	if (err) {
		if (fd >= 0)
			close(fd); /* only a running daemon owns it */
		http_patience_free(&http->patience);
		free(http);
		return err;
	}
	*out = http;
	return 0;
}

void http_address(const struct http *http, struct sockaddr_storage *address)
{
	*address = http->address;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon);
	http_patience_free(&http->patience);
	free(http);
}
