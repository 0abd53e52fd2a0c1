/*
 * What is kept of a request with a body between the calls of libmicrohttpd, and a body as it comes, up to a limit.
 *
 * Thread: that of the connection.
 */
#ifndef ACTORS_HTTP_UPLOAD_H
#define ACTORS_HTTP_UPLOAD_H

#include "core/slice.h"

struct http_upload {
	size_t n, size, limit;
	size_t seen;          /* of it and of what was too much */
	bool is_too_large, has_no_memory, drains;
	char *body;           /* NULL: nothing came yet */
};

/* NULL: no memory. */
struct http_upload *http_upload_begin(size_t limit);
/* False: so much more than the limit came that the connection is best closed; an answer is for those who end. */
bool http_upload_add(struct http_upload *upload, struct slice octets);
void http_upload_end(struct http_upload *upload); /* NULL is allowed */

static inline struct slice http_upload_body(const struct http_upload *upload)
{
	return slice_of(upload->body ? upload->body : "", upload->n);
}

#endif
