/*
 * /xcap (actors/xcap.h) at an HTTP listener: who asks is looked at before any body is read, what for when it is there.
 *
 * Thread: that of the connection.
 */
#ifndef ACTORS_HTTP_XCAP_H
#define ACTORS_HTTP_XCAP_H

#include "actors/http_reply.h"
#include "actors/http_upload.h"
#include "actors/xcap.h"

/* One call of libmicrohttpd: the head (*state NULL), then pieces of the body in request->body, at last none: the end. */
enum MHD_Result http_xcap(const struct xcap *xcap, struct http_tally *tally, struct MHD_Connection *connection,
	const struct xcap_request *request, struct http_upload **state);

/* What the head says; `query` is where its query is written. */
void http_xcap_read(struct MHD_Connection *connection, const char *path, const char *method, struct buffer *query,
	struct xcap_request *request);

#endif
