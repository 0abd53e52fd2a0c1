/*
 * An answer on its way to libmicrohttpd, with the headers that every answer has.
 *
 * Thread: that of the connection.
 */
#ifndef ACTORS_HTTP_REPLY_H
#define ACTORS_HTTP_REPLY_H

#include <microhttpd.h>

#include "actors/http_pages.h"
#include "actors/http_tally.h"

/* Gives body and challenges away. */
enum MHD_Result http_reply(struct MHD_Connection *connection, struct http_answer *answer);
/* {"error":CODE,"reason":"..."} */
enum MHD_Result http_reply_error(struct MHD_Connection *connection, unsigned code, const char *reason);
/* The same of a refusal, which is counted and logged. */
enum MHD_Result http_reply_refused(struct http_tally *tally, struct MHD_Connection *connection, unsigned code,
	enum reason reason, const char *why);

/* The value of a header of the request, or NULL. */
const char *http_header(struct MHD_Connection *connection, const char *name);

#endif
