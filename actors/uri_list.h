/*
 * The URI list that a request carries beside its other body (RFC 5363; RFC 4826 for its XML):
 * application/resource-lists+xml with `Content-Disposition: recipient-list`, alone or as a part of a
 * multipart.
 *
 * Any thread.
 */
#ifndef ACTORS_URI_LIST_H
#define ACTORS_URI_LIST_H

#include "sip/message.h"

struct limits_options;

enum uri_list_verdict {
	URI_LIST_OK,
	URI_LIST_NONE,      /* the request has none                                        */
	URI_LIST_MALFORMED, /* 400 (design.md 13): its multipart, its XML, an entry without URI */
	URI_LIST_TOO_MANY,  /* 400: more entries than limits.uri_list                        */
	URI_LIST_TOO_LARGE, /* 413: more octets than limits.xml_bytes                        */
	URI_LIST_NO_MEMORY,
};

struct uri_list {
	unsigned count;
	struct slice *uris; /* heap, one block with their text: as written, without references */
};

/* OK: *out is the caller's, to be freed by uri_list_free().  Lists within lists count as one; entries that only refer
 * to other documents are left out. */
enum uri_list_verdict uri_list_read(struct uri_list *out, const struct sip_message *m, const struct limits_options *limits);
void uri_list_free(struct uri_list *list); /* of one that was read, or is all zero */

#endif
