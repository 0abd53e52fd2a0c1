#include "actors/http_upload.h"

#include <stdlib.h>

#define PATIENCE_OCTETS (16u << 20) /* beyond the limit */

struct http_upload *http_upload_begin(size_t limit)
{
	struct http_upload *upload = calloc(1, sizeof(*upload));

	if (upload)
		upload->limit = limit;
	return upload;
}

bool http_upload_add(struct http_upload *upload, struct slice octets)
{
	upload->seen += octets.n;
	if (octets.n > upload->limit - upload->n)
		upload->is_too_large = true;
	if (octets.n > upload->size - upload->n && !upload->is_too_large) {
		size_t size = 2 * upload->size + octets.n;
		char *body = realloc(upload->body, size);
		if (body) {
			upload->body = body;
			upload->size = size;
		} else {
			upload->has_no_memory = true;
		}
	}
	if (upload->is_too_large || upload->has_no_memory) /* the rest is read, and the answer says why it was for nothing */
		return upload->seen <= upload->limit + PATIENCE_OCTETS;
	memcpy(upload->body + upload->n, octets.p, octets.n);
	upload->n += octets.n;
	return true;
}

void http_upload_end(struct http_upload *upload)
{
	if (upload)
		free(upload->body);
	free(upload);
}
